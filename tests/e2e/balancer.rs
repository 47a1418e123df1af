//! A Service of type LoadBalancer on one node: it is reached at the node's address, a port that another
//! one has stays that one's, and all of it is told.

use std::{net::TcpListener, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output};

/// A port of the machine that nobody has; it stays nobody's unless chance wills it otherwise.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn service(name: &str, port: u16, more: &Value) -> String {
    let mut spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
        "selector": {"app": "web"}, "ports": [{"port": port, "targetPort": 8080}]});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// The addresses in a Service's status.
fn addresses(cluster: &Cluster, name: &str) -> Vec<String> {
    let object = cluster.json(&["service", name]).unwrap();
    let all = object["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    all.iter().map(|i| i["ip"].as_str().unwrap().to_owned()).collect()
}

/// What its condition says of it.
fn told(cluster: &Cluster, name: &str) -> String {
    let object = cluster.json(&["service", name]).unwrap();
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let told = all.iter().find(|c| c["type"] == "evenkeel.dev/LoadBalancer");
    told.map(|c| format!("{}: {}", c["reason"].as_str().unwrap(), c["message"].as_str().unwrap())).unwrap_or_default()
}

fn get(address: &str) -> Result<String, String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop");
    let got = output(Command::new(program).args(["get", address]));
    let (said, wrong) = (String::from_utf8_lossy(&got.stdout), String::from_utf8_lossy(&got.stderr));
    if got.status.success() { Ok(said.into_owned()) } else { Err(wrong.into_owned()) }
}

#[test]
fn a_balancer_is_reached_at_the_nodes_address_and_takes_nobodys_port() {
    let (port, other) = (free_port(), free_port());
    let program = TcpListener::bind(("0.0.0.0", other)).unwrap();
    let web = App { replicas: 2, ..App::default() }.yaml();
    let (first, busy) = (service("first", port, &json!({})), service("busy", other, &json!({})));
    let files = [("web.json", &*web), ("first.json", &*first), ("busy.json", &*busy)];
    let mut cluster = Cluster::start(&files);
    cluster.wait_ready("default", "web", 2);
    let nodes = cluster.items(&["nodes"]);
    let all = nodes[0]["status"]["addresses"].as_array().unwrap();
    let node = all.iter().find(|a| a["type"] == "InternalIP").unwrap()["address"].as_str().unwrap().to_owned();
    eventually("it has the node's address", || (addresses(&cluster, "first") == [node.as_str()]).then_some(()));
    let page = eventually("it answers there", || get(&format!("{node}:{port}")).ok());
    assert!(page.contains("from shop 1.0"), "{page}");
    let table = cluster.kubectl(&["get", "service", "first"]);
    let row = table.lines().nth(1).unwrap_or_default();
    assert!(row.contains(&node) && row.contains(&format!("{port}/TCP")), "{table}");
    let object = cluster.json(&["service", "first"]).unwrap();
    assert_eq!(object["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP", "{object:#}");
    assert!(object["spec"]["ports"][0]["nodePort"].is_null(), "{object:#}");

    // A program of the machine has the port: it keeps it until it ends.
    let who = format!("(process {})", std::process::id());
    eventually("it is told who has the port", || told(&cluster, "busy").contains(&who).then_some(()));
    assert_eq!(addresses(&cluster, "busy"), Vec::<String>::new());
    let why = cluster.evenkeel(&["why", "service/busy"]);
    assert!(why.contains("load balancer: ") && why.contains(&who), "{why}");
    let events = cluster.kubectl(&["get", "events", "--field-selector", "involvedObject.name=busy"]);
    assert!(events.contains("PortInUse") && events.contains(&who), "{events}");
    drop(program);
    eventually("the port is its once it is free", || (addresses(&cluster, "busy") == [node.as_str()]).then_some(()));
    assert!(get(&format!("{node}:{other}")).unwrap().contains("from shop"));

    // Another Service wants the port of the first.
    cluster.repo.write("second.json", &service("a-second", port, &json!({})));
    let commit = cluster.repo.commit("a second one");
    cluster.wait_phase(&commit, "Healthy");
    eventually("the second is told", || told(&cluster, "a-second").contains("default/first").then_some(()));
    assert_eq!(addresses(&cluster, "a-second"), Vec::<String>::new());

    // Over a restart all stays as it was.
    cluster.kill();
    assert!(get(&format!("{node}:{port}")).is_ok(), "while nobody is there");
    cluster.up();
    eventually("it has the node's address", || (addresses(&cluster, "first") == [node.as_str()]).then_some(()));
    assert!(get(&format!("{node}:{port}")).is_ok());
    assert!(told(&cluster, "a-second").starts_with("PortTaken"), "{}", told(&cluster, "a-second"));

    // Only those may connect who are named.
    let elsewhere = json!({"loadBalancerSourceRanges": ["203.0.113.0/24"]});
    cluster.repo.write("first.json", &service("first", port, &elsewhere));
    cluster.repo.commit("for some");
    eventually("others are kept out", || get(&format!("{node}:{port}")).err());
    let named = json!({"loadBalancerSourceRanges": ["203.0.113.0/24", format!("{node}/32")]});
    cluster.repo.write("first.json", &service("first", port, &named));
    cluster.repo.commit("for itself, too");
    eventually("who is named is let in", || get(&format!("{node}:{port}")).ok());

    // Another type gives the port back, to whoever waits for it.
    let plain = json!({"type": "ClusterIP", "allocateLoadBalancerNodePorts": null});
    cluster.repo.write("first.json", &service("first", port, &plain));
    cluster.repo.commit("inside alone");
    eventually("the second has it", || (addresses(&cluster, "a-second") == [node.as_str()]).then_some(()));
    assert_eq!((addresses(&cluster, "first"), told(&cluster, "first")), (Vec::new(), String::new()));
    cluster.kubectl(&["get", "service", "a-second"]);
    cluster.audit();
}
