//! A readable cause for everything that is not green.

use alloc::{format, vec::Vec};

use evenkeel_model::{
    Kind, Object,
    own::{DriftOrigin, DriftSpec, Phase, ReleaseStatus},
};
use serde::Deserialize;

use crate::{
    Input, PATIENCE,
    facts::{Condition, ContainerStatus, Pod, World, age, status},
    finding::{Finding, Promise},
};

/// Conditions that are good when they hold.
const POSITIVE: &[&str] =
    &["Available", "Complete", "Fetched", "Healthy", "PodScheduled", "Progressing", "Ready", "Synced"];

pub(crate) fn check(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    for pod in world.pods.values() {
        self::pod(input, world, pod, out);
    }
    for node in world.nodes.values() {
        let told = node.conditions.iter().any(|c| c.kind == "Ready" && c.explains());
        if !node.ready() && !told && age(node.object, input.now) > PATIENCE {
            out.push(Finding::broken(Promise::Cause, &node.object.key, "it is not ready and nothing says why"));
        }
    }
    for object in world.objects {
        match object.key.kind {
            Kind::Release => release(input, object, out),
            Kind::Drift => drift(object, out),
            Kind::Source | Kind::Deployment | Kind::ReplicaSet => conditions(object, out),
            _ => {}
        }
    }
}

fn pod(input: &Input<'_>, world: &World<'_>, pod: &Pod<'_>, out: &mut Vec<Finding>) {
    let failed = pod.status.phase.as_deref() == Some("Failed");
    let waits = pod.active() && !pod.ready() && age(pod.object, input.now) > PATIENCE;
    if pod.object.deleting() || !(failed || waits) || explains(pod) {
        return;
    }
    // The node's own cause is the pod's.
    let node = pod.object.node.as_deref().and_then(|n| world.nodes.get(n));
    if node.is_some_and(|n| !n.ready()) {
        return;
    }
    let what = if failed { "it failed" } else { "it is not ready" };
    let message = format!("{what} and nothing says why");
    // Before its node has told anything of it, it is on its way there.
    out.push(if pod.object.status.is_empty() || pod.status.container_statuses.is_none() {
        Finding::unsettled(Promise::Cause, &pod.object.key, message)
    } else {
        Finding::broken(Promise::Cause, &pod.object.key, message)
    });
}

fn explains(pod: &Pod<'_>) -> bool {
    let said = |text: &Option<alloc::string::String>| text.as_deref().is_some_and(|t| !t.trim().is_empty());
    let s = &pod.status;
    let container = |c: &ContainerStatus| {
        !c.name.is_empty()
            && c.state.iter().flatten().any(|(state, detail)| {
                state != "running"
                    && detail.as_ref().is_some_and(|d| said(&d.reason) || said(&d.message) || d.exit_code.is_some())
            })
    };
    said(&s.reason)
        || said(&s.message)
        || s.conditions
            .iter()
            .flatten()
            .any(|c| c.status != "True" && POSITIVE.contains(&c.kind.as_str()) && c.explains())
        || s.container_statuses.iter().chain(&s.init_container_statuses).flatten().any(container)
}

fn release(input: &Input<'_>, object: &Object, out: &mut Vec<Finding>) {
    // One that cannot be read is told elsewhere.
    let Ok(Some(now)) = object.status::<ReleaseStatus>() else { return };
    let mut broken = |message| out.push(Finding::broken(Promise::Cause, &object.key, message));
    match now.phase {
        Phase::Failed | Phase::RollingBack | Phase::RolledBack | Phase::RollbackFailed => {
            let told = now.cause.as_ref().is_some_and(|c| !c.reason.is_empty() && !c.message.is_empty());
            if !told {
                broken(format!("it is {} without a cause", now.phase));
            }
        }
        Phase::Rejected if now.diagnostics.is_empty() && now.message.is_empty() => {
            broken("it is Rejected and says not why".into());
        }
        _ => {}
    }
    if now.timeline.last().is_none_or(|last| last.phase != now.phase) {
        broken(format!("it is {} and its timeline does not end so", now.phase));
    }
    let since = now.timeline.last().map_or(object.meta.created, |last| last.at);
    if now.phase == Phase::Pending && now.reason.is_empty() && input.now.since(since) > PATIENCE {
        out.push(Finding::unsettled(Promise::Cause, &object.key, "it is Pending and says not why"));
    }
}

fn drift(object: &Object, out: &mut Vec<Finding>) {
    let told = object.spec::<DriftSpec>().is_ok_and(|s| {
        let (DriftOrigin::User(who) | DriftOrigin::Node(who)) = &s.origin;
        !s.path.is_empty() && !who.is_empty()
    });
    if !told {
        out.push(Finding::broken(Promise::Cause, &object.key, "it does not say what drifted and where from"));
    }
}

fn conditions(object: &Object, out: &mut Vec<Finding>) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Conditions {
        conditions: Option<Vec<Condition>>,
    }
    for condition in status::<Conditions>(object, out).conditions.iter().flatten() {
        if condition.status == "False" && POSITIVE.contains(&condition.kind.as_str()) && !condition.explains() {
            let message = format!("its condition {} is False and says not why", condition.kind);
            out.push(Finding::broken(Promise::Cause, &object.key, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use evenkeel_model::Time;
    use serde_json::{Value, json};

    use crate::testing::World;

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let cases: &[(Value, bool)] = &[
            (json!({"phase": "Pending"}), false),
            (json!({"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}), false),
            (
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}),
                true,
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}),
                true,
            ),
            (
                json!({"phase": "Pending", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "ErrImagePull"}}}]}),
                true,
            ),
            (json!({"phase": "Pending", "containerStatuses": [{"name": "a", "state": {"waiting": {}}}]}), false),
            (
                json!({"phase": "Failed", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 1}}}]}),
                true,
            ),
            (json!({"phase": "Failed"}), false),
        ];
        for (status, good) in cases {
            let mut w = World::default();
            w.web(1);
            w.set_status(0, status);
            if status["phase"] != "Failed" {
                assert!(!w.told("nothing says why"), "{status}: it is young");
            }
            w.time = Time(w.time.0 + 16_000);
            assert_eq!(w.told("nothing says why"), !good, "{status}");
            w.lose_node("n1");
            assert!(!w.told("nothing says why"), "{status}: its node is away");
        }
    }

    #[test]
    fn nodes_and_conditions_say_why() {
        let mut w = World::default();
        w.web(1);
        w.time = Time(w.time.0 + 16_000);
        w.expect(&[]);
        w.set_status_of(
            0,
            &json!({"conditions": [{"type": "Ready", "status": "False"}], "allocatable": {"pods": "9"}}),
        );
        w.expect(&["it is not ready and nothing says why"]);
        w.set_status_of(1, &json!({"conditions": [{"type": "Available", "status": "False"}]}));
        w.lose_node("n1");
        w.expect(&["its condition Available is False and says not why"]);
        w.set_status_of(1, &json!({"conditions": [{"type": "Available", "status": "False", "reason": "x"}]}));
        w.expect(&[]);
    }

    #[test]
    fn releases_have_causes_and_timelines() {
        let at = |s: &str| format!("2026-01-01T00:00:{s}Z");
        let release = |phase: &str, rest: Value| {
            let mut status = json!({"phase": phase, "timeline": [{"phase": "Pending", "at": at("01")}, {"phase": phase, "at": at("02")}]});
            status.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
                "metadata": {"name": "s-1", "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": at("00")},
                "spec": {"source": "s", "revision": format!("sha1:{}", "a".repeat(40))}, "status": status})
        };
        let cause =
            json!({"cause": {"object": "Deployment a/b", "reason": "CrashLoopBackOff", "message": "exit code 1"}});
        let cases: &[(Value, &[&str])] = &[
            (release("Healthy", json!({})), &[]),
            (release("RolledBack", cause), &[]),
            (release("Failed", json!({})), &["it is Failed without a cause"]),
            (release("Rejected", json!({})), &["it is Rejected and says not why"]),
            (release("Rejected", json!({"diagnostics": ["a.yaml:1:1: x"]})), &[]),
            (release("Pending", json!({})), &["it is Pending and says not why"]),
            (release("Pending", json!({"reason": "Pinned"})), &[]),
            (release("Healthy", json!({"timeline": []})), &["its timeline does not end so"]),
            // A server that starts after its clock was set back says what the clock says.
            (
                release(
                    "Healthy",
                    json!({"timeline": [{"phase": "Pending", "at": at("05")}, {"phase": "Healthy", "at": at("02")}]}),
                ),
                &[],
            ),
        ];
        for (value, parts) in cases {
            let mut w = World::default();
            w.add_value(value.clone());
            w.expect(parts);
        }
    }

    #[test]
    fn a_drift_says_what_and_where_from() {
        let drift = |path: &str| {
            json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Drift",
                "metadata": {"name": "d", "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"source": "s", "path": path, "desired": 1, "live": 2, "origin": {"user": "x"},
                    "object": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "00000000-0000-4000-8000-0000000000ab"}}})
        };
        for (path, parts) in [("spec.replicas", &[][..]), ("", &["it does not say what drifted"][..])] {
            let mut w = World::default();
            w.add_value(drift(path));
            w.expect(parts);
        }
    }
}
