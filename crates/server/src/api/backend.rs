//! The seam between the API and the rest of the server: all that a request can reach.
//!
//! The host implements [`Backend`]; tests of the API have a fake. Deliberately not here: anything
//! of HTTP.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use evenkeel_core::{
    Answer, Ask, Refusal,
    scheduler::rebalance::{Rebalance, Wish},
};
use evenkeel_model::{Object, Snapshot, SourceName, Time};
use evenkeel_wire::{
    stream::{CallerEnd, StreamError, StreamRequest},
    usage::{NodeUsage, UsageRequest},
};
use futures_util::Stream;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;

use super::live::Live;

/// A boxed future, so that `dyn Backend` works.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A container's output as it comes, in whole or in part lines.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// What the API needs of the server.
pub trait Backend: Send + Sync + 'static {
    /// The last committed view, and the changes that led to it.
    fn live(&self) -> &Live;

    /// Puts a question to the conductor. The answer comes after what it changed is durable and
    /// published in [`Backend::live`].
    fn ask(&self, ask: Ask, user: String) -> Later<Result<Answer, AskError>>;

    /// A container's output, from the node that its pod is on.
    fn logs(&self, request: LogRequest) -> Later<Result<LogStream, StreamError>>;

    /// Opens a stream to something of a pod that is bound to a node: a command, a process, a port.
    fn open(&self, pod: Arc<Object>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>>;

    /// Opens a stream to a node that is about no pod.
    fn open_node(&self, node: Arc<str>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>>;

    /// What a node and its containers use now.
    fn usage(&self, node: Arc<str>, request: UsageRequest) -> Later<Result<NodeUsage, StreamError>>;

    /// Runs the auditor over the world and the agents' last reports. The JSON answer is
    /// `{"violations": [{"promise", "object", "message"}…], "objects": n}`.
    fn audit(&self) -> Later<Result<Value, AskError>>;

    /// Which pods would be better off elsewhere, as the world is now.
    fn rebalance(&self, wish: Wish) -> Later<Result<Rebalance, AskError>>;

    /// A revision of a source, read and parsed by its follower, for a diff.
    fn snapshot(&self, source: SourceName, revision: String) -> Later<Result<Arc<Snapshot>, SnapshotError>>;

    /// The source shall look now; without waiting.
    fn nudge(&self, source: &SourceName);

    /// How the conductor's loop does.
    fn health(&self) -> Health;

    /// What is to be said of the server as a whole.
    fn conditions(&self) -> Vec<ServerCondition>;

    /// Makes a backup of database, CA and keys, and begins to send it.
    fn backup(&self) -> Later<Result<Download, BackupError>>;
}

/// Something about the server as a whole: `True` or `False`, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCondition {
    /// As `BackedUp`.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: bool,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl ServerCondition {
    /// A condition.
    pub fn new(kind: &'static str, status: bool, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, status, reason: reason.into(), message: message.into() }
    }
}

/// A backup file on its way.
#[derive(Debug)]
pub struct Download {
    /// Bytes of it.
    pub length: u64,
    /// A name for it.
    pub name: String,
    /// The file, in pieces. It ends early where the server cannot go on.
    pub body: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// Why there is no backup.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackupError {
    /// One is being sent.
    #[error("another backup is under way")]
    Busy,
    /// No room for the copy of the database that is sent.
    #[error("the server has no room for the copy that a backup is sent from: {0}")]
    DiskFull(String),
    /// Anything else.
    #[error("no backup can be made: {0}")]
    Failed(String),
}

/// How the conductor's loop does: what `/livez` and `/readyz` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// For how long the batch under way has been running; `None` if it is idle.
    pub batch: Option<Duration>,
    /// For how long the oldest event has been waiting; `None` if none waits.
    pub waiting: Option<Duration>,
    /// Whether what the store held was loaded, so that lists are whole.
    pub loaded: bool,
    /// Whether the world waits for what agents know.
    pub recovering: bool,
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// The conductor said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The channel of events is full.
    #[error("the server is busy: its queue of events is full")]
    Busy,
    /// The disk is full: reads only.
    #[error("the server's disk is full: it answers reads and refuses writes")]
    DiskFull,
    /// The server is stopping, or starting again.
    #[error("the server is stopping")]
    Stopped,
    /// This very request made the conductor fail; everything else goes on.
    #[error("the server failed on this request; its log has the reason")]
    Panicked,
}

/// Whose output, and how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRequest {
    /// The Pod as it is in the view: bound to a node.
    pub pod: Arc<Object>,
    /// A container of its specification, init containers included.
    pub container: String,
    /// Wait for more.
    pub follow: bool,
    /// The run before the current one.
    pub previous: bool,
    /// RFC 3339 time stamps before the lines.
    pub timestamps: bool,
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    /// Only from then on.
    pub since: Option<Time>,
    /// End after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a revision could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The source, or the revision in it, does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Its documents do not pass the checks.
    #[error("the revision's documents do not pass the checks")]
    Invalid(Vec<evenkeel_model::Diagnostic>),
    /// It cannot be reached.
    #[error("the source cannot be read: {0}")]
    Away(String),
}
