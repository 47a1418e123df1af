//! A change by hand becomes a commit: it is shown as a patch, written to a branch without the working tree, and
//! settled when the source has it.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output, run};

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
