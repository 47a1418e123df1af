//! Single files of the agent's folder, each with a format and replaced as a whole: for what is kept
//! beside the journal.

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path};

use serde::{Deserialize, Serialize};

use super::journal::{JournalError, encode, io_error, parse, read, remove_file, replace};

/// Makes a folder that only the owner may enter, unless it is there.
pub(crate) fn folder(path: &Path) -> Result<(), JournalError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io_error("create", path, e))
}

/// What a file holds; `None` if it is absent.
pub(crate) fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, JournalError> {
    read(path)?.map(|bytes| parse(path, &bytes)).transpose()
}

/// Puts this in place of what a file held, mode 0600; on disk when it returns.
pub(crate) fn keep<T: Serialize>(path: &Path, data: &T) -> Result<(), JournalError> {
    replace(path, &encode(path, data)?)
}

/// Removes a file; one that is absent is fine.
pub(crate) fn remove(path: &Path) -> Result<(), JournalError> {
    remove_file(path)
}
