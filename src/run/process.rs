//! What every lasting process needs of its operating system: signals, and room for files.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind};
use tracing::warn;

/// Signals that end a process in order.
pub(super) struct End {
    terminate: Signal,
}

impl End {
    pub(super) fn new() -> Result<Self> {
        let terminate = tokio::signal::unix::signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
        Ok(Self { terminate })
    }

    /// Waits for Ctrl-C or SIGTERM.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Every watcher and container costs file descriptors: takes what the hard limit allows.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        warn!(error = %e, "the limit of open files stays as it is");
    }
}
