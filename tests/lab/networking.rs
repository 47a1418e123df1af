//! The cluster's network over several nodes: everybody reaches everybody by every way, an update and a
//! drain lose no request, and all of it goes on without the server.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evenkeel_lab::{App, At, Cluster, Lab, eventually, holds_for, output};
use serde_json::{Value, json};

use crate::common::{cluster_with, long, web};

/// Where pods listen.
const PORT: u16 = 8080;
/// The port of the Service of type LoadBalancer.
const BALANCED: u16 = 8088;
/// The port of the one that remembers its clients.
const STICKY: u16 = 8089;

fn service(name: &str, more: Value) -> String {
    let mut spec = json!({"selector": {"app": "web"}, "ports": both(80)});
    let Value::Object(fields) = more else { panic!("{more} is no mapping") };
    for (field, value) in fields {
        spec[&field] = value;
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// A port for TCP and UDP.
fn both(port: u16) -> Value {
    json!([{"name": "tcp", "port": port, "targetPort": PORT},
        {"name": "udp", "port": port, "targetPort": PORT, "protocol": "UDP"}])
}

/// All requests to the nodes' Ingresses lead to `web`.
fn ingress() -> String {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"defaultBackend": backend}})
    .to_string()
}

/// Pods to ask from, one on each node.
fn clients(count: u32) -> String {
    App { name: "client", replicas: count, container: r#""command": ["/shop", "hang"]"#, ..App::default() }.yaml()
}

/// The example's program, on one of the lab's machines.
fn shop(cluster: &Cluster, at: At) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop");
    cluster.lab.command(at, program.to_str().unwrap())
}

/// Asks by a word of the shop: `get` by HTTP, `ask` by a datagram.
fn asked(cluster: &Cluster, at: At, word: &str, address: &str) -> Result<String, String> {
    let got = output(shop(cluster, at).args([word, address]));
    let (said, wrong) = (String::from_utf8_lossy(&got.stdout), String::from_utf8_lossy(&got.stderr));
    if got.status.success() { Ok(said.into_owned()) } else { Err(wrong.into_owned()) }
}

fn get(cluster: &Cluster, at: At, address: &str) -> Result<String, String> {
    asked(cluster, at, "get", address)
}

fn asked_in(cluster: &Cluster, pod: &str, word: &str, address: &str) -> Result<String, String> {
    cluster.kubectl_try(&["exec", pod, "--", "/shop", word, address])
}

fn get_in(cluster: &Cluster, pod: &str, address: &str) -> Result<String, String> {
    asked_in(cluster, pod, "get", address)
}

/// Requests a second of each load.
const RATE: usize = 200;
/// Requests through all four ways together while updates roll; in the long variant through each of them, and
/// as many while nodes are drained.
const REQUESTS: usize = 20_000;

/// Asks 200 times a second until it is told to end.
fn load(cluster: &Cluster, at: At, address: &str) -> Child {
    asking(cluster, at, &["load", address, &RATE.to_string(), "600", "listen"])
}

/// Asks so often, 200 times a second, and ends.
fn load_of(cluster: &Cluster, at: At, address: &str, requests: usize) -> Child {
    asking(cluster, at, &["load", address, &RATE.to_string(), &(requests / RATE).to_string()])
}

fn asking(cluster: &Cluster, at: At, args: &[&str]) -> Child {
    shop(cluster, at).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Does something again and again until all loads have ended, and `least` times.
fn while_they_ask(loads: &mut [(&str, Child)], least: usize, mut act: impl FnMut(usize)) {
    for round in 0.. {
        if round >= least && loads.iter_mut().all(|(_, load)| load.try_wait().unwrap().is_some()) {
            return;
        }
        act(round);
    }
}

/// What a load says at its end, which this is.
fn said(mut load: Child) -> String {
    drop(load.stdin.take());
    String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap()
}

/// None of a load's requests failed; gives how many there were.
fn none_failed(load: Child, what: &str) -> usize {
    let said = said(load);
    assert!(said.contains(" 0 failed"), "{what}: {said}");
    said.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{what}: no number in {said}"))
}

fn first_line(page: &str) -> String {
    page.lines().next().unwrap_or_default().to_owned()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Name, node and address of each pod of an application.
fn pods(cluster: &Cluster, app: &str) -> Vec<(String, String, String)> {
    let pods = cluster.pods("default", &format!("app={app}"));
    let mut all: Vec<_> = pods
        .iter()
        .map(|p| (word(&p["metadata"]["name"]), word(&p["spec"]["nodeName"]), word(&p["status"]["podIP"])))
        .collect();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all
}

fn field(cluster: &Cluster, service: &str, field: &str) -> String {
    let object = cluster.json(&["service", service]).unwrap();
    let value = object.pointer(field).unwrap_or(&Value::Null);
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// Three nodes, each with a pod of `web` and one to ask from, and Services of several sorts.
fn three(flags: &[&str]) -> Cluster {
    let balanced = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
        "ports": both(BALANCED)});
    let sticky = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "sessionAffinity": "ClientIP",
        "ports": both(STICKY)});
    let (plain, balanced, node, headless, sticky, way) = (
        service("web", json!({})),
        service("web-balanced", balanced),
        service("web-node", json!({"type": "NodePort"})),
        service("web-each", json!({"clusterIP": "None"})),
        service("web-sticky", sticky),
        ingress(),
    );
    let files = [
        ("web.json", &*web(3, "1.0")),
        ("client.json", &*clients(3)),
        ("plain.json", &*plain),
        ("balanced.json", &*balanced),
        ("node.json", &*node),
        ("headless.json", &*headless),
        ("sticky.json", &*sticky),
        ("ingress.json", &*way),
    ];
    let cluster = cluster_with(Lab::new(3), &files, 3, flags);
    cluster.wait_ready("default", "client", 3);
    eventually("all nodes serve the Ingress", || {
        let object = cluster.json(&["ingress", "web"])?;
        (object.pointer("/status/loadBalancer/ingress")?.as_array()?.len() == 3).then_some(())
    });
    cluster
}

/// Where the LoadBalancer is reached, once it is at so many nodes.
fn balanced(cluster: &Cluster, nodes: usize) -> Vec<String> {
    eventually("the LoadBalancer has its addresses", || {
        let object = cluster.json(&["service", "web-balanced"])?;
        let all = object.pointer("/status/loadBalancer/ingress")?.as_array()?.clone();
        (all.len() == nodes).then(|| all.iter().map(|i| format!("{}:{BALANCED}", word(&i["ip"]))).collect())
    })
}

/// Where a node serves Ingresses.
fn at_ingress(cluster: &Cluster, node: usize) -> String {
    format!("{}:80", cluster.lab.address(At::Node(node)))
}

fn everybody_reaches_everybody(flags: &[&str]) {
    let cluster = three(flags);
    let (web, clients) = (pods(&cluster, "web"), pods(&cluster, "client"));
    let nodes: Vec<&str> = web.iter().map(|(_, node, _)| node.as_str()).collect();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"], "one on each");
    let address = format!("{}:80", field(&cluster, "web", "/spec/clusterIP"));
    let port = field(&cluster, "web-node", "/spec/ports/0/nodePort");
    let at_pods: Vec<String> = web.iter().map(|(_, _, ip)| format!("{ip}:{PORT}")).collect();
    let at_nodes: Vec<String> = (1..=3).map(|n| format!("{}:{port}", cluster.lab.address(At::Node(n)))).collect();

    let at_nodes: Vec<String> = at_nodes.into_iter().chain(balanced(&cluster, 3)).collect();
    let ingresses: Vec<String> = (1..=3).map(|n| at_ingress(&cluster, n)).collect();

    let mut wrong = Vec::new();
    let mut check = |from: &str, to: &str, got: Result<String, String>| {
        if !got.as_ref().is_ok_and(|page| page.contains("from shop 1.0")) {
            wrong.push(format!("{from} to {to}: {got:?}"));
        }
    };
    // Several times, so that each backend has its turn.
    let services: Vec<&String> = at_nodes.iter().chain([&address]).collect();
    let often: Vec<&String> = at_pods.iter().chain([&services; 3].into_iter().flatten().copied()).collect();
    for (pod, node, _) in &clients {
        // The first question may come before this node's agent has heard the last word.
        eventually("names are known", || get_in(&cluster, pod, "web:80").ok());
        let names = ["web:80", "web-each.default.svc.cluster.local:8080", "web-node.default:80"].map(String::from);
        for to in at_pods.iter().chain(&at_nodes).chain([&address]).chain(&names).chain(&ingresses) {
            check(&format!("a pod of {node}"), to, get_in(&cluster, pod, to));
        }
        for to in &often {
            check(&format!("a pod of {node} by UDP"), to, asked_in(&cluster, pod, "ask", to));
        }
        check("a pod by UDP", "a name", asked_in(&cluster, pod, "ask", "web:80"));
    }
    for number in 1..=3 {
        for to in at_pods.iter().chain(&at_nodes).chain([&address]).chain(&ingresses) {
            check(&format!("node-{number}"), to, get(&cluster, At::Node(number), to));
        }
        for to in &often {
            check(&format!("node-{number} by UDP"), to, asked(&cluster, At::Node(number), "ask", to));
        }
    }
    for to in at_nodes.iter().chain(&ingresses) {
        check("outside", to, get(&cluster, At::Server, to));
    }
    for to in [&at_nodes; 3].into_iter().flatten() {
        check("outside by UDP", to, asked(&cluster, At::Server, "ask", to));
    }
    // A backend to itself, by its Service's address: one in three is its own.
    for (pod, node, _) in web.iter().flat_map(|w| [w; 6]) {
        for word in ["get", "ask"] {
            check(&format!("web on {node} by {word}"), &address, asked_in(&cluster, pod, word, &address));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Who is remembered meets one backend, whichever way it comes and whatever it speaks.
    let sticky = format!("{}:{STICKY}", cluster.lab.address(At::Node(2)));
    for word in ["get", "ask"] {
        let met: BTreeSet<String> =
            (0..8).map(|_| first_line(&asked(&cluster, At::Server, word, &sticky).unwrap())).collect();
        assert_eq!(met.len(), 1, "by {word}: {met:?}");
    }
    let met: BTreeSet<String> =
        (0..24).map(|_| first_line(&get(&cluster, At::Server, &at_nodes[0]).unwrap())).collect();
    assert!(met.len() > 1, "without it: {met:?}");
    // Pods see each other's own addresses, and a headless name has all of them.
    let slices = cluster.items(&["endpointslices"]);
    let of = |name: &str| slices.iter().find(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == name);
    let mut ready: Vec<String> =
        of("web-each").unwrap()["endpoints"].as_array().unwrap().iter().map(|e| word(&e["addresses"][0])).collect();
    let mut all: Vec<String> = web.iter().map(|(_, _, ip)| ip.clone()).collect();
    ready.sort();
    all.sort();
    assert_eq!(ready, all);
    cluster.audit();
}

#[test]
fn everybody_reaches_everybody_by_routes() {
    everybody_reaches_everybody(&["--network", "routes"]);
}

#[test]
fn everybody_reaches_everybody_by_vxlan() {
    everybody_reaches_everybody(&["--network", "vxlan"]);
}

#[test]
fn updates_drains_and_an_absent_server_lose_no_request() {
    let mut cluster = three(&["--node-grace", "15s", "--default-toleration", "5s", "--eviction-interval", "1s"]);
    let address = format!("{}:80", field(&cluster, "web", "/spec/clusterIP"));
    let port = field(&cluster, "web-node", "/spec/ports/0/nodePort");
    let at_node = format!("{}:{port}", cluster.lab.address(At::Node(2)));

    // Updates, one after the other, for as long as clients ask.
    let balanced = balanced(&cluster, 3).remove(1);
    let ingress = at_ingress(&cluster, 1);
    let ways = [
        ("ClusterIP", At::Node(1), &address),
        ("NodePort", At::Server, &at_node),
        ("LoadBalancer", At::Server, &balanced),
        ("Ingress", At::Server, &ingress),
    ];
    let each = if long() { REQUESTS } else { REQUESTS / ways.len() };
    let mut loads = ways.map(|(way, from, to)| (way, load_of(&cluster, from, to, each)));
    while_they_ask(&mut loads, 2, |round| {
        cluster.repo.write("web.json", &web(6, ["1.1", "1.0"][round % 2]));
        let commit = cluster.repo.commit(&format!("update {round}"));
        cluster.wait_phase(&commit, "Healthy");
    });
    let asked: Vec<usize> = loads.into_iter().map(|(way, load)| none_failed(load, way)).collect();
    assert!(asked.iter().sum::<usize>() >= REQUESTS && asked.iter().all(|n| *n >= each), "{asked:?}");

    // Drains: of node-3, and in the long variant of two in turn. A node that is drained goes on serving.
    let drained = at_ingress(&cluster, 3);
    let ways = ways.into_iter().chain([("Ingress of the drained node", At::Server, &drained)]);
    let begun = |way: (&'static str, At, &String)| {
        let (what, from, to) = way;
        (what, if long() { load_of(&cluster, from, to, each) } else { load(&cluster, from, to) })
    };
    let mut loads: Vec<(&str, Child)> = ways.map(begun).collect();
    let drain = |round: usize| {
        let node = ["node-3", "node-2"][round % 2];
        cluster.evenkeel(&["node", "drain", node, "--timeout", "2m"]);
        assert!(pods(&cluster, "web").iter().all(|(_, on, _)| on != node));
        cluster.evenkeel(&["node", "uncordon", node]);
    };
    if long() {
        while_they_ask(&mut loads, 2, drain);
    } else {
        drain(0);
    }
    for (what, load) in loads {
        let asked = none_failed(load, what);
        assert!(asked >= if long() { each } else { 1 }, "{what}: {asked}");
    }

    // Without the server, and over an agent's death: all goes on, and a container that comes back has
    // its pod's address.
    let before = pods(&cluster, "web");
    let client = pods(&cluster, "client").into_iter().find(|(_, node, _)| node == "node-1").unwrap().0;
    let loads =
        [("ClusterIP", load(&cluster, At::Node(1), &address)), ("NodePort", load(&cluster, At::Server, &at_node))];
    cluster.server_kill();
    cluster.agent_kill(2);
    cluster.agent_start(2);
    let victim = cluster.lab.engine(1).running("client-").remove(0);
    cluster.lab.engine(1).kill_container(&victim.id);
    eventually("its agent starts it again", || {
        cluster.lab.engine(1).running("client-").into_iter().find(|c| c.id != victim.id || c.started != victim.started)
    });
    for (what, load) in loads {
        none_failed(load, &format!("{what}, without the server"));
    }
    cluster.server_start();
    eventually("names are answered", || get_in(&cluster, &client, "web:80").ok());
    assert_eq!(pods(&cluster, "web"), before);

    cluster.audit();
}

#[test]
fn a_node_without_power_is_asked_no_more_once_that_is_known() {
    let mut cluster = three(&["--node-grace", "15s", "--default-toleration", "60s"]);
    let address = format!("{}:80", field(&cluster, "web", "/spec/clusterIP"));
    let through = load(&cluster, At::Server, &at_ingress(&cluster, 1));
    let load = load(&cluster, At::Node(1), &address);
    let begun = Instant::now();
    cluster.lab.power_off(At::Node(2));
    eventually("the node is Unknown", || (cluster.ready(2)? == "Unknown").then_some(()));
    let known = begun.elapsed();
    let left = balanced(&cluster, 2);
    assert!(!left.contains(&format!("{}:{BALANCED}", cluster.lab.address(At::Node(2)))), "{left:?}");
    // As long as a request may wait and then some: whether failures really end.
    holds_for(Duration::from_secs(8), || Ok(()));
    // The Ingress passes over who does not answer: what fails has begun before it knew, or before the power
    // was off, and has waited its two seconds.
    let through = said(through);
    let last = last_failure(&through);
    assert!(last.is_none_or(|at| at < 5.0), "through the Ingress: {through}");
    println!("through the Ingress: {through}");
    let said = said(load);
    let last = last_failure(&said);
    // A request that began before has its two seconds for the connection.
    let bound = known + Duration::from_secs(4);
    assert!(last.is_none_or(|at| at < bound.as_secs_f64()), "known after {known:?}: {said}");
    cluster.audit();
}

/// When the last failure was, in seconds after a load's begin.
fn last_failure(said: &str) -> Option<f64> {
    said.lines().find_map(|l| l.strip_prefix("the last after ")?.split(' ').next()?.parse().ok())
}
