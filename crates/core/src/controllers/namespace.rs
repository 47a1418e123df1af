//! Namespaces: those that every cluster has, and their end, which empties them first.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, canonical};
use serde_json::{Value, json};

use crate::{
    change::Changed,
    cx::Cx,
    world::{World, deletion},
};

/// Namespaces that exist in every cluster, as in Kubernetes.
pub(crate) const DEFAULTS: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// Objects asked to go in one run; the rest in the next.
const BURST: usize = 500;

/// Marks a Namespace that changed, and one that is going whenever something in it went.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    if changed.key.kind == Kind::Namespace {
        if changed.new.is_some() {
            mark(changed.key.clone());
        }
        return;
    }
    if changed.key.kind.namespaced() && (changed.new.is_none() || changed.old.is_none()) {
        let namespace = Key::cluster(Kind::Namespace, changed.key.namespace.clone());
        if world.get(&namespace).is_some_and(|n| n.deleting()) {
            mark(namespace);
        }
    }
}

/// Looks at one namespace.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(namespace) = world.get(key) else { return };
    if namespace.deleting() && world.recovering.is_some() {
        cx.wake(cx.now + core::time::Duration::from_secs(1), super::ControllerId::Namespace, key.clone());
        return;
    }
    let phase = if namespace.deleting() { "Terminating" } else { "Active" };
    if namespace.deleting() && empty_out(world, &key.name, cx) && namespace.meta.finalizers.is_empty() {
        return cx.delete(key.clone());
    }
    let status = json!({"phase": phase});
    if namespace.status::<Value>().ok().flatten().and_then(|s| s.get("phase").cloned()).as_ref() != status.get("phase")
    {
        cx.put(namespace.with_status(&status));
    }
}

/// Asks everything in a namespace to go; says whether nothing is left.
fn empty_out(world: &World, name: &Arc<str>, cx: &mut Cx<'_>) -> bool {
    // Workloads before their dependents: they would only make new ones.
    let custom = world.customs.iter().map(|d| d.stored);
    let mut kinds: Vec<Kind> = Kind::ALL.iter().copied().chain(custom).filter(|k| k.namespaced()).collect();
    kinds.sort_by_key(|k| core::cmp::Reverse(*k));
    let mut left = 0_usize;
    for object in kinds.into_iter().flat_map(|kind| world.list(kind, name)) {
        left += 1;
        if left > BURST {
            break;
        }
        cx.changes.extend(deletion::request(world, &object.key, None, cx.now));
    }
    left == 0
}

/// Makes the namespaces that every cluster has, where they are missing.
pub fn ensure_defaults(world: &World, cx: &mut Cx<'_>) {
    for name in DEFAULTS {
        let key = Key::cluster(Kind::Namespace, name);
        if world.get(&key).is_some() {
            continue;
        }
        let mut namespace: Object = cx.draft(key, &json!({"spec": {"finalizers": ["kubernetes"]}}));
        namespace.meta.set_label("kubernetes.io/metadata.name", name);
        namespace.status = canonical::value_bytes(&json!({"phase": "Active"})).into();
        cx.put(namespace);
    }
}
