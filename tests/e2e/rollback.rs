//! What a rollback starts, and what happens when that does not come up either.

use std::{fs, time::Duration};

use crate::support::{App, Cluster, docker, eventually, holds_for};

/// The old pod goes before the new one comes, so that a rollback has to start something.
const RECREATE: &str = r#"{"type": "Recreate"}"#;

#[test]
fn a_rollback_that_fails_goes_no_further_back() {
    let outside = tempfile::tempdir().unwrap();
    let flag = outside.path().join("ok");
    fs::write(&flag, "yes").unwrap();
    let pod = format!(r#""volumes": [{{"name": "h", "hostPath": {{"path": "{}"}}}}]"#, outside.path().display());
    let app = |tag| {
        let container = r#""volumeMounts": [{"name": "h", "mountPath": "/h"}], "readinessProbe": {"exec": {"command": ["/shop", "cat", "/h/ok"]}, "periodSeconds": 1}"#;
        App { tag, container, pod: &pod, strategy: RECREATE, spec: r#""progressDeadlineSeconds": 5"#, ..App::default() }
            .yaml()
    };
    let cluster = Cluster::start_with(&[("web.json", &app("1.0"))], &["--watch-window", "1s", "--crash-limit", "1"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    cluster.wait_good(&second);

    // What the last good revision needs is gone by the time that it is needed again.
    fs::remove_file(&flag).unwrap();
    cluster.repo.write("web.json", &app("1.2"));
    let bad = cluster.repo.commit("broken");
    let release = cluster.wait_phase(&bad, "RollbackFailed");
    assert!(release["status"]["cause"].to_string().contains("price list"), "{release:#}");
    let image = || {
        let pods = cluster.pods("default", "app=web");
        pods.first().and_then(|p| p["spec"]["containers"][0]["image"].as_str().map(String::from))
    };
    // It stays applied, and nothing older is tried.
    holds_for(Duration::from_secs(3), || match image() {
        Some(image) if image == "shop.example/shop:1.1" => Ok(()),
        other => Err(format!("{other:?} runs")),
    });
    let status = String::from_utf8_lossy(&cluster.evenkeel_output(&["status"]).stdout).into_owned();
    assert!(status.contains("RollbackFailed"), "{status}");
    assert!(cluster.source()["appliedRevision"].as_str().unwrap().ends_with(&second), "{:#}", cluster.source());
    // It comes up after all, with nobody's help.
    fs::write(&flag, "yes").unwrap();
    cluster.wait_ready("default", "web", 1);
    eventually("nothing is wrong any more", || {
        (cluster.release(&bad)?["status"]["phase"] != "RollbackFailed").then_some(())
    });
    cluster.audit();
}

/// Takes a tag away at the end of its test.
struct Untag(String);

impl Drop for Untag {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["rmi", &self.0]).output();
    }
}

#[test]
fn a_rollback_starts_the_image_that_ran_under_a_tag_that_has_moved() {
    let tag = format!("e2e-moved-{}", std::process::id());
    let name = format!("shop.example/shop:{tag}");
    crate::support::images();
    let _untag = Untag(name.clone());
    docker(&["tag", "shop.example/shop:1.0", &name]);
    let app = |tag| App { tag, strategy: RECREATE, ..App::default() }.yaml();
    let cluster = Cluster::start_with(&[("web.json", &app(&tag))], &["--watch-window", "1s", "--crash-limit", "1"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let image = || {
        let running = cluster.running("web-");
        let id = &running.first()?.id;
        (running.len() == 1).then(|| docker(&["inspect", "--format", "{{.Image}}", id]))
    };
    let ran = eventually("one runs", image);
    let set = &cluster.items(&["replicasets"])[0];
    let ids = set["metadata"]["annotations"]["evenkeel.dev/image-ids"].to_string();
    assert!(ids.contains(ran.trim_start_matches("sha256:")), "{ids} does not tell of {ran}");

    docker(&["tag", "shop.example/shop:1.1", &name]);
    cluster.repo.write("web.json", &app("1.2"));
    let bad = cluster.repo.commit("broken");
    cluster.wait_phase(&bad, "RolledBack");
    cluster.wait_ready("default", "web", 1);
    assert_eq!(eventually("one runs", image), ran, "the rollback started what the tag means now");
    // So does the next container of it.
    let container = cluster.running("web-")[0].id.clone();
    docker(&["rm", "-f", &container]);
    let again = eventually("it is healed", || image().filter(|_| cluster.running("web-")[0].id != container));
    assert_eq!(again, ran);
    // The removal is one; the image that was meant is none.
    let drifts = eventually("the removal is told", || Some(cluster.items(&["drifts"])).filter(|all| !all.is_empty()));
    assert!(drifts.len() == 1, "the image that was meant is called a drift: {drifts:#?}");
    cluster.audit();
}
