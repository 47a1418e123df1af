//! `evenkeel down`: everything that this data directory's cluster runs on this machine away.
//!
//! Works on files and the engine, with a server running (it is stopped) or without. Only containers
//! with this cluster's label are touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use evenkeel_agent::logic::labels;
use evenkeel_runtime::{ContainerInfo, Docker, Runtime as _};
use evenkeel_store::{DirLock, StoreError};
use futures_util::{StreamExt, stream};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process, test_kill_process},
};
use tokio::time::{Instant, sleep};

use super::{Cx, error::hinted};

/// A server that was told to stop ends within this time: more than all its own limits together.
const STOP: Duration = Duration::from_secs(40);
/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(100);
/// Containers that are stopped at once: the engine does no more in the same time.
const AT_ONCE: usize = 16;

/// Remove all containers, sandboxes and volumes of this data directory's cluster from this machine
///
/// A server that runs is stopped first. The data directory stays unless --purge: `evenkeel up`
/// brings everything back. Containers of others are never touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the data directory, too: database, keys, history
    #[arg(long)]
    purge: bool,
    /// The container engine
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    runtime: String,
    /// Time that containers get to end
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    grace: Duration,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let dir = cx.place.data_dir();
    if !dir.is_dir() {
        cx.out.line(format!("{} does not exist: nothing runs from it", dir.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
    let id = match fs::read_to_string(dir.join("ca/cluster-id")) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        Ok(_) => bail!("{} is empty", dir.join("ca/cluster-id").display()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(hinted(
                format!("{} is no data directory of Evenkeel", dir.display()),
                "--data-dir names another one",
            ));
        }
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.join("ca/cluster-id").display())),
    };
    let lock = stop_server(&dir, cx).await?;
    let removed = remove_containers(&args, &id).await?;
    remove_volumes(&dir)?;
    cx.out.line(format!("{removed} containers removed"))?;
    if args.purge {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        cx.out.line(format!("{} removed", dir.display()))?;
    } else {
        cx.out.line(format!("the data directory {} stays; --purge removes it", dir.display()))?;
    }
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

/// Takes the data directory's lock; a server that has it is told to stop.
async fn stop_server(dir: &Path, cx: &mut Cx) -> Result<DirLock> {
    let end = Instant::now() + STOP;
    let mut told = None;
    loop {
        match DirLock::acquire(dir) {
            // It lets go of the lock before the last of its threads has ended.
            Ok(lock) if told.is_none_or(gone) => return Ok(lock),
            Ok(_) if Instant::now() < end => sleep(POLL).await,
            Ok(_) => bail!("the server lets go of {} and does not end", dir.display()),
            Err(StoreError::Locked { holder, .. }) if Instant::now() < end => {
                if told.is_none() {
                    let pid = holder.rsplit(' ').next().and_then(|p| p.parse().ok()).and_then(Pid::from_raw);
                    let pid = pid.with_context(|| format!("the server that uses {} is {holder}", dir.display()))?;
                    cx.out.line(format!("stopping the server ({holder})"))?;
                    cx.out.flush()?;
                    match kill_process(pid, Signal::TERM) {
                        // It has ended by itself in between.
                        Ok(()) | Err(Errno::SRCH) => told = Some(pid),
                        Err(e) => return Err(e).with_context(|| format!("cannot stop {holder}")),
                    }
                }
                sleep(POLL).await;
            }
            Err(e) => return Err(e).context("the server does not stop"),
        }
    }
}

/// Whether a process has ended.
fn gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(Errno::SRCH)
}

async fn remove_containers(args: &Args, cluster: &str) -> Result<usize> {
    let engine = Docker::new(&args.runtime).with_context(|| format!("the container engine at {}", args.runtime))?;
    let selector = [(labels::CLUSTER.to_owned(), cluster.to_owned())];
    let all = engine.list(&selector).await.context("cannot list the containers")?;
    // Sandboxes last: they hold the addresses of the others.
    let (sandboxes, containers): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|c| c.labels.contains_key(labels::SANDBOX));
    let total = sandboxes.len() + containers.len();
    for (group, grace) in [(containers, args.grace), (sandboxes, Duration::ZERO)] {
        let ends = group.iter().map(|c| remove(&engine, c, grace));
        let failed: Vec<anyhow::Error> =
            stream::iter(ends).buffer_unordered(AT_ONCE).filter_map(|r| async move { r.err() }).collect().await;
        if let Some(first) = failed.into_iter().next() {
            return Err(first);
        }
    }
    Ok(total)
}

async fn remove(engine: &Docker, container: &ContainerInfo, grace: Duration) -> Result<()> {
    let name = &container.name;
    // One that does not stop is removed by force.
    if let Err(e) = engine.stop(&container.id, grace).await {
        eprintln!("warning: {name} did not stop: {e}");
    }
    engine.remove(&container.id).await.with_context(|| format!("cannot remove the container {name}"))
}

/// Folders of pods, and the agent's journal of them: it would take their absence for drift.
fn remove_volumes(dir: &Path) -> Result<()> {
    let agent = dir.join("agent");
    for point in mounts_below(&agent).context("cannot read the list of mounts")? {
        unmount(&point, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    for folder in ["pods", "journal"] {
        let folder = agent.join(folder);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Mount points below a folder, the deepest first.
fn mounts_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|l| l.split(' ').nth(4)).map(|p| PathBuf::from(unescape(p)));
    let mut below: Vec<PathBuf> = points.filter(|p| p.starts_with(folder)).collect();
    below.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
    Ok(below)
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, plain);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        assert_eq!(unescape("/a\\040b"), "/a b");
        assert!(mounts_below(Path::new("/no/such/place")).unwrap().is_empty());
    }

    #[test]
    fn the_agents_folders_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("agent/pods/x/volumes")).unwrap();
        fs::write(dir.path().join("agent/agent.json"), "{}").unwrap();
        remove_volumes(dir.path()).unwrap();
        assert!(!dir.path().join("agent/pods").exists());
        assert!(dir.path().join("agent/agent.json").exists());
    }
}
