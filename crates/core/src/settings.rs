//! Settings of the whole server that the core reads. Those of one source are in its `spec`.

use alloc::sync::Arc;
use core::{net::SocketAddr, time::Duration};

use crate::network::Layout;

/// Where pods and nodes find this server's API: the Service `default/kubernetes` leads there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ApiPlace {
    /// There is no such Service.
    #[default]
    Nowhere,
    /// At an address that all nodes reach.
    Address(SocketAddr),
    /// On a node's own address in the cluster's network: it serves its own machine alone.
    OnNode {
        /// The node.
        node: Arc<str>,
        /// The port.
        port: u16,
    },
    /// The Service is there, and leads nowhere: no address is known that others reach.
    Unknown,
}

/// Times and limits, with the defaults that the documentation names.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// A node without a word for this long is `Unknown`.
    pub node_grace: Duration,
    /// A pause of the server above this gives every node a full grace.
    pub pause_limit: Duration,
    /// Toleration that every pod gets for `not-ready` and `unreachable`.
    pub default_toleration: Duration,
    /// At most one node is evicted in this time.
    pub eviction_interval: Duration,
    /// A pod that is unschedulable for this long fails its release.
    pub unschedulable_limit: Duration,
    /// Tries to get an image, or to create or start a container, that fail a release.
    pub start_tries: u32,
    /// How long a recovering server waits for its nodes.
    pub recovery_wait: Duration,
    /// First wait before a release that failed from outside is tried again; doubles.
    pub retry_first: Duration,
    /// Longest such wait.
    pub retry_max: Duration,
    /// A directory's object is pruned only when missing in two scans this far apart.
    pub prune_confirm: Duration,
    /// Events are kept this long.
    pub event_age: Duration,
    /// And at most so many.
    pub event_count: usize,
    /// Resolved drifts are kept this long.
    pub drift_age: Duration,
    /// And at most so many.
    pub drift_count: usize,
    /// Finished releases kept for each source.
    pub release_count: usize,
    /// Good revisions of which documents are kept, for each source.
    pub good_revisions: usize,
    /// Heals of one field within `contested_window` from which it counts as contested.
    pub contested_count: usize,
    /// See `contested_count`.
    pub contested_window: Duration,
    /// Ranges of addresses. A cluster keeps those it was made with.
    pub network: Layout,
    /// The certificates by which this server is known, PEM: every namespace has them. None without a CA.
    pub root_ca: Option<Arc<str>>,
    /// Where pods find the API.
    pub api: ApiPlace,
    /// Whether an ACME directory is set, that gives certificates.
    pub acme: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            node_grace: secs(40),
            pause_limit: secs(5),
            default_toleration: secs(300),
            eviction_interval: secs(10),
            unschedulable_limit: secs(60),
            start_tries: 3,
            recovery_wait: secs(60),
            retry_first: secs(60),
            retry_max: secs(1800),
            prune_confirm: secs(5),
            event_age: secs(3600),
            event_count: 5000,
            drift_age: secs(7 * 24 * 3600),
            drift_count: 1000,
            release_count: 50,
            good_revisions: 10,
            contested_count: 5,
            contested_window: secs(600),
            network: Layout::default(),
            root_ca: None,
            api: ApiPlace::Nowhere,
            acme: false,
        }
    }
}
