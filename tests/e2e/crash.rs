//! `kill -9` at any moment loses nothing and stops no container.

use std::{fs, time::Duration};

use crate::support::{App, Cluster, Container, count_answers, docker, eventually};

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

#[test]
fn kills_at_random_moments_of_a_rollout_break_no_promise() {
    let app = |tag| App { replicas: 3, tag, ..App::default() }.yaml();
    let mut cluster = Cluster::start(&[("web.json", &app("1.0"))]);
    cluster.wait_ready("default", "web", 3);
    let sampler = count_answers(&cluster);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    // Fixed, so that a failure has the same moments again; a xorshift of 64 bits.
    let mut seed: u64 = 0x5eed_0000_0000_002a;
    let mut final_ones: Vec<Container> = Vec::new();
    for _ in 0..5 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_millis(seed % 900));
        cluster.kill();
        final_ones.extend(cluster.running("web-").into_iter().filter(|c| image(&c.id) == "shop.example/shop:1.1"));
        cluster.up();
    }
    cluster.wait_phase(&second, "Healthy");
    cluster.wait_ready("default", "web", 3);
    let counts = sampler.stop();
    let least = counts.iter().min().copied().unwrap_or_default();
    assert!(counts.len() > 5 && least >= 3, "only {least} of 3 answered at some moment: {counts:?}");
    let after = eventually("three are left", || Some(cluster.running("web-")).filter(|all| all.len() == 3));
    for container in final_ones {
        assert!(after.contains(&container), "{container:?} was restarted; now {after:?}");
    }
    for container in &after {
        assert_eq!(image(&container.id), "shop.example/shop:1.1");
    }
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "{drifts:#?}");
    cluster.audit();
}

#[test]
fn a_kill_while_a_drift_is_healed_leaves_it_healed() {
    let mut cluster =
        Cluster::start_with(&[("web.json", &App { replicas: 2, ..App::default() }.yaml())], &["--crash-limit", "1"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_ready("default", "web", 2);
    let pods = |cluster: &Cluster| {
        let mut names: Vec<_> =
            cluster.pods("default", "app=web").iter().map(|p| p["metadata"]["name"].clone()).collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    let before = pods(&cluster);
    // At once, and a little later, when the heal is under way.
    for wait in [0, 350] {
        let victim = cluster.running("web-")[0].clone();
        docker(&["kill", &victim.id]);
        std::thread::sleep(Duration::from_millis(wait));
        cluster.kill();
        cluster.up();
        eventually("both run again", || {
            let running = cluster.running("web-");
            (running.len() == 2).then_some(())
        });
        cluster.wait_ready("default", "web", 2);
    }
    assert_eq!(pods(&cluster), before, "a drift is no reason to move");
    eventually("every drift is settled", || {
        cluster.items(&["drifts"]).iter().all(|d| d["status"]["resolution"] == "Healed").then_some(())
    });
    assert!(!cluster.items(&["drifts"]).is_empty(), "a kill by hand is on record");
    let release = cluster.release(&first).unwrap();
    assert!(!release["status"]["timeline"].to_string().contains("Failed"), "{release:#}");
    cluster.audit();
}

#[test]
fn a_database_lost_in_the_middle_of_a_rollout_only_delays_it() {
    let app = |tag| App { replicas: 3, tag, ..App::default() }.yaml();
    let mut cluster = Cluster::start_with(&[("web.json", &app("1.0"))], &["--watch-window", "1s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let sampler = count_answers(&cluster);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    eventually("the rollout is under way", || {
        cluster.running("web-").iter().any(|c| image(&c.id) == "shop.example/shop:1.1").then_some(())
    });
    cluster.kill();
    for name in ["evenkeel.db", "evenkeel.db-wal", "evenkeel.db-shm"] {
        let _ = fs::remove_file(cluster.data().join(name));
    }
    let new: Vec<_> = cluster.running("web-").into_iter().filter(|c| image(&c.id) == "shop.example/shop:1.1").collect();
    cluster.up();
    cluster.wait_good(&second);
    cluster.wait_ready("default", "web", 3);
    let counts = sampler.stop();
    let least = counts.iter().min().copied().unwrap_or_default();
    assert!(counts.len() > 5 && least >= 3, "only {least} of 3 answered at some moment: {counts:?}");
    let after = eventually("three are left", || Some(cluster.running("web-")).filter(|all| all.len() == 3));
    for container in &new {
        assert!(after.contains(container), "{container:?} was restarted; now {after:?}");
    }
    for container in &after {
        assert_eq!(image(&container.id), "shop.example/shop:1.1");
    }
    cluster.audit();
}

/// The tag of the example's image that a container was made of.
fn image(container: &str) -> String {
    let show = |args: &[&str]| {
        let output = crate::support::output(std::process::Command::new("docker").args(args));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    let id = show(&["inspect", "--format", "{{.Image}}", container]);
    let tags = ["shop.example/shop:1.0", "shop.example/shop:1.1"];
    let tag = tags.into_iter().find(|tag| show(&["image", "inspect", "--format", "{{.Id}}", tag]) == id);
    tag.unwrap_or_default().to_string()
}
