//! The queue of work: which controller shall look at which key, each pair once. Persistent, because
//! each step keeps a copy of it in case the batch has to be undone.

use evenkeel_core::ControllerId;
use evenkeel_model::Key;
use imbl::{OrdSet, Vector};

/// First come, first served; a pair that waits is not queued again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirty {
    queue: Vector<(ControllerId, Key)>,
    waiting: OrdSet<(ControllerId, Key)>,
}

impl Dirty {
    pub(crate) fn mark(&mut self, controller: ControllerId, key: Key) {
        let pair = (controller, key);
        if self.waiting.insert(pair.clone()).is_none() {
            self.queue.push_back(pair);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(ControllerId, Key)> {
        let pair = self.queue.pop_front()?;
        self.waiting.remove(&pair);
        Some(pair)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;

    use super::*;

    #[test]
    fn a_waiting_pair_is_queued_once() {
        let mut dirty = Dirty::default();
        let key = Key::new(Kind::Pod, "a", "b");
        dirty.mark(ControllerId::Pod, key.clone());
        dirty.mark(ControllerId::Scheduler, key.clone());
        dirty.mark(ControllerId::Pod, key.clone());
        assert_eq!(dirty.len(), 2);
        assert_eq!(dirty.pop(), Some((ControllerId::Pod, key.clone())));
        dirty.mark(ControllerId::Pod, key.clone());
        assert_eq!(dirty.pop(), Some((ControllerId::Scheduler, key.clone())));
        assert_eq!(dirty.pop(), Some((ControllerId::Pod, key)));
        assert!(dirty.is_empty());
    }
}
