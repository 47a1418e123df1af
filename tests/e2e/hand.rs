//! Writes by hand through the API, by the real `kubectl`: objects of nobody's live as in any
//! Kubernetes, those of a source go back to what it says, and locked ones are refused.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually};

const IMAGE: &str = "shop.example/shop:1.0";

/// Writes a file that kubectl reads.
fn file(cluster: &Cluster, name: &str, value: &Value) -> String {
    let path = cluster.dir.path().join(name);
    fs::write(&path, value.to_string()).unwrap();
    path.to_str().unwrap().to_string()
}

fn config(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "mine"}, "data": data})
}

fn refused(cluster: &Cluster, args: &[&str], words: &str) {
    match cluster.kubectl_try(args) {
        Ok(said) => panic!("{args:?} was taken: {said}"),
        Err(said) => assert!(said.contains(words), "{args:?}: {said}"),
    }
}

/// A field of an object in `mine`.
fn field(cluster: &Cluster, what: &str, path: &str) -> String {
    cluster.kubectl(&["get", "-n", "mine", what, "-o", &format!("jsonpath={{{path}}}")])
}

#[test]
fn objects_of_nobodys_live_as_in_any_kubernetes() {
    let cluster = Cluster::start(&[("web.json", &App { replicas: 1, ..App::default() }.yaml())]);
    cluster.wait_ready("default", "web", 1);
    typed_creates(&cluster);
    rollouts(&cluster);
    applies(&cluster);
    patches(&cluster);
    wrong_ones(&cluster);
    ends(&cluster);
}

/// Newer kubectls send these as protobuf.
fn typed_creates(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    k(&["create", "namespace", "mine"]);
    k(&["create", "-n", "mine", "configmap", "made", "--from-literal=a=1"]);
    assert_eq!(field(cluster, "configmap/made", ".data.a"), "1");
    k(&["create", "-n", "mine", "secret", "generic", "key", "--from-literal=k=v"]);
    assert_eq!(field(cluster, "secret/key", ".data.k"), "dg==");
    k(&["create", "-n", "mine", "deployment", "hand", "--image", IMAGE, "--replicas=2", "--", "/shop", "web"]);
    k(&["rollout", "status", "-n", "mine", "deployment/hand", "--timeout=90s"]);
    refused(cluster, &["create", "namespace", "mine"], "AlreadyExists");
    refused(cluster, &["create", "-n", "nowhere", "configmap", "x"], "namespaces \"nowhere\" not found");
}

/// Scale, environment, restart, pause, undo.
fn rollouts(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    k(&["scale", "-n", "mine", "deployment/hand", "--replicas=1"]);
    refused(cluster, &["scale", "-n", "mine", "deployment/hand", "--current-replicas=7", "--replicas=3"], "7");
    k(&["set", "env", "-n", "mine", "deployment/hand", "GREETING=hello"]);
    assert_eq!(field(cluster, "deployment/hand", ".spec.template.spec.containers[0].env[0].value"), "hello");
    k(&["rollout", "restart", "-n", "mine", "deployment/hand"]);
    k(&["rollout", "status", "-n", "mine", "deployment/hand", "--timeout=90s"]);
    k(&["rollout", "pause", "-n", "mine", "deployment/hand"]);
    assert_eq!(field(cluster, "deployment/hand", ".spec.paused"), "true");
    k(&["rollout", "resume", "-n", "mine", "deployment/hand"]);
    k(&["rollout", "undo", "-n", "mine", "deployment/hand", "--to-revision=1"]);
    assert_eq!(field(cluster, "deployment/hand", ".spec.template.spec.containers[0].env"), "");
    k(&["rollout", "status", "-n", "mine", "deployment/hand", "--timeout=90s"]);
    k(&["wait", "-n", "mine", "--for=condition=Available", "--timeout=60s", "deployment/hand"]);
}

/// Both sorts, with what they say of unchanged and of others' fields.
fn applies(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    let one = file(cluster, "conf.json", &config(&json!({"a": "1", "b": "1"})));
    assert!(k(&["apply", "-f", &one]).contains("created"));
    assert!(k(&["apply", "-f", &one]).contains("unchanged"));
    file(cluster, "conf.json", &config(&json!({"a": "2"})));
    let changes = cluster.kubectl_try(&["diff", "-f", &one]);
    assert!(changes.is_err(), "a difference is exit 1");
    assert!(k(&["apply", "-f", &one, "--dry-run=server"]).contains("configured (server dry run)"));
    assert_eq!(field(cluster, "configmap/conf", ".data.a"), "1");
    assert!(k(&["apply", "-f", &one]).contains("configured"));
    assert_eq!(field(cluster, "configmap/conf", ".data"), r#"{"a":"2"}"#);
    let two = file(cluster, "two.json", &config(&json!({"a": "3", "c": "3"})));
    refused(cluster, &["apply", "--server-side", "--field-manager=other", "-f", &two], "conflict with \"kubectl");
    k(&["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", &two]);
    assert_eq!(field(cluster, "configmap/conf", ".data"), r#"{"a":"3","c":"3"}"#);
}

/// Labels, annotations, patches of each sort, edit, replace.
fn patches(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    k(&["label", "-n", "mine", "configmap/conf", "team=a"]);
    k(&["annotate", "-n", "mine", "configmap/conf", "note=x"]);
    k(&["patch", "-n", "mine", "configmap/conf", "--type=merge", "-p", r#"{"data":{"c":null,"d":"4"}}"#]);
    k(&[
        "patch",
        "-n",
        "mine",
        "configmap/conf",
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/data/e","value":"5"}]"#,
    ]);
    k(&[
        "patch",
        "-n",
        "mine",
        "deployment/hand",
        "-p",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"shop","env":[{"name":"N","value":"1"}]}]}}}}"#,
    ]);
    assert_eq!(field(cluster, "configmap/conf", ".data"), r#"{"a":"3","d":"4","e":"5"}"#);
    assert_eq!(field(cluster, "deployment/hand", ".spec.template.spec.containers[0].image"), IMAGE, "merged by name");
    refused(
        cluster,
        &[
            "patch",
            "-n",
            "mine",
            "configmap/conf",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/data/a","value":"9"}]"#,
        ],
        "rejected our request",
    );
    let editor = cluster.dir.path().join("editor.sh");
    fs::write(&editor, "#!/bin/sh\nsed -i 's/d: \"4\"/d: \"40\"/' \"$1\"\n").unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    edited(cluster, &editor);
    assert_eq!(field(cluster, "configmap/conf", ".data.d"), "40");
    let one = file(cluster, "conf.json", &config(&json!({"a": "2"})));
    k(&["replace", "-f", &one]);
    assert_eq!(field(cluster, "configmap/conf", ".data"), r#"{"a":"2"}"#);
}

/// Told as Kubernetes tells it, and nothing of it is kept.
fn wrong_ones(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    let typo = file(
        cluster,
        "typo.json",
        &json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "typo", "namespace": "mine"}, "dta": {"a": "1"}}),
    );
    refused(cluster, &["create", "-f", &typo], "unknown field \"dta\"");
    let bad = file(
        cluster,
        "bad.json",
        &json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "UPPER", "namespace": "mine"}, "spec": {"containers": []}}),
    );
    refused(cluster, &["create", "-f", &bad], "The Pod \"UPPER\" is invalid");
    refused(cluster, &["get", "-n", "mine", "configmap/typo"], "NotFound");
    assert!(k(&["explain", "deployment.spec.strategy"]).contains("rollingUpdate"));
}

/// A pod for itself, and the ends of things.
fn ends(cluster: &Cluster) {
    let k = |args: &[&str]| cluster.kubectl(args);
    k(&["run", "-n", "mine", "solo", "--image", IMAGE, "--restart=Never", "--command", "--", "/shop", "web"]);
    k(&["wait", "-n", "mine", "--for=condition=Ready", "--timeout=60s", "pod/solo"]);
    k(&["delete", "-n", "mine", "pod/solo", "--grace-period=1"]);
    k(&["delete", "-n", "mine", "deployment/hand", "--cascade=orphan"]);
    let sets = || cluster.items(&["-n", "mine", "replicasets"]);
    assert!(!sets().is_empty() && sets().iter().all(|s| s["metadata"].get("ownerReferences").is_none()));
    k(&["delete", "-n", "mine", "replicasets", "--all", "--cascade=foreground", "--timeout=60s"]);
    eventually("its pods are gone", || cluster.items(&["-n", "mine", "pods"]).is_empty().then_some(()));
    k(&["delete", "namespace", "mine", "--timeout=60s"]);
    refused(cluster, &["get", "namespace", "mine"], "NotFound");
    assert_eq!(cluster.running("web-").len(), 1, "what the source wants was left alone");
    cluster.audit();
}

fn edited(cluster: &Cluster, editor: &PathBuf) {
    let mut command = std::process::Command::new("kubectl");
    command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
    command.arg("--cache-dir").arg(cluster.dir.path().join("kubectl-cache"));
    command.args(["edit", "-n", "mine", "configmap/conf"]).env("EDITOR", editor).env("KUBE_EDITOR", editor);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_write_to_a_sources_object_goes_back_or_is_refused() {
    let web = App { replicas: 1, ..App::default() }.yaml();
    let cluster = Cluster::start(&[("web.json", &web)]);
    cluster.wait_ready("default", "web", 1);
    cluster.kubectl(&["scale", "deployment/web", "--replicas=3"]);
    let drift = eventually("the drift is on record", || {
        let all = cluster.items(&["drifts"]);
        all.into_iter().find(|d| d["spec"]["path"] == "spec.replicas")
    });
    assert_eq!(drift["spec"]["origin"]["user"], "kubectl", "{drift:#}");
    assert_eq!((&drift["spec"]["desired"], &drift["spec"]["live"]), (&json!(1), &json!(3)));
    eventually("it is healed", || (cluster.json(&["deployment", "web"])?["spec"]["replicas"] == 1).then_some(()));
    cluster.kubectl(&["delete", "deployment/web", "--wait=false"]);
    eventually("it is made again", || cluster.json(&["deployment", "web"]));
    cluster.wait_ready("default", "web", 1);

    cluster.kubectl(&["patch", "source", "repo", "--type=merge", "-p", r#"{"spec":{"locked":true}}"#]);
    for args in [
        &["scale", "deployment/web", "--replicas=3"][..],
        &["delete", "deployment/web", "--wait=false"],
        &["set", "image", "deployment/web", "*=shop.example/shop:1.1"],
    ] {
        let words = cluster.kubectl_try(args).unwrap_err();
        assert!(words.contains("source repo is locked") && words.contains("web.json"), "{args:?}: {words}");
    }
    assert_eq!(cluster.json(&["deployment", "web"]).unwrap()["spec"]["replicas"], 1);
    cluster.audit();
}
