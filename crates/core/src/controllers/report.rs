//! What agents report, taken into the world.
//!
//! An agent's word on a pod's status counts whole, but for the conditions that are not an agent's.
//! A report that says nothing new changes nothing: statuses are compared as bytes. Deliberately not
//! here: when a node was heard of, and the last lines of failed containers, which the conductor
//! notes beside the world's objects.

mod known;

use alloc::{
    string::{String, ToString},
    sync::Arc,
};

use evenkeel_model::{
    Key, Kind, Object, canonical, names,
    own::TextMap,
    session::{Hello, NodeReport, PodEvent, PodReport, Report},
};
use serde_json::{Map, Value};

use super::{node, podstatus};
use crate::{
    cx::{Cx, EventKind, Told},
    drift,
    world::World,
};

/// A session began: the Node object is made or brought up to date, every pod that the agent has is
/// taken as it says; while recovering, pods that the world does not know are taken in.
pub fn hello(world: &World, hello: &Hello, cx: &mut Cx<'_>) {
    node_report(world, &hello.node, &hello.report, cx);
    known::pods(world, hello, cx);
}

/// A report came. One that says nothing new changes nothing.
pub fn report(world: &World, node: &Arc<str>, report: &Report, cx: &mut Cx<'_>) {
    if let Some(about) = &report.node {
        node_report(world, node, about, cx);
    }
    if report.answers.is_some() {
        // Whoever asked waits for it. Looked at after this word was noted.
        for source in world.windows.open() {
            cx.wake(cx.now, super::ControllerId::Release, Key::cluster(Kind::Source, source.clone()));
        }
    }
    for pod in &report.pods {
        pod_report(world, node, pod, cx);
    }
    for seen in &report.drifts {
        drift::observe(world, node, seen, cx);
    }
    drift::network(world, node, &report.network_drifts, cx);
    for happened in report.events.iter().take(MOST_EVENTS) {
        pod_event(world, node, happened, cx);
    }
}

/// Events taken from one report: an agent keeps no more.
const MOST_EVENTS: usize = 1000;
/// Longest reason of an Event, as in Kubernetes.
const LONGEST_REASON: usize = 128;

/// An agent speaks of its own pods alone, also of those that are gone by now: then nobody asks.
fn pod_event(world: &World, node: &Arc<str>, happened: &PodEvent, cx: &mut Cx<'_>) {
    let key = Key::new(Kind::Pod, happened.namespace.clone(), happened.name.clone());
    let Some(pod) = world.get(&key).filter(|p| p.uid == happened.pod && p.node.as_ref() == Some(node)) else { return };
    let reason = &happened.reason[..happened.reason.floor_char_boundary(LONGEST_REASON)];
    let told = Told {
        kind: if happened.warning { EventKind::Warning } else { EventKind::Normal },
        reason,
        message: &happened.message,
        field: &happened.field,
        count: happened.count,
        first: happened.first,
        last: happened.last,
        host: node,
    };
    cx.told(world, pod, &told);
}

fn node_report(world: &World, name: &Arc<str>, report: &NodeReport, cx: &mut Cx<'_>) {
    let existing = world.get(&Key::cluster(Kind::Node, name.clone()));
    let next = node::object::from_report(existing, name, report, cx);
    let next = node::with_range(world, next, report.pod_cidr, cx);
    match existing {
        Some(node) if node.same_content(&next) => {}
        Some(node) => {
            let (was, is) = (node::object::Readiness::of(node), node::object::Readiness::of(&next));
            if was != is {
                let (kind, reason) = match is {
                    node::object::Readiness::Ready => (EventKind::Normal, "NodeReady"),
                    _ => (EventKind::Warning, "NodeNotReady"),
                };
                let why = report.not_ready.as_deref().unwrap_or("the agent is ready");
                cx.event(world, node, kind, reason, &alloc::format!("Node {name}: {why}"));
            }
            troubled(world, node, &next, cx);
            cx.put(next);
        }
        None => {
            cx.event(world, &next, EventKind::Normal, "RegisteredNode", &alloc::format!("Node {name} has joined"));
            cx.put(next);
        }
    }
}

/// Tells that something is wrong with a node's network, or something else.
fn troubled(world: &World, was: &Object, is: &Object, cx: &mut Cx<'_>) {
    let of = |node: &Object| {
        let condition = podstatus::condition(node, node::object::NETWORK_DEGRADED)?;
        let text = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        (text("status") == "True").then(|| (text("reason"), text("message")))
    };
    if let Some((reason, message)) = of(is).filter(|now| of(was).as_ref() != Some(now)) {
        cx.event(world, was, EventKind::Warning, &reason, &message);
    }
}

fn pod_report(world: &World, node: &Arc<str>, report: &PodReport, cx: &mut Cx<'_>) {
    let key = Key::new(Kind::Pod, report.namespace.clone(), report.name.clone());
    let Some(pod) = world.get(&key) else { return };
    if pod.uid != report.uid || pod.node.as_ref() != Some(node) {
        return;
    }
    if report.gone && pod.deleting() && pod.meta.finalizers.is_empty() {
        return cx.delete(key);
    }
    let next = take_status(pod, &report.status);
    if let Some(next) = next {
        // A pod's images are known before it is ready, so only a change can bring anything.
        remember_images(world, pod, Some(&next), &report.image_ids, cx);
        cx.put(next);
    }
}

/// The pod with its agent's status and the server's own parts of it; `None` if that is what it has.
fn take_status(pod: &Object, reported: &[u8]) -> Option<Object> {
    if *pod.status == *reported {
        return None;
    }
    // A status that cannot be read says nothing.
    let mut status: Map<String, Value> = serde_json::from_slice(reported).ok()?;
    let old = podstatus::map(pod);
    if let Some(class) = old.get("qosClass")
        && !status.contains_key("qosClass")
    {
        status.insert("qosClass".into(), class.clone());
    }
    let name = |c: &Value| c.get("type").and_then(Value::as_str).map(ToString::to_string).unwrap_or_default();
    let others = |c: &Value| !podstatus::AGENT_CONDITIONS.contains(&&*name(c));
    if let Some(Value::Array(list)) = status.get_mut("conditions") {
        list.retain(|c| !others(c));
    }
    for condition in old.get("conditions").and_then(Value::as_array).into_iter().flatten().filter(|c| others(c)) {
        podstatus::set_condition(&mut status, condition);
    }
    let bytes = canonical::value_bytes(&Value::Object(status));
    (*pod.status != *bytes).then(|| Object { status: bytes.into(), ..pod.clone() })
}

/// Keeps in the ReplicaSet which image each container ran, once a pod of it is ready. The first
/// word on a container stays: the tag may move, the ReplicaSet's image does not.
fn remember_images(world: &World, pod: &Object, next: Option<&Object>, ids: &TextMap, cx: &mut Cx<'_>) {
    if ids.is_empty() {
        return;
    }
    let Some(owner) = pod.meta.controller().filter(|o| o.known_kind() == Some(Kind::ReplicaSet)) else { return };
    let Some(set) = world.get(&pod.key.sibling(Kind::ReplicaSet, owner.name.clone())) else { return };
    let known: TextMap =
        set.meta.annotation(names::IMAGE_IDS).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
    if set.uid != owner.uid || ids.keys().all(|c| known.contains_key(c)) {
        return;
    }
    if podstatus::since(next.unwrap_or(pod), "Ready", "True").is_none() {
        return;
    }
    let mut all = ids.clone();
    all.extend(known);
    let mut next = Object::clone(set);
    next.meta.annotate(names::IMAGE_IDS, serde_json::to_string(&all).unwrap_or_default());
    cx.put(next);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_leaves_the_conditions_of_others() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        let pod = |conditions: Value| {
            let object = Object::from_value(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "shop"}, "status": {"phase": "Running", "conditions": conditions}}));
            object.unwrap()
        };
        let scheduled = condition("PodScheduled", "True");
        let theirs = condition("example.com/Registered", "True");
        let before = pod(json!([scheduled, condition("Ready", "True"), condition("Initialized", "True"), theirs]));
        let said = canonical::value_bytes(&json!({"phase": "Running", "conditions": [condition("Ready", "False"),
            condition("PodScheduled", "False"), condition("example.com/Registered", "False")]}));
        let after = take_status(&before, &said).unwrap();
        let expected = json!([condition("Ready", "False"), scheduled, theirs]);
        assert_eq!(podstatus::map(&after)["conditions"], expected);
        assert!(take_status(&after, &said).is_none(), "the same word again changes nothing");
    }
}
