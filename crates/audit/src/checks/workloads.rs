//! Rollouts: never fewer ready pods by an act of Evenkeel than promised, never more than the surge.

use alloc::{format, vec::Vec};

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
        surge(*uid, deployment, world, before, out);
        if let Some(before) = before {
            availability(*uid, deployment, input, world, before, out);
        }
    }
    replica_sets(world, before, out);
}

fn active(world: &World<'_>, deployment: Uid) -> i64 {
    count(world.pods_of(deployment).filter(|p| p.active()))
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn surge(uid: Uid, of: &Deployment<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    let now = active(world, uid);
    if now <= of.most {
        return;
    }
    let message = format!("{now} pods that are not terminating, and replicas + maxSurge is {}", of.most);
    // After a scale down there may be more for a while; more than before is somebody's act.
    out.push(match before {
        Some(before) if now > active(before, uid) => Finding::broken(Promise::Available, &of.object.key, message),
        _ => Finding::unsettled(Promise::Available, &of.object.key, message),
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
    if left >= of.least {
        return;
    }
    let taken = before.pods_of(uid).filter(|p| p.active() && p.ready()).find(|p| taken_by_us(p, input, world));
    if let Some(pod) = taken {
        let message = format!(
            "{} was ready and was taken away, which leaves {left} ready pods of at least {}",
            pod.object.key, of.least
        );
        out.push(Finding::broken(Promise::Available, &of.object.key, message));
    }
}

fn taken_by_us(pod: &Pod<'_>, input: &Input<'_>, world: &World<'_>) -> bool {
    let gone = world.pods.get(&pod.object.uid).is_none_or(|p| p.object.deleting());
    let by_hand = input.deleted_by_hand.is_some_and(|d| d.contains(&pod.object.uid));
    // Eviction from a node that is lost or says so is what the promise is kept with elsewhere.
    let node = pod.object.node.as_deref().and_then(|n| world.nodes.get(n));
    gone && !by_hand && node.is_some_and(|n| n.ready() && !n.evicts)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetSpec {
    replicas: Option<i64>,
}

fn replica_sets(world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    let pods = |w: &World<'_>| {
        let mut counts = alloc::collections::BTreeMap::<Uid, i64>::new();
        for pod in w.pods.values().filter(|p| p.active()) {
            if let Some(owner) = pod.object.meta.controller() {
                *counts.entry(owner.uid).or_default() += 1;
            }
        }
        counts
    };
    let (now, then) = (pods(world), before.map(pods));
    for object in world.of_kind(Kind::ReplicaSet).filter(|o| !o.deleting()) {
        let wanted = spec::<ReplicaSetSpec>(object, out).replicas.unwrap_or(1);
        let have = now.get(&object.uid).copied().unwrap_or(0);
        let message = || format!("{have} pods that are not terminating, and it wants {wanted}");
        if have > wanted {
            let grew = then.as_ref().is_some_and(|t| have > t.get(&object.uid).copied().unwrap_or(0));
            out.push(if grew {
                Finding::broken(Promise::Available, &object.key, message())
            } else {
                Finding::unsettled(Promise::Available, &object.key, message())
            });
        } else if have < wanted {
            out.push(Finding::unsettled(Promise::Available, &object.key, message()));
        }
    }
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
    fn a_replica_set_short_of_pods_is_unsettled() {
        let mut world = World::default();
        world.web(2);
        let uid = world.pod_mut(0).uid;
        world.now.objects.retain(|o| o.uid != uid);
        world.expect(&["1 pods that are not terminating, and it wants 2"]);
        world.expect_broken(&[]);
    }
}
