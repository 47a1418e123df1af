//! The figures of `docs/performance.md`: each against its baseline, in the same run on the same
//! machine, in alternating rounds.
//!
//! `cargo bench --bench figures` prints all of them, `cargo bench --bench figures -- NAME…` those
//! named. The ones that run containers need a Docker engine and the example's images (`make images`);
//! they clean up what they made and touch nothing else. Deliberately not here: assertions. A figure
//! that misses its target is printed as such; what is known about it stands in the documentation.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "../../tests/fleet/api.rs"]
mod api;
mod cluster;
mod commit;
mod engine;
mod fleet;
mod git;
mod idle;
mod lab;
mod lost;
mod manifests;
mod measure;
mod memory;
#[path = "../../tests/fleet/nodes.rs"]
mod nodes;
mod overlay;
mod rolling;
mod scheduler;
mod serving;
mod starts;
mod store;
mod world;

/// A figure: its name, what it says, how it is made.
type Figure = (&'static str, &'static str, fn());

const FIGURES: &[Figure] = &[
    ("cold-plan", "20,000 documents from a git repository to a checked snapshot", git::cold_plan),
    ("changed-file", "one changed file of 20,000, from the moved branch to the new snapshot", git::changed_file),
    ("transitions", "durable changes of pods a second", store::transitions),
    ("scheduler", "100,000 pods on 5,000 nodes, by shape", scheduler::shapes),
    ("planner", "10,000 pods on 1,000 nodes, from the revision to the last durable binding", world::planner),
    ("world", "a report with nothing new at 1,000 and 150,000 pods; memory of a pod", world::in_a_child),
    ("commit", "from `git commit` to the new containers running", commit::running),
    ("rolling", "update of 10 replicas against Docker Swarm and Compose", rolling::updates),
    ("starts", "containers started a second", starts::throughput),
    ("heartbeats", "5,000 agents over real sockets that say nothing else", fleet::heartbeats),
    ("reconnect", "1,000 sessions after the server's restart", fleet::reconnect),
    ("replacement", "from the report that a pod failed to its replacement's assignment", fleet::replacement),
    ("api", "lists, reads, writes and watches of the API", serving::serving),
    ("overlay", "one stream between pods of two nodes by VXLAN, against Docker Swarm's overlay", overlay::streams),
    ("lost-node", "a node's death until its replicas run elsewhere, against Docker Swarm", lost::node),
    ("agent-memory", "an agent with 20 pods, and a server that has nothing to do", memory::agent),
    ("idle", "what `evenkeel up` takes with the example and nothing to do", idle::idle),
];

/// The wall clock, for the nodes that are simulated.
fn now() -> evenkeel_model::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    evenkeel_model::Time(i64::try_from(since.as_millis()).unwrap())
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["world-child"] => return world::child(),
        [overlay::LISTENER] => return overlay::listener(),
        [overlay::SENDER, to] => return overlay::sender(to),
        _ => {}
    }
    if let Some(unknown) = names.iter().find(|n| !FIGURES.iter().any(|f| f.0 == *n)) {
        eprintln!("no figure `{unknown}`; there are:");
        for (name, about, _) in FIGURES {
            eprintln!("  {name:13} {about}");
        }
        std::process::exit(2);
    }
    measure::machine();
    for (name, about, run) in FIGURES.iter().filter(|f| names.is_empty() || names.iter().any(|n| n == f.0)) {
        println!("\n{name}: {about}");
        run();
    }
}
