//! Timers are data in the conductor's state, not sleeping tasks.

use alloc::vec::Vec;

use evenkeel_model::{Key, Time};
use imbl::{OrdMap, OrdSet};

use crate::controllers::ControllerId;

/// One wish for each controller and key, the earliest first.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    by_time: OrdSet<(Time, ControllerId, Key)>,
    by_key: OrdMap<(ControllerId, Key), Time>,
}

impl Timers {
    /// Sets or replaces the wish of a controller for a key.
    pub fn set(&mut self, at: Time, controller: ControllerId, key: Key) {
        self.clear(controller, &key);
        self.by_time.insert((at, controller, key.clone()));
        self.by_key.insert((controller, key), at);
    }

    /// Takes a wish back: it is about to run anyway.
    pub fn clear(&mut self, controller: ControllerId, key: &Key) {
        if let Some(at) = self.by_key.remove(&(controller, key.clone())) {
            self.by_time.remove(&(at, controller, key.clone()));
        }
    }

    /// When the next one fires.
    pub fn next(&self) -> Option<Time> {
        self.by_time.get_min().map(|(at, _, _)| *at)
    }

    /// Takes those that are due, at most `limit`.
    pub fn due(&mut self, now: Time, limit: usize) -> Vec<(ControllerId, Key)> {
        let mut out = Vec::new();
        while out.len() < limit
            && let Some((at, controller, key)) = self.by_time.get_min().cloned()
            && at <= now
        {
            self.by_time.remove(&(at, controller, key.clone()));
            self.by_key.remove(&(controller, key.clone()));
            out.push((controller, key));
        }
        out
    }
}
