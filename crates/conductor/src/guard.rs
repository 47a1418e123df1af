//! Keeps one bad event or controller from taking the rest along.
//!
//! Two guards: a panic in an event's handling or a controller undoes the batch, which then runs
//! again without the guilty one; and a controller that writes the same object over and over
//! without an event from outside is parked.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use evenkeel_core::ControllerId;
use evenkeel_model::Key;

/// Writes of one controller to one object without an event from outside, from which on two
/// controllers are taken to undo each other. Long rollouts stay far below: every step of one
/// waits for an agent's report.
pub(crate) const WRITES_WITHOUT_EVENT: u32 = 20;

/// Runs something that may panic; gives the panic's message.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".into())
}

/// Who writes what, and who is parked.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    counts: BTreeMap<Key, BTreeMap<ControllerId, u32>>,
    parked: BTreeSet<(ControllerId, Key)>,
}

impl Writers {
    /// Something happened outside: counting begins anew, and parked controllers get a new chance.
    /// Gives those.
    pub(crate) fn event_from_outside(&mut self) -> Vec<(ControllerId, Key)> {
        self.counts.clear();
        std::mem::take(&mut self.parked).into_iter().collect()
    }

    /// Notes a write of `controller`, which looked at `at`, to `object`. When there are too many it
    /// is parked and the writers of that object are given.
    pub(crate) fn wrote(&mut self, controller: ControllerId, at: &Key, object: &Key) -> Option<Vec<ControllerId>> {
        let writers = self.counts.entry(object.clone()).or_default();
        let count = writers.entry(controller).or_default();
        *count += 1;
        if *count <= WRITES_WITHOUT_EVENT {
            return None;
        }
        self.parked.insert((controller, at.clone()));
        Some(writers.keys().copied().collect())
    }

    pub(crate) fn park(&mut self, controller: ControllerId, at: Key) {
        self.parked.insert((controller, at));
    }

    pub(crate) fn is_parked(&self, controller: ControllerId, at: &Key) -> bool {
        self.parked.contains(&(controller, at.clone()))
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;

    use super::*;

    #[test]
    fn endless_writers_are_parked_until_something_happens() {
        let mut writers = Writers::default();
        let key = Key::new(Kind::Deployment, "a", "b");
        for _ in 0..WRITES_WITHOUT_EVENT {
            assert_eq!(writers.wrote(ControllerId::Sync, &key, &key), None);
            assert_eq!(writers.wrote(ControllerId::Deployment, &key, &key), None);
        }
        let both = vec![ControllerId::Sync, ControllerId::Deployment];
        assert_eq!(writers.wrote(ControllerId::Sync, &key, &key), Some(both));
        assert!(writers.is_parked(ControllerId::Sync, &key));
        assert_eq!(writers.event_from_outside(), vec![(ControllerId::Sync, key.clone())]);
        assert!(!writers.is_parked(ControllerId::Sync, &key));
    }

    #[test]
    fn a_panic_is_caught_with_its_message() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| -> u32 { panic!("no {}", "way") }), Err("no way".to_string()));
    }
}
