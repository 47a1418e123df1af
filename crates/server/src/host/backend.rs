//! What the API reaches of the host.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use evenkeel_audit::{AppliedSource, Input, State};
use evenkeel_core::{
    Answer, Ask, World,
    scheduler::rebalance::{self, Rebalance, Wish},
};
use evenkeel_model::{Kind, Object, Snapshot, SourceName, Time};
use evenkeel_wire::{
    stream::{CallerEnd, StreamError, StreamRequest},
    usage::{NodeUsage, UsageRequest},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{Host, Message, Question, Shared, streams};
use crate::api::{
    AskError, Backend, BackupError, Download, Health, Later, LogRequest, LogStream, ServerCondition, SnapshotError,
    live::Live,
};

/// How the containers of one node are reached beside its session.
pub trait NodeAccess: Send + Sync + 'static {
    /// Opens a stream to the node. What the node itself has against the request is the stream's
    /// first message; an error here means that it could not be asked.
    fn open(&self, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>>;
}

/// Puts a question into the conductor's queue and waits for its answer.
pub(super) async fn ask(shared: &Shared, ask: Ask, user: String) -> Result<Answer, AskError> {
    let (reply, answer) = oneshot::channel();
    match shared.queue.try_send(Message::Question(Box::new(Question { ask, user, reply }))) {
        Ok(()) => answer.await.unwrap_or(Err(AskError::Stopped)),
        Err(TrySendError::Full(_)) => Err(AskError::Busy),
        Err(TrySendError::Closed(_)) => Err(AskError::Stopped),
    }
}

/// A copy of the world as it is, and its time: for what would hold up the conductor.
pub(super) async fn world(shared: &Shared) -> Result<(Box<World>, Time), AskError> {
    let (reply, answer) = oneshot::channel();
    shared.queue.try_send(Message::World(reply)).map_err(|e| match e {
        TrySendError::Full(_) => AskError::Busy,
        TrySendError::Closed(_) => AskError::Stopped,
    })?;
    answer.await.map_err(|_| AskError::Stopped)
}

/// Runs the auditor over the world and what the agents reported last (the pods' statuses).
fn audit_world(world: &World, now: Time) -> Value {
    let objects: Vec<Object> = world.all().map(|o| Object::clone(o)).collect();
    let sources: Vec<AppliedSource> = world
        .list(Kind::Source, "")
        .filter_map(|s| {
            let docs = &world.desired.applied(&s.key.name)?.docs;
            Some(AppliedSource { source: s.key.name.to_string(), keys: docs.iter().map(|d| d.key.clone()).collect() })
        })
        .collect();
    let state = State { objects: &objects, nodes: &[] };
    let findings = evenkeel_audit::audit(&Input { now, state, sources: &sources, ..Input::default() });
    let violations: Vec<Value> = findings
        .iter()
        .map(|f| {
            json!({"promise": f.promise.number(), "severity": f.severity, "object": f.object, "message": f.message})
        })
        .collect();
    json!({"violations": violations, "objects": objects.len(), "text": evenkeel_audit::render(&findings)})
}

impl Backend for Host {
    fn live(&self) -> &Live {
        &self.shared.live
    }

    fn ask(&self, question: Ask, user: String) -> Later<Result<Answer, AskError>> {
        let shared = self.shared.clone();
        Box::pin(async move { ask(&shared, question, user).await })
    }

    fn logs(&self, request: LogRequest) -> Later<Result<LogStream, StreamError>> {
        let shared = self.shared.clone();
        Box::pin(async move { streams::logs(&shared, request).await })
    }

    fn open(&self, pod: Arc<Object>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let shared = self.shared.clone();
        Box::pin(async move { streams::open_at_pod(&shared, &pod, request).await })
    }

    fn open_node(&self, node: Arc<str>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let shared = self.shared.clone();
        Box::pin(async move { streams::open(&shared, &node, request).await })
    }

    fn usage(&self, node: Arc<str>, request: UsageRequest) -> Later<Result<NodeUsage, StreamError>> {
        let shared = self.shared.clone();
        Box::pin(async move { streams::usage(&shared, &node, request).await })
    }

    fn audit(&self) -> Later<Result<Value, AskError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let (world, now) = world(&shared).await?;
            let audited = tokio::task::spawn_blocking(move || audit_world(&world, now));
            audited.await.map_err(|_| AskError::Panicked)
        })
    }

    fn rebalance(&self, wish: Wish) -> Later<Result<Rebalance, AskError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let (world, now) = world(&shared).await?;
            let planned = tokio::task::spawn_blocking(move || rebalance::plan(&world, &wish, now));
            planned.await.map_err(|_| AskError::Panicked)?.map_err(AskError::Refused)
        })
    }

    fn snapshot(&self, source: SourceName, revision: String) -> Later<Result<Arc<Snapshot>, SnapshotError>> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.followers.snapshot(&source, &revision).await })
    }

    fn nudge(&self, source: &SourceName) {
        self.shared.followers.nudge(source);
    }

    fn conditions(&self) -> Vec<ServerCondition> {
        let pulse = &self.shared.pulse;
        let mut out = Vec::new();
        if pulse.recovering.load(Ordering::Acquire) {
            let message = "the database was lost or restored: nothing is created or removed until every known node \
                           has reported, or the wait is over (--recovery-wait)";
            out.push(ServerCondition::new("Recovering", true, "WaitingForNodes", message));
        }
        let newer = pulse.newer.load(Ordering::Acquire);
        if newer != 0 {
            let message = format!(
                "a node has obeyed a newer store (epoch {newer}): this is the server from before a restore, and agents \
                 refuse it. Stop it; if it is the one that shall lead, restore its backup once more, with the clock right"
            );
            out.push(ServerCondition::new("Outdated", true, "NewerServer", message));
        }
        if pulse.disk_full.load(Ordering::Acquire) {
            let message = "the disk of the data directory is full: reads are answered, writes refused";
            out.push(ServerCondition::new("DiskFull", true, "NoRoom", message));
        }
        out.push(self.shared.backups.condition());
        out
    }

    fn backup(&self) -> Later<Result<Download, BackupError>> {
        Box::pin(self.shared.backups.clone().download())
    }

    fn health(&self) -> Health {
        let pulse = &self.shared.pulse;
        let since = |begin: &AtomicU64| match begin.load(Ordering::Acquire) {
            0 => None,
            millis => Some(self.shared.begun.elapsed().saturating_sub(Duration::from_millis(millis))),
        };
        // While the conductor runs, an event waits no longer than the batch under way.
        let (batch, waiting) = (since(&pulse.batch_since), since(&pulse.down_since));
        let (loaded, recovering) = (pulse.loaded.load(Ordering::Acquire), pulse.recovering.load(Ordering::Acquire));
        Health { batch, waiting, loaded, recovering }
    }
}
