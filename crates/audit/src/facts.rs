//! A state with its indexes, and the few fields of each kind that the checks read.
//!
//! Types of its own, decoded from the stored bytes, so that the core's views are not trusted.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object, Quantity, Time, Uid};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    State,
    finding::{Finding, Promise},
};

/// A condition of any kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

impl Condition {
    /// Whether it says why.
    pub(crate) fn explains(&self) -> bool {
        [&self.reason, &self.message].into_iter().flatten().any(|t| !t.trim().is_empty())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) conditions: Option<Vec<Condition>>,
    pub(crate) container_statuses: Option<Vec<ContainerStatus>>,
    pub(crate) init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) ready: bool,
    pub(crate) restart_count: u32,
    pub(crate) state: Option<BTreeMap<String, Option<StateDetail>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StateDetail {
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) exit_code: Option<i64>,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) object: &'a Object,
    pub(crate) status: Arc<PodStatus>,
}

impl Pod<'_> {
    fn is_phase(&self, phases: &[&str]) -> bool {
        self.status.phase.as_deref().is_some_and(|p| phases.contains(&p))
    }

    /// It ended and stays ended.
    pub(crate) fn finished(&self) -> bool {
        self.is_phase(&["Succeeded", "Failed"])
    }

    /// It counts as a replica: neither ended nor terminating.
    pub(crate) fn active(&self) -> bool {
        !self.finished() && !self.object.deleting()
    }

    /// Its condition Ready holds.
    pub(crate) fn ready(&self) -> bool {
        self.status.conditions.iter().flatten().any(|c| c.kind == "Ready" && c.status == "True")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeploymentSpec {
    replicas: Option<i64>,
    strategy: Option<Strategy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    #[serde(rename = "type")]
    kind: Option<String>,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Option<Value>,
    max_unavailable: Option<Value>,
}

/// A Deployment's promise in numbers.
#[derive(Debug)]
pub(crate) struct Deployment<'a> {
    pub(crate) object: &'a Object,
    /// At least so many ready pods.
    pub(crate) least: i64,
    /// At most so many pods that are not terminating.
    pub(crate) most: i64,
}

impl<'a> Deployment<'a> {
    fn new(object: &'a Object, spec: &DeploymentSpec) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|s| s.kind.as_deref()) == Some("Recreate") {
            return Self { object, least: 0, most: replicas };
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        // Kubernetes rounds the surge up and the unavailable down, and allows one where both are 0.
        let surge = part(rolling.and_then(|r| r.max_surge.as_ref()), replicas, true);
        let mut unavailable = part(rolling.and_then(|r| r.max_unavailable.as_ref()), replicas, false);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Self { object, least: (replicas - unavailable).max(0), most: replicas + surge }
    }
}

/// A number, or a percentage of `of`; 25 % where nothing is said.
fn part(value: Option<&Value>, of: i64, up: bool) -> i64 {
    let percent = |p: i64| {
        let scaled = p.saturating_mul(of);
        if up { scaled.saturating_add(99) / 100 } else { scaled / 100 }
    };
    match value {
        Some(Value::Number(n)) => n.as_i64().unwrap_or(0),
        Some(Value::String(s)) => match s.strip_suffix('%') {
            Some(p) => percent(p.parse().unwrap_or(0)),
            None => s.parse().unwrap_or(0),
        },
        _ => percent(25),
    }
}

/// A node: what it offers and whether it is well.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) object: &'a Object,
    pub(crate) allocatable: BTreeMap<String, Quantity>,
    pub(crate) conditions: Vec<Condition>,
    /// It has a taint with effect `NoExecute`, so pods may be evicted from it.
    pub(crate) evicts: bool,
}

impl Node<'_> {
    pub(crate) fn ready(&self) -> bool {
        self.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSpec {
    taints: Option<Vec<Taint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Taint {
    effect: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    allocatable: Option<BTreeMap<String, Value>>,
    conditions: Option<Vec<Condition>>,
}

/// A quantity as JSON has it.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(s) => s.parse().ok(),
        Value::Number(n) => n.to_string().parse().ok(),
        _ => None,
    }
}

/// The statuses of pods as they were read last, with the very bytes that they were read from.
pub(crate) type Memo = BTreeMap<Uid, (Arc<[u8]>, Arc<PodStatus>)>;

/// A pod's status; what cannot be read is a finding, each time anew.
fn pod_status(pod: &Object, memo: &mut Memo, out: &mut Vec<Finding>) -> Arc<PodStatus> {
    if let Some((_, read)) = memo.get(&pod.uid).filter(|(bytes, _)| Arc::ptr_eq(bytes, &pod.status)) {
        return read.clone();
    }
    let told = out.len();
    let read = Arc::new(status(pod, out));
    if out.len() == told {
        memo.insert(pod.uid, (pod.status.clone(), Arc::clone(&read)));
    }
    read
}

/// A state, indexed.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) objects: &'a [Object],
    pub(crate) by_uid: BTreeMap<Uid, &'a Object>,
    pub(crate) by_key: BTreeMap<&'a Key, &'a Object>,
    pub(crate) pods: BTreeMap<Uid, Pod<'a>>,
    pub(crate) nodes: BTreeMap<&'a str, Node<'a>>,
    pub(crate) deployments: BTreeMap<Uid, Deployment<'a>>,
    /// Uids of a Deployment's pods, by its uid.
    pub(crate) pods_of: BTreeMap<Uid, Vec<Uid>>,
}

impl<'a> World<'a> {
    /// Indexes a state; what cannot be read is a finding and left out.
    pub(crate) fn new(state: &State<'a>, memo: &mut Memo, out: &mut Vec<Finding>) -> Self {
        let mut world = Self {
            objects: state.objects,
            by_uid: state.objects.iter().map(|o| (o.uid, o)).collect(),
            by_key: state.objects.iter().map(|o| (&o.key, o)).collect(),
            pods: BTreeMap::new(),
            nodes: BTreeMap::new(),
            deployments: BTreeMap::new(),
            pods_of: BTreeMap::new(),
        };
        for object in state.objects {
            match object.key.kind {
                Kind::Pod => {
                    let status = pod_status(object, memo, out);
                    world.pods.insert(object.uid, Pod { object, status });
                }
                Kind::Node => {
                    let status: NodeStatus = status(object, out);
                    let spec: NodeSpec = spec(object, out);
                    let allocatable = status.allocatable.unwrap_or_default();
                    world.nodes.insert(
                        &object.key.name,
                        Node {
                            object,
                            allocatable: allocatable
                                .iter()
                                .filter_map(|(k, v)| Some((k.clone(), quantity(v)?)))
                                .collect(),
                            conditions: status.conditions.unwrap_or_default(),
                            evicts: spec.taints.iter().flatten().any(|t| t.effect == "NoExecute"),
                        },
                    );
                }
                Kind::Deployment => {
                    world.deployments.insert(object.uid, Deployment::new(object, &spec(object, out)));
                }
                _ => {}
            }
        }
        for pod in world.pods.values() {
            let set = pod.object.meta.controller().and_then(|o| world.by_uid.get(&o.uid));
            if let Some(deployment) = set.and_then(|s| s.meta.controller())
                && world.deployments.contains_key(&deployment.uid)
            {
                world.pods_of.entry(deployment.uid).or_default().push(pod.object.uid);
            }
        }
        world
    }

    /// The pods of a Deployment, through its ReplicaSets.
    pub(crate) fn pods_of(&self, deployment: Uid) -> impl Iterator<Item = &Pod<'a>> {
        self.pods_of.get(&deployment).into_iter().flatten().filter_map(|uid| self.pods.get(uid))
    }

    /// The objects of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |o| o.key.kind == kind)
    }
}

/// How long an object has been there.
pub(crate) fn age(object: &Object, now: Time) -> core::time::Duration {
    now.since(object.meta.created)
}

/// An object's status; what cannot be read is a finding.
pub(crate) fn status<T: DeserializeOwned + Default>(object: &Object, out: &mut Vec<Finding>) -> T {
    let Ok(status) = object.status() else {
        out.push(Finding::broken(Promise::Durable, &object.key, "its status cannot be read"));
        return T::default();
    };
    status.unwrap_or_default()
}

/// An object's spec; what cannot be read is a finding. One without `spec` has an empty one.
pub(crate) fn spec<T: DeserializeOwned + Default>(object: &Object, out: &mut Vec<Finding>) -> T {
    #[derive(Deserialize)]
    #[serde(bound = "T: DeserializeOwned + Default")]
    struct Body<T> {
        #[serde(default)]
        spec: Option<T>,
    }
    let Ok(body) = object.view::<Body<T>>() else {
        out.push(Finding::broken(Promise::Durable, &object.key, "its spec cannot be read"));
        return T::default();
    };
    body.spec.unwrap_or_default()
}
