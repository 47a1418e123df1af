//! Plans 100,000 pods on 5,000 nodes, each bound before the next, and tells the time of a
//! placement by percentile for each shape of demands. For `docs/performance.md`.
#![allow(clippy::unwrap_used, missing_docs, clippy::disallowed_methods)]

#[path = "../benches/shape/mod.rs"]
mod shape;

use std::time::{Duration, Instant};

use evenkeel_core::scheduler::place;
use evenkeel_model::Rng;
use serde_json::json;

const PODS: usize = 100_000;

fn main() {
    let shapes = [
        ("plain", json!({})),
        ("node selector (all nodes)", json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}})),
        ("taints", json!({"tolerations": [{"key": "team", "operator": "Equal", "value": "a"}]})),
    ];
    println!("{PODS} pods on {} nodes", shape::NODES);
    for (name, more) in shapes {
        let mut world = shape::nodes(shape::NODES);
        let (mut rng, mut took) = (Rng::new(1), Vec::with_capacity(PODS));
        let begin = Instant::now();
        let mut body = shape::body(0, more.clone());
        for n in 0..PODS {
            if n % 20 == 0 {
                body = shape::body(n / 20, more.clone());
            }
            let mut pod = shape::pod(n, &body, &mut rng);
            let start = Instant::now();
            let wanted = world.pods.shape(&body);
            let node = place(&world, &wanted, pod.meta.controller().map(|o| o.uid)).unwrap();
            took.push(start.elapsed());
            pod.node = Some(node);
            shape::put(&mut world, pod);
        }
        let all = begin.elapsed();
        took.sort();
        let at = |part: usize| -> Duration { took[(PODS - 1) * part / 1000] };
        println!(
            "{name}: {} pods/s with binding; a placement p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
            PODS as u128 * 1_000_000 / all.as_micros(),
            at(500),
            at(990),
            at(999),
            took[PODS - 1]
        );
    }
}
