//! Times and bounds of the agent's logic, each with its reason. Tests and the simulation shorten
//! some; nobody else does.

use std::{net::IpAddr, sync::Arc, time::Duration};

/// Who this agent is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Node name.
    pub node: Arc<str>,
    /// The cluster's id: the value of the label that all containers carry.
    pub cluster: String,
    /// The node's address: `status.hostIP`.
    pub node_ip: Option<IpAddr>,
    /// Times and bounds.
    pub settings: Settings,
}

/// Times and bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Wait before the second restart of a crashing container; the first is at once. It doubles.
    /// Kubernetes: 10 s.
    pub crash_first: Duration,
    /// Longest such wait. Kubernetes: 300 s.
    pub crash_max: Duration,
    /// A run of this length makes the next crash a first one. Kubernetes: 10 min.
    pub crash_reset: Duration,
    /// Wait after a first failed pull, create or start; it doubles. Kubernetes: 10 s.
    pub retry_first: Duration,
    /// Longest such wait. Kubernetes: 300 s.
    pub retry_max: Duration,
    /// Wait after a failure of the engine itself, which is nobody's fault and counts nowhere.
    pub engine_retry: Duration,
    /// Time between two full comparisons: the safety net below the engine's events.
    pub list_interval: Duration,
    /// How soon a suspicion from a comparison is looked at again, so that an event on its way can
    /// still tell who it was.
    pub relist: Duration,
    /// How long a drift is held back, so that the events that follow can tell its kind.
    pub drift_hold: Duration,
    /// Heals of one container within `contested_window` before heals wait.
    pub contested_count: usize,
    /// See `contested_count`.
    pub contested_window: Duration,
    /// Least time between a preStop hook's end and the kill. Kubernetes: 2 s.
    pub min_grace: Duration,
    /// Deadlines of operations beyond what they are told to take themselves.
    pub op_slack: Duration,
    /// Deadline of a pull: big images on slow lines.
    pub pull_limit: Duration,
    /// Deadline of other operations of the engine: a loaded disk.
    pub engine_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            crash_first: secs(10),
            crash_max: secs(300),
            crash_reset: secs(600),
            retry_first: secs(10),
            retry_max: secs(300),
            engine_retry: secs(2),
            list_interval: secs(60),
            relist: secs(1),
            drift_hold: Duration::from_millis(250),
            contested_count: 5,
            contested_window: secs(600),
            min_grace: secs(2),
            op_slack: secs(15),
            pull_limit: secs(1800),
            engine_limit: secs(120),
        }
    }
}

/// Last lines of a failed container that go into a report: enough for a stack's top.
pub const TAIL_LINES: u64 = 20;
/// Longest line kept of them, in characters.
pub const TAIL_LINE_CHARS: usize = 500;
/// Secret values shorter than this are not struck out of logs: they would blacken every line.
/// Words this short guard nothing.
pub const MIN_SECRET_CHARS: usize = 4;
/// Drifts of a node's network that wait to be told; older ones are only in the log.
pub const MAX_NETWORK_DRIFTS: usize = 16;
/// Drifts kept for a server that is away; the oldest go first.
pub const MAX_DRIFTS: usize = 1000;
/// How long a session may be open without its first assignment before another one is tried. An
/// ordinary server answers at once, and what it has to say may be a rollout's with a deadline; for one
/// that has a thousand agents to answer the wait doubles with each try, up to [`FULL_LIMIT`].
pub const FULL_FIRST: Duration = Duration::from_secs(10);
/// Longest such wait: longer than a server needs that has a thousand agents to answer.
pub const FULL_LIMIT: Duration = Duration::from_mins(1);
/// How long the answer to an operation that was given up is still expected, so that what it made
/// can be removed.
pub const LATE: Duration = Duration::from_hours(1);
/// A signal of someone else explains a container's end within this time.
pub const SIGNAL_WINDOW: Duration = Duration::from_mins(1);
