//! A container engine of a story's own: a `dockerd` in pid, mount, network, UTS and IPC namespaces
//! of its own, so that it can be restarted and killed without any other story noticing.
//!
//! It has no default network (`--bridge none`) and writes no firewall rules. Everything in it ends
//! with the node's first process, and that one with the thread that made it; its directory and
//! control groups go with [`Engine`], or with the next run after a crash of this one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::support::{docker, eventually, images, needs_root, output, run, sweep};

/// Before the process's id in names of directories; those of control groups are the same.
const PREFIX: &str = "evenkeel-e2e-engine-";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running engine.
pub struct Engine {
    dir: PathBuf,
    live_restore: bool,
    /// `unshare`, the parent of the node's first process.
    node: Child,
    /// The node's first process.
    init: u32,
    /// `nsenter`, the parent of `dockerd`.
    daemon: Child,
}

impl Engine {
    /// Starts one and loads the example's images into it.
    pub fn start(live_restore: bool) -> Self {
        needs_root();
        images();
        sweep(PREFIX, remove);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        // The machine's own daemon may have a configuration; this one has its flags alone.
        fs::write(dir.join("daemon.json"), "{}").unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork"]);
        command.args(["--kill-child", "--mount-proc", "--propagation", "slave", "docker-init", "--", "sleep", "3600"]);
        let node = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let init = eventually("the node's first process", || child_of(node.id()));
        let ready = "ip link set lo up && mkdir -p /run/docker /run/containerd && \
                     mount -t tmpfs run /run/docker && mount -t tmpfs run /run/containerd";
        // It may still be on its way into its namespaces: then this is tried again.
        eventually("the node's namespaces", || {
            let comm = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            (comm.trim() == "docker-init").then_some(())
        });
        run(inside(init).args(["sh", "-c", ready]));
        let daemon = daemon(init, &dir, live_restore);
        let engine = Self { dir, live_restore, node, init, daemon };
        engine.wait();
        let tar = engine.dir.join("images.tar");
        let tar = tar.to_str().unwrap();
        docker(&["save", "-o", tar, "shop.example/shop:1.0", "shop.example/shop:1.1", "shop.example/shop:1.2"]);
        docker(&["-H", &engine.url(), "load", "-i", tar]);
        engine
    }

    /// Where it listens, as Evenkeel and `docker` take it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    /// Stops it as an upgrade of its package does, and starts it again.
    pub fn restart(&mut self) {
        self.end("-TERM");
    }

    /// `kill -9`, and a start.
    pub fn crash(&mut self) {
        self.end("-KILL");
    }

    fn end(&mut self, signal: &str) {
        let dockerd = child_of(self.daemon.id()).expect("dockerd runs");
        run(Command::new("kill").args([signal, &dockerd.to_string()]));
        self.daemon.wait().unwrap();
        let _ = fs::remove_file(self.dir.join("dockerd.pid"));
        self.daemon = daemon(self.init, &self.dir, self.live_restore);
        self.wait();
    }

    fn wait(&self) {
        let url = self.url();
        eventually("the engine answers", || {
            output(Command::new("docker").args(["-H", &url, "version"])).status.success().then_some(())
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("dockerd.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the last of dockerd's log ---\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        // The first process of a pid namespace takes all others with it.
        let _ = Command::new("kill").args(["-KILL", &self.init.to_string()]).output();
        let _ = self.node.wait();
        let _ = self.daemon.wait();
        remove(&self.dir);
    }
}

fn daemon(init: u32, dir: &Path, live_restore: bool) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("dockerd.log")).unwrap();
    let mut command = inside(init);
    command.arg("dockerd").arg("--config-file").arg(dir.join("daemon.json"));
    command.arg("--data-root").arg(dir.join("root")).arg("--exec-root").arg(dir.join("run"));
    command
        .arg("-p")
        .arg(dir.join("dockerd.pid"))
        .arg("-H")
        .arg(format!("unix://{}", dir.join("docker.sock").display()));
    command.args(["--bridge", "none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]);
    command.arg("--userland-proxy=false");
    command.arg("--cgroup-parent").arg(Path::new("/").join(dir.file_name().unwrap()));
    if live_restore {
        command.arg("--live-restore");
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// A command that runs in the node.
fn inside(init: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &init.to_string(), "-m", "-u", "-i", "-n", "-p", "--"]);
    command
}

fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Removes an ended engine's control groups and directory.
fn remove(dir: &Path) {
    let name = dir.file_name().unwrap();
    for controller in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        remove_group(&controller.path().join(name));
    }
    remove_group(&Path::new("/sys/fs/cgroup").join(name));
    if let Err(e) = fs::remove_dir_all(dir) {
        eprintln!("{} stays behind: {e}", dir.display());
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_group(&entry.path());
        }
    }
    // Files in it are the kernel's and go with it. Where there is none, there is nothing to do.
    let _ = fs::remove_dir(group);
}
