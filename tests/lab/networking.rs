//! The cluster's network over several nodes: everybody reaches everybody by every way, an update and a
//! drain lose no request, and all of it goes on without the server.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evenkeel_lab::{App, At, Cluster, Lab, eventually, holds_for, output};
use serde_json::{Value, json};

use crate::common::{cluster_with, web};

/// Where pods listen.
const PORT: u16 = 8080;
/// The port of the Service of type LoadBalancer.
const BALANCED: u16 = 8088;

fn service(name: &str, more: Value) -> String {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": PORT}]});
    let Value::Object(fields) = more else { panic!("{more} is no mapping") };
    for (field, value) in fields {
        spec[&field] = value;
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}).to_string()
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

fn get(cluster: &Cluster, at: At, address: &str) -> Result<String, String> {
    let got = output(shop(cluster, at).args(["get", address]));
    let (said, wrong) = (String::from_utf8_lossy(&got.stdout), String::from_utf8_lossy(&got.stderr));
    if got.status.success() { Ok(said.into_owned()) } else { Err(wrong.into_owned()) }
}

fn get_in(cluster: &Cluster, pod: &str, address: &str) -> Result<String, String> {
    cluster.kubectl_try(&["exec", pod, "--", "/shop", "get", address])
}

/// Asks 200 times a second until it is told to end.
fn load(cluster: &Cluster, at: At, address: &str) -> Child {
    let mut command = shop(cluster, at);
    command.args(["load", address, "200", "600", "listen"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a load says at its end, which this is.
fn said(mut load: Child) -> String {
    drop(load.stdin.take());
    String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap()
}

fn none_failed(load: Child, what: &str) {
    let said = said(load);
    assert!(said.contains(" 0 failed"), "{what}: {said}");
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
        "ports": [{"port": BALANCED, "targetPort": PORT}]});
    let (plain, balanced, node, headless) = (
        service("web", json!({})),
        service("web-balanced", balanced),
        service("web-node", json!({"type": "NodePort"})),
        service("web-each", json!({"clusterIP": "None"})),
    );
    let files = [
        ("web.json", &*web(3, "1.0")),
        ("client.json", &*clients(3)),
        ("plain.json", &*plain),
        ("balanced.json", &*balanced),
        ("node.json", &*node),
        ("headless.json", &*headless),
    ];
    let cluster = cluster_with(Lab::new(3), &files, 3, flags);
    cluster.wait_ready("default", "client", 3);
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

    let mut wrong = Vec::new();
    let mut check = |from: &str, to: &str, got: Result<String, String>| {
        if !got.as_ref().is_ok_and(|page| page.contains("from shop 1.0")) {
            wrong.push(format!("{from} to {to}: {got:?}"));
        }
    };
    for (pod, node, _) in &clients {
        // The first question may come before this node's agent has heard the last word.
        eventually("names are known", || get_in(&cluster, pod, "web:80").ok());
        let names = ["web:80", "web-each.default.svc.cluster.local:8080", "web-node.default:80"].map(String::from);
        for to in at_pods.iter().chain(&at_nodes).chain([&address]).chain(&names) {
            check(&format!("a pod of {node}"), to, get_in(&cluster, pod, to));
        }
    }
    for number in 1..=3 {
        for to in at_pods.iter().chain(&at_nodes).chain([&address]) {
            check(&format!("node-{number}"), to, get(&cluster, At::Node(number), to));
        }
    }
    for to in &at_nodes {
        check("outside", to, get(&cluster, At::Server, to));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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

    // Two updates and a drain.
    let balanced = balanced(&cluster, 3).remove(1);
    let loads = [
        ("ClusterIP", load(&cluster, At::Node(1), &address)),
        ("NodePort", load(&cluster, At::Server, &at_node)),
        ("LoadBalancer", load(&cluster, At::Server, &balanced)),
    ];
    for (tag, message) in [("1.1", "second"), ("1.0", "third")] {
        cluster.repo.write("web.json", &web(6, tag));
        let commit = cluster.repo.commit(message);
        cluster.wait_phase(&commit, "Healthy");
    }
    cluster.evenkeel(&["node", "drain", "node-3", "--timeout", "2m"]);
    assert!(pods(&cluster, "web").iter().all(|(_, node, _)| node != "node-3"));
    for (what, load) in loads {
        none_failed(load, what);
    }
    cluster.evenkeel(&["node", "uncordon", "node-3"]);

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
    let load = load(&cluster, At::Node(1), &address);
    let begun = Instant::now();
    cluster.lab.power_off(At::Node(2));
    eventually("the node is Unknown", || (cluster.ready(2)? == "Unknown").then_some(()));
    let known = begun.elapsed();
    let left = balanced(&cluster, 2);
    assert!(!left.contains(&format!("{}:{BALANCED}", cluster.lab.address(At::Node(2)))), "{left:?}");
    // As long as a request may wait and then some: whether failures really end.
    holds_for(Duration::from_secs(8), || Ok(()));
    let said = said(load);
    let last = said.lines().filter_map(|l| l.strip_prefix("the last after ")?.split(' ').next()?.parse::<f64>().ok());
    // A request that began before has its two seconds for the connection.
    let bound = known + Duration::from_secs(4);
    assert!(last.clone().all(|at| at < bound.as_secs_f64()), "known after {known:?}: {said}");
    cluster.audit();
}
