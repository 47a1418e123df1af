//! Pods at their end: those that wait for a node or agent that will never answer, and orphans that
//! a source took. Deliberately not here: pods that run, which are their agent's.

use alloc::sync::Arc;

use evenkeel_model::{Key, Kind, Object};

use super::{ControllerId, orphan, podstatus};
use crate::{change::Changed, cx::Cx, world::World};

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
