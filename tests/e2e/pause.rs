//! A process that is stopped and goes on, as in a virtual machine that is paused or a laptop that
//! sleeps: what nobody watched counts against nobody.

use std::{process::Command, thread, time::Duration};

use crate::support::{App, Cluster, eventually, holds_for, run};

/// More than the agent's heartbeats are apart (10 s), so that no node is silent by itself.
const GRACE: Duration = Duration::from_secs(15);
/// After this a heartbeat has come, or a node without one would have been judged.
const JUDGED: Duration = Duration::from_secs(17);

/// Not ready before its time.
const SLOW: &str = r#""env": [{"name": "READY_AFTER", "value": "5"}],
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}"#;

fn signal(cluster: &mut Cluster, name: &str) {
    run(Command::new("kill").args([name, &cluster.pid().to_string()]));
}

/// Stops the process for the whole time.
fn paused(cluster: &mut Cluster, time: Duration) {
    signal(cluster, "-STOP");
    thread::sleep(time);
    signal(cluster, "-CONT");
}

#[test]
fn a_pause_longer_than_the_grace_silences_no_node_and_evicts_nothing() {
    let flags = ["--node-grace", "15s", "--default-toleration", "1s"];
    let mut cluster = Cluster::start_with(&[("web.json", &App { replicas: 2, ..App::default() }.yaml())], &flags);
    cluster.wait_ready("default", "web", 2);
    let (containers, pods) = (cluster.running("web-"), cluster.pods("default", "app=web"));
    let uids = |pods: &[serde_json::Value]| -> Vec<_> { pods.iter().map(|p| p["metadata"]["uid"].clone()).collect() };
    // Just beyond the grace, and far beyond it and the toleration.
    for pause in [GRACE + Duration::from_millis(1500), GRACE * 2] {
        paused(&mut cluster, pause);
        holds_for(JUDGED, || {
            let node = &cluster.items(&["nodes"])[0];
            let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
            if ready["status"] != "True" {
                return Err(format!("the node is blamed for the pause: {ready}"));
            }
            let now = cluster.pods("default", "app=web");
            if uids(&now) != uids(&pods) || now.iter().any(|p| !p["metadata"]["deletionTimestamp"].is_null()) {
                return Err(format!("pods changed after a pause of {pause:?}"));
            }
            Ok(())
        });
    }
    assert_eq!(cluster.running("web-"), containers);
    let silent: Vec<_> = cluster.items(&["events"]).into_iter().filter(|e| e["reason"] == "NodeNotReady").collect();
    assert!(silent.is_empty(), "{silent:#?}");
    cluster.audit();
}

#[test]
fn a_pause_in_a_rollout_is_no_missed_deadline() {
    let app = |tag, container| {
        App { replicas: 1, tag, container, spec: r#""progressDeadlineSeconds": 8"#, ..App::default() }.yaml()
    };
    let mut cluster =
        Cluster::start_with(&[("web.json", &app("1.0", App::default().container))], &["--watch-window", "2s"]);
    cluster.wait_ready("default", "web", 1);
    // Ready in time, if it is let run.
    cluster.repo.write("web.json", &app("1.1", SLOW));
    let second = cluster.repo.commit("web 1.1");
    eventually("the rollout is under way", || {
        let d = cluster.json(&["deployment", "web"])?;
        (d["status"]["updatedReplicas"].as_u64()? >= 1).then_some(())
    });
    // The containers are paused with it, as in a virtual machine.
    let of_new: Vec<String> = eventually("the new container runs", || {
        let running = cluster.running("web-");
        (running.len() == 2).then(|| running.into_iter().map(|c| c.id).collect())
    });
    let pids: Vec<String> =
        of_new.iter().map(|id| cluster.docker(&["inspect", "-f", "{{.State.Pid}}", id]).trim().to_owned()).collect();
    let each = |signal: &str| pids.iter().for_each(|pid| drop(run(Command::new("kill").args([signal, pid]))));
    each("-STOP");
    paused(&mut cluster, Duration::from_secs(15));
    each("-CONT");
    let release = cluster.wait_phase(&second, "Healthy");
    assert!(!release["status"]["timeline"].to_string().contains("RollingBack"), "{release:#}");
    cluster.audit();
}
