//! Disruption budgets: no eviction that Evenkeel grants goes below one; and their status is right.
//!
//! What a budget demands is worked out here anew, from its own fields and the workloads.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use evenkeel_model::{Kind, Object, Selector, labels::Requirement};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    facts::{Pod, World, spec, status},
    finding::{Finding, Promise},
};

/// Type and reason of the condition of a pod that the eviction API took.
const EVICTED: (&str, &str) = ("DisruptionTarget", "EvictionByEvictionAPI");

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetSpec {
    selector: Option<LabelSelector>,
    min_available: Option<Value>,
    max_unavailable: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl LabelSelector {
    /// `None` for an operator that Kubernetes does not have.
    fn selector(self) -> Option<Selector> {
        let equal = self.match_labels.into_iter().map(|(k, v)| Some(Requirement::In(k, [v].into())));
        let others = self.match_expressions.into_iter().map(|e| match e.operator.as_str() {
            "In" => Some(Requirement::In(e.key, e.values)),
            "NotIn" => Some(Requirement::NotIn(e.key, e.values)),
            "Exists" => Some(Requirement::Exists(e.key)),
            "DoesNotExist" => Some(Requirement::Absent(e.key)),
            _ => None,
        });
        equal.chain(others).collect::<Option<Vec<_>>>().map(Selector)
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    current_healthy: i64,
    desired_healthy: i64,
    disruptions_allowed: i64,
    expected_pods: i64,
    disrupted_pods: BTreeMap<String, Value>,
}

/// A budget's demand on the pods that it selects.
struct Budget<'w, 'a> {
    object: &'a Object,
    pods: Vec<&'w Pod<'a>>,
    expected: i64,
    healthy: i64,
}

pub(crate) fn check(world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    for object in world.of_kind(Kind::PodDisruptionBudget) {
        let Some(now) = read(object, world, out) else { continue };
        told(&now, out);
        if let Some(before) = before {
            evictions(&now, world, before, out);
        }
    }
}

/// A budget with its pods; `None` where it cannot be said what it demands.
fn read<'w, 'a>(object: &'a Object, world: &'w World<'a>, out: &mut Vec<Finding>) -> Option<Budget<'w, 'a>> {
    let spec: BudgetSpec = spec(object, out);
    let selector = spec.selector?.selector()?;
    let here = |p: &&Pod<'_>| p.object.key.namespace == object.key.namespace && selector.matches(&p.object.meta.labels);
    let pods: Vec<&Pod<'a>> = world.pods.values().filter(here).collect();
    let count = i64::try_from(pods.len()).ok()?;
    let (expected, healthy) = match (&spec.min_available, &spec.max_unavailable) {
        (Some(Value::Number(n)), None) => (count, n.as_i64()?),
        (Some(least), None) => {
            let scale = scale(&pods, world)?;
            (scale, part(least, scale)?)
        }
        (None, Some(most)) => {
            let scale = scale(&pods, world)?;
            (scale, (scale - part(most, scale)?).max(0))
        }
        _ => return None,
    };
    Some(Budget { object, pods, expected, healthy })
}

/// What the controllers of all pods want together; `None` where one of them is not to be found.
fn scale(pods: &[&Pod<'_>], world: &World<'_>) -> Option<i64> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Scaled {
        replicas: Option<i64>,
    }
    let mut wanted = BTreeMap::new();
    for owner in pods.iter().filter_map(|p| p.object.meta.controller()) {
        let set = world.by_uid.get(&owner.uid)?;
        let top = match set.meta.controller() {
            Some(above) => world.by_uid.get(&above.uid)?,
            None => set,
        };
        wanted.insert(top.uid, spec::<Scaled>(top, &mut Vec::new()).replicas.unwrap_or(1));
    }
    Some(wanted.values().sum())
}

/// A number, or a percentage rounded up.
fn part(amount: &Value, of: i64) -> Option<i64> {
    match amount {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => Some((s.strip_suffix('%')?.parse::<i64>().ok()?.checked_mul(of)? + 99).div_euclid(100)),
        _ => None,
    }
}

/// The status follows the pods; for a moment it may be behind.
fn told(budget: &Budget<'_, '_>, out: &mut Vec<Finding>) {
    let said: BudgetStatus = status(budget.object, out);
    let well =
        |p: &&&Pod<'_>| p.ready() && !p.object.deleting() && !said.disrupted_pods.contains_key(&*p.object.key.name);
    let healthy = i64::try_from(budget.pods.iter().filter(well).count()).unwrap_or(i64::MAX);
    let allowed = if budget.expected > 0 { (healthy - budget.healthy).max(0) } else { 0 };
    let right = (budget.expected, healthy, budget.healthy, allowed);
    let told = (said.expected_pods, said.current_healthy, said.desired_healthy, said.disruptions_allowed);
    if right != told {
        let message = format!("its status says (expected, healthy, desired, allowed) {told:?}, and it is {right:?}");
        out.push(Finding::unsettled(Promise::Available, &budget.object.key, message));
    }
}

/// Ready pods that were evicted since the state before, while fewer than the budget asks for are
/// left. What became unready by itself meanwhile is not held against it, and a change of scale or
/// of the budget is judged by the milder demand.
fn evictions(now: &Budget<'_, '_>, world: &World<'_>, before: &World<'_>, out: &mut Vec<Finding>) {
    let Some(old) = before.by_uid.get(&now.object.uid).and_then(|o| read(o, before, &mut Vec::new())) else { return };
    let ready_before = |p: &Pod<'_>| before.pods.get(&p.object.uid).is_some_and(Pod::ready);
    let left = now.pods.iter().filter(|p| p.active() && (p.ready() || ready_before(p))).count();
    let left = i64::try_from(left).unwrap_or(i64::MAX);
    let least = now.healthy.min(old.healthy);
    if left >= least {
        return;
    }
    let evicted = old.pods.iter().filter(|p| p.ready() && p.active()).find(|p| {
        let is = world.pods.get(&p.object.uid);
        is.is_some_and(|p| p.object.deleting() && by_eviction(p))
    });
    if let Some(pod) = evicted {
        let message = format!("{} was evicted, which leaves {left} healthy pods of at least {least}", pod.object.key);
        out.push(Finding::broken(Promise::Available, &now.object.key, message));
    }
}

/// Whether a user's eviction took the pod.
pub(super) fn by_eviction(pod: &Pod<'_>) -> bool {
    let holds = |c: &crate::facts::Condition| c.kind == EVICTED.0 && c.reason.as_deref() == Some(EVICTED.1);
    pod.status.conditions.iter().flatten().any(|c| holds(c) && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{World, terminate};

    fn budget(spec: &Value, status: &Value) -> Value {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "b", "namespace": "shop", "uid": "00000000-0000-4000-8000-0000000000bb",
                "creationTimestamp": "2026-01-01T00:01:00Z"},
            "spec": spec, "status": status})
    }

    fn numbers(expected: i64, healthy: i64, desired: i64, allowed: i64) -> Value {
        json!({"expectedPods": expected, "currentHealthy": healthy, "desiredHealthy": desired,
            "disruptionsAllowed": allowed})
    }

    fn evict(world: &mut World, pod: usize) {
        let status = json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "reason": "Told"},
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]});
        world.set_status(pod, &status);
        terminate(world.pod_mut(pod));
    }

    #[test]
    fn an_eviction_below_the_budget_is_broken() {
        // 4 replicas; the Deployment allows one away, the budget none below 90 %.
        for (amount, least) in [(json!({"minAvailable": "90%"}), 4), (json!({"maxUnavailable": 1}), 3)] {
            let mut world = World::default();
            world.web(4);
            let mut spec = amount;
            spec["selector"] = json!({});
            world.add_value(budget(&spec, &numbers(4, 4, least, 4 - least)));
            world.expect(&[]);
            world.step();
            for pod in 0..usize::try_from(4 - least).unwrap() {
                evict(&mut world, pod);
            }
            world.expect_broken(&[]);
            evict(&mut world, 3);
            world.expect_broken(&["was evicted, which leaves"]);
        }
    }

    #[test]
    fn an_eviction_is_a_persons_act_for_the_deployments_promise() {
        let mut world = World::default();
        world.web(2);
        world.step();
        evict(&mut world, 0);
        evict(&mut world, 1);
        world.expect_broken(&[]);
    }

    #[test]
    fn pods_that_fail_meanwhile_are_not_held_against_it() {
        let mut world = World::default();
        world.web(4);
        world.add_value(budget(&json!({"selector": {}, "minAvailable": 3}), &numbers(4, 4, 3, 1)));
        world.step();
        evict(&mut world, 0);
        world.set_ready(1, false);
        world.expect_broken(&[]);
        assert!(
            world.told("its status says (expected, healthy, desired, allowed) (4, 4, 3, 1), and it is (4, 2, 3, 0)")
        );
    }
}
