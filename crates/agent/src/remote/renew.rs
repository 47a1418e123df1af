//! The next certificate: asked for at two thirds of the last one's life, or at once where another CA
//! signs now.

use std::time::{Duration, SystemTime};

use evenkeel_wire::{proto::RenewRequest, version};
use rcgen::KeyPair;
use tokio_util::sync::CancellationToken;

use super::{
    Current, Identity, RemoteError, ServerAddress,
    connect::{client, connect, refusal},
    join::signing_request,
    tls,
};

/// A try that failed is repeated after this: a third of the life, ten days, is left.
const AGAIN: Duration = Duration::from_mins(10);
/// Longest sleep: the clock may be set, and a machine may sleep.
const LOOK: Duration = Duration::from_hours(1);

/// Renews until `stop` is cancelled.
pub async fn renewal(server: ServerAddress, current: Current, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wait = match due_in(&current.get()) {
            Some(wait) if !wait.is_zero() => wait.min(LOOK),
            _ => match renew(&server, &current).await {
                Ok(()) => {
                    tracing::info!("this node's certificate was renewed");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(error = %evenkeel_model::causes(&error), "this node's certificate was not renewed");
                    AGAIN
                }
            },
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            () = current.renew.notified() => {}
        }
    }
}

/// How long the certificate is good enough; `None` if it cannot be read.
fn due_in(identity: &Identity) -> Option<Duration> {
    if !identity.is_of_first() {
        return Some(Duration::ZERO);
    }
    let at = identity.validity().ok()?.renew_at();
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

async fn renew(server: &ServerAddress, current: &Current) -> Result<(), RemoteError> {
    let identity = current.get();
    let keys = |e: &dyn std::fmt::Display| RemoteError::Keys(e.to_string());
    let key_pem = KeyPair::generate().map_err(|e| keys(&e))?.serialize_pem();
    let signing_request = signing_request(&key_pem).map_err(|e| keys(&e))?;
    let channel = connect(server, tls::of_node(&identity)?).await?;
    let request = RenewRequest { speaks: Some(version::speaks()), signing_request: signing_request.into() };
    let reply = client(channel).renew(request).await.map_err(|status| refusal(server, &status))?.into_inner();
    let next = Identity {
        key_pem,
        certificate_pem: reply.certificate_pem,
        trust_pem: reply.trust_pem,
        ..Identity::clone(&identity)
    };
    if !next.is_of_first() {
        return Err(RemoteError::Refused("the server's answer is no certificate of its CA".into()));
    }
    current.replace(next).await.map_err(|e| keys(&e))
}
