//! A node is emptied under load with a disruption budget: never fewer answer than the budget says.
//! A budget that allows nothing keeps all pods where they are, and the drain says so.

use std::{process::Output, time::Duration};

use evenkeel_lab::{Client, Cluster, Lab, SHOP_READY, Sample, eventually};

use crate::common::{Writer, cluster_with, none_restarted, pods, settled, web};

const REPLICAS: u32 = 6;
const LEAST: usize = 5;

/// A budget for `web` that lets so many of it be away.
fn budget(least: usize) -> String {
    format!(
        r#"{{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {{"name": "web"}},
 "spec": {{"minAvailable": {least}, "selector": {{"matchLabels": {{"app": "web"}}}}}}}}"#
    )
}

fn wait_allowed(client: &Client, pods: u64) {
    eventually(&format!("the budget lets {pods} go"), || {
        let status = client.json(&["pdb", "web"])?["status"].clone();
        (status["disruptionsAllowed"].as_u64()? == pods).then_some(())
    });
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn on(cluster: &Cluster, node: &str) -> usize {
    pods(cluster).values().filter(|n| *n == node).count()
}

fn cordoned(client: &Client, node: &str) -> bool {
    client.json(&["node", node]).unwrap()["spec"]["unschedulable"] == true
}

fn never_below(seen: &[Sample], least: usize) {
    let low = seen.iter().min_by_key(|s| s.all()).unwrap();
    assert!(seen.len() > 20 && low.all() >= least, "only {} of at least {least} answered: {low:?}", low.all());
}

#[test]
fn within_a_budget_and_not_beyond_it() {
    let (nothing, one) = (budget(REPLICAS as usize), budget(LEAST));
    let files = [("web.json", web(REPLICAS, "1.0")), ("budget.json", nothing)];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let cluster = cluster_with(Lab::new(3), &files, REPLICAS.into(), &[]);
    wait_allowed(&cluster, 0);
    let before = settled(&cluster, REPLICAS as usize);
    assert_eq!(on(&cluster, "node-2"), 2, "six pods on three equal nodes: {:?}", pods(&cluster));

    // Nothing may go: the drain says what it waits for, gives up at its time, and nothing was lost.
    let watch = cluster.lab.watch(SHOP_READY);
    let given_up = cluster.evenkeel_output(&["node", "drain", "node-2", "--timeout", "3s"]);
    let words = said(&given_up);
    assert_eq!(given_up.status.code(), Some(1), "{words}");
    for part in [
        "is asked again: The disruption budget web needs 6 healthy pods and has 6 currently",
        "node node-2 is not drained after 3s; 2 pods are left:",
        "hint: it stays cordoned",
    ] {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
    assert!(cordoned(&cluster, "node-2"));
    assert_eq!(settled(&cluster, REPLICAS as usize), before);
    never_below(&watch.stop(), REPLICAS as usize);
    cluster.evenkeel(&["node", "uncordon", "node-2"]);

    // One may be away at a time.
    cluster.repo.write("budget.json", &one);
    cluster.wait_good(&cluster.repo.commit("one may be away"));
    wait_allowed(&cluster, 1);
    let watch = cluster.lab.watch(SHOP_READY);
    let writer = Writer::start(Client::clone(&cluster));
    let drained = cluster.evenkeel(&["node", "drain", "node-2", "--timeout", "90s"]);
    assert_eq!(drained.trim(), "node node-2 drained");
    assert_eq!(on(&cluster, "node-2"), 0);
    assert!(cluster.lab.engine(2).running("web-").is_empty());
    let moved = settled(&cluster, REPLICAS as usize);
    none_restarted(&before, &moved);
    let stayed = |c: &&evenkeel_lab::Container| moved.contains(c);
    assert_eq!(before.iter().filter(stayed).count(), 4, "only the pods of node-2 moved: {before:?} {moved:?}");

    // It takes pods again when it is asked to, and none by itself. kubectl drains in the same way.
    cluster.evenkeel(&["node", "uncordon", "node-2"]);
    assert!(!cordoned(&cluster, "node-2"));
    assert_eq!(settled(&cluster, REPLICAS as usize), moved, "nothing moves back by itself");
    wait_allowed(&cluster, 1);
    cluster.kubectl(&["drain", "node-3", "--timeout=90s"]);
    assert_eq!((on(&cluster, "node-3"), cordoned(&cluster, "node-3")), (0, true));
    settled(&cluster, REPLICAS as usize);
    assert!(on(&cluster, "node-2") > 0, "the emptiest node took pods: {:?}", pods(&cluster));
    cluster.kubectl(&["uncordon", "node-3"]);

    let seen = watch.stop();
    never_below(&seen, LEAST);
    let last = seen.last().unwrap();
    assert!(last.answering[2] == 0 && last.at > Duration::from_secs(2), "{last:?}");
    writer.none_lost(&cluster);
    cluster.audit();
}
