//! Certificates from an ACME directory on several nodes: whichever node it asks, it finds the answer; every
//! node serves the certificate; and a server that is killed and started again and again asks no more often.

#[path = "../e2e/acme/directory.rs"]
mod directory;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use evenkeel_lab::{At, Cluster, Lab, eventually, holds_for, output};
use serde_json::{Value, json};

use self::directory::{Directory, SLOW};
use crate::common::{cluster_with, web};

const HOST: &str = "shop.example";
const ANSWERS: &str = "evenkeel.dev/acme-answers";
const TRIES: &str = "evenkeel.dev/acme-tries";
/// The first wait after an order that failed.
const WAIT: Duration = Duration::from_mins(1);

fn ingress(name: &str, host: &str, secret: &str) -> String {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "annotations": {"evenkeel.dev/acme": "true"}},
        "spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
            "tls": [{"hosts": [host], "secretName": secret}]}})
    .to_string()
}

fn annotation(cluster: &Cluster, ingress: &str, name: &str) -> Option<String> {
    cluster.json(&["ingress", ingress])?["metadata"]["annotations"][name].as_str().map(String::from)
}

/// What a node answers over TLS to who trusts the directory's authority alone.
fn page(cluster: &Cluster, directory: &Directory, node: usize) -> Option<String> {
    let at = format!("{HOST}:443:{}", cluster.lab.address(At::Node(node)));
    let mut curl = cluster.lab.command(At::Server, "curl");
    curl.args(["-fsS", "--max-time", "5", "--cacert", directory.ca.to_str().unwrap(), "--resolve", &at]);
    let got = output(curl.arg(format!("https://{HOST}/healthz")));
    got.status.success().then(|| String::from_utf8_lossy(&got.stdout).into_owned())
}

#[test]
fn every_node_answers_a_directory_and_a_server_that_dies_asks_no_more_often() {
    let lab = Lab::new(3);
    let nodes: Vec<SocketAddr> = (1..=3).map(|n| (lab.address(At::Node(n)), 80).into()).collect();
    let dir = tempfile::tempdir().unwrap();
    // It listens beside the server and looks at all three nodes.
    let directory = lab.within_network(At::Server, || Directory::start(dir.path(), nodes, Duration::from_hours(24)));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    .to_string();
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let plain = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "plain"},
        "spec": {"defaultBackend": backend}})
    .to_string();
    let files = [("web.json", &*web(3, "1.0")), ("service.json", &*service), ("plain.json", &*plain)];
    let ca = directory.ca.to_str().unwrap().to_owned();
    let flags = ["--acme-directory", &directory.url, "--acme-email", "someone@shop.example", "--acme-ca", &ca];
    let mut cluster = cluster_with(lab, &files, 3, &flags);
    eventually("all nodes serve Ingresses", || {
        let object = cluster.json(&["ingress", "plain"])?;
        (object.pointer("/status/loadBalancer/ingress")?.as_array()?.len() == 3).then_some(())
    });
    // An agent hangs as the order begins: the directory is not let look before it has the answer, too.
    cluster.agent(2).pause();
    cluster.repo.write("shop.json", &ingress("shop", HOST, "shop-tls"));
    cluster.repo.commit("a page with a certificate");
    eventually("an order is under way", || annotation(&cluster, "shop", ANSWERS));
    holds_for(Duration::from_secs(5), || match directory.looks(HOST) {
        0 => Ok(()),
        _ => Err("the directory looked at a node that does not have its answer".into()),
    });
    cluster.agent(2).resume();
    for node in 1..=3 {
        eventually(&format!("node {node} serves it"), || page(&cluster, &directory, node));
    }
    assert_eq!((directory.issued(), annotation(&cluster, "shop", TRIES)), (1, None));
    assert_eq!((directory.orders(HOST), directory.looks(HOST)), (1, 1));

    // Who is gone is not waited for without end, and the log says who it was. Then the server dies, while the
    // order is under way, and again when it is back.
    let begun = Instant::now();
    cluster.agent_kill(3);
    cluster.repo.write("slow.json", &ingress("slow", SLOW, "slow-tls"));
    cluster.repo.commit("a host that nobody looks at");
    eventually("an order is under way", || annotation(&cluster, "slow", ANSWERS));
    let gone = format!("{} has no session", cluster.lab.node(3).name());
    eventually("the directory is let look all the same", || {
        let said = cluster.server().said();
        said.lines().any(|l| l.contains("although not all nodes") && l.contains(&gone)).then_some(())
    });
    eventually("the directory looks", || (directory.looks(SLOW) == 1).then_some(()));
    cluster.agent_start(3);
    for _ in 0..3 {
        cluster.server_kill();
        cluster.server_start();
        eventually("the answers of the order are gone", || {
            let left = cluster.json(&["ingress", "slow"])?["metadata"]["annotations"][ANSWERS].clone();
            left.is_null().then_some(())
        });
    }
    // What else is wanted is had meanwhile.
    cluster.repo.write("more.json", &ingress("more", "more.example", "more-tls"));
    cluster.repo.commit("another host");
    eventually("the other host has its certificate", || {
        cluster.json(&["secret", "more-tls"])?["data"]["tls.crt"].as_str().map(drop)
    });
    let tries: Value = serde_json::from_str(&annotation(&cluster, "slow", TRIES).unwrap()).unwrap();
    let (counted, asked) = (tries["slow-tls"]["count"].as_u64().unwrap(), directory.orders(SLOW) as u64);
    assert_eq!(counted, asked, "each order was counted: {tries}");
    assert!(asked <= 1 + begun.elapsed().as_secs() / WAIT.as_secs(), "{asked} orders after {:?}", begun.elapsed());
    assert_eq!(directory.contacts().len(), 1, "one account over all starts");
    cluster.audit();
    // In its own network, where it wakes its listener.
    cluster.lab.within_network(At::Server, || drop(directory));
}
