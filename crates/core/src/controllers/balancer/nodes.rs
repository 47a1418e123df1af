//! The nodes' own addresses.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::net::IpAddr;

use evenkeel_model::{Key, Object, net::PortId};
use k8s_openapi::api::{core::v1::ServiceSpec, discovery::v1::EndpointSlice};

use super::{Provided, Provider, is_spared};
use crate::{
    network::Layout,
    world::{
        World,
        balanced::{AT_NODES, Claim, NO_NODE, PORT_IN_USE},
        nodes::NodeRecord,
    },
};

/// The reason of a Service whose port another one has.
pub(super) const PORT_TAKEN: &str = "PortTaken";
/// Most nodes that a message names.
const MOST_NAMED: usize = 8;

/// Gives the addresses of the nodes.
pub(super) struct AtNodes;

impl Provider for AtNodes {
    fn provide(&self, world: &World, _: &Layout, service: &Object, claim: &Claim) -> Provided {
        if let Some(message) = claim.ports.iter().find_map(|port| anothers(world, &service.key, *port)) {
            return Provided { addresses: Vec::new(), reason: PORT_TAKEN, message, trouble: true, announcer: None };
        }
        let local = service.spec::<ServiceSpec>().unwrap_or_default().external_traffic_policy;
        let only = (local.as_deref() == Some("Local")).then(|| with_endpoint(world, &service.key));
        let mut at = Reached::default();
        for (name, node) in world.nodes.iter().filter(|(_, n)| n.ready && !is_spared(n) && !n.addresses.is_empty()) {
            if let Some((port, who)) = claim.ports.iter().find_map(|p| Some((*p, taken(world, name, node, *p)?))) {
                at.against.entry(format!("port {port} there is {who}")).or_default().push(name.clone());
            } else if !claim.ports.iter().all(|p| node.balanced.open.contains(p)) {
                at.waiting.push(name.clone());
            } else if only.as_ref().is_some_and(|only| !only.contains(name)) {
                at.without.push(name.clone());
            } else {
                at.addresses.extend(node.addresses.iter().copied());
                at.nodes.push(name.clone());
            }
        }
        at.addresses.sort_unstable();
        at.addresses.dedup();
        at.provided()
    }
}

/// How it stands with each node.
#[derive(Default)]
struct Reached {
    addresses: Vec<IpAddr>,
    nodes: Vec<Arc<str>>,
    /// Nodes by what stands against them.
    against: BTreeMap<String, Vec<Arc<str>>>,
    /// Nodes that have not opened its ports yet.
    waiting: Vec<Arc<str>>,
    /// Nodes that could, and where nobody is who may answer.
    without: Vec<Arc<str>>,
}

impl Reached {
    fn provided(self) -> Provided {
        let mut said: Vec<String> = Vec::new();
        if !self.nodes.is_empty() {
            said.push(format!("reached at the nodes {}", named(&self.nodes)));
        }
        for (why, nodes) in &self.against {
            said.push(format!("not at {}: {why}", named(nodes)));
        }
        if !self.without.is_empty() {
            let why = "externalTrafficPolicy is Local, and nobody is ready there";
            said.push(format!("not at {}: {why}", named(&self.without)));
        }
        if !self.waiting.is_empty() {
            said.push(format!("waits for {} to open its ports", named(&self.waiting)));
        }
        if said.is_empty() {
            said.push("no node is ready that has an address".to_owned());
        }
        let blocked = !self.against.is_empty();
        let reason = match (self.addresses.is_empty(), blocked && self.waiting.is_empty()) {
            (false, _) => AT_NODES,
            (true, true) => PORT_IN_USE,
            (true, false) => NO_NODE,
        };
        Provided { addresses: self.addresses, reason, message: said.join("; "), trouble: blocked, announcer: None }
    }
}

fn named(nodes: &[Arc<str>]) -> String {
    let first: Vec<&str> = nodes.iter().take(MOST_NAMED).map(|n| &**n).collect();
    let more = nodes.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// The Service that has a port at all nodes' addresses, in words.
fn anothers(world: &World, own: &Key, port: PortId) -> Option<String> {
    if let Some(other) = world.balanced.holder(port).filter(|k| *k != own) {
        let (namespace, name) = (&other.namespace, &other.name);
        return Some(format!(
            "port {port} at the nodes' addresses is that of the Service {namespace}/{name}, which came first: give one \
             of them another port, or an address of its own from an AddressPool"
        ));
    }
    let other = world.services.of_node_port(port.port).filter(|k| *k != own)?;
    Some(format!("port {port} is a node port of the Service {}/{}", other.namespace, other.name))
}

/// Who else has a port on a node, in words that follow "is".
fn taken(world: &World, name: &Arc<str>, node: &NodeRecord, port: PortId) -> Option<String> {
    if node.has_host_port(port) {
        let has = |key: &&Key| {
            let ports = world.pods.get(key).filter(|p| !p.finished()).map(|p| &p.shape.host_ports);
            ports
                .into_iter()
                .flatten()
                .any(|(protocol, _, n)| crate::world::balanced::host_port(protocol, *n) == Some(port))
        };
        let pod = world.pods.on_node(name).find(has);
        return Some(pod.map_or_else(
            || "a pod's hostPort".to_string(),
            |p| format!("a hostPort of the pod {}/{}", p.namespace, p.name),
        ));
    }
    node.balanced.taken.get(&port).map(|who| format!("that of {who}"))
}

/// Nodes with somebody who is ready.
pub(super) fn with_endpoint(world: &World, service: &Key) -> BTreeSet<Arc<str>> {
    let slices = world.services.slices(service).filter_map(|key| world.get(key));
    let read = slices.filter_map(|slice| serde_json::from_value::<EndpointSlice>(slice.to_value()).ok());
    read.flat_map(|slice| slice.endpoints.into_iter().flatten())
        .filter(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
        .filter_map(|e| e.node_name.map(Into::into))
        .collect()
}
