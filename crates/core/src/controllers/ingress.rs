//! Status of Ingresses that are served here: the addresses of the nodes that serve them.
//!
//! Agents say it of their node by a label, [`names::SERVES_INGRESS`]. Ingresses of others' classes are
//! left alone.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, names};
use k8s_openapi::api::core::v1::NodeStatus;
use serde_json::{Value, json};

use super::node::object::Readiness;
use crate::{change::Changed, cx::Cx, ingress, world::World};

/// What of a node an Ingress's status tells.
fn told(node: Option<&Arc<Object>>) -> Option<Vec<alloc::string::String>> {
    let node = node.filter(|n| n.meta.label(names::SERVES_INGRESS).is_some())?;
    if Readiness::of(node) != Readiness::Ready {
        return None;
    }
    let status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    Some(status.addresses.iter().flatten().map(|a| a.address.clone()).collect())
}

/// Marks an Ingress that changed, and all when a class or a node that serves them did.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Ingress if changed.new.is_some() => mark(changed.key.clone()),
        Kind::IngressClass => all(world, mark),
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
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, string::ToString};

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
