//! A container's end: how it ended, who ended it, and whether it begins again.
//!
//! The engine tells a signal sent through it (`kill`) before the end (`die`): an end that follows a
//! signal which the agent did not send is a drift. Any other end is the container's own. An engine
//! that does not answer when it is asked about an end is itself the likely cause: the verdict waits.

use std::time::Duration;

use evenkeel_model::{
    Time,
    podstatus::{REASON_DRIFT, REASON_ENGINE},
};
use evenkeel_runtime::{ContainerId, ContainerInfo, ContainerState, RuntimeError};
use evenkeel_wire::DriftAction;

use super::{
    Mode, Pod,
    container::{Fix, Kind, Run, State, Step, StopWhy, Why},
};
use crate::logic::{
    command::{Failure, OpId, Output, Work},
    happened::Tone,
    journal::{Due, Terminated},
    ops::{Cx, Purpose, doubled},
    secrets,
    settings::{SIGNAL_WINDOW, TAIL_LINES},
};

/// Exit code where none is known: as after SIGKILL.
const KILLED: i32 = 137;
/// Reasons of ends.
const REASON_OOM: &str = "OOMKilled";
const REASON_ERROR: &str = "Error";
/// Signals after which a program is expected to end.
const DEADLY: [i32; 6] = [2, 3, 6, 9, 11, 15];

/// How a run ended, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    pub code: i32,
    pub oom: bool,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    pub error: String,
    /// The container itself is gone too.
    pub gone: bool,
}

/// Whose making an end was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Own,
    /// From outside, with the reason that the status shows; `None` for the plain one.
    Disturbed(Option<&'static str>),
}

/// How long a run was. The engine's times are the wall clock's, which may have been set meanwhile;
/// the agent's own may begin early, for a run that it found, or end late.
fn length(run: &Run, told: &Terminated, now: Time) -> Duration {
    let watched = now.since(run.watched);
    if told.finished < told.started { watched } else { told.finished.since(told.started).min(watched) }
}

impl Pod {
    /// The engine says that the current container's process ended.
    pub(super) fn died(&mut self, i: usize, code: Option<i32>, cx: &mut Cx<'_>) {
        let run = match std::mem::replace(&mut self.containers[i].state, State::Waiting) {
            State::Starting { op, id, .. } => {
                self.set(i, State::Starting { op, id, died: true });
                return;
            }
            State::Running(run) => run,
            other => {
                self.set(i, other);
                return;
            }
        };
        match (&run.stop, code) {
            // Our own stop: there is nothing to find out.
            (Some(stop), Some(code)) if !matches!(stop.why, StopWhy::Failed(_)) => {
                self.judge(i, &run, &End { code, ..End::default() }, cx);
            }
            _ => {
                self.set(i, State::Ending { op: None, run, died: code, after: cx.now });
                if cx.engine {
                    self.ask_the_end(i, cx);
                }
            }
        }
    }

    /// The engine went away: what it still says of an end may be the word of the next one, which ended all itself.
    pub(in crate::logic) fn engine_down(&mut self) {
        for c in &mut self.containers {
            if let State::Ending { op, .. } = &mut c.state {
                *op = None;
            }
        }
    }

    /// Asks the engine how a run ended.
    pub(super) fn ask_the_end(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        let uid = self.uid();
        if !cx.lost
            && let State::Ending { op, run, after, .. } = &mut self.containers[i].state
            && op.is_none()
            && *after <= cx.now
        {
            *op = Some(cx.run(uid, Purpose::Inspect(i), Work::Inspect { id: run.id.clone() }));
        }
        false
    }

    pub(super) fn inspected(&mut self, i: usize, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        let (run, died) = match std::mem::replace(&mut self.containers[i].state, State::Waiting) {
            State::Ending { op: Some(o), run, died, .. } if o == op => (run, died),
            other => {
                self.set(i, other);
                return;
            }
        };
        match result {
            Ok(Output::Inspected(Some(info))) => self.seen_at_the_end(i, *run, died, &info, cx),
            Ok(Output::Inspected(None)) | Err(Failure::Runtime(RuntimeError::NotFound { .. })) => {
                self.judge(i, &run, &End { code: died.unwrap_or(KILLED), gone: true, ..End::default() }, cx);
            }
            Err(Failure::Runtime(e)) if e.is_engine() => {
                let after = cx.now + cx.settings().engine_retry;
                self.set(i, State::Ending { op: None, run, died, after });
            }
            _ => self.judge(i, &run, &End { code: died.unwrap_or(KILLED), ..End::default() }, cx),
        }
    }

    /// Whether a container's start was begun and not seen to have succeeded.
    pub(super) fn start_is_open(&self, i: usize) -> bool {
        self.containers[i].book.due != Due::No || !self.containers[i].book.started
    }

    fn seen_at_the_end(&mut self, i: usize, mut run: Run, died: Option<i32>, info: &ContainerInfo, cx: &mut Cx<'_>) {
        match &info.state {
            ContainerState::Running { started, .. } | ContainerState::Paused { started, .. } => {
                if let Some(stop) = &mut run.stop {
                    stop.step = Step::Retry(cx.now);
                    self.set(i, State::Running(Box::new(run)));
                } else if self.start_is_open(i) {
                    self.started(i, Run::new(run.id, *started), false, cx);
                } else {
                    // Stopped and started again by someone.
                    let drift = self.drift(Some(i), DriftAction::Stopped, "running", "restarted");
                    cx.drift(drift.clone());
                    cx.drifts.healed(drift);
                    self.containers[i].book.due = Due::Disturbed;
                    self.note_last(
                        i,
                        &run,
                        &End { code: died.unwrap_or(KILLED), ..End::default() },
                        REASON_DRIFT,
                        "",
                        cx.now,
                    );
                    self.started(i, Run::new(run.id, *started), false, cx);
                }
            }
            ContainerState::Created => {
                self.set(i, State::Created(run.id));
            }
            ContainerState::Exited { code, oom, started, finished, error } => {
                let end = End {
                    code: *code,
                    oom: *oom,
                    started: Some(*started).filter(|t| t.0 > 0),
                    finished: Some(*finished).filter(|t| t.0 > 0),
                    error: error.clone(),
                    gone: false,
                };
                self.judge(i, &run, &end, cx);
            }
            ContainerState::Dead => {
                self.judge(i, &run, &End { code: died.unwrap_or(KILLED), gone: true, ..End::default() }, cx);
            }
        }
    }

    /// Finds who ended a run, and ends it in the book.
    pub(super) fn judge(&mut self, i: usize, run: &Run, end: &End, cx: &mut Cx<'_>) {
        if let Some(stop) = &run.stop {
            let (cause, message) = match &stop.why {
                StopWhy::Pod => (Cause::Own, ""),
                StopWhy::Failed(message) => (Cause::Own, message.as_str()),
                StopWhy::Changed => (Cause::Disturbed(None), "the pod's specification changed"),
                StopWhy::Disturbed(reason) => (Cause::Disturbed(Some(reason)), ""),
            };
            let message = message.to_owned();
            return self.ended(i, run, end, cause, &message, cx);
        }
        if self.containers[i].kind == Kind::Ephemeral {
            // Whoever ended it may: nobody promised that it runs.
            return self.ended(i, run, end, Cause::Own, "", cx);
        }
        match self.mode {
            Mode::Active => {}
            Mode::Rebuild(reason) => return self.ended(i, run, end, Cause::Disturbed(Some(reason)), "", cx),
            _ => return self.ended(i, run, end, Cause::Own, "", cx),
        }
        let signal = run.signal.filter(|(at, signal)| {
            cx.now.since(*at) <= SIGNAL_WINDOW && (DEADLY.contains(signal) || end.code == 128 + signal)
        });
        let told = run.oom.is_some_and(|at| cx.now.since(at) <= SIGNAL_WINDOW);
        let end = &End { oom: end.oom || told, ..end.clone() };
        let oom = end.oom && end.code == KILLED;
        if oom || (signal.is_none() && !end.gone) {
            return self.ended(i, run, end, Cause::Own, "", cx);
        }
        let action = match signal {
            _ if end.gone => DriftAction::Removed,
            Some((_, 9)) => DriftAction::Killed,
            _ => DriftAction::Stopped,
        };
        let live = if end.gone { "removed".to_owned() } else { format!("exited with code {}", end.code) };
        let drift = self.drift(Some(i), action, "running", &live);
        cx.drift(drift.clone());
        self.containers[i].open.push((Fix::Restart, drift));
        self.ended(i, run, end, Cause::Disturbed(Some(REASON_DRIFT)), "stopped from outside", cx);
    }

    /// The engine tells that memory ran out. It may say so only after the end that this explains, and
    /// the end itself then does not.
    pub(super) fn out_of_memory(&mut self, i: usize, id: &ContainerId, cx: &mut Cx<'_>) {
        if let State::Running(run) | State::Ending { run, .. } = &mut self.containers[i].state {
            run.oom = Some(cx.now);
            return;
        }
        let last = self.containers[i].book.last.as_mut();
        if let Some(last) = last.filter(|t| t.id == *id && t.code == KILLED && t.reason == REASON_ERROR) {
            last.reason = REASON_OOM.into();
            self.dirty = true;
            self.tell_of_oom(i, cx);
        }
    }

    fn tell_of_oom(&mut self, i: usize, cx: &mut Cx<'_>) {
        let message = format!("Container {} was killed: out of memory", self.containers[i].spec.name);
        self.tell_of(i, Tone::Warning, REASON_OOM, &message, cx);
    }

    fn note_last(&mut self, i: usize, run: &Run, end: &End, reason: &str, message: &str, now: Time) {
        self.containers[i].book.last = Some(Terminated {
            id: run.id.clone(),
            code: end.code,
            reason: reason.to_owned(),
            // What the container itself left as its message may hold anything.
            message: match message {
                "" => secrets::strike(&self.order, end.error.lines().map(str::to_owned).collect()).join("\n"),
                _ => message.to_owned(),
            },
            started: end.started.unwrap_or(run.started),
            finished: end.finished.unwrap_or(now),
        });
    }

    /// Writes an end into the book.
    pub(super) fn ended(&mut self, i: usize, run: &Run, end: &End, cause: Cause, message: &str, cx: &mut Cx<'_>) {
        let reason = match cause {
            Cause::Disturbed(Some(reason)) => reason,
            _ if end.oom && end.code == KILLED => REASON_OOM,
            _ if end.code == 0 => "Completed",
            _ => REASON_ERROR,
        };
        self.note_last(i, run, end, reason, message, cx.now);
        if reason == REASON_OOM {
            self.tell_of_oom(i, cx);
        }
        let (own, drifted) = (cause == Cause::Own, cause == Cause::Disturbed(Some(REASON_DRIFT)));
        let held = drifted && !self.order.self_heal;
        let stopping = matches!(run.stop.as_ref().map(|s| &s.why), Some(StopWhy::Pod));
        let c = &mut self.containers[i];
        c.book.ready = false;
        c.book.startup_done = false;
        c.book.due = if own { Due::Own } else { Due::Disturbed };
        c.state = State::Ended { held };
        if end.gone {
            c.book.id = None;
        }
        if c.kind == Kind::Init && own && end.code == 0 {
            (c.book.completed, c.book.due) = (true, Due::No);
        }
        let ran = c.book.last.as_ref().map_or(Duration::ZERO, |t| length(run, t, cx.now));
        if ran >= cx.settings().crash_reset {
            c.book.backoff_millis = 0;
        }
        self.dirty = true;
        // A good end is a failure as well where it is to run for ever.
        let failed = own && !stopping && (end.code != 0 || run.stop.is_some() || self.restarts(i));
        if failed && cx.engine && !end.gone && self.containers[i].kind != Kind::Ephemeral {
            cx.run(self.uid(), Purpose::Tail(i), Work::Tail { id: run.id.clone(), lines: TAIL_LINES });
        }
    }

    /// An end that the engine's own going away explains.
    pub(super) fn ended_with_the_engine(&mut self, i: usize, run: &Run, end: &End, cx: &mut Cx<'_>) {
        self.ended(i, run, end, Cause::Disturbed(Some(REASON_ENGINE)), "the container engine restarted", cx);
    }

    pub(super) fn tailed(&mut self, i: usize, result: Result<Output, Failure>) {
        // Output that cannot be read is left out of the cause: the end itself is told anyway.
        if let Ok(Output::Logs(lines)) = result {
            self.containers[i].logs = secrets::strike(&self.order, lines);
        }
    }

    /// Whether a container that ended begins again.
    pub(super) fn restarts(&self, i: usize) -> bool {
        let book = &self.containers[i].book;
        self.restarts_after(i, book.due == Due::Disturbed, book.last.as_ref().map_or(0, |t| t.code))
    }

    /// Whether one does that ends with this code, by somebody else's doing or by its own.
    pub(super) fn restarts_after(&self, i: usize, disturbed: bool, code: i32) -> bool {
        let c = &self.containers[i];
        match c.kind {
            Kind::Init => !c.book.completed && (disturbed || self.policy() != "Never"),
            Kind::Sidecar => true,
            Kind::Ephemeral => false,
            Kind::Main => match self.policy() {
                "Never" => false,
                "OnFailure" => disturbed || code != 0,
                _ => true,
            },
        }
    }

    /// What follows an end: begin again, at once or after a wait, or stay.
    pub(super) fn decide(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        if self.mode != Mode::Active || !self.restarts(i) {
            return false;
        }
        let (wait, from) = if self.containers[i].book.due == Due::Disturbed {
            (self.heal_wait(i, cx), cx.now)
        } else {
            let s = cx.settings();
            let book = &mut self.containers[i].book;
            let wait = Duration::from_millis(book.backoff_millis);
            let next = doubled(wait, s.crash_first, s.crash_max);
            book.backoff_millis = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
            // The engine's clock may have been set back since the start.
            (wait, book.last.as_ref().filter(|t| t.finished >= t.started).map_or(cx.now, |t| t.finished.min(cx.now)))
        };
        self.dirty = true;
        let until = from + wait;
        if until <= cx.now {
            return self.set(i, State::Waiting);
        }
        let told = format!(
            "Back-off restarting failed container {} in pod {}_{}({})",
            self.containers[i].spec.name, self.order.name, self.order.namespace, self.order.uid
        );
        self.tell_of(i, Tone::Warning, "BackOff", &told, cx);
        let message = format!(
            "back-off {}s restarting failed container={} pod={}_{}({})",
            wait.as_secs(),
            self.containers[i].spec.name,
            self.order.name,
            self.order.namespace,
            self.order.uid
        );
        self.set(i, State::Held { until, why: Why { reason: "CrashLoopBackOff".into(), message } })
    }

    /// Heals are at once until there were too many.
    fn heal_wait(&mut self, i: usize, cx: &Cx<'_>) -> Duration {
        let s = cx.settings();
        let c = &mut self.containers[i];
        if c.book.last.as_ref().is_none_or(|t| t.reason != REASON_DRIFT) {
            return Duration::ZERO;
        }
        c.heals.retain(|at| cx.now.since(*at) < s.contested_window);
        c.heals.push(cx.now);
        let beyond = c.heals.len().saturating_sub(s.contested_count);
        (0..beyond).fold(Duration::ZERO, |wait, _| doubled(wait, s.crash_first, s.crash_max))
    }
}
