//! NetworkPolicies as agents are told of them: the rules of each, and of each pod what selects it.
//!
//! Which pods a policy isolates and who its peers are follows from labels of pods and namespaces. A
//! change of a pod is looked at alone, a change of a policy with the pods that its selectors take
//! (`world::policies`). Called by the world for each write of a policy, and by the conductor for what
//! changed. Deliberately not here: who is told, and when; and how packets are judged (`evenkeel-net`).

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::net::Ipv4Addr;

use evenkeel_model::{
    Key, Kind, Object, Selector, Uid,
    net::{Cidr, PortProtocol},
    policy::{NamedPort, Peer, PodNet, PolicyId, PolicyNet, PolicyPort, PolicyRule, PortMatch, Selection},
};
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::Value;

use crate::{
    change::Changed,
    controllers::{node::object::CLUSTER_NETWORK, podstatus},
    network::Layout,
    world::{
        World,
        policies::{Chosen, Namespaces},
    },
};

/// The name server of the nodes counts as a pod of this namespace, with Kubernetes' label: policies of
/// most manifests let names through so.
const NAMES_NAMESPACE: &str = "kube-system";
const NAMES_LABEL: (&str, &str) = ("k8s-app", "kube-dns");
/// No pod has this uid.
const NAMES_UID: Uid = Uid(1);
const NAMES_PORT: u16 = 53;

/// A policy, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// As agents are told of it.
    pub net: PolicyNet,
    /// The selectors in it.
    pub chosen: BTreeMap<Selection, Chosen>,
}

/// A policy's name as agents know it.
pub fn id(key: &Key) -> PolicyId {
    PolicyId { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// Reads a policy. One that cannot be read (it was checked when it came in) isolates all pods of its
/// namespace both ways.
pub fn read(object: &Object) -> Read {
    let mut reader = Reader { namespace: object.key.namespace.clone(), chosen: BTreeMap::new() };
    let net = match object.spec::<NetworkPolicySpec>() {
        Ok(spec) => reader.policy(&object.key, spec),
        Err(_) => PolicyNet {
            id: id(&object.key),
            subjects: reader.here(None),
            ingress: Some(Vec::new()),
            egress: Some(Vec::new()),
        },
    };
    Read { net, chosen: reader.chosen }
}

struct Reader {
    namespace: Arc<str>,
    chosen: BTreeMap<Selection, Chosen>,
}

impl Reader {
    fn policy(&mut self, key: &Key, spec: NetworkPolicySpec) -> PolicyNet {
        let subjects = self.here(spec.pod_selector.as_ref());
        // Absent, it is as Kubernetes fills it in.
        let types = spec.policy_types.unwrap_or_default();
        let has = |name: &str| types.iter().any(|t| t == name);
        let ingress = types.is_empty() || has("Ingress");
        let egress = has("Egress") || types.is_empty() && spec.egress.as_ref().is_some_and(|e| !e.is_empty());
        let (come, leave) = (spec.ingress.unwrap_or_default(), spec.egress.unwrap_or_default());
        let ingress = ingress.then(|| come.into_iter().map(|r| self.rule(r.from, r.ports, false)).collect());
        let egress = egress.then(|| leave.into_iter().map(|r| self.rule(r.to, r.ports, true)).collect());
        PolicyNet { id: id(key), subjects, ingress, egress }
    }

    fn rule(
        &mut self,
        peers: Option<Vec<NetworkPolicyPeer>>,
        ports: Option<Vec<NetworkPolicyPort>>,
        egress: bool,
    ) -> PolicyRule {
        let ports: Option<Vec<PolicyPort>> =
            ports.filter(|p| !p.is_empty()).map(|all| all.iter().filter_map(port).collect());
        let peers: Option<Vec<Peer>> =
            peers.filter(|p| !p.is_empty()).map(|all| all.into_iter().filter_map(|p| self.peer(p)).collect());
        let named = ports.iter().flatten().any(|p| matches!(p.ports, PortMatch::Named(_)));
        let beyond = peers.as_ref().is_none_or(|all| all.iter().any(|p| matches!(p, Peer::Block { .. })));
        if egress && named && beyond {
            // Any pod may be the one that is asked, and its ports have to be known.
            self.select(Namespaces::With(Selector::default()), None);
        }
        PolicyRule { peers, ports }
    }

    /// `None` for addresses of IPv6: no packet has them.
    fn peer(&mut self, peer: NetworkPolicyPeer) -> Option<Peer> {
        if let Some(IPBlock { cidr, except }) = peer.ip_block {
            let cidr = block(&cidr)?;
            let except = except.iter().flatten().filter_map(|text| block(text)).collect();
            return Some(Peer::Block { cidr, except });
        }
        let pods = peer.pod_selector.as_ref();
        Some(Peer::Pods(match peer.namespace_selector {
            Some(labels) => match Selector::from_k8s(&labels) {
                Ok(labels) => self.select(Namespaces::With(labels), pods),
                Err(_) => return None,
            },
            None => self.here(pods),
        }))
    }

    /// Pods of the policy's own namespace.
    fn here(&mut self, pods: Option<&LabelSelector>) -> Selection {
        self.select(Namespaces::One(self.namespace.clone()), pods)
    }

    fn select(&mut self, namespaces: Namespaces, pods: Option<&LabelSelector>) -> Selection {
        let pods = pods.and_then(|p| Selector::from_k8s(p).ok()).unwrap_or_default();
        let chosen = Chosen { namespaces, pods };
        let name = chosen.name();
        self.chosen.insert(name.clone(), chosen);
        name
    }
}

/// A range of IPv4 addresses, whichever of its addresses names it.
fn block(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    Some(Cidr::around(address.parse::<Ipv4Addr>().ok()?, prefix.parse().ok()?))
}

fn protocol(text: Option<&str>) -> Option<PortProtocol> {
    match text {
        None | Some("TCP") => Some(PortProtocol::Tcp),
        Some("UDP") => Some(PortProtocol::Udp),
        Some(_) => None,
    }
}

fn port(port: &NetworkPolicyPort) -> Option<PolicyPort> {
    let protocol = protocol(port.protocol.as_deref())?;
    let number = |n: i32| u16::try_from(n).ok();
    let ports = match &port.port {
        None => PortMatch::All,
        Some(IntOrString::String(name)) => PortMatch::Named(name.clone()),
        Some(IntOrString::Int(first)) => {
            let first = number(*first)?;
            PortMatch::Range(first, port.end_port.map_or(Some(first), number)?)
        }
    };
    Some(PolicyPort { protocol, ports })
}

/// A pod as agents are told of it; `None` for one of which no policy speaks, or that has the
/// machine's network or no network any more.
pub fn pod_net(world: &World, layout: &Layout, key: &Key) -> Option<PodNet> {
    if *key == names_key() {
        return names_net(world, layout);
    }
    let object = world.get(key)?;
    let record = world.pods.get(key).filter(|r| !r.finished() && !r.shape.host_network)?;
    let selections = world.policies.taking(world, &key.namespace, &object.meta.labels);
    if selections.is_empty() {
        return None;
    }
    let named = |(name, protocol, port): &(String, String, u16)| {
        let protocol = self::protocol(Some(protocol))?;
        Some(NamedPort { name: name.clone(), protocol, port: *port })
    };
    Some(PodNet {
        uid: record.uid,
        node: record.node.clone(),
        address: record.address,
        selections,
        ports: record.shape.ports.iter().filter_map(named).collect(),
    })
}

/// The key by which the name server goes where pods do; no pod can have it.
pub fn names_key() -> Key {
    Key::new(Kind::Pod, NAMES_NAMESPACE, "")
}

fn names_net(world: &World, layout: &Layout) -> Option<PodNet> {
    let (label, value) = NAMES_LABEL;
    let labels = BTreeMap::from([(label.to_string(), value.to_string())]);
    let selections = world.policies.taking(world, &NAMES_NAMESPACE.into(), &labels);
    let port = |name: &str, protocol| NamedPort { name: name.into(), protocol, port: NAMES_PORT };
    (!selections.is_empty()).then(|| PodNet {
        uid: NAMES_UID,
        node: None,
        address: Some(layout.net.dns),
        selections,
        ports: vec![port("dns", PortProtocol::Udp), port("dns-tcp", PortProtocol::Tcp)],
    })
}

/// The pods of which agents may have to be told something new by a change.
pub fn touched(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let (old, new) = (changed.old.as_deref(), changed.new.as_deref());
    match changed.key.kind {
        Kind::Pod => mark(changed.key.clone()),
        Kind::Namespace if changed.labels_changed() => {
            world.list(Kind::Pod, &changed.key.name).for_each(|pod| mark(pod.key.clone()));
            mark(names_key());
        }
        Kind::NetworkPolicy if changed.body_changed() => {
            let chosen = |o: Option<&Object>| o.map(|o| read(o).chosen).unwrap_or_default();
            let (old, new) = (chosen(old), chosen(new));
            let differ = old.iter().filter(|(n, _)| !new.contains_key(*n));
            for (_, chosen) in differ.chain(new.iter().filter(|(n, _)| !old.contains_key(*n))) {
                chosen.pods(world).into_iter().for_each(|key| mark(key.clone()));
            }
            mark(names_key());
        }
        _ => {}
    }
}

/// Whether a node's pods have the container engine's network, where nothing is enforced.
pub(crate) fn lacks_network(node: &Object) -> bool {
    let condition = podstatus::condition(node, CLUSTER_NETWORK);
    condition.is_some_and(|c| c.get("status").and_then(Value::as_str) == Some("False"))
}

/// Why no policy can be: no node enforces it.
pub(crate) fn objection(world: &World) -> Option<String> {
    let mut nodes = world.list(Kind::Node, "").peekable();
    nodes.peek()?;
    nodes.all(|n| lacks_network(n)).then(|| {
        "a NetworkPolicy is not supported where pods get the container engine's network, as on every node of this \
         cluster: nothing would enforce it (see --pod-network, and the nodes' condition ClusterNetwork)"
            .to_string()
    })
}

#[cfg(test)]
mod tests;
