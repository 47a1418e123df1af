//! Nodes as the scheduler sees them: room, readiness, labels, taints, last word.
//!
//! Beside the records stand two indexes that keep a placement from looking at every node: nodes
//! of one class (readiness and taints) in the order of their free room, and nodes by label.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{cmp::Reverse, net::IpAddr, time::Duration};

use evenkeel_model::{
    Key, Labels, Quantity, Time, names,
    net::{BalancedPorts, Cidr, PortId},
};
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus, Taint};

use crate::{
    change::Changed,
    world::{
        balanced,
        pods::{MOST_ASKED, PodRecord, PodShape},
    },
};

/// Pods that a node takes if it says nothing else, as in Kubernetes.
pub const DEFAULT_POD_LIMIT: i64 = 110;
/// What scoring takes a pod without a cpu request to use, in millicores, as in Kubernetes.
pub const SCORED_CPU_MILLI: i64 = 100;
/// What scoring takes a pod without a memory request to use, in bytes, as in Kubernetes.
pub const SCORED_MEMORY: i64 = 200 << 20;
/// Annotation of a Node: since when its pods are being evicted. At most one node begins in
/// `Settings::eviction_interval`.
pub const EVICTING: &str = "evenkeel.dev/evicting-since";

/// A node that is not heard of for so long is in doubt, long before it is `Unknown`: what waits for
/// it is nobody's fault. Above the time between two heartbeats (10 s).
const DOUBT: Duration = Duration::from_secs(15);

/// A `NoSchedule` or `NoExecute` taint: key, value, effect.
pub type HardTaint = (String, String, String);

/// What nodes have in common that decides on pods before room does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeClass {
    /// The `Ready` condition is true.
    pub ready: bool,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// Taints that keep pods away, sorted.
    pub taints: Vec<HardTaint>,
}

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
    /// Since when the `Ready` condition is as it is.
    pub ready_since: Time,
    /// The same where its agent says so: `None` where nothing is heard of it (`Unknown`), or was yet.
    pub heard_since: Option<Time>,
    /// Readiness, schedulability and hard taints together.
    pub class: Arc<NodeClass>,
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
    /// As `used_cpu_milli`, a pod that asks for none counted with [`SCORED_CPU_MILLI`].
    pub scored_cpu_milli: i64,
    /// As `used_memory`, a pod that asks for none counted with [`SCORED_MEMORY`].
    pub scored_memory: i64,
    /// `spec.podCIDR`.
    pub pod_cidr: Option<Cidr>,
    /// Host ports in use.
    pub used_ports: Vec<(String, String, i32)>,
    /// What became of the ports that LoadBalancers ask for at its addresses.
    pub balanced: Arc<BalancedPorts>,
    /// Its addresses for clients outside.
    pub addresses: Arc<[IpAddr]>,
}

/// What was heard of a node.
#[derive(Debug, Clone, Copy)]
struct Word {
    last: Time,
    /// Since when it was never in doubt.
    since: Time,
    /// Its last answer is to a question of this time.
    answered: Option<Time>,
}

/// Nodes of one class, those with most free room first.
type ByRoom = OrdSet<(Reverse<u16>, Arc<str>)>;

/// All nodes, and when each was last heard of. The latter is never written to the store.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    records: OrdMap<Arc<str>, Arc<NodeRecord>>,
    heard: OrdMap<Arc<str>, Word>,
    /// Those that are not in doubt, by their last word.
    trusted: OrdSet<(Time, Arc<str>)>,
    by_room: OrdMap<Arc<NodeClass>, ByRoom>,
    by_label: OrdMap<(String, String), OrdSet<Arc<str>>>,
    evicting: OrdMap<Arc<str>, Time>,
    /// Whose each range of pods' addresses is.
    ranges: OrdMap<Cidr, Arc<str>>,
    /// Nodes that found no range left.
    without_range: OrdSet<Arc<str>>,
    /// How many have a Node object, and how many of these are ready.
    known: usize,
    ready: usize,
    /// How many are ready and not in doubt.
    there: usize,
    /// When most were last seen to be away.
    most_away: Option<Time>,
    gains: u64,
}

impl Nodes {
    /// One node.
    pub fn get(&self, name: &str) -> Option<&NodeRecord> {
        self.records.get(name).map(|r| &**r)
    }

    /// All that have a Node object, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &NodeRecord)> {
        self.records.iter().filter(|(_, n)| n.known).map(|(k, n)| (k, &**n))
    }

    /// Nodes by class, each class in the order of free room, most first.
    pub fn by_room(&self) -> impl Iterator<Item = (&NodeClass, impl Iterator<Item = &Arc<str>>)> {
        self.by_room.iter().map(|(class, set)| (&**class, set.iter().map(|(_, name)| name)))
    }

    /// Nodes with a label, in the order of their names.
    pub fn with_label(&self, key: &str, value: &str) -> Option<&OrdSet<Arc<str>>> {
        self.by_label.get(&(key.to_string(), value.to_string()))
    }

    /// Ranges of pods' addresses that are taken, in order; no two of them share an address.
    pub fn ranges(&self) -> impl Iterator<Item = (&Cidr, &Arc<str>)> {
        self.ranges.iter()
    }

    /// Nodes that wait for a range of pods' addresses.
    pub fn without_range(&self) -> impl Iterator<Item = &Arc<str>> {
        self.without_range.iter()
    }

    /// Steps whenever some pod might fit somewhere where it did not before.
    pub fn gains(&self) -> u64 {
        self.gains
    }

    /// After a restart nobody knows what was looked at before.
    pub(super) fn gained(&mut self) {
        self.gains += 1;
    }

    /// When the eviction of each node that is being evicted began.
    pub fn evicting(&self) -> impl Iterator<Item = (&Arc<str>, &Time)> {
        self.evicting.iter()
    }

    /// When a node was last heard of since this server started.
    pub fn last_heard(&self, name: &str) -> Option<Time> {
        self.heard.get(name).map(|w| w.last)
    }

    /// Since when a node does what it is asked without a break: from now on only, while it is in doubt
    /// or not ready.
    pub fn works_since(&self, name: &str, now: Time) -> Time {
        let Some(record) = self.get(name).filter(|n| n.known && n.ready) else { return now };
        match self.heard.get(name) {
            Some(word) if now.since(word.last) <= DOUBT => word.since.max(record.ready_since),
            _ => now,
        }
    }

    /// Whether more than half of the nodes are not ready, or in doubt at the time that was noted last:
    /// then the fault may well be on this side.
    pub fn are_mostly_away(&self) -> bool {
        (self.known - self.there) * 2 > self.known
    }

    /// Until when more than half of the nodes were not ready. What was waited for meanwhile, nobody
    /// could do.
    pub fn mostly_away_until(&self) -> Option<Time> {
        self.most_away
    }

    /// Takes note of the time, before anything that happened by then is taken in.
    pub fn watch(&mut self, now: Time) {
        if (self.known - self.ready) * 2 > self.known {
            self.most_away = Some(now);
        }
        // Each word is taken out once, so this costs what the words cost.
        while let Some((last, name)) = self.trusted.get_min().filter(|(last, _)| now.since(*last) > DOUBT).cloned() {
            self.distrust(&name, last);
        }
    }

    fn is_there(&self, name: &Arc<str>) -> bool {
        self.get(name).is_some_and(|n| n.known && n.ready)
            && self.heard.get(name).is_some_and(|word| self.trusted.contains(&(word.last, name.clone())))
    }

    fn distrust(&mut self, name: &Arc<str>, last: Time) {
        self.there -= usize::from(self.is_there(name));
        self.trusted.remove(&(last, name.clone()));
    }

    /// Notes that a node was heard of.
    pub fn hear(&mut self, name: &Arc<str>, now: Time) {
        let before = self.heard.get(name).copied();
        let since = before.filter(|w| now.since(w.last) <= DOUBT).map_or(now, |w| w.since);
        let answered = before.and_then(|w| w.answered);
        if let Some(word) = before {
            self.distrust(name, word.last);
        }
        self.heard.insert(name.clone(), Word { last: now, since, answered });
        self.trusted.insert((now, name.clone()));
        self.there += usize::from(self.is_there(name));
    }

    /// Notes that a node, just heard of, answered a roll call of this time.
    pub fn answer(&mut self, name: &Arc<str>, asked: Time) {
        if let Some(word) = self.heard.get_mut(name) {
            word.answered = word.answered.max(Some(asked));
        }
    }

    /// Whether all that was so on a node at a time is known: it answered a roll call since, or, where
    /// its agent is of a version that knows of none, was heard of for so long after.
    pub fn has_told_until(&self, name: &str, at: Time) -> bool {
        self.heard.get(name).is_some_and(|w| w.answered >= Some(at) || w.last >= at + DOUBT)
    }

    /// Follows a Node object.
    pub(super) fn node_changed(&mut self, changed: &Changed) {
        let name = &changed.key.name;
        let before = self.records.get(name).cloned();
        self.unindex(name);
        let Some(object) = &changed.new else {
            if let Some(word) = self.heard.remove(name) {
                self.trusted.remove(&(word.last, name.clone()));
            }
            self.evicting.remove(name);
            if let Some(before) = before.filter(|b| b.used_pods > 0) {
                self.records.insert(name.clone(), Arc::new(before.forgotten()));
            } else {
                self.records.remove(name);
            }
            return;
        };
        match object.meta.annotation(EVICTING).and_then(Time::parse_rfc3339) {
            Some(since) => self.evicting.insert(name.clone(), since),
            None => self.evicting.remove(name),
        };
        let mut record = before.as_ref().map_or_else(NodeRecord::default, |b| NodeRecord::clone(b));
        record.read(object);
        if before.as_deref() != Some(&record) {
            self.gains += 1;
        }
        self.records.insert(name.clone(), Arc::new(record));
        self.index(name);
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
        if old.is_some() {
            self.gains += 1;
        }
        for (pod, sign) in [(old, -1), (new, 1)] {
            let Some(PodRecord { node: Some(node), shape, .. }) = pod else { continue };
            let record = self.records.entry(node.clone()).or_default();
            let (class, before) = (record.class.clone(), record.free_room());
            let record = Arc::make_mut(record);
            record.charge(shape, sign);
            let (known, after, empty) = (record.known, record.free_room(), record.used_pods == 0);
            if !known && empty {
                self.records.remove(node);
            } else if known
                && before != after
                && let Some(set) = self.by_room.get_mut(&class)
            {
                set.remove(&(Reverse(before), node.clone()));
                set.insert((Reverse(after), node.clone()));
            }
        }
    }

    fn index(&mut self, name: &Arc<str>) {
        let Some(record) = self.records.get(name).filter(|r| r.known).cloned() else { return };
        self.known += 1;
        self.ready += usize::from(record.ready);
        self.there += usize::from(self.is_there(name));
        match record.pod_cidr {
            Some(range) => self.ranges.insert(range, name.clone()).map(|_| ()),
            None => self.without_range.insert(name.clone()).map(|_| ()),
        };
        self.by_room.entry(record.class.clone()).or_default().insert((Reverse(record.free_room()), name.clone()));
        for (key, value) in record.labels.iter() {
            self.by_label.entry((key.clone(), value.clone())).or_default().insert(name.clone());
        }
    }

    fn unindex(&mut self, name: &Arc<str>) {
        let Some(record) = self.records.get(name).filter(|r| r.known).cloned() else { return };
        self.known -= 1;
        self.there -= usize::from(self.is_there(name));
        self.ready -= usize::from(record.ready);
        if let Some(range) = record.pod_cidr {
            self.ranges.remove(&range);
        }
        self.without_range.remove(name);
        if let Some(set) = self.by_room.get_mut(&record.class) {
            set.remove(&(Reverse(record.free_room()), name.clone()));
            if set.is_empty() {
                self.by_room.remove(&record.class);
            }
        }
        for (key, value) in record.labels.iter() {
            let at = (key.clone(), value.clone());
            if let Some(set) = self.by_label.get_mut(&at) {
                set.remove(name);
                if set.is_empty() {
                    self.by_label.remove(&at);
                }
            }
        }
    }
}

/// Addresses that clients outside reach a node by: external ones, or internal ones where it has none.
fn addresses(status: &NodeStatus) -> Vec<IpAddr> {
    let of = |kind: &str| -> Vec<IpAddr> {
        let all = status.addresses.iter().flatten().filter(|a| a.type_ == kind);
        all.filter_map(|a| a.address.parse().ok()).filter(IpAddr::is_ipv4).collect()
    };
    let external = of("ExternalIP");
    if external.is_empty() { of("InternalIP") } else { external }
}

impl NodeRecord {
    /// What an object says, without the pods.
    pub(crate) fn of(object: &evenkeel_model::Object) -> Self {
        let mut record = Self::default();
        record.read(object);
        record
    }

    /// Whether a pod has a port of this node.
    pub fn has_host_port(&self, port: PortId) -> bool {
        self.used_ports.iter().any(|(protocol, _, number)| balanced::host_port(protocol, *number) == Some(port))
    }

    /// Free room in thousandths, by what scoring counts: cpu and memory alike; nothing where no
    /// further pod is taken.
    pub fn free_room(&self) -> u16 {
        if self.used_pods >= self.pods {
            return 0;
        }
        let part = |used: i64, all: i64| if all <= 0 { 0 } else { ((all - used).max(0) * 1000) / all };
        let mean = i64::midpoint(part(self.scored_cpu_milli, self.cpu_milli), part(self.scored_memory, self.memory));
        u16::try_from(mean).unwrap_or(0)
    }

    fn read(&mut self, object: &evenkeel_model::Object) {
        let spec: NodeSpec = object.spec().unwrap_or_default();
        let status: NodeStatus = object.status().ok().flatten().unwrap_or_default();
        self.addresses = addresses(&status).into();
        let allocatable = status.allocatable.or(status.capacity).unwrap_or_default();
        let amount = |name: &str| allocatable.get(name).and_then(|q| q.0.parse::<Quantity>().ok());
        self.known = true;
        self.labels = object.meta.labels.clone();
        self.taints = spec.taints.unwrap_or_default().into();
        self.unschedulable = spec.unschedulable.unwrap_or_default();
        self.pod_cidr = spec.pod_cidr.and_then(|text| text.parse().ok());
        // What its agent did not write says nothing.
        let balanced = object.meta.annotation(names::BALANCED_PORTS).and_then(|text| serde_json::from_str(text).ok());
        self.balanced = Arc::new(balanced.unwrap_or_default());
        let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
        self.ready = ready.is_some_and(|c| c.status == "True");
        let moved = ready.and_then(|c| c.last_transition_time.as_ref());
        self.ready_since = moved.map_or(Time(0), |t| Time(t.0.as_millisecond()));
        self.heard_since = ready.filter(|c| c.status != "Unknown").map(|_| self.ready_since);
        let has = |n: i64| n.clamp(0, MOST_ASKED - 1);
        self.cpu_milli = has(amount("cpu").unwrap_or_default().milli());
        self.memory = has(amount("memory").unwrap_or_default().units());
        self.pods = amount("pods").map_or(DEFAULT_POD_LIMIT, Quantity::units);
        self.other = allocatable
            .iter()
            .filter(|(k, _)| !matches!(k.as_str(), "cpu" | "memory" | "pods"))
            .filter_map(|(k, q)| Some((k.clone(), has(q.0.parse::<Quantity>().ok()?.units()))))
            .collect();
        let mut taints: Vec<HardTaint> = self
            .taints
            .iter()
            .filter(|t| t.effect != "PreferNoSchedule")
            .map(|t| (t.key.clone(), t.value.clone().unwrap_or_default(), t.effect.clone()))
            .collect();
        taints.sort();
        self.class = Arc::new(NodeClass { ready: self.ready, unschedulable: self.unschedulable, taints });
    }

    /// What stays of a record whose Node object is gone: the pods that are bound to its name.
    fn forgotten(&self) -> Self {
        Self {
            used_cpu_milli: self.used_cpu_milli,
            used_memory: self.used_memory,
            used_pods: self.used_pods,
            used_other: self.used_other.clone(),
            scored_cpu_milli: self.scored_cpu_milli,
            scored_memory: self.scored_memory,
            used_ports: self.used_ports.clone(),
            ..Self::default()
        }
    }

    /// Adds (1) or takes away (-1) what pods of a shape use.
    pub fn charge(&mut self, shape: &PodShape, sign: i64) {
        let or = |n: i64, default: i64| if n == 0 { default } else { n };
        self.used_cpu_milli += sign * shape.cpu_milli;
        self.used_memory += sign * shape.memory;
        self.used_pods += sign;
        self.scored_cpu_milli += sign * or(shape.cpu_milli, SCORED_CPU_MILLI);
        self.scored_memory += sign * or(shape.memory, SCORED_MEMORY);
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

#[cfg(test)]
mod tests {
    use evenkeel_model::{Object, Rng};
    use serde_json::json;

    use super::*;
    use crate::{change::Change, world::World};

    fn node(name: &str, ready: bool) -> Change {
        let status = if ready { "True" } else { "False" };
        let object = Object::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {}, "status": {"conditions": [{"type": "Ready", "status": status}]}}));
        Change::Put(Arc::new(object.unwrap()))
    }

    #[test]
    fn most_are_away_as_a_look_at_every_node_would_find() {
        let mut world = World::default();
        let mut rng = Rng::new(3);
        let (mut now, mut seen) = (Time(1_000_000), [0_u32; 2]);
        for _ in 0..20_000 {
            let name: Arc<str> = alloc::format!("n{}", rng.below(7)).into();
            match rng.below(10) {
                0..4 => world.nodes.hear(&name, now),
                4 => drop(world.apply(Change::Delete(Key::cluster(evenkeel_model::Kind::Node, name)))),
                5..8 => drop(world.apply(node(&name, rng.below(4) > 0))),
                _ => now = now + Duration::from_millis(rng.below(9000)),
            }
            world.nodes.watch(now);
            let nodes = &world.nodes;
            let doubtful = |name: &str| nodes.last_heard(name).is_none_or(|at| now.since(at) > DOUBT);
            let away = nodes.iter().filter(|(name, node)| !node.ready || doubtful(name)).count();
            assert_eq!(nodes.are_mostly_away(), away * 2 > nodes.iter().count());
            seen[usize::from(nodes.are_mostly_away())] += 1;
        }
        assert!(seen.iter().all(|n| *n > 1000), "{seen:?}");
    }
}
