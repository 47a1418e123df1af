//! A node of three dies: how long until all replicas run on the other two, against Docker Swarm on the
//! same machines and engines.
//!
//! Both notice a node's death by its silence: Swarm after three heartbeats of 5 s, Evenkeel after
//! `--node-grace`, set to the same 15 s here, with no toleration on top. One side runs at a time.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use evenkeel_lab::{App, At, Cluster, Lab};

use crate::{
    cluster::{binary, images, run},
    measure::{Better, Samples, compared},
};

const REPLICAS: usize = 9;
/// The node that dies; the first is Swarm's manager.
const VICTIM: usize = 3;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);
const FLAGS: [&str; 6] = ["--node-grace", "15s", "--default-toleration", "0s", "--watch-window", "1s"];
const OURS: &str = "evenkeel.dev/container=shop";
const THEIRS: &str = "com.docker.swarm.service.name=bench";

/// How a node dies.
#[derive(Clone, Copy)]
enum Death {
    Cut,
    PowerOff,
}

struct Sides {
    cluster: Cluster,
}

pub fn node() {
    images();
    // Swarm refuses engines that restore their containers.
    let lab = Lab::with_engines(&[false; 3]);
    let web = web(0);
    let mut sides = Sides { cluster: Cluster::start(&binary(), lab, &[("web.json", &web)], &FLAGS) };
    sides.form_swarm();
    for (what, death) in [("cut off", Death::Cut), ("without power", Death::PowerOff)] {
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for round in 0..ROUNDS {
            let (a, b) = if round % 2 == 0 {
                let a = sides.ours(death);
                (a, sides.theirs(death))
            } else {
                let b = sides.theirs(death);
                (sides.ours(death), b)
            };
            println!("  {what}: {a:.1} s, Swarm {b:.1} s");
            ours.0.push(a);
            theirs.0.push(b);
        }
        let names = (format!("a node {what}: Evenkeel, grace 15 s, no toleration"), "Docker Swarm, defaults");
        compared((&names.0, names.1), "s", Better::Lower, (1.0, 0.0), (&ours, &theirs));
    }
}

fn web(replicas: u32) -> String {
    let hangs = r#""args": ["hang"]"#;
    App { replicas, container: hangs, ..App::default() }.yaml()
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Sides {
    fn docker(&self, node: usize, args: &[&str]) -> String {
        run(Command::new("docker").args(["-H", &self.cluster.lab.engine(node).url()]).args(args))
    }

    fn form_swarm(&self) {
        let address = |node| self.cluster.lab.address(At::Node(node)).to_string();
        self.docker(1, &["swarm", "init", "--advertise-addr", &address(1)]);
        let token = self.docker(1, &["swarm", "join-token", "-q", "worker"]);
        for node in 2..=3 {
            self.docker(
                node,
                &[
                    "swarm",
                    "join",
                    "--advertise-addr",
                    &address(node),
                    "--token",
                    &token,
                    &format!("{}:2377", address(1)),
                ],
            );
        }
        let create = ["service", "create", "--quiet", "--detach", "--no-resolve-image", "--name", "bench"];
        let how =
            ["--network", "host", "--replicas", "0", "--stop-grace-period", "2s", "shop.example/shop:1.0", "hang"];
        self.docker(1, &[&create[..], &how[..]].concat());
    }

    /// Running containers with a label on some nodes.
    fn running(&self, label: &str, nodes: &[usize]) -> usize {
        let filter = format!("%7B%22label%22%3A%5B%22{}%22%5D%7D", label.replace('=', "%3D").replace('/', "%2F"));
        let on = |node: &usize| {
            let list = self.cluster.lab.engine(*node).get(&format!("/containers/json?filters={filter}")).unwrap();
            list.as_array().map_or(0, Vec::len)
        };
        nodes.iter().map(on).sum()
    }

    /// Kills the node, waits for all replicas elsewhere, and brings it back.
    fn die(&mut self, death: Death, label: &str) -> f64 {
        until("all replicas run", || self.running(label, &[1, 2, VICTIM]) == REPLICAS);
        assert_eq!(self.running(label, &[VICTIM]), REPLICAS / 3, "spread evenly");
        let start = Instant::now();
        match death {
            Death::Cut => self.cluster.lab.silent_cut(At::Node(VICTIM)),
            Death::PowerOff => self.cluster.lab.power_off(At::Node(VICTIM)),
        }
        until("all replicas run elsewhere", || self.running(label, &[1, 2]) == REPLICAS);
        let took = start.elapsed().as_secs_f64();
        match death {
            Death::Cut => self.cluster.lab.heal(),
            Death::PowerOff => {
                self.cluster.agent_kill(VICTIM);
                self.cluster.lab.power_on(At::Node(VICTIM));
                self.cluster.agent_start(VICTIM);
            }
        }
        self.cluster.wait_nodes();
        until("the swarm is whole", || {
            let states = self.docker(1, &["node", "ls", "--format", "{{.Status}}"]);
            states.lines().filter(|state| *state == "Ready").count() == 3
        });
        took
    }

    fn ours(&mut self, death: Death) -> f64 {
        self.scale(u32::try_from(REPLICAS).unwrap_or(u32::MAX));
        let took = self.die(death, OURS);
        self.scale(0);
        until("none is left", || self.running(OURS, &[1, 2, VICTIM]) == 0);
        took
    }

    fn scale(&self, replicas: u32) {
        self.cluster.repo.write("web.json", &web(replicas));
        let commit = self.cluster.repo.commit("another number");
        self.cluster.wait_good(&commit);
    }

    fn theirs(&mut self, death: Death) -> f64 {
        self.docker(1, &["service", "scale", "--detach", &format!("bench={REPLICAS}")]);
        let took = self.die(death, THEIRS);
        self.docker(1, &["service", "scale", "--detach", "bench=0"]);
        until("none is left", || self.running(THEIRS, &[1, 2, VICTIM]) == 0);
        took
    }
}
