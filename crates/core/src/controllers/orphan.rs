//! Orphans: pods that an agent has and nothing in the world explains.
//!
//! They come from a database that was lost or is older than the nodes. `report` marks them; who
//! claims one takes the mark away; what nobody claims runs on untouched until a person decides:
//! [`adopt`] and [`remove`], asked for through `ask`. Deliberately not here: which ReplicaSet claims
//! which pod, which is the ReplicaSet controller's.

use alloc::{format, string::String, sync::Arc};

use evenkeel_model::{Key, Kind, Meta, Object, OwnerRef, Selector, names};

use super::replicaset;
use crate::{
    ask::{Answer, Refusal},
    cx::{Cx, EventKind},
    world::{World, deletion},
};

/// Whether a pod is one.
pub(crate) fn is_orphan(pod: &Object) -> bool {
    pod.meta.label(names::ORPHAN).is_some()
}

/// Marks a pod, and says why for people.
pub(crate) fn mark(meta: &mut Meta, why: impl Into<String>) {
    meta.set_label(names::ORPHAN, "true");
    meta.annotate(names::ORPHAN_REASON, why);
}

/// Takes the mark away: somebody explains the pod.
pub(crate) fn unmark(meta: &mut Meta) {
    if meta.label(names::ORPHAN).is_some() {
        Arc::make_mut(&mut meta.labels).remove(names::ORPHAN);
    }
    if meta.annotation(names::ORPHAN_REASON).is_some() {
        Arc::make_mut(&mut meta.annotations).remove(names::ORPHAN_REASON);
    }
}

/// The orphan of a name; refused for a pod that is none.
fn find<'a>(world: &'a World, key: &Key) -> Result<&'a Arc<Object>, Refusal> {
    let pod = world.get(key).ok_or_else(|| Refusal::not_found(key))?;
    if is_orphan(pod) {
        return Ok(pod);
    }
    let owner = pod.meta.controller().map(|o| format!("{} \"{}\"", o.kind, o.name));
    let owner = owner.or_else(|| pod.source().map(|s| format!("source \"{s}\"")));
    let whose = owner.map_or_else(String::new, |o| format!(": it belongs to {o}"));
    Err(Refusal::conflict(format!("pod \"{}\" is no orphan{whose}", key.name)))
}

/// `evenkeel orphan adopt`: a ReplicaSet whose selector fits gets it, and counts it among its own;
/// else it lives on as a plain pod that belongs to nobody. Nothing is stopped or restarted.
pub fn adopt(world: &World, key: &Key, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let pod = find(world, key)?;
    if pod.deleting() {
        return Err(Refusal::conflict(format!("pod \"{}\" is being removed already", key.name)));
    }
    let mut mine = Object::clone(pod);
    unmark(&mut mine.meta);
    let message = match fitting(world, pod) {
        Some(set) => {
            mine.meta.owners = [OwnerRef::controller(&set.key, set.uid)].into();
            format!("{user} gives the orphan to replica set {}", set.key.name)
        }
        None => format!("{user} takes the orphan on as a pod of its own"),
    };
    cx.event(world, pod, EventKind::Normal, "OrphanAdopted", &message);
    cx.put(mine);
    Ok(Answer::Object(key.clone()))
}

/// A ReplicaSet that would claim it.
fn fitting<'a>(world: &'a World, pod: &'a Object) -> Option<&'a Arc<Object>> {
    world.list(Kind::ReplicaSet, &pod.key.namespace).find(|set| {
        let selector = set.view::<replicaset::View>().ok().and_then(|v| Selector::from_k8s(&v.spec.selector).ok());
        !set.deleting() && selector.is_some_and(|s| !s.0.is_empty() && s.matches(&pod.meta.labels))
    })
}

/// `evenkeel orphan remove`: the pod ends with its grace.
pub fn remove(world: &World, key: &Key, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let pod = find(world, key)?;
    cx.event(world, pod, EventKind::Normal, "OrphanRemoved", &format!("{user} removes the orphan"));
    // Asked for once more it has nothing left to do.
    cx.changes.extend(deletion::request(world, key, None, cx.now));
    Ok(Answer::Object(key.clone()))
}
