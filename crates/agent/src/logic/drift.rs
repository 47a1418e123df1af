//! Drifts of containers on their way to the server: held back for a moment, so that the events
//! which follow tell their kind, and dropped when it turns out that the engine itself went away.

use std::collections::{BTreeSet, VecDeque};

use evenkeel_model::{Time, Uid};
use evenkeel_runtime::ContainerId;
use evenkeel_wire::{ContainerDrift, DriftAction};

use super::{
    settings::{MAX_DRIFTS, Settings},
    shift::shift,
};

/// Kills within this many milliseconds belong together.
const HIT_WINDOW_MILLIS: i64 = 3000;

#[derive(Debug)]
struct Held {
    due: Time,
    first: Time,
    drift: ContainerDrift,
    healed: bool,
}

/// Drifts seen and not yet told.
#[derive(Debug, Default)]
pub(super) struct DriftBook {
    held: Vec<Held>,
    ready: VecDeque<ContainerDrift>,
    hits: Vec<(Time, ContainerId)>,
}

fn ends_a_run(action: DriftAction) -> bool {
    matches!(action, DriftAction::Stopped | DriftAction::Killed | DriftAction::Removed)
}

impl DriftBook {
    /// Takes a drift in. Only the end of a run is held: of other acts there is nothing more to learn.
    pub(super) fn record(&mut self, now: Time, settings: &Settings, drift: ContainerDrift) {
        if !ends_a_run(drift.action) {
            return self.tell(drift);
        }
        self.held.retain(|h| !(same(&h.drift, &drift) && h.drift.action == drift.action));
        self.held.push(Held { due: now + settings.drift_hold, first: now, drift, healed: false });
    }

    /// A later event tells more of what ended a container.
    pub(super) fn upgrade(&mut self, pod: Uid, container: Option<&str>, action: DriftAction) {
        let of = |h: &&mut Held| h.drift.pod == pod && h.drift.container.as_deref() == container;
        if let Some(h) = self.held.iter_mut().filter(|h| ends_a_run(h.drift.action)).find(of) {
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

    /// Someone signalled a container through the engine.
    pub(super) fn hit(&mut self, now: Time, id: &ContainerId) {
        self.hits.retain(|(at, other)| now.0 - at.0 <= HIT_WINDOW_MILLIS && other != id);
        self.hits.push((now, id.clone()));
    }

    /// The engine went away: what ended since was the engine's doing.
    /// Gives the drifts that were none.
    pub(super) fn engine_down(&mut self) -> Vec<ContainerDrift> {
        let (none, held) = std::mem::take(&mut self.held).into_iter().partition(|h| ends_a_run(h.drift.action));
        self.held = held;
        none.into_iter().map(|h: Held| h.drift).collect()
    }

    /// Moves what was held long enough to what is told. `alive` lists what runs now: when all that
    /// ran was hit at once, the engine may be shutting down, and the verdict waits.
    pub(super) fn tick(&mut self, now: Time, settings: &Settings, alive: impl FnOnce() -> BTreeSet<ContainerId>) {
        if self.held.iter().all(|h| h.due > now) {
            return;
        }
        let hit: BTreeSet<&ContainerId> = self.hits.iter().map(|(_, id)| id).collect();
        let mass = hit.len() > 1 && alive().iter().all(|id| hit.contains(id));
        let (mut rest, mut told) = (Vec::new(), Vec::new());
        for mut h in std::mem::take(&mut self.held) {
            if h.due > now {
                rest.push(h);
            } else if mass && ends_a_run(h.drift.action) && h.due < h.first + settings.drift_hold_mass {
                h.due = h.first + settings.drift_hold_mass;
                rest.push(h);
            } else {
                let healed = h.healed.then(|| ContainerDrift { healed: true, ..h.drift.clone() });
                told.push(h.drift);
                told.extend(healed);
            }
        }
        self.held = rest;
        for drift in told {
            self.tell(drift);
        }
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
            shift(&mut held.first, millis);
        }
        self.hits.iter_mut().for_each(|(at, _)| shift(at, millis));
    }

    pub(super) fn wake(&self) -> Option<Time> {
        self.held.iter().map(|h| h.due).min()
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
