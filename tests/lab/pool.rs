//! An address of a pool: one node answers for it, and another one soon after that node is gone.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use evenkeel_lab::{At, Cluster, Lab, eventually, output, run};
use rustix::net::{self, AddressFamily, RecvFlags, SocketFlags, SocketType, eth};
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

/// Hardware addresses of all who say, at a place in the lab, that they have an address: in answer to questions,
/// or by themselves. For longer than the announcements' distance of 10 s.
fn who_says_so(cluster: &Cluster, at: At, address: Ipv4Addr) -> BTreeSet<[u8; 6]> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = cluster.lab.within_network(at, || {
        net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(eth::ARP)).unwrap()
    });
    let (mut all, end) = (BTreeSet::new(), Instant::now() + Duration::from_secs(12));
    let mut asks = Instant::now();
    while Instant::now() < end {
        if asks <= Instant::now() {
            // What it has learned it does not ask for again.
            run(cluster.lab.command(at, "ip").args(["neigh", "flush", "to", &address.to_string()]));
            // Whoever answers: who says so is what counts here.
            let _ = get(cluster, at, &format!("{address}:80"));
            asks = Instant::now() + Duration::from_secs(1);
        }
        let mut frame = [0; 128];
        match net::recv(&socket, &mut frame, RecvFlags::empty()) {
            Ok((n, _)) if n >= 42 && frame[28..32] == address.octets() => {
                all.insert(<[u8; 6]>::try_from(&frame[22..28]).unwrap());
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    all
}

/// One node alone has the address, and all who ask are answered.
fn one_has_it(cluster: &Cluster, from: usize, address: &str, when: &str) {
    let all = who_says_so(cluster, At::Node(from), address.parse().unwrap());
    assert_eq!(all.len(), 1, "{when}: {all:02x?}");
    get(cluster, At::Node(from), &format!("{address}:80")).unwrap_or_else(|e| panic!("{when}: {e}"));
}

/// Waits until another node than `before` is said to have the address, and it answers there; gives it, and a
/// third one.
fn moved(cluster: &Cluster, before: usize, address: &str) -> (usize, usize) {
    let now = eventually("another one has the address", || announcer(cluster).filter(|n| *n != before));
    let third = (1..=3).find(|n| ![before, now].contains(n)).unwrap();
    eventually("it answers there", || get(cluster, At::Node(third), &format!("{address}:80")).ok());
    (now, third)
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
    let mut cluster = cluster_with(lab, &files, 3, &["--node-grace", "30s", "--default-toleration", "2m"]);
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

    // The server alone does not hear of the node. Another one gets the address; the first hears that and
    // lets go of it while it is still cut off, and does not take it again.
    cluster.lab.cut_between(At::Server, At::Node(first));
    let (second, third) = moved(&cluster, first, &address);
    // The second says so some moments after the server has chosen it, and until then the first answers.
    eventually("the first lets go while it is cut off from the server alone", || {
        (who_says_so(&cluster, At::Node(third), address.parse().unwrap()).len() == 1).then_some(())
    });
    one_has_it(&cluster, third, &address, "the first is cut off from the server alone");
    cluster.lab.heal();
    cluster.wait_nodes();
    one_has_it(&cluster, third, &address, "the first is back");
    assert_eq!(announcer(&cluster), Some(second), "it does not move back");

    // Nobody hears of the node: it gives up by itself, so that after the cut there are no two of them.
    cluster.lab.silent_cut(At::Node(second));
    let (first, third) = moved(&cluster, second, &address);
    cluster.lab.heal();
    one_has_it(&cluster, third, &address, "the cut has healed");
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
    assert_ne!(announcer(&cluster), Some(first));
    cluster.audit();
}
