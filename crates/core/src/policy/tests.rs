//! Who is selected by what, and what agents are told by which change.

use std::{collections::BTreeSet, vec};

use evenkeel_model::{Meta, canonical};
use serde_json::{Value, json};

use super::*;
use crate::{change::Change, controllers::testkit::Cluster};

fn put(
    cluster: &mut Cluster,
    kind: Kind,
    namespace: &str,
    name: &str,
    labels: &[(&str, &str)],
    body: &Value,
) -> BTreeSet<Key> {
    let key = if kind.namespaced() { Key::new(kind, namespace, name) } else { Key::cluster(kind, name) };
    let old = cluster.world.get(&key).cloned();
    let labels: BTreeMap<String, String> = labels.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
    let meta = Meta { generation: 1, labels: labels.into(), ..Meta::default() };
    let uid = old.as_ref().map_or_else(|| cluster.rng.uid(), |o| o.uid);
    let mut object = Object::new(key.clone(), uid, meta, canonical::value_bytes(body).into());
    if kind == Kind::Pod {
        object.status = canonical::value_bytes(&json!({"podIP": "10.42.1.2"})).into();
    }
    cluster.apply(Change::Put(Arc::new(object)));
    let changed = Changed { key: key.clone(), old, new: cluster.world.get(&key).cloned() };
    let mut marked = BTreeSet::new();
    touched(&cluster.world, &changed, &mut |k| {
        marked.insert(k);
    });
    marked
}

fn policy(cluster: &mut Cluster, namespace: &str, name: &str, spec: &Value) -> BTreeSet<Key> {
    put(cluster, Kind::NetworkPolicy, namespace, name, &[], &json!({"spec": spec}))
}

fn pod(cluster: &mut Cluster, namespace: &str, name: &str, labels: &[(&str, &str)]) -> BTreeSet<Key> {
    let ports = json!([{"name": "web", "containerPort": 8080}, {"containerPort": 9}]);
    put(cluster, Kind::Pod, namespace, name, labels, &json!({"spec": {"containers": [{"name": "c", "ports": ports}]}}))
}

fn told(cluster: &Cluster, namespace: &str, name: &str) -> Option<Vec<String>> {
    let net = pod_net(&cluster.world, &Layout::default(), &Key::new(Kind::Pod, namespace, name))?;
    Some(net.selections.iter().map(ToString::to_string).collect())
}

fn names(keys: &BTreeSet<Key>) -> Vec<&str> {
    keys.iter().filter(|k| k.kind == Kind::Pod && !k.name.is_empty()).map(|k| &*k.name).collect()
}

fn shop() -> Cluster {
    let mut cluster = Cluster::new(&[]);
    put(&mut cluster, Kind::Namespace, "", "shop", &[("team", "sales")], &json!({}));
    put(&mut cluster, Kind::Namespace, "", "lab", &[], &json!({}));
    for (namespace, name, app) in [("shop", "web", "web"), ("shop", "till", "till"), ("lab", "probe", "probe")] {
        pod(&mut cluster, namespace, name, &[("app", app)]);
    }
    cluster
}

#[test]
fn a_change_touches_the_pods_that_it_concerns() {
    let mut cluster = shop();
    assert_eq!(told(&cluster, "shop", "web"), None, "no policy speaks of it");
    let web = json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [
        {"podSelector": {"matchLabels": {"app": "till"}}}]}]});
    let marked = policy(&mut cluster, "shop", "web", &web);
    assert_eq!(names(&marked), ["till", "web"]);
    assert_eq!(told(&cluster, "shop", "web"), Some(vec!["shop/app=web".into()]));
    assert_eq!(told(&cluster, "shop", "till"), Some(vec!["shop/app=till".into()]));
    assert_eq!(told(&cluster, "lab", "probe"), None);
    // The same peers of another way to say it touch nobody.
    let again = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "till"}}}], "ports": [{"port": 80}]}]});
    assert_eq!(names(&policy(&mut cluster, "shop", "web", &again)), Vec::<&str>::new());
    // Labels of a namespace are looked at with its pods.
    let sales = json!({"podSelector": {}, "ingress": [{"from": [
        {"namespaceSelector": {"matchLabels": {"team": "sales"}}, "podSelector": {"matchExpressions": [
            {"key": "app", "operator": "NotIn", "values": ["till"]}]}}]}]});
    assert_eq!(names(&policy(&mut cluster, "lab", "sales", &sales)), ["probe", "web"]);
    assert_eq!(told(&cluster, "shop", "web").unwrap(), ["[team=sales]/app!=till", "shop/app=web"]);
    let marked = put(&mut cluster, Kind::Namespace, "", "lab", &[("team", "sales")], &json!({}));
    assert_eq!(names(&marked), ["probe"]);
    assert_eq!(told(&cluster, "lab", "probe").unwrap(), ["[team=sales]/app!=till", "lab/"]);
    assert_eq!(names(&pod(&mut cluster, "lab", "probe", &[("app", "till")])), ["probe"]);
    assert_eq!(told(&cluster, "lab", "probe").unwrap(), ["lab/"]);
    // Gone, its selectors are nobody's.
    for (namespace, name) in [("shop", "web"), ("lab", "sales")] {
        cluster.apply(Change::Delete(Key::new(Kind::NetworkPolicy, namespace, name)));
    }
    assert!(cluster.world.policies.is_empty());
    assert_eq!((told(&cluster, "shop", "web"), told(&cluster, "lab", "probe")), (None, None));
}

#[test]
fn pods_of_the_machines_network_and_those_that_ended_are_not_told() {
    let mut cluster = shop();
    policy(&mut cluster, "shop", "all", &json!({"podSelector": {}}));
    assert!(told(&cluster, "shop", "web").is_some());
    let host = json!({"spec": {"hostNetwork": true, "containers": [{"name": "c"}]}});
    put(&mut cluster, Kind::Pod, "shop", "web", &[], &host);
    assert_eq!(told(&cluster, "shop", "web"), None);
    let key = Key::new(Kind::Pod, "shop", "till");
    let ended = cluster.world.get(&key).unwrap().with_status(&json!({"phase": "Succeeded", "podIP": "10.42.1.3"}));
    cluster.apply(Change::Put(Arc::new(ended)));
    assert_eq!(told(&cluster, "shop", "till"), None);
}

#[test]
fn a_policy_is_read_as_kubernetes_means_it() {
    let read = |spec: Value| {
        let body = canonical::value_bytes(&json!({"spec": spec}));
        read(&Object::new(Key::new(Kind::NetworkPolicy, "shop", "web"), Uid(1), Meta::default(), body.into())).net
    };
    let types = |spec: Value| {
        let net = read(spec);
        (net.ingress.is_some(), net.egress.is_some())
    };
    assert_eq!(types(json!({"podSelector": {}})), (true, false));
    assert_eq!(types(json!({"podSelector": {}, "egress": [{}]})), (true, true));
    assert_eq!(types(json!({"podSelector": {}, "policyTypes": ["Egress"]})), (false, true));
    assert_eq!(types(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]})), (true, false));
    let net = read(json!({"podSelector": {}, "ingress": [{"from": [], "ports": []}, {
        "from": [{"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.2.0.0/16", "fc00::/7"]}}, {"ipBlock": {"cidr": "::/0"}}],
        "ports": [{"port": 80}, {"port": 80, "endPort": 90, "protocol": "UDP"}, {"port": "web"}, {"protocol": "UDP"}]}]}));
    let rules = net.ingress.unwrap();
    assert_eq!(rules[0], PolicyRule { peers: None, ports: None }, "empty lists are no condition");
    let block = Peer::Block { cidr: "10.0.0.0/8".parse().unwrap(), except: vec!["10.2.0.0/16".parse().unwrap()] };
    assert_eq!(rules[1].peers, Some(vec![block]));
    let port = |protocol, ports| PolicyPort { protocol, ports };
    let (tcp, udp) = (PortProtocol::Tcp, PortProtocol::Udp);
    assert_eq!(
        rules[1].ports,
        Some(vec![
            port(tcp, PortMatch::Range(80, 80)),
            port(udp, PortMatch::Range(80, 90)),
            port(tcp, PortMatch::Named("web".into())),
            port(udp, PortMatch::All)
        ])
    );
    // Who has only addresses of IPv6 as peers has nobody, and not everybody.
    let net = read(json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "::/0"}}]}]}));
    assert_eq!(net.ingress.unwrap()[0].peers, Some(Vec::new()));
}

#[test]
fn the_name_server_counts_as_the_pod_that_manifests_know() {
    let mut cluster = shop();
    let names = |cluster: &Cluster| pod_net(&cluster.world, &Layout::default(), &names_key());
    assert_eq!(names(&cluster), None);
    let to = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
    let spec = json!({"podSelector": {}, "egress": [{"to": [to], "ports": [{"port": "dns", "protocol": "UDP"}]}]});
    assert!(policy(&mut cluster, "shop", "all", &spec).contains(&names_key()));
    let net = names(&cluster).unwrap();
    assert_eq!(net.address, Some(Layout::default().net.dns));
    assert!(net.ports.iter().any(|p| p.name == "dns" && p.protocol == PortProtocol::Udp && p.port == 53));
    // A port by its name, wherever it is asked for: all pods have to be known.
    let any = json!({"podSelector": {"matchLabels": {"app": "none"}}, "policyTypes": ["Egress"],
        "egress": [{"ports": [{"port": "web"}]}]});
    policy(&mut cluster, "shop", "all", &any);
    assert_eq!(told(&cluster, "lab", "probe").unwrap(), ["[]/"]);
}

#[test]
fn a_policy_that_nobody_enforces_is_refused_and_else_says_where_not() {
    let mut cluster = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi")]);
    assert_eq!(objection(&cluster.world), None);
    let without = |cluster: &mut Cluster, node: &str| {
        let key = Key::cluster(Kind::Node, node);
        let node = cluster.world.get(&key).unwrap();
        let mut status: Value = node.status().unwrap().unwrap();
        let conditions = status["conditions"].as_array_mut().unwrap();
        conditions.push(json!({"type": "ClusterNetwork", "status": "False", "reason": "EngineNetwork"}));
        let node = node.with_status(&status);
        cluster.apply(Change::Put(Arc::new(node)));
        cluster.settle();
    };
    policy(&mut cluster, "default", "all", &json!({"podSelector": {}}));
    let events = |cluster: &Cluster| {
        cluster
            .world
            .list(Kind::Event, "default")
            .filter(|e| e.body_map().get("reason") == Some(&json!("NotEnforced")))
            .count()
    };
    cluster.settle();
    assert_eq!(events(&cluster), 0);
    without(&mut cluster, "n1");
    assert_eq!((objection(&cluster.world), events(&cluster)), (None, 1));
    without(&mut cluster, "n2");
    assert!(objection(&cluster.world).unwrap().contains("--pod-network"));
}
