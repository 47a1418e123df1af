//! Plans a rebalance of 100,000 pods on 5,000 nodes, to which ten empty ones came, and tells how long
//! that takes: for the first move alone, and for a hundred.
#![allow(clippy::unwrap_used, missing_docs, clippy::disallowed_methods)]

#[path = "../benches/shape/mod.rs"]
mod shape;

use std::time::Instant;

use evenkeel_core::{
    World,
    scheduler::rebalance::{Wish, plan},
};
use evenkeel_model::{Object, Time};
use serde_json::json;

const PODS: usize = 100_000;
/// Pods of one ReplicaSet in the benches' shape.
const EACH: usize = 20;
const NEW: usize = 10;

fn main() {
    let mut world: World = shape::nodes(shape::NODES + NEW);
    shape::fill(&mut world, 0, PODS, shape::NODES);
    for n in 0..PODS / EACH {
        let uid = evenkeel_model::Uid(n as u128 + 1).to_string();
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("web-{n}-5d9c7b8f6d"), "namespace": "shop", "uid": uid},
            "spec": {"replicas": EACH, "selector": {"matchLabels": {"app": format!("web-{n}")}},
                "template": {"spec": {"containers": []}}}});
        shape::put(&mut world, Object::from_value(set).unwrap());
    }
    println!("{PODS} pods on {} nodes, {NEW} of them empty", shape::NODES + NEW);
    for limit in [1, 100] {
        let start = Instant::now();
        let planned = plan(&world, &Wish { limit, empty_dirs: false }, Time::from_secs(1_800_000_000)).unwrap();
        let (moves, held) = (planned.moves.len(), planned.held.len());
        println!("limit {limit}: {moves} moves, {held} held back, in {:?}", start.elapsed());
    }
}
