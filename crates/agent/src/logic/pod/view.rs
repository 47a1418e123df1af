//! What others ask of a pod: whether it rests, what lives of it, when it wants to be driven.

use std::collections::BTreeMap;

use evenkeel_model::Time;
use evenkeel_runtime::ContainerId;

use super::{
    Cont, Mode, Pod, Sandbox, Volumes,
    container::{self, State},
};

impl Pod {
    /// Whether nothing is under way: every container is where it stays.
    pub(in crate::logic) fn at_rest(&self) -> bool {
        let settled = |c: &Cont| match &c.state {
            State::Running(run) => run.stop.is_none() && run.post_start.is_none(),
            State::Ended { .. } => true,
            State::Waiting => c.book.completed,
            _ => false,
        };
        let still = match self.mode {
            Mode::Active => self.invalid.is_some() || self.containers.iter().all(settled),
            Mode::Finishing => self.sandbox == Sandbox::Absent,
            Mode::Gone => true,
            Mode::Rebuild(_) | Mode::Deleting { .. } => false,
        };
        self.adopted && still && self.garbage.is_empty()
    }

    /// Whether its state is known: not before the first comparison, and not while the engine is
    /// asked how a container ended (to be ready no more, for whose fault?).
    pub(in crate::logic) fn certain(&self) -> bool {
        self.adopted && !self.containers.iter().any(|c| matches!(c.state, State::Ending { .. }))
    }

    /// The current container of a name, or the one before it.
    pub(in crate::logic) fn container_id(&self, name: &str, previous: bool) -> Option<ContainerId> {
        let book = &self.containers.iter().find(|c| c.spec.name == name)?.book;
        if previous { book.previous.clone() } else { book.id.clone().or_else(|| book.previous.clone()) }
    }

    /// Image ids by container name, as far as they are known.
    pub(in crate::logic) fn image_ids(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let known = self.containers.iter().filter(|c| !c.book.image_id.is_empty());
        known.map(|c| (c.spec.name.clone(), c.book.image_id.clone()))
    }

    /// Last lines of containers that failed.
    pub(in crate::logic) fn logs(&self) -> BTreeMap<String, Vec<String>> {
        let failed = self.containers.iter().filter(|c| !c.logs.is_empty());
        failed.map(|c| (c.spec.name.clone(), c.logs.clone())).collect()
    }

    /// When it wants to be driven again without anything happening.
    pub(in crate::logic) fn wake(&self, engine: bool) -> Option<Time> {
        if !self.adopted || self.mode == Mode::Gone || !engine {
            return None;
        }
        let setup = [
            match &self.volumes {
                Volumes::Held { until } => Some(*until),
                _ => None,
            },
            match &self.sandbox {
                Sandbox::Held { until } => Some(*until),
                _ => None,
            },
        ];
        let trash = self.garbage.values().filter(|t| t.op.is_none()).map(|t| t.after);
        setup
            .into_iter()
            .flatten()
            .chain(trash)
            .chain(self.containers.iter().filter_map(|c| self.container_wake(c)))
            .min()
    }

    fn container_wake(&self, c: &Cont) -> Option<Time> {
        match &c.state {
            State::Held { until, .. } if self.mode == Mode::Active => Some(*until),
            State::Ending { op: None, after, .. } => Some(*after),
            State::Running(run) => match &run.stop {
                Some(container::Stop { step: container::Step::Retry(at), .. }) => Some(*at),
                None if self.mode == Mode::Active => self.probe_wake(c, run),
                _ => None,
            },
            _ => None,
        }
    }
}
