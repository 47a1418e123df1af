//! What applying documents over others would do: objects made, changed, deleted, workloads touched.
//!
//! Called when a revision is checked, applied, taken back or planned. Deliberately not here: the
//! writes themselves (`sync.rs`).

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Doc, Key, Kind, Snapshot, names, own::Changes};

use super::prune::{self, Left};
use crate::world::World;

/// The difference between two sets of documents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delta {
    pub(crate) created: Vec<Key>,
    pub(crate) changed: Vec<Key>,
    pub(crate) deleted: Vec<Key>,
    /// Not wanted any more, and yet they stay: why.
    pub(crate) kept: Vec<(Key, &'static str)>,
    pub(crate) unchanged: u32,
    pub(crate) workloads: Vec<Key>,
}

/// Kinds that run pods.
pub(crate) fn is_workload(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::ReplicaSet | Kind::Pod)
}

impl Delta {
    /// From `old` to `new` of a source.
    pub(crate) fn between(world: &World, source: &str, old: &Snapshot, new: &Snapshot) -> Self {
        let mut out = Self::default();
        let mut contents: BTreeSet<&Key> = BTreeSet::new();
        for doc in &new.docs {
            match old.get(&doc.key) {
                Some(before) if before.digest == doc.digest => out.unchanged += 1,
                before => {
                    if before.is_none() && world.get(&doc.key).is_none() {
                        out.created.push(doc.key.clone());
                    } else {
                        out.changed.push(doc.key.clone());
                    }
                    if matches!(doc.key.kind, Kind::ConfigMap | Kind::Secret) && before.is_some() {
                        contents.insert(&doc.key);
                    }
                }
            }
        }
        for doc in old.docs.iter().filter(|d| new.get(&d.key).is_none()) {
            match prune::left(world, source, &doc.key, new) {
                Left::Goes => out.deleted.push(doc.key.clone()),
                Left::Stays(why) => out.kept.push((doc.key.clone(), why)),
                Left::NotOurs => {}
            }
        }
        out.workloads = new
            .docs
            .iter()
            .filter(|d| is_workload(d.key.kind))
            .filter(|d| {
                old.get(&d.key).is_none_or(|b| b.value.get("spec") != d.value.get("spec")) || rolls(d, &contents)
            })
            .map(|d| d.key.clone())
            .collect();
        out
    }

    /// What stays although its source does not want it, in sentences.
    pub(crate) fn stays(&self) -> impl Iterator<Item = String> + '_ {
        self.kept.iter().map(|(key, why)| format!("{key} is not in the source any more and stays: {why}"))
    }

    /// As a Release counts it.
    pub(crate) fn counts(&self) -> Changes {
        let count = |list: &[Key]| u32::try_from(list.len()).unwrap_or(u32::MAX);
        Changes {
            created: count(&self.created),
            changed: count(&self.changed),
            deleted: count(&self.deleted),
            unchanged: self.unchanged,
        }
    }
}

/// Whether a change of these ConfigMaps and Secrets rolls the pods of a workload.
fn rolls(doc: &Arc<Doc>, contents: &BTreeSet<&Key>) -> bool {
    let annotation = doc.value.get("metadata").and_then(|m| m.get("annotations")?.get(names::ROLL_ON_CONFIG)?.as_str());
    doc.key.kind == Kind::Deployment
        && annotation != Some("false")
        && doc.references.iter().any(|r| contents.contains(&r.key))
}

/// All workloads of a snapshot, as a Release names them.
pub(crate) fn workloads_of(snapshot: &Snapshot) -> Vec<String> {
    snapshot.docs.iter().filter(|d| is_workload(d.key.kind)).map(|d| d.key.to_string()).collect()
}
