//! One follower for each Source object: started, changed and stopped with it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_conductor::{Event, Published};
use evenkeel_core::{release::inbound::Seen, world::View};
use evenkeel_model::{
    Key, Kind, Object, Revision, Snapshot, SourceName,
    own::{Phase, ReleaseStatus, SourceSpec, SourceStatus},
};
use evenkeel_source::{
    Fetched, Follower, KnownKinds, Read, Reason, SourceError, SourceEvent, read_directory, read_git_revision,
};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::Message;
use crate::api::SnapshotError;

/// Events of all followers that may wait.
const DEPTH: usize = 64;

/// The next try of a source whose specification must be changed first.
const NEVER: Duration = Duration::from_hours(24);

/// First wait before a wanted revision that could not be read is tried again; doubles.
const WANT_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait: a remote repository's own default interval.
const WANT_MAX: Duration = Duration::from_secs(30);

/// The running followers.
pub(crate) struct Followers {
    data_dir: PathBuf,
    running: Mutex<BTreeMap<SourceName, Running>>,
    events: mpsc::Sender<(SourceName, SourceEvent)>,
    wanted: Wanted,
    /// Custom kinds of the cluster, for the revisions that have objects of them.
    known: KnownKinds,
}

/// Revisions that the core needs and has no documents of.
type Wanted = Arc<Mutex<Vec<(SourceName, Revision)>>>;

struct Running {
    spec: SourceSpec,
    /// `None` where the specification does not allow one.
    follower: Option<Follower>,
}

impl Followers {
    /// None yet. Their events go to `queue`.
    pub(crate) fn new(data_dir: PathBuf, queue: mpsc::Sender<Message>) -> Self {
        let (events, inbox) = mpsc::channel(DEPTH);
        tokio::spawn(forward(inbox, queue));
        Self { data_dir, running: Mutex::default(), events, wanted: Wanted::default(), known: KnownKinds::default() }
    }

    /// Follows all sources of a view, and no others, from their beginning: a world that was loaded
    /// anew has to be told again.
    pub(crate) fn follow(&self, view: &View) {
        self.known.set(view.customs.clone());
        let mut running = self.lock();
        running.clear();
        for source in view.list(Kind::Source, "") {
            self.start(&mut running, source);
        }
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Follows what a step did to sources.
    pub(crate) fn changed(&self, published: &[Published], view: &View) {
        if published.iter().any(|p| p.key.kind == Kind::CustomResourceDefinition) {
            self.known.set(view.customs.clone());
            self.read_again(view);
        }
        for p in published.iter().filter(|p| p.key.kind == Kind::Source) {
            let mut running = self.lock();
            match &p.new {
                Some(source) => self.start(&mut running, source),
                None => {
                    running.remove(&p.key.name);
                }
            }
        }
    }

    /// Revisions that were rejected when they were read may be good with the kinds that there are now.
    fn read_again(&self, view: &View) {
        for source in view.list(Kind::Source, "") {
            let status: Option<SourceStatus> = source.status().ok().flatten();
            let pending = status.and_then(|s| s.pending_release).map(|name| Key::cluster(Kind::Release, name));
            let release = pending.and_then(|key| view.get(&key).cloned());
            let rejected = release.and_then(|r| r.status::<ReleaseStatus>().ok().flatten());
            if rejected.is_some_and(|s| s.phase == Phase::Rejected) {
                let mut running = self.lock();
                running.remove(&source.key.name);
                self.start(&mut running, source);
            }
        }
    }

    /// The source shall look now.
    pub(crate) fn nudge(&self, source: &str) {
        if let Some(follower) = self.lock().get(source).and_then(|r| r.follower.as_ref()) {
            follower.nudge();
        }
    }

    /// Reads revisions whose documents the core needs and does not have (the database was lost).
    /// What cannot be read is told as the source being away, and tried again while it is wanted.
    pub(crate) fn want(&self, wanted: Vec<(SourceName, Revision)>) {
        let mut before = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, revision) in wanted.iter().filter(|w| !before.contains(w)) {
            let Some(spec) = self.lock().get(source).map(|r| r.spec.clone()) else { continue };
            info!(%source, revision = %revision.short(), "reading a revision again that the database lost");
            tokio::spawn(fetch_wanted(
                self.data_dir.clone(),
                self.events.clone(),
                self.wanted.clone(),
                self.known.clone(),
                source.clone(),
                revision.clone(),
                spec,
            ));
        }
        *before = wanted;
    }

    /// Reads a revision for a diff.
    pub(crate) async fn snapshot(&self, source: &SourceName, revision: &str) -> Result<Arc<Snapshot>, SnapshotError> {
        let spec = self.lock().get(source).map(|r| r.spec.clone());
        let spec = spec.ok_or_else(|| SnapshotError::NotFound(format!("sources \"{source}\" not found")))?;
        let name = revision.rsplit(':').next().unwrap_or(revision).to_string();
        match spawn_read(place(&self.data_dir, source, &spec), name, spec, self.known.clone()).await {
            Ok(read) => read.outcome.map_err(SnapshotError::Invalid),
            Err(e) if matches!(e.reason, Reason::BranchNotFound | Reason::TagNotFound | Reason::CommitNotFound) => {
                Err(SnapshotError::NotFound(e.to_string()))
            }
            Err(e) => Err(SnapshotError::Away(e.to_string())),
        }
    }

    /// Stops all.
    pub(crate) fn stop(&self) {
        self.lock().clear();
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn start(&self, running: &mut BTreeMap<SourceName, Running>, source: &Object) {
        let name = &source.key.name;
        let spec: SourceSpec = match source.spec() {
            Ok(spec) => spec,
            Err(e) => {
                error!(source = %name, error = %e, "the specification cannot be read");
                return;
            }
        };
        if running.get(name).is_some_and(|r| same_place(&r.spec, &spec)) {
            return;
        }
        let follower = match Follower::start(name.clone(), &spec, &self.data_dir, &self.known, self.events.clone()) {
            Ok(follower) => Some(follower),
            Err(e) => {
                let event = away(&e, NEVER);
                let (events, name) = (self.events.clone(), name.clone());
                tokio::spawn(async move { events.send((name, event)).await });
                None
            }
        };
        running.insert(name.clone(), Running { spec, follower });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SourceName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where documents are read from.
enum Place {
    Git(String),
    Directory(PathBuf),
}

/// Where a source's objects lie on this machine: itself, or its mirror.
fn place(data_dir: &Path, source: &str, spec: &SourceSpec) -> Place {
    match (&spec.git, &spec.directory) {
        (Some(git), _) => {
            let mirror = data_dir.join("git").join(source);
            let url = if mirror.exists() { mirror.display().to_string() } else { git.url.clone() };
            Place::Git(url)
        }
        (None, Some(directory)) => Place::Directory(directory.into()),
        (None, None) => Place::Directory(PathBuf::new()),
    }
}

/// Reads one wanted revision, again and again until it is there, or is wanted no more, or cannot
/// ever be.
async fn fetch_wanted(
    data_dir: PathBuf,
    events: mpsc::Sender<(SourceName, SourceEvent)>,
    wanted: Wanted,
    known: KnownKinds,
    source: SourceName,
    revision: Revision,
    spec: SourceSpec,
) {
    let mut wait = WANT_FIRST;
    loop {
        // The mirror may have come meanwhile.
        let place = place(&data_dir, &source, &spec);
        let read = spawn_read(place, revision.hash().to_string(), spec.clone(), known.clone()).await;
        let done = match &read {
            Ok(_) => true,
            Err(e) => matches!(e.reason, Reason::CommitNotFound | Reason::InvalidSpec),
        };
        let next_try = if done { NEVER } else { wait };
        let gone = events.send((source.clone(), again(&source, revision.clone(), read, next_try))).await.is_err();
        if done || gone {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WANT_MAX);
        let still = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !still.iter().any(|(s, r)| *s == source && *r == revision) {
            return;
        }
    }
}

async fn spawn_read(place: Place, revision: String, spec: SourceSpec, known: KnownKinds) -> Result<Read, SourceError> {
    let folder = spec.path.unwrap_or_default();
    let read = move || match place {
        Place::Git(url) => read_git_revision(&url, &revision, &folder, spec.unsupported, &known),
        Place::Directory(directory) => read_directory(&directory, &folder, spec.unsupported, &known),
    };
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|_| Err(SourceError::new(Reason::Internal, "the reader of this revision failed")))
}

/// The answer to a wanted revision. A directory has only its present state: another one than was
/// wanted is told as what it is.
fn again(source: &SourceName, wanted: Revision, read: Result<Read, SourceError>, next_try: Duration) -> SourceEvent {
    match read {
        Ok(read) => {
            let revision = if read.revision.hash() == wanted.hash() { wanted } else { read.revision };
            SourceEvent::Revision(Box::new(Fetched {
                source: source.clone(),
                revision,
                author: read.author,
                message: read.message,
                outcome: read.outcome,
                complete_scan: true,
            }))
        }
        Err(e) => away(&e, next_try),
    }
}

fn away(error: &SourceError, next_try: Duration) -> SourceEvent {
    SourceEvent::Away { reason: error.reason.to_string(), message: error.to_string(), next_try }
}

/// Whether a follower of one specification does for the other.
fn same_place(a: &SourceSpec, b: &SourceSpec) -> bool {
    a.git == b.git
        && a.directory == b.directory
        && a.path == b.path
        && a.interval == b.interval
        && a.unsupported == b.unsupported
}

async fn forward(mut inbox: mpsc::Receiver<(SourceName, SourceEvent)>, queue: mpsc::Sender<Message>) {
    while let Some((source, event)) = inbox.recv().await {
        let event = match event {
            SourceEvent::Revision(f) => Event::Seen(Box::new(Seen {
                source,
                revision: f.revision,
                author: f.author,
                message: f.message,
                outcome: f.outcome,
                confirmed: f.complete_scan,
            })),
            SourceEvent::Away { reason, message, next_try } => Event::Away { source, reason, message, next_try },
            SourceEvent::Reachable => Event::Reachable { source },
        };
        if queue.send(Message::Event(event)).await.is_err() {
            return;
        }
    }
}
