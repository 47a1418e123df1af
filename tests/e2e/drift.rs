//! What someone does to a container behind Evenkeel's back is recorded and put right; what is not
//! Evenkeel's is left alone.

use std::{process::Command, time::Duration};

use serde_json::Value;

use crate::support::{App, Cluster, docker, eventually, holds_for, run, within};

fn drift_of(cluster: &Cluster, live: &str) -> Option<Value> {
    cluster.items(&["drifts"]).into_iter().find(|d| d["spec"].to_string().to_lowercase().contains(live))
}

#[test]
fn containers_changed_by_hand_are_recorded_and_healed() {
    let cluster = Cluster::start(&[("web.json", &App { replicas: 1, ..App::default() }.yaml())]);
    cluster.wait_ready("default", "web", 1);
    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();
    let acts: &[(&str, &[&str])] = &[
        ("killed", &["kill"]),
        ("stopped", &["stop", "-t", "1"]),
        ("paused", &["pause"]),
        ("removed", &["rm", "-f"]),
        ("updated", &["update", "--memory", "32m", "--memory-swap", "32m"]),
        ("renamed", &["rename"]),
    ];
    for (word, act) in acts {
        let container = eventually("a running container", || cluster.running("web-").into_iter().next());
        let mut args = act.to_vec();
        args.push(&container.id);
        let name = format!("someone-elses-{}", cluster.id());
        if *word == "renamed" {
            args.push(&name);
        }
        docker(&args);
        let drift = within(Duration::from_secs(20), &format!("a drift: {word}"), || drift_of(&cluster, word));
        assert_eq!(drift["spec"]["object"]["name"], pod.as_str(), "{drift:#}");
        eventually(&format!("{word}: healed"), || {
            let healed = drift_of(&cluster, word)?["status"]["resolution"] == "Healed";
            let running = cluster.running("web-");
            let paused = cluster.containers().iter().any(|c| c.state == "paused");
            (healed && running.len() == 1 && !paused).then_some(())
        });
        cluster.wait_ready("default", "web", 1);
    }
    let name = eventually("a running container", || cluster.running("web-").into_iter().next());
    let shown = docker(&["inspect", "--format", "{{.Name}} {{.HostConfig.Memory}}", &name.id]);
    assert!(!shown.contains("someone-elses"), "{shown}");
    // Docker takes back a limit by one that no machine reaches.
    let limit: u64 = shown.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(limit == 0 || limit > 1 << 60, "the limit is back: {shown}");
    // The same pod all the way: a drift is no reason to move.
    assert_eq!(cluster.pods("default", "app=web")[0]["metadata"]["name"], pod.as_str());
    let told = cluster.evenkeel_output(&["drift", "--all"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("Healed"), "{told:?}");
    cluster.audit();
}

#[test]
fn a_foreign_container_is_never_touched() {
    let cluster = Cluster::start(&[("web.json", &App { replicas: 1, ..App::default() }.yaml())]);
    cluster.wait_ready("default", "web", 1);
    let ours = cluster.running("web-")[0].clone();
    // Labels are a hint, not proof: this one copies them all.
    let labels =
        docker(&["inspect", "--format", "{{range $k, $v := .Config.Labels}}--label={{$k}}={{$v}} {{end}}", &ours.id]);
    let mut command = Command::new("docker");
    command.args(["run", "-d"]).args(labels.split_whitespace()).args(["shop.example/shop:1.0", "hang"]);
    let foreign = run(&mut command).trim().to_string();
    cluster.repo.write("web.json", &App { replicas: 1, tag: "1.1", ..App::default() }.yaml());
    let commit = cluster.repo.commit("web 1.1");
    cluster.wait_phase(&commit, "Healthy");
    cluster.wait_ready("default", "web", 1);
    let state = docker(&["inspect", "--format", "{{.State.Running}}", &foreign]);
    docker(&["rm", "-f", &foreign]);
    assert_eq!(state, "true");
}

#[test]
fn without_self_heal_a_drift_waits_for_a_word() {
    let cluster = Cluster::start_with(&[("web.json", &App::default().yaml())], &["--self-heal=false"]);
    cluster.wait_ready("default", "web", 1);
    let container = cluster.running("web-")[0].id.clone();
    docker(&["kill", &container]);
    let drift = within(Duration::from_secs(20), "a drift", || drift_of(&cluster, "killed"));
    assert!(drift["status"]["resolution"].is_null(), "{drift:#}");
    holds_for(Duration::from_secs(3), || {
        if cluster.running("web-").is_empty() { Ok(()) } else { Err("it was healed without a word".into()) }
    });
    assert_eq!(cluster.evenkeel_output(&["drift"]).status.code(), Some(2), "some are open");
    cluster.evenkeel(&["drift", "heal", drift["metadata"]["name"].as_str().unwrap()]);
    cluster.wait_ready("default", "web", 1);
    eventually("healed", || (drift_of(&cluster, "killed")?["status"]["resolution"] == "Healed").then_some(()));

    // A container is as its pod says or it is healed: only a field of an object can be accepted.
    let container = eventually("it runs", || cluster.running("web-").into_iter().next()).id;
    let memory = || docker(&["inspect", "--format", "{{.HostConfig.Memory}}", &container]);
    docker(&["update", "--memory", "32m", "--memory-swap", "32m", &container]);
    let drift = within(Duration::from_secs(20), "a drift", || drift_of(&cluster, "updated"));
    let name = drift["metadata"]["name"].as_str().unwrap();
    let refused = cluster.evenkeel_output(&["drift", "accept", name]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be accepted"), "{refused:?}");
    cluster.evenkeel(&["sync", "repo", "--now"]);
    holds_for(Duration::from_secs(2), || {
        let limit = memory();
        if limit == "33554432" { Ok(()) } else { Err(format!("it was healed without a word: {limit}")) }
    });
    cluster.evenkeel(&["drift", "heal", name]);
    eventually("the limit is back", || {
        let limit: u64 = memory().parse().unwrap();
        (limit == 0 || limit > 1 << 60).then_some(())
    });
    eventually("healed", || (drift_of(&cluster, "updated")?["status"]["resolution"] == "Healed").then_some(()));
    cluster.audit();
}
