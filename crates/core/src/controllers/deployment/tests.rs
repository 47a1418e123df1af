//! Rollouts on a small cluster, with faults.

use core::time::Duration;
use std::{string::ToString, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, names, object::Object};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    change::Change,
    controllers::testkit::{Cluster, deployment},
};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn cluster() -> Cluster {
    Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi"), ("n3", "4", "8Gi")])
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
}

fn current(c: &Cluster) -> Vec<Arc<Object>> {
    c.sets().into_iter().filter(|s| s.body_map()["spec"]["replicas"] != 0).collect()
}

#[test]
fn a_deployment_comes_up_and_rolls() {
    let mut c = cluster();
    c.put(deployment(4, "web:1", json!({})));
    c.rest();
    assert_eq!(c.counts(), (4, 4));
    let status = c.status(Kind::Deployment, "web");
    assert_eq!(status["availableReplicas"], 4);
    assert_eq!(condition(&status, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(condition(&status, "Available")["status"], "True");
    let first = c.sets()[0].clone();
    assert_eq!(first.key.name.len(), "web-".len() + 10);
    assert_eq!(first.meta.label(names::POD_TEMPLATE_HASH), Some(&first.key.name[4..]));
    assert!(first.meta.annotation(names::IMAGE_IDS).is_some());

    c.put(deployment(4, "web:2", json!({})));
    c.rest();
    assert_eq!(c.counts(), (4, 4));
    assert_eq!(c.sets().len(), 2);
    assert_eq!(c.get(Kind::Deployment, "web").meta.annotation(names::DEPLOYMENT_REVISION), Some("2"));

    // Back again: the old ReplicaSet, with a new number.
    c.put(deployment(4, "web:1", json!({})));
    c.rest();
    assert_eq!(c.sets().len(), 2);
    assert_eq!(current(&c)[0].key, first.key);
    assert_eq!(current(&c)[0].meta.annotation(names::DEPLOYMENT_REVISION), Some("3"));
    // Nothing to do: nothing written.
    let version = c.world.version;
    c.mark_all();
    c.settle();
    assert_eq!(c.world.version, version);
}

#[test]
fn annotations_written_after_a_change_are_those_of_its_revision() {
    let mut c = cluster();
    let because = |text: &str| {
        json!({"metadata": {"annotations": {"kubernetes.io/change-cause": text, "team": "shop",
            "deployment.kubernetes.io/desired-replicas": "9"}}})
    };
    c.put(deployment(2, "web:1", json!({})));
    c.rest();
    c.put(deployment(2, "web:1", because("first")));
    c.rest();
    c.put(deployment(2, "web:2", because("first")));
    c.rest();
    c.put(deployment(2, "web:2", because("second")));
    c.rest();
    let mut sets = c.sets();
    sets.sort_by_key(|s| s.meta.annotation(names::DEPLOYMENT_REVISION).map(ToString::to_string));
    let said = |name| sets.iter().map(move |s| s.meta.annotation(name)).collect::<Vec<_>>();
    assert_eq!(said("kubernetes.io/change-cause"), [Some("first"), Some("second")]);
    assert_eq!(said("team"), [Some("shop"); 2]);
    assert_eq!(said("deployment.kubernetes.io/desired-replicas"), [Some("2"); 2]);
}

#[test]
fn defaults_written_out_roll_nothing() {
    let mut c = cluster();
    c.put(deployment(2, "web:1", json!({})));
    c.rest();
    c.put(deployment(
        2,
        "web:1",
        json!({"spec": {"template": {"spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}}}}),
    ));
    c.rest();
    assert_eq!(c.sets().len(), 1);
}

#[test]
fn a_broken_rollout_keeps_the_promise_and_times_out() {
    let mut c = cluster();
    let tight = json!({"spec": {"progressDeadlineSeconds": 30, "strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}});
    c.put(deployment(4, "web:1", tight.clone()));
    c.rest();
    let good = c.sets()[0].key.name.clone();
    c.put(deployment(4, "web:2", tight));
    for _ in 0..10 {
        c.settle();
        c.agents_with(|k| k.name.starts_with(&*good));
    }
    c.settle();
    assert_eq!(c.counts(), (5, 3));
    c.advance(Duration::from_secs(25));
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["reason"], "ReplicaSetUpdated");
    c.advance(Duration::from_secs(10));
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["reason"], "ProgressDeadlineExceeded");
}

#[test]
fn the_deadline_does_not_run_while_the_server_is_away() {
    let mut c = cluster();
    c.put(deployment(1, "web:1", json!({"spec": {"progressDeadlineSeconds": 30}})));
    c.settle();
    c.now = c.now + Duration::from_hours(1);
    c.started = c.now;
    c.mark_all();
    c.settle();
    assert_ne!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["status"], "False");
    c.advance(Duration::from_secs(40));
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["status"], "False");
}

#[test]
fn recreate_waits_for_the_old_ones_to_be_gone() {
    let mut c = cluster();
    let recreate = json!({"spec": {"strategy": {"type": "Recreate"}}});
    c.put(deployment(3, "web:1", recreate.clone()));
    c.rest();
    c.put(deployment(3, "web:2", recreate));
    c.settle();
    assert_eq!(c.counts(), (0, 0));
    assert_eq!(c.pods().len(), 3);
    assert_eq!(c.sets().len(), 1);
    c.rest();
    assert_eq!(c.counts(), (3, 3));
    assert_eq!(c.sets().len(), 2);
}

#[test]
fn min_ready_seconds_holds_availability_back() {
    let mut c = cluster();
    c.put(deployment(2, "web:1", json!({"spec": {"minReadySeconds": 20}})));
    c.rest();
    assert_eq!(c.status(Kind::Deployment, "web")["availableReplicas"], Value::Null);
    c.advance(Duration::from_secs(25));
    assert_eq!(c.status(Kind::Deployment, "web")["availableReplicas"], 2);
}

#[test]
fn pause_scale_and_history() {
    let mut c = cluster();
    c.put(deployment(2, "web:0", json!({"spec": {"revisionHistoryLimit": 1}})));
    c.rest();
    for n in 1..4 {
        c.put(deployment(2, &std::format!("web:{n}"), json!({"spec": {"revisionHistoryLimit": 1}})));
        c.rest();
    }
    assert_eq!(c.sets().len(), 2);
    c.put(deployment(5, "web:9", json!({"spec": {"paused": true}})));
    c.rest();
    assert_eq!(c.counts(), (5, 5));
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["reason"], "DeploymentPaused");
    assert_eq!(current(&c).len(), 1);
    c.put(deployment(5, "web:9", json!({"spec": {"paused": false}})));
    c.rest();
    assert_eq!(current(&c)[0].body_map()["spec"]["template"]["spec"]["containers"][0]["image"], "web:9");
    c.put(deployment(0, "web:9", json!({})));
    c.rest();
    assert_eq!(c.pods().len(), 0);
}

#[test]
fn config_of_the_same_source_rolls_and_is_kept() {
    let mut c = cluster();
    let source = json!({"metadata": {"labels": {"evenkeel.dev/source": "shop"}},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1",
            "envFrom": [{"configMapRef": {"name": "conf"}}, {"configMapRef": {"name": "other"}}]}]}}}});
    let map = |name: &str, source: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value},
        "metadata": {"name": name, "namespace": "default", "labels": {"evenkeel.dev/source": source}}})
    };
    c.put(map("conf", "shop", "1"));
    c.put(map("other", "elsewhere", "1"));
    c.put(deployment(2, "web:1", source.clone()));
    c.rest();
    let first = c.sets()[0].clone();
    let refs: Value = serde_json::from_str(first.meta.annotation(names::CONTENTS).unwrap()).unwrap();
    assert_eq!(refs.as_array().unwrap().len(), 1);
    c.put(map("other", "elsewhere", "2"));
    c.rest();
    assert_eq!(c.sets().len(), 1);
    c.put(map("conf", "shop", "2"));
    c.rest();
    assert_eq!(c.sets().len(), 2);
    assert_eq!(c.world.content_digests().count(), 2);
    let template = |s: &Object| s.body_map()["spec"]["template"]["spec"].clone();
    assert_eq!(template(&c.sets()[0]), template(&c.sets()[1]));
    c.put(map("conf", "shop", "1"));
    c.rest();
    assert_eq!(c.sets().len(), 2);
    assert_eq!(current(&c)[0].key, first.key);
    // What no ReplicaSet refers to any more goes.
    let unused = c.sets().into_iter().find(|s| s.key != first.key).unwrap();
    c.delete(&unused.key);
    c.settle();
    assert_eq!(c.world.content_digests().count(), 1);
    // Opted out.
    let mut free = source;
    free["metadata"]["annotations"] = json!({"evenkeel.dev/roll-on-config": "false"});
    c.put(deployment(2, "web:1", free));
    c.rest();
    let sets = c.sets().len();
    c.put(map("conf", "shop", "3"));
    c.rest();
    assert_eq!(c.sets().len(), sets);
}

#[test]
fn config_that_never_comes_times_out() {
    let mut c = cluster();
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}});
    let key = Key::new(Kind::ConfigMap, "default", "conf");
    let doc = evenkeel_model::Doc::new(key, value, evenkeel_model::Place::default(), Vec::new());
    let snapshot = Arc::new(evenkeel_model::Snapshot { docs: [Arc::new(doc)].into(), ..Default::default() });
    let revision = evenkeel_model::Revision::git(Some("main"), &"0".repeat(40));
    let digest = snapshot.digest();
    c.apply(crate::Change::KeepSnapshot { source: "shop".into(), revision: revision.clone(), snapshot });
    c.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "shop"},
        "spec": {"directory": "/x"},
        "status": {"appliedRevision": revision, "appliedDigest": digest, "currentRelease": "shop-1"}}));
    c.put(deployment(
        1,
        "web:1",
        json!({"metadata": {"labels": {"evenkeel.dev/source": "shop"}},
        "spec": {"progressDeadlineSeconds": 30, "template": {"spec": {"containers": [{"name": "web", "image": "web:1",
            "envFrom": [{"configMapRef": {"name": "conf"}}]}]}}}}),
    ));
    c.rest();
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["reason"], "WaitingForConfig");
    assert!(c.sets().is_empty());
    c.advance(Duration::from_secs(40));
    assert_eq!(condition(&c.status(Kind::Deployment, "web"), "Progressing")["reason"], "ProgressDeadlineExceeded");
    c.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "conf", "namespace": "default", "labels": {"evenkeel.dev/source": "shop"}}}));
    c.rest();
    assert_eq!(c.counts(), (1, 1));
    assert_eq!(c.sets()[0].meta.annotation(names::RELEASE), Some("shop-1"));
}

#[test]
fn failed_pods_are_replaced_without_haste_and_swept() {
    let mut c = cluster();
    c.put(deployment(1, "web:1", json!({})));
    c.rest();
    for _ in 0..5 {
        let pod = c.pods().into_iter().find(|p| !c.world.pods.finished(&p.key)).unwrap();
        let node = pod.node.clone().unwrap();
        let mut report = crate::controllers::testkit::pod_report(&pod, false, false, c.now);
        report.status =
            evenkeel_model::canonical::value_bytes(&json!({"phase": "Failed", "reason": "OutOfcpu"})).into();
        c.report(&node, report);
        c.settle();
        if c.counts().0 == 0 {
            c.advance(Duration::from_secs(12));
        }
        assert_eq!(c.counts().0, 1);
    }
    assert_eq!(c.pods().len(), 3);
}

#[test]
fn a_deleted_deployment_takes_everything_along() {
    let mut c = cluster();
    c.put(deployment(3, "web:1", json!({})));
    c.rest();
    c.delete(&Key::new(Kind::Deployment, "default", "web"));
    c.rest();
    assert_eq!((c.pods().len(), c.sets().len()), (0, 0));
}

/// What may happen between two runs of controllers.
#[derive(Debug, Clone)]
enum Fault {
    Image(u8),
    Replicas(i32),
    /// The nth pod's readiness flips, or it is gone, or failed.
    Flip(usize),
    Kill(usize),
    Agents,
    Runs(usize),
    Wait(u64),
    /// A node's agent falls silent; it speaks again, with the pods it had.
    Silent(usize),
    Back(usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => (0..3_u8).prop_map(Fault::Image),
        1 => (0..7_i32).prop_map(Fault::Replicas),
        4 => (0..16_usize).prop_map(Fault::Flip),
        1 => (0..16_usize).prop_map(Fault::Kill),
        3 => Just(Fault::Agents),
        6 => (1..12_usize).prop_map(Fault::Runs),
        1 => (1..30_u64).prop_map(Fault::Wait),
        1 => (300..500_u64).prop_map(Fault::Wait),
        1 => (0..3_usize).prop_map(Fault::Silent),
        2 => (0..3_usize).prop_map(Fault::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens between runs, no run breaks the promise (checked in `Cluster::run`), and
    /// left alone the cluster comes to rest as wanted.
    #[test]
    fn no_run_breaks_the_promise(
        surge in 0..3_i32, unavailable in 0..3_i32, faults in prop::collection::vec(fault(), 1..60),
    ) {
        let mut c = cluster();
        let (mut image, mut replicas) = (0_u8, 3_i32);
        let put = |c: &mut Cluster, image: u8, replicas: i32| {
            c.put(deployment(replicas, &std::format!("web:{image}"), json!({"spec": {"strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}})));
        };
        put(&mut c, image, replicas);
        for fault in faults {
            let pods = c.pods();
            let nth = |n: usize| pods.get(n % pods.len().max(1)).cloned();
            match fault {
                Fault::Image(n) => { image = n; put(&mut c, image, replicas); }
                Fault::Replicas(n) => { replicas = n; put(&mut c, image, replicas); }
                Fault::Flip(n) => if let Some(pod) = nth(n) && let Some(node) = pod.node.clone() {
                    let ready = c.world.pods.get(&pod.key).is_some_and(|p| p.ready_since.is_none());
                    let report = crate::controllers::testkit::pod_report(&pod, ready, false, c.now);
                    c.report(&node, report);
                },
                Fault::Kill(n) => if let Some(pod) = nth(n) { c.apply(crate::Change::Delete(pod.key.clone())); },
                Fault::Agents => c.agents(),
                Fault::Runs(n) => for _ in 0..n { c.run(); },
                Fault::Wait(s) => c.advance(Duration::from_secs(s)),
                Fault::Silent(n) => { c.silent.insert(NODES[n].to_string()); }
                Fault::Back(n) => c.back(NODES[n]),
            }
        }
        for node in NODES {
            c.back(node);
        }
        for _ in 0..3 {
            c.rest();
            c.advance(Duration::from_secs(30));
        }
        let wanted = usize::try_from(replicas).unwrap();
        prop_assert_eq!(c.counts(), (wanted, wanted));
        let new = current(&c);
        prop_assert_eq!(new.len(), usize::from(wanted > 0));
        if let Some(set) = new.first() {
            let running = set.body_map()["spec"]["template"]["spec"]["containers"][0]["image"].to_string();
            prop_assert_eq!(running, std::format!("\"web:{image}\""));
        }
    }
}

#[test]
fn pods_of_a_template_that_a_lost_database_took_with_it_roll_on() {
    let sourced = || json!({"metadata": {"labels": {"evenkeel.dev/source": "shop"}}});
    let mut c = cluster();
    c.put(deployment(4, "web:1", sourced()));
    c.rest();
    let set = c.sets()[0].clone();
    let before: Vec<_> = c.pods().iter().map(|p| (p.key.clone(), p.uid)).collect();
    // What a recovered world has: pods that nothing explains, and a newer template.
    let keys = [Key::new(Kind::Deployment, "default", "web"), set.key.clone()];
    for key in keys {
        c.apply(Change::Delete(key));
    }
    for pod in c.pods() {
        let mut orphan = Object::clone(&pod);
        orphan.meta.owners = [].into();
        orphan.meta.deletion = None;
        orphan.meta.set_label(names::ORPHAN, "true");
        c.apply(Change::Put(Arc::new(orphan)));
    }
    c.put(deployment(4, "web:2", sourced()));
    c.settle();
    let again = c.get(Kind::ReplicaSet, &set.key.name);
    assert_eq!(again.meta.label(names::POD_TEMPLATE_HASH), set.meta.label(names::POD_TEMPLATE_HASH));
    assert!(c.counts().0 <= 5, "old and new ones together: {:?}", c.counts());
    c.rest();
    assert_eq!(c.counts(), (4, 4));
    assert!(c.pods().iter().all(|p| p.meta.label(names::ORPHAN).is_none()));
    assert!(before.iter().all(|(key, _)| c.world.get(key).is_none()), "old pods run on");

    // Back again: the very ReplicaSet that was made from them.
    c.put(deployment(4, "web:1", sourced()));
    c.rest();
    assert_eq!((current(&c)[0].key.clone(), c.sets().len()), (set.key.clone(), 2));
}
