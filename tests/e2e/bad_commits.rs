//! Bad commits go back by themselves, with a cause that a person can use.

use serde_json::Value;

use crate::support::{App, Cluster, eventually, holds_for};

/// A good commit, then a bad one: it must be back on the good one, with this reason and text.
fn goes_back(bad: &App<'_>, reasons: &[&str], text: &str) -> Value {
    let good = App { replicas: 2, ..App::default() };
    let cluster = Cluster::start_with(&[("web.json", &good.yaml())], &["--watch-window", "3s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let before = cluster.running("web-");
    cluster.repo.write("web.json", &bad.yaml());
    let second = cluster.repo.commit("a bad idea");
    let release = cluster.wait_phase(&second, "RolledBack");
    let cause = &release["status"]["cause"];
    let reason = cause["reason"].as_str().unwrap_or_default();
    assert!(reasons.contains(&reason), "the reason is {reason}: {cause:#}");
    assert_eq!(cause["object"], "Deployment default/web");
    assert_eq!(cause["container"], "shop", "{cause:#}");
    assert!(cause.to_string().contains(text), "{cause:#}");
    cluster.wait_ready("default", "web", 2);
    // The old pods were never touched: nothing was taken from below the promise.
    eventually("the bad pods are gone and the old ones are the same", || {
        (cluster.running("web-") == before).then_some(())
    });
    let source = cluster.source();
    assert!(source["appliedRevision"].as_str().unwrap().ends_with(&first), "{source:#}");
    assert!(source["quarantined"].to_string().contains(&second), "{source:#}");
    let status = cluster.evenkeel_output(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(reason), "{status}");
    cluster.audit();
    release
}

#[test]
fn an_image_that_does_not_exist() {
    let release = goes_back(
        &App { replicas: 2, tag: "9.9", container: r#""imagePullPolicy": "Never""#, ..App::default() },
        &["ErrImageNeverPull"],
        "shop.example/shop:9.9",
    );
    assert!(release["status"]["cause"]["outside"].is_null());
}

#[test]
fn a_crash_loop() {
    let release =
        goes_back(&App { replicas: 2, tag: "1.2", ..App::default() }, &["CrashLoopBackOff", "Error"], "code 3");
    let logs = release["status"]["cause"]["logs"].to_string();
    assert!(logs.contains("cannot read the price list"), "{logs}");
}

#[test]
fn a_readiness_that_never_comes() {
    let container = r#""readinessProbe": {"httpGet": {"path": "/nothing", "port": 8080}, "periodSeconds": 1}"#;
    let bad = App { replicas: 2, container, spec: r#""progressDeadlineSeconds": 5"#, ..App::default() };
    goes_back(&bad, &["ProgressDeadlineExceeded", "ReadinessProbeFailed", "Unready"], "404");
}

#[test]
fn a_command_that_does_not_exist() {
    let bad = App { replicas: 2, container: r#""command": ["/no/such/program"]"#, ..App::default() };
    goes_back(&bad, &["RunContainerError", "StartError", "CrashLoopBackOff"], "/no/such/program");
}

#[test]
fn a_missing_key_of_a_config() {
    let container = r#""env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "gone"}}}]"#;
    let config = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"there": "x"}}"#;
    let good = App::default().yaml();
    let cluster = Cluster::start(&[("web.json", &good), ("c.json", config)]);
    cluster.wait_ready("default", "web", 1);
    cluster.repo.write("web.json", &App { container, ..App::default() }.yaml());
    let commit = cluster.repo.commit("asks for a key that is not there");
    let release = cluster.wait_phase(&commit, "Rejected");
    let text = release["status"]["diagnostics"].to_string();
    assert!(text.contains("web.json:") && text.contains("gone"), "{text}");
    let before = cluster.running("web-");
    assert_eq!(before.len(), 1);
}

#[test]
fn broken_yaml_changes_nothing() {
    let good = App::default().yaml();
    let cluster = Cluster::start(&[("web.json", &good)]);
    cluster.wait_ready("default", "web", 1);
    let before = cluster.running("web-");
    let version = cluster.json(&["deployment", "web"]).unwrap()["metadata"]["resourceVersion"].clone();
    cluster.repo.write(
        "more.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\nspec:\n  replica: 3\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n        - name: c\n          image: x\n          imagePullPolice: Never\n",
    );
    let commit = cluster.repo.commit("typos");
    let release = cluster.wait_phase(&commit, "Rejected");
    let text: Vec<&str> =
        release["status"]["diagnostics"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let text = text.join("\n");
    assert!(text.contains("more.yaml:6:3") && text.contains("did you mean `replicas`"), "{text}");
    assert!(text.contains("more.yaml:14:11") && text.contains("imagePullPolicy"), "{text}");
    assert!(cluster.said().contains("more.yaml:6:3"));
    holds_for(std::time::Duration::from_secs(2), || {
        let now = cluster.json(&["deployment", "web"]).unwrap()["metadata"]["resourceVersion"].clone();
        if now == version { Ok(()) } else { Err("the Deployment was written".into()) }
    });
    assert_eq!(cluster.running("web-"), before);
    // The next good commit goes through.
    cluster.repo.git(&["rm", "-q", "more.yaml"]);
    cluster.repo.write("web.json", &App { replicas: 2, ..App::default() }.yaml());
    let commit = cluster.repo.commit("right again");
    cluster.wait_phase(&commit, "Healthy");
    cluster.wait_ready("default", "web", 2);
}

#[test]
fn two_commits_in_a_row_end_at_the_second() {
    let cluster = Cluster::start(&[("web.json", &App { replicas: 2, ..App::default() }.yaml())]);
    cluster.wait_ready("default", "web", 2);
    cluster.repo.write("web.json", &App { replicas: 2, tag: "1.2", ..App::default() }.yaml());
    let bad = cluster.repo.commit("broken");
    eventually("the bad one was seen", || cluster.release(&bad));
    cluster.repo.write("web.json", &App { replicas: 2, tag: "1.1", ..App::default() }.yaml());
    let good = cluster.repo.commit("mended");
    cluster.wait_phase(&good, "Healthy");
    cluster.wait_ready("default", "web", 2);
    let release = cluster.release(&bad).unwrap();
    assert!(["Superseded", "RolledBack"].contains(&release["status"]["phase"].as_str().unwrap()), "{release:#}");
}

#[test]
fn a_registry_that_is_away_is_not_the_commits_fault() {
    let cluster =
        Cluster::start_with(&[("web.json", &App { replicas: 1, ..App::default() }.yaml())], &["--watch-window", "2s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let mut bad = App { replicas: 1, ..App::default() }.yaml();
    // Nobody listens on port 1 of this machine.
    bad = bad.replace("shop.example/shop:1.0", "127.0.0.1:1/shop:1.0");
    cluster.repo.write("web.json", &bad);
    let second = cluster.repo.commit("from a registry that is away");
    let release = cluster.wait_phase(&second, "RolledBack");
    assert_eq!(release["status"]["cause"]["outside"], true, "{release:#}");
    assert!(cluster.source()["quarantined"].is_null(), "{:#}", cluster.source());
    cluster.wait_ready("default", "web", 1);
}
