//! Taking a pod apart: garbage, volumes, the last steps of its end.

use evenkeel_model::Time;
use evenkeel_runtime::{ContainerId, RuntimeError};

use super::{
    Mode, Orphans, Pod, Sandbox, Trash, Volumes,
    container::{self, State, StopWhy},
};
use crate::logic::{
    command::{Failure, Output, Work},
    ops::{Cx, Purpose},
};

impl Trash {
    pub(super) fn of(orphans: Orphans) -> Self {
        Self { op: None, after: Time(0), orphans }
    }
}

impl Orphans {
    fn once_tried(self) -> Self {
        if self == Self::None { self } else { Self::Tried }
    }
}

impl Pod {
    pub(super) fn drive_deleting(&mut self, until: Time, cx: &mut Cx<'_>) {
        if !self.wind_down(&StopWhy::Pod, until, cx) || matches!(self.sandbox, Sandbox::Creating(_)) {
            return;
        }
        if cx.lost && self.sandbox_attempt > 0 {
            // The engine that went away may have begun what only a comparison with the next one shows.
            return;
        }
        self.discard_sandbox();
        for i in 0..self.containers.len() {
            let open = self.start_is_open(i);
            let c = &mut self.containers[i];
            let (current, previous) = (c.book.id.take(), c.book.previous.take());
            if let Some(id) = current {
                if open { self.throw_begun(id) } else { self.throw(id) }
            }
            if let Some(id) = previous {
                self.throw(id);
            }
        }
        if !self.garbage.is_empty() {
            return;
        }
        match &self.volumes {
            Volumes::Preparing(_) | Volumes::Removing(_) => {}
            Volumes::Held { until } if *until > cx.now && self.volumes_trouble.message.is_empty() => {}
            _ => {
                // Also where none were made in this life: an earlier one may have.
                if self.spec.volumes.as_ref().is_none_or(Vec::is_empty) {
                    self.mode = Mode::Gone;
                } else {
                    self.volumes_trouble.message.clear();
                    self.volumes = Volumes::Removing(cx.run(self.uid(), Purpose::RemoveVolumes, Work::RemoveVolumes));
                }
            }
        }
    }

    /// Puts a container among those to be removed.
    pub(super) fn throw(&mut self, id: ContainerId) {
        self.garbage.entry(id).or_insert(Trash::of(Orphans::None));
        self.dirty = true;
    }

    /// The same with one whose start failed, or was cut off.
    pub(super) fn throw_begun(&mut self, id: ContainerId) {
        self.garbage.entry(id).or_insert(Trash::of(Orphans::Awaited)).orphans = Orphans::Awaited;
        self.dirty = true;
    }

    /// Whether processes may run that nobody knows of.
    pub(super) fn awaits_orphans(&self) -> bool {
        self.garbage.values().any(|trash| trash.orphans == Orphans::Awaited)
    }

    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>) {
        if !cx.engine {
            return;
        }
        let uid = self.uid();
        for (id, trash) in &mut self.garbage {
            if trash.op.is_none() && trash.after <= cx.now {
                let work = Work::Remove { id: id.clone(), orphans: trash.orphans != Orphans::None };
                trash.op = Some(cx.run(uid, Purpose::Garbage(id.clone()), work));
            }
        }
    }

    /// Something was made by an operation that was given up.
    pub(super) fn late(&mut self, result: Result<Output, Failure>) {
        if let Ok(Output::Sandbox { id, .. } | Output::Created { id }) = result {
            self.throw(id);
            if self.mode == Mode::Gone {
                self.mode = Mode::Deleting { until: Time(0) };
            }
        }
    }

    pub(super) fn swept(&mut self, id: ContainerId, result: &Result<Output, Failure>, cx: &Cx<'_>) {
        match result {
            Ok(_) | Err(Failure::Runtime(RuntimeError::NotFound { .. })) => {
                self.garbage.remove(&id);
                self.dirty = true;
            }
            Err(_) => {
                let after = cx.now + cx.settings().retry_first;
                let orphans = self.garbage.get(&id).map_or(Orphans::None, |trash| trash.orphans.once_tried());
                self.garbage.insert(id, Trash { op: None, after, orphans });
            }
        }
    }

    /// The engine went away: ends that were taken for drifts were its own doing.
    pub(in crate::logic) fn absolve(&mut self, container: Option<&str>) {
        let restart = |fix: &container::Fix| *fix == container::Fix::Restart;
        self.dirty = true;
        match container {
            None => self.sandbox_open.retain(|(fix, _)| !restart(fix)),
            Some(name) => {
                for c in self.containers.iter_mut().filter(|c| c.spec.name == name) {
                    c.open.retain(|(fix, _)| !restart(fix));
                    if let State::Ended { held } = &mut c.state {
                        *held = false;
                    }
                }
            }
        }
    }
}
