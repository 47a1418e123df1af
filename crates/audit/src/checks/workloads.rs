//! Rollouts: never fewer ready pods by an act of Evenkeel than promised, never more than the surge.

use alloc::{collections::BTreeMap, format, vec::Vec};

use evenkeel_model::{Kind, Uid};
use serde::Deserialize;

use crate::{
    Input,
    facts::{Deployment, Pod, World, spec},
    finding::{Finding, Promise},
};

pub(crate) fn check(input: &Input<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    for (uid, deployment) in &world.deployments {
        if deployment.object.deleting() {
            continue;
        }
        surge(*uid, deployment, input, world, before, out);
        if let Some(before) = before {
            availability(*uid, deployment, input, world, before, out);
        }
    }
    replica_sets(input, world, before, out);
}

/// Whether a pod was made since the state before. One that a node already had is found, not made: a
/// server that lost its database takes it in.
fn made_since(pod: &Pod<'_>, input: &Input<'_>, before: &World<'_>) -> bool {
    let uid = pod.object.uid;
    let had = |n: &crate::NodeView| n.pods.iter().any(|p| p.uid == uid);
    !before.pods.contains_key(&uid) && !input.before.is_some_and(|b| b.nodes.iter().any(had))
}

fn active(world: &World<'_>, deployment: Uid) -> i64 {
    count(world.pods_of(deployment).filter(|p| p.active()))
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn surge(
    uid: Uid,
    of: &Deployment<'_>,
    input: &Input<'_>,
    world: &World<'_>,
    before: Option<&World<'_>>,
    out: &mut Vec<Finding>,
) {
    let now = active(world, uid);
    if now <= of.most {
        return;
    }
    let message = format!("{now} pods that are not terminating, and replicas + maxSurge is {}", of.most);
    // After a scale down there may be more for a while; more than before is somebody's act, and
    // wrong by the old number as well as by the new one.
    let grew = before.is_some_and(|b| {
        let most = b.deployments.get(&uid).map_or(of.most, |d| d.most.max(of.most));
        let made = world.pods_of(uid).any(|p| p.active() && made_since(p, input, b));
        now > most && now > active(b, uid) && made
    });
    out.push(if grew {
        Finding::broken(Promise::Available, &of.object.key, message)
    } else {
        Finding::unsettled(Promise::Available, &of.object.key, message)
    });
}

/// Ready pods that went by an act of Evenkeel, while fewer than promised are left.
fn availability(
    uid: Uid,
    of: &Deployment<'_>,
    input: &Input<'_>,
    world: &World<'_>,
    before: &World<'_>,
    out: &mut Vec<Finding>,
) {
    let left = count(world.pods_of(uid).filter(|p| p.active() && p.ready()));
    // The act may have come before a scale up in the same step.
    let least = before.deployments.get(&uid).map_or(of.least, |d| d.least.min(of.least));
    if left >= least {
        return;
    }
    let taken = before.pods_of(uid).filter(|p| p.active() && p.ready()).find(|p| taken_by_us(p, input, world));
    if let Some(pod) = taken {
        let message = format!(
            "{} was ready and was taken away, which leaves {left} ready pods of at least {least}",
            pod.object.key
        );
        out.push(Finding::broken(Promise::Available, &of.object.key, message));
    }
}

fn taken_by_us(pod: &Pod<'_>, input: &Input<'_>, world: &World<'_>) -> bool {
    // One that is not ready any more was so before it was asked to go: its agent, which has not heard of
    // that yet, has said so in the same step.
    let after = world.pods.get(&pod.object.uid);
    let gone = after.is_none_or(|p| p.object.deleting() && p.ready());
    // One that its node did not have any more was ready in an old store alone.
    if after.is_none() && is_gone_there(pod, input) {
        return false;
    }
    let evicted = world.pods.get(&pod.object.uid).is_some_and(super::budgets::by_eviction);
    let by_hand = evicted || input.deleted_by_hand.is_some_and(|d| d.contains(&pod.object.uid));
    // Eviction from a node that is lost or says so is what the promise is kept with elsewhere.
    let node = pod.object.node.as_deref().and_then(|n| world.nodes.get(n));
    gone && !by_hand && node.is_some_and(|n| n.ready() && !n.evicts)
}

/// Whether a pod's node had nothing of it that ran, before the step.
fn is_gone_there(pod: &Pod<'_>, input: &Input<'_>) -> bool {
    let views = input.before.iter().flat_map(|state| state.nodes);
    views
        .filter(|view| pod.object.node.as_deref() == Some(&view.name))
        .any(|view| !view.pods.iter().any(|p| p.uid == pod.object.uid && p.containers.iter().any(|c| c.running)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetSpec {
    replicas: Option<i64>,
}

fn replica_sets(input: &Input<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    let (now, then) = (pods_by_owner(world), before.map(pods_by_owner));
    for object in world.of_kind(Kind::ReplicaSet).filter(|o| !o.deleting()) {
        let wanted = spec::<ReplicaSetSpec>(object, out).replicas.unwrap_or(1);
        let have = now.get(&object.uid).copied().unwrap_or(0);
        if have == wanted {
            continue;
        }
        let message = format!("{have} pods that are not terminating, and it wants {wanted}");
        let old = before.and_then(|b| b.by_uid.get(&object.uid));
        let wanted_before = old.and_then(|o| spec::<ReplicaSetSpec>(o, &mut Vec::new()).replicas).unwrap_or(wanted);
        let of_it = |p: &&Pod<'_>| p.active() && p.object.meta.controller().is_some_and(|o| o.uid == object.uid);
        let made = before.is_some_and(|b| world.pods.values().filter(of_it).any(|p| made_since(p, input, b)));
        let grew = made && then.as_ref().is_some_and(|t| have > t.get(&object.uid).copied().unwrap_or(0));
        out.push(if grew && have > wanted.max(wanted_before) {
            Finding::broken(Promise::Available, &object.key, message)
        } else {
            Finding::unsettled(Promise::Available, &object.key, message)
        });
    }
}

fn pods_by_owner(world: &World<'_>) -> BTreeMap<Uid, i64> {
    let mut counts = BTreeMap::new();
    for pod in world.pods.values().filter(|p| p.active()) {
        if let Some(owner) = pod.object.meta.controller() {
            *counts.entry(owner.uid).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        Severity,
        testing::{World, terminate},
    };

    #[test]
    fn taking_a_ready_pod_below_the_promise_is_broken() {
        // 4 replicas, 25 %: at least 3.
        let mut world = World::default();
        world.web(4);
        world.step();
        terminate(world.pod_mut(0));
        world.expect_broken(&[]);
        world.step();
        terminate(world.pod_mut(1));
        world.expect_broken(&["was ready and was taken away, which leaves 2 ready pods of at least 3"]);
        // By hand it is nobody's broken promise.
        let uid = world.pod_mut(1).uid;
        world.by_hand.insert(uid);
        world.expect_broken(&[]);
    }

    #[test]
    fn a_pod_that_fails_by_itself_breaks_nothing_but_taking_another_then_does() {
        let mut world = World::default();
        world.web(4);
        world.step();
        world.set_ready(0, false);
        world.set_ready(1, false);
        world.expect_broken(&[]);
        world.step();
        terminate(world.pod_mut(2));
        world.expect_broken(&["leaves 1 ready pods of at least 3"]);
        // One that was not ready may go.
        let mut world = World::default();
        world.web(4);
        world.set_ready(0, false);
        world.set_ready(1, false);
        world.step();
        terminate(world.pod_mut(0));
        world.expect_broken(&[]);
    }

    #[test]
    fn eviction_from_a_lost_node_and_recreate_are_no_act_against_the_promise() {
        let mut world = World::default();
        world.web(1);
        world.step();
        world.lose_node("n1");
        terminate(world.pod_mut(0));
        world.expect_broken(&[]);
        let mut world = World::default();
        world.web_with(2, &json!({"replicas": 2, "strategy": {"type": "Recreate"}}));
        world.step();
        terminate(world.pod_mut(0));
        terminate(world.pod_mut(1));
        world.expect_broken(&[]);
    }

    #[test]
    fn more_than_the_surge_is_broken_where_it_grew() {
        let mut world = World::default();
        world.web(4);
        world.step();
        world.grow();
        world.expect_broken(&["ReplicaSet"]);
        world.grow();
        world.expect_broken(&["6 pods that are not terminating, and replicas + maxSurge is 5", "ReplicaSet"]);
        // After a scale down it is only not done yet.
        let mut world = World::default();
        world.web_with(
            4,
            &json!({"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}),
        );
        world.step();
        assert!(world.audit().iter().all(|f| f.severity == Severity::Unsettled));
        world.expect(&["4 pods that are not terminating, and replicas + maxSurge is 1"]);
    }

    #[test]
    fn acts_before_a_scale_in_the_same_step_are_judged_by_the_old_numbers() {
        // 4 of 4, one goes (at least 3), then somebody wants 8 (at least 6).
        let mut world = World::default();
        world.web(4);
        world.step();
        terminate(world.pod_mut(0));
        world.set_spec(1, &json!({"replicas": 8}));
        world.expect_broken(&[]);
        // One comes (at most 5), then somebody wants 1 (at most 2).
        let mut world = World::default();
        world.web_with(4, &json!({"replicas": 5}));
        world.set_spec(2, &json!({"replicas": 5}));
        world.step();
        world.grow();
        world.set_spec(1, &json!({"replicas": 1}));
        world.set_spec(2, &json!({"replicas": 1}));
        world.expect_broken(&[]);
    }

    #[test]
    fn a_replica_set_short_of_pods_is_unsettled() {
        let mut world = World::default();
        world.web(2);
        let uid = world.pod_mut(0).uid;
        world.now.objects.retain(|o| o.uid != uid);
        world.expect(&["1 pods that are not terminating, and it wants 2"]);
        world.expect_broken(&[]);
    }
}
