//! Placement against a naive oracle, reasons, and what happens when room appears.

use std::{collections::BTreeMap, format, string::String, string::ToString, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object};
use k8s_openapi::api::core::v1::{Taint, Toleration};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{place, tolerates};
use crate::{
    change::Change,
    controllers::testkit::{Cluster, deployment},
    world::{World, nodes::NodeRecord, pods::PodShape},
};

#[allow(clippy::needless_pass_by_value)] // callers build it in place
fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn asks(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]})
}

fn reason(c: &Cluster, name: &str) -> String {
    let status = c.status(Kind::Pod, name);
    let list = status["conditions"].as_array().unwrap();
    list.iter().find(|c| c["type"] == "PodScheduled").unwrap()["message"].as_str().unwrap().to_string()
}

#[test]
fn reasons_are_those_of_kubernetes() {
    let mut c = Cluster::new(&[("n1", "1", "1Gi"), ("n2", "1", "1Gi"), ("n3", "8", "1Gi")]);
    let mut tainted = c.world.get(&Key::cluster(Kind::Node, "n3")).unwrap().to_value();
    tainted["spec"]["taints"] = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
    c.apply(Change::Put(Arc::new(Object::from_value(tainted).unwrap())));
    c.put(pod("big", asks("4")));
    c.settle();
    assert_eq!(
        reason(&c, "big"),
        "0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {k: v}."
    );
    assert!(c.world.list(Kind::Event, "default").any(|e| e.body_map()["reason"] == "FailedScheduling"));

    let mut spec = asks("4");
    spec["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    c.put(pod("bold", spec));
    c.settle();
    assert_eq!(c.get(Kind::Pod, "bold").node.as_deref(), Some("n3"));
    let mut spec = asks("1m");
    spec["nodeSelector"] = json!({"disk": "ssd"});
    c.put(pod("picky", spec));
    c.settle();
    assert_eq!(
        reason(&c, "picky"),
        "0/3 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {k: v}."
    );
    c.cordon("n1", true);
    c.cordon("n2", true);
    c.put(pod("late", asks("1m")));
    c.settle();
    assert!(reason(&c, "late").starts_with("0/3 nodes are available: 2 node(s) were unschedulable"));
    assert_eq!(reason(&Cluster::with_pod(pod("p", asks("1"))), "p"), "no nodes available to schedule pods");
}

impl Cluster {
    fn with_pod(pod: Value) -> Self {
        let mut c = Self::new(&[]);
        c.put(pod);
        c.settle();
        c
    }
}

#[test]
fn room_that_appears_is_used() {
    let mut c = Cluster::new(&[("n1", "1", "8Gi")]);
    for name in ["a", "b", "c"] {
        c.put(pod(name, asks("600m")));
    }
    c.settle();
    let bound = |c: &Cluster| c.pods().iter().filter(|p| p.node.is_some()).count();
    assert_eq!(bound(&c), 1);
    let first = c.pods().into_iter().find(|p| p.node.is_some()).unwrap();
    c.apply(Change::Delete(first.key.clone()));
    c.settle();
    assert_eq!((c.pods().len(), bound(&c)), (2, 1));
    c.hello("n2", "1", "8Gi", Vec::new());
    c.settle();
    assert_eq!(bound(&c), 2);
    assert!(!c.world.pods.any_waiting());
}

#[test]
fn a_request_beyond_all_measure_fits_nowhere() {
    let mut c = Cluster::new(&[("n1", "8", "1Gi"), ("n2", "8", "8Ei")]);
    let asks_memory = |amount: &str| json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"memory": amount}}}]});
    for (name, amount) in [("a", "1Mi"), ("b", "1Mi")] {
        c.put(pod(name, asks_memory(amount)));
    }
    c.settle();
    for name in ["huge-1", "huge-2"] {
        c.put(pod(name, asks_memory("9E")));
    }
    c.settle();
    assert_eq!(reason(&c, "huge-1"), "0/2 nodes are available: 2 Insufficient memory.");
    assert_eq!(c.get(Kind::Pod, "huge-2").node, None);
}

#[test]
fn host_ports_exclude_each_other() {
    let mut c = Cluster::new(&[("n1", "4", "8Gi")]);
    let spec = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    c.put(pod("a", spec.clone()));
    c.put(pod("b", spec));
    c.settle();
    assert_eq!(
        reason(&c, "b"),
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    );
}

#[test]
fn replicas_spread_over_nodes() {
    let mut c = Cluster::new(&[("n1", "8", "8Gi"), ("n2", "8", "8Gi"), ("n3", "8", "8Gi")]);
    c.put(deployment(6, "web:1", json!({})));
    c.rest();
    for node in ["n1", "n2", "n3"] {
        assert_eq!(c.world.pods.on_node(node).count(), 2, "{node}");
    }
}

#[test]
fn many_of_one_body_are_turned_away_by_one_look() {
    let mut c = Cluster::new(&[("n1", "1", "8Gi")]);
    c.put(deployment(50, "web:1", json!({})));
    c.settle();
    assert_eq!(c.pods().iter().filter(|p| p.node.is_some()).count(), 10);
    let waiting: usize = c.world.pods.waiting().map(|(_, g)| g.keys.len()).sum();
    assert_eq!(waiting, 40);
    c.hello("n2", "2", "8Gi", Vec::new());
    c.settle();
    assert_eq!(c.pods().iter().filter(|p| p.node.is_some()).count(), 30);
}

#[test]
fn tolerations_match_by_kubernetes_rules() {
    let t = |key: &str, op: &str, value: &str, effect: &str| Toleration {
        key: Some(key.into()),
        operator: Some(op.into()),
        value: Some(value.into()),
        effect: Some(effect.into()),
        toleration_seconds: None,
    };
    for (toleration, expected) in [
        (t("k", "Equal", "v", "NoSchedule"), true),
        (t("k", "", "v", ""), true),
        (t("k", "Equal", "x", ""), false),
        (t("k", "Exists", "", "NoExecute"), false),
        (t("", "Exists", "", ""), true),
        (t("", "Equal", "v", ""), false),
    ] {
        assert_eq!(tolerates(&toleration, "k", "v", "NoSchedule"), expected, "{toleration:?}");
    }
}

/// What the placement must agree with: every rule, written out over every node.
fn oracle(shape: &PodShape, node: &NodeRecord) -> bool {
    let tolerated = |t: &Taint| {
        t.effect == "PreferNoSchedule"
            || shape.tolerations.iter().any(|o| tolerates(o, &t.key, t.value.as_deref().unwrap_or(""), &t.effect))
    };
    node.known
        && node.ready
        && !node.unschedulable
        && node.taints.iter().all(tolerated)
        && shape.node_selector.iter().all(|(k, v)| node.labels.get(k) == Some(v))
        && node.used_pods < node.pods
        && (shape.cpu_milli == 0 || node.cpu_milli - node.used_cpu_milli >= shape.cpu_milli)
        && (shape.memory == 0 || node.memory - node.used_memory >= shape.memory)
        && shape.host_ports.iter().all(|(_, _, p)| node.used_ports.iter().all(|(_, _, q)| p != q))
}

#[derive(Debug, Clone)]
struct Spec {
    cpu: u16,
    memory: u16,
    zone: Option<u8>,
    tolerates: bool,
    port: Option<u8>,
}

fn spec() -> impl Strategy<Value = Spec> {
    (0..600_u16, 0..600_u16, prop::option::weighted(0.3, 0..3_u8), any::<bool>(), prop::option::weighted(0.2, 1..4_u8))
        .prop_map(|(cpu, memory, zone, tolerates, port)| Spec { cpu, memory, zone, tolerates, port })
}

fn world(nodes: &[(u16, u8, bool)]) -> World {
    let mut world = World::default();
    for (i, (cpu, zone, tainted)) in nodes.iter().enumerate() {
        let taints = if *tainted { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("n{i:03}"), "labels": {"zone": zone.to_string()}},
            "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": format!("{cpu}m"), "memory": "1000", "pods": "5"},
                "conditions": [{"type": "Ready", "status": "True"}]}});
        world.apply(Change::Put(Arc::new(Object::from_value(node).unwrap())));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A pod is placed exactly when some node takes it, and on one that does; records stay right
    /// through binding and deletion.
    #[test]
    fn a_node_is_found_exactly_when_there_is_one(
        nodes in prop::collection::vec((0..1500_u16, 0..3_u8, any::<bool>()), 0..40),
        pods in prop::collection::vec((spec(), any::<bool>()), 1..80),
    ) {
        let mut world = world(&nodes);
        for (i, (spec, goes)) in pods.into_iter().enumerate() {
            let ports = spec.port.map_or(json!([]), |p| json!([{"containerPort": 1, "hostPort": p}]));
            let selector: BTreeMap<String, String> = spec.zone.map(|z| ("zone".to_string(), z.to_string())).into_iter().collect();
            let tolerations = if spec.tolerates { json!([{"operator": "Exists"}]) } else { json!([]) };
            let value = pod(&format!("p{i}"), json!({"nodeSelector": selector, "tolerations": tolerations,
                "containers": [{"name": "c", "ports": ports, "resources": {"requests":
                    {"cpu": format!("{}m", spec.cpu), "memory": spec.memory.to_string()}}}]}));
            let mut object = Object::from_value(value).unwrap();
            let shape = world.pods.shape(&object.body);
            let possible: Vec<_> = world.nodes.iter().filter(|(_, n)| oracle(&shape, n)).map(|(k, _)| k.clone()).collect();
            match place(&world, &shape, None) {
                Ok(node) => {
                    prop_assert!(possible.contains(&node), "{node} of {possible:?}");
                    object.node = Some(node);
                    let key = object.key.clone();
                    world.apply(Change::Put(Arc::new(object)));
                    if goes { world.apply(Change::Delete(key)); }
                }
                Err(why) => {
                    prop_assert!(possible.is_empty(), "{why}");
                    prop_assert_eq!(why.nodes, nodes.len());
                    prop_assert!(why.reasons.values().sum::<usize>() >= nodes.len());
                }
            }
        }
        for (name, node) in world.nodes.iter() {
            let here = || world.pods.on_node(name).filter_map(|k| world.pods.get(k));
            prop_assert_eq!(node.used_cpu_milli, here().map(|p| p.shape.cpu_milli).sum::<i64>());
            prop_assert_eq!(node.used_pods, i64::try_from(here().count()).unwrap());
            prop_assert_eq!(node.used_ports.len(), here().map(|p| p.shape.host_ports.len()).sum::<usize>());
        }
        let listed: usize = world.nodes.by_room().map(|(_, names)| names.count()).sum();
        prop_assert_eq!(listed, nodes.len());
    }
}
