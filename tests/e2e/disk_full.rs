//! The disk is full: reads are answered, writes are refused with the reason, containers run on, and
//! with room again everything goes on, in the same process.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::{App, Cluster, eventually, holds_for, needs_root, run, sweep};

/// Before the process's id in the name of the disk's directory.
const PREFIX: &str = "evenkeel-e2e-disk-";

/// A small disk.
struct Disk(PathBuf);

impl Disk {
    fn mount() -> Self {
        needs_root();
        sweep(PREFIX, unmount);
        let path = std::env::temp_dir().join(format!("{PREFIX}{}-0", std::process::id()));
        fs::create_dir(&path).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&path));
        Self(path)
    }

    /// Takes all that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("-l").arg(path).output();
    let _ = fs::remove_dir(path);
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let disk = Disk::mount();
    let app = |replicas| App { replicas, ..App::default() }.yaml();
    let mut cluster = Cluster::prepare(&[("web.json", &app(1))], &["--watch-window", "1s"]);
    cluster.use_data(disk.0.join("data"));
    cluster.up();
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    let before = cluster.running("web-");
    let process = cluster.pid();

    disk.fill();
    eventually("a write is refused", || {
        let refused = cluster.evenkeel_output(&["suspend", "repo"]);
        let words = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        (!refused.status.success() && (words.contains("disk") || words.contains("space"))).then_some(())
    });
    let told =
        cluster.kubectl_try(&["patch", "source", "repo", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#, "-v=6"]);
    assert!(told.as_ref().is_err_and(|e| e.contains("507")), "{told:?}");
    // A commit that cannot be recorded waits.
    cluster.repo.write("web.json", &app(2));
    let second = cluster.repo.commit("two of them");
    holds_for(Duration::from_secs(4), || {
        cluster.kubectl_try(&["get", "pods,sources"]).map_err(|e| format!("a read fails: {e}"))?;
        let running = cluster.running("web-");
        if running == before { Ok(()) } else { Err(format!("containers changed: {running:?}")) }
    });
    assert_eq!(cluster.pid(), process);

    disk.free();
    cluster.wait_phase(&second, "Healthy");
    cluster.wait_ready("default", "web", 2);
    eventually("writes are taken", || cluster.evenkeel_output(&["suspend", "repo"]).status.success().then_some(()));
    let after = cluster.running("web-");
    assert!(before.iter().all(|c| after.contains(c)), "{before:?} became {after:?}");
    assert_eq!(cluster.pid(), process);
    cluster.audit();
}
