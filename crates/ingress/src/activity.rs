//! Whether a client's connection is in use: one that has been idle for long is closed, and one that
//! never asked anything sooner.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    under_way: AtomicUsize,
    asked: AtomicBool,
    uploads: AtomicBool,
    /// Since when nothing is under way.
    since: Mutex<Instant>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            under_way: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            uploads: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
        })
    }

    /// A request begins; `body` says whether one follows its head.
    pub(crate) fn begin(self: &Arc<Self>, body: bool) -> Busy {
        self.asked.store(true, Ordering::Relaxed);
        self.uploads.store(body, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    /// Whether anything was asked so far.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the last request had a body, of which something may still be on its way.
    pub(crate) fn uploads(&self) -> bool {
        self.uploads.load(Ordering::Relaxed)
    }

    /// When it has been idle for too long, if nothing happens until then.
    pub(crate) fn due(&self, first: Duration, idle: Duration) -> Instant {
        if self.under_way.load(Ordering::Acquire) > 0 {
            return Instant::now() + idle;
        }
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since + if self.asked() { idle } else { first }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
