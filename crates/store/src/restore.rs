//! Putting a checked state in the place of a data directory's own, whole or not at all.
//!
//! What shall be there is laid out in a folder beside, then one file says so ([`MARK`]): from then on
//! the new state counts. Moving it into place can be cut off at any moment and is finished by
//! [`settle`], which whoever opens the directory calls first. What was there before goes to a folder
//! of its own and stays. Deliberately not here: what a backup holds (`archive`), and whether it is
//! any good (`sqlite`, and the certificates' owner).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{DirLock, StoreError};

/// The folder in which the new state is laid out.
const STAGE: &str = "restore.new";
/// The file that makes the staged state the one that counts.
const MARK: &str = "restore.json";
/// What belongs to a database beside its file.
const LOGS: [&str; 2] = ["-wal", "-shm"];

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    format: u32,
    /// Folder for what was there.
    aside: String,
    /// Files and folders that are replaced.
    parts: Vec<String>,
}

/// Makes the folder for the new state, empty. What an earlier try left there goes.
pub fn stage(lock: &DirLock) -> Result<PathBuf, StoreError> {
    let dir = lock.dir();
    finish(dir)?;
    let stage = dir.join(STAGE);
    clear(&stage)?;
    DirBuilder::new().mode(0o700).create(&stage).map_err(StoreError::io("create", &stage))?;
    Ok(stage)
}

/// Drops what was staged: the state that is there stays.
pub fn discard(lock: &DirLock) -> Result<(), StoreError> {
    clear(&lock.dir().join(STAGE))
}

/// Puts these parts of the staged state into their places; each is a file or folder of the stage.
/// What was there is afterwards in the folder `aside` of the data directory, whose path is given.
pub fn commit(lock: &DirLock, parts: &[&str], aside: &str) -> Result<PathBuf, StoreError> {
    let dir = lock.dir();
    let stage = dir.join(STAGE);
    sync(&stage)?;
    let mark = Mark { format: 1, aside: aside.into(), parts: parts.iter().map(|p| (*p).to_string()).collect() };
    let text = serde_json::to_vec(&mark).map_err(|e| StoreError::io("write", dir.join(MARK))(e.into()))?;
    let new = stage.join(MARK);
    let path = dir.join(MARK);
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    written().map_err(StoreError::io("write", &path))?;
    sync(dir)?;
    finish(dir)?;
    Ok(dir.join(aside))
}

/// Finishes a restore that was cut off. To be called before anything of a data directory is read;
/// without a mark it costs one look.
pub fn settle(dir: &Path) -> Result<(), StoreError> {
    if !dir.join(MARK).exists() {
        return Ok(());
    }
    let lock = DirLock::acquire(dir)?;
    tracing::warn!(dir = %dir.display(), "a restore was cut off: finishing it");
    finish(lock.dir())
}

/// Moves every part; each step finds out what the one before it left.
fn finish(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(MARK);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StoreError::io("read", &path)(e)),
    };
    let mark: Mark = serde_json::from_slice(&text)
        .map_err(|e| StoreError::corrupt_by(format!("{}, which a restore left", path.display()), e))?;
    let (stage, aside) = (dir.join(STAGE), dir.join(&mark.aside));
    DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(StoreError::io("create", &aside))?;
    for part in &mark.parts {
        // A part that is not staged any more is in its place.
        if !stage.join(part).exists() {
            continue;
        }
        for log in LOGS {
            let log = format!("{part}{log}");
            rename(&dir.join(&log), &aside.join(&log))?;
        }
        rename(&dir.join(part), &aside.join(part))?;
        sync(&aside)?;
        rename(&stage.join(part), &dir.join(part))?;
        sync(dir)?;
    }
    fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
    sync(dir)?;
    clear(&stage)
}

/// Renames what is there; what is not was renamed before, or never was.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("move", from)(e)),
        _ => Ok(()),
    }
}

fn clear(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", folder)(e)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|d| d.sync_all()).map_err(StoreError::io("write", folder))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PARTS: [&str; 3] = ["encryption.key", "ca", "evenkeel.db"];

    fn lay(dir: &Path, word: &str) {
        fs::create_dir_all(dir.join("ca")).unwrap();
        for file in ["encryption.key", "ca/ca.crt", "evenkeel.db"] {
            fs::write(dir.join(file), word).unwrap();
        }
    }

    /// Every file below a folder with its text.
    fn files(dir: &Path) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(&at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(dir).unwrap().display().to_string();
                    out.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        out.remove("lock");
        out
    }

    fn expected(old: bool) -> BTreeMap<String, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        for file in ["encryption.key", "ca/ca.crt", "evenkeel.db"] {
            all.push((file.into(), "new".into()));
            all.push((format!("before/{file}"), "old".into()));
        }
        all.push(("before/evenkeel.db-wal".into(), "log".into()));
        all.push(("admin.kubeconfig".into(), "stays".into()));
        all.into_iter().filter(|(name, _)| old || !name.starts_with("before/")).collect()
    }

    fn prepared(dir: &Path) -> DirLock {
        let lock = DirLock::acquire(dir).unwrap();
        lay(dir, "old");
        fs::write(dir.join("evenkeel.db-wal"), "log").unwrap();
        fs::write(dir.join("admin.kubeconfig"), "stays").unwrap();
        let stage = stage(&lock).unwrap();
        lay(&stage, "new");
        lock
    }

    #[test]
    fn the_new_state_takes_the_place_of_the_old_one_which_stays_aside() {
        let dir = tempfile::tempdir().unwrap();
        let lock = prepared(dir.path());
        commit(&lock, &PARTS, "before").unwrap();
        assert_eq!(files(dir.path()), expected(true));
        // An empty directory has nothing to lay aside.
        let empty = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(empty.path()).unwrap();
        lay(&stage(&lock).unwrap(), "new");
        commit(&lock, &PARTS, "before").unwrap();
        let mut all = expected(false);
        all.remove("admin.kubeconfig");
        assert_eq!(files(empty.path()), all);
    }

    /// Plays the steps of `finish` up to each one, as a crash leaves them, and lets it go on.
    #[test]
    fn cut_off_anywhere_it_is_old_or_is_finished() {
        let steps: &[(&str, &str)] = &[
            ("encryption.key", "before/encryption.key"),
            ("restore.new/encryption.key", "encryption.key"),
            ("ca", "before/ca"),
            ("restore.new/ca", "ca"),
            ("evenkeel.db-wal", "before/evenkeel.db-wal"),
            ("evenkeel.db", "before/evenkeel.db"),
            ("restore.new/evenkeel.db", "evenkeel.db"),
        ];
        for done in 0..=steps.len() {
            let tmp = tempfile::tempdir().unwrap();
            let dir = tmp.path();
            let lock = prepared(dir);
            let mark = Mark { format: 1, aside: "before".into(), parts: PARTS.map(String::from).into() };
            fs::write(dir.join(MARK), serde_json::to_vec(&mark).unwrap()).unwrap();
            fs::create_dir(dir.join("before")).unwrap();
            for (from, to) in &steps[..done] {
                fs::rename(dir.join(from), dir.join(to)).unwrap();
            }
            drop(lock);
            settle(dir).unwrap();
            assert_eq!(files(dir), expected(true), "after {done} steps");
            settle(dir).unwrap();
        }
        // Before the mark nothing has happened; the next try begins anew.
        let tmp = tempfile::tempdir().unwrap();
        let lock = prepared(tmp.path());
        assert!(fs::read_dir(stage(&lock).unwrap()).unwrap().next().is_none());
        assert_eq!(fs::read_to_string(tmp.path().join("evenkeel.db")).unwrap(), "old");
        discard(&lock).unwrap();
        assert!(!tmp.path().join(STAGE).exists());
    }
}
