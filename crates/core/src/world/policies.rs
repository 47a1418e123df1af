//! NetworkPolicies by what is asked with each change: which selectors of theirs take a pod, and which
//! pods a selector takes.
//!
//! Kept with each write. A selector is filed under one pair of labels that it asks for, so that a
//! pod's change costs a look at the few that may fit, however many policies there are. Deliberately not
//! here: what agents are told (`policy`).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Key, Kind, Object, Selector,
    labels::Requirement,
    policy::{PolicyNet, Selection},
};
use imbl::{OrdMap, OrdSet};

use super::World;
use crate::{change::Changed, policy};

/// The label that every namespace has, with its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The namespaces whose pods a selector takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// This one.
    One(Arc<str>),
    /// Those with these labels.
    With(Selector),
}

/// A selector of pods, as a policy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Where.
    pub namespaces: Namespaces,
    /// Which there.
    pub pods: Selector,
}

impl Chosen {
    /// A text that says all of it.
    pub fn name(&self) -> Selection {
        let pods = text(&self.pods);
        match &self.namespaces {
            Namespaces::One(namespace) => format!("{namespace}/{pods}").into(),
            Namespaces::With(labels) => format!("[{}]/{pods}", text(labels)).into(),
        }
    }

    /// The one namespace, and a pair of labels that pods must have: what it is filed under.
    fn place(&self) -> Place {
        let namespace = match &self.namespaces {
            Namespaces::One(namespace) => Some(namespace.clone()),
            Namespaces::With(_) => None,
        };
        let pair = self.pods.0.iter().find_map(|r| match r {
            Requirement::In(key, values) => match values.as_slice() {
                [value] => Some((key.clone(), value.clone())),
                _ => None,
            },
            _ => None,
        });
        (namespace, pair)
    }

    /// Keys of the pods that it takes.
    pub fn pods<'w>(&self, world: &'w World) -> Vec<&'w Key> {
        let namespaces: Vec<Arc<str>> = match &self.namespaces {
            Namespaces::One(namespace) => [namespace.clone()].into(),
            Namespaces::With(labels) => {
                let all = world.list(Kind::Namespace, "").map(|n| n.key.name.clone());
                all.filter(|n| labels.matches(&namespace_labels(world, n))).collect()
            }
        };
        let there = namespaces.iter().flat_map(|n| world.pods.selected(n, &self.pods));
        there.filter_map(|key| world.get(key)).map(|pod| &pod.key).collect()
    }
}

/// The labels of a namespace, with its name among them.
pub fn namespace_labels(world: &World, name: &str) -> BTreeMap<String, String> {
    let object = world.get(&Key::cluster(Kind::Namespace, name));
    let mut labels = object.map(|n| (*n.meta.labels).clone()).unwrap_or_default();
    labels.insert(NAMESPACE_NAME.into(), name.into());
    labels
}

fn text(selector: &Selector) -> String {
    let mut all: Vec<String> = selector.0.iter().map(demand).collect();
    all.sort();
    all.dedup();
    all.join(",")
}

fn demand(requirement: &Requirement) -> String {
    let list = |values: &[String]| {
        let values: BTreeSet<&str> = values.iter().map(String::as_str).collect();
        values.into_iter().collect::<Vec<_>>().join("|")
    };
    match requirement {
        Requirement::In(key, values) => format!("{key}={}", list(values)),
        Requirement::NotIn(key, values) => format!("{key}!={}", list(values)),
        Requirement::Exists(key) => key.clone(),
        Requirement::Absent(key) => format!("!{key}"),
        Requirement::Greater(key, than) => format!("{key}>{than}"),
        Requirement::Less(key, than) => format!("{key}<{than}"),
    }
}

type Place = (Option<Arc<str>>, Option<(String, String)>);

/// All NetworkPolicies.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    records: OrdMap<Key, Arc<PolicyNet>>,
    /// Selectors that a policy has, and how many do.
    chosen: OrdMap<Selection, (Arc<Chosen>, u32)>,
    filed: OrdMap<Place, OrdSet<Selection>>,
}

impl Policies {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A policy as agents are told of it.
    pub fn get(&self, key: &Key) -> Option<&Arc<PolicyNet>> {
        self.records.get(key)
    }

    /// Keys of all.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.records.keys()
    }

    /// The selectors of all policies that take a pod with these labels, in order.
    pub fn taking(&self, world: &World, namespace: &Arc<str>, labels: &BTreeMap<String, String>) -> Vec<Selection> {
        if self.chosen.is_empty() {
            return Vec::new();
        }
        let around = namespace_labels(world, namespace);
        let pairs = labels.iter().map(|(k, v)| Some((k.clone(), v.clone()))).chain([None]);
        let mut out = Vec::new();
        for pair in pairs {
            for scope in [Some(namespace.clone()), None] {
                for name in self.filed.get(&(scope, pair.clone())).into_iter().flatten() {
                    let Some((chosen, _)) = self.chosen.get(name) else { continue };
                    let here = match &chosen.namespaces {
                        Namespaces::One(one) => one == namespace,
                        Namespaces::With(selector) => selector.matches(&around),
                    };
                    if here && chosen.pods.matches(labels) {
                        out.push(name.clone());
                    }
                }
            }
        }
        out.sort();
        out
    }

    /// Follows a policy's object.
    pub(super) fn update(&mut self, changed: &Changed) {
        let read = |o: &Option<Arc<Object>>| o.as_deref().map(policy::read);
        let (old, new) = (read(&changed.old), read(&changed.new));
        for (name, chosen) in new.iter().flat_map(|p| &p.chosen) {
            let place = chosen.place();
            let (_, users) = self.chosen.entry(name.clone()).or_insert_with(|| (Arc::new(chosen.clone()), 0));
            *users += 1;
            self.filed.entry(place).or_default().insert(name.clone());
        }
        for name in old.iter().flat_map(|p| p.chosen.keys()) {
            let Some((chosen, users)) = self.chosen.get_mut(name) else { continue };
            *users -= 1;
            if *users > 0 {
                continue;
            }
            let place = chosen.place();
            self.chosen.remove(name);
            if let Some(set) = self.filed.get_mut(&place) {
                set.remove(name);
                if set.is_empty() {
                    self.filed.remove(&place);
                }
            }
        }
        match new {
            Some(new) => self.records.insert(changed.key.clone(), Arc::new(new.net)),
            None => self.records.remove(&changed.key),
        };
    }
}
