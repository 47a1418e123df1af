//! The agent's rim: runs the logic on a real node. It feeds inputs (engine, session, time, ends of
//! work), carries out commands, and decides nothing.
//!
//! One task owns the logic and takes one input after the other; work runs in tasks of its own.
//! Into that task go: the engine's follower (`engine`), the session's messages, ends of work, a
//! timer; out of it: work (`work`), the journal (`journal`), reports to the server. Deliberately
//! not here: how a session is authenticated and carried (whoever gives the [`Dial`]).

mod down;
mod engine;
mod exec;
pub(crate) mod files;
mod health;
mod images;
mod ingress;
mod journal;
mod logs;
mod machine;
mod names;
mod netcheck;
mod node;
mod orphans;
mod platform;
mod port;
mod probe;
pub mod redial;
mod run;
#[cfg(test)]
mod sample;
mod sandbox;
mod saving;
pub(crate) mod session;
mod steady;
mod streams;
mod usage;
mod volumes;
mod work;

use std::{future::Future, path::PathBuf, pin::Pin};

use evenkeel_model::Time;
use evenkeel_net::link::ipam::IpamError;
use evenkeel_wire::local::AgentEnd;
use thiserror::Error;

pub use evenkeel_net::plane::Choice;

pub use self::{
    down::{DownError, Removed, down},
    ingress::IngressSettings,
    journal::{JournalError, JournalStore},
    netcheck::NetHandle,
    node::{DEFAULT_MAX_PODS, NodeSettings},
    orphans::OrphansError,
    run::run,
    session::HEARTBEAT,
    streams::Streams,
    volumes::{VolumeError, Volumes},
};
use crate::logic::settings::Config;

/// What the driver is told.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// Who the agent is, and its times and bounds.
    pub logic: Config,
    /// The node that it reports.
    pub node: NodeSettings,
    /// The agent's folder, `<data>/agent`; made 0700 where missing.
    pub dir: PathBuf,
    /// Which network pods get.
    pub network: Choice,
    /// Whether the engine runs in another PID namespace than this process, so that pods cannot be put
    /// on a network of the agent's making.
    pub engine_elsewhere: bool,
    /// Where whoever checks the network finds it.
    pub net: NetHandle,
    /// How Ingresses are served; `None` where they are not.
    pub ingress: Option<IngressSettings>,
}

/// A session that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = Result<AgentEnd, DialError>> + Send>>;

/// Opens sessions with the server. The driver dials again, with back-off, whenever one ends.
pub trait Dial: Send + 'static {
    /// Opens one.
    fn dial(&mut self) -> Dialing;
}

impl<F: FnMut() -> Dialing + Send + 'static> Dial for F {
    fn dial(&mut self) -> Dialing {
        self()
    }
}

/// A session could not be opened.
#[derive(Debug, Error)]
#[error("cannot open a session with the server: {0}")]
pub struct DialError(pub String);

/// The agent cannot start.
#[derive(Debug, Error)]
pub enum DriverError {
    /// Its journal cannot be opened or read.
    #[error("the agent's journal cannot be used")]
    Journal(#[from] JournalError),
    /// Its folder of volumes cannot be made.
    #[error("the agent's volumes cannot be used")]
    Volumes(#[from] VolumeError),
    /// The pods' addresses cannot be read.
    #[error("the pod network cannot be used")]
    Network(#[from] IpamError),
    /// Ingresses cannot be served.
    #[error("Ingresses cannot be served")]
    Ingress(#[from] evenkeel_ingress::StartError),
    /// Nothing would be left for pods.
    #[error("{0}")]
    Reserve(String),
    /// A fault of this program.
    #[error("the agent stopped by a fault: {0}")]
    Fault(String),
}

/// The machine's clock: for what is compared with the engine's, which runs on the same machine.
pub(crate) fn clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}
