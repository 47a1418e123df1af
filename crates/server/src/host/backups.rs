//! Copies of the state while the server runs: the daily one on disk, and the file that an
//! administrator downloads.
//!
//! Both copy the database on a connection and a thread of their own, so that no batch waits. The
//! host starts it; `backend` asks it. Deliberately not here: what a backup file looks like and how a
//! copy is made (`evenkeel_store`), and putting one back, which works without a server.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use evenkeel_model::Time;
use evenkeel_store::{
    Copied, DEFAULT_RESERVE, StoreError,
    archive::{self, ArchiveError, Header, Plan},
    copy_database,
};
use metrics::{counter, gauge};
use tokio::{
    io::AsyncReadExt as _,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tracing::{info, warn};

use super::clock::wall;
use crate::{
    api::backend::{BackupError, Download, ServerCondition},
    pki,
};

/// Begins the name of a daily copy; the time follows.
const DAILY: &str = "daily-";
/// Ends it.
const DATABASE: &str = ".db";
/// The copy that a download streams; there is one at a time.
const DOWNLOAD: &str = "download.tmp";
/// The wait before a copy is at most this part of the interval longer, and at most [`MAX_JITTER`]:
/// many servers on one machine do not copy at the same moment.
const JITTER_PART: u32 = 10;
const MAX_JITTER: Duration = Duration::from_mins(10);
/// After a failure the next try comes this soon, or after the interval if that is shorter.
const RETRY: Duration = Duration::from_mins(10);
/// A download that takes nothing for this long is ended: its copy holds room on the disk.
const STALL: Duration = Duration::from_mins(1);
/// Bytes of one piece of a download, and how many wait for the client.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;
/// How often the CA's folder is read until two readings agree: a certificate is issued now and then.
const READINGS: usize = 8;

/// When a copy is made and how many stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupOptions {
    /// Time between two; zero makes none.
    pub interval: Duration,
    /// How many stay.
    pub keep: usize,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self { interval: Duration::from_hours(24), keep: 7 }
    }
}

/// What came of the last try.
#[derive(Debug, Clone, Default)]
enum Outcome {
    /// None yet in this process's life.
    #[default]
    Waiting,
    /// Made.
    Made { file: PathBuf, bytes: u64 },
    /// Failed.
    Failed { why: String },
}

/// The copies of one data directory.
pub(crate) struct Backups {
    dir: PathBuf,
    key: PathBuf,
    options: BackupOptions,
    outcome: Mutex<Outcome>,
    downloads: Arc<Semaphore>,
}

/// The thread of the daily copies.
pub(crate) struct Daily {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Backups {
    pub(super) fn new(dir: PathBuf, key: Option<PathBuf>, options: BackupOptions) -> Arc<Self> {
        let key = key.unwrap_or_else(|| dir.join(archive::KEY));
        let outcome = Mutex::default();
        Arc::new(Self { dir, key, options, outcome, downloads: Arc::new(Semaphore::new(1)) })
    }

    /// Starts the daily copies, unless they are off.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<Option<Daily>> {
        // A copy that a crash left behind.
        match fs::remove_file(self.folder().join(DOWNLOAD)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => warn!(error = %e, "an old download cannot be removed"),
            _ => {}
        }
        if self.options.interval.is_zero() {
            return Ok(None);
        }
        let (stop, stopped) = sync_channel(1);
        let this = self.clone();
        let thread = std::thread::Builder::new().name("backups".into()).spawn(move || {
            let mut wait = this.first_wait(wall());
            // Told to stop, or nobody is left to tell.
            while stopped.recv_timeout(wait + jitter(this.options.interval)) == Err(RecvTimeoutError::Timeout) {
                wait = this.daily(wall());
            }
        })?;
        Ok(Some(Daily { stop, thread }))
    }

    fn folder(&self) -> PathBuf {
        self.dir.join("backups")
    }

    /// The wait until the first copy: at once where the last one is older than the interval.
    fn first_wait(&self, now: Time) -> Duration {
        let last = dailies(&self.folder()).into_iter().map(|(at, _)| at.min(now)).max();
        last.map_or(Duration::ZERO, |last| self.options.interval.saturating_sub(now.since(last)))
    }

    /// Makes a copy and drops those beyond the number that stays. Gives the wait until the next.
    fn daily(&self, now: Time) -> Duration {
        let made = self.make(now);
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok((file, copied)) => {
                info!(file = %file.display(), bytes = copied.bytes, "backup of the database made");
                counter!("evenkeel_backups_total").increment(1);
                #[allow(clippy::cast_precision_loss)] // seconds: exact for millions of years
                gauge!("evenkeel_backup_last_timestamp_seconds").set(now.secs() as f64);
                *outcome = Outcome::Made { file, bytes: copied.bytes };
                self.options.interval
            }
            Err(e) => {
                let why = evenkeel_model::causes(&e);
                warn!(error = why, "no backup of the database could be made");
                counter!("evenkeel_backup_failures_total").increment(1);
                *outcome = Outcome::Failed { why };
                RETRY.min(self.options.interval)
            }
        }
    }

    fn make(&self, now: Time) -> Result<(PathBuf, Copied), StoreError> {
        let folder = self.folder();
        make_folder(&folder)?;
        let to = folder.join(format!("{DAILY}{}{DATABASE}", stamp(now)));
        let copied = copy_database(&self.dir, &to, DEFAULT_RESERVE)?;
        let mut all = dailies(&folder);
        all.sort();
        let surplus = all.len().saturating_sub(self.options.keep.max(1));
        for (_, old) in all.into_iter().take(surplus) {
            fs::remove_file(&old).map_err(|source| StoreError::Io { doing: "remove", path: old, source })?;
        }
        Ok((to, copied))
    }

    /// What `status` says of it.
    pub(super) fn condition(&self) -> ServerCondition {
        let told = |status, reason: &str, message| ServerCondition::new("BackedUp", status, reason, message);
        if self.options.interval.is_zero() {
            return told(false, "Off", "no copy of the database is made: --backup-interval is 0".into());
        }
        match &*self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            Outcome::Waiting => match dailies(&self.folder()).into_iter().max() {
                Some((_, file)) => told(true, "Made", format!("the last one is {}", file.display())),
                None => told(true, "Waiting", "the first one is about to be made".into()),
            },
            Outcome::Made { file, bytes } => {
                told(true, "Made", format!("the last one is {}, {bytes} bytes", file.display()))
            }
            Outcome::Failed { why } => told(false, "Failed", format!("the last try failed: {why}")),
        }
    }

    /// Makes a backup file and begins to send it.
    pub(super) async fn download(self: Arc<Self>) -> Result<Download, BackupError> {
        let permit = self.downloads.clone().try_acquire_owned().map_err(|_| BackupError::Busy)?;
        let made = tokio::task::spawn_blocking(move || self.lay_out(wall()));
        let (plan, copy) = made.await.map_err(|e| BackupError::Failed(e.to_string()))??;
        let file = tokio::fs::File::open(&copy.0).await.map_err(|e| BackupError::Failed(e.to_string()))?;
        let (send, body) = mpsc::channel(PIECES);
        let download =
            Download { length: plan.length(), name: format!("evenkeel-{}.tar", stamp(plan.header.created)), body };
        // Not awaited: it ends with its client, or by its own limit, and its copy with it.
        tokio::spawn(async move {
            if let Err(why) = pump(plan, file, &send).await {
                warn!(why, "a download of a backup did not end");
            }
            drop((copy, permit));
        });
        Ok(download)
    }

    fn lay_out(&self, now: Time) -> Result<(Plan, Copy), BackupError> {
        make_folder(&self.folder()).map_err(|e| failed(&e))?;
        let copy = Copy(self.folder().join(DOWNLOAD));
        let copied = copy_database(&self.dir, &copy.0, DEFAULT_RESERVE).map_err(|e| failed(&e))?;
        let mut files = self.ca_files().map_err(|e| BackupError::Failed(format!("the CA's folder: {e}")))?;
        let key = fs::read(&self.key).map_err(|e| BackupError::Failed(format!("{}: {e}", self.key.display())))?;
        files.push((archive::KEY.into(), key));
        let cluster = files.iter().find(|(name, _)| name == "ca/cluster-id");
        let cluster = cluster.map(|(_, id)| String::from_utf8_lossy(id).trim().to_owned());
        let about = Header {
            kind: String::new(),
            format: 0,
            cluster: cluster.ok_or_else(|| BackupError::Failed("the CA's folder has no cluster-id".into()))?,
            created: now,
            program: env!("CARGO_PKG_VERSION").into(),
            epoch: copied.epoch,
            version: copied.version,
            schema: copied.schema,
            parts: Vec::new(),
        };
        let plan = Plan::new(about, &files, &copy.0)
            .map_err(|e: ArchiveError| BackupError::Failed(evenkeel_model::causes(&e)))?;
        Ok((plan, copy))
    }

    /// The files of the CA's folder, as they were at one moment: two readings that agree.
    fn ca_files(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut last = read_below(&self.dir.join("ca"))?;
        for _ in 0..READINGS {
            let again = read_below(&self.dir.join("ca"))?;
            if again == last {
                return Ok(last);
            }
            last = again;
        }
        Err(io::Error::other("its files change all the time"))
    }
}

impl Daily {
    /// Ends the thread; a copy under way is finished.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            warn!("the thread of backups ended badly");
        }
    }
}

/// A file that goes with this.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                warn!(file = %self.0.display(), error = %e, "a copy that was sent cannot be removed");
            }
            _ => {}
        }
    }
}

/// Sends everything; the error says who broke off.
async fn pump(
    plan: Plan,
    mut file: tokio::fs::File,
    send: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), &'static str> {
    let put = async |bytes: io::Result<Bytes>| match timeout(STALL, send.send(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("its client went away"),
        Err(_) => Err("its client took nothing for a minute"),
    };
    let (mut head, tail) = (Bytes::from(plan.head), Bytes::from(plan.tail));
    while !head.is_empty() {
        put(Ok(head.split_to(PIECE.min(head.len())))).await?;
    }
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        match file.read_buf(&mut piece).await {
            Ok(0) => break,
            Ok(_) => put(Ok(piece.freeze())).await?,
            Err(e) => {
                put(Err(e)).await?;
                return Err("the copy cannot be read");
            }
        }
    }
    put(Ok(tail)).await
}

fn failed(error: &StoreError) -> BackupError {
    if error.is_full() {
        BackupError::DiskFull(evenkeel_model::causes(error))
    } else {
        BackupError::Failed(evenkeel_model::causes(error))
    }
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::Io { doing: "create", path: folder.into(), source })
}

/// The files of a folder and of its folders whose names a backup takes, as `ca/…`, in order.
fn read_below(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    let mut folders = vec![(String::new(), folder.to_path_buf())];
    while let Some((prefix, at)) = folders.pop() {
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                folders.push((format!("{name}/"), entry.path()));
            } else if archive::below_ca(&name) && !name.ends_with(pki::UNFINISHED) {
                match fs::read(entry.path()) {
                    Ok(bytes) => out.push((format!("{}{name}", archive::CA), bytes)),
                    // Removed in between: the next reading tells.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }
    out.sort();
    Ok(out)
}

/// The daily copies with their times.
fn dailies(folder: &Path) -> Vec<(Time, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let at = unstamp(name.to_str()?.strip_prefix(DAILY)?.strip_suffix(DATABASE)?)?;
            Some((at, entry.path()))
        })
        .collect()
}

/// A time in a file's name, as `20261128T010203Z`.
fn stamp(at: Time) -> String {
    Time::from_secs(at.secs()).rfc3339().replace(['-', ':'], "")
}

fn unstamp(text: &str) -> Option<Time> {
    let at = |from: usize, to: usize| text.get(from..to);
    let (date, time) = ([at(0, 4)?, at(4, 6)?, at(6, 8)?].join("-"), [at(9, 11)?, at(11, 13)?, at(13, 15)?].join(":"));
    Time::parse_rfc3339(&format!("{date}T{time}Z")).filter(|t| stamp(*t) == text)
}

fn jitter(interval: Duration) -> Duration {
    pki::up_to((interval / JITTER_PART).min(MAX_JITTER))
}

#[cfg(test)]
mod tests {
    use evenkeel_store::{EncryptionKey, OpenOptions, SqliteStore};

    use super::*;

    fn backups(dir: &Path, keep: usize) -> Arc<Backups> {
        let options = BackupOptions { interval: Duration::from_hours(24), keep };
        Backups::new(dir.to_path_buf(), None, options)
    }

    fn store(dir: &Path) -> SqliteStore {
        let key = EncryptionKey::load_or_create(dir, None).unwrap();
        SqliteStore::open(dir, OpenOptions::new(Time(1_000), key)).unwrap()
    }

    #[test]
    fn the_last_ones_stay_and_the_next_comes_a_day_later() {
        let dir = tempfile::tempdir().unwrap();
        let _store = store(dir.path());
        let backups = backups(dir.path(), 2);
        let day = Duration::from_hours(24);
        let begin = Time::from_secs(1_800_000_000);
        assert_eq!(backups.first_wait(begin), Duration::ZERO);
        for n in 0..4 {
            assert_eq!(backups.daily(begin + day * n), day);
        }
        let mut left: Vec<Time> = dailies(&backups.folder()).into_iter().map(|(at, _)| at).collect();
        left.sort();
        assert_eq!(left, [begin + day * 2, begin + day * 3]);
        assert_eq!(backups.first_wait(begin + day * 3 + Duration::from_hours(1)), Duration::from_hours(23));
        assert_eq!(backups.first_wait(begin + day * 9), Duration::ZERO);
        // Made under a clock that ran ahead: not waited for longer than a day.
        assert_eq!(backups.first_wait(begin), day);
        assert!(
            backups.condition().status
                && jitter(day) <= MAX_JITTER
                && jitter(Duration::from_secs(10)) <= Duration::from_secs(1)
        );
    }

    #[test]
    fn a_failure_is_told_and_tried_again_soon() {
        let dir = tempfile::tempdir().unwrap();
        let _store = store(dir.path());
        let backups = backups(dir.path(), 7);
        fs::write(backups.folder(), "no folder").unwrap();
        assert_eq!(backups.daily(Time::from_secs(1)), RETRY);
        let condition = backups.condition();
        assert!(!condition.status && condition.message.contains("backups"), "{condition:?}");
        fs::remove_file(backups.folder()).unwrap();
        backups.daily(Time::from_secs(2));
        assert!(backups.condition().status);
    }

    #[tokio::test]
    async fn a_download_is_whole_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let pki = pki::Pki::open(dir.path()).unwrap();
        pki.add_node("n1").unwrap();
        let _store = store(dir.path());
        let backups = backups(dir.path(), 7);
        let mut download = backups.clone().download().await.unwrap();
        assert!(matches!(backups.clone().download().await, Err(BackupError::Busy)), "one at a time");
        let mut all = Vec::new();
        while let Some(piece) = download.body.recv().await {
            all.extend(piece.unwrap());
        }
        assert_eq!(all.len() as u64, download.length);
        let to = dir.path().join("out");
        let header = archive::unpack(&all[..], &to).unwrap();
        assert_eq!(header.cluster, pki.cluster_id());
        assert!(to.join("ca/nodes/n1").exists() && to.join("ca/ca.key").exists());
        // The copy goes with the task, whose end the permit tells.
        let _free = backups.downloads.acquire().await.unwrap();
        assert!(!backups.folder().join(DOWNLOAD).exists());
    }
}
