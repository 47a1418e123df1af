//! What the names of a large cluster take: questions a second over UDP, how long one takes, how long a
//! change takes until the next question sees it, and memory. `cargo bench -p evenkeel-net --bench dns`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evenkeel_model::{
    ids::Uid,
    net::{Endpoint, NetworkSettings, NetworkUpdate, PortProtocol, ServiceId, ServiceNet, ServicePort},
};
use evenkeel_net::dns::{Dns, Resolvers};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use tokio_util::sync::CancellationToken;

/// Questions that each client has under way when they are counted.
const UNDER_WAY: usize = 16;
const CLIENTS: usize = 2;

fn main() {
    for services in [10, 10_000] {
        let before = resident();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dns = Dns::new("n1", Resolvers::Fixed(Vec::new()));
        let begun = Instant::now();
        dns.update(&update(true, (0..services).map(|n| service(n, 0)).collect()));
        let loaded = begun.elapsed();
        let bound = runtime.block_on(dns.bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let (at, stop) = (bound.address().unwrap(), CancellationToken::new());
        let serving = runtime.spawn(bound.run(stop.clone()));
        let memory = resident().saturating_sub(before);
        let mut waits = one_by_one(at, services, 20_000);
        let mut changes = changes(&dns, at, services, 2_000);
        let rate = at_once(at, services, Duration::from_secs(3));
        println!(
            "services={services} full load {:.1} ms, memory +{memory} KiB, {rate:.0}/s with {} under way, one by one p50 {:.0} us \
             p99 {:.0} us, change to answer p50 {:.0} us p99 {:.0} us",
            loaded.as_secs_f64() * 1e3,
            UNDER_WAY * CLIENTS,
            part(&mut waits, 0.5),
            part(&mut waits, 0.99),
            part(&mut changes, 0.5),
            part(&mut changes, 0.99),
        );
        stop.cancel();
        runtime.block_on(serving).unwrap();
    }
}

/// Every tenth one is headless with three endpoints.
fn service(n: usize, shift: usize) -> ServiceNet {
    let headless = n.is_multiple_of(10);
    let address = |net: usize, n: usize| format!("10.{net}.{}.{}", (n / 250) % 250, n % 250).parse().unwrap();
    let endpoint = |i: usize| Endpoint {
        hostname: Some(format!("h{i}").into()),
        ..Endpoint::ready(address(42, n * 3 + i + shift), vec![Some(8080)])
    };
    ServiceNet {
        cluster_ips: if headless { Vec::new() } else { vec![address(43, n + shift)] },
        ports: vec![ServicePort { name: "http".into(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        endpoints: (0..3).map(endpoint).collect(),
        ..ServiceNet::new(
            ServiceId { namespace: format!("ns{}", n % 50).into(), name: format!("svc-{n}").into() },
            Uid(n as u128),
        )
    }
}

fn update(full: bool, services: Vec<ServiceNet>) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number: 1,
        full,
        settings: full.then(NetworkSettings::default),
        services: services.into_iter().map(Arc::new).collect(),
        ..NetworkUpdate::default()
    }
}

fn question(n: usize) -> Vec<u8> {
    let mut message = Message::query();
    let name = Name::from_ascii(format!("svc-{n}.ns{}.svc.cluster.local.", n % 50)).unwrap();
    message.queries.push(Query::query(name, RecordType::A));
    message.to_vec().unwrap()
}

fn client(at: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

fn one_by_one(at: SocketAddr, services: usize, times: usize) -> Vec<Duration> {
    let (socket, mut buffer) = (client(at), [0; 2048]);
    let questions: Vec<Vec<u8>> = (0..services).map(question).collect();
    let mut waits = Vec::with_capacity(times);
    for n in 0..times {
        let begun = Instant::now();
        socket.send(&questions[n * 7919 % services]).unwrap();
        socket.recv(&mut buffer).unwrap();
        waits.push(begun.elapsed());
    }
    waits
}

/// From before a change is taken to the answer that shows it.
fn changes(dns: &Dns, at: SocketAddr, services: usize, times: usize) -> Vec<Duration> {
    let (socket, mut buffer) = (client(at), [0; 2048]);
    let mut waits = Vec::with_capacity(times);
    for n in 0..times {
        let which = n * 7919 % services;
        let (changed, asked) = (update(false, vec![service(which, 1 + n % 200)]), question(which));
        let begun = Instant::now();
        dns.update(&changed);
        socket.send(&asked).unwrap();
        let got = socket.recv(&mut buffer).unwrap();
        waits.push(begun.elapsed());
        let answer = Message::from_vec(&buffer[..got]).unwrap();
        let expected = &changed.services[0];
        let count = if expected.cluster_ips.is_empty() { 3 } else { 1 };
        assert_eq!(answer.answers.len(), count);
    }
    waits
}

/// Questions a second while some are always under way.
fn at_once(at: SocketAddr, services: usize, time: Duration) -> f64 {
    let questions: Arc<Vec<Vec<u8>>> = Arc::new((0..services).map(question).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|c| {
            let (questions, stop) = (Arc::clone(&questions), Arc::clone(&stop));
            thread::spawn(move || {
                let (socket, mut buffer) = (client(at), [0; 2048]);
                let ask = |n: usize| {
                    let sent = socket.send(&questions[(n * 7919 + c) % services]).unwrap();
                    assert!(sent > 0);
                };
                for n in 0..UNDER_WAY {
                    ask(n);
                }
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    socket.recv(&mut buffer).unwrap();
                    done += 1;
                    ask(done + UNDER_WAY);
                }
                done
            })
        })
        .collect();
    thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    let done: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    #[allow(clippy::cast_precision_loss)]
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    rate
}

/// Microseconds below which a part of all lie.
fn part(all: &mut [Duration], part: f64) -> f64 {
    all.sort();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = ((all.len() - 1) as f64 * part) as usize;
    all[at].as_secs_f64() * 1e6
}

/// KiB of memory in use.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
