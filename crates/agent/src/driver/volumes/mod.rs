//! Volumes of pods as folders on this node, and how containers see them. All of it blocks: the
//! driver calls it on the blocking pool.
//!
//! A pod's folder is `pods/<uid>` with `volumes/<name>`, `subpaths/`, `containers/` (termination
//! messages) and `places.json`, which says where each volume lies, so that a restarted agent can
//! mount what an earlier one prepared. Preparing is safe to repeat and is how changed ConfigMaps
//! reach running pods. Deliberately not here: what a volume should contain (`content`), limits of
//! disk volumes (`sizeLimit` of an `emptyDir` on disk is not enforced).

mod atomic;
mod content;
mod host_path;
mod memory;
mod ownership;
mod subpath;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use evenkeel_files::{PRIVATE, replace};
use evenkeel_model::{Quantity, Uid};
use evenkeel_runtime::{Mount, Propagation};
use evenkeel_wire::PodOrder;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::logic::command::VolumeUse;
use crate::tokens::{Kept, Tokens};

/// The file of tokens in a pod's folder, 0600.
const TOKENS: &str = "tokens.json";

/// Longest termination message that is read, as the kubelet's.
const MAX_TERMINATION_MESSAGE: u64 = 4096;

/// Where a container writes its termination message if the pod does not say, as in Kubernetes.
const DEFAULT_TERMINATION_PATH: &str = "/dev/termination-log";

/// A volume could not be made or used. Messages name files, keys and objects, never values.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// The pod names something that is missing or unfit; the message is for its owner.
    #[error("{0}")]
    Unfit(String),
    /// The file system refused.
    #[error("volume `{volume}`: cannot {what} {path}")]
    Io {
        /// The volume; empty for the pod's folder.
        volume: String,
        /// What was tried, as `create`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl VolumeError {
    /// The error with its cause, in one line.
    pub fn full(&self) -> String {
        match self {
            Self::Unfit(message) => message.clone(),
            Self::Io { source, .. } => format!("{self}: {source}"),
        }
    }
}

/// Attaches to I/O errors what was tried.
trait Tried<T> {
    fn tried(self, volume: &str, what: &'static str, path: &Path) -> Result<T, VolumeError>;
}

impl<T, E: Into<io::Error>> Tried<T> for Result<T, E> {
    fn tried(self, volume: &str, what: &'static str, path: &Path) -> Result<T, VolumeError> {
        self.map_err(|e| VolumeError::Io { volume: volume.into(), what, path: path.into(), source: e.into() })
    }
}

/// Where a prepared volume lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    path: PathBuf,
    /// Content that Kubernetes gives: containers never write there.
    read_only: bool,
}

/// What is kept of a prepared pod, so that a restarted agent can go on. No values.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Prepared {
    places: BTreeMap<String, Place>,
    /// `terminationMessagePath` by container.
    #[serde(default)]
    termination: BTreeMap<String, String>,
}

/// The volumes of all pods of this agent.
#[derive(Debug)]
pub struct Volumes {
    pods: PathBuf,
    /// Whether mounts made by this process reach the engine.
    mounts: bool,
}

impl Volumes {
    /// Volumes below `<agent_dir>/pods`, which is made (0700).
    pub fn new(agent_dir: &Path) -> Result<Self, VolumeError> {
        let pods = agent_dir.join("pods");
        private_dir(&pods)?;
        Ok(Self { pods, mounts: memory::possible() })
    }

    fn pod_dir(&self, pod: Uid) -> PathBuf {
        self.pods.join(pod.to_string())
    }

    /// Makes the pod's volumes, or brings their content up to date.
    pub(super) fn prepare(&self, order: &PodOrder, tokens: &Tokens) -> Result<(), VolumeError> {
        let pod: core::Pod = serde_json::from_value(order.pod.clone())
            .map_err(|e| VolumeError::Unfit(format!("the pod cannot be read: {e}")))?;
        let spec = pod.spec.clone().unwrap_or_default();
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        let dir = self.pod_dir(order.uid);
        private_dir(&dir)?;
        private_dir(&dir.join("volumes"))?;
        let mut prepared = Prepared { places: BTreeMap::new(), termination: termination_paths(&spec) };
        for volume in volumes {
            if !is_component(&volume.name) {
                return Err(VolumeError::Unfit(format!("volume name `{}` is not valid", volume.name)));
            }
            let path = dir.join("volumes").join(&volume.name);
            let place = self.make(volume, path, order, &pod, tokens)?;
            prepared.places.insert(volume.name.clone(), place);
        }
        let file = dir.join("places.json");
        let text = serde_json::to_vec(&prepared).map_err(io::Error::other).tried("", "write", &file)?;
        replace(&file, &text, PRIVATE).tried("", "write", &file)
    }

    fn make(
        &self,
        volume: &core::Volume,
        path: PathBuf,
        order: &PodOrder,
        pod: &core::Pod,
        tokens: &Tokens,
    ) -> Result<Place, VolumeError> {
        let name = volume.name.as_str();
        let fs_group = ownership::group(pod);
        if let Some(empty) = &volume.empty_dir {
            self.empty_dir(name, empty, &path, fs_group)?;
            return Ok(Place { path, read_only: false });
        }
        if let Some(host) = &volume.host_path {
            let path = host_path::check(name, host)?;
            return Ok(Place { path, read_only: false });
        }
        let Some(files) = content::files(volume, pod, &order.contents, tokens)? else {
            return Err(VolumeError::Unfit(format!("volume `{name}` is of a type that is not supported yet")));
        };
        // Secrets stay off the disk where this process can mount.
        // Not over files that were written when it could not: a container may have those mounted.
        make_dir(name, &path, 0o755)?;
        let empty = || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if files.secret
            && self.mounts
            && empty()
            && !memory::is_mounted(&path).tried(name, "look for mounts of", &path)?
        {
            memory::mount(&path, None, 0o755).tried(name, "mount a memory file system on", &path)?;
        }
        atomic::write(name, &path, &files.by_path, fs_group)?;
        Ok(Place { path, read_only: true })
    }

    /// The tokens that a pod's volumes got last; none where there are none.
    pub(super) fn kept_tokens(&self, pod: Uid) -> Result<Vec<Kept>, VolumeError> {
        let file = self.pod_dir(pod).join(TOKENS);
        match fs::read(&file) {
            // What cannot be read is asked for anew.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e).tried("", "read", &file),
        }
    }

    /// Keeps them for the time in which nobody gives others.
    pub(super) fn keep_tokens(&self, pod: Uid, kept: &[Kept]) -> Result<(), VolumeError> {
        let dir = self.pod_dir(pod);
        private_dir(&dir)?;
        let file = dir.join(TOKENS);
        let text = serde_json::to_vec(kept).map_err(io::Error::other).tried("", "write", &file)?;
        replace(&file, &text, PRIVATE).tried("", "write", &file)
    }

    fn empty_dir(
        &self,
        name: &str,
        empty: &core::EmptyDirVolumeSource,
        path: &Path,
        fs_group: Option<i64>,
    ) -> Result<(), VolumeError> {
        let in_memory = match empty.medium.as_deref() {
            None | Some("") => false,
            Some("Memory") => true,
            Some(other) => {
                return Err(VolumeError::Unfit(format!("volume `{name}`: medium `{other}` is not supported yet")));
            }
        };
        let fresh = !path.exists();
        make_dir(name, path, 0o777)?;
        // After a reboot the folder is there and its memory is not.
        let unmounted = in_memory && !memory::is_mounted(path).tried(name, "look for mounts of", path)?;
        if unmounted {
            if !self.mounts {
                return Err(VolumeError::Unfit(format!(
                    "volume `{name}`: an emptyDir in memory needs an agent that runs as root in the engine's mount namespace"
                )));
            }
            let size = empty.size_limit.as_ref().and_then(|q| q.0.parse::<Quantity>().ok()).map(Quantity::units);
            let size = size.and_then(|n| u64::try_from(n).ok());
            memory::mount(path, size, 0o777).tried(name, "mount a memory file system on", path)?;
        }
        if fresh || unmounted {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).tried(name, "set the mode of", path)?;
            if let Some(group) = fs_group {
                ownership::writable(name, path, group)?;
            }
        }
        Ok(())
    }

    /// The mounts of one container. Sub-paths are made where missing, and cannot leave their volume.
    pub fn resolve(&self, pod: Uid, container: &str, uses: &[VolumeUse]) -> Result<Vec<Mount>, VolumeError> {
        let dir = self.pod_dir(pod);
        let file = dir.join("places.json");
        let prepared: Prepared = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other).tried("", "read", &file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Prepared::default(),
            Err(e) => return Err(e).tried("", "read", &file),
        };
        let mut mounts = Vec::with_capacity(uses.len());
        for (index, usage) in uses.iter().enumerate() {
            let place = prepared
                .places
                .get(&usage.volume)
                .ok_or_else(|| VolumeError::Unfit(format!("volume `{}` was not prepared", usage.volume)))?;
            let source = match usage.sub_path.as_deref().filter(|s| !s.is_empty()) {
                None => place.path.clone(),
                Some(sub) => {
                    // A container that writes to the volume could swap a folder for a symlink
                    // between this check and the engine's mount: hand over a mount of what was
                    // checked.
                    let hold = (!place.read_only && self.mounts)
                        .then(|| dir.join("subpaths").join(container).join(index.to_string()));
                    subpath::resolve(&usage.volume, &place.path, sub, !place.read_only, hold.as_deref())?
                }
            };
            mounts.push(Mount {
                source,
                target: usage.target.clone(),
                read_only: usage.read_only || place.read_only,
                propagation: usage.propagation,
            });
        }
        if is_component(container) {
            let target = prepared.termination.get(container).map_or(DEFAULT_TERMINATION_PATH, String::as_str);
            mounts.push(Mount {
                source: self.new_termination_file(pod, container)?,
                target: target.to_owned(),
                read_only: false,
                propagation: Propagation::Private,
            });
        }
        Ok(mounts)
    }

    /// An empty file for one container's termination message.
    fn new_termination_file(&self, pod: Uid, container: &str) -> Result<PathBuf, VolumeError> {
        let dir = self.pod_dir(pod).join("containers");
        private_dir(&self.pod_dir(pod))?;
        private_dir(&dir)?;
        let path = dir.join(container);
        // A new inode: the container before may still have the old one.
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).tried("", "remove", &path),
            _ => {}
        }
        fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path).tried("", "create", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).tried("", "set the mode of", &path)?;
        Ok(path)
    }

    /// What the container wrote as its termination message; empty if nothing.
    pub fn termination_message(&self, pod: Uid, container: &str) -> String {
        use std::io::Read as _;
        if !is_component(container) {
            return String::new();
        }
        let path = self.pod_dir(pod).join("containers").join(container);
        let mut bytes = Vec::new();
        // No message is an ordinary case: the file is the pod's, and may be anything.
        let _ = fs::File::open(path).and_then(|file| file.take(MAX_TERMINATION_MESSAGE).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Takes everything of all pods away.
    pub fn remove_all(&self) -> Result<(), VolumeError> {
        for entry in fs::read_dir(&self.pods).tried("", "read", &self.pods)? {
            let name = entry.tried("", "read", &self.pods)?.file_name();
            if let Some(pod) = name.to_str().and_then(|n| n.parse::<Uid>().ok()) {
                self.remove(pod)?;
            }
        }
        Ok(())
    }

    /// Takes everything of a pod away; none is fine. Nothing is deleted while something is still
    /// mounted below: it could be the host's.
    pub fn remove(&self, pod: Uid) -> Result<(), VolumeError> {
        let dir = self.pod_dir(pod);
        memory::unmount_below(&dir).tried("", "unmount", &dir)?;
        if !memory::mounts_below(&dir).tried("", "look for mounts of", &dir)?.is_empty() {
            let busy = io::Error::from(io::ErrorKind::ResourceBusy);
            return Err(busy).tried("", "unmount", &dir);
        }
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).tried("", "remove", &dir),
            _ => Ok(()),
        }
    }
}

fn termination_paths(spec: &core::PodSpec) -> BTreeMap<String, String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let path = |c: &core::Container| c.termination_message_path.clone().filter(|p| p.starts_with('/'));
    containers
        .filter(|c| is_component(&c.name))
        .map(|c| (c.name.clone(), path(c).unwrap_or_else(|| DEFAULT_TERMINATION_PATH.into())))
        .collect()
}

/// Whether a name is one component of a path.
fn is_component(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn private_dir(path: &Path) -> Result<(), VolumeError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).tried("", "create", path)
}

fn make_dir(volume: &str, path: &Path, mode: u32) -> Result<(), VolumeError> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).tried(volume, "set the mode of", path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e).tried(volume, "create", path),
    }
}

#[cfg(test)]
mod tests;
