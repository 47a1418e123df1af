//! What clients check by the OpenAPI documents before they write: a `kind: List` by each `kubectl` of this
//! machine, with objects of built-in and custom kinds, right ones and wrong ones.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::support::Cluster;

/// Every `kubectl` that can be found: the one of the path, and those of other versions beside it.
fn versions() -> Vec<PathBuf> {
    let beside = fs::read_dir("/usr/lib/google-cloud-sdk/bin").into_iter().flatten().flatten().map(|e| e.path());
    let named = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("kubectl.1."));
    let mut found: Vec<PathBuf> = beside.filter(named).collect();
    found.sort();
    found.insert(0, "kubectl".into());
    found
}

fn crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "port": {"x-kubernetes-int-or-string": true},
                        "note": {"type": "string", "nullable": true},
                        "size": {"type": "integer"}}}}}}}]}})
}

/// A list with an object of each sort that a reader of version 2 may stumble over.
fn list(size: &Value, sort: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"a": size.to_string()}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "none"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"app": "none"}},
                    "spec": {"containers": [{"name": "a", "image": "shop.example/shop:1.0",
                        "resources": {"requests": {"cpu": 0.1, "memory": "16Mi"}}, "ports": [{"containerPort": 8080}]}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"},
            "spec": {"selector": {"app": "none"}, "ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "mine"},
            "spec": {"port": "http", "note": null, sort: size}}]})
}

#[test]
fn a_list_is_checked_and_applied_by_every_kubectl() {
    let cluster = Cluster::start(&[]);
    let file = |name: &str, value: &Value| {
        let path = cluster.dir.path().join(name);
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    let apply = |kubectl: &PathBuf, path: &PathBuf| {
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
        command.arg("--cache-dir").arg(cluster.dir.path().join("cache").join(kubectl.file_name().unwrap()));
        let out = command.args(["apply", "-f"]).arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        if out.status.success() { Ok(said) } else { Err(said) }
    };
    cluster.kubectl(&["apply", "-f", file("crd.json", &crd()).to_str().unwrap()]);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=20s"]);
    let wrong = file("wrong.json", &list(&json!(1), "siez"));
    let worse = file("worse.json", &list(&json!({"a": 1}), "size"));
    for (n, kubectl) in versions().iter().enumerate() {
        println!("{}", kubectl.display());
        // A value of its own for each, so that each has something to change.
        let right = file("right.json", &list(&json!(n), "size"));
        let said = apply(kubectl, &right).unwrap_or_else(|said| panic!("{}: {said}", kubectl.display()));
        for object in ["configmap/map", "deployment.apps/none", "service/none", "widget.example.com/mine"] {
            assert!(said.contains(object), "{}: no {object} in {said}", kubectl.display());
        }
        let size = cluster.kubectl(&["get", "widgets.example.com", "mine", "-o", "jsonpath={.spec.size}"]);
        assert_eq!(size, n.to_string());
        let said = apply(kubectl, &wrong).expect_err("an unknown field in a list");
        assert!(
            said.contains(r#"unknown field "siez" in com.example.v1.Widget.spec"#),
            "{}: {said}",
            kubectl.display()
        );
        let said = apply(kubectl, &worse).expect_err("a mapping in place of a number");
        assert!(said.contains("invalid type for com.example.v1.Widget.spec.size"), "{}: {said}", kubectl.display());
    }
    let read = |accept: &str| {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
        command.args(["get", "--raw", accept]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&read("/openapi/v2")).unwrap();
    assert_eq!(document["swagger"], "2.0");
    assert!(document["definitions"]["com.example.v1.Widget"].is_object());
    cluster.audit();
}
