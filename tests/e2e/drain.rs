//! A node is drained, by `kubectl` and by `evenkeel`: budgets hold, and hands write what is theirs on
//! a Node.

use crate::support::{App, Cluster, eventually};

const BUDGET: &str = r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}"#;

fn node(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])
}

fn names(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.pods("default", "app=web");
    pods.iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_drain_of_the_only_node_stops_at_the_budget() {
    let web = App { replicas: 2, ..App::default() }.yaml();
    let cluster = Cluster::start(&[("web.json", &web), ("budget.json", BUDGET)]);
    cluster.wait_ready("default", "web", 2);
    eventually("the budget allows one", || {
        let table = cluster.kubectl(&["get", "pdb"]);
        let row: Vec<&str> = table.lines().nth(1)?.split_whitespace().collect();
        (row[..4] == ["web", "1", "N/A", "1"]).then_some(())
    });
    let node = node(&cluster);
    let before = names(&cluster);

    // kubectl evicts one; its replacement finds no room, so the other stays, and it says why.
    let refused = cluster.kubectl_try(&["drain", &node, "--timeout=12s"]).unwrap_err();
    assert!(refused.contains("Cannot evict pod as it would violate the pod's disruption budget"), "{refused}");
    assert_eq!(cluster.running("web-").len(), 1);
    let left: Vec<String> = names(&cluster).into_iter().filter(|n| before.contains(n)).collect();
    assert_eq!(left.len(), 1, "{left:?} of {before:?}");
    cluster.kubectl(&["uncordon", &node]);
    cluster.wait_ready("default", "web", 2);

    // Evenkeel's own does the same, with its words and its exit code.
    let trial = cluster.evenkeel(&["node", "drain", &node, "--dry-run"]);
    assert!(trial.contains("would evict pod default/web-") && trial.contains("of 2 pods"), "{trial}");
    assert_eq!(cluster.kubectl(&["get", "node", &node, "-o", "jsonpath={.spec.unschedulable}"]), "");
    let given_up = cluster.evenkeel_output(&["node", "drain", &node, "--timeout", "8s"]);
    let words = String::from_utf8_lossy(&given_up.stderr).into_owned();
    assert_eq!(given_up.status.code(), Some(1), "{words}");
    for part in [
        "cordoned",
        "evicting pod default/web-",
        " evicted\n",
        "stays for now, and is asked again: The disruption budget web needs 1 healthy pods and has 1 currently",
        "is not drained after 8s; 1 pod is left",
        "uncordon",
    ] {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
    assert_eq!(cluster.running("web-").len(), 1);
    cluster.evenkeel(&["node", "uncordon", &node]);
    cluster.wait_ready("default", "web", 2);

    // Without the budget all go, and `--disable-eviction` asks nobody.
    cluster.kubectl(&["drain", &node, "--disable-eviction", "--timeout=60s"]);
    assert!(cluster.running("web-").is_empty());
    cluster.kubectl(&["uncordon", &node]);
    cluster.wait_ready("default", "web", 2);
    // All of it within the watch window, and no release is blamed.
    let phases = cluster.kubectl(&["get", "releases", "-o", "jsonpath={.items[*].status.phase}"]);
    assert_eq!(phases, "Healthy");
    cluster.repo.git(&["rm", "-q", "budget.json"]);
    cluster.repo.commit("no budget");
    eventually("the budget goes", || cluster.json(&["pdb", "web"]).is_none().then_some(()));
    let drained = cluster.evenkeel(&["node", "drain", &node, "--timeout", "60s"]);
    assert!(drained.contains("drained"), "{drained}");
    assert!(cluster.running("web-").is_empty());
    cluster.audit();
}

#[test]
fn a_drain_loses_no_data_unasked_and_hands_write_what_is_theirs_on_a_node() {
    let web = App {
        container: r#""volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]"#,
        pod: r#""volumes": [{"name": "scratch", "emptyDir": {}}]"#,
        ..App::default()
    };
    let cluster = Cluster::start(&[("web.json", &web.yaml())]);
    cluster.wait_ready("default", "web", 1);
    let node = node(&cluster);
    let output = cluster.evenkeel_output(&["node", "drain", &node]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("cannot delete Pods with local storage: default/web-"), "{words}");
    assert!(words.contains("hint: --delete-emptydir-data"), "{words}");
    let refused = cluster.kubectl_try(&["drain", &node]).unwrap_err();
    assert!(refused.contains("cannot delete Pods with local storage"), "{refused}");
    cluster.kubectl(&["uncordon", &node]);

    // Labels, annotations and taints, as kubectl sends them.
    cluster.kubectl(&["label", "node", &node, "zone=a", "kubernetes.io/role=web"]);
    cluster.kubectl(&["annotate", "node", &node, "example.org/rack=7"]);
    cluster.kubectl(&["label", "node", &node, "zone=b", "--overwrite"]);
    assert_eq!(cluster.kubectl(&["get", "nodes", "-l", "zone=b", "-o", "name"]).trim(), format!("node/{node}"));
    cluster.kubectl(&["taint", "node", &node, "busy=yes:NoSchedule"]);
    let taints = || cluster.kubectl(&["get", "node", &node, "-o", "jsonpath={.spec.taints[*].key}"]);
    assert_eq!(taints(), "busy");
    let patch =
        r#"[{"op": "remove", "path": "/spec/taints"}, {"op": "add", "path": "/metadata/labels/tier", "value": "x"}]"#;
    cluster.kubectl(&["patch", "node", &node, "--type=json", "-p", patch]);
    assert_eq!(taints(), "");
    cluster.kubectl(&["taint", "node", &node, "busy=yes:NoExecute"]);
    eventually("the taint evicts", || cluster.running("web-").is_empty().then_some(()));
    cluster.kubectl(&["taint", "node", &node, "busy-"]);
    cluster.wait_ready("default", "web", 1);
    for args in [
        &["patch", "node", &node, "-p", r#"{"spec": {"podCIDR": "10.0.0.0/24"}}"#][..],
        &["label", "node", &node, "kubernetes.io/hostname=other", "--overwrite"],
        &["taint", "node", &node, "a b=c:NoSchedule"],
    ] {
        let Err(words) = cluster.kubectl_try(args) else { panic!("{args:?} was taken") };
        assert!(words.contains("podCIDR") || words.contains("hostname") || words.contains("invalid"), "{words}");
    }
    // A pod by hand: another takes its place.
    let pod = names(&cluster)[0].clone();
    cluster.kubectl(&["delete", "pod", &pod]);
    eventually("another one", || names(&cluster).first().is_some_and(|n| *n != pod).then_some(()));
    cluster.wait_ready("default", "web", 1);
    let pod = names(&cluster)[0].clone();
    cluster.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"]);
    eventually("another one", || names(&cluster).first().is_some_and(|n| *n != pod).then_some(()));

    let list = cluster.evenkeel(&["node", "list"]);
    let row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], [&*node, "Ready", "1/110"], "{list}");
    assert!(row.contains(&"ago"), "{list}");
    let described = cluster.kubectl(&["describe", "node", &node]);
    let lease = described.lines().find(|l| l.contains("RenewTime:")).unwrap_or_default();
    assert!(lease.contains("20"), "no time of the last word in\n{described}");

    // A node with pods is not forgotten by mistake.
    cluster.wait_ready("default", "web", 1);
    let words = String::from_utf8_lossy(&cluster.evenkeel_output(&["node", "remove", &node]).stderr).into_owned();
    assert!(words.contains("drain it first"), "{words}");
}
