//! Connections to those who stand behind Services: kept open between requests, bounded, and left
//! when their end is known.
//!
//! A connection of HTTP/1.1 carries one request after the other, one of HTTP/2 many at once. Nothing
//! is known here of what a request says; whether one may be sent twice is the caller's to know
//! (`proxy`).
//!
//! A machine that lost its power closes nothing: what is sent to it is taken by nobody. Connections that
//! carry heads alone, which always find room at their other end, therefore end after the time that a
//! connection may take, and the head is sent to another. Those that carry bodies are others, because a backend
//! may take its time to read: they are watched (`wire`), and have more time, because nobody sends a body again.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{net::TcpStream, runtime::Handle, time::timeout};

use crate::{
    Limits,
    body::Upload,
    sockets::{self, STALLED},
    turn::Turn,
    wire::Wire,
};

/// Idle connections that are kept to one address: fewer than requests at once are connections that come and go.
const MOST_IDLE: usize = 256;
/// Connections to one address at once; beyond it the next address is tried.
const MOST_OPEN: usize = 1024;
/// An idle connection is kept this long; many servers close theirs after 5 s and more.
const IDLE: Duration = Duration::from_secs(30);
/// One that was idle for longer may be closed by the other end in the very moment; a request that may
/// not be sent twice does not take it.
const FRESH: Duration = Duration::from_millis(500);
/// Whether the other end of HTTP/2 is still there is asked this often.
const PING: Duration = Duration::from_secs(20);
/// Requests that one connection of HTTP/2 takes: its windows, large enough for a fast network.
const WINDOW: u32 = 1 << 20;

/// No connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// Refused, or no way there.
    #[error("no connection: {0}")]
    Refused(#[source] io::Error),
    /// Nobody answered.
    #[error("no connection within {} ms", .0.as_millis())]
    Silent(Duration),
    /// It is there and does not speak HTTP.
    #[error("the connection failed at its beginning: {0}")]
    Handshake(#[source] hyper::Error),
    /// Too many are open.
    #[error("{MOST_OPEN} connections are open")]
    Full,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1, requests without a body.
    Heads,
    /// HTTP/1.1, whatever follows the head.
    Http1,
    Http2,
}

/// A connection that takes a request.
#[derive(Debug)]
pub(crate) struct Lane {
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Upload>, Speech),
    Many(http2::SendRequest<Upload>),
}

/// A connection whose answer is under way. Dropped with the answer it goes back to where it waits for the next
/// request: by then it has mostly nothing more to read, and nobody needs to wait for that.
#[derive(Debug)]
pub(crate) struct Used {
    pool: Arc<Pool>,
    to: SocketAddr,
    sender: Option<Sender>,
}

impl Used {
    pub(crate) fn new(pool: Arc<Pool>, to: SocketAddr, lane: Lane) -> Self {
        Self { pool, to, sender: Some(lane.sender) }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.keep(self.to, sender);
        }
    }
}

/// A request that failed, given back where nothing of it was sent.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) error: hyper::Error,
    pub(crate) request: Option<Request<Upload>>,
}

#[derive(Debug, Default)]
struct Host {
    /// For heads alone, and for all.
    idle: [Vec<(http1::SendRequest<Upload>, Instant)>; 2],
    many: Option<http2::SendRequest<Upload>>,
    open: Arc<AtomicUsize>,
}

impl Host {
    fn idle(&mut self, speech: Speech) -> &mut Vec<(http1::SendRequest<Upload>, Instant)> {
        &mut self.idle[usize::from(speech != Speech::Heads)]
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    hosts: Mutex<HashMap<SocketAddr, Host>>,
}

/// Counts a connection for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: Arc<AtomicUsize>) -> Result<Self, ConnectError> {
        if count.fetch_add(1, Ordering::Relaxed) < MOST_OPEN {
            return Ok(Self(count));
        }
        drop(Self(count));
        Err(ConnectError::Full)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<SocketAddr, Host>) -> T) -> T {
        act(&mut self.hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection that was used before, where one waits. `twice` says whether the request may be
    /// sent again, should the other end close it meanwhile.
    pub(crate) fn waiting(&self, to: SocketAddr, speech: Speech, twice: bool) -> Option<Lane> {
        let sender = self.with(|hosts| {
            let host = hosts.get_mut(&to)?;
            if speech == Speech::Http2 {
                return host.many.as_ref().filter(|s| !s.is_closed()).cloned().map(Sender::Many);
            }
            let longest = if twice { IDLE } else { FRESH };
            let idle = host.idle(speech);
            while let Some((sender, since)) = idle.pop() {
                if since.elapsed() > longest {
                    // Those below are older still.
                    if twice {
                        idle.clear();
                    } else {
                        idle.push((sender, since));
                    }
                    return None;
                }
                if sender.is_ready() {
                    return Some(Sender::One(sender, speech));
                }
            }
            None
        })?;
        Some(Lane { sender })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, to: SocketAddr, speech: Speech, limits: &Limits) -> Result<Lane, ConnectError> {
        let patience = limits.connect;
        let open = Open::new(self.with(|hosts| hosts.entry(to).or_default().open.clone()))?;
        let stream = match timeout(patience, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Refused(error)),
            Err(_) => return Err(ConnectError::Silent(patience)),
        };
        let heads = speech == Speech::Heads;
        sockets::prepare(&stream, if heads { patience } else { STALLED });
        let wire = Wire::new(stream, (!heads).then_some(limits.taken)).map_err(ConnectError::Refused)?;
        let io = TokioIo::new(wire);
        let sender = if speech == Speech::Http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW * 4)
                .handshake(io)
                .await
                .map_err(ConnectError::Handshake)?;
            tokio::spawn(async move {
                tokio::pin!(connection);
                drop(Turn::new(true).of(connection, |_| {}).await);
                drop(open);
            });
            let kept = sender.clone();
            self.with(|hosts| hosts.entry(to).or_default().many = Some(kept));
            Sender::Many(sender)
        } else {
            let (sender, connection) = http1::Builder::new().handshake(io).await.map_err(ConnectError::Handshake)?;
            // Its failure is told to the request that it carries.
            tokio::spawn(async move {
                drop(connection.with_upgrades().await);
                drop(open);
            });
            Sender::One(sender, speech)
        };
        Ok(Lane { sender })
    }

    /// Takes a connection back as soon as its request is over.
    fn keep(self: &Arc<Self>, to: SocketAddr, sender: Sender) {
        let Sender::One(mut sender, speech) = sender else { return };
        if sender.is_ready() {
            return self.put(to, sender, speech);
        }
        // An answer that the end of the agent drops leaves nothing to wait for.
        let (pool, Ok(runtime)) = (self.clone(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            if sender.ready().await.is_ok() {
                pool.put(to, sender, speech);
            }
        });
    }

    fn put(&self, to: SocketAddr, sender: http1::SendRequest<Upload>, speech: Speech) {
        self.with(|hosts| {
            // Who is gone has no place, and the connection ends here.
            if let Some(host) = hosts.get_mut(&to) {
                let idle = host.idle(speech);
                if idle.len() >= MOST_IDLE {
                    idle.remove(0);
                }
                idle.push((sender, Instant::now()));
            }
        });
    }

    /// No more requests go there: idle connections are closed, others end with what they carry.
    pub(crate) fn leave<'a>(&self, addresses: impl IntoIterator<Item = &'a SocketAddr>) {
        self.with(|hosts| {
            for address in addresses {
                hosts.remove(address);
            }
        });
    }

    /// Closes what has been idle for long.
    pub(crate) fn tidy(&self) {
        self.with(|hosts| {
            hosts.retain(|_, host| {
                for idle in &mut host.idle {
                    idle.retain(|(sender, since)| since.elapsed() < IDLE && !sender.is_closed());
                }
                if host.many.as_ref().is_some_and(http2::SendRequest::is_closed) {
                    host.many = None;
                }
                host.idle.iter().any(|i| !i.is_empty()) || host.many.is_some() || host.open.load(Ordering::Relaxed) > 0
            });
        });
    }
}

impl Lane {
    /// Sends a request.
    pub(crate) async fn send(&mut self, request: Request<Upload>) -> Result<Response<Incoming>, Unsent> {
        let sent = match &mut self.sender {
            Sender::One(sender, _) => sender.try_send_request(request).await,
            Sender::Many(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut e| {
            let request = e.take_message();
            Unsent { error: e.into_error(), request }
        })
    }
}
