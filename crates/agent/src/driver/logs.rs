//! A pod's logs for whoever may read them: finds the container by its labels and opens its output.

use std::sync::Arc;

use evenkeel_model::Uid;
use evenkeel_runtime::{ContainerInfo, LogOptions, LogStream, Runtime, RuntimeError};

use crate::logic::labels;

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogRequest {
    /// The pod.
    pub(super) pod: Uid,
    /// The container's name in the pod.
    pub(super) container: String,
    /// The run before the current one.
    pub(super) previous: bool,
    /// What of it.
    pub(super) options: LogOptions,
}

/// Reads logs of one cluster's pods. Cheap to clone.
#[derive(Debug)]
pub(super) struct LogReader<R> {
    runtime: Arc<R>,
    cluster: String,
}

impl<R> Clone for LogReader<R> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), cluster: self.cluster.clone() }
    }
}

impl<R: Runtime> LogReader<R> {
    /// A reader of this cluster's pods alone.
    pub(super) fn new(runtime: Arc<R>, cluster: String) -> Self {
        Self { runtime, cluster }
    }

    /// Opens a log. [`RuntimeError::NotFound`] where there is no such container (yet, or any more).
    pub(super) async fn read(&self, request: &LogRequest) -> Result<LogStream, RuntimeError> {
        let mut found = self.find(request.pod, &request.container).await?.into_iter();
        // One that was made and never ran has no log of its own yet.
        let chosen = found.nth(usize::from(request.previous));
        let id = chosen.map(|c| c.id).ok_or_else(|| RuntimeError::NotFound {
            message: if request.previous {
                format!("previous terminated container \"{}\" not found", request.container)
            } else {
                format!("container \"{}\" is not created yet, or is gone", request.container)
            },
        })?;
        self.runtime.logs(&id, &request.options).await
    }

    /// The runs of a container, the newest first.
    pub(super) async fn find(&self, pod: Uid, container: &str) -> Result<Vec<ContainerInfo>, RuntimeError> {
        self.labelled(pod, labels::CONTAINER, container).await
    }

    /// The sandboxes of a pod, the newest first.
    pub(super) async fn sandboxes(&self, pod: Uid) -> Result<Vec<ContainerInfo>, RuntimeError> {
        self.labelled(pod, labels::SANDBOX, "true").await
    }

    /// All containers of the cluster, sandboxes included.
    pub(super) async fn of_cluster(&self) -> Result<Vec<ContainerInfo>, RuntimeError> {
        self.runtime.list(&[(labels::CLUSTER.to_owned(), self.cluster.clone())]).await
    }

    async fn labelled(&self, pod: Uid, label: &str, value: &str) -> Result<Vec<ContainerInfo>, RuntimeError> {
        let selector = [
            (labels::CLUSTER.to_owned(), self.cluster.clone()),
            (labels::POD_UID.to_owned(), pod.to_string()),
            (label.to_owned(), value.to_owned()),
        ];
        let mut found = self.runtime.list(&selector).await?;
        found.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(found)
    }

    pub(super) fn runtime(&self) -> &R {
        &self.runtime
    }
}
