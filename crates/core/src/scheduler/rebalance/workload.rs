//! The pods of one ReplicaSet, as a rebalance sees them, and what stands against moving one.
//!
//! Only pods move that a ReplicaSet makes anew, that are ready, and whose node is well: pods of a
//! node that is cordoned or away are a drain's and an eviction's. A workload gives one away only when
//! it has all that it wants, and then keeps both promises: its Deployment's (`maxUnavailable`) and its
//! disruption budget's.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::cmp::Reverse;

use evenkeel_model::{Key, Kind, Object, Time};
use serde::Deserialize;

use super::{Best, Move};
use crate::{
    controllers::{
        deployment,
        disruption::eviction,
        tally::{controlled, seconds, tally},
    },
    world::{
        World,
        pods::{PodRecord, PodShape},
    },
};

/// The pods of one ReplicaSet.
pub(super) struct Workload {
    /// The Deployment, or the ReplicaSet where there is none.
    pub(super) name: Key,
    /// The ReplicaSet.
    pub(super) set: Arc<Object>,
    /// What its pods ask for.
    pub(super) shape: Arc<PodShape>,
    /// Pods that may be moved by node, the one to go first last.
    pods: BTreeMap<Arc<str>, Vec<Key>>,
}

impl Workload {
    /// A ReplicaSet with its pods; `None` if none of them can be moved.
    fn of(world: &World, set: &Arc<Object>) -> Option<Self> {
        let pods = || controlled(world, set.uid);
        // A pod that was adopted may ask for something else than its replacement will: it stays.
        let (_, newest) = pods().filter(|(_, p)| !p.finished()).max_by_key(|(key, p)| (p.created, *key))?;
        let shape = newest.shape.clone();
        let mut found: Vec<(&Arc<str>, Reverse<Time>, &Key)> = pods()
            .filter(|(_, p)| p.ready() && !p.finished() && (Arc::ptr_eq(&p.shape, &shape) || p.shape == shape))
            .filter_map(|(key, p)| Some((well(world, p)?, Reverse(p.created), key)))
            .collect();
        // The youngest goes first: it has served least.
        found.sort_by(|a, b| b.cmp(a));
        let mut by_node: BTreeMap<Arc<str>, Vec<Key>> = BTreeMap::new();
        for (node, _, key) in found {
            by_node.entry(node.clone()).or_default().push(key.clone());
        }
        let above = set.meta.controller().filter(|o| o.known_kind() == Some(Kind::Deployment));
        let name = above.map_or_else(|| set.key.clone(), |o| set.key.sibling(Kind::Deployment, o.name.clone()));
        (!by_node.is_empty()).then(|| Self { name, set: set.clone(), shape, pods: by_node })
    }

    /// Nodes that have a pod of it to give.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pods.keys()
    }

    /// Whether a node has this pod to give.
    pub(super) fn has(&self, node: &Arc<str>, pod: &Key) -> bool {
        self.pods.get(node).is_some_and(|pods| pods.contains(pod))
    }

    /// Takes the pod of a node that goes first.
    pub(super) fn take(&mut self, node: &Arc<str>) -> Option<Key> {
        let pods = self.pods.get_mut(node)?;
        let pod = pods.pop();
        if pods.is_empty() {
            self.pods.remove(node);
        }
        pod
    }

    /// A move of one of its pods.
    pub(super) fn moved(&self, pod: &Object, best: Best) -> Move {
        let Best { from, to, gain } = best;
        let (set, workload) = (self.set.key.clone(), self.name.clone());
        Move { pod: pod.key.clone(), uid: pod.uid, set, workload, from, to, gain }
    }
}

/// A pod's node, if it is there, ready, and takes pods.
fn well<'a>(world: &World, pod: &'a PodRecord) -> Option<&'a Arc<str>> {
    let name = pod.node.as_ref()?;
    world.nodes.get(name).filter(|n| n.known && n.ready && !n.unschedulable).map(|_| name)
}

/// All ReplicaSets with pods that can be moved, in the order of their keys.
pub(super) fn all(world: &World) -> Vec<Workload> {
    world.list(Kind::ReplicaSet, "").filter(|set| !set.deleting()).filter_map(|set| Workload::of(world, set)).collect()
}

/// The workload of a pod.
pub(super) fn of_pod(world: &World, pod: &Object) -> Option<Workload> {
    let owner = pod.meta.controller().filter(|o| o.known_kind() == Some(Kind::ReplicaSet))?;
    let set = world.get(&pod.key.sibling(Kind::ReplicaSet, owner.name.clone()))?;
    (set.uid == owner.uid && !set.deleting()).then(|| Workload::of(world, set))?
}

/// What of a ReplicaSet is asked for here; of the template, which is most of it, one field.
#[derive(Deserialize)]
struct View {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    replicas: Option<i32>,
    min_ready_seconds: Option<i32>,
    template: Template,
}

#[derive(Deserialize)]
struct Template {
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
}

/// What stands against moving a pod of a workload; `None` if nothing does.
pub(super) fn hold(world: &World, workload: &Workload, empty_dirs: bool, now: Time) -> Option<String> {
    let spec = match workload.set.view::<View>() {
        Ok(view) => view.spec,
        Err(e) => return Some(format!("its ReplicaSet cannot be read: {e}")),
    };
    if let Some(node) = &spec.template.spec.node_name {
        return Some(format!("its template names node {node}"));
    }
    if let Some(volume) = &workload.shape.local_volume {
        return Some(format!("the data of volume {volume} (hostPath) are on its node alone"));
    }
    if let Some(volume) = workload.shape.empty_dir.as_ref().filter(|_| !empty_dirs) {
        return Some(format!("what is in volume {volume} (emptyDir) would be lost; --delete-emptydir-data allows it"));
    }
    let wanted = spec.replicas.unwrap_or(1).max(0);
    let t = tally(world, workload.set.uid, seconds(spec.min_ready_seconds), now);
    if t.terminating > 0 {
        return Some("one of its pods is on its way out".to_string());
    }
    if (t.active, t.available) != (wanted, wanted) {
        return Some(format!("{} of its {wanted} pods are available", t.available));
    }
    promise(world, workload, wanted).or_else(|| {
        let pod = workload.pods.values().flatten().next()?;
        eviction::forbidden(world, pod, now)
    })
}

/// What its Deployment says against one pod less; of a ReplicaSet alone, that its last pod stays.
fn promise(world: &World, workload: &Workload, wanted: i32) -> Option<String> {
    if workload.name.kind == Kind::Deployment {
        let above = workload.set.meta.controller()?;
        let deployment = world.get(&workload.name).filter(|d| d.uid == above.uid);
        let Some((deployment, (replicas, least))) = deployment.and_then(|d| Some((d, deployment::promised(d)?))) else {
            return Some("its Deployment cannot be read".to_string());
        };
        if replicas != wanted || deployment.deleting() || deployment::is_rolling(deployment) {
            return Some("it is being rolled out".to_string());
        }
        if wanted > 1 && wanted - 1 < least {
            return Some(format!("it promises all of its {replicas} pods at any time (maxUnavailable comes to 0)"));
        }
    }
    (wanted <= 1).then(|| "it is its only pod: nothing would serve meanwhile".to_string())
}
