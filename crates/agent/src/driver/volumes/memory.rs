//! Memory file systems and other mounts that the agent makes below a pod's folder.

use std::{
    ffi::{CString, OsString},
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags};

/// Whether mounts made here are seen by the engine: that takes root, and the mount namespace of the
/// machine's first process, from which the engine's own gets its mounts. In any other namespace the
/// engine would silently see empty folders.
pub(super) fn possible() -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let own = fs::read_link("/proc/self/ns/mnt");
    match (own, fs::read_link("/proc/1/ns/mnt")) {
        (Ok(own), Ok(first)) => own == first,
        // Not allowed to look (root of a restricted container): taken for the same.
        _ => true,
    }
}

/// Mounts a memory file system of at most `size` bytes; without a size, half of the memory.
pub(super) fn mount(path: &Path, size: Option<u64>, mode: u32) -> io::Result<()> {
    let size = size.map_or_else(String::new, |n| format!(",size={n}"));
    let options = CString::new(format!("mode={mode:o}{size}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(options.as_c_str()))?;
    Ok(())
}

/// Whether something is mounted exactly there.
pub(super) fn is_mounted(path: &Path) -> io::Result<bool> {
    Ok(mount_points()?.iter().any(|m| m == path))
}

/// Mount points at or below a folder, deepest first.
pub(super) fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below: Vec<PathBuf> = mount_points()?.into_iter().filter(|m| m.starts_with(dir)).collect();
    below.sort_by_key(|m| std::cmp::Reverse(m.components().count()));
    Ok(below)
}

/// Unmounts everything at or below a folder.
pub(super) fn unmount_below(dir: &Path) -> io::Result<()> {
    for point in mounts_below(dir)? {
        rustix::mount::unmount(&point, UnmountFlags::DETACH)?;
    }
    Ok(())
}

fn mount_points() -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let code = bytes
            .get(i + 1..i + 4)
            .filter(|_| bytes[i] == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(bytes[i]));
        i += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape("/plain"), Path::new("/plain"));
        assert!(is_mounted(Path::new("/proc")).unwrap());
        assert!(mounts_below(Path::new("/nonexistent")).unwrap().is_empty());
    }
}
