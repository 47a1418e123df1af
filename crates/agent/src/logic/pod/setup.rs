//! What containers stand on: the pod's volumes and its sandbox, with the waits when they fail.

use evenkeel_model::{Time, podstatus::FailedStart};

use super::{Mode, Pod, Sandbox, SetupTrouble, Volumes, container};
use crate::logic::{
    build,
    command::{Failure, OpId, Output, Work},
    happened::Tone,
    journal::JournalSandbox,
    ops::{Cx, Purpose, doubled},
};

impl Pod {
    pub(super) fn set_up(&mut self, cx: &mut Cx<'_>) {
        let wants_volumes = match &self.volumes {
            Volumes::Absent => true,
            Volumes::Ready => self.volumes_stale,
            Volumes::Held { until } => *until <= cx.now,
            Volumes::Preparing(_) | Volumes::Removing(_) => false,
        };
        if wants_volumes {
            self.volumes_stale = false;
            if self.spec.volumes.as_ref().is_none_or(Vec::is_empty) {
                self.volumes = Volumes::Ready;
            } else {
                let work = Work::PrepareVolumes { order: self.order.clone() };
                self.volumes = Volumes::Preparing(cx.run(self.uid(), Purpose::Volumes, work));
            }
        }
        let wants_sandbox = match &self.sandbox {
            Sandbox::Absent => true,
            Sandbox::Held { until } => *until <= cx.now,
            Sandbox::Creating(_) | Sandbox::Ready(_) => false,
        };
        if wants_sandbox && cx.engine {
            self.sandbox_attempt += 1;
            self.dirty = true;
            let spec = build::sandbox(&self.order, &self.spec, &cx.config.cluster, self.sandbox_attempt);
            let network = build::network(&self.order, &self.spec);
            let work = Work::CreateSandbox { spec: Box::new(spec), network: Box::new(network) };
            self.sandbox = Sandbox::Creating(cx.run(self.uid(), Purpose::Sandbox, work));
        }
    }

    pub(super) fn volumes_done(&mut self, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if self.volumes != Volumes::Preparing(op) {
            return;
        }
        match result {
            Ok(_) => {
                self.volumes = Volumes::Ready;
                self.volumes_trouble = SetupTrouble::default();
            }
            Err(failure) => {
                let outside = failure.is_outside();
                let until = trouble(&mut self.volumes_trouble, "CreateContainerConfigError", outside, &failure, cx);
                self.volumes = Volumes::Held { until };
                self.tell(Tone::Warning, "FailedMount", &failure.to_string(), cx);
            }
        }
    }

    pub(super) fn sandbox_done(&mut self, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if self.sandbox != Sandbox::Creating(op) {
            return self.late(result);
        }
        self.dirty = true;
        match result {
            Ok(Output::Sandbox { id, ip }) => {
                self.sandbox = Sandbox::Ready(JournalSandbox { id, ip });
                self.sandbox_since = cx.newest();
                self.sandbox_trouble = SetupTrouble::default();
                if let Some(i) = self.sandbox_open.iter().position(|(fix, _)| *fix == container::Fix::Restart) {
                    cx.drifts.healed(self.sandbox_open.remove(i).1);
                }
            }
            Ok(_) => self.sandbox = Sandbox::Absent,
            Err(Failure::Runtime(e)) if e.is_engine() => {
                self.sandbox = Sandbox::Held { until: cx.now + cx.settings().engine_retry };
            }
            Err(failure) => {
                let outside = failure.is_outside();
                let until = trouble(&mut self.sandbox_trouble, "CreatePodSandboxError", outside, &failure, cx);
                self.sandbox = Sandbox::Held { until };
                self.tell(Tone::Warning, "FailedCreatePodSandBox", &failure.to_string(), cx);
            }
        }
    }

    /// The sandbox ended without our doing: everything is made anew, unless the end is a drift that
    /// is not to be healed. One that is being made is not the one that was lost.
    pub(super) fn sandbox_lost(&mut self, reason: &'static str) {
        if self.mode == Mode::Active && self.sandbox_ready().is_some() {
            self.mode = Mode::Rebuild(reason);
            self.dirty = true;
        }
    }

    pub(super) fn discard_sandbox(&mut self) {
        if let Sandbox::Ready(s) = std::mem::replace(&mut self.sandbox, Sandbox::Absent) {
            self.throw(s.id);
        }
        self.sandbox_signal = None;
        self.sandbox_suspect = false;
    }

    /// Whether volumes are there; content that is being renewed counts.
    pub(super) fn volumes_ready(&self) -> bool {
        self.volumes == Volumes::Ready
    }
}

/// Notes a failed set-up; gives the time of the next try.
fn trouble(t: &mut SetupTrouble, reason: &str, outside: bool, failure: &Failure, cx: &Cx<'_>) -> Time {
    let tries = t.failed.as_ref().map_or(0, |f| f.tries) + 1;
    t.failed = Some(FailedStart { tries, reason: reason.to_owned(), outside });
    t.message = failure.to_string();
    t.retry = doubled(t.retry, cx.settings().retry_first, cx.settings().retry_max);
    cx.now + t.retry
}
