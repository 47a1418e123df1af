//! What a server takes for many agents that have nothing to say: real sockets, real TLS, the server
//! a process of its own, the agents (their engines simulated) in this one.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use evenkeel_agent::sim::SimRegistry;
use serde_json::Value;

use crate::{
    cluster::{binary, run},
    idle::{cpu_seconds, database, written},
    measure::{Better, Samples, alone, bounded, status_kib},
    nodes::Fleet,
};

/// How many agents, unless `HEARTBEAT_AGENTS` says another number.
const AGENTS: usize = 5_000;
/// Descriptors that a process has besides its sockets.
const OTHERS: u64 = 200;
/// One round: six heartbeats of each agent.
const WATCHED: Duration = Duration::from_mins(1);
const ROUNDS: usize = 3;
/// From the last node's being ready: what its joining wrote is behind it.
const REST: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_mins(10);

/// An `evenkeel server` without a source.
struct Server {
    dir: tempfile::TempDir,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("evenkeel-bench-").tempdir().unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(binary())
            .args(["server", "--listen", "127.0.0.1:0", "--log-format", "text", "--data-dir"])
            .arg(dir.path().join("data"))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("evenkeel server");
        Self { dir, child }
    }

    fn verb(&self, args: &[&str]) -> Option<String> {
        let data = self.dir.path().join("data");
        let mut command = Command::new(binary());
        let output = command.args(args).arg("--data-dir").arg(data).env_remove("KUBECONFIG").output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    }

    fn address(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("data/admin.kubeconfig")).unwrap();
        let config: Value = serde_yaml::from_str(&text).unwrap();
        config["clusters"][0]["cluster"]["server"].as_str().unwrap().trim_start_matches("https://").to_owned()
    }

    /// Nodes that are ready.
    fn ready(&self) -> usize {
        let Some(text) = self.verb(&["get", "nodes", "-o", "json"]) else { return 0 };
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        list["items"].as_array().map_or(0, |nodes| nodes.iter().filter(is_ready).count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn heartbeats() {
    let agents = std::env::var("HEARTBEAT_AGENTS").map_or(AGENTS, |n| n.parse().unwrap());
    if !descriptors(agents as u64 + OTHERS) {
        return;
    }
    let server = Server::start();
    let mut token = None;
    until("the server answers", || {
        token = server.verb(&["token", "create"]);
        token.is_some()
    });
    let address = server.address();
    let dir = tempfile::Builder::new().prefix("evenkeel-bench-").tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (to, token) = (address.parse().unwrap(), token.unwrap().parse().unwrap());
    let begun = Instant::now();
    let fleet = runtime.block_on(Fleet::start(agents, dir.path(), &to, &token, SimRegistry::new()));
    until("every node is ready", || server.ready() == agents);
    println!("  {agents} agents joined and were ready after {:.0} s", begun.elapsed().as_secs_f64());
    thread::sleep(REST);
    watched(&server, agents);
    runtime.block_on(fleet.stop());
}

fn watched(server: &Server, agents: usize) {
    let (pid, data) = (server.child.id(), server.dir.path().join("data"));
    let (mut cpu, mut wrote, mut same) = (Samples::default(), Samples::default(), true);
    for _ in 0..ROUNDS {
        let (spent, before, files) = (cpu_seconds(pid), written(pid), database(Path::new(&data)));
        thread::sleep(WATCHED);
        cpu.0.push((cpu_seconds(pid) - spent) / WATCHED.as_secs_f64() * 100.0);
        wrote.0.push((written(pid) - before) as f64);
        same &= database(Path::new(&data)) == files;
    }
    bounded("of a core, over 60 s", "%", Better::Lower, 5.0, &cpu);
    alone("written to disk by the server in 60 s", "bytes", &wrote);
    println!("  database files meanwhile: {}", if same { "unchanged: met" } else { "CHANGED: MISSED" });
    let rss = Samples(vec![status_kib(pid, "VmRSS") * 1024.0 / 1e6]);
    alone("resident memory of the server", "MB", &rss);
    println!("  nodes ready at the end: {} of {agents}", server.ready());
    println!("  load at the end: {}", run(Command::new("cat").arg("/proc/loadavg")));
}

/// Whether this process and the server may have so many descriptors; says what is needed if not.
fn descriptors(needed: u64) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= needed) {
        return true;
    }
    // The server has this process's limit.
    let raised = limit.maximum.is_none_or(|most| most >= needed)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).is_ok();
    if !raised {
        println!(
            "  not measured: {needed} file descriptors are needed, the limit is {:?} (`ulimit -n`)",
            limit.maximum
        );
    }
    raised
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(500));
    }
}
