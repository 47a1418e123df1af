//! Many agents on one server over real sockets with real TLS: what their heartbeats take, how they come
//! back, how fast a pod that failed is replaced. The server is a process of its own; the agents are
//! simulated and live in this one.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use evenkeel_agent::{
    driver::Dial as _,
    remote::{Identity, IdentityStore, ServerAddress, Token},
    sim::SimRegistry,
};
use evenkeel_model::{
    Uid, canonical,
    session::{Assignment, Hello, PodReport, Report, Stamp, ToAgent, ToServer},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::interval};

use crate::{
    api::Api,
    cluster::run,
    idle,
    lab::running_status,
    measure::{Better, Samples, alone, bounded, status_kib},
    nodes::{self, Fleet},
};

/// Descriptors besides one for each agent, here and in the server.
const SPARE: u64 = 500;
const PATIENCE: Duration = Duration::from_mins(5);
/// Agents that only say that they are there, and how long they are watched.
const AGENTS: usize = 5000;
const WATCHED: Duration = Duration::from_mins(1);
/// Agents that come back at once, and how often.
const RETURNING: usize = 1000;
const RETURNS: usize = 3;
/// Agents, pods and failures of pods, one after the other.
const FEW: usize = 100;
const PODS: usize = 1000;
const FAILURES: usize = 2000;
/// How many of them while the release of the pods is watched.
const FAILURES_WATCHED: usize = 500;
/// Between two heartbeats, as agents do it.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// `evenkeel server` on a data directory of its own.
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("evenkeel-bench-").tempdir().unwrap();
        fs::copy(crate::cluster::binary(), dir.path().join("evenkeel")).unwrap();
        // Free now; whoever takes it before the server does makes this bench fail, not lie.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = serve(&dir, address);
        let server = Self { dir, child, address };
        server.until_ready();
        server
    }

    /// `kill -9`, and once more on the same data.
    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = serve(&self.dir, self.address);
    }

    fn until_ready(&self) {
        let end = Instant::now() + PATIENCE;
        while !self.verb(&["token", "list"]).output().is_ok_and(|o| o.status.success()) {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the server does not answer; it said:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("evenkeel"));
        command.args(args).arg("--data-dir").arg(self.data()).env_remove("KUBECONFIG").stdin(Stdio::null());
        command
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A folder that goes with it.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub fn token(&self) -> String {
        run(&mut self.verb(&["token", "create"]))
    }

    pub fn for_agents(&self) -> (ServerAddress, Token) {
        (self.address.to_string().parse().unwrap(), self.token().parse().unwrap())
    }

    pub fn api(&self) -> Api {
        Api::new(&self.data().join("admin.kubeconfig"), self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &tempfile::TempDir, address: SocketAddr) -> Child {
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let address = address.to_string();
    Command::new(dir.path().join("evenkeel"))
        .args(["server", "--listen", &address, "--advertise", &address, "--log-format", "text", "--data-dir"])
        .arg(dir.path().join("data"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("evenkeel server")
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A figure of the server's own metrics.
async fn metric(api: &Api, name: &str) -> Option<f64> {
    let text = api.send(Method::GET, "/metrics", &Value::Null).await.ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

pub async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_sessions(api: &Api, count: usize) {
    until("every session is open", async || metric(api, "evenkeel_agent_sessions ").await == Some(count as f64)).await;
}

/// A number of agents, smaller where somebody only tries the bench.
fn agents(usual: usize) -> usize {
    std::env::var("EVENKEEL_AGENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Whether this process and the server may have so many descriptors; says what is needed if not.
pub fn descriptors(needed: u64) -> bool {
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

pub fn heartbeats() {
    if !descriptors(agents(AGENTS) as u64 + SPARE) {
        return;
    }
    let (server, count) = (Server::start(), agents(AGENTS));
    runtime().block_on(async {
        let (address, token) = server.for_agents();
        let start = Instant::now();
        let fleet = Fleet::start(count, server.dir(), &address, &token, SimRegistry::new()).await;
        let api = server.api();
        until_sessions(&api, count).await;
        println!("  {count} agents joined in {:.1} s", start.elapsed().as_secs_f64());
        // Past the events of the joins, and the first heartbeats of all.
        tokio::time::sleep(WATCHED).await;
        let pid = server.pid();
        let (cpu, written, files) = (idle::cpu_seconds(pid), idle::written(pid), idle::database(&server.data()));
        tokio::time::sleep(WATCHED).await;
        let cpu = (idle::cpu_seconds(pid) - cpu) / WATCHED.as_secs_f64() * 100.0;
        bounded("heartbeats each 10 s, of a core over 60 s", "%", Better::Lower, 5.0, &Samples::one(cpu));
        alone("written to disk by the server in 60 s", "bytes", &Samples::one(idle::written_since(pid, written)));
        let same = idle::database(&server.data()) == files;
        println!("  database files in 60 s: {}", if same { "unchanged: met" } else { "CHANGED: MISSED" });
        alone("the server's resident memory", "MB", &Samples::one(status_kib(pid, "VmRSS") * 1024.0 / 1e6));
        alone("the same a session", "KiB", &Samples::one(status_kib(pid, "RssAnon") / count as f64));
        fleet.stop().await;
    });
}

pub fn reconnect() {
    let (mut server, count) = (Server::start(), agents(RETURNING));
    runtime().block_on(async {
        let (address, token) = server.for_agents();
        let fleet = Fleet::start(count, server.dir(), &address, &token, SimRegistry::new()).await;
        let api = server.api();
        until_sessions(&api, count).await;
        let (mut back, mut asked) = (Samples::default(), Samples::default());
        for _ in 0..RETURNS {
            server.restart();
            let start = Instant::now();
            until("the server answers", async || api.get("/api/v1/nodes/n0").await.is_ok()).await;
            let first = start.elapsed();
            let all = async {
                until_sessions(&api, count).await;
                start.elapsed()
            };
            let asking = async {
                loop {
                    let at = Instant::now();
                    api.get("/api/v1/nodes/n0").await.unwrap();
                    asked.0.push(at.elapsed().as_secs_f64() * 1000.0);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let all = tokio::select! { all = all => all, () = asking => unreachable!("it asks on") };
            println!("  answers after {:.2} s, all back after {:.2} s", first.as_secs_f64(), all.as_secs_f64());
            back.0.push(all.as_secs_f64());
        }
        alone("from the new server's start to the last session", "s", &back);
        println!(
            "  a request meanwhile, on a connection of its own: median {:.1} ms, p99 {:.1} ms, most {:.1} ms of {}",
            asked.median(),
            asked.at(0.99),
            asked.at(1.0),
            asked.0.len()
        );
        fleet.stop().await;
    });
}

/// Tells an agent that a pod of it has failed.
struct Fail(PodReport);

/// A pod came to an agent, and how to make it fail.
struct Came {
    uid: Uid,
    at: Instant,
    order: PodReport,
    agent: mpsc::Sender<Fail>,
}

pub fn replacement() {
    let server = Server::start();
    runtime().block_on(async {
        let (address, token) = server.for_agents();
        let (came, mut coming) = mpsc::channel(PODS * 2);
        for (identity, store) in nodes::all_joined(FEW, server.dir(), &address, &token).await {
            tokio::spawn(agent(identity, store, address.clone(), came.clone()));
        }
        let api = server.api();
        until_sessions(&api, FEW).await;
        let manifests = server.dir().join("manifests");
        fs::create_dir(&manifests).unwrap();
        // JSON is YAML.
        fs::write(manifests.join("bench.yaml"), deployment(PODS).to_string()).unwrap();
        let source = json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "bench"},
            "spec": {"directory": manifests}});
        api.send(Method::POST, "/apis/evenkeel.dev/v1alpha1/sources", &source).await.unwrap();
        let mut pods = Vec::new();
        while pods.len() < PODS {
            pods.push(coming.recv().await.unwrap());
        }
        until("all are ready", async || {
            let read = api.get("/apis/apps/v1/namespaces/default/deployments/bench").await.unwrap();
            read["status"]["readyReplicas"].as_u64() == Some(PODS as u64)
        })
        .await;
        println!("  failures of {PODS} pods on {FEW} agents, one after the other");
        let watched = failures(FAILURES_WATCHED, &mut pods, &mut coming).await;
        println!("  while the release is watched, {FAILURES_WATCHED} failures:");
        alone("from the report to the replacement's assignment, median", "ms", &Samples::one(watched.median()));
        alone("the same, p99", "ms", &Samples::one(watched.at(0.99)));
        until("the release is the last good one", async || {
            let source = api.get("/apis/evenkeel.dev/v1alpha1/sources/bench").await.unwrap();
            source["status"]["lastGoodRevision"].is_string()
        })
        .await;
        let took = failures(FAILURES, &mut pods, &mut coming).await;
        println!("  later, {FAILURES} failures:");
        alone("from the report to the replacement's assignment, median", "ms", &Samples::one(took.median()));
        bounded("the same, p99", "ms", Better::Lower, 20.0, &Samples::one(took.at(0.99)));
    });
}

/// Has pods fail one after the other; milliseconds until the replacement of each is assigned.
async fn failures(count: usize, pods: &mut Vec<Came>, coming: &mut mpsc::Receiver<Came>) -> Samples {
    let mut took = Samples::default();
    for n in 0..count {
        let pod = pods.swap_remove((n * 7919) % pods.len());
        let status = json!({"phase": "Failed", "reason": "Evicted", "message": "the figure wants it so"});
        let failed = PodReport { status: canonical::value_bytes(&status).into(), ..pod.order };
        let told = Instant::now();
        pod.agent.send(Fail(failed)).await.unwrap();
        let next = tokio::time::timeout(PATIENCE, coming.recv()).await.expect("a replacement").unwrap();
        assert_ne!(next.uid, pod.uid);
        took.0.push((next.at - told).as_secs_f64() * 1000.0);
        pods.push(next);
    }
    took
}

fn deployment(replicas: usize) -> Value {
    let labels = json!({"app": "bench"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "shop"}]}},
        },
    })
}

/// An agent that has every pod ready at once, by the messages alone.
async fn agent(identity: Identity, store: IdentityStore, server: ServerAddress, came: mpsc::Sender<Came>) {
    let (node, about) = (identity.node.clone(), nodes::report(&identity));
    let mut dialer = nodes::dialer(&server, identity, store);
    let mut end = dialer.dial().await.unwrap();
    let hello = Hello {
        node: node.as_str().into(),
        session: 1,
        epoch: 0,
        report: about,
        pods: Vec::new(),
        sources: Vec::new(),
    };
    end.send.send(ToServer::Hello(Box::new(hello))).await.unwrap();
    let (fails, mut failing) = mpsc::channel(1);
    let mut beat = interval(HEARTBEAT);
    let (mut seq, mut known) = (0, BTreeSet::new());
    loop {
        let report = tokio::select! {
            message = end.recv.recv() => match message {
                Some(ToAgent::Assign(assignment)) => {
                    let at = Instant::now();
                    let mut report = Report::default();
                    for order in take(&assignment, &mut known, &mut report) {
                        let came_now = Came { uid: order.uid, at, order, agent: fails.clone() };
                        if came.send(came_now).await.is_err() {
                            return;
                        }
                    }
                    report
                }
                Some(ToAgent::RollCall { at }) => Report { answers: Some(at), ..Report::default() },
                Some(_) => continue,
                None => return,
            },
            Some(Fail(pod)) = failing.recv() => Report { pods: vec![pod], ..Report::default() },
            _ = beat.tick() => Report::default(),
        };
        seq += u64::from(!report.is_heartbeat());
        let message = ToServer::Report { stamp: Stamp { session: 1, seq }, report: Box::new(report) };
        if end.send.send(message).await.is_err() {
            return;
        }
    }
}

/// What an agent says to an assignment: new pods run, pods that shall go are gone. Gives the new ones.
fn take(assignment: &Arc<Assignment>, known: &mut BTreeSet<Uid>, report: &mut Report) -> Vec<PodReport> {
    let mut new = Vec::new();
    for order in &assignment.pods {
        let said = PodReport {
            uid: order.uid,
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            status: running_status("192.0.2.9", "app", 1),
            gone: order.deletion.is_some(),
            image_ids: [("app".to_owned(), "sha256:1".to_owned())].into(),
            logs: std::collections::BTreeMap::new(),
        };
        if order.deletion.is_some() {
            known.remove(&order.uid);
            report.pods.push(said);
        } else if known.insert(order.uid) {
            report.pods.push(said.clone());
            new.push(said);
        }
    }
    new
}
