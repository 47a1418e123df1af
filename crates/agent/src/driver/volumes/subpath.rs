//! `subPath`: a file or folder inside a volume, never outside of it.
//!
//! The kernel does the walk (`openat2` with `RESOLVE_BENEATH`), so no symlink leads out. What was
//! opened is then mounted by its descriptor where this process can mount, and else named by its
//! resolved path.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::UnmountFlags,
};

use super::{Tried, VolumeError, memory};

/// The host's path for `sub` in the volume at `root`. Missing folders are made if `create`. With
/// `hold`, what was found is bind-mounted there, and that path is returned.
pub(super) fn resolve(
    volume: &str,
    root: &Path,
    sub: &str,
    create: bool,
    hold: Option<&Path>,
) -> Result<PathBuf, VolumeError> {
    let unfit = |what: &str| VolumeError::Unfit(format!("volume `{volume}`: subPath `{sub}` {what}"));
    let parts: Vec<&Path> = Path::new(sub)
        .components()
        .filter(|c| *c != Component::CurDir)
        .map(|c| match c {
            Component::Normal(name) => Ok(Path::new(name)),
            _ => Err(unfit("must be a relative path without `..`")),
        })
        .collect::<Result<_, _>>()?;
    let open_root = || rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    // From the root each time: a relative symlink half-way may lead through folders above it.
    let root_fd = open_root().tried(volume, "open", root)?;
    let mut found = open_root().tried(volume, "open", root)?;
    let mut so_far = PathBuf::new();
    for part in parts {
        so_far.push(part);
        found = match beneath(&root_fd, &so_far) {
            Err(Errno::NOENT) if create => {
                rustix::fs::mkdirat(&found, part, Mode::from_raw_mode(0o755)).tried(
                    volume,
                    "create",
                    &root.join(&so_far),
                )?;
                beneath(&root_fd, &so_far)
            }
            result => result,
        }
        .map_err(|e| match e {
            Errno::XDEV | Errno::LOOP => unfit("leads out of its volume"),
            Errno::NOENT => unfit("does not exist"),
            other => {
                VolumeError::Io { volume: volume.into(), what: "open", path: root.join(&so_far), source: other.into() }
            }
        })?;
    }
    let by_fd = PathBuf::from(format!("/proc/self/fd/{}", found.as_fd().as_raw_fd()));
    match hold {
        None => fs::read_link(&by_fd).tried(volume, "resolve", &root.join(sub)),
        Some(hold) => bind(volume, &by_fd, hold),
    }
}

fn beneath(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags)
}

/// Mounts what `by_fd` is at `hold`, which becomes a file or a folder as needed.
fn bind(volume: &str, by_fd: &Path, hold: &Path) -> Result<PathBuf, VolumeError> {
    if memory::is_mounted(hold).tried(volume, "look for mounts of", hold)? {
        rustix::mount::unmount(hold, UnmountFlags::DETACH).tried(volume, "unmount", hold)?;
    }
    let parent = hold.parent().unwrap_or(hold);
    fs::create_dir_all(parent).tried(volume, "create", parent)?;
    match fs::remove_file(hold).or_else(|_| fs::remove_dir(hold)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).tried(volume, "remove", hold),
        _ => {}
    }
    if fs::metadata(by_fd).tried(volume, "look at", by_fd)?.is_dir() {
        fs::create_dir(hold).tried(volume, "create", hold)?;
    } else {
        fs::File::create_new(hold).tried(volume, "create", hold)?;
    }
    rustix::mount::mount_bind(by_fd, hold).tried(volume, "mount a sub-path on", hold)?;
    Ok(hold.to_path_buf())
}
