//! The Service `default/kubernetes`, by which pods and nodes find this server's API, with its
//! EndpointSlice and Endpoints. Key: the Service.
//!
//! As Kubernetes' API server does it: it has the first address of the Services' range, no selector, and
//! comes back when somebody deletes or changes it. Where the API listens the settings say. Deliberately
//! not here: the certificate, which holds the names and the address, and the listener.

use alloc::{format, string::ToString, sync::Arc, vec};
use core::net::SocketAddr;

use evenkeel_model::{Key, Kind, Object, canonical};
use serde_json::{Value, json};

use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    network::Layout,
    settings::ApiPlace,
    world::{World, services::SERVICE_NAME},
};

/// Its namespace and name.
const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
/// Its port, and the port's name.
const PORT: u16 = 443;
const PORT_NAME: &str = "https";
const LABELS: [(&str, &str); 2] = [("component", "apiserver"), ("provider", "kubernetes")];
/// Nobody makes slices of these Endpoints a second time.
pub(super) const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";

/// Whether a key is that of the Service.
pub fn is_the_service(key: &Key) -> bool {
    key.kind == Kind::Service && kept(key)
}

fn key(kind: Kind) -> Key {
    Key::new(kind, NAMESPACE, NAME)
}

/// Whether an object is one of those that this controller keeps.
fn kept(key: &Key) -> bool {
    matches!(key.kind, Kind::Service | Kind::Endpoints | Kind::EndpointSlice)
        && &*key.namespace == NAMESPACE
        && &*key.name == NAME
}

/// Marks it when something of it changed, its namespace came, a Service went that may have had its
/// address, or a node got its range.
pub fn route(_world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let concerns = match changed.key.kind {
        Kind::Namespace => &*changed.key.name == NAMESPACE,
        Kind::Service if changed.new.is_none() => true,
        Kind::Node => {
            let range = |o: &Option<Arc<Object>>| o.as_ref().map(|o| o.body_map().remove("spec"));
            range(&changed.old) != range(&changed.new)
        }
        _ => kept(&changed.key),
    };
    if concerns {
        mark(key(Kind::Service));
    }
}

/// Looks at it.
pub fn reconcile(world: &World, service: &Key, cx: &mut Cx<'_>) {
    let place = cx.settings.api.clone();
    let at = match place {
        ApiPlace::Nowhere => return,
        ApiPlace::Address(at) => Some(at),
        ApiPlace::OnNode { node, port } => {
            let range = world.nodes.get(&node).and_then(|n| n.pod_cidr);
            range.and_then(Layout::node_address).map(|ip| SocketAddr::new(ip, port))
        }
        ApiPlace::Unknown => None,
    };
    let namespace = Key::cluster(Kind::Namespace, NAMESPACE);
    if world.get(&namespace).is_none_or(|n| n.deleting()) {
        return;
    }
    let address = cx.settings.network.api();
    if let Some(other) = world.services.of_address(&address).filter(|k| *k != service) {
        if let Some(other) = world.get(other) {
            let text = format!(
                "{address} is to be the address of the API's Service {NAMESPACE}/{NAME}, which is not there until \
                 this Service has another one"
            );
            cx.event(world, &Object::clone(other), EventKind::Warning, "AddressTaken", &text);
        }
        return;
    }
    let port = at.map_or(PORT, |at| at.port());
    let spec = json!({
        "clusterIP": address.to_string(), "clusterIPs": [address.to_string()],
        "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": PORT_NAME, "port": PORT, "protocol": "TCP", "targetPort": port}],
        "sessionAffinity": "None", "type": "ClusterIP",
    });
    put(world, service.clone(), &LABELS, &json!({"spec": spec}), cx);
    let ports = json!([{"name": PORT_NAME, "port": port, "protocol": "TCP"}]);
    let (mut endpoints, mut subsets) = (vec![], vec![]);
    if let Some(at) = at.filter(SocketAddr::is_ipv4) {
        let ip = at.ip().to_string();
        endpoints.push(json!({"addresses": [ip], "conditions": {"ready": true}}));
        subsets.push(json!({"addresses": [{"ip": ip}], "ports": ports}));
    }
    let slice = json!({"addressType": "IPv4", "endpoints": endpoints, "ports": ports});
    put(world, key(Kind::EndpointSlice), &[(SERVICE_NAME, NAME)], &slice, cx);
    let body = if subsets.is_empty() { json!({}) } else { json!({"subsets": subsets}) };
    put(world, key(Kind::Endpoints), &[(SKIP_MIRROR, "true")], &body, cx);
}

/// Puts an object there, where it is not so already. Labels that others gave it stay.
fn put(world: &World, key: Key, labels: &[(&str, &str)], body: &Value, cx: &mut Cx<'_>) {
    let live = world.get(&key);
    if live.is_some_and(|o| o.deleting()) {
        // It is marked again when it is gone.
        return;
    }
    let mut next = match live {
        Some(live) => Object { body: canonical::value_bytes(body).into(), ..Object::clone(live) },
        None => cx.draft(key, body),
    };
    for (name, value) in labels {
        next.meta.set_label(name, *value);
    }
    if next.key.kind == Kind::Service && next.status.is_empty() {
        next.status = canonical::value_bytes(&json!({"loadBalancer": {}})).into();
    }
    if live.is_some_and(|live| live.same_content(&next)) {
        return;
    }
    // Of the three, slices alone have one.
    next.meta.generation = live.map_or(0, |o| o.meta.generation) + i64::from(next.key.kind == Kind::EndpointSlice);
    cx.put(next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Change, controllers::testkit::Cluster, service::net::service_net, world::deletion};

    fn cluster(api: ApiPlace) -> Cluster {
        let mut c = Cluster::new(&[("a", "4", "8Gi")]);
        c.settings.api = api;
        c.mark_all();
        c.settle();
        c
    }

    fn leads_to(c: &Cluster) -> (Vec<String>, Vec<String>) {
        let net = service_net(&c.world, c.world.get(&key(Kind::Service)).unwrap());
        let to = net.endpoints.iter().map(|e| format!("{}:{:?}", e.address, e.ports));
        (net.cluster_ips.iter().map(ToString::to_string).collect(), to.collect())
    }

    use alloc::{string::String, vec::Vec};

    #[test]
    fn the_service_leads_to_the_api_and_comes_back() {
        let mut c = cluster(ApiPlace::Address("192.0.2.7:7443".parse().unwrap()));
        let right = (vec!["10.43.0.1".to_string()], vec!["192.0.2.7:[Some(7443)]".to_string()]);
        assert_eq!(leads_to(&c), right);
        let version = c.world.version;
        c.mark_all();
        c.settle();
        assert_eq!(c.world.version, version, "nothing changed, nothing is written");
        for kind in [Kind::Service, Kind::EndpointSlice, Kind::Endpoints] {
            c.with(|w, cx| cx.changes.extend(deletion::request(w, &key(kind), None, cx.now)));
            c.settle();
            assert_eq!(leads_to(&c), right, "{kind:?}");
            let live = Object::clone(c.world.get(&key(kind)).unwrap());
            c.apply(Change::Put(Arc::new(Object { body: (*b"{}").into(), ..live })));
            c.settle();
            assert_eq!(leads_to(&c), right, "{kind:?}");
        }
        // Another address after a start.
        c.settings.api = ApiPlace::Address("192.0.2.8:443".parse().unwrap());
        c.mark_all();
        c.settle();
        assert_eq!(leads_to(&c).1, ["192.0.2.8:[Some(443)]"]);
        c.settings.api = ApiPlace::Unknown;
        c.mark_all();
        c.settle();
        assert!(leads_to(&c).1.is_empty());
    }

    #[test]
    fn an_api_of_one_machine_is_at_the_nodes_own_address() {
        let mut c = cluster(ApiPlace::OnNode { node: "b".into(), port: 7443 });
        assert!(leads_to(&c).1.is_empty(), "the node is not there yet");
        c.hello("b", "4", "8Gi", Vec::new());
        c.settle();
        assert_eq!(leads_to(&c).1, ["10.42.1.1:[Some(7443)]"]);
    }

    #[test]
    fn an_address_that_another_one_has_is_waited_for() {
        let mut c = Cluster::new(&[]);
        let other = Key::new(Kind::Service, "default", "old");
        let body = json!({"spec": {"clusterIP": "10.43.0.1", "ports": [{"port": 80}]}});
        let made = c.with(|_, cx| cx.draft(other.clone(), &body));
        c.apply(Change::Put(Arc::new(made)));
        c.settings.api = ApiPlace::Unknown;
        c.mark_all();
        c.settle();
        assert!(c.world.get(&key(Kind::Service)).is_none());
        let told = |o: &&Arc<Object>| o.body_map().get("reason") == Some(&json!("AddressTaken"));
        assert_eq!(c.world.all().filter(|o| o.key.kind == Kind::Event).filter(told).count(), 1);
        c.delete(&other);
        c.settle();
        assert_eq!(leads_to(&c).0, ["10.43.0.1"]);
        // And nobody else gets it.
        let layout = &c.settings.network;
        let refused = crate::service::address_is_free(&c.world, layout, &other, "10.43.0.1").unwrap_err();
        assert!(refused.contains("default/kubernetes"), "{refused}");
    }
}
