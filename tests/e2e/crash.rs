//! `kill -9` at any moment loses nothing and stops no container.

use crate::support::{App, Cluster, eventually};

#[test]
fn a_kill_in_the_middle_of_a_rollout_only_delays_it() {
    let app = |tag| App { replicas: 4, tag, ..App::default() }.yaml();
    let mut cluster = Cluster::start(&[("web.json", &app("1.0"))]);
    cluster.wait_ready("default", "web", 4);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    eventually("the rollout is under way", || {
        let d = cluster.json(&["deployment", "web"])?;
        (d["status"]["updatedReplicas"].as_u64()? >= 1).then_some(())
    });
    cluster.kill();
    let before = cluster.running("web-");
    assert!(before.len() >= 4, "{before:?}");
    cluster.up();
    cluster.wait_phase(&second, "Healthy");
    cluster.wait_ready("default", "web", 4);
    // What ran already of the new template runs on: same containers.
    let after = cluster.running("web-");
    let new: Vec<_> = before.iter().filter(|c| image(&c.id) == "shop.example/shop:1.1").collect();
    for container in new {
        assert!(after.contains(container), "{container:?} was restarted; now {after:?}");
    }
    cluster.audit();
}

#[test]
fn a_stop_and_a_start_restart_nothing() {
    let mut cluster = Cluster::start(&[("web.json", &App { replicas: 2, ..App::default() }.yaml())]);
    cluster.wait_ready("default", "web", 2);
    let before = cluster.running("web-");
    cluster.interrupt();
    assert_eq!(cluster.running("web-"), before, "Ctrl-C leaves containers running");
    cluster.up();
    cluster.wait_ready("default", "web", 2);
    assert_eq!(cluster.running("web-"), before);
    cluster.audit();
}

fn image(container: &str) -> String {
    let output = crate::support::output(std::process::Command::new("docker").args([
        "inspect",
        "--format",
        "{{.Config.Image}}",
        container,
    ]));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}
