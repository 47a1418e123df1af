//! One process a data directory: a lock on its file `lock`, which says who holds it.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use evenkeel_files::{Lock, LockError};

use crate::StoreError;

/// Name of the lock's file in the data directory.
const FILE: &str = "lock";

/// A data directory of our own, until this is dropped.
#[derive(Debug)]
pub struct DirLock {
    dir: PathBuf,
    _lock: Lock,
}

impl DirLock {
    /// Makes the directory (0700) if it is not there, and takes its lock.
    /// [`StoreError::Locked`] where another process, or another lock of this one, has it.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io("create", dir))?;
        let path = dir.join(FILE);
        let lock = Lock::take(&path).map_err(|error| match error {
            LockError::Held(holder) => StoreError::Locked { dir: dir.into(), holder },
            LockError::Io(error) => StoreError::io("lock", &path)(error),
        })?;
        let dir = fs::canonicalize(dir).map_err(StoreError::io("resolve", dir))?;
        Ok(Self { dir, _lock: lock })
    }

    /// The directory, resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_and_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let lock = DirLock::acquire(&path).unwrap();
        let error = DirLock::acquire(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        DirLock::acquire(&path).unwrap();
    }
}
