//! What people's hands do by themselves: the verbs of `kubectl`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{App, Cluster, eventually};

/// A `kubectl` that goes on until it is dropped.
struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Following {
    fn start(cluster: &Cluster, args: &[&str]) -> Self {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
        command.arg("--cache-dir").arg(cluster.dir.path().join("kubectl-cache")).args(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, to) = (child.stdout.take().unwrap(), lines.clone());
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                to.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    fn wait_for(&self, what: &str, check: impl Fn(&str) -> bool) {
        eventually(what, || self.lines.lock().unwrap().iter().any(|l| check(l)).then_some(()));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn kubectl_reads_as_it_does_elsewhere() {
    let app = |replicas, tag| App { replicas, tag, ..App::default() }.yaml();
    let cluster = Cluster::start_with(&[("web.json", &app(1, "1.0"))], &["--watch-window", "1s"]);
    eventually("it is there", || cluster.json(&["deployment", "web"]));
    cluster.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", "deployment/web"]);
    let status = cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert!(status.contains("successfully rolled out"), "{status}");
    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();

    // What its node says is heard of by whoever watches, all the time.
    let renewed = r#"jsonpath={.spec.renewTime}{"\n"}"#;
    let leases = Following::start(&cluster, &["get", "leases", "--all-namespaces", "--watch", "-o", renewed]);

    let table = cluster.kubectl(&["get", "pods,replicasets,deployments,sources,releases,nodes", "-o", "wide"]);
    for word in ["READY", "1/1", "Running", "shop.example/shop:1.0", "UP-TO-DATE", "repo"] {
        assert!(table.contains(word), "no {word} in\n{table}");
    }
    let described = cluster.kubectl(&["describe", "pod", &pod]);
    for word in
        ["Image:          shop.example/shop:1.0", "Readiness:      http-get", "Started", "Controlled By:  ReplicaSet/"]
    {
        assert!(described.contains(word), "no {word} in\n{described}");
    }
    let scale = cluster.kubectl(&["get", "deployment", "web", "--subresource=scale"]);
    let rows: Vec<Vec<&str>> = scale.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!((&rows[0][..], &rows[1][..3]), (&["NAME", "DESIRED", "AVAILABLE", "AGE"][..], &["web", "1", "1"][..]));
    let yaml = cluster.kubectl(&["get", "deployment", "web", "-o", "yaml"]);
    assert!(yaml.contains("apiVersion: apps/v1") && yaml.contains("evenkeel.dev/source: repo"), "{yaml}");
    let explained = cluster.kubectl(&["get", "pod", &pod, "-o", "jsonpath={.status.phase}"]);
    assert_eq!(explained, "Running");
    assert!(cluster.kubectl(&["get", "pods", "--field-selector", "status.phase=Failed"]).is_empty());

    let logs = Following::start(&cluster, &["logs", "-f", &pod]);
    logs.wait_for("the log's first line", |l| l.contains("shop 1.0: web listens on 8080"));
    let watch = Following::start(&cluster, &["get", "pods", "-w"]);
    watch.wait_for("the pod that is there", |l| l.starts_with(&pod) && l.contains("Running"));
    cluster.repo.write("web.json", &app(2, "1.1"));
    cluster.repo.commit("web 1.1");
    watch.wait_for("a new pod comes up", |l| !l.starts_with(&pod) && l.starts_with("web-") && l.contains("1/1"));
    watch.wait_for("the old one goes", |l| l.starts_with(&pod) && l.contains("Terminating"));
    eventually("the rollout is told", || {
        let status = cluster.kubectl_try(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok()?;
        let image =
            cluster.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
        (status.contains("successfully rolled out") && image.ends_with(":1.1")).then_some(())
    });
    cluster.wait_ready("default", "web", 2);
    let history = cluster.kubectl(&["rollout", "history", "deployment/web"]);
    assert!(history.contains("REVISION") && history.contains('2'), "{history}");
    let top = cluster.kubectl(&["top", "pods", "--containers"]);
    assert!(top.contains("shop") && top.contains("web-") && top.contains("Mi"), "{top}");
    let top = cluster.kubectl(&["top", "nodes"]);
    assert!(top.contains("CPU(cores)") && top.contains('%'), "{top}");
    // From apply on kubectl's side to apply on the server's: kubectl hands its fields over.
    let map = cluster.dir.path().join("map.yaml");
    std::fs::write(&map, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: handed}\ndata: {a: b}\n").unwrap();
    let map = map.to_str().unwrap();
    cluster.kubectl(&["apply", "-f", map]);
    cluster.kubectl(&["apply", "--server-side", "-f", map]);
    let owned = cluster.kubectl(&["get", "configmap", "handed", "-o", "yaml", "--show-managed-fields"]);
    assert!(owned.contains("operation: Apply") && !owned.contains("client-side-apply"), "{owned}");
    let events = cluster.kubectl(&["get", "events"]);
    assert!(events.contains("ScalingReplicaSet") || events.contains("Scaled up"), "{events}");
    eventually("the node's Lease is renewed for who watches it", || {
        let mut times = leases.lines.lock().unwrap().clone();
        times.dedup();
        (times.len() > 2).then_some(())
    });
    cluster.audit();
}
