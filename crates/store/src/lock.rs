//! One process a data directory: an advisory lock on its file `lock`.
//!
//! The kernel lets go of it when the process ends, however it ends. The file says who holds it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::StoreError;

/// Name of the lock's file in the data directory.
const FILE: &str = "lock";

/// A data directory of our own, until this is dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
    dir: PathBuf,
}

impl DirLock {
    /// Makes the directory (0700) if it is not there, and takes its lock.
    /// [`StoreError::Locked`] where another process, or another lock of this one, has it.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io("create", dir))?;
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Locked { dir: dir.into(), holder: holder(&mut file) }),
            Err(e) => return Err(StoreError::io("lock", &path)(e.into())),
        }
        // For people alone: a full disk must not keep a server from starting to answer reads.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        let dir = fs::canonicalize(dir).map_err(StoreError::io("resolve", dir))?;
        Ok(Self { _file: file, dir })
    }

    /// The directory, resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".into(),
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
