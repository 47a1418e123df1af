//! What server and agents say to each other, as plain data. `evenkeel-wire` carries it; the core
//! reads it.
//!
//! A session opens with [`Hello`]; the server answers with one full [`Assignment`] and then sends
//! differences with rising sequence numbers. The agent reports what changed, batched.
//!
//! Inside one session messages come in order and once, or the session breaks. Between two sessions
//! nothing is sure: an old one may still be open at the server when the new one begins, and what was
//! meant for it may come late. So a session has a number, which its agent chooses and every message
//! that depends on an earlier one carries; what belongs to another session is not taken.

use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use crate::{
    content::Content,
    ids::{Digest, Uid, Version},
    ingress::IngressUpdate,
    meta::Deletion,
    net::{BalancedPorts, Cidr, NetworkTrouble, NetworkUpdate},
    own,
    time::Time,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// From the server to one agent.
#[derive(Debug, Clone, PartialEq)]
pub enum ToAgent {
    /// Pods to run.
    Assign(Arc<Assignment>),
    /// What git cannot tell: kept by the agent for a server that lost its database.
    Sources(Arc<[SourceCopy]>),
    /// A pod whose container the agent keeps waiting in crash back-off should start at once, or a
    /// drifted container should be left or healed: the server's decision on a reported drift.
    HealDrift {
        /// The pod.
        pod: Uid,
        /// The container; `None` for the sandbox.
        container: Option<String>,
        /// False where its source says `selfHeal: false`.
        heal: bool,
    },
    /// What is there to say? The agent answers at once, with a heartbeat if nothing is, and names the
    /// question: all that was so when it was asked is told by then.
    RollCall {
        /// When it was asked, by the server's clock.
        at: Time,
    },
    /// What was told up to this report is durable: the agent need not tell it again. Sent for reports
    /// with drifts, which nothing else repeats.
    Heard(Stamp),
    /// Nodes and Services: all of them when the session begins, then what changed.
    Network(Arc<NetworkUpdate>),
    /// Ingresses and their certificates: all of them when the session begins, then what changed.
    Ingresses(Arc<IngressUpdate>),
}

/// The place of a report in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Number of the session.
    pub session: u64,
    /// 1 for the first report of a session that says something, and so on. A heartbeat has the number
    /// of the report before it: so it tells when that one was lost.
    pub seq: u64,
}

/// From an agent to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ToServer {
    /// First message of a session.
    Hello(Box<Hello>),
    /// What changed.
    Report {
        /// Its place in the session.
        stamp: Stamp,
        /// An empty one is a heartbeat.
        report: Box<Report>,
    },
}

/// An agent introduces itself and says all it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Node name.
    pub node: Arc<str>,
    /// Number of the session: another one than any before it of this node.
    #[serde(default)]
    pub session: u64,
    /// Highest store epoch it ever saw; a server of a lower one is refused by the agent.
    pub epoch: u64,
    /// The node itself.
    pub report: NodeReport,
    /// Every pod it has on disk or in its runtime, with its last status.
    pub pods: Vec<KnownPod>,
    /// Its copy of the sources.
    pub sources: Vec<SourceCopy>,
}

/// A pod that an agent has, enough to make its object again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownPod {
    /// The Pod in Kubernetes' form with labels, annotations, owners and spec; no status.
    pub pod: Value,
    /// Uid.
    pub uid: Uid,
    /// Its status now.
    pub status: Value,
    /// Image ids by container name, as they run.
    pub image_ids: BTreeMap<String, String>,
    /// Containers with a drift that is not put right yet; `None` is the sandbox. Others have none,
    /// whatever the last session told: it may have ended before it could say so.
    #[serde(default)]
    pub drifted: Vec<Option<String>>,
}

/// The pods that one node shall run.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The store's epoch: when it is new to the agent, absence from the assignment stops nothing.
    pub epoch: u64,
    /// The session that it belongs to, as its hello numbered it.
    pub session: u64,
    /// Rises by one with each assignment of a session; a gap asks for a new session.
    pub seq: u64,
    /// Whether it is everything, or a difference.
    pub full: bool,
    /// Pods that are new or changed.
    pub pods: Vec<Arc<PodOrder>>,
    /// Pods that the agent may forget: their objects are gone. (A pod that shall stop is in `pods`
    /// with its deletion set.)
    pub forget: Vec<Uid>,
    /// Images that clean-up must spare: those of every last good revision.
    pub keep_images: Option<Arc<[String]>>,
    /// While true, pods that the agent has and the assignment does not name run on untouched: the
    /// server is recovering.
    pub recovering: bool,
}

/// One pod to run, with all that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodOrder {
    /// Uid.
    pub uid: Uid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Version of the object that this was made from.
    pub version: Version,
    /// The Pod in Kubernetes' form, defaults filled in, without status and managedFields; canonical.
    pub pod: Value,
    /// Set when the pod shall stop.
    pub deletion: Option<Deletion>,
    /// The ConfigMaps and Secrets it mentions. A name that is missing here does not exist.
    pub contents: Vec<PodContent>,
    /// Image id by container name that must be used where the node has it, without a pull.
    pub image_ids: BTreeMap<String, String>,
    /// False where drift of its containers is recorded but not healed.
    pub self_heal: bool,
}

/// The content of a ConfigMap or Secret under the name by which pods mention it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodContent {
    /// True for a Secret.
    pub secret: bool,
    /// Name.
    pub name: Arc<str>,
    /// `type` of a Secret; empty for a ConfigMap.
    pub secret_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// The content.
    pub content: Arc<Content>,
}

/// What changed on a node since the last report. Empty, it is a heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Set when something of the node itself changed.
    pub node: Option<NodeReport>,
    /// Pods whose status changed; newest wins.
    pub pods: Vec<PodReport>,
    /// Container drifts, in the order seen.
    pub drifts: Vec<ContainerDrift>,
    /// What happened to pods, for people, in the order of the last time; bounded by the agent.
    #[serde(default)]
    pub events: Vec<PodEvent>,
    /// The last roll call that this answers.
    #[serde(default)]
    pub answers: Option<Time>,
    /// The highest [`NetworkUpdate::number`] that the node's kernel follows, where it rose.
    #[serde(default)]
    pub network: Option<u64>,
    /// The highest [`IngressUpdate::number`] that the node serves, where it rose: the next request goes by
    /// it, at each port that could be had.
    #[serde(default)]
    pub ingresses: Option<u64>,
    /// What others did to the node's network since the last report, each put right by the agent; for
    /// people, bounded by the agent.
    #[serde(default)]
    pub network_drifts: Vec<String>,
    /// [`Assignment::seq`] of the last assignment of this session that the agent took; `None` before the
    /// first. Heartbeats have it, too: it tells the server of one that was lost and had no successor.
    #[serde(default)]
    pub assigned: Option<u64>,
}

/// Something that happened to a pod: it becomes a Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodEvent {
    /// The pod.
    pub pod: Uid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Of which part of it, as Kubernetes' `fieldPath`: `spec.containers{web}`; empty for the whole.
    pub field: String,
    /// Whether a person should know.
    pub warning: bool,
    /// Kubernetes' reason: `Unhealthy`, `BackOff`, `Killing` …
    pub reason: String,
    /// For people; without values of Secrets.
    pub message: String,
    /// How often since it was told last.
    pub count: u32,
    /// The first of these.
    pub first: Time,
    /// The last of these.
    pub last: Time,
}

impl Report {
    /// Whether it says nothing but that the agent is there.
    pub fn is_heartbeat(&self) -> bool {
        self.node.is_none()
            && self.pods.is_empty()
            && self.drifts.is_empty()
            && self.events.is_empty()
            && self.network.is_none()
            && self.ingresses.is_none()
            && self.network_drifts.is_empty()
    }
}

/// The state of the node itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeReport {
    /// `capacity` by resource name, as Kubernetes quantities: `cpu`, `memory`, `pods`,
    /// `ephemeral-storage`.
    pub capacity: BTreeMap<String, String>,
    /// `allocatable`: capacity less what is reserved.
    pub allocatable: BTreeMap<String, String>,
    /// Labels that the agent sets: `kubernetes.io/arch`, `os`, `hostname`, and those of its flags.
    pub labels: BTreeMap<String, String>,
    /// Taints of its flags.
    #[serde(default)]
    pub taints: Vec<NodeTaint>,
    /// `nodeInfo` in Kubernetes' form.
    pub node_info: Value,
    /// `addresses` as (type, address).
    pub addresses: Vec<(String, String)>,
    /// Why the node is not ready (the engine does not answer); `None` when it is.
    pub not_ready: Option<String>,
    /// Pressure conditions that hold: `MemoryPressure`, `DiskPressure`, `PIDPressure`.
    pub pressures: Vec<String>,
    /// Version of the agent.
    pub version: String,
    /// The range of its pods' addresses, as a server gave it: one that lost its database gives it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<Cidr>,
    /// Why its pods are on the container engine's network, where Services and the cluster's names do
    /// not reach; `None` where they are on the cluster's, or nothing is known of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_network: Option<String>,
    /// What became of the ports that LoadBalancers ask for at its own addresses.
    #[serde(default, skip_serializing_if = "BalancedPorts::is_empty")]
    pub balanced: BalancedPorts,
    /// What is wrong with its network and lasts; one for each reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<NetworkTrouble>,
}

/// A taint that an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTaint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// `effect` of a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only where nothing else fits.
    PreferNoSchedule,
    /// No new pods, and those there go.
    NoExecute,
}

impl TaintEffect {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A pod's status as its agent sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodReport {
    /// Uid.
    pub uid: Uid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Canonical JSON of the whole PodStatus (phase, conditions, containerStatuses, podIP …).
    pub status: Arc<[u8]>,
    /// True once nothing of the pod is left on the node: the object may go.
    pub gone: bool,
    /// Image ids by container name, once known.
    pub image_ids: BTreeMap<String, String>,
    /// Last lines of a container that failed, by its name, Secret values struck out; at most 20.
    pub logs: BTreeMap<String, Vec<String>>,
}

/// What someone other than the agent did to a managed container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerDrift {
    /// The pod.
    pub pod: Uid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// The container; `None` for the sandbox.
    pub container: Option<String>,
    /// What was done.
    pub action: DriftAction,
    /// What it should be, for people.
    pub desired: Value,
    /// What it was found to be.
    pub live: Value,
    /// Whether the agent has put it right by now.
    pub healed: bool,
}

/// What can be done to a container behind the agent's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DriftAction {
    /// Stopped with a signal and a grace.
    Stopped,
    /// Killed.
    Killed,
    /// Paused.
    Paused,
    /// Removed.
    Removed,
    /// Given another name.
    Renamed,
    /// Limits changed.
    Updated,
    /// Runs another image or configuration than its pod says.
    Differs,
}

/// What an agent keeps of a Source for a server that lost its database: the object without
/// credentials' contents (files are named, not held).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCopy {
    /// Name.
    pub name: Arc<str>,
    /// Version of the store at which this was so: of several copies, and of a restored store's own
    /// object, the highest is the newest, for versions never repeat. 0 from before there was one.
    #[serde(default)]
    pub version: Version,
    /// `spec`.
    pub spec: own::SourceSpec,
    /// `status`, conditions left out.
    pub status: own::SourceStatus,
}
