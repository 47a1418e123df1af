//! The eviction of one pod, by the rules of Kubernetes' eviction API.
//!
//! Asked by users (`pods/NAME/eviction`, so by every drain) and by the rebalance. The budget is
//! worked out at the very moment of the question, so unlike in Kubernetes it is never behind; what
//! it allows is taken, and the pod marked, in the same batch.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
};

use evenkeel_model::{Key, Object, Rng, Time};
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde_json::json;

use super::{CONDITION, SYNC_FAILED, Status, current, judge};
use crate::{
    ask::{Answer, DeleteOptions, More, Refusal},
    change::Change,
    controllers::{pod, podstatus},
    cx::Cx,
    settings::Settings,
    world::{
        World,
        pods::{PodPhase, PodRecord},
    },
};

/// Kubernetes' words for every refusal by a budget.
const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// As in Kubernetes, which cannot say whose promise would count.
const MORE_THAN_ONE: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// Evicts a pod, or says why not.
pub fn evict(world: &World, key: &Key, options: &DeleteOptions, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let (Some(pod), Some(record)) = (world.get(key), world.pods.get(key)) else {
        return Err(Refusal::not_found(key));
    };
    options.check(pod)?;
    if world.recovering.is_some() {
        return Err(Refusal::recovering());
    }
    if !free(record) {
        ask_budget(world, pod, record, options.dry_run, cx)?;
    }
    if !options.dry_run {
        take_away(world, pod, options, cx);
    }
    Ok(Answer::Object(key.clone()))
}

/// What stands against an eviction at this moment; `None` if it would be granted. Nothing is taken.
pub(crate) fn forbidden(world: &World, key: &Key, now: Time) -> Option<String> {
    // What the context gathers (events of a budget that is not understood) is told elsewhere.
    let (settings, mut rng) = (Settings::default(), Rng::new(0));
    let options = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    let refusal = evict(world, key, &options, &mut Cx::new(now, now, &settings, &mut rng)).err()?;
    Some(match refusal.more {
        More::DisruptionBudget(why) => why,
        _ => refusal.message,
    })
}

/// Whether budgets have no say: it does not run yet, or no longer.
fn free(pod: &PodRecord) -> bool {
    pod.finished() || pod.phase == PodPhase::Pending || pod.terminating
}

/// Takes one disruption from the pod's budget, where it has one.
fn ask_budget(
    world: &World,
    pod: &Arc<Object>,
    record: &PodRecord,
    dry_run: bool,
    cx: &mut Cx<'_>,
) -> Result<(), Refusal> {
    let mut guarding = world.budgets.guarding(&pod.key.namespace, &pod.meta.labels);
    let Some(budget) = guarding.next().and_then(|k| world.get(k)) else { return Ok(()) };
    if guarding.next().is_some() {
        return Err(Refusal::new(500, "InternalError", MORE_THAN_ONE));
    }
    let mut status = current(world, budget, cx);
    if record.ready_since.is_none() && unhealthy_may_go(budget, &status) {
        return Ok(());
    }
    if status.disruptions_allowed <= 0 {
        let why = why_not(budget, &status);
        return Err(Refusal::new(429, "TooManyRequests", VIOLATION).with(More::DisruptionBudget(why)));
    }
    if dry_run {
        return Ok(());
    }
    status.disruptions_allowed -= 1;
    status.disrupted_pods.insert(pod.key.name.to_string(), cx.now.to_k8s());
    judge(&mut status, cx.now);
    cx.put(budget.with_status(&status));
    Ok(())
}

/// Whether a pod that is not ready may go without taking a disruption: always, or while enough
/// others are healthy, as the budget says.
fn unhealthy_may_go(budget: &Object, status: &Status) -> bool {
    let spec: PodDisruptionBudgetSpec = budget.spec().unwrap_or_default();
    if spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow") {
        return true;
    }
    status.current_healthy >= status.desired_healthy && status.desired_healthy > 0
}

fn why_not(budget: &Object, status: &Status) -> String {
    let name = &budget.key.name;
    let condition = status.conditions.iter().find(|c| c.type_ == CONDITION);
    match condition.filter(|c| c.reason == SYNC_FAILED) {
        Some(failed) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            failed.message
        ),
        None => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            status.desired_healthy, status.current_healthy
        ),
    }
}

/// Marks the pod as Kubernetes does, and asks it to go.
fn take_away(world: &World, pod: &Arc<Object>, options: &DeleteOptions, cx: &mut Cx<'_>) {
    match pod::end(world, pod, options, cx.now) {
        Some(Change::Put(marked)) => {
            let condition = json!({"type": podstatus::DISRUPTION, "status": "True", "reason": podstatus::EVICTED,
                "message": "Eviction API: evicting", "lastTransitionTime": cx.now.rfc3339()});
            cx.put(podstatus::with_condition(&marked, &condition));
        }
        change => cx.changes.extend(change),
    }
}
