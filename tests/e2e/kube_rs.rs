//! A controller that is written with kube-rs (`tests/kube/controller.rs`) works as on any Kubernetes: from
//! outside by a kubeconfig, and in a pod by its account. It watches, reflects, applies on the server's side,
//! owns, finalizes, and goes on after the server was killed.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use crate::{
    inside::with_programs,
    support::{Cluster, binary, eventually},
};

/// What the controller may do, and who it is.
const ACCESS: &str = r#"[
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "greeter"}},
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "greeter"},
 "rules": [
  {"apiGroups": ["demo.example"], "resources": ["greetings", "greetings/status"], "verbs": ["get", "list", "watch", "patch"]},
  {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch"]},
  {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
   "verbs": ["get", "list", "watch", "create", "patch"]}]},
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "greeter"},
 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "greeter"},
 "subjects": [{"kind": "ServiceAccount", "name": "greeter", "namespace": "default"}]}]"#;

/// The controller's program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let path = binary().parent().unwrap().join("examples/kube-controller");
    assert!(path.exists(), "{} is not there: `cargo test` builds it", path.display());
    path
}

/// The controller as a process of this machine; ends with the story.
struct Outside {
    process: Child,
    said: PathBuf,
}

impl Outside {
    fn start(cluster: &Cluster) -> Self {
        let said = cluster.dir.path().join("controller.log");
        let mut command = Command::new(program());
        command.env("KUBECONFIG", cluster.data().join("admin.kubeconfig")).env("NO_PROXY", "*").stdin(Stdio::null());
        let process = command.stdout(File::create(&said).unwrap()).spawn().unwrap();
        Self { process, said }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- what the controller said ---\n{}", fs::read_to_string(&self.said).unwrap_or_default());
        }
    }
}

/// Gives a Greeting its text, by hand.
fn greet(cluster: &Cluster, text: &str) {
    let greeting = json!({"apiVersion": "demo.example/v1", "kind": "Greeting", "metadata": {"name": "hello"},
        "spec": {"text": text}});
    let file = cluster.dir.path().join("hello.json");
    fs::write(&file, greeting.to_string()).unwrap();
    eventually("the Greeting is taken", || cluster.kubectl_try(&["apply", "-f", file.to_str().unwrap()]).ok());
}

/// Waits until the controller has done all that this text asks for.
fn greeted(cluster: &Cluster, text: &str) -> Value {
    eventually(text, || {
        let map = cluster.json(&["configmap", "hello"])?;
        let greeting = cluster.json(&["greetings.demo.example", "hello"])?;
        let done = map["data"]["text"] == text
            && greeting["status"]["observedGeneration"] == greeting["metadata"]["generation"]
            && greeting["status"]["seen"] == true;
        done.then_some(map)
    })
}

/// Deletes the Greeting: its finalizer is taken off, and what it owned goes.
fn part(cluster: &Cluster) {
    cluster.kubectl(&["delete", "greetings.demo.example", "hello", "--timeout=30s"]);
    eventually("what it owned goes", || cluster.json(&["configmap", "hello"]).is_none().then_some(()));
}

#[test]
fn a_controller_of_kube_rs_works_outside_and_in_a_pod() {
    let access: Vec<Value> = serde_json::from_str(ACCESS).unwrap();
    let access: Vec<String> = access.iter().map(ToString::to_string).collect();
    let mut cluster = Cluster::start(&[("access.yaml", &access.join("\n---\n"))]);

    let mut outside = Outside::start(&cluster);
    eventually("its kind", || cluster.json(&["crd", "greetings.demo.example"]));
    greet(&cluster, "good morning");
    let map = greeted(&cluster, "good morning");
    let owner = &map["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("Greeting"), &json!(true)), "{map:#}");
    let managers =
        cluster.kubectl(&["get", "configmap", "hello", "-o", "jsonpath={.metadata.managedFields[*].manager}"]);
    assert_eq!(managers, "greeter");
    // It hears of what it owns.
    cluster.kubectl(&["patch", "configmap", "hello", "--type=merge", "-p", r#"{"data": {"text": "go away"}}"#]);
    greeted(&cluster, "good morning");
    cluster.kubectl(&["delete", "configmap", "hello"]);
    greeted(&cluster, "good morning");
    part(&cluster);
    assert!(outside.process.try_wait().unwrap().is_none(), "the controller has ended");
    drop(outside);

    let at = program();
    let container = json!({"command": ["/controller/kube-controller"],
        "volumeMounts": [{"name": "controller", "mountPath": "/controller", "readOnly": true}]});
    let pod = json!({"serviceAccountName": "greeter",
        "volumes": [{"name": "controller", "hostPath": {"path": at.parent().unwrap()}}]});
    cluster.repo.write("greeter.json", &with_programs("greeter", container, pod));
    cluster.repo.commit("the controller, in a pod");
    cluster.wait_ready("default", "greeter", 1);
    greet(&cluster, "good day");
    greeted(&cluster, "good day");
    // The server is killed; the controller notices, waits, and goes on.
    cluster.kill();
    cluster.up();
    greet(&cluster, "good evening");
    greeted(&cluster, "good evening");
    part(&cluster);
    let said = cluster.kubectl(&["logs", "deployment/greeter"]);
    assert!(said.contains("applied hello: good evening") && said.contains("cleaned up hello"), "{said}");
    let pod = cluster.pods("default", "app=greeter").remove(0);
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{said}");
    cluster.audit();
}
