//! Writes by hand, against a small cluster.
#![allow(clippy::needless_pass_by_value)] // so that tests read well

use alloc::{boxed::Box, format, string::ToString, vec::Vec};

use evenkeel_model::{Key, Kind, Uid, Version, names, own::SourceSpec};
use evenkeel_schema::{merge::Managed, validate::Cause};
use serde_json::{Value, json};

use super::{Edit, Wish};
use crate::{
    ask::{Answer, Ask, DeleteOptions, More, Propagation, Refusal},
    testing::{Lab, config, deployment, web},
};

fn wish(value: Value) -> Wish {
    let key = evenkeel_model::Object::from_value(value.clone()).unwrap().key;
    Wish { key, value, manager: "kubectl".into(), subresource: "", dry_run: false, managed: None }
}

fn edit(lab: &mut Lab, edit: Edit) -> Result<Answer, Refusal> {
    let answer = lab.ask(Ask::Edit(Box::new(edit)));
    lab.settle();
    answer
}

fn create(lab: &mut Lab, value: Value) -> Result<Answer, Refusal> {
    edit(lab, Edit::Create(wish(value)))
}

fn replace(lab: &mut Lab, value: Value) -> Result<Answer, Refusal> {
    edit(lab, Edit::Replace { wish: wish(value), if_version: None, if_uid: None })
}

fn apply(lab: &mut Lab, manager: &str, value: Value, force: bool) -> Result<Answer, Refusal> {
    let wish = Wish { manager: manager.into(), ..wish(value) };
    edit(lab, Edit::Apply { wish, force, if_version: None })
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data})
}

#[test]
fn an_update_may_say_itself_who_owned_what() {
    let mut lab = Lab::new();
    create(&mut lab, map("c", json!({"a": "1"}))).unwrap();
    let key = Key::new(Kind::ConfigMap, "shop", "c");
    let owners = |lab: &Lab| {
        let object = lab.world.get(&key).unwrap().to_value();
        let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        list.iter().map(|m| format!("{} {}", m["manager"], m["operation"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(owners(&lab), ["kubectl Update"]);
    // As kubectl hands over from apply on the client's side to that on the server's.
    let object = lab.world.get(&key).unwrap().to_value();
    let mut list = object["metadata"]["managedFields"].clone();
    list[0]["operation"] = "Apply".into();
    let managed = Managed::from_bytes(list.to_string().as_bytes()).unwrap();
    let handed = Wish { managed: Some(managed), ..wish(map("c", json!({"a": "1"}))) };
    edit(&mut lab, Edit::Replace { wish: handed, if_version: None, if_uid: None }).unwrap();
    assert_eq!(owners(&lab), ["kubectl Apply"]);
    // Nobody owns anything any more; what is set by the same write has its owner.
    let anew = Wish { managed: Some(Managed::default()), ..wish(map("c", json!({"a": "1", "b": "2"}))) };
    edit(&mut lab, Edit::Replace { wish: anew, if_version: None, if_uid: None }).unwrap();
    assert_eq!(owners(&lab), ["kubectl Update"]);
    let fields = lab.world.get(&key).unwrap().to_value()["metadata"]["managedFields"][0]["fieldsV1"].clone();
    assert_eq!(fields, json!({"f:data": {"f:b": {}}}));
}

fn delete(lab: &mut Lab, kind: Kind, name: &str, propagation: Propagation) -> Result<Answer, Refusal> {
    let options = DeleteOptions { propagation, ..DeleteOptions::default() };
    edit(lab, Edit::Delete { key: Key::new(kind, "shop", name), options })
}

#[test]
fn a_deployment_made_by_hand_runs_and_its_end_takes_its_pods() {
    let mut lab = Lab::new();
    let made = create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    assert!(matches!(made, Answer::Created(_)));
    lab.pass(10);
    let there = lab.get(Kind::Deployment, "web").unwrap();
    assert_eq!(there["metadata"]["generation"], 1);
    assert_eq!(there["spec"]["progressDeadlineSeconds"], 600, "defaults are filled in");
    assert_eq!(there["metadata"]["managedFields"][0]["manager"], "kubectl");
    assert_eq!(there["status"]["readyReplicas"], there["spec"]["replicas"]);
    assert_eq!(create(&mut lab, deployment("web", "web:1", json!({}))).unwrap_err().reason, "AlreadyExists");
    delete(&mut lab, Kind::Deployment, "web", Propagation::Background).unwrap();
    lab.pass(60);
    assert_eq!(lab.world.list(Kind::Pod, "shop").count(), 0);
    assert_eq!(lab.world.list(Kind::ReplicaSet, "shop").count(), 0);
}

#[test]
fn what_becomes_of_dependents_is_the_callers_choice() {
    for (propagation, left) in [(Propagation::Orphan, 1), (Propagation::Foreground, 0)] {
        let mut lab = Lab::new();
        create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
        lab.pass(10);
        delete(&mut lab, Kind::Deployment, "web", propagation).unwrap();
        lab.pass(60);
        assert!(lab.get(Kind::Deployment, "web").is_none());
        assert_eq!(lab.world.list(Kind::ReplicaSet, "shop").count(), left, "{propagation:?}");
    }
}

#[test]
fn names_are_generated_and_places_checked() {
    let mut lab = Lab::new();
    let mut value = map("", json!({}));
    value["metadata"]["generateName"] = json!("c-");
    let Answer::Created(key) = create(&mut lab, value).unwrap() else { panic!() };
    assert!(key.name.starts_with("c-") && key.name.len() == 7, "{key}");
    let mut elsewhere = map("c", json!({}));
    elsewhere["metadata"]["namespace"] = json!("nowhere");
    let refusal = create(&mut lab, elsewhere).unwrap_err();
    assert_eq!((refusal.code, &*refusal.message), (404, "namespaces \"nowhere\" not found"));
    assert_eq!(create(&mut lab, map("", json!({}))).unwrap_err().code, 422);
    let mut old = map("c", json!({}));
    old["metadata"]["resourceVersion"] = json!("7");
    assert_eq!(create(&mut lab, old).unwrap_err().code, 400);
}

#[test]
fn a_replacement_keeps_what_is_not_its_own() {
    let mut lab = Lab::new();
    create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    lab.pass(10);
    let before = lab.get(Kind::Deployment, "web").unwrap();
    let mut next = before.clone();
    next["spec"]["replicas"] = json!(5);
    next["status"] = json!({"replicas": 99});
    next["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    next["metadata"]["labels"] = json!({"team": "a", "evenkeel.dev/source": "mine"});
    let Answer::Object(key) = replace(&mut lab, next.clone()).unwrap() else { panic!() };
    let after = lab.world.get(&key).unwrap().to_value();
    assert_eq!(after["metadata"]["generation"], 2);
    assert_eq!(after["metadata"]["creationTimestamp"], before["metadata"]["creationTimestamp"]);
    assert_eq!(after["metadata"]["labels"], json!({"team": "a"}));
    assert_ne!(after["status"]["replicas"], 99);
    let stale = Edit::Replace { wish: wish(next.clone()), if_version: Some(Version(1)), if_uid: None };
    assert_eq!(edit(&mut lab, stale).unwrap_err().reason, "Conflict");
    let other = Edit::Replace { wish: wish(next), if_version: None, if_uid: Some(Uid(9)) };
    assert!(edit(&mut lab, other).unwrap_err().message.contains("UID in precondition"));
}

#[test]
fn what_is_fixed_stays() {
    let mut lab = Lab::new();
    create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    lab.pass(10);
    let mut other = lab.get(Kind::Deployment, "web").unwrap();
    other["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    other["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let refusal = replace(&mut lab, other).unwrap_err();
    assert_eq!(refusal.message, "Deployment.apps \"web\" is invalid: spec.selector: field is immutable");
    assert_eq!(refusal.more, More::Fields([Cause::wrong("spec.selector", "field is immutable")].into()));
    let pod = lab.world.list(Kind::Pod, "shop").next().unwrap().clone();
    let mut changed = pod.to_value();
    changed["spec"]["containers"][0]["image"] = json!("web:2");
    assert_eq!(replace(&mut lab, changed).unwrap_err().code, 422);
    let mut labelled = pod.to_value();
    labelled["metadata"]["annotations"] = json!({"a": "b"});
    replace(&mut lab, labelled).unwrap();
    let mut fixed = map("c", json!({"a": "1"}));
    fixed["immutable"] = json!(true);
    create(&mut lab, fixed.clone()).unwrap();
    fixed["metadata"]["labels"] = json!({"a": "b"});
    replace(&mut lab, fixed).unwrap();
    let refusal = replace(&mut lab, map("c", json!({"a": "2"}))).unwrap_err();
    let why = "Forbidden: field is immutable when `immutable` is set";
    let message = format!("ConfigMap \"c\" is invalid: [immutable: {why}, data: {why}]");
    assert_eq!((refusal.code, refusal.message), (422, message));
}

#[test]
fn apply_makes_merges_and_conflicts() {
    let mut lab = Lab::new();
    let made = apply(&mut lab, "one", map("c", json!({"a": "1", "b": "1"})), false).unwrap();
    assert!(matches!(made, Answer::Created(_)));
    apply(&mut lab, "two", map("c", json!({"c": "2"})), false).unwrap();
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"], json!({"a": "1", "b": "1", "c": "2"}));
    let refusal = apply(&mut lab, "two", map("c", json!({"a": "2", "c": "2"})), false).unwrap_err();
    assert_eq!(refusal.message, "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    assert!(matches!(&refusal.more, More::FieldConflicts(c) if c[0].0 == ".data.a"), "{refusal:?}");
    apply(&mut lab, "two", map("c", json!({"a": "2", "c": "2"})), true).unwrap();
    apply(&mut lab, "one", map("c", json!({"b": "1"})), false).unwrap();
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"], json!({"a": "2", "b": "1", "c": "2"}));
    let version = |lab: &Lab| lab.world.get(&Key::new(Kind::ConfigMap, "shop", "c")).unwrap().version;
    let before = version(&lab);
    apply(&mut lab, "one", map("c", json!({"b": "1"})), false).unwrap();
    assert_eq!(version(&lab), before, "nothing changed");
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut lab = Lab::new();
    let dry = Wish { dry_run: true, ..wish(map("c", json!({}))) };
    let answer = edit(&mut lab, Edit::Create(dry)).unwrap();
    assert!(matches!(answer, Answer::WouldCreate(o) if o.uid != Uid(0)));
    assert!(lab.get(Kind::ConfigMap, "c").is_none());
}

#[test]
fn finalizers_hold_an_object_until_they_are_gone() {
    let mut lab = Lab::new();
    let mut held = map("c", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    create(&mut lab, held.clone()).unwrap();
    assert!(matches!(delete(&mut lab, Kind::ConfigMap, "c", Propagation::Background), Ok(Answer::Object(_))));
    assert!(lab.get(Kind::ConfigMap, "c").unwrap()["metadata"]["deletionTimestamp"].is_string());
    let mut more = held.clone();
    more["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/more"]);
    assert!(replace(&mut lab, more).unwrap_err().message.contains("no new finalizers"));
    assert!(matches!(replace(&mut lab, map("c", json!({}))), Ok(Answer::Deleted(_))));
    assert!(lab.get(Kind::ConfigMap, "c").is_none());
}

#[test]
fn a_write_to_a_sources_object_is_drift_and_locked_ones_are_refused() {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    lab.commit(1, alloc::vec![config("c", "1"), web("web:1")]);
    lab.pass(40);
    let mut by_hand = lab.get(Kind::ConfigMap, "c").unwrap();
    let desired = by_hand["data"].clone();
    by_hand["data"] = json!({"k": "mine"});
    replace(&mut lab, by_hand.clone()).unwrap();
    lab.pass(1);
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"], desired, "healed");
    assert!(lab.world.list(Kind::Drift, "").any(|d| d.to_value()["spec"]["origin"]["user"] == "kubectl"));
    assert!(lab.events().iter().any(|e| e.contains("ByHand")), "{:?}", lab.events());
    // Deleted by hand, it comes back.
    delete(&mut lab, Kind::ConfigMap, "c", Propagation::Background).unwrap();
    lab.pass(1);
    assert!(lab.get(Kind::ConfigMap, "c").is_some());

    let source = lab.world.get(&Key::cluster(Kind::Source, "shop")).unwrap();
    let spec = SourceSpec { locked: true, ..source.spec().unwrap() };
    lab.ask(Ask::UpdateSource {
        name: "shop".into(),
        spec,
        if_version: None,
        meta: None,
        owners: super::Owners::By("test".into()),
        dry_run: false,
    })
    .unwrap();
    for refusal in [
        replace(&mut lab, by_hand).unwrap_err(),
        delete(&mut lab, Kind::ConfigMap, "c", Propagation::Background).unwrap_err(),
    ] {
        assert_eq!(refusal.code, 403);
        assert!(refusal.message.contains("source shop is locked"), "{}", refusal.message);
        assert!(refusal.message.contains("/srv/shop"), "{}", refusal.message);
    }
    create(&mut lab, map("mine", json!({}))).unwrap();
}

/// A ConfigMap for a namespace that is made for it.
fn map_of_new_namespace(lab: &mut Lab) -> Value {
    create(lab, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})).unwrap();
    let mut inside = map("c", json!({}));
    inside["metadata"]["namespace"] = json!("new");
    inside
}

#[test]
fn namespaces_go_with_what_is_in_them_and_built_in_ones_stay() {
    let mut lab = Lab::new();
    let inside = map_of_new_namespace(&mut lab);
    create(&mut lab, inside.clone()).unwrap();
    let key = Key::cluster(Kind::Namespace, "new");
    let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    edit(&mut lab, Edit::Delete { key: key.clone(), options: at_once.clone() }).unwrap();
    assert!(lab.world.get(&key).is_none());
    assert_eq!(create(&mut lab, inside).unwrap_err().code, 404);
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "evenkeel"},
        "spec": {"controller": crate::ingress::CONTROLLER}});
    create(&mut lab, class).unwrap();
    let class = Key::cluster(Kind::IngressClass, crate::ingress::CLASS);
    assert_eq!(edit(&mut lab, Edit::Delete { key: class, options: at_once.clone() }).unwrap_err().code, 403);
    let built_in = Key::cluster(Kind::Namespace, "default");
    assert_eq!(edit(&mut lab, Edit::Delete { key: built_in, options: at_once }).unwrap_err().code, 403);
}

#[test]
fn a_namespace_that_ends_says_so_to_programs_too() {
    let mut lab = Lab::new();
    let mut held = map_of_new_namespace(&mut lab);
    held["metadata"]["finalizers"] = json!(["shop.example/held"]);
    create(&mut lab, held.clone()).unwrap();
    let key = Key::cluster(Kind::Namespace, "new");
    edit(&mut lab, Edit::Delete { key, options: DeleteOptions::default() }).unwrap();
    held["metadata"]["name"] = json!("late");
    let refusal = create(&mut lab, held).unwrap_err();
    assert_eq!((refusal.code, refusal.more), (403, More::Ending("new".into())));
}

#[test]
fn what_a_pod_is_given_belongs_to_nobody() {
    let mut lab = Lab::new();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]}});
    create(&mut lab, pod.clone()).unwrap();
    let key = Key::new(Kind::Pod, "shop", "p");
    let there = lab.world.get(&key).unwrap().to_value();
    let owned = there["metadata"]["managedFields"].to_string();
    assert!(there["spec"]["volumes"][0]["name"].as_str().unwrap().starts_with("kube-api-access-"), "{there}");
    for given in ["kube-api-access", "f:volumeMounts", "f:tolerations", "f:serviceAccountName"] {
        assert!(!owned.contains(given), "{given} in {owned}");
    }
    // So apply may take over from the one who made it, as kubectl does it, and takes nothing away.
    let managed = Managed::from_bytes(owned.replace("\"Update\"", "\"Apply\"").as_bytes()).unwrap();
    let handed = Wish { managed: Some(managed), ..wish(there) };
    edit(&mut lab, Edit::Replace { wish: handed, if_version: None, if_uid: None }).unwrap();
    apply(&mut lab, "kubectl", pod, false).unwrap();
}

#[test]
fn own_annotations_are_not_for_the_taking() {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    lab.commit(1, alloc::vec![config("c", "1")]);
    let mut bare = lab.get(Kind::ConfigMap, "c").unwrap();
    bare["metadata"]["annotations"] = json!({"mine": "1", names::PRUNE: "false"});
    bare["metadata"]["labels"] = json!({});
    replace(&mut lab, bare).unwrap();
    let after = lab.get(Kind::ConfigMap, "c").unwrap();
    assert_eq!(after["metadata"]["labels"][names::SOURCE], "shop");
    assert!(after["metadata"]["annotations"][names::APPLIED].is_string());
    assert_eq!(after["metadata"]["annotations"]["mine"].to_string(), "\"1\"");
}

#[test]
fn a_service_gets_its_address_once() {
    let mut lab = Lab::new();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    create(&mut lab, service.clone()).unwrap();
    let there = lab.get(Kind::Service, "web").unwrap();
    let ip = there["spec"]["clusterIP"].as_str().unwrap().to_string();
    assert!(ip.starts_with("10.43."), "{ip}");
    replace(&mut lab, service.clone()).unwrap();
    let after = lab.get(Kind::Service, "web").unwrap();
    assert_eq!((&after["spec"], &after["metadata"]["generation"]), (&there["spec"], &there["metadata"]["generation"]));
    let mut other = service.clone();
    other["metadata"]["name"] = json!("other");
    other["spec"]["clusterIP"] = json!(ip);
    assert!(create(&mut lab, other).unwrap_err().message.contains("already allocated"));
    let mut moved = service;
    moved["spec"]["clusterIP"] = json!("10.43.9.9");
    assert!(replace(&mut lab, moved).unwrap_err().message.contains("immutable"));
}

fn role(name: &str, more: Value) -> Value {
    let mut value =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[test]
fn a_sum_of_roles_keeps_its_rules_whatever_is_written_over_it() {
    let mut lab = Lab::new();
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let part = json!({"metadata": {"name": "part", "labels": {"of": "all"}}, "rules": pods});
    create(&mut lab, role("part", part)).unwrap();
    let sum = |rules: Value, note: &str| {
        role(
            "all",
            json!({"metadata": {"name": "all", "annotations": {"note": note}}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"of": "all"}}]}}),
        )
    };
    create(&mut lab, sum(json!([]), "1")).unwrap();
    let rules = |lab: &Lab| lab.world.get(&Key::cluster(Kind::ClusterRole, "all")).unwrap().body_map()["rules"].clone();
    assert_eq!(rules(&lab), pods);
    // The very write keeps them, before its controller looks.
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let answer = lab.ask(Ask::Edit(Box::new(Edit::Replace {
        wish: wish(sum(everything, "2")),
        if_version: None,
        if_uid: None,
    })));
    assert!(answer.is_ok());
    assert_eq!(rules(&lab), pods);
    lab.settle();
    assert_eq!(rules(&lab), pods);
    apply(&mut lab, "me", sum(json!([]), "3"), true).unwrap();
    assert_eq!(rules(&lab), pods);
}

#[test]
fn a_binding_keeps_its_role() {
    let mut lab = Lab::new();
    let binding = |role: &str, user: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": "shop"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}]})
    };
    create(&mut lab, binding("view", "an")).unwrap();
    replace(&mut lab, binding("view", "bo")).unwrap();
    let there = lab.get(Kind::RoleBinding, "b").unwrap();
    assert_eq!(there["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io", "a user's group is filled in");
    assert!(there["metadata"].get("generation").is_none());
    let refused = replace(&mut lab, binding("admin", "bo")).unwrap_err();
    assert!(refused.code == 422 && refused.message.contains("cannot change roleRef"), "{}", refused.message);
}

/// A condition that somebody else than Evenkeel writes.
fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[test]
fn a_status_is_written_alone_and_what_controllers_count_stays() {
    let mut lab = Lab::new();
    create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    create(
        &mut lab,
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
    )
    .unwrap();
    create(
        &mut lab,
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"hard": {"pods": "9"}}}),
    )
    .unwrap();
    lab.pass(10);
    let (mine, mut wrong) = (condition("example.com/Mine"), condition(""));
    for (kind, field, own) in [
        (Kind::Deployment, "availableReplicas", "Available"),
        (Kind::ReplicaSet, "availableReplicas", "ReplicaFailure"),
        (Kind::Pod, "phase", "Ready"),
        (Kind::PodDisruptionBudget, "disruptionsAllowed", "DisruptionAllowed"),
        (Kind::Namespace, "phase", ""),
        (Kind::ResourceQuota, "used", ""),
    ] {
        let namespace = if kind == Kind::Namespace { "" } else { "shop" };
        let key = lab.world.list(kind, namespace).next().unwrap().key.clone();
        let before = lab.world.get(&key).unwrap().to_value();
        let mut next = before.clone();
        wrong["type"] = own.into();
        next["status"] = match kind {
            Kind::Pod => json!({"phase": "Failed", "message": "said by hand", "conditions": [mine, wrong]}),
            Kind::ResourceQuota => json!({"used": {"pods": "0"}}),
            Kind::Namespace => json!({"phase": "Terminating", "conditions": [mine]}),
            _ => json!({field: 99, "conditions": [mine, wrong]}),
        };
        next["metadata"]["labels"] = json!({"by": "hand"});
        next["spec"]["replicas"] = json!(0);
        // The agent that is made up here says its word over all of a pod's status at once.
        let wish = Wish { subresource: "status", dry_run: kind == Kind::Pod, ..wish(next) };
        let answer = edit(&mut lab, Edit::Replace { wish, if_version: None, if_uid: None }).unwrap();
        lab.pass(30);
        let after = match answer {
            Answer::Would(pod) => pod.to_value(),
            _ => lab.world.get(&key).unwrap().to_value(),
        };
        assert_eq!(after["status"][field], before["status"][field], "{key}");
        assert_eq!(after["spec"], before["spec"], "{key}");
        assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"], "{key}");
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"], "{key}");
        let conditions = after["status"]["conditions"].as_array().cloned().unwrap_or_default();
        assert_eq!(conditions.contains(&mine), kind != Kind::ResourceQuota, "{key}: {conditions:?}");
        assert!(!conditions.contains(&wrong), "{key}: {conditions:?}");
        if kind == Kind::Pod {
            assert_eq!(after["status"]["message"], "said by hand");
        }
    }
}

#[test]
fn by_apply_a_condition_is_its_managers_and_what_is_not_taken_has_no_owner() {
    let mut lab = Lab::new();
    create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    lab.pass(10);
    let key = Key::new(Kind::Deployment, "shop", "web");
    let other = condition("example.com/Other");
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "status": {"replicas": 99, "conditions": [other]}});
    let wish = Wish { subresource: "status", manager: "me".into(), ..wish(applied) };
    edit(&mut lab, Edit::Apply { wish, force: false, if_version: None }).unwrap();
    lab.pass(10);
    let after = lab.world.get(&key).unwrap().to_value();
    assert!(after["status"]["conditions"].as_array().unwrap().contains(&other), "{after:#}");
    let of_me = after["metadata"]["managedFields"].as_array().unwrap().iter().find(|m| m["manager"] == "me").unwrap();
    assert_eq!(of_me["subresource"], "status");
    assert!(of_me["fieldsV1"]["f:status"].get("f:replicas").is_none(), "{of_me}");
}

#[test]
fn a_request_for_a_certificate_is_decided_once_and_goes_after_a_while() {
    let mut lab = Lab::new();
    let request = |status: Value| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "an"},
            "spec": {"signerName": "example.com/own", "request": "Zg==", "usages": ["client auth"]}, "status": status})
    };
    let decided = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "reason": "R"}]});
    let part = |subresource, value: Value| {
        let wish = Wish { subresource, ..wish(value) };
        Edit::Replace { wish, if_version: None, if_uid: None }
    };
    let key = Key::cluster(Kind::CertificateSigningRequest, "an");
    let status = |lab: &Lab| lab.world.get(&key).unwrap().to_value()["status"].clone();
    create(&mut lab, request(decided("Approved"))).unwrap();
    assert_eq!(status(&lab), Value::Null, "nobody decides by making it");
    let mut other = request(json!({}));
    other["spec"]["usages"] = json!(["server auth"]);
    replace(&mut lab, other).unwrap();
    assert_eq!(lab.world.get(&key).unwrap().to_value()["spec"]["usages"], json!(["client auth"]));
    edit(&mut lab, part("status", request(decided("Approved")))).unwrap();
    assert!(status(&lab)["conditions"].is_null(), "a decision is written through `approval`");
    edit(&mut lab, part("approval", request(decided("Approved")))).unwrap();
    let first = status(&lab);
    assert!(first["conditions"][0]["lastUpdateTime"].is_string(), "{first}");
    for taken_back in [json!({}), decided("Denied")] {
        let refusal = edit(&mut lab, part("approval", request(taken_back))).unwrap_err();
        assert!(refusal.message.contains("may not remove a condition of type \"Approved\""), "{}", refusal.message);
    }
    let mut both = first.clone();
    both["conditions"].as_array_mut().unwrap().push(json!({"type": "Denied", "status": "True"}));
    let refusal = edit(&mut lab, part("approval", request(both))).unwrap_err();
    assert!(refusal.message.contains("mutually exclusive"), "{}", refusal.message);
    assert_eq!(status(&lab), first);
    edit(&mut lab, part("status", request(json!({"certificate": "Zg=="})))).unwrap();
    assert_eq!(status(&lab), json!({"certificate": "Zg==", "conditions": first["conditions"]}));
    lab.pass(3_000);
    assert!(lab.world.get(&key).is_some());
    lab.pass(1_300);
    assert!(lab.world.get(&key).is_none(), "an hour after its decision");
    create(&mut lab, request(json!({}))).unwrap();
    lab.pass(23 * 3_600);
    assert!(lab.world.get(&key).is_some());
    lab.pass(3_600 + 700);
    assert!(lab.world.get(&key).is_none(), "a day without one");
}

#[test]
fn a_request_is_decided_by_apply_as_well_and_once() {
    let mut lab = Lab::new();
    let request = |status: Value| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "an"},
            "spec": {"signerName": "example.com/own", "request": "Zg==", "usages": ["client auth"]}, "status": status})
    };
    let applied = |manager: &str, subresource, kind: &str| {
        let status = json!({"conditions": [{"type": kind, "status": "True", "reason": "R"}]});
        let wish = Wish { subresource, manager: manager.into(), ..wish(request(status)) };
        Edit::Apply { wish, force: false, if_version: None }
    };
    let key = Key::cluster(Kind::CertificateSigningRequest, "an");
    let types = |lab: &Lab| -> Vec<Value> {
        let status = lab.world.get(&key).unwrap().to_value()["status"].clone();
        status["conditions"].as_array().into_iter().flatten().map(|c| c["type"].clone()).collect()
    };
    create(&mut lab, request(json!({}))).unwrap();
    edit(&mut lab, applied("me", "status", "Approved")).unwrap();
    assert!(types(&lab).is_empty(), "a decision is written through `approval`");
    edit(&mut lab, applied("me", "approval", "Approved")).unwrap();
    assert_eq!(types(&lab), ["Approved"]);
    let first = &lab.world.get(&key).unwrap().to_value()["status"]["conditions"][0];
    assert!(first["lastUpdateTime"].is_string(), "{first}");
    // Neither by another word of the same manager nor by that of another one.
    for who in ["me", "you"] {
        assert_eq!(edit(&mut lab, applied(who, "approval", "Denied")).unwrap_err().code, 422);
    }
    assert_eq!(types(&lab), ["Approved"]);
}

#[test]
fn a_container_is_added_to_a_pod_by_apply() {
    let mut lab = Lab::new();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]}});
    create(&mut lab, pod).unwrap();
    let applied = |manager: &str, name: &str| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "other:1"}],
                "ephemeralContainers": [{"name": name, "image": "tools:1"}]}});
        let wish = Wish { subresource: "ephemeralcontainers", manager: manager.into(), ..wish(pod) };
        Edit::Apply { wish, force: false, if_version: None }
    };
    let key = Key::new(Kind::Pod, "shop", "p");
    edit(&mut lab, applied("me", "debug")).unwrap();
    edit(&mut lab, applied("you", "more")).unwrap();
    let pod = lab.world.get(&key).unwrap().to_value();
    let names: Vec<&Value> =
        pod["spec"]["ephemeralContainers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["debug", "more"]);
    assert_eq!(pod["spec"]["containers"][0]["image"], "web:1", "nothing else of it counts");
    let of_me = pod["metadata"]["managedFields"].as_array().unwrap().iter().find(|m| m["manager"] == "me").unwrap();
    assert_eq!((&of_me["subresource"], &of_me["operation"]), (&json!("ephemeralcontainers"), &json!("Apply")));
    // What was added stays: as in Kubernetes.
    assert_eq!(edit(&mut lab, applied("me", "another")).unwrap_err().code, 422);
    let none = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "none", "namespace": "shop"}});
    let wish = Wish { subresource: "ephemeralcontainers", ..wish(none) };
    assert_eq!(edit(&mut lab, Edit::Apply { wish, force: false, if_version: None }).unwrap_err().code, 404);
}
