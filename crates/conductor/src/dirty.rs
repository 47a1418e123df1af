//! The queue of work: which controller shall look at which key, each pair once. Persistent, because
//! each step keeps a copy of it in case the batch has to be undone.
//!
//! Two lanes. What brings objects to their source's state goes first: a commit that changes a
//! ConfigMap and a template then has both written before the Deployment's controller looks, and
//! rolls once.

use evenkeel_core::ControllerId;
use evenkeel_model::Key;
use imbl::{OrdSet, Vector};

/// First come, first served in each lane; a pair that waits is not queued again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirty {
    first: Vector<(ControllerId, Key)>,
    rest: Vector<(ControllerId, Key)>,
    waiting: OrdSet<(ControllerId, Key)>,
}

impl Dirty {
    pub(crate) fn mark(&mut self, controller: ControllerId, key: Key) {
        let pair = (controller, key);
        if self.waiting.insert(pair.clone()).is_none() {
            let lane = if controller == ControllerId::Sync { &mut self.first } else { &mut self.rest };
            lane.push_back(pair);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(ControllerId, Key)> {
        let pair = self.first.pop_front().or_else(|| self.rest.pop_front())?;
        self.waiting.remove(&pair);
        Some(pair)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
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

    #[test]
    fn what_a_commit_changes_is_written_before_anything_acts_on_it() {
        let mut dirty = Dirty::default();
        let [web, config] = [(Kind::Deployment, "web"), (Kind::ConfigMap, "web")].map(|(k, n)| Key::new(k, "shop", n));
        dirty.mark(ControllerId::Sync, web.clone());
        dirty.mark(ControllerId::Deployment, web.clone());
        dirty.mark(ControllerId::Sync, config.clone());
        let order: Vec<_> = core::iter::from_fn(|| dirty.pop()).collect();
        let expected =
            [(ControllerId::Sync, web.clone()), (ControllerId::Sync, config), (ControllerId::Deployment, web)];
        assert_eq!(order, expected);
    }
}
