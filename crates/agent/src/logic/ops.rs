//! Operations under way, and what a pod's machine has at hand while it decides.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_model::{Time, Uid};
use evenkeel_runtime::ContainerId;
use evenkeel_wire::ContainerDrift;

use super::{
    command::{Command, OpId, Work},
    drift::DriftBook,
    happened::Happened,
    settings::{Config, LATE, Settings},
    shift::shift,
};

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

/// What an operation is for. Numbers are places in the pod's list of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Volumes,
    RemoveVolumes,
    Sandbox,
    FixSandbox,
    Garbage(ContainerId),
    Image(usize),
    Create(usize),
    Start(usize),
    PostStart(usize),
    PreStop(usize),
    Stop(usize),
    Inspect(usize),
    CheckLimits(usize),
    Probe(usize, ProbeKind),
    Tail(usize),
    Fix(usize, super::pod::container::Fix),
    /// Given up; what it still makes is removed.
    Late,
}

/// An operation whose end is awaited.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub pod: Uid,
    pub purpose: Purpose,
    pub deadline: Time,
}

/// All operations under way.
#[derive(Debug, Default)]
pub(super) struct Ops {
    last: u64,
    pending: BTreeMap<OpId, Pending>,
}

impl Ops {
    pub(super) fn next_id(&mut self) -> OpId {
        self.last += 1;
        OpId(self.last)
    }

    /// The last one that was begun.
    pub(super) fn newest(&self) -> OpId {
        OpId(self.last)
    }

    pub(super) fn take(&mut self, op: OpId) -> Option<Pending> {
        self.pending.remove(&op)
    }

    /// Operations whose deadline has passed, as they are given up. What may still make something
    /// stays known for a while.
    pub(super) fn overdue(&mut self, now: Time) -> Vec<(OpId, Pending)> {
        let late: Vec<OpId> = self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(op, _)| *op).collect();
        let mut out = Vec::new();
        for op in late {
            let Some(pending) = self.pending.remove(&op) else { continue };
            if matches!(pending.purpose, Purpose::Sandbox | Purpose::Create(_)) {
                let kept = Pending { pod: pending.pod, purpose: Purpose::Late, deadline: now + LATE };
                self.pending.insert(op, kept);
            }
            if pending.purpose != Purpose::Late {
                out.push((op, pending));
            }
        }
        out
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        self.pending.values_mut().for_each(|p| shift(&mut p.deadline, millis));
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.pending.values().map(|p| p.deadline).min()
    }
}

/// What a pod's machine has at hand.
pub(super) struct Cx<'a> {
    pub now: Time,
    pub config: &'a Config,
    /// Whether the engine answers: without it nothing is begun.
    pub engine: bool,
    /// Whether it was away since the last comparison: how a run ended is that one's to say.
    pub lost: bool,
    pub allocatable: &'a BTreeMap<String, String>,
    pub ops: &'a mut Ops,
    pub out: &'a mut Vec<Command>,
    pub drifts: &'a mut DriftBook,
    pub happened: &'a mut Happened,
}

impl Cx<'_> {
    pub(super) fn settings(&self) -> &Settings {
        &self.config.settings
    }

    /// The last operation that was begun: whatever is asked for from now on has a higher number.
    pub(super) fn newest(&self) -> OpId {
        self.ops.newest()
    }

    /// Takes a drift in that was just seen.
    pub(super) fn drift(&mut self, drift: ContainerDrift) {
        self.drifts.record(self.now, self.ops.newest(), &self.config.settings, drift);
    }

    /// Begins an operation; `limit` is what it is told to take itself, if anything.
    pub(super) fn run(&mut self, pod: Uid, purpose: Purpose, work: Work) -> OpId {
        let s = &self.config.settings;
        let limit = match &work {
            Work::EnsureImage { .. } => s.pull_limit,
            Work::Stop { grace, .. } => *grace + s.op_slack,
            Work::Probe { timeout, .. } | Work::Hook { timeout, .. } => *timeout + s.op_slack,
            _ => s.engine_limit,
        };
        let op = self.ops.next_id();
        self.ops.pending.insert(op, Pending { pod, purpose, deadline: self.now + limit });
        self.out.push(Command::Run { op, pod, work });
        op
    }
}

/// The next wait of a back-off that doubles.
pub(super) fn doubled(last: Duration, first: Duration, max: Duration) -> Duration {
    if last.is_zero() { first } else { (last * 2).min(max) }
}
