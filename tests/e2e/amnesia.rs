//! The database is lost while containers run: everything comes back from git and the agent, and
//! nothing is restarted.

use std::fs;

use crate::support::{App, Cluster, Repo, eventually, holds_for};

fn lose_database(cluster: &Cluster) {
    for name in ["evenkeel.db", "evenkeel.db-wal", "evenkeel.db-shm"] {
        let path = cluster.data().join(name);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_lost_database_is_rebuilt_without_a_restart() {
    let app = |tag| App { replicas: 2, tag, ..App::default() }.yaml();
    let mut cluster = Cluster::start_with(&[("web.json", &app("1.0"))], &["--watch-window", "2s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);

    // A source added by command, and a head that is quarantined.
    let other = Repo::new(&cluster.dir.path().join("other"));
    other.write("api.json", &App { name: "api", ..App::default() }.yaml());
    other.commit("api");
    cluster.evenkeel(&["source", "add", "other", other.path.to_str().unwrap()]);
    cluster.wait_ready("default", "api", 1);
    cluster.repo.write("web.json", &app("1.2"));
    let bad = cluster.repo.commit("broken");
    cluster.wait_phase(&bad, "RolledBack");
    cluster.wait_ready("default", "web", 2);
    eventually("the bad pods are gone", || {
        // Two pods of web and one of api, a sandbox and a container each.
        Some(cluster.containers()).filter(|all| all.len() == 6)
    });
    let before = cluster.containers();

    cluster.kill();
    lose_database(&cluster);
    cluster.up();
    cluster.wait_ready("default", "web", 2);
    cluster.wait_ready("default", "api", 1);
    let same = || {
        let mut now = cluster.containers();
        now.retain(|c| c.state == "running");
        let mut then = before.clone();
        then.retain(|c| c.state == "running");
        if now == then { Ok(()) } else { Err(format!("containers changed:\n{then:#?}\n{now:#?}")) }
    };
    eventually("the quarantined head is seen and not tried", || {
        let source = cluster.source();
        let seen = source["observedRevision"].as_str()?.ends_with(&bad);
        let held = source["quarantined"].to_string().contains(&bad);
        let applied = source["appliedRevision"].as_str()?.ends_with(&first);
        (seen && held && applied).then_some(())
    });
    holds_for(std::time::Duration::from_secs(5), same);
    cluster.audit();
}

#[test]
fn a_pin_survives_a_lost_database() {
    let app = |tag| App { replicas: 1, tag, ..App::default() }.yaml();
    let mut cluster = Cluster::start_with(&[("web.json", &app("1.0"))], &["--watch-window", "1s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    cluster.wait_good(&second);
    cluster.evenkeel(&["rollback", "repo"]);
    eventually("back on the first", || {
        let s = cluster.source();
        s["appliedRevision"].as_str().filter(|r| r.ends_with(&first)).map(|_| ())
    });
    cluster.wait_ready("default", "web", 1);
    let before = eventually("one pod is left", || Some(cluster.running("web-")).filter(|all| all.len() == 1));
    cluster.kill();
    lose_database(&cluster);
    cluster.up();
    eventually("the pin is back", || {
        let s = cluster.source();
        let pinned = s["pinned"]["revision"].as_str()?.ends_with(&first);
        let applied = s["appliedRevision"].as_str()?.ends_with(&first);
        (pinned && applied).then_some(())
    });
    cluster.wait_ready("default", "web", 1);
    assert_eq!(cluster.running("web-"), before);
}
