//! Drifts of containers on their way to the server. The end of a run is held back for a moment, so
//! that the events which follow tell its kind, and then until the engine has answered a question
//! that is younger than it: an engine that shuts down takes no more questions before it stops its
//! containers, one by one and over many seconds, and that is nobody's drift.

use std::collections::VecDeque;

use evenkeel_model::{Time, Uid};
use evenkeel_wire::{ContainerDrift, DriftAction};

use super::{
    command::OpId,
    settings::{MAX_DRIFTS, Settings},
    shift::shift,
};

#[derive(Debug)]
struct Held {
    due: Time,
    /// The last operation before it was seen.
    since: OpId,
    drift: ContainerDrift,
    healed: bool,
}

/// Drifts seen and not yet told.
#[derive(Debug, Default)]
pub(super) struct DriftBook {
    held: Vec<Held>,
    ready: VecDeque<ContainerDrift>,
}

fn ends_a_run(action: DriftAction) -> bool {
    matches!(action, DriftAction::Stopped | DriftAction::Killed | DriftAction::Removed)
}

impl DriftBook {
    /// Takes a drift in. Only the end of a run is held: of other acts there is nothing more to learn.
    /// `newest`: the last operation that was begun.
    pub(super) fn record(&mut self, now: Time, newest: OpId, settings: &Settings, drift: ContainerDrift) {
        if !ends_a_run(drift.action) {
            return self.tell(drift);
        }
        self.held.retain(|h| !(same(&h.drift, &drift) && h.drift.action == drift.action));
        self.held.push(Held { due: now + settings.drift_hold, since: newest, drift, healed: false });
    }

    /// A later event tells more of what ended a container.
    pub(super) fn upgrade(&mut self, pod: Uid, container: Option<&str>, action: DriftAction) {
        let of = |h: &&mut Held| h.drift.pod == pod && h.drift.container.as_deref() == container;
        if let Some(h) = self.held.iter_mut().find(of) {
            h.drift.action = action;
        }
    }

    /// The agent has put a drift right: told after the drift itself, as a record of its own.
    pub(super) fn healed(&mut self, mut drift: ContainerDrift) {
        let waiting = self.held.iter_mut().find(|h| same(&h.drift, &drift) && ends_a_run(drift.action));
        if let Some(h) = waiting {
            h.healed = true;
        } else {
            drift.healed = true;
            self.tell(drift);
        }
    }

    /// The engine went away: what ended since was the engine's doing.
    /// Gives the drifts that were none.
    pub(super) fn engine_down(&mut self) -> Vec<ContainerDrift> {
        std::mem::take(&mut self.held).into_iter().map(|held| held.drift).collect()
    }

    /// Whether the end of a pod's sandbox is not told yet.
    pub(super) fn holds_sandbox_of(&self, pod: Uid) -> bool {
        self.held.iter().any(|h| h.drift.pod == pod && h.drift.container.is_none())
    }

    /// Whether one was held long enough, and waits for an answer of the engine alone.
    pub(super) fn waits_for_the_engine(&self, now: Time) -> bool {
        self.held.iter().any(|h| h.due <= now)
    }

    /// The engine has answered `asked`. Moves what was held long enough, and is older than that
    /// question, to what is told; gives their pods.
    pub(super) fn answered(&mut self, now: Time, asked: OpId) -> Vec<Uid> {
        let (told, rest): (Vec<Held>, _) =
            std::mem::take(&mut self.held).into_iter().partition(|h: &Held| h.due <= now && h.since < asked);
        self.held = rest;
        let pods = told.iter().map(|h| h.drift.pod).collect();
        for Held { drift, healed, .. } in told {
            self.tell(drift.clone());
            if healed {
                self.tell(ContainerDrift { healed, ..drift });
            }
        }
        pods
    }

    fn tell(&mut self, drift: ContainerDrift) {
        if self.ready.len() >= MAX_DRIFTS {
            self.ready.pop_front();
        }
        self.ready.push_back(drift);
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        for held in &mut self.held {
            shift(&mut held.due, millis);
        }
    }

    /// When the next one after `now` has been held long enough.
    pub(super) fn wake(&self, now: Time) -> Option<Time> {
        self.held.iter().map(|h| h.due).filter(|due| *due > now).min()
    }

    pub(super) fn take(&mut self) -> Vec<ContainerDrift> {
        self.ready.drain(..).collect()
    }

    pub(super) fn give_back(&mut self, drifts: Vec<ContainerDrift>) {
        for drift in drifts.into_iter().rev() {
            if self.ready.len() < MAX_DRIFTS {
                self.ready.push_front(drift);
            }
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

fn same(a: &ContainerDrift, b: &ContainerDrift) -> bool {
    a.pod == b.pod && a.container == b.container
}
