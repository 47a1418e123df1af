//! Where manifests come from: a directory, a repository that goes away.

use std::fs;

use crate::support::{App, Cluster, eventually, holds_for};

#[test]
fn a_directory_is_followed_as_it_is_saved() {
    let cluster = Cluster::start(&[("placeholder.json", &App { name: "first", ..App::default() }.yaml())]);
    let dir = cluster.dir.path().join("plain");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web.json"), App { name: "plain", ..App::default() }.yaml()).unwrap();
    cluster.evenkeel(&["source", "add", "plain", dir.to_str().unwrap()]);
    cluster.wait_ready("default", "plain", 1);
    // As editors save: a temporary file beside it, then a rename over it.
    fs::write(dir.join(".web.json.swp"), "half of a fi").unwrap();
    fs::write(dir.join("web.json~"), App { name: "plain", replicas: 2, ..App::default() }.yaml()).unwrap();
    fs::rename(dir.join("web.json~"), dir.join("web.json")).unwrap();
    cluster.wait_ready("default", "plain", 2);
    let status = cluster.json(&["sources", "plain"]).unwrap()["status"].clone();
    assert!(status["appliedRevision"].as_str().unwrap().starts_with("dir@sha256:"), "{status:#}");
}

#[test]
fn a_repository_that_is_away_changes_nothing() {
    let cluster = Cluster::start_with(&[("web.json", &App::default().yaml())], &["--interval", "1s"]);
    cluster.wait_ready("default", "web", 1);
    let before = cluster.running("web-");
    let hidden = cluster.dir.path().join("hidden");
    fs::rename(&cluster.repo.path, &hidden).unwrap();
    let fetched = || {
        let source = cluster.source();
        let conditions = source["conditions"].as_array()?.clone();
        conditions.into_iter().find(|c| c["type"] == "Fetched")
    };
    let condition = eventually("the source says that it is away", || fetched().filter(|c| c["status"] == "False"));
    assert!(!condition["message"].as_str().unwrap().is_empty(), "{condition:#}");
    holds_for(std::time::Duration::from_secs(2), || {
        if cluster.running("web-") == before { Ok(()) } else { Err("a container changed".into()) }
    });
    fs::rename(&hidden, &cluster.repo.path).unwrap();
    cluster.repo.write("web.json", &App { replicas: 2, ..App::default() }.yaml());
    let commit = cluster.repo.commit("two of them");
    cluster.wait_phase(&commit, "Healthy");
    eventually("it answers again", || fetched().filter(|c| c["status"] == "True"));
}
