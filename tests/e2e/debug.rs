//! `kubectl debug`: a container that is added to a pod that runs sees the processes of the one that it is
//! for, talks with who asked for it, ends, and changes nothing else.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Cluster, eventually, output, through, tools};

fn kubectl(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
    command.arg("--cache-dir").arg(cluster.dir.path().join("kubectl-cache")).args(args).stdin(Stdio::null());
    command
}

fn pod(cluster: &Cluster) -> Value {
    cluster.json(&["pod", "web"]).unwrap()
}

fn ephemeral(cluster: &Cluster, name: &str) -> Value {
    let list = pod(cluster)["status"]["ephemeralContainerStatuses"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|c| c["name"] == name).unwrap_or_default()
}

#[test]
fn kubectl_debug_looks_into_a_pod_that_runs() {
    let mut cluster = Cluster::prepare(&[], &[]);
    let (mount, volume) = tools(&cluster);
    cluster.up();
    let made = format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "web"}}, "spec": {{{volume}, "containers": [{{"name":
        "main", "image": "shop.example/shop:1.0", "command": ["/tools/program", "sleep"], {mount}}}]}}}}"#
    );
    let created = through(kubectl(&cluster, &["create", "-f", "-"]), made.as_bytes());
    assert!(created.status.success(), "{created:?}");
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
    let main = cluster.running("web");
    // What the test's program is mounted by is no flag of kubectl's.
    let custom = cluster.dir.path().join("custom.json");
    std::fs::write(&custom, format!("{{{mount}}}")).unwrap();
    let custom = format!("--custom={}", custom.display());
    let debug = |name: &str, target: &str, more: &[&str], program: &[&str]| {
        let mut args = vec!["debug", "pod/web", "--image=shop.example/shop:1.0", "--profile=general", "-c", name];
        let target = format!("--target={target}");
        args.extend([custom.as_str(), target.as_str()]);
        args.extend(more);
        args.extend(["--", "/tools/program"]);
        args.extend(program);
        kubectl(&cluster, &args)
    };

    // It sees the other's process beside its own.
    let looked = output(&mut debug("look", "main", &["-i", "-q"], &["count"]));
    assert!(looked.status.success(), "{looked:?}");
    eventually("it has ended", || (ephemeral(&cluster, "look")["state"]["terminated"]["exitCode"] == 0).then_some(()));
    let counted = cluster.kubectl(&["logs", "web", "-c", "look"]);
    assert_eq!(counted.trim(), "1", "the processes beside it");
    // It talks, and goes on when the one who talked with it has no more to say, as its input is not of one
    // client alone.
    let mut talk = debug("talk", "main", &["-i", "-q"], &["echo"]);
    let mut talk = talk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut to = talk.stdin.take().unwrap();
    to.write_all(b"is anybody there?\n").unwrap();
    drop(to);
    let mut heard = String::new();
    BufReader::new(talk.stdout.take().unwrap()).read_line(&mut heard).unwrap();
    assert_eq!(heard, "is anybody there?\n");
    talk.kill().unwrap();
    talk.wait().unwrap();
    assert!(ephemeral(&cluster, "talk")["state"]["running"].is_object());
    // One that stays takes commands.
    let stays = output(&mut debug("stay", "main", &[], &["sleep"]));
    assert!(stays.status.success(), "{stays:?}");
    eventually("it runs", || ephemeral(&cluster, "stay")["state"]["running"].is_object().then_some(()));
    let counted = cluster.kubectl(&["exec", "web", "-c", "stay", "--", "/tools/program", "count"]);
    assert_eq!(counted.trim(), "3", "main, talk and stay");
    let described = cluster.kubectl(&["describe", "pod", "web"]);
    assert!(described.contains("Ephemeral Containers:") && described.contains("stay:"), "{described}");

    wrong_ones(&cluster);
    // Another life of the server and the agent begins nothing again.
    cluster.kill();
    cluster.up();
    eventually("it is as it was", || {
        let same = ephemeral(&cluster, "stay")["state"]["running"].is_object();
        let ended = ephemeral(&cluster, "look")["state"]["terminated"].is_object();
        (same && ended && pod(&cluster)["status"]["phase"] == "Running").then_some(())
    });
    let now = cluster.running("web");
    assert!(main.iter().all(|c| now.contains(c)) && now.len() == 3, "{main:?} {now:?}");
    assert_eq!(pod(&cluster)["status"]["containerStatuses"][0]["restartCount"], 0);
    cluster.kubectl(&["delete", "pod", "web", "--grace-period=1"]);
    eventually("all of it is gone", || cluster.containers().iter().all(|c| c.pod != "web").then_some(()));
    cluster.audit();
}

fn wrong_ones(cluster: &Cluster) {
    let refused = |args: &[&str], words: &str| match cluster.kubectl_try(args) {
        Ok(said) => panic!("{args:?} was taken: {said}"),
        Err(said) => assert!(said.contains(words), "{args:?}: {said}"),
    };
    let patch = |patch: &Value, words: &str| {
        let patch = patch.to_string();
        refused(&["patch", "pod", "web", "--subresource=ephemeralcontainers", "--type=json", "-p", &patch], words);
    };
    refused(
        &["debug", "pod/web", "--image=shop.example/shop:1.0", "--profile=general", "--target=nobody"],
        r#"targetContainerName: Not found: "nobody""#,
    );
    patch(
        &json!([{"op": "remove", "path": "/spec/ephemeralContainers/0"}]),
        r#"existing ephemeral containers "look" may not be removed"#,
    );
    patch(
        &json!([{"op": "replace", "path": "/spec/ephemeralContainers/0/image", "value": "other"}]),
        r#"existing ephemeral containers "look" may not be changed"#,
    );
    // Not with the pod itself.
    let patch = r#"{"spec":{"ephemeralContainers":[{"name":"x","image":"y"}]}}"#;
    refused(&["patch", "pod", "web", "-p", patch], "a pod's specification does not change");
    cluster.kubectl(&["label", "pod", "web", "debugged=yes"]);
}

#[test]
fn kubectl_debug_looks_at_a_node() {
    let cluster = Cluster::start(&[]);
    let node = cluster.items(&["nodes"])[0]["metadata"]["name"].as_str().unwrap().to_owned();
    // Where nobody else comes.
    cluster.kubectl(&["cordon", &node]);
    let of = format!("node/{node}");
    let image = "--image=shop.example/shop:1.0";
    let args = ["debug", &of, image, "--profile=general", "-q", "--", "/shop", "hang"];
    let made = output(&mut kubectl(&cluster, &args));
    assert!(made.status.success(), "{made:?}");
    let pod = eventually("its pod", || {
        let all = cluster.items(&["pods"]);
        all.into_iter().find(|p| p["metadata"]["name"].as_str().unwrap().starts_with("node-debugger-"))
    });
    let (name, spec) = (pod["metadata"]["name"].as_str().unwrap(), &pod["spec"]);
    assert_eq!(
        (&spec["nodeName"], &spec["hostPID"], &spec["hostIPC"], &spec["hostNetwork"]),
        (&json!(node), &json!(true), &json!(true), &json!(true)),
        "{pod:#}"
    );
    let ready = cluster.kubectl_try(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=20s"]);
    assert!(ready.is_ok(), "{:#}\n{:#?}", cluster.json(&["pod", name]).unwrap()["status"], cluster.items(&["events"]));
    let container = eventually("its container", || {
        let found = cluster.containers().into_iter().find(|c| c.pod == *name && !c.name.is_empty())?;
        Some(found.id)
    });
    let format =
        "{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}} {{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}";
    let inspected = cluster.docker(&["inspect", "--format", format, &container]);
    assert!(inspected.starts_with("host host ") && inspected.contains("/:/host"), "{inspected}");
    cluster.kubectl(&["delete", "pod", name]);
    // What stands against it is said at once.
    let refused = |node: &str, more: &str, words: &str| {
        let made = format!(
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "placed"}}, "spec": {{"nodeName": "{node}",
            "containers": [{{"name": "c", "image": "shop.example/shop:1.0"{more}}}]}}}}"#
        );
        let created = through(kubectl(&cluster, &["create", "-f", "-"]), made.as_bytes());
        let said = String::from_utf8_lossy(&created.stderr).into_owned();
        assert!(!created.status.success() && said.contains(words), "{said}");
    };
    refused("none", "", "there is no such node");
    refused(&node, r#", "resources": {"requests": {"cpu": "1k"}}"#, "Insufficient cpu");
    cluster.audit();
}
