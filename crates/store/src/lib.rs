//! The durable side: what a conductor commits and what it loads when it starts.
//!
//! One trait, [`Store`], with two implementations: [`SqliteStore`] for a server and [`MemoryStore`],
//! the model, for the simulation. The conductor is the only caller. Deliberately not here: what is
//! kept how long (core decides and says `Delete`), who may see what, and any thread: every call
//! runs on its caller's.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use evenkeel_model::{Content, Diagnostic, Digest, Doc, Key, Object, Revision, Snapshot, SourceName, Time, Version};

pub mod archive;
mod error;
mod key;
mod ledger;
mod lock;
mod memory;
pub mod restore;
mod sqlite;

pub use error::StoreError;
pub use key::{EncryptionKey, KeyError};
pub use lock::DirLock;
pub use memory::{Crash, MemoryDisk, MemoryStore};
pub use sqlite::{
    Checkpoint, Checkpointer, Copied, DEFAULT_RESERVE, OpenOptions, SqliteStore, copy_database, counts, inspect,
    mark_copy,
};

/// The durable state of a cluster. Every method is synchronous: an answer means that it happened.
pub trait Store: Send {
    /// Everything that the world needs at start. Objects come in the order of their keys.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// One transaction: all of it, durable, or nothing. Refused with [`StoreError::Conflict`]
    /// unless the stored version is `batch.from`. After [`StoreError::is_full`] the store goes on;
    /// after any other error its caller loads again from the start.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Releases, drifts or events by index, newest first, at most `query.limit`.
    fn history(&mut self, query: &HistoryQuery) -> Result<Vec<Object>, StoreError>;

    /// The kept documents of a sealed snapshot, with its warnings and what it skipped; `None` where
    /// there is no such snapshot or it was never sealed.
    fn snapshot(&mut self, digest: Digest) -> Result<Option<Snapshot>, StoreError>;

    /// A consistent copy of the whole store in a new file at `to`, mode 0600. What is encrypted
    /// stays so: the key is not in it.
    fn backup(&mut self, to: &Path) -> Result<(), StoreError>;
}

/// What one transaction writes.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The version it was made from.
    pub from: Version,
    /// The version afterwards: `from` and one step for each change; at least `from`.
    pub to: Version,
    /// Writes, in order.
    pub ops: Vec<Op>,
}

/// One write.
#[derive(Debug, Clone)]
pub enum Op {
    /// Creates or replaces the object of this key. Its `version` is kept as given.
    Put(Arc<Object>),
    /// Deletes the object of this key, at this version. An absent one is no error.
    Delete(Key, Version),
    /// Keeps content by its digest. Content that is there is left as it is.
    PutContent(Digest, Arc<Content>),
    /// Forgets content. Absent content is no error.
    DropContent(Digest),
    /// A part of a snapshot's documents, on its way. Parts may come in any order, and again.
    StageDocs {
        /// The snapshot's digest.
        snapshot: Digest,
        /// Index of the first of them among the snapshot's documents.
        first: u32,
        /// Documents, in the snapshot's order.
        docs: Vec<Arc<Doc>>,
    },
    /// Says that a snapshot's documents are all there. Sealing one again names its newest source
    /// and revision. [`StoreError::Incomplete`] if documents are missing.
    SealSnapshot(Box<Seal>),
    /// Forgets a snapshot, sealed or not, and the documents that no other one shares. Content of
    /// two sources may be equal: the caller drops a digest when nothing refers to it any more.
    DropSnapshot(Digest),
    /// Keeps a value by name; an empty value removes it.
    SetMeta(String, Vec<u8>),
    /// Raises the epoch to this one; a lower one changes nothing.
    RaiseEpoch(u64),
}

/// What is said of a snapshot when it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The snapshot's digest.
    pub digest: Digest,
    /// The source it was read from.
    pub source: SourceName,
    /// The revision it was read from.
    pub revision: Revision,
    /// How many documents it has.
    pub docs: u32,
    /// Its warnings.
    pub warnings: Vec<Diagnostic>,
    /// What was left out.
    pub skipped: Vec<String>,
}

/// A snapshot that is kept, without its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHead {
    /// Digest.
    pub digest: Digest,
    /// `None` where it was staged and never sealed: its caller stages it again or drops it.
    pub seal: Option<SealedAs>,
}

/// Source and size of a sealed snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAs {
    /// The source that it was last sealed for.
    pub source: SourceName,
    /// The revision that it was last sealed for.
    pub revision: Revision,
    /// How many documents it has.
    pub docs: u32,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The stored version.
    pub version: Version,
    /// Drawn anew for a new or restored store, above every earlier one: an agent that sees a new
    /// epoch stops nothing for being absent from an assignment.
    pub epoch: u64,
    /// What the `open` that this load follows found.
    pub origin: Origin,
    /// Every object, in the order of keys.
    pub objects: Vec<Object>,
    /// Kept contents, in the order of digests.
    pub contents: Vec<(Digest, Content)>,
    /// Kept snapshots, in the order of digests.
    pub snapshots: Vec<SnapshotHead>,
    /// Values by name.
    pub meta: BTreeMap<String, Vec<u8>>,
}

/// Where a store comes from. A later load of the same opened store says [`Origin::Kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// It was there.
    #[default]
    Kept,
    /// There was none: it was made.
    New,
    /// A copy that was put there: its epoch was drawn anew.
    Restored,
}

/// Which history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// Releases, by when they were made.
    Releases,
    /// Drifts, by when they were last seen.
    Drifts,
    /// Events, by when they last happened.
    Events,
}

/// Whose history is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum About {
    /// Everybody's.
    #[default]
    All,
    /// Of one source. Events have none: nothing is found there.
    Source(SourceName),
    /// Of one object: a drift's, or the one that an event involves. Releases have none.
    Object(Key),
}

/// A question for [`Store::history`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of what.
    pub ledger: Ledger,
    /// Of whom.
    pub about: About,
    /// Only what is at this time or later.
    pub since: Option<Time>,
    /// Only what is before this time: where the last page ended.
    pub before: Option<Time>,
    /// At most this many.
    pub limit: u32,
}

impl HistoryQuery {
    /// The newest `limit` of one ledger.
    pub fn newest(ledger: Ledger, about: About, limit: u32) -> Self {
        Self { ledger, about, since: None, before: None, limit }
    }
}

/// Name of the stored value that says that a recovery is under way: a copy that is opened as a store
/// begins with it, the conductor sets it for a new store and takes it away. It is the version, as
/// decimal digits, up to which the store knows everything: that of the copy, 0 for a store that was
/// lost. What an agent saw later is newer, whatever this server has written since.
pub const RECOVERING: &str = "recovering";

/// The database file of a data directory.
pub fn database_path(dir: &Path) -> std::path::PathBuf {
    dir.join("evenkeel.db")
}

/// Where a new or restored store begins: above the clock in microseconds, so that a version never
/// repeats as long as there is less than one change a microsecond.
pub(crate) fn first_version(now: Time) -> Version {
    Version(u64::try_from(now.0.max(0)).unwrap_or(0).saturating_add(1).saturating_mul(1000))
}

/// Whether a batch fits the stored version.
pub(crate) fn check_versions(batch: &Batch, found: Version) -> Result<(), StoreError> {
    if batch.from != found {
        return Err(StoreError::Conflict { expected: batch.from, found });
    }
    // A batch that counts backwards would let a version repeat.
    if batch.to < batch.from { Err(StoreError::Conflict { expected: batch.to, found }) } else { Ok(()) }
}
