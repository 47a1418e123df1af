//! Why a source cannot be read: what stands as the reason in its condition.

use std::{fmt, path::Path};

use thiserror::Error;

/// The word for it, stable: tools compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The Source's fields contradict each other or cannot be used.
    InvalidSpec,
    /// There is no such directory or repository.
    NotFound,
    /// The path holds no git repository.
    NotARepository,
    /// The branch is not there, or not any more.
    BranchNotFound,
    /// The tag is not there, or not any more.
    TagNotFound,
    /// The commit is not in the repository.
    CommitNotFound,
    /// A repository of a form that is not read (reftable, SHA-256).
    Unsupported,
    /// The server did not take the credentials, or they could not be read.
    AuthenticationFailed,
    /// The server's key or certificate is not known.
    HostUntrusted,
    /// The network, or the server.
    Unreachable,
    /// No progress for too long.
    Timeout,
    /// Objects that should be in the repository cannot be read.
    Damaged,
    /// A file operation failed.
    Io,
    /// The reader itself failed.
    Internal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A source that cannot be read. Its text is whole: libgit2's reasons are text already.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SourceError {
    /// One word.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl SourceError {
    /// An error of this reason, with its text.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(crate) fn io(doing: &str, path: &Path, e: &std::io::Error) -> Self {
        let reason = if e.kind() == std::io::ErrorKind::NotFound { Reason::NotFound } else { Reason::Io };
        Self::new(reason, format!("cannot {doing} {}: {e}", path.display()))
    }

    /// Of an operation on the objects of a repository that should have them.
    pub(crate) fn objects(doing: &str, e: &git2::Error) -> Self {
        Self::new(Reason::Damaged, format!("cannot {doing}: {}", e.message()))
    }

    /// Of an operation over the network.
    pub(crate) fn remote(doing: &str, e: &git2::Error) -> Self {
        use git2::{ErrorClass, ErrorCode};
        let reason = match (e.code(), e.class()) {
            (ErrorCode::Auth, _) => Reason::AuthenticationFailed,
            (ErrorCode::User, _) => Reason::Timeout,
            (ErrorCode::Certificate, _) | (_, ErrorClass::Ssl) => Reason::HostUntrusted,
            (_, ErrorClass::Odb | ErrorClass::Repository | ErrorClass::Indexer) => Reason::Damaged,
            _ => Reason::Unreachable,
        };
        Self::new(reason, format!("cannot {doing}: {}", e.message()))
    }
}
