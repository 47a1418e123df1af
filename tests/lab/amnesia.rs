//! The server's memory is lost, or an older one, while the nodes run on: nothing that runs is stopped
//! or started again, what was decided still holds, and the server before gives no more orders.

use std::{fs, path::Path};

use evenkeel_lab::{App, Client, Cluster, Container, Lab, Repo, eventually};
use serde_json::Value;

use crate::common::{cluster, settled, web};

fn app(name: &str, replicas: u32, tag: &str) -> String {
    App { name, replicas, tag, ..App::default() }.yaml()
}

/// A source of a name, added by command: a repository with one Deployment of that name.
fn add(cluster: &Cluster, name: &str, replicas: u32) -> Repo {
    let folder = cluster.lab.dir().join(name);
    fs::create_dir(&folder).unwrap();
    let repo = Repo::new(&folder);
    repo.write("app.json", &app(name, replicas, "1.0"));
    repo.commit("first");
    cluster.evenkeel(&["source", "add", name, repo.path.to_str().unwrap(), "--watch-window", "2s"]);
    cluster.wait_ready("default", name, replicas.into());
    eventually(&format!("{name} is good"), || status(cluster, name)["lastGoodRevision"].as_str().map(|_| ()));
    repo
}

fn status(client: &Client, source: &str) -> Value {
    client.json(&["sources", source]).map(|s| s["status"].clone()).unwrap_or_default()
}

/// Whether a field of a source's status names a commit.
fn is(status: &Value, field: &str, commit: &str) -> bool {
    status[field].as_str().is_some_and(|revision| revision.ends_with(commit))
}

fn recovered(client: &Client) {
    eventually("the recovery is over", || {
        let told = client.evenkeel_output(&["status"]);
        let told = String::from_utf8_lossy(&told.stdout).to_lowercase();
        (told.contains("web") && !told.contains("recovering")).then_some(())
    });
}

/// Waits until nothing is on its way out, and gives every container of the nodes, sandboxes too.
fn all_containers(cluster: &Cluster, pods: usize) -> Vec<Container> {
    eventually("what was replaced is gone", || {
        let all: Vec<Container> = (1..=cluster.lab.nodes()).flat_map(|n| cluster.lab.engine(n).containers()).collect();
        // A sandbox and a container each.
        (all.len() == 2 * pods && all.iter().all(|c| c.running)).then_some(all)
    })
}

fn lose_database(data: &Path) {
    for name in ["evenkeel.db", "evenkeel.db-wal", "evenkeel.db-shm"] {
        let path = data.join(name);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_lost_database_is_rebuilt_from_git_and_agents() {
    let mut cluster = cluster(Lab::new(2), &web(4, "1.0"), 4, &["--crash-limit", "1"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);

    // Pinned by hand to what is not the newest.
    let pinned = add(&cluster, "pinned", 1);
    let (old, pods) = (pinned.git(&["rev-parse", "HEAD"]), |c: &Cluster| c.pods("default", "app=pinned").len());
    pinned.write("app.json", &app("pinned", 1, "1.1"));
    let newer = pinned.commit("second");
    eventually("the second is good", || is(&status(&cluster, "pinned"), "lastGoodRevision", &newer).then_some(()));
    cluster.evenkeel(&["rollback", "pinned", "--reason", "the second is ugly"]);
    eventually("back on the first", || is(&status(&cluster, "pinned"), "appliedRevision", &old).then_some(()));
    cluster.wait_ready("default", "pinned", 1);
    eventually("one pod is left", || (pods(&cluster) == 1).then_some(()));
    // A Deployment that no source makes: as by hand.
    add(&cluster, "loose", 2);
    cluster.evenkeel(&["source", "remove", "loose"]);
    eventually("nobody owns it", || cluster.json(&["sources", "loose"]).is_none().then_some(()));
    // The head is in quarantine.
    cluster.repo.write("web.json", &web(4, "1.2"));
    let bad = cluster.repo.commit("does not start");
    cluster.wait_phase(&bad, "RolledBack");
    cluster.wait_ready("default", "web", 4);
    let before = all_containers(&cluster, 7);

    cluster.server_kill();
    lose_database(&cluster.data);
    cluster.server_start();
    for (name, replicas) in [("web", 4), ("pinned", 1)] {
        cluster.wait_ready("default", name, replicas);
    }
    recovered(&cluster);
    eventually("the quarantined head is seen and not tried", || {
        let source = cluster.source();
        let held = source["quarantined"].to_string().contains(&bad);
        (held && is(&source, "observedRevision", &bad) && is(&source, "appliedRevision", &first)).then_some(())
    });
    eventually("the pin holds, the newer commit seen", || {
        let source = status(&cluster, "pinned");
        let holds = source["pinned"]["reason"] == "the second is ugly" && is(&source["pinned"], "revision", &old);
        (holds && is(&source, "observedRevision", &newer) && is(&source, "appliedRevision", &old)).then_some(())
    });
    assert!(cluster.json(&["deployment", "loose"]).is_none(), "nobody knows of it any more");
    assert_eq!(all_containers(&cluster, 7), before);
    let releases = cluster.items(&["releases"]);
    let tried = releases.iter().filter(|r| r["status"]["timeline"].to_string().contains("Progressing"));
    assert_eq!(tried.count(), 0, "{releases:#?}");
    orphans(&cluster, &before);
    // A commit that is good goes on as ever.
    cluster.repo.write("web.json", &web(4, "1.1"));
    let good = cluster.repo.commit("starts");
    cluster.wait_phase(&good, "Healthy");
    cluster.wait_ready("default", "web", 4);
    cluster.audit();
}

/// The two pods of `loose` run on; one is kept and one is not.
fn orphans(cluster: &Cluster, before: &[Container]) {
    let list = cluster.evenkeel(&["orphan", "list", "-o", "name"]);
    let names: Vec<&str> = list.lines().filter_map(|l| l.strip_prefix("pod/")).collect();
    assert!(names.len() == 2 && names.iter().all(|n| n.starts_with("loose-")), "{list}");
    let table = cluster.evenkeel(&["orphan", "list"]);
    assert!(table.contains("the database did not know it"), "{table}");
    let told = cluster.evenkeel(&["orphan", "adopt", names[0]]);
    assert!(told.contains("a plain pod now"), "{told}");
    let told = cluster.evenkeel(&["orphan", "remove", names[1]]);
    assert!(told.contains("is being removed, with a grace of 2 s"), "{told}");
    let again = cluster.evenkeel_output(&["orphan", "remove", names[0]]);
    let again = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.contains("is no orphan"), "{again}");
    let after = all_containers(cluster, 6);
    let expected: Vec<&Container> = before.iter().filter(|c| c.pod != names[1]).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), expected, "the one that was removed, and nothing else");
    // Its container is gone before its agent's word of that has arrived.
    eventually("no orphan is left", || cluster.evenkeel(&["orphan", "list", "-o", "name"]).is_empty().then_some(()));
}

#[test]
fn an_old_backup_stops_no_newer_pod_and_the_server_before_gives_no_orders() {
    let mut cluster = cluster(Lab::new(2), &web(3, "1.0"), 3, &[]);
    let (old, new) = (cluster.data.clone(), cluster.lab.server().dir().join("new"));
    let file = cluster.lab.dir().join("shop.tar");
    cluster.evenkeel(&["backup", file.to_str().unwrap(), "--plain"]);
    // All of this the backup does not know.
    cluster.repo.write("web.json", &web(5, "1.1"));
    let second = cluster.repo.commit("more, and newer");
    cluster.wait_good(&second);
    add(&cluster, "later", 1);
    cluster.wait_ready("default", "web", 5);
    let before = all_containers(&cluster, 6);

    cluster.server_kill();
    cluster.use_data(new);
    cluster.evenkeel(&["restore", file.to_str().unwrap()]);
    cluster.server_start();
    cluster.wait_ready("default", "web", 5);
    cluster.wait_ready("default", "later", 1);
    recovered(&cluster);
    let source = cluster.source();
    assert!(is(&source, "appliedRevision", &second) && is(&source, "lastGoodRevision", &second), "{source:#}");
    assert_eq!(all_containers(&cluster, 6), before);
    assert_eq!(cluster.evenkeel(&["orphan", "list", "-o", "name"]), "");

    // The server before, at an address of its own, and then agents that find it there.
    let (beside, address) = cluster.start_beside(&old, 7444);
    let former = Client { data: old, ..Client::clone(&cluster) };
    eventually("it serves", || {
        former.kubectl_try(&["get", "--request-timeout=2s", "--raw", "/readyz?exclude=recovery"]).ok()
    });
    for node in 1..=2 {
        cluster.agent_stop(node);
        cluster.agent_start_at(node, &address);
        eventually("the agent refuses it", || cluster.agent(node).said().contains("it is refused").then_some(()));
    }
    let told = eventually("it says that it is the former one", || {
        let told = former.evenkeel(&["status"]);
        told.contains("newer store").then_some(told)
    });
    assert!(told.contains("this is the server from before a restore"), "{told}");
    // Nor can it change what runs.
    former.evenkeel(&["source", "remove", "repo", "--prune"]);
    eventually("its objects are gone", || former.json(&["deployment", "web"]).is_none().then_some(()));
    assert_eq!(all_containers(&cluster, 6), before);
    beside.kill();

    for node in 1..=2 {
        cluster.agent_stop(node);
        cluster.agent_start(node);
    }
    cluster.wait_nodes();
    settled(&cluster, 5);
    assert_eq!(all_containers(&cluster, 6), before);
    cluster.audit();
}
