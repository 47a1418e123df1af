//! Nodes as the scheduler sees them: room, readiness, labels, taints, last word.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Labels, Quantity, Time};
use imbl::OrdMap;
use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus, Taint};

use crate::{change::Changed, world::pods::PodRecord};

/// Pods that a node takes if it says nothing else, as in Kubernetes.
pub const DEFAULT_POD_LIMIT: i64 = 110;

/// One node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeRecord {
    /// Whether the Node object is there; a record without one only counts pods bound to a name.
    pub known: bool,
    /// Labels.
    pub labels: Labels,
    /// `spec.taints`.
    pub taints: Arc<[Taint]>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// The `Ready` condition is true.
    pub ready: bool,
    /// Allocatable cpu in millicores.
    pub cpu_milli: i64,
    /// Allocatable memory in bytes.
    pub memory: i64,
    /// Allocatable pods.
    pub pods: i64,
    /// Other allocatable resources, in units.
    pub other: BTreeMap<String, i64>,
    /// Requested by pods that are bound here and not finished.
    pub used_cpu_milli: i64,
    /// As above, bytes.
    pub used_memory: i64,
    /// As above, pieces.
    pub used_pods: i64,
    /// As above, units.
    pub used_other: BTreeMap<String, i64>,
    /// Host ports in use.
    pub used_ports: Vec<(String, String, i32)>,
}

/// All nodes, and when each was last heard of. The latter is never written to the store.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    records: OrdMap<Arc<str>, NodeRecord>,
    heard: OrdMap<Arc<str>, Time>,
}

impl Nodes {
    /// One node.
    pub fn get(&self, name: &str) -> Option<&NodeRecord> {
        self.records.get(name)
    }

    /// All that have a Node object, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &NodeRecord)> {
        self.records.iter().filter(|(_, n)| n.known)
    }

    /// When a node was last heard of since this server started.
    pub fn last_heard(&self, name: &str) -> Option<Time> {
        self.heard.get(name).copied()
    }

    /// Notes that a node was heard of.
    pub fn hear(&mut self, name: &Arc<str>, now: Time) {
        self.heard.insert(name.clone(), now);
    }

    /// Nobody watched for a while: every node counts as heard of just now.
    pub fn hear_all(&mut self, now: Time) {
        let names: Vec<Arc<str>> = self.records.keys().cloned().collect();
        for name in names {
            self.heard.insert(name, now);
        }
    }

    /// Follows a Node object.
    pub(super) fn node_changed(&mut self, changed: &Changed) {
        let name = &changed.key.name;
        let Some(object) = &changed.new else {
            self.heard.remove(name);
            let empty = self.records.get_mut(name).is_none_or(|r| {
                r.known = false;
                r.used_pods == 0
            });
            if empty {
                self.records.remove(name);
            }
            return;
        };
        let spec: NodeSpec = object.spec().unwrap_or_default();
        let status: NodeStatus = object.status().ok().flatten().unwrap_or_default();
        let allocatable = status.allocatable.or(status.capacity).unwrap_or_default();
        let amount = |name: &str| allocatable.get(name).and_then(|q| q.0.parse::<Quantity>().ok());
        let record = self.records.entry(name.clone()).or_default();
        record.known = true;
        record.labels = object.meta.labels.clone();
        record.taints = spec.taints.unwrap_or_default().into();
        record.unschedulable = spec.unschedulable.unwrap_or_default();
        record.ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
        record.cpu_milli = amount("cpu").unwrap_or_default().milli();
        record.memory = amount("memory").unwrap_or_default().units();
        record.pods = amount("pods").map_or(DEFAULT_POD_LIMIT, Quantity::units);
        record.other = allocatable
            .iter()
            .filter(|(k, _)| !matches!(k.as_str(), "cpu" | "memory" | "pods"))
            .filter_map(|(k, q)| Some((k.clone(), q.0.parse::<Quantity>().ok()?.units())))
            .collect();
    }

    /// Follows a pod's binding, demands and end.
    pub(super) fn pod_changed(&mut self, _key: &Key, old: Option<&PodRecord>, new: Option<&PodRecord>) {
        let counts = |p: &&PodRecord| p.node.is_some() && !p.finished();
        let (old, new) = (old.filter(counts), new.filter(counts));
        if let (Some(o), Some(n)) = (old, new)
            && o.node == n.node
            && o.shape == n.shape
        {
            return;
        }
        for (pod, sign) in [(old, -1), (new, 1)] {
            let Some(pod) = pod else { continue };
            let Some(node) = &pod.node else { continue };
            let record = self.records.entry(node.clone()).or_default();
            record.charge(pod, sign);
            if !record.known && record.used_pods == 0 {
                self.records.remove(node);
            }
        }
    }
}

impl NodeRecord {
    fn charge(&mut self, pod: &PodRecord, sign: i64) {
        let shape = &pod.shape;
        self.used_cpu_milli += sign * shape.cpu_milli;
        self.used_memory += sign * shape.memory;
        self.used_pods += sign;
        for (name, n) in &shape.other {
            *self.used_other.entry(name.clone()).or_default() += sign * n;
        }
        for port in &shape.host_ports {
            if sign > 0 {
                self.used_ports.push(port.clone());
            } else if let Some(i) = self.used_ports.iter().position(|p| p == port) {
                self.used_ports.swap_remove(i);
            }
        }
    }
}
