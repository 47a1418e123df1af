//! One container of a pod: its states, and the steps from one to the next.
//!
//! ```text
//! Waiting -> Fetching -> Fetched -> Creating -> Created -> Starting -> Running -> Ending -> Ended
//!    ^          |                      |                      |                              |
//!    +-- Held <-+----------------------+----------------------+------------------------------+
//! ```
//! `Held` is every wait with an end: back-off of pulls, of starts, of crashes, of contested heals.

use std::{collections::BTreeSet, time::Duration};

use evenkeel_model::{Time, podstatus::FailedStart};
use evenkeel_runtime::{ContainerId, ImageInfo};
use evenkeel_wire::ContainerDrift;
use k8s_openapi::api::core::v1::Container;

pub(in super::super) use super::super::journal::Fix;
use super::super::{command::OpId, journal::JournalContainer, ops::ProbeKind};

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Runs to its end before the next begins.
    Init,
    /// An init container that stays.
    Sidecar,
    /// An ordinary one.
    Main,
    /// Added to a pod that runs, to look into it: begun once, and nothing waits for it.
    Ephemeral,
}

/// Where its life is.
#[derive(Debug, Clone)]
pub(in super::super) enum State {
    /// Nothing is there and nothing is under way.
    Waiting,
    /// Its image is being had.
    Fetching(OpId),
    /// Its image is there.
    Fetched,
    /// Nothing until then.
    Held {
        until: Time,
        why: Why,
    },
    Creating(OpId),
    Created(ContainerId),
    Starting {
        op: OpId,
        id: ContainerId,
        /// Its end was told before its start.
        died: bool,
    },
    Running(Box<Run>),
    /// It ended; the engine is asked how, or will be when it answers.
    Ending {
        op: Option<OpId>,
        run: Box<Run>,
        died: Option<i32>,
        /// Not asked before.
        after: Time,
    },
    /// It ended, as the book says. `held`: someone ended it, and it is not to be healed.
    Ended {
        held: bool,
    },
}

/// Why a container waits, in Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Why {
    pub reason: String,
    pub message: String,
}

/// A container that runs.
#[derive(Debug, Clone)]
pub(in super::super) struct Run {
    pub id: ContainerId,
    /// When it began, as it is told.
    pub started: Time,
    /// The same by the agent's clock, which keeps the length of a run over a clock that is set.
    pub watched: Time,
    /// Its postStart hook is under way.
    pub post_start: Option<OpId>,
    pub stop: Option<Stop>,
    pub paused: bool,
    /// A signal that someone else sent through the engine.
    pub signal: Option<(Time, i32)>,
    /// When the engine told that memory ran out.
    pub oom: Option<Time>,
    /// A comparison found it dead or gone; the next one decides.
    pub suspect: bool,
    pub probes: Vec<Probing>,
}

impl Run {
    pub(in super::super) fn new(id: ContainerId, started: Time) -> Self {
        Self {
            id,
            started,
            watched: started,
            post_start: None,
            stop: None,
            paused: false,
            signal: None,
            oom: None,
            suspect: false,
            probes: Vec::new(),
        }
    }
}

/// A stop of the agent's own.
#[derive(Debug, Clone)]
pub(in super::super) struct Stop {
    pub why: StopWhy,
    pub step: Step,
    /// When the grace ends.
    pub until: Time,
}

/// Why the agent stops a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum StopWhy {
    /// The pod ends.
    Pod,
    /// It failed a probe or a hook; the message says which.
    Failed(String),
    /// Its pod changed.
    Changed,
    /// It must be made anew for a cause outside of it: the reason for the status.
    Disturbed(&'static str),
}

/// How far a stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Step {
    PreStop(OpId),
    Signal(OpId),
    /// It failed; killed at this time.
    Retry(Time),
}

/// One probe's state.
#[derive(Debug, Clone)]
pub(in super::super) struct Probing {
    pub kind: ProbeKind,
    pub next: Time,
    pub op: Option<OpId>,
    pub ok: u32,
    pub bad: u32,
    /// What it said when it failed last.
    pub message: String,
}

/// A container.
#[derive(Debug)]
pub(in super::super) struct Cont {
    pub spec: Container,
    pub kind: Kind,
    /// `spec-hash` of what it should be.
    pub wanted: String,
    pub state: State,
    pub book: JournalContainer,
    /// The last operation before the book had its id: a listing that was asked for earlier may not
    /// have it. A number, because a clock shows the same time twice.
    pub id_since: OpId,
    pub image: Option<ImageInfo>,
    /// Tries in a row that failed before it ran.
    pub failed: Option<FailedStart>,
    pub failed_message: String,
    /// Last wait after such a failure.
    pub retry: Duration,
    /// Last lines of its output when it failed.
    pub logs: Vec<String>,
    /// Times of heals, for contested ones.
    pub heals: Vec<Time>,
    /// Drifts that are not put right yet, by what would do it.
    pub open: Vec<(Fix, ContainerDrift)>,
    /// Fixes under way.
    pub fixing: BTreeSet<Fix>,
}

impl Cont {
    pub(in super::super) fn new(spec: Container, kind: Kind, wanted: String, book: JournalContainer) -> Self {
        Self {
            spec,
            kind,
            wanted,
            state: State::Waiting,
            book,
            id_since: OpId(0),
            image: None,
            failed: None,
            failed_message: String::new(),
            retry: Duration::ZERO,
            logs: Vec::new(),
            heals: Vec::new(),
            open: Vec::new(),
            fixing: BTreeSet::new(),
        }
    }

    pub(in super::super) fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(in super::super) fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }

    /// Whether nothing of it is alive or being made.
    pub(in super::super) fn quiet(&self) -> bool {
        matches!(
            self.state,
            State::Waiting | State::Held { .. } | State::Fetching(_) | State::Fetched | State::Ended { .. }
        )
    }

    /// Whether it is on its way up, so that the next one in order waits for it.
    pub(in super::super) fn coming_up(&self) -> bool {
        match &self.state {
            State::Fetching(_)
            | State::Fetched
            | State::Creating(_)
            | State::Created(_)
            | State::Starting { .. }
            | State::Waiting => true,
            State::Running(run) => run.post_start.is_some(),
            State::Held { .. } | State::Ending { .. } | State::Ended { .. } => false,
        }
    }

    /// Kubernetes' `started`: it runs, its hook is through and so is its startup probe.
    pub(in super::super) fn is_started(&self) -> bool {
        self.run().is_some_and(|r| r.post_start.is_none())
            && (self.spec.startup_probe.is_none() || self.book.startup_done)
    }

    /// Kubernetes' `ready`.
    pub(in super::super) fn is_ready(&self) -> bool {
        match self.kind {
            Kind::Init => self.book.completed,
            Kind::Ephemeral => false,
            Kind::Sidecar | Kind::Main => {
                self.is_started()
                    && self.run().is_some_and(|r| !r.paused)
                    && (self.spec.readiness_probe.is_none() || self.book.ready)
            }
        }
    }
}
