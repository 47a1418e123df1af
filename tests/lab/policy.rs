//! NetworkPolicies over two nodes: peers of other nodes are known, and what was said holds without the
//! server and over an agent's death.

use std::path::Path;

use evenkeel_lab::{App, At, Cluster, Lab, eventually, output, run};
use serde_json::{Value, json};

use crate::common::{cluster_with, web};

const CLIENTS: u64 = 2;

/// Whether one of the lab's machines gets an answer of a pod.
fn reaches(cluster: &Cluster, at: At, pod: &str) -> bool {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop");
    let mut command = cluster.lab.command(at, program.to_str().unwrap());
    output(command.args(["get", &format!("{pod}:8080")])).status.success()
}

/// Name and address of the pods of an application, by their node.
fn pods(cluster: &Cluster, app: &str) -> Vec<(String, String)> {
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = cluster
        .pods("default", &format!("app={app}"))
        .iter()
        .map(|p| (word(&p["spec"]["nodeName"]), word(&p["metadata"]["name"]), word(&p["status"]["podIP"])))
        .collect();
    all.sort();
    all.into_iter().map(|(_, name, ip)| (name, ip)).collect()
}

#[test]
fn policies_hold_between_nodes_and_without_the_server() {
    let clients = |name| {
        let container = r#""command": ["/shop", "hang"]"#;
        App { name, replicas: 2, container, ..App::default() }.yaml()
    };
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": 8080}]}]}});
    let files = [
        ("web.json", &*web(2, "1.0")),
        ("friend.json", &*clients("friend")),
        ("stranger.json", &*clients("stranger")),
        ("policy.json", &*policy.to_string()),
    ];
    let mut cluster = cluster_with(Lab::new(2), &files, 2, &[]);
    for name in ["friend", "stranger"] {
        cluster.wait_ready("default", name, CLIENTS);
    }
    let web = pods(&cluster, "web");
    let get = |cluster: &Cluster, from: &str, to: &str| {
        cluster.kubectl_try(&["exec", from, "--", "/shop", "get", &format!("{to}:8080")])
    };
    for (_, address) in &web {
        for (friend, _) in pods(&cluster, "friend") {
            eventually("a friend is let in", || get(&cluster, &friend, address).ok());
        }
        for (stranger, _) in pods(&cluster, "stranger") {
            let answer = get(&cluster, &stranger, address);
            assert!(answer.is_err(), "{stranger} has reached {address}");
        }
    }
    // A node reaches its own pods, and no other's.
    let holds = |cluster: &Cluster, when: &str| {
        for (number, other) in [(1, 2), (2, 1)] {
            assert!(reaches(cluster, At::Node(number), &web[number - 1].1), "{when}: node {number} to its own pod");
            assert!(!reaches(cluster, At::Node(number), &web[other - 1].1), "{when}: node {number} to another's pod");
        }
    };
    holds(&cluster, "at first");
    cluster.server_kill();
    cluster.agent_kill(2);
    holds(&cluster, "without server and agent");
    cluster.agent_start(2);
    // The table is made anew by an agent that has nobody to ask.
    run(cluster.lab.command(At::Node(2), "nft").args(["flush", "ruleset"]));
    eventually("its agent enforces it again", || (!reaches(&cluster, At::Node(1), &web[1].1)).then_some(()));
    holds(&cluster, "with an agent that started alone");
    cluster.server_start();
    cluster.audit();
}
