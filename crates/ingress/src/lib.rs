//! Ways in from outside: serves Ingresses on a node's own ports, and leads requests of HTTP straight
//! to those who stand behind Services.
//!
//! The agent's driver starts it, and tells it what the server says: Services
//! (`evenkeel_model::net`), Ingresses and certificates (`evenkeel_model::ingress`). `state` merges
//! and keeps that; `routes`, `certs` and `members` are tables made from it; `listen` takes
//! connections, `proxy` leads each request, `pool` keeps connections to backends. What changes holds
//! for the next request and breaks none that is under way. Deliberately not here: which Ingress is
//! Evenkeel's, and who is ready (the core decides).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod account;
mod activity;
mod body;
mod certs;
mod headers;
mod linger;
mod listen;
mod members;
mod pool;
mod proxy;
mod routes;
mod served;
mod shared;
mod sockets;
mod state;
mod taken;
#[cfg(test)]
mod testkit;
mod together;
mod turn;
mod upgrade;
mod wire;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use evenkeel_model::{ingress::IngressUpdate, net::NetworkUpdate};
use thiserror::Error;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{interval, sleep, timeout},
};

use self::{
    listen::{Kind, Listener, acceptor},
    served::Said,
    shared::Shared,
    state::Wanted,
};

/// File in the agent's folder.
const KNOWN: &str = "ingress.json";
/// Clients of a node at once, over all ports; more wait to be taken.
const MOST_CLIENTS: usize = 8192;
/// What changed is written down this long after, once for all that came meanwhile.
const SETTLE: Duration = Duration::from_millis(500);
/// What could not be written down is tried again after this.
const RETRY: Duration = Duration::from_secs(30);
/// Idle connections to backends are looked at this often.
const TIDY: Duration = Duration::from_secs(15);
/// At the end, requests under way get this long.
const DRAIN: Duration = Duration::from_secs(5);

/// How Ingresses are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agent's folder; it is there.
    pub dir: PathBuf,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where TLS is served.
    pub https: SocketAddr,
    /// Each request has a line in the log.
    pub access_log: bool,
    /// Bounds of each request.
    pub limits: Limits,
}

/// Bounds of a client's request, and of the wait for its backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head.
    pub headers: usize,
    /// Bytes of a request's body; gRPC and connections that went over to another protocol have no bound.
    pub body: u64,
    /// A request's head, and TLS before it, are there within this.
    pub head: Duration,
    /// A connection without a request ends after this.
    pub idle: Duration,
    /// Longest pause in a request's body.
    pub body_pause: Duration,
    /// Longest wait for a connection to one endpoint.
    pub connect: Duration,
    /// Longest time in which the machine of a backend says nothing to what is sent to it. How long the backend
    /// itself takes is another matter.
    pub taken: Duration,
    /// Longest wait for the beginning of an answer. Not for gRPC.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: 64 << 10,
            body: 64 << 20,
            head: Duration::from_secs(30),
            idle: Duration::from_mins(3),
            body_pause: Duration::from_secs(30),
            // Once more after the kernel has asked for a second time, and short of what clients wait.
            connect: Duration::from_millis(1500),
            // Longer than what a network takes to find another way: what is under way is lost.
            taken: Duration::from_secs(5),
            answer: Duration::from_mins(1),
        }
    }
}

/// What a port is at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Port {
    /// No Ingress has a use for it.
    #[default]
    Unused,
    /// It is served, at this address.
    Open(SocketAddr),
    /// It cannot be had, for this reason; it is tried again.
    Refused(String),
}

/// What the ports are at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// HTTP.
    pub http: Port,
    /// TLS.
    pub https: Port,
}

/// Serving cannot start.
#[derive(Debug, Error)]
#[error("TLS cannot be set up for Ingresses: {0}")]
pub struct StartError(#[from] rustls::Error);

/// A node's Ingresses, served until [`Ingress::stop`].
#[derive(Debug, Clone)]
pub struct Ingress {
    shared: Arc<Shared>,
    wanted: Arc<watch::Sender<Wanted>>,
    said: Arc<watch::Sender<Said>>,
    status: watch::Receiver<Status>,
    served: watch::Receiver<u64>,
    changed: Arc<Notify>,
}

impl Ingress {
    /// Starts with what is on disk, on the runtime that calls.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(settings));
        let known = shared.state.read(&shared.settings.dir.join(KNOWN));
        let wanted = Arc::new(watch::Sender::new(known));
        let status = Arc::new(watch::Sender::new(Status::default()));
        let room = Arc::new(Semaphore::new(MOST_CLIENTS));
        let listener = |kind, at, acceptor| Listener {
            kind,
            at,
            shared: shared.clone(),
            wanted: wanted.subscribe(),
            status: status.clone(),
            room: room.clone(),
            acceptor,
        };
        let tls = acceptor(&shared)?;
        tokio::spawn(listener(Kind::Http, shared.settings.http, None).run());
        tokio::spawn(listener(Kind::Https, shared.settings.https, Some(tls)).run());
        let said = Arc::new(watch::Sender::new(Said::default()));
        let (says, served) = watch::channel(0);
        tokio::spawn(served::tell(shared.clone(), said.subscribe(), status.subscribe(), says));
        let changed = Arc::new(Notify::new());
        tokio::spawn(keep(shared.clone(), changed.clone()));
        tokio::spawn(tidy(shared.clone()));
        Ok(Self { shared, wanted, said, status: status.subscribe(), served, changed })
    }

    /// Takes what the server said of Services; the next request goes by it.
    pub fn network(&self, update: &NetworkUpdate) {
        let gone = self.shared.state.network(update);
        self.shared.pool.leave(&gone);
        if !(update.services.is_empty() && update.gone_services.is_empty()) {
            self.changed.notify_one();
        }
    }

    /// Takes what the server said of Ingresses and certificates; the next request, and the next
    /// handshake, go by it. [`Ingress::served`] tells when the ports do.
    pub fn ingresses(&self, update: &IngressUpdate) {
        let wanted = self.shared.state.ingresses(update);
        self.wanted.send_if_modified(|now| std::mem::replace(now, wanted) != wanted);
        self.said.send_replace(Said { number: update.number, wanted });
        self.changed.notify_one();
    }

    /// What the ports are at.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The number of the last update that is served, at each port that could be had; 0 before the first. It
    /// changes with each that is served, also where two have the same number.
    pub fn served(&self) -> watch::Receiver<u64> {
        self.served.clone()
    }

    /// Takes no more requests, and lets those under way end within [`DRAIN`].
    pub async fn stop(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        if timeout(DRAIN, self.shared.tasks.wait()).await.is_err() {
            self.shared.end.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

/// Writes down what changed.
async fn keep(shared: Arc<Shared>, changed: Arc<Notify>) {
    let path = shared.settings.dir.join(KNOWN);
    loop {
        let closing = tokio::select! {
            () = changed.notified() => {
                tokio::select! {
                    () = sleep(SETTLE) => false,
                    () = shared.closing.cancelled() => true,
                }
            }
            () = shared.closing.cancelled() => return,
        };
        let (of, to) = (shared.clone(), path.clone());
        let written = tokio::task::spawn_blocking(move || of.state.write(&to)).await;
        if let Err(error) = written.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
            tracing::warn!(%error, file = %path.display(), "what is known of Ingresses could not be kept");
            let again = changed.clone();
            tokio::spawn(async move {
                sleep(RETRY).await;
                again.notify_one();
            });
        }
        if closing {
            return;
        }
    }
}

async fn tidy(shared: Arc<Shared>) {
    let mut interval = interval(TIDY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shared.closing.run_until_cancelled(interval.tick()).await.is_some() {
        shared.pool.tidy();
    }
}
