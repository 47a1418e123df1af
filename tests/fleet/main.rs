//! Two hundred nodes with real sessions: TLS on real sockets, a real server on a real disk. Their
//! engines alone are simulated. The server stops and starts again, and they all come back.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod api;
mod log;
mod nodes;
mod server;
mod starved;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use api::Api;
use evenkeel_agent::sim::{Program, SimRegistry};
use evenkeel_model::Time;
use evenkeel_server::pki::NewToken;
use hyper::Method;
use log::Log;
use nodes::Fleet;
use serde_json::{Value, json};
use server::Server;
use starved::Starved;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const NODES: usize = 200;
const PODS: usize = 2 * NODES;
const IMAGE: &str = "shop.example/shop:1.0";
/// For anything that is waited for, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long the server is away: long enough for every agent to have tried in vain.
const AWAY: Duration = Duration::from_millis(1500);
/// What a request may take meanwhile, the time not counted that this process was given no processor.
const REQUEST: Duration = Duration::from_secs(2);
/// Sessions that may begin in a tenth of a second: a quarter of all. Without chance it would be all.
const WINDOW: (Duration, usize) = (Duration::from_millis(100), NODES / 4);

const SOURCES: &str = "/apis/evenkeel.dev/v1alpha1/sources";
const POD_LIST: &str = "/api/v1/namespaces/default/pods";

/// Each story takes the machine for itself: one of them measures.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_agents_come_back_smoothly_after_the_servers_restart() {
    let _alone = ALONE.lock().await;
    let log = Log::listen();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("server");
    let server = Server::start(&data, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let (address, api) = (server.address, Api::new(&data.join("admin.kubeconfig"), server.address));
    let (token, text) = server.pki.create_token(NewToken::default(), now()).unwrap();
    let mut registry = SimRegistry::new();
    registry.push(IMAGE, Program::good());
    let fleet =
        Fleet::start(NODES, dir.path(), &address.to_string().parse().unwrap(), &text.parse().unwrap(), registry).await;
    let joined = server.pki.tokens().into_iter().find(|t| t.id == token.id).unwrap().used;
    assert_eq!(joined as usize, NODES);
    until("every node is ready", async || ready(&list(&api, "/api/v1/nodes").await) == NODES).await;

    let manifests = dir.path().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    write(&manifests, PODS);
    let source = json!({
        "apiVersion": "evenkeel.dev/v1alpha1",
        "kind": "Source",
        "metadata": {"name": "shop"},
        "spec": {"directory": manifests},
    });
    api.send(Method::POST, SOURCES, &source).await.unwrap();
    until("every pod is ready", async || ready(&list(&api, POD_LIST).await) == PODS).await;
    let before = Pods::of(&list(&api, POD_LIST).await);
    assert_eq!(before.nodes.len(), NODES, "each node has its share");
    let containers = containers(&fleet);

    server.stop().await;
    sleep(AWAY).await;
    let back = Instant::now();
    let server = Server::start(&data, address).await;
    let stop = CancellationToken::new();
    let client = tokio::spawn(ask_on(api.clone(), stop.clone()));
    until("every session is back", async || log.connected(back).len() == NODES).await;
    until("every node is ready", async || ready(&list(&api, "/api/v1/nodes").await) == NODES).await;
    stop.cancel();
    let slowest = client.await.unwrap();
    let (most, spread) = log.burst(back, WINDOW.0);
    println!(
        "back after {:?}, over {spread:?}, at most {most} in {:?}; slowest request {slowest:?}",
        back.elapsed(),
        WINDOW.0
    );
    assert!(most <= WINDOW.1, "{most} sessions began within {:?}", WINDOW.0);
    assert!(slowest <= REQUEST, "a request took {slowest:?}");

    // What the server would still order comes before this.
    write(&manifests, PODS + 1);
    until("one more pod is ready", async || ready(&list(&api, POD_LIST).await) == PODS + 1).await;
    let mut after = Pods::of(&list(&api, POD_LIST).await);
    after.pods.retain(|uid, _| before.pods.contains_key(uid));
    assert_eq!(after.pods, before.pods, "no pod was moved, started again or told to go");
    untouched(&fleet, &containers);
    assert_eq!(log.warnings(), Vec::<String>::new(), "nothing was refused");
    fleet.stop().await;
    server.stop().await;
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_millis()).unwrap())
}

/// Writes the Deployment.
fn write(manifests: &Path, replicas: usize) {
    let labels = json!({"app": "shop"});
    let shop = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": IMAGE, "resources": {"requests": {"cpu": "1300m"}}}]},
            },
        },
    });
    // JSON is YAML.
    std::fs::write(manifests.join("shop.yaml"), shop.to_string()).unwrap();
}

async fn list(api: &Api, path: &str) -> Vec<Value> {
    let mut list = api.get(path).await.unwrap();
    match list["items"].take() {
        Value::Array(items) => items,
        other => panic!("{path}: {other}"),
    }
}

fn ready(all: &[Value]) -> usize {
    let is = |o: &Value| {
        let conditions = o["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    };
    all.iter().filter(|o| is(o)).count()
}

/// What must stay of pods.
struct Pods {
    /// Node, deletion, container ids and restarts by uid.
    pods: BTreeMap<String, (String, Value, Value)>,
    nodes: BTreeSet<String>,
}

impl Pods {
    fn of(all: &[Value]) -> Self {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let one = |p: &Value| {
            let (node, meta) = (text(&p["spec"]["nodeName"]), &p["metadata"]);
            (text(&meta["uid"]), (node, meta["deletionTimestamp"].clone(), p["status"]["containerStatuses"].clone()))
        };
        let pods: BTreeMap<_, _> = all.iter().map(one).collect();
        let nodes = pods.values().map(|(node, ..)| node.clone()).collect();
        Self { pods, nodes }
    }
}

/// The containers of each node.
fn containers(fleet: &Fleet) -> Vec<BTreeSet<String>> {
    let of = |node: &evenkeel_agent::sim::SharedNode| {
        let mut node = node.lock().unwrap();
        node.runtime.take_stops();
        node.runtime.containers().map(|c| format!("{:?} {:?}", c.info.id, c.info.state)).collect()
    };
    fleet.nodes.iter().map(of).collect()
}

/// No agent ended or began anything but the pod that came last.
fn untouched(fleet: &Fleet, before: &[BTreeSet<String>]) {
    for node in &fleet.nodes {
        let mut node = node.lock().unwrap();
        assert_eq!(node.runtime.take_stops(), [], "{} ended a container", node.name());
        assert_eq!(node.runtime.violations, Vec::<String>::new());
    }
    let (after, mut new) = (containers(fleet), 0);
    for (after, before) in after.iter().zip(before) {
        assert!(before.is_subset(after), "a container was started again");
        new += after.len() - before.len();
    }
    assert_eq!(new, 2, "the last pod's sandbox and container");
}

/// Asks as fast as answers come, a read and a write in turn, until `stop`; gives the longest wait.
async fn ask_on(api: Api, stop: CancellationToken) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut turn = 0_u64;
    while !stop.is_cancelled() {
        let (begun, starved) = (Instant::now(), Starved::now());
        if turn.is_multiple_of(2) {
            assert_eq!(list(&api, POD_LIST).await.len(), PODS);
        } else {
            let label = json!({"metadata": {"labels": {"example.dev/turn": turn.to_string()}}});
            api.send(Method::PATCH, "/api/v1/nodes/n0", &label).await.unwrap();
        }
        slowest = slowest.max(begun.elapsed().saturating_sub(starved.since()));
        turn += 1;
        sleep(Duration::from_millis(20)).await;
    }
    slowest
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
