//! Connections that went over to another protocol, as WebSocket: bytes go both ways until one end
//! closes, or the agent ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::shared::Shared;

/// Joins a client's connection with its backend's.
pub(crate) fn join(shared: &Shared, client: OnUpgrade, backend: OnUpgrade) {
    let end = shared.end.clone();
    shared.tasks.spawn(async move {
        let both = async {
            let (client, backend) = match tokio::try_join!(client, backend) {
                Ok(both) => both,
                Err(error) => {
                    tracing::debug!(%error, "a connection did not go over to another protocol");
                    return;
                }
            };
            let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
            // How it ends is the two ends' own matter.
            drop(tokio::io::copy_bidirectional(&mut client, &mut backend).await);
        };
        end.run_until_cancelled(both).await;
    });
}
