//! A jump of the clock: every wait, and every time that is only compared with others of this life,
//! moves with it; what is told of the past (starts, ends, conditions) stays as it was told.
//!
//! Called for [`Input::ClockMoved`](super::command::Input::ClockMoved) alone. A new field with a time
//! in the logic belongs here or to what is told.

use evenkeel_model::Time;

use super::{
    AgentLogic,
    pod::{
        Mode, Pod, Sandbox, Volumes,
        container::{Cont, Run, State, Step},
    },
};

/// Moves a time.
pub(super) fn shift(at: &mut Time, millis: i64) {
    at.0 = at.0.saturating_add(millis);
}

impl AgentLogic {
    pub(super) fn clock_moved(&mut self, millis: i64) {
        for at in [&mut self.engine_since, &mut self.next_list, &mut self.list_from, &mut self.last_step] {
            shift(at, millis);
        }
        if let Some((_, deadline)) = &mut self.listing {
            shift(deadline, millis);
        }
        self.session.clock_moved(millis);
        self.ops.clock_moved(millis);
        self.drifts.clock_moved(millis);
        self.happened.clock_moved(millis);
        self.pods.values_mut().for_each(|pod| pod.clock_moved(millis));
    }
}

impl Pod {
    fn clock_moved(&mut self, millis: i64) {
        if let Mode::Deleting { until } = &mut self.mode {
            shift(until, millis);
        }
        if let Volumes::Held { until } = &mut self.volumes {
            shift(until, millis);
        }
        if let Sandbox::Held { until } = &mut self.sandbox {
            shift(until, millis);
        }
        if let Some((at, _)) = &mut self.sandbox_signal {
            shift(at, millis);
        }
        self.garbage.values_mut().for_each(|trash| shift(&mut trash.after, millis));
        self.containers.iter_mut().for_each(|c| c.clock_moved(millis));
    }
}

impl Cont {
    fn clock_moved(&mut self, millis: i64) {
        self.heals.iter_mut().for_each(|at| shift(at, millis));
        match &mut self.state {
            State::Held { until, .. } => shift(until, millis),
            State::Running(run) => run.clock_moved(millis),
            State::Ending { run, after, .. } => {
                shift(after, millis);
                run.clock_moved(millis);
            }
            State::Waiting
            | State::Fetching(_)
            | State::Fetched
            | State::Creating(_)
            | State::Created(_)
            | State::Starting { .. }
            | State::Ended { .. } => {}
        }
    }
}

impl Run {
    fn clock_moved(&mut self, millis: i64) {
        shift(&mut self.watched, millis);
        if let Some((at, _)) = &mut self.signal {
            shift(at, millis);
        }
        if let Some(stop) = &mut self.stop {
            shift(&mut stop.until, millis);
            if let Step::Retry(at) = &mut stop.step {
                shift(at, millis);
            }
        }
        self.probes.iter_mut().for_each(|p| shift(&mut p.next, millis));
    }
}
