//! What runs on the nodes against what should: strays, leftovers, two of one pod, foreign ones.

use alloc::{collections::BTreeMap, format, vec::Vec};

use evenkeel_model::{Key, Kind, Uid};

use crate::{
    Input, NodeView, PodView, STOP_SLACK,
    facts::World,
    finding::{Finding, Promise},
};

pub(crate) fn check(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    let mut seen: BTreeMap<Uid, &str> = BTreeMap::new();
    for node in input.state.nodes {
        for pod in &node.pods {
            if running(pod).next().is_none() {
                continue;
            }
            if let Some(other) = seen.insert(pod.uid, &node.name) {
                let message = format!("its containers run on {other} and on {}", node.name);
                out.push(Finding::broken(Promise::Available, &key(pod), message));
            }
            strays(input, world, node, pod, out);
        }
        if !world.nodes.contains_key(node.name.as_str()) {
            let object = Key::cluster(Kind::Node, node.name.as_str());
            out.push(Finding::unsettled(Promise::Durable, &object, "it reports and has no object"));
        }
    }
    missing(input, world, out);
    since_before(input, world, out);
}

fn key(pod: &PodView) -> Key {
    Key::new(Kind::Pod, pod.namespace.as_str(), pod.name.as_str())
}

fn running(pod: &PodView) -> impl Iterator<Item = &crate::ContainerView> {
    pod.containers.iter().filter(|c| c.running)
}

/// A pod that runs and should not, or not here.
fn strays(input: &Input<'_>, world: &World<'_>, node: &NodeView, view: &PodView, out: &mut Vec<Finding>) {
    let on = &node.name;
    let Some(pod) = world.pods.get(&view.uid) else {
        if !view.orphan {
            let message = format!("it runs on {on}, and the server does not know it");
            out.push(Finding::unsettled(Promise::Cause, &key(view), message));
        }
        return;
    };
    match pod.object.node.as_deref() {
        Some(bound) if bound == on => {}
        bound => {
            let message = format!("it runs on {on} and is bound to {}", bound.unwrap_or("no node"));
            out.push(Finding::broken(Promise::Available, &key(view), message));
        }
    }
    if let Some(deletion) = pod.object.meta.deletion
        && input.now.since(deletion.at) > STOP_SLACK
    {
        out.push(Finding::unsettled(
            Promise::Cause,
            &key(view),
            format!("its grace is over and it still runs on {on}"),
        ));
    }
    if pod.finished() {
        out.push(Finding::unsettled(Promise::Cause, &key(view), format!("it has ended and still runs on {on}")));
    }
}

/// A pod that is ready by its object and does not run on its node.
fn missing(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    let nodes: BTreeMap<&str, &NodeView> = input.state.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
    for pod in world.pods.values().filter(|p| p.active() && p.ready()) {
        let Some(node) = pod.object.node.as_deref().and_then(|n| nodes.get(n)) else { continue };
        let view = node.pods.iter().find(|p| p.uid == pod.object.uid);
        if view.is_none_or(|v| running(v).next().is_none()) {
            let message = format!("it is ready by its status and no container of it runs on {}", node.name);
            out.push(Finding::unsettled(Promise::Cause, &pod.object.key, message));
        }
    }
}

/// What ran before and does not now.
fn since_before(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    let Some(before) = &input.before else { return };
    for old in before.nodes {
        let Some(new) = input.state.nodes.iter().find(|n| n.name == old.name) else { continue };
        for foreign in old.foreign.iter().filter(|f| f.running) {
            if !new.foreign.iter().any(|f| f.id == foreign.id && f.running) {
                let message = format!("the foreign container {} was stopped or removed", foreign.id);
                out.push(Finding::broken(Promise::Foreign, &Key::cluster(Kind::Node, old.name.as_str()), message));
            }
        }
        if !input.undisturbed {
            continue;
        }
        for pod in &old.pods {
            let deleting = world.pods.get(&pod.uid).is_some_and(|p| p.object.deleting());
            let now = new.pods.iter().find(|p| p.uid == pod.uid);
            for container in running(pod).filter(|_| !deleting) {
                let same = |c: &&crate::ContainerView| c.name == container.name && c.restarts == container.restarts;
                if !now.is_some_and(|p| running(p).any(|c| same(&c))) {
                    let message = format!("its container {} was stopped while nothing asked for it", container.name);
                    out.push(Finding::broken(Promise::KeepsRunning, &key(pod), message));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{Time, meta::Deletion};

    use crate::{ForeignView, testing::World};

    fn world() -> World {
        let mut world = World::default();
        world.web(1);
        world.report("n1");
        world
    }

    #[test]
    fn what_runs_is_what_is_known() {
        let mut w = world();
        w.expect(&[]);
        w.now.nodes[0].pods[0].uid.0 += 1;
        w.expect(&["the server does not know it", "it is ready by its status and no container"]);
        w.now.nodes[0].pods[0].orphan = true;
        w.expect(&["it is ready by its status and no container"]);
        let mut w = world();
        w.now.nodes[0].name = "n9".into();
        w.expect(&["it runs on n9 and is bound to n1", "it reports and has no object"]);
    }

    #[test]
    fn one_pod_runs_on_one_node() {
        let mut w = world();
        w.node("n2", &serde_json::json!({"pods": "10"}));
        let mut other = w.now.nodes[0].clone();
        other.name = "n2".into();
        w.now.nodes.push(other);
        w.expect_broken(&["its containers run on n1 and on n2", "it runs on n2 and is bound to n1"]);
    }

    #[test]
    fn what_should_have_ended_does_not_run() {
        let mut w = world();
        w.pod_mut(0).meta.deletion = Some(Deletion { at: w.time, grace_seconds: 1 });
        assert!(!w.told("its grace is over"));
        w.time = Time(w.time.0 + 31_000);
        assert!(w.told("its grace is over and it still runs on n1"));
        let mut w = world();
        w.set_status(0, &serde_json::json!({"phase": "Succeeded"}));
        assert!(w.told("it has ended and still runs on n1"));
    }

    #[test]
    fn foreign_containers_and_undisturbed_ones_go_on() {
        let mut w = world();
        w.now.nodes[0].foreign.push(ForeignView { id: "db".into(), running: true });
        w.step();
        w.undisturbed = true;
        w.expect(&[]);
        w.now.nodes[0].foreign[0].running = false;
        w.now.nodes[0].pods[0].containers[0].restarts += 1;
        w.expect_broken(&["the foreign container db was stopped", "its container web was stopped while nothing asked"]);
        w.undisturbed = false;
        w.expect_broken(&["the foreign container db was stopped"]);
    }
}
