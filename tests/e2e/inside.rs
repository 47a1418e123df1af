//! A program inside a pod is a client as on any Kubernetes cluster: it finds the API by its name and by its
//! variables, shows who it is, and may do what its account may. The programs are this machine's own (curl,
//! kubectl), seen by the pod through volumes.

use serde_json::json;

use crate::support::{App, Cluster, eventually};

/// Folders of this machine in which its programs and their libraries are.
const PROGRAMS: [&str; 4] = ["/usr", "/bin", "/lib", "/lib64"];

/// A Deployment whose pods see this machine's programs, as JSON.
fn with_programs(name: &str, mut container: serde_json::Value, mut pod: serde_json::Value) -> String {
    let there = || PROGRAMS.iter().filter(|p| std::path::Path::new(p).is_dir());
    let mounts =
        there().map(|p| json!({"name": format!("m{}", p.replace('/', "-")), "mountPath": p, "readOnly": true}));
    let volumes = there().map(|p| json!({"name": format!("m{}", p.replace('/', "-")), "hostPath": {"path": p}}));
    let more = |value: &mut serde_json::Value, field: &str, list: Vec<serde_json::Value>| {
        let before = value[field].as_array().cloned().unwrap_or_default();
        value[field] = before.into_iter().chain(list).collect();
    };
    more(&mut container, "volumeMounts", mounts.collect());
    more(&mut pod, "volumes", volumes.collect());
    // Its fields, without the braces around them.
    let inner = |value: &serde_json::Value| {
        let text = value.to_string();
        text[1..text.len() - 1].to_string()
    };
    App { name, container: &inner(&container), pod: &inner(&pod), ..App::default() }.yaml()
}

/// Runs a program in a pod of a Deployment.
fn inside(cluster: &Cluster, deployment: &str, args: &[&str]) -> Result<String, String> {
    let deployment = format!("deployment/{deployment}");
    cluster.kubectl_try(&[&["exec", deployment.as_str(), "--"], args].concat())
}

#[test]
fn a_pod_finds_the_api_by_name_and_by_variables() {
    let container = json!({"command": ["/shop", "hang"], "args": ["$(KUBERNETES_SERVICE_HOST)", "$$(HOME)"],
        "env": [{"name": "API", "value": "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]});
    let pod = json!({"enableServiceLinks": false,
        "volumes": [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}]});
    let mut cluster = Cluster::start(&[("client.json", &with_programs("client", container, pod))]);
    cluster.wait_ready("default", "client", 1);
    let service = cluster.json(&["service", "kubernetes"]).unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.ends_with(".1"), "{service:#}");
    let env = inside(&cluster, "client", &["env"]).unwrap();
    for line in [
        format!("KUBERNETES_SERVICE_HOST={address}"),
        "KUBERNETES_SERVICE_PORT=443".into(),
        "KUBERNETES_SERVICE_PORT_HTTPS=443".into(),
        format!("KUBERNETES_PORT=tcp://{address}:443"),
        format!("KUBERNETES_PORT_443_TCP_ADDR={address}"),
        format!("API=https://{address}:443"),
    ] {
        assert!(env.lines().any(|l| l == line), "{line} is not in\n{env}");
    }
    let ran = inside(&cluster, "client", &["cat", "/proc/1/cmdline"]).unwrap();
    assert!(ran.contains(&format!("{address}\0$(HOME)")), "{ran:?}");
    let ask = |cluster: &Cluster, host: &str| {
        let url = format!("https://{host}/api");
        let args = ["curl", "-sS", "--cacert", "/ca/ca.crt", "-o", "/dev/null", "-w", "%{http_code}", url.as_str()];
        inside(cluster, "client", &args)
    };
    for host in [
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
        "kubernetes.default",
        "kubernetes",
        address.as_str(),
    ] {
        let said = eventually(host, || ask(&cluster, host).ok());
        assert_eq!(said, "401", "{host}: known, and nobody");
    }
    // This machine finds it, too; and whoever takes it away.
    let here = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", &format!("https://{address}/api")];
    assert_eq!(crate::support::output(std::process::Command::new("curl").args(here)).stdout, b"401");
    cluster.kubectl(&["delete", "service", "kubernetes"]);
    let again = eventually("it is there again", || cluster.json(&["service", "kubernetes"]));
    assert_eq!(again["spec"]["clusterIP"], address.as_str());
    assert_ne!(again["metadata"]["uid"], service["metadata"]["uid"]);
    eventually("and leads there", || ask(&cluster, "kubernetes").ok().filter(|said| said == "401"));
    cluster.interrupt();
    cluster.up();
    eventually("after a start", || ask(&cluster, "kubernetes").ok().filter(|said| said == "401"));
    cluster.audit();
}
