//! Git: from a commit's id to a [`Read`], straight from the object store, without a checkout.

use std::{path::Path, sync::Arc};

use evenkeel_manifest::Options;
use evenkeel_model::Revision;
use git2::{Commit, ErrorCode, Odb, Oid, Repository};

use crate::{KnownKinds, Read, Reason, SourceError, work::Progress};

mod hosts;
pub(crate) mod local;
mod parsers;
pub(crate) mod remote;
mod tree;

/// Characters of a commit's first line that are kept: what fits a table's column and more.
const MAX_MESSAGE: usize = 200;

/// What was parsed last, so that only what changed is parsed again.
pub(crate) type Parsed = Option<Arc<tree::Folder>>;

/// How a commit is read.
pub(crate) struct Reader<'a> {
    pub(crate) folder: &'a str,
    pub(crate) options: &'a Options,
    pub(crate) known: &'a KnownKinds,
    pub(crate) progress: &'a Progress,
}

/// The objects of a repository, without the repository: its configuration and hooks do not
/// concern us, and its files may belong to another user, whom libgit2 would refuse to read from.
pub(crate) fn open_objects(objects: &Path) -> Result<Repository, SourceError> {
    let text = objects
        .to_str()
        .ok_or_else(|| SourceError::new(Reason::Unsupported, format!("{} is not UTF-8", objects.display())))?;
    let open = || -> Result<Repository, git2::Error> {
        let odb = Odb::new()?;
        odb.add_disk_alternate(text)?;
        Repository::from_odb(odb)
    };
    open().map_err(|e| SourceError::objects(&format!("open {text}"), &e))
}

/// The commit that an id leads to, through tags.
pub(crate) fn commit<'r>(repo: &'r Repository, hex: &str) -> Result<Commit<'r>, SourceError> {
    let failed = |e: git2::Error| match e.code() {
        ErrorCode::NotFound => {
            SourceError::new(Reason::CommitNotFound, format!("commit {hex} is not in the repository"))
        }
        _ => SourceError::objects(&format!("read commit {hex}"), &e),
    };
    let oid = Oid::from_str(hex).map_err(failed)?;
    repo.find_object(oid, None).and_then(|o| o.peel_to_commit()).map_err(failed)
}

impl Reader<'_> {
    /// Reads a commit as a revision of `label`.
    pub(crate) fn read(
        &self,
        repo: &Repository,
        commit: &Commit<'_>,
        label: Option<&str>,
        parsed: &mut Parsed,
    ) -> Result<Read, SourceError> {
        let revision = Revision::git(label, &commit.id().to_string());
        let root = commit.tree().map_err(|e| SourceError::objects("read a commit's tree", &e))?;
        let (folder, gathered) = tree::Walk::new(repo, &root, self).gather(parsed.as_ref())?;
        *parsed = folder;
        let author = commit.author();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let message = commit.message_raw_bytes();
        let first_line = message.trim_ascii_start().split(|c| *c == b'\n').next().unwrap_or_default();
        Ok(Read {
            revision,
            author: format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes())),
            message: text(first_line).chars().take(MAX_MESSAGE).collect(),
            outcome: gathered.outcome(self.known),
        })
    }
}
