//! The scheduler: which node a pod goes to, and why none takes it.
//!
//! [`place`] decides for one pod and is shared with plans (`evenkeel diff`); the controller binds
//! pods that are bound nowhere. A pod that found no room waits in the world beside its like and is
//! looked at again when a node gained room, was added or changed: nothing polls.
//!
//! [`rebalance`] says which pods would be better off elsewhere, when somebody asks.
//!
//! Deliberately not here: affinity and preemption, which manifests may not ask for yet.

mod fit;
mod place;
pub mod rebalance;
mod retry;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object, Time};
use serde_json::json;

pub use fit::{Misfit, tolerates};
pub use place::{Candidate, Unschedulable, place, place_object};

use crate::{
    change::Changed,
    controllers::{ControllerId, podstatus},
    cx::{Cx, EventKind},
    world::World,
};

/// How often a recovering server's pods are looked at again; nothing is bound until it is over.
const RECOVERY_POLL: core::time::Duration = core::time::Duration::from_secs(1);

/// Marks pods that want a node, and nodes on which something may fit now.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Pod => {
            let record = world.pods.get(&changed.key);
            let wants = |r: &crate::world::pods::PodRecord| r.node.is_none() && !r.terminating && !r.finished();
            if let Some(r) = record
                && wants(r)
                && (!r.unschedulable || changed.old.is_none() || changed.body_changed())
            {
                mark(changed.key.clone());
            }
            // Room: the pod went, or ended.
            if let Some(node) = changed.old.as_ref().and_then(|o| o.node.as_ref())
                && record.is_none_or(|r| r.finished() || r.node.as_ref() != Some(node))
                && world.pods.any_waiting()
            {
                mark(Key::cluster(Kind::Node, node.clone()));
            }
        }
        Kind::Node if world.pods.any_waiting() => mark(changed.key.clone()),
        _ => {}
    }
}

/// Binds a pod; or looks who fits on a node that gained room.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    match key.kind {
        Kind::Pod => pod(world, key, cx),
        _ if key.name.is_empty() => retry::refresh(world, cx),
        _ => retry::node(world, key, cx),
    }
}

fn pod(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let (Some(object), Some(record)) = (world.get(key), world.pods.get(key)) else { return };
    if record.node.is_some() || record.terminating || record.finished() {
        return;
    }
    if world.recovering.is_some() {
        cx.wake(cx.now + RECOVERY_POLL, ControllerId::Scheduler, key.clone());
        return;
    }
    // A sibling of the same body was turned away and nothing changed since: the answer is known.
    if let Some(group) = world.pods.waiting_like(&object.body)
        && group.gains == world.nodes.gains()
        && let Some(message) =
            group.keys.iter().find(|k| *k != key).and_then(|k| world.get(k)).and_then(|o| podstatus::waits_for(o))
    {
        refuse(world, object, &message, cx);
        return;
    }
    match place(world, &record.shape, record.controller) {
        Ok(node) => bind(world, object, node, cx),
        Err(why) => refuse(world, object, &format!("{why}"), cx),
    }
}

/// Writes the binding.
fn bind(world: &World, object: &Object, node: alloc::sync::Arc<str>, cx: &mut Cx<'_>) {
    let mut bound = podstatus::with_condition(
        object,
        &json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": cx.now.rfc3339()}),
    );
    let message = format!("Successfully assigned {}/{} to {node}", object.key.namespace, object.key.name);
    bound.node = Some(node);
    cx.put(bound);
    cx.event(world, object, EventKind::Normal, "Scheduled", &message);
}

/// A new pod that names its node itself, bound there. Neither taints nor a node that is not ready or cordoned
/// stand against it, as in Kubernetes, whose kubelet then looks at the rest.
pub(crate) fn placed(world: &World, pod: &Object, node: &str, now: Time) -> Result<Object, String> {
    let record = world.nodes.get(node).ok_or("there is no such node")?;
    let against = fit::misfits(&world.pods.shape(&pod.body), record);
    if !against.is_empty() {
        return Err(against.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now.rfc3339()});
    Ok(podstatus::with_condition(pod, &condition))
}

/// Says why there is no node.
fn refuse(world: &World, object: &Object, message: &str, cx: &mut Cx<'_>) {
    let since = podstatus::since(object, "PodScheduled", "False").unwrap_or(cx.now);
    let next = podstatus::with_condition(
        object,
        &json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": since.rfc3339()}),
    );
    if next.status != object.status {
        cx.put(next);
        cx.event(world, object, EventKind::Warning, "FailedScheduling", message);
    }
}

#[cfg(test)]
mod tests;
