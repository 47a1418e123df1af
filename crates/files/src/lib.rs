//! What all that keeps something on a disk has in common: files that are old or new after a crash and
//! never half, and the lock by which one process has a folder to itself.
//!
//! Calls block. Deliberately not here: what is in the files, and which of them belong together.

mod lock;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

pub use lock::{Holder, Lock, LockError};

/// Ends the name of a file that is being written.
pub const UNFINISHED: &str = ".new";
/// Mode of a file that only its owner may read.
pub const PRIVATE: u32 = 0o600;
/// Mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// Where a file is written before it gets its place: its name with [`UNFINISHED`] behind it.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Writes a file whole: beside its place, synced, then renamed, and the folder synced. When this returns
/// well it is on the disk; after an error or a crash the file is the old one. A file that a crash left
/// beside it is written over, and its mode is no matter.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder_of(path)
}

/// Brings to the disk that a file was made, renamed or removed.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_has_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for (bytes, mode) in [(&b"old, and longer"[..], PRIVATE), (b"new", PUBLIC), (b"", PRIVATE)] {
            replace(&path, bytes, mode).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert!(!beside(&path).exists());
        }
    }

    #[test]
    fn what_a_crash_left_is_no_hindrance_and_an_error_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(beside(&path), "half of something, open to everybody").unwrap();
        fs::set_permissions(beside(&path), Permissions::from_mode(0o666)).unwrap();
        replace(&path, b"whole", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        fs::create_dir(beside(&path)).unwrap();
        replace(&path, b"never", PRIVATE).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
