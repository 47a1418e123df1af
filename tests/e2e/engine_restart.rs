//! The engine goes away and comes back in the middle of a rollout and of a watch window: that is
//! nobody's fault, so nothing is rolled back and nothing counts as a crash or a drift.

use std::time::{Duration, Instant};

use crate::{
    engine::Engine,
    support::{App, Cluster, eventually, holds_for},
};

/// Pods of a private engine have no address: they are asked from inside.
const READY: &str =
    r#""readinessProbe": {"exec": {"command": ["/shop", "probe", "8080", "/readyz"]}, "periodSeconds": 1}"#;

/// The agent calls what happened a drift within a second of the engine's answer: some more than that.
const DRIFTS_HELD: Duration = Duration::from_secs(5);

fn restarts_change_nothing(live_restore: bool) {
    let mut engine = Engine::start(live_restore);
    let app = |tag| App { replicas: 3, tag, container: READY, ..App::default() }.yaml();
    let mut cluster = Cluster::prepare(&[("web.json", &app("1.0"))], &["--watch-window", "6s", "--crash-limit", "1"]);
    cluster.use_engine(&engine.url());
    cluster.up();
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);

    // In the middle of a rollout.
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    eventually("the rollout is under way", || {
        let d = cluster.json(&["deployment", "web"])?;
        (d["status"]["updatedReplicas"].as_u64()? >= 1).then_some(())
    });
    let before = cluster.running("web-");
    engine.restart();
    if live_restore {
        let after = cluster.running("web-");
        let lost: Vec<_> = before.iter().filter(|c| !after.contains(c)).collect();
        assert!(lost.len() <= 1, "an engine that restores its containers lost {lost:?}");
    }
    cluster.wait_phase(&second, "Healthy");
    cluster.wait_ready("default", "web", 3);

    // In the middle of the watch window. Old pods have their grace after the release is up.
    let before = eventually("the old pods have ended", || {
        let running = cluster.running("web-");
        (running.len() == 3).then_some(running)
    });
    engine.crash();
    let back = Instant::now();
    if live_restore {
        assert_eq!(cluster.running("web-"), before, "an engine that restores its containers lost some");
    }
    cluster.wait_ready("default", "web", 3);
    cluster.wait_good(&second);
    let running = cluster.running("web-");
    holds_for(DRIFTS_HELD.saturating_sub(back.elapsed()), || {
        if cluster.running("web-") == running { Ok(()) } else { Err("containers changed after all was well".into()) }
    });

    let release = cluster.release(&second).unwrap();
    let phases = release["status"]["timeline"].to_string();
    assert!(!phases.contains("Failed") && !phases.contains("RollingBack"), "{release:#}");
    let source = cluster.source();
    assert!(source["quarantined"].is_null(), "{source:#}");
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "the engine's restart is called a drift: {drifts:#?}");
    cluster.audit();
}

#[test]
fn an_engine_that_stops_its_containers() {
    restarts_change_nothing(false);
}

#[test]
fn an_engine_that_restores_its_containers() {
    restarts_change_nothing(true);
}

#[test]
fn an_engine_without_a_network_is_the_reason_of_what_needs_one() {
    let engine = Engine::start(false);
    let good = App { container: READY, ..App::default() };
    let mut cluster = Cluster::prepare(&[("web.json", &good.yaml())], &["--watch-window", "1s"]);
    cluster.use_engine(&engine.url());
    cluster.up();
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let kinds = [
        r#""readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}"#,
        r#""readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}"#,
        r#""ports": [{"containerPort": 8080, "hostPort": 18977}]"#,
    ];
    for container in kinds {
        let bad = App { container, spec: r#""progressDeadlineSeconds": 12"#, ..App::default() };
        cluster.repo.write("web.json", &bad.yaml());
        let commit = cluster.repo.commit("needs an address");
        let release = cluster.wait_phase(&commit, "RolledBack");
        let cause = release["status"]["cause"].to_string();
        assert!(cause.contains("no default network"), "{container}: {cause}");
        cluster.wait_ready("default", "web", 1);
    }
}
