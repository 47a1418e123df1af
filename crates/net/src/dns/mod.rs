//! Names: every agent answers the cluster's names itself, from memory, by Kubernetes' DNS
//! specification 1.1, and passes other names on to the node's own resolvers.
//!
//! ```ignore
//! let dns = Dns::new(node_name, Resolvers::File("/etc/resolv.conf".into()));
//! dns.update(&update);                                   // each update, in order
//! let bound = dns.bind((settings.dns, 53).into()).await?; // the address is on `lo` by then
//! bound.run(stop).await;                                 // until stopped
//! ```
//!
//! An update is visible to the next question when `update` returns. `zone` is what the cluster's names
//! mean, kept change by change; `answer` turns a question into an answer from it; `message` is the
//! form on the wire; `upstream` asks others (`resolvers`, `exchange`, `cache`); `serve` holds the
//! sockets and their bounds (`slots`). Deliberately not here: the address on the node's loopback that
//! the server is bound to, and when a pod is ready (the server says so).

mod answer;
mod cache;
pub(crate) mod client;
mod exchange;
mod message;
mod resolvers;
mod serve;
mod slots;
mod upstream;
mod zone;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use evenkeel_model::net::NetworkUpdate;
use thiserror::Error;
use tokio::sync::watch;

pub use self::{resolvers::Resolvers, serve::Bound};
use self::{upstream::Upstream, zone::Zone};

/// Why names cannot be served.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The sockets could not be had.
    #[error("the DNS server cannot be bound to {at} (is the address on this node, and port {} free?)", at.port())]
    Bind {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A socket does not say where it is.
    #[error("the DNS server's socket has no address")]
    Socket(#[source] io::Error),
}

/// The names of a cluster, as one node answers them.
#[derive(Debug)]
pub struct Dns {
    node: Arc<str>,
    /// What is answered from. Locked only to be exchanged or taken, never while anything is made.
    zone: RwLock<Option<Arc<Zone>>>,
    /// One update at a time.
    updating: Mutex<()>,
    upstream: Upstream,
    turn: AtomicUsize,
}

impl Dns {
    /// Knows nothing yet, and answers `SERVFAIL` until a full update comes.
    pub fn new(node: impl Into<Arc<str>>, resolvers: Resolvers) -> Arc<Self> {
        Arc::new(Self {
            node: node.into(),
            zone: RwLock::new(None),
            updating: Mutex::new(()),
            upstream: Upstream::new(resolvers),
            turn: AtomicUsize::new(0),
        })
    }

    /// Takes an update, in the order in which the server made them; a difference before any full one
    /// says nothing. The next question sees it.
    pub fn update(&self, update: &NetworkUpdate) {
        let _one = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.zone();
        if let Some(next) = Zone::updated(now.as_deref(), &self.node, update) {
            let next = Some(Arc::new(next));
            let old = std::mem::replace(&mut *self.zone.write().unwrap_or_else(PoisonError::into_inner), next);
            // Taken apart here, after the lock is free: of a large one that takes a while.
            drop((old, now));
        }
    }

    /// Binds UDP and TCP to an address of this node.
    pub async fn bind(self: &Arc<Self>, at: SocketAddr) -> Result<Bound, DnsError> {
        Bound::new(Arc::clone(self), at).await
    }

    /// Whether none of the node's resolvers answers, and then what is to be said of it.
    pub fn silent(&self) -> watch::Receiver<Option<String>> {
        self.upstream.silent()
    }

    fn zone(&self) -> Option<Arc<Zone>> {
        self.zone.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serves(&self, client: IpAddr) -> bool {
        self.zone().map_or(client.is_loopback(), |zone| zone.serves(client))
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod testresolver;
