//! Startup, liveness and readiness probes: when they are due, and what their results do.

use std::time::Duration;

use evenkeel_model::Time;
use evenkeel_runtime::RuntimeError;
use k8s_openapi::api::core::v1::Probe;

use super::{
    Cont, Mode, Pod,
    container::{Probing, Run, StopWhy},
};
use crate::logic::{
    command::{Failure, OpId, Output, Target, Work},
    happened::Tone,
    ops::{Cx, ProbeKind, Purpose},
    settings::TAIL_LINES,
};

/// Lines of a probe's answer are cut here, in characters: they go into conditions.
const MAX_MESSAGE: usize = 200;

fn of(c: &Cont, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => c.spec.startup_probe.as_ref(),
        ProbeKind::Liveness => c.spec.liveness_probe.as_ref(),
        ProbeKind::Readiness => c.spec.readiness_probe.as_ref(),
    }
}

fn word(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "startup",
        ProbeKind::Liveness => "liveness",
        ProbeKind::Readiness => "readiness",
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|n| u64::try_from(n).ok()).unwrap_or(default))
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds.filter(|n| *n > 0), 10)
}

fn count(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
}

impl Pod {
    /// Sets a run's probes up. `adopted`: they begin at once, with the last readiness kept.
    pub(super) fn begin_probes(&mut self, i: usize, now: Time, adopted: bool) {
        let c = &self.containers[i];
        let Some(run) = c.run() else { return };
        let started = run.started;
        let probes = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness]
            .into_iter()
            .filter_map(|kind| {
                let delay = seconds(of(c, kind)?.initial_delay_seconds, 0);
                let next = if adopted { now } else { started + delay };
                Some(Probing { kind, next, op: None, ok: 0, bad: 0, message: String::new() })
            })
            .collect();
        if let Some(run) = self.containers[i].run_mut() {
            run.probes = probes;
        }
    }

    fn eligible(&self, c: &Cont, run: &Run, kind: ProbeKind) -> bool {
        let quiet = run.paused || run.stop.is_some() || run.post_start.is_some() || self.mode != Mode::Active;
        let started = c.spec.startup_probe.is_none() || c.book.startup_done;
        !quiet && (kind == ProbeKind::Startup) != started
    }

    pub(super) fn probe_wake(&self, c: &Cont, run: &Run) -> Option<Time> {
        let due = run.probes.iter().filter(|p| p.op.is_none() && self.eligible(c, run, p.kind));
        due.map(|p| p.next).min()
    }

    /// Runs the probes that are due.
    pub(super) fn drive_probes(&mut self, i: usize, cx: &mut Cx<'_>) {
        if !cx.engine {
            return;
        }
        let c = &self.containers[i];
        let Some(run) = c.run() else { return };
        let due: Vec<ProbeKind> = run
            .probes
            .iter()
            .filter(|p| p.op.is_none() && p.next <= cx.now && self.eligible(c, run, p.kind))
            .map(|p| p.kind)
            .collect();
        for kind in due {
            let Some(probe) = of(&self.containers[i], kind).cloned() else { continue };
            let timeout = seconds(probe.timeout_seconds.filter(|n| *n > 0), 1);
            let target = self.probe_target(i, &probe);
            let next = cx.now + period(&probe);
            match target {
                Ok(target) => {
                    let op = cx.run(self.uid(), Purpose::Probe(i, kind), Work::Probe { target, timeout });
                    self.probing(i, kind, |p| (p.op, p.next) = (Some(op), next));
                }
                Err(message) => {
                    self.probing(i, kind, |p| p.next = next);
                    self.probe_result(i, kind, false, &message, cx);
                }
            }
        }
    }

    fn probing(&mut self, i: usize, kind: ProbeKind, f: impl FnOnce(&mut Probing)) {
        if let Some(p) = self.containers[i].run_mut().and_then(|r| r.probes.iter_mut().find(|p| p.kind == kind)) {
            f(p);
        }
    }

    fn probe_target(&self, i: usize, probe: &Probe) -> Result<Target, String> {
        if let Some(exec) = &probe.exec {
            let id = self.containers[i].run().map(|r| r.id.clone()).ok_or("the container does not run")?;
            return Ok(Target::Exec { id, command: exec.command.clone().unwrap_or_default() });
        }
        if let Some(http) = &probe.http_get {
            return self.http_target(i, http);
        }
        if let Some(tcp) = &probe.tcp_socket {
            return self.tcp_target(i, tcp.host.as_deref(), &tcp.port);
        }
        if let Some(grpc) = &probe.grpc {
            return self.grpc_target(i, grpc);
        }
        Err("the probe says nothing to do".into())
    }

    pub(super) fn probed(
        &mut self,
        i: usize,
        kind: ProbeKind,
        op: OpId,
        result: Result<Output, Failure>,
        cx: &mut Cx<'_>,
    ) {
        let current = self.containers[i].run().is_some_and(|r| r.probes.iter().any(|p| p.op == Some(op)));
        if !current {
            return;
        }
        self.probing(i, kind, |p| p.op = None);
        match result {
            Ok(Output::Probe { ok, message }) => self.probe_result(i, kind, ok, &message, cx),
            // The engine's trouble says nothing about the container.
            Err(Failure::Runtime(e @ (RuntimeError::EngineUnavailable { .. } | RuntimeError::Timeout { .. })))
                if !matches!(&e, RuntimeError::Timeout { .. }) => {}
            Err(failure) => self.probe_result(i, kind, false, &failure.to_string(), cx),
            Ok(_) => {}
        }
    }

    fn probe_result(&mut self, i: usize, kind: ProbeKind, ok: bool, message: &str, cx: &mut Cx<'_>) {
        let c = &self.containers[i];
        let (Some(run), Some(probe)) = (c.run(), of(c, kind)) else { return };
        if !self.eligible(c, run, kind) {
            return;
        }
        let (enough_ok, enough_bad) = (count(probe.success_threshold, 1), count(probe.failure_threshold, 3));
        let grace = probe.termination_grace_period_seconds;
        let (mut reached, mut told) = (None, false);
        self.probing(i, kind, |p| {
            if ok {
                (p.ok, p.bad) = (p.ok.saturating_add(1), 0);
                told = !p.message.is_empty();
                p.message.clear();
                reached = (p.ok == enough_ok).then_some(true);
            } else {
                (p.ok, p.bad) = (0, p.bad.saturating_add(1));
                let message: String = message.chars().take(MAX_MESSAGE).collect();
                told = p.message != message;
                p.message = message;
                reached = (p.bad == enough_bad).then_some(false);
            }
        });
        self.news |= told || reached.is_some();
        if !ok {
            let mut words = word(kind).to_owned();
            words[..1].make_ascii_uppercase();
            self.tell_of(i, Tone::Warning, "Unhealthy", &format!("{words} probe failed: {message}"), cx);
        }
        match (kind, reached) {
            (_, None) | (ProbeKind::Liveness, Some(true)) => {}
            (ProbeKind::Readiness, Some(ready)) => self.readiness(i, ready, cx),
            (ProbeKind::Startup, Some(true)) => {
                self.containers[i].book.startup_done = true;
                self.dirty = true;
                let now = cx.now;
                if let Some(run) = self.containers[i].run_mut() {
                    run.probes.iter_mut().for_each(|p| p.next = p.next.max(now));
                }
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Some(false)) => {
                let why = StopWhy::Failed(format!("failed {} probe: {message}", word(kind)));
                let grace = grace.and_then(|g| u64::try_from(g).ok()).map_or(self.grace(), Duration::from_secs);
                self.begin_stop(i, &why, grace, cx);
            }
        }
    }

    fn readiness(&mut self, i: usize, ready: bool, cx: &mut Cx<'_>) {
        let c = &mut self.containers[i];
        if c.book.ready != ready {
            c.book.ready = ready;
            self.dirty = true;
        }
        if !ready
            && cx.engine
            && let Some(id) = self.containers[i].run().map(|r| r.id.clone())
        {
            // Its output is the best cause there is, should its release fail for this.
            cx.run(self.uid(), Purpose::Tail(i), Work::Tail { id, lines: TAIL_LINES });
        }
    }

    /// What the readiness or startup probe of a container says while it fails.
    pub(super) fn probe_complaint(c: &Cont) -> Option<String> {
        let failing = c.run()?.probes.iter().find(|p| !p.message.is_empty() && p.kind != ProbeKind::Liveness)?;
        Some(format!("{}: {} probe failed: {}", c.spec.name, word(failing.kind), failing.message))
    }
}
