//! Sandboxes and containers: create, start, stop, look at.

use std::{collections::HashMap, time::Duration};

use bollard::query_parameters as query;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{CLIENT_TIMEOUT_SECS, Docker, READ_TIMEOUT, WRITE_TIMEOUT, classify, convert};
use crate::{
    ContainerId, ContainerInfo, ContainerSpec, Resources, Result, RuntimeError, SandboxNetwork, SandboxSpec, Stats,
};

/// How many containers a list inspects at once: the engine answers each in half a millisecond.
const INSPECTS_AT_ONCE: usize = 8;

impl Docker {
    pub(super) async fn sandbox(&self, spec: &SandboxSpec) -> Result<ContainerId> {
        let network = match spec.network {
            SandboxNetwork::Default if !self.has_default_network().await? => SandboxNetwork::None,
            other => other,
        };
        if let (SandboxNetwork::None, Some(port)) = (network, spec.host_ports.first()) {
            return Err(RuntimeError::Create {
                message: format!(
                    "host port {} cannot be bound: the container engine has no default network",
                    port.host_port
                ),
            });
        }
        let image = self.sandbox_image().await?;
        let body = convert::sandbox_body(spec, image.clone(), network);
        let id = self.create_named(&spec.name, body, &image).await?;
        match self.start_container(&id).await {
            Ok(()) => Ok(id),
            Err(error) => {
                // Best effort: where the engine is gone, adoption finds it by its labels.
                if let Err(also) = self.remove_container(&id).await {
                    tracing::warn!(container = %id, error = %also, "cannot remove a sandbox that did not start");
                }
                Err(error)
            }
        }
    }

    pub(super) async fn create(&self, sandbox: &ContainerId, spec: &ContainerSpec) -> Result<ContainerId> {
        self.create_named(&spec.name, convert::container_body(sandbox, spec), &spec.image).await
    }

    async fn create_named(
        &self,
        name: &str,
        body: bollard::models::ContainerCreateBody,
        image: &str,
    ) -> Result<ContainerId> {
        let options = query::CreateContainerOptionsBuilder::new().name(name).build();
        let request = self.client()?.create_container(Some(options), body);
        let made =
            Self::within("create container", WRITE_TIMEOUT, request).await?.map_err(|e| classify::create(e, image))?;
        for warning in &made.warnings {
            tracing::debug!(container = name, warning, "the engine warns");
        }
        Ok(ContainerId(made.id))
    }

    pub(super) async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let request = self.client()?.start_container(&id.0, None);
        Self::within("start container", WRITE_TIMEOUT, request).await?.map_err(classify::start)
    }

    pub(super) async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        // A frozen process cannot take the signal.
        self.unpause_container(id).await?;
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let options = query::StopContainerOptionsBuilder::new().t(i32::try_from(seconds).unwrap_or(i32::MAX)).build();
        let limit = Duration::from_secs(seconds) + WRITE_TIMEOUT;
        let client = self.client()?.clone().with_timeout(limit + Duration::from_secs(CLIENT_TIMEOUT_SECS));
        Self::within("stop container", limit, client.stop_container(&id.0, Some(options)))
            .await?
            .map_err(classify::general)
    }

    pub(super) async fn kill_container(&self, id: &ContainerId, signal: String) -> Result<()> {
        let options = query::KillContainerOptionsBuilder::new().signal(&signal).build();
        let request = self.client()?.kill_container(&id.0, Some(options));
        match Self::within("kill container", WRITE_TIMEOUT, request).await?.map_err(classify::general) {
            Err(RuntimeError::Conflict { message } | RuntimeError::Other { message })
                if message.contains("not running") =>
            {
                Ok(())
            }
            result => result,
        }
    }

    pub(super) async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let request = self.client()?.remove_container(&id.0, Some(options));
        match Self::within("remove container", WRITE_TIMEOUT, request).await?.map_err(classify::general) {
            Err(RuntimeError::NotFound { .. }) => Ok(()),
            // Somebody else removes it at this moment.
            Err(RuntimeError::Conflict { message }) if message.contains("already in progress") => Ok(()),
            result => result,
        }
    }

    pub(super) async fn unpause_container(&self, id: &ContainerId) -> Result<()> {
        let request = self.client()?.unpause_container(&id.0);
        match Self::within("unpause container", WRITE_TIMEOUT, request).await?.map_err(classify::general) {
            Err(RuntimeError::Conflict { message } | RuntimeError::Other { message })
                if message.contains("not paused") || message.contains("not running") =>
            {
                Ok(())
            }
            result => result,
        }
    }

    pub(super) async fn rename_container(&self, id: &ContainerId, name: String) -> Result<()> {
        let options = query::RenameContainerOptionsBuilder::new().name(&name).build();
        let request = self.client()?.rename_container(&id.0, options);
        Self::within("rename container", WRITE_TIMEOUT, request).await?.map_err(classify::general)
    }

    pub(super) async fn update_container(&self, id: &ContainerId, resources: Resources) -> Result<()> {
        let request = self.client()?.update_container(&id.0, convert::update_body(resources));
        Self::within("update container", WRITE_TIMEOUT, request).await?.map_err(classify::general)
    }

    pub(super) async fn inspect_container(&self, id: &ContainerId) -> Result<ContainerInfo> {
        let request = self.client()?.inspect_container(&id.0, None);
        let found = Self::within("inspect container", READ_TIMEOUT, request).await?.map_err(classify::general)?;
        Ok(convert::container_info(found))
    }

    pub(super) async fn list_containers(&self, selector: Vec<(String, String)>) -> Result<Vec<ContainerInfo>> {
        let filters = HashMap::from([("label", label_filters(&selector))]);
        let options = query::ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let request = self.client()?.list_containers(Some(options));
        let listed = Self::within("list containers", READ_TIMEOUT, request).await?.map_err(classify::general)?;
        let ids: Vec<ContainerId> = listed.into_iter().filter_map(|c| c.id.map(ContainerId)).collect();
        // A list lacks pid, exit code and limits.
        let infos: Vec<Option<ContainerInfo>> = stream::iter(ids)
            .map(|id| async move {
                match self.inspect_container(&id).await {
                    Ok(info) => Ok(Some(info)),
                    Err(RuntimeError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(INSPECTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(infos.into_iter().flatten().collect())
    }

    pub(super) async fn used_images(&self) -> Result<Vec<String>> {
        let options = query::ListContainersOptionsBuilder::new().all(true).build();
        let request = self.client()?.list_containers(Some(options));
        let listed = Self::within("list containers", READ_TIMEOUT, request).await?.map_err(classify::general)?;
        let mut ids: Vec<String> = listed.into_iter().filter_map(|c| c.image_id).collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    pub(super) async fn container_stats(&self, id: &ContainerId) -> Result<Stats> {
        let options = query::StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stream = Box::pin(self.client()?.stats(&id.0, Some(options)));
        let first = tokio::time::timeout(READ_TIMEOUT, stream.next())
            .await
            .map_err(|_| RuntimeError::Timeout { operation: "stats".into(), seconds: READ_TIMEOUT.as_secs() })?;
        let stats = match first {
            Some(stats) => stats.map_err(classify::general)?,
            None => return Err(RuntimeError::NotFound { message: format!("no statistics of container {id}") }),
        };
        let memory = stats.memory_stats.unwrap_or_default();
        let detail = memory.stats.unwrap_or_default();
        // cgroup v1 and v2 name it differently.
        let cache = detail.get("total_inactive_file").or_else(|| detail.get("inactive_file")).copied().unwrap_or(0);
        Ok(Stats {
            cpu_nanos: stats.cpu_stats.and_then(|c| c.cpu_usage).and_then(|u| u.total_usage).unwrap_or(0),
            memory_bytes: memory.usage.unwrap_or(0).saturating_sub(cache),
        })
    }
}

/// A selector as the engine's `label` filter.
pub(super) fn label_filters(selector: &[(String, String)]) -> Vec<String> {
    selector.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}={v}") }).collect()
}
