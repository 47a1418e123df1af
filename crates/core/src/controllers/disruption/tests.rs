//! Budgets and evictions on a small cluster.

use core::time::Duration;
use std::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    ask::{Answer, DeleteOptions, More, Propagation, Refusal},
    change::Change,
    controllers::{
        pod, podstatus,
        testkit::{Cluster, deployment},
    },
};

fn budget(name: &str, spec: Value) -> Value {
    let mut value = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}});
    let Value::Object(more) = spec else { panic!("{spec}") };
    value["spec"].as_object_mut().unwrap().extend(more);
    value
}

/// A Deployment at rest on three nodes, and its budget.
fn cluster(replicas: i32, spec: Value) -> Cluster {
    let mut c = Cluster::new(&[("n1", "8", "8Gi"), ("n2", "8", "8Gi"), ("n3", "8", "8Gi")]);
    c.put(deployment(replicas, "web:1", json!({})));
    c.put(budget("b", spec));
    c.rest();
    c
}

/// expected, current, desired, allowed
fn numbers(c: &Cluster) -> [i64; 4] {
    let status = c.status(Kind::PodDisruptionBudget, "b");
    ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"].map(|f| status[f].as_i64().unwrap())
}

fn condition(c: &Cluster) -> (Value, Value) {
    let found = podstatus::condition(&c.get(Kind::PodDisruptionBudget, "b"), "DisruptionAllowed").unwrap();
    (found["status"].clone(), found["reason"].clone())
}

fn evict(c: &mut Cluster, pod: &Key) -> Result<Answer, Refusal> {
    evict_with(c, pod, &DeleteOptions::default())
}

fn evict_with(c: &mut Cluster, pod: &Key, options: &DeleteOptions) -> Result<Answer, Refusal> {
    c.with(|w, cx| super::eviction::evict(w, pod, options, cx))
}

fn standing(c: &Cluster) -> Vec<Arc<Object>> {
    c.pods().into_iter().filter(|p| !p.deleting()).collect()
}

fn lone_pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default",
        "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[test]
fn numbers_are_those_of_kubernetes() {
    for (replicas, spec, expected) in [
        (5, json!({"minAvailable": 3}), [5, 5, 3, 2]),
        (5, json!({"minAvailable": 9}), [5, 5, 9, 0]),
        (5, json!({"minAvailable": "50%"}), [5, 5, 3, 2]),
        (5, json!({"minAvailable": "100%"}), [5, 5, 5, 0]),
        (5, json!({"maxUnavailable": 1}), [5, 5, 4, 1]),
        (5, json!({"maxUnavailable": 9}), [5, 5, 0, 5]),
        (5, json!({"maxUnavailable": "30%"}), [5, 5, 3, 2]),
        (5, json!({"maxUnavailable": "0%"}), [5, 5, 5, 0]),
        (1, json!({"minAvailable": "1%"}), [1, 1, 1, 0]),
        (0, json!({"maxUnavailable": 1}), [0, 0, 0, 0]),
    ] {
        let c = cluster(replicas, spec.clone());
        assert_eq!(numbers(&c), expected, "{replicas} {spec}");
        let (holds, reason) = if expected[3] > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!(condition(&c), (json!(holds), json!(reason)), "{spec}");
        let budget = c.get(Kind::PodDisruptionBudget, "b");
        assert_eq!(c.status(Kind::PodDisruptionBudget, "b")["observedGeneration"], budget.meta.generation);
    }
}

#[test]
fn what_is_expected_follows_the_scale_and_not_the_pods() {
    let mut c = cluster(4, json!({"maxUnavailable": 1}));
    // A rollout has more pods for a while, and one ReplicaSet more: the scale is the Deployment's.
    c.put(deployment(4, "web:2", json!({})));
    c.settle();
    c.agents();
    c.settle();
    assert_eq!(numbers(&c)[0], 4);
    c.put(deployment(6, "web:2", json!({})));
    c.settle();
    assert_eq!(numbers(&c)[0], 6);
    assert_eq!(numbers(&c)[2], 5);
}

#[test]
fn selectors_nothing_and_everything() {
    let mut c = cluster(3, json!({"minAvailable": 1, "selector": {}}));
    assert_eq!(numbers(&c), [3, 3, 1, 2]);
    let mut all = budget("b", json!({"minAvailable": 1}));
    all["spec"].as_object_mut().unwrap().remove("selector");
    c.put(all);
    c.settle();
    assert_eq!(numbers(&c), [0, 0, 1, 0]);
    // A pod that leaves the selector is no longer counted.
    let mut c = cluster(3, json!({"minAvailable": 1, "selector": {"matchLabels": {"x": "y"}}}));
    let mut one = Object::clone(&c.pods()[0]);
    one.meta.set_label("x", "y");
    c.apply(Change::Put(Arc::new(one.clone())));
    c.settle();
    assert_eq!(numbers(&c), [1, 1, 1, 0]);
    Arc::make_mut(&mut one.meta.labels).remove("x");
    c.apply(Change::Put(Arc::new(one)));
    c.settle();
    assert_eq!(numbers(&c), [0, 0, 1, 0]);
}

#[test]
fn pods_without_a_controller_count_only_for_a_whole_number() {
    let mut c = Cluster::new(&[("n1", "8", "8Gi")]);
    c.put(lone_pod("a"));
    c.put(lone_pod("b"));
    c.put(budget("b", json!({"minAvailable": 1})));
    c.rest();
    assert_eq!(numbers(&c), [2, 2, 1, 1]);
    c.put(budget("b", json!({"maxUnavailable": 1})));
    c.rest();
    assert_eq!(numbers(&c), [0, 2, 0, 0]);
    assert!(c.world.list(Kind::Event, "default").any(|e| e.body_map()["reason"] == "UnmanagedPods"));
}

#[test]
fn a_controller_that_is_not_there_stops_everything() {
    let mut c = cluster(3, json!({"maxUnavailable": 1}));
    let mut stray = Object::clone(&c.pods()[0]);
    stray.key = Key::new(Kind::Pod, "default", "stray");
    let mut owner = stray.meta.owners[0].clone();
    owner.name = "gone".into();
    owner.uid = evenkeel_model::Uid(77);
    stray.meta.owners = [owner].into();
    c.apply(Change::Put(Arc::new(stray)));
    c.with(|w, cx| super::reconcile(w, &Key::new(Kind::PodDisruptionBudget, "default", "b"), cx));
    assert_eq!(condition(&c), (json!("False"), json!("SyncFailed")));
    assert_eq!(numbers(&c)[3], 0);
    let pod = c.pods().into_iter().find(|p| &*p.key.name != "stray").unwrap();
    let refusal = evict(&mut c, &pod.key).unwrap_err();
    let More::DisruptionBudget(why) = refusal.more else { panic!("{refusal:?}") };
    assert!(why.ends_with("because it failed sync: found no controllers for pod \"stray\""), "{why}");
    // The collector takes the stray away, and the budget works again.
    c.rest();
    assert_eq!(numbers(&c), [3, 3, 2, 1]);
}

#[test]
fn evictions_take_what_the_budget_gives_and_no_more() {
    let mut c = cluster(4, json!({"minAvailable": 2}));
    let pods = c.pods();
    // All in one batch: no controller runs in between.
    for pod in &pods[..2] {
        assert_eq!(evict(&mut c, &pod.key), Ok(Answer::Object(pod.key.clone())));
    }
    let refusal = evict(&mut c, &pods[2].key).unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (429, "TooManyRequests"));
    assert_eq!(refusal.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    let why = "The disruption budget b needs 2 healthy pods and has 2 currently";
    assert_eq!(refusal.more, More::DisruptionBudget(why.into()));
    let marked = c.world.get(&pods[0].key).unwrap();
    assert_eq!(marked.meta.deletion.unwrap().grace_seconds, 30);
    let condition = podstatus::condition(marked, podstatus::DISRUPTION).unwrap();
    assert_eq!(condition["reason"], "EvictionByEvictionAPI");
    // One that is going already may be asked again, and takes nothing.
    evict(&mut c, &pods[0].key).unwrap();
    c.settle();
    // Those on their way out and those that come in their place are both pods that it selects.
    assert_eq!(numbers(&c), [6, 2, 2, 0]);
    assert!(c.status(Kind::PodDisruptionBudget, "b").get("disruptedPods").is_none());
    c.rest();
    assert_eq!(numbers(&c), [4, 4, 2, 2]);
    evict(&mut c, &pods[2].key).unwrap();
}

#[test]
fn a_dry_run_and_a_wrong_precondition_change_nothing() {
    let mut c = cluster(2, json!({"minAvailable": 1}));
    let pod = c.pods()[0].clone();
    let version = c.world.version;
    let dry = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    evict_with(&mut c, &pod.key, &dry).unwrap();
    let other = DeleteOptions { if_uid: Some(evenkeel_model::Uid(3)), ..DeleteOptions::default() };
    assert_eq!(evict_with(&mut c, &pod.key, &other).unwrap_err().code, 409);
    let stale = DeleteOptions { if_version: Some(evenkeel_model::Version(3)), ..DeleteOptions::default() };
    assert_eq!(evict_with(&mut c, &pod.key, &stale).unwrap_err().code, 409);
    assert_eq!(evict(&mut c, &Key::new(Kind::Pod, "default", "no")).unwrap_err().code, 404);
    c.world.recovering = Some(c.now + Duration::from_secs(9));
    assert_eq!(evict(&mut c, &pod.key).unwrap_err().code, 503);
    assert_eq!(c.world.version, version);
}

#[test]
fn pods_that_are_not_ready_go_by_the_budgets_policy() {
    // (policy, ready of 3, the unready one may go)
    for (policy, ready, may_go) in [
        (None, 2, true),
        (None, 1, false),
        (Some("IfHealthyBudget"), 1, false),
        (Some("AlwaysAllow"), 1, true),
        (Some("AlwaysAllow"), 0, true),
    ] {
        let mut spec = json!({"minAvailable": 2});
        if let Some(policy) = policy {
            spec["unhealthyPodEvictionPolicy"] = json!(policy);
        }
        let mut c = cluster(3, spec);
        let keys: Vec<Key> = c.pods().iter().map(|p| p.key.clone()).collect();
        let well: Vec<Key> = keys[..ready].to_vec();
        c.agents_with(|k| well.contains(k));
        c.settle();
        let before = numbers(&c);
        let done = evict(&mut c, &keys[2]);
        assert_eq!(done.is_ok(), may_go, "{policy:?} {ready}");
        // It was not counted, so nothing is taken.
        c.settle();
        assert_eq!(numbers(&c)[1], before[1], "{policy:?} {ready}");
    }
}

#[test]
fn pods_that_do_not_run_are_free_and_two_budgets_are_one_too_many() {
    let mut c = cluster(2, json!({"maxUnavailable": 0}));
    c.put(deployment(3, "web:1", json!({})));
    c.settle();
    let pending = standing(&c).into_iter().find(|p| c.status(Kind::Pod, &p.key.name)["phase"] == "Pending").unwrap();
    evict(&mut c, &pending.key).unwrap();
    c.rest();
    let pod = standing(&c)[0].clone();
    assert_eq!(evict(&mut c, &pod.key).unwrap_err().code, 429);
    c.put(budget("c", json!({"minAvailable": 0})));
    c.rest();
    let refusal = evict(&mut c, &pod.key).unwrap_err();
    assert_eq!(refusal.code, 500);
    assert!(refusal.message.starts_with("This pod has more than one PodDisruptionBudget"), "{}", refusal.message);
    c.delete(&Key::new(Kind::PodDisruptionBudget, "default", "b"));
    evict(&mut c, &pod.key).unwrap();
}

#[test]
fn an_eviction_that_never_came_stops_counting_after_two_minutes() {
    let mut c = cluster(3, json!({"minAvailable": 1}));
    let pod = c.pods()[0].clone();
    let budget = c.get(Kind::PodDisruptionBudget, "b");
    let mut status: Value = budget.status().unwrap().unwrap();
    status["disruptedPods"] = json!({&*pod.key.name: c.now.rfc3339(), "stranger": c.now.rfc3339()});
    c.apply(Change::Put(Arc::new(budget.with_status(&status))));
    c.with(|w, cx| super::reconcile(w, &budget.key, cx));
    assert_eq!(numbers(&c), [3, 2, 1, 1]);
    let kept = c.status(Kind::PodDisruptionBudget, "b")["disruptedPods"].clone();
    assert_eq!(kept.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), [&*pod.key.name]);
    c.advance(Duration::from_secs(115));
    assert_eq!(numbers(&c)[1], 2);
    c.advance(Duration::from_secs(10));
    assert_eq!(numbers(&c), [3, 3, 1, 2]);
    assert!(c.world.list(Kind::Event, "default").any(|e| e.body_map()["reason"] == "NotDeleted"));
}

#[test]
fn a_status_that_says_the_same_is_not_written() {
    let mut c = cluster(3, json!({"minAvailable": 1}));
    c.advance(Duration::from_mins(5));
    let version = c.world.version;
    c.mark_all();
    c.rest();
    assert_eq!(c.world.version, version);
}

#[test]
fn pods_are_deleted_by_users_whatever_budgets_say() {
    let mut c = cluster(3, json!({"minAvailable": 3}));
    let pods = c.pods();
    let delete = |c: &mut Cluster, key: &Key, options: DeleteOptions| c.with(|w, cx| pod::delete(w, key, &options, cx));
    let none = DeleteOptions::default;
    let dry = DeleteOptions { dry_run: true, ..none() };
    delete(&mut c, &pods[0].key, dry).unwrap();
    assert!(!c.world.get(&pods[0].key).unwrap().deleting());
    delete(&mut c, &pods[0].key, DeleteOptions { grace_seconds: Some(5), ..none() }).unwrap();
    assert_eq!(c.world.get(&pods[0].key).unwrap().meta.deletion.unwrap().grace_seconds, 5);
    assert!(podstatus::condition(c.world.get(&pods[0].key).unwrap(), podstatus::DISRUPTION).is_none());
    // By force: the object is gone at once.
    let force = DeleteOptions { grace_seconds: Some(0), ..none() };
    assert!(matches!(delete(&mut c, &pods[1].key, force), Ok(Answer::Deleted(_))));
    assert!(c.world.get(&pods[1].key).is_none());
    let foreground = DeleteOptions { propagation: Propagation::Foreground, ..none() };
    delete(&mut c, &pods[2].key, foreground).unwrap();
    assert!(c.world.get(&pods[2].key).unwrap().meta.finalizers.is_empty(), "nothing depends on it");
    c.rest();
    assert_eq!(c.counts(), (3, 3));
    assert_eq!(delete(&mut c, &pods[1].key, none()).unwrap_err().code, 404);
}

#[test]
fn a_foreground_deletion_waits_for_what_depends_on_the_pod() {
    let mut c = cluster(1, json!({"minAvailable": 0}));
    let pod = c.pods()[0].clone();
    c.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": &*pod.key.name, "uid": pod.uid.to_string(),
            "blockOwnerDeletion": true}]}}));
    let options = DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() };
    c.with(|w, cx| pod::delete(w, &pod.key, &options, cx)).unwrap();
    assert_eq!(c.world.get(&pod.key).unwrap().meta.finalizers.to_vec(), ["foregroundDeletion".to_string()]);
    c.rest();
    assert!(c.world.get(&Key::new(Kind::ConfigMap, "default", "m")).is_none());
    assert!(c.world.get(&pod.key).is_none());
}

#[test]
fn a_pod_that_a_user_evicts_goes_also_after_its_agent_came_back() {
    let mut c = cluster(2, json!({"minAvailable": 1}));
    let pod = c.pods()[0].clone();
    evict(&mut c, &pod.key).unwrap();
    let node = pod.node.clone().unwrap();
    c.silent.insert(node.to_string());
    c.advance(Duration::from_mins(2));
    c.back(&node);
    assert!(c.world.get(&pod.key).is_none_or(|p| p.deleting()));
    c.rest();
    assert!(c.world.get(&pod.key).is_none());
    assert_eq!(c.counts(), (2, 2));
}

#[derive(Debug, Clone)]
enum Step {
    Evict(u8),
    Unready(u8),
    Scale(u8),
    Agents,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Evict),
        1 => any::<u8>().prop_map(Step::Unready),
        1 => (0..8_u8).prop_map(Step::Scale),
        2 => Just(Step::Agents),
        2 => Just(Step::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens in between, and whether or not the controller has run, no eviction of a
    /// ready pod leaves fewer ready ones than the budget asks for.
    #[test]
    fn no_eviction_goes_below_the_budget(
        least in 0..6_i32, percent in any::<bool>(), replicas in 1..7_i32,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let amount = if percent { json!(format!("{}%", least * 17)) } else { json!(least) };
        let mut c = cluster(replicas, json!({"minAvailable": amount}));
        let mut scale = replicas;
        for step in steps {
            let pods = standing(&c);
            let pick = |n: u8| pods.get(usize::from(n) % pods.len().max(1)).map(|p| p.key.clone());
            match step {
                Step::Evict(n) => {
                    let Some(key) = pick(n) else { continue };
                    let was_ready = c.world.pods.get(&key).is_some_and(crate::world::pods::PodRecord::ready);
                    let done = evict(&mut c, &key);
                    let left = i32::try_from(c.counts().1).unwrap();
                    let wanted = if percent { (least * 17 * scale + 99) / 100 } else { least };
                    if done.is_ok() && was_ready {
                        prop_assert!(left >= wanted, "{left} of {wanted}");
                    }
                }
                Step::Unready(n) => {
                    let Some(key) = pick(n) else { continue };
                    c.agents_with(|k| *k != key);
                }
                Step::Scale(n) => {
                    scale = i32::from(n);
                    c.put(deployment(scale, "web:1", json!({})));
                }
                Step::Agents => c.agents(),
                Step::Settle => c.settle(),
            }
        }
    }
}
