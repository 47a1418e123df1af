//! One stream between containers of two nodes over VXLAN, against Docker Swarm's overlay network on the same
//! machines and engines.
//!
//! The stream is made by this program within the containers' network namespaces: only the way counts. What
//! Swarm has beside it, its Services' virtual addresses, needs IPVS in the kernel.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evenkeel_lab::{App, At, Cluster, Lab};
use serde_json::Value;

use crate::{
    cluster::{binary, images, run},
    measure::{Better, alternate, compared},
};

const PORT: u16 = 7001;
const LASTS: Duration = Duration::from_secs(2);
/// The first words of a process that is one end of the stream.
pub const LISTENER: &str = "stream-listener";
pub const SENDER: &str = "stream-sender";
const FLAGS: [&str; 4] = ["--network", "vxlan", "--watch-window", "1s"];

/// One of two containers: its process as its node sees it, and its address.
struct End {
    node: usize,
    pid: u64,
    address: Ipv4Addr,
}

pub fn streams() {
    images();
    let hangs = r#""command": ["/shop", "hang"]"#;
    let web = App { replicas: 2, container: hangs, ..App::default() }.yaml();
    // Swarm refuses engines that restore their containers.
    let cluster = Cluster::start(&binary(), Lab::with_engines(&[false; 2]), &[("web.json", &web)], &FLAGS);
    cluster.wait_ready("default", "web", 2);
    let ours = [1, 2].map(|node| our_end(&cluster, node));
    let theirs = their_ends(&cluster);
    let stream = |ends: &[End; 2]| stream(&cluster.lab, ends);
    let (a, b) = alternate(|| stream(&ours), || stream(&theirs));
    let names = ("pod to pod by VXLAN", "Docker Swarm's overlay");
    compared(names, "Gbit/s", Better::Higher, (1.0, 0.0), (&a, &b));
}

fn end(lab: &Lab, node: usize, container: &str, address: &str) -> End {
    let shown = lab.engine(node).get(&format!("/containers/{container}/json")).unwrap();
    End { node, pid: shown["State"]["Pid"].as_u64().unwrap(), address: address.parse().unwrap() }
}

fn our_end(cluster: &Cluster, node: usize) -> End {
    let all = cluster.pods("default", "app=web");
    let here = |p: &&Value| p["spec"]["nodeName"] == cluster.lab.node(node).name();
    let pod = all.iter().find(here).expect("two replicas on two nodes");
    let found = cluster.lab.engine(node).running(pod["metadata"]["name"].as_str().unwrap());
    end(&cluster.lab, node, &found[0].id, pod["status"]["podIP"].as_str().unwrap())
}

fn their_ends(cluster: &Cluster) -> [End; 2] {
    let docker = |node: usize, words: &str| {
        run(Command::new("docker").args(["-H", &cluster.lab.engine(node).url()]).args(words.split(' ')))
    };
    let address = |node| cluster.lab.address(At::Node(node));
    docker(1, &format!("swarm init --advertise-addr {}", address(1)));
    let token = docker(1, "swarm join-token -q worker");
    docker(2, &format!("swarm join --advertise-addr {} --token {} {}:2377", address(2), token.trim(), address(1)));
    docker(1, "network create --driver overlay --attachable --subnet 10.222.0.0/24 bench");
    [1, 2].map(|node| {
        let id = docker(node, "run --detach --network bench --entrypoint /shop shop.example/shop:1.0 hang");
        let format = "{{.NetworkSettings.Networks.bench.IPAddress}}";
        let address = docker(node, &format!("inspect --format {format} {}", id.trim()));
        end(&cluster.lab, node, id.trim(), address.trim())
    })
}

/// This program as one end of the stream, in the network of a container.
fn within(lab: &Lab, end: &End, words: &[&str]) -> Command {
    let mut command = lab.command(At::Node(end.node), "nsenter");
    command.args(["--target", &end.pid.to_string(), "--net"]).arg(std::env::current_exe().unwrap()).args(words);
    command
}

/// Gigabits a second of one stream from the first to the second.
fn stream(lab: &Lab, [from, to]: &[End; 2]) -> f64 {
    let mut listening = within(lab, to, &[LISTENER]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = listening.stdout.take().unwrap();
    said.read_exact(&mut [0; 1]).unwrap();
    run(&mut within(lab, from, &[SENDER, &to.address.to_string()]));
    let mut figure = String::new();
    said.read_to_string(&mut figure).unwrap();
    assert!(listening.wait().unwrap().success());
    figure.trim().parse().unwrap()
}

/// Says that it listens, and how fast one stream has come.
pub fn listener() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    println!();
    let (mut stream, _) = listener.accept().unwrap();
    let (mut buffer, mut bytes, begun) = (vec![0; 256 << 10], 0_usize, Instant::now());
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            n => bytes += n,
        }
    }
    println!("{}", bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9);
}

pub fn sender(to: &str) {
    let mut stream = TcpStream::connect(SocketAddr::from((to.parse::<Ipv4Addr>().unwrap(), PORT))).unwrap();
    let (buffer, end) = (vec![7; 256 << 10], Instant::now() + LASTS);
    while Instant::now() < end {
        stream.write_all(&buffer).unwrap();
    }
}
