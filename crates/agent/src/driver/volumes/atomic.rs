//! Writes a set of files so that a reader sees the old set or the new one, never a mix: as the
//! kubelet does, real files in a time-stamped folder, `..data` pointing at it, and the visible
//! names pointing through `..data`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Tried, VolumeError, make_dir, ownership};

/// One file of a volume. `Debug` does not show its bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Arc<[u8]>,
    pub(super) mode: u32,
    /// Whose it is, if not the agent's user's.
    pub(super) owner: Option<u32>,
}

const DATA: &str = "..data";

/// How many names of the same millisecond are tried.
const NAME_TRIES: u32 = 1000;

/// Brings the volume to hold exactly these files, by relative path. Does nothing if it does already.
pub(super) fn write(
    volume: &str,
    dir: &Path,
    files: &BTreeMap<String, File>,
    group: Option<i64>,
) -> Result<(), VolumeError> {
    let link = dir.join(DATA);
    let old = match fs::read_link(&link) {
        Ok(target) => Some(dir.join(target)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e).tried(volume, "read", &link),
    };
    let effective = |mode: u32| if group.is_some() { mode | ownership::READABLE_FILE } else { mode };
    if let Some(old) = &old
        && same(old, files, &effective).unwrap_or(false)
    {
        return link_names(volume, dir, files);
    }
    let fresh = fresh_dir(volume, dir)?;
    for (path, file) in files {
        write_file(volume, &fresh, path, file)?;
    }
    if let Some(group) = group {
        ownership::readable(volume, &fresh, group)?;
    }
    let name = fresh.file_name().unwrap_or_default();
    let next = dir.join("..data_tmp");
    match fs::remove_file(&next) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).tried(volume, "remove", &next),
        _ => {}
    }
    symlink(name, &next).tried(volume, "create", &next)?;
    fs::rename(&next, &link).tried(volume, "switch", &link)?;
    link_names(volume, dir, files)?;
    remove_stale(volume, dir, &fresh)
}

fn write_file(volume: &str, root: &Path, path: &str, file: &File) -> Result<(), VolumeError> {
    let full = root.join(path);
    let mut parent = root.to_path_buf();
    if let Some(folders) = Path::new(path).parent() {
        for folder in folders.components() {
            parent.push(folder);
            make_dir(volume, &parent, 0o755)?;
        }
    }
    fs::write(&full, &file.bytes).tried(volume, "write", &full)?;
    if let Some(owner) = file.owner {
        lchown(&full, Some(owner), None).tried(volume, "give to the pod's user", &full)?;
    }
    fs::set_permissions(&full, fs::Permissions::from_mode(file.mode)).tried(volume, "set the mode of", &full)
}

fn fresh_dir(volume: &str, dir: &Path) -> Result<PathBuf, VolumeError> {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    for n in 0..NAME_TRIES {
        let path = dir.join(format!("..{stamp}.{n}"));
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).tried(
                    volume,
                    "set the mode of",
                    &path,
                )?;
                return Ok(path);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).tried(volume, "create", &path),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists)).tried(volume, "create a folder in", dir)
}

/// Whether the folder holds exactly these files.
fn same(dir: &Path, files: &BTreeMap<String, File>, effective: &impl Fn(u32) -> u32) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    walk(dir, Path::new(""), &mut found)?;
    if found.len() != files.len() {
        return Ok(false);
    }
    for (path, file) in files {
        let full = dir.join(path);
        if !found.contains(Path::new(path))
            || fs::metadata(&full)?.permissions().mode() & 0o7777 != effective(file.mode)
            || fs::read(&full)? != *file.bytes
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn walk(dir: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(dir, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// Makes the visible names point through `..data` and removes those that are no more.
fn link_names(volume: &str, dir: &Path, files: &BTreeMap<String, File>) -> Result<(), VolumeError> {
    let names: BTreeSet<&str> = files.keys().filter_map(|p| p.split('/').next()).collect();
    for entry in fs::read_dir(dir).tried(volume, "read", dir)? {
        let entry = entry.tried(volume, "read", dir)?;
        let name = entry.file_name();
        let ours = name.to_string_lossy().starts_with("..");
        if !ours && !name.to_str().is_some_and(|n| names.contains(n)) {
            fs::remove_file(entry.path()).tried(volume, "remove", &entry.path())?;
        }
    }
    for name in names {
        let path = dir.join(name);
        if fs::symlink_metadata(&path).is_err() {
            symlink(Path::new(DATA).join(name), &path).tried(volume, "create", &path)?;
        }
    }
    Ok(())
}

/// Removes every time-stamped folder but the current one: the one before, and what a crash left.
fn remove_stale(volume: &str, dir: &Path, current: &Path) -> Result<(), VolumeError> {
    for entry in fs::read_dir(dir).tried(volume, "read", dir)? {
        let entry = entry.tried(volume, "read", dir)?;
        let path = entry.path();
        let stamped = entry.file_name().to_string_lossy().starts_with("..");
        if stamped && path != current && entry.file_type().is_ok_and(|t| t.is_dir()) {
            fs::remove_dir_all(&path).tried(volume, "remove", &path)?;
        }
    }
    Ok(())
}
