//! What is promised of NetworkPolicies, checked against what the nodes' kernels would do with a
//! connection's first packet: a pod that was isolated when it was given to its node is so before its
//! first container begins, and at rest every connection passes or not as the policies say.
//!
//! What should pass is made here from the objects, by as little as that takes, and shares no code with
//! the product.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, sync::Arc};

use evenkeel_agent::sim::{STRANGER, SimNode, StartNote};
use evenkeel_conductor::Published;
use evenkeel_model::{Key, Kind, Object, Uid, net::PortProtocol};
use serde_json::Value;

use crate::{
    machine::Machine,
    objects::{Objects, of_kind, rows},
};

/// The port that pods name, and one that they do not.
const PORTS: [u16; 2] = [8080, 9090];
/// At rest so many pods are looked at, each with each.
const LOOKED_AT: usize = 16;

/// Which way a connection goes, seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    In,
    Out,
}

impl Way {
    const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// Kubernetes' type of policies, the field of the rules, and that of their peers.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::In => ("Ingress", "ingress", "from"),
            Self::Out => ("Egress", "egress", "to"),
        }
    }
}

/// The checks' memory.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    /// What isolated each pod when it was given to its node: policies as they were then.
    bound: BTreeMap<Uid, Vec<Arc<Object>>>,
    /// Containers whose start was held against their node's kernel, for who reads a run.
    pub(crate) starts: u64,
}

/// Whether labels have all that a selector names.
fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector["matchLabels"].as_object().into_iter().flatten();
    wanted.into_iter().all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str())
}

/// The policies of a pod's namespace that isolate it.
fn isolating(pod: &Object, objects: &Objects) -> Vec<Arc<Object>> {
    let here = of_kind(objects, Kind::NetworkPolicy).filter(|p| p.key.namespace == pod.key.namespace);
    here.filter(|p| selects(&p.to_value()["spec"]["podSelector"], &pod.meta.labels)).cloned().collect()
}

/// Whether a policy speaks of a way.
fn speaks_of(policy: &Value, way: Way) -> bool {
    rows(&policy["spec"], "policyTypes").iter().any(|t| t == way.words().0)
}

/// Whether one of a rule's peers is this pod; nobody outside of the cluster is.
fn is_peer(rule: &Value, way: Way, namespace: &str, peer: Option<&Object>, objects: &Objects) -> bool {
    let peers = rows(rule, way.words().2);
    peers.is_empty()
        || peers.iter().any(|one| {
            let Some(pod) = peer else { return false };
            let home = match &one["namespaceSelector"] {
                Value::Null => *pod.key.namespace == *namespace,
                labels => {
                    let space = objects.get(&Key::cluster(Kind::Namespace, pod.key.namespace.clone()));
                    space.is_some_and(|space| selects(labels, &space.meta.labels))
                }
            };
            home && selects(&one["podSelector"], &pod.meta.labels)
        })
}

/// Whether a rule names the port; `http` is what pods call the first.
fn is_port(rule: &Value, port: u16) -> bool {
    let ports = rows(rule, "ports");
    ports.is_empty() || ports.iter().any(|p| p["port"] == port || p["port"] == "http" && port == PORTS[0])
}

/// Whether the policies let a connection pass one way.
fn should_pass(way: Way, subject: Option<&Object>, peer: Option<&Object>, port: u16, objects: &Objects) -> bool {
    let Some(pod) = subject else { return true };
    let policies: Vec<Value> = isolating(pod, objects).iter().map(|p| p.to_value()).collect();
    let mut all = policies.iter().filter(|p| speaks_of(p, way)).peekable();
    all.peek().is_none()
        || all
            .flat_map(|p| rows(&p["spec"], way.words().1))
            .any(|rule| is_peer(rule, way, &pod.key.namespace, peer, objects) && is_port(rule, port))
}

impl Policies {
    /// A server has committed: what isolates a pod that was given to its node now is to be there when it
    /// begins.
    pub(crate) fn published(&mut self, changes: &[Published], objects: &Objects) {
        for change in changes.iter().filter(|c| c.key.kind == Kind::Pod) {
            let bound = |o: &Option<Arc<Object>>| o.as_ref().is_some_and(|o| o.node.is_some());
            match &change.new {
                Some(pod) if bound(&change.new) && !bound(&change.old) => {
                    self.bound.insert(pod.uid, isolating(pod, objects));
                }
                Some(_) => {}
                None => self.bound.retain(|uid, _| change.old.as_ref().is_none_or(|old| old.uid != *uid)),
            }
        }
    }

    /// A container of a pod begins.
    pub(crate) fn started(
        &mut self,
        pod: &Object,
        start: &StartNote,
        node: &str,
        objects: &Objects,
    ) -> Result<(), String> {
        // One that was changed or taken away since may be so on the node, or not yet.
        let stays = |p: &&Arc<Object>| objects.get(&p.key).is_some_and(|now| now.uid == p.uid && now.body == p.body);
        for policy in self.bound.get(&pod.uid).into_iter().flatten().filter(stays) {
            let value = policy.to_value();
            for way in Way::BOTH.into_iter().filter(|way| speaks_of(&value, *way)) {
                self.starts += 1;
                let open = if way == Way::In { start.lets_in } else { start.lets_out };
                if open {
                    return Err(format!("{} begins on {node}, and {} does not isolate it", pod.key, policy.key));
                }
            }
        }
        Ok(())
    }
}

/// One end of a connection.
struct End<'a> {
    /// `None` outside of the cluster, where nobody keeps anything off.
    at: Option<(&'a Object, &'a SimNode)>,
    address: Ipv4Addr,
}

impl End<'_> {
    fn pod(&self) -> Option<&Object> {
        self.at.map(|(pod, _)| pod)
    }

    fn lets(&self, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> bool {
        self.at.is_none_or(|(_, sim)| sim.net.lets(from, (to, PortProtocol::Tcp, port)))
    }
}

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((pod, sim)) => write!(f, "{} ({} on {})", pod.key, self.address, sim.name()),
            None => f.write_str("outside"),
        }
    }
}

/// Whether every node's kernel lets through what the policies say, and nothing else.
pub(crate) fn converged<'a>(machines: impl Iterator<Item = &'a Machine>, objects: &Objects) -> Result<(), String> {
    let sims: BTreeMap<&str, &SimNode> = machines.map(|m| (&**m.sim.name(), &m.sim)).collect();
    let pods = of_kind(objects, Kind::Pod).filter_map(|pod| {
        let status: Value = pod.status().ok().flatten().unwrap_or_default();
        let over = pod.deleting() || ["Succeeded", "Failed"].iter().any(|phase| status["phase"] == *phase);
        let address = status["podIP"].as_str()?.parse().ok().filter(|_| !over)?;
        Some(End { at: Some((pod, *sims.get(&**pod.node.as_ref()?)?)), address })
    });
    let outside = End { at: None, address: STRANGER };
    let all: Vec<End<'_>> = pods.take(LOOKED_AT).chain([outside]).collect();
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (from, to))) {
        for port in PORTS.into_iter().filter(|_| from.address != to.address) {
            let (goes, comes) = [from, to].map(|end| end.lets(from.address, to.address, port)).into();
            let should = should_pass(Way::Out, from.pod(), to.pod(), port, objects)
                && should_pass(Way::In, to.pod(), from.pod(), port, objects);
            if (goes && comes) != should {
                let policies: Vec<&str> = of_kind(objects, Kind::NetworkPolicy).map(|p| &*p.key.name).collect();
                return Err(format!(
                    "from {from} to port {port} of {to}: may go {goes}, may come {comes}, should pass {should}; \
                     policies {policies:?}"
                ));
            }
        }
    }
    Ok(())
}
