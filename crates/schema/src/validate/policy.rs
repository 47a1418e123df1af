//! NetworkPolicies.

use alloc::format;
use core::net::IpAddr;

use evenkeel_model::net::Cidr;
use serde_json::Value;

use super::{complaints::Complaints, list, meta, names, text};
use crate::path::Trail;

/// `Ingress` and `Egress`; the table has the names.
const MOST_TYPES: usize = 2;
const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

/// A policy's `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    meta::selector(&value["podSelector"], &at.field("podSelector"), out);
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in list(value, rules).iter().enumerate() {
            let at = at.field(rules);
            let at = at.index(i);
            for (i, value) in list(rule, "ports").iter().enumerate() {
                port(value, &at.field("ports").index(i), out);
            }
            for (i, value) in list(rule, peers).iter().enumerate() {
                peer(value, &at.field(peers).index(i), out);
            }
        }
    }
    let (types, at) = (list(value, "policyTypes"), at.field("policyTypes"));
    if types.len() > MOST_TYPES {
        out.invalid(&at, &value["policyTypes"], "may not specify more than two policyTypes");
    }
}

fn port(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let (port, end) = (&value["port"], &value["endPort"]);
    let number = port.as_i64();
    let in_range = |n: i64| (1..=65535).contains(&n);
    if let Some(name) = port.as_str() {
        if let Some(why) = names::port_name(name) {
            out.invalid_str(&at.field("port"), name, why);
        }
    } else if number.is_some_and(|n| !in_range(n)) {
        out.invalid(&at.field("port"), port, PORT_RANGE);
    }
    let Some(last) = end.as_i64() else { return };
    let at = at.field("endPort");
    match number {
        None if port.is_null() => out.invalid(&at, end, "may not be specified when `port` is not specified"),
        None => out.invalid(&at, end, "may not be specified when `port` is non-numeric"),
        Some(_) if !in_range(last) => out.invalid(&at, end, PORT_RANGE),
        Some(first) if last < first => out.invalid(&at, end, "must be greater than or equal to `port`"),
        Some(_) => {}
    }
}

fn peer(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let block = &value["ipBlock"];
    let (pods, namespaces) = (&value["podSelector"], &value["namespaceSelector"]);
    match (block.is_null(), pods.is_null() && namespaces.is_null()) {
        (true, true) => out.required(at, "must specify a peer"),
        (false, false) => out.forbidden(at, "may not specify both ipBlock and another peer"),
        _ => {}
    }
    meta::selector(pods, &at.field("podSelector"), out);
    meta::selector(namespaces, &at.field("namespaceSelector"), out);
    if block.is_null() {
        return;
    }
    let at = at.field("ipBlock");
    // What is absent is told by the table.
    let Some(text) = text(block, "cidr") else { return };
    let Some(whole) = range(text, &at.field("cidr"), out) else { return };
    for (i, part) in list(block, "except").iter().enumerate() {
        let (at, text) = (at.field("except"), part.as_str().unwrap_or_default());
        let at = at.index(i);
        let Some(part) = range(text, &at, out) else { continue };
        if !part.is_within(&whole) {
            out.invalid_str(&at, text, &format!("must be a strict subset of `cidr`: {}", block["cidr"]));
        }
    }
}

/// A range of addresses of either family: policies of most manifests name both, and no packet here is
/// of the second.
enum Range {
    V4(Cidr),
    V6 { first: u128, prefix: u8 },
}

impl Range {
    /// Whether it is a part of another, and not all of it.
    fn is_within(&self, whole: &Self) -> bool {
        match (self, whole) {
            (Self::V4(part), Self::V4(whole)) => part.prefix() > whole.prefix() && whole.overlaps(*part),
            (Self::V6 { first, prefix }, Self::V6 { first: of, prefix: wide }) => {
                prefix > wide && (*wide == 0 || (first ^ of) >> (128 - u32::from(*wide)) == 0)
            }
            _ => false,
        }
    }
}

fn range(text: &str, at: &Trail<'_>, out: &mut Complaints) -> Option<Range> {
    let read = || {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) => (prefix <= 32).then(|| Range::V4(Cidr::around(address, prefix))),
            IpAddr::V6(address) => (prefix <= 128).then(|| Range::V6 { first: address.into(), prefix }),
        }
    };
    let range = read();
    if range.is_none() {
        out.invalid_str(at, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    range
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::{Value, json};

    fn problems(spec: &Value) -> Vec<String> {
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let found = super::super::object(Kind::NetworkPolicy, &object);
        found.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn good_policies_have_no_problems() {
        for spec in [
            json!({"podSelector": {}}),
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}], "egress": [
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.169.254/32"]}},
                    {"ipBlock": {"cidr": "::/0", "except": ["fc00::/7"]}}, {"ipBlock": {"cidr": "10.0.0.1/8"}}]},
                {"to": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}],
                    "ports": [{}, {"protocol": "UDP", "port": "dns"}, {"port": 80, "endPort": 80}]}]}),
        ] {
            assert_eq!(problems(&spec), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn a_policys_mistakes() {
        let from = |peer: Value| json!({"podSelector": {}, "ingress": [{"from": [peer]}]});
        let to = |port: Value| json!({"podSelector": {}, "egress": [{"ports": [port]}]});
        let (peer, port) = ("spec.ingress[0].from[0]", "spec.egress[0].ports[0]");
        for (spec, expected) in [
            (from(json!({})), format!("{peer}: Required value: must specify a peer")),
            (
                from(json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}})),
                format!("{peer}: Forbidden: may not specify both"),
            ),
            (from(json!({"ipBlock": {}})), format!("{peer}.ipBlock.cidr: Required value")),
            (from(json!({"ipBlock": {"cidr": "10.0.0.0"}})), format!("{peer}.ipBlock.cidr: Invalid value")),
            (
                from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}})),
                format!("{peer}.ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset"),
            ),
            (
                from(json!({"ipBlock": {"cidr": "fd00::/8", "except": ["fc00::/9"]}})),
                format!("{peer}.ipBlock.except[0]: Invalid value"),
            ),
            (
                from(json!({"podSelector": {"matchLabels": {"a b": "c"}}})),
                format!("{peer}.podSelector.matchLabels: Invalid value"),
            ),
            (to(json!({"port": 0})), format!("{port}.port: Invalid value: 0: must be between")),
            (to(json!({"port": "http_"})), format!("{port}.port: Invalid value")),
            (to(json!({"endPort": 90})), format!("{port}.endPort: Invalid value: 90: may not be specified when")),
            (to(json!({"port": "http", "endPort": 90})), format!("{port}.endPort: Invalid value: 90: may not")),
            (to(json!({"port": 91, "endPort": 90})), format!("{port}.endPort: Invalid value: 90: must be greater")),
            (to(json!({"port": 91, "endPort": 70000})), format!("{port}.endPort: Invalid value: 70000: must be")),
            (
                json!({"podSelector": {}, "policyTypes": ["ingress"]}),
                "spec.policyTypes[0]: Unsupported value: \"ingress\"".into(),
            ),
        ] {
            let found = problems(&spec);
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{spec}: {found:?} is not {expected}");
        }
    }
}
