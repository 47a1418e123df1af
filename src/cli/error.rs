//! How an error is told: `error:` with its causes, `hint:` with what to do, exit code 1.

use std::{io::ErrorKind, process::ExitCode};

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
    })
}
