//! [`Runtime`] over the API of Docker, or of Podman, by a unix socket.
//!
//! Each request opens a connection of its own, so an engine that was away is simply there again.
//! Parts: `convert` (our types to the engine's and back), `classify` (its errors), `containers`,
//! `images`, `streams` (events, logs, bounded commands), `exec` (commands with their streams
//! connected), `raw` (answers that are bytes as they come). Deliberately not here: Docker's networks are never
//! made, and nothing is remembered but whether there is a default network.

mod classify;
mod containers;
mod convert;
mod exec;
mod images;
mod raw;
mod streams;

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker as Client};
use bytes::Bytes;
use evenkeel_model::Time;

use crate::{
    AttachSession, ContainerId, ContainerInfo, ContainerSpec, EngineInfo, EventStream, ExecId, ExecLimits, ExecResult,
    ExecSession, ExecSpec, ImageInfo, LogOptions, LogStream, RegistryAuth, Resources, Result, Runtime, RuntimeError,
    SandboxSpec, Stats,
};

/// Reads answer in milliseconds; longer than this the engine hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Creating, starting and removing take tens of milliseconds, but minutes on a machine whose disk
/// is saturated.
const WRITE_TIMEOUT: Duration = Duration::from_mins(2);

/// The client's own limit for the head of an answer. Ours are below it; `stop` and `pull` set
/// their own.
const CLIENT_TIMEOUT_SECS: u64 = 150;

/// What is known of the default network.
mod network {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const PRESENT: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
}

/// Docker, or an engine that speaks its API.
#[derive(Debug)]
pub struct Docker {
    socket: PathBuf,
    client: OnceLock<Client>,
    default_network: AtomicU8,
}

/// Where Docker's socket is by default.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

impl Docker {
    /// An engine by its address: a path, or `unix://PATH`. Nothing is connected yet: the engine may
    /// come later. Addresses of other machines are refused, because volumes are paths of this one.
    pub fn new(address: &str) -> Result<Self> {
        let path = match address.split_once("://") {
            None => address,
            Some(("unix", path)) => path,
            Some((scheme, _)) => {
                return Err(RuntimeError::Other {
                    message: format!(
                        "`{scheme}://` is not supported for the container engine: it must run on this machine, as unix:///var/run/docker.sock"
                    ),
                });
            }
        };
        if path.is_empty() {
            return Err(RuntimeError::Other { message: "the address of the container engine is empty".into() });
        }
        Ok(Self { socket: path.into(), client: OnceLock::new(), default_network: AtomicU8::new(network::UNKNOWN) })
    }

    /// The socket's path.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Whether the engine's processes are numbered otherwise than this one's, because it runs in another
    /// PID namespace: then its containers' processes cannot be found by the numbers that it says.
    /// False where that cannot be told, as of an engine that is away.
    pub async fn is_elsewhere(&self) -> bool {
        let Ok(connection) = tokio::net::UnixStream::connect(&self.socket).await else { return false };
        let Ok(Some(pid)) = connection.peer_cred().map(|peer| peer.pid()) else { return false };
        // The kernel says 0 for a process that has no number here.
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/pid"));
        pid == 0 || matches!((namespace(&pid.to_string()), namespace("self")), (Ok(theirs), Ok(ours)) if theirs != ours)
    }

    /// A client. The library refuses to make one while the socket does not exist, so this is tried
    /// again for each request until it did.
    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let path = self.socket.to_string_lossy();
        let client =
            Client::connect_with_unix(&path, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION).map_err(classify::general)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Bounds a request in time.
    async fn within<T>(
        operation: &str,
        limit: Duration,
        request: impl Future<Output = std::result::Result<T, bollard::errors::Error>>,
    ) -> Result<std::result::Result<T, bollard::errors::Error>> {
        tokio::time::timeout(limit, request)
            .await
            .map_err(|_| RuntimeError::Timeout { operation: operation.into(), seconds: limit.as_secs() })
    }

    async fn engine_info(&self) -> Result<EngineInfo> {
        let client = self.client()?;
        let version = Self::within("version", READ_TIMEOUT, client.version()).await?.map_err(classify::general)?;
        let info = Self::within("info", READ_TIMEOUT, client.info()).await?.map_err(classify::general)?;
        let mut engine = convert::engine_info(version, info);
        self.default_network.store(network::UNKNOWN, Ordering::Relaxed);
        engine.has_default_network = self.has_default_network().await?;
        Ok(engine)
    }

    /// Whether containers can have an address: dockerd with `--bridge none` has no such network.
    /// Asked once for each [`Runtime::info`].
    async fn has_default_network(&self) -> Result<bool> {
        match self.default_network.load(Ordering::Relaxed) {
            network::PRESENT => return Ok(true),
            network::ABSENT => return Ok(false),
            _ => {}
        }
        let client = self.client()?;
        let mut found = false;
        // Podman calls its default network `podman` and takes the mode `bridge` for it.
        for name in ["bridge", "podman"] {
            let request = client.inspect_network(name, None);
            match Self::within("inspect network", READ_TIMEOUT, request).await?.map_err(classify::general) {
                Ok(_) => found = true,
                Err(RuntimeError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
            break;
        }
        self.default_network.store(if found { network::PRESENT } else { network::ABSENT }, Ordering::Relaxed);
        Ok(found)
    }
}

impl Runtime for Docker {
    fn info(&self) -> impl Future<Output = Result<EngineInfo>> + Send {
        self.engine_info()
    }

    fn ensure_sandbox_image(&self) -> impl Future<Output = Result<String>> + Send {
        self.sandbox_image()
    }

    fn run_sandbox(&self, spec: &SandboxSpec) -> impl Future<Output = Result<ContainerId>> + Send {
        self.sandbox(spec)
    }

    fn create_container(
        &self,
        sandbox: &ContainerId,
        spec: &ContainerSpec,
    ) -> impl Future<Output = Result<ContainerId>> + Send {
        self.create(sandbox, spec)
    }

    fn start(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send {
        self.start_container(id)
    }

    fn stop(&self, id: &ContainerId, grace: Duration) -> impl Future<Output = Result<()>> + Send {
        self.stop_container(id, grace)
    }

    fn kill(&self, id: &ContainerId, signal: &str) -> impl Future<Output = Result<()>> + Send {
        self.kill_container(id, signal.to_owned())
    }

    fn remove(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send {
        self.remove_container(id)
    }

    fn unpause(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send {
        self.unpause_container(id)
    }

    fn rename(&self, id: &ContainerId, name: &str) -> impl Future<Output = Result<()>> + Send {
        self.rename_container(id, name.to_owned())
    }

    fn update(&self, id: &ContainerId, resources: &Resources) -> impl Future<Output = Result<()>> + Send {
        self.update_container(id, *resources)
    }

    fn inspect(&self, id: &ContainerId) -> impl Future<Output = Result<ContainerInfo>> + Send {
        self.inspect_container(id)
    }

    fn list(&self, selector: &[(String, String)]) -> impl Future<Output = Result<Vec<ContainerInfo>>> + Send {
        self.list_containers(selector.to_vec())
    }

    fn images_in_use(&self) -> impl Future<Output = Result<Vec<String>>> + Send {
        self.used_images()
    }

    fn events(
        &self,
        selector: &[(String, String)],
        since: Option<Time>,
    ) -> impl Future<Output = Result<EventStream>> + Send {
        let stream = self.event_stream(selector, since);
        std::future::ready(stream)
    }

    fn logs(&self, id: &ContainerId, options: &LogOptions) -> impl Future<Output = Result<LogStream>> + Send {
        self.log_stream(id.clone(), options.clone())
    }

    fn exec(
        &self,
        id: &ContainerId,
        command: &[String],
        limits: &ExecLimits,
    ) -> impl Future<Output = Result<ExecResult>> + Send {
        self.run_exec(id.clone(), command.to_vec(), limits.clone())
    }

    fn exec_start(&self, id: &ContainerId, spec: &ExecSpec) -> impl Future<Output = Result<ExecSession>> + Send {
        self.begin_exec(id.clone(), spec.clone())
    }

    fn exec_resize(&self, exec: &ExecId, width: u16, height: u16) -> impl Future<Output = Result<()>> + Send {
        self.resize(exec.clone(), width, height)
    }

    fn exec_wait(&self, exec: &ExecId) -> impl Future<Output = Result<i64>> + Send {
        self.exit_code(exec.clone())
    }

    fn exec_end(&self, exec: &ExecId) -> impl Future<Output = Result<()>> + Send {
        self.end_exec(exec.clone())
    }

    fn attach(&self, id: &ContainerId, stdin: bool) -> impl Future<Output = Result<AttachSession>> + Send {
        self.begin_attach(id.clone(), stdin)
    }

    fn resize(&self, id: &ContainerId, width: u16, height: u16) -> impl Future<Output = Result<()>> + Send {
        self.resize_container(id.clone(), width, height)
    }

    fn stats(&self, id: &ContainerId) -> impl Future<Output = Result<Stats>> + Send {
        self.container_stats(id)
    }

    fn image(&self, reference: &str) -> impl Future<Output = Result<Option<ImageInfo>>> + Send {
        self.inspect_image(reference.to_owned())
    }

    fn images(&self) -> impl Future<Output = Result<Vec<ImageInfo>>> + Send {
        self.list_images()
    }

    fn pull(&self, reference: &str, auth: Option<&RegistryAuth>) -> impl Future<Output = Result<ImageInfo>> + Send {
        self.pull_image(reference.to_owned(), auth.cloned())
    }

    fn remove_image(&self, id: &str) -> impl Future<Output = Result<()>> + Send {
        self.delete_image(id.to_owned())
    }

    fn load_images(&self, tar: Bytes) -> impl Future<Output = Result<()>> + Send {
        self.load(tar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Docker::new("unix:///run/x.sock").unwrap().socket(), std::path::Path::new("/run/x.sock"));
        assert_eq!(Docker::new(DEFAULT_SOCKET).unwrap().socket(), std::path::Path::new(DEFAULT_SOCKET));
        assert!(Docker::new("tcp://engine:2375").unwrap_err().to_string().contains("tcp://"));
        assert!(Docker::new("unix://").is_err());
    }

    #[test]
    fn an_absent_socket_is_an_unavailable_engine() {
        let docker = Docker::new("/nonexistent/docker.sock").unwrap();
        assert!(matches!(docker.client(), Err(RuntimeError::EngineUnavailable { .. })));
    }
}
