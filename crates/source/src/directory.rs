//! A directory as a source: scanned whole, with what did not change since the last scan known by
//! its files' metadata.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use evenkeel_manifest::{FileParse, Options, is_manifest_path, parse_file};
use evenkeel_model::{Diagnostic, Digest, Revision};
use tokio::sync::Notify;

use crate::{
    KnownKinds, Read, Reason, SourceError,
    parse::{Gathered, MAX_DEPTH, MAX_FILE_BYTES, MAX_FILES, hidden, is_read_anyway, join, problem, resolve_link},
    watch::{Spot, Watch},
    work::Progress,
};

/// A file that changed within this time before it was read may change again without its times
/// telling: clocks of file systems tick as slowly as this.
const RACY: Duration = Duration::from_secs(2);
/// Scans begun again because files vanished under them; then what is there counts.
const MAX_SCANS: usize = 3;

/// What tells that a file is the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }

    /// Whether it is old enough to be believed.
    fn is_settled(&self, now: SystemTime) -> bool {
        let newest = self.modified.0.max(self.changed.0);
        let newest = UNIX_EPOCH + Duration::from_secs(u64::try_from(newest).unwrap_or(0) + 1);
        now.duration_since(newest).is_ok_and(|age| age > RACY)
    }
}

#[derive(Debug, Clone)]
struct Known {
    stamp: Stamp,
    settled: bool,
    digest: Digest,
    parse: Arc<FileParse>,
}

/// What follows a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    known: BTreeMap<String, Known>,
    last: Option<Revision>,
    watch: Option<Watch>,
}

/// One scan under way.
struct Scan<'a> {
    root: &'a Path,
    folder: &'a str,
    options: &'a Options,
    progress: &'a Progress,
    old: &'a BTreeMap<String, Known>,
    now: SystemTime,
    found: BTreeMap<String, Known>,
    problems: Vec<Diagnostic>,
    /// A file vanished between its listing and its reading.
    disturbed: bool,
}

/// How a directory is read.
pub(crate) struct Reading<'a> {
    pub(crate) folder: &'a str,
    pub(crate) options: &'a Options,
    pub(crate) known: &'a KnownKinds,
    pub(crate) progress: &'a Progress,
}

impl Directory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: BTreeMap::new(), last: None, watch: None }
    }

    /// The revision, if it moved. Watches before it reads.
    pub(crate) fn check(&mut self, reading: &Reading<'_>, wake: &Arc<Notify>) -> Result<Option<Read>, SourceError> {
        let root = self.root()?;
        self.ensure_watch(&root, reading.folder, wake);
        let read = self.read(&root, reading)?;
        if self.last.as_ref() == Some(&read.revision) {
            return Ok(None);
        }
        self.last = Some(read.revision.clone());
        Ok(Some(read))
    }

    /// Reads it once, without a watch.
    pub(crate) fn once(&mut self, reading: &Reading<'_>) -> Result<Read, SourceError> {
        let root = self.root()?;
        self.read(&root, reading)
    }

    pub(crate) fn watched(&self) -> bool {
        self.watch.is_some()
    }

    fn root(&self) -> Result<PathBuf, SourceError> {
        let root = fs::canonicalize(&self.path).map_err(|e| SourceError::io("open directory", &self.path, &e))?;
        if root.is_dir() {
            Ok(root)
        } else {
            Err(SourceError::new(Reason::NotFound, format!("{} is no directory", self.path.display())))
        }
    }

    /// The folder with all below it, and what holds the path's last name, which a symlink's swap
    /// or a directory moved into its place changes.
    fn ensure_watch(&mut self, root: &Path, folder: &str, wake: &Arc<Notify>) {
        let mut spots = vec![Spot { path: root.join(folder), recursive: true }];
        spots.extend(self.path.parent().map(|p| Spot { path: p.to_path_buf(), recursive: false }));
        if self.watch.as_ref().is_some_and(|w| w.covers(&spots)) {
            return;
        }
        let (below, own) = (root.to_path_buf(), self.path.clone());
        let relevant = move |path: &Path| path == own || path.strip_prefix(&below).is_ok_and(is_relevant);
        self.watch = Watch::start(spots, relevant, wake.clone())
            .inspect_err(|e| tracing::warn!(directory = %self.path.display(), error = %e, "not watched, only scanned"))
            .ok();
    }

    fn read(&mut self, root: &Path, reading: &Reading<'_>) -> Result<Read, SourceError> {
        let mut scans = 0;
        let (found, problems) = loop {
            let mut scan = Scan {
                root,
                folder: reading.folder,
                options: reading.options,
                progress: reading.progress,
                old: &self.known,
                now: SystemTime::now(),
                found: BTreeMap::new(),
                problems: Vec::new(),
                disturbed: false,
            };
            scan.folder(reading.folder, 0)?;
            scans += 1;
            if !scan.disturbed || scans >= MAX_SCANS {
                break (scan.found, scan.problems);
            }
        };
        let complaints: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let files = found.iter().flat_map(|(path, known)| [path.as_bytes(), &known.digest.0]);
        let digest = Digest::of_parts(files.chain(complaints.iter().map(String::as_bytes)));
        let files = found.values().map(|known| known.parse.clone()).collect();
        self.known = found;
        Ok(Read {
            revision: Revision::directory(digest),
            author: String::new(),
            message: String::new(),
            outcome: Gathered { files, problems }.outcome(reading.known),
        })
    }
}

/// Whether a changed path, below the root, may change what a scan finds.
fn is_relevant(path: &Path) -> bool {
    let mut parts = path.components().filter_map(|c| c.as_os_str().to_str()).peekable();
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return true };
    // `4913` is vim's probe of a directory; the others are editors' copies.
    let temporary = name == "4913"
        || name.ends_with('~')
        || [".swp", ".swx", ".swo", ".tmp", ".part", ".bak"].iter().any(|end| name.ends_with(end))
        || (name.starts_with('#') && name.ends_with('#'));
    // `..data` is what a mounted ConfigMap swaps.
    !temporary && !parts.any(|p| hidden(p) && p != "..data")
}

impl Scan<'_> {
    fn folder(&mut self, path: &str, depth: usize) -> Result<(), SourceError> {
        let place = self.root.join(path);
        let listed = match fs::read_dir(&place) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
            Err(e) => Err(e),
        };
        let entries = match listed {
            Ok(entries) => entries,
            // The followed folder itself is gone: the source is, not its content.
            Err(e) if path == self.folder => return Err(SourceError::io("read directory", &place, &e)),
            Err(e) => {
                self.unreadable(path, &e);
                return Ok(());
            }
        };
        if depth > MAX_DEPTH {
            self.problems.push(problem(path, format!("folders are nested deeper than {MAX_DEPTH}")));
            return Ok(());
        }
        if self.progress.stopped() {
            return Err(SourceError::new(Reason::Timeout, "stopped"));
        }
        let _ = self.progress.beat();
        let mut names = Vec::with_capacity(entries.len());
        for entry in entries {
            match (entry.file_name().into_string(), entry.file_type()) {
                (Ok(name), Ok(kind)) => names.push((name, kind)),
                (Ok(name), Err(e)) => self.unreadable(&join(path, &name), &e),
                (Err(name), _) => {
                    let shown = join(path, &name.to_string_lossy());
                    if is_manifest_path(&name.to_string_lossy()) {
                        self.problems.push(problem(&shown, "the file's name is not UTF-8"));
                    }
                }
            }
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names.into_iter().filter(|(name, _)| !hidden(name)) {
            let inner = join(path, &name);
            if kind.is_dir() {
                self.folder(&inner, depth + 1)?;
            } else if kind.is_symlink() {
                self.link(path, &name, &inner);
            } else if is_manifest_path(&name) {
                if kind.is_file() {
                    self.file(&inner, &self.root.join(&inner));
                } else {
                    self.problems.push(problem(&inner, "it is no regular file"));
                }
            }
        }
        Ok(())
    }

    fn unreadable(&mut self, path: &str, e: &std::io::Error) {
        if e.kind() == ErrorKind::NotFound {
            self.disturbed = true;
        } else {
            self.problems.push(problem(path, format!("cannot be read: {e}")));
        }
    }

    fn file(&mut self, path: &str, place: &Path) {
        if self.found.len() >= MAX_FILES {
            if self.found.len() == MAX_FILES && !self.problems.iter().any(|p| p.message.starts_with("more than")) {
                self.problems.push(problem(path, format!("more than {MAX_FILES} manifests")));
            }
            return;
        }
        match self.known(path, place) {
            Ok(Some(known)) => {
                self.found.insert(path.to_owned(), known);
            }
            Ok(None) => {
                let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
                self.problems.push(problem(path, message));
            }
            Err(e) => self.unreadable(path, &e),
        }
    }

    /// The file as it was read last, if it is the same, else read now; `None` if it is too large.
    fn known(&mut self, path: &str, place: &Path) -> std::io::Result<Option<Known>> {
        let stamp = Stamp::of(&fs::metadata(place)?);
        let old = self.old.get(path);
        if let Some(old) = old
            && old.settled
            && old.stamp == stamp
        {
            return Ok(Some(old.clone()));
        }
        let mut file = File::open(place)?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Ok(None);
        }
        // Written while it was read: what was read is no state of it.
        if Stamp::of(&file.metadata()?) != stamp {
            self.disturbed = true;
        }
        let digest = Digest::of(&bytes);
        let parse = match old {
            Some(old) if old.digest == digest => old.parse.clone(),
            _ => Arc::new(parse_file(path, &bytes, self.options)),
        };
        Ok(Some(Known { stamp, settled: stamp.is_settled(self.now), digest, parse }))
    }

    /// As in a repository: a symlink that stays inside, to a file that no scan reads anyway (as a
    /// mounted ConfigMap's into `..data`), is read under its own name.
    fn link(&mut self, folder: &str, name: &str, path: &str) {
        let place = self.root.join(path);
        let text = match fs::read_link(&place) {
            Ok(target) => target.to_string_lossy().into_owned(),
            Err(e) => return self.unreadable(path, &e),
        };
        let real = match fs::canonicalize(&place) {
            Ok(real) => real,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let message = format!("a symlink that leads to nothing: `{text}`");
                return self.problems.push(problem(path, message));
            }
            Err(e) => return self.unreadable(path, &e),
        };
        let outside = || problem(path, format!("a symlink that leads outside of the source: `{text}`"));
        let Ok(inside) = real.strip_prefix(self.root) else { return self.problems.push(outside()) };
        // The text decides as well, so that a directory and a repository of the same content agree.
        let Some(target) = resolve_link(folder, &text).or_else(|| inside.to_str().map(str::to_owned)) else {
            return self.problems.push(outside());
        };
        if is_read_anyway(self.folder, &target) && inside.to_str().is_some_and(|i| is_read_anyway(self.folder, i)) {
            return;
        }
        if !real.is_file() {
            let message = format!("a symlink to something other than a file is not supported: `{text}`");
            self.problems.push(problem(path, message));
        } else if is_manifest_path(name) {
            self.file(path, &real);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_files_wake_nobody() {
        for (path, wakes) in [
            ("a.yaml", true),
            ("sub", true),
            ("", true),
            ("..data", true),
            ("a.yaml~", false),
            (".a.yaml.swp", false),
            ("4913", false),
            (".git/index", false),
            ("sub/.#a.yaml", false),
            ("#a.yaml#", false),
        ] {
            assert_eq!(is_relevant(Path::new(path)), wakes, "{path}");
        }
    }
}
