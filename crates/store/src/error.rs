//! Why a store refused or failed.

use std::path::PathBuf;

use evenkeel_files::Holder;
use evenkeel_model::Version;
use thiserror::Error;

use crate::key::KeyError;

/// What went wrong. [`StoreError::is_full`] tells the one kind after which the store goes on.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The batch was made from another version than the stored one.
    #[error("the store is at version {found}, the transaction was made from {expected}")]
    Conflict {
        /// What the batch said.
        expected: Version,
        /// What is stored.
        found: Version,
    },
    /// No room: the disk or a quota is full, or less than the kept reserve is free.
    #[error("no room in the data directory {}: {reason}", dir.display())]
    Full {
        /// The data directory.
        dir: PathBuf,
        /// What said so.
        reason: String,
    },
    /// A newer Evenkeel wrote it.
    #[error(
        "the database {} has schema {found}, this program knows schemas up to {supported}: run the newer program, or {remedy}",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that this program knows.
        supported: u32,
        /// How to go back: names the backup made before the schema changed, and the command.
        remedy: String,
    },
    /// Something else's.
    #[error("it is no database of Evenkeel")]
    Foreign,
    /// Another process has it.
    #[error("the data directory {} is in use by {holder}", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// Another program has the database open, and no lock of the directory.
    #[error("the data directory {} is in use by another program, which has the database open", dir.display())]
    Opened {
        /// The data directory.
        dir: PathBuf,
    },
    /// What is stored cannot be read.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// Which part.
        what: String,
        /// Why, where something said so.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A snapshot was sealed before all its documents were there.
    #[error("snapshot {digest} has {found} of {expected} documents")]
    Incomplete {
        /// Digest of the snapshot.
        digest: String,
        /// Documents there.
        found: u64,
        /// Documents it should have.
        expected: u64,
    },
    /// The encryption key.
    #[error("the encryption key of the store")]
    Key(#[from] KeyError),
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// As `open`.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed in another way.
    #[error("cannot {doing}")]
    Sqlite {
        /// As `commit a transaction`.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A simulated crash, of [`crate::MemoryStore`] alone.
    #[error("simulated crash")]
    Crashed,
}

impl StoreError {
    /// Whether there was no room: nothing was written, and the store goes on.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), source: None }
    }

    pub(crate) fn corrupt_by(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { what: what.into(), source: Some(source.into()) }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { dir: path, reason: source.to_string() }
            }
            _ => Self::Io { doing, path, source },
        }
    }
}
