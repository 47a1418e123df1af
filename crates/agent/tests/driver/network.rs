//! A pod on the node's own network, on this machine: it is reached at an address of the node's range,
//! keeps it over restarts of its container and of the agent, gets its link back, and leaves nothing.
//! Needs root.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::driver::{Choice, down};
use evenkeel_model::{
    ingress::IngressUpdate,
    net::{
        Cidr, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet, ServicePort,
    },
};
use evenkeel_wire::{Report, ToAgent, ToServer};
use serde_json::{Value, json};

use super::{Lab, docker, order, uid};

fn sh(script: &str) -> String {
    let out = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A range of a test alone, of those that are kept for trials of networks.
fn range(test: u32) -> Cidr {
    let number = (std::process::id() * 3 + test) % 200;
    Cidr::around(Ipv4Addr::new(198, 18, u8::try_from(number).unwrap(), 0), 24)
}

fn update(test: u32, session: u64, number: u64) -> NetworkUpdate {
    let node = NodeNet { name: "n1".into(), address: None, pod_cidr: Some(range(test)), zone: None };
    NetworkUpdate {
        session,
        number,
        full: true,
        settings: Some(NetworkSettings {
            cluster_cidr: range(test),
            service_cidr: Cidr::around(Ipv4Addr::new(198, 19, range(test).network().octets()[2], 0), 24),
            dns: Ipv4Addr::new(198, 19, range(test).network().octets()[2], 10).into(),
            domain: "cluster.local".into(),
            mode: NetworkMode::Auto,
        }),
        nodes: vec![node],
        ..NetworkUpdate::default()
    }
}

async fn tell(test: u32, lab: &mut Lab, number: u64) {
    let message = ToAgent::Network(Arc::new(update(test, lab.session, number)));
    // The agent says when its kernel follows.
    say(lab, message, |report| report.network == Some(number)).await;
}

/// The agent serves no Ingresses, and says so of each update, so that nobody waits for it.
async fn tell_ingresses(lab: &mut Lab, number: u64) {
    let (ingresses, gone_ingresses, certificates, gone_certificates) = Default::default();
    let update = IngressUpdate {
        session: lab.session,
        number,
        full: true,
        ingresses,
        gone_ingresses,
        certificates,
        gone_certificates,
    };
    say(lab, ToAgent::Ingresses(Arc::new(update)), |report| report.ingresses == Some(number)).await;
}

/// Says something to the agent, and waits for a report that answers it.
async fn say(lab: &mut Lab, message: ToAgent, answers: impl Fn(&Report) -> bool) {
    lab.server.as_ref().unwrap().send.send(message).await.unwrap();
    loop {
        if let ToServer::Report { report, .. } = lab.hear().await {
            let over = answers(&report);
            for pod in report.pods {
                lab.pods.insert(pod.uid, pod);
            }
            if over {
                return;
            }
        }
    }
}

fn ip(lab: &Lab, pod: evenkeel_model::Uid) -> Value {
    lab.status(pod)["podIP"].clone()
}

#[tokio::test]
async fn a_pod_has_an_address_of_the_nodes_range_and_keeps_it() {
    let mut lab = Lab::on(Choice::Own).await;
    lab.assign(vec![], true, vec![]).await;
    tell(0, &mut lab, 1).await;
    let pod = uid(40);
    let spec = json!({
        "containers": [{"name": "c", "image": super::IMAGE, "args": ["run"],
            "securityContext": {"runAsUser": 1000}}],
        "hostname": "web-0", "subdomain": "db", "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["a", "b"]}],
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]},
    });
    let wanted = order(pod, "web", spec, vec![]);
    lab.assign(vec![wanted.clone()], false, vec![]).await;
    lab.until("ready on the network", |l| l.ready(pod)).await;
    let address = ip(&lab, pod);
    assert_eq!(address, range(0).nth(2).unwrap().to_string());
    let id = lab.container(pod)["containerID"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let cat = |file: &str| sh(&format!("docker exec {id} /program cat {file}"));
    let hosts = cat("/etc/hosts");
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let own = format!("{} web-0.db.shop.svc.cluster.local web-0", address.as_str().unwrap());
    assert!(hosts.lines().any(|l| words(l) == words(&own)), "{hosts}");
    assert!(hosts.contains("localhost") && hosts.contains("192.0.2.7"), "{hosts}");
    let resolv = cat("/etc/resolv.conf");
    let octet = range(0).network().octets()[2];
    assert!(resolv.contains(&format!("nameserver 198.19.{octet}.10")), "{resolv}");
    assert!(resolv.contains("search shop.svc.cluster.local svc.cluster.local cluster.local"), "{resolv}");
    assert!(resolv.contains("ndots:5"), "{resolv}");
    assert_eq!(cat("/etc/hostname").trim(), "web-0");
    assert_eq!(cat("/proc/sys/net/ipv4/tcp_syncookies").trim(), "0");
    assert_eq!(cat("/proc/sys/net/ipv4/ip_unprivileged_port_start").trim(), "0");
    // Nobody listens there, and the pod says so itself.
    let to = SocketAddr::new(address.as_str().unwrap().parse().unwrap(), 9);
    let reached = || {
        let refused = TcpStream::connect_timeout(&to, Duration::from_secs(2)).map(drop).map_err(|e| e.kind());
        refused == Err(ErrorKind::ConnectionRefused)
    };
    assert!(reached());

    // Its container dies; the agent goes and comes; somebody takes its link away.
    sh(&format!("docker kill {id}"));
    lab.until("running again", |l| l.ready(pod) && l.container(pod)["restartCount"] == 1).await;
    assert_eq!(ip(&lab, pod), address);
    lab.stop().await;
    lab.begin().await;
    lab.assign(vec![wanted], true, vec![]).await;
    lab.until("adopted", |l| l.ready(pod)).await;
    assert_eq!(ip(&lab, pod), address);
    assert!(reached());
    let link = sh(&format!("ip route show {} | sed 's/.* dev \\([^ ]*\\) .*/\\1/'", address.as_str().unwrap()));
    assert!(link.starts_with("ek"), "{link}");
    sh(&format!("ip link del {link}"));
    let begun = std::time::Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the link is not back");
        // The agent runs on this thread, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // A pod on the machine's own network, and one that may not be.
    let (host, unsafe_one) = (uid(41), uid(42));
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "image": super::IMAGE, "args": ["run"]}]});
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]},
        "containers": [{"name": "c", "image": super::IMAGE, "args": ["run"]}]});
    lab.assign(vec![order(host, "host", spec, vec![]), order(unsafe_one, "bad", sysctl, vec![])], false, vec![]).await;
    lab.until("both told", |l| l.ready(host) && l.status(unsafe_one).to_string().contains("forbidden sysctl")).await;
    let id = lab.container(host)["containerID"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let network = sh(&format!("readlink /proc/$(docker inspect -f '{{{{.State.Pid}}}}' {id})/ns/net"));
    assert_eq!(network, sh("readlink /proc/self/ns/net"));

    lab.stop().await;
    down(Arc::new(docker()), &lab.cluster, &lab.dir.path().join("agent")).await.unwrap();
    assert_eq!(sh(&format!("ip route show proto 69 | grep 198.18.{octet}.")), "");
    assert_eq!(sh(&format!("ip addr show | grep -E '198.1[89].{octet}.'")), "");
    assert_eq!(sh(&format!("nft list ruleset 2>/dev/null | grep '{}'", range(0))), "");
}

/// A pipe where a file is written before it gets its place: who opens it to write waits for a reader.
struct Pipe(PathBuf);

impl Pipe {
    /// What the agent is just writing there is waited for.
    async fn new(of: &Path) -> Self {
        let path = evenkeel_files::beside(of);
        let begun = std::time::Instant::now();
        loop {
            let made = Command::new("mkfifo").arg(&path).output().unwrap();
            if made.status.success() {
                return Self(path);
            }
            let why = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(begun.elapsed() < Duration::from_secs(10), "no pipe at {}: {why}", path.display());
            // The agent runs on this thread, too.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets go of who waits, and of nobody later: gives what is written.
    async fn read(&self) -> Vec<u8> {
        let apart = self.0.with_extension("pipe");
        std::fs::rename(&self.0, &apart).unwrap();
        tokio::task::spawn_blocking(move || std::fs::read(apart).unwrap()).await.unwrap()
    }
}

impl Drop for Pipe {
    /// A test that fails leaves nobody waiting: its runtime would wait, too.
    fn drop(&mut self) {
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

#[tokio::test]
async fn the_network_is_followed_while_the_journal_hangs() {
    let mut lab = Lab::on(Choice::Own).await;
    lab.assign(vec![], true, vec![]).await;
    tell(1, &mut lab, 1).await;
    // A pipe in the place of what is written: who opens it waits for a reader.
    let pod = uid(43);
    let pipe = Pipe::new(&lab.dir.path().join("agent/journal").join(pod.to_string())).await;
    let spec = json!({"containers": [{"name": "c", "image": super::IMAGE, "args": ["run"]}]});
    lab.assign(vec![order(pod, "late", spec, vec![])], false, vec![]).await;
    tell(1, &mut lab, 2).await;
    tell(1, &mut lab, 3).await;
    tell_ingresses(&mut lab, 4).await;
    assert!(lab.pods.is_empty() && lab.ids(pod).await.is_empty(), "a pod began before the journal had it");

    assert!(!pipe.read().await.is_empty());
    lab.until("ready", |l| l.ready(pod)).await;
    lab.stop().await;
    down(Arc::new(docker()), &lab.cluster, &lab.dir.path().join("agent")).await.unwrap();
}

#[tokio::test]
async fn what_is_heard_while_the_journal_hangs_is_not_overtaken_by_what_came_before() {
    let mut lab = Lab::on(Choice::Own).await;
    lab.assign(vec![], true, vec![]).await;
    tell_ingresses(&mut lab, 1).await;
    // A range that the agent did not know is kept in its own record.
    let pipe = Pipe::new(&lab.dir.path().join("agent/agent.json")).await;
    let first = ToAgent::Network(Arc::new(update(2, lab.session, 1)));
    lab.server.as_ref().unwrap().send.send(first).await.unwrap();
    let address = Ipv4Addr::new(198, 19, range(2).network().octets()[2], 77);
    let port = ServicePort { name: "http".into(), protocol: PortProtocol::Tcp, port: 80, node_port: None };
    let service = ServiceNet {
        cluster_ips: vec![address.into()],
        ports: vec![port],
        ..ServiceNet::new(ServiceId { namespace: "shop".into(), name: "web".into() }, uid(44))
    };
    let session = lab.session;
    let later = |number, services| {
        ToAgent::Network(Arc::new(NetworkUpdate { session, number, services, ..NetworkUpdate::default() }))
    };
    let second = later(2, vec![Arc::new(service)]);
    say(&mut lab, second, |report| report.network == Some(2)).await;
    assert!(!pipe.read().await.is_empty());
    // Whatever waited is followed before this.
    let third = later(3, Vec::new());
    say(&mut lab, third, |report| report.network == Some(3)).await;
    let rules = sh("nft list ruleset");
    assert!(rules.contains(&address.to_string()), "the Service of the second update is lost: {rules}");
    lab.stop().await;
    down(Arc::new(docker()), &lab.cluster, &lab.dir.path().join("agent")).await.unwrap();
}
