//! Definitions from their making to their end, with the objects of their kinds.

use evenkeel_model::Version;
use serde_json::json;

use super::*;
use crate::{
    ask::{Answer, Ask, DeleteOptions, Refusal},
    controllers::testkit::Cluster,
    edit::{Edit, Wish},
};

fn crd(plural: &str, kind: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}},
                        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}}}}}},
                {"name": "v1beta1", "served": true, "storage": false, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}})
}

fn wish(key: Key, value: Value) -> Wish {
    Wish { key, value, manager: "test".into(), subresource: "", dry_run: false, managed: None }
}

fn edit(c: &mut Cluster, edit: Edit) -> Result<Answer, Refusal> {
    let answer = c.with(|world, cx| crate::ask::handle(world, &Ask::Edit(alloc::boxed::Box::new(edit)), "an", cx));
    c.settle();
    answer
}

fn define(c: &mut Cluster, plural: &str, kind: &str) -> Key {
    let key = Key::cluster(Kind::CustomResourceDefinition, format!("{plural}.example.com"));
    edit(c, Edit::Create(wish(key.clone(), crd(plural, kind)))).unwrap();
    key
}

fn widget(c: &Cluster, version: &str, name: &str) -> Key {
    let kind = c.world.customs.of(&format!("example.com/{version}"), "Widget").unwrap();
    Key::new(kind, "default", name)
}

fn make(c: &mut Cluster, key: &Key) -> Result<Answer, Refusal> {
    let version = key.kind.info().api_version();
    let value = json!({"apiVersion": version, "kind": "Widget", "metadata": {"name": key.name}, "spec": {}});
    edit(c, Edit::Create(wish(key.clone(), value)))
}

fn finalizers(c: &Cluster, key: &Key) -> Vec<String> {
    c.world.get(key).unwrap().meta.finalizers.to_vec()
}

#[test]
fn a_definition_comes_into_force_at_once() {
    let mut c = Cluster::new(&[]);
    let key = define(&mut c, "widgets", "Widget");
    let object = c.world.get(&key).unwrap();
    assert!(is(object, "NamesAccepted") && is(object, ESTABLISHED));
    let status: Value = object.status().unwrap().unwrap();
    assert_eq!(status["storedVersions"], json!(["v1"]));
    assert_eq!(status["acceptedNames"]["singular"], "widget");
    assert_eq!(finalizers(&c, &key), [CLEANUP]);
    let old = widget(&c, "v1beta1", "a");
    make(&mut c, &old).unwrap();
    // Whatever version it was made in, it is kept in one and found by each.
    let kept = c.world.get(&widget(&c, "v1", "a")).unwrap();
    assert_eq!(kept.key.kind.info().version, "v1");
    assert_eq!(kept.meta.generation, 1);
}

#[test]
fn the_status_is_written_apart_and_steps_no_generation() {
    let mut c = Cluster::new(&[]);
    define(&mut c, "widgets", "Widget");
    let key = widget(&c, "v1", "a");
    make(&mut c, &key).unwrap();
    let uid = c.world.get(&key).unwrap().uid.to_string();
    let value = |size: i64, ready: bool| {
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "uid": uid},
            "spec": {"size": size}, "status": {"ready": ready}})
    };
    let status = Wish { subresource: "status", ..wish(key.clone(), value(7, true)) };
    edit(&mut c, Edit::Replace { wish: status, if_version: None, if_uid: None }).unwrap();
    let seen = c.world.get(&key).unwrap().to_value();
    assert_eq!((&seen["spec"]["size"], &seen["status"]["ready"]), (&json!(1), &json!(true)));
    assert_eq!(seen["metadata"]["generation"], 1);
    edit(&mut c, Edit::Replace { wish: wish(key.clone(), value(7, false)), if_version: None, if_uid: None }).unwrap();
    let seen = c.world.get(&key).unwrap().to_value();
    assert_eq!((&seen["spec"]["size"], &seen["status"]["ready"]), (&json!(7), &json!(true)));
    assert_eq!(seen["metadata"]["generation"], 2);
    let applied = Wish { subresource: "status", manager: "controller".into(), ..wish(key.clone(), value(9, false)) };
    let refused = edit(&mut c, Edit::Apply { wish: applied.clone(), force: false, if_version: None }).unwrap_err();
    assert!(refused.message.contains("status.ready"), "{}", refused.message);
    edit(&mut c, Edit::Apply { wish: applied, force: true, if_version: None }).unwrap();
    let seen = c.world.get(&key).unwrap().to_value();
    assert_eq!((&seen["spec"]["size"], &seen["status"]["ready"]), (&json!(7), &json!(false)));
    let bad =
        Wish { subresource: "status", ..wish(key, json!({"status": {"ready": "yes"}, "metadata": {"name": "a"}})) };
    let refused = edit(&mut c, Edit::Replace { wish: bad, if_version: Some(Version(0)), if_uid: None }).unwrap_err();
    assert_eq!(refused.code, 409, "{}", refused.message);
}

#[test]
fn who_comes_second_waits_for_the_name() {
    let mut c = Cluster::new(&[]);
    let first = define(&mut c, "widgets", "Widget");
    let second = define(&mut c, "gadgets", "Widget");
    let object = c.world.get(&second).unwrap();
    assert!(!is(object, ESTABLISHED));
    let status: Value = object.status().unwrap().unwrap();
    assert_eq!(status["conditions"][0]["reason"], "SingularConflict");
    assert_eq!(status["conditions"][0]["message"], "\"widget\" is already in use");
    assert_eq!(c.world.customs.iter().count(), 1);
    edit(&mut c, Edit::Delete { key: first.clone(), options: DeleteOptions::default() }).unwrap();
    assert!(c.world.get(&first).is_none());
    assert!(is(c.world.get(&second).unwrap(), ESTABLISHED));
}

#[test]
fn the_end_of_a_definition_takes_its_objects_first() {
    let mut c = Cluster::new(&[]);
    let key = define(&mut c, "widgets", "Widget");
    let (held, free) = (widget(&c, "v1", "held"), widget(&c, "v1", "free"));
    make(&mut c, &free).unwrap();
    make(&mut c, &held).unwrap();
    let mut object = Object::clone(c.world.get(&held).unwrap());
    object.meta.finalizers = ["example.com/hold".to_string()].into();
    c.with(|_, cx| cx.put(object));
    edit(&mut c, Edit::Delete { key: key.clone(), options: DeleteOptions::default() }).unwrap();
    assert!(c.world.get(&free).is_none());
    assert!(c.world.get(&held).unwrap().deleting());
    assert!(is(c.world.get(&key).unwrap(), "Terminating"));
    let refused = make(&mut c, &free).unwrap_err();
    assert!(refused.message.contains("create not allowed while custom resource definition is terminating"));
    c.with(|_, cx| cx.delete(held.clone()));
    c.settle();
    assert!(c.world.get(&key).is_none());
    assert!(c.world.customs.is_empty());
}

#[test]
fn dependents_of_custom_objects_go_with_them() {
    let mut c = Cluster::new(&[]);
    let definition = define(&mut c, "widgets", "Widget");
    let key = widget(&c, "v1", "a");
    make(&mut c, &key).unwrap();
    let uid = c.world.get(&key).unwrap().uid;
    let map = Key::new(Kind::ConfigMap, "default", "c");
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "ownerReferences": [
        {"apiVersion": "example.com/v1beta1", "kind": "Widget", "name": "a", "uid": uid}]}});
    edit(&mut c, Edit::Create(wish(map.clone(), value))).unwrap();
    assert!(c.world.get(&map).is_some());
    edit(&mut c, Edit::Delete { key: definition, options: DeleteOptions::default() }).unwrap();
    assert!(c.world.get(&key).is_none() && c.world.get(&map).is_none());
}

#[test]
fn what_a_definition_is_stays() {
    let mut c = Cluster::new(&[]);
    let key = define(&mut c, "widgets", "Widget");
    for (pointer, to, why) in [
        ("/spec/scope", json!("Cluster"), "spec.scope: Invalid value: \"Cluster\": field is immutable"),
        ("/spec/names/kind", json!("Other"), "spec.names.kind: Invalid value: \"Other\": field is immutable"),
        (
            "/spec/versions/0/name",
            json!("v2"),
            "status.storedVersions[0]: Invalid value: \"v1\": must appear in spec.versions",
        ),
    ] {
        let mut value = crd("widgets", "Widget");
        *value.pointer_mut(pointer).unwrap() = to;
        let replace = Edit::Replace { wish: wish(key.clone(), value), if_version: None, if_uid: None };
        let refused = edit(&mut c, replace).unwrap_err();
        assert!(refused.message.contains(why), "{}", refused.message);
    }
}

#[test]
fn custom_objects_live_in_their_namespace() {
    let mut c = Cluster::new(&[]);
    define(&mut c, "widgets", "Widget");
    let key = widget(&c, "v1", "a");
    let living = |c: &Cluster| crate::release::living_in(&c.world, "default").any(|o| o.key == key);
    assert!(!living(&c));
    make(&mut c, &key).unwrap();
    assert!(living(&c), "a source that gives up the namespace leaves it there");
}
