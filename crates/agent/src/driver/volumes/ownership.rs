//! `fsGroup`: gives a volume's files to a group, as the kubelet does.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, lchown},
    path::Path,
};

use k8s_openapi::api::core::v1 as core;

use super::{Tried, VolumeError};

/// Bits added to files of volumes that are only read.
pub(super) const READABLE_FILE: u32 = 0o440;
/// Bits added to folders of volumes that are only read.
const READABLE_DIR: u32 = 0o2550;
/// Bits added to files of volumes that are written.
const WRITABLE_FILE: u32 = 0o660;
/// Bits added to folders of volumes that are written.
const WRITABLE_DIR: u32 = 0o2770;

/// The group that a pod's volumes are given to.
pub(super) fn group(pod: &core::Pod) -> Option<i64> {
    pod.spec.as_ref()?.security_context.as_ref()?.fs_group
}

/// The user that all containers of a pod run as, where it says so of each.
pub(super) fn user(pod: &core::Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|s| s.run_as_user);
    let of = |c: &core::Container| c.security_context.as_ref().and_then(|s| s.run_as_user).or(of_pod);
    let mut users = spec.init_containers.iter().flatten().chain(&spec.containers).map(of);
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

/// For volumes that only the agent writes.
pub(super) fn readable(volume: &str, path: &Path, group: i64) -> Result<(), VolumeError> {
    give(volume, path, group, READABLE_FILE, READABLE_DIR)
}

/// For volumes that containers write.
pub(super) fn writable(volume: &str, path: &Path, group: i64) -> Result<(), VolumeError> {
    give(volume, path, group, WRITABLE_FILE, WRITABLE_DIR)
}

fn give(volume: &str, path: &Path, group: i64, file: u32, dir: u32) -> Result<(), VolumeError> {
    let gid = u32::try_from(group)
        .map_err(|_| VolumeError::Unfit(format!("volume `{volume}`: fsGroup {group} is not a group id")))?;
    let meta = fs::symlink_metadata(path).tried(volume, "look at", path)?;
    lchown(path, None, Some(gid)).tried(volume, "give to the fsGroup", path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let bits = if meta.is_dir() { dir } else { file };
    let mode = meta.permissions().mode() & 0o7777 | bits;
    // After the change of group, which clears the set-group bit.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).tried(volume, "set the mode of", path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path).tried(volume, "read", path)? {
            give(volume, &entry.tried(volume, "read", path)?.path(), group, file, dir)?;
        }
    }
    Ok(())
}
