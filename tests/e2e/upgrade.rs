//! Another binary over running containers: nothing restarts, and an older one that meets the database
//! of a newer one says how to go back.

use std::{fs, process::Command};

use crate::support::{App, Cluster, binary, holds_for, output, run};

#[test]
fn another_binary_restarts_nothing() {
    let files: [(&str, &str); 2] = [
        ("web.json", &App { replicas: 2, ..App::default() }.yaml()),
        ("api.json", &App { name: "api", tag: "1.1", ..App::default() }.yaml()),
    ];
    let mut cluster = Cluster::start_with(&files, &["--watch-window", "1s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let before = cluster.containers();
    let started = cluster.started(&before);
    let other = cluster.dir.path().join("evenkeel-next");
    fs::copy(binary(), &other).unwrap();
    for clean in [true, false] {
        if clean {
            cluster.interrupt();
        } else {
            cluster.kill();
        }
        cluster.use_binary(if clean { other.clone() } else { binary() });
        cluster.up();
        cluster.wait_ready("default", "web", 2);
        cluster.wait_ready("default", "api", 1);
        holds_for(std::time::Duration::from_secs(2), || {
            let now = cluster.containers();
            if now == before { Ok(()) } else { Err(format!("containers changed: {before:#?}\n{now:#?}")) }
        });
        assert_eq!(cluster.started(&before), started);
        let drifts = cluster.items(&["drifts"]);
        assert!(drifts.is_empty(), "{drifts:#?}");
        for pod in cluster.items(&["pods"]) {
            assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{pod:#}");
        }
    }
    cluster.audit();
}

#[test]
fn a_newer_schema_is_refused_with_the_copy_to_go_back_to() {
    let mut cluster = Cluster::start_with(&[("web.json", &App::default().yaml())], &["--watch-window", "1s"]);
    cluster.wait_ready("default", "web", 1);
    cluster.wait_good(&cluster.repo.git(&["rev-parse", "HEAD"]));
    let before = cluster.containers();
    let started = cluster.started(&before);
    cluster.interrupt();
    // As a newer version leaves it: a copy from before, and a schema that this one does not know.
    let data = cluster.data();
    let copy = data.join("backups/backup-7.db");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(data.join("evenkeel.db")).unwrap();
    database.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    database.execute_batch("ALTER TABLE meta ADD COLUMN newer TEXT; PRAGMA user_version = 99;").unwrap();
    database.close().unwrap();

    let mut up = Command::new(&cluster.binary);
    up.arg("up").arg("--data-dir").arg(&data).args(["--listen", "127.0.0.1:0"]).env_remove("KUBECONFIG");
    let refused = output(&mut up);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("has schema 99"), "{told}");
    let command = told.split('`').find(|part| part.starts_with("evenkeel restore ")).expect("it names the command");
    assert!(command.contains(copy.to_str().unwrap()), "{told}");
    assert_eq!(cluster.containers(), before, "containers run on meanwhile");

    // What it names is done as it is written.
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    run(Command::new(&cluster.binary).args(words).env_remove("KUBECONFIG"));
    cluster.up();
    cluster.wait_ready("default", "web", 1);
    assert_eq!(cluster.containers(), before);
    assert_eq!(cluster.started(&before), started);
    cluster.audit();
}
