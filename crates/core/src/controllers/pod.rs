//! Pods at their end: those that wait for a node or agent that will never answer, and orphans that
//! a source took; and their deletion by users. Deliberately not here: pods that run, which are their agent's.

use alloc::{string::ToString, sync::Arc};

use evenkeel_model::{Key, Kind, Object, Time, meta::Deletion};

use super::{ControllerId, gc, orphan, podstatus};
use crate::{
    ask::{Answer, DeleteOptions, Propagation, Refusal},
    change::{Change, Changed},
    cx::Cx,
    world::{World, deletion},
};

/// Marks a pod that is going, lost its node, or was taken by somebody; and all pods of a Node that
/// is gone.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Pod => {
            let Some(pod) = &changed.new else { return };
            let lost = pod.node.as_ref().is_some_and(|n| world.nodes.get(n).is_none_or(|n| !n.known));
            if pod.deleting() || lost || orphan::is_orphan(pod) {
                mark(changed.key.clone());
            }
        }
        Kind::Node if changed.new.is_none() => {
            world.pods.on_node(&changed.key.name).for_each(|k| mark(k.clone()));
        }
        _ => {}
    }
}

/// The status of a pod that was just made: `Pending`, with its class of service.
pub fn first_status(pod: &Object) -> Arc<[u8]> {
    podstatus::initial(&pod.body_map().remove("spec").unwrap_or_default())
}

/// Deletes a pod by a user's wish. Grace zero takes the object away at once, as in Kubernetes: its
/// agent still stops what runs, but nothing waits for it.
pub fn delete(world: &World, key: &Key, options: &DeleteOptions, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let pod = world.get(key).ok_or_else(|| Refusal::not_found(key))?;
    options.check(pod)?;
    if world.recovering.is_some() {
        return Err(Refusal::recovering());
    }
    if options.dry_run {
        return Ok(Answer::Object(key.clone()));
    }
    match end(world, pod, options, cx.now) {
        Some(Change::Delete(key)) => {
            cx.delete(key);
            Ok(Answer::Deleted(pod.clone()))
        }
        change => {
            cx.changes.extend(change);
            Ok(Answer::Object(key.clone()))
        }
    }
}

/// The write that ends a pod, or any other object; `None` where it is ending as fast already.
pub(crate) fn end(world: &World, pod: &Arc<Object>, options: &DeleteOptions, now: Time) -> Option<Change> {
    let finalizer = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(gc::FOREGROUND),
        Propagation::Orphan => Some(gc::ORPHAN),
    };
    let change = deletion::request(world, &pod.key, options.grace_seconds, now);
    // Nothing depends on a pod most of the time: then the three are one.
    let Some(finalizer) = finalizer.filter(|_| world.owned_by(pod.uid).next().is_some()) else {
        let pods = pod.key.kind == Kind::Pod;
        let at_once = pods && options.grace_seconds == Some(0) && pod.meta.finalizers.is_empty();
        return if at_once { Some(Change::Delete(pod.key.clone())) } else { change };
    };
    let mut marked = match change {
        Some(Change::Put(marked)) => Object::clone(&marked),
        _ => Object::clone(pod),
    };
    marked.meta.deletion.get_or_insert(Deletion { at: now, grace_seconds: 0 });
    if !marked.meta.finalizers.iter().any(|f| f == finalizer) {
        let finalizers = marked.meta.finalizers.iter().cloned().chain([finalizer.to_string()]);
        marked.meta.finalizers = finalizers.collect();
    }
    Some(Change::Put(Arc::new(marked)))
}

/// Looks at one pod.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let (Some(pod), Some(record)) = (world.get(key), world.pods.get(key)) else { return };
    if orphan::is_orphan(pod) && (pod.source().is_some() || record.controller.is_some()) {
        let mut taken = Object::clone(pod);
        orphan::unmark(&mut taken.meta);
        return cx.put(taken);
    }
    if world.recovering.is_some() {
        cx.wake(cx.now + core::time::Duration::from_secs(1), ControllerId::Pod, key.clone());
        return;
    }
    let node_known = record.node.as_ref().is_some_and(|n| world.nodes.get(n).is_some_and(|n| n.known));
    if node_known || !pod.meta.finalizers.is_empty() {
        return;
    }
    if record.terminating {
        // Nobody is left to confirm it.
        return cx.delete(key.clone());
    }
    if record.node.is_some() {
        // Bound to a name that may yet join: a grace, then its owner makes another.
        let at = record.created.max(cx.started) + cx.settings.node_grace;
        if at <= cx.now {
            cx.delete(key.clone());
        } else {
            cx.wake(at, ControllerId::Pod, key.clone());
        }
    }
}
