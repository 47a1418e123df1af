//! Rows of Ingresses and their classes.

use evenkeel_model::{Object, Time};
use serde_json::Value;

use super::{Column, age, name, text};

pub(super) const INGRESS: &[Column] =
    &[text("Name"), text("Class"), text("Hosts"), text("Address"), text("Ports"), text("Age")];

pub(super) const CLASS: &[Column] = &[text("Name"), text("Controller"), text("Parameters"), text("Age")];

/// Hosts that a row shows before it only counts them, as in Kubernetes.
const SHOWN: usize = 3;
const NONE: &str = "<none>";

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn ingress(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<Value>().unwrap_or_default();
    let status = object.status::<Value>().ok().flatten().unwrap_or_default();
    let class = spec["ingressClassName"].as_str().or_else(|| object.meta.annotation("kubernetes.io/ingress.class"));
    let mut hosts: Vec<&str> = Vec::new();
    for host in list(&spec, "rules").filter_map(|r| r["host"].as_str()).filter(|h| !h.is_empty()) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let more = hosts.len().saturating_sub(SHOWN);
    let mut shown = if hosts.is_empty() { "*".to_owned() } else { hosts[..hosts.len() - more].join(",") };
    if more > 0 {
        shown = format!("{shown} + {more} more...");
    }
    let addresses: Vec<&str> = list(&status["loadBalancer"], "ingress")
        .filter_map(|i| i["ip"].as_str().or_else(|| i["hostname"].as_str()))
        .collect();
    let ports = if list(&spec, "tls").next().is_some() { "80, 443" } else { "80" };
    vec![
        name(object),
        class.unwrap_or(NONE).into(),
        shown.into(),
        addresses.join(",").into(),
        ports.into(),
        age(object, now),
    ]
}

pub(super) fn class(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<Value>().unwrap_or_default();
    let controller = spec["controller"].as_str().unwrap_or_default();
    vec![name(object), controller.into(), NONE.into(), age(object, now)]
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{Key, Kind, Meta, Uid, canonical};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_kubectl_says() {
        let rule = |host: &str| json!({"host": host});
        let spec = json!({"ingressClassName": "evenkeel", "tls": [{"hosts": ["a"]}],
            "rules": [rule("a"), rule("b"), rule("a"), rule("c"), rule("d")]});
        let body = canonical::value_bytes(&json!({"spec": spec}));
        let mut object = Object::new(Key::new(Kind::Ingress, "shop", "web"), Uid(1), Meta::default(), body.into());
        object.status =
            canonical::value_bytes(&json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}]}}))
                .into();
        let row = ingress(&object, Time(0));
        assert_eq!(row[..5], ["web", "evenkeel", "a,b,c + 1 more...", "192.0.2.1,192.0.2.2", "80, 443"]);
    }
}
