//! The node's network as one thing: takes what the server says, in its order, brings the kernel
//! there, plugs pods in, and keeps all of it so.
//!
//! One task (`task`, with `sandboxes` for pods and `rules` for Services) does everything in turn; this is
//! its front. What was merged of the server's words is in `known`, which `keep` brings to the disk, who has which address in `given`, addresses of pools are announced by `announce`, names are answered by `names`, changes
//! that others make to links and routes are told by `watch` and put right by `look`, `troubles` tells what cannot be. The driver of the agent owns it. Deliberately not here: pods' life, and which pod is on this node.

mod announce;
mod balance;
pub mod checkpoint;
mod down;
mod firewall;
mod given;
mod keep;
mod known;
mod links;
mod look;
mod names;
mod rules;
mod sandboxes;
mod task;
mod tell;
#[cfg(test)]
mod tests;
mod troubles;
mod watch;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_model::{
    Uid,
    net::{BalancedPorts, NetworkTrouble, NetworkUpdate, PortId, PortProtocol},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch as channel};

use crate::{
    link::{KernelError, ipam::IpamError, netns::SandboxError},
    nft::ServicesError,
};

pub use self::{
    down::{DownError, down},
    known::Known,
};

/// Questions that wait for the task; who asks beyond that waits, too.
const ASKS: usize = 256;
/// How long a pod waits for the network to be known: a session with the server begins with it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Files in the agent's folder.
const KNOWN: &str = "network.json";
const ADDRESSES: &str = "addresses.json";

/// Which network pods get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// An own one where this process may make it and the server gave the node a range, else the
    /// container engine's.
    #[default]
    Auto,
    /// An own one or none.
    Own,
    /// The container engine's default network.
    Engine,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "own" => Ok(Self::Own),
            "engine" => Ok(Self::Engine),
            other => Err(format!("`{other}` is none of auto, own, engine")),
        }
    }
}

/// Whose network it is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster's id.
    pub cluster: String,
    /// The node's name.
    pub node: Arc<str>,
    /// The node's address, as this agent knows it.
    pub address: Option<IpAddr>,
    /// The agent's folder; it is there.
    pub dir: PathBuf,
    /// Which network pods get.
    pub choice: Choice,
    /// Whether the container engine numbers processes otherwise than this process: pods cannot be found
    /// by these, then.
    pub engine_elsewhere: bool,
    /// Ports of the node that are the agent's own, with what for: no LoadBalancer gets them.
    pub reserved: BTreeMap<PortId, String>,
    /// Hears what others did to the network behind the agent's back; what it does not take is only
    /// logged.
    pub drifts: mpsc::Sender<Drift>,
}

/// Something of the node's network was changed by somebody else, and put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What happened, for people.
    pub message: String,
}

/// What the network is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known of it yet.
    Waiting,
    /// Pods get the engine's network, for this reason.
    Engine(String),
    /// Pods get addresses of the node's range.
    Own,
    /// Pods cannot be made, for this reason.
    Refused(String),
}

/// What a pod on the network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub address: Ipv4Addr,
    /// How it resolves names.
    pub names: ClusterNames,
}

/// Names in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNames {
    /// Address of the cluster's name server.
    pub dns: IpAddr,
    /// The cluster's domain.
    pub domain: String,
}

/// A sandbox that runs and is to be plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its pod.
    pub pod: Uid,
    /// The pod's namespace and name, for people.
    pub title: String,
    /// Its process.
    pub pid: u32,
    /// `net.*` kernel parameters that the pod asks for.
    pub parameters: Vec<(String, String)>,
    /// Ports of the node that lead to it.
    pub ports: Vec<PodPort>,
}

/// A port of the node that leads to a pod (`hostPort`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodPort {
    /// `hostIP`; `None` for all of the node's addresses and its localhost.
    pub host_address: Option<Ipv4Addr>,
    /// `hostPort`.
    pub host_port: u16,
    /// Protocol.
    pub protocol: PortProtocol,
    /// `containerPort`.
    pub port: u16,
}

/// A pod cannot be on the network.
#[derive(Debug, Error)]
pub enum PlaneError {
    /// The pod network cannot be used.
    #[error("the pod network cannot be used: {0}")]
    Refused(String),
    /// The server has not said anything of it.
    #[error(
        "this node has no range of addresses for pods yet: no server has said one in {} s",
        PATIENCE.as_secs()
    )]
    Unknown,
    /// No address.
    #[error(transparent)]
    Address(#[from] IpamError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The kernel.
    #[error("the pod cannot be plugged in: {0}")]
    Kernel(#[from] KernelError),
    /// Its ports of the node.
    #[error("the pod's hostPort cannot be opened: {0}")]
    Ports(#[from] ServicesError),
    /// The agent ends.
    #[error("the agent is stopping")]
    Stopping,
}

/// What the server says, or that it says nothing any more.
enum Said {
    Update(Arc<NetworkUpdate>),
    Away,
}

/// What the task is asked.
enum Ask {
    Said(Said),
    Lease { pod: Uid, answer: oneshot::Sender<Result<Lease, PlaneError>> },
    Links { namespace: String, all: bool, answer: oneshot::Sender<Result<Vec<(String, String)>, PlaneError>> },
    Names { answer: oneshot::Sender<Result<ClusterNames, PlaneError>> },
    Ways { answer: oneshot::Sender<Result<checkpoint::Between, PlaneError>> },
    Plug { sandbox: Sandbox, answer: oneshot::Sender<Result<Ipv4Addr, PlaneError>> },
    Found(Vec<Sandbox>),
    Forget(Uid),
}

/// The node's network. Cheap to clone; its task ends with the last one.
#[derive(Debug, Clone)]
pub struct Plane {
    asks: mpsc::Sender<Ask>,
    status: channel::Receiver<Status>,
    applied: channel::Receiver<u64>,
    balanced: channel::Receiver<BalancedPorts>,
    troubles: channel::Receiver<Vec<NetworkTrouble>>,
    addresses: Addresses,
}

/// Addresses of pods, for whoever asks while the task is busy.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<BTreeMap<Uid, Ipv4Addr>>>);

impl Addresses {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Uid, Ipv4Addr>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, pod: Uid) -> Option<Ipv4Addr> {
        self.with(|all| all.get(&pod).copied())
    }
}

type ToAnnounce = channel::Receiver<announce::Wanted>;

impl Plane {
    /// Starts it with what is on disk. Fails where the pods' addresses cannot be read.
    pub fn start(settings: Settings) -> Result<Self, IpamError> {
        let drifts = settings.drifts.clone();
        let (plane, task, asks, announced) = Self::made(settings)?;
        tokio::spawn(announce::run(announced, drifts));
        tokio::spawn(task.run(asks));
        Ok(plane)
    }

    /// Its parts: what its two tasks are made of.
    fn made(settings: Settings) -> Result<(Self, task::Task, mpsc::Receiver<Ask>, ToAnnounce), IpamError> {
        let (asks, receive) = mpsc::channel(ASKS);
        let (status, of_status) = channel::channel(Status::Waiting);
        let (applied, of_applied) = channel::channel(0);
        let (balanced, of_balanced) = channel::channel(BalancedPorts::default());
        let (troubles, of_troubles) = troubles::Troubles::new();
        let addresses = Addresses::default();
        let (announced, of_announced) = channel::channel(announce::Wanted::default());
        let says = tell::Says { status, applied, balanced, announced, troubles, addresses: addresses.clone() };
        let task = task::Task::new(settings, says)?;
        let plane = Self {
            asks,
            status: of_status,
            applied: of_applied,
            balanced: of_balanced,
            troubles: of_troubles,
            addresses,
        };
        Ok((plane, task, receive, of_announced))
    }

    /// Takes what the server said; [`Plane::applied`] tells when the kernel follows it.
    pub async fn update(&self, update: Arc<NetworkUpdate>) {
        // Gone only at the agent's end.
        let _ = self.asks.send(Ask::Said(Said::Update(update))).await;
    }

    /// The session with the server ended: what it said may not be so any more.
    pub async fn away(&self) {
        // Gone only at the agent's end.
        let _ = self.asks.send(Ask::Said(Said::Away)).await;
    }

    /// The number of the last update that the kernel follows; 0 before the first. It changes with each
    /// that is followed, also where two have the same number.
    pub fn applied(&self) -> channel::Receiver<u64> {
        self.applied.clone()
    }

    /// What the network is at.
    pub fn status(&self) -> channel::Receiver<Status> {
        self.status.clone()
    }

    /// What became of the node's ports for which LoadBalancers ask.
    pub fn balanced(&self) -> channel::Receiver<BalancedPorts> {
        self.balanced.clone()
    }

    /// What is wrong with the network and lasts.
    pub fn troubles(&self) -> channel::Receiver<Vec<NetworkTrouble>> {
        self.troubles.clone()
    }

    /// What a new pod has on the network; waits for it to be known. `None` where pods get the engine's.
    pub async fn lease(&self, pod: Uid) -> Result<Option<Lease>, PlaneError> {
        if self.is_own().await? { self.ask(|answer| Ask::Lease { pod, answer }).await.map(Some) } else { Ok(None) }
    }

    /// How names of the cluster are resolved; `None` where pods get the engine's network.
    pub async fn names(&self) -> Result<Option<ClusterNames>, PlaneError> {
        if self.is_own().await? { self.ask(|answer| Ask::Names { answer }).await.map(Some) } else { Ok(None) }
    }

    /// How the pods of other nodes are reached, as the kernel was told.
    pub async fn ways(&self) -> Result<checkpoint::Between, PlaneError> {
        self.ask(|answer| Ask::Ways { answer }).await
    }

    /// Variables by which a container of a namespace finds the API and, if `all`, its Services, as they are
    /// now; none where pods get the engine's network.
    pub async fn links(&self, namespace: &str, all: bool) -> Result<Vec<(String, String)>, PlaneError> {
        let namespace = namespace.to_owned();
        if self.is_own().await? {
            self.ask(|answer| Ask::Links { namespace, all, answer }).await
        } else {
            Ok(Vec::new())
        }
    }

    /// Whether pods get a network of the node's own, once that is known.
    async fn is_own(&self) -> Result<bool, PlaneError> {
        let mut status = self.status.clone();
        let known = tokio::time::timeout(PATIENCE, status.wait_for(|s| *s != Status::Waiting)).await;
        match known.map(|s| s.map(|s| s.clone())) {
            Err(_) => Err(PlaneError::Unknown),
            Ok(Err(_)) => Err(PlaneError::Stopping),
            Ok(Ok(Status::Engine(_))) => Ok(false),
            Ok(Ok(Status::Refused(why))) => Err(PlaneError::Refused(why)),
            Ok(Ok(Status::Own | Status::Waiting)) => Ok(true),
        }
    }

    /// Plugs a sandbox in that was made with [`Plane::lease`], and waits for it to have left the
    /// machine's network before.
    pub async fn plug(&self, sandbox: Sandbox) -> Result<Ipv4Addr, PlaneError> {
        // Waited for here, so that a slow one holds nobody else up.
        crate::link::netns::own_network(sandbox.pid).await?;
        self.ask(|answer| Ask::Plug { sandbox, answer }).await
    }

    /// Tells of sandboxes that run: those that lack their link are plugged in again.
    pub async fn found(&self, sandboxes: Vec<Sandbox>) {
        let _ = self.asks.send(Ask::Found(sandboxes)).await;
    }

    /// A pod is gone for good, and its address free.
    pub async fn forget(&self, pod: Uid) {
        let _ = self.asks.send(Ask::Forget(pod)).await;
    }

    /// The address of a pod that has one.
    pub fn address_of(&self, pod: Uid) -> Option<Ipv4Addr> {
        self.addresses.of(pod)
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, PlaneError>>) -> Ask) -> Result<T, PlaneError> {
        let (answer, receive) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| PlaneError::Stopping)?;
        receive.await.map_err(|_| PlaneError::Stopping)?
    }
}
