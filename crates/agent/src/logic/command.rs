//! What the logic asks the driver to do, and what it is told: the whole seam between decisions and
//! effects. The driver executes these on a runtime, the simulation on a simulated one.
//!
//! Rules for whoever executes them:
//! - Commands of one answer are taken in order. [`Command::Persist`], [`Command::Forget`] and
//!   [`Command::PersistAgent`] are on disk before a later command of the same answer begins.
//! - Each [`Command::Run`] ends with exactly one [`Input::Done`] of the same `op`, whatever happens;
//!   several run at the same time, in no order. The logic has a deadline for each of its own and
//!   may have given up waiting: a late answer is still to be delivered.
//! - Nothing is tried again by the driver: back-off and blame are the logic's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use evenkeel_model::{Uid, ingress::IngressUpdate, net::NetworkUpdate};
use evenkeel_runtime::{
    ContainerId, ContainerInfo, ContainerSpec, ImageInfo, Propagation, RegistryAuth, Resources, RuntimeError,
    RuntimeEvent, SandboxSpec,
};
use evenkeel_wire::{NodeReport, PodOrder, ToAgent};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::journal::{AgentRecord, Journal, JournalPod};

/// Number of an operation, unique in the life of one `AgentLogic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(pub u64);

/// What the logic wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Do this; tell the end as [`Input::Done`].
    Run {
        /// The operation.
        op: OpId,
        /// The pod that it is for.
        pod: Uid,
        /// What.
        work: Work,
    },
    /// List all containers that carry this cluster's label; tell as [`Input::Listing`].
    List {
        /// The operation.
        op: OpId,
    },
    /// Keep this on disk in place of what was kept for the pod.
    Persist(Box<JournalPod>),
    /// Drop what was kept for the pod.
    Forget(Uid),
    /// Keep this on disk: what the agent knows beside its pods.
    PersistAgent(Box<AgentRecord>),
    /// Close the session and open a new one.
    Reconnect {
        /// Why, for the log.
        reason: String,
    },
    /// Images that clean-up must spare beside those of containers, by id or reference.
    KeepImages(Arc<[String]>),
    /// Bring the node's network there, in the order of these. Once the kernel follows one, and all
    /// before it, tell [`Input::NetworkApplied`]; where several wait, of the last one alone.
    Network(Arc<NetworkUpdate>),
    /// Serve these Ingresses, in the order of these. Once one is served, and all before it, tell
    /// [`Input::IngressesServed`]; where several wait, of the last one alone.
    Ingresses(Arc<IngressUpdate>),
}

/// One thing to do for a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Make the pod's volumes (folders, files of ConfigMaps and Secrets, memory file systems), or
    /// bring their content up to date; safe to repeat. Ends with [`Output::Done`].
    PrepareVolumes {
        /// The pod with its contents.
        order: Arc<PodOrder>,
    },
    /// Take the pod's volumes away; none is fine. Ends with [`Output::Done`].
    RemoveVolumes,
    /// Make sure that an image is there. Ends with [`Output::Image`] or [`Output::Pulled`].
    EnsureImage {
        /// The reference as the pod says it.
        image: String,
        /// When to pull.
        policy: PullPolicy,
        /// This image id is taken without a pull where the node has it, whatever the policy.
        pinned: Option<String>,
        /// Credentials of the pod; take those whose `server` fits the reference, in order.
        auths: Vec<RegistryAuth>,
    },
    /// Create and start the sandbox. Ends with [`Output::Sandbox`].
    CreateSandbox {
        /// What of; `dns`, `hosts` and `hostname` as the pod says them: the driver completes them by
        /// the pod's network, which it chooses.
        spec: Box<SandboxSpec>,
        /// What the pod says of its network.
        network: Box<PodNetwork>,
    },
    /// Create a container. Ends with [`Output::Created`].
    CreateContainer {
        /// The sandbox to join.
        sandbox: ContainerId,
        /// What of; `mounts` and `tmpfs` are empty, they come from `volumes`.
        spec: Box<ContainerSpec>,
        /// The volumes to mount, resolved by the driver against what it prepared.
        volumes: Vec<VolumeUse>,
        /// Whether the Services of the pod's namespace go into its environment (`enableServiceLinks`), too:
        /// the API's own always does; what the pod says itself comes before them.
        service_links: bool,
    },
    /// Start a created container. Ends with [`Output::Done`].
    Start {
        /// Which.
        id: ContainerId,
    },
    /// Stop signal, grace, kill. Ends with [`Output::Done`] when it no longer runs.
    Stop {
        /// Which.
        id: ContainerId,
        /// The grace.
        grace: Duration,
    },
    /// Kill at once. Ends with [`Output::Done`].
    Kill {
        /// Which.
        id: ContainerId,
    },
    /// Remove a container or a sandbox, by force; gone is fine. Ends with [`Output::Done`].
    Remove {
        /// Which.
        id: ContainerId,
        /// End processes of it first that its engine does not know of.
        orphans: bool,
    },
    /// What the engine says of a container. Ends with [`Output::Inspected`].
    Inspect {
        /// Which.
        id: ContainerId,
    },
    /// Continue a paused container. Ends with [`Output::Done`].
    Unpause {
        /// Which.
        id: ContainerId,
    },
    /// Give a container its name back. Ends with [`Output::Done`].
    Rename {
        /// Which.
        id: ContainerId,
        /// The name.
        name: String,
    },
    /// Set a container's limits. Ends with [`Output::Done`].
    Update {
        /// Which.
        id: ContainerId,
        /// The limits.
        resources: Resources,
    },
    /// Probe once. Ends with [`Output::Probe`], also when it failed.
    Probe {
        /// Whom.
        target: Target,
        /// How long it may take.
        timeout: Duration,
    },
    /// Run a lifecycle hook. Ends with [`Output::Done`] or [`Failure::Hook`].
    Hook {
        /// Whom.
        target: Target,
        /// How long it may take.
        timeout: Duration,
    },
    /// The last lines of a container's output. Ends with [`Output::Logs`].
    Tail {
        /// Which.
        id: ContainerId,
        /// How many lines.
        lines: u64,
    },
}

/// What a pod says of its network and of names on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodNetwork {
    /// `hostNetwork`: it shares the machine's.
    pub host: bool,
    /// `dnsPolicy`.
    pub dns: DnsPolicy,
    /// Its namespace.
    pub namespace: String,
    /// `subdomain`, where it has one.
    pub subdomain: Option<String>,
    /// `setHostnameAsFQDN`: the kernel says the full name.
    pub hostname_is_full: bool,
}

/// `dnsPolicy`: where the pod's resolver asks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsPolicy {
    /// The cluster's server, unless the pod shares the machine's network.
    #[default]
    ClusterFirst,
    /// The cluster's server in any case.
    ClusterFirstWithHostNet,
    /// As the machine itself.
    Default,
    /// Only what the pod says.
    None,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Only where the node does not have it.
    IfNotPresent,
    /// Never: a missing one is [`RuntimeError::ImageNotPresent`].
    Never,
}

/// One `volumeMounts` entry, its `subPathExpr` expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// `name` of the pod's volume.
    pub volume: String,
    /// `mountPath`.
    pub target: String,
    /// `subPath`; must not leave the volume, which the driver checks.
    pub sub_path: Option<String>,
    /// `readOnly`.
    pub read_only: bool,
    /// `mountPropagation`.
    pub propagation: Propagation,
}

/// Whom a probe or a hook asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A command in the container: success is exit code 0.
    Exec {
        /// In which.
        id: ContainerId,
        /// The command.
        command: Vec<String>,
    },
    /// A GET: success is a status from 200 to 399. `https` does not check certificates, as in
    /// Kubernetes.
    Http {
        /// Address.
        host: String,
        /// Port.
        port: u16,
        /// Path with query.
        path: String,
        /// Over TLS.
        https: bool,
        /// Headers; `Host` replaces the address in the request.
        headers: Vec<(String, String)>,
    },
    /// A question by gRPC's health checking protocol: success is that the service serves.
    Grpc {
        /// Address.
        host: String,
        /// Port.
        port: u16,
        /// Which service of the server; the server itself where it is empty.
        service: String,
    },
    /// A connection that is accepted.
    Tcp {
        /// Address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Nothing but time (hooks alone).
    Sleep(Duration),
}

/// What an operation gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// It is done.
    Done,
    /// The image, which was there.
    Image(ImageInfo),
    /// The image, which was pulled in this time.
    Pulled(ImageInfo, Duration),
    /// The sandbox runs.
    Sandbox {
        /// Its id.
        id: ContainerId,
        /// The pod's address; `None` where the engine gives none.
        ip: Option<std::net::IpAddr>,
    },
    /// The container is made.
    Created {
        /// Its id.
        id: ContainerId,
    },
    /// What the engine says; `None` if it is gone.
    Inspected(Option<Box<ContainerInfo>>),
    /// A probe's result.
    Probe {
        /// Whether it succeeded.
        ok: bool,
        /// What was seen, for people; without Secret values.
        message: String,
    },
    /// Lines of output, oldest first.
    Logs(Vec<String>),
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The runtime said so.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A volume cannot be made: what it names is missing or unfit. The message has no values.
    #[error("{0}")]
    Volume(String),
    /// A token for one of its volumes is not given. The message has no values.
    #[error("{message}")]
    Token {
        /// Why.
        message: String,
        /// Whether the cause lies outside of what the pod says.
        outside: bool,
    },
    /// The pod cannot be put on its network.
    #[error("{0}")]
    Network(String),
    /// A hook failed.
    #[error("{0}")]
    Hook(String),
    /// The operation ran into a fault of this program or was cut off by its end.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// Whether the cause lies outside of what the pod says.
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Runtime(e) => e.is_outside(),
            Self::Token { outside, .. } => *outside,
            _ => false,
        }
    }
}

/// What the logic is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What the disk holds; the first input of all, also when it holds nothing.
    Restored(Box<Journal>),
    /// A session with the server is open; a full assignment will follow.
    SessionOpened,
    /// The session is over.
    SessionClosed,
    /// The server says.
    Server(ToAgent),
    /// An operation ended.
    Done {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Output, Failure>,
    },
    /// Every container that carries this cluster's label, running or not.
    Listing {
        /// Which operation.
        op: OpId,
        /// The containers, or why they cannot be listed.
        result: Result<Vec<ContainerInfo>, RuntimeError>,
    },
    /// The engine reports an event of a container with this cluster's label.
    Event(RuntimeEvent),
    /// The engine answers and its events are followed from now on; a listing will be asked for.
    EngineUp,
    /// The engine does not answer, or its stream of events was cut off.
    EngineDown {
        /// What was said.
        message: String,
    },
    /// The node itself changed: what is measured outside of the logic.
    Node(Box<NodeReport>),
    /// The kernel follows [`Command::Network`] of this number, and all before it.
    NetworkApplied {
        /// [`NetworkUpdate::number`].
        number: u64,
    },
    /// The node serves [`Command::Ingresses`] of this number, and all before it.
    IngressesServed {
        /// [`IngressUpdate::number`].
        number: u64,
    },
    /// Somebody else changed the node's network, and it was put right.
    NetworkDrift {
        /// What happened, for people.
        message: String,
    },
    /// The caller's clock jumped by so much, forwards or back, and the time of this step is the new
    /// one: the machine slept, or its clock was set. Waits keep their length.
    ClockMoved {
        /// Milliseconds.
        millis: i64,
    },
    /// Time passed: `next_wake` is reached.
    Wake,
}

/// Labels that every container of a cluster carries, beside those of its pod.
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    [(super::labels::CLUSTER.to_owned(), cluster.to_owned())].into()
}
