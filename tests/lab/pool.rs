//! An address of a pool: one node answers for it, and another one soon after that node is gone.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use evenkeel_lab::{At, Cluster, Lab, eventually, output};
use serde_json::{Value, json};

use crate::common::{cluster_with, web};

fn get(cluster: &Cluster, at: At, address: &str) -> Result<String, String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop");
    let mut command: Command = cluster.lab.command(at, program.to_str().unwrap());
    let got = output(command.args(["get", address]));
    let (said, wrong) = (String::from_utf8_lossy(&got.stdout), String::from_utf8_lossy(&got.stderr));
    if got.status.success() { Ok(said.into_owned()) } else { Err(wrong.into_owned()) }
}

fn announcer(cluster: &Cluster) -> Option<usize> {
    let object = cluster.json(&["service", "web"])?;
    let node = object["metadata"]["annotations"]["evenkeel.dev/announced-by"].as_str()?.to_owned();
    node.strip_prefix("node-")?.parse().ok()
}

#[test]
fn an_address_of_a_pool_is_answered_for_and_moves_when_its_node_dies() {
    let lab = Lab::new(3);
    let node = lab.address(At::Node(1)).to_string();
    let network = node.rsplit_once('.').unwrap().0;
    let address = format!("{network}.200");
    let pool = json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "lan"},
        "spec": {"addresses": [format!("{address}-{network}.201")]}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let (pool, service) = (pool.to_string(), service.to_string());
    let files = [("web.json", &*web(3, "1.0")), ("pool.json", &*pool), ("service.json", &*service)];
    let mut cluster = cluster_with(lab, &files, 3, &["--node-grace", "15s", "--default-toleration", "60s"]);
    eventually("it has the address", || {
        let object = cluster.json(&["service", "web"])?;
        (object.pointer("/status/loadBalancer/ingress/0/ip").and_then(Value::as_str) == Some(&*address)).then_some(())
    });
    let to = format!("{address}:80");
    for at in [At::Server, At::Node(1), At::Node(2), At::Node(3)] {
        let page = eventually("it answers", || get(&cluster, at, &to).ok());
        assert!(page.contains("from shop 1.0"), "{page}");
    }
    let table = cluster.kubectl(&["get", "addresspools"]);
    assert!(table.lines().any(|l| l.starts_with("lan ") && l.contains(" 2 ") && l.contains(" 1 ")), "{table}");

    // Its agent alone ends, and comes back before anybody missed it.
    let first = announcer(&cluster).unwrap();
    cluster.agent_kill(first);
    cluster.agent_start(first);
    eventually("it answers again", || get(&cluster, At::Server, &to).ok());
    assert_eq!(announcer(&cluster), Some(first));

    // Without the server it is answered for on and on, also to who asks anew.
    cluster.server_kill();
    let end = Instant::now() + Duration::from_secs(25);
    while Instant::now() < end {
        assert!(get(&cluster, At::Server, &to).is_ok(), "while the server is away");
        std::thread::sleep(Duration::from_secs(1));
    }
    cluster.server_start();
    cluster.wait_nodes();
    assert_eq!(announcer(&cluster), Some(first));

    cluster.lab.power_off(At::Node(first));
    let begun = Instant::now();
    eventually("the node is Unknown", || (cluster.ready(first)? == "Unknown").then_some(()));
    let known = begun.elapsed();
    eventually("another one answers for it", || get(&cluster, At::Server, &to).ok());
    let moved = begun.elapsed();
    println!("the node was Unknown after {known:?}, the address answered after {moved:?}");
    assert!(moved < known + Duration::from_secs(5), "known after {known:?}, moved after {moved:?}");
    let second = announcer(&cluster).unwrap();
    assert_ne!(second, first);
    cluster.audit();
}
