//! Stops of the agent's own: preStop hook, stop signal, grace, kill; and winding a whole pod down
//! in Kubernetes' order: ordinary containers together, then sidecars from the last to the first.

use std::time::Duration;

use evenkeel_model::Time;
use evenkeel_runtime::RuntimeError;

use super::{
    Mode, Pod,
    container::{Kind, State, Step, Stop, StopWhy},
};
use crate::logic::{
    command::{Failure, OpId, Output, Work},
    ops::{Cx, Purpose},
};

impl Pod {
    /// Begins to stop a container that runs and is not being stopped.
    pub(super) fn begin_stop(&mut self, i: usize, why: &StopWhy, grace: Duration, cx: &mut Cx<'_>) {
        let hook = self.containers[i].spec.lifecycle.as_ref().and_then(|l| l.pre_stop.clone());
        let until = cx.now + grace;
        let Some(run) = self.containers[i].run_mut().filter(|r| r.stop.is_none()) else { return };
        run.stop = Some(Stop { why: why.clone(), step: Step::Retry(cx.now), until });
        if matches!(why, StopWhy::Failed(_)) {
            self.containers[i].book.ready = false;
        }
        self.tell_stop(i, why, cx);
        if !cx.engine {
            return;
        }
        let target = hook.filter(|_| !grace.is_zero()).and_then(|h| self.hook_target(i, &h).ok());
        let step = match target {
            Some(target) => {
                Step::PreStop(cx.run(self.uid(), Purpose::PreStop(i), Work::Hook { target, timeout: grace }))
            }
            None => self.signal(i, grace, cx),
        };
        self.step(i, step);
    }

    fn step(&mut self, i: usize, step: Step) {
        if let Some(stop) = self.containers[i].run_mut().and_then(|r| r.stop.as_mut()) {
            stop.step = step;
        }
    }

    fn signal(&self, i: usize, grace: Duration, cx: &mut Cx<'_>) -> Step {
        let Some(id) = self.containers[i].run().map(|r| r.id.clone()) else { return Step::Retry(cx.now) };
        let work = if grace.is_zero() { Work::Kill { id } } else { Work::Stop { id, grace } };
        Step::Signal(cx.run(self.uid(), Purpose::Stop(i), work))
    }

    pub(super) fn pre_stop_done(&mut self, i: usize, op: OpId, cx: &mut Cx<'_>) {
        let Some(stop) = self.containers[i].run().and_then(|r| r.stop.as_ref()) else { return };
        if stop.step == Step::PreStop(op) {
            let grace = stop.until.since(cx.now).max(cx.settings().min_grace);
            let next = self.signal(i, grace, cx);
            self.step(i, next);
        }
    }

    pub(super) fn stop_done(&mut self, i: usize, op: OpId, result: &Result<Output, Failure>, cx: &mut Cx<'_>) {
        let Some(stop) = self.containers[i].run().and_then(|r| r.stop.as_ref()) else { return };
        if stop.step != Step::Signal(op) {
            return;
        }
        match result {
            Ok(_) | Err(Failure::Runtime(RuntimeError::NotFound { .. })) => {
                if let State::Running(run) = std::mem::replace(&mut self.containers[i].state, State::Waiting) {
                    self.set(i, State::Ending { op: None, run, died: None, after: cx.now });
                    if cx.engine {
                        self.ask_the_end(i, cx);
                    }
                }
            }
            Err(_) => self.step(i, Step::Retry(cx.now + cx.settings().engine_retry)),
        }
    }

    /// Goes on with a stop: kills when a step failed, or the grace was shortened and is over.
    pub(super) fn push_stop(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        let limit = match self.mode {
            Mode::Deleting { until } => Some(until),
            _ => None,
        };
        let Some(stop) = self.containers[i].run_mut().and_then(|r| r.stop.as_mut()) else { return false };
        if let Some(until) = limit.filter(|u| *u < stop.until) {
            stop.until = until;
            if !matches!(stop.step, Step::Retry(at) if at <= until) {
                stop.step = Step::Retry(until);
            }
        }
        if cx.engine && matches!(stop.step, Step::Retry(at) if at <= cx.now) {
            let next = self.signal(i, Duration::ZERO, cx);
            self.step(i, next);
        }
        false
    }

    /// Ends all containers; true once nothing of them is alive or being made.
    pub(super) fn wind_down(&mut self, why: &StopWhy, until: Time, cx: &mut Cx<'_>) -> bool {
        let ordered = !matches!(why, StopWhy::Disturbed(_));
        let grace = until.since(cx.now);
        for i in (0..self.containers.len()).rev() {
            let later = &self.containers[i + 1..];
            let waits = ordered && self.containers[i].kind == Kind::Sidecar && !later.iter().all(super::Cont::quiet);
            match &self.containers[i].state {
                State::Running(run) if run.stop.is_none() && waits => {}
                State::Running(run) if run.stop.is_none() => self.begin_stop(i, why, grace, cx),
                State::Running(_) => {
                    self.push_stop(i, cx);
                }
                State::Created(id) => {
                    let id = id.clone();
                    self.replace_begun(i, id);
                }
                State::Ending { op: None, .. } if cx.engine => {
                    self.ask_the_end(i, cx);
                }
                _ => {}
            }
        }
        self.containers.iter().all(super::Cont::quiet)
    }
}
