//! Services by real packets: a node with pods, another node and a machine outside, each a network
//! namespace of the test's own. Needs root, iproute2 and nftables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::format_push_string)]

mod kit;

use std::{
    io::{ErrorKind, Read as _},
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::net::{PortProtocol, ServiceNet};
use evenkeel_net::nft::{HostPort, Nft, Services};
use kit::{NODE, Net, OTHER, OUTSIDE, PODS, full, service};

const VIP: &str = "10.43.0.1:80";
const NODE_PORT: &str = "192.0.2.1:30080";
const EXTERNAL: &str = "192.0.2.50:80";

/// A test on a thread in its node, with what the agent holds.
fn on_node(test: impl AsyncFnOnce(&Net, &mut Services) + Send + 'static) {
    let run = move || {
        let net = Net::new();
        for (n, pod) in ["pod0", "pod1", "other"].into_iter().zip(PODS) {
            net.serve(n, pod, 8080, n);
        }
        net.serve("out", OUTSIDE, 8080, "out");
        net.enter_node();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut services = Services::new("AB12cd34-0000", "node", Nft::new()).unwrap();
            assert_eq!(services.table(), "evenkeel_ab12cd34");
            test(&net, &mut services).await;
        });
    };
    // A thread that stays in the node, of which the test's own thread knows nothing.
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn tcp(endpoints: &[(&str, &str)]) -> ServiceNet {
    service(PortProtocol::Tcp, endpoints)
}

async fn apply(services: &mut Services, all: Vec<ServiceNet>) {
    services.update(&full(all));
    services.apply().await.unwrap();
    // No change is refused and made good by a load of everything.
    assert_eq!(services.check().await.unwrap(), None);
}

const THREE: [(&str, &str); 3] = [(PODS[0], "node"), (PODS[1], "node"), (PODS[2], "other")];

#[test]
fn every_client_reaches_every_backend_by_every_address() {
    on_node(async |net, services| {
        apply(services, vec![tcp(&THREE)]).await;
        // The outside routes the external address to the node, as a balancer or ARP would.
        for n in ["out", "other"] {
            let name = net.name(n);
            let words = ["-n", &name, "route", "add", "192.0.2.50/32", "via", NODE];
            assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        }
        // 60 connections miss one of three once in 10^10.
        for (client, to) in [
            ("pod0", VIP),
            ("node", VIP),
            ("out", NODE_PORT),
            ("other", NODE_PORT),
            ("pod0", NODE_PORT),
            ("node", NODE_PORT),
            ("out", EXTERNAL),
            ("pod1", EXTERNAL),
            ("node", EXTERNAL),
        ] {
            let spread = net.spread(client, to, 60);
            assert_eq!(spread.len(), 3, "{client} to {to}: {spread:?}");
        }
        assert!(net.tcp("node", "127.0.0.1:30080").is_err(), "not at 127.0.0.1");
    });
}

#[test]
fn addresses_of_clients_are_kept_where_answers_come_by_the_node() {
    on_node(async |net, services| {
        let one = |n: usize| vec![tcp(&THREE[n..=n])];
        apply(services, one(0)).await;
        assert_eq!(net.tcp("pod1", VIP).unwrap(), "pod0 10.42.1.3");
        assert_eq!(net.tcp("out", NODE_PORT).unwrap(), format!("pod0 {OUTSIDE}"));
        // Itself: the only address that makes its answer come back by the node.
        assert_eq!(net.tcp("pod0", VIP).unwrap(), "pod0 169.254.1.1");
        // On another node: a pod as it is, others by the node's address.
        apply(services, one(2)).await;
        assert_eq!(net.tcp("pod1", VIP).unwrap(), "other 10.42.1.3");
        assert_eq!(net.tcp("out", NODE_PORT).unwrap(), format!("other {NODE}"));
        // To pods directly without NAT, to the world by the node's address.
        assert_eq!(net.tcp("pod0", "10.42.2.2:8080").unwrap(), "other 10.42.1.2");
        assert_eq!(net.tcp("pod0", &format!("{OUTSIDE}:8080")).unwrap(), format!("out {NODE}"));
        // A Service may lead outside.
        apply(services, vec![tcp(&[(OUTSIDE, "")])]).await;
        assert_eq!(net.tcp("pod0", VIP).unwrap(), format!("out {NODE}"));
        assert_eq!(net.tcp("other", NODE_PORT).unwrap(), format!("out {NODE}"));
    });
}

#[test]
fn a_service_without_endpoints_answers_at_once() {
    on_node(async |net, services| {
        apply(services, vec![tcp(&[])]).await;
        for (client, to) in [
            ("pod0", VIP),
            ("node", VIP),
            ("out", NODE_PORT),
            ("node", NODE_PORT),
            // Of no Service at all.
            ("pod0", "10.43.7.7:80"),
            ("node", "10.43.7.7:80"),
        ] {
            let start = Instant::now();
            let error = net.tcp(client, to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{client} to {to}: {error}");
            assert!(start.elapsed() < Duration::from_millis(500), "{client} to {to}: {:?}", start.elapsed());
        }
        let error = net.udp("pod0", "10.43.0.1:53").ask().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        // And one comes.
        apply(services, vec![tcp(&THREE[..1])]).await;
        assert_eq!(net.tcp("pod1", VIP).unwrap(), "pod0 10.42.1.3");
    });
}

#[test]
fn local_policies_keep_to_the_node() {
    on_node(async |net, services| {
        let mut s = tcp(&THREE);
        s.external_local = true;
        apply(services, vec![s.clone()]).await;
        let spread = net.spread("out", NODE_PORT, 30);
        assert_eq!(spread.keys().collect::<Vec<_>>(), ["pod0", "pod1"]);
        assert!(net.tcp("out", NODE_PORT).unwrap().ends_with(OUTSIDE), "the client's address is kept");
        // Pods and the node are no clients from outside.
        assert_eq!(net.spread("pod0", NODE_PORT, 60).len(), 3);
        assert_eq!(net.spread("node", NODE_PORT, 60).len(), 3);
        assert_eq!(net.spread("pod0", VIP, 60).len(), 3);
        s.internal_local = true;
        apply(services, vec![s.clone()]).await;
        assert_eq!(net.spread("pod0", VIP, 30).len(), 2);
        // Nobody here: silence.
        s.endpoints.drain(..2);
        apply(services, vec![s.clone()]).await;
        for (client, to) in [("out", NODE_PORT), ("pod0", VIP)] {
            let error = net.tcp(client, to).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{client}: {error}");
        }
        assert_eq!(net.tcp("pod0", NODE_PORT).unwrap(), "other 10.42.1.2");
    });
}

#[test]
fn a_client_with_affinity_stays_while_its_backend_is_there() {
    on_node(async |net, services| {
        let mut s = tcp(&THREE);
        s.affinity_seconds = Some(3600);
        apply(services, vec![s.clone()]).await;
        for (client, to) in [("pod0", VIP), ("node", VIP), ("out", NODE_PORT)] {
            let first = net.spread(client, to, 20);
            assert_eq!(first.len(), 1, "{client}: {first:?}");
            let who = first.keys().next().unwrap().clone();
            // Others come and go: it stays, in whatever number it is now.
            let keep = ["pod0", "pod1", "other"].iter().position(|n| *n == who).unwrap();
            let mut fewer = s.clone();
            fewer.endpoints.remove((keep + 1) % 3);
            apply(services, vec![fewer]).await;
            assert_eq!(net.spread(client, to, 10), [(who.clone(), 10)].into());
            apply(services, vec![s.clone()]).await;
            assert_eq!(net.spread(client, to, 10), [(who.clone(), 10)].into());
            // It goes itself: another one, and from then on that one.
            let mut without = s.clone();
            without.endpoints.remove(keep);
            apply(services, vec![without]).await;
            let next = net.spread(client, to, 20);
            assert!(next.len() == 1 && !next.contains_key(&who), "{client}: {next:?}");
            apply(services, vec![s.clone()]).await;
            assert_eq!(net.spread(client, to, 10), next.into_keys().map(|n| (n, 10)).collect());
        }
        // Without it, they spread again.
        apply(services, vec![tcp(&THREE)]).await;
        assert_eq!(net.spread("pod0", VIP, 60).len(), 3);
    });
}

#[test]
fn affinity_ends_with_its_time() {
    on_node(async |net, services| {
        let mut s = tcp(&THREE);
        s.affinity_seconds = Some(1);
        apply(services, vec![s]).await;
        let mut seen = std::collections::BTreeSet::new();
        // Longer apart than it lasts: 12 times the same of three, once in 177,147.
        for _ in 0..12 {
            seen.extend(net.spread("pod0", VIP, 2).into_keys());
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        assert!(seen.len() > 1, "{seen:?}");
    });
}

#[test]
fn flows_of_udp_leave_one_that_is_gone() {
    on_node(async |net, services| {
        let udp = |endpoints| service(PortProtocol::Udp, endpoints);
        apply(services, vec![udp(&THREE[..1])]).await;
        let clients = [net.udp("pod1", VIP), net.udp("node", VIP), net.udp("out", NODE_PORT)];
        for client in &clients {
            assert!(client.ask().unwrap().starts_with("pod0 "));
        }
        // Another one comes: flows stay where they are.
        apply(services, vec![udp(&THREE)]).await;
        for client in &clients {
            for _ in 0..5 {
                assert!(client.ask().unwrap().starts_with("pod0 "));
            }
        }
        services.update(&full(vec![udp(&THREE[1..2])]));
        assert_eq!(services.apply().await.unwrap().flows, 3);
        for client in &clients {
            assert!(client.ask().unwrap().starts_with("pod1 "));
        }
        services.update(&full(vec![udp(&[])]));
        assert_eq!(services.apply().await.unwrap().flows, 3);
        let error = clients[0].ask().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    });
}

#[test]
fn tcp_connections_outlive_changes_and_a_load_of_everything() {
    on_node(async |net, services| {
        let vip = VIP.parse().unwrap();
        // A server that talks back: what it is sent.
        net.within("pod0", || {
            let listener = std::net::TcpListener::bind("10.42.1.2:8081").unwrap();
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = stream.try_clone().unwrap();
                drop(std::io::copy(&mut reader, &mut stream));
            });
        });
        let mut s = tcp(&THREE[..1]);
        s.endpoints[0].ports = vec![Some(8081)];
        apply(services, vec![s]).await;
        let mut stream =
            net.within("pod1", move || std::net::TcpStream::connect_timeout(&vip, Duration::from_secs(2)).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut echo = || {
            use std::io::Write as _;
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
        };
        echo();
        // Another one now, and a new start of the agent.
        apply(services, vec![tcp(&THREE[1..2])]).await;
        echo();
        let mut anew = Services::new("ab12cd34", "node", Nft::new()).unwrap();
        apply(&mut anew, vec![tcp(&THREE[1..2])]).await;
        echo();
    });
}

#[test]
fn what_others_do_to_the_table_is_undone_and_what_they_do_elsewhere_is_theirs() {
    on_node(async |net, services| {
        assert_eq!(services.check().await.unwrap(), None, "nothing to watch yet");
        apply(services, vec![tcp(&THREE)]).await;
        assert_eq!(services.check().await.unwrap(), None);
        // Tables of others come, change and go.
        net.nft("node", "add table ip nat");
        net.nft("node", "add chain ip nat PREROUTING { type nat hook prerouting priority -100; }");
        net.nft("node", "add table ip evenkeel_other");
        assert_eq!(services.check().await.unwrap(), None);
        for harm in [
            "flush ruleset",
            "delete table ip evenkeel_ab12cd34",
            "flush table ip evenkeel_ab12cd34",
            "flush map ip evenkeel_ab12cd34 backends",
            "delete element ip evenkeel_ab12cd34 services { 10.43.0.1 . tcp . 80 }",
            "add rule ip evenkeel_ab12cd34 prerouting drop",
        ] {
            net.nft("node", harm);
            let drift = services.check().await.unwrap().unwrap_or_else(|| panic!("{harm} was not seen"));
            assert!(drift.message.contains("evenkeel_ab12cd34"), "{}", drift.message);
            assert_eq!(net.spread("pod0", VIP, 40).len(), 3, "{harm}");
            assert_eq!(services.check().await.unwrap(), None, "{harm}");
        }
        // While a change of ours is due.
        net.nft("node", "flush ruleset");
        services.update(&full(vec![tcp(&THREE[..1])]));
        assert!(services.apply().await.unwrap().full);
        assert!(services.check().await.unwrap().is_some());
        assert_eq!(net.spread("pod1", VIP, 10), [("pod0".to_string(), 10)].into());
        Services::remove(&Nft::new(), "ab12cd34").await.unwrap();
        Services::remove(&Nft::new(), "ab12cd34").await.unwrap();
        assert_eq!(net.nft("node", "list tables"), "");
    });
}

#[test]
fn a_large_load_is_not_taken_for_somebody_elses() {
    on_node(async |net, services| {
        // More than the listening socket keeps.
        let many: Vec<ServiceNet> = (1..3000_u16)
            .map(|n| {
                let mut s = tcp(&THREE);
                s.id.name = n.to_string().into();
                let [high, low] = n.to_be_bytes();
                s.cluster_ips = vec![Ipv4Addr::new(10, 43, 100 + high, low).into()];
                s.external_ips.clear();
                s.ports[0].node_port = None;
                s
            })
            .collect();
        apply(services, many).await;
        assert_eq!(services.check().await.unwrap(), None);
        net.nft("node", "flush ruleset");
        assert!(services.check().await.unwrap().is_some());
        assert_eq!(services.check().await.unwrap(), None);
        assert_eq!(net.spread("pod0", "10.43.100.77:80", 40).len(), 3);
    });
}

#[test]
fn somebody_else_may_write_all_the_time() {
    on_node(async |net, services| {
        let name = net.name("node");
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = stop.clone();
        let other = std::thread::spawn(move || {
            kit::enter_namespace(&name);
            let mut writes = 0;
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                let words = ["add table ip nat; add chain ip nat x; delete chain ip nat x"];
                assert!(std::process::Command::new("nft").args(words).status().unwrap().success());
                writes += 1;
            }
            writes
        });
        for n in 0..30 {
            services.update(&full(vec![tcp(&THREE[..=n % 3])]));
            services.apply().await.unwrap();
            // What may be doubted is made again once, and nothing is said of it.
            assert_eq!(services.check().await.unwrap(), None);
            assert_eq!(services.check().await.unwrap(), None);
        }
        net.nft("node", "flush table ip evenkeel_ab12cd34");
        assert!(services.check().await.unwrap().is_some());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(other.join().unwrap() > 10);
        assert_eq!(net.spread("pod1", VIP, 60).len(), 3);
    });
}

#[test]
fn a_port_of_the_node_leads_to_its_pod() {
    on_node(async |net, services| {
        apply(services, Vec::new()).await;
        let port = HostPort {
            host_address: None,
            host_port: 8443,
            protocol: PortProtocol::Tcp,
            address: PODS[0].parse().unwrap(),
            port: 8080,
        };
        let pod: Arc<str> = "p".into();
        services.set_host_ports(&pod, &[port]);
        // At the node's addresses and at its localhost, and the pod may be sent to itself.
        assert_eq!(services.apply().await.unwrap().elements, 5);
        let to = format!("{NODE}:8443");
        for (client, seen) in [("out", OUTSIDE), ("other", OTHER), ("pod1", PODS[1]), ("pod0", "169.254.1.1")] {
            assert_eq!(net.tcp(client, &to).unwrap(), format!("pod0 {seen}"));
        }
        assert!(net.tcp("node", &to).unwrap().starts_with("pod0 "));
        // At one address alone.
        services.set_host_ports(&pod, &[HostPort { host_address: Some("192.0.2.9".parse().unwrap()), ..port }]);
        services.apply().await.unwrap();
        assert_eq!(net.tcp("out", &to).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        services.set_host_ports(&pod, &[]);
        assert!(services.apply().await.unwrap().elements > 0);
        assert!(!net.nft("node", "list ruleset").contains("8443"));
    });
}

#[test]
fn no_connection_fails_while_endpoints_come_and_go() {
    on_node(async |net, services| {
        apply(services, vec![tcp(&THREE)]).await;
        let vip = VIP.parse().unwrap();
        let name = net.name("pod1");
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = stop.clone();
        let client = std::thread::spawn(move || {
            kit::enter_namespace(&name);
            let mut count = 0;
            // A client that uses its ports again is in its own way, by what conntrack remembers.
            while !until.load(std::sync::atomic::Ordering::Relaxed) && count < 10_000 {
                // To its end: a server that is not waited for drops those that it has no room for.
                let stream = std::net::TcpStream::connect_timeout(&vip, Duration::from_secs(1));
                let mut stream = stream.unwrap_or_else(|e| panic!("after {count}: {e}"));
                stream.read_to_string(&mut String::new()).unwrap();
                count += 1;
            }
            count
        });
        // Counts go up and down, and all of it is made anew now and then.
        for n in 0..40 {
            services.update(&full(vec![tcp(&THREE[..=n % 3])]));
            services.apply().await.unwrap();
            if n % 2 == 1 {
                let mut anew = Services::new("ab12cd34", "node", Nft::new()).unwrap();
                apply(&mut anew, vec![tcp(&THREE)]).await;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let count: u32 = client.join().expect("a connection failed");
        assert!(count > 100, "{count}");
    });
}

#[test]
fn dockers_rules_are_left_alone_and_what_blocks_pods_is_named() {
    on_node(async |net, services| {
        for words in [
            "add table ip nat",
            "add chain ip nat DOCKER",
            "add chain ip nat PREROUTING { type nat hook prerouting priority -100; }",
            "add rule ip nat PREROUTING fib daddr type local jump DOCKER",
            "add rule ip nat DOCKER tcp dport 7000 dnat to 10.42.2.2:8080",
            "add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }",
            "add rule ip nat POSTROUTING ip saddr 172.17.0.0/16 oifname != docker0 masquerade",
        ] {
            net.nft("node", words);
        }
        let before = net.nft("node", "list table ip nat");
        apply(services, vec![tcp(&THREE[..1])]).await;
        assert_eq!(net.tcp("out", NODE_PORT).unwrap(), format!("pod0 {OUTSIDE}"));
        assert_eq!(net.tcp("pod1", VIP).unwrap(), "pod0 10.42.1.3");
        assert_eq!(services.blockers().await.unwrap(), Vec::<String>::new());
        net.nft("node", "add table ip filter");
        net.nft("node", "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
        let blockers = services.blockers().await.unwrap();
        assert!(blockers.len() == 1 && blockers[0].contains("ip filter FORWARD"), "{blockers:?}");
        assert_eq!(net.nft("node", "list table ip nat"), before);
    });
}
