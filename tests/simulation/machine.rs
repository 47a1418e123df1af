//! A machine: the simulated node with the real agent logic, its power, its line to the server.

use std::time::Duration;

use evenkeel_agent::{
    driver::redial::Redial,
    sim::{SimNode, SimRegistry},
};
use evenkeel_model::Time;

use crate::line::Line;

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) sim: SimNode,
    pub(crate) line: Line,
    pub(crate) redial: Redial,
    /// A try to reach the server is on its way.
    pub(crate) dialing: bool,
    pub(crate) powered: bool,
    /// Somebody removes it from the cluster for good.
    pub(crate) leaving: bool,
    /// It stands still until then: a paused virtual machine.
    pub(crate) frozen: Time,
    /// When its line or its agent was in trouble last, for another reason than the server's absence.
    pub(crate) trouble: Time,
    /// When the server heard of it last.
    pub(crate) heard: Time,
}

impl Machine {
    pub(crate) fn new(sim: SimNode, now: Time) -> Self {
        let (line, redial) = (Line::new(now), Redial::default());
        Self { sim, line, redial, dialing: false, powered: true, leaving: false, frozen: now, trouble: now, heard: now }
    }

    /// Its line or its agent is in trouble, or was until now.
    pub(crate) fn disturbed(&mut self, now: Time) {
        self.trouble = self.trouble.max(now);
    }

    /// Whether it is in trouble, or was so a while ago.
    pub(crate) fn was_troubled(&self, now: Time, within: Duration) -> bool {
        let works = self.powered && self.frozen <= now && self.sim.logic.is_some();
        let line = self.line.is_open() && self.line.up.stuck.is_empty() && self.line.down.stuck.is_empty();
        !works || !line || self.trouble + within > now
    }

    /// It stands still until then.
    pub(crate) fn freeze(&mut self, until: Time) {
        // What waits for the end of a longer one is not overtaken by what comes after a shorter one.
        self.frozen = self.frozen.max(until);
        self.disturbed(self.frozen);
        self.sim.stand_still(self.frozen);
    }

    /// It goes on.
    pub(crate) fn thaw(&mut self, now: Time) {
        self.frozen = now;
        self.disturbed(now);
        self.sim.stand_still(now);
    }

    /// When something happens on it next.
    pub(crate) fn next(&self) -> Option<Time> {
        self.powered.then(|| self.sim.next()).flatten()
    }

    /// Lets what is due happen.
    pub(crate) fn run(&mut self, now: Time, registry: &SimRegistry) {
        if self.powered && self.sim.next().is_some_and(|at| at <= now) {
            self.sim.run_until(now, registry);
        }
    }
}
