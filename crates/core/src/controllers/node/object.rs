//! The Node object: made from what its agent says, and what the server adds (silence, taints).
//! Used by node life and by reports.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object, Time, canonical, names, net::NetworkTrouble, session::NodeReport};
use k8s_openapi::api::core::v1::{NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use serde_json::{Value, json};

use crate::{controllers::podstatus, cx::Cx, world::nodes::EVICTING};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions of pressure, and the taint of each.
const PRESSURES: [(&str, &str); 3] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];
/// Condition of a node without a range of addresses for its pods, and its taint.
pub(super) const NO_NETWORK: (&str, &str) = ("NetworkUnavailable", "node.kubernetes.io/network-unavailable");
/// Condition of a node that says whether its pods are on the cluster's network.
pub(crate) const CLUSTER_NETWORK: &str = "ClusterNetwork";
/// Condition of a node whose network has something wrong that its agent cannot put right.
pub(crate) const NETWORK_DEGRADED: &str = "NetworkDegraded";
/// Longest message of it, in bytes.
const LONGEST_TROUBLE: usize = 2048;
/// Annotation: names of the labels that the agent set, so that those of a flag that is gone go.
pub(super) const AGENT_LABELS: &str = "evenkeel.dev/agent-labels";
/// Annotation: `key:Effect` of the taints that the agent set, for the same reason.
pub(super) const AGENT_TAINTS: &str = "evenkeel.dev/agent-taints";
/// Annotation: names of the labels that users set, or took away though the agent says them. The
/// agent's word on these no longer counts.
pub(super) const USER_LABELS: &str = "evenkeel.dev/user-labels";
/// Annotation: the same of taints, as `key:Effect`.
pub(super) const USER_TAINTS: &str = "evenkeel.dev/user-taints";
/// Stands in the message of an unknown node before what it said last.
const BEFORE: &str = "; it was not ready: ";
/// Message of a silent node.
const SILENT: &str = "The agent has stopped reporting";

/// A node's `Ready` condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// `True`.
    Ready,
    /// `False`: its agent says so.
    NotReady,
    /// `Unknown`: nothing is heard of it.
    Unknown,
}

impl Readiness {
    pub(crate) fn of(node: &Object) -> Self {
        let Some(condition) = podstatus::condition(node, "Ready") else { return Self::NotReady };
        match condition.get("status").and_then(Value::as_str) {
            Some("True") => Self::Ready,
            Some("Unknown") => Self::Unknown,
            _ => Self::NotReady,
        }
    }
}

/// The Node as its agent's report says; equal to the one that is there where nothing is new.
pub(crate) fn from_report(
    existing: Option<&Arc<Object>>,
    name: &Arc<str>,
    report: &NodeReport,
    cx: &mut Cx<'_>,
) -> Object {
    let mut node = match existing {
        Some(node) => Object::clone(node),
        None => cx.draft(Key::cluster(Kind::Node, name.clone()), &json!({"spec": {}})),
    };
    label(&mut node, report);
    taint(&mut node, report, cx.now);
    balanced(&mut node, report);
    let old: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    ready(&mut conditions, report.not_ready.as_deref(), cx.now);
    for (kind, _) in PRESSURES {
        let holds = report.pressures.iter().any(|p| p == kind);
        let (reason, message) =
            if holds { ("AgentHasPressure", "the agent reports it") } else { ("AgentHasNoPressure", "") };
        set(&mut conditions, kind, if holds { "True" } else { "False" }, reason, message, cx.now);
    }
    cluster_network(&mut conditions, report.engine_network.as_deref(), cx.now);
    troubles(&mut conditions, &report.troubles, cx.now);
    let mut status =
        serde_json::to_value(NodeStatus { conditions: Some(conditions), ..NodeStatus::default() }).unwrap_or_default();
    if let Some(map) = status.as_object_mut() {
        let addresses: Vec<Value> =
            report.addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address})).collect();
        map.insert("capacity".into(), json!(report.capacity));
        map.insert("allocatable".into(), json!(report.allocatable));
        map.insert("addresses".into(), Value::Array(addresses));
        map.insert("nodeInfo".into(), node_info(report));
    }
    node.status = canonical::value_bytes(&status).into();
    retaint(node, cx.now)
}

/// Keeps what became of the ports that LoadBalancers ask for.
fn balanced(node: &mut Object, report: &NodeReport) {
    let text = if report.balanced.is_empty() {
        None
    } else {
        // It has text, numbers and lists alone, which all have a JSON.
        serde_json::to_string(&report.balanced).ok()
    };
    if node.meta.annotation(names::BALANCED_PORTS) == text.as_deref() {
        return;
    }
    match text {
        Some(text) => node.meta.annotate(names::BALANCED_PORTS, text),
        None => drop(Arc::make_mut(&mut node.meta.annotations).remove(names::BALANCED_PORTS)),
    }
}

/// Kubernetes' `nodeInfo` has ten fields that must be there.
fn node_info(report: &NodeReport) -> Value {
    let mut info: NodeSystemInfo = serde_json::from_value(report.node_info.clone()).unwrap_or_default();
    if info.kubelet_version.is_empty() {
        info.kubelet_version.clone_from(&report.version);
    }
    serde_json::to_value(&info).unwrap_or_default()
}

/// Brings the labels of the agent in line; those that users decided on stay as they are.
fn label(node: &mut Object, report: &NodeReport) {
    let (before, users) = (listed(node, AGENT_LABELS), listed(node, USER_LABELS));
    let mut labels: BTreeMap<String, String> = BTreeMap::clone(&node.meta.labels);
    labels.retain(|k, _| !before.contains(k) || users.contains(k) || report.labels.contains_key(k));
    let said = report.labels.iter().filter(|(k, _)| !users.contains(*k));
    labels.extend(said.map(|(k, v)| (k.clone(), v.clone())));
    labels.entry("kubernetes.io/hostname".into()).or_insert_with(|| node.key.name.to_string());
    if labels != *node.meta.labels {
        node.meta.labels = Arc::new(labels);
    }
    let names: Vec<&str> = report.labels.keys().map(String::as_str).collect();
    let names = names.join(",");
    if node.meta.annotation(AGENT_LABELS) != Some(&names) {
        node.meta.annotate(AGENT_LABELS, names);
    }
}

/// Brings the taints of the agent's flags in line; those that others set stay.
fn taint(node: &mut Object, report: &NodeReport, now: Time) {
    if report.taints.is_empty() && node.meta.annotation(AGENT_TAINTS).is_none() {
        return;
    }
    let (before, users) = (listed(node, AGENT_TAINTS), listed(node, USER_TAINTS));
    let mut spec: NodeSpec = node.spec().unwrap_or_default();
    let old = spec.taints.take().unwrap_or_default();
    let wanted: BTreeSet<String> = report.taints.iter().map(|t| taint_id(&t.key, t.effect.as_str())).collect();
    let other = |t: &&Taint| {
        let id = taint_id(&t.key, &t.effect);
        users.contains(&id) || (!before.contains(&id) && !wanted.contains(&id))
    };
    let mut taints: Vec<Taint> = old.iter().filter(other).cloned().collect();
    for t in report.taints.iter().filter(|t| !users.contains(&taint_id(&t.key, t.effect.as_str()))) {
        let value = (!t.value.is_empty()).then(|| t.value.clone());
        let same = |o: &&Taint| o.key == t.key && o.effect == t.effect.as_str() && o.value == value;
        taints.push(old.iter().find(same).cloned().unwrap_or_else(|| Taint {
            key: t.key.clone(),
            effect: t.effect.as_str().into(),
            time_added: Some(now.to_k8s()),
            value,
        }));
    }
    let names: Vec<String> = wanted.into_iter().collect();
    node.meta.annotate(AGENT_TAINTS, names.join(","));
    // Order alone is no change: each report would write else.
    let same = taints.len() == old.len() && taints.iter().all(|t| old.contains(t));
    if !same {
        spec.taints = (!taints.is_empty()).then_some(taints);
        *node = node.with_spec(&spec);
    }
}

/// Says where Services do not reach a node's pods; nothing of nodes where that never was so.
fn cluster_network(conditions: &mut Vec<NodeCondition>, engine: Option<&str>, now: Time) {
    let kind = CLUSTER_NETWORK;
    match engine {
        Some(why) => {
            let message = alloc::format!(
                "its pods get the container engine's network, without Services and the cluster's names: {why}"
            );
            set(conditions, kind, "False", "EngineNetwork", &message, now);
        }
        None if conditions.iter().any(|c| c.type_ == kind) => {
            set(conditions, kind, "True", "OwnNetwork", "its pods have addresses of the cluster", now);
        }
        None => {}
    }
}

/// Says what is wrong with a node's network; nothing of nodes where nothing ever was.
fn troubles(conditions: &mut Vec<NodeCondition>, all: &[NetworkTrouble], now: Time) {
    let kind = NETWORK_DEGRADED;
    if let Some(first) = all.first() {
        let messages: Vec<&str> = all.iter().map(|t| t.message.as_str()).collect();
        let mut message = messages.join("; ");
        message.truncate(message.floor_char_boundary(LONGEST_TROUBLE));
        let reason = if all.len() == 1 { first.reason.as_str() } else { "SeveralTroubles" };
        set(conditions, kind, "True", reason, &message, now);
    } else if conditions.iter().any(|c| c.type_ == kind) {
        set(conditions, kind, "False", "NetworkSound", "what was wrong with its network is over", now);
    }
}

fn ready(conditions: &mut Vec<NodeCondition>, not_ready: Option<&str>, now: Time) {
    match not_ready {
        None => set(conditions, "Ready", "True", "AgentReady", "the agent is ready", now),
        Some(why) => set(conditions, "Ready", "False", "AgentNotReady", why, now),
    }
}

/// Sets a condition. The heartbeat's time is that of the last change: heartbeats write nothing.
pub(super) fn set(list: &mut Vec<NodeCondition>, kind: &str, status: &str, reason: &str, message: &str, now: Time) {
    let at = Some(now.to_k8s());
    let fresh = NodeCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: at.clone(),
        last_heartbeat_time: at,
    };
    match list.iter_mut().find(|c| c.type_ == kind) {
        Some(c) if c.status == fresh.status => {
            if c.reason != fresh.reason || c.message != fresh.message {
                *c = NodeCondition { last_transition_time: c.last_transition_time.clone(), ..fresh };
            }
        }
        Some(c) => *c = fresh,
        None => list.push(fresh),
    }
}

/// The node with its readiness unknown: it is silent.
pub(super) fn silent(node: &Object, now: Time) -> Object {
    let mut status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let mut conditions = status.conditions.take().unwrap_or_default();
    let was = conditions.iter().find(|c| c.type_ == "Ready" && c.status == "False").and_then(|c| c.message.clone());
    let message = was.map_or_else(|| SILENT.to_string(), |why| format!("{SILENT}{BEFORE}{why}"));
    // Pressures stay as they were said last: an agent that is heard of again does not repeat them.
    set(&mut conditions, "Ready", "Unknown", "NodeStatusUnknown", &message, now);
    status.conditions = Some(conditions);
    retaint(node.with_status(&status), now)
}

/// Whether a taint is the server's to set, by the node's state.
pub(super) fn servers(key: &str) -> bool {
    [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&key) || PRESSURES.iter().chain([&NO_NETWORK]).any(|p| p.1 == key)
}

/// A list in an annotation.
pub(super) fn listed(node: &Object, annotation: &str) -> BTreeSet<String> {
    let text = node.meta.annotation(annotation).unwrap_or_default();
    text.split(',').filter(|t| !t.is_empty()).map(String::from).collect()
}

/// Names a taint in such a list.
pub(super) fn taint_id(key: &str, effect: &str) -> String {
    format!("{key}:{effect}")
}

/// Brings the taints that the server sets in line with the node's state; others stay.
pub(super) fn retaint(mut node: Object, now: Time) -> Object {
    let mut spec: NodeSpec = node.spec().unwrap_or_default();
    let old = spec.taints.clone().unwrap_or_default();
    let state = Readiness::of(&node);
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match state {
        Readiness::Ready => {}
        Readiness::NotReady => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        Readiness::Unknown => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    for (kind, taint) in PRESSURES.into_iter().chain([NO_NETWORK]) {
        let holds = podstatus::condition(&node, kind).is_some_and(|c| c.get("status") == Some(&json!("True")));
        if holds {
            wanted.push((taint, "NoSchedule"));
        }
    }
    let mut taints: Vec<Taint> = old.iter().filter(|t| !servers(&t.key)).cloned().collect();
    for (key, effect) in wanted {
        let kept = old.iter().find(|t| t.key == key && t.effect == effect).cloned();
        taints.push(kept.unwrap_or_else(|| Taint {
            key: key.into(),
            effect: effect.into(),
            time_added: Some(now.to_k8s()),
            value: None,
        }));
    }
    if matches!(state, Readiness::Ready) && node.meta.annotation(EVICTING).is_some() {
        Arc::make_mut(&mut node.meta.annotations).remove(EVICTING);
    }
    if taints == old {
        return node;
    }
    spec.taints = (!taints.is_empty()).then_some(taints);
    node.with_spec(&spec)
}
