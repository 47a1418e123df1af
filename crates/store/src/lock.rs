//! One process a data directory: an advisory lock on its file `lock`.
//!
//! The kernel lets go of it when the process ends, however it ends. The file says who holds it.
//!
//! A lock of flock(2) belongs to the open file, and a child that was forked and has not yet begun its
//! own program has that file open, too. So the lock is given back by a call and not by closing the
//! file, and one whose holder has ended (`kill -9`) is waited for, for the moment its child needs.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::StoreError;

/// Name of the lock's file in the data directory.
const FILE: &str = "lock";

/// The longest wait for the lock of a process that has ended.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(10);

/// A data directory of our own, until this is dropped.
#[derive(Debug)]
pub struct DirLock {
    file: File,
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
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => match holder(&mut file) {
                    Holder::Ended if Instant::now() < deadline => thread::sleep(LOOK),
                    holder => return Err(StoreError::Locked { dir: dir.into(), holder: holder.to_string() }),
                },
                Err(e) => return Err(StoreError::io("lock", &path)(e.into())),
            }
        }
        // For people alone: a full disk must not keep a server from starting to answer reads.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        let dir = fs::canonicalize(dir).map_err(StoreError::io("resolve", dir))?;
        Ok(Self { file, dir })
    }

    /// The directory, resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // That fails for no open file; closing it gives the lock back all the same.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Who has the lock, by the file's word.
enum Holder {
    Running(u32),
    /// The process that wrote its number is no more: a child of its holds the lock.
    Ended,
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(pid) => write!(f, "process {pid}"),
            Self::Ended => f.write_str("a child of a process that has ended"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    match (read, text.trim().parse()) {
        (Ok(_), Ok(pid)) if Path::new("/proc").join(text.trim()).exists() => Holder::Running(pid),
        (Ok(_), Ok(_)) => Holder::Ended,
        _ => Holder::Unknown,
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

    #[test]
    fn a_child_that_has_the_file_open_keeps_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        // What a forked child has: the same open file, for as long as it has not begun its program.
        let inherited = lock.file.try_clone().unwrap();
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn the_lock_of_a_process_that_has_ended_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        // A number beyond all that Linux gives out (PID_MAX_LIMIT, 2^22).
        fs::write(dir.path().join(FILE), "4194305").unwrap();
        let error = DirLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a process that has ended"), "{error}");
        let waiting = thread::spawn({
            let dir = dir.path().to_owned();
            move || DirLock::acquire(&dir).map(drop)
        });
        drop(lock);
        waiting.join().unwrap().unwrap();
    }
}
