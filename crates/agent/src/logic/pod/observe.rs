//! Comparing a pod with a listing of the engine: adoption after a start of the agent, the verdict
//! after the engine was away, and the slow safety net below its events.

use evenkeel_model::{Time, podstatus::REASON_ENGINE};
use evenkeel_runtime::{ContainerId, ContainerInfo, ContainerState};
use evenkeel_wire::DriftAction;

use super::{
    Mode, Pod, Sandbox,
    container::{Fix, Kind, Run, State},
    ending::{Cause, End},
};
use crate::logic::{
    build,
    command::OpId,
    journal::{Due, JournalSandbox},
    labels,
    ops::Cx,
};

/// Exit codes from here on are those of signals: what a machine or an engine that goes down leaves.
const SIGNALLED: i32 = 128;

impl Pod {
    /// Compares with what the engine has of this pod. `lost`: the engine was away since the last
    /// comparison (or this is the agent's first). `asked`: the operation that the listing answers;
    /// what is younger may not be in it. Returns whether a further look is wanted soon.
    pub(in crate::logic) fn observe(
        &mut self,
        infos: &[&ContainerInfo],
        asked: OpId,
        lost: bool,
        cx: &mut Cx<'_>,
    ) -> bool {
        self.news = true;
        let first = !self.adopted;
        if first {
            self.adopted = true;
            self.adopt_unrecorded(infos);
        }
        let mut again = self.sandbox_since < asked && self.observe_sandbox(infos, lost, cx);
        for i in 0..self.containers.len() {
            if self.containers[i].id_since < asked {
                again |= self.observe_container(i, infos, lost, first, cx);
            }
        }
        self.remove_unrecorded(infos);
        self.retry_fixes(cx);
        again
    }

    /// Takes what was made just before the agent ended, and did not reach the journal: it carries
    /// this pod's labels and the very name that this pod gives.
    fn adopt_unrecorded(&mut self, infos: &[&ContainerInfo]) {
        let newest = |container: Option<&str>| {
            let mine = infos.iter().filter_map(|info| {
                let same = info.labels.get(labels::CONTAINER).map(String::as_str) == container
                    && (container.is_some() || info.labels.contains_key(labels::SANDBOX));
                let attempt: u32 = info.name.rsplit('_').next()?.parse().ok()?;
                (same && info.name == labels::name(&self.order, container, attempt)).then_some((attempt, *info))
            });
            mine.max_by_key(|(attempt, info)| (info.state.is_alive(), *attempt))
        };
        if matches!(self.sandbox, Sandbox::Absent)
            && let Some((attempt, info)) = newest(None).filter(|(_, info)| info.state.is_alive())
        {
            self.sandbox_attempt = self.sandbox_attempt.max(attempt);
            self.sandbox = Sandbox::Ready(JournalSandbox { id: info.id.clone(), ip: info.ip });
            self.dirty = true;
        }
        let found: Vec<_> = self
            .containers
            .iter()
            .map(|c| newest(Some(&c.spec.name)).filter(|_| c.book.id.is_none()).map(|(n, info)| (n, info.clone())))
            .collect();
        for (c, found) in self.containers.iter_mut().zip(found) {
            let Some((attempt, info)) = found else { continue };
            // A dead one of an earlier attempt is just garbage; a live one is the container.
            if attempt < c.book.attempt && !info.state.is_alive() {
                continue;
            }
            c.book.attempt = c.book.attempt.max(attempt);
            c.book.spec_hash = info.labels.get(labels::SPEC_HASH).cloned().unwrap_or_default();
            c.book.started = c.book.started || info.state != ContainerState::Created;
            c.book.startup_done = true;
            c.book.image_id = info.image_id;
            c.book.id = Some(info.id);
            if c.kind == Kind::Main && info.state.is_alive() {
                self.initialized = true;
            }
            self.dirty = true;
        }
    }

    /// Removes what this pod's names and labels say is ours and the book does not know.
    fn remove_unrecorded(&mut self, infos: &[&ContainerInfo]) {
        for info in infos {
            let container = info.labels.get(labels::CONTAINER);
            let at = container.and_then(|name| self.containers.iter().position(|c| c.spec.name == *name));
            let Some(attempt) = info.name.rsplit('_').next().and_then(|n| n.parse::<u32>().ok()) else { continue };
            if info.name != labels::name(&self.order, container.map(String::as_str), attempt) {
                continue;
            }
            let known = if let Some(i) = at {
                let c = &self.containers[i];
                let making = matches!(c.state, State::Creating(_)) && attempt == c.book.attempt;
                making || c.book.id.as_ref() == Some(&info.id) || c.book.previous.as_ref() == Some(&info.id)
            } else {
                let making = matches!(self.sandbox, Sandbox::Creating(_)) && attempt == self.sandbox_attempt;
                making || self.sandbox_ready().is_some_and(|s| s.id == info.id)
            };
            if !known && info.state.is_alive() {
                self.throw(info.id.clone());
            } else if !known {
                self.throw_begun(info.id.clone());
            }
        }
    }

    /// Returns whether it is missing and a further look shall decide.
    fn observe_sandbox(&mut self, infos: &[&ContainerInfo], lost: bool, cx: &mut Cx<'_>) -> bool {
        let Some(id) = self.sandbox_ready().map(|s| s.id.clone()) else { return false };
        let info = infos.iter().find(|info| info.id == id);
        match info.map(|info| &info.state) {
            Some(ContainerState::Running { .. }) => {
                self.sandbox_suspect = false;
                for fix in [Fix::Restart, Fix::Recreate, Fix::Unpause] {
                    self.sandbox_righted(fix, cx);
                }
                self.sandbox_ip(info.and_then(|info| info.ip));
                self.sandbox_named(&info.map(|info| info.name.clone()).unwrap_or_default(), cx);
            }
            Some(ContainerState::Paused { .. }) => {
                self.sandbox_drifted(Fix::Unpause, DriftAction::Paused, "running", "paused", cx);
            }
            Some(_) | None if lost => self.sandbox_lost(REASON_ENGINE),
            Some(_) | None if self.mode != Mode::Active => {}
            state if self.sandbox_suspect => self.sandbox_ended(state.is_none(), cx),
            _ => {
                self.sandbox_suspect = true;
                return true;
            }
        }
        false
    }

    fn sandbox_ip(&mut self, ip: Option<std::net::IpAddr>) {
        if let Sandbox::Ready(s) = &mut self.sandbox
            && s.ip != ip
        {
            s.ip = ip;
            self.dirty = true;
        }
    }

    fn observe_container(
        &mut self,
        i: usize,
        infos: &[&ContainerInfo],
        lost: bool,
        first: bool,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(id) = self.containers[i].book.id.clone() else { return false };
        let info = infos.iter().find(|info| info.id == id).copied();
        if first {
            self.adopt(i, info, cx);
            return false;
        }
        let State::Running(run) = &self.containers[i].state else {
            if let (true, State::Ending { run, .. }) = (lost, &self.containers[i].state) {
                let run = run.clone();
                self.gone_with_the_engine(i, &run, info, cx);
            } else if let (State::Created(_), None) = (&self.containers[i].state, info) {
                self.replace_begun(i, id);
            }
            return false;
        };
        if run.stop.is_some() {
            return false;
        }
        match info {
            Some(info) if info.state.is_alive() => {
                self.compare(i, info, cx);
                false
            }
            _ if lost => {
                let run = run.clone();
                self.gone_with_the_engine(i, &run, info, cx);
                false
            }
            _ if run.suspect => {
                self.died(i, None, cx);
                false
            }
            _ => {
                if let Some(run) = self.containers[i].run_mut() {
                    run.suspect = true;
                }
                true
            }
        }
    }

    fn gone_with_the_engine(&mut self, i: usize, run: &Run, info: Option<&ContainerInfo>, cx: &mut Cx<'_>) {
        match info.map(|info| &info.state) {
            Some(ContainerState::Created) => {
                // Its start was cut off: what the engine that is gone began may run on, unknown to this one.
                self.replace_begun(i, run.id.clone());
            }
            None if run.stop.is_none() && self.start_is_open(i) => self.replace_begun(i, run.id.clone()),
            Some(ContainerState::Running { started, .. } | ContainerState::Paused { started, .. })
                if run.stop.is_none() && self.start_is_open(i) =>
            {
                self.started(i, Run::new(run.id.clone(), *started), false, cx);
            }
            Some(state) if state.is_alive() => self.resume(i, run.clone(), cx.now),
            state => {
                let end = end_of(state);
                self.ended_with_the_engine(i, run, &end, cx);
            }
        }
    }

    /// Gives up a container whose start may have been begun; another takes its place, if one is to.
    pub(super) fn replace_begun(&mut self, i: usize, id: ContainerId) {
        self.containers[i].book.id = None;
        self.throw_begun(id);
        self.set(i, State::Waiting);
    }

    /// First sight of a container that the journal knows.
    fn adopt(&mut self, i: usize, info: Option<&ContainerInfo>, cx: &mut Cx<'_>) {
        let Some(id) = self.containers[i].book.id.clone() else { return };
        if self.containers[i].book.last.as_ref().is_some_and(|t| t.id == id)
            && !info.is_some_and(|f| f.state.is_alive())
        {
            // Its end is in the book already.
            if !self.containers[i].book.completed {
                let held = self.drift_is_held(i);
                self.set(i, State::Ended { held });
            }
            return;
        }
        let Some(info) = info else {
            if self.containers[i].book.started {
                let run = Run::new(id, self.started);
                self.ended(
                    i,
                    &run,
                    &End { code: 137, gone: true, ..End::default() },
                    Cause::Disturbed(Some(REASON_ENGINE)),
                    "gone when the agent came back",
                    cx,
                );
            } else {
                self.replace_begun(i, id);
            }
            return;
        };
        match &info.state {
            ContainerState::Created => {
                self.set(i, State::Created(id));
            }
            ContainerState::Running { started, .. } | ContainerState::Paused { started, .. } => {
                if !self.containers[i].book.started || self.containers[i].book.due != Due::No {
                    // It was started just before the agent ended, or by someone since.
                    self.count_start(i);
                }
                let c = &mut self.containers[i];
                c.book.startup_done |= c.spec.startup_probe.is_none();
                self.resume(i, Run::new(id, *started), cx.now);
                self.compare(i, info, cx);
            }
            state => {
                let (run, end) = (Run::new(id, self.started), end_of(Some(state)));
                self.containers[i].book.started = true;
                let own = (end.code < SIGNALLED || end.oom) && self.mode == Mode::Active;
                let cause = if own { Cause::Own } else { Cause::Disturbed(Some(REASON_ENGINE)) };
                self.ended(i, &run, &end, cause, "ended while the agent was away", cx);
            }
        }
    }

    fn drift_is_held(&self, i: usize) -> bool {
        !self.order.self_heal
            && self.containers[i]
                .book
                .last
                .as_ref()
                .is_some_and(|t| t.reason == evenkeel_model::podstatus::REASON_DRIFT)
    }

    /// Holds a living container against what it should be.
    fn compare(&mut self, i: usize, info: &ContainerInfo, cx: &mut Cx<'_>) {
        let paused = matches!(info.state, ContainerState::Paused { .. });
        let Some(run) = self.containers[i].run_mut() else { return };
        run.suspect = false;
        let was_paused = std::mem::replace(&mut run.paused, paused);
        if paused && !was_paused {
            self.drifted(i, Fix::Unpause, DriftAction::Paused, "running", "paused", cx);
        } else if !paused {
            self.righted(i, Fix::Unpause, cx);
        }
        // Put right just before the agent ended, or by someone since.
        self.righted(i, Fix::Restart, cx);
        self.named(i, &info.name, cx);
        self.limited(i, &info.resources, cx);
        let book = &mut self.containers[i].book;
        let hash = info.labels.get(labels::SPEC_HASH).cloned().unwrap_or_default();
        if book.image_id.is_empty() {
            book.image_id.clone_from(&info.image_id);
            self.dirty = true;
        } else if book.image_id != info.image_id || !build::same_spec(&hash, &book.spec_hash) {
            let (right, live) = (format!("{} {}", book.image_id, book.spec_hash), format!("{} {hash}", info.image_id));
            self.drifted(i, Fix::Recreate, DriftAction::Differs, &right, &live, cx);
        }
    }

    /// Tries again what could not be put right before.
    fn retry_fixes(&mut self, cx: &mut Cx<'_>) {
        if self.order.self_heal && self.mode == Mode::Active {
            self.heal(None, cx);
        }
    }
}

fn end_of(state: Option<&ContainerState>) -> End {
    match state {
        Some(ContainerState::Exited { code, oom, started, finished, error }) => End {
            code: *code,
            oom: *oom,
            started: Some(*started).filter(|t| *t > Time(0)),
            finished: Some(*finished).filter(|t| *t > Time(0)),
            error: error.clone(),
            gone: false,
        },
        _ => End { code: 137, gone: state.is_none(), ..End::default() },
    }
}
