//! Who stands behind a Service: its EndpointSlices and its Endpoints, from its selector and the pods.
//!
//! By the rules of Kubernetes' endpoint slice controller: at most 100 endpoints a slice, those there
//! stay in their slice, a slice holds endpoints with the same ports. A pod is ready where its agent
//! says so, or the server judges otherwise for a node that is silent (`node`); one that ends serves on
//! while it is ready. A pod's change looks at the Services that select it alone. Deliberately not
//! here: Services without a selector, whose slices are made by hand or mirror Endpoints (`mirror`), and what
//! agents are told.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Labels, Object, OwnerRef, Selector, canonical};
use k8s_openapi::{
    api::core::v1::{ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::{Map, Value, json};

use crate::{
    change::Changed,
    cx::Cx,
    world::{World, pods::PodRecord, services::SERVICE_NAME},
};

/// Endpoints of one slice, as Kubernetes' default.
pub(super) const SLICE_ROOM: usize = 100;
/// Addresses of one Endpoints object, as in Kubernetes: beyond it the slices alone have all.
const ENDPOINTS_ROOM: usize = 1000;
/// Label of what this controller makes, with Kubernetes' values.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SLICES: &str = "endpointslice-controller.k8s.io";
const ENDPOINTS_BY: &str = "endpoints.kubernetes.io/managed-by";
const ENDPOINTS: &str = "endpoint-controller";
const TRUNCATED: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// The zone of a node.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Labels of this prefix say who wrote a Service: what follows from it is nobody's manifest.
const OWN: &str = "evenkeel.dev/";

/// Marks a Service that changed, and those that select a pod that changed.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Service if changed.new.is_some() => mark(changed.key.clone()),
        Kind::Pod => {
            let (old, new) = (changed.old.as_deref(), changed.new.as_deref());
            if let (Some(old), Some(new)) = (old, new)
                && old.status == new.status
                && old.meta.labels == new.meta.labels
                && old.deleting() == new.deleting()
                && old.node == new.node
                && old.body == new.body
            {
                return;
            }
            for pod in old.into_iter().chain(new) {
                world.services.selecting(&pod.key.namespace, &pod.meta.labels).for_each(|k| mark(k.clone()));
            }
        }
        Kind::Node => {
            let zone = |o: &Option<Arc<Object>>| o.as_ref().and_then(|o| o.meta.label(ZONE).map(ToString::to_string));
            if zone(&changed.old) == zone(&changed.new) {
                return;
            }
            for pod in world.pods.on_node(&changed.key.name).filter_map(|key| world.get(key)) {
                world.services.selecting(&pod.key.namespace, &pod.meta.labels).for_each(|k| mark(k.clone()));
            }
        }
        _ => {}
    }
}

/// Endpoints with the same ports, by their pod.
struct Group {
    ports: Value,
    members: BTreeMap<Arc<str>, Member>,
}

struct Member {
    endpoint: Value,
    ready: bool,
    terminating: bool,
}

/// Looks at one Service.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(service) = world.get(key).filter(|s| !s.deleting()) else { return };
    let Some(record) = world.services.get(key).filter(|r| !r.selector.is_empty()) else { return };
    let spec: ServiceSpec = service.spec().unwrap_or_default();
    let labels = LabelSelector { match_labels: Some(record.selector.clone()), ..LabelSelector::default() };
    let Ok(selector) = Selector::from_k8s(&labels) else { return };
    let mut groups: BTreeMap<Vec<u8>, Group> = BTreeMap::new();
    for pod in world.pods.selected(&key.namespace, &selector) {
        let Some((ports, member)) = member(world, key, &spec, pod) else { continue };
        let group =
            groups.entry(canonical::value_bytes(&ports)).or_insert_with(|| Group { ports, members: BTreeMap::new() });
        group.members.insert(pod.name.clone(), member);
    }
    endpoints(world, service, &spec, &groups, cx);
    slices(world, service, &spec, groups, cx);
}

/// A pod as it stands behind a Service, with its ports; `None` for one that has no address or ended.
fn member(world: &World, service: &Key, spec: &ServiceSpec, key: &Key) -> Option<(Value, Member)> {
    let record = world.pods.get(key).filter(|r| !r.finished())?;
    let address = record.address?;
    let serving = record.ready_since.is_some();
    let ready = spec.publish_not_ready_addresses == Some(true) || serving && !record.terminating;
    let mut endpoint = json!({
        "addresses": [address.to_string()],
        "conditions": {"ready": ready, "serving": serving, "terminating": record.terminating},
        "targetRef": {"kind": "Pod", "namespace": key.namespace, "name": key.name, "uid": record.uid.to_string()},
    });
    if let Some(node) = &record.node {
        endpoint["nodeName"] = (&**node).into();
        let zone = world.nodes.get(node).and_then(|n| n.labels.get(ZONE));
        if let Some(zone) = zone {
            endpoint["zone"] = zone.as_str().into();
        }
        if let Some(hints) = hints(spec.traffic_distribution.as_deref(), node, zone).filter(|_| ready) {
            endpoint["hints"] = hints;
        }
    }
    if let (Some(hostname), Some(subdomain)) = (&record.shape.hostname, &record.shape.subdomain)
        && *subdomain == service.name
    {
        endpoint["hostname"] = (&**hostname).into();
    }
    Some((ports(spec, record), Member { endpoint, ready, terminating: record.terminating }))
}

/// For whom an endpoint is meant first, by `trafficDistribution`: its own zone, or its own node and then
/// its zone.
fn hints(wanted: Option<&str>, node: &str, zone: Option<&String>) -> Option<Value> {
    let zones = zone.map(|zone| json!([{"name": zone}]));
    match (wanted?, zones) {
        ("PreferSameNode", Some(zones)) => Some(json!({"forNodes": [{"name": node}], "forZones": zones})),
        ("PreferSameNode", None) => Some(json!({"forNodes": [{"name": node}]})),
        ("PreferClose" | "PreferSameZone", Some(zones)) => Some(json!({"forZones": zones})),
        _ => None,
    }
}

/// The ports of a Service on one pod: one that has none of a name has it not.
fn ports(spec: &ServiceSpec, pod: &PodRecord) -> Value {
    let one = |port: &ServicePort| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let number = match &port.target_port {
            None => u16::try_from(port.port).ok()?,
            Some(IntOrString::Int(n)) => u16::try_from(*n).ok()?,
            Some(IntOrString::String(name)) => {
                pod.shape.ports.iter().find(|(n, p, _)| n == name && p == protocol).map(|(_, _, number)| *number)?
            }
        };
        let mut out = json!({"name": port.name.clone().unwrap_or_default(), "port": number, "protocol": protocol});
        if let Some(app) = &port.app_protocol {
            out["appProtocol"] = app.as_str().into();
        }
        Some(out)
    };
    spec.ports.iter().flatten().filter_map(one).collect()
}

/// Labels of an object that go on to what follows from it.
pub(super) fn own_labels(object: &Object) -> impl Iterator<Item = (String, String)> {
    object.meta.labels.iter().filter(|(k, _)| !k.starts_with(OWN)).map(|(k, v)| (k.clone(), v.clone()))
}

/// Labels of what is made for a Service: its own, and these.
fn labels(service: &Object, spec: &ServiceSpec, more: &[(&str, &str)]) -> Labels {
    let mut all: BTreeMap<String, String> = own_labels(service).collect();
    all.extend(more.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())));
    if spec.cluster_ip.as_deref() == Some(crate::service::HEADLESS) {
        all.insert(HEADLESS_LABEL.into(), String::new());
    }
    Arc::new(all)
}

/// Puts an object there that follows from its owner, where it is not so already.
pub(super) fn write(world: &World, owner: &Object, key: &Key, labels: Labels, body: &Value, cx: &mut Cx<'_>) {
    let mut next = match world.get(key) {
        Some(live) => Object { body: canonical::value_bytes(body).into(), ..Object::clone(live) },
        None => cx.draft(key.clone(), body),
    };
    next.meta.labels = labels;
    next.meta.owners = [OwnerRef::controller(&owner.key, owner.uid)].into();
    if world.get(key).is_some_and(|live| live.same_content(&next)) {
        return;
    }
    if world.get(key).is_some() && key.kind == Kind::EndpointSlice {
        next.meta.generation += 1;
    }
    cx.put(next);
}

fn slices(
    world: &World,
    service: &Arc<Object>,
    spec: &ServiceSpec,
    mut groups: BTreeMap<Vec<u8>, Group>,
    cx: &mut Cx<'_>,
) {
    let labels = labels(service, spec, &[(SERVICE_NAME, &service.key.name), (MANAGED_BY, SLICES)]);
    let body =
        |ports: &Value, endpoints: &[Value]| json!({"addressType": "IPv4", "endpoints": endpoints, "ports": ports});
    let ours = |o: &&Arc<Object>| o.meta.label(MANAGED_BY) == Some(SLICES) && !o.deleting();
    let live: Vec<&Arc<Object>> =
        world.services.slices(&service.key).filter_map(|k| world.get(k)).filter(ours).collect();
    // What is there stays where it is.
    let mut kept: Vec<(Key, Vec<u8>, Vec<Value>)> = Vec::new();
    for slice in live {
        let map = slice.body_map();
        let id = canonical::value_bytes(map.get("ports").unwrap_or(&json!([])));
        let mut endpoints = Vec::new();
        if let Some(group) = groups.get_mut(&id) {
            for old in map.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
                let name = old["targetRef"]["name"].as_str().unwrap_or_default();
                let same = group.members.get(name).is_some_and(|m| m.endpoint["targetRef"] == old["targetRef"]);
                if same && let Some(member) = group.members.remove(name) {
                    endpoints.push(member.endpoint);
                }
            }
        }
        kept.push((slice.key.clone(), id, endpoints));
    }
    // What is new goes where there is room.
    let mut ports: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
    let mut made: Vec<Key> = Vec::new();
    for (id, group) in groups {
        ports.insert(id.clone(), group.ports);
        let mut rest: Vec<Value> = group.members.into_values().map(|m| m.endpoint).collect();
        rest.reverse();
        for (_, _, endpoints) in kept.iter_mut().filter(|(_, i, _)| *i == id) {
            let room = SLICE_ROOM.saturating_sub(endpoints.len());
            endpoints.extend(rest.split_off(rest.len().saturating_sub(room)).into_iter().rev());
        }
        merge(&mut kept, &id);
        while !rest.is_empty() {
            let some: Vec<Value> = rest.split_off(rest.len().saturating_sub(SLICE_ROOM)).into_iter().rev().collect();
            let key = slice_name(world, service, &made, cx);
            made.push(key.clone());
            kept.push((key, id.clone(), some));
        }
    }
    for (key, id, endpoints) in kept {
        if endpoints.is_empty() {
            cx.delete(key);
        } else if let Some(ports) = ports.get(&id) {
            write(world, service, &key, labels.clone(), &body(ports, &endpoints), cx);
        }
    }
}

/// Empties the smallest slice of a group where the others have twice the room that it takes: what
/// scaled down does not stay spread over many.
fn merge(kept: &mut [(Key, Vec<u8>, Vec<Value>)], id: &[u8]) {
    let of_group = |s: &&mut (Key, Vec<u8>, Vec<Value>)| s.1 == id && !s.2.is_empty();
    let mut group: Vec<&mut (Key, Vec<u8>, Vec<Value>)> = kept.iter_mut().filter(of_group).collect();
    group.sort_by_key(|s| s.2.len());
    let Some((smallest, others)) = group.split_first_mut() else { return };
    let room: usize = others.iter().map(|s| SLICE_ROOM.saturating_sub(s.2.len())).sum();
    if room < smallest.2.len() * 2 {
        return;
    }
    let mut moving = core::mem::take(&mut smallest.2);
    for (_, _, endpoints) in others.iter_mut().map(|s| &mut **s) {
        let room = SLICE_ROOM.saturating_sub(endpoints.len());
        endpoints.extend(moving.drain(..room.min(moving.len())));
    }
}

/// A name that no slice has.
pub(super) fn slice_name(world: &World, owner: &Object, made: &[Key], cx: &mut Cx<'_>) -> Key {
    loop {
        let key = owner.key.sibling(Kind::EndpointSlice, format!("{}-{}", owner.key.name, cx.rng.name_suffix()));
        if world.get(&key).is_none() && !made.contains(&key) {
            return key;
        }
    }
}

/// The older form, one object a Service. Pods that end are not in it.
fn endpoints(
    world: &World,
    service: &Arc<Object>,
    spec: &ServiceSpec,
    groups: &BTreeMap<Vec<u8>, Group>,
    cx: &mut Cx<'_>,
) {
    let mut left = ENDPOINTS_ROOM;
    let mut subsets = Vec::new();
    let total: usize = groups.values().map(|g| g.members.len()).sum();
    for group in groups.values() {
        let (mut ready, mut not_ready) = (Vec::new(), Vec::new());
        let there = group.members.values().filter(|m| m.ready || !m.terminating);
        for member in there.take(left) {
            let e = &member.endpoint;
            let mut address = json!({"ip": e["addresses"][0], "targetRef": e["targetRef"]});
            for field in ["nodeName", "hostname"].into_iter().filter(|f| !e[*f].is_null()) {
                address[field] = e[field].clone();
            }
            if member.ready { &mut ready } else { &mut not_ready }.push(address);
        }
        left -= ready.len() + not_ready.len();
        let mut subset = Map::new();
        let mut put = |field: &str, list: Vec<Value>| {
            if !list.is_empty() {
                subset.insert(field.into(), Value::Array(list));
            }
        };
        if ready.is_empty() && not_ready.is_empty() {
            continue;
        }
        put("addresses", ready);
        put("notReadyAddresses", not_ready);
        put("ports", unnamed(&group.ports));
        subsets.push(Value::Object(subset));
    }
    let body = if subsets.is_empty() { json!({}) } else { json!({"subsets": subsets}) };
    let key = service.key.sibling(Kind::Endpoints, service.key.name.clone());
    if world.desired.source_of(&key).is_some() {
        // A source's own, which would be healed again and again.
        return;
    }
    let labels = labels(service, spec, &[(ENDPOINTS_BY, ENDPOINTS)]);
    let truncated = total > ENDPOINTS_ROOM;
    write(world, service, &key, labels, &body, cx);
    let live = cx.pending(&key).or_else(|| world.get(&key)).cloned();
    if let Some(live) = live.filter(|o| o.meta.annotation(TRUNCATED).is_some() != truncated) {
        let mut next = Object::clone(&live);
        if truncated {
            next.meta.annotate(TRUNCATED, "truncated");
        } else {
            Arc::make_mut(&mut next.meta.annotations).remove(TRUNCATED);
        }
        cx.put(next);
    }
}

/// In Endpoints a port without a name has none.
fn unnamed(ports: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = ports.as_array().cloned().unwrap_or_default();
    for port in &mut all {
        if port["name"] == json!("")
            && let Some(port) = port.as_object_mut()
        {
            port.remove("name");
        }
    }
    all
}

#[cfg(test)]
mod tests;
