//! Status of Ingresses that are served here: the addresses of the nodes that serve them; and Events of
//! what keeps them from it: ports that a node does not get, certificates that are not there.
//!
//! Agents say it of their node by a label, [`names::SERVES_INGRESS`]. Ingresses of others' classes are
//! left alone.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, names};
use k8s_openapi::api::core::v1::NodeStatus;
use serde_json::{Value, json};

use super::node::object::Readiness;
use crate::{
    acme,
    change::Changed,
    cx::{Cx, EventKind},
    ingress,
    world::{World, nodes::NodeRecord},
};

/// Most nodes of one Event.
const MOST_NAMED: usize = 4;

/// What of a node an Ingress's status tells: its addresses where it serves, and what is refused to it.
fn told(node: Option<&Arc<Object>>) -> Option<(Vec<String>, Vec<String>)> {
    let node = node.filter(|n| Readiness::of(n) == Readiness::Ready)?;
    let record = NodeRecord::of(node);
    let status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let serves = node.meta.label(names::SERVES_INGRESS).is_some();
    let addresses = status.addresses.iter().flatten().filter(|_| serves).map(|a| a.address.clone());
    Some((addresses.collect(), record.balanced.refused.clone()))
}

/// Marks an Ingress that changed, and all when a class or a node that serves them did.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Ingress if changed.new.is_some() => mark(changed.key.clone()),
        Kind::IngressClass => all(world, mark),
        Kind::Secret => {
            let named = |i: &&Arc<Object>| ingress::named_secrets(i).any(|name| *name == *changed.key.name);
            world.list(Kind::Ingress, &changed.key.namespace).filter(named).for_each(|i| mark(i.key.clone()));
        }
        Kind::Node if told(changed.old.as_ref()) != told(changed.new.as_ref()) => all(world, mark),
        _ => {}
    }
}

fn all(world: &World, mark: &mut dyn FnMut(Key)) {
    world.list(Kind::Ingress, "").for_each(|i| mark(i.key.clone()));
}

/// Looks at one Ingress.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(object) = world.get(key).filter(|i| !i.deleting() && ingress::is_ours(world, i)) else { return };
    let at: Vec<Value> = ingress::addresses(world).into_iter().map(|ip| json!({"ip": ip})).collect();
    let status = if at.is_empty() { json!({"loadBalancer": {}}) } else { json!({"loadBalancer": {"ingress": at}}) };
    if object.status::<Value>().ok().flatten().as_ref() != Some(&status) {
        cx.put(object.with_status(&status));
    }
    let asks = acme::asks(object);
    if asks && !cx.settings.acme {
        let message = "it asks for certificates of an ACME directory, and the server was started without \
                       --acme-directory";
        cx.lasting(world, object, EventKind::Warning, "NoDirectory", message);
    }
    for name in ingress::named_secrets(object) {
        let why = match world.get(&key.sibling(Kind::Secret, name.as_str())) {
            // What becomes of it is told where it is asked for.
            None if asks => continue,
            None => "does not exist",
            Some(secret) if ingress::certificate_net(secret).is_none() => "has no tls.crt and tls.key",
            Some(_) => continue,
        };
        let message = format!("the Secret {name}, which is to have a certificate, {why}");
        cx.lasting(world, object, EventKind::Warning, "MissingCertificate", &message);
    }
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, node) in world.nodes.iter().filter(|(_, n)| n.ready) {
        node.balanced.refused.iter().for_each(|why| refused.entry(why).or_default().push(name));
    }
    for (why, nodes) in refused {
        let more = nodes.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = nodes.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let message = format!("not served on {named}{more}: {why}");
        cx.lasting(world, object, EventKind::Warning, "PortTaken", &message);
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use evenkeel_model::{Meta, Uid, canonical, session::NodeReport};

    use super::{super::testkit::Cluster, *};
    use crate::Change;

    fn object(kind: Kind, namespace: &str, name: &str, created: i64, body: &Value) -> Object {
        let meta = Meta { generation: 1, created: evenkeel_model::Time::from_secs(created), ..Meta::default() };
        let key = if namespace.is_empty() { Key::cluster(kind, name) } else { Key::new(kind, namespace, name) };
        Object::new(key, Uid(u128::from(name.len() as u64) + 1000), meta, canonical::value_bytes(body).into())
    }

    fn put(cluster: &mut Cluster, object: Object) {
        cluster.apply(Change::Put(Arc::new(object)));
        cluster.settle();
    }

    fn status(cluster: &Cluster, name: &str) -> Value {
        let object = cluster.world.get(&Key::new(Kind::Ingress, "default", name)).unwrap();
        object.status().ok().flatten().unwrap_or_default()
    }

    #[test]
    fn an_ingress_has_the_addresses_of_nodes_that_serve_it() {
        let mut cluster = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi")]);
        cluster.with(ingress::ensure_class);
        let spec = json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
        put(&mut cluster, object(Kind::Ingress, "default", "web", 1, &spec));
        assert_eq!(status(&cluster, "web"), json!({"loadBalancer": {}}));
        let report = |address: &str, serves: bool| NodeReport {
            labels: if serves {
                BTreeMap::from([(names::SERVES_INGRESS.to_string(), "true".to_string())])
            } else {
                BTreeMap::new()
            },
            addresses: [("InternalIP".to_string(), address.to_string())].into(),
            ..NodeReport::default()
        };
        let tell = |cluster: &mut Cluster, node: &str, report: NodeReport| {
            let report = evenkeel_model::session::Report { node: Some(report), ..Default::default() };
            cluster.with(|w, cx| super::super::report::report(w, &node.into(), &report, cx));
            cluster.settle();
        };
        tell(&mut cluster, "n1", report("192.0.2.1", true));
        tell(&mut cluster, "n2", report("192.0.2.2", false));
        assert_eq!(status(&cluster, "web"), json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}));
        tell(&mut cluster, "n1", report("192.0.2.1", false));
        assert_eq!(status(&cluster, "web"), json!({"loadBalancer": {}}));
    }

    #[test]
    fn what_keeps_an_ingress_from_being_served_is_an_event() {
        let mut cluster = Cluster::new(&[("n1", "4", "8Gi")]);
        cluster.with(ingress::ensure_class);
        let spec = json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}},
            "tls": [{"secretName": "cert"}]}});
        put(&mut cluster, object(Kind::Ingress, "default", "web", 1, &spec));
        let said = |cluster: &Cluster| -> Vec<String> {
            let all = cluster.world.list(Kind::Event, "default").map(|e| e.body_map());
            let all = all.filter(|e| e["type"] == "Warning");
            all.map(|e| format!("{} {} x{}", e["reason"], e["message"], e["count"]).replace('"', "")).collect()
        };
        let missing = "MissingCertificate the Secret cert, which is to have a certificate, does not exist x1";
        assert_eq!(said(&cluster), [missing]);
        put(&mut cluster, object(Kind::Secret, "default", "cert", 1, &json!({"data": {}})));
        assert!(said(&cluster).iter().any(|s| s.contains("has no tls.crt and tls.key")), "{:?}", said(&cluster));
        let secret = json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "Y2hhaW4=", "tls.key": "a2V5"}});
        put(&mut cluster, object(Kind::Secret, "default", "cert", 1, &secret));
        assert_eq!(said(&cluster).len(), 2);
        let report = NodeReport {
            balanced: evenkeel_model::net::BalancedPorts {
                refused: std::vec!["0.0.0.0:80 is taken".to_string()],
                ..Default::default()
            },
            ..NodeReport::default()
        };
        let report = evenkeel_model::session::Report { node: Some(report), ..Default::default() };
        cluster.with(|w, cx| super::super::report::report(w, &"n1".into(), &report, cx));
        cluster.settle();
        let taken = "PortTaken not served on n1: 0.0.0.0:80 is taken x1";
        assert!(said(&cluster).iter().any(|s| s == taken), "{:?}", said(&cluster));
        // What lasts is told once.
        put(&mut cluster, object(Kind::Ingress, "default", "web", 1, &spec));
        assert!(said(&cluster).iter().all(|s| s.ends_with(" x1")), "{:?}", said(&cluster));
    }

    #[test]
    fn who_asks_for_certificates_is_told_that_there_is_no_directory() {
        let mut cluster = Cluster::new(&[]);
        cluster.with(ingress::ensure_class);
        let spec = json!({"spec": {"rules": [], "tls": [{"hosts": ["a.example"], "secretName": "cert"}]}});
        let mut way = object(Kind::Ingress, "default", "web", 1, &spec);
        way.meta.annotate(names::ACME, "true");
        put(&mut cluster, way);
        let all: Vec<_> = cluster.world.list(Kind::Event, "default").map(|e| e.body_map()["reason"].clone()).collect();
        assert_eq!(all, ["NoDirectory"], "and nothing of the Secret that is not there yet");
    }

    #[test]
    fn the_class_says_whose_an_ingress_is() {
        let mut cluster = Cluster::new(&[]);
        cluster.with(ingress::ensure_class);
        let ours = |cluster: &Cluster, body: Value| {
            ingress::is_ours(&cluster.world, &object(Kind::Ingress, "default", "web", 1, &body))
        };
        let class = |name: &str| json!({"spec": {"ingressClassName": name, "rules": []}});
        assert!(ours(&cluster, json!({"spec": {"rules": []}})), "the default class");
        assert!(ours(&cluster, class("evenkeel")) && !ours(&cluster, class("nginx")));
        let mut nginx = object(
            Kind::IngressClass,
            "",
            "nginx",
            2_000_000_000,
            &json!({"spec": {"controller": "k8s.io/ingress-nginx"}}),
        );
        nginx.meta.annotate("ingressclass.kubernetes.io/is-default-class", "true".to_string());
        put(&mut cluster, nginx);
        assert!(!ours(&cluster, class("nginx")));
        assert!(!ours(&cluster, json!({"spec": {"rules": []}})), "the newest default");
        let mut old = object(Kind::Ingress, "default", "old", 1, &json!({"spec": {"rules": []}}));
        old.meta.annotate("kubernetes.io/ingress.class", "evenkeel".to_string());
        assert!(ingress::is_ours(&cluster.world, &old), "by the old annotation");
    }

    #[test]
    fn what_agents_are_told_follows_ingress_service_and_secret() {
        use evenkeel_model::ingress::{BackendPort, BackendProtocol, PathKind};
        let mut cluster = Cluster::new(&[]);
        cluster.with(ingress::ensure_class);
        let service = json!({"spec": {"ports": [{"name": "grpc", "port": 9000, "appProtocol": "kubernetes.io/h2c"}]}});
        put(&mut cluster, object(Kind::Service, "default", "api", 1, &service));
        let at = |path: &str, kind: &str, service: &str, port: Value| json!({"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": port}}});
        let spec = json!({"spec": {"tls": [{"hosts": ["a.example"], "secretName": "cert"}, {}],
            "rules": [{"host": "a.example", "http": {"paths": [
                at("/x", "Exact", "api", json!({"name": "grpc"})), at("/", "ImplementationSpecific", "lost", json!({"number": 80}))]}}]}});
        let mut way = object(Kind::Ingress, "default", "web", 7, &spec);
        way.meta.annotate(names::HTTPS_REDIRECT, "true".to_string());
        let net = ingress::ingress_net(&cluster.world, &way).unwrap();
        assert!(net.https_redirect && net.created.secs() == 7);
        let paths = &net.rules[0].paths;
        assert_eq!((paths[0].kind, paths[1].kind), (PathKind::Exact, PathKind::Prefix));
        assert_eq!(paths[0].backend.protocol, BackendProtocol::H2c);
        assert_eq!(paths[0].backend.port, BackendPort::Name("grpc".into()));
        assert_eq!(paths[1].backend.protocol, BackendProtocol::Http);
        let named: Vec<_> = ingress::secrets(&net).into_iter().map(|k| k.name.to_string()).collect();
        assert_eq!(named, ["cert"]);
        let secret = json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "Y2hhaW4=", "tls.key": "a2V5"}});
        let certificate = ingress::certificate_net(&object(Kind::Secret, "default", "cert", 1, &secret)).unwrap();
        assert_eq!((&*certificate.chain, &*certificate.key), ("chain", "key"));
        assert!(ingress::certificate_net(&object(Kind::Secret, "default", "cert", 1, &json!({"data": {}}))).is_none());
    }
}
