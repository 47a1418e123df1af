//! Notices that files changed: the operating system's events, filtered, as one wake-up.
//!
//! What changed is not passed on: whoever is woken looks at everything, which costs little because
//! unchanged parts are known. So a lost or merged event does no harm either.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// A path to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) path: PathBuf,
    pub(crate) recursive: bool,
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch {
    _watcher: RecommendedWatcher,
    spots: Vec<(Spot, Option<(u64, u64)>)>,
}

/// Device and inode: a path that was replaced must be watched anew.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

impl Watch {
    /// Watches the spots; `wake` is notified when a path changed that is `relevant`.
    pub(crate) fn start(
        spots: Vec<Spot>,
        relevant: impl Fn(&Path) -> bool + Send + 'static,
        wake: Arc<Notify>,
    ) -> notify::Result<Self> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let wakes = match event {
                // Reading is no change.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
                // `need_rescan`: the queue ran over, and nobody knows what changed.
                Ok(event) => event.need_rescan() || event.paths.iter().any(|p| relevant(p)),
                Err(_) => true,
            };
            if wakes {
                wake.notify_one();
            }
        })?;
        let mut kept = Vec::new();
        for spot in spots {
            // Before the watch: a path replaced in between looks stale, and is watched anew.
            let id = identity(&spot.path);
            let mode = if spot.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            watcher.watch(&spot.path, mode)?;
            kept.push((spot, id));
        }
        Ok(Self { _watcher: watcher, spots: kept })
    }

    /// Whether it watches these spots, as they are now.
    pub(crate) fn covers(&self, spots: &[Spot]) -> bool {
        self.spots.len() == spots.len()
            && self.spots.iter().zip(spots).all(|((have, id), want)| have == want && *id == identity(&want.path))
    }
}

/// Waits until `wake` was silent for `quiet`, at most for `most`.
pub(crate) async fn settle(wake: &Notify, quiet: Duration, most: Duration) {
    let end = Instant::now() + most;
    loop {
        let until = end.min(Instant::now() + quiet);
        if timeout_at(until, wake.notified()).await.is_err() || Instant::now() >= end {
            return;
        }
    }
}
