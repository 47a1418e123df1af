//! How long this process's threads were ready to run and the machine ran others.
//!
//! What a server takes for a request is measured without that: tests run beside builds.

use std::{collections::BTreeMap, fs, time::Duration};

/// The waits of each thread so far, in nanoseconds: the second field of `schedstat`
/// (Linux, Documentation/scheduler/sched-stats.rst).
pub struct Starved(BTreeMap<String, u64>);

impl Starved {
    pub fn now() -> Self {
        let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
        let wait = |thread: fs::DirEntry| {
            // A thread that has just ended waits for nothing.
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let wait = text.split_whitespace().nth(1)?.parse().ok()?;
            Some((thread.file_name().to_string_lossy().into_owned(), wait))
        };
        Self(threads.filter_map(wait).collect())
    }

    /// What the thread that waited longest has waited since.
    pub fn since(&self) -> Duration {
        let now = Self::now();
        let waits = now.0.iter().map(|(thread, wait)| wait.saturating_sub(*self.0.get(thread).unwrap_or(&0)));
        Duration::from_nanos(waits.max().unwrap_or(0))
    }
}
