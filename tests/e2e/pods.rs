//! What a pod's fields do, seen from inside its containers and from outside.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::support::{Cluster, eventually, http_status, output};

const IMAGE: &str = "shop.example/shop:1.0";

fn pod(name: &str, spec: Value) -> String {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"terminationGracePeriodSeconds": 1}});
    pod["metadata"] = json!({"name": name, "labels": {"app": name, "tier": "gold"}});
    let Value::Object(fields) = spec else { panic!("{spec} is no mapping") };
    for (field, value) in fields {
        pod["spec"][&field] = value;
    }
    pod.to_string()
}

/// A pod of one container.
fn small(name: &str, restart: &str, command: &[&str], more: Value) -> String {
    let mut container = json!({"name": "shop", "image": IMAGE});
    container["command"] = json!([&["/shop"], command].concat());
    let Value::Object(fields) = more else { panic!("{more} is no mapping") };
    for (field, value) in fields {
        container[&field] = value;
    }
    pod(name, json!({"restartPolicy": restart, "containers": [container]}))
}

fn full(port: u16, host: &str) -> String {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    pod(
        "full",
        json!({
            "hostname": "till",
            "securityContext": {"fsGroup": 2000},
            "initContainers": [
                {"name": "first", "image": IMAGE, "command": ["/shop", "touch", "/work/init"],
                 "volumeMounts": [{"name": "work", "mountPath": "/work"}]},
                {"name": "side", "image": IMAGE, "restartPolicy": "Always", "command": ["/shop", "hang"]},
            ],
            "containers": [{
                "name": "shop", "image": IMAGE,
                "env": [
                    {"name": "POD", "valueFrom": field("metadata.name")},
                    {"name": "IP", "valueFrom": field("status.podIP")},
                    {"name": "NODE", "valueFrom": field("spec.nodeName")},
                    {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
                    {"name": "JOINED", "value": "$(POD)-$(C_prices)-$(NOBODY)"},
                ],
                "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "C_"}, {"secretRef": {"name": "s"}}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
                "securityContext": {
                    "runAsUser": 1000, "runAsGroup": 1001, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                },
                "ports": [{"containerPort": 8080, "hostPort": port}],
                "lifecycle": {
                    "postStart": {"exec": {"command": ["/shop", "touch", "/work/post"]}},
                    "preStop": {"exec": {"command": ["/shop", "touch", "/host/stopped"]}},
                },
                "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
                "livenessProbe": {"exec": {"command": ["/shop", "probe", "8080", "/healthz"]}, "periodSeconds": 2},
                "volumeMounts": [
                    {"name": "work", "mountPath": "/work"}, {"name": "mem", "mountPath": "/mem"},
                    {"name": "all", "mountPath": "/all", "readOnly": true}, {"name": "down", "mountPath": "/down"},
                    {"name": "config", "mountPath": "/etc/shop/prices.txt", "subPath": "prices"},
                    {"name": "host", "mountPath": "/host"},
                ],
            }],
            "volumes": [
                {"name": "work", "emptyDir": {}},
                {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
                {"name": "config", "configMap": {"name": "c"}},
                {"name": "all", "projected": {"sources": [
                    {"configMap": {"name": "c", "items": [{"key": "prices", "path": "a/prices"}]}},
                    {"secret": {"name": "s"}},
                    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]}},
                {"name": "down", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "host", "hostPath": {"path": host, "type": "Directory"}},
            ],
        }),
    )
}

/// What the security context and the limits of `full` say holds inside its container.
fn is_confined(cluster: &Cluster, shop: &str) {
    docker_exec(shop, &["touch", "/mem/x"]).expect("a volume in memory can be written");
    let mounts = docker_exec(shop, &["cat", "/proc/mounts"]).unwrap();
    let memory = mounts.lines().find(|l| l.contains(" /mem ")).expect("a mount");
    assert!(memory.starts_with("tmpfs") && memory.contains("size=4096k"), "{memory}");
    docker_exec(shop, &["touch", "/root-file"]).expect_err("the root is read-only");
    let process = docker_exec(shop, &["cat", "/proc/1/status"]).unwrap();
    let line = |name: &str| process.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_string();
    assert!(line("Uid:").contains("1000") && line("Gid:").contains("1001"), "{process}");
    assert!(line("Groups:").contains("2000") && line("NoNewPrivs:").contains('1'), "{process}");
    assert!(line("CapBnd:").ends_with("0000000000000000"), "{process}");
    let limits = cluster.docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{.HostConfig.NanoCpus}}",
        shop,
    ]);
    assert!(
        limits.starts_with("67108864 ") && (limits.contains(" 50000 ") || limits.ends_with(" 500000000")),
        "{limits}"
    );
}

#[test]
fn a_pod_gets_what_its_fields_say() {
    let host = tempfile::tempdir().unwrap();
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::start(&[
        ("full.json", &full(port, host.path().to_str().unwrap())),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"prices": "tea 3"}}"#,
        ),
        (
            "s.json",
            r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"KEY": "opens"}}"#,
        ),
    ]);
    eventually("it is there", || cluster.json(&["pod", "full"]));
    cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/full"]);
    let running = cluster.running("full");
    let shop = running.iter().find(|c| c.name == "shop").expect("the container runs").id.clone();
    assert!(running.iter().any(|c| c.name == "side"), "{running:?}");

    let status = cluster.json(&["pod", "full"]).unwrap()["status"].clone();
    let init = &status["initContainerStatuses"];
    assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed", "{status:#}");
    assert_eq!((&init[1]["name"], &init[1]["started"]), (&json!("side"), &json!(true)), "{status:#}");
    assert_eq!(status["qosClass"], "Burstable");
    let env = docker_exec(&shop, &["env"]).unwrap();
    let ip = status["podIP"].as_str().unwrap();
    let node = cluster.items(&["nodes"])[0]["metadata"]["name"].as_str().unwrap().to_string();
    for line in [
        "POD=full",
        &format!("IP={ip}"),
        &format!("NODE={node}"),
        "LIMIT=67108864",
        "JOINED=full-tea 3-$(NOBODY)",
        "C_prices=tea 3",
        "KEY=opens",
        "HOSTNAME=till",
    ] {
        assert!(env.lines().any(|l| l == line), "no {line} in\n{env}");
    }
    for (file, text) in [
        ("/work/init", "x"),
        ("/work/post", "x"),
        ("/all/a/prices", "tea 3"),
        ("/all/KEY", "opens"),
        ("/all/name", "full"),
        ("/etc/shop/prices.txt", "tea 3"),
        ("/down/labels", "app=\"full\"\nevenkeel.dev/source=\"repo\"\ntier=\"gold\""),
    ] {
        let read = docker_exec(&shop, &["cat", file]).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(read.trim_end(), text, "{file}");
    }
    is_confined(&cluster, &shop);
    eventually("the host's port answers", || {
        (http_status(&format!("127.0.0.1:{port}"), "/readyz") == Some(200)).then_some(())
    });
    assert!(!host.path().join("stopped").exists());

    cluster.repo.git(&["rm", "-q", "full.json"]);
    let away = cluster.repo.commit("closed");
    cluster.wait_phase(&away, "Healthy");
    eventually("it is gone", || cluster.containers().is_empty().then_some(()));
    assert!(host.path().join("stopped").exists(), "the hook before the stop did not run");
    cluster.audit();
}

#[test]
fn every_end_of_a_container_has_its_reason() {
    let probe = json!({"livenessProbe": {"httpGet": {"path": "/nothing", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}});
    let cluster = Cluster::start(&[
        ("oom.json", &small("oom", "Never", &["eat"], json!({"resources": {"limits": {"memory": "16Mi"}}}))),
        ("crash.json", &small("crash", "Always", &["exit", "3"], json!({}))),
        ("done.json", &small("done", "OnFailure", &["exit", "0"], json!({}))),
        ("sick.json", &small("sick", "Always", &["web"], probe)),
        ("root.json", &small("root", "Always", &["web"], json!({"securityContext": {"runAsNonRoot": true}}))),
        ("big.json", &small("big", "Always", &["web"], json!({"resources": {"requests": {"cpu": "900"}}}))),
    ]);
    let seen = |name: &str, what: &dyn Fn(&Value, &Value) -> bool| {
        eventually(&format!("pod {name} ends as it must"), || {
            let status = cluster.json(&["pod", name])?["status"].clone();
            what(&status, &status["containerStatuses"][0]).then_some(())
        });
    };
    seen("oom", &|s, c| {
        let end = &c["state"]["terminated"];
        s["phase"] == "Failed" && end["reason"] == "OOMKilled" && end["exitCode"] == 137
    });
    seen("done", &|s, c| s["phase"] == "Succeeded" && c["state"]["terminated"]["reason"] == "Completed");
    seen("crash", &|s, c| {
        let waiting = &c["state"]["waiting"];
        s["phase"] == "Running"
            && waiting["reason"] == "CrashLoopBackOff"
            && waiting["message"].as_str().is_some_and(|m| m.contains("back-off"))
            && c["lastState"]["terminated"]["exitCode"] == 3
            && c["restartCount"].as_u64() >= Some(1)
    });
    seen("sick", &|_, c| {
        let last = c["lastState"]["terminated"].to_string();
        c["restartCount"].as_u64() >= Some(1) && last.contains("liveness") && last.contains("404")
    });
    seen("root", &|_, c| {
        let waiting = &c["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError" && waiting.to_string().contains("runAsNonRoot")
    });
    seen("big", &|s, _| {
        s["phase"] == "Pending" && s.to_string().contains("0/1 nodes are available: 1 Insufficient cpu")
    });
    let events = cluster.kubectl(&["get", "events"]);
    assert!(events.contains("FailedScheduling") && events.contains("OOMKilled"), "{events}");
    let status = String::from_utf8_lossy(&cluster.evenkeel_output(&["status"]).stdout).into_owned();
    assert!(status.contains("Insufficient cpu"), "{status}");
    cluster.audit();
}

/// Runs the example's program inside a container.
fn docker_exec(container: &str, words: &[&str]) -> Result<String, String> {
    let shown = output(std::process::Command::new("docker").args(["exec", container, "/shop"]).args(words));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    if shown.status.success() { Ok(text(&shown.stdout)) } else { Err(text(&shown.stderr)) }
}
