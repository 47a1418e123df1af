//! A pod's logs for whoever may read them: finds the container by its labels and opens its output.

use std::sync::Arc;

use evenkeel_model::Uid;
use evenkeel_runtime::{ContainerId, ContainerInfo, LogOptions, LogStream, Runtime, RuntimeError};

use crate::logic::labels;

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// The pod.
    pub pod: Uid,
    /// The container's name in the pod.
    pub container: String,
    /// The run before the current one.
    pub previous: bool,
    /// What of it.
    pub options: LogOptions,
}

/// Reads logs of one cluster's pods. Cheap to clone.
#[derive(Debug)]
pub struct LogReader<R> {
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
    pub fn new(runtime: Arc<R>, cluster: String) -> Self {
        Self { runtime, cluster }
    }

    /// Opens a log. [`RuntimeError::NotFound`] where there is no such container (yet, or any more).
    pub async fn read(&self, request: &LogRequest) -> Result<LogStream, RuntimeError> {
        let selector = [
            (labels::CLUSTER.to_owned(), self.cluster.clone()),
            (labels::POD_UID.to_owned(), request.pod.to_string()),
            (labels::CONTAINER.to_owned(), request.container.clone()),
        ];
        let found = self.runtime.list(&selector).await?;
        let id = pick(found, request.previous).ok_or_else(|| RuntimeError::NotFound {
            message: if request.previous {
                format!("previous terminated container \"{}\" not found", request.container)
            } else {
                format!("container \"{}\" is not created yet, or is gone", request.container)
            },
        })?;
        self.runtime.logs(&id, &request.options).await
    }
}

/// The newest, or the one before it. One that was made and never ran has no log of its own yet.
fn pick(mut found: Vec<ContainerInfo>, previous: bool) -> Option<ContainerId> {
    found.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    found.into_iter().nth(usize::from(previous)).map(|c| c.id)
}
