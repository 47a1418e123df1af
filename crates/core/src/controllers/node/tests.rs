//! Silence, eviction, coming back, recovery, on a small cluster.

use core::time::Duration;
use std::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Key, Kind, Object, Time, names,
    net::NetworkTrouble,
    session::{KnownPod, NodeReport, PodEvent, Report},
};
use serde_json::{Value, json};

use crate::{
    change::Change,
    controllers::{
        orphan, report,
        testkit::{Cluster, deployment, pod_report},
    },
};

fn three() -> Cluster {
    let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi"), ("n3", "4", "8Gi")]);
    c.put(deployment(6, "web:1", json!({})));
    c.rest();
    c
}

fn ready(c: &Cluster, node: &str) -> String {
    let node = c.world.get(&Key::cluster(Kind::Node, node)).unwrap();
    let condition = crate::controllers::podstatus::condition(node, "Ready").unwrap();
    condition["status"].as_str().unwrap().to_string()
}

fn on(c: &Cluster, node: &str) -> Vec<Arc<Object>> {
    c.world.pods.on_node(node).map(|k| c.world.get(k).unwrap().clone()).collect()
}

fn known(pods: &[Arc<Object>], ready: bool, now: Time) -> Vec<KnownPod> {
    let one = |p: &Arc<Object>| KnownPod {
        pod: {
            let mut v = p.to_value();
            v.as_object_mut().unwrap().remove("status");
            v
        },
        uid: p.uid,
        status: serde_json::from_slice(&pod_report(p, ready, false, now).status).unwrap(),
        image_ids: [].into(),
        drifted: Vec::new(),
    };
    pods.iter().map(one).collect()
}

#[test]
fn heartbeats_write_nothing() {
    let mut c = three();
    c.advance(Duration::from_mins(2));
    let version = c.world.version;
    c.advance(Duration::from_mins(5));
    assert_eq!(c.world.version, version);
}

#[test]
fn a_silent_node_is_evicted_after_the_toleration_and_keeps_what_is_its_own() {
    let mut c = three();
    let lost = on(&c, "n1");
    assert_eq!(lost.len(), 2);
    c.silent.insert("n1".into());
    c.advance(Duration::from_secs(35));
    assert_eq!(ready(&c, "n1"), "True");
    c.advance(Duration::from_secs(10));
    assert_eq!(ready(&c, "n1"), "Unknown");
    let taints = c.world.nodes.get("n1").unwrap().taints.clone();
    assert!(taints.iter().any(|t| t.key == "node.kubernetes.io/unreachable" && t.effect == "NoExecute"));
    // By the server's judgement its pods are not ready; nothing else is done yet.
    assert_eq!(c.counts(), (6, 4));
    c.advance(Duration::from_secs(290));
    assert_eq!(c.counts().0, 6);
    c.advance(Duration::from_secs(30));
    assert!(on(&c, "n1").iter().all(|p| p.deleting()));
    // The replacements come, and are not ready yet when the node comes back.
    assert_eq!(c.counts(), (6, 4));
    c.silent.clear();
    let here = known(&lost, true, c.now);
    c.hello("n1", "4", "8Gi", here);
    c.settle();
    assert_eq!(ready(&c, "n1"), "True");
    assert!(on(&c, "n1").iter().all(|p| !p.deleting()), "the ready ones stay");
    c.rest();
    assert_eq!(c.counts(), (6, 6));
    assert_eq!(on(&c, "n1").len(), 2);
    assert!(
        c.world.get(&Key::cluster(Kind::Node, "n1")).unwrap().meta.annotation("evenkeel.dev/evicting-since").is_none()
    );
}

#[test]
fn pods_that_are_to_go_are_not_ready_either_once_their_node_is_silent() {
    let mut c = three();
    c.silent.insert("n1".into());
    let going = on(&c, "n1");
    for pod in &going {
        c.delete(&pod.key);
    }
    c.settle();
    let readiness = |c: &Cluster| -> Vec<Value> {
        let of = |p: &Arc<Object>| crate::controllers::podstatus::condition(p, "Ready").unwrap()["status"].clone();
        going.iter().map(|pod| of(c.world.get(&pod.key).unwrap())).collect()
    };
    assert_eq!(readiness(&c), ["True", "True"], "nothing is known against them yet");
    c.advance(Duration::from_secs(45));
    assert_eq!(ready(&c, "n1"), "Unknown");
    assert_eq!(readiness(&c), ["False", "False"], "a Service without others would lead to them");
}

#[test]
fn replaced_pods_that_came_back_broken_go() {
    let mut c = three();
    let lost = on(&c, "n1");
    c.silent.insert("n1".into());
    c.advance(Duration::from_secs(400));
    c.rest();
    assert_eq!(c.counts(), (6, 6));
    c.silent.clear();
    let here = known(&lost, false, c.now);
    c.hello("n1", "4", "8Gi", here);
    c.rest();
    assert_eq!(c.counts(), (6, 6));
    assert!(lost.iter().all(|p| c.world.get(&p.key).is_none()));
}

#[test]
fn pods_with_data_on_their_node_stay_and_say_so() {
    let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi"), ("n3", "4", "8Gi")]);
    let volumes = json!([{"name": "scratch", "emptyDir": {}}, {"name": "data", "hostPath": {"path": "/srv"}}]);
    c.put(deployment(6, "web:1", json!({"spec": {"template": {"spec": {"volumes": volumes}}}})));
    c.rest();
    let lost = on(&c, "n1");
    assert_eq!(lost.len(), 2);
    c.silent.insert("n1".into());
    let says = |c: &Cluster| -> Vec<Value> {
        let conditions = on(c, "n1");
        conditions
            .iter()
            .filter_map(|p| crate::controllers::podstatus::condition(p, "evenkeel.dev/StaysWithNode"))
            .collect()
    };
    c.advance(Duration::from_secs(330));
    assert!(says(&c).is_empty(), "not before its toleration is over");
    c.advance(Duration::from_mins(30));
    assert!(on(&c, "n1").iter().all(|p| !p.deleting()));
    assert_eq!(c.counts(), (6, 4), "none is replaced");
    let said = says(&c);
    assert_eq!(said.len(), 2);
    let message = said[0]["message"].as_str().unwrap();
    assert!(message.contains("\"data\" (hostPath)") && message.contains("evenkeel node remove n1"), "{message}");
    let told: Vec<_> = c.world.list(Kind::Event, "").filter(|e| e.body_map()["reason"] == "NotEvicted").collect();
    assert!(told.len() == 2 && told.iter().all(|e| e.body_map()["count"] == 1), "{told:?}");
    // It comes back: nothing was lost, nothing is said any more.
    c.silent.clear();
    let here = known(&lost, true, c.now);
    c.hello("n1", "4", "8Gi", here);
    c.rest();
    assert!(says(&c).is_empty());
    assert_eq!(c.counts(), (6, 6));
    assert_eq!(on(&c, "n1").iter().map(|p| p.uid).collect::<Vec<_>>(), lost.iter().map(|p| p.uid).collect::<Vec<_>>());
    // Removing the node is the word that gives them up.
    c.silent.insert("n1".into());
    c.advance(Duration::from_mins(10));
    c.with(|world, cx| super::remove(world, "n1", (false, false), cx)).unwrap();
    c.rest();
    assert_eq!(c.counts(), (6, 6));
}

#[test]
fn what_agents_tell_of_their_pods_becomes_events() {
    let mut c = three();
    let pod = on(&c, "n1")[0].clone();
    let happened = |count, first: Time, last: Time| PodEvent {
        pod: pod.uid,
        namespace: pod.key.namespace.clone(),
        name: pod.key.name.clone(),
        field: "spec.containers{web}".into(),
        warning: true,
        reason: "Unhealthy".into(),
        message: "Readiness probe failed: no answer".into(),
        count,
        first,
        last,
    };
    let events = |c: &Cluster| -> Vec<Value> {
        let all = c.world.list(Kind::Event, "").map(|e| Value::Object(e.body_map()));
        all.filter(|e| e["reason"] == "Unhealthy").collect()
    };
    let t = c.now;
    let later = t + Duration::from_mins(1);
    for (node, count, first, last) in [("n1", 1, t, t), ("n1", 59, t, later), ("n2", 7, t, later)] {
        let report = Report { events: [happened(count, first, last)].into(), ..Report::default() };
        c.with(|world, cx| report::report(world, &node.into(), &report, cx));
    }
    let told = events(&c);
    assert_eq!(told.len(), 1, "another node's word on it does not count");
    assert_eq!((&told[0]["count"], &told[0]["type"]), (&json!(60), &json!("Warning")));
    assert_eq!(told[0]["firstTimestamp"], t.rfc3339());
    assert_eq!(told[0]["lastTimestamp"], later.rfc3339());
    assert_eq!(told[0]["involvedObject"]["fieldPath"], "spec.containers{web}");
    assert_eq!(told[0]["source"], json!({"component": "evenkeel-agent", "host": "n1"}));
}

#[test]
fn with_most_nodes_silent_nothing_is_taken_out() {
    let mut c = three();
    c.silent.extend(["n1".to_string(), "n2".to_string()]);
    c.advance(Duration::from_secs(1000));
    assert_eq!(ready(&c, "n1"), "Unknown");
    assert_eq!(c.counts().0, 6);
    assert_eq!(c.counts().1, 6);
    assert!(c.pods().iter().all(|p| !p.deleting()));
    // A word from one of them, and the other's wait begins: the grace, then the toleration.
    c.back("n2");
    c.advance(Duration::from_secs(20));
    assert_eq!(ready(&c, "n2"), "True");
    c.advance(Duration::from_secs(310));
    assert!(on(&c, "n1").iter().all(|p| !p.deleting()));
    c.advance(Duration::from_secs(20));
    assert!(on(&c, "n1").iter().all(|p| p.deleting()));
}

#[test]
fn a_cut_from_all_nodes_evicts_nobody_although_one_was_heard_of_earlier() {
    let mut c = three();
    c.settings.default_toleration = Duration::ZERO;
    c.put(deployment(6, "web:1", json!({"spec": {"template": {"spec": {"tolerations": [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
    ]}}}})));
    c.rest();
    c.silent.insert("n1".into());
    c.advance(Duration::from_secs(10));
    c.silent.extend(["n2".to_string(), "n3".to_string()]);
    c.advance(Duration::from_mins(5));
    assert_eq!(["n1", "n2", "n3"].map(|n| ready(&c, n)), ["Unknown", "Unknown", "Unknown"]);
    assert!(c.pods().iter().all(|p| !p.deleting()));
    assert_eq!(c.counts(), (6, 6));
    // They come back one after the other.
    for node in ["n3", "n2", "n1"] {
        c.back(node);
        c.advance(Duration::from_secs(30));
        assert!(c.pods().iter().all(|p| !p.deleting()), "{node} is back");
    }
}

#[test]
fn nodes_are_evicted_one_at_a_time() {
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let nodes: Vec<(&str, &str, &str)> = names.iter().map(|n| (*n, "4", "8Gi")).collect();
    let mut c = Cluster::new(&nodes);
    c.put(deployment(10, "web:1", json!({})));
    c.rest();
    c.silent.extend(["n1".to_string(), "n2".to_string()]);
    let mut first_seen = 0;
    for _ in 0..100 {
        c.advance(Duration::from_secs(5));
        let evicted = ["n1", "n2"].iter().filter(|n| on(&c, n).iter().any(|p| p.deleting())).count();
        if evicted == 1 {
            first_seen += 1;
        }
        if evicted == 2 {
            break;
        }
    }
    assert!(first_seen >= 2, "an interval between the two");
    assert!(on(&c, "n2").iter().all(|p| p.deleting()));
}

#[test]
fn a_new_server_gives_every_node_its_full_wait() {
    let mut c = three();
    c.silent.insert("n1".into());
    c.advance(Duration::from_mins(5));
    c.now = c.now + Duration::from_hours(2);
    c.started = c.now;
    c.mark_all();
    c.settle();
    assert_eq!(ready(&c, "n1"), "Unknown", "it is not heard of by a start of the server");
    assert_eq!(ready(&c, "n2"), "True");
    c.advance(Duration::from_secs(330));
    assert!(c.pods().iter().all(|p| !p.deleting()));
    c.advance(Duration::from_secs(30));
    assert!(on(&c, "n1").iter().all(|p| p.deleting()));
}

#[test]
fn an_engine_that_is_away_makes_the_node_not_ready() {
    let mut c = three();
    let mut about = NodeReport { not_ready: Some("the engine does not answer".into()), ..NodeReport::default() };
    about.capacity = [("cpu".to_string(), "4".to_string()), ("memory".to_string(), "8Gi".to_string())].into();
    about.allocatable = about.capacity.clone();
    let report = Report { node: Some(about.clone()), ..Report::default() };
    c.with(|w, cx| report::report(w, &"n1".into(), &report, cx));
    c.settle();
    assert_eq!(ready(&c, "n1"), "False");
    // Silent, and back: still not ready, as it says.
    c.silent.insert("n1".into());
    c.advance(Duration::from_mins(1));
    assert_eq!(ready(&c, "n1"), "Unknown");
    c.silent.clear();
    let here = known(&on(&c, "n1"), false, c.now);
    c.hello_of("n1", about.clone(), here);
    c.advance(Duration::from_secs(6));
    assert_eq!(ready(&c, "n1"), "False");
    about.not_ready = None;
    let report = Report { node: Some(about), ..Report::default() };
    c.with(|w, cx| report::report(w, &"n1".into(), &report, cx));
    c.settle();
    assert_eq!(ready(&c, "n1"), "True");
    assert!(c.world.nodes.get("n1").unwrap().taints.is_empty());
}

#[test]
fn what_is_wrong_with_a_nodes_network_is_a_condition_and_an_event_until_it_is_over() {
    let mut c = three();
    let say = |c: &mut Cluster, troubles: &[(&str, &str)]| {
        let trouble =
            |(reason, message): &(&str, &str)| NetworkTrouble { reason: (*reason).into(), message: (*message).into() };
        let about = NodeReport { troubles: troubles.iter().map(trouble).collect(), ..NodeReport::default() };
        let report = Report { node: Some(about), ..Report::default() };
        c.with(|w, cx| report::report(w, &"n1".into(), &report, cx));
        c.settle();
        let node = c.world.get(&Key::cluster(Kind::Node, "n1")).unwrap();
        let condition = crate::controllers::podstatus::condition(node, "NetworkDegraded");
        let condition = condition.map(|c| format!("{} {} {}", c["status"], c["reason"], c["message"]));
        let events = c.world.list(Kind::Event, "").map(|e| e.to_value());
        let told = |e: &Value| e["involvedObject"]["name"] == "n1" && e["type"] == "Warning";
        let told: Vec<String> = events.filter(told).map(|e| format!("{} {}", e["reason"], e["message"])).collect();
        (condition.unwrap_or_default().replace('"', ""), told.join("\n").replace('"', ""))
    };
    assert_eq!(say(&mut c, &[]).0, "", "nothing is said of a node where nothing ever was");
    let (condition, told) = say(&mut c, &[("AddressTaken", "10.42.1.2 is taken")]);
    assert_eq!(condition, "True AddressTaken 10.42.1.2 is taken");
    assert!(told.contains("AddressTaken 10.42.1.2 is taken"), "{told}");
    let (condition, told) = say(&mut c, &[("AddressTaken", "10.42.1.2 is taken"), ("ResolversSilent", "no names")]);
    assert_eq!(condition, "True SeveralTroubles 10.42.1.2 is taken; no names");
    assert!(told.contains("no names"), "{told}");
    assert!(say(&mut c, &[]).0.starts_with("False NetworkSound"));
    assert_eq!(ready(&c, "n1"), "True");
}

#[test]
fn taints_of_an_agents_flags_come_and_go_and_those_of_others_stay() {
    use evenkeel_model::session::{NodeTaint, TaintEffect};
    let mut c = three();
    let say = |c: &mut Cluster, taints: &[(&str, TaintEffect)]| {
        let taint = |(key, effect): &(&str, _)| NodeTaint { key: (*key).into(), value: "x".into(), effect: *effect };
        let about = NodeReport { taints: taints.iter().map(taint).collect(), ..NodeReport::default() };
        let report = Report { node: Some(about), ..Report::default() };
        c.with(|w, cx| report::report(w, &"n1".into(), &report, cx));
        c.settle();
        let node = c.world.nodes.get("n1").unwrap();
        node.taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect::<Vec<_>>()
    };
    c.cordon("n1", true);
    let both = ["a:NoSchedule", "b:NoExecute", "node.kubernetes.io/unschedulable:NoSchedule"];
    let mut seen = say(&mut c, &[("a", TaintEffect::NoSchedule), ("b", TaintEffect::NoExecute)]);
    seen.sort();
    assert_eq!(seen, both);
    // Said again, nothing is written.
    let version = c.world.version;
    say(&mut c, &[("a", TaintEffect::NoSchedule), ("b", TaintEffect::NoExecute)]);
    assert_eq!(c.world.version, version);
    let mut seen = say(&mut c, &[("b", TaintEffect::NoExecute)]);
    seen.sort();
    assert_eq!(seen, both[1..]);
    assert_eq!(say(&mut c, &[]), both[2..]);
}

#[test]
fn cordon_and_remove() {
    let mut c = three();
    c.cordon("n1", true);
    assert!(c.world.nodes.get("n1").unwrap().unschedulable);
    c.cordon("n1", false);
    assert!(c.world.nodes.get("n1").unwrap().taints.is_empty());
    // One that speaks and has pods stays.
    let refusal = c.with(|w, cx| super::remove(w, "n1", (false, false), cx)).unwrap_err();
    assert_eq!(refusal.code, 409);
    assert!(refusal.message.contains("has 2 pods: drain it first"), "{}", refusal.message);
    assert!(!on(&c, "n1").is_empty());
    c.silent.insert("n1".into());
    c.advance(Duration::from_mins(1));
    c.with(|w, cx| super::remove(w, "n1", (false, false), cx)).unwrap();
    assert!(on(&c, "n1").is_empty());
    c.rest();
    assert_eq!(c.counts(), (6, 6));
    assert!(c.with(|w, cx| super::remove(w, "n1", (false, false), cx)).is_err());
}

#[test]
fn a_node_that_speaks_is_removed_when_it_is_empty_or_by_force() {
    let mut c = three();
    c.with(|w, cx| super::remove(w, "n1", (true, false), cx)).unwrap();
    assert!(on(&c, "n1").is_empty());
    c.rest();
    assert_eq!(c.counts(), (6, 6));
    c.hello("n4", "4", "8Gi", Vec::new());
    c.settle();
    c.with(|w, cx| super::remove(w, "n4", (false, false), cx)).unwrap();
}

fn node_of(c: &Cluster) -> Arc<Object> {
    c.world.get(&Key::cluster(Kind::Node, "n1")).unwrap().clone()
}

/// The agent says labels and taints; a user wants these labels and taints.
fn agent_says(c: &mut Cluster, labels: &[(&str, &str)], taints: &[&str]) {
    use evenkeel_model::session::{NodeTaint, TaintEffect};
    let text = |(k, v): &(&str, &str)| (k.to_string(), v.to_string());
    let taint = |key: &&str| NodeTaint { key: (*key).into(), value: "flag".into(), effect: TaintEffect::NoSchedule };
    let about = NodeReport {
        labels: labels.iter().map(text).collect(),
        taints: taints.iter().map(taint).collect(),
        ..NodeReport::default()
    };
    let report = Report { node: Some(about), ..Report::default() };
    c.with(|w, cx| report::report(w, &"n1".into(), &report, cx));
    c.settle();
}

#[test]
fn what_users_decide_of_labels_stays_whatever_the_agent_says() {
    let mut c = three();
    let flags = [("zone", "a"), ("disk", "ssd")];
    agent_says(&mut c, &flags, &[]);
    let mut wish = c.wish("n1");
    let labels = Arc::make_mut(&mut wish.labels);
    labels.insert("zone".into(), "b".into());
    labels.insert("mine".into(), "yes".into());
    labels.remove("disk");
    c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)).unwrap();
    for _ in 0..2 {
        agent_says(&mut c, &flags, &[]);
        let node = node_of(&c);
        let said = ["zone", "mine", "disk"].map(|l| node.meta.label(l));
        assert_eq!(said, [Some("b"), Some("yes"), None]);
    }
    assert_eq!(node_of(&c).meta.annotation("evenkeel.dev/user-labels"), Some("disk,mine,zone"));
    // Given back, the agent's word counts again, and what it never said stays.
    let mut wish = c.wish("n1");
    Arc::make_mut(&mut wish.annotations).remove("evenkeel.dev/user-labels");
    c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)).unwrap();
    agent_says(&mut c, &flags, &[]);
    let node = node_of(&c);
    assert_eq!(["zone", "mine", "disk"].map(|l| node.meta.label(l)), [Some("a"), Some("yes"), Some("ssd")]);
    // What its machine is, nobody else says; nor is what Evenkeel remembers changed.
    let mut wish = c.wish("n1");
    Arc::make_mut(&mut wish.labels).insert("kubernetes.io/hostname".into(), "x".into());
    assert_eq!(
        c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx))
            .unwrap_err()
            .code,
        422
    );
    let mut wish = c.wish("n1");
    Arc::make_mut(&mut wish.annotations).insert("evenkeel.dev/agent-labels".into(), "x".into());
    assert_eq!(
        c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx))
            .unwrap_err()
            .code,
        422
    );
}

#[test]
fn what_users_decide_of_taints_stays_whatever_the_agent_says() {
    use k8s_openapi::api::core::v1::Taint;
    let mut c = three();
    agent_says(&mut c, &[], &["a", "b"]);
    let taint = |key: &str, effect: &str| Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
    let mut wish = c.wish("n1");
    wish.taints.retain(|t| t.key != "a");
    wish.taints.push(taint("mine", "NoExecute"));
    wish.unschedulable = true;
    c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)).unwrap();
    for _ in 0..2 {
        agent_says(&mut c, &[], &["a", "b"]);
        let mut keys: Vec<String> = c.world.nodes.get("n1").unwrap().taints.iter().map(|t| t.key.clone()).collect();
        keys.sort();
        assert_eq!(keys, ["b", "mine", "node.kubernetes.io/unschedulable"]);
    }
    // Pods that do not tolerate it go at once, so it needs its time.
    let mine = c.world.nodes.get("n1").unwrap().taints.iter().find(|t| t.key == "mine").cloned().unwrap();
    assert!(mine.time_added.is_some());
    assert!(on(&c, "n1").iter().all(|p| p.deleting()));
    // The server's own taints follow the node's state, whatever a patch says of them.
    let mut wish = c.wish("n1");
    wish.taints.clear();
    c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)).unwrap();
    let left = &c.world.nodes.get("n1").unwrap().taints;
    assert_eq!(left.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), ["node.kubernetes.io/unschedulable"]);
}

#[test]
fn a_change_of_a_node_keeps_to_its_version_and_may_be_tried() {
    let mut c = three();
    let wish = crate::ask::NodeWish { unschedulable: true, ..c.wish("n1") };
    let version = node_of(&c).version;
    let stale = Some(evenkeel_model::Version(1));
    assert_eq!(
        c.with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), stale, false, cx))
            .unwrap_err()
            .code,
        409
    );
    let tried = c
        .with(|w, cx| super::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), Some(version), true, cx))
        .unwrap();
    let crate::ask::Answer::Would(node) = tried else { panic!("{tried:?}") };
    assert_eq!(node.meta.generation, node_of(&c).meta.generation + 1);
    assert_eq!(node_of(&c).version, version);
    // The same again is no write.
    let same = c.wish("n1");
    c.with(|w, cx| super::update(w, "n1", (&same, &crate::controllers::testkit::by_test()), Some(version), false, cx))
        .unwrap();
    assert_eq!(node_of(&c).version, version);
}

#[test]
fn a_report_with_nothing_new_changes_nothing() {
    let mut c = three();
    let version = c.world.version;
    for pod in c.pods() {
        let report = pod_report(&pod, true, false, c.now);
        let node = pod.node.clone().unwrap();
        c.report(&node, report.clone());
        // Nor does one from the wrong node, or of another pod of that name.
        c.report(&"n9".into(), report.clone());
        c.report(&node, evenkeel_model::session::PodReport { uid: evenkeel_model::Uid(5), gone: true, ..report });
    }
    assert_eq!(c.world.version, version);
    // What the server knows survives an agent's word.
    let status: Value = c.pods()[0].status().unwrap().unwrap();
    assert_eq!(status["qosClass"], "Burstable");
    assert!(status["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "PodScheduled"));
}

#[test]
fn a_lost_database_comes_back_from_the_agents() {
    let old = three();
    let mut c = Cluster::new(&[]);
    c.world.recovering = Some(c.now + Duration::from_mins(1));
    for node in ["n1", "n2", "n3"] {
        let pods = known(&on(&old, node), true, c.now);
        c.hello(node, "4", "8Gi", pods);
    }
    let mut alone = old.pods()[0].to_value();
    alone["metadata"]["name"] = "alone".into();
    alone["metadata"]["labels"] = json!({"app": "else"});
    alone["metadata"]["uid"] = "00000000-0000-4000-8000-000000000009".into();
    let alone = Arc::new(Object::from_value(alone).unwrap());
    let mut pods = known(&on(&old, "n1"), true, c.now);
    pods.extend(known(core::slice::from_ref(&alone), true, c.now));
    c.hello("n1", "4", "8Gi", pods);
    c.settle();
    assert_eq!(c.pods().len(), 7);
    assert!(c.pods().iter().all(|p| p.meta.label(names::ORPHAN).is_some() && p.meta.owners.is_empty()));
    c.put(deployment(6, "web:1", json!({})));
    c.settle();
    assert_eq!(c.pods().len(), 7, "nothing is made while recovering");
    c.world.recovering = None;
    c.mark_all();
    c.rest();
    // The same pods, none restarted, none more; the stranger runs on.
    let uids = |c: &Cluster| c.pods().iter().map(|p| p.uid).collect::<std::collections::BTreeSet<_>>();
    let mut expected = uids(&old);
    expected.insert(alone.uid);
    assert_eq!(uids(&c), expected);
    assert!(c.pods().iter().all(|p| p.meta.label(names::ORPHAN).is_none() || p.key.name.as_ref() == "alone"));
    assert!(c.get(Kind::Pod, "alone").meta.label(names::ORPHAN).is_some());
}

/// A world of `replicas` pods of web:1, as a backup kept it, and one that went on to web:2 meanwhile.
fn backup_and_later(replicas: i32) -> (Cluster, Cluster) {
    let shop = |image: &str| {
        let mut d = deployment(replicas, image, json!({}));
        d["metadata"]["labels"] = json!({"evenkeel.dev/source": "shop"});
        d
    };
    let nodes = [("n1", "4", "8Gi"), ("n2", "4", "8Gi"), ("n3", "4", "8Gi")];
    let mut later = Cluster::new(&nodes);
    later.put(shop("web:1"));
    later.rest();
    let mut restored = Cluster::new(&[]);
    restored.world = later.world.clone();
    restored.now = later.now;
    later.put(shop("web:2"));
    later.rest();
    restored.now = later.now;
    restored.started = later.now;
    restored.world.epoch = 2;
    restored.world.recovering = Some(restored.now + Duration::from_mins(1));
    (restored, later)
}

#[test]
fn an_old_backup_over_newer_pods_stops_none_and_starts_none() {
    for replicas in [2, 6, 10] {
        let (mut c, later) = backup_and_later(replicas);
        for node in ["n1", "n2", "n3"] {
            let pods = known(&on(&later, node), true, c.now);
            c.hello(node, "4", "8Gi", pods);
        }
        c.settle();
        let running: std::collections::BTreeSet<_> = later.pods().iter().map(|p| p.uid).collect();
        let uids = |c: &Cluster| c.pods().iter().map(|p| p.uid).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(uids(&c), running, "what the nodes do not have is gone, what they have is there");
        // The newest revision is known again.
        let mut d = Object::clone(&c.get(Kind::Deployment, "web"));
        d.body = later.get(Kind::Deployment, "web").body.clone();
        c.apply(Change::Put(Arc::new(d)));
        c.world.recovering = None;
        c.mark_all();
        while c.run() {
            assert_eq!(uids(&c), running, "none is made");
            assert!(c.pods().iter().all(|p| !p.deleting()), "none is stopped");
        }
        c.rest();
        assert_eq!(uids(&c), running);
        assert!(c.pods().iter().all(|p| !orphan::is_orphan(p) && !p.deleting()));
    }
}

#[test]
fn a_node_that_comes_after_the_recovery_brings_its_pods_too() {
    let (mut c, later) = backup_and_later(6);
    for node in ["n1", "n2"] {
        let pods = known(&on(&later, node), true, c.now);
        c.hello(node, "4", "8Gi", pods);
    }
    c.world.recovering = None;
    let pods = known(&on(&later, "n3"), true, c.now);
    let uids: Vec<_> = pods.iter().map(|p| p.uid).collect();
    assert!(!uids.is_empty());
    c.hello("n3", "4", "8Gi", pods);
    let there: Vec<_> = on(&c, "n3").iter().map(|p| p.uid).collect();
    assert_eq!(there.iter().collect::<std::collections::BTreeSet<_>>(), uids.iter().collect());
    // One that has obeyed this store already says nothing new by knowing a pod that is gone here.
    let strangers = known(&on(&later, "n1"), true, c.now);
    for pod in on(&c, "n1") {
        c.apply(Change::Delete(pod.key.clone()));
    }
    c.world.epoch = 1;
    c.hello("n1", "4", "8Gi", strangers);
    assert!(on(&c, "n1").is_empty());
}

#[test]
fn a_person_decides_on_orphans() {
    let old = three();
    let mut c = Cluster::new(&[]);
    c.world.recovering = Some(c.now + Duration::from_mins(1));
    let pods = known(&on(&old, "n1"), true, c.now);
    c.hello("n1", "4", "8Gi", pods);
    c.world.recovering = None;
    c.mark_all();
    c.rest();
    let [first, second] = [0, 1].map(|i| c.pods()[i].key.clone());
    let why = c.pods()[0].meta.annotation(names::ORPHAN_REASON).unwrap().to_string();
    assert!(why.contains("node n1") && why.contains("ReplicaSet \"web-"), "{why}");

    c.with(|w, cx| orphan::adopt(w, &first, "admin", cx)).unwrap();
    c.rest();
    let mine = c.get(Kind::Pod, &first.name);
    assert!(!orphan::is_orphan(&mine) && mine.meta.owners.is_empty() && !mine.deleting(), "it is a plain pod now");
    assert_eq!(mine.meta.annotation(names::ORPHAN_REASON), None);
    let again = c.with(|w, cx| orphan::remove(w, &first, "admin", cx)).unwrap_err();
    assert_eq!((again.code, again.message.contains("is no orphan")), (409, true));

    c.with(|w, cx| orphan::remove(w, &second, "admin", cx)).unwrap();
    assert!(c.get(Kind::Pod, &second.name).meta.deletion.is_some(), "it ends with its grace");
    let dying = c.with(|w, cx| orphan::adopt(w, &second, "admin", cx)).unwrap_err();
    assert_eq!(dying.code, 409);
    c.rest();
    assert!(c.world.get(&second).is_none() && c.world.get(&first).is_some());
    let gone = c.with(|w, cx| orphan::adopt(w, &second, "admin", cx)).unwrap_err();
    assert_eq!(gone.code, 404);
}

#[test]
fn a_namespace_is_emptied_before_it_goes() {
    let mut c = three();
    c.delete(&Key::cluster(Kind::Namespace, "default"));
    c.settle();
    let phase = c.world.get(&Key::cluster(Kind::Namespace, "default")).unwrap().status::<Value>().unwrap().unwrap();
    assert_eq!(phase["phase"], "Terminating");
    c.rest();
    assert!(c.world.get(&Key::cluster(Kind::Namespace, "default")).is_none());
    assert!(c.world.all().all(|o| &*o.key.namespace != "default"));
}

#[test]
fn events_have_an_age_and_a_count() {
    let mut c = three();
    c.settings.event_count = 10;
    let pod = c.pods()[0].clone();
    for n in 0..600 {
        c.with(|w, cx| cx.event(w, &pod, crate::cx::EventKind::Normal, "Test", &n.to_string()));
    }
    c.settle();
    assert!(c.world.count(Kind::Event) < 10 + 128, "{}", c.world.count(Kind::Event));
    c.advance(Duration::from_secs(3600 + 700));
    assert_eq!(c.world.count(Kind::Event), 0);
}

#[test]
fn foreground_and_orphaning_deletion() {
    for (finalizer, left) in [("foregroundDeletion", 0), ("orphan", 6)] {
        let mut c = three();
        let set = c.sets()[0].clone();
        let mut going = Object::clone(&set);
        going.meta.finalizers = Arc::from([finalizer.to_string()]);
        going.meta.deletion = Some(evenkeel_model::meta::Deletion { at: c.now, grace_seconds: 0 });
        going.meta.owners = Arc::from([]);
        c.apply(Change::Delete(Key::new(Kind::Deployment, "default", "web")));
        c.apply(Change::Put(Arc::new(going)));
        c.rest();
        assert_eq!(c.sets().len(), 0, "{finalizer}");
        assert_eq!(c.pods().len(), left, "{finalizer}");
    }
}
