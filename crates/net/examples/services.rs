//! How long Services take on a node: a load of all, one endpoint's change among few and many, and a
//! look at the table. `cargo run --release -p evenkeel-net --example services` as root; it makes a
//! network namespace of its own and takes it away again.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::{
    ids::Uid,
    net::{
        Endpoint, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet,
        ServicePort,
    },
};
use evenkeel_net::nft::{Nft, Services};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const MANY: u16 = 10_000;
const FEW: u16 = 10;
const ROUNDS: usize = 7;
const CHANGES: usize = 100;

fn service(n: u16, last: u8) -> Arc<ServiceNet> {
    let [high, low] = n.to_be_bytes();
    let endpoint = |net: u8, host: u8| Endpoint {
        node: Some(format!("n{net}").into()),
        ..Endpoint::ready(Ipv4Addr::new(10, 42, net, host).into(), vec![Some(8080)])
    };
    Arc::new(ServiceNet {
        cluster_ips: vec![Ipv4Addr::new(10, 43, high, low).into()],
        ports: vec![ServicePort { name: String::new(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        endpoints: vec![endpoint(1, 2), endpoint(2, 2), endpoint(3, last)],
        ..ServiceNet::new(
            ServiceId { namespace: "default".into(), name: format!("service-{n}").into() },
            Uid::from_random(n.into()),
        )
    })
}

fn update(full: bool, services: Vec<Arc<ServiceNet>>) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number: 1,
        full,
        settings: full.then(|| NetworkSettings {
            cluster_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns: "10.43.255.10".parse().unwrap(),
            domain: "cluster.local".into(),
            mode: NetworkMode::Auto,
        }),
        nodes: vec![NodeNet {
            name: "n1".into(),
            address: None,
            pod_cidr: Some("10.42.1.0/24".parse().unwrap()),
            zone: None,
        }],
        services,
        ..NetworkUpdate::default()
    }
}

fn show(what: &str, mut all: Vec<Duration>) {
    all.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let at = |share: usize| ms(all[(all.len() * share / 100).min(all.len() - 1)]);
    println!(
        "{what}: median {:.2} ms ({:.2} .. {:.2}), p99 {:.2} ms, n {}",
        at(50),
        ms(all[0]),
        ms(all[all.len() - 1]),
        at(99),
        all.len()
    );
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn loaded(all: &NetworkUpdate) -> Services {
    let mut services = Services::new("bench000", "n1", Nft::new()).unwrap();
    services.update(all);
    services.apply().await.unwrap();
    services
}

async fn measure() {
    let empty = resident();
    let all = update(true, (1..=MANY).map(|n| service(n, 2)).collect());
    let told = resident();
    let services = loaded(&all).await;
    println!(
        "memory of {MANY} Services with 3 endpoints each: {} KiB as they were told, {} KiB beside them",
        told - empty,
        resident() - told
    );
    drop((services, all));
    let (mut loads, mut nothing) = (Vec::new(), Vec::new());
    let mut changes = [Vec::new(), Vec::new()];
    let (mut looks, mut heals) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..10 {
            let start = Instant::now();
            Nft::new().batch("add table ip evenkeel_nothing\n").await.unwrap();
            nothing.push(start.elapsed());
        }
        for (all, count) in changes.iter_mut().zip([FEW, MANY]) {
            let full = update(true, (1..=count).map(|n| service(n, 2)).collect());
            let mut services = Services::new("bench000", "n1", Nft::new()).unwrap();
            let start = Instant::now();
            services.update(&full);
            assert!(services.apply().await.unwrap().full);
            if count == MANY {
                loads.push(start.elapsed());
            }
            for n in 0..CHANGES {
                let host = u8::try_from(3 + n % 200).unwrap();
                let change = update(false, vec![service(u16::try_from(n).unwrap() % count + 1, host)]);
                let start = Instant::now();
                services.update(&change);
                let done = services.apply().await.unwrap();
                all.push(start.elapsed());
                assert!(!done.full && done.elements == 2);
                let start = Instant::now();
                assert_eq!(services.check().await.unwrap(), None);
                looks.push(start.elapsed());
            }
            if count == MANY {
                Nft::new().batch("flush ruleset\n").await.unwrap();
                let start = Instant::now();
                assert!(services.check().await.unwrap().is_some());
                heals.push(start.elapsed());
            }
        }
    }
    show("an `nft` with next to nothing to do", nothing);
    show("load of 10,000 Services", loads);
    let [few, many] = changes;
    show("one endpoint's change among 10 Services", few);
    show("one endpoint's change among 10,000 Services", many);
    show("a look at the table with nothing new", looks);
    show("10,000 Services flushed by another program, from the look to whole", heals);
}

fn main() {
    let name = format!("ekbench{}", std::process::id());
    let ip = |words: &[&str]| Command::new("ip").args(words).status().expect("needs iproute2");
    assert!(ip(&["netns", "add", &name]).success(), "needs root");
    // A thread of its own, so that the namespace goes whatever happens.
    let inside = name.clone();
    let done = std::thread::spawn(move || {
        let file = File::open(format!("/run/netns/{inside}")).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure());
    })
    .join();
    ip(&["netns", "del", &name]);
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}
