//! The scheduler by itself: 100,000 pods on 5,000 nodes, shape by shape.

use std::time::Instant;

use evenkeel_core::{Change, ControllerId, Controllers, Cx, Settings, World};
use evenkeel_model::{Key, Kind, Rng, Time, Version};
use serde_json::{Value, json};

use crate::{
    lab::{object, pod_value},
    measure::{Better, Samples, alone, bounded},
};

const NODES: usize = 5_000;
const PODS: usize = 100_000;
/// Pods of one controller.
const OF_A_CONTROLLER: usize = 50;
/// Kubernetes' scheduler_perf wants 680 pods a second of its plain workload (another machine's
/// threshold); fifty times that.
const PLAIN_TARGET: f64 = 50.0 * 680.0;
const P99_TARGET: f64 = 200.0;

/// What is special about some of the nodes and pods.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Nothing.
    Plain,
    /// Pods want a zone that a tenth of the nodes have.
    Zone,
    /// Pods want a rack that one node in 50 has.
    Rack,
    /// Half of the nodes are tainted, half of the pods tolerate it.
    Taints,
}

pub fn shapes() {
    let mut plain = f64::NAN;
    let all = [
        ("plain", Shape::Plain),
        ("node selector, 500 nodes", Shape::Zone),
        ("node selector, 100 nodes", Shape::Rack),
        ("taints", Shape::Taints),
    ];
    for (name, shape) in all {
        let (mut rates, mut decided, mut p99) = (Samples::default(), Samples::default(), Samples::default());
        for round in 0..3 {
            let one = run(shape, round);
            rates.0.push(one.0);
            decided.0.push(one.1);
            p99.0.push(one.2);
        }
        println!("  {name}:");
        match shape {
            Shape::Plain => {
                plain = rates.median();
                bounded(
                    "  decided, written to the world, with its Event",
                    "pods/s",
                    Better::Higher,
                    PLAIN_TARGET,
                    &rates,
                );
            }
            _ => bounded(
                "  decided, written to the world, with its Event",
                "pods/s",
                Better::Higher,
                plain / 15.0,
                &rates,
            ),
        }
        alone("  decided only", "pods/s", &decided);
        bounded("  p99 of one placement", "us", Better::Lower, P99_TARGET, &p99);
    }
}

fn node(n: usize, shape: Shape) -> Value {
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    let tainted = shape == Shape::Taints && n.is_multiple_of(2);
    let spec = if tainted {
        json!({"taints": [{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]})
    } else {
        json!({})
    };
    json!({"apiVersion": "v1", "kind": "Node", "spec": spec,
        "metadata": {"name": format!("node-{n:05}"),
            "labels": {"zone": format!("z{}", n % 10), "rack": format!("r{}", n % 50)}},
        "status": {"capacity": room, "allocatable": room, "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"}]}})
}

/// Pods a second with and without the writing, and the 99th percentile of a decision in µs.
fn run(shape: Shape, seed: u64) -> (f64, f64, f64) {
    let (now, settings, mut rng) = (Time::from_secs(1_700_000_000), Settings::default(), Rng::new(seed));
    let mut world = World::new(Version(1), 1, [7; 32]);
    for n in 0..NODES {
        let node = object(node(n, shape), rng.uid());
        world.nodes.hear(&node.key.name, now);
        world.apply(Change::Put(node.into()));
    }
    let keys = pods(&mut world, shape, now, &mut rng);
    let mut times = Samples::default();
    let start = Instant::now();
    for key in &keys {
        let mut cx = Cx::new(now, now, &settings, &mut rng);
        let begin = Instant::now();
        Controllers.reconcile(ControllerId::Scheduler, &world, key, &mut cx);
        times.0.push(begin.elapsed().as_secs_f64() * 1e6);
        for change in cx.changes {
            world.apply(change);
        }
    }
    let took = start.elapsed().as_secs_f64();
    assert_eq!(world.pods.unbound().count(), 0, "every pod has a node");
    let decided: f64 = times.0.iter().sum::<f64>() / 1e6;
    (PODS as f64 / took, PODS as f64 / decided, times.at(0.99))
}

fn pods(world: &mut World, shape: Shape, now: Time, rng: &mut Rng) -> Vec<Key> {
    let mut keys = Vec::with_capacity(PODS);
    for controller in 0..PODS / OF_A_CONTROLLER {
        let mut value = pod_value(&format!("app-{controller}"), "x");
        let spec = value["spec"].as_object_mut().unwrap();
        match shape {
            Shape::Zone => drop(spec.insert("nodeSelector".into(), json!({"zone": format!("z{}", controller % 10)}))),
            Shape::Rack => drop(spec.insert("nodeSelector".into(), json!({"rack": format!("r{}", controller % 50)}))),
            Shape::Taints if controller % 2 == 0 => {
                let toleration = json!([{"key": "dedicated", "operator": "Equal", "value": "batch"}]);
                spec.insert("tolerations".into(), toleration);
            }
            _ => {}
        }
        let owner = rng.uid();
        value["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": format!("app-{controller}-6f5d8c9b7"), "uid": owner.to_string(), "controller": true}]);
        let like = object(value, owner);
        for n in 0..OF_A_CONTROLLER {
            let mut pod = like.clone();
            pod.key = Key::new(Kind::Pod, "default", format!("app-{controller}-6f5d8c9b7-{n:05}"));
            pod.uid = rng.uid();
            pod.meta.created = now;
            keys.push(pod.key.clone());
            world.apply(Change::Put(pod.into()));
        }
    }
    keys
}
