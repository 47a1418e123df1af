//! The part of a pod's status that the server writes: what it starts with, its binding, and the
//! conditions that are the server's to judge. Used by the scheduler, the ReplicaSet controller,
//! node life and reports. Deliberately not here: what an agent says, which is taken as it is.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Object, Time, canonical, podstatus};
use serde_json::{Map, Value, json};

/// Condition types that belong to the server: a report neither sets nor removes them.
pub(crate) const SERVER_CONDITIONS: [&str; 3] = ["PodScheduled", DISRUPTION, STAYS];
/// Condition types that belong to the pod's agent. What is neither its nor the server's is somebody else's,
/// and a report leaves it.
pub(crate) const AGENT_CONDITIONS: [&str; 6] = [
    "ContainersReady",
    "Initialized",
    "PodReadyToStartContainers",
    "Ready",
    podstatus::DISTURBED,
    podstatus::FAILED_STARTS,
];
/// Condition of a pod that is not evicted from a node that is away, because its data are there.
pub(crate) const STAYS: &str = "evenkeel.dev/StaysWithNode";
/// Condition of a pod that is being evicted, as in Kubernetes.
pub(crate) const DISRUPTION: &str = "DisruptionTarget";
/// Its reason for a pod whose node is lost or tainted, as in Kubernetes.
pub(crate) const TAINTED: &str = "DeletionByTaintManager";
/// Its reason for a pod that a user evicts, as in Kubernetes.
pub(crate) const EVICTED: &str = "EvictionByEvictionAPI";

/// What a pod's status is when it is made.
pub(crate) fn initial(spec: &Value) -> Arc<[u8]> {
    canonical::value_bytes(&json!({"phase": "Pending", "qosClass": qos_class(spec)})).into()
}

/// `qosClass`, by Kubernetes' rules: every container's cpu and memory requests equal to its limits
/// are Guaranteed, none at all BestEffort.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"].into_iter().filter_map(|l| spec.get(l)?.as_array());
    let (mut any, mut guaranteed) = (false, true);
    for container in lists.flatten() {
        for resource in ["cpu", "memory"] {
            let of = |part: &str| -> Option<evenkeel_model::Quantity> {
                let value = container.get("resources")?.get(part)?.get(resource)?;
                let text = value.as_str().map_or_else(|| value.to_string(), ToString::to_string);
                text.parse().ok().filter(|q: &evenkeel_model::Quantity| q.0 > 0)
            };
            let (request, limit) = (of("requests"), of("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A status as a map; empty where there is none.
pub(crate) fn map(object: &Object) -> Map<String, Value> {
    if object.status.is_empty() { Map::new() } else { serde_json::from_slice(&object.status).unwrap_or_default() }
}

/// The pod with this condition in place of the one of the same type. A pod without any status gets
/// what it should have had from the start.
pub(crate) fn with_condition(object: &Object, condition: &Value) -> Object {
    let mut status = map(object);
    if !status.contains_key("phase") {
        let spec = object.body_map().remove("spec").unwrap_or_default();
        status.insert("phase".into(), "Pending".into());
        status.insert("qosClass".into(), qos_class(&spec).into());
    }
    set_condition(&mut status, condition);
    Object { status: canonical::value_bytes(&Value::Object(status)).into(), ..object.clone() }
}

/// Sets a condition in a status.
pub(crate) fn set_condition(status: &mut Map<String, Value>, condition: &Value) {
    let list = status.entry("conditions").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        match list.iter_mut().find(|c| c.get("type") == condition.get("type")) {
            Some(slot) => *slot = condition.clone(),
            None => list.push(condition.clone()),
        }
    }
}

/// A condition of an object's status.
pub(crate) fn condition(object: &Object, kind: &str) -> Option<Value> {
    map(object)
        .get("conditions")?
        .as_array()?
        .iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))
        .cloned()
}

/// Since when a condition has a status.
pub(crate) fn since(object: &Object, kind: &str, status: &str) -> Option<Time> {
    let condition = condition(object, kind)?;
    if condition.get("status").and_then(Value::as_str) != Some(status) {
        return None;
    }
    Time::parse_rfc3339(condition.get("lastTransitionTime")?.as_str()?)
}

/// The scheduler's reason for a pod that waits for room.
pub(crate) fn waits_for(object: &Object) -> Option<String> {
    let condition = condition(object, "PodScheduled")?;
    (condition.get("status").and_then(Value::as_str) == Some("False"))
        .then(|| condition.get("message").and_then(Value::as_str).map(ToString::to_string))?
}
