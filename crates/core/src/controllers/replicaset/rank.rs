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

/// The rank of a pod; the smallest goes first.
type Rank = (bool, u8, bool, i64, Reverse<usize>, Reverse<Time>, Reverse<i64>, Reverse<Time>, Key);

/// Active pods, least useful first: without a node, pending, not ready, cheap to delete, beside
/// many siblings, ready for a short time, often restarted, young.
pub(super) fn least_useful_first<'a>(world: &World, _set: &Object, pods: &[(&'a Key, &'a PodRecord)]) -> Vec<&'a Key> {
    let mut crowd: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    let active = || pods.iter().filter(|(_, p)| !p.terminating && !p.finished());
    for node in active().filter_map(|(_, p)| p.node.as_ref()) {
        *crowd.entry(node).or_default() += 1;
    }
    let mut ranked: Vec<(Rank, &Key)> = active()
        .map(|(key, p)| {
            let object = world.get(key);
            let cost = object.and_then(|o| o.meta.annotation(DELETION_COST)).and_then(|c| c.parse().ok()).unwrap_or(0);
            let phase = match p.phase {
                PodPhase::Pending => 0,
                PodPhase::Unknown => 1,
                _ => 2,
            };
            let beside = p.node.as_ref().and_then(|n| crowd.get(n)).copied().unwrap_or(0);
            let restarts = object.map_or(0, |o| restarts(o));
            let rank = (
                p.node.is_some(),
                phase,
                p.ready_since.is_some(),
                cost,
                Reverse(beside),
                Reverse(p.ready_since.unwrap_or_default()),
                Reverse(restarts),
                Reverse(p.created),
                Key::clone(key),
            );
            (rank, *key)
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(_, key)| key).collect()
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
