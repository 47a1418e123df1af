//! Follows one source: looks when something changed, when it is time, or when it is told to, and
//! sends what it found.
//!
//! The server starts one follower a Source, drops it when the Source goes or changes, and starts
//! another. In: file events, [`Follower::nudge`]. Out: [`SourceEvent`]s on the channel given.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use evenkeel_model::{Key, SourceName, own::SourceSpec, time::part};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{
    Fetched, KnownKinds, Read, Reason, SourceError, SourceEvent, parse,
    spec::{Origin, Plan},
    watch::settle,
    work::{Job, Parts, Progress},
};

/// Editors and copies write several files in a row: wait for a pause, but not for ever.
const DIRECTORY_QUIET: Duration = Duration::from_millis(100);
const DIRECTORY_MOST: Duration = Duration::from_secs(1);
/// git moves a reference in one rename; the pause merges those of one command.
const GIT_QUIET: Duration = Duration::from_millis(5);
const GIT_MOST: Duration = Duration::from_millis(20);
/// A full scan for what the watch missed (network file systems, overruns).
const RESCAN: Duration = Duration::from_mins(1);
/// How often to look where the system refuses a watch.
const UNWATCHED: Duration = Duration::from_secs(2);
/// How long objects must be missing from a directory before they may be pruned.
const CONFIRM: Duration = Duration::from_secs(5);
/// Back-off of what is on this machine, which comes back by hand: someone is waiting.
const LOCAL_FIRST: Duration = Duration::from_secs(1);
const LOCAL_LONGEST: Duration = Duration::from_secs(30);
/// The longest back-off of a remote.
const REMOTE_LONGEST: Duration = Duration::from_mins(5);

/// A source being followed; dropping it stops that.
#[derive(Debug)]
pub struct Follower {
    nudge: Arc<Notify>,
    progress: Arc<Progress>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows a source from now on. Must be called inside a tokio runtime. Mirrors of remote
    /// repositories lie in `data_dir/git/NAME`. The first event is the present revision, or that
    /// the source is away.
    pub fn start(
        name: SourceName,
        spec: &SourceSpec,
        data_dir: &Path,
        known: &KnownKinds,
        events: mpsc::Sender<(SourceName, SourceEvent)>,
    ) -> Result<Self, SourceError> {
        let plan = Plan::of(spec)?;
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(SourceError::new(Reason::InvalidSpec, format!("`{name}` is no name of a source")));
        }
        let (wake, nudge, progress) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Progress::default()));
        let job = Job::new(Parts {
            plan: plan.clone(),
            options: parse::options(spec.unsupported),
            known: known.clone(),
            mirror: data_dir.join("git").join(&*name),
            wake: wake.clone(),
            progress: progress.clone(),
        });
        let follow = Follow {
            name,
            plan,
            events,
            job,
            wake,
            nudge: nudge.clone(),
            last: None,
            confirmed: None,
            confirm_at: None,
            failures: 0,
        };
        Ok(Self { nudge, progress, task: tokio::spawn(follow.run()) })
    }

    /// Looks now, and answers with an event even if nothing moved.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Stops following. A look that is under way ends by itself and is not told.
    pub fn stop(self) {}
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.progress.stop();
        self.task.abort();
    }
}

struct Follow {
    name: SourceName,
    plan: Plan,
    events: mpsc::Sender<(SourceName, SourceEvent)>,
    job: Job,
    wake: Arc<Notify>,
    nudge: Arc<Notify>,
    /// What was told last, and whether as a complete scan.
    last: Option<(Read, bool)>,
    /// Objects of the last complete scan of a directory.
    confirmed: Option<BTreeSet<Key>>,
    /// When a directory is scanned again to confirm what is missing.
    confirm_at: Option<Instant>,
    failures: u32,
}

impl Follow {
    /// Ends when nobody listens any more.
    async fn run(mut self) {
        let mut nudged = false;
        loop {
            let look = self.job.look().await;
            let (event, next) = match look.moved {
                Ok(moved) => {
                    let was_away = std::mem::take(&mut self.failures) > 0;
                    (self.found(moved, nudged, was_away), self.interval(look.watched))
                }
                Err(e) => {
                    let next = self.back_off();
                    let away = SourceEvent::Away { reason: e.reason.to_string(), message: e.message, next_try: next };
                    (Some(away), next)
                }
            };
            if let Some(event) = event
                && self.events.send((self.name.clone(), event)).await.is_err()
            {
                return;
            }
            nudged = self.wait(Instant::now() + next).await;
        }
    }

    /// Waits for a reason to look. Says whether it was a nudge.
    async fn wait(&mut self, next: Instant) -> bool {
        let next = self.confirm_at.map_or(next, |confirm| confirm.min(next));
        let (quiet, most) = match self.plan.origin {
            Origin::Directory(_) => (DIRECTORY_QUIET, DIRECTORY_MOST),
            _ => (GIT_QUIET, GIT_MOST),
        };
        tokio::select! {
            () = self.nudge.notified() => true,
            () = self.wake.notified() => {
                settle(&self.wake, quiet, most).await;
                false
            }
            () = sleep_until(next) => false,
        }
    }

    /// The event for a look that succeeded, if there is one.
    fn found(&mut self, moved: Option<Read>, nudged: bool, was_away: bool) -> Option<SourceEvent> {
        if let Some(read) = moved {
            let complete = self.is_complete(&read);
            self.last = Some((read, complete));
            return self.revision();
        }
        if self.confirm_at.is_some_and(|at| Instant::now() >= at) {
            self.confirm_at = None;
            if let Some((read, complete)) = &mut self.last {
                *complete = true;
                self.confirmed = keys(read);
                return self.revision();
            }
        }
        if nudged {
            return self.revision();
        }
        was_away.then_some(SourceEvent::Reachable)
    }

    fn revision(&self) -> Option<SourceEvent> {
        let (read, complete) = self.last.as_ref()?;
        let Read { revision, author, message, outcome } = read.clone();
        let source = self.name.clone();
        let complete_scan = *complete;
        Some(SourceEvent::Revision(Box::new(Fetched { source, revision, author, message, outcome, complete_scan })))
    }

    /// Whether what is missing from a new revision is known to be gone; else arranges for the scan
    /// that confirms it.
    fn is_complete(&mut self, read: &Read) -> bool {
        if !matches!(self.plan.origin, Origin::Directory(_)) {
            return true;
        }
        // A revision that is rejected prunes nothing, and confirms nothing.
        let Some(now) = keys(read) else {
            self.confirm_at = None;
            return true;
        };
        if self.confirmed.as_ref().is_some_and(|before| before.is_subset(&now)) {
            self.confirmed = Some(now);
            self.confirm_at = None;
            return true;
        }
        self.confirm_at = Some(Instant::now() + CONFIRM);
        false
    }

    /// How long until the next look if nothing wakes us.
    fn interval(&self, watched: bool) -> Duration {
        match &self.plan.origin {
            Origin::Remote { .. } => jittered(self.plan.interval),
            _ if !watched => UNWATCHED,
            Origin::Directory(_) => RESCAN,
            Origin::Local { .. } => self.plan.interval,
        }
    }

    /// How long until the next try of what failed.
    fn back_off(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        match self.plan.origin {
            Origin::Remote { .. } => {
                let longest = REMOTE_LONGEST.max(self.plan.interval);
                jittered(self.plan.interval.saturating_mul(1 << doublings).min(longest))
            }
            _ => LOCAL_FIRST.saturating_mul(1 << doublings).min(LOCAL_LONGEST),
        }
    }
}

fn keys(read: &Read) -> Option<BTreeSet<Key>> {
    read.outcome.as_ref().ok().map(|s| s.docs.iter().map(|d| d.key.clone()).collect())
}

/// 90 to 110 % of it, so that the followers of many servers do not ask at the same moment.
fn jittered(interval: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    interval * 9 / 10 + part(interval / 5, chance)
}
