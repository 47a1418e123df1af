//! `hostPath` volumes: the checks that their `type` asks for.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Component, Path, PathBuf},
};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{Tried, VolumeError, make_dir};

/// The path, after its check; what the type lets be created is created.
pub(super) fn check(volume: &str, source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let path = PathBuf::from(&source.path);
    let unfit = |what: &str| VolumeError::Unfit(format!("volume `{volume}`: hostPath {}: {what}", path.display()));
    if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
        return Err(unfit("must be an absolute path without `..`"));
    }
    let wanted = source.type_.as_deref().unwrap_or("");
    let found = match fs::metadata(&path) {
        Ok(meta) => Some(meta.file_type()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e).tried(volume, "look at", &path),
    };
    let Some(found) = found else {
        match wanted {
            // What is not there and not asked for comes as a folder, as with the engine's own binds.
            "" | "DirectoryOrCreate" => make_dirs(volume, &path)?,
            "FileOrCreate" => {
                fs::File::create_new(&path).tried(volume, "create", &path)?;
            }
            _ => return Err(unfit("does not exist")),
        }
        return Ok(path);
    };
    let fits = match wanted {
        "" => true,
        "Directory" | "DirectoryOrCreate" => found.is_dir(),
        "File" | "FileOrCreate" => found.is_file(),
        "Socket" => found.is_socket(),
        "CharDevice" => found.is_char_device(),
        "BlockDevice" => found.is_block_device(),
        other => return Err(unfit(&format!("type `{other}` is not known"))),
    };
    if fits { Ok(path) } else { Err(unfit(&format!("is not a {wanted}"))) }
}

fn make_dirs(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        so_far.push(part);
        if !so_far.exists() {
            make_dir(volume, &so_far, 0o755)?;
        }
    }
    Ok(())
}
