//! The plane against the real kernel: two nodes in network namespaces that the test makes, each with
//! a plane of its own, and pods that are processes in further ones. Needs root and iproute2.

mod disk;
mod faults;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::{
    Uid,
    net::{
        Endpoint, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet,
        ServicePort,
    },
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::{mpsc, oneshot};

use super::{Choice, Drift, Plane, PodPort, Sandbox, Settings, Status, down};
use crate::link::{names::Owner, netns::own_network};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process in a network namespace of its own.
struct Place {
    process: Child,
}

impl Place {
    async fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let place = Self { process: command.spawn().expect("unshare of util-linux") };
        own_network(place.pid()).await.expect("a network namespace needs root");
        place
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Runs `ip` in it.
    fn ip(&self, line: &str) -> String {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-n", "ip"]).args(line.split_whitespace());
        let out = command.output().unwrap();
        assert!(out.status.success(), "ip {line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Does something on a thread in it.
    fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
        let file = std::fs::File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::spawn(move || {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings(name: &str, address: Ipv4Addr, dir: &Path, drifts: mpsc::Sender<Drift>) -> Settings {
    Settings {
        cluster: "test".into(),
        node: name.into(),
        address: Some(address.into()),
        dir: dir.to_path_buf(),
        choice: Choice::Own,
        engine_elsewhere: false,
        reserved: std::collections::BTreeMap::new(),
        drifts,
    }
}

/// An agent's plane that lives in a place.
struct Node {
    plane: Plane,
    drifts: mpsc::Receiver<Drift>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    fn start(place: &Place, name: &str, address: Ipv4Addr, dir: &Path) -> Self {
        let (told, drifts) = mpsc::channel(8);
        let settings = settings(name, address, dir, told);
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = place.inside(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                send.send(Plane::start(settings).unwrap()).unwrap();
                let _ = stopped.await;
            });
        });
        Self { plane: receive.recv().unwrap(), drifts, stop: Some(stop), thread: Some(thread) }
    }

    async fn pod(&self, uid: u128, place: &Place) -> Ipv4Addr {
        let lease = self.plane.lease(Uid(uid)).await.unwrap().expect("an own network");
        let address = self.plane.plug(sandbox(uid, place)).await.unwrap();
        assert_eq!((lease.address, Some(address)), (address, self.plane.address_of(Uid(uid))));
        address
    }

    async fn update(&self, update: NetworkUpdate) {
        let mut applied = self.plane.applied();
        let number = update.number;
        self.plane.update(Arc::new(update)).await;
        tokio::time::timeout(PATIENCE, applied.wait_for(|n| *n >= number)).await.expect("applied").unwrap();
    }

    /// Whether it has written down what it was told.
    fn kept(dir: &Path) -> Result<(), String> {
        super::Known::read(&dir.join(super::KNOWN)).settings.map(drop).ok_or_else(|| "nothing is kept".into())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sandbox(uid: u128, place: &Place) -> Sandbox {
    let parameters = vec![("net.ipv4.tcp_syncookies".into(), "0".into())];
    Sandbox { pod: Uid(uid), title: format!("shop/web-{uid}"), pid: place.pid(), parameters, ports: Vec::new() }
}

fn node(name: &str, address: &str, range: &str) -> NodeNet {
    NodeNet { name: name.into(), address: address.parse().ok(), pod_cidr: range.parse().ok(), zone: None }
}

fn update(number: u64, mode: NetworkMode, nodes: Vec<NodeNet>) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number,
        full: true,
        settings: Some(NetworkSettings { mode, ..NetworkSettings::default() }),
        nodes,
        ..NetworkUpdate::default()
    }
}

/// How long an answer may take: a packet that is lost on a busy machine is sent again after a second.
const ANSWERED: Duration = Duration::from_millis(2500);

/// Asks from one place to a port of an address in another: who the asked one saw.
fn asked(from: &Place, at: &Place, address: Ipv4Addr) -> Result<SocketAddr, String> {
    asked_at(from, at, 0, address, None)
}

/// The same, where the one who is asked listens at `port`, and is asked by another way to it.
fn asked_at(from: &Place, at: &Place, port: u16, address: Ipv4Addr, by: Option<u16>) -> Result<SocketAddr, String> {
    let (ready, listening) = std::sync::mpsc::channel();
    let server = at.inside(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        ready.send(listener.local_addr().unwrap().port()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let end = Instant::now() + ANSWERED + Duration::from_secs(1);
        while Instant::now() < end {
            if let Ok((mut stream, peer)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                // More than a packet, so that sizes matter.
                let _ = stream.write_all(&vec![7; 100_000]);
                return Some(peer);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    });
    let there = listening.recv().unwrap();
    let port = by.unwrap_or(there);
    let client = from.inside(move || {
        let to = SocketAddr::from((address, port));
        let mut stream = TcpStream::connect_timeout(&to, ANSWERED).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(ANSWERED)).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).map_err(|e| e.to_string())?;
        if all.len() == 100_000 { Ok(()) } else { Err(format!("{} bytes", all.len())) }
    });
    let (client, server) = (client.join().unwrap(), server.join().unwrap());
    client?;
    server.ok_or_else(|| "nobody came".into())
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn nodes() -> Vec<NodeNet> {
    vec![node("n1", "10.77.0.1", "10.42.1.0/24"), node("n2", "10.77.0.2", "10.42.2.0/24")]
}

/// Two nodes on one link.
async fn two() -> (Place, Place) {
    let (one, two) = (Place::new().await, Place::new().await);
    one.ip(&format!("link add eth0 type veth peer name eth0 netns {}", two.pid()));
    for (place, n) in [(&one, 1), (&two, 2)] {
        place.ip(&format!("addr add 10.77.0.{n}/24 dev eth0"));
        place.ip("link set lo up");
        place.ip("link set eth0 up");
    }
    (one, two)
}

/// A plane on each of two nodes, without pods, that were told of each other.
async fn started(places: [&Place; 2], dirs: &[tempfile::TempDir; 2], mode: NetworkMode) -> [Node; 2] {
    let start = |n: usize, name, address: &str| Node::start(places[n], name, address.parse().unwrap(), dirs[n].path());
    let both = [start(0, "n1", "10.77.0.1"), start(1, "n2", "10.77.0.2")];
    for node in &both {
        node.plane.found(Vec::new()).await;
        node.update(update(1, mode, nodes())).await;
    }
    both
}

fn mtu(place: &Place) -> String {
    let text = place.ip("link show eth0");
    text.split_whitespace().skip_while(|w| *w != "mtu").nth(1).unwrap().to_owned()
}

/// Names are asked at one address on every node: a question for the cluster's domain gets its answer.
fn asks_for_names(pod: &Place) {
    let asked_name = pod.inside(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04nope\x07cluster\x05local\0\0\x01\0\x01";
        socket.send_to(question, "10.43.0.10:53").unwrap();
        let mut answer = [0; 512];
        let (length, from) = socket.recv_from(&mut answer).unwrap();
        (from.ip().to_string(), answer[..length].to_vec())
    });
    let (from, answer) = asked_name.join().unwrap();
    assert_eq!((from.as_str(), &answer[..2], answer[3] & 15), ("10.43.0.10", &b"\x12\x34"[..], 3), "no such name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_each_other_by_routes_and_by_tunnel_and_what_is_undone_is_put_right() {
    let (one, other) = two().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Node::start(&one, "n1", "10.77.0.1".parse().unwrap(), dirs[0].path());
    let second = Node::start(&other, "n2", "10.77.0.2".parse().unwrap(), dirs[1].path());
    for plane in [&first, &second] {
        plane.update(update(1, NetworkMode::Auto, nodes())).await;
        assert_eq!(*plane.plane.status().borrow(), Status::Own);
    }
    let pods = [Place::new().await, Place::new().await, Place::new().await];
    let a = first.pod(1, &pods[0]).await;
    let b = second.pod(2, &pods[1]).await;
    let c = first.pod(3, &pods[2]).await;
    assert_eq!([a, b, c].map(|i| i.to_string()), ["10.42.1.2", "10.42.2.2", "10.42.1.3"]);

    // Nobody's address is changed on the way, and sizes fit.
    assert_eq!(asked(&pods[0], &pods[1], b).unwrap().ip(), a);
    assert_eq!(asked(&pods[1], &pods[0], a).unwrap().ip(), b);
    assert_eq!(asked(&pods[2], &pods[0], a).unwrap().ip(), c);
    assert_eq!(asked(&one, &pods[0], a).unwrap().ip().to_string(), "10.42.1.1", "its own node");
    asked(&one, &pods[1], b).unwrap();
    assert_eq!(mtu(&pods[0]), "1500");
    let cookies = pods[0].inside(|| std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").unwrap());
    assert_eq!(cookies.join().unwrap().trim(), "0", "a kernel parameter of the pod's own");

    asks_for_names(&pods[0]);

    // What others undo.
    one.ip("route flush proto 69");
    eventually("the routes are back", || asked(&pods[0], &pods[1], b)).await;
    eventually("the pods' routes are back", || asked(&pods[2], &pods[0], a)).await;
    let link = Owner::new("test", "n1").pod_link(Uid(1));
    one.ip(&format!("link del {link}"));
    let peer = eventually("the link is back", || asked(&pods[0], &pods[1], b)).await;
    assert_eq!(peer.ip(), a, "with the same address");
    one.ip(&format!("link set {link} down"));
    eventually("the link is up", || asked(&pods[1], &pods[0], a)).await;
    one.ip("link set eth0 down");
    one.ip("link set eth0 up");
    eventually("the way over the uplink is back", || asked(&pods[0], &pods[1], b)).await;

    // By tunnel, on both sides.
    for plane in [&first, &second] {
        plane.update(update(2, NetworkMode::Vxlan, nodes())).await;
    }
    assert!(
        one.ip("route show proto 69")
            .contains(&format!("10.42.2.0/24 via 10.42.2.1 dev {}", Owner::new("test", "n1").tunnel()))
    );
    assert_eq!(asked(&pods[0], &pods[1], b).unwrap().ip(), a);
    assert_eq!(asked(&one, &pods[1], b).unwrap().ip().to_string(), "10.42.1.1");
    let late = Place::new().await;
    first.pod(4, &late).await;
    assert_eq!(mtu(&late), "1450");
    asked(&late, &pods[1], b).unwrap();
    one.ip(&format!("link del {}", Owner::new("test", "n1").tunnel()));
    eventually("the tunnel is back", || asked(&pods[0], &pods[1], b)).await;

    // A node that changes its address, and one that goes.
    other.ip("addr add 10.77.0.9/24 dev eth0");
    let change = |number, nodes, gone: &[&str]| NetworkUpdate {
        full: false,
        settings: None,
        gone_nodes: gone.iter().map(|n| (*n).into()).collect(),
        ..update(number, NetworkMode::Vxlan, nodes)
    };
    first.update(change(3, vec![node("n2", "10.77.0.9", "10.42.2.0/24")], &[])).await;
    let fdb = Command::new("nsenter").args(["-t", &one.pid().to_string(), "-n", "bridge", "fdb"]).output().unwrap();
    let fdb = String::from_utf8(fdb.stdout).unwrap();
    assert!(fdb.contains("dst 10.77.0.9") && !fdb.contains("dst 10.77.0.2 "), "{fdb}");
    first.update(change(4, Vec::new(), &["n2"])).await;
    let left = one.ip("route show proto 69");
    assert!(!left.contains("10.42.2.0/24") && left.contains("10.42.1.2"), "{left}");
    assert!(!one.ip("link show").contains(&Owner::new("test", "n1").tunnel()), "no tunnel without need");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_comes_back_takes_over_what_is_there_and_down_leaves_nothing() {
    let (one, other) = two().await;
    let dir = tempfile::tempdir().unwrap();
    let start = || Node::start(&one, "n1", "10.77.0.1".parse().unwrap(), dir.path());
    let first = start();
    first.update(update(1, NetworkMode::Auto, nodes())).await;
    let pods = [Place::new().await, Place::new().await];
    let a = first.pod(1, &pods[0]).await;
    let b = first.pod(2, &pods[1]).await;
    let link = Owner::new("test", "n1").pod_link(Uid(1));
    let index = |place: &Place| place.ip(&format!("link show {link}"));
    let before = index(&one);
    eventually("the network is on disk", || Node::kept(dir.path())).await;
    drop(first);
    // While it was away somebody took the other pod's link.
    one.ip(&format!("link del {}", Owner::new("test", "n1").pod_link(Uid(2))));

    // Without any server: what is on disk is enough.
    let again = start();
    again.plane.found(vec![sandbox(1, &pods[0]), sandbox(2, &pods[1])]).await;
    eventually("both are on the network", || asked(&pods[0], &pods[1], b)).await;
    assert_eq!(index(&one), before, "what was right is not touched");
    assert_eq!((again.plane.address_of(Uid(1)), again.plane.address_of(Uid(2))), (Some(a), Some(b)));
    // A pod that is made after has an address that nobody has or had lately.
    again.plane.forget(Uid(2)).await;
    let third = Place::new().await;
    assert_eq!(again.pod(3, &third).await.to_string(), "10.42.1.4");

    // A range in the way of the machine's own networks is refused, with what to set.
    other.ip("route add 10.42.9.0/24 via 10.77.0.1");
    let second_dir = tempfile::tempdir().unwrap();
    let second = Node::start(&other, "n2", "10.77.0.2".parse().unwrap(), second_dir.path());
    second.update(update(1, NetworkMode::Auto, nodes())).await;
    let refused = second.plane.lease(Uid(9)).await.unwrap_err().to_string();
    assert!(refused.contains("--cluster-cidr") && refused.contains("10.42.9.0/24"), "{refused}");
    other.ip("route del 10.42.9.0/24");
    eventually("the range is free", || match &*second.plane.status().borrow() {
        Status::Own => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    second.update(update(2, NetworkMode::Vxlan, nodes())).await;
    eventually("the network is on disk", || Node::kept(second_dir.path())).await;
    drop((again, second));

    for (place, dir) in [(&one, dir.path()), (&other, second_dir.path())] {
        let dir = dir.to_path_buf();
        let taken = place.inside(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { down(&dir).await.unwrap() });
            std::fs::read_dir(&dir).unwrap().count()
        });
        assert_eq!(taken.join().unwrap(), 0, "no file stays");
        let links = place.ip("-o link show");
        assert_eq!(links.lines().count(), 2, "{links}");
        assert_eq!(place.ip("route show proto 69"), "", "routes of ours");
        let loopback = place.ip("addr show lo");
        assert!(!loopback.contains("10.4"), "{loopback}");
    }
    // The pods' ends went with them.
    assert!(!pods[0].ip("link show").contains("eth0"));
}

fn web(number: u64, pods: &[(Ipv4Addr, &str)]) -> NetworkUpdate {
    let endpoint = |(address, node): &(Ipv4Addr, &str)| Endpoint {
        node: Some((*node).into()),
        ..Endpoint::ready((*address).into(), vec![Some(8080)])
    };
    let port = ServicePort { name: String::new(), protocol: PortProtocol::Tcp, port: 80, node_port: Some(30080) };
    let service = ServiceNet {
        cluster_ips: vec!["10.43.0.80".parse().unwrap()],
        ports: vec![port],
        endpoints: pods.iter().map(endpoint).collect(),
        ..ServiceNet::new(ServiceId { namespace: "shop".into(), name: "web".into() }, Uid(77))
    };
    NetworkUpdate {
        full: false,
        settings: None,
        services: vec![Arc::new(service)],
        ..update(number, NetworkMode::Auto, Vec::new())
    }
}

#[allow(clippy::too_many_lines)] // one story of two nodes
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_and_ports_of_the_node_lead_to_pods_and_are_there_again_when_flushed() {
    let (one, other) = two().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [mut first, second] = started([&one, &other], &dirs, NetworkMode::Auto).await;
    let pods = [Place::new().await, Place::new().await];
    let a = first.pod(1, &pods[0]).await;
    second.plane.lease(Uid(2)).await.unwrap().unwrap();
    let port = PodPort { host_address: None, host_port: 8888, protocol: PortProtocol::Tcp, port: 8080 };
    let with_port = || Sandbox { ports: vec![port], ..sandbox(2, &pods[1]) };
    let b = second.plane.plug(with_port()).await.unwrap();
    for plane in [&first, &second] {
        plane.update(web(2, &[(b, "n2")])).await;
    }
    let service = "10.43.0.80".parse().unwrap();
    let here: Ipv4Addr = "10.77.0.1".parse().unwrap();
    let there: Ipv4Addr = "10.77.0.2".parse().unwrap();
    // The update was said to be followed: at once, not after a while.
    assert_eq!(
        asked_at(&pods[0], &pods[1], 8080, service, Some(80)).unwrap().ip(),
        a,
        "from a pod, by its own address"
    );
    asked_at(&pods[1], &pods[1], 8080, service, Some(80)).expect("its own backend");
    asked_at(&one, &pods[1], 8080, service, Some(80)).expect("from a node");
    asked_at(&other, &pods[1], 8080, here, Some(30080)).expect("by the other node's port");
    asked_at(&one, &pods[1], 8080, there, Some(8888)).expect("hostPort from another machine");
    asked_at(&pods[0], &pods[1], 8080, there, Some(8888)).expect("hostPort from a pod");
    asked_at(&other, &pods[1], 8080, Ipv4Addr::LOCALHOST, Some(8888)).expect("hostPort by the node's localhost");

    // Flushed by somebody: there again within a second, and told.
    let nft = |place: &Place, line: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &place.pid().to_string(), "-n", "nft"]).args(line.split_whitespace());
        let out = command.output().unwrap();
        assert!(out.status.success(), "nft {line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    nft(&one, "flush ruleset");
    eventually("the Service is back", || asked_at(&pods[0], &pods[1], 8080, service, Some(80))).await;
    let drift = tokio::time::timeout(PATIENCE, first.drifts.recv()).await.unwrap().unwrap();
    assert!(drift.message.contains("was changed by another program"), "{}", drift.message);

    // An agent that comes back, without a server, has the same at once; and nobody behind it is refused.
    eventually("the Service is on disk", || {
        let kept = super::Known::read(&dirs[1].path().join(super::KNOWN));
        if kept.services().is_empty() { Err("none".to_owned()) } else { Ok(()) }
    })
    .await;
    drop(second);
    asked_at(&one, &pods[1], 8080, there, Some(8888)).expect("rules outlive the agent");
    let again = Node::start(&other, "n2", "10.77.0.2".parse().unwrap(), dirs[1].path());
    again.plane.found(vec![with_port()]).await;
    eventually("the node's port leads to the pod", || asked_at(&one, &pods[1], 8080, there, Some(8888))).await;
    for plane in [&first, &again] {
        plane.update(web(3, &[])).await;
    }
    let refused = asked_at(&pods[0], &pods[1], 8080, service, Some(80)).unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    again.plane.forget(Uid(2)).await;
    eventually("the pod's port is closed", || {
        match asked_at(&one, &pods[1], 8080, there, Some(8888)) {
            Ok(_) => Err("it is open"),
            Err(_) => Ok(()),
        }
        .map_err(str::to_owned)
    })
    .await;
    drop((first, again));
    let dir = dirs[1].path().to_path_buf();
    other
        .inside(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { down(&dir).await.unwrap() });
        })
        .join()
        .unwrap();
    assert_eq!(nft(&other, "list tables"), "");
}

#[tokio::test]
async fn the_engines_network_is_taken_at_once_and_any_update_counts() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        cluster: "test".into(),
        node: "n".into(),
        address: None,
        dir: dir.path().to_path_buf(),
        choice: Choice::Engine,
        engine_elsewhere: false,
        reserved: std::collections::BTreeMap::new(),
        drifts: mpsc::channel(1).0,
    };
    let plane = Plane::start(settings).unwrap();
    assert!(plane.lease(Uid(1)).await.unwrap().is_none());
    let mut applied = plane.applied();
    plane.update(Arc::new(update(7, NetworkMode::Auto, nodes()))).await;
    tokio::time::timeout(PATIENCE, applied.wait_for(|n| *n == 7)).await.unwrap().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is kept of it");
}
