//! One source's blocking side: it looks, and says whether the revision moved.
//!
//! Runs on a thread of its own (see [`Job`]), because what it calls cannot be interrupted: a file
//! system or a server that hangs must take neither a runtime's worker nor its shutdown with it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use evenkeel_manifest::Options;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{
    KnownKinds, Read, Reason, SourceError,
    directory::{Directory, Reading},
    git::{self, local::Local, remote::Remote},
    spec::{Origin, Plan},
};

/// Without progress for so long, a look counts as failed: longer than a busy server takes for a
/// list of references, shorter than a person waits before asking why.
const STALL: Duration = Duration::from_mins(1);

/// A look's signs of life, and its order to stop.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    stop: AtomicBool,
    beats: AtomicU64,
}

impl Progress {
    /// Something was done. Says whether to go on.
    pub(crate) fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        !self.stopped()
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Kind {
    Directory(Directory),
    Local(Local),
    Remote(Remote),
}

/// What looks are made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) known: KnownKinds,
    pub(crate) mirror: PathBuf,
    pub(crate) wake: Arc<Notify>,
    pub(crate) progress: Arc<Progress>,
}

#[derive(Debug)]
struct Work {
    parts: Parts,
    kind: Kind,
}

impl Work {
    fn new(parts: Parts) -> Self {
        let kind = match &parts.plan.origin {
            Origin::Directory(path) => Kind::Directory(Directory::new(path.clone())),
            Origin::Local { path, target } => Kind::Local(Local::new(path.clone(), target.clone())),
            Origin::Remote { git, target } => {
                Kind::Remote(Remote::new(git.as_ref().clone(), target.clone(), parts.mirror.clone()))
            }
        };
        Self { parts, kind }
    }

    fn look(&mut self) -> Look {
        let Parts { plan, options, known, wake, progress, .. } = &self.parts;
        let reader = git::Reader { folder: &plan.folder, options, known, progress };
        let (moved, watched) = match &mut self.kind {
            Kind::Directory(directory) => {
                let reading = Reading { folder: &plan.folder, options, known, progress };
                (directory.check(&reading, wake), directory.watched())
            }
            Kind::Local(local) => (local.check(&reader, wake), local.watched()),
            Kind::Remote(remote) => (remote.check(&reader), false),
        };
        Look { moved, watched }
    }
}

/// What a look found.
pub(crate) struct Look {
    /// The revision, if it moved.
    pub(crate) moved: Result<Option<Read>, SourceError>,
    /// Whether changes wake us.
    pub(crate) watched: bool,
}

/// Looks, one at a time.
pub(crate) struct Job {
    parts: Parts,
    idle: Option<Work>,
    pending: Option<oneshot::Receiver<(Work, Look)>>,
}

impl Job {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, idle: None, pending: None }
    }

    /// One look. One that made no progress is reported as such and stays under way: the next call
    /// waits for it instead of starting another.
    pub(crate) async fn look(&mut self) -> Look {
        let mut pending = match self.pending.take() {
            Some(pending) => pending,
            None => match self.start() {
                Ok(pending) => pending,
                Err(e) => {
                    let error = SourceError::new(Reason::Io, format!("cannot start a thread: {e}"));
                    return Look { moved: Err(error), watched: false };
                }
            },
        };
        loop {
            let beats = self.parts.progress.beats.load(Ordering::Relaxed);
            match timeout(STALL, &mut pending).await {
                Ok(Ok((work, look))) => {
                    self.idle = Some(work);
                    return look;
                }
                // It panicked: what it knew is gone, and the next look begins anew.
                Ok(Err(_)) => {
                    let error = SourceError::new(Reason::Damaged, "reading the source failed unexpectedly");
                    return Look { moved: Err(error), watched: false };
                }
                Err(_) if self.parts.progress.beats.load(Ordering::Relaxed) != beats => {}
                Err(_) => {
                    self.pending = Some(pending);
                    let message = format!("no progress for {} s", STALL.as_secs());
                    return Look { moved: Err(SourceError::new(Reason::Timeout, message)), watched: false };
                }
            }
        }
    }

    fn start(&mut self) -> std::io::Result<oneshot::Receiver<(Work, Look)>> {
        let mut work = self.idle.take().unwrap_or_else(|| Work::new(self.parts.clone()));
        let (done, pending) = oneshot::channel();
        thread::Builder::new().name("source".into()).spawn(move || {
            let look = work.look();
            // Nobody waits any more: the follower was stopped.
            let _ = done.send((work, look));
        })?;
        Ok(pending)
    }
}
