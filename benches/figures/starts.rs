//! Containers started a second on one node, against the best raw concurrent client: one that makes the same
//! pods, and ones that let the engine make the network.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::{App, Cluster},
    commit,
    engine::{self, Bodies, Engine},
    measure::{Better, ROUNDS, Samples, alone, compared},
};

/// Pods of one round: each is a sandbox and a container.
const PODS: usize = 20;
/// How many a raw client starts at once.
const WIDTHS: [usize; 3] = [2, 4, 8];
const PATIENCE: Duration = Duration::from_mins(2);

/// What a raw client makes.
#[derive(Clone, Copy)]
enum Raw {
    /// The same pods, whose sandboxes make networks of their own. It plugs nothing into them.
    Same,
    /// The same pods with the engine's network.
    BridgedPods,
    /// As many containers as the pods have with their sandboxes, each with the engine's network.
    Bridged,
}

pub fn throughput() {
    let app = |replicas, edition| App { replicas, edition, surge: "25%", unavailable: "25%" };
    let cluster = Cluster::with(&app(1, 0));
    let mut engine = Engine::new();
    let bodies = commit::bodies(&cluster, &mut engine);
    let (mut ours, mut from_commit) = (Samples::default(), Samples::default());
    let kinds = [Raw::Same, Raw::BridgedPods, Raw::Bridged];
    let mut raw = kinds.map(|_| WIDTHS.map(|_| Samples::default()));
    for _ in 0..ROUNDS {
        let (rate, with_commit) = our_round(&cluster, &app(1 + PODS, 0));
        ours.0.push(rate);
        from_commit.0.push(with_commit);
        cluster.write(&app(1, 0));
        cluster.commit();
        cluster.settled();
        for (kind, samples) in kinds.iter().zip(&mut raw) {
            for (width, samples) in WIDTHS.iter().zip(samples) {
                samples.0.push(raw_round(*kind, &bodies, *width));
                commit::clean(&mut engine);
            }
        }
    }
    let names = ["the same pods", "pods in bridge mode", "containers in bridge mode"];
    for (name, samples) in names.iter().zip(&raw) {
        for (width, samples) in WIDTHS.iter().zip(samples) {
            alone(&format!("raw client, {name}, {width} at once"), "containers/s", samples);
        }
    }
    for ((name, samples), goal) in names.iter().zip(&raw).zip([0.95, 1.5, 2.2]) {
        let best = samples.iter().max_by(|a, b| a.median().total_cmp(&b.median())).expect("some");
        let theirs = format!("best raw client, {name}");
        let what = ("evenkeel, first create to last start", &*theirs);
        compared(what, "containers/s", Better::Higher, (goal, 0.0), (&ours, best));
    }
    alone("evenkeel, from `git commit` to the last start", "containers/s", &from_commit);
}

/// Containers a second from the first create to the last start, and from the commit.
fn our_round(cluster: &Cluster, app: &App) -> (f64, f64) {
    cluster.write(app);
    let events = engine::events();
    let (before, _) = cluster.commit();
    let (mut first, mut started) = (None, 0);
    let last = loop {
        let event = events.recv_timeout(PATIENCE).expect("the containers start");
        if event.cluster != cluster.id {
            continue;
        }
        match &*event.action {
            "create" => drop(first.get_or_insert(event.at)),
            "start" => started += 1,
            _ => {}
        }
        if started == 2 * PODS {
            break event.at;
        }
    };
    cluster.settled();
    let rate = |from: Instant| 2.0 * PODS as f64 / (last - from).as_secs_f64();
    (rate(first.expect("a create")), rate(before))
}

fn raw_round(kind: Raw, bodies: &Bodies, width: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let (bridged, of) = (bodies.bridged(), if matches!(kind, Raw::Bridged) { 2 * PODS } else { PODS });
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(|| {
                let mut engine = Engine::new();
                while next.fetch_add(1, Ordering::Relaxed) < of {
                    match kind {
                        Raw::Same => drop(engine.pod(bodies)),
                        Raw::BridgedPods => drop(engine.pod(&bridged)),
                        Raw::Bridged => engine.alone(bodies),
                    }
                }
            });
        }
    });
    2.0 * PODS as f64 / start.elapsed().as_secs_f64()
}
