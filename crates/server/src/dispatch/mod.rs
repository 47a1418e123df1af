//! The agents' service: joining, renewal, sessions, and streams beside them, over gRPC.
//!
//! Mounted by the API's router on the same listener. A session's messages go to the host through
//! the same pair of channels that `evenkeel up` uses in its own process. Everything but `Join`
//! needs a node's certificate, and a node speaks for itself alone. Deliberately not here: what a
//! message means (the conductor), who may join (`pki`).

mod live;
mod session;
mod streams;
mod tokens;

use std::{pin::Pin, sync::Arc, time::Duration};

use evenkeel_model::Time;
use evenkeel_wire::{
    proto::{
        FromAgent, FromServer, JoinReply, JoinRequest, RenewReply, RenewRequest, StreamDown, StreamUp, TokenReply,
        TokenRequest,
        agents_server::{self, AgentsServer},
    },
    version::{self, Side},
};
use futures_util::Stream;
use metrics::counter;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::{
    api::{Client, Peer},
    host::{Host, wall},
    pki::{CertificateError, JoinAsk, JoinError, NODE_PREFIX, NODES, Pki},
};
use live::Live;
use streams::Waiting;
pub use tokens::TokenRefused;

/// Machines that may be joining at one time: each costs a signature and a write to disk.
const JOINS: usize = 16;
/// Clocks of a machine that joins and the server may differ by this much: certificates bear a day,
/// but times in statuses would mislead.
const SKEW: Duration = Duration::from_mins(5);

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    pki: Arc<Pki>,
    live: Live,
    waiting: Waiting,
    joins: Semaphore,
    stop: CancellationToken,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

/// What a node's certificate says, once it was found to count.
#[derive(Debug, Clone)]
struct Node {
    name: Arc<str>,
    peer: Peer,
    /// Cancelled when the node is removed.
    removed: CancellationToken,
    /// When its certificate ends.
    until: Time,
}

impl Agents {
    /// The service over a host. Sessions end when `stop` is cancelled.
    pub fn new(host: Host, pki: Arc<Pki>, stop: CancellationToken) -> Self {
        let (live, waiting) = (Live::default(), Waiting::default());
        Self { inner: Arc::new(Inner { host, pki, live, waiting, joins: Semaphore::new(JOINS), stop }) }
    }

    /// For the router.
    pub(crate) fn service(self) -> AgentsServer<Self> {
        AgentsServer::new(self)
    }
}

/// Messages to a client as they come.
type Outbound<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn outbound<T: Send + 'static>(receive: mpsc::Receiver<Result<T, Status>>) -> Outbound<T> {
    Box::pin(futures_util::stream::unfold(receive, |mut receive| async {
        let next = receive.recv().await?;
        Some((next, receive))
    }))
}

#[tonic::async_trait]
impl agents_server::Agents for Agents {
    type SessionStream = Outbound<FromServer>;
    type StreamStream = Outbound<StreamDown>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let peer = peer(request.extensions())?;
        let ask = request.into_inner();
        let node: String = ask.node.chars().take(64).collect();
        let joined = self.inner.join(ask, &peer).await;
        match &joined {
            Ok(_) => {
                counter!("evenkeel_joins_total", "outcome" => "joined").increment(1);
                info!(node, peer = %peer.address, "a machine has joined");
            }
            Err(status) => {
                counter!("evenkeel_joins_total", "outcome" => "refused").increment(1);
                warn!(node, peer = %peer.address, reason = status.message(), "a machine was not let in");
            }
        }
        joined.map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let node = self.inner.node(request.extensions())?;
        let ask = request.into_inner();
        version::agree(ask.speaks.as_ref(), Side::Agent).map_err(Status::failed_precondition)?;
        let (pki, name) = (self.inner.pki.clone(), node.name.clone());
        let certificate = node.peer.certificate.clone().unwrap_or_default();
        let made = blocking(move || pki.renew(&name, &certificate, &ask.signing_request, wall())).await?;
        let certificate_pem = made.map_err(|e| join_status(&e))?;
        info!(node = %node.name, "a node's certificate was renewed");
        Ok(Response::new(RenewReply { certificate_pem, trust_pem: self.inner.pki.trust_pem().into() }))
    }

    async fn token(&self, request: Request<TokenRequest>) -> Result<Response<TokenReply>, Status> {
        let node = self.inner.node(request.extensions())?;
        match self.token_of(&node.name, request.get_ref()) {
            Ok(reply) => Ok(Response::new(reply)),
            Err(refused) if refused.is_outside() => Err(Status::unavailable(refused.to_string())),
            Err(refused) => Err(Status::failed_precondition(refused.to_string())),
        }
    }

    async fn session(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::SessionStream>, Status> {
        let node = self.inner.node(request.extensions())?;
        let name = node.name.clone();
        let peer = node.peer.address;
        let opened = session::open(&self.inner, node, request.into_inner()).await;
        if let Err(status) = &opened {
            counter!("evenkeel_sessions_refused_total").increment(1);
            warn!(node = %name, %peer, reason = status.message(), "a session was refused");
        }
        opened.map(|receive| Response::new(outbound(receive)))
    }

    async fn stream(&self, request: Request<Streaming<StreamUp>>) -> Result<Response<Self::StreamStream>, Status> {
        let node = self.inner.node(request.extensions())?;
        let id = request.metadata().get(evenkeel_wire::STREAM).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let receive = self.inner.waiting.serve(&node, id.as_deref(), request.into_inner())?;
        Ok(Response::new(outbound(receive)))
    }
}

impl Inner {
    /// The node that a verified certificate names, if it counts.
    fn node(&self, extensions: &tonic::Extensions) -> Result<Node, Status> {
        let refused = |status: Status| {
            counter!("evenkeel_sessions_refused_total").increment(1);
            status
        };
        let peer = peer(extensions)?;
        let Some(Client(Some(identity))) = extensions.get::<Client>() else {
            let status = Status::unauthenticated(
                "no client certificate was shown: this call needs a node's; start the agent with --token to get one",
            );
            warn!(peer = %peer.address, "a call of the agents' service came without a certificate");
            return Err(refused(status));
        };
        let name = identity.user.strip_prefix(NODE_PREFIX).filter(|_| identity.groups.iter().any(|g| g == NODES));
        let checked = name.ok_or(CertificateError::NotANode).and_then(|name| {
            self.pki
                .authorize(name, peer.certificate.as_deref().unwrap_or_default(), None)
                .map(|counted| (name, counted))
        });
        match checked {
            Ok((name, counted)) => Ok(Node { name: name.into(), removed: counted.removed, until: counted.until, peer }),
            Err(error) => {
                warn!(user = identity.user, peer = %peer.address, %error, "a certificate does not count");
                Err(refused(Status::permission_denied(error.to_string())))
            }
        }
    }

    async fn join(&self, ask: JoinRequest, peer: &Peer) -> Result<JoinReply, Status> {
        let Ok(_turn) = self.joins.try_acquire() else {
            return Err(Status::resource_exhausted(format!("{JOINS} machines are joining; try again")));
        };
        version::agree(ask.speaks.as_ref(), Side::Agent).map_err(Status::failed_precondition)?;
        let now = wall();
        if let Some(text) = skew(Time(ask.clock_ms), now) {
            return Err(Status::failed_precondition(format!("{text}: set the clocks (NTP), then try again")));
        }
        let (pki, address) = (self.pki.clone(), peer.address.ip().to_string());
        let joined = blocking(move || {
            pki.join(
                &JoinAsk {
                    token: &ask.token,
                    node: &ask.node,
                    request: &ask.signing_request,
                    machine_id: &ask.machine_id,
                    address: &address,
                },
                now,
            )
        });
        let joined = joined.await?.map_err(|e| join_status(&e))?;
        Ok(JoinReply {
            speaks: Some(version::speaks()),
            certificate_pem: joined.certificate_pem,
            trust_pem: self.pki.trust_pem().into(),
            cluster_id: self.pki.cluster_id().into(),
            labels: joined.labels,
        })
    }
}

/// How far a machine's clock is off, in words; `None` if it is near enough.
fn skew(theirs: Time, ours: Time) -> Option<String> {
    let (by, how) = if theirs > ours { (theirs.since(ours), "ahead of") } else { (ours.since(theirs), "behind") };
    (by > SKEW).then(|| {
        format!(
            "the clock of this machine ({}) is {} s {how} the server's ({})",
            theirs.rfc3339(),
            by.as_secs(),
            ours.rfc3339()
        )
    })
}

fn peer(extensions: &tonic::Extensions) -> Result<Peer, Status> {
    extensions.get::<Peer>().cloned().ok_or_else(|| Status::internal("the connection's other end is not known"))
}

/// Files are written and synced: not on a thread that serves others.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Status::internal("the server failed; its log has the reason"))
}

fn join_status(error: &JoinError) -> Status {
    let text = error.to_string();
    match error {
        JoinError::Token(_) => Status::unauthenticated(text),
        JoinError::Name { .. } | JoinError::Request(_) => Status::invalid_argument(text),
        JoinError::Local { .. } | JoinError::Taken { .. } => Status::already_exists(text),
        JoinError::Certificate(_) => Status::permission_denied(text),
        JoinError::Pki(e) => {
            tracing::error!(error = %e, "a certificate could not be given");
            Status::internal("the server could not make the certificate; its log has the reason")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_with_both_times() {
        let now = Time(1_800_000_000_000);
        assert_eq!(skew(now + SKEW, now), None);
        let text = skew(now, now + Duration::from_hours(1)).unwrap();
        assert!(text.contains("3600 s behind") && text.contains(&now.rfc3339()), "{text}");
    }
}
