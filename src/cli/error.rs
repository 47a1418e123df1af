//! How an error is told: `error:` with its causes, `hint:` with what to do, exit code 1.

use std::{io::ErrorKind, process::ExitCode};

use evenkeel_server::host::HostError;
use evenkeel_store::StoreError;
use thiserror::Error;

use crate::client::ClientError;

/// An error that knows what to do about it.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

/// An error with a hint.
pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into() }.into()
}

/// Tells an error on stderr.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // Whoever read our output has gone: nothing is wrong.
    let closed = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        cause
            .downcast_ref::<Hinted>()
            .map(|h| h.hint.clone())
            .or_else(|| cause.downcast_ref::<ClientError>().and_then(ClientError::hint))
            .or_else(|| cause.downcast_ref::<HostError>().and_then(refused))
    })
}

fn refused(error: &HostError) -> Option<String> {
    match error {
        HostError::Network(error) => Some(error.hint().to_owned()),
        other => damaged(other),
    }
}

/// What to do where the database cannot be read: it is the one part that can be made again.
fn damaged(error: &HostError) -> Option<String> {
    let HostError::Store { dir, source: StoreError::Corrupt { .. } } = error else { return None };
    let dir = dir.display();
    Some(format!(
        "put a copy of evenkeel.db in its place, or move {dir}/evenkeel.db, evenkeel.db-wal and evenkeel.db-shm away: \
         the next start builds it again from the sources and from what the nodes know, and no container stops"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_database_comes_with_a_way_out() {
        let source = StoreError::Corrupt { what: "x".into(), source: None };
        let error = anyhow::Error::from(HostError::Store { dir: "/data".into(), source }).context("start");
        assert!(hint(&error).is_some_and(|h| h.contains("/data/evenkeel.db")));
        let locked = StoreError::Locked { dir: "/data".into(), holder: evenkeel_files::Holder::Running(1) };
        assert!(hint(&HostError::Store { dir: "/data".into(), source: locked }.into()).is_none());
    }
}
