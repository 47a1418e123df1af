//! Which update is served. Tables are swapped as an update is taken, so the next request goes by it; ports
//! that it is the first to want, or the last to have wanted, are taken and given back after that.
//!
//! One task, fed by `Ingress::ingresses` and by the listeners. A port that cannot be had is followed, too:
//! what there is to wait for is over, and the node is none of those that serve.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Port, Status, shared::Shared, state::Wanted};

/// What was taken last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) number: u64,
    pub(crate) wanted: Wanted,
}

/// Whether the ports are as they are wanted, as far as they can be had.
fn follows(status: &Status, wanted: Wanted) -> bool {
    let is = |port: &Port, wanted| (*port != Port::Unused) == wanted;
    is(&status.http, wanted.http) && is(&status.https, wanted.https)
}

/// Tells each update that is served, also where two have the same number; of several that came meanwhile the
/// last one alone.
pub(crate) async fn tell(
    shared: Arc<Shared>,
    mut said: watch::Receiver<Said>,
    mut status: watch::Receiver<Status>,
    served: watch::Sender<u64>,
) {
    let tell = async {
        while said.changed().await.is_ok() {
            loop {
                let Said { number, wanted } = *said.borrow_and_update();
                if follows(&status.borrow_and_update(), wanted) {
                    served.send_replace(number);
                    break;
                }
                let gone = tokio::select! {
                    changed = said.changed() => changed.is_err(),
                    changed = status.changed() => changed.is_err(),
                };
                if gone {
                    return;
                }
            }
        }
    };
    shared.closing.run_until_cancelled(tell).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn ports_follow_when_they_are_had_or_refused_or_given_back() {
        let open = || Port::Open(SocketAddr::from(([0, 0, 0, 0], 80)));
        let refused = || Port::Refused("taken".into());
        let follows = |http, https, wants: (bool, bool)| {
            follows(&Status { http, https }, Wanted { http: wants.0, https: wants.1 })
        };
        assert!(follows(Port::Unused, Port::Unused, (false, false)));
        assert!(!follows(Port::Unused, Port::Unused, (true, false)), "it is about to be taken");
        assert!(follows(open(), Port::Unused, (true, false)) && follows(refused(), Port::Unused, (true, false)));
        assert!(!follows(open(), Port::Unused, (true, true)) && follows(open(), refused(), (true, true)));
        assert!(!follows(open(), open(), (true, false)), "it is about to be given back");
    }
}
