//! Which Services of type LoadBalancer have their ports at this node's own addresses.
//!
//! The server says who may have a port (`ServiceNet::balancer`); what listens on this machine already it
//! cannot know, so here is looked before a port is taken. Once taken it stays, also over restarts of the
//! agent and whoever listens there later: who came first stays. A Service has all of its ports or none.
//! Called by `rules` alone. Pure but for [`Listeners`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use evenkeel_model::net::{BalancedPorts, NetworkUpdate, PortId, PortProtocol, ServiceId, ServiceNet, ServicePort};
use serde::{Deserialize, Serialize};

/// Most ports that are had at once: the server keeps all of them with the node.
const MOST_PORTS: usize = 4096;
/// Most of another's ports that are told.
const MOST_TOLD: usize = 256;

/// A Service that has its ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    service: ServiceId,
    ports: BTreeSet<PortId>,
}

/// All Services that ask for ports here.
#[derive(Debug)]
pub(super) struct Balance {
    node: Arc<str>,
    /// Ports that this agent itself takes, with what for: others may not have them even while it has not
    /// begun to.
    reserved: BTreeMap<PortId, String>,
    wanted: BTreeMap<ServiceId, BTreeSet<PortId>>,
    open: BTreeMap<ServiceId, BTreeSet<PortId>>,
    taken: BTreeMap<PortId, String>,
    /// Services whose ports came or went since they were last asked for.
    changed: BTreeSet<ServiceId>,
}

impl Balance {
    /// With those who had their ports when the agent ended.
    pub(super) fn new(node: Arc<str>, reserved: BTreeMap<PortId, String>, opened: &[Opened]) -> Self {
        let open: BTreeMap<_, _> = opened.iter().map(|o| (o.service.clone(), o.ports.clone())).collect();
        Self {
            node,
            reserved,
            wanted: open.clone(),
            changed: open.keys().cloned().collect(),
            open,
            taken: BTreeMap::new(),
        }
    }

    /// Takes in what the server said.
    pub(super) fn update(&mut self, update: &NetworkUpdate) {
        if update.full {
            let named: BTreeSet<&ServiceId> = update.services.iter().map(|s| &s.id).collect();
            let gone: Vec<ServiceId> = self.wanted.keys().filter(|id| !named.contains(id)).cloned().collect();
            for id in &gone {
                self.close(id);
            }
        }
        for id in &update.gone_services {
            self.close(id);
        }
        for service in &update.services {
            let wanted = self.wants(service);
            if wanted.is_empty() {
                self.close(&service.id);
                continue;
            }
            if let Some(open) = self.open.get_mut(&service.id) {
                // What it no longer asks for is another's.
                open.retain(|port| wanted.contains(port));
            }
            self.wanted.insert(service.id.clone(), wanted);
        }
        let wanted: BTreeSet<PortId> = self.wanted.values().flatten().copied().collect();
        self.taken.retain(|port, _| wanted.contains(port));
    }

    fn wants(&self, service: &ServiceNet) -> BTreeSet<PortId> {
        let here = service.balancer.at_nodes.as_ref().is_some_and(|at| !at.except.contains(&self.node));
        service.ports.iter().filter(|_| here).map(ServicePort::id).collect()
    }

    fn close(&mut self, id: &ServiceId) {
        self.wanted.remove(id);
        if self.open.remove(id).is_some() {
            self.changed.insert(id.clone());
        }
    }

    /// Whether somebody waits for ports.
    pub(super) fn waits(&self) -> bool {
        self.wanted.iter().any(|(id, ports)| self.open.get(id) != Some(ports))
    }

    /// Gives ports that nobody has to those who wait for them. `listener` says who listens at a port.
    pub(super) fn decide(&mut self, listener: impl Fn(PortId) -> Option<String>) {
        self.taken.clear();
        for (id, ports) in self.wanted.clone() {
            if self.open.get(&id) == Some(&ports) {
                continue;
            }
            let had = self.open.remove(&id).unwrap_or_default();
            let mut against: Vec<(PortId, String)> = Vec::new();
            for port in ports.difference(&had) {
                let other = self.open.iter().find(|(_, all)| all.contains(port)).map(|(other, _)| other);
                let who = other
                    .map(|other| format!("the Service {}/{}", other.namespace, other.name))
                    .or_else(|| self.reserved.get(port).cloned())
                    .or_else(|| listener(*port));
                against.extend(who.map(|who| (*port, who)));
            }
            let count = self.open.values().map(BTreeSet::len).sum::<usize>() + ports.len();
            if count > MOST_PORTS
                && let Some(port) = ports.first()
            {
                against.push((*port, format!("nobody, but this node has {MOST_PORTS} ports of LoadBalancers already")));
            }
            self.changed.insert(id.clone());
            if against.is_empty() {
                self.open.insert(id, ports);
            } else {
                self.taken.extend(against);
            }
        }
        while self.taken.len() > MOST_TOLD {
            self.taken.pop_last();
        }
    }

    /// Services whose ports came or went, and whether they have them now.
    pub(super) fn changes(&mut self) -> Vec<(ServiceId, bool)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| (id.clone(), self.open.contains_key(&id))).collect()
    }

    /// All who have their ports.
    pub(super) fn opened(&self) -> Vec<Opened> {
        self.open.iter().map(|(id, ports)| Opened { service: id.clone(), ports: ports.clone() }).collect()
    }

    /// What the server hears.
    pub(super) fn ports(&self) -> BalancedPorts {
        BalancedPorts {
            open: self.open.values().flatten().copied().collect(),
            taken: self.taken.clone(),
            refused: Vec::new(),
        }
    }
}

/// What listens on this machine, at any address that others reach.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// By port, with the socket's number.
    at: BTreeMap<PortId, u64>,
}

impl Listeners {
    /// Looks. `besides` is an address that counts as nobody's: the DNS server's.
    pub(super) fn read(besides: Option<IpAddr>) -> io::Result<Self> {
        let mut at = BTreeMap::new();
        for (file, protocol) in [
            ("tcp", PortProtocol::Tcp),
            ("tcp6", PortProtocol::Tcp),
            ("udp", PortProtocol::Udp),
            ("udp6", PortProtocol::Udp),
        ] {
            let text = match fs::read_to_string(Path::new("/proc/self/net").join(file)) {
                // A kernel without IPv6.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for (address, port, socket) in text.lines().skip(1).filter_map(|line| listening(line, protocol)) {
                if !address.is_loopback() && Some(address) != besides {
                    at.entry(PortId { port, protocol }).or_insert(socket);
                }
            }
        }
        Ok(Self { at })
    }

    /// Who listens at a port, for people.
    pub(super) fn who(&self, port: PortId) -> Option<String> {
        self.at.get(&port).map(|socket| program(*socket))
    }
}

/// A line of `/proc/net/tcp` and its like: address, port and number of a socket that takes connections, or
/// packets from anybody.
fn listening(line: &str, protocol: PortProtocol) -> Option<(IpAddr, u16, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    let state = fields.nth(1)?;
    let wanted = match protocol {
        PortProtocol::Tcp => "0A",
        PortProtocol::Udp => "07",
    };
    if state != wanted {
        return None;
    }
    let socket = fields.nth(5)?.parse().ok()?;
    Some((hex_address(address)?, u16::from_str_radix(port, 16).ok()?, socket))
}

/// The kernel writes addresses as words of the machine's own order.
fn hex_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|b| IpAddr::from(Ipv4Addr::from(b))).ok();
    let v6 = || <[u8; 16]>::try_from(bytes.as_slice()).map(|b| Ipv6Addr::from(b).to_canonical()).ok();
    v4.or_else(v6)
}

/// The program that has a socket, for people.
fn program(socket: u64) -> String {
    let wanted = format!("socket:[{socket}]");
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let has = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str());
        if files.into_iter().any(has) {
            if pid == std::process::id() {
                return format!("Evenkeel itself (process {pid})");
            }
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return format!("the program {} (process {pid})", name.trim());
        }
    }
    // Of the kernel, or of a process that this one may not look into.
    "a program of the machine".to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use evenkeel_model::net::AtNodes;

    use super::*;

    fn port(text: &str) -> PortId {
        text.parse().unwrap()
    }

    fn service(name: &str, ports: &[&str]) -> Arc<ServiceNet> {
        let id = ServiceId { namespace: "default".into(), name: name.into() };
        let mut s = ServiceNet::new(id, evenkeel_model::Uid(1));
        let one = |text: &&str| {
            let PortId { port, protocol } = port(text);
            ServicePort { name: (*text).into(), protocol, port, node_port: None }
        };
        s.ports = ports.iter().map(one).collect();
        s.balancer.at_nodes = (!ports.is_empty()).then(AtNodes::default);
        Arc::new(s)
    }

    fn update(full: bool, services: Vec<Arc<ServiceNet>>) -> NetworkUpdate {
        NetworkUpdate { session: 1, number: 1, full, services, ..NetworkUpdate::default() }
    }

    fn open(balance: &mut Balance) -> Vec<String> {
        balance.ports().open.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_service_has_all_of_its_ports_or_none() {
        let mut balance = Balance::new("n1".into(), [(port("443/TCP"), "Ingresses".to_owned())].into(), &[]);
        balance.update(&update(true, vec![service("a", &["80/TCP", "443/TCP"]), service("b", &["53/TCP", "53/UDP"])]));
        assert!(balance.waits());
        let nginx = |p: PortId| (p == port("53/UDP")).then(|| "named".to_owned());
        balance.decide(nginx);
        assert_eq!(open(&mut balance), Vec::<String>::new());
        assert_eq!(
            balance.ports().taken,
            [(port("443/TCP"), "Ingresses".into()), (port("53/UDP"), "named".into())].into()
        );
        balance.decide(|_| None);
        assert_eq!(open(&mut balance), ["53/TCP", "53/UDP"]);
        assert!(balance.waits(), "a still does");
        let b = ServiceId { namespace: "default".into(), name: "b".into() };
        assert!(balance.changes().contains(&(b.clone(), true)));
        balance.update(&update(false, vec![service("b", &[])]));
        assert_eq!(balance.changes(), [(b, false)]);
        balance.update(&update(true, Vec::new()));
        assert!(!balance.waits() && balance.ports().is_empty());
    }

    #[test]
    fn who_came_first_stays() {
        let mut balance = Balance::new("n1".into(), BTreeMap::new(), &[]);
        balance.update(&update(true, vec![service("a", &["80/TCP"])]));
        balance.decide(|_| None);
        // A program that listens there later, over a restart of the agent and with a port more.
        let all = |_| Some("nginx".to_owned());
        let mut balance = Balance::new("n1".into(), BTreeMap::new(), &balance.opened());
        balance.update(&update(true, vec![service("a", &["80/TCP"])]));
        assert!(!balance.waits());
        balance.decide(all);
        assert_eq!(open(&mut balance), ["80/TCP"]);
        balance.update(&update(false, vec![service("a", &["80/TCP", "81/TCP"])]));
        assert!(balance.waits());
        balance.decide(|p| (p == port("80/TCP")).then(|| "nginx".to_owned()));
        assert_eq!(open(&mut balance), ["80/TCP", "81/TCP"], "it had 80 before");
        balance.update(&update(false, vec![service("b", &["81/TCP"])]));
        balance.decide(|_| None);
        assert_eq!(balance.ports().taken[&port("81/TCP")], "the Service default/a");
        let mut not_here = ServiceNet::clone(&service("a", &["80/TCP", "81/TCP"]));
        not_here.balancer.at_nodes = Some(AtNodes { except: vec!["n1".into()] });
        balance.update(&update(false, vec![not_here.into()]));
        balance.decide(|_| None);
        assert_eq!(open(&mut balance), ["81/TCP"], "that of b, where a may not be");
    }

    #[test]
    fn what_listens_is_found_with_its_name() {
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let six = TcpListener::bind("[::]:0").unwrap();
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        let inner = TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = Listeners::read(None).unwrap();
        let at = |port: u16, protocol| listeners.who(PortId { port, protocol });
        let itself = format!("Evenkeel itself (process {})", std::process::id());
        for (socket, protocol) in [
            (tcp.local_addr(), PortProtocol::Tcp),
            (six.local_addr(), PortProtocol::Tcp),
            (udp.local_addr(), PortProtocol::Udp),
        ] {
            assert_eq!(at(socket.unwrap().port(), protocol), Some(itself.clone()));
        }
        assert_eq!(at(inner.local_addr().unwrap().port(), PortProtocol::Tcp), None);
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1";
        assert_eq!(listening(line, PortProtocol::Tcp), Some(("127.0.0.1".parse().unwrap(), 8080, 12345)));
        assert_eq!(listening(line, PortProtocol::Udp), None);
        assert_eq!(hex_address("0000000000000000FFFF00000100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(hex_address("00000000000000000000000000000000"), Some("::".parse().unwrap()));
        assert_eq!(hex_address("xyz"), None);
    }
}
