//! Services and EndpointSlices. Addresses are IPv4 alone: others are refused with that.

use alloc::{collections::BTreeSet, format};
use core::net::{IpAddr, Ipv4Addr};

use evenkeel_model::net::Cidr;
use serde_json::{Value, json};

use super::{complaints::Complaints, container, list, meta, names, text};
use crate::path::Trail;

/// Ports of nodes that Services may have, as Kubernetes' default.
pub const NODE_PORTS: core::ops::RangeInclusive<i64> = 30_000..=32_767;
/// Endpoints of one slice, and addresses of one endpoint, as in Kubernetes.
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const HEADLESS: &str = "None";
const NO_IPV6: &str = "IPv6 is not supported yet: an IPv4 address";

/// A Service's `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    let kind = text(value, "type").unwrap_or("ClusterIP");
    let cluster_ip = text(value, "clusterIP").or_else(|| list(value, "clusterIPs").first().and_then(Value::as_str));
    let headless = cluster_ip == Some(HEADLESS);
    addresses(value, kind, headless, at, out);
    ports(value, kind, headless, at, out);
    meta::labels(&value["selector"], &at.field("selector"), out);
    if kind == "ExternalName" {
        external_name(value, at, out);
    }
    for (i, family) in list(value, "ipFamilies").iter().enumerate().filter(|(_, f)| f.as_str() == Some("IPv6")) {
        out.invalid(&at.field("ipFamilies").index(i), family, "IPv6 is not supported yet: leave it out, or IPv4");
    }
    policies(value, kind, at, out);
}

fn addresses(value: &Value, kind: &str, headless: bool, at: &Trail<'_>, out: &mut Complaints) {
    let (one, all) = (text(value, "clusterIP"), list(value, "clusterIPs"));
    let all_at = at.field("clusterIPs");
    if kind == "ExternalName" {
        if one.is_some() {
            out.forbidden(&at.field("clusterIP"), "may not be set when `type` is 'ExternalName'");
        }
        return;
    }
    if headless && kind != "ClusterIP" {
        let why = format!("may not be set to 'None' for {kind} services");
        out.invalid(&all_at.index(0), &json!(HEADLESS), &why);
    }
    if let Some(one) = one.filter(|ip| *ip != HEADLESS) {
        address(one, &at.field("clusterIP"), out);
    }
    for (i, ip) in all.iter().filter_map(Value::as_str).enumerate().filter(|(_, ip)| *ip != HEADLESS) {
        if i > 0 {
            out.invalid(&all_at.index(i), &json!(ip), "dual stack is not supported yet: one address");
        } else if one != Some(ip) {
            address(ip, &all_at.index(i), out);
        }
    }
    if let (Some(one), Some(first)) = (one, all.first().and_then(Value::as_str))
        && one != first
    {
        out.invalid(&all_at, &json!(all), "first value must match `clusterIP`");
    }
    for (i, ip) in list(value, "externalIPs").iter().enumerate() {
        let at = at.field("externalIPs");
        let at = at.index(i);
        let parsed = address(ip.as_str().unwrap_or_default(), &at, out);
        if parsed.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()) {
            out.invalid(&at, ip, "may not be a loopback, unspecified or multicast address");
        }
    }
}

/// An IPv4 address.
fn address(text: &str, at: &Trail<'_>, out: &mut Complaints) -> Option<Ipv4Addr> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Some(ip),
        Ok(IpAddr::V6(_)) => {
            out.invalid_str(at, text, NO_IPV6);
            None
        }
        Err(_) => {
            out.invalid_str(at, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
            None
        }
    }
}

fn ports(value: &Value, kind: &str, headless: bool, at: &Trail<'_>, out: &mut Complaints) {
    let all = list(value, "ports");
    let at = at.field("ports");
    if all.is_empty() && !headless && kind != "ExternalName" {
        out.required(&at, "");
    }
    let (mut seen_names, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in all.iter().enumerate() {
        let at = at.index(i);
        match text(port, "name") {
            None if all.len() > 1 => out.required(&at.field("name"), ""),
            None => {}
            Some(name) => {
                if let Some(why) = names::dns_label(name) {
                    out.invalid_str(&at.field("name"), name, why);
                } else if !seen_names.insert(name) {
                    out.duplicate(&at.field("name"), &json!(name));
                }
            }
        }
        let number = port["port"].as_i64();
        let protocol = text(port, "protocol").unwrap_or("TCP");
        if !seen.insert((number, protocol)) {
            out.duplicate(&at, &json!({"port": number, "protocol": protocol}));
        }
        // 0 and "" are an absent one.
        let target = &port["targetPort"];
        if !(target.is_null() || *target == json!(0) || *target == json!("")) {
            container::handler_port(target, &at.field("targetPort"), out);
        }
        node_port(&port["nodePort"], kind, &at.field("nodePort"), out);
    }
}

fn node_port(value: &Value, kind: &str, at: &Trail<'_>, out: &mut Complaints) {
    let Some(port) = value.as_i64().filter(|p| *p != 0) else { return };
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        out.forbidden(at, &format!("may not be used when `type` is '{kind}'"));
    } else if !NODE_PORTS.contains(&port) {
        out_of_range(value, at, out);
    }
}

fn out_of_range(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
    let why = format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
    out.invalid(at, value, &why);
}

fn external_name(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("externalName");
    match text(value, "externalName") {
        None => out.required(&at, ""),
        Some(name) => {
            if let Some(why) = names::dns_subdomain(name.strip_suffix('.').unwrap_or(name)) {
                out.invalid_str(&at, name, why);
            }
        }
    }
}

fn policies(value: &Value, kind: &str, at: &Trail<'_>, out: &mut Complaints) {
    let balanced = kind == "LoadBalancer";
    let external = balanced || kind == "NodePort" || kind == "ClusterIP" && !list(value, "externalIPs").is_empty();
    if let Some(policy) = text(value, "externalTrafficPolicy").filter(|_| !external) {
        let why = "may only be set for externally-accessible services";
        out.invalid_str(&at.field("externalTrafficPolicy"), policy, why);
    }
    let checked = balanced && text(value, "externalTrafficPolicy") == Some("Local");
    let at_health = at.field("healthCheckNodePort");
    match value["healthCheckNodePort"].as_i64().filter(|p| *p != 0) {
        Some(_) if !checked => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            out.invalid(&at_health, &value["healthCheckNodePort"], why);
        }
        Some(port) if !NODE_PORTS.contains(&port) => out_of_range(&value["healthCheckNodePort"], &at_health, out),
        _ => {}
    }
    if !balanced && value["allocateLoadBalancerNodePorts"].is_boolean() {
        let why = "may only be used when `type` is 'LoadBalancer'";
        out.forbidden(&at.field("allocateLoadBalancerNodePorts"), why);
    }
    balancer(value, balanced, at, out);
    if text(value, "sessionAffinity") != Some("ClientIP") && !value["sessionAffinityConfig"].is_null() {
        let why = "must not be set when session affinity is None";
        out.forbidden(&at.field("sessionAffinityConfig"), why);
    }
}

/// What Services of type LoadBalancer alone have.
fn balancer(value: &Value, balanced: bool, at: &Trail<'_>, out: &mut Complaints) {
    let why = "may only be used when `type` is 'LoadBalancer'";
    let ranges = at.field("loadBalancerSourceRanges");
    let all = list(value, "loadBalancerSourceRanges");
    if !balanced && !all.is_empty() {
        out.forbidden(&ranges, why);
    }
    for (i, range) in all.iter().enumerate() {
        if let Err(e) = range.as_str().unwrap_or_default().trim().parse::<Cidr>() {
            out.invalid(&ranges.index(i), range, &format!("must be a range of addresses as 10.0.0.0/8: {}", e.reason));
        }
    }
    if let Some(class) = text(value, "loadBalancerClass") {
        let at = at.field("loadBalancerClass");
        if !balanced {
            out.forbidden(&at, why);
        } else if let Some(why) = names::qualified_name(class) {
            out.invalid_str(&at, class, why);
        }
    }
    if let Some(ip) = text(value, "loadBalancerIP") {
        address(ip, &at.field("loadBalancerIP"), out);
    }
}

/// A whole EndpointSlice.
pub(super) fn slice(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let at = root.field("endpoints");
    let endpoints = list(value, "endpoints");
    if endpoints.len() > MOST_ENDPOINTS {
        out.too_long(&at, MOST_ENDPOINTS);
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = at.index(i);
        let all = list(endpoint, "addresses");
        if all.is_empty() {
            out.required(&at.field("addresses"), "must contain at least 1 address");
        }
        if all.len() > MOST_ADDRESSES {
            out.too_long(&at.field("addresses"), MOST_ADDRESSES);
        }
        for (i, ip) in all.iter().take(MOST_ADDRESSES).enumerate() {
            let at = at.field("addresses");
            endpoint_address(ip, &at.index(i), out);
        }
        if let Some(name) = text(endpoint, "hostname")
            && let Some(why) = names::dns_label(name)
        {
            out.invalid_str(&at.field("hostname"), name, why);
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in list(value, "ports").iter().enumerate() {
        let at = root.field("ports");
        let name = text(port, "name").unwrap_or_default();
        if !seen.insert(name) {
            out.duplicate(&at.index(i).field("name"), &json!(name));
        }
    }
}

/// Where a connection may be led to.
fn endpoint_address(ip: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let parsed = address(ip.as_str().unwrap_or_default(), at, out);
    if parsed.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified() || ip.is_link_local()) {
        out.invalid(at, ip, "may not be a loopback, unspecified or link-local address");
    }
}

/// A whole Endpoints object.
pub(super) fn endpoints(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let subsets = root.field("subsets");
    for (i, subset) in list(value, "subsets").iter().enumerate() {
        let at = subsets.index(i);
        let fields = ["addresses", "notReadyAddresses"];
        if fields.iter().all(|field| list(subset, field).is_empty()) {
            out.required(&at, "must specify `addresses` or `notReadyAddresses`");
        }
        for field in fields {
            let at = at.field(field);
            for (i, one) in list(subset, field).iter().enumerate() {
                let at = at.index(i);
                endpoint_address(&one["ip"], &at.field("ip"), out);
                if let Some(name) = text(one, "hostname")
                    && let Some(why) = names::dns_label(name)
                {
                    out.invalid_str(&at.field("hostname"), name, why);
                }
            }
        }
        let ports = list(subset, "ports");
        let at = at.field("ports");
        let mut seen = BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            let (at, name) = (at.index(i), text(port, "name"));
            match name {
                None if ports.len() > 1 => out.required(&at.field("name"), ""),
                Some(name) if !seen.insert(name) => out.duplicate(&at.field("name"), &json!(name)),
                _ => {}
            }
            if let Some(number) = port.get("port") {
                container::handler_port(number, &at.field("port"), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::{Value, json};

    fn problems(spec: &Value) -> Vec<String> {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
            "spec": spec});
        super::super::object(Kind::Service, &service)
            .into_iter()
            .map(|p| format!("{}: {}", p.path, p.message))
            .collect()
    }

    #[test]
    fn good_services_have_no_problems() {
        for spec in [
            json!({"ports": [{"port": 80, "targetPort": "http"}]}),
            json!({"clusterIP": "None"}),
            json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ipFamilies": ["IPv4"], "ports": [{"port": 1}]}),
            json!({"type": "ExternalName", "externalName": "db.example.com."}),
            json!({"type": "NodePort", "ports": [{"name": "a", "port": 53, "nodePort": 30053},
                {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053}]}),
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
                "ports": [{"port": 80, "targetPort": 0}]}),
            json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/cloud",
                "loadBalancerSourceRanges": ["10.0.0.0/8", " 192.0.2.0/24 "], "ports": [{"port": 80}]}),
            json!({"externalIPs": ["192.0.2.1"], "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}),
        ] {
            assert_eq!(problems(&spec), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn a_services_mistakes() {
        let port = json!([{"port": 80}]);
        for (spec, expected) in [
            (json!({}), "spec.ports: Required value"),
            (json!({"ports": [{"port": 0}]}), "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535"),
            (json!({"ports": [{"port": 1, "name": "a"}, {"port": 2}]}), "spec.ports[1].name: Required value"),
            (
                json!({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}),
                "spec.ports[1].name: Duplicate value",
            ),
            (json!({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}), "spec.ports[1]: Duplicate value"),
            (json!({"ports": [{"port": 1, "nodePort": 30001}]}), "spec.ports[0].nodePort: Forbidden"),
            (
                json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]}),
                "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range",
            ),
            (
                json!({"type": "NodePort", "clusterIP": "None", "ports": port}),
                "spec.clusterIPs[0]: Invalid value: \"None\"",
            ),
            (
                json!({"clusterIP": "fd00::1", "ports": port}),
                "spec.clusterIP: Invalid value: \"fd00::1\": IPv6 is not supported yet",
            ),
            (json!({"ipFamilies": ["IPv6"], "ports": port}), "spec.ipFamilies[0]: Invalid value: \"IPv6\""),
            (json!({"clusterIPs": ["10.43.0.5", "10.43.0.6"], "ports": port}), "spec.clusterIPs[1]: Invalid value"),
            (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
            (json!({"externalTrafficPolicy": "Local", "ports": port}), "spec.externalTrafficPolicy: Invalid value"),
            (json!({"healthCheckNodePort": 32000, "ports": port}), "spec.healthCheckNodePort: Invalid value"),
            (json!({"externalIPs": ["127.0.0.1"], "ports": port}), "spec.externalIPs[0]: Invalid value"),
            (json!({"sessionAffinity": "Sometimes", "ports": port}), "spec.sessionAffinity: Unsupported value"),
            (
                json!({"loadBalancerSourceRanges": ["10.0.0.0/8"], "ports": port}),
                "spec.loadBalancerSourceRanges: Forbidden",
            ),
            (json!({"loadBalancerClass": "a", "ports": port}), "spec.loadBalancerClass: Forbidden"),
            (
                json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"], "ports": port}),
                "spec.loadBalancerSourceRanges[0]: Invalid value: \"10.0.0.1/8\": must be a range",
            ),
            (
                json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["fd00::/64"], "ports": port}),
                "spec.loadBalancerSourceRanges[0]: Invalid value",
            ),
            (json!({"selector": {"a b": "c"}, "ports": port}), "spec.selector: Invalid value"),
        ] {
            let found = problems(&spec);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{spec}: {found:?}");
        }
    }
}
