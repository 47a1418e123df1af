//! Rows of Services, Endpoints, EndpointSlices and NetworkPolicies.

use std::fmt::Write as _;

use evenkeel_model::{Object, Selector, Time, labels::Requirement};
use k8s_openapi::api::{
    core::v1::{ServicePort, ServiceSpec, ServiceStatus},
    networking::v1::NetworkPolicySpec,
};
use serde_json::Value;

use super::{Column, age, name, text, wide};

pub(super) const SERVICE: &[Column] = &[
    text("Name"),
    text("Type"),
    text("Cluster-IP"),
    text("External-IP"),
    text("Port(s)"),
    text("Age"),
    wide("Selector"),
];

pub(super) const ENDPOINTS: &[Column] = &[text("Name"), text("Endpoints"), text("Age")];

pub(super) const SLICE: &[Column] = &[text("Name"), text("AddressType"), text("Ports"), text("Endpoints"), text("Age")];

pub(super) const POLICY: &[Column] = &[text("Name"), text("Pod-Selector"), text("Age")];

/// Endpoints that a row shows before it only counts them, as in Kubernetes.
const SHOWN: usize = 3;
const NONE: &str = "<none>";

pub(super) fn service(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<ServiceSpec>().unwrap_or_default();
    let status = object.status::<ServiceStatus>().ok().flatten().unwrap_or_default();
    let ports: Vec<String> = spec.ports.iter().flatten().map(port).collect();
    let selector = spec.selector.clone().unwrap_or_default();
    let selector: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let address = spec.cluster_ip.clone().filter(|ip| !ip.is_empty());
    vec![
        name(object),
        spec.type_.clone().unwrap_or_else(|| "ClusterIP".into()).into(),
        address.unwrap_or_else(|| NONE.into()).into(),
        external(&spec, &status).into(),
        or_none(&ports).into(),
        age(object, now),
        or_none(&selector).into(),
    ]
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() { NONE.into() } else { list.join(",") }
}

fn port(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.node_port.filter(|p| *p != 0) {
        Some(node) => format!("{}:{node}/{protocol}", port.port),
        None => format!("{}/{protocol}", port.port),
    }
}

fn external(spec: &ServiceSpec, status: &ServiceStatus) -> String {
    let own = spec.external_ips.clone().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("ExternalName") => spec.external_name.clone().unwrap_or_default(),
        Some("LoadBalancer") => {
            let ingress = status.load_balancer.iter().flat_map(|l| l.ingress.iter().flatten());
            let given = ingress.filter_map(|i| i.ip.clone().or_else(|| i.hostname.clone()));
            let all: Vec<String> = given.chain(own).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ => or_none(&own),
    }
}

/// The first of a list, and how many more there are.
fn some(all: &[String]) -> String {
    if all.is_empty() {
        return NONE.into();
    }
    let mut out = all[..all.len().min(SHOWN)].join(",");
    if all.len() > SHOWN {
        // Writing to a string does not fail.
        let _ = write!(out, " + {} more...", all.len() - SHOWN);
    }
    out
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn endpoints(object: &Object, now: Time) -> Vec<Value> {
    let body = Value::Object(object.body_map());
    let mut all = Vec::new();
    for subset in list(&body, "subsets") {
        let ports: Vec<i64> = list(subset, "ports").filter_map(|p| p["port"].as_i64()).collect();
        for ip in list(subset, "addresses").filter_map(|a| a["ip"].as_str()) {
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{ip}:{port}")));
        }
    }
    vec![name(object), some(&all).into(), age(object, now)]
}

pub(super) fn slice(object: &Object, now: Time) -> Vec<Value> {
    let body = Value::Object(object.body_map());
    let ports: Vec<String> =
        list(&body, "ports").map(|p| p["port"].as_i64().map_or_else(|| "*".into(), |p| p.to_string())).collect();
    let addresses: Vec<String> = list(&body, "endpoints")
        .flat_map(|e| list(e, "addresses"))
        .filter_map(|a| a.as_str().map(Into::into))
        .collect();
    let ports = if ports.is_empty() { "<unset>".to_owned() } else { some(&ports) };
    let addresses = if addresses.is_empty() { "<unset>".to_owned() } else { some(&addresses) };
    let kind = body["addressType"].as_str().unwrap_or_default();
    vec![name(object), kind.into(), ports.into(), addresses.into(), age(object, now)]
}

pub(super) fn policy(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<NetworkPolicySpec>().unwrap_or_default();
    let selector = spec.pod_selector.as_ref().and_then(|s| Selector::from_k8s(s).ok()).unwrap_or_default();
    let mut all: Vec<(&str, String)> = selector.0.iter().map(demand).collect();
    all.sort();
    let all: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
    vec![name(object), or_none(&all).into(), age(object, now)]
}

/// A demand on labels with its label, as Kubernetes prints it.
fn demand(requirement: &Requirement) -> (&str, String) {
    let sorted = |values: &[String]| {
        let mut values = values.to_vec();
        values.sort();
        values.join(",")
    };
    match requirement {
        Requirement::In(key, values) if values.len() == 1 => (key, format!("{key}={}", values[0])),
        Requirement::In(key, values) => (key, format!("{key} in ({})", sorted(values))),
        Requirement::NotIn(key, values) => (key, format!("{key} notin ({})", sorted(values))),
        Requirement::Exists(key) => (key, key.clone()),
        Requirement::Absent(key) => (key, format!("!{key}")),
        Requirement::Greater(key, than) => (key, format!("{key}>{than}")),
        Requirement::Less(key, than) => (key, format!("{key}<{than}")),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{Key, Kind, Meta, Uid, canonical};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policys_row_says_what_kubectl_says() {
        let shown = |selector: Value| {
            let body = canonical::value_bytes(&json!({"spec": {"podSelector": selector}}));
            let key = Key::new(Kind::NetworkPolicy, "shop", "web");
            let row = policy(&Object::new(key, Uid(1), Meta::default(), body.into()), Time(0));
            row[1].as_str().unwrap().to_owned()
        };
        assert_eq!(shown(json!({})), "<none>");
        let expression =
            |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let selector = json!({"matchLabels": {"tier": "front"}, "matchExpressions": [
            expression("app", "In", &["b", "a"]), expression("x", "NotIn", &["y"]), expression("z", "DoesNotExist", &[])]});
        assert_eq!(shown(selector), "app in (a,b),tier=front,x notin (y),!z");
    }
}
