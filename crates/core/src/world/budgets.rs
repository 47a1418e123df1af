//! PodDisruptionBudgets by namespace, with their selectors decoded: which of them guard a pod is
//! asked with each change of a pod.

use alloc::sync::Arc;

use evenkeel_model::{Key, Kind, Labels, Selector};
use imbl::OrdMap;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;

use crate::change::Changed;

/// All budgets.
#[derive(Debug, Clone, Default)]
pub struct Budgets {
    selectors: OrdMap<Key, Arc<Guard>>,
}

/// What a budget selects. An absent selector selects nothing, an empty one everything, as in
/// policy/v1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// No pod.
    Nothing,
    /// The pods of its namespace that match.
    Pods(Selector),
}

impl Budgets {
    /// Keys of the budgets that guard a pod with these labels.
    pub fn guarding<'a>(&'a self, namespace: &'a str, labels: &'a Labels) -> impl Iterator<Item = &'a Key> + 'a {
        let guards = |guard: &Guard| matches!(guard, Guard::Pods(s) if s.matches(labels));
        self.entries(namespace).filter(move |(_, guard)| guards(guard)).map(|(key, _)| key)
    }

    /// Keys of all budgets of a namespace.
    pub fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Key> + 'a {
        self.entries(namespace).map(|(key, _)| key)
    }

    /// What a budget selects; nothing if it is not there.
    pub fn guard(&self, budget: &Key) -> &Guard {
        self.selectors.get(budget).map_or(&Guard::Nothing, |g| g)
    }

    fn entries<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Guard)> + 'a {
        let from = Key::new(Kind::PodDisruptionBudget, namespace, "");
        self.selectors.range(from..).take_while(move |(k, _)| &*k.namespace == namespace).map(|(k, g)| (k, &**g))
    }

    /// Follows a budget's object. A selector that cannot be read (it was checked when it came in)
    /// selects nothing.
    pub(super) fn update(&mut self, changed: &Changed) {
        let Some(object) = &changed.new else {
            self.selectors.remove(&changed.key);
            return;
        };
        if changed.old.is_some() && !changed.body_changed() {
            return;
        }
        let spec: PodDisruptionBudgetSpec = object.spec().unwrap_or_default();
        let selector = spec.selector.as_ref().and_then(|s| Selector::from_k8s(s).ok());
        self.selectors.insert(changed.key.clone(), Arc::new(selector.map_or(Guard::Nothing, Guard::Pods)));
    }
}
