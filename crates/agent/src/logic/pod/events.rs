//! The engine's events about a pod's containers and sandbox: ends, and drifts with what puts them
//! right. An event of the agent's own making is known by the state that expects it.

use evenkeel_model::{
    Time,
    podstatus::{REASON_DRIFT, REASON_ENGINE},
};
use evenkeel_runtime::{EventAction, Resources, RuntimeEvent};
use evenkeel_wire::{ContainerDrift, DriftAction};

use super::{
    Mode, Pod, Sandbox,
    container::{Fix, Kind, Run, State, StopWhy},
};
use crate::logic::{
    build,
    command::{Failure, Output, Work},
    ops::{Cx, Purpose},
    settings::SIGNAL_WINDOW,
};

impl Pod {
    /// Takes an event of one of the pod's containers. The engine answers since `since`.
    pub(in crate::logic) fn event(&mut self, event: &RuntimeEvent, since: Time, cx: &mut Cx<'_>) {
        self.news = true;
        // An engine that starts may first stop what it finds running. Nobody else can reach it by
        // then, so that is nobody's drift and nobody's crash: the comparison that follows finds it.
        let ends = matches!(
            event.action,
            EventAction::Killed { .. } | EventAction::Died { .. } | EventAction::Stopped | EventAction::Destroyed
        );
        let ours =
            |c: &super::Cont| c.book.id.as_ref() == Some(&event.id) && c.run().is_some_and(|run| run.stop.is_some());
        if ends && event.at < since && !self.containers.iter().any(ours) {
            return;
        }
        if self.sandbox_ready().is_some_and(|s| s.id == event.id) {
            return self.sandbox_event(event, cx);
        }
        if let Some(i) = self.containers.iter().position(|c| c.book.id.as_ref() == Some(&event.id)) {
            return self.container_event(i, event, cx);
        }
        let replaced = |c: &super::Cont| {
            c.book.previous.as_ref() == Some(&event.id)
                && c.book.last.as_ref().is_none_or(|t| t.id != event.id || event.at > t.finished)
        };
        if event.action == EventAction::Started && self.containers.iter().any(replaced) {
            // Someone started what was replaced: two of one container must not run.
            for c in &mut self.containers {
                c.book.previous = c.book.previous.take().filter(|id| *id != event.id);
            }
            self.throw(event.id.clone());
        }
    }

    fn container_event(&mut self, i: usize, event: &RuntimeEvent, cx: &mut Cx<'_>) {
        match &event.action {
            EventAction::Died { exit_code } => self.died(i, Some(*exit_code), cx),
            EventAction::Killed { signal } => self.signalled(i, *signal, cx),
            EventAction::Stopped => {
                let name = self.containers[i].spec.name.clone();
                cx.drifts.upgrade(self.uid(), Some(&name), DriftAction::Stopped);
            }
            EventAction::Destroyed => self.destroyed(i, cx),
            EventAction::Paused => {
                if let Some(run) = self.containers[i].run_mut().filter(|r| !r.paused) {
                    run.paused = true;
                    self.drifted(i, Fix::Unpause, DriftAction::Paused, "running", "paused", cx);
                }
            }
            EventAction::Unpaused => {
                if let Some(run) = self.containers[i].run_mut() {
                    run.paused = false;
                }
                self.righted(i, Fix::Unpause, cx);
            }
            EventAction::Renamed { .. } => self.named(i, &event.name, cx),
            EventAction::Updated => {
                if let (true, Some(run)) = (cx.engine, self.containers[i].run()) {
                    let work = Work::Inspect { id: run.id.clone() };
                    cx.run(self.uid(), Purpose::CheckLimits(i), work);
                }
            }
            EventAction::Started => self.started_by_someone(i, event, cx),
            EventAction::Oom => self.out_of_memory(i, &event.id, cx),
            EventAction::Created => {}
        }
    }

    fn signalled(&mut self, i: usize, signal: i32, cx: &Cx<'_>) {
        let (active, now) = (self.mode == Mode::Active, cx.now);
        if let Some(run) = self.containers[i].run_mut().filter(|r| active && r.stop.is_none()) {
            // `docker stop` sends its signal and then SIGKILL: the first one tells what was meant.
            let first = run.signal.filter(|(at, _)| now.since(*at) <= SIGNAL_WINDOW).map_or(signal, |(_, s)| s);
            run.signal = Some((now, first));
        }
    }

    fn destroyed(&mut self, i: usize, cx: &mut Cx<'_>) {
        match &self.containers[i].state {
            State::Running(_) => self.died(i, None, cx),
            State::Created(_) => {
                self.containers[i].book.id = None;
                self.set(i, State::Waiting);
                let drift = self.drift(Some(i), DriftAction::Removed, "created", "removed");
                cx.drift(drift.clone());
                self.containers[i].open.push((Fix::Restart, drift));
                self.dirty = true;
            }
            State::Ended { .. } | State::Held { .. } | State::Waiting | State::Fetching(_) | State::Fetched => {
                let name = self.containers[i].spec.name.clone();
                cx.drifts.upgrade(self.uid(), Some(&name), DriftAction::Removed);
                self.containers[i].book.id = None;
                self.dirty = true;
            }
            State::Creating(_) | State::Starting { .. } | State::Ending { .. } => {}
        }
    }

    fn started_by_someone(&mut self, i: usize, event: &RuntimeEvent, cx: &mut Cx<'_>) {
        let fresh = self.containers[i].book.last.as_ref().is_none_or(|t| t.id != event.id || event.at > t.finished);
        match &self.containers[i].state {
            State::Ended { held: true } if fresh => {
                self.righted(i, Fix::Restart, cx);
                self.resume(i, Run::new(event.id.clone(), event.at), cx.now);
            }
            State::Ended { .. } | State::Held { .. } | State::Waiting | State::Fetching(_) | State::Fetched
                if fresh =>
            {
                self.containers[i].book.id = None;
                self.throw(event.id.clone());
            }
            _ => {}
        }
    }

    /// Notes a drift of a container that runs, and puts it right if it is to be.
    pub(super) fn drifted(
        &mut self,
        i: usize,
        fix: Fix,
        action: DriftAction,
        desired: &str,
        live: &str,
        cx: &mut Cx<'_>,
    ) {
        // What is done to one that somebody added by hand is no drift.
        let ephemeral = self.containers[i].kind == Kind::Ephemeral;
        if ephemeral || self.mode != Mode::Active || self.containers[i].open.iter().any(|(f, _)| *f == fix) {
            return;
        }
        let drift = self.drift(Some(i), action, desired, live);
        cx.drift(drift.clone());
        self.containers[i].open.push((fix, drift));
        self.dirty = true;
        if self.order.self_heal {
            self.apply(i, fix, cx);
        }
    }

    /// A drift is no more.
    pub(super) fn righted(&mut self, i: usize, fix: Fix, cx: &mut Cx<'_>) {
        let open = &mut self.containers[i].open;
        while let Some(at) = open.iter().position(|(f, _)| *f == fix) {
            cx.drifts.healed(open.remove(at).1);
            self.dirty = true;
        }
    }

    /// A container's name as the engine says it.
    pub(super) fn named(&mut self, i: usize, name: &str, cx: &mut Cx<'_>) {
        let right = self.right_name(Some(i));
        if name == right {
            self.righted(i, Fix::Rename, cx);
        } else {
            self.drifted(i, Fix::Rename, DriftAction::Renamed, &right, name, cx);
        }
    }

    /// A container's limits as the engine says them.
    pub(super) fn limited(&mut self, i: usize, live: &Resources, cx: &mut Cx<'_>) {
        let right = build::resources(&self.containers[i].spec);
        if *live == right {
            self.righted(i, Fix::Update, cx);
        } else {
            self.drifted(i, Fix::Update, DriftAction::Updated, &limits_text(&right), &limits_text(live), cx);
        }
    }

    pub(super) fn limits_checked(&mut self, i: usize, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if let Ok(Output::Inspected(Some(info))) = result
            && self.containers[i].run().is_some_and(|r| r.id == info.id)
        {
            self.limited(i, &info.resources, cx);
        }
    }

    /// Puts one drift right.
    fn apply(&mut self, i: usize, fix: Fix, cx: &mut Cx<'_>) {
        match fix {
            Fix::Restart => {
                if matches!(self.containers[i].state, State::Ended { held: true }) {
                    self.set(i, State::Ended { held: false });
                }
                return;
            }
            Fix::Recreate => {
                let grace = self.grace();
                return self.begin_stop(i, &StopWhy::Disturbed(REASON_DRIFT), grace, cx);
            }
            Fix::Unpause | Fix::Rename | Fix::Update => {}
        }
        let Some(id) = self.containers[i].run().map(|r| r.id.clone()) else { return };
        if !cx.engine || !self.containers[i].fixing.insert(fix) {
            return;
        }
        let work = match fix {
            Fix::Unpause => Work::Unpause { id },
            Fix::Rename => Work::Rename { id, name: self.right_name(Some(i)) },
            _ => Work::Update { id, resources: build::resources(&self.containers[i].spec) },
        };
        cx.run(self.uid(), Purpose::Fix(i, fix), work);
    }

    pub(super) fn fixed(&mut self, i: usize, fix: Fix, result: &Result<Output, Failure>, cx: &mut Cx<'_>) {
        self.containers[i].fixing.remove(&fix);
        // One that failed stays open: the next comparison tries again.
        if result.is_ok() {
            if let (Fix::Unpause, Some(run)) = (fix, self.containers[i].run_mut()) {
                run.paused = false;
            }
            self.righted(i, fix, cx);
        }
    }

    /// Puts right what drifted in one container (`None`: in all, and the sandbox).
    pub(in crate::logic) fn heal(&mut self, container: Option<&str>, cx: &mut Cx<'_>) {
        self.news = true;
        for i in 0..self.containers.len() {
            if container.is_none_or(|name| self.containers[i].spec.name == name) {
                let fixes: Vec<Fix> = self.containers[i].open.iter().map(|(fix, _)| *fix).collect();
                for fix in fixes {
                    self.apply(i, fix, cx);
                }
            }
        }
        if container.is_none() {
            let fixes: Vec<Fix> = self.sandbox_open.iter().map(|(fix, _)| *fix).collect();
            for fix in fixes {
                self.apply_to_sandbox(fix, cx);
            }
        }
    }

    fn sandbox_event(&mut self, event: &RuntimeEvent, cx: &mut Cx<'_>) {
        match &event.action {
            EventAction::Destroyed => cx.drifts.upgrade(self.uid(), None, DriftAction::Removed),
            EventAction::Stopped => cx.drifts.upgrade(self.uid(), None, DriftAction::Stopped),
            _ => {}
        }
        if self.mode != Mode::Active {
            return;
        }
        match &event.action {
            EventAction::Killed { signal } => {
                if self.sandbox_signal.is_none() {
                    self.sandbox_signal = Some((cx.now, *signal));
                }
            }
            EventAction::Died { .. } => self.sandbox_ended(false, cx),
            EventAction::Destroyed => self.sandbox_ended(true, cx),
            EventAction::Paused => self.sandbox_drifted(Fix::Unpause, DriftAction::Paused, "running", "paused", cx),
            EventAction::Unpaused => self.sandbox_righted(Fix::Unpause, cx),
            EventAction::Renamed { .. } => self.sandbox_named(&event.name, cx),
            EventAction::Created
            | EventAction::Started
            | EventAction::Stopped
            | EventAction::Oom
            | EventAction::Updated => {}
        }
    }

    pub(super) fn sandbox_named(&mut self, name: &str, cx: &mut Cx<'_>) {
        let right = self.right_name(None);
        if name == right {
            self.sandbox_righted(Fix::Rename, cx);
        } else {
            self.sandbox_drifted(Fix::Rename, DriftAction::Renamed, &right, name, cx);
        }
    }

    /// The sandbox's process ended, or it is gone altogether.
    pub(super) fn sandbox_ended(&mut self, gone: bool, cx: &mut Cx<'_>) {
        if self.mode != Mode::Active || self.sandbox_open.iter().any(|(fix, _)| *fix == Fix::Restart) {
            return;
        }
        let signal: Option<(Time, i32)> = self.sandbox_signal.take();
        if signal.is_none() && !gone {
            return self.sandbox_lost(REASON_ENGINE);
        }
        let action = match signal {
            _ if gone => DriftAction::Removed,
            Some((_, 9)) => DriftAction::Killed,
            _ => DriftAction::Stopped,
        };
        let live = if gone { "removed" } else { "stopped" };
        self.sandbox_drifted(Fix::Restart, action, "running", live, cx);
    }

    pub(super) fn sandbox_drifted(
        &mut self,
        fix: Fix,
        action: DriftAction,
        desired: &str,
        live: &str,
        cx: &mut Cx<'_>,
    ) {
        if self.sandbox_open.iter().any(|(f, _)| *f == fix) {
            return;
        }
        let drift: ContainerDrift = self.drift(None, action, desired, live);
        cx.drift(drift.clone());
        self.sandbox_open.push((fix, drift));
        self.dirty = true;
        if self.order.self_heal {
            self.apply_to_sandbox(fix, cx);
        }
    }

    pub(super) fn sandbox_righted(&mut self, fix: Fix, cx: &mut Cx<'_>) {
        while let Some(at) = self.sandbox_open.iter().position(|(f, _)| *f == fix) {
            cx.drifts.healed(self.sandbox_open.remove(at).1);
            self.dirty = true;
        }
    }

    fn apply_to_sandbox(&mut self, fix: Fix, cx: &mut Cx<'_>) {
        if matches!(fix, Fix::Restart | Fix::Recreate) {
            return self.sandbox_lost(REASON_DRIFT);
        }
        let Sandbox::Ready(s) = &self.sandbox else { return };
        if !cx.engine || self.sandbox_fixing {
            return;
        }
        let work = match fix {
            Fix::Unpause => Work::Unpause { id: s.id.clone() },
            _ => Work::Rename { id: s.id.clone(), name: self.right_name(None) },
        };
        self.sandbox_fixing = true;
        cx.run(self.uid(), Purpose::FixSandbox, work);
    }

    pub(super) fn sandbox_fixed(&mut self, result: &Result<Output, Failure>, cx: &mut Cx<'_>) {
        self.sandbox_fixing = false;
        if result.is_ok() {
            // One fix at a time: the events and the next comparison tell which are left.
            for fix in [Fix::Unpause, Fix::Rename] {
                self.sandbox_righted(fix, cx);
            }
        }
    }
}

fn limits_text(r: &Resources) -> String {
    let show = |n: Option<u64>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
    format!(
        "cpu shares {}, cpu quota {} us, memory {} bytes",
        show(r.cpu_shares),
        show(r.cpu_quota_micros),
        show(r.memory_bytes)
    )
}
