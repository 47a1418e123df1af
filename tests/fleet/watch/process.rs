//! The real binary as a server of its own, that is killed and comes back.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::api::Api;

/// `evenkeel server` on a data directory.
pub struct Process {
    data: PathBuf,
    log: PathBuf,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl Process {
    /// Starts one below a folder.
    pub fn start(dir: &Path) -> Self {
        // Free now; whoever takes it before the server does makes the story fail, not lie.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut process = Self { data: dir.join("data"), log: dir.join("log"), address, child: None };
        process.up();
        process
    }

    /// Starts it on its data, at its address.
    pub fn up(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let address = self.address.to_string();
        let child = command()
            .args(["server", "--listen", &address, "--advertise", &address, "--recovery-wait", "1s", "--data-dir"])
            .arg(&self.data)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Runs a verb of the same binary on its data directory.
    pub fn verb(&self, args: &[&str]) {
        let output = command().args(args).arg("--data-dir").arg(&self.data).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("admin.kubeconfig")
    }

    /// As its administrator, once the first start has made one.
    pub fn api(&self) -> Option<Api> {
        let kubeconfig = self.kubeconfig();
        kubeconfig.exists().then(|| Api::new(&kubeconfig, self.address))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.env_remove("KUBECONFIG").stdin(Stdio::null());
    command
}
