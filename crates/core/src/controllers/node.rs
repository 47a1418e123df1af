//! Life of a node: silence, taints, the readiness of its pods, eviction; and what users ask of it.
//!
//! A node is silent when nothing was heard of it for the grace, counted from when this server began
//! to watch: at its start, and again after a pause in which nobody did. One that was silent before
//! stays so until it is heard. Words themselves are never written: only what follows from their absence is. While
//! more than half of the nodes are silent or not ready the fault is taken to be here, and nothing
//! is evicted or taken out. Deliberately not here: making the Node object (`report`).

mod evict;
mod local;
pub(crate) mod object;
mod range;
mod update;
mod usage;

pub(crate) use range::with_range;
pub use update::update;
pub use usage::{NodeUse, usage};

use alloc::{format, sync::Arc};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, Time};
use serde_json::{Value, json};

use super::{ControllerId, podstatus};
use crate::{
    ask::{Answer, Refusal},
    change::{Change, Changed},
    cx::{Cx, EventKind},
    world::World,
};
use object::Readiness;

/// How often a silent node is looked at while something holds its eviction back.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Marks a Node that changed, and the node of a pod bound where something is wrong.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Node if changed.new.is_some() => mark(changed.key.clone()),
        Kind::Node if world.nodes.without_range().next().is_some() => {
            // Its range is another one's now.
            world.nodes.without_range().for_each(|name| mark(Key::cluster(Kind::Node, name.clone())));
        }
        Kind::Pod => {
            let Some(node) = changed.new.as_ref().and_then(|n| n.node.as_ref()) else { return };
            let moved = changed.old.as_ref().is_none_or(|o| o.node.as_ref() != Some(node));
            let troubled =
                world.nodes.get(node).is_some_and(|n| n.known && n.taints.iter().any(|t| t.effect == "NoExecute"));
            if moved && troubled {
                mark(Key::cluster(Kind::Node, node.clone()));
            }
        }
        _ => {}
    }
}

/// Looks at one node.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(node) = world.get(key) else { return };
    let ranged = range::ensured(world, node, None, cx);
    if let Some(next) = ranged {
        // Looked at again after this is written.
        return cx.put(next);
    }
    let heard = world.nodes.last_heard(&key.name);
    let silent_at = heard.unwrap_or(cx.started).max(cx.started) + cx.settings.node_grace;
    let state = Readiness::of(node);
    if silent_at > cx.now {
        cx.wake(silent_at, ControllerId::Node, key.clone());
    } else if state != Readiness::Unknown {
        cx.put(object::silent(node, cx.now));
        let message = format!("Node {} has not been heard of for {} s", key.name, cx.settings.node_grace.as_secs());
        cx.event(world, node, EventKind::Warning, "NodeNotReady", &message);
        return;
    }
    let Some(again) = evict::look(world, node, state, cx) else { return };
    let wake = if silent_at > cx.now { again.min(silent_at) } else { again };
    cx.wake(wake, ControllerId::Node, key.clone());
}

/// Whether a change makes a node count as silent: from now on its pods are judged without it, and may
/// be replaced.
pub fn fell_silent(changed: &Changed) -> bool {
    let unknown = |node: &Arc<Object>| Readiness::of(node) == Readiness::Unknown;
    changed.key.kind == Kind::Node
        && changed.new.as_ref().is_some_and(unknown)
        && !changed.old.as_ref().is_some_and(unknown)
}

/// By the server's judgement a pod of a silent node is not ready.
fn not_ready(pod: &Object, now: Time) -> Option<Object> {
    let ready = podstatus::condition(pod, "Ready")?;
    if ready.get("status").and_then(Value::as_str) != Some("True") {
        return None;
    }
    Some(podstatus::with_condition(
        pod,
        &json!({"type": "Ready", "status": "False", "reason": "NodeNotReady",
            "message": "the node has not been heard of", "lastTransitionTime": now.rfc3339()}),
    ))
}

/// Deletes a Node: its pods are gone with it. One that is silent goes at once, wherever its machine
/// is. One that speaks must have no pods that still run: its agent would stop them, and what is not
/// drained is not replaced first. `force` says that this is meant; a dry run writes nothing.
pub fn remove(world: &World, name: &str, (force, dry_run): (bool, bool), cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let key = Key::cluster(Kind::Node, name);
    let node: Arc<Object> = world.get(&key).ok_or_else(|| Refusal::not_found(&key))?.clone();
    let pods = world.pods.on_node(name).filter(|k| !world.pods.finished(k)).count();
    if !force && pods > 0 && Readiness::of(&node) != Readiness::Unknown {
        return Err(Refusal::conflict(format!(
            "node \"{name}\" is there and has {pods} {}: drain it first (evenkeel node drain {name}), or stop them \
             with it by --force",
            if pods == 1 { "pod" } else { "pods" }
        )));
    }
    if !dry_run {
        cx.changes.extend(world.pods.on_node(name).cloned().map(Change::Delete));
        cx.delete(key);
    }
    Ok(Answer::Deleted(node))
}

#[cfg(test)]
mod tests;
