//! `evenkeel down`: takes everything of this agent's cluster off this machine. Runs only while no
//! agent does (the folder's lock says so). Called by the command line.

use std::{path::Path, sync::Arc, time::Duration};

use evenkeel_net::plane;
use evenkeel_runtime::{ContainerInfo, ContainerState, Runtime, RuntimeError};
use futures_util::{TryStreamExt as _, stream};
use thiserror::Error;

use super::{
    journal::{JournalError, JournalStore},
    orphans::{self, OrphansError},
    volumes::{VolumeError, Volumes},
};
use crate::logic::{command::selector, journal::Journal, labels};

/// Containers stopped and removed at once.
const AT_ONCE: usize = 8;
/// The grace that each gets: Docker's own for `docker stop`, because nobody waits for a pod here.
const GRACE: Duration = Duration::from_secs(10);

/// What was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Containers.
    pub containers: usize,
    /// Sandboxes, one for each pod that ran.
    pub sandboxes: usize,
    /// Containers that carry this cluster's labels without being its own (copied by
    /// `docker commit`): left alone.
    pub foreign: usize,
}

/// Not everything could be taken away; calling again goes on.
#[derive(Debug, Error)]
pub enum DownError {
    /// The engine refused.
    #[error("cannot remove the containers of this cluster")]
    Runtime(#[from] RuntimeError),
    /// The journal cannot be used; an agent that still runs is one reason.
    #[error("cannot use the agent's journal")]
    Journal(#[from] JournalError),
    /// The volumes cannot be removed.
    #[error("cannot remove the volumes")]
    Volumes(#[from] VolumeError),
    /// Something of the pod network is left.
    #[error("cannot take the pod network away")]
    Network(#[from] plane::DownError),
    /// Processes of them may be left.
    #[error(transparent)]
    Orphans(#[from] OrphansError),
    /// A fault of this program.
    #[error("cut off by a fault: {0}")]
    Fault(String),
}

/// Stops and removes all containers of the cluster, containers before their sandboxes, then the
/// volumes and the journal of its pods below `agent_dir`.
pub async fn down<R: Runtime>(runtime: Arc<R>, cluster: &str, agent_dir: &Path) -> Result<Removed, DownError> {
    let dir = agent_dir.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || {
        let store = JournalStore::open(&dir)?;
        let journal = store.load()?;
        Ok::<_, DownError>((store, journal, Volumes::new(&dir)?))
    });
    let (store, journal, volumes) = opened.await.map_err(|e| DownError::Fault(e.to_string()))??;
    let selector: Vec<(String, String)> = selector(cluster).into_iter().collect();
    let all = runtime.list(&selector).await?;
    let found = all.len();
    let ours: Vec<ContainerInfo> = all.into_iter().filter(|c| is_ours(c, &journal)).collect();
    let foreign = found - ours.len();
    let (sandboxes, containers): (Vec<_>, Vec<_>) =
        ours.into_iter().partition(|c| c.labels.contains_key(labels::SANDBOX));
    for group in [&containers, &sandboxes] {
        stream::iter(group.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |container| remove(&*runtime, container))
            .await?;
    }
    let never_ran = containers.iter().chain(&sandboxes).filter(|c| c.state == ContainerState::Created);
    let never_ran: Vec<_> = never_ran.map(|c| c.id.clone()).collect();
    if !never_ran.is_empty() {
        orphans::end(never_ran).await?;
    }
    plane::down(agent_dir).await?;
    let cleared = tokio::task::spawn_blocking(move || {
        volumes.remove_all()?;
        journal.pods.iter().try_for_each(|pod| store.forget(pod.order.uid))?;
        Ok::<_, DownError>(())
    });
    cleared.await.map_err(|e| DownError::Fault(e.to_string()))??;
    Ok(Removed { containers: containers.len(), sandboxes: sandboxes.len(), foreign })
}

async fn remove<R: Runtime>(runtime: &R, container: &ContainerInfo) -> Result<(), RuntimeError> {
    if container.state.is_alive() {
        match runtime.stop(&container.id, GRACE).await {
            Ok(()) | Err(RuntimeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    runtime.remove(&container.id).await
}

/// Labels are a hint and no proof: the journal knows the id, or the name is one that this program
/// gives for those very labels.
fn is_ours(container: &ContainerInfo, journal: &Journal) -> bool {
    let noted = journal.pods.iter().any(|pod| {
        pod.sandbox.as_ref().is_some_and(|s| s.id == container.id)
            || pod.garbage.contains(&container.id)
            || pod
                .containers
                .values()
                .any(|c| c.id.as_ref() == Some(&container.id) || c.previous.as_ref() == Some(&container.id))
    });
    noted || named_by_us(container)
}

/// Whether the name is as `labels::name` makes it for the pod in the labels.
fn named_by_us(container: &ContainerInfo) -> bool {
    let Some(uid) = container.labels.get(labels::POD_UID) else { return false };
    let Some((before, attempt)) = container.name.rsplit_once('_') else { return false };
    before.starts_with("ek_") && before.ends_with(&format!("_{uid}")) && attempt.parse::<u32>().is_ok()
}
