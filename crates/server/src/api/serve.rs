//! The listener: TCP and TLS under the router, with bounds on everything a client can hold.
//!
//! Called by the host with a bound socket and the TLS configuration of `pki`. Runs until `stop` is
//! cancelled, then lets requests under way end. Who has shown no certificate, who is slow and who
//! speaks no TLS holds little and for a short time, so that nodes and users always find room.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use evenkeel_model::net::Cidr;
use evenkeel_wire::stream::{WINDOW, WINDOWS};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Api,
    auth::{Client, Identity, Peer, Shown},
    router,
};
use crate::{dispatch::Agents, pki::NODES};

/// Handshakes under way at once: a thousand agents that come back together are through in seconds.
const HANDSHAKES: usize = 512;
/// Connections of users at once: each costs a file descriptor and some ten KiB.
const USERS: usize = 1024;
/// Connections of nodes at once, two for each: more nodes than one server is for.
const NODE_CONNECTIONS: usize = 16_384;
/// Connections without a certificate at once: probes, git hooks, machines that join, and users until their
/// first token was read.
pub(super) const STRANGERS: usize = 128;
/// How long one of those may last.
const STRANGER_LIFE: Duration = Duration::from_mins(1);
/// A TLS handshake takes at most this long: it is two round trips and a few ms.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The first request of a connection comes within this time.
const FIRST: Duration = Duration::from_secs(10);
/// Headers of a request arrive within this time.
const HEADERS: Duration = Duration::from_secs(10);
/// Streams at once on one HTTP/2 connection: as in Kubernetes.
const STREAMS: u32 = 250;
/// Bytes of a request's headers: as in Kubernetes, times what certificates in headers may need.
const HEADER_BYTES: usize = 64 << 10;
/// A silent HTTP/2 connection is asked this often whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After a failed accept (no file descriptors left, most of all) the listener waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests under way get this long to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Refused connections are all counted; this often one is logged.
const TELL: Duration = Duration::from_secs(1);

/// Where connections come from.
#[derive(Debug)]
pub struct Entrance {
    /// The socket.
    pub listener: TcpListener,
    /// Who else comes is turned away; `None` takes everybody.
    pub from: Option<Cidr>,
}

impl From<TcpListener> for Entrance {
    /// Takes everybody.
    fn from(listener: TcpListener) -> Self {
        Self { listener, from: None }
    }
}

/// Serves the API, and agents, until `stop` is cancelled.
pub async fn serve(
    api: Arc<Api>,
    agents: Option<Agents>,
    entrance: impl Into<Entrance>,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) {
    let door = Arc::new(Door {
        acceptor: TlsAcceptor::from(tls),
        router: router(api, agents),
        users: Class::new(USERS),
        nodes: Class::new(NODE_CONNECTIONS),
        strangers: Class::new(STRANGERS),
        told: Mutex::new(None),
        stop: stop.clone(),
    });
    let Entrance { listener, from } = entrance.into();
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let (turn, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = accept(&listener, &handshakes) => next,
        };
        match accepted {
            Ok((_, peer)) if from.is_some_and(|range| !range.contains(peer.ip())) => {
                door.refused(peer, "foreign", &"it is not of the cluster's network");
            }
            Ok((tcp, peer)) => {
                let door = door.clone();
                tokio::spawn(async move { door.connection(tcp, peer, turn).await });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                metrics::counter!("evenkeel_accept_failures_total").increment(1);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async {
        for class in [&door.users, &door.nodes, &door.strangers] {
            class.empty().await;
        }
    };
    // What is not through by then is cut off, and its client tries again.
    let _drained = timeout(DRAIN, drained).await;
}

type Accepted = (Option<OwnedSemaphorePermit>, std::io::Result<(TcpStream, SocketAddr)>);

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Accepted {
    // The semaphore is never closed.
    let permit = free.clone().acquire_owned().await.ok();
    (permit, listener.accept().await)
}

/// Room for one class of connections.
struct Class {
    room: Arc<Semaphore>,
    all: usize,
}

impl Class {
    fn new(all: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(all)), all }
    }

    fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// Waits until nobody is left.
    async fn empty(&self) {
        let _all = self.room.acquire_many(u32::try_from(self.all).unwrap_or(u32::MAX)).await;
    }
}

/// What every connection needs.
struct Door {
    acceptor: TlsAcceptor,
    router: Router,
    users: Class,
    nodes: Class,
    strangers: Class,
    told: Mutex<Option<Instant>>,
    stop: CancellationToken,
}

impl Door {
    /// Counts a connection that was refused, and logs one a second of them.
    fn refused(&self, peer: SocketAddr, reason: &'static str, why: &dyn std::fmt::Display) {
        metrics::counter!("evenkeel_connections_refused_total", "reason" => reason).increment(1);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(%peer, reason, %why, "a connection was refused");
        }
    }

    async fn connection(&self, tcp: TcpStream, peer: SocketAddr, turn: Option<OwnedSemaphorePermit>) {
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY was refused");
        }
        let tls = match timeout(HANDSHAKE, self.acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            // Who hangs up before a word has only looked whether somebody is here: probes and checks do.
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                metrics::counter!("evenkeel_connections_refused_total", "reason" => "handshake").increment(1);
                return tracing::debug!(%peer, %error, "a connection ended in its handshake");
            }
            Ok(Err(error)) => return self.refused(peer, "handshake", &error),
            Err(_) => return self.refused(peer, "slow", &"the TLS handshake took too long"),
        };
        drop(turn);
        let certificate = tls.get_ref().1.peer_certificates().and_then(|c| c.first());
        let client = Client(certificate.and_then(|c| Identity::of_certificate(c)));
        let end = Peer { address: peer, certificate: certificate.map(|c| Arc::from(c.as_ref())) };
        let (class, life) = match &client {
            Client(Some(identity)) if identity.groups.iter().any(|g| g == NODES) => (&self.nodes, None),
            Client(Some(_)) => (&self.users, None),
            Client(None) => (&self.strangers, Some(STRANGER_LIFE)),
        };
        let Some(place) = class.enter() else {
            return self.refused(peer, "full", &"there are as many connections of its kind as there may be");
        };
        metrics::gauge!("evenkeel_connections").increment(1);
        let shown = Shown::default();
        let mut serving = std::pin::pin!(self.serve(tls, client, end, shown.clone()));
        let mut place = place;
        match life {
            None => serving.await,
            Some(life) => {
                let known = tokio::select! {
                    () = serving.as_mut() => None,
                    () = sleep(life) => {
                        tracing::debug!(%peer, "a connection without a certificate lasted too long");
                        None
                    }
                    // By a token: from now on it is one of a user.
                    () = shown.0.notified() => {
                        let users = self.users.enter();
                        if users.is_none() {
                            self.refused(peer, "full", &"there are as many connections of users as there may be");
                        }
                        users
                    }
                };
                if let Some(users) = known {
                    place = users;
                    serving.await;
                }
            }
        }
        drop(place);
        metrics::gauge!("evenkeel_connections").decrement(1);
    }

    async fn serve(&self, tls: TlsStream<TcpStream>, client: Client, end: Peer, shown: Shown) {
        let (router, peer) = (self.router.clone(), end.address);
        let asked = Arc::new((AtomicBool::new(false), Notify::new()));
        let first = asked.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            if !asked.0.swap(true, Ordering::Relaxed) {
                asked.1.notify_one();
            }
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(client.clone());
            request.extensions_mut().insert(end.clone());
            request.extensions_mut().insert(shown.clone());
            router.clone().oneshot(request)
        });
        let builder = builder();
        let serving = builder.serve_connection_with_upgrades(TokioIo::new(tls), service);
        tokio::pin!(serving);
        let mut silent = std::pin::pin!(timeout(FIRST, first.1.notified()));
        let mut waits = true;
        let ended = loop {
            tokio::select! {
                ended = serving.as_mut() => break ended,
                came = silent.as_mut(), if waits => {
                    if came.is_err() {
                        return self.refused(peer, "slow", &"no request came");
                    }
                    waits = false;
                }
                () = self.stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    break serving.await;
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// HTTP with its bounds.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEP_ALIVE);
    builder
}
