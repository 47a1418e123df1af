//! A small network of its own for a test: a node with two pods, another node with a pod, and a
//! machine outside, each a network namespace, on one switch. All of it goes when the test ends.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    process::{Command, id},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use evenkeel_model::{
    ids::Uid,
    net::{
        Endpoint, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet,
        ServicePort,
    },
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Longest wait of a client: silence is told from an answer by it.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The node's address, the other node's, and that of a machine outside.
pub(crate) const NODE: &str = "192.0.2.1";
pub(crate) const OTHER: &str = "192.0.2.2";
pub(crate) const OUTSIDE: &str = "192.0.2.100";

/// Pods: two of the node and one of the other.
pub(crate) const PODS: [&str; 3] = ["10.42.1.2", "10.42.1.3", "10.42.2.2"];

/// The network.
pub(crate) struct Net {
    prefix: String,
}

impl Net {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let net = Self { prefix: format!("ek{}x{}", id(), COUNT.fetch_add(1, Ordering::Relaxed)) };
        let name = |n: &str| net.name(n);
        let mut script = String::new();
        for n in ["sw", "node", "other", "out", "pod0", "pod1"] {
            ip(&["netns", "add", &name(n)]);
        }
        let (sw, node) = (name("sw"), name("node"));
        ip(&["-n", &sw, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &sw, "link", "set", "br0", "up"]);
        for (n, address) in [("node", NODE), ("other", OTHER), ("out", OUTSIDE)] {
            let ns = name(n);
            ip(&["-n", &sw, "link", "add", n, "type", "veth", "peer", "name", "eth0", "netns", &ns]);
            ip(&["-n", &sw, "link", "set", n, "master", "br0", "up"]);
            for line in ["link set lo up".into(), format!("addr add {address}/24 dev eth0"), "link set eth0 up".into()]
            {
                script.push_str(&format!("{ns} {line}\n"));
            }
        }
        for (n, address) in PODS.iter().enumerate().take(2) {
            let (ns, link) = (name(&format!("pod{n}")), format!("veth{n}"));
            ip(&["-n", &node, "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &ns]);
            script.push_str(&format!(
                "{node} addr add 169.254.1.1/32 dev {link}\n{node} link set {link} up\n{node} route add {address}/32 dev {link}\n\
                 {ns} link set lo up\n{ns} addr add {address}/32 dev eth0\n{ns} link set eth0 up\n\
                 {ns} route add 169.254.1.1 dev eth0 scope link\n{ns} route add default via 169.254.1.1\n"
            ));
        }
        let other = name("other");
        script.push_str(&format!(
            "{node} route add 10.42.2.0/24 via {OTHER}\n{other} route add 10.42.1.0/24 via {NODE}\n\
             {other} addr add {}/32 dev lo\n{node} route add default via {OUTSIDE}\n",
            PODS[2]
        ));
        for line in script.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            ip(&[&["-n"], words.as_slice()].concat());
        }
        net.within("node", || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            // A pod that is sent to itself would be told of a shorter way.
            for conf in ["all", "veth0", "veth1"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{conf}/send_redirects"), "0").unwrap();
            }
        });
        net
    }

    pub(crate) fn name(&self, n: &str) -> String {
        format!("{}{n}", self.prefix)
    }

    /// Does something in one of the namespaces, on a thread of its own.
    pub(crate) fn within<T: Send + 'static>(&self, n: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
        let name = self.name(n);
        thread::spawn(move || {
            enter_namespace(&name);
            f()
        })
        .join()
        .unwrap()
    }

    /// Serves TCP and UDP there: answers with its name and the client's address.
    pub(crate) fn serve(&self, n: &str, address: &str, port: u16, says: &'static str) {
        let to: SocketAddr = format!("{address}:{port}").parse().unwrap();
        self.within(n, move || {
            let (tcp, udp) = (TcpListener::bind(to).unwrap(), UdpSocket::bind(to).unwrap());
            thread::spawn(move || {
                for stream in tcp.incoming() {
                    let Ok(mut stream) = stream else { continue };
                    let peer = stream.peer_addr().map(|p| p.ip().to_string()).unwrap_or_default();
                    // A client that went away is its own business.
                    drop(write!(stream, "{says} {peer}"));
                }
            });
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                    drop(udp.send_to(format!("{says} {}", peer.ip()).as_bytes(), peer));
                }
            });
        });
    }

    /// What a server says to a client there.
    pub(crate) fn tcp(&self, n: &str, to: &str) -> io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.within(n, move || {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said)
        })
    }

    /// A client of UDP there that keeps its port.
    pub(crate) fn udp(&self, n: &str, to: &str) -> Udp {
        let to: SocketAddr = to.parse().unwrap();
        self.within(n, move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            Udp(socket, to)
        })
    }

    /// Which servers answer so many connections.
    pub(crate) fn spread(&self, n: &str, to: &str, count: usize) -> std::collections::BTreeMap<String, usize> {
        let mut out = std::collections::BTreeMap::new();
        for _ in 0..count {
            let said = self.tcp(n, to).unwrap();
            *out.entry(said.split(' ').next().unwrap().to_string()).or_default() += 1;
        }
        out
    }

    /// Runs `nft` there.
    pub(crate) fn nft(&self, n: &str, words: &str) -> String {
        let out =
            Command::new("ip").args(["netns", "exec", &self.name(n), "nft"]).args(words.split(' ')).output().unwrap();
        assert!(out.status.success(), "nft {words}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Enters the node with this thread, for good.
    pub(crate) fn enter_node(&self) {
        enter_namespace(&self.name("node"));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for n in ["pod0", "pod1", "out", "other", "node", "sw"] {
            drop(Command::new("ip").args(["netns", "del", &self.name(n)]).status());
        }
    }
}

/// A client of UDP.
pub(crate) struct Udp(UdpSocket, SocketAddr);

impl Udp {
    pub(crate) fn ask(&self) -> io::Result<String> {
        self.0.connect(self.1)?;
        self.0.send(b"?")?;
        let mut buffer = [0; 64];
        let length = self.0.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into())
    }
}

/// Enters a namespace with this thread, for good.
pub(crate) fn enter_namespace(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn ip(words: &[&str]) {
    let out = Command::new("ip").args(words).output().expect("these tests need iproute2 (scripts/test-needs.sh)");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "ip {words:?}: {said}; these tests need root");
}

/// A Service `default/web`, 10.43.0.1:80 to port 8080 of these, by both protocols where `port` says.
pub(crate) fn service(protocol: PortProtocol, endpoints: &[(&str, &str)]) -> ServiceNet {
    ServiceNet {
        cluster_ips: vec![Ipv4Addr::new(10, 43, 0, 1).into()],
        ports: vec![ServicePort { name: String::new(), protocol, port: 80, node_port: Some(30080) }],
        external_ips: vec!["192.0.2.50".parse().unwrap()],
        endpoints: endpoints
            .iter()
            .map(|(address, node)| Endpoint {
                node: Some(Arc::from(*node)),
                ..Endpoint::ready(address.parse().unwrap(), vec![Some(8080)])
            })
            .collect(),
        ..ServiceNet::new(ServiceId { namespace: "default".into(), name: "web".into() }, Uid::from_random(1))
    }
}

/// A full update of the node.
pub(crate) fn full(services: Vec<ServiceNet>) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number: 1,
        full: true,
        settings: Some(NetworkSettings { mode: NetworkMode::Routes, ..NetworkSettings::default() }),
        nodes: vec![NodeNet {
            name: "node".into(),
            address: Some(NODE.parse().unwrap()),
            pod_cidr: Some("10.42.1.0/24".parse().unwrap()),
            zone: None,
        }],
        services: services.into_iter().map(Arc::new).collect(),
        ..NetworkUpdate::default()
    }
}
