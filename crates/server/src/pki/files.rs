//! Files that must be whole or absent, and private where they hold keys.

use std::{fs, io::ErrorKind, os::unix::fs::DirBuilderExt, path::Path};

pub(crate) use evenkeel_files::UNFINISHED;
pub(super) use evenkeel_files::{PRIVATE, PUBLIC};

use super::PkiError;

fn fail(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.to_owned();
    move |source| PkiError::File { action, path, source }
}

/// Makes a folder that only the owner may enter, unless it is there.
pub(super) fn folder(path: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail("create", path))
}

/// Writes a file whole.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    evenkeel_files::replace(path, bytes, mode).map_err(fail("write", path))
}

/// A file's bytes; `None` if it is absent.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, PkiError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail("read", path)(e)),
    }
}

/// A file's text; an absent one is an error.
pub(super) fn text(path: &Path) -> Result<String, PkiError> {
    let bytes = fs::read(path).map_err(fail("read", path))?;
    String::from_utf8(bytes)
        .map_err(|_| PkiError::Damaged { path: path.to_owned(), reason: "it is no text".to_owned() })
}

/// Names of the files in a folder, sorted; none if it is absent.
pub(super) fn names(path: &Path) -> Result<Vec<String>, PkiError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail("read", path)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail("read", path))?.file_name();
        names.extend(name.into_string().ok().filter(|n| n.strip_suffix(UNFINISHED).is_none()));
    }
    names.sort();
    Ok(names)
}

/// Removes a file; one that is absent is fine.
pub(super) fn remove(path: &Path) -> Result<(), PkiError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(fail("remove", path)(e)),
        _ => Ok(()),
    }
}
