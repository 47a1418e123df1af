//! Walks a commit's tree and parses what changed since the last walk.
//!
//! Each folder is remembered by its tree's id with the parses of its files, so an unchanged folder
//! is not even opened, and an unchanged file is not parsed: the cost of a commit is that of its
//! changes. What is remembered is bounded by one revision's size. This thread reads, others help it
//! to parse: see [`Parsers`].

use std::{collections::HashMap, sync::Arc};

use evenkeel_manifest::is_manifest_path;
use evenkeel_model::Diagnostic;
use git2::{ErrorCode, Oid, Repository, Tree, TreeEntry};

use super::{
    Reader,
    parsers::{Parsers, Slot},
};
use crate::{
    Reason, SourceError,
    parse::{Gathered, MAX_DEPTH, MAX_FILE_BYTES, MAX_FILES, hidden, is_read_anyway, join, problem, resolve_link},
};

/// File modes of a tree's entries.
const MODE_KIND: i32 = 0o170_000;
const MODE_TREE: i32 = 0o040_000;
const MODE_LINK: i32 = 0o120_000;
const MODE_COMMIT: i32 = 0o160_000;

/// A folder as it was read.
#[derive(Debug)]
pub(crate) struct Folder {
    tree: Oid,
    /// In the tree's order, which is that of the files' whole paths.
    entries: Vec<Entry>,
    problems: Vec<Diagnostic>,
    /// Whether it depends on what lies outside of it, through a symlink.
    outward: bool,
}

#[derive(Debug)]
enum Entry {
    File { name: String, blob: Oid, parse: Slot },
    Folder { name: String, folder: Arc<Folder> },
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Folder { name, .. } => name,
        }
    }
}

/// The entries of the folder as it was, by name.
type Known<'o> = HashMap<&'o str, &'o Entry>;

impl Folder {
    fn known(&self) -> Known<'_> {
        self.entries.iter().map(|e| (e.name(), e)).collect()
    }

    fn collect(&self, into: &mut Gathered) {
        into.problems.extend_from_slice(&self.problems);
        for entry in &self.entries {
            match entry {
                // Every slot is filled once the walk is over.
                Entry::File { parse, .. } => into.files.extend(parse.get().cloned()),
                Entry::Folder { folder, .. } => folder.collect(into),
            }
        }
    }
}

/// One walk.
pub(super) struct Walk<'a> {
    repo: &'a Repository,
    root: &'a Tree<'a>,
    reader: &'a Reader<'a>,
    parsers: Parsers,
}

/// What an entry of a tree is to us.
enum Found {
    Entry(Entry),
    Problem(Diagnostic),
    /// Depends on what lies outside of its folder.
    Outward(Option<Entry>),
    Nothing,
}

impl<'a> Walk<'a> {
    pub(super) fn new(repo: &'a Repository, root: &'a Tree<'a>, reader: &'a Reader<'a>) -> Self {
        Self { repo, root, reader, parsers: Parsers::new(*reader.options) }
    }

    /// Everything below the followed folder.
    pub(super) fn gather(self, old: Option<&Arc<Folder>>) -> Result<(Option<Arc<Folder>>, Gathered), SourceError> {
        let path = self.reader.folder;
        let mut gathered = Gathered::default();
        let tree = if path.is_empty() {
            self.root.id()
        } else {
            match self.root.get_path(path.as_ref()) {
                Ok(entry) if entry.filemode_raw() & MODE_KIND == MODE_TREE => entry.id(),
                Ok(_) => {
                    gathered.problems.push(problem(path, "the source's path is not a folder in this revision"));
                    return Ok((None, gathered));
                }
                Err(e) if e.code() == ErrorCode::NotFound => {
                    gathered.problems.push(problem(path, "the source's path is not in this revision"));
                    return Ok((None, gathered));
                }
                Err(e) => return Err(SourceError::objects("read the source's path", &e)),
            }
        };
        let folder = self.folder(path, tree, old, 0)?;
        self.parsers.finish();
        folder.collect(&mut gathered);
        if gathered.files.len() > MAX_FILES {
            gathered.files.clear();
            gathered.problems.push(problem(path, format!("more than {MAX_FILES} manifests")));
        }
        Ok((Some(folder), gathered))
    }

    fn folder(&self, path: &str, id: Oid, old: Option<&Arc<Folder>>, depth: usize) -> Result<Arc<Folder>, SourceError> {
        if let Some(old) = old
            && old.tree == id
            && !old.outward
        {
            return Ok(old.clone());
        }
        if self.reader.progress.stopped() {
            return Err(SourceError::new(Reason::Timeout, "stopped"));
        }
        let mut folder = Folder { tree: id, entries: Vec::new(), problems: Vec::new(), outward: false };
        if depth > MAX_DEPTH {
            folder.problems.push(problem(path, format!("folders are nested deeper than {MAX_DEPTH}")));
            return Ok(Arc::new(folder));
        }
        let tree = self.repo.find_tree(id).map_err(|e| SourceError::objects(&format!("read folder `{path}`"), &e))?;
        let known = old.map(|o| o.known()).unwrap_or_default();
        for entry in &tree {
            match self.entry(path, &entry, &known, depth)? {
                Found::Nothing => {}
                Found::Problem(problem) => folder.problems.push(problem),
                Found::Outward(entry) => {
                    folder.outward = true;
                    folder.entries.extend(entry);
                }
                Found::Entry(entry) => {
                    if let Entry::Folder { folder: inner, .. } = &entry {
                        folder.outward |= inner.outward;
                    }
                    folder.entries.push(entry);
                }
            }
        }
        Ok(Arc::new(folder))
    }

    fn entry(
        &self,
        folder: &str,
        entry: &TreeEntry<'_>,
        known: &Known<'_>,
        depth: usize,
    ) -> Result<Found, SourceError> {
        let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
            let shown = join(folder, &String::from_utf8_lossy(entry.name_bytes()));
            return Ok(if is_manifest_path(&String::from_utf8_lossy(entry.name_bytes())) {
                Found::Problem(problem(&shown, "the file's name is not UTF-8"))
            } else {
                Found::Nothing
            });
        };
        if hidden(name) {
            return Ok(Found::Nothing);
        }
        let (path, id) = (join(folder, name), entry.id());
        match entry.filemode_raw() & MODE_KIND {
            MODE_TREE => {
                let old = known.get(name).and_then(|e| match e {
                    Entry::Folder { folder, .. } => Some(folder),
                    Entry::File { .. } => None,
                });
                let inner = self.folder(&path, id, old, depth + 1)?;
                Ok(Found::Entry(Entry::Folder { name: name.into(), folder: inner }))
            }
            MODE_COMMIT => Ok(Found::Problem(problem(
                &path,
                "a submodule: its content is not in this repository; follow its repository as a source of its own, \
                 or set the source's `path` to a folder without it",
            ))),
            MODE_LINK => self.link(folder, name, &path, id),
            _ if is_manifest_path(name) => match known.get(name) {
                Some(Entry::File { blob, parse, .. }) if *blob == id => {
                    Ok(Found::Entry(Entry::File { name: name.into(), blob: id, parse: parse.clone() }))
                }
                _ => self.file(&path, name, id),
            },
            _ => Ok(Found::Nothing),
        }
    }

    fn file(&self, path: &str, name: &str, id: Oid) -> Result<Found, SourceError> {
        let failed = |e: git2::Error| SourceError::objects(&format!("read `{path}`"), &e);
        let odb = self.repo.odb().map_err(failed)?;
        let (size, _) = odb.read_header(id).map_err(failed)?;
        if size as u64 > MAX_FILE_BYTES {
            return Ok(Found::Problem(problem(path, format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20))));
        }
        let object = odb.read(id).map_err(failed)?;
        let parse = self.parsers.parse(path, object.data());
        Ok(Found::Entry(Entry::File { name: name.into(), blob: id, parse }))
    }

    /// A symlink inside the repository whose target is not read anyway is read under its own name;
    /// what it leads to may change without its folder's id.
    fn link(&self, folder: &str, name: &str, path: &str, id: Oid) -> Result<Found, SourceError> {
        let blob = self.repo.find_blob(id).map_err(|e| SourceError::objects(&format!("read symlink `{path}`"), &e))?;
        let text = String::from_utf8_lossy(blob.content()).into_owned();
        let Some(target) = resolve_link(folder, &text) else {
            return Ok(Found::Problem(problem(
                path,
                format!("a symlink that leads outside of the repository: `{text}`"),
            )));
        };
        if is_read_anyway(self.reader.folder, &target) {
            return Ok(Found::Nothing);
        }
        let found = match self.root.get_path(target.as_ref()) {
            Ok(found) => found,
            Err(e) if e.code() == ErrorCode::NotFound => {
                return Ok(Found::Problem(problem(path, format!("a symlink that leads to nothing: `{text}`"))));
            }
            Err(e) => return Err(SourceError::objects(&format!("follow symlink `{path}`"), &e)),
        };
        match found.filemode_raw() & MODE_KIND {
            MODE_TREE | MODE_LINK | MODE_COMMIT => Ok(Found::Problem(problem(
                path,
                format!("a symlink to something other than a file is not supported: `{text}`"),
            ))),
            _ if is_manifest_path(name) => Ok(match self.file(path, name, found.id())? {
                Found::Entry(entry) => Found::Outward(Some(entry)),
                other => other,
            }),
            _ => Ok(Found::Nothing),
        }
    }
}
