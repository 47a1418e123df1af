//! A Secret's value is seen by the containers that use it, and by nobody else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{App, Cluster, eventually, output};

/// The values; nothing else in this story contains them.
const VALUES: [&str; 3] = ["hunter2-of-the-old-shop", "a-file-nobody-may-read", "hunter3-of-the-new-shop"];
/// The same as a Secret's `data` has them.
const ENCODED: [&str; 3] =
    ["aHVudGVyMi1vZi10aGUtb2xkLXNob3A=", "YS1maWxlLW5vYm9keS1tYXktcmVhZA==", "aHVudGVyMy1vZi10aGUtbmV3LXNob3A="];

fn is_clean(what: &str, bytes: &[u8]) {
    for value in VALUES.iter().chain(&ENCODED) {
        let found = bytes.windows(value.len()).position(|w| w == value.as_bytes());
        if let Some(at) = found {
            let from = at.saturating_sub(200);
            panic!("{what} tells {value}: …{}", String::from_utf8_lossy(&bytes[from..at + value.len()]));
        }
    }
}

/// All files below a directory, but the volumes of pods: those live in memory and are for the
/// containers.
fn files(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != "volumes" {
            files(&entry.path(), all);
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
}

/// No verb, no object, no line of the story and no file has a value.
fn is_told_nowhere(cluster: &Cluster, first: &str) {
    for verb in [
        &["status"][..],
        &["history", "repo"],
        &["events"],
        &["drift", "--all", "-o", "yaml"],
        &["diff", first],
        &["diff", first, "-o", "yaml"],
        &["describe", "deployment", "web"],
        &["why", "deployment", "web"],
        &["audit"],
    ] {
        let told = cluster.evenkeel_output(verb);
        is_clean(&format!("{verb:?}"), &told.stdout);
        is_clean(&format!("{verb:?}"), &told.stderr);
    }
    let kinds = "drifts,releases,events,pods,replicasets,deployments,sources,configmaps,nodes,namespaces";
    is_clean("kubectl", cluster.kubectl(&["get", kinds, "-A", "-o", "yaml"]).as_bytes());
    is_clean("kubectl describe", cluster.kubectl(&["describe", "deployments,pods,secrets"]).as_bytes());
    is_clean("the metrics", cluster.kubectl(&["get", "--raw", "/metrics"]).as_bytes());
    is_clean("the terminal", cluster.said().as_bytes());
    let mut all = Vec::new();
    files(&cluster.data(), &mut all);
    assert!(all.iter().any(|f| f.ends_with("evenkeel.db")) && all.len() > 5, "{all:?}");
    for file in all {
        is_clean(&file.display().to_string(), &fs::read(&file).unwrap_or_default());
    }
    // What the containers see of it lies in memory.
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let volumes = cluster.data().join("agent/pods");
    let mine = mounts.lines().any(|l| l.starts_with("tmpfs") && l.contains(volumes.to_str().unwrap()));
    let user = output(std::process::Command::new("id").arg("-u")).stdout;
    assert!(mine || user != b"0\n", "the Secret's volume is not in memory: {mounts}");
}

#[test]
fn a_secret_is_told_nowhere() {
    let secret = |password: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Secret", "metadata": {{"name": "s"}}, "stringData": {{"password": "{password}", "key": "{}"}}}}"#,
            VALUES[1]
        )
    };
    let volume = r#""volumes": [{"name": "v", "secret": {"secretName": "s"}}]"#;
    let env = r#""env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]"#;
    let good = App { container: env, pod: volume, ..App::default() };
    let cluster = Cluster::start_with(
        &[("web.json", &good.yaml()), ("s.json", &secret(VALUES[0]))],
        &["--watch-window", "2s", "--crash-limit", "1"],
    );
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let container = cluster.running("web-")[0].id.clone();
    assert_eq!(cluster.docker(&["exec", &container, "/shop", "cat", "/v/key"]), VALUES[1]);

    // Two ways to tell it: the environment printed, and the file printed.
    let mut causes = Vec::new();
    for words in [r#"["/shop", "env"]"#, r#"["/shop", "cat", "/v/key"]"#] {
        let container = format!(r#"{env}, "command": {words}"#);
        cluster.repo.write("web.json", &App { container: &container, pod: volume, ..App::default() }.yaml());
        let bad = cluster.repo.commit("prints what it should not");
        let release = cluster.wait_phase(&bad, "RolledBack");
        causes.push(release["status"]["cause"]["logs"].to_string());
    }
    assert!(causes[0].contains("SHOP_VERSION=") && causes[0].contains("PASSWORD="), "{causes:?}");

    // The Secret itself changes, is shown as a difference, and is broken on purpose.
    cluster.repo.write("s.json", &secret(VALUES[2]));
    let diff = cluster.evenkeel_output(&["diff", cluster.repo.path.to_str().unwrap()]);
    assert_eq!(diff.status.code(), Some(2), "{diff:?}");
    is_clean("diff", &diff.stdout);
    is_clean("diff", &diff.stderr);
    cluster.repo.write("web.json", &good.yaml());
    let changed = cluster.repo.commit("another password");
    cluster.wait_good(&changed);
    eventually("the new value is there", || {
        let running = cluster.running("web-");
        let env = cluster.docker(&["inspect", "--format", "{{.Config.Env}}", &running.first()?.id]);
        (running.len() == 1 && env.contains(VALUES[2])).then_some(())
    });
    cluster.repo.write(
        "s.json",
        &secret(VALUES[0]).replace(r#""kind""#, r#""tipe": "x", "kind""#).replace("}}", "}, \"data\": {\"a\": \"%\"}}"),
    );
    let broken = cluster.repo.commit("a Secret that is none");
    cluster.wait_phase(&broken, "Rejected");
    let container = cluster.running("web-")[0].id.clone();
    cluster.docker(&["update", "--memory", "64m", "--memory-swap", "64m", &container]);
    eventually("a drift", || cluster.items(&["drifts"]).first().cloned());
    is_told_nowhere(&cluster, &first);
}
