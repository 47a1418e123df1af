//! What a Service is given when it is written: its address, ports of the nodes, and the fields that
//! go with its type, as Kubernetes' API server does it.
//!
//! Called by sync for each write of a Service, and by admission for what a manifest asks for. What was
//! given stays: it is in the object, so it holds over restarts, and the world's indexes say what is
//! taken. Nothing is given to two. Deliberately not here: who stands behind a Service (`endpoints`).

pub mod net;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr};

use evenkeel_model::{
    Key, Object, Rng, canonical,
    net::{PortId, PortProtocol},
};
use evenkeel_schema::validate::{Cause, NODE_PORTS};
use serde_json::{Map, Value, json};

use crate::{controllers::api, cx::Cx, network::Layout, world::World};

/// `clusterIP` of a Service that has none by intent.
pub const HEADLESS: &str = "None";
/// At most so many addresses below all others are left to those who name one, as in Kubernetes.
const MOST_STATIC: u64 = 256;
/// The ports of nodes that are left to those who name one: the first 86, as in Kubernetes.
const STATIC_PORTS: u16 = 86;

/// The Service as it is written: `next` is what its source makes of `live`.
pub(crate) fn admit(world: &World, live: Option<&Object>, next: Object, cx: &mut Cx<'_>) -> Result<Object, String> {
    let mut body = next.body_map();
    let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(next) };
    let before = live.map(Object::body_map).unwrap_or_default();
    let before = before.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let layout = &cx.settings.network;
    let kind = text(spec, "type").unwrap_or("ClusterIP").to_string();
    drop_foreign(spec, &kind);
    if kind != "ExternalName" {
        cluster_ip(world, layout, &next.key, spec, &before, cx.rng)?;
    }
    node_ports(world, &next.key, spec, &before, &kind, cx.rng)?;
    let body = canonical::value_bytes(&Value::Object(body)).into();
    let mut object = Object { body, ..next };
    if object.status.is_empty() {
        object.status = canonical::value_bytes(&json!({"loadBalancer": {}})).into();
    }
    Ok(object)
}

fn text<'m>(map: &'m Map<String, Value>, field: &str) -> Option<&'m str> {
    map.get(field).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// Takes out what another type left behind.
fn drop_foreign(spec: &mut Map<String, Value>, kind: &str) {
    let balanced = kind == "LoadBalancer";
    let outside = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    let mut unfit: Vec<&str> = Vec::new();
    if kind == "ExternalName" {
        unfit.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    } else {
        unfit.push("externalName");
    }
    if kind == "ExternalName" || kind == "ClusterIP" && !outside {
        unfit.push("externalTrafficPolicy");
    }
    if !balanced {
        unfit.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if !(balanced && text(spec, "externalTrafficPolicy") == Some("Local")) {
        unfit.push("healthCheckNodePort");
    }
    if text(spec, "sessionAffinity") != Some("ClientIP") {
        unfit.push("sessionAffinityConfig");
    }
    spec.retain(|field, _| !unfit.contains(&field.as_str()));
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            port.as_object_mut().map(|p| p.remove("nodePort"));
        }
    }
}

/// The address that a Service asks for: that of its manifest.
pub(crate) fn asked_address(spec: &Map<String, Value>) -> Option<&str> {
    let first = spec.get("clusterIPs").and_then(Value::as_array).and_then(|all| all.first()).and_then(Value::as_str);
    text(spec, "clusterIP").or(first)
}

fn cluster_ip(
    world: &World,
    layout: &Layout,
    key: &Key,
    spec: &mut Map<String, Value>,
    before: &Map<String, Value>,
    rng: &mut Rng,
) -> Result<(), String> {
    // Once given it stays, also where the manifest no longer names it.
    let asked = asked_address(spec).or_else(|| asked_address(before)).map(ToString::to_string);
    let ip = match asked {
        Some(ip) => {
            let had = asked_address(before);
            if had.is_some_and(|had| had != ip) {
                return Err(format!("clusterIP: the field is immutable, and is {}", had.unwrap_or_default()));
            }
            if ip != HEADLESS && had.is_none() {
                address_is_free(world, layout, key, &ip)?;
            }
            ip
        }
        None => free_address(world, layout, rng)
            .map(|ip| ip.to_string())
            .ok_or_else(|| format!("no address is left in the range of Services {}", layout.net.service_cidr))?,
    };
    spec.insert("clusterIP".into(), ip.clone().into());
    spec.insert("clusterIPs".into(), json!([ip]));
    spec.insert("ipFamilies".into(), json!(["IPv4"]));
    if text(spec, "ipFamilyPolicy").is_none() {
        spec.insert("ipFamilyPolicy".into(), "SingleStack".into());
    }
    Ok(())
}

/// Whether a Service can have an address that it asks for; why not, in Kubernetes' words where it has
/// some.
pub(crate) fn address_is_free(world: &World, layout: &Layout, key: &Key, text: &str) -> Result<(), String> {
    let range = layout.net.service_cidr;
    let ip: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
    if !range.contains(ip) || ip == range.network() || ip == range.last() {
        return Err(format!("the provided IP {text} is not in the valid range {range} of Services (--service-cidr)"));
    }
    if ip == layout.net.dns {
        return Err(format!("{text} is the address of the cluster's DNS server"));
    }
    if ip == layout.api() && !api::is_the_service(key) {
        return Err(format!("{text} is the address of the API's Service default/kubernetes"));
    }
    match world.services.of_address(&ip) {
        Some(other) if other != key => {
            Err(format!("provided IP is already allocated: {text} is that of {}/{}", other.namespace, other.name))
        }
        _ => Ok(()),
    }
}

/// A free address, by chance, so that one that was given back is not soon another's. The lowest are
/// taken last: they are for those who name one.
fn free_address(world: &World, layout: &Layout, rng: &mut Rng) -> Option<Ipv4Addr> {
    let range = layout.net.service_cidr;
    // Without the first and the last address.
    let size = range.size() - 2;
    let reserved = (size / 16).clamp(16, MOST_STATIC).min(size);
    let first = range.nth(1)?;
    let upper = (reserved < size).then(|| (reserved, size - reserved));
    let mut bands = upper.into_iter().chain([(0, reserved)]);
    bands.find_map(|(from, count)| {
        let from = u32::from(first).checked_add(u32::try_from(from).ok()?)?;
        free_in(world, layout, from, u32::try_from(count).ok()?, rng)
    })
}

fn free_in(world: &World, layout: &Layout, from: u32, count: u32, rng: &mut Rng) -> Option<Ipv4Addr> {
    let start = from + u32::try_from(rng.below(u64::from(count))).ok()?;
    let mut parts = [(start, from + count), (from, start)].into_iter();
    parts.find_map(|(from, end)| {
        let mut candidate = from;
        let mut taken = world.services.addresses_from(Ipv4Addr::from(from).into()).peekable();
        while candidate < end {
            let ip = Ipv4Addr::from(candidate);
            if taken.next_if(|t| **t == IpAddr::V4(ip)).is_none()
                && ![layout.net.dns, layout.api()].contains(&IpAddr::V4(ip))
            {
                return Some(ip);
            }
            candidate += 1;
        }
        None
    })
}

fn node_ports(
    world: &World,
    key: &Key,
    spec: &mut Map<String, Value>,
    before: &Map<String, Value>,
    kind: &str,
    rng: &mut Rng,
) -> Result<(), String> {
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        return Ok(());
    }
    let wants_ports = kind == "NodePort" || spec.get("allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
    let had = ports_of(before);
    let mut mine: Vec<u16> = Vec::new();
    // The same number for the protocols of one port, as DNS servers want it.
    let mut by_number: BTreeMap<(i64, String), u16> = BTreeMap::new();
    let mut given = Vec::new();
    for port in spec.get("ports").and_then(Value::as_array).into_iter().flatten() {
        let id = port_id(port);
        let asked =
            port.get("nodePort").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0);
        let chosen = asked.or_else(|| had.get(&id).copied().filter(|_| wants_ports));
        if let Some(chosen) = chosen {
            port_is_free(world, key, chosen)?;
            by_number.insert(id, chosen);
            mine.push(chosen);
        }
        given.push(chosen);
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for (port, chosen) in ports.into_iter().flatten().zip(given) {
        let id = port_id(port);
        let chosen = match chosen {
            None if wants_ports => {
                let twin = by_number.iter().find(|((number, protocol), _)| *number == id.0 && *protocol != id.1);
                let twin = twin.map(|(_, p)| *p);
                Some(match twin {
                    Some(port) => port,
                    None => free_port(world, &mine, rng)?,
                })
            }
            chosen => chosen,
        };
        if let (Some(chosen), Some(port)) = (chosen, port.as_object_mut()) {
            port.insert("nodePort".into(), chosen.into());
            by_number.insert(id, chosen);
            mine.push(chosen);
        } else if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
    if kind == "LoadBalancer" && text(spec, "externalTrafficPolicy") == Some("Local") {
        let number = |map: &Map<String, Value>| {
            let port = map.get("healthCheckNodePort").and_then(Value::as_u64);
            port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)
        };
        let port = match number(spec).or_else(|| number(before)) {
            Some(port) => {
                port_is_free(world, key, port)?;
                port
            }
            None => free_port(world, &mine, rng)?,
        };
        spec.insert("healthCheckNodePort".into(), port.into());
    }
    Ok(())
}

/// A port's number and protocol.
fn port_id(port: &Value) -> (i64, String) {
    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
    (port.get("port").and_then(Value::as_i64).unwrap_or_default(), protocol.to_string())
}

fn ports_of(spec: &Map<String, Value>) -> BTreeMap<(i64, String), u16> {
    let ports = spec.get("ports").and_then(Value::as_array).into_iter().flatten();
    ports
        .filter_map(|p| {
            let number = p.get("nodePort").and_then(Value::as_u64)?;
            Some((port_id(p), u16::try_from(number).ok().filter(|n| *n != 0)?))
        })
        .collect()
}

/// Whether a Service can have a port of the nodes that it asks for.
pub(crate) fn port_is_free(world: &World, key: &Key, port: u16) -> Result<(), String> {
    match world.services.of_node_port(port) {
        Some(other) if other != key => Err(format!(
            "provided port is already allocated: node port {port} is that of {}/{}",
            other.namespace, other.name
        )),
        _ => match balanced(world, port).filter(|other| *other != key) {
            Some(other) => Err(format!(
                "port {port} of the nodes leads to {}/{} of type LoadBalancer",
                other.namespace, other.name
            )),
            None => Ok(()),
        },
    }
}

/// The LoadBalancer that has a port at the nodes' addresses.
fn balanced(world: &World, port: u16) -> Option<&Key> {
    let both = [PortProtocol::Tcp, PortProtocol::Udp];
    both.into_iter().find_map(|protocol| world.balanced.holder(PortId { port, protocol }))
}

fn free_port(world: &World, mine: &[u16], rng: &mut Rng) -> Result<u16, String> {
    let bound = |n: i64| u16::try_from(n).unwrap_or(u16::MAX);
    let (first, last) = (bound(*NODE_PORTS.start()), bound(*NODE_PORTS.end()));
    let dynamic = first + STATIC_PORTS;
    let start = dynamic + u16::try_from(rng.below(u64::from(last - dynamic + 1))).unwrap_or(0);
    let free = |port: &u16| {
        world.services.of_node_port(*port).is_none() && balanced(world, *port).is_none() && !mine.contains(port)
    };
    let mut candidates = (start..=last).chain(dynamic..start).chain(first..dynamic);
    candidates.find(free).ok_or_else(|| format!("no port is left of the nodes' {first}-{last}"))
}

/// What a manifest asks for that it cannot have: the field's path, and why.
pub(crate) fn objections(
    world: &World,
    layout: &Layout,
    key: &Key,
    wanted: &Map<String, Value>,
    live: Option<&Object>,
) -> Vec<Cause> {
    let mut out = Vec::new();
    let before = live.map(Object::body_map).unwrap_or_default();
    let before = before.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let external = text(wanted, "type") == Some("ExternalName");
    if let Some(ip) = asked_address(wanted).filter(|_| !external) {
        let had = asked_address(&before);
        let path = if text(wanted, "clusterIP").is_some() { "spec.clusterIP" } else { "spec.clusterIPs" };
        if had.is_some_and(|had| had != ip) {
            let why = format!("the field is immutable: the Service has {}; delete it first", had.unwrap_or_default());
            out.push(Cause::wrong(path, why));
        } else if had.is_none()
            && ip != HEADLESS
            && let Err(why) = address_is_free(world, layout, key, ip)
        {
            out.push(Cause::wrong(path, why));
        }
    }
    let ports = wanted.get("ports").and_then(Value::as_array).into_iter().flatten();
    let asked = ports.map(|p| p.get("nodePort")).chain([wanted.get("healthCheckNodePort")]).enumerate();
    let count = wanted.get("ports").and_then(Value::as_array).map_or(0, Vec::len);
    for (i, port) in asked {
        let Some(port) = port.and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0) else {
            continue;
        };
        if let Err(why) = port_is_free(world, key, port) {
            let path =
                if i < count { format!("spec.ports[{i}].nodePort") } else { "spec.healthCheckNodePort".to_string() };
            out.push(Cause::wrong(path, why));
        }
    }
    out
}

/// Addresses and ports that a manifest names, each with its field's path.
pub(crate) fn asks(wanted: &Map<String, Value>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Some(ip) = asked_address(wanted).filter(|ip| *ip != HEADLESS) {
        out.push(("spec.clusterIP".to_string(), format!("address {ip}")));
    }
    for (i, port) in wanted.get("ports").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(number) = port.get("nodePort").and_then(Value::as_u64).filter(|n| *n != 0) {
            out.push((format!("spec.ports[{i}].nodePort"), format!("node port {number}")));
        }
    }
    out
}

#[cfg(test)]
mod tests;
