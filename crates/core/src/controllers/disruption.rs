//! PodDisruptionBudgets: keeps their status, by the rules of Kubernetes' disruption controller.
//!
//! How many pods are expected comes from the scale of their controllers, or is their number where
//! `minAvailable` is a whole number; percentages round up. What the status allows is taken by
//! evictions ([`eviction`]). Deliberately not here: rollouts, which keep their Deployment's promise
//! and do not ask budgets, as in Kubernetes.

pub mod eviction;
#[cfg(test)]
mod tests;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, OwnerRef, Time, Uid};
use k8s_openapi::{
    api::policy::v1::PodDisruptionBudgetSpec,
    apimachinery::pkg::{
        apis::meta::v1::{Condition, Time as K8sTime},
        util::intstr::IntOrString,
    },
};
use serde::{Deserialize, Serialize};

use super::ControllerId;
use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    world::{World, budgets::Guard, pods::PodRecord},
};

/// How long an eviction that was allowed counts while its pod is not being deleted: as in
/// Kubernetes (`DeletionTimeout`).
const DELETION_TIMEOUT: Duration = Duration::from_mins(2);
/// Kubernetes' type of the condition.
pub(crate) const CONDITION: &str = "DisruptionAllowed";
/// Its reason while at least one pod may go.
const SUFFICIENT: &str = "SufficientPods";
/// Its reason while none may.
const INSUFFICIENT: &str = "InsufficientPods";
/// Its reason while what the budget means cannot be worked out: then none may go.
const SYNC_FAILED: &str = "SyncFailed";

/// `status`. Its numbers are always there, and always known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    current_healthy: i32,
    desired_healthy: i32,
    disruptions_allowed: i32,
    expected_pods: i32,
    /// Pods whose eviction was allowed and that are not being deleted yet, with the time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    disrupted_pods: BTreeMap<String, K8sTime>,
    observed_generation: i64,
    conditions: Vec<Condition>,
}

/// Marks a budget that changed, the budgets of a pod that changed, and those of a namespace in
/// which a workload was scaled or went.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let namespace = &changed.key.namespace;
    match changed.key.kind {
        Kind::PodDisruptionBudget if changed.new.is_some() => mark(changed.key.clone()),
        Kind::Pod => {
            let (old, new) = (changed.old.as_ref(), changed.new.as_ref());
            for labels in old.into_iter().chain(new).map(|o| &o.meta.labels) {
                world.budgets.guarding(namespace, labels).for_each(|k| mark(k.clone()));
            }
        }
        Kind::Deployment | Kind::ReplicaSet if changed.body_changed() => {
            world.budgets.of_namespace(namespace).for_each(|k| mark(k.clone()));
        }
        _ => {}
    }
}

/// Looks at one budget.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(budget) = world.get(key) else { return };
    let next = current(world, budget, cx);
    if budget.status.is_empty() || budget.status().ok().flatten().as_ref() != Some(&next) {
        cx.put(budget.with_status(&next));
    }
}

/// The status of a budget as the world is now.
fn current(world: &World, budget: &Arc<Object>, cx: &mut Cx<'_>) -> Status {
    let old: Status = budget.status().ok().flatten().unwrap_or_default();
    let pods: Vec<(&Key, &PodRecord)> = match world.budgets.guard(&budget.key) {
        Guard::Nothing => Vec::new(),
        Guard::Pods(selector) => {
            let keys = world.pods.selected(&budget.key.namespace, selector);
            keys.filter_map(|k| Some((k, world.pods.get(k)?))).collect()
        }
    };
    let spec = budget.spec::<PodDisruptionBudgetSpec>().map_err(|e| e.to_string());
    match spec.and_then(|spec| demand(world, &spec, &pods)) {
        Ok(demand) => counted(world, budget, &old, &demand, &pods, cx),
        Err(why) => failed(budget, &old, &why, cx.now),
    }
}

/// What a budget asks for.
#[derive(Debug, PartialEq, Eq)]
struct Demand {
    /// `expectedPods`.
    expected: i32,
    /// `desiredHealthy`.
    healthy: i32,
    /// Pods without a controller, which a percentage or `maxUnavailable` cannot count.
    unmanaged: usize,
}

/// How many pods a budget expects, and how many of them healthy; or why that cannot be said.
fn demand(world: &World, spec: &PodDisruptionBudgetSpec, pods: &[(&Key, &PodRecord)]) -> Result<Demand, String> {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let (expected, unmanaged) = scale(world, pods)?;
            let healthy = expected.saturating_sub(part(most, expected)?).max(0);
            Ok(Demand { expected, healthy, unmanaged })
        }
        (None, Some(IntOrString::Int(least))) => {
            let expected = i32::try_from(pods.len()).unwrap_or(i32::MAX);
            Ok(Demand { expected, healthy: *least, unmanaged: 0 })
        }
        (None, Some(least)) => {
            let (expected, unmanaged) = scale(world, pods)?;
            Ok(Demand { expected, healthy: part(least, expected)?, unmanaged })
        }
        (None, None) => Ok(Demand { expected: 0, healthy: 0, unmanaged: 0 }),
    }
}

/// A number, or a percentage of `of` rounded up.
fn part(amount: &IntOrString, of: i32) -> Result<i32, String> {
    match amount {
        IntOrString::Int(n) => Ok(*n),
        IntOrString::String(text) => {
            let percent: Option<i64> = text.strip_suffix('%').and_then(|t| t.parse().ok()).filter(|n| *n >= 0);
            let percent = percent.ok_or_else(|| format!("invalid value for IntOrString: {text:?} is no percentage"))?;
            let up = percent.saturating_mul(i64::from(of)).saturating_add(99) / 100;
            Ok(i32::try_from(up).unwrap_or(i32::MAX))
        }
    }
}

/// The sum of the scales of all controllers of these pods, and how many pods have none.
fn scale(world: &World, pods: &[(&Key, &PodRecord)]) -> Result<(i32, usize), String> {
    // By the uid that the pods name; several ReplicaSets of one Deployment count once.
    let mut seen: BTreeMap<Uid, Uid> = BTreeMap::new();
    let mut scales: BTreeMap<Uid, i32> = BTreeMap::new();
    let mut unmanaged = 0;
    for (key, record) in pods {
        let Some(controller) = record.controller else {
            unmanaged += 1;
            continue;
        };
        if seen.contains_key(&controller) {
            continue;
        }
        let owner = world.get(key).and_then(|p| p.meta.controller());
        let (uid, replicas) = owner
            .and_then(|o| controller_scale(world, key, o))
            .ok_or_else(|| format!("found no controllers for pod {:?}", key.name))?;
        seen.insert(controller, uid);
        scales.insert(uid, replicas);
    }
    Ok((scales.values().fold(0_i32, |sum, n| sum.saturating_add(*n)), unmanaged))
}

/// Which controller scales a pod, and to how many: its ReplicaSet, or that one's Deployment.
fn controller_scale(world: &World, pod: &Key, owner: &OwnerRef) -> Option<(Uid, i32)> {
    let find = |owner: &OwnerRef, kind: Kind| -> Option<&Arc<Object>> {
        let key = (owner.known_kind() == Some(kind)).then(|| pod.sibling(kind, owner.name.clone()))?;
        world.get(&key).filter(|o| o.uid == owner.uid)
    };
    let set = find(owner, Kind::ReplicaSet)?;
    match set.meta.controller().filter(|o| o.known_kind() == Some(Kind::Deployment)) {
        Some(above) => find(above, Kind::Deployment).map(|d| (d.uid, replicas(d))),
        None => Some((set.uid, replicas(set))),
    }
}

fn replicas(workload: &Object) -> i32 {
    #[derive(Deserialize, Default)]
    struct Spec {
        replicas: Option<i32>,
    }
    workload.spec::<Spec>().unwrap_or_default().replicas.unwrap_or(1)
}

/// The status of a budget whose demand is known.
fn counted(
    world: &World,
    budget: &Arc<Object>,
    old: &Status,
    demand: &Demand,
    pods: &[(&Key, &PodRecord)],
    cx: &mut Cx<'_>,
) -> Status {
    if pods.is_empty() && old.observed_generation != budget.meta.generation {
        cx.event(world, budget, EventKind::Normal, "NoPods", "No matching pods found");
    }
    if demand.unmanaged > 0 && old.observed_generation != budget.meta.generation {
        let message = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status \
                       of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
                       for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
        cx.event(world, budget, EventKind::Warning, "UnmanagedPods", message);
    }
    let disrupted = disrupted(world, budget, old, pods, cx);
    let healthy = pods.iter().filter(|(key, pod)| pod.ready() && !disrupted.contains_key(&*key.name)).count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    // Without any expected pod none may go: the first ones may appear before this is worked out anew.
    let allowed = if demand.expected <= 0 { 0 } else { healthy.saturating_sub(demand.healthy).max(0) };
    let mut next = Status {
        current_healthy: healthy,
        desired_healthy: demand.healthy,
        expected_pods: demand.expected,
        disruptions_allowed: allowed,
        disrupted_pods: disrupted,
        observed_generation: budget.meta.generation,
        conditions: old.conditions.clone(),
    };
    judge(&mut next, cx.now);
    next
}

/// The evictions that were allowed and are not seen through yet. One whose pod still is not being
/// deleted after [`DELETION_TIMEOUT`] no longer counts.
fn disrupted(
    world: &World,
    budget: &Arc<Object>,
    old: &Status,
    pods: &[(&Key, &PodRecord)],
    cx: &mut Cx<'_>,
) -> BTreeMap<String, K8sTime> {
    let mut kept = BTreeMap::new();
    if old.disrupted_pods.is_empty() {
        return kept;
    }
    let mut next: Option<Time> = None;
    for (key, pod) in pods.iter().filter(|(_, p)| !p.terminating) {
        let Some(at) = old.disrupted_pods.get(&*key.name) else { continue };
        let until = Time(at.0.as_millisecond()) + DELETION_TIMEOUT;
        if until < cx.now {
            if let Some(object) = world.get(key).filter(|o| o.uid == pod.uid) {
                let message = format!(
                    "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                    budget.key.namespace, budget.key.name
                );
                cx.event(world, object, EventKind::Warning, "NotDeleted", &message);
            }
            continue;
        }
        // From that moment on it still counts: looked at one step of the clock later.
        let look = until + Duration::from_millis(1);
        next = Some(next.map_or(look, |n| n.min(look)));
        kept.insert(key.name.to_string(), at.clone());
    }
    if let Some(at) = next {
        cx.wake(at, ControllerId::Disruption, budget.key.clone());
    }
    kept
}

/// The status of a budget whose meaning cannot be worked out: nothing may go. The next change of its
/// pods or their controllers brings the next try.
fn failed(budget: &Object, old: &Status, why: &str, now: Time) -> Status {
    let mut next = old.clone();
    next.disruptions_allowed = 0;
    next.observed_generation = budget.meta.generation;
    set_condition(&mut next, false, SYNC_FAILED, why, now);
    next
}

/// The condition that follows from what is allowed.
fn judge(status: &mut Status, now: Time) {
    let allowed = status.disruptions_allowed > 0;
    set_condition(status, allowed, if allowed { SUFFICIENT } else { INSUFFICIENT }, "", now);
}

fn set_condition(status: &mut Status, holds: bool, reason: &str, message: &str, now: Time) {
    let mut fresh = Condition {
        type_: CONDITION.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: Some(status.observed_generation),
        last_transition_time: now.to_k8s(),
    };
    match status.conditions.iter_mut().find(|c| c.type_ == CONDITION) {
        Some(slot) => {
            if slot.status == fresh.status {
                fresh.last_transition_time = slot.last_transition_time.clone();
            }
            *slot = fresh;
        }
        None => status.conditions.push(fresh),
    }
}
