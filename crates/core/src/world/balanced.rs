//! Services of type LoadBalancer by their ports: who has one at the nodes' own addresses, and who waits
//! for it.
//!
//! A node's address has each port once, so a port belongs to one Service, whichever came first: its
//! object's status says that it has it. Deliberately not here: what a Service gets (`controllers::balancer`).

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::net::Ipv4Addr;

use evenkeel_model::{
    Key, Object, Time,
    names::BALANCER_CONDITION as CONDITION,
    net::{PortId, PortProtocol},
};
use imbl::{OrdMap, OrdSet};
use serde::Deserialize;

use crate::change::Changed;

/// `loadBalancerClass` of Services that are Evenkeel's, where they have one.
pub const CLASS: &str = "evenkeel.dev/load-balancer";
/// Reason of a Service's condition ([`CONDITION`]): reached at the nodes' addresses.
pub const AT_NODES: &str = "AtNodes";
/// Its reason: no node has opened its ports yet, or can.
pub const NO_NODE: &str = "NoNode";
/// Its reason: programs or pods have its ports on all nodes.
pub const PORT_IN_USE: &str = "PortInUse";
/// Its reason: it has an address of a pool.
pub const AT_POOL: &str = "AtPool";

/// What is kept of a Service of type LoadBalancer that is Evenkeel's to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its ports, sorted.
    pub ports: Vec<PortId>,
    /// Ports that its status says it has at addresses, sorted.
    listed: Vec<PortId>,
    /// Whether its status says that the nodes' ports are its.
    holds: bool,
    /// Its address of a pool, by its status.
    address: Option<Ipv4Addr>,
    created: Time,
}

impl Claim {
    /// Its address of a pool.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }

    /// Whether its ports at the nodes' addresses are its own.
    pub fn holds(&self) -> bool {
        self.holds
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Balanced {
    claims: OrdMap<Key, Arc<Claim>>,
    by_port: OrdMap<PortId, OrdSet<Key>>,
    by_address: OrdMap<Ipv4Addr, OrdSet<Key>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "type")]
    kind: Option<String>,
    load_balancer_class: Option<String>,
    ports: Vec<Port>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Port {
    port: u16,
    protocol: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: LoadBalancer,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ingress {
    ip: Option<Ipv4Addr>,
    ports: Vec<Port>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
}

impl Balanced {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.claims.keys()
    }

    /// What is kept of a Service.
    pub fn get(&self, key: &Key) -> Option<&Claim> {
        self.claims.get(key).map(|c| &**c)
    }

    /// Services with a port, whoever has it.
    pub fn wanting(&self, port: PortId) -> impl Iterator<Item = &Key> {
        self.by_port.get(&port).into_iter().flatten()
    }

    /// Who has a port at the nodes' addresses. Where the status of two says so, because one changed its
    /// ports, the one that is reached there.
    pub fn holder(&self, port: PortId) -> Option<&Key> {
        let holding = self.wanting(port).filter_map(|key| Some((key, self.get(key).filter(|c| c.holds)?)));
        holding.min_by_key(|(key, claim)| (!claim.listed.contains(&port), claim.created, *key)).map(|(key, _)| key)
    }

    /// Whose an address of a pool is: of two whose status says so, as of copies of one, that of the older.
    pub fn of_address(&self, address: Ipv4Addr) -> Option<&Key> {
        let all = self.by_address.get(&address).into_iter().flatten();
        all.min_by_key(|key| (self.get(key).map(|c| c.created), *key))
    }

    /// Addresses of pools that are taken, from one on, in order.
    pub fn addresses_from(&self, first: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
        self.by_address.range(first..).map(|(address, _)| *address)
    }

    /// Follows a Service's object.
    pub(super) fn update(&mut self, changed: &Changed) {
        let (key, claim) = (&changed.key, changed.new.as_deref().and_then(read));
        if claim.as_ref() == self.get(key) {
            return;
        }
        if let Some(old) = self.claims.remove(key) {
            old.ports.iter().for_each(|port| drop_from(&mut self.by_port, port, key));
            old.address.iter().for_each(|address| drop_from(&mut self.by_address, address, key));
        }
        let Some(claim) = claim else { return };
        for port in &claim.ports {
            self.by_port.entry(*port).or_default().insert(key.clone());
        }
        if let Some(address) = claim.address {
            self.by_address.entry(address).or_default().insert(key.clone());
        }
        self.claims.insert(key.clone(), Arc::new(claim));
    }
}

fn drop_from<K: Ord + Clone>(index: &mut OrdMap<K, OrdSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = index.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            index.remove(at);
        }
    }
}

/// What is kept of a Service; `None` of one that is no LoadBalancer of Evenkeel's.
pub fn read(object: &Object) -> Option<Claim> {
    // What cannot be read (it was checked when it came in) asks for nothing.
    let Body { spec } = serde_json::from_slice(&object.body).unwrap_or_default();
    let ours = spec.load_balancer_class.as_deref().is_none_or(|class| class.is_empty() || class == CLASS);
    if spec.kind.as_deref() != Some("LoadBalancer") || !ours || object.deleting() {
        return None;
    }
    let status: Status = object.status().ok().flatten().unwrap_or_default();
    let reason = status.conditions.iter().find(|c| c.kind == CONDITION).map(|c| &*c.reason);
    let of_pool = |i: &Ingress| i.ip.filter(|_| reason == Some(AT_POOL));
    Some(Claim {
        ports: ids(spec.ports),
        address: status.load_balancer.ingress.iter().find_map(of_pool),
        listed: ids(status.load_balancer.ingress.into_iter().flat_map(|i| i.ports)),
        holds: reason.is_some_and(|r| [AT_NODES, NO_NODE, PORT_IN_USE].contains(&r)),
        created: object.meta.created,
    })
}

fn ids(ports: impl IntoIterator<Item = Port>) -> Vec<PortId> {
    let id = |p: Port| {
        let protocol = match p.protocol.as_deref() {
            None | Some("TCP") => PortProtocol::Tcp,
            Some("UDP") => PortProtocol::Udp,
            Some(_) => return None,
        };
        Some(PortId { port: p.port, protocol })
    };
    let mut all: Vec<PortId> = ports.into_iter().filter_map(id).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A pod's port of the node as a port; `None` for a protocol that no Service has.
pub fn host_port(protocol: &str, port: i32) -> Option<PortId> {
    ids([Port { port: u16::try_from(port).ok()?, protocol: Some(protocol.to_string()) }]).first().copied()
}
