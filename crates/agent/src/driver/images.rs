//! Images for pods: present, pinned or pulled with the pod's credentials; and their clean-up.
//!
//! Clean-up takes away only images that this agent pulled, so that nobody's own builds are lost,
//! and of those none that a container uses or that the server wants kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use evenkeel_model::Time;
use evenkeel_runtime::{ImageInfo, PullFailure, RegistryAuth, Runtime, RuntimeError};
use tokio::sync::Semaphore;

use crate::logic::command::{Output, PullPolicy};

/// Pulls at the same time: more would only share the line.
const PULLS_AT_ONCE: usize = 3;
/// Share of the disk in use from which images are removed, in percent.
const HIGH_PERCENT: u64 = 85;
/// Share down to which they are, in percent.
const LOW_PERCENT: u64 = 80;

/// Images of one node.
#[derive(Debug)]
pub(super) struct Images<R> {
    runtime: Arc<R>,
    pulls: Semaphore,
    /// One pull of a reference at a time: the others then find the image.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Images that this agent pulled, with the last time that a pod asked for them.
    pulled: Mutex<BTreeMap<String, Time>>,
    file: PathBuf,
}

impl<R: Runtime> Images<R> {
    /// Images over a runtime; what was pulled is remembered in `<agent_dir>/images.json`.
    pub(super) fn new(runtime: Arc<R>, agent_dir: &Path) -> Self {
        let file = agent_dir.join("images.json");
        let pulled = match std::fs::read(&file) {
            // A damaged list only means that nothing old is cleaned up.
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => BTreeMap::new(),
        };
        Self {
            runtime,
            pulls: Semaphore::new(PULLS_AT_ONCE),
            locks: Mutex::default(),
            pulled: Mutex::new(pulled),
            file,
        }
    }

    /// Makes sure that an image is there; gives it, and whether it was pulled.
    pub(super) async fn ensure(
        &self,
        reference: &str,
        policy: PullPolicy,
        pinned: Option<&str>,
        auths: &[RegistryAuth],
        now: Time,
    ) -> Result<Output, RuntimeError> {
        if let Some(id) = pinned
            && let Some(image) = self.runtime.image(id).await?
        {
            self.used(&image.id, now);
            return Ok(Output::Image(image));
        }
        if policy != PullPolicy::Always
            && let Some(image) = self.runtime.image(reference).await?
        {
            self.used(&image.id, now);
            return Ok(Output::Image(image));
        }
        if policy == PullPolicy::Never {
            return Err(RuntimeError::ImageNotPresent { image: reference.into() });
        }
        let lock = self.lock(reference);
        let result = {
            let _held = lock.lock().await;
            self.pull(reference, policy, auths, now).await
        };
        drop(lock);
        self.forget_lock(reference);
        result
    }

    async fn pull(
        &self,
        reference: &str,
        policy: PullPolicy,
        auths: &[RegistryAuth],
        now: Time,
    ) -> Result<Output, RuntimeError> {
        if policy == PullPolicy::IfNotPresent
            && let Some(image) = self.runtime.image(reference).await?
        {
            self.used(&image.id, now);
            return Ok(Output::Image(image));
        }
        let Ok(_permit) = self.pulls.acquire().await else {
            return Err(RuntimeError::Other { message: "the agent is stopping".into() });
        };
        let begun = Instant::now();
        let mut result = Err(RuntimeError::ImageNotPresent { image: reference.into() });
        for auth in candidates(auths, reference) {
            result = self.runtime.pull(reference, auth.as_ref()).await;
            let denied = matches!(&result, Err(RuntimeError::Pull { failure: PullFailure::Unauthorized, .. }));
            if !denied {
                break;
            }
        }
        let image = result?;
        let known = {
            let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
            pulled.insert(image.id.clone(), now).is_some()
        };
        if !known {
            self.save().await;
        }
        Ok(Output::Pulled(image, begun.elapsed()))
    }

    fn lock(&self, reference: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(reference.to_owned()).or_default().clone()
    }

    fn forget_lock(&self, reference: &str) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.get(reference).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(reference);
        }
    }

    fn used(&self, id: &str, now: Time) {
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = pulled.get_mut(id) {
            *at = now;
        }
    }

    async fn save(&self) {
        let text = {
            let pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_vec(&*pulled)
        };
        let written = match text {
            Ok(text) => tokio::fs::write(&self.file, text).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "cannot keep the list of pulled images");
        }
    }

    /// Removes pulled images, longest unused first, when the engine's disk is over the mark; all of
    /// them while it is `short`, as the kubelet does before it evicts anything.
    pub(super) async fn clean_up(&self, engine_dir: &Path, keep: &[String], short: bool) -> Result<(), RuntimeError> {
        let Some(used) = used_percent(engine_dir) else { return Ok(()) };
        if used < HIGH_PERCENT && !short {
            return Ok(());
        }
        let sandbox = self.runtime.ensure_sandbox_image().await?;
        let mut spared: BTreeSet<String> = self.runtime.images_in_use().await?.into_iter().collect();
        spared.insert(sandbox);
        let images = self.runtime.images().await?;
        let pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut removed = false;
        for id in victims(&images, &pulled, &spared, keep) {
            if !short && used_percent(engine_dir).is_none_or(|used| used <= LOW_PERCENT) {
                break;
            }
            match self.runtime.remove_image(&id).await {
                Ok(()) => {
                    tracing::info!(image = %id, "removed an unused image: the disk is {used} % full");
                    self.pulled.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    removed = true;
                }
                // A container was made from it at this moment.
                Err(RuntimeError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if removed {
            self.save().await;
        }
        Ok(())
    }
}

/// Share of a disk in use, in percent.
fn used_percent(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    // What is reserved for root counts as used.
    let usable = disk.f_blocks.saturating_sub(disk.f_bfree) + disk.f_bavail;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    (usable > 0).then(|| used.saturating_mul(100).div_ceil(usable))
}

/// The images that may go, the longest unused first.
fn victims(
    images: &[ImageInfo],
    pulled: &BTreeMap<String, Time>,
    spared: &BTreeSet<String>,
    keep: &[String],
) -> Vec<String> {
    let kept = |image: &ImageInfo| {
        keep.iter().any(|k| *k == image.id || image.tags.iter().chain(&image.digests).any(|name| same_name(name, k)))
    };
    let mut victims: Vec<(Time, &str)> = images
        .iter()
        .filter(|image| !spared.contains(&image.id) && !kept(image))
        .filter_map(|image| pulled.get(&image.id).map(|at| (*at, image.id.as_str())))
        .collect();
    victims.sort_unstable();
    victims.into_iter().map(|(_, id)| id.to_owned()).collect()
}

/// Whether two references mean the same: `nginx` and `docker.io/library/nginx:latest` do.
fn same_name(a: &str, b: &str) -> bool {
    normalized(a) == normalized(b)
}

fn normalized(reference: &str) -> String {
    let (registry, path) = split_registry(reference);
    let last = path.rsplit('/').next().unwrap_or_default();
    let tag = if path.contains('@') || last.contains(':') { "" } else { ":latest" };
    let library = if registry == DOCKER_HUB && !path.contains('/') { "library/" } else { "" };
    format!("{registry}/{library}{path}{tag}")
}

const DOCKER_HUB: &str = "docker.io";

/// Registry and the rest of a reference.
fn split_registry(reference: &str) -> (&str, &str) {
    match reference.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (if first == "index.docker.io" { DOCKER_HUB } else { first }, rest)
        }
        _ => (DOCKER_HUB, reference),
    }
}

/// The credentials to try. As anybody only where none fit: a wrong password should be seen as one.
fn candidates(auths: &[RegistryAuth], reference: &str) -> Vec<Option<RegistryAuth>> {
    let fitting: Vec<_> = auths.iter().filter(|a| fits(&a.server, reference)).cloned().map(Some).collect();
    if fitting.is_empty() { vec![None] } else { fitting }
}

/// Whether credentials for `server` are meant for `reference`: same registry, each label of the
/// host may be a `*`, and a path must lead the image's.
fn fits(server: &str, reference: &str) -> bool {
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host =
        if matches!(host, "index.docker.io" | "registry-1.docker.io" | "hub.docker.com") { DOCKER_HUB } else { host };
    let path = path.trim_end_matches('/');
    // Old files name the API's version instead of a path.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let (registry, image) = split_registry(reference);
    let same_host = {
        let (a, b): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), registry.split('.').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| *a == "*" || a == b)
    };
    same_host && (path.is_empty() || image.strip_prefix(path).is_some_and(|rest| rest.starts_with(['/', ':', '@'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_their_registry_alone() {
        for (server, reference, fit) in [
            ("https://index.docker.io/v1/", "nginx", true),
            ("docker.io", "library/nginx:1", true),
            ("https://index.docker.io/v1/", "r.test/nginx", false),
            ("r.test", "r.test/a/b:1", true),
            ("r.test:5000", "r.test/a", false),
            ("https://r.test:5000/v2/", "r.test:5000/a", true),
            ("r.test/team", "r.test/team/app:1", true),
            ("r.test/team", "r.test/teamwork/app:1", false),
            ("*.r.test", "eu.r.test/a", true),
            ("*.r.test", "r.test/a", false),
            ("localhost", "localhost/a", true),
        ] {
            assert_eq!(fits(server, reference), fit, "{server} {reference}");
        }
    }

    #[test]
    fn only_pulled_unused_unkept_images_go_oldest_first() {
        let image = |id: &str, tag: &str| ImageInfo { id: id.into(), tags: vec![tag.into()], ..ImageInfo::default() };
        let images =
            [image("a", "r.test/a:1"), image("b", "b:1"), image("c", "c:1"), image("d", "d:latest"), image("e", "e:1")];
        let pulled = [("a", 5), ("b", 1), ("c", 2), ("d", 0), ("gone", 0)];
        let pulled = pulled.iter().map(|(id, at)| ((*id).to_owned(), Time(*at))).collect();
        let spared = ["c".to_owned()].into();
        let keep = ["docker.io/library/d".to_owned()];
        assert_eq!(victims(&images, &pulled, &spared, &keep), ["b", "a"]);
        assert_eq!(
            victims(&images, &pulled, &spared, &["a".to_owned(), "b:1".to_owned(), "d".to_owned()]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_disk_has_a_share_in_use() {
        assert!(used_percent(Path::new("/")).is_some_and(|p| p <= 100));
        assert_eq!(used_percent(Path::new("/nonexistent")), None);
    }
}
