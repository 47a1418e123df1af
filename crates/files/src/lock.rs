//! One process a folder: an advisory lock on a file in it.
//!
//! The kernel lets go of it when the process ends, however it ends. The file says who holds it.
//!
//! A lock of flock(2) belongs to the open file, and a child that was forked and has not yet begun its
//! own program has that file open, too. So the lock is given back by a call and not by closing the
//! file, and one whose holder has ended (`kill -9`) is waited for, for the moment its child needs.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use super::PRIVATE;

/// The longest wait for the lock of a process that has ended.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(10);

/// A lock that is ours until this is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// A lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else has it, or another [`Lock`] of this process.
    #[error("it is in use by {0}")]
    Held(Holder),
    /// The file could not be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Who has a lock, by its file's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A process with this number.
    Running(u32),
    /// The process that wrote its number is no more: a child of its holds the lock.
    Ended,
    /// The file does not say.
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

impl Lock {
    /// Takes the lock of this file, which is made if it is not there.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE);
        let mut file = options.open(path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => match holder(&mut file) {
                    Holder::Ended if Instant::now() < deadline => thread::sleep(LOOK),
                    holder => return Err(LockError::Held(holder)),
                },
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        // For people alone: a full disk must not keep a server from starting to answer reads.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // That fails for no open file; closing it gives the lock back all the same.
        let _ = self.0.unlock();
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
    use std::fs;

    use super::*;

    fn held(path: &Path) -> Holder {
        match Lock::take(path).unwrap_err() {
            LockError::Held(holder) => holder,
            LockError::Io(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_lock_has_one_holder_and_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        assert_eq!(held(&path), Holder::Running(std::process::id()));
        drop(lock);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_child_that_has_the_file_open_keeps_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        // What a forked child has: the same open file, for as long as it has not begun its program.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(&path).unwrap();
        drop(inherited);
    }

    #[test]
    fn the_lock_of_a_process_that_has_ended_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        // A number beyond all that Linux gives out (PID_MAX_LIMIT, 2^22).
        fs::write(&path, "4194305").unwrap();
        assert_eq!(held(&path), Holder::Ended);
        let waiting = thread::spawn({
            let path = path.clone();
            move || Lock::take(&path).map(drop)
        });
        drop(lock);
        waiting.join().unwrap().unwrap();
    }
}
