//! Drift, case by case, on the small cluster of `testing.rs`.

use alloc::{string::String, sync::Arc, vec::Vec};

use evenkeel_model::{
    Key, Kind, Object,
    own::{DriftOrigin, DriftSpec, DriftStatus, Resolution},
    session::{ContainerDrift, DriftAction},
};
use evenkeel_schema::merge::{Managed, Node, Update, update};
use serde_json::{Value, json};

use crate::{
    ask::Ask,
    change::Change,
    release,
    testing::{Lab, deployment, doc, web},
};

fn shop(more: Value) -> Lab {
    let mut lab = Lab::new();
    lab.source("shop", more);
    lab.commit(1, alloc::vec![web("a:1"), secret("old")]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    lab
}

fn secret(value: &str) -> Arc<evenkeel_model::Doc> {
    doc(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"},
        "stringData": {"password": value}}))
}

/// A user writes an object by hand.
fn edit(lab: &mut Lab, kind: Kind, name: &str, user: &str, f: impl FnOnce(&mut Value)) {
    let key = Key::new(kind, "shop", name);
    let live = lab.world.get(&key).unwrap().clone();
    let before = release::without_status(&live, live.key.kind);
    let mut value = before.clone();
    f(&mut value);
    let managed = Managed::from_bytes(&live.managed).unwrap();
    let by = Update { manager: user, time: lab.now, subresource: "" };
    let managed = update(Node::of_kind(kind), &before, &value, &managed, &by);
    let mut object = Object::from_value(value).unwrap();
    object.status = live.status.clone();
    object.managed = managed.to_bytes();
    object.meta.generation += 1;
    lab.change(Change::Put(Arc::new(object)));
    lab.settle();
}

fn drifts(lab: &Lab) -> Vec<(String, DriftSpec, DriftStatus)> {
    let all = lab.world.list(Kind::Drift, "");
    all.map(|o| (o.key.name.as_ref().into(), o.spec().unwrap(), o.status().unwrap().unwrap())).collect()
}

fn replicas(lab: &Lab) -> Value {
    lab.get(Kind::Deployment, "web").unwrap()["spec"]["replicas"].clone()
}

fn scale(lab: &mut Lab, n: i32) {
    edit(lab, Kind::Deployment, "web", "bob", |v| v["spec"]["replicas"] = json!(n));
}

#[test]
fn a_field_is_healed_and_recorded_with_its_user() {
    let mut lab = shop(json!({}));
    scale(&mut lab, 5);
    assert_eq!(replicas(&lab), 2);
    let all = drifts(&lab);
    assert_eq!(all.len(), 1);
    let (_, spec, status) = &all[0];
    assert_eq!((spec.source.as_str(), spec.path.as_str()), ("shop", "spec.replicas"));
    assert_eq!((&spec.desired, &spec.live), (&json!(2), &json!(5)));
    assert_eq!(spec.origin, DriftOrigin::User("bob".into()));
    assert_eq!((status.count, status.resolution), (1, Some(Resolution::Healed)));
    // What others add is theirs.
    edit(&mut lab, Kind::Deployment, "web", "bob", |v| v["metadata"]["labels"]["mine"] = json!("x"));
    assert_eq!(lab.get(Kind::Deployment, "web").unwrap()["metadata"]["labels"]["mine"], "x");
    scale(&mut lab, 6);
    let all = drifts(&lab);
    assert_eq!((all.len(), all[0].2.count), (1, 2));
    assert_eq!(lab.phases(), "1:Healthy");
}

#[test]
fn without_self_heal_it_is_only_recorded_until_the_source_moves() {
    let mut lab = shop(json!({"selfHeal": false}));
    scale(&mut lab, 5);
    assert_eq!(replicas(&lab), 5);
    let open = |lab: &Lab| drifts(lab)[0].2.clone();
    assert_eq!((open(&lab).count, open(&lab).resolution), (1, None));
    lab.restart();
    assert_eq!(open(&lab).count, 1, "seen again is not done again");
    scale(&mut lab, 2);
    assert_eq!(open(&lab).resolution, Some(Resolution::Healed));
    scale(&mut lab, 5);
    lab.commit(2, alloc::vec![doc(deployment("web", "a:1", json!({"replicas": 5}))), secret("old")]);
    assert_eq!(open(&lab).resolution, Some(Resolution::Adopted));
    scale(&mut lab, 7);
    lab.commit(3, alloc::vec![doc(deployment("web", "a:1", json!({"replicas": 3}))), secret("old")]);
    assert_eq!(open(&lab).resolution, Some(Resolution::Superseded));
    assert_eq!(replicas(&lab), 3);
}

#[test]
fn an_accepted_drift_is_left_alone_until_it_is_healed() {
    let mut lab = shop(json!({"selfHeal": false}));
    scale(&mut lab, 5);
    let name: Arc<str> = drifts(&lab)[0].0.as_str().into();
    lab.ask(Ask::DriftAccept { name: name.clone() }).unwrap();
    assert_eq!(drifts(&lab)[0].2.resolution, Some(Resolution::Accepted));
    lab.commit(2, alloc::vec![web("a:2"), secret("old")]);
    lab.pass(40);
    assert_eq!(replicas(&lab), 5, "a revision leaves it alone");
    assert!(lab.phases().ends_with("2:Healthy"), "{}", lab.phases());
    lab.ask(Ask::DriftHeal { name }).unwrap();
    assert_eq!(replicas(&lab), 2);
    assert_eq!(drifts(&lab)[0].2.resolution, Some(Resolution::Healed));
    assert!(lab.ask(Ask::DriftHeal { name: "none".into() }).is_err());
}

#[test]
fn ignored_differences_are_no_drift() {
    let mut lab = shop(json!({"ignoreDifferences": [{"kind": "Deployment", "path": "spec.replicas"}]}));
    assert_eq!(replicas(&lab), 2, "made with a value");
    scale(&mut lab, 5);
    lab.commit(2, alloc::vec![web("a:2"), secret("old")]);
    assert_eq!(replicas(&lab), 5);
    assert!(drifts(&lab).is_empty());
}

#[test]
fn a_field_healed_again_and_again_is_contested() {
    let mut lab = shop(json!({}));
    for n in 0..5 {
        scale(&mut lab, 5);
        assert_eq!(replicas(&lab), 2, "{n}");
        lab.pass(10);
    }
    scale(&mut lab, 5);
    assert_eq!(replicas(&lab), 5);
    let status = drifts(&lab)[0].2.clone();
    assert!(status.contested && status.resolution.is_none());
    lab.pass(310);
    assert_eq!(replicas(&lab), 2);
}

#[test]
fn values_of_secrets_are_never_shown() {
    let mut lab = shop(json!({"selfHeal": false}));
    edit(&mut lab, Kind::Secret, "s", "bob", |v| v["data"]["password"] = json!("c3dvcmRmaXNo"));
    let all = drifts(&lab);
    assert_eq!(all[0].1.path, "data.password");
    for value in [&all[0].1.desired, &all[0].1.live] {
        assert!(value.as_str().unwrap().starts_with("hmac-sha256:"), "{value}");
    }
    assert_ne!(all[0].1.desired, all[0].1.live);
    for object in lab.world.all().filter(|o| o.key.kind != Kind::Secret) {
        let text = String::from_utf8(object.to_json()).unwrap();
        for value in ["c3dvcmRmaXNo", "swordfish", "b2xk\"", "\"old\""] {
            assert!(!text.contains(value), "{}: {text}", object.key);
        }
    }
    lab.commit(2, alloc::vec![web("a:1"), secret("swordfish")]);
    assert_eq!(drifts(&lab)[0].2.resolution, Some(Resolution::Adopted));
}

fn container(lab: &Lab, action: DriftAction, healed: bool) -> ContainerDrift {
    let pod = lab.world.list(Kind::Pod, "shop").next().unwrap();
    ContainerDrift {
        pod: pod.uid,
        namespace: "shop".into(),
        name: pod.key.name.clone(),
        container: Some("main".into()),
        action,
        desired: json!("running"),
        live: json!("exited"),
        healed,
    }
}

fn observe(lab: &mut Lab, drift: &ContainerDrift) {
    lab.event(|world, cx| crate::drift::observe(world, &"n1".into(), drift, cx));
    lab.settle();
}

#[test]
fn what_is_done_to_a_container_is_recorded_and_healed_by_its_sources_will() {
    for heals in [true, false] {
        let mut lab = shop(json!({"selfHeal": heals}));
        let drift = container(&lab, DriftAction::Killed, false);
        observe(&mut lab, &drift);
        assert_eq!(lab.heals.len(), 1);
        assert_eq!(lab.heals[0].heal, heals);
        let (_, spec, status) = drifts(&lab).remove(0);
        assert_eq!((spec.path.as_str(), spec.source.as_str()), ("containers[main]", "shop"));
        assert_eq!(spec.origin, DriftOrigin::Node("n1".into()));
        assert_eq!((status.count, status.resolution), (1, None));
        let done = ContainerDrift { healed: true, ..drift };
        observe(&mut lab, &done);
        let status = drifts(&lab).remove(0).2;
        assert_eq!((status.count, status.resolution), (1, Some(Resolution::Healed)));
    }
}

#[test]
fn a_drift_and_its_end_in_one_report_are_both_taken() {
    let mut lab = shop(json!({"selfHeal": true}));
    for (round, action) in [(1, DriftAction::Killed), (2, DriftAction::Stopped)] {
        let seen = container(&lab, action, false);
        let healed = ContainerDrift { healed: true, ..seen.clone() };
        lab.event(|world, cx| {
            for drift in [&seen, &healed] {
                crate::drift::observe(world, &"n1".into(), drift, cx);
            }
        });
        lab.settle();
        let (_, spec, status) = drifts(&lab).remove(0);
        assert_eq!((status.count, status.resolution), (round, Some(Resolution::Healed)), "{spec:?}");
    }
}

#[test]
fn a_record_ends_with_its_object() {
    let mut lab = shop(json!({"selfHeal": false}));
    let drift = container(&lab, DriftAction::Paused, false);
    observe(&mut lab, &drift);
    lab.change(Change::Delete(Key::new(Kind::Pod, "shop", drift.name.clone())));
    lab.settle();
    assert_eq!(drifts(&lab)[0].2.resolution, Some(Resolution::Superseded));
}

#[test]
fn a_label_taken_away_is_drift_and_comes_back() {
    let mut lab = shop(json!({}));
    edit(&mut lab, Kind::Deployment, "web", "bob", |v| {
        v["metadata"].as_object_mut().unwrap().remove("labels");
    });
    let live = lab.get(Kind::Deployment, "web").unwrap();
    assert_eq!(live["metadata"]["labels"]["evenkeel.dev/source"], "shop");
    assert!(live["metadata"]["annotations"].get("evenkeel.dev/former").is_none());
    assert_eq!(drifts(&lab).len(), 1);
}

#[test]
fn a_session_settles_what_its_agent_no_longer_calls_drifted() {
    let mut lab = shop(json!({"selfHeal": true}));
    let drift = container(&lab, DriftAction::Killed, false);
    observe(&mut lab, &drift);
    let pod = lab.world.list(Kind::Pod, "shop").next().unwrap().clone();
    let session = |lab: &mut Lab, node: &str, drifted: &[Option<String>]| {
        lab.event(|world, cx| crate::drift::righted(world, &node.into(), &pod, drifted, cx));
        lab.settle();
        drifts(lab)[0].2.resolution
    };
    assert_eq!(session(&mut lab, "n1", &[Some("main".into())]), None, "it is not healed yet");
    assert_eq!(session(&mut lab, "n2", &[]), None, "another node cannot know");
    assert_eq!(session(&mut lab, "n1", &[None]), Some(Resolution::Healed));
    assert_eq!(drifts(&lab)[0].2.count, 1);
}

#[test]
fn what_is_done_to_a_nodes_network_is_a_drift_of_the_node() {
    let mut lab = shop(json!({}));
    let node = lab.world.list(Kind::Node, "").next().unwrap().key.name.clone();
    for flush in 1..=2 {
        let message = String::from("the table was changed by another program; it was made again");
        lab.event(|world, cx| super::network(world, &node, &[message], cx));
        lab.settle();
        let all = drifts(&lab);
        let (_, spec, status) = all.iter().find(|(_, spec, _)| spec.object.kind == "Node").unwrap();
        assert_eq!((spec.path.as_str(), spec.origin.clone()), ("network", DriftOrigin::Node(String::from(&*node))));
        assert_eq!((status.count, status.resolution), (flush, Some(Resolution::Healed)));
    }
    let told = lab.world.list(Kind::Event, "").any(|e| e.to_value()["reason"] == "NetworkDrift");
    assert!(told);
}
