//! Custom resources by the real `kubectl` and through git: a definition comes into force, its objects are
//! checked, shown, scaled, healed and rolled back as any, live through a kill, and go with it.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use serde_json::{Value, json};

use crate::support::{Cluster, eventually, output};

/// A definition in the shape of many: two versions, columns, subresources, a list known by a key.
pub fn crd() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "required": ["engine"], "properties": {
            "engine": {"type": "string", "enum": ["postgres", "mysql"], "description": "Which engine serves."},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
            "users": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "role": {"type": "string", "default": "reader"}}}}}},
        "status": {"type": "object", "properties": {
            "ready": {"type": "boolean"}, "replicas": {"type": "integer"}}}}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {},
                "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
            "selectableFields": [{"jsonPath": ".spec.engine"}, {"jsonPath": ".status.ready"}],
            "additionalPrinterColumns": [{"name": "Engine", "type": "string", "jsonPath": ".spec.engine"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}]})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "databases.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Database", "plural": "databases", "shortNames": ["db"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1beta1", false)]}})
}

pub fn database(engine: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "main", "namespace": "default"},
        "spec": {"engine": engine, "users": [{"name": "an"}]}})
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn file(cluster: &Cluster, name: &str, value: &Value) -> String {
    let path = cluster.dir.path().join(name);
    fs::write(&path, value.to_string()).unwrap();
    path.to_str().unwrap().to_string()
}

fn refused(cluster: &Cluster, args: &[&str], words: &str) {
    match cluster.kubectl_try(args) {
        Ok(said) => panic!("{args:?} was taken: {said}"),
        Err(said) => assert!(said.contains(words), "{args:?}: {said}"),
    }
}

fn field(cluster: &Cluster, what: &str, path: &str) -> String {
    cluster.kubectl(&["get", what, "main", "-o", &format!("jsonpath={{{path}}}")])
}

#[test]
fn kinds_of_ones_own_by_hand() {
    let mut cluster = Cluster::start(&[]);
    let made = file(&cluster, "crd.json", &crd());
    cluster.kubectl(&["apply", "-f", &made]);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/databases.example.com", "--timeout=20s"]);
    let object = file(&cluster, "db.json", &database("postgres"));
    cluster.kubectl(&["apply", "-f", &object]);
    assert_eq!(
        field(&cluster, "db", ".spec"),
        r#"{"engine":"postgres","replicas":1,"users":[{"name":"an","role":"reader"}]}"#
    );
    let table = cluster.kubectl(&["get", "all"]);
    assert!(table.contains("ENGINE") && table.contains("database.example.com/main"), "{table}");
    assert!(cluster.kubectl(&["explain", "db.spec.engine"]).contains("Which engine serves."));
    assert_eq!(field(&cluster, "databases.v1beta1.example.com", ".apiVersion"), "example.com/v1beta1");
    wrong_ones(&cluster);
    asked_for(&cluster);
    let scale = cluster.kubectl(&["get", "db", "main", "--subresource=scale"]);
    assert!(scale.starts_with("NAME") && scale.contains("DESIRED   AVAILABLE   AGE"), "{scale}");
    cluster.kubectl(&["scale", "db/main", "--replicas=5"]);
    let status = r#"{"spec":{"replicas":2},"status":{"ready":true,"replicas":4}}"#;
    cluster.kubectl(&["patch", "db", "main", "--subresource=status", "--type=merge", "-p", status]);
    assert_eq!(field(&cluster, "db", ".spec.replicas"), "5");
    assert_eq!(field(&cluster, "db", ".status"), r#"{"ready":true,"replicas":4}"#);
    assert_eq!(field(&cluster, "db", ".metadata.generation"), "2");

    cluster.kill();
    cluster.up();
    assert_eq!(
        eventually("it is back", || cluster
            .kubectl_try(&["get", "db", "main", "-o", "jsonpath={.spec.replicas}"])
            .ok()),
        "5"
    );

    its_end(&cluster);
    refused(&cluster, &["get", "db"], "the server ");
    cluster.audit();
}

/// By whom and by what objects are asked for, and a body that says a field twice.
fn asked_for(cluster: &Cluster) {
    let shown = |args: &[&str]| text(output(&mut cluster.verb(args)).stdout);
    for word in ["db", "databases.example.com", "all"] {
        let table = shown(&["get", word]);
        assert!(table.contains("ENGINE") && table.contains("postgres"), "{word}: {table}");
    }
    assert!(shown(&["get", "database/main", "-o", "yaml"]).contains("engine: postgres"));
    assert!(shown(&["describe", "db", "main"]).contains("engine: postgres"));
    let selected = |by: &str| cluster.kubectl(&["get", "db", "-o", "name", "--field-selector", by]);
    assert_eq!(selected("spec.engine=postgres").trim(), "database.example.com/main");
    assert_eq!(selected("spec.engine!=postgres").trim(), "");
    refused(cluster, &["get", "db", "--field-selector", "spec.replicas=1"], "field label not supported: spec.replicas");
    let twice = r#"{"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "two"},
        "spec": {"engine": "postgres", "engine": "mysql"}}"#;
    let path = cluster.dir.path().join("twice.json");
    fs::write(&path, twice).unwrap();
    let (path, raw) = (path.to_str().unwrap(), "/apis/example.com/v1/namespaces/default/databases");
    let strict = format!("{raw}?fieldValidation=Strict");
    refused(cluster, &["create", "--raw", &strict, "-f", path], r#"duplicate field "spec.engine""#);
}

/// The definition waits for its objects, and watches end with it.
fn its_end(cluster: &Cluster) {
    cluster.kubectl(&[
        "patch",
        "db",
        "main",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["example.com/hold"]}}"#,
    ]);
    cluster.kubectl(&["delete", "crd", "databases.example.com", "--wait=false"]);
    refused(
        cluster,
        &[
            "create",
            "-f",
            &file(cluster, "other.json", &{
                let mut other = database("mysql");
                other["metadata"]["name"] = json!("other");
                other
            }),
        ],
        "terminating",
    );
    let mut watch = std::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(cluster.data().join("admin.kubeconfig"))
        .args(["get", "--raw", "/apis/example.com/v1/databases?watch=true&timeoutSeconds=600"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(watch.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("ADDED"), "{first}");
    cluster.kubectl(&["patch", "db", "main", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    // Who watches hears of the end, and does not wait for more.
    eventually("the watch ends with the kind", || watch.try_wait().unwrap());
    eventually("the definition is gone", || cluster.items(&["crd"]).is_empty().then_some(()));
}

fn wrong_ones(cluster: &Cluster) {
    let patch = |kind: &str, patch: &str, words: &str| {
        refused(cluster, &["patch", "db", "main", &format!("--type={kind}"), "-p", patch], words);
    };
    patch("merge", r#"{"spec":{"replicas":0}}"#, "spec.replicas in body should be greater than or equal to 1");
    patch("merge", r#"{"spec":{"engine":"oracle"}}"#, r#"supported values: "postgres", "mysql""#);
    patch("strategic", "{}", "strategic-merge-patch+json is not supported");
    let mut unknown = database("postgres");
    unknown["spec"]["replica"] = json!(2);
    refused(cluster, &["apply", "-f", &file(cluster, "unknown.json", &unknown)], r#"unknown field "spec.replica""#);
    let mut loose = crd();
    loose["metadata"]["name"] = json!("others.example.com");
    loose["spec"]["names"] = json!({"kind": "Other", "plural": "others"});
    loose["spec"]["versions"] = json!([{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}}]);
    let words = "properties[a].type: Required value: must not be empty for specified object fields";
    refused(cluster, &["create", "-f", &file(cluster, "loose.json", &loose)], words);
}

/// A definition with rules: between fields, between what was and what shall be, and of a list's items.
fn ruled() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "pools.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Pool", "plural": "pools"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["min", "max"], "properties": {
                        "min": {"type": "integer"}, "max": {"type": "integer"},
                        "zone": {"type": "string", "x-kubernetes-validations": [
                            {"rule": "self == oldSelf", "message": "a zone is for good", "reason": "FieldValueForbidden"}]},
                        "ranges": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [
                            {"rule": "isCIDR(self)", "messageExpression": "self + ' is no range'"}]}}},
                        "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "min is above max",
                            "fieldPath": ".min"}]},
                    "status": {"type": "object", "properties": {"used": {"type": "integer"}}}},
                    "x-kubernetes-validations": [{
                        "rule": "!has(self.status) || !has(self.status.used) || self.status.used <= self.spec.max",
                        "message": "more is used than there may be"}]}}}]}})
}

fn pool(min: u32, max: u32, zone: &str, range: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Pool", "metadata": {"name": "main", "namespace": "default"},
        "spec": {"min": min, "max": max, "zone": zone, "ranges": [range]}})
}

#[test]
fn rules_of_a_definition_hold_by_hand_and_in_a_source() {
    let cluster = Cluster::start(&[]);
    let mut broken = ruled();
    let schema = &mut broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] = json!("self.min <= self.most");
    let words = "compilation failed: ERROR: <input>:1:17: undefined field 'most'";
    refused(&cluster, &["apply", "-f", &file(&cluster, "broken.json", &broken)], words);
    cluster.kubectl(&["apply", "-f", &file(&cluster, "crd.json", &ruled())]);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/pools.example.com", "--timeout=20s"]);
    let apply = |pool: &Value| file(&cluster, "pool.json", pool);
    let wrong = |pool: &Value, words: &str| refused(&cluster, &["apply", "-f", &apply(pool)], words);
    wrong(&pool(2, 1, "a", "10.0.0.0/8"), r#"spec.min: Invalid value: "object": min is above max"#);
    wrong(&pool(1, 2, "a", "10.0.0.0"), r#"spec.ranges[0]: Invalid value: "string": 10.0.0.0 is no range"#);
    cluster.kubectl(&["apply", "-f", &apply(&pool(1, 2, "a", "10.0.0.0/8"))]);
    wrong(&pool(1, 2, "b", "10.0.0.0/8"), "spec.zone: Forbidden: a zone is for good");
    cluster.kubectl(&["apply", "-f", &apply(&pool(1, 3, "a", "10.0.0.0/8"))]);
    let patch = |used: u32| {
        let patch = json!({"status": {"used": used}}).to_string();
        cluster.kubectl_try(&["patch", "pools", "main", "--subresource=status", "--type=merge", "-p", &patch])
    };
    assert!(patch(9).unwrap_err().contains("more is used than there may be"));
    patch(3).unwrap();
    let words = "more is used than there may be";
    refused(&cluster, &["patch", "pools", "main", "--type=merge", "-p", r#"{"spec":{"max":2}}"#], words);
    cluster.kubectl(&["delete", "pools", "main"]);

    // The definition is in the cluster; what a commit breaks is told with its place.
    cluster.repo.write("pool.json", &pool(5, 2, "a", "10.0.0.0/8").to_string());
    cluster.repo.commit("a pool that is none");
    eventually("it is rejected", || {
        let releases = cluster.items(&["releases"]);
        let rejected = releases.iter().find(|r| r["status"]["phase"] == "Rejected")?.to_string();
        (rejected.contains("min is above max") && rejected.contains("pool.json")).then_some(())
    });
    cluster.repo.write("pool.json", &pool(1, 2, "a", "10.0.0.0/8").to_string());
    cluster.repo.commit("a good one");
    eventually("it is there", || cluster.json(&["pools", "main"]));
    cluster.audit();
}

#[test]
fn a_commit_holds_a_definition_and_its_objects() {
    let cluster =
        Cluster::start(&[("z-crd.json", &crd().to_string()), ("a-db.json", &database("postgres").to_string())]);
    let engine = |cluster: &Cluster| {
        cluster.kubectl_try(&["get", "db", "main", "-o", "jsonpath={.spec.engine}"]).unwrap_or_default()
    };
    eventually("both are there", || (engine(&cluster) == "postgres").then_some(()));
    cluster.kubectl(&["patch", "db", "main", "--type=merge", "-p", r#"{"spec":{"engine":"mysql"}}"#]);
    eventually("the drift is healed", || (engine(&cluster) == "postgres").then_some(()));

    cluster.repo.write("a-db.json", &database("oracle").to_string());
    cluster.repo.commit("an engine that is none");
    eventually("it is rejected", || {
        let releases = cluster.items(&["releases"]);
        let rejected = releases.iter().find(|r| r["status"]["phase"] == "Rejected")?;
        rejected.to_string().contains("Unsupported value").then_some(())
    });
    assert_eq!(engine(&cluster), "postgres");

    cluster.repo.write("a-db.json", &database("mysql").to_string());
    cluster.repo.commit("another engine");
    eventually("it is changed", || (engine(&cluster) == "mysql").then_some(()));
    cluster.audit();
}
