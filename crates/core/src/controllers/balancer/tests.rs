//! Who gets which address, who has a port, and what is said of it.
#![allow(clippy::needless_pass_by_value)] // so that tests read well

use std::{collections::BTreeMap, string::ToString, vec};

use evenkeel_model::{
    net::{AtNodes, BalancedPorts},
    session::{NodeReport, Report},
};

use super::*;
use crate::{
    controllers::{report, testkit::Cluster},
    scheduler,
    service::net::service_net,
};

fn cluster() -> Cluster {
    let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi")]);
    says(&mut c, "n1", &[], &[]);
    says(&mut c, "n2", &[], &[]);
    c
}

/// What a node's agent says of ports; its address ends like its name.
fn says(c: &mut Cluster, node: &str, open: &[&str], taken: &[(&str, &str)]) {
    let amount = |cpu: &str| BTreeMap::from([("cpu".into(), cpu.into()), ("memory".into(), "8Gi".into())]);
    let report = NodeReport {
        capacity: amount("4"),
        allocatable: amount("4"),
        addresses: vec![("InternalIP".into(), std::format!("192.0.2.{}", &node[1..]))],
        balanced: BalancedPorts {
            open: open.iter().map(|p| p.parse().unwrap()).collect(),
            taken: taken.iter().map(|(p, who)| (p.parse().unwrap(), (*who).to_string())).collect(),
            ..BalancedPorts::default()
        },
        ..NodeReport::default()
    };
    let report = Report { node: Some(report), ..Report::default() };
    c.with(|w, cx| report::report(w, &node.into(), &report, cx));
    c.settle();
}

fn service(c: &mut Cluster, name: &str, more: Value) {
    let mut spec =
        json!({"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": name}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut value = json!({"apiVersion": "v1", "kind": "Service", "spec": spec,
        "metadata": {"name": name, "namespace": "default"}});
    if let Some(there) = c.world.get(&Key::new(Kind::Service, "default", name)) {
        value["status"] = there.status().unwrap().unwrap_or_default();
    }
    c.put(value);
    c.settle();
}

/// Addresses, the reason and the message.
fn told(c: &Cluster, name: &str) -> (Vec<String>, String, String) {
    let status = c.status(Kind::Service, name);
    let all = status["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let condition = status["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == CONDITION));
    let condition = condition.cloned().unwrap_or_default();
    (all.map(|i| text(&i["ip"])).collect(), text(&condition["reason"]), text(&condition["message"]))
}

/// What agents hear of it: at which nodes its ports are not to be.
fn at_nodes(c: &Cluster, name: &str) -> Option<AtNodes> {
    service_net(&c.world, &c.get(Kind::Service, name)).balancer.at_nodes
}

fn pod(c: &mut Cluster, name: &str, node: Option<&str>, host_port: i32) {
    let mut spec = json!({"containers": [{"name": "web", "image": "a:1",
        "ports": [{"containerPort": 80, "hostPort": host_port, "protocol": "TCP"}]}]});
    if let Some(node) = node {
        spec["nodeName"] = node.into();
    }
    c.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    c.settle();
}

fn warnings(c: &Cluster, name: &str) -> Vec<String> {
    let about = |o: &&Arc<Object>| {
        let body = o.body_map();
        body["involvedObject"]["name"] == name && body["type"] == "Warning"
    };
    let events = c.world.list(Kind::Event, "default").filter(about);
    events.map(|o| o.body_map()["message"].as_str().unwrap().to_string()).collect()
}

#[test]
fn addresses_are_those_of_nodes_that_opened_the_ports() {
    let mut c = cluster();
    service(&mut c, "web", json!({}));
    let (none, reason, why) = told(&c, "web");
    assert_eq!((none, reason.as_str()), (Vec::new(), "NoNode"));
    assert_eq!(why, "waits for n1, n2 to open its ports");
    assert_eq!(at_nodes(&c, "web"), Some(AtNodes::default()));
    says(&mut c, "n1", &["80/TCP"], &[]);
    let (at, reason, why) = told(&c, "web");
    assert_eq!((at, reason.as_str()), (vec!["192.0.2.1".to_string()], "AtNodes"));
    assert_eq!(why, "reached at the nodes n1; waits for n2 to open its ports");
    says(&mut c, "n2", &[], &[("80/TCP", "the program nginx (process 7)")]);
    let (_, _, why) = told(&c, "web");
    assert_eq!(why, "reached at the nodes n1; not at n2: port 80/TCP there is that of the program nginx (process 7)");
    assert_eq!(warnings(&c, "web"), [why]);
    says(&mut c, "n2", &["80/TCP"], &[]);
    let status = c.status(Kind::Service, "web");
    let one = |ip: &str| json!({"ip": ip, "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]});
    assert_eq!(status["loadBalancer"], json!({"ingress": [one("192.0.2.1"), one("192.0.2.2")]}));
    // Another type takes all of it away.
    service(&mut c, "web", json!({"type": "ClusterIP"}));
    assert_eq!(c.status(Kind::Service, "web"), json!({"loadBalancer": {}}));
    assert_eq!(at_nodes(&c, "web"), None);
}

#[test]
fn a_port_is_that_of_the_service_that_came_first() {
    let mut c = cluster();
    service(&mut c, "web", json!({}));
    says(&mut c, "n1", &["80/TCP"], &[]);
    // Its name comes before.
    service(&mut c, "api", json!({}));
    let (at, reason, why) = told(&c, "api");
    assert_eq!((at, reason.as_str()), (Vec::new(), "PortTaken"));
    assert!(why.contains("80/TCP") && why.contains("default/web"), "{why}");
    assert_eq!(warnings(&c, "api"), [why]);
    assert_eq!(at_nodes(&c, "api"), None);
    assert_eq!(told(&c, "web").0, ["192.0.2.1"]);
    // One that changes its ports to another's loses to it, and keeps nothing.
    service(&mut c, "old", json!({"ports": [{"port": 81, "protocol": "TCP"}]}));
    assert_eq!(told(&c, "old").1, "NoNode");
    service(&mut c, "old", json!({}));
    assert_eq!(told(&c, "old").1, "PortTaken");
    assert_eq!(told(&c, "web").0, ["192.0.2.1"]);
    c.delete(&Key::new(Kind::Service, "default", "web"));
    c.settle();
    assert_eq!(told(&c, "api").1, "AtNodes", "the node has the port open still");
    assert_eq!(told(&c, "old").1, "PortTaken");
}

#[test]
fn node_ports_and_ports_at_nodes_are_of_one_kind() {
    let mut c = cluster();
    service(&mut c, "web", json!({"ports": [{"port": 30080, "protocol": "TCP"}]}));
    let key = Key::new(Kind::Service, "default", "other");
    let why = crate::service::port_is_free(&c.world, &key, 30080).unwrap_err();
    assert!(why.contains("default/web"), "{why}");
    service(&mut c, "node", json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30090, "protocol": "TCP"}]}));
    service(&mut c, "late", json!({"ports": [{"port": 30090, "protocol": "TCP"}]}));
    let (_, reason, why) = told(&c, "late");
    assert_eq!(reason, "PortTaken");
    assert!(why.contains("node port of the Service default/node"), "{why}");
}

#[test]
fn a_pod_that_was_there_keeps_its_port_and_one_that_comes_finds_it_taken() {
    let mut c = cluster();
    pod(&mut c, "first", Some("n1"), 80);
    service(&mut c, "web", json!({}));
    assert_eq!(at_nodes(&c, "web"), Some(AtNodes { except: vec!["n1".into()] }));
    says(&mut c, "n2", &["80/TCP"], &[]);
    let (at, _, why) = told(&c, "web");
    assert_eq!(at, ["192.0.2.2"]);
    assert!(why.contains("not at n1: port 80/TCP there is a hostPort of the pod default/first"), "{why}");
    let late = json!({"spec": {"containers": [{"name": "a", "ports": [{"hostPort": 80, "protocol": "TCP"}]}]}});
    let shape = c.world.pods.shape(&evenkeel_model::canonical::value_bytes(&late));
    let why = scheduler::place(&c.world, &shape, None).unwrap_err().to_string();
    assert!(
        why.contains("1 node(s) didn't have free ports for the requested pod ports: 80/TCP leads to a LoadB"),
        "{why}"
    );
    c.delete(&Key::new(Kind::Pod, "default", "first"));
    c.settle();
    c.agents_with(|_| true);
    c.settle();
    if c.world.get(&Key::new(Kind::Pod, "default", "first")).is_none() {
        assert_eq!(at_nodes(&c, "web"), Some(AtNodes::default()));
    }
}

#[test]
fn local_traffic_and_spared_nodes_have_fewer_addresses() {
    let mut c = cluster();
    says(&mut c, "n1", &["80/TCP"], &[]);
    says(&mut c, "n2", &["80/TCP"], &[]);
    service(&mut c, "web", json!({"externalTrafficPolicy": "Local"}));
    let (none, _, why) = told(&c, "web");
    assert!(none.is_empty() && why.contains("externalTrafficPolicy is Local"), "{why}");
    c.put(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.42.1.2"], "nodeName": "n2", "conditions": {"ready": true}}], "ports": []}));
    c.settle();
    assert_eq!(told(&c, "web").0, ["192.0.2.2"]);
    service(&mut c, "web", json!({}));
    assert_eq!(told(&c, "web").0.len(), 2);
    let mut spared = Object::clone(&c.get(Kind::Node, "n1"));
    spared.meta.set_label(SPARED, "true");
    c.apply(crate::change::Change::Put(Arc::new(spared)));
    c.settle();
    assert_eq!(told(&c, "web").0, ["192.0.2.2"]);
    assert_eq!(at_nodes(&c, "web"), Some(AtNodes { except: vec!["n1".into()] }));
}

#[test]
fn another_class_is_left_alone() {
    let mut c = cluster();
    service(&mut c, "web", json!({"loadBalancerClass": "example.com/cloud"}));
    assert_eq!(c.status(Kind::Service, "web"), Value::Null);
    assert_eq!(at_nodes(&c, "web"), None);
    service(&mut c, "own", json!({"loadBalancerClass": balanced::CLASS, "loadBalancerSourceRanges": [" 10.0.0.0/8"]}));
    assert_eq!(told(&c, "own").1, "NoNode");
    let net = service_net(&c.world, &c.get(Kind::Service, "own"));
    assert_eq!(net.balancer.sources, ["10.0.0.0/8".parse().unwrap()]);
}

fn pool(c: &mut Cluster, name: &str, spec: Value) {
    c.put(
        json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}, "spec": spec}),
    );
    c.settle();
}

/// The node that announces its address.
fn by(c: &Cluster, name: &str) -> Option<String> {
    let service = c.get(Kind::Service, name);
    let net = service_net(&c.world, &service);
    assert_eq!(net.balancer.announcer.as_deref(), service.meta.annotation(names::ANNOUNCED_BY));
    net.balancer.announcer.map(|n| n.to_string())
}

#[test]
fn an_address_of_a_pool_is_given_once_and_stays() {
    let mut c = cluster();
    pool(&mut c, "lan", json!({"addresses": ["198.51.100.1-198.51.100.2"]}));
    service(&mut c, "a", json!({}));
    service(&mut c, "b", json!({}));
    service(&mut c, "c", json!({}));
    assert_eq!((told(&c, "a").0, told(&c, "b").0), (vec!["198.51.100.1".into()], vec!["198.51.100.2".into()]));
    let (none, reason, why) = told(&c, "c");
    assert_eq!((none, reason.as_str()), (Vec::new(), "PoolExhausted"), "{why}");
    assert_eq!(warnings(&c, "c"), [why]);
    assert_eq!(at_nodes(&c, "a"), None);
    assert_eq!(c.status(Kind::AddressPool, "lan"), json!({"size": 2, "used": 2}));
    c.delete(&Key::new(Kind::Service, "default", "a"));
    c.settle();
    assert_eq!(told(&c, "c").0, ["198.51.100.1"]);
    service(&mut c, "b", json!({"sessionAffinity": "ClientIP"}));
    assert_eq!(told(&c, "b").0, ["198.51.100.2"]);
    // Without the pool the nodes' own addresses are what there is.
    c.delete(&Key::cluster(Kind::AddressPool, "lan"));
    c.settle();
    assert_eq!((told(&c, "b").1.as_str(), by(&c, "b")), ("NoNode", None));
}

#[test]
fn an_address_that_is_asked_for_is_given_or_refused_with_why() {
    let mut c = cluster();
    pool(
        &mut c,
        "lan",
        json!({"addresses": ["198.51.100.1-198.51.100.9", "192.0.2.1", "10.42.0.1-10.42.0.9"], "autoAssign": false}),
    );
    service(&mut c, "plain", json!({}));
    assert_eq!(told(&c, "plain").1, "NoNode", "who does not ask gets none of this pool");
    let asks = |ip: &str| json!({"loadBalancerIP": ip});
    service(&mut c, "a", asks("198.51.100.7"));
    assert_eq!(told(&c, "a").0, ["198.51.100.7"]);
    for (ip, why) in [
        ("198.51.100.7", "that of the Service default/a"),
        ("198.51.100.99", "of no AddressPool"),
        ("192.0.2.1", "that of the node n1"),
        ("10.42.0.1", "within the cluster's range of pods"),
    ] {
        service(&mut c, "b", asks(ip));
        let (none, reason, said) = told(&c, "b");
        assert!(none.is_empty() && reason == "AddressRefused" && said.contains(why), "{reason}: {said}");
    }
}

#[test]
fn an_address_moves_when_its_node_is_not_ready_and_only_then() {
    let mut c = cluster();
    pool(&mut c, "lan", json!({"addresses": ["198.51.100.1"]}));
    service(&mut c, "web", json!({}));
    let first = by(&c, "web").unwrap();
    let (other, amount) = (if first == "n1" { "n2" } else { "n1" }, BTreeMap::new());
    let report = |not_ready: Option<&str>| NodeReport {
        not_ready: not_ready.map(Into::into),
        allocatable: amount.clone(),
        ..NodeReport::default()
    };
    let tell = |c: &mut Cluster, node: &str, report: NodeReport| {
        let report = Report { node: Some(report), ..Report::default() };
        c.with(|w, cx| report::report(w, &node.into(), &report, cx));
        c.settle();
    };
    tell(&mut c, &first, report(Some("the engine is away")));
    assert_eq!(by(&c, "web").as_deref(), Some(other));
    tell(&mut c, &first, report(None));
    assert_eq!(by(&c, "web").as_deref(), Some(other), "it does not move back");
    tell(&mut c, &first, report(Some("away")));
    tell(&mut c, other, report(Some("away")));
    assert_eq!(by(&c, "web").as_deref(), Some(other), "while nobody may it stays");
    tell(&mut c, &first, report(None));
    assert_eq!(by(&c, "web").as_deref(), Some(&*first));
    assert_eq!(told(&c, "web").0, ["198.51.100.1"]);
    pool(&mut c, "lan", json!({"addresses": ["198.51.100.1"], "nodeSelector": {"lan": "yes"}}));
    assert!(by(&c, "web").is_none() && told(&c, "web").2.contains("announced by no node"), "{:?}", told(&c, "web"));
}
