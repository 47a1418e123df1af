//! Faults of a node's network: what others take away is there again within seconds and on record; what the
//! agent cannot put right is named, with what to do, until it is over.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel_lab::{App, At, Cluster, Lab, eventually, run, within};
use serde_json::{Value, json};

use crate::common::{cluster_with, web};

/// How long what others take away may be gone: the kernel tells of it, and a busy machine needs a while.
const SECONDS: Duration = Duration::from_secs(10);

/// The pod of an application on node-1: its name, and its address.
fn on_node_1(cluster: &Cluster, app: &str) -> (String, String) {
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let pods = cluster.pods("default", &format!("app={app}"));
    let pod = pods.iter().find(|p| p["spec"]["nodeName"] == "node-1").unwrap_or_else(|| panic!("no {app} on node-1"));
    (word(&pod["metadata"]["name"]), word(&pod["status"]["podIP"]))
}

fn ip(cluster: &Cluster, words: &str) -> String {
    run(cluster.lab.command(At::Node(1), "ip").args(words.split(' ')))
}

/// A drift of node-1 that says this.
fn on_record(cluster: &Cluster, part: &str) {
    eventually(&format!("a drift with \"{part}\""), || {
        let drifts = cluster.items(&["drifts"]);
        let found = drifts.iter().find(|d| d["spec"].to_string().contains(part))?;
        (found["status"]["resolution"] == "Healed" && found["spec"].to_string().contains("node-1")).then_some(())
    });
}

/// What node-1's condition says; `None` where its network is well.
fn degraded(cluster: &Cluster) -> Option<String> {
    let node = cluster.json(&["node", "node-1"])?;
    let all = node["status"]["conditions"].as_array()?.clone();
    let found = all.into_iter().find(|c| c["type"] == "NetworkDegraded" && c["status"] == "True")?;
    Some(format!("{}: {}", found["reason"].as_str()?, found["message"].as_str()?))
}

fn named(cluster: &Cluster, parts: [&str; 2]) {
    let what = format!("the node says {parts:?}");
    eventually(&what, || degraded(cluster).filter(|said| parts.iter().all(|part| said.contains(part))));
    let events = cluster.items(&["events", "-A"]);
    let told = |e: &&Value| e["involvedObject"]["name"] == "node-1" && e["message"].to_string().contains(parts[1]);
    assert!(events.iter().any(|e| told(&e)), "no event says {}: {events:#?}", parts[1]);
    eventually("a check shows it", || {
        let said = cluster.evenkeel_output(&["net", "check"]).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().any(|l| l.starts_with("DEGRADED: node-1: ") && l.contains(parts[1])).then_some(())
    });
}

/// Begins so many connections at a node that its kernel has no room for more: packets to as many addresses.
fn fill_connections(cluster: &Cluster) {
    let most = run(cluster.lab.command(At::Node(1), "cat").arg("/proc/sys/net/netfilter/nf_conntrack_max"));
    let most: u32 = most.trim().parse().unwrap();
    cluster.lab.within_network(At::Node(1), || {
        let heard = UdpSocket::bind("0.0.0.0:9").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..most {
            // One that is not sent is one less.
            let _ = socket.send_to(b"x", (Ipv4Addr::from(0x7f01_0000 + n), 9));
        }
        drop(heard);
    });
}

/// A resolver at node-2 that knows no name, as long as it is held.
struct Resolver(Arc<AtomicBool>);

impl Resolver {
    fn start(cluster: &Cluster) -> Self {
        let at = SocketAddr::from((cluster.lab.address(At::Node(2)), 53));
        let socket = cluster.lab.within_network(At::Node(2), || UdpSocket::bind(at).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stop.load(Ordering::SeqCst) {
                if let Ok((n, from)) = socket.recv_from(&mut buffer) {
                    // The question again, as an answer: there is no such name.
                    (buffer[2], buffer[3]) = (0x81, 0x83);
                    let _ = socket.send_to(&buffer[..n], from);
                }
            }
        });
        Self(over)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Lets a node's resolver be at node-2, where nobody listens.
fn resolver_at_node_2(cluster: &Cluster) {
    let mut file = tempfile::NamedTempFile::new_in(cluster.lab.node(1).dir()).unwrap();
    writeln!(file, "nameserver {}", cluster.lab.address(At::Node(2))).unwrap();
    let (_, path) = file.keep().unwrap();
    run(cluster.lab.command(At::Node(1), "mount").arg("--bind").arg(path).arg("/etc/resolv.conf"));
}

#[test]
fn what_others_do_to_a_nodes_network_is_healed_or_named() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let client =
        App { name: "client", replicas: 2, container: r#""command": ["/shop", "hang"]"#, ..App::default() }.yaml();
    let files = [("web.json", &*web(2, "1.0")), ("client.json", &*client), ("service.json", &*service.to_string())];
    let cluster = cluster_with(Lab::new(2), &files, 2, &["--network", "vxlan"]);
    cluster.wait_ready("default", "client", 2);
    let (client, own) = on_node_1(&cluster, "client");
    let all = cluster.pods("default", "app=web");
    let far = all.iter().find(|p| p["spec"]["nodeName"] == "node-2").unwrap();
    let far = format!("{}:8080", far["status"]["podIP"].as_str().unwrap());
    let get = |to: &str| cluster.kubectl_try(&["exec", &client, "--", "/shop", "get", to]);
    eventually("all is well", || get(&far).ok());
    assert_eq!(degraded(&cluster), None);

    // Taken away: the VXLAN device, the route to the other node, the pod's link.
    let links = ip(&cluster, "-o link show");
    let link = |part: &str| {
        let line = links.lines().find(|l| l.contains(part)).unwrap_or_else(|| panic!("no {part}: {links}"));
        line.split([':', '@']).nth(1).unwrap().trim().to_owned()
    };
    let tunnel = link("evenkeel: pods of other nodes");
    ip(&cluster, &format!("link del {tunnel}"));
    within(SECONDS, "the way to the other node is back", || get(&far).ok());
    on_record(&cluster, "VXLAN device");
    let routes = ip(&cluster, "route show proto 69");
    let route = routes.lines().find(|l| l.contains(&tunnel)).unwrap().split(' ').next().unwrap();
    ip(&cluster, &format!("route del {route}"));
    within(SECONDS, "the route is back", || get(&far).ok());
    on_record(&cluster, &format!("pods of other nodes at {route} was gone"));
    ip(&cluster, &format!("link del {}", link(&format!("evenkeel: default/{client}"))));
    within(SECONDS, "the pod's link is back", || get(&far).ok());
    on_record(&cluster, &format!("the link of pod default/{client} was gone"));
    // Nothing was but healed: nobody started anew, nothing is left to say.
    assert_eq!(on_node_1(&cluster, "client"), (client.clone(), own.clone()));
    assert_eq!(degraded(&cluster), None);

    // Somebody gives the machine a pod's address, and a Service's: named until it is over.
    let address = cluster.json(&["service", "web"]).unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    ip(&cluster, &format!("address add {own}/32 dev lo"));
    ip(&cluster, &format!("address add {address}/32 dev eth0"));
    named(&cluster, ["AddressTaken", &format!("{own} is an address of pod default/{client}")]);
    named(&cluster, ["the link eth0", &format!("{address} is an address of the Service default/web")]);
    ip(&cluster, &format!("address del {own}/32 dev lo"));
    ip(&cluster, &format!("address del {address}/32 dev eth0"));
    eventually("it is over", || degraded(&cluster).is_none().then_some(()));
    within(SECONDS, "the pod is there as before", || get(&far).ok());

    // The node's resolver is away: told, at once for who asks, and the cluster's names are answered.
    resolver_at_node_2(&cluster);
    eventually("the resolver is missed", || {
        get("outside.example.:80").unwrap_err();
        degraded(&cluster).filter(|said| said.contains("ResolversSilent"))
    });
    named(&cluster, ["none of the node's resolvers answers", &format!("{}:53", cluster.lab.address(At::Node(2)))]);
    let begun = Instant::now();
    get("outside.example.:80").unwrap_err();
    get("web:80").expect("the cluster's own names");
    assert!(begun.elapsed() < Duration::from_secs(4), "both took {:?}", begun.elapsed());
    let resolver = Resolver::start(&cluster);
    eventually("the resolver is found again", || degraded(&cluster).is_none().then_some(()));
    drop(resolver);

    // No room for new connections.
    eventually("the table is full", || {
        fill_connections(&cluster);
        degraded(&cluster).filter(|said| said.contains("ConnectionTableFull"))
    });
    named(&cluster, ["ConnectionTableFull", "sysctl -w net.netfilter.nf_conntrack_max="]);
    cluster.audit();
}
