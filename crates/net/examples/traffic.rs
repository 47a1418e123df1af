//! What the way to a pod costs: one stream between two pods over that between their nodes, by routes and by
//! VXLAN; requests and connections a second through a Service's address over straight to the pod.
//! `cargo run --release -p evenkeel-net --example traffic` as root. Two nodes are network namespaces on one
//! link, each with a plane of its own, and so are the pods; all of it goes away again. The packets' way is the
//! kernel's, so what runs in the containers does not matter here.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use evenkeel_model::{
    Uid,
    net::{
        Endpoint, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet,
        ServicePort,
    },
};
use evenkeel_net::{
    link::netns::own_network,
    plane::{Choice, Plane, Sandbox, Settings},
};
use rustix::{
    net::sockopt::set_socket_linger,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 7;
/// How long one measurement takes.
const STREAM: Duration = Duration::from_secs(2);
const ASKING: Duration = Duration::from_secs(1);
/// Bytes of a request and of its answer.
const REQUEST: usize = 100;
const ANSWER: usize = 1000;
const PORT: u16 = 8080;
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 80);
const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];

/// A process in a network namespace of its own.
struct Place(Child);

impl Place {
    async fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "infinity"]).stdin(Stdio::null()).spawn();
        let place = Self(child.expect("unshare of util-linux"));
        own_network(place.0.id()).await.expect("a network namespace needs root");
        place
    }

    fn ip(&self, line: &str) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-n", "ip"]).args(line.split(' '));
        assert!(command.status().unwrap().success(), "ip {line}");
    }

    /// Does something on a thread in it.
    fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node's plane, on a thread in the node's place.
struct Node {
    plane: Plane,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(place: &Place, number: usize, dir: &Path) -> Self {
        let settings = Settings {
            cluster: "bench".into(),
            node: format!("n{number}").into(),
            address: Some(NODES[number - 1].into()),
            dir: dir.to_path_buf(),
            choice: Choice::Own,
            engine_elsewhere: false,
            reserved: std::collections::BTreeMap::new(),
            drifts: mpsc::channel(8).0,
        };
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = place.inside(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                send.send(Plane::start(settings).unwrap()).unwrap();
                let _ = stopped.await;
            });
        });
        Self { plane: receive.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    async fn update(&self, update: NetworkUpdate) {
        let (mut applied, number) = (self.plane.applied(), update.number);
        self.plane.update(Arc::new(update)).await;
        applied.wait_for(|n| *n >= number).await.unwrap();
    }

    async fn pod(&self, uid: u128, place: &Place) -> Ipv4Addr {
        self.plane.lease(Uid(uid)).await.unwrap().unwrap();
        let title = format!("bench/pod-{uid}");
        let sandbox = Sandbox { pod: Uid(uid), title, pid: place.0.id(), parameters: Vec::new(), ports: Vec::new() };
        self.plane.plug(sandbox).await.unwrap()
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

fn update(number: u64, mode: NetworkMode, behind: Option<Ipv4Addr>) -> NetworkUpdate {
    let node = |n: usize| NodeNet {
        name: format!("n{n}").into(),
        address: Some(NODES[n - 1].into()),
        pod_cidr: format!("10.42.{n}.0/24").parse().ok(),
        zone: None,
    };
    let service = |pod: Ipv4Addr| {
        let endpoint = Endpoint { node: Some("n2".into()), ..Endpoint::ready(pod.into(), vec![Some(PORT)]) };
        let port = ServicePort { name: String::new(), protocol: PortProtocol::Tcp, port: 80, node_port: None };
        Arc::new(ServiceNet {
            cluster_ips: vec![SERVICE.into()],
            ports: vec![port],
            endpoints: vec![endpoint],
            ..ServiceNet::new(ServiceId { namespace: "bench".into(), name: "web".into() }, Uid(77))
        })
    };
    NetworkUpdate {
        session: 1,
        number,
        full: true,
        settings: Some(NetworkSettings { mode, ..NetworkSettings::default() }),
        nodes: vec![node(1), node(2)],
        services: behind.into_iter().map(service).collect(),
        ..NetworkUpdate::default()
    }
}

/// A listener in a place, whose connections are served one after the other.
fn serve(place: &Place, port: u16, answer: fn(TcpStream)) {
    let (ready, listens) = std::sync::mpsc::channel();
    place.inside(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming().flatten() {
            answer(stream);
        }
    });
    listens.recv().unwrap();
}

/// Gigabits a second of one stream into a place.
fn stream(from: &Place, at: &Place, to: Ipv4Addr) -> f64 {
    let (ready, port) = std::sync::mpsc::channel();
    let reading = at.inside(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        ready.send(listener.local_addr().unwrap().port()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 256 << 10];
        let (mut bytes, begun) = (0_usize, Instant::now());
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9,
                n => bytes += n,
            }
        }
    });
    let to = SocketAddr::from((to, port.recv().unwrap()));
    let sending = from.inside(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        let (buffer, end) = (vec![7; 256 << 10], Instant::now() + STREAM);
        while Instant::now() < end {
            stream.write_all(&buffer).unwrap();
        }
    });
    sending.join().unwrap();
    reading.join().unwrap()
}

fn echo(mut stream: TcpStream) {
    let (mut request, answer) = ([0; REQUEST], [1; ANSWER]);
    stream.set_nodelay(true).unwrap();
    while stream.read_exact(&mut request).is_ok() && stream.write_all(&answer).is_ok() {}
}

fn ask(stream: &mut TcpStream) {
    let mut answer = [0; ANSWER];
    stream.write_all(&[1; REQUEST]).unwrap();
    stream.read_exact(&mut answer).unwrap();
}

/// Requests a second, one after the other on one connection.
fn requests(from: &Place, to: SocketAddr) -> f64 {
    let asking = from.inside(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut count, begun) = (0_u32, Instant::now());
        while begun.elapsed() < ASKING {
            ask(&mut stream);
            count += 1;
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    });
    asking.join().unwrap()
}

/// Connections a second, one after the other, each with one request.
fn connections(from: &Place, to: SocketAddr) -> f64 {
    let asking = from.inside(move || {
        let (mut count, begun) = (0_u32, Instant::now());
        while begun.elapsed() < ASKING {
            let mut stream = TcpStream::connect(to).unwrap();
            ask(&mut stream);
            // No port of it waits for late packets: there are not enough of them.
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            count += 1;
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    });
    asking.join().unwrap()
}

/// Both sides in turn, the first of a round changing each time; prints medians, spreads and their ratio.
fn compared(what: &str, unit: &str, goal: f64, ours: impl Fn() -> f64, theirs: impl Fn() -> f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    // What is learned at first counts for nobody.
    ours();
    theirs();
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            a.push(ours());
            b.push(theirs());
        } else {
            b.push(theirs());
            a.push(ours());
        }
    }
    for all in [&mut a, &mut b] {
        all.sort_by(f64::total_cmp);
    }
    let show = |all: &[f64]| format!("{:.2} ({:.2} .. {:.2})", all[ROUNDS / 2], all[0], all[ROUNDS - 1]);
    let ratio = a[ROUNDS / 2] / b[ROUNDS / 2];
    println!("{what}: {} over {} {unit}, ratio {ratio:.3}, goal {goal}", show(&a), show(&b));
}

async fn measure() {
    let nodes = [Place::new().await, Place::new().await];
    nodes[0].ip(&format!("link add eth0 type veth peer name eth0 netns {}", nodes[1].0.id()));
    for (place, address) in nodes.iter().zip(NODES) {
        place.ip(&format!("addr add {address}/24 dev eth0"));
        place.ip("link set lo up");
        place.ip("link set eth0 up");
    }
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let planes = [Node::start(&nodes[0], 1, dirs[0].path()), Node::start(&nodes[1], 2, dirs[1].path())];
    for plane in &planes {
        plane.plane.found(Vec::new()).await;
    }
    for (round, (mode, name, goal)) in
        [(NetworkMode::Routes, "routes", 0.95), (NetworkMode::Vxlan, "VXLAN", 0.85)].into_iter().enumerate()
    {
        let number = round as u64 * 2 + 1;
        for plane in &planes {
            plane.update(update(number, mode, None)).await;
        }
        // New ones: the size of their packets follows from the way.
        let pods = [Place::new().await, Place::new().await];
        let uid = u128::from(number) * 10;
        planes[0].pod(uid, &pods[0]).await;
        let far = planes[1].pod(uid + 1, &pods[1]).await;
        for plane in &planes {
            plane.update(update(number + 1, mode, Some(far))).await;
        }
        let host = || stream(&nodes[0], &nodes[1], NODES[1]);
        compared(
            &format!("one stream, pod to pod by {name} over node to node"),
            "Gbit/s",
            goal,
            || stream(&pods[0], &pods[1], far),
            host,
        );
        serve(&pods[1], PORT, echo);
        let (service, direct) = (SocketAddr::from((SERVICE, 80)), SocketAddr::from((far, PORT)));
        compared(
            &format!("requests through a ClusterIP over direct, by {name}"),
            "1/s",
            0.95,
            || requests(&pods[0], service),
            || requests(&pods[0], direct),
        );
        compared(
            &format!("connections through a ClusterIP over direct, by {name}"),
            "1/s",
            0.9,
            || connections(&pods[0], service),
            || connections(&pods[0], direct),
        );
    }
}

fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure());
}
