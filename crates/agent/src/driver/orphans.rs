//! Processes of containers that their engine does not know of.
//!
//! An engine that is killed in the midst of a start may leave a process behind: its successor says of
//! the container that it never ran, refuses to start it ("task … already exists"), and removes it
//! without ending the process, which goes on in the pod's network and holds its ports. Seen with
//! Docker 20.10 and `--live-restore`. Here they are found by their control group, whose path holds the
//! container's id whatever the engine's layout is, and ended.
//!
//! Used by `work` and `down`. An agent in another PID namespace than its engine sees none of them.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use evenkeel_runtime::ContainerId;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use thiserror::Error;

/// Ids of containers are 64 hexadecimal digits; a path may hold anything shorter by chance.
const ID_DIGITS: usize = 64;
/// A process is gone this soon after SIGKILL, or hangs in the kernel.
const LIMIT: Duration = Duration::from_secs(5);

/// Processes may be left.
#[derive(Debug, Error)]
pub enum OrphansError {
    /// The table of processes cannot be read.
    #[error("cannot look for processes that the container engine left behind: {0}")]
    Look(io::Error),
    /// The kernel refused.
    #[error("cannot end process {pid}, which the container engine left behind: {why}")]
    End {
        /// Which.
        pid: i32,
        /// What the kernel said.
        why: io::Error,
    },
    /// It does not end, as one that hangs in the kernel.
    #[error("process {pid}, which the container engine left behind, does not end")]
    Stays {
        /// Which.
        pid: i32,
    },
    /// A fault of this program.
    #[error("the search for processes that the container engine left behind was cut off")]
    CutOff,
}

/// Ends all processes of containers that shall have none, and waits until they are gone.
pub(super) async fn end(containers: Vec<ContainerId>) -> Result<(), OrphansError> {
    tokio::task::spawn_blocking(move || end_all(Path::new("/proc"), &containers))
        .await
        .map_err(|_| OrphansError::CutOff)?
}

fn end_all(proc: &Path, containers: &[ContainerId]) -> Result<(), OrphansError> {
    let until = Instant::now() + LIMIT;
    // What is ended may just have begun another.
    loop {
        let mut living = Vec::new();
        for pid in pids(proc).map_err(OrphansError::Look)? {
            if is_of(proc, pid, containers)
                && let Some(process) = open(pid)?
                // The number may be another process's since.
                && is_of(proc, pid, containers)
                && !ended(&process, Duration::ZERO)
            {
                tracing::warn!(pid = pid.as_raw_nonzero(), "ending a process that the container engine left behind");
                signal(pid, &process)?;
                living.push((pid, process));
            }
        }
        if living.is_empty() {
            return Ok(());
        }
        for (pid, process) in living {
            if !ended(&process, until.saturating_duration_since(Instant::now())) {
                return Err(OrphansError::Stays { pid: pid.as_raw_nonzero().get() });
            }
        }
    }
}

fn pids(proc: &Path) -> io::Result<Vec<Pid>> {
    let numbers = fs::read_dir(proc)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.filter_map(Pid::from_raw).collect())
}

/// Whether a process is in a control group of one of these containers.
fn is_of(proc: &Path, pid: Pid, containers: &[ContainerId]) -> bool {
    // One that is gone is nobody's.
    let groups = fs::read_to_string(proc.join(pid.as_raw_nonzero().to_string()).join("cgroup")).unwrap_or_default();
    groups.lines().any(|line| containers.iter().any(|id| id.0.len() >= ID_DIGITS && line.contains(&id.0)))
}

/// `None` where it is gone.
fn open(pid: Pid) -> Result<Option<OwnedFd>, OrphansError> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(why) => Err(OrphansError::End { pid: pid.as_raw_nonzero().get(), why: why.into() }),
    }
}

fn signal(pid: Pid, process: &OwnedFd) -> Result<(), OrphansError> {
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(why) => Err(OrphansError::End { pid: pid.as_raw_nonzero().get(), why: why.into() }),
    }
}

/// Whether a process has ended, after so long at most. One that nobody has waited for yet counts: it holds
/// nothing any more.
fn ended(process: &OwnedFd, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Child, Command},
    };

    use super::*;

    fn id(digit: &str) -> ContainerId {
        ContainerId(digit.repeat(ID_DIGITS))
    }

    /// A table of processes in which one is in a container.
    fn table(child: &Child, cgroup: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let of = dir.path().join(child.id().to_string());
        fs::create_dir(&of).unwrap();
        fs::write(of.join("cgroup"), cgroup).unwrap();
        fs::create_dir(dir.path().join("self")).unwrap();
        dir
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn processes_of_a_container_end_and_no_others() {
        let layouts = [
            format!("0::/system.slice/docker-{}.scope\n", id("a")),
            format!("12:pids:/docker/{}\n11:cpu:/docker/{0}\n", id("a")),
            format!("0::/machine.slice/libpod-{}.scope/container\n", id("a")),
        ];
        for layout in layouts {
            let mut child = sleeper();
            let dir = table(&child, &layout);
            end_all(dir.path(), &[id("b"), ContainerId(String::new()), ContainerId("aaaa".into())]).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{layout}");
            // It is ended, and nobody has waited for it yet.
            end_all(dir.path(), &[id("b"), id("a")]).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9), "{layout}");
        }
    }

    #[test]
    fn processes_that_are_gone_are_nobodys() {
        let mut child = sleeper();
        let dir = table(&child, &format!("0::/docker/{}\n", id("a")));
        child.kill().unwrap();
        child.wait().unwrap();
        end_all(dir.path(), &[id("a")]).unwrap();
        let error = end_all(&dir.path().join("nope"), &[id("a")]).unwrap_err().to_string();
        assert!(error.contains("cannot look for processes"), "{error}");
    }
}
