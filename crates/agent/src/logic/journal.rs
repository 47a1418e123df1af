//! What the agent keeps on disk: for each pod its order and what was made for it, and beside the
//! pods the highest epoch and the copies of the sources. The driver writes and reads the files; the
//! format carries [`FORMAT`], and fields are only ever added.
//!
//! A pod's entry holds Secrets' values (in its order): the driver encrypts it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use evenkeel_model::{Time, net::Cidr};
use evenkeel_runtime::ContainerId;
use evenkeel_wire::{ContainerDrift, PodOrder, SourceCopy};
use serde::{Deserialize, Serialize};

/// Version of these types on disk.
pub const FORMAT: u32 = 1;

/// Everything on disk, as it is read at the agent's start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    /// Beside the pods.
    pub agent: AgentRecord,
    /// The pods.
    pub pods: Vec<JournalPod>,
}

/// What the agent knows beside its pods.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentRecord {
    /// Highest epoch of a server's store that it ever saw.
    pub epoch: u64,
    /// Number of the newest session: the next one's is above it, whatever the clock says.
    pub session: u64,
    /// Copies of the sources, for a server that lost its database.
    pub sources: Vec<SourceCopy>,
    /// The range of the node's pods, as a server gave it.
    pub pod_cidr: Option<Cidr>,
}

/// A pod on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalPod {
    /// What the server ordered.
    pub order: Arc<PodOrder>,
    /// When the agent took it on: `status.startTime`.
    pub started: Time,
    /// Epoch of the server that named it last: only absence from that epoch's assignments stops it.
    #[serde(default)]
    pub epoch: u64,
    /// Attempts at the sandbox so far; the name of each carries its number.
    pub sandbox_attempt: u32,
    /// The sandbox that was made, until it is known to be gone.
    pub sandbox: Option<JournalSandbox>,
    /// What was made for each container, init containers included.
    pub containers: BTreeMap<String, JournalContainer>,
    /// Set once all containers ended for good: `Succeeded` or `Failed`.
    #[serde(default)]
    pub finished: Option<String>,
    /// Whether all init containers had ended well and the others may run.
    #[serde(default)]
    pub initialized: bool,
    /// Sandboxes and containers of earlier attempts that are still to be removed.
    #[serde(default)]
    pub garbage: Vec<ContainerId>,
    /// The status as it was told last: what a session hears before the first comparison.
    #[serde(default)]
    pub status: Option<serde_json::Value>,
    /// Conditions by type: whether each holds, and since when.
    #[serde(default)]
    pub conditions: BTreeMap<String, (bool, Time)>,
    /// Drifts that are not put right yet, by what would do it: their records stay open at the server
    /// until the agent says more, so it must not forget them.
    #[serde(default)]
    pub open: Vec<(Fix, ContainerDrift)>,
}

/// What puts a drift right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fix {
    /// Let it run on.
    Unpause,
    /// Its own name again.
    Rename,
    /// Its own limits again.
    Update,
    /// Another container in its place.
    Recreate,
    /// A start, or another container where it is gone.
    Restart,
}

/// A sandbox on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalSandbox {
    /// Id.
    pub id: ContainerId,
    /// The pod's address.
    pub ip: Option<IpAddr>,
}

/// A container on disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // facts that are independent of each other
pub struct JournalContainer {
    /// Attempts so far; the name of each carries its number.
    pub attempt: u32,
    /// The container that was made, until it is known to be removed.
    pub id: Option<ContainerId>,
    /// The one before it, kept for its logs.
    pub previous: Option<ContainerId>,
    /// `evenkeel.dev/spec-hash` that it was made with.
    pub spec_hash: String,
    /// Whether it was started, so that adoption knows a first start from a restart.
    pub started: bool,
    /// Whether the next start is a restart that is not counted yet, and of whose making.
    pub due: Due,
    /// Every restart.
    pub restarts: u32,
    /// Restarts that it did not cause itself.
    pub disturbed: u32,
    /// Readiness as last known.
    pub ready: bool,
    /// Whether its startup probe has succeeded.
    pub startup_done: bool,
    /// An init container that has ended well.
    pub completed: bool,
    /// How its last run ended.
    pub last: Option<Terminated>,
    /// Id of its image.
    pub image_id: String,
    /// Since when crashes follow each other, as the length of the next wait in milliseconds.
    pub backoff_millis: u64,
}

/// A restart that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Due {
    /// None: the next start is the first, or nothing ended.
    #[default]
    No,
    /// The container ended by itself.
    Own,
    /// It was ended from outside: drift, engine, node.
    Disturbed,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// Of which container.
    pub id: ContainerId,
    /// Exit code.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerDrift`, `EngineRestarted` …
    pub reason: String,
    /// More, for people.
    pub message: String,
    /// When it had started.
    pub started: Time,
    /// When it ended.
    pub finished: Time,
}
