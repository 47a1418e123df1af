//! Follows sources: git repositories and directories, from change to checked snapshot.
//!
//! The server starts a [`Follower`] for each Source and gets a [`SourceEvent`] whenever its revision
//! moves or it goes away. `validate` and `diff` use [`read_directory`] and [`read_git_revision`].
//! Deliberately not here: what a revision does to the cluster (core), what a manifest means
//! (`evenkeel-manifest`), and the HTTP route of a hook: only its signature is checked here.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::{sync::Arc, time::Duration};

use evenkeel_model::{Diagnostic, Revision, Snapshot, SourceName};

mod directory;
mod error;
mod follow;
mod git;
pub mod hook;
mod once;
mod parse;
mod spec;
mod watch;
mod work;

pub use error::{Reason, SourceError};
pub use follow::Follower;
pub use once::{is_repository, read_directory, read_git_revision, read_stream};
pub use parse::KnownKinds;

/// One revision as it was read: its documents, or everything that is wrong with it.
#[derive(Debug, Clone)]
pub struct Read {
    /// The revision.
    pub revision: Revision,
    /// Author of the commit, as `Name <mail>`; empty for a directory.
    pub author: String,
    /// First line of the commit's message; empty for a directory.
    pub message: String,
    /// The checked documents, or all complaints in the order of files and lines.
    pub outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
}

/// What a follower tells.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// A revision: after the start, when it moved, and as the answer to a nudge.
    Revision(Box<Fetched>),
    /// It cannot be read. Nothing else changes.
    Away {
        /// One word, as `BranchNotFound`: [`Reason`]'s text.
        reason: String,
        /// For people: what was tried, and why it failed.
        message: String,
        /// When it is tried again, from now.
        next_try: Duration,
    },
    /// It can be read again, and its revision is the one that was told last.
    Reachable,
}

/// A revision that a follower read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The source.
    pub source: SourceName,
    /// The revision.
    pub revision: Revision,
    /// Author of the commit, as `Name <mail>`; empty for a directory.
    pub author: String,
    /// First line of the commit's message; empty for a directory.
    pub message: String,
    /// The checked documents, or all complaints.
    pub outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
    /// Whether objects that are not in it may be pruned. Always for git: a commit is whole. A
    /// directory may be caught in the middle of a copy: when objects are missing that an earlier
    /// scan had (or at the start, when nothing is known), the revision comes with `false` first,
    /// and once more with `true` when a full scan 5 s later finds the same content. Where nothing
    /// is missing it comes once, with `true`.
    pub complete_scan: bool,
}
