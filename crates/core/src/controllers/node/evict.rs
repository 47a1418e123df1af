//! Pods of a node that is lost or tainted: they stop counting as ready, and after their toleration
//! they are asked to go, so that others take their place.
//!
//! Pods that cannot be elsewhere stay (`local`). A wait begins anew, the grace first, then the
//! toleration, where it began under an earlier server, and when most nodes were away and come back:
//! those that come last are no more at fault than the others. The latter is what Kubernetes' node
//! lifecycle controller does when it leaves full disruption.

use alloc::{string::ToString, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Object, Time};
use k8s_openapi::api::core::v1::{Taint, Toleration};
use serde_json::json;

use super::{LOOK_AGAIN, local, not_ready, object::Readiness};
use crate::{
    controllers::podstatus,
    cx::{Cx, EventKind},
    scheduler::tolerates,
    world::{World, deletion, nodes::EVICTING, pods::PodRecord},
};

/// Pods evicted in one run; the rest in the next.
const BURST: usize = 250;

/// Looks at the pods of a node. Gives when to look again, if time alone can change anything.
pub(super) fn look(world: &World, node: &Arc<Object>, state: Readiness, cx: &mut Cx<'_>) -> Option<Time> {
    let record = world.nodes.get(&node.key.name)?;
    let taints: Vec<&Taint> = record.taints.iter().filter(|t| t.effect == "NoExecute").collect();
    if taints.is_empty() {
        local::release(world, node, cx);
        return None;
    }
    let silent = state == Readiness::Unknown;
    let away = !matches!(state, Readiness::Ready);
    if away && world.nodes.are_mostly_away() {
        return Some(cx.now + LOOK_AGAIN);
    }
    let mut next: Option<Time> = None;
    let mut due: Vec<&Key> = Vec::new();
    for key in world.pods.on_node(&node.key.name) {
        let Some(pod) = world.pods.get(key).filter(|p| !p.finished()) else { continue };
        // One that is to go as well: a Service leads to such where it has no others.
        if silent
            && pod.ready_since.is_some()
            && let Some(judged) = world.get(key).and_then(|o| not_ready(o, cx.now))
        {
            cx.put(judged);
        }
        if pod.terminating {
            continue;
        }
        // A taint that somebody set moves any pod; a node's state does not move its data.
        let (by_hand, by_state): (Vec<&Taint>, Vec<&Taint>) = taints.iter().partition(|t| !is_state(t));
        let counts = if pod.shape.local_volume.is_some() { &by_hand } else { &taints };
        match evict_at(world, pod, counts, cx) {
            Some(at) if at <= cx.now => due.push(key),
            Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
            None => {}
        }
        let Some(volume) = &pod.shape.local_volume else { continue };
        match evict_at(world, pod, &by_state, cx) {
            Some(at) if at <= cx.now => local::hold(world, node, key, volume, cx),
            Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
            None => {}
        }
    }
    if due.is_empty() {
        return next;
    }
    if away && let Some(wait) = turn(world, node, cx) {
        return Some(next.map_or(wait, |n| n.min(wait)));
    }
    if away && node.meta.annotation(EVICTING).is_none() {
        let mut marked = Object::clone(node);
        marked.meta.annotate(EVICTING, cx.now.rfc3339());
        cx.put(marked);
        let message = alloc::format!("Evicting {} pods of node {}", due.len(), node.key.name);
        cx.event(world, node, EventKind::Warning, "EvictingPods", &message);
    }
    let more = due.len() > BURST;
    for key in due.into_iter().take(BURST) {
        evict(world, key, cx);
    }
    if more { Some(cx.now) } else { next }
}

/// When a pod goes: the earliest of what its tolerations leave it; never if they leave it for ever.
fn evict_at(world: &World, pod: &PodRecord, taints: &[&Taint], cx: &Cx<'_>) -> Option<Time> {
    taints.iter().filter_map(|taint| taint_due(world, pod, taint, cx)).min()
}

/// Whether the server set a taint by the node's state.
fn is_state(taint: &Taint) -> bool {
    taint.key.starts_with("node.kubernetes.io/")
}

fn taint_due(world: &World, pod: &PodRecord, taint: &Taint, cx: &Cx<'_>) -> Option<Time> {
    let value = taint.value.as_deref().unwrap_or("");
    let mut matching = pod.shape.tolerations.iter().filter(|t| tolerates(t, &taint.key, value, "NoExecute")).peekable();
    let lifecycle = is_state(taint);
    let seconds = if matching.peek().is_some() {
        let shortest = |t: &Toleration| t.toleration_seconds;
        if matching.clone().all(|t| t.toleration_seconds.is_none()) {
            return None;
        }
        matching.filter_map(shortest).min().unwrap_or(0)
    } else if lifecycle {
        // A pod that nobody gave the usual tolerations, such as one of a source itself.
        i64::try_from(cx.settings.default_toleration.as_secs()).unwrap_or(i64::MAX)
    } else {
        0
    };
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let added = taint.time_added.as_ref().map_or(cx.now, |t| Time(t.0.as_millisecond()));
    let begins = world.nodes.mostly_away_until().map_or(cx.started, |at| at.max(cx.started));
    let watched = if lifecycle { added.max(begins + cx.settings.node_grace) } else { added };
    Some(watched + core::time::Duration::from_secs(seconds))
}

/// `None` if it is this node's turn, else when to ask again: at most one node begins in an interval.
fn turn(world: &World, node: &Object, cx: &Cx<'_>) -> Option<Time> {
    let name = &node.key.name;
    if world.nodes.evicting().any(|(n, _)| n == name) {
        return None;
    }
    let last = world.nodes.evicting().map(|(_, at)| *at).max()?;
    let free = last + cx.settings.eviction_interval;
    (free > cx.now).then_some(free)
}

fn evict(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(pod) = world.get(key) else { return };
    let Some(change) = deletion::request(world, key, None, cx.now) else { return };
    let crate::change::Change::Put(marked) = change else {
        cx.changes.push(change);
        return;
    };
    // With the reason that Kubernetes gives: a node that comes back asks by it whether to keep the pod.
    let condition = json!({"type": podstatus::DISRUPTION, "status": "True", "reason": podstatus::TAINTED,
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": cx.now.rfc3339()});
    cx.put(podstatus::with_condition(&marked, &condition));
    let message = "Marking for deletion Pod ".to_string() + &key.namespace + "/" + &key.name;
    cx.event(world, pod, EventKind::Warning, "TaintManagerEviction", &message);
}
