//! Network namespaces of other processes: waiting for a sandbox to make its own, and doing things in
//! one.
//!
//! Only a thread of its own ever enters one, and it ends there: none that goes back to a pool may be
//! in another network than the rest of the program.

use std::{
    fs, io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::time::Instant;

use super::kernel::{Kernel, KernelError, refused};

/// Longest time for a sandbox to make its namespace: up to 30 ms were seen on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Which namespace: its inode on the kernel's file system of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);

fn identity(file: &fs::Metadata) -> Identity {
    Identity(file.dev(), file.ino())
}

/// A process's network namespace, held open: it lives as long as this does.
#[derive(Debug)]
pub struct Network {
    file: fs::File,
    identity: Identity,
}

impl Network {
    /// That of a process, by the id that it has for this one.
    pub fn of(pid: u32) -> io::Result<Self> {
        let file = fs::File::open(format!("/proc/{pid}/ns/net"))?;
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity })
    }

    /// Which it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether it is the one that the calling thread is in.
    pub fn is_the_machines(&self) -> bool {
        fs::metadata("/proc/thread-self/ns/net").is_ok_and(|own| identity(&own) == self.identity)
    }

    pub(crate) fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.file)
    }

    /// Does something in it, with a socket of its own, on a thread that ends then.
    pub(crate) async fn enter<T, F>(&self, what: &str, act: F) -> Result<T, KernelError>
    where
        T: Send + 'static,
        F: AsyncFnOnce(Kernel) -> Result<T, KernelError> + Send + 'static,
    {
        let file = self.file.try_clone().map_err(|e| refused(what, e))?;
        let (send, receive) = tokio::sync::oneshot::channel();
        let own = what.to_owned();
        let run = move || {
            let inside = || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(|e| refused(&own, e.into()))?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(|e| refused(&own, e))?.block_on(async { act(Kernel::open()?).await })
            };
            // Whoever asked may have given up.
            let _ = send.send(inside());
        };
        std::thread::Builder::new().name("pod-network".into()).spawn(run).map_err(|e| refused(what, e))?;
        receive.await.unwrap_or_else(|_| Err(refused(what, io::Error::other("the thread for it ended by a fault"))))
    }
}

/// A sandbox made no network of its own.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Its process cannot be seen.
    #[error(
        "the sandbox's process {pid} cannot be seen: {source}; with an own pod network the agent must run beside the container engine, as root and in the same process namespace"
    )]
    Unseen {
        /// Its id, as the engine says it.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// It stays in the machine's network.
    #[error(
        "the sandbox has not made its own network within {} s; does the container engine forbid CAP_SYS_ADMIN, or filter unshare?",
        LONGEST.as_secs()
    )]
    Shares,
}

/// Waits until the process is in another network namespace than this program: a sandbox is started
/// in the machine's own, and anything done there before it leaves it would be done to the machine.
pub async fn own_network(pid: u32) -> Result<Network, SandboxError> {
    let unseen = |source| SandboxError::Unseen { pid, source };
    let end = Instant::now() + LONGEST;
    loop {
        let network = Network::of(pid).map_err(unseen)?;
        if !network.is_the_machines() {
            return Ok(network);
        }
        if Instant::now() >= end {
            return Err(SandboxError::Shares);
        }
        tokio::time::sleep(LOOK).await;
    }
}
