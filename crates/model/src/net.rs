//! The cluster's network as plain data: ranges of addresses, and what every agent is told of nodes
//! and Services so that it can make them real on its node and go on while the server is away.
//!
//! A session brings one full [`NetworkUpdate`] and then differences. Types hold any address family;
//! only IPv4 is accepted today. Deliberately not here: who gets which address (`core`), and how a
//! kernel is brought there (`evenkeel-net`).

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::{ids::Uid, policy::PolicyUpdate};

/// A range of IPv4 addresses in CIDR notation, its host bits zero: `10.42.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    first: u32,
    prefix: u8,
}

/// A text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a range of IPv4 addresses: {reason}")]
pub struct CidrError {
    /// What was found.
    pub text: String,
    /// What is wrong with it, with what to write.
    pub reason: String,
}

impl Cidr {
    /// The range of `prefix` bits (at most 32) that holds an address.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { first: u32::from(address) & mask(prefix), prefix }
    }

    /// Its first address, which names it.
    pub fn network(self) -> Ipv4Addr {
        self.first.into()
    }

    /// Its last address.
    pub fn last(self) -> Ipv4Addr {
        (self.first | !mask(self.prefix)).into()
    }

    /// Bits that all of its addresses share.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses it holds.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// Its address number `n`, counted from 0.
    pub fn nth(self, n: u64) -> Option<Ipv4Addr> {
        let n = u32::try_from(n).ok().filter(|_| n < self.size())?;
        Some((self.first + n).into())
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(a) if u32::from(a) & mask(self.prefix) == self.first)
    }

    /// Whether it shares an address with another one.
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        self.first & mask(shorter) == other.first & mask(shorter)
    }

    /// Its part number `n` when it is cut into ranges of `prefix` bits.
    pub fn part(self, prefix: u8, n: u64) -> Option<Self> {
        if prefix < self.prefix || prefix > 32 || n >= self.parts(prefix) {
            return None;
        }
        let first = self.nth(n << (32 - u32::from(prefix)))?;
        Some(Self { first: first.into(), prefix })
    }

    /// How many ranges of `prefix` bits it has.
    pub fn parts(self, prefix: u8) -> u64 {
        if (self.prefix..=32).contains(&prefix) { 1 << (prefix - self.prefix) } else { 0 }
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = |reason: String| CidrError { text: text.into(), reason };
        let Some((address, prefix)) = text.split_once('/') else {
            return Err(bad("it needs a length, as in 10.42.0.0/16".into()));
        };
        if address.parse::<core::net::Ipv6Addr>().is_ok() {
            return Err(bad("IPv6 is not supported yet".into()));
        }
        let address: Ipv4Addr = address.parse().map_err(|_| bad(format!("`{address}` is not an IPv4 address")))?;
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|p| *p <= 32)
            .ok_or_else(|| bad(format!("`{prefix}` is not a length from 0 to 32")))?;
        let cidr = Self::around(address, prefix);
        if cidr.network() != address {
            return Err(bad(format!("{address} lies within it; its first address is {cidr}")));
        }
        Ok(cidr)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What an agent is told of the network: all of it when its session begins, then what changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkUpdate {
    /// The session that it belongs to, as its hello numbered it.
    pub session: u64,
    /// Rises with each update, over all sessions and starts of the server: the version of the world
    /// that it was made from. An agent reports the highest that its kernel follows.
    pub number: u64,
    /// Whether it is everything: what it does not name is gone.
    pub full: bool,
    /// How the network is laid out; always there in a full update.
    pub settings: Option<NetworkSettings>,
    /// Nodes that are new or changed, the agent's own among them.
    pub nodes: Vec<NodeNet>,
    /// Nodes that are gone.
    pub gone_nodes: Vec<Arc<str>>,
    /// Services that are new or changed.
    pub services: Vec<Arc<ServiceNet>>,
    /// Services that are gone.
    pub gone_services: Vec<ServiceId>,
    /// NetworkPolicies and the pods of which they speak.
    #[serde(default)]
    pub policy: PolicyUpdate,
}

/// How the cluster's network is laid out. Fixed when a cluster is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSettings {
    /// Addresses of pods; each node has a part of it.
    pub cluster_cidr: Cidr,
    /// Addresses of Services.
    pub service_cidr: Cidr,
    /// The DNS server's address: within `service_cidr`, answered by every node itself.
    pub dns: IpAddr,
    /// The domain of the cluster, without dots at its ends: `cluster.local`.
    pub domain: String,
    /// How pods reach those of other nodes.
    pub mode: NetworkMode,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            cluster_cidr: Cidr::around(Ipv4Addr::new(10, 42, 0, 0), 16),
            service_cidr: Cidr::around(Ipv4Addr::new(10, 43, 0, 0), 16),
            dns: Ipv4Addr::new(10, 43, 0, 10).into(),
            domain: "cluster.local".into(),
            mode: NetworkMode::default(),
        }
    }
}

/// How packets of pods travel between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Routes to nodes on the same link, VXLAN to others.
    #[default]
    Auto,
    /// Plain routes alone.
    Routes,
    /// VXLAN alone.
    Vxlan,
}

/// A node of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNet {
    /// Its name.
    pub name: Arc<str>,
    /// Its `InternalIP`; `None` before it said one.
    pub address: Option<IpAddr>,
    /// The addresses of its pods; `None` where it has none yet.
    pub pod_cidr: Option<Cidr>,
    /// `topology.kubernetes.io/zone`, where it has one.
    pub zone: Option<Arc<str>>,
}

/// Names a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// A Service and who stands behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceNet {
    /// Its name.
    pub id: ServiceId,
    /// Its uid.
    pub uid: Uid,
    /// Its addresses; none where it is headless or a name alone.
    pub cluster_ips: Vec<IpAddr>,
    /// `externalName`: the name that it stands for.
    pub external_name: Option<String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses that were given to it as a LoadBalancer.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `sessionAffinity: ClientIP`: for how many seconds.
    pub affinity_seconds: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// `healthCheckNodePort`.
    pub health_check_port: Option<u16>,
    /// `publishNotReadyAddresses`: names and endpoints do not wait for readiness.
    pub publish_not_ready: bool,
    /// How it is reached from outside, as a LoadBalancer.
    #[serde(default)]
    pub balancer: Balancer,
    /// Who stands behind it, sorted by address.
    pub endpoints: Vec<Endpoint>,
}

impl ServiceNet {
    /// A Service with nothing: no address, no port, and nobody behind it.
    pub fn new(id: ServiceId, uid: Uid) -> Self {
        Self {
            id,
            uid,
            cluster_ips: Vec::new(),
            external_name: None,
            ports: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            affinity_seconds: None,
            internal_local: false,
            external_local: false,
            health_check_port: None,
            publish_not_ready: false,
            balancer: Balancer::default(),
            endpoints: Vec::new(),
        }
    }
}

impl ServicePort {
    /// The port at the Service's addresses, without its name.
    pub fn id(&self) -> PortId {
        PortId { port: self.port, protocol: self.protocol }
    }
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Its name; may be empty where it is the only one.
    pub name: String,
    /// Protocol.
    pub protocol: PortProtocol,
    /// The port at the Service's addresses.
    pub port: u16,
    /// The port at every node's addresses.
    pub node_port: Option<u16>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum PortProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl PortProtocol {
    /// In lower case, as nft and DNS write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl PortProtocol {
    /// In capitals, as Kubernetes writes it.
    pub const fn kubernetes(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// A port with its protocol, as `80/TCP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: PortProtocol,
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.kubernetes())
    }
}

impl FromStr for PortId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no port as 80/TCP");
        let (port, protocol) = text.split_once('/').ok_or_else(bad)?;
        let protocol = match protocol {
            "TCP" => PortProtocol::Tcp,
            "UDP" => PortProtocol::Udp,
            _ => return Err(bad()),
        };
        Ok(Self { port: port.parse().map_err(|_| bad())?, protocol })
    }
}

impl Serialize for PortId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// How a Service of type LoadBalancer is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balancer {
    /// Its ports are to answer at the nodes' own addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_nodes: Option<AtNodes>,
    /// `loadBalancerSourceRanges`: only from there connections are taken; from everywhere where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Cidr>,
    /// The node that announces its addresses, where they are a pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcer: Option<Arc<str>>,
}

/// Something of a node's network that is wrong and lasts, and that its agent cannot put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTrouble {
    /// One word, as of a condition: `AddressTaken`, `ResolversSilent`, `ConnectionTableFull`.
    pub reason: String,
    /// For people: what, and what to do.
    pub message: String,
}

/// At which nodes a Service's ports are to answer: at all but some.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AtNodes {
    /// Those where somebody else has one of its ports, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Arc<str>>,
}

/// Ports of a node's own addresses: for which Services of type LoadBalancer ask, and Ingresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BalancedPorts {
    /// Those that lead to their Service.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<PortId>,
    /// Those that another one has, with who it is, for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<PortId, String>,
    /// Why Ingresses are not served at a port of theirs, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

impl BalancedPorts {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.taken.is_empty() && self.refused.is_empty()
    }
}

/// For which nodes and zones an endpoint is meant first (`trafficDistribution`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hints {
    /// Nodes, by name.
    #[serde(default)]
    pub nodes: Vec<Arc<str>>,
    /// Zones.
    #[serde(default)]
    pub zones: Vec<Arc<str>>,
}

/// One that stands behind a Service. Its flags are those of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// The node that it is on; `None` for one outside.
    pub node: Option<Arc<str>>,
    /// The pod, in the Service's namespace; `None` for one that is no pod.
    pub pod: Option<Arc<str>>,
    /// The pod's `hostname`, where its `subdomain` is the Service's name.
    pub hostname: Option<Arc<str>>,
    /// New connections go to it.
    pub ready: bool,
    /// It answers; still true while it ends.
    pub serving: bool,
    /// It ends.
    pub terminating: bool,
    /// For whom it is meant first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Box<Hints>>,
    /// Its port for each of the Service's ports, in their order; `None` where it has none of that name.
    pub ports: Vec<Option<u16>>,
}

impl Endpoint {
    /// One that is ready, of no node and no pod, with a port for each of the Service's.
    pub fn ready(address: IpAddr, ports: Vec<Option<u16>>) -> Self {
        Self {
            address,
            node: None,
            pod: None,
            hostname: None,
            ready: true,
            serving: true,
            terminating: false,
            hints: None,
            ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_with_care() {
        let cidr: Cidr = "10.42.0.0/16".parse().unwrap();
        assert_eq!(
            (cidr.to_string(), cidr.size(), cidr.last().to_string()),
            ("10.42.0.0/16".into(), 65536, "10.42.255.255".into())
        );
        for (text, reason) in [
            ("10.42.0.0", "needs a length"),
            ("10.42.1.0/16", "10.42.0.0/16"),
            ("10.42.0.0/33", "0 to 32"),
            ("fd00::/64", "IPv6"),
            ("ten/8", "not an IPv4 address"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().size(), 1 << 32);
    }

    #[test]
    fn a_port_is_written_as_kubectl_shows_it() {
        let port = PortId { port: 53, protocol: PortProtocol::Udp };
        assert_eq!(port.to_string(), "53/UDP");
        assert_eq!("53/UDP".parse(), Ok(port));
        for bad in ["53", "53/udp", "x/TCP", "70000/TCP"] {
            assert!(bad.parse::<PortId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_has_parts() {
        let cidr: Cidr = "10.42.0.0/16".parse().unwrap();
        assert_eq!(cidr.parts(24), 256);
        assert_eq!(cidr.part(24, 255).unwrap().to_string(), "10.42.255.0/24");
        assert_eq!(cidr.part(24, 256), None);
        assert_eq!(cidr.part(8, 0), None);
        let part = cidr.part(24, 7).unwrap();
        assert!(cidr.overlaps(part) && part.overlaps(cidr) && !part.overlaps(cidr.part(24, 8).unwrap()));
        assert!(part.contains("10.42.7.9".parse().unwrap()) && !part.contains("10.42.8.0".parse().unwrap()));
        assert_eq!(part.nth(256), None);
    }
}
