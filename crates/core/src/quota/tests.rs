//! Quotas against a small cluster: what is refused, in which words, and what is used.
#![allow(clippy::needless_pass_by_value)] // so that tests read well

use alloc::boxed::Box;

use evenkeel_model::Key;
use serde_json::json;

use super::*;
use crate::{
    ask::{Answer, Ask, DeleteOptions},
    edit::{Edit, Wish},
    testing::{Lab, deployment, doc},
};

fn edit(lab: &mut Lab, edit: Edit) -> Result<Answer, String> {
    let answer = lab.ask(Ask::Edit(Box::new(edit)));
    lab.settle();
    answer.map_err(|r| {
        assert_eq!((r.code, r.reason), (403, "Forbidden"), "{}", r.message);
        r.message
    })
}

fn wish(value: Value) -> Wish {
    let key = Object::from_value(value.clone()).unwrap().key;
    Wish { key, value, manager: "kubectl".into(), subresource: "", dry_run: false, managed: None }
}

fn create(lab: &mut Lab, value: Value) -> Result<Answer, String> {
    edit(lab, Edit::Create(wish(value)))
}

fn replace(lab: &mut Lab, value: Value) -> Result<Answer, String> {
    edit(lab, Edit::Replace { wish: wish(value), if_version: None, if_uid: None })
}

fn quota(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "a", "image": "a:1", "resources": resources}]}})
}

fn service(name: &str, kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"type": kind, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}})
}

fn used(lab: &Lab, name: &str) -> Value {
    lab.get(Kind::ResourceQuota, name).unwrap()["status"]["used"].clone()
}

/// Events with their words.
fn told(lab: &Lab) -> Vec<String> {
    let text = |o: &Object, field: &str| o.body_map()[field].as_str().unwrap_or_default().to_string();
    lab.world.list(Kind::Event, "").map(|e| format!("{} {}", text(e, "reason"), text(e, "message"))).collect()
}

fn delete(lab: &mut Lab, kind: Kind, name: &str) {
    let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    edit(lab, Edit::Delete { key: Key::new(kind, "shop", name), options }).unwrap();
}

#[test]
fn what_is_too_much_is_refused_with_what_is_used() {
    let mut lab = Lab::new();
    let hard = json!({"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "count/deployments.apps": "1"});
    create(&mut lab, quota("all", json!({"hard": hard}))).unwrap();
    assert_eq!(
        used(&lab, "all"),
        json!({"pods": "0", "requests.cpu": "0", "limits.memory": "0", "count/deployments.apps": "0"})
    );
    assert_eq!(
        create(&mut lab, pod("a", json!({"requests": {"cpu": "1"}}))).unwrap_err(),
        "pods \"a\" is forbidden: failed quota: all: must specify limits.memory for: a"
    );
    let half = || json!({"requests": {"cpu": "400m"}, "limits": {"memory": "512Mi"}});
    create(&mut lab, pod("a", half())).unwrap();
    assert_eq!(
        create(&mut lab, pod("b", json!({"requests": {"cpu": "700m"}, "limits": {"memory": "600Mi"}}))).unwrap_err(),
        "pods \"b\" is forbidden: exceeded quota: all, requested: limits.memory=600Mi,requests.cpu=700m, used: \
         limits.memory=512Mi,requests.cpu=400m, limited: limits.memory=1Gi,requests.cpu=1"
    );
    create(&mut lab, pod("b", half())).unwrap();
    assert_eq!(used(&lab, "all")["limits.memory"], "1Gi");
    assert_eq!(used(&lab, "all")["requests.cpu"], "800m");
    let tiny = || json!({"requests": {"cpu": "1m"}, "limits": {"memory": "0"}});
    assert_eq!(
        create(&mut lab, pod("c", tiny())).unwrap_err(),
        "pods \"c\" is forbidden: exceeded quota: all, requested: pods=1, used: pods=2, limited: pods=2"
    );
    // What is gone leaves room, and another namespace has its own.
    delete(&mut lab, Kind::Pod, "a");
    assert_eq!(used(&lab, "all")["pods"], "1");
    create(&mut lab, pod("c", tiny())).unwrap();
    let mut elsewhere = pod("d", json!({}));
    elsewhere["metadata"]["namespace"] = "default".into();
    create(&mut lab, elsewhere).unwrap();
    create(&mut lab, deployment("one", "web:1", json!({"replicas": 0}))).unwrap();
    let refused = create(&mut lab, deployment("two", "web:1", json!({"replicas": 0}))).unwrap_err();
    assert!(refused.ends_with(
        "requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1"
    ));
}

#[test]
fn services_are_counted_with_their_ports() {
    let mut lab = Lab::new();
    let hard = json!({"services": "3", "services.nodeports": "2", "services.loadbalancers": "0"});
    create(&mut lab, quota("net", json!({"hard": hard}))).unwrap();
    create(&mut lab, service("a", "ClusterIP")).unwrap();
    create(&mut lab, service("b", "NodePort")).unwrap();
    assert_eq!(used(&lab, "net"), json!({"services": "2", "services.nodeports": "2", "services.loadbalancers": "0"}));
    let refused = create(&mut lab, service("c", "LoadBalancer")).unwrap_err();
    assert_eq!(
        refused,
        "services \"c\" is forbidden: exceeded quota: net, requested: services.loadbalancers=1,services.nodeports=2, \
         used: services.loadbalancers=0,services.nodeports=2, limited: services.loadbalancers=0,services.nodeports=2"
    );
    // A change asks for what it adds alone.
    let refused = replace(&mut lab, service("a", "NodePort")).unwrap_err();
    assert!(refused.contains("requested: services.nodeports=2, used: services.nodeports=2"), "{refused}");
    replace(&mut lab, service("b", "ClusterIP")).unwrap();
    replace(&mut lab, service("a", "NodePort")).unwrap();
    assert_eq!(used(&lab, "net")["services.nodeports"], "2");
}

#[test]
fn scopes_tell_pods_apart() {
    let mut lab = Lab::new();
    create(&mut lab, quota("idle", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}))).unwrap();
    create(&mut lab, quota("busy", json!({"hard": {"pods": "1"}, "scopes": ["NotBestEffort", "NotTerminating"]})))
        .unwrap();
    let none = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]});
    create(&mut lab, quota("high", json!({"hard": {"pods": "0"}, "scopeSelector": none}))).unwrap();
    create(&mut lab, quota("ended", json!({"hard": {"pods": "0"}, "scopes": ["Terminating"]}))).unwrap();
    create(&mut lab, pod("a", json!({}))).unwrap();
    create(&mut lab, pod("b", json!({"requests": {"cpu": "1m"}}))).unwrap();
    for name in ["idle", "busy"] {
        assert_eq!(used(&lab, name), json!({"pods": "1"}));
    }
    assert!(create(&mut lab, pod("c", json!({}))).unwrap_err().contains("exceeded quota: idle"));
    let more = create(&mut lab, pod("c", json!({"limits": {"memory": "1Mi"}}))).unwrap_err();
    assert!(more.contains("exceeded quota: busy"), "{more}");
}

#[test]
fn a_deployment_says_why_its_pods_are_not_made_and_goes_on_when_there_is_room() {
    let mut lab = Lab::new();
    create(&mut lab, quota("few", json!({"hard": {"pods": "2"}}))).unwrap();
    create(&mut lab, deployment("web", "web:1", json!({"replicas": 4}))).unwrap();
    assert_eq!(lab.world.count(Kind::Pod), 2);
    let set = lab.world.list(Kind::ReplicaSet, "shop").next().unwrap().key.clone();
    let failure = |lab: &Lab| {
        let status: Value = lab.world.get(&set).unwrap().status().unwrap().unwrap();
        status["conditions"][0].clone()
    };
    let condition = failure(&lab);
    assert_eq!(condition["reason"], "FailedCreate");
    let message = condition["message"].as_str().unwrap().to_string();
    assert!(message.starts_with(&format!("pods \"{}-", set.name)), "{message}");
    let why = " is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2";
    assert!(message.ends_with(why), "{message}");
    let events = told(&lab).into_iter().filter(|e| e.contains("FailedCreate Error creating")).count();
    assert!((1..=3).contains(&events), "{:?}", told(&lab));
    let web = lab.get(Kind::Deployment, "web").unwrap();
    let told = web["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "ReplicaFailure");
    assert_eq!(told.unwrap()["message"], message);
    // Looking again is no news.
    let version = lab.world.version;
    lab.mark_everything();
    lab.settle();
    assert_eq!(lab.world.version, version);
    // Room that another's end leaves, and room that is given.
    replace(&mut lab, quota("few", json!({"hard": {"pods": "3"}}))).unwrap();
    assert_eq!(lab.world.count(Kind::Pod), 3);
    replace(&mut lab, quota("few", json!({"hard": {"pods": "9"}}))).unwrap();
    assert_eq!(lab.world.count(Kind::Pod), 4);
    assert_eq!(failure(&lab), Value::Null);
    assert_eq!(used(&lab, "few"), json!({"pods": "4"}));
}

#[test]
fn a_set_that_waits_gets_the_room_that_another_leaves() {
    let mut lab = Lab::new();
    create(&mut lab, quota("few", json!({"hard": {"pods": "2"}}))).unwrap();
    create(&mut lab, deployment("one", "web:1", json!({"replicas": 2}))).unwrap();
    create(&mut lab, deployment("two", "web:2", json!({"replicas": 1}))).unwrap();
    let of = |lab: &Lab, name: &str| lab.world.list(Kind::Pod, "shop").filter(|p| p.key.name.starts_with(name)).count();
    assert_eq!((of(&lab, "one-"), of(&lab, "two-")), (2, 0));
    replace(&mut lab, deployment("one", "web:1", json!({"replicas": 1}))).unwrap();
    assert_eq!((of(&lab, "one-"), of(&lab, "two-")), (1, 1));
}

#[test]
fn limits_hold_for_pods_of_templates_too() {
    let mut lab = Lab::new();
    let range = |max: &str| {
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds", "namespace": "shop"},
            "spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"},
                "max": {"cpu": max}}]}})
    };
    create(&mut lab, range("300m")).unwrap();
    create(&mut lab, deployment("web", "web:1", json!({}))).unwrap();
    let made = lab.world.list(Kind::Pod, "shop").next().unwrap().clone();
    let resources = made.body_map()["spec"]["containers"][0]["resources"].clone();
    assert_eq!(resources["limits"], json!({"cpu": "200m"}));
    assert!(made.meta.annotation("kubernetes.io/limit-ranger").unwrap().contains("cpu limit for container"));
    // Another template that asks for too much.
    let mut big = deployment("big", "web:1", json!({}));
    big["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
    create(&mut lab, big).unwrap();
    let of_big = |lab: &Lab| lab.world.list(Kind::Pod, "shop").filter(|p| p.key.name.starts_with("big-")).count();
    assert_eq!(of_big(&lab), 0);
    let told = told(&lab).join("\n");
    let words = "is forbidden: maximum cpu usage per Container is 300m, but limit is 1";
    assert!(told.contains(words), "{told}");
    replace(&mut lab, range("2")).unwrap();
    assert!(of_big(&lab) > 0);
    assert_eq!(
        create(&mut lab, pod("p", json!({"limits": {"cpu": "3"}}))).unwrap_err(),
        "pods \"p\" is forbidden: maximum cpu usage per Container is 2, but limit is 3"
    );
}

#[test]
fn what_a_source_wants_waits_for_room() {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    let map = |name: &str| {
        doc(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"},
            "data": {}}))
    };
    let bound = |n: usize| doc(quota("few", json!({"hard": {"count/configmaps": n.to_string()}})));
    let given = lab.world.list(Kind::ConfigMap, "shop").count();
    lab.commit(1, alloc::vec![bound(given + 1), map("a"), map("b")]);
    lab.settle();
    assert_eq!(lab.world.list(Kind::ConfigMap, "shop").count(), given + 1);
    assert!(told(&lab).iter().any(|e| e.contains("CannotWrite") && e.contains("exceeded quota: few")));
    lab.commit(2, alloc::vec![bound(given + 2), map("a"), map("b")]);
    lab.settle();
    lab.pass(30);
    assert_eq!(lab.world.list(Kind::ConfigMap, "shop").count(), given + 2);
}

#[test]
fn a_pod_that_nobody_ends_counts_no_longer_than_its_time() {
    let mut lab = Lab::new();
    create(&mut lab, quota("few", json!({"hard": {"pods": "1"}}))).unwrap();
    create(&mut lab, pod("a", json!({}))).unwrap();
    // Its node never says that it is gone.
    let mut going = Object::clone(lab.world.get(&Key::new(Kind::Pod, "shop", "a")).unwrap());
    going.meta.deletion = Some(evenkeel_model::meta::Deletion { at: lab.now, grace_seconds: 30 });
    lab.change(crate::Change::Put(Arc::new(going)));
    let next = Object::from_value(pod("b", json!({}))).unwrap();
    let at = |secs: u64| admit(&lab.world, None, &next, lab.now + core::time::Duration::from_secs(secs));
    assert!(at(0).is_err() && at(30).is_err());
    assert_eq!(at(31), Ok(()));
    let shop: Arc<str> = "shop".into();
    assert_eq!(lab.world.quotas.next_lapse(&shop, lab.now), Some(lab.now + core::time::Duration::from_secs(30)));
    // Then it goes after all, and counts once.
    lab.settle();
    assert_eq!(used(&lab, "few"), json!({"pods": "0"}));
    assert_eq!(lab.world.quotas.next_lapse(&shop, lab.now), None);
}
