//! What the conductor does with little to do, what it does with much, and what a pod weighs.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    lab::Lab,
    manifests::{self, REPLICAS},
    measure::{Better, ROUNDS, Samples, alone, bounded, compared, ms, status_kib},
};

/// Pods of the small and the large cluster, and where the weighing begins.
const SMALL: usize = 1_000;
const BEGIN: usize = 10_000;
const LARGE: usize = 150_000;
/// Nodes of the large cluster.
const NODES: usize = 5_000;
/// Deployments of one source.
const OF_A_SOURCE: usize = 100;
/// Reports in one round.
const REPORTS: usize = 500;

/// From a revision of 200 Deployments to 10,000 pods bound on 1,000 nodes, all durable.
pub fn planner() {
    let mut times = Samples::default();
    let mut rates = Samples::default();
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let mut lab = Lab::new(dir.path(), 1_000);
        lab.agents = false;
        let snapshot = manifests::snapshot(0, BEGIN / REPLICAS);
        let start = Instant::now();
        lab.add(snapshot);
        lab.settle();
        let took = start.elapsed();
        let bound = lab.conductor.world().list(evenkeel_model::Kind::Pod, "").filter(|p| p.node.is_some()).count();
        assert_eq!(bound, BEGIN);
        times.0.push(ms(took));
        rates.0.push(BEGIN as f64 / took.as_secs_f64());
    }
    alone("revision to 10,000 pods made, bound, committed", "ms", &times);
    alone("the same as a rate", "pods/s", &rates);
    println!("  SwarmKit's scheduler: not measured (its benchmark needs a Go toolchain)");
}

/// Runs [`child`] in a process of its own, whose memory is the cluster's alone.
pub fn in_a_child() {
    let me = std::env::current_exe().unwrap();
    let status = Command::new(me).arg("world-child").status().unwrap();
    assert!(status.success(), "the measuring process failed");
}

pub fn child() {
    let small_dir = tempfile::tempdir().unwrap();
    let mut small = Lab::new(small_dir.path(), 50);
    small.add(manifests::snapshot(0, SMALL / REPLICAS));
    small.settle();
    small.pass(Duration::from_secs(90));
    assert_eq!(small.ready(), SMALL);

    let dir = tempfile::tempdir().unwrap();
    let mut large = Lab::new(dir.path(), NODES);
    let start = Instant::now();
    grow(&mut large, BEGIN);
    let before = memory();
    grow(&mut large, LARGE);
    let after = memory();
    let pods = (LARGE - BEGIN) as f64;
    println!("  150,000 pods on 5,000 nodes were made in {:.1} s, with 150,000 reports", start.elapsed().as_secs_f64());
    let per_pod = |a: f64, b: f64| Samples::one((b - a) / pods);
    bounded("a pod: growth of RSS from 10,000 to 150,000", "KiB", Better::Lower, 4.0, &per_pod(before.0, after.0));
    alone("the same of anonymous memory", "KiB", &per_pod(before.1, after.1));
    repeated(&mut small, &mut large);
}

fn memory() -> (f64, f64) {
    let me = std::process::id();
    (status_kib(me, "VmRSS"), status_kib(me, "RssAnon"))
}

/// Brings the cluster to so many pods, all of them running, and past the watch window.
fn grow(lab: &mut Lab, pods: usize) {
    while lab.pods() < pods {
        let from = lab.pods() / REPLICAS;
        let count = OF_A_SOURCE.min(pods / REPLICAS - from);
        lab.add(manifests::snapshot(from, count));
        lab.settle();
        assert_eq!(lab.pods(), (from + count) * REPLICAS);
    }
    lab.pass(Duration::from_secs(90));
    assert_eq!(lab.ready(), pods);
}

/// Reports that say nothing new, one a step.
fn repeated(small: &mut Lab, large: &mut Lab) {
    let round = |lab: &mut Lab, all: &mut Samples| {
        let version = lab.conductor.world().version;
        let mut times = Samples::default();
        for event in lab.repeats(REPORTS) {
            let start = Instant::now();
            let output = lab.conductor.step(lab.now, vec![event]).unwrap();
            times.0.push(start.elapsed().as_secs_f64() * 1e6);
            assert!(output.published.is_empty(), "something was written");
        }
        assert_eq!(lab.conductor.world().version, version, "something was committed");
        all.0.extend(&times.0);
        times.median()
    };
    let (mut a, mut b) = (Samples::default(), Samples::default());
    let (mut all_small, mut all_large) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        a.0.push(round(small, &mut all_small));
        b.0.push(round(large, &mut all_large));
    }
    bounded("a report with nothing new, 1,000 pods", "us", Better::Lower, 50.0, &a);
    let what = ("a report with nothing new, 150,000 pods", "a report with nothing new, 1,000 pods");
    compared(what, "us", Better::Lower, (2.0, 0.0), (&b, &a));
    println!(
        "  p99 of all reports: {:.1} us at 1,000 pods, {:.1} us at 150,000",
        all_small.at(0.99),
        all_large.at(0.99)
    );
}
