//! Endpoints that are written by hand, for a Service without selector, as EndpointSlices: those are what
//! agents follow. So the older form leads to a database outside of the cluster as it does in Kubernetes.
//!
//! By the rules of Kubernetes' endpoint slice mirroring controller (KEP-0752): only where the Service is
//! there and has no selector, not where a label forbids it; a slice holds at most 100 endpoints and one
//! set of ports. Deliberately not here: Endpoints that are made from pods (`endpoints`).

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Labels, Object, canonical};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset};
use serde_json::{Value, json};

use super::{
    api::SKIP_MIRROR,
    endpoints::{MANAGED_BY, SLICE_ROOM, slice_name, write},
};
use crate::{
    change::Changed,
    cx::Cx,
    world::{World, services::SERVICE_NAME},
};

/// Who made a slice, with Kubernetes' value.
const MIRRORED: &str = "endpointslicemirroring-controller.k8s.io";
/// Addresses of one subset that are mirrored, as in Kubernetes.
const SUBSET_ROOM: usize = 1000;

/// Marks Endpoints that changed, and those of a Service that changed.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Endpoints => mark(changed.key.clone()),
        Kind::Service => {
            let key = changed.key.sibling(Kind::Endpoints, changed.key.name.clone());
            if world.get(&key).is_some() {
                mark(key);
            }
        }
        _ => {}
    }
}

/// Looks at one Endpoints object.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let service = key.sibling(Kind::Service, key.name.clone());
    let ours = |o: &&Arc<Object>| o.meta.label(MANAGED_BY) == Some(MIRRORED) && !o.deleting();
    let mut live: Vec<&Arc<Object>> =
        world.services.slices(&service).filter_map(|k| world.get(k)).filter(ours).collect();
    let by_hand = world.services.get(&service).is_some_and(|record| record.selector.is_empty());
    let endpoints = world.get(key).filter(|o| by_hand && !o.deleting() && o.meta.label(SKIP_MIRROR) != Some("true"));
    let mut made: Vec<Key> = Vec::new();
    for body in endpoints.into_iter().flat_map(|o| bodies(o)) {
        let Some(object) = endpoints else { break };
        // The slice that has these ports is the one that goes on.
        let ports = canonical::value_bytes(&body["ports"]);
        let same = |o: &Arc<Object>| o.body_map().get("ports").is_some_and(|p| canonical::value_bytes(p) == ports);
        let slice = match live.iter().position(|o| same(o)) {
            Some(at) => live.swap_remove(at).key.clone(),
            None => slice_name(world, object, &made, cx),
        };
        made.push(slice.clone());
        write(world, object, &slice, labels(object), &body, cx);
    }
    for slice in live {
        cx.delete(slice.key.clone());
    }
}

/// Labels of a mirror: those of the Endpoints, and these.
fn labels(endpoints: &Object) -> Labels {
    let mut all: BTreeMap<String, String> = super::endpoints::own_labels(endpoints).collect();
    all.insert(SERVICE_NAME.into(), endpoints.key.name.as_ref().into());
    all.insert(MANAGED_BY.into(), MIRRORED.into());
    Arc::new(all)
}

/// What the slices say, in the order of the subsets; subsets with equal ports are one.
fn bodies(endpoints: &Object) -> Vec<Value> {
    let subsets = endpoints.body_map().remove("subsets").unwrap_or_default();
    // What cannot be read was refused when it came in.
    let subsets: Vec<EndpointSubset> = serde_json::from_value(subsets).unwrap_or_default();
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for subset in subsets {
        let ports: Value = subset.ports.iter().flatten().map(port).collect();
        let ready = subset.addresses.iter().flatten().map(|a| endpoint(a, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|a| endpoint(a, false));
        let all = ready.chain(not_ready).take(SUBSET_ROOM);
        match groups.iter_mut().find(|(p, _)| *p == ports) {
            Some((_, there)) => there.extend(all),
            None => groups.push((ports, all.collect())),
        }
    }
    let chunks = groups.iter().flat_map(|(ports, all)| all.chunks(SLICE_ROOM).map(move |some| (ports, some)));
    chunks.map(|(ports, some)| json!({"addressType": "IPv4", "endpoints": some, "ports": ports})).collect()
}

fn port(port: &EndpointPort) -> Value {
    let mut out = json!({
        "name": port.name.clone().unwrap_or_default(),
        "port": port.port,
        "protocol": port.protocol.as_deref().unwrap_or("TCP"),
    });
    if let Some(app) = &port.app_protocol {
        out["appProtocol"] = app.as_str().into();
    }
    out
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Value {
    let mut out = json!({"addresses": [address.ip], "conditions": {"ready": ready}});
    for (field, value) in [("hostname", &address.hostname), ("nodeName", &address.node_name)] {
        if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
            out[field] = value.into();
        }
    }
    if let Some(Ok(target)) = address.target_ref.as_ref().map(serde_json::to_value) {
        out["targetRef"] = target;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{format, vec};

    use super::*;
    use crate::controllers::testkit::Cluster;

    fn put(c: &mut Cluster, kind: &str, name: &str, more: &Value) {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}});
        for (field, value) in more.as_object().unwrap() {
            object[field] = value.clone();
        }
        c.put(object);
        c.settle();
    }

    /// Ports and endpoints of a Service's slices.
    fn slices(c: &Cluster, service: &str) -> Vec<(Value, Value)> {
        let key = Key::new(Kind::Service, "default", service);
        let bodies = c.world.services.slices(&key).map(|k| c.world.get(k).unwrap().body_map());
        bodies.map(|mut b| (b.remove("ports").unwrap(), b.remove("endpoints").unwrap())).collect()
    }

    fn database(ip: &str) -> Value {
        json!({"subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 5432}]}]})
    }

    #[test]
    fn endpoints_by_hand_are_slices_while_the_service_has_no_selector() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi")]);
        put(&mut c, "Endpoints", "db", &database("192.0.2.7"));
        assert!(slices(&c, "db").is_empty(), "there is no Service");
        put(&mut c, "Service", "db", &json!({"spec": {"ports": [{"port": 5432}]}}));
        let ports = json!([{"name": "", "port": 5432, "protocol": "TCP"}]);
        let with = |ip: &str| vec![(ports.clone(), json!([{"addresses": [ip], "conditions": {"ready": true}}]))];
        assert_eq!(slices(&c, "db"), with("192.0.2.7"));
        let name = c.world.services.slices(&Key::new(Kind::Service, "default", "db")).next().cloned();
        put(&mut c, "Endpoints", "db", &database("192.0.2.8"));
        assert_eq!(slices(&c, "db"), with("192.0.2.8"));
        assert_eq!(c.world.services.slices(&Key::new(Kind::Service, "default", "db")).next().cloned(), name);
        let version = c.world.version;
        put(&mut c, "Endpoints", "db", &database("192.0.2.8"));
        assert_eq!(c.world.version, version, "nothing new writes nothing");

        put(&mut c, "Service", "db", &json!({"spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}}));
        assert!(slices(&c, "db").is_empty(), "now its pods stand behind it, and there are none");
    }

    #[test]
    fn subsets_with_equal_ports_are_one_and_a_label_forbids_it() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi")]);
        put(&mut c, "Service", "db", &json!({"spec": {"ports": [{"port": 1}]}}));
        let address = |n: usize| json!({"ip": format!("192.0.2.{n}")});
        let many: Vec<Value> = (1..=120).map(address).collect();
        let subsets = json!([
            {"addresses": many, "ports": [{"port": 1}]},
            {"notReadyAddresses": [address(200)], "ports": [{"port": 1}]},
            {"addresses": [address(201)], "ports": [{"port": 2, "name": "other", "protocol": "UDP"}]},
        ]);
        put(&mut c, "Endpoints", "db", &json!({"subsets": subsets}));
        let found = slices(&c, "db");
        let mut sizes: Vec<usize> = found.iter().map(|(_, e)| e.as_array().unwrap().len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 21, 100]);
        let not_ready =
            found.iter().flat_map(|(_, e)| e.as_array().unwrap()).filter(|e| e["conditions"]["ready"] == false);
        assert_eq!(not_ready.map(|e| e["addresses"][0].clone()).collect::<Vec<_>>(), ["192.0.2.200"]);
        let key = Key::new(Kind::Endpoints, "default", "db");
        let mut skipped = Object::clone(c.world.get(&key).unwrap());
        skipped.meta.labels = Arc::new([(SKIP_MIRROR.into(), "true".into())].into());
        c.apply(crate::change::Change::Put(Arc::new(skipped)));
        c.settle();
        assert!(slices(&c, "db").is_empty());
    }
}
