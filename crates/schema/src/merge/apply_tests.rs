//! Server-side apply by Kubernetes' documented examples, and its laws as properties.

use std::{string::ToString, vec};

use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{diff::diff, testing::deployment, walk::same},
    *,
};

fn by(manager: &str, force: bool, secs: i64) -> Apply<'_> {
    Apply { manager, force, time: Time::from_secs(secs), exclude: FieldSet::EMPTY, subresource: "" }
}

fn create(config: &Value, manager: &str) -> Applied {
    apply(deployment(), &Value::Null, &Managed::default(), config, &by(manager, false, 1)).unwrap()
}

fn again(at: &Applied, config: &Value, by: &Apply<'_>) -> Result<Applied, Conflicts> {
    apply(deployment(), &at.value, &at.managed, config, by)
}

/// A write by `kubectl edit` or a controller.
fn edited(at: &Applied, manager: &str, edit: impl FnOnce(&mut Value)) -> Applied {
    let mut value = at.value.clone();
    edit(&mut value);
    let by = Update { manager, time: Time::from_secs(50), subresource: "" };
    let owners = update(deployment(), &at.value, &value, &at.managed, &by);
    Applied { value, managed: owners, changed: true }
}

#[allow(clippy::needless_pass_by_value)] // a tree made in place reads better as a value
fn config(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

#[allow(clippy::needless_pass_by_value)] // as above
fn containers(list: Value) -> Value {
    config(json!({"template": {"spec": {"containers": list}}}))
}

fn fields(at: &Applied, manager: &str) -> Value {
    at.managed.0.iter().find(|e| e.manager == manager).map_or(Value::Null, |e| e.fields.to_fields_v1())
}

#[test]
fn a_field_no_longer_set_goes_unless_another_owns_it() {
    let both = config(json!({"replicas": 3, "paused": "x"}));
    let one = create(&both, "a");
    assert_eq!(one.value, both);
    assert_eq!(fields(&one, "a"), json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}));
    // The other applier says the same: both own it, no conflict.
    let two = again(&one, &config(json!({"replicas": 3})), &by("b", false, 2)).unwrap();
    assert!(two.changed);
    assert_eq!(two.value, one.value);
    // `a` gives both up: `paused` goes, `replicas` stays with `b`.
    let three = again(&two, &config(json!({"strategy": {"type": "Recreate"}})), &by("a", false, 3)).unwrap();
    assert_eq!(three.value, config(json!({"replicas": 3, "strategy": {"type": "Recreate"}})));
    assert_eq!(fields(&three, "b"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn conflicts_name_path_and_manager_and_force_takes() {
    let one = create(&config(json!({"replicas": 3, "paused": "x"})), "a");
    let two = edited(&one, "kube-scaler", |v| v["spec"]["replicas"] = json!(5));
    assert_eq!(fields(&two, "a"), json!({"f:spec": {"f:paused": {}}}));
    let conflict = again(&two, &config(json!({"replicas": 3})), &by("a", false, 3)).unwrap_err();
    assert_eq!(
        conflict.to_string(),
        r#"Apply failed with 1 conflict: conflict with "kube-scaler" using apps/v1: .spec.replicas"#
    );
    let conflicts = again(&one, &config(json!({"replicas": 4, "paused": "y"})), &by("b", false, 3)).unwrap_err();
    assert_eq!(
        conflicts.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas"
    );
    let forced = again(&two, &config(json!({"replicas": 3})), &by("a", true, 3)).unwrap();
    assert_eq!(forced.value, config(json!({"replicas": 3})));
    assert_eq!(fields(&forced, "kube-scaler"), Value::Null);
}

#[test]
fn handing_over_a_field_as_the_documentation_shows() {
    // "Transferring ownership": the applier drops `replicas` after the autoscaler took it.
    let one = create(&config(json!({"replicas": 1, "paused": "x"})), "a");
    let two = edited(&one, "hpa", |v| v["spec"]["replicas"] = json!(7));
    let three = again(&two, &config(json!({"paused": "x"})), &by("a", false, 3)).unwrap();
    assert_eq!(three.value["spec"]["replicas"], json!(7));
    // Dropped before anyone else took it, it goes, and the default comes back.
    let gone = again(&one, &config(json!({"paused": "x"})), &by("a", false, 3)).unwrap();
    assert_eq!(gone.value, config(json!({"paused": "x"})));
}

#[test]
fn list_items_merge_by_key_and_order_follows_the_configuration() {
    let one = create(&containers(json!([{"name": "a", "image": "1"}, {"name": "b"}])), "s");
    let two = edited(&one, "injector", |v| {
        let list = v["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
        list.insert(0, json!({"name": "side", "image": "s"}));
        list[1]["imagePullPolicy"] = json!("Always");
    });
    let three = again(
        &two,
        &containers(json!([{"name": "b"}, {"name": "c"}, {"name": "a", "image": "2"}])),
        &by("s", false, 3),
    )
    .unwrap();
    assert_eq!(
        three.value,
        containers(json!([{"name": "side", "image": "s"}, {"name": "b"}, {"name": "c"},
            {"name": "a", "image": "2", "imagePullPolicy": "Always"}]))
    );
    // An item goes as a whole, with what others set in it.
    let four = again(&three, &containers(json!([{"name": "b"}])), &by("s", false, 4)).unwrap();
    assert_eq!(four.value, containers(json!([{"name": "side", "image": "s"}, {"name": "b"}])));
    assert_eq!(
        fields(&four, "injector"),
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"side\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}})
    );
}

#[test]
fn ports_without_protocol_are_tcp_ports() {
    let one = create(&containers(json!([{"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}])), "s");
    let defaulted = edited(&one, "defaults", |v| {
        v["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = json!("TCP");
    });
    let two = again(
        &defaulted,
        &containers(json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}]}])),
        &by("s", true, 2),
    )
    .unwrap();
    assert_eq!(
        two.value["spec"]["template"]["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "name": "y", "protocol": "TCP"}])
    );
}

#[test]
fn sets_maps_and_atomics() {
    let with = |finalizers: Value, labels: Value, selector: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": labels, "finalizers": finalizers},
            "spec": {"selector": {"matchLabels": selector}}})
    };
    let one = create(&with(json!(["x", "y"]), json!({"a": "1", "b": "2"}), json!({"p": "1", "q": "2"})), "s");
    let two = edited(&one, "other", |v| {
        v["metadata"]["finalizers"] = json!(["z", "x", "y"]);
        v["metadata"]["labels"]["c"] = json!("3");
    });
    let three =
        again(&two, &with(json!(["y", "w"]), json!({"a": "9"}), json!({"p": "1"})), &by("s", false, 3)).unwrap();
    assert_eq!(three.value, with(json!(["z", "y", "w"]), json!({"a": "9", "c": "3"}), json!({"p": "1"})));
    // The last one leaves the others' entries; a map with nobody's entries goes.
    let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let four = again(&three, &bare, &by("s", false, 4)).unwrap();
    assert_eq!(four.value["metadata"], json!({"name": "web", "labels": {"c": "3"}, "finalizers": ["z"]}));
    assert_eq!(four.value.get("spec"), None);
    assert_eq!(again(&one, &bare, &by("s", false, 4)).unwrap().value, bare);
}

#[test]
fn a_choice_drops_the_defaults_of_what_was_chosen_before() {
    let one = create(&config(json!({"strategy": {"type": "RollingUpdate"}})), "s");
    let mut defaulted = one.clone();
    defaulted.value["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": "25%"});
    let same = again(&defaulted, &config(json!({"strategy": {"type": "RollingUpdate"}})), &by("s", false, 2)).unwrap();
    assert!(!same.changed);
    let two = again(&defaulted, &config(json!({"strategy": {"type": "Recreate"}})), &by("s", false, 2)).unwrap();
    assert_eq!(two.value, config(json!({"strategy": {"type": "Recreate"}})));
    // A struct that nobody owns a field of goes with its defaults.
    let three = again(&defaulted, &config(json!({"replicas": 1})), &by("s", false, 2)).unwrap();
    assert_eq!(three.value, config(json!({"replicas": 1})));
}

#[test]
fn what_means_the_same_is_no_change() {
    let limits = |cpu: Value| {
        containers(json!([{"name": "a", "resources": {"limits": {"cpu": cpu}},
        "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]}]))
    };
    let one = create(&limits(json!("1000m")), "s");
    let mut stored = one.clone();
    let c = &mut stored.value["spec"]["template"]["spec"]["containers"][0];
    c["resources"]["limits"]["cpu"] = json!("1");
    c["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");
    let two = again(&stored, &limits(json!(1)), &by("s", false, 9)).unwrap();
    assert!(!two.changed);
    assert_eq!(two.value, stored.value);
    assert_eq!(two.managed.to_bytes(), stored.managed.to_bytes());
    assert_eq!(diff(deployment(), &limits(json!("1000m")), &stored.value, FieldSet::EMPTY), []);
}

#[test]
fn excluded_paths_are_neither_written_nor_owned_nor_removed() {
    let exclude: FieldSet = [FieldPath::of_fields(&["spec", "replicas"])].into_iter().collect();
    let one = create(&config(json!({"replicas": 3, "paused": "x"})), "s");
    let two = edited(&one, "hpa", |v| v["spec"]["replicas"] = json!(9));
    let leave = Apply { exclude: &exclude, ..by("s", false, 3) };
    let three = again(&two, &config(json!({"replicas": 3, "paused": "y"})), &leave).unwrap();
    assert_eq!(three.value, config(json!({"replicas": 9, "paused": "y"})));
    assert_eq!(fields(&three, "s"), json!({"f:spec": {"f:paused": {}}}));
    // Even where the source owned it and drops it now.
    let four = again(&one, &config(json!({"paused": "x"})), &leave).unwrap();
    assert_eq!(four.value["spec"]["replicas"], json!(3));
    assert_eq!(fields(&four, "s"), json!({"f:spec": {"f:paused": {}}}));
}

#[test]
fn a_key_twice_makes_the_list_one_piece() {
    let one = create(&containers(json!([{"name": "a", "image": "1"}, {"name": "a", "image": "2"}])), "s");
    let two = again(&one, &containers(json!([{"name": "a", "image": "1"}])), &by("s", false, 2)).unwrap();
    assert_eq!(two.value, containers(json!([{"name": "a", "image": "1"}])));
    let three = again(&two, &containers(json!([{"name": "b"}])), &by("s", false, 3)).unwrap();
    assert_eq!(three.value, containers(json!([{"name": "b"}])));
}

#[test]
fn status_and_identity_have_no_owner_but_through_their_subresource() {
    let old = config(json!({"replicas": 1}));
    let mut new = old.clone();
    new["status"] = json!({"replicas": 1});
    new["metadata"]["uid"] = json!("u");
    let through = |subresource| Update { manager: "m", time: Time::from_secs(1), subresource };
    assert_eq!(update(deployment(), &old, &new, &Managed::default(), &through("")), Managed::default());
    let managed = update(deployment(), &old, &new, &Managed::default(), &through("status"));
    assert_eq!(managed.0[0].fields.to_fields_v1(), json!({"f:status": {"f:replicas": {}}}));
    assert_eq!(managed.0[0].subresource, "status");
}

#[test]
fn null_is_absence_and_an_empty_choice_is_owned() {
    let volumes = |v: Value| config(json!({"paused": null, "template": {"spec": {"volumes": [v]}}}));
    let one = create(&volumes(json!({"name": "v", "emptyDir": {"sizeLimit": null}})), "s");
    assert_eq!(one.value, config(json!({"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}})));
    let two = again(&one, &volumes(json!({"name": "v", "configMap": {"name": "c"}})), &by("s", false, 2)).unwrap();
    assert_eq!(
        two.value,
        config(json!({"template": {"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}}}))
    );
    let three = again(&two, &volumes(json!({"name": "v", "emptyDir": {}})), &by("s", false, 3)).unwrap();
    assert_eq!(three.value, one.value);
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!("x")), Just(json!("y"))]
}

fn map() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-c]", text(), 0..3).prop_map(|m| json!(m))
}

fn optional(pairs: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    pairs
        .into_iter()
        .fold(Just(Map::new()).boxed(), |all, (name, value)| {
            (all, proptest::option::of(value))
                .prop_map(move |(mut all, v)| {
                    if let Some(v) = v {
                        all.insert(name.into(), v);
                    }
                    all
                })
                .boxed()
        })
        .prop_map(Value::Object)
        .boxed()
}

fn keyed(key: &'static str, rest: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let items = proptest::collection::btree_map("[a-d]", rest, 0..4).prop_map(move |m| {
        m.into_iter()
            .map(|(name, mut v)| {
                v[key] = json!(name);
                v
            })
            .collect::<Vec<_>>()
    });
    items.prop_shuffle().prop_map(Value::Array).boxed()
}

fn configs() -> impl Strategy<Value = Value> {
    let cpu = prop_oneof![Just(json!("1")), Just(json!("1000m")), Just(json!(2))];
    let limits =
        optional(vec![("limits", proptest::collection::btree_map("[a-b]", cpu, 0..2).prop_map(|m| json!(m)).boxed())]);
    let container = optional(vec![
        ("image", text().boxed()),
        ("command", proptest::collection::vec(text(), 0..3).prop_map(Value::Array).boxed()),
        ("env", keyed("name", optional(vec![("value", text().boxed())]))),
        ("resources", limits),
    ]);
    let volume = optional(vec![
        ("emptyDir", optional(vec![("medium", text().boxed())])),
        ("configMap", optional(vec![("name", text().boxed())])),
    ]);
    let finalizers =
        proptest::collection::btree_set("[a-c]", 0..3).prop_map(|s| s.into_iter().collect::<Vec<_>>()).prop_shuffle();
    let pod = optional(vec![
        ("containers", keyed("name", container)),
        ("volumes", keyed("name", volume)),
        ("nodeSelector", map().boxed()),
    ]);
    let spec = optional(vec![
        ("replicas", (0..3).prop_map(|n| json!(n)).boxed()),
        ("selector", optional(vec![("matchLabels", map().boxed())])),
        (
            "strategy",
            optional(vec![("type", text().boxed()), ("rollingUpdate", optional(vec![("maxSurge", text().boxed())]))]),
        ),
        ("template", optional(vec![("spec", pod)])),
    ]);
    (optional(vec![("labels", map().boxed()), ("finalizers", finalizers.prop_map(|f| json!(f)).boxed())]), spec)
        .prop_map(|(mut m, spec)| {
            m["name"] = json!("web");
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": m, "spec": spec})
        })
}

/// An object with a history: another applier, an edit.
fn worlds() -> impl Strategy<Value = Applied> {
    (configs(), configs()).prop_map(|(a, b)| edited(&create(&a, "other"), "editor", |v| *v = b))
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(at in worlds(), c in configs()) {
        let one = again(&at, &c, &by("s", true, 60)).unwrap();
        let two = again(&one, &c, &by("s", false, 70)).unwrap();
        prop_assert!(!two.changed);
        prop_assert_eq!(&two.value, &one.value);
        prop_assert_eq!(two.managed.to_bytes(), one.managed.to_bytes());
    }

    #[test]
    fn what_was_applied_does_not_differ(at in worlds(), a in configs(), b in configs()) {
        let one = again(&at, &a, &by("s", true, 60)).unwrap();
        let two = again(&one, &b, &by("s", true, 70)).unwrap();
        prop_assert_eq!(diff(deployment(), &a, &one.value, FieldSet::EMPTY), []);
        prop_assert_eq!(diff(deployment(), &b, &two.value, FieldSet::EMPTY), []);
    }

    #[test]
    fn applying_again_after_a_removal_restores(a in configs(), b in configs()) {
        let one = create(&a, "s");
        let back = again(&again(&one, &b, &by("s", false, 2)).unwrap(), &a, &by("s", false, 3)).unwrap();
        prop_assert!(same(Some(deployment()), Some(&back.value), Some(&one.value)), "{} {}", back.value, one.value);
        prop_assert_eq!(fields(&back, "s"), fields(&one, "s"));
    }

    #[test]
    fn nobody_owns_what_another_set_otherwise(at in worlds(), a in configs(), b in configs()) {
        let one = again(&at, &a, &by("a", true, 60)).unwrap();
        let two = again(&one, &b, &by("b", true, 70)).unwrap();
        let everything = to_set(Some(deployment()), &two.value);
        for entry in &two.managed.0 {
            // An applier owns only what is there and as it set it.
            for path in entry.fields.intersection(&everything).paths() {
                if entry.manager == "a" {
                    let (mine, live) = (path.get(&a).unwrap(), path.get(&two.value));
                    if !live.unwrap().is_object() {
                        prop_assert!(same(None::<super::super::testing::Node>, Some(mine), live) || path.to_string().contains("limits"));
                    }
                }
            }
        }
    }

    #[test]
    fn without_force_it_is_refused_or_the_same(at in worlds(), c in configs()) {
        let forced = again(&at, &c, &by("s", true, 60)).unwrap();
        match again(&at, &c, &by("s", false, 60)) {
            Ok(free) => prop_assert_eq!(free, forced),
            Err(conflicts) => prop_assert!(!conflicts.0.is_empty()),
        }
    }
}
