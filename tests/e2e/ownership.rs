//! Who owns an object: one source, and never by accident.

use crate::support::{App, Cluster, Repo, eventually, holds_for};

#[test]
fn two_sources_cannot_name_one_object() {
    let cluster = Cluster::start(&[("web.json", &App::default().yaml())]);
    cluster.wait_ready("default", "web", 1);
    let other = Repo::new(&cluster.dir.path().join("other"));
    other.write("web.json", &App { replicas: 3, ..App::default() }.yaml());
    let commit = other.commit("the same name");
    cluster.evenkeel(&["source", "add", "other", other.path.to_str().unwrap()]);
    let release = cluster.wait_phase(&commit, "Rejected");
    let text = release["status"].to_string();
    assert!(text.contains("repo") && text.contains("other") && text.contains("web.json"), "{text}");
    cluster.wait_ready("default", "web", 1);
}

#[test]
fn an_emptied_source_waits_for_a_word() {
    let cluster = Cluster::start(&[("web.json", &App::default().yaml())]);
    cluster.wait_ready("default", "web", 1);
    let before = cluster.running("web-");
    cluster.repo.git(&["rm", "-q", "web.json"]);
    let commit = cluster.repo.commit("away with everything");
    let release = cluster.wait_phase(&commit, "Pending");
    assert_eq!(release["status"]["reason"], "MassDelete", "{release:#}");
    holds_for(std::time::Duration::from_secs(2), || {
        if cluster.running("web-") == before { Ok(()) } else { Err("it was deleted".into()) }
    });
    cluster.evenkeel(&["sync", "repo", "--allow-mass-delete"]);
    eventually("it is gone", || cluster.containers().is_empty().then_some(()));
    assert!(cluster.json(&["deployment", "web"]).is_none());
}
