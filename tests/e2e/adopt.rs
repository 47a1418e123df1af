//! A change by hand becomes a commit: it is shown as a patch, written to a branch without the working tree, and
//! settled when the source has it.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    custom::{crd, database},
    support::{App, Cluster, eventually, output, run},
};

fn drifts(cluster: &Cluster) -> Vec<Value> {
    cluster.items(&["drifts"]).into_iter().filter(|d| d["spec"]["origin"]["user"].is_string()).collect()
}

#[test]
fn what_was_changed_by_hand_becomes_a_commit() {
    let app: Value = serde_json::from_str(&App { replicas: 1, ..App::default() }.yaml()).unwrap();
    let image = app["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let labels = json!({"app": "web"});
    // As a person writes it.
    let text = format!(
        "# The shop.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: default\nspec:\n  \
         replicas: 1  # enough on a Monday\n  selector: {{matchLabels: {labels}}}\n  template:\n    metadata: {{labels: \
         {labels}}}\n    spec:\n      containers:\n        - name: shop\n          image: \"{image}\"\n"
    );
    let cluster = Cluster::start_with(&[("deploy/web.yaml", &text)], &["--self-heal=false", "--watch-window", "1s"]);
    cluster.wait_ready("default", "web", 1);
    let none = output(&mut cluster.verb(&["adopt"]));
    assert!(none.status.success() && String::from_utf8_lossy(&none.stderr).contains("No open drift"), "{none:?}");
    cluster.kubectl(&["scale", "deployment/web", "--replicas=2"]);
    eventually("a drift", || drifts(&cluster).iter().any(|d| d["spec"]["path"] == "spec.replicas").then_some(()));

    let shown = output(&mut cluster.verb(&["adopt"]));
    let patch = String::from_utf8(shown.stdout).unwrap();
    for line in
        ["+++ b/deploy/web.yaml", "-  replicas: 1  # enough on a Monday", "+  replicas: 2  # enough on a Monday"]
    {
        assert!(patch.contains(line), "{line}: {patch}");
    }
    let file = cluster.dir.path().join("adopted.patch");
    fs::write(&file, &patch).unwrap();
    run(Command::new("git").arg("-C").arg(&cluster.repo.path).args(["apply", "--check"]).arg(&file));

    let refused = output(&mut cluster.verb(&["adopt", "--branch", "main"]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("main is checked out"), "{refused:?}");
    let written = output(&mut cluster.verb(&["adopt", "--branch", "monday"]));
    assert!(written.status.success(), "{written:?}");
    assert_eq!(cluster.repo.git(&["status", "--porcelain"]), "");
    let message = cluster.repo.git(&["log", "-1", "--format=%B", "monday"]);
    assert!(message.contains("spec.replicas: 1 -> 2"), "{message}");
    assert_eq!(cluster.repo.git(&["diff", "--stat", "main", "monday"]).lines().count(), 2);
    cluster.repo.git(&["merge", "-q", "--ff-only", "monday"]);
    eventually("it is settled", || {
        let all = drifts(&cluster);
        let replicas = all.iter().find(|d| d["spec"]["path"] == "spec.replicas")?;
        (replicas["status"]["resolution"] == "Adopted").then_some(())
    });
    cluster.wait_ready("default", "web", 2);
    cluster.audit();
}

#[test]
fn a_custom_kinds_change_is_pushed_from_a_clone_and_what_a_source_ignores_is_not() {
    let mut object = database("postgres");
    object["spec"]["replicas"] = 1.into();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays", "namespace": "default"}});
    let files = [("crd.json", crd().to_string()), ("db.json", object.to_string()), ("map.json", map.to_string())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let cluster = Cluster::start_with(&files, &["--self-heal=false", "--watch-window", "1s"]);
    eventually("it is there", || cluster.json(&["db", "main"]));
    let ignore = r#"{"spec":{"ignoreDifferences":[{"kind":"Database.example.com","path":"spec.replicas"}]}}"#;
    cluster.kubectl(&["patch", "source", "repo", "--type=merge", "-p", ignore]);
    let said =
        cluster.kubectl_try(&["patch", "source", "repo", "--type=merge", "-p", &ignore.replace(".example.com", "")]);
    assert!(said.unwrap_err().contains("written with its group"));
    cluster.kubectl(&["scale", "db/main", "--replicas=3"]);
    let role = r#"{"spec":{"users":[{"name":"an","role":"writer"}],"engine":"mysql"}}"#;
    cluster.kubectl(&["patch", "db", "main", "--type=merge", "-p", role]);
    eventually("the engine is a drift", || {
        drifts(&cluster).iter().any(|d| d["spec"]["path"] == "spec.engine").then_some(())
    });
    assert!(drifts(&cluster).iter().all(|d| d["spec"]["path"] != "spec.replicas"), "{:#?}", drifts(&cluster));

    let clone = cluster.dir.path().join("clone");
    let git = |args: &[&str]| run(Command::new("git").arg("-C").arg(&clone).args(args));
    run(Command::new("git").args(["clone", "-q"]).arg(&cluster.repo.path).arg(&clone));
    git(&["config", "user.name", "A"]);
    git(&["config", "user.email", "a@example.com"]);
    let drift = drifts(&cluster).into_iter().find(|d| d["spec"]["path"] == "spec.engine").unwrap();
    let name = drift["metadata"]["name"].as_str().unwrap();
    let from = clone.to_str().unwrap();
    let written = output(&mut cluster.verb(&["adopt", name, "--repo", from, "--branch", "engine", "--push"]));
    assert!(written.status.success(), "{written:?}");
    assert!(String::from_utf8_lossy(&written.stdout).contains("pushed engine to origin"), "{written:?}");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(cluster.repo.git(&["show", "engine:db.json"]), object.to_string().replace("postgres", "mysql"));
    cluster.repo.git(&["merge", "-q", "--ff-only", "engine"]);
    eventually("it is settled", || {
        let all = drifts(&cluster);
        let engine = all.iter().find(|d| d["spec"]["path"] == "spec.engine")?;
        (engine["status"]["resolution"] == "Adopted").then_some(())
    });
    // Nothing is there to push to.
    git(&["pull", "-q", "origin", "main"]);
    git(&["remote", "remove", "origin"]);
    cluster.kubectl(&["patch", "db", "main", "--type=merge", "-p", r#"{"spec":{"engine":"postgres"}}"#]);
    let open = || drifts(&cluster).into_iter().find(|d| d["status"]["resolution"].is_null());
    eventually("another drift", open);
    let refused = output(&mut cluster.verb(&["adopt", "--repo", from, "--branch", "back", "--push"]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("git push"), "{refused:?}");

    // A definition that others' objects live by stays when its source lets it go.
    let mine = cluster.dir.path().join("mine.json");
    let mut other = database("mysql");
    other["metadata"]["name"] = "mine".into();
    fs::write(&mine, other.to_string()).unwrap();
    cluster.kubectl(&["create", "-f", mine.to_str().unwrap()]);
    cluster.repo.git(&["rm", "-q", "crd.json", "db.json"]);
    let commit = cluster.repo.commit("no databases");
    cluster.wait_good(&commit);
    eventually("the source's own goes", || {
        cluster.json(&["db"])?["items"].as_array().map(Vec::len).filter(|n| *n == 1)
    });
    assert_eq!(cluster.json(&["db", "mine"]).unwrap()["spec"]["engine"], "mysql");
    let events = cluster.items(&["events", "-A"]);
    assert!(
        events
            .iter()
            .any(|e| e["reason"] == "NotPruned" && e["message"].as_str().unwrap().contains("objects of others"))
    );
    cluster.audit();
}
