//! Another binary over running containers: nothing restarts.

use std::fs;

use crate::support::{App, Cluster, binary, holds_for};

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
