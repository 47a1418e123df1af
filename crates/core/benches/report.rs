//! A report that is equal to what is recorded, at two sizes of the cluster: it must cost the same
//! and change nothing. `examples/memory.rs` tells what a pod takes.
#![allow(clippy::unwrap_used, missing_docs)]

mod shape;

use std::sync::Arc;

use divan::Bencher;
use evenkeel_core::{Cx, Settings, controllers::report};
use evenkeel_model::{
    Kind, Rng, Time, canonical,
    session::{PodReport, Report},
};
use serde_json::Value;

fn main() {
    divan::main();
}

/// What the agent would say of each pod: its own part of the status, the server's left out.
fn reports(world: &evenkeel_core::World) -> Vec<(Arc<str>, Report)> {
    // As many at both sizes, so that the caches of the machine weigh alike.
    let pods = world.list(Kind::Pod, "").step_by(world.pods.len() / 1000).take(1000);
    pods.map(|pod| {
        let mut status: Value = serde_json::from_slice(&pod.status).unwrap();
        status.as_object_mut().unwrap().remove("qosClass");
        status["conditions"].as_array_mut().unwrap().retain(|c| c["type"] != "PodScheduled");
        let report = PodReport {
            uid: pod.uid,
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            status: canonical::value_bytes(&status).into(),
            gone: false,
            image_ids: [("web".to_string(), "sha256:2c26".to_string())].into(),
            logs: [].into(),
        };
        (pod.node.clone().unwrap(), Report { pods: vec![report], ..Report::default() })
    })
    .collect()
}

#[divan::bench(args = [1_000, 150_000])]
fn nothing_new(bencher: Bencher<'_, '_>, pods: usize) {
    let nodes = (pods / 30).max(1);
    let mut world = shape::nodes(nodes);
    shape::fill(&mut world, 0, pods, nodes);
    let reports = reports(&world);
    let (settings, mut rng, now) = (Settings::default(), Rng::new(1), Time::from_secs(1_767_225_700));
    let mut i = 0;
    bencher.bench_local(|| {
        let (node, report) = &reports[i % reports.len()];
        i += 1;
        let mut cx = Cx::new(now, now, &settings, &mut rng);
        report::report(&world, node, report, &mut cx);
        assert!(cx.changes.is_empty(), "{:?}", cx.changes);
    });
}
