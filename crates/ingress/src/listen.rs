//! The ports of a node: taken while an Ingress has a use for them, and each client's connection, with
//! TLS or without, until it ends.
//!
//! A port that somebody else has is told and tried again. Deliberately not here: requests (`proxy`).

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request,
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Port, Status,
    activity::Activity,
    headers::Came,
    linger::Linger,
    proxy,
    shared::Shared,
    sockets::{self, STALLED},
    state::Wanted,
    together::Together,
    turn::Turn,
};

/// A port that could not be had is tried again this often.
const RETRY: Duration = Duration::from_secs(5);
/// Wait after the system had no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);
/// Streams of one connection of HTTP/2 at once.
const MOST_STREAMS: u32 = 128;
/// Whether a client of HTTP/2 is still there is asked this often.
const PING: Duration = Duration::from_secs(30);
/// Windows of HTTP/2: what one client may send before its backend takes it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Which of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Https,
}

/// What a listener needs.
pub(crate) struct Listener {
    pub(crate) kind: Kind,
    pub(crate) at: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wanted: watch::Receiver<Wanted>,
    pub(crate) status: Arc<watch::Sender<Status>>,
    /// Clients of both ports.
    pub(crate) room: Arc<Semaphore>,
    /// For TLS.
    pub(crate) acceptor: Option<TlsAcceptor>,
}

impl Listener {
    fn say(&self, port: Port) {
        if self.kind == Kind::Https {
            self.shared.https_at(if let Port::Open(at) = port { Some(at) } else { None });
        }
        self.status.send_if_modified(|status| {
            let now = match self.kind {
                Kind::Http => &mut status.http,
                Kind::Https => &mut status.https,
            };
            if *now == port {
                return false;
            }
            match &port {
                Port::Open(at) => tracing::info!(%at, "Ingresses are served"),
                Port::Refused(why) => tracing::warn!(at = %self.at, why, "Ingresses cannot be served; trying again"),
                Port::Unused => tracing::info!(at = %self.at, "no Ingress has a use for the port any more"),
            }
            *now = port;
            true
        });
    }

    /// Until the end.
    pub(crate) async fn run(self) {
        let closing = self.shared.closing.clone();
        loop {
            let ready = until(self.wanted.clone(), self.kind, true);
            match closing.run_until_cancelled(ready).await {
                None | Some(Err(Ended)) => return,
                Some(Ok(())) => {}
            }
            match TcpListener::bind(self.at).await {
                Ok(listener) => {
                    let at = listener.local_addr().unwrap_or(self.at);
                    self.say(Port::Open(at));
                    if self.serve(&listener, at).await.is_err() {
                        return;
                    }
                    drop(listener);
                    self.say(Port::Unused);
                }
                Err(error) => {
                    self.say(Port::Refused(self.explain(&error)));
                    tokio::select! {
                        () = closing.cancelled() => return,
                        // Nobody wants it any more, or it is tried again.
                        over = until(self.wanted.clone(), self.kind, false) => match over {
                            Ok(()) => self.say(Port::Unused),
                            Err(Ended) => return,
                        },
                        () = sleep(RETRY) => {}
                    }
                }
            }
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        let flag = match self.kind {
            Kind::Http => "--ingress-http-port",
            Kind::Https => "--ingress-https-port",
        };
        let port = self.at.port();
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program listens on port {port} of this node: end it, or give another port with {flag}")
            }
            io::ErrorKind::PermissionDenied => format!(
                "this process may not listen on port {port}: run it as root, or give a port above 1023 with {flag}"
            ),
            _ => format!("port {port} cannot be listened on: {error}"),
        }
    }

    /// Takes connections until the port has no use any more; an error at the agent's end.
    async fn serve(&self, listener: &TcpListener, at: SocketAddr) -> Result<(), Ended> {
        let closing = self.shared.closing.clone();
        let over = until(self.wanted.clone(), self.kind, false);
        tokio::pin!(over);
        loop {
            let permit = tokio::select! {
                () = closing.cancelled() => return Err(Ended),
                over = &mut over => return over,
                permit = self.room.clone().acquire_owned() => permit.map_err(|_| Ended)?,
            };
            let (stream, peer) = tokio::select! {
                () = closing.cancelled() => return Err(Ended),
                over = &mut over => return over,
                taken = listener.accept() => match taken {
                    Ok(taken) => taken,
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not taken");
                        sleep(NO_ROOM).await;
                        continue;
                    }
                },
            };
            let came = Arc::new(Came::new(peer.ip(), at.port(), self.acceptor.is_some()));
            let (shared, acceptor) = (self.shared.clone(), self.acceptor.clone());
            self.shared.tasks.spawn(client(shared, stream, came, acceptor, permit));
        }
    }
}

/// Waits until a port is wanted, or is not any more.
async fn until(mut wanted: watch::Receiver<Wanted>, kind: Kind, is: bool) -> Result<(), Ended> {
    let of = |w: &Wanted| match kind {
        Kind::Http => w.http,
        Kind::Https => w.https,
    };
    wanted.wait_for(|w| of(w) == is).await.map(drop).map_err(|_| Ended)
}

/// The agent ends.
struct Ended;

async fn client(
    shared: Arc<Shared>,
    stream: TcpStream,
    came: Arc<Came>,
    acceptor: Option<TlsAcceptor>,
    _permit: OwnedSemaphorePermit,
) {
    sockets::prepare(&stream, STALLED);
    let end = shared.end.clone();
    let activity = Activity::new();
    let stream = Linger::new(stream, activity.clone());
    let client = came.client;
    let served = async {
        let Some(acceptor) = acceptor else {
            let stream = Together::new(stream, false);
            return connection(shared, activity, stream, came, None).await;
        };
        match timeout(shared.settings.limits.head, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(H2);
                // An answer of HTTP/1.1 is written as one already.
                let stream = Together::new(stream, http2);
                connection(shared, activity, stream, came, Some(http2)).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %client, "a client did not agree on TLS"),
            Err(_) => tracing::debug!(%client, "a client did not come to its TLS in time"),
        }
    };
    end.run_until_cancelled(served).await;
}

/// Serves one connection until it ends. `http2` says what was agreed on; `None` where the client
/// shows it with its first bytes.
async fn connection<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    io: Together<I>,
    came: Arc<Came>,
    http2: Option<bool>,
) {
    let limits = shared.settings.limits.clone();
    let closing = shared.closing.clone();
    let (of_requests, client) = (activity.clone(), came.client);
    let service = service_fn(move |request: Request<Incoming>| {
        let came = came.clone();
        let (shared, busy) = (shared.clone(), of_requests.begin(!request.body().is_end_stream()));
        // In a box, because HTTP/2 moves it about before it runs.
        Box::pin(async move {
            let mut response = proxy::answer(&shared, &came, request).await;
            response.body_mut().busy = Some(busy);
            Ok::<_, Infallible>(response)
        })
    });
    let builder = builder(&limits, http2);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io.clone()), service);
    tokio::pin!(connection);
    let mut turn = Turn::new(http2 == Some(true));
    let mut closed = false;
    loop {
        let due = activity.due(limits.head, limits.idle);
        tokio::select! {
            // What cannot be sent ends the connection itself: it reads and writes on the same.
            ended = turn.of(connection.as_mut(), |cx| drop(io.send(cx))) => {
                if let Err(error) = ended {
                    tracing::trace!(%error, %client, "a client's connection broke");
                }
                return;
            }
            () = closing.cancelled(), if !closed => {
                closed = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(due), if !closed => {
                if activity.due(limits.head, limits.idle) <= tokio::time::Instant::now() {
                    if !activity.asked() {
                        return;
                    }
                    closed = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(limits: &crate::Limits, http2: Option<bool>) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.headers)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.headers).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING);
    match http2 {
        None => builder,
        Some(true) => builder.http2_only(),
        Some(false) => builder.http1_only(),
    }
}

const H2: &[u8] = b"h2";

/// TLS by the certificates that are known at the moment of each handshake.
pub(crate) fn acceptor(shared: &Arc<Shared>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(shared.clone())));
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[derive(Debug)]
struct ByName(Arc<Shared>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.state.view().certs.find(hello.server_name()).cloned()
    }
}
