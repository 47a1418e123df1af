//! A node comes, and somebody asks for a rebalance: a dry run shows the moves that would help, a budget
//! makes them one by one, and at no moment is more away than one pod of a workload that allows it.

use evenkeel_lab::{App, Cluster, Lab, SHOP_READY, eventually};
use serde_json::Value;

use crate::common::{begin_rollout, cluster_with, none_restarted, nothing_evicted, pods, settled};

const REPLICAS: u32 = 9;
/// Of another Deployment, which promises all of its pods at any time.
const SHY: u32 = 4;

/// A Deployment of which so many pods may be away.
fn app(name: &str, tag: &str, replicas: u32, away: u32) -> String {
    let strategy = format!(r#"{{"rollingUpdate": {{"maxUnavailable": {away}, "maxSurge": 1}}}}"#);
    App { name, tag, replicas, strategy: &strategy, ..App::default() }.yaml()
}

fn plan(cluster: &Cluster) -> Value {
    serde_json::from_str(&cluster.evenkeel(&["rebalance", "--dry-run", "-o", "json"])).unwrap()
}

fn spread(cluster: &Cluster) -> Vec<usize> {
    let all = pods(cluster);
    (1..=3).map(|n| all.values().filter(|node| **node == format!("node-{n}")).count()).collect()
}

#[test]
fn a_node_that_came_gets_its_share_when_asked() {
    let files = [("web.json", app("web", "1.0", REPLICAS, 1)), ("shy.json", app("shy", "1.0", SHY, 0))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let mut cluster = cluster_with(Lab::new(2), &files, REPLICAS.into(), &[]);
    cluster.wait_ready("default", "shy", SHY.into());
    assert_eq!(cluster.evenkeel(&["rebalance", "--dry-run"]).trim(), "no move would help");

    let node = cluster.lab.add_node();
    cluster.join(node);
    eventually("the node is ready", || (cluster.ready(node)? == "True").then_some(()));
    let before = settled(&cluster, REPLICAS as usize);
    let alone = spread(&cluster);
    assert!(alone[2] == 0 && alone[0].abs_diff(alone[1]) == 1, "nothing moves by itself: {alone:?}");

    let shown = plan(&cluster);
    let moves = shown["moves"].as_array().unwrap();
    assert!(
        moves.len() == 3 && moves.iter().all(|m| m["to"] == "node-3" && m["workload"]["name"] == "web"),
        "{shown:#}"
    );
    let text = cluster.evenkeel(&["rebalance", "--dry-run"]);
    assert!(text.contains("`evenkeel rebalance --budget 3` makes them"), "{text}");
    let held: Vec<&str> = text.lines().skip_while(|l| !l.starts_with("HELD BACK")).skip(1).take(1).collect();
    let why = "it promises all of its 4 pods at any time (maxUnavailable comes to 0)";
    assert!(held[0].starts_with("Deployment default/shy ") && held[0].ends_with(why), "{text}");
    assert_eq!(settled(&cluster, REPLICAS as usize), before, "a dry run moves nothing");

    // One that is not waited for to its end, one, then all that is left; watched from outside.
    let watch = cluster.lab.watch(SHOP_READY);
    let given_up = cluster.evenkeel_output(&["rebalance", "--budget", "3", "--timeout", "300ms"]);
    let words = String::from_utf8_lossy(&given_up.stderr).into_owned();
    assert!(
        given_up.status.code() == Some(1) && words.contains("is not whole 300ms after pod default/web-"),
        "{words}"
    );
    settled(&cluster, REPLICAS as usize);
    assert_eq!(spread(&cluster)[2], 1, "nothing further was moved");
    let one = cluster.evenkeel(&["rebalance", "--budget", "1"]);
    assert!(
        one.contains(" to node-3, where web-") && one.contains("1 move was made; further moves would help"),
        "{one}"
    );
    assert_eq!(spread(&cluster)[2], 2);
    let rest = cluster.evenkeel(&["rebalance", "--budget", "20", "--timeout", "90s", "-o", "json"]);
    let rest: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(rest["more"], false, "{rest:#}");
    for made in rest["moves"].as_array().unwrap() {
        assert_eq!(made["replacement"]["node"], made["to"], "{made:#}");
    }
    let after = settled(&cluster, REPLICAS as usize);
    assert_eq!(spread(&cluster), [3, 3, 3]);
    none_restarted(&before, &after);
    let again = cluster.evenkeel(&["rebalance", "--budget", "20"]);
    assert!(again.starts_with("no move was made; what else would help is held back"), "{again}");
    assert_eq!(settled(&cluster, REPLICAS as usize), after);
    let seen = watch.stop();
    let low = seen.iter().min_by_key(|s| s.all()).unwrap();
    let all = (REPLICAS + SHY) as usize;
    assert!(seen.len() > 20 && low.all() >= all - 1, "only {} of {all} answered: {low:?}", low.all());

    // Nothing of the other was moved.
    let shy = cluster.items(&["pods", "-l", "app=shy"]);
    assert!(shy.len() == SHY as usize && shy.iter().all(|p| p["spec"]["nodeName"] != "node-3"), "{shy:#?}");
    let events = cluster.items(&["events"]);
    assert_eq!(events.iter().filter(|e| e["reason"] == "Rebalanced").count(), 3, "{events:#?}");
    nothing_evicted(&cluster);
    cluster.audit();

    // While a commit is rolled out there is nothing to be had, and the reason is told.
    begin_rollout(&cluster, &app("web", "1.1", REPLICAS, 1), 1);
    let refused = cluster.evenkeel_output(&["rebalance", "--budget", "1"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && words.contains("nothing is moved before it has settled"), "{words}");
}
