//! Who stands behind a Service, on which node, and why somebody does not.

use anyhow::Result;
use evenkeel_model::Kind;
use serde_json::Value;

use super::super::{
    Out,
    objects::{condition, items, name, pod_trouble, text},
    output::{Tone, align},
    paths,
};
use crate::client::Client;

/// Shows them under the Service.
pub(super) async fn show(client: &Client, service: &Value, out: &mut Out) -> Result<()> {
    let namespace = text(service, "/metadata/namespace");
    if text(service, "/spec/type") == "ExternalName" {
        return out.line(format!(
            "{:<16}nobody: the name stands for {}",
            "Behind it:",
            text(service, "/spec/externalName")
        ));
    }
    let selector: Vec<String> = (service.pointer("/spec/selector").and_then(Value::as_object).into_iter().flatten())
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let rows = if selector.is_empty() {
        let label = format!("kubernetes.io/service-name={}", name(service));
        let query = paths::query(&[("labelSelector", &label)]);
        let slices = client.get(&format!("{}{query}", paths::collection(Kind::EndpointSlice, namespace))).await?;
        items(&slices).iter().flat_map(by_hand).collect::<Vec<_>>()
    } else {
        let query = paths::query(&[("labelSelector", &selector.join(","))]);
        let pods = client.get(&format!("{}{query}", paths::collection(Kind::Pod, namespace))).await?;
        items(&pods).iter().map(|pod| row(service, pod)).collect()
    };
    if rows.is_empty() {
        let why = if selector.is_empty() {
            "the Service has no selector, and no EndpointSlice has its name".to_owned()
        } else {
            format!("no pod of namespace {namespace} has the labels {}", selector.join(","))
        };
        return out.line(format!("{:<16}nobody: {why}", "Behind it:"));
    }
    let title = out.paint(Tone::Bold, "Behind it:");
    out.line(title)?;
    let head: Vec<String> = ["POD", "NODE", "ADDRESS", "STATE"].map(Into::into).to_vec();
    let all: Vec<&[String]> = std::iter::once(head.as_slice()).chain(rows.iter().map(Vec::as_slice)).collect();
    align(&all).into_iter().try_for_each(|line| out.line(format!("  {line}")))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn row(service: &Value, pod: &Value) -> Vec<String> {
    let (node, address) = (text(pod, "/spec/nodeName"), text(pod, "/status/podIP"));
    vec![name(pod).into(), or_dash(node), or_dash(address), state(service, pod)]
}

/// `ready`, or why connections do not go there.
fn state(service: &Value, pod: &Value) -> String {
    if ["Succeeded", "Failed"].contains(&text(pod, "/status/phase")) {
        return "has ended".into();
    }
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return "is ending: it keeps the connections that it has".into();
    }
    if text(pod, "/spec/nodeName").is_empty() {
        let why = pod_trouble(pod).filter(|_| condition(pod, "PodScheduled").is_some());
        return why.map_or_else(|| "on no node yet".into(), |why| format!("on no node yet: {why}"));
    }
    if text(pod, "/status/podIP").is_empty() {
        return "has no address yet".into();
    }
    let anyway = service.pointer("/spec/publishNotReadyAddresses") == Some(&Value::Bool(true));
    if let Some(trouble) = pod_trouble(pod).filter(|_| !anyway) {
        return format!("not ready: {trouble}");
    }
    match missing_port(service, pod) {
        Some(port) => format!("ready, but no container has a port named {port}"),
        None => "ready".into(),
    }
}

/// The name of a port that the Service leads to and the pod does not have.
fn missing_port<'a>(service: &'a Value, pod: &Value) -> Option<&'a str> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let has: Vec<&str> = containers
        .flat_map(|c| c.get("ports").and_then(Value::as_array).into_iter().flatten())
        .map(|p| text(p, "/name"))
        .collect();
    ports.filter_map(|p| p.get("targetPort")?.as_str()).find(|wanted| !has.contains(wanted))
}

/// Endpoints that somebody wrote.
fn by_hand(slice: &Value) -> Vec<Vec<String>> {
    let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    endpoints
        .map(|e| {
            let ready = e.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
            let state = if ready { "ready" } else { "not ready, says its EndpointSlice" };
            let (pod, node, address) = (text(e, "/targetRef/name"), text(e, "/nodeName"), text(e, "/addresses/0"));
            vec![or_dash(pod), or_dash(node), or_dash(address), state.into()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_a_reason() {
        let service = json!({"spec": {"ports": [{"port": 80, "targetPort": "http"}]}});
        let pod = |more: Value| {
            let mut pod = json!({"metadata": {"name": "web"}, "spec": {"nodeName": "n1", "containers": [
                {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
                "status": {"phase": "Running", "podIP": "10.42.0.2",
                    "conditions": [{"type": "Ready", "status": "True"}]}});
            for (field, value) in more.as_object().unwrap() {
                for (inner, value) in value.as_object().unwrap() {
                    pod[field][inner] = value.clone();
                }
            }
            pod
        };
        for (more, said) in [
            (json!({}), "ready"),
            (json!({"status": {"phase": "Failed"}}), "has ended"),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                "is ending: it keeps the connections that it has",
            ),
            (
                json!({"spec": {"nodeName": ""}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}}),
                "on no node yet: Unschedulable: 0/1 nodes",
            ),
            (
                json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NodeNotReady",
                "message": "the node has not been heard of"}]}}),
                "not ready: NodeNotReady: the node has not been heard of",
            ),
            (json!({"spec": {"containers": [{"name": "c"}]}}), "ready, but no container has a port named http"),
        ] {
            assert_eq!(state(&service, &pod(more)), said);
        }
    }
}
