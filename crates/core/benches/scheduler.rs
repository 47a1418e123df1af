//! One placement among 5,000 nodes, the pod bound afterwards, by shape of the pod's demands.
//! `examples/placement.rs` plans 100,000 pods in a row and tells percentiles.
#![allow(clippy::unwrap_used, missing_docs)]

mod shape;

use std::cell::RefCell;

use divan::Bencher;
use evenkeel_core::{World, scheduler::place};
use evenkeel_model::Rng;
use serde_json::{Value, json};

fn main() {
    divan::main();
}

fn placement(bencher: Bencher<'_, '_>, more: &Value) {
    let world: RefCell<World> = RefCell::new(shape::nodes(shape::NODES));
    let body = shape::body(0, more.clone());
    let wanted = world.borrow().pods.shape(&body);
    let (mut rng, mut n) = (Rng::new(1), 0);
    bencher.bench_local(|| {
        let mut world = world.borrow_mut();
        let mut pod = shape::pod(n, &body, &mut rng);
        let node = place(&world, &wanted, pod.meta.controller().map(|o| o.uid));
        n += 1;
        // A full cluster is emptied: the figure is that of placements that succeed.
        match node {
            Ok(node) => {
                pod.node = Some(node);
                shape::put(&mut world, pod);
            }
            Err(_) => *world = shape::nodes(shape::NODES),
        }
    });
}

#[divan::bench]
fn plain(bencher: Bencher<'_, '_>) {
    placement(bencher, &json!({}));
}

#[divan::bench]
fn node_selector(bencher: Bencher<'_, '_>) {
    placement(bencher, &json!({"nodeSelector": {"zone": "z7"}}));
}

#[divan::bench]
fn node_selector_and_arch(bencher: Bencher<'_, '_>) {
    placement(bencher, &json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}}));
}

#[divan::bench]
fn taints(bencher: Bencher<'_, '_>) {
    placement(bencher, &json!({"tolerations": [{"key": "team", "operator": "Equal", "value": "a"}]}));
}

#[divan::bench]
fn unschedulable(bencher: Bencher<'_, '_>) {
    let world = shape::nodes(shape::NODES);
    let wanted = world.pods.shape(&shape::body(0, json!({"nodeSelector": {"zone": "nowhere"}})));
    bencher.bench_local(|| place(&world, &wanted, None));
}
