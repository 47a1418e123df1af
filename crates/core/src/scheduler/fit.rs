//! Whether a pod may run on a node, and what stands against it.
//!
//! Called for each candidate of a placement, and for every node when none fits. The rules and
//! their order are those of Kubernetes' filters: schedulable, taints, node selector, ports, room.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::net::PortId;
use k8s_openapi::api::core::v1::Toleration;

use crate::world::{
    balanced::host_port,
    nodes::{HardTaint, NodeClass, NodeRecord},
    pods::PodShape,
};

/// Taint of a node with `spec.unschedulable`.
pub(crate) const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// What stands against a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// `spec.unschedulable`.
    Unschedulable,
    /// A taint that the pod does not tolerate: key, value.
    Taint(String, String),
    /// The node is not ready, and no taint says so yet.
    NotReady,
    /// Labels do not match the pod's node selector.
    Selector,
    /// A host port is in use.
    Ports,
    /// A host port leads to a Service of type LoadBalancer.
    Balanced(PortId),
    /// As many pods as it takes.
    TooManyPods,
    /// Not enough of a resource.
    Insufficient(String),
}

impl core::fmt::Display for Misfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unschedulable => f.write_str("node(s) were unschedulable"),
            Self::Taint(key, value) => write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Self::NotReady => f.write_str("node(s) were not ready"),
            Self::Selector => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Self::Ports => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Self::Balanced(port) => {
                write!(f, "node(s) didn't have free ports for the requested pod ports: {port} leads to a LoadBalancer")
            }
            Self::TooManyPods => f.write_str("Too many pods"),
            Self::Insufficient(what) => write!(f, "Insufficient {what}"),
        }
    }
}

/// Whether a toleration takes a taint, by Kubernetes' rules.
pub fn tolerates(toleration: &Toleration, key: &str, value: &str, effect: &str) -> bool {
    if toleration.effect.as_deref().is_some_and(|e| !e.is_empty() && e != effect) {
        return false;
    }
    let wanted = toleration.key.as_deref().unwrap_or("");
    if !wanted.is_empty() && wanted != key {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        // Without a key only `Exists` tolerates.
        None | Some("" | "Equal") => !wanted.is_empty() && toleration.value.as_deref().unwrap_or("") == value,
        Some(_) => false,
    }
}

/// What of a node's class stands against a pod; asked once for all nodes of the class.
pub(crate) fn class_misfit(shape: &PodShape, class: &NodeClass) -> Option<Misfit> {
    let tolerated =
        |(key, value, effect): &HardTaint| shape.tolerations.iter().any(|t| tolerates(t, key, value, effect));
    if class.unschedulable {
        let taint = (TAINT_UNSCHEDULABLE.to_string(), String::new(), "NoSchedule".to_string());
        if !tolerated(&taint) {
            return Some(Misfit::Unschedulable);
        }
    }
    let untolerated = class.taints.iter().find(|t| !tolerated(t));
    match untolerated {
        Some((key, value, _)) => Some(Misfit::Taint(key.clone(), value.clone())),
        // A pod that tolerates what says that a node is not ready may go there, as in Kubernetes.
        None if !class.ready && class.taints.is_empty() => Some(Misfit::NotReady),
        None => None,
    }
}

/// Whether a node's labels, ports and room take the pod.
pub(crate) fn fits(shape: &PodShape, node: &NodeRecord) -> bool {
    node.used_pods < node.pods
        && (shape.cpu_milli == 0 || node.used_cpu_milli + shape.cpu_milli <= node.cpu_milli)
        && (shape.memory == 0 || node.used_memory + shape.memory <= node.memory)
        && shape.other.iter().all(|(name, n)| has_other(node, name, *n))
        && selected(shape, node)
        && ports_free(shape, node)
}

/// Everything that stands against a node beside its class; empty if it fits.
pub(crate) fn misfits(shape: &PodShape, node: &NodeRecord) -> Vec<Misfit> {
    if !selected(shape, node) {
        return alloc::vec![Misfit::Selector];
    }
    if !ports_free(shape, node) {
        return alloc::vec![balanced(shape, node).map_or(Misfit::Ports, Misfit::Balanced)];
    }
    let mut out = Vec::new();
    if node.used_pods >= node.pods {
        out.push(Misfit::TooManyPods);
    }
    if shape.cpu_milli > 0 && node.used_cpu_milli + shape.cpu_milli > node.cpu_milli {
        out.push(Misfit::Insufficient("cpu".into()));
    }
    if shape.memory > 0 && node.used_memory + shape.memory > node.memory {
        out.push(Misfit::Insufficient("memory".into()));
    }
    for (name, n) in &shape.other {
        if !has_other(node, name, *n) {
            out.push(Misfit::Insufficient(name.clone()));
        }
    }
    out
}

fn has_other(node: &NodeRecord, name: &str, n: i64) -> bool {
    let free = node.other.get(name).copied().unwrap_or(0) - node.used_other.get(name).copied().unwrap_or(0);
    n == 0 || n <= free
}

fn selected(shape: &PodShape, node: &NodeRecord) -> bool {
    shape.node_selector.iter().all(|(k, v)| node.labels.get(k) == Some(v))
}

/// The first port of a pod that leads to a LoadBalancer on a node.
fn balanced(shape: &PodShape, node: &NodeRecord) -> Option<PortId> {
    let mut ports = shape.host_ports.iter().filter_map(|(protocol, _, port)| host_port(protocol, *port));
    ports.find(|port| node.balanced.open.contains(port))
}

fn ports_free(shape: &PodShape, node: &NodeRecord) -> bool {
    balanced(shape, node).is_none()
        && shape.host_ports.iter().all(|(protocol, ip, port)| {
            node.used_ports
                .iter()
                .all(|(p, i, n)| n != port || p != protocol || (i != ip && !i.is_empty() && !ip.is_empty()))
        })
}
