//! Server-side apply of what has rules of its own (Nodes, Sources, the Scale of a workload), lists that are asked
//! for by number, and what `kubectl cluster-info dump` asks for.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output};

fn file(cluster: &Cluster, name: &str, value: &Value) -> String {
    let path = cluster.dir.path().join(name);
    fs::write(&path, value.to_string()).unwrap();
    path.to_str().unwrap().to_string()
}

/// Applies on the server's side; what it says, or what it complains about.
fn apply(cluster: &Cluster, value: &Value, more: &[&str]) -> Result<String, String> {
    let path = file(cluster, "applied.json", value);
    cluster.kubectl_try(&[&["apply", "--server-side", "-f", &path][..], more].concat())
}

#[test]
fn nodes_sources_and_scales_are_applied_on_the_servers_side() {
    let cluster = Cluster::start_with(&[("web.json", &App::default().yaml())], &["--self-heal=false"]);
    cluster.wait_ready("default", "web", 1);
    nodes(&cluster);
    sources(&cluster);
    scales(&cluster);
    cluster.audit();
}

fn nodes(cluster: &Cluster) {
    let name = cluster.items(&["nodes"])[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let node =
        |labels: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    apply(cluster, &node(json!({"tier": "a", "rank": "7"})), &[]).unwrap();
    let ranked = |selector: &str| cluster.items(&["nodes", "-l", selector]).len();
    assert_eq!((ranked("rank>6,rank<8"), ranked("rank>7"), ranked("tier>1")), (1, 0, 0));
    assert!(cluster.kubectl_try(&["get", "nodes", "-l", "rank>x"]).is_err());
    // Who has changed it since owns it.
    cluster.kubectl(&["label", "node", &name, "tier=b", "--overwrite"]);
    let said = apply(cluster, &node(json!({"tier": "a", "rank": "7"})), &[]).unwrap_err();
    assert!(said.contains("conflict with \"kubectl-label\"") && said.contains(".metadata.labels.tier"), "{said}");
    apply(cluster, &node(json!({"tier": "a"})), &["--force-conflicts"]).unwrap();
    let labels = cluster.json(&["node", &name]).unwrap()["metadata"]["labels"].clone();
    assert_eq!((&labels["tier"], &labels["rank"]), (&json!("a"), &Value::Null), "{labels}");
    // What its agent says stays its agent's, and nobody makes one.
    let mut other = node(json!({}));
    other["spec"] = json!({"podCIDR": "10.9.0.0/24"});
    let said = apply(cluster, &other, &["--force-conflicts"]).unwrap_err();
    assert!(said.contains("comes from its agent"), "{said}");
    other["metadata"]["name"] = "none".into();
    let said = apply(cluster, &other, &[]).unwrap_err();
    assert!(said.contains("made by their agents"), "{said}");
}

fn sources(cluster: &Cluster) {
    let folder = cluster.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let source = |more: Value| {
        let mut spec = json!({"directory": folder});
        spec.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "second"}, "spec": spec})
    };
    apply(cluster, &source(json!({"interval": "5s", "crashLimit": 4})), &[]).unwrap();
    cluster.kubectl(&["patch", "source", "second", "--type=merge", "-p", r#"{"spec":{"interval":"7s"}}"#]);
    let said = apply(cluster, &source(json!({"interval": "5s"})), &[]).unwrap_err();
    assert!(said.contains("conflict with \"kubectl-patch\"") && said.contains(".spec.interval"), "{said}");
    // What it says no longer goes, what another set stays.
    apply(cluster, &source(json!({"suspend": true})), &[]).unwrap();
    let spec = cluster.json(&["source", "second"]).unwrap()["spec"].clone();
    assert_eq!(spec, json!({"directory": folder, "interval": "7s", "suspend": true}));
    assert!(apply(cluster, &source(json!({"intervall": "5s"})), &[]).unwrap_err().contains("intervall"));
}

fn scales(cluster: &Cluster) {
    let scale = |replicas: i32| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": replicas}})
    };
    // As an autoscaler does it; kubectl has no word for it.
    let config = |path: &str| cluster.kubectl(&["config", "view", "--raw", "-o", &format!("jsonpath={path}")]);
    let dir = cluster.dir.path();
    for (name, field) in
        [("ca.crt", "certificate-authority-data"), ("an.crt", "client-certificate-data"), ("an.key", "client-key-data")]
    {
        let place = if name == "ca.crt" { "clusters[0].cluster" } else { "users[0].user" };
        let bytes = evenkeel_model::base64::decode(config(&format!("{{.{place}.{field}}}")).trim()).unwrap();
        fs::write(dir.join(name), bytes).unwrap();
    }
    let server = config("{.clusters[0].cluster.server}");
    let send = |name: &str, replicas: i32, more: &str| -> Value {
        let mut body = scale(replicas);
        body["metadata"]["name"] = name.into();
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}/scale?fieldManager=autoscaler{more}");
        let mut curl = Command::new("curl");
        curl.current_dir(dir).args([
            "-sS",
            "--noproxy",
            "*",
            "--cacert",
            "ca.crt",
            "--cert",
            "an.crt",
            "--key",
            "an.key",
        ]);
        curl.args(["-X", "PATCH", "-H", "Content-Type: application/apply-patch+yaml", "-d", &body.to_string()]);
        serde_json::from_slice(&output(curl.arg(format!("{server}{path}"))).stdout).unwrap()
    };
    // The source's own number is not an autoscaler's to take.
    let refused = send("web", 2, "");
    assert!(refused["message"].as_str().unwrap().contains("conflict with \"evenkeel:repo\""), "{refused:#}");
    cluster.kubectl(&["create", "deployment", "web2", "--image=shop.example/shop:1.0", "--replicas=0"]);
    let shown = send("web2", 3, "&force=true");
    assert_eq!((&shown["kind"], &shown["spec"]["replicas"]), (&json!("Scale"), &json!(3)), "{shown:#}");
    let object = cluster.json(&["deployment", "web2", "--show-managed-fields"]).unwrap();
    let entries = object["metadata"]["managedFields"].as_array().unwrap().clone();
    let mine = entries.iter().find(|e| e["manager"] == "autoscaler").unwrap();
    assert_eq!(
        (&mine["operation"], &mine["subresource"], &mine["fieldsV1"]),
        (&json!("Apply"), &json!("scale"), &json!({"f:spec": {"f:replicas": {}}})),
        "{object:#}"
    );
    assert_eq!(send("web2", -1, "&force=true")["code"], 422);
}

#[test]
fn cluster_info_dump_has_everything_that_kubectl_asks_for() {
    let cluster = Cluster::start(&[("web.json", &App::default().yaml())]);
    cluster.wait_ready("default", "web", 1);
    let folder = cluster.dir.path().join("dump");
    let to = format!("--output-directory={}", folder.display());
    cluster.kubectl(&["cluster-info", "dump", "--all-namespaces", &to]);
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap() };
    assert_eq!(read("nodes.json")["items"].as_array().unwrap().len(), 1);
    assert_eq!(read("default/deployments.json")["items"][0]["metadata"]["name"], "web");
    for none in ["replication-controllers", "daemonsets"] {
        assert_eq!(read(&format!("default/{none}.json"))["items"].as_array().map(Vec::len), Some(0), "{none}");
    }
    let pod = read("default/pods.json")["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    eventually("its log", || fs::read(folder.join("default").join(pod.as_str()).join("logs.txt")).ok());
    // To be listed is all that there is to them.
    let set = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "all"}, "spec": {}}"#;
    fs::write(folder.join("set.json"), set).unwrap();
    let refused = cluster.kubectl_try(&["create", "-f", &folder.join("set.json").display().to_string()]).unwrap_err();
    assert!(refused.contains("DaemonSet of apps/v1 is not supported yet"), "{refused}");
    cluster.audit();
}
