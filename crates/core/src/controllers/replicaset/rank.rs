//! Which pods of a ReplicaSet go first, in Kubernetes' order. Called when it has too many.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::cmp::Reverse;

use evenkeel_model::{Key, Object, Time};
use serde::Deserialize;

use crate::world::{
    World,
    pods::{PodPhase, PodRecord},
};

/// Annotation with a pod's cost of deletion, as in Kubernetes: lower goes first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What makes a pod less useful wherever it is: without a node, pending, not ready, cheap to delete.
type Class = (bool, u8, bool, i64);
/// What decides between pods of a class on equally crowded nodes: ready for a short time, often
/// restarted, young.
type Merit = (Reverse<Time>, Reverse<i64>, Reverse<Time>, Key);

/// Active pods, least useful first: by class, then beside many siblings, then by merit.
///
/// Kubernetes counts the siblings once. Here those that go before a pod count no more, as if the pods
/// went one by one: else a node with two too many would lose them before another loses its one.
pub(super) fn least_useful_first<'a>(world: &World, pods: &[(&'a Key, &'a PodRecord)]) -> Vec<&'a Key> {
    let active = || pods.iter().filter(|(_, p)| !p.terminating && !p.finished());
    let mut siblings: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for node in active().filter_map(|(_, p)| p.node.as_ref()) {
        *siblings.entry(node).or_default() += 1;
    }
    let mut ranked: Vec<(Class, Merit, Option<&Arc<str>>, &Key)> = active()
        .map(|(key, pod)| {
            let (class, merit) = judge(world, key, pod);
            (class, merit, pod.node.as_ref(), *key)
        })
        .collect();
    ranked.sort();
    let mut crowded: Vec<(Class, Reverse<usize>, Merit, &Key)> = ranked
        .into_iter()
        .map(|(class, merit, node, key)| {
            let beside = node.and_then(|node| siblings.get_mut(node)).map_or(0, |left| {
                *left -= 1;
                *left + 1
            });
            (class, Reverse(beside), merit, key)
        })
        .collect();
    crowded.sort();
    crowded.into_iter().map(|(.., key)| key).collect()
}

fn judge(world: &World, key: &Key, pod: &PodRecord) -> (Class, Merit) {
    let object = world.get(key);
    let cost = object.and_then(|o| o.meta.annotation(DELETION_COST)).and_then(|c| c.parse().ok()).unwrap_or(0);
    let phase = match pod.phase {
        PodPhase::Pending => 0,
        PodPhase::Unknown => 1,
        _ => 2,
    };
    let restarts = object.map_or(0, |o| restarts(o));
    let class = (pod.node.is_some(), phase, pod.ready_since.is_some(), cost);
    let merit =
        (Reverse(pod.ready_since.unwrap_or_default()), Reverse(restarts), Reverse(pod.created), Key::clone(key));
    (class, merit)
}

fn restarts(pod: &Object) -> i64 {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Status {
        container_statuses: Vec<Container>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Container {
        #[serde(default)]
        restart_count: i64,
    }
    let status: Status = pod.status().ok().flatten().unwrap_or_default();
    status.container_statuses.iter().map(|c| c.restart_count).sum()
}
