//! What the halves take by themselves: an agent with twenty pods and a probe each, and a server that has
//! nothing to do. Real engine, real programs.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    cluster::{images, run},
    fleet::Server,
    measure::{Better, Samples, bounded, status_kib},
};

const PODS: usize = 20;
/// How long each rests before it is looked at.
const SERVER_RESTS: Duration = Duration::from_mins(1);
const AGENT_RESTS: Duration = Duration::from_mins(10);
const PATIENCE: Duration = Duration::from_mins(5);

/// An agent on this machine's engine; it leaves nothing of its cluster behind, nor of its node's network.
struct Agent {
    child: Child,
    program: PathBuf,
    data: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let down = Command::new(&self.program).args(["down", "--purge", "--data-dir"]).arg(&self.data).output();
        match down {
            Ok(output) if output.status.success() => {}
            other => println!("  the agent's containers and network may be left: {other:?}"),
        }
    }
}

pub fn agent() {
    images();
    let server = Server::start();
    thread::sleep(SERVER_RESTS);
    let memory = |pid, name| Samples::one(status_kib(pid, name) * 1024.0 / 1e6);
    bounded("an empty server, anonymous", "MB", Better::Lower, 12.0, &memory(server.pid(), "RssAnon"));
    bounded("an empty server, resident", "MB", Better::Lower, 30.0, &memory(server.pid(), "VmRSS"));

    let (program, data) = (server.dir().join("evenkeel"), server.dir().join("agent"));
    let log = fs::File::create(server.dir().join("agent-log")).unwrap();
    let child = Command::new(&program)
        // As its unit in packaging/systemd does.
        .env("MALLOC_ARENA_MAX", "1")
        .args(["agent", "--name", "bench", "--log-format", "text", "--server", &server.address().to_string()])
        .args(["--token", &server.token(), "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("evenkeel agent");
    let agent = Agent { child, program, data };
    let manifests = server.dir().join("manifests");
    fs::create_dir(&manifests).unwrap();
    // JSON is YAML.
    fs::write(manifests.join("bench.yaml"), deployment().to_string()).unwrap();
    run(&mut server.verb(&["source", "add", "bench", &manifests.display().to_string()]));
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let read = server.verb(&["get", "deployment", "bench", "-o", "json"]).output().unwrap();
        let value: Value = serde_json::from_slice(&read.stdout).unwrap_or_default();
        if value["status"]["readyReplicas"].as_u64() == Some(PODS as u64) {
            break;
        }
        let said = fs::read_to_string(server.dir().join("agent-log")).unwrap_or_default();
        assert!(std::time::Instant::now() < end, "the pods are not ready; the agent said:\n{said}");
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(AGENT_RESTS);
    let pid = agent.child.id();
    bounded("an agent with 20 pods, anonymous", "MB", Better::Lower, 6.0, &memory(pid, "RssAnon"));
    bounded("an agent with 20 pods, resident", "MB", Better::Lower, 16.0, &memory(pid, "VmRSS"));
}

fn deployment() -> Value {
    let labels = json!({"app": "bench"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "replicas": PODS, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                "name": "shop", "image": "shop.example/shop:1.0",
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 10},
            }]}},
        },
    })
}
