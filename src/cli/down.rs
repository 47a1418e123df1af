//! `evenkeel down`: everything that this data directory's cluster runs on this machine away.
//!
//! Works on files and the engine, with a server running (it is stopped) or without. What is removed,
//! and what only looks like ours, the agent's crate knows.

use std::{fs, io, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use evenkeel_agent::{driver, remote::IdentityStore};
use evenkeel_files::Holder;
use evenkeel_runtime::Docker;
use evenkeel_store::{DirLock, StoreError};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};
use tokio::time::{Instant, sleep};

use super::{Cx, error::hinted};

/// A process that was told to stop ends within this time: more than all its own limits together.
const STOP: Duration = Duration::from_secs(40);
/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(100);

/// Remove all containers, sandboxes and volumes of this data directory's cluster from this machine
///
/// A server or agent that runs is stopped first. The data directory stays unless --purge: `evenkeel up`
/// brings everything back. Containers of others are never touched.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel down                        what runs goes, what is known stays\n  evenkeel down --purge --data-dir DIR   everything goes"
)]
pub(crate) struct Args {
    /// Remove the data directory, too: database, keys, history
    #[arg(long)]
    purge: bool,
    /// The container engine
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    runtime: String,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let dir = cx.place.data_dir();
    if !dir.is_dir() {
        cx.out.line(format!("{} does not exist: nothing runs from it", dir.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
    let id = cluster(&dir)?;
    // A server, and an agent that has a process of its own.
    let locks = (stop(&dir, cx).await?, stop(&dir.join("agent"), cx).await?);
    let engine = Docker::new(&args.runtime).with_context(|| format!("the container engine at {}", args.runtime))?;
    let removed = driver::down(Arc::new(engine), &id, &dir.join("agent")).await?;
    cx.out.line(format!("{} containers and {} sandboxes removed", removed.containers, removed.sandboxes))?;
    if removed.foreign > 0 {
        cx.out.line(format!("{} left alone: they carry our labels, but we did not make them", removed.foreign))?;
    }
    if args.purge {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        cx.out.line(format!("{} removed", dir.display()))?;
    } else {
        cx.out.line(format!("the data directory {} stays; --purge removes it", dir.display()))?;
    }
    drop(locks);
    Ok(ExitCode::SUCCESS)
}

/// The id of the cluster that a data directory belongs to: of its CA, or of the node that joined.
fn cluster(dir: &Path) -> Result<String> {
    let file = dir.join("ca/cluster-id");
    match fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => bail!("{} is empty", file.display()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let agent = dir.join("agent");
            let joined = if agent.is_dir() { IdentityStore::open(&agent)?.load()? } else { None };
            let hint = || {
                hinted(format!("{} is no data directory of Evenkeel", dir.display()), "--data-dir names another one")
            };
            joined.map(|identity| identity.cluster).ok_or_else(hint)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Takes a folder's lock; a server or agent that has it is told to stop.
async fn stop(dir: &Path, cx: &mut Cx) -> Result<DirLock> {
    let end = Instant::now() + STOP;
    let mut told = None;
    loop {
        match DirLock::acquire(dir) {
            // It lets go of the lock before the last of its threads has ended.
            Ok(lock) if told.is_none_or(gone) => return Ok(lock),
            Ok(_) if Instant::now() < end => sleep(POLL).await,
            Ok(_) => bail!("the process lets go of {} and does not end", dir.display()),
            Err(StoreError::Locked { holder, .. }) if Instant::now() < end => {
                if told.is_none() {
                    let pid = if let Holder::Running(pid) = holder { i32::try_from(pid).ok() } else { None };
                    let pid = pid
                        .and_then(Pid::from_raw)
                        .with_context(|| format!("the process that uses {} is {holder}", dir.display()))?;
                    cx.out.line(format!("stopping {holder}"))?;
                    cx.out.flush()?;
                    match kill_process(pid, Signal::TERM) {
                        // It has ended by itself in between.
                        Ok(()) | Err(Errno::SRCH) => told = Some(pid),
                        Err(e) => return Err(e).with_context(|| format!("cannot stop {holder}")),
                    }
                }
                sleep(POLL).await;
            }
            Err(e) => return Err(e).context("the process does not stop"),
        }
    }
}

/// Whether a process has ended: it is gone, or waits for its parent to take note (state `Z`).
fn gone(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return true;
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name before the state stands in parentheses and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
