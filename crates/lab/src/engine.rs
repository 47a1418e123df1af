//! A machine's own container engine: its start and its end, and what its API says from outside.
//!
//! It has no default network (`--bridge none`) and writes no firewall rules: what pods reach is
//! Evenkeel's matter. Its state while it runs lies in the machine's `/run` and is lost with the
//! power; images and containers lie in the machine's folder and are not.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    command::docker,
    process::{Inside, Process},
    wait::eventually,
};

/// How long an engine may take for one answer before it counts as one that does not answer.
const ANSWER: Duration = Duration::from_secs(30);

/// An engine, running or not.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    parent: String,
    live_restore: bool,
    daemon: Option<Process>,
}

/// A container as its engine tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// The name of its pod; empty for a container that is not Evenkeel's.
    pub pod: String,
    /// The name of the container in its pod; empty for a sandbox.
    pub name: String,
    /// The engine's id.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// When it was last started, as the engine writes it.
    pub started: String,
}

impl Engine {
    pub(crate) fn new(dir: &Path, parent: String, live_restore: bool) -> Self {
        Self { dir: dir.to_path_buf(), parent, live_restore, daemon: None }
    }

    pub(crate) fn start(&mut self, inside: &Inside<'_>) {
        let at = |name: &str| self.dir.join(name);
        // Of a daemon that was killed. The machine's own daemon may have a configuration; this one
        // has its flags alone.
        let _ = fs::remove_file(at("dockerd.pid"));
        fs::write(at("daemon.json"), "{}").unwrap_or_else(|e| panic!("{}: {e}", self.dir.display()));
        let mut command = Command::new("dockerd");
        command.arg("--config-file").arg(at("daemon.json"));
        command.arg("--data-root").arg(at("root")).args(["--exec-root", "/run/docker/exec"]);
        command.arg("-p").arg(at("dockerd.pid")).args(["-H", &self.url()]);
        command.args(["--bridge", "none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]);
        command.args(["--userland-proxy=false", "--exec-opt", "native.cgroupdriver=cgroupfs"]);
        command.args(["--cgroup-parent", &self.parent]);
        if self.live_restore {
            command.arg("--live-restore");
        }
        self.daemon = Some(Process::start(inside, &command, &at("dockerd.log")));
        eventually("the engine answers", || {
            let daemon = self.daemon.as_mut()?;
            assert!(daemon.ended().is_none(), "dockerd has ended\n{}", daemon.said());
            self.get("/_ping").is_ok().then_some(())
        });
    }

    /// Loads images that `docker save` wrote.
    pub(crate) fn load(&self, tar: &Path) {
        docker(&["-H", &self.url(), "load", "-q", "-i", &tar.display().to_string()]);
    }

    /// `kill -9`; containers run on, without anybody who watches them.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("the engine runs").kill();
    }

    /// SIGTERM, as an upgrade of its package does; waits for its end. Without live-restore it stops
    /// all its containers first.
    pub(crate) fn stop(&mut self) {
        self.daemon.take().expect("the engine runs").terminate();
    }

    /// The power is gone.
    pub(crate) fn gone(&mut self) {
        drop(self.daemon.take());
    }

    pub(crate) fn said(&self) -> String {
        crate::process::tail(&self.dir.join("dockerd.log"))
    }

    /// Where it listens, as `docker -H` and `evenkeel agent --runtime` take it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// GET of the engine's API.
    pub fn get(&self, path: &str) -> io::Result<Value> {
        let text = self.request("GET", path)?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A request without a body; an answer that is no success is an error.
    pub fn request(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(ANSWER))?;
        // HTTP/1.0: the answer comes in one piece and ends with the connection.
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') {
            Ok(body.to_string())
        } else {
            Err(io::Error::other(format!("{method} {path}: {status} {body}")))
        }
    }

    /// All its containers, sorted by pod and name.
    pub fn containers(&self) -> Vec<Container> {
        let list = self.get("/containers/json?all=1").unwrap_or_else(|e| panic!("{}: {e}", self.url()));
        let mut all: Vec<Container> = list.as_array().into_iter().flatten().filter_map(|c| self.container(c)).collect();
        all.sort();
        all
    }

    fn container(&self, listed: &Value) -> Option<Container> {
        let id = listed["Id"].as_str()?.to_string();
        // It may go between the two requests.
        let shown = self.get(&format!("/containers/{id}/json")).ok()?;
        let label =
            |name: &str| listed["Labels"][format!("evenkeel.dev/{name}")].as_str().unwrap_or_default().to_string();
        Some(Container {
            pod: label("pod"),
            name: label("container"),
            running: shown["State"]["Running"] == true,
            started: shown["State"]["StartedAt"].as_str().unwrap_or_default().to_string(),
            id,
        })
    }

    /// Running application containers (no sandboxes) of pods whose name begins so.
    pub fn running(&self, pod_prefix: &str) -> Vec<Container> {
        let mut all = self.containers();
        all.retain(|c| c.running && !c.name.is_empty() && c.pod.starts_with(pod_prefix));
        all
    }

    /// `docker kill` of a container.
    pub fn kill_container(&self, id: &str) {
        self.request("POST", &format!("/containers/{id}/kill")).unwrap_or_else(|e| panic!("{e}"));
    }
}
