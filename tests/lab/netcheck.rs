//! A check of the network between nodes: all well is said so, a leg that is cut is named with where to look,
//! and a node that is away is told. What others take away of the network is there again.

use evenkeel_lab::{At, Cluster, Lab, eventually, run};
use serde_json::Value;

use crate::common::{cluster_with, web};

/// What a check says, and whether it ended well.
fn check(cluster: &Cluster, args: &[&str]) -> (Value, bool) {
    let done = cluster.evenkeel_output(&[&["net", "check", "-o", "json"], args].concat());
    let said = String::from_utf8_lossy(&done.stdout);
    let report = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said} {done:?}"));
    (report, done.status.success())
}

fn all_well(cluster: &Cluster) {
    eventually("all is well", || {
        let (report, ok) = check(cluster, &[]);
        let checked = report["nodes"].as_array()?.iter().filter(|n| n["state"] == "Checked").count();
        (ok && report["ok"] == true && checked == 3).then_some(())
    });
}

fn broken(report: &Value) -> Vec<String> {
    let all = report["broken"].as_array().unwrap();
    all.iter().map(|b| b["message"].as_str().unwrap().to_owned()).collect()
}

fn three(mode: &str) -> Cluster {
    cluster_with(Lab::new(3), &[("web.json", &*web(1, "1.0"))], 1, &["--network", mode, "--node-grace", "15s"])
}

/// Rules by which a node loses packets.
fn drop_at(cluster: &Cluster, at: usize, what: &str) {
    for rule in [
        "add table ip cut".to_owned(),
        "add chain ip cut in { type filter hook prerouting priority -300 ; }".to_owned(),
        format!("add rule ip cut in {what} drop"),
    ] {
        run(cluster.lab.command(At::Node(at), "nft").arg(rule));
    }
}

/// The leg from node-2 to pods of node-3 is said to be broken, with these parts.
fn node_3_is_named(report: &Value, parts: [&str; 2]) {
    let said = broken(report);
    let leg = said.iter().find(|m| m.starts_with("node-2 cannot reach pods of node-3 at "));
    let leg = leg.unwrap_or_else(|| panic!("no such leg: {report:#}"));
    for part in parts {
        assert!(leg.contains(part), "{leg}");
    }
}

#[test]
fn a_leg_of_vxlan_that_is_cut_is_named() {
    let mut cluster = three("vxlan");
    all_well(&cluster);
    let log = cluster.server().said();
    assert!(!log.contains("connection was refused"), "a check is no attack: {log}");

    // A firewall at node-3 that drops VXLAN of node-2: packets are lost on the way there, and answers to what
    // node-3 asks.
    let from = cluster.lab.address(At::Node(2));
    drop_at(&cluster, 3, &format!("ip saddr {from} udp dport 4789"));
    let (report, ok) = check(&cluster, &[]);
    let said = broken(&report);
    assert!(!ok && report["ok"] == false, "{report:#}");
    let way = " over vxlan: timed out after 2 s; ";
    node_3_is_named(&report, [way, "the nodes' own addresses answer: look at UDP 4789"]);
    assert!(said.iter().all(|m| m.contains("node-2") && m.contains("node-3")), "{said:#?}");
    // Of one that has nothing to do with it.
    assert!(check(&cluster, &["--node", "node-1"]).1);
    run(cluster.lab.command(At::Node(3), "nft").arg("delete table ip cut"));
    all_well(&cluster);

    // The line itself.
    cluster.lab.cut_between(At::Node(1), At::Node(2));
    let (report, ok) = check(&cluster, &["--node", "node-1"]);
    let said = broken(&report);
    assert!(!ok && said.len() == 2, "{said:#?}");
    assert!(said.iter().all(|m| m.contains("does not answer either")), "{said:#?}");
    cluster.lab.heal();
    all_well(&cluster);

    // A node that is not there is told, and nobody is held up by it.
    cluster.agent_kill(3);
    eventually("it is not ready", || (cluster.ready(3)? != "True").then_some(()));
    let (report, ok) = check(&cluster, &[]);
    assert!(ok, "{report:#}");
    let away = report["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "node-3").unwrap();
    assert!(away["state"] == "NotReady" && away["message"].as_str().unwrap().contains("not ready"), "{away}");
    assert!(!check(&cluster, &["--node", "node-3"]).1, "it was what was asked for");
    cluster.agent_start(3);
    all_well(&cluster);
    cluster.audit();
}

#[test]
fn a_leg_of_routes_that_is_cut_is_named() {
    let cluster = three("routes");
    all_well(&cluster);
    // A switch or a cloud that lets nodes' own addresses pass alone.
    drop_at(&cluster, 3, "iifname eth0 ip saddr 10.42.0.0/16");
    let (report, ok) = check(&cluster, &["--node", "node-3"]);
    assert!(!ok, "{report:#}");
    node_3_is_named(&report, [" by routes: timed out after 2 s; ", "look for what drops forwarded packets"]);
    run(cluster.lab.command(At::Node(3), "nft").arg("delete table ip cut"));
    all_well(&cluster);
    cluster.audit();
}
