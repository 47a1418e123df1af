//! What an agent runs containers with: a narrow trait, and Docker (or Podman) behind it.
//!
//! The agent's driver calls it; the simulation has a second implementation of its own. Deliberately
//! not here: Kubernetes objects (the agent translates them), retries and back-off (the pod state
//! machine decides those), and any memory of what was made: labels and the agent's journal are that.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod docker;
mod error;
pub mod sandbox;
mod types;

pub use docker::Docker;
pub use error::{PullFailure, RuntimeError, StartFailure};
pub use types::*;

use std::{future::Future, time::Duration};

use evenkeel_model::Time;
use futures_util::stream::BoxStream;

/// The result of an operation of the runtime.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// A stream of the engine's events. It ends with an error when the engine goes away; the caller
/// opens the next one with `since` set to the last event that it saw.
pub type EventStream = BoxStream<'static, Result<RuntimeEvent>>;

/// A stream of a container's output.
pub type LogStream = BoxStream<'static, Result<LogChunk>>;

/// What runs pods: sandboxes and the containers that join them.
///
/// Every method fails with [`RuntimeError::EngineUnavailable`] when the engine does not answer, and
/// works again as soon as it does: an implementation keeps no connection that would have to be
/// made anew.
pub trait Runtime: Send + Sync + 'static {
    /// Asks whether the engine answers, and what it is.
    fn info(&self) -> impl Future<Output = Result<EngineInfo>> + Send;

    /// Makes sure that the embedded sandbox image is present; returns its id. Nothing is pulled.
    fn ensure_sandbox_image(&self) -> impl Future<Output = Result<String>> + Send;

    /// Creates and starts a pod's sandbox. If the start fails, the created container is removed
    /// again. A name in use is a [`RuntimeError::Conflict`].
    fn run_sandbox(&self, spec: &SandboxSpec) -> impl Future<Output = Result<ContainerId>> + Send;

    /// Creates a container that joins the sandbox's network and IPC. It does not run yet.
    fn create_container(
        &self,
        sandbox: &ContainerId,
        spec: &ContainerSpec,
    ) -> impl Future<Output = Result<ContainerId>> + Send;

    /// Starts a created container. One that runs already is fine.
    fn start(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send;

    /// Sends the stop signal, waits up to `grace` (whole seconds, rounded up), then kills.
    /// A paused container is continued first. One that does not run is fine.
    fn stop(&self, id: &ContainerId, grace: Duration) -> impl Future<Output = Result<()>> + Send;

    /// Sends a signal, as `SIGKILL` or `SIGTERM`. One that does not run is fine.
    fn kill(&self, id: &ContainerId, signal: &str) -> impl Future<Output = Result<()>> + Send;

    /// Removes a container and its anonymous volumes, by force where it still runs. One that is
    /// gone is fine.
    fn remove(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send;

    /// Continues a paused container. One that is not paused is fine.
    fn unpause(&self, id: &ContainerId) -> impl Future<Output = Result<()>> + Send;

    /// Gives a container another name.
    fn rename(&self, id: &ContainerId, name: &str) -> impl Future<Output = Result<()>> + Send;

    /// Sets a container's limits, in force at once.
    fn update(&self, id: &ContainerId, resources: &Resources) -> impl Future<Output = Result<()>> + Send;

    /// One container, by id or name.
    fn inspect(&self, id: &ContainerId) -> impl Future<Output = Result<ContainerInfo>> + Send;

    /// All containers, running or not, that carry every label of `selector` (an empty value means
    /// any value).
    fn list(&self, selector: &[(String, String)]) -> impl Future<Output = Result<Vec<ContainerInfo>>> + Send;

    /// Ids of the images of every container on this engine, foreign ones included.
    fn images_in_use(&self) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Events of containers that carry every label of `selector`, from `since` on.
    fn events(
        &self,
        selector: &[(String, String)],
        since: Option<Time>,
    ) -> impl Future<Output = Result<EventStream>> + Send;

    /// A container's output.
    fn logs(&self, id: &ContainerId, options: &LogOptions) -> impl Future<Output = Result<LogStream>> + Send;

    /// Runs a command in a running container and waits for its end, at most `limits.timeout`.
    /// A command that outlives it is left to the container; the result says `timed_out`.
    fn exec(
        &self,
        id: &ContainerId,
        command: &[String],
        limits: &ExecLimits,
    ) -> impl Future<Output = Result<ExecResult>> + Send;

    /// Starts a command in a running container with its standard streams connected. A command that
    /// does not exist in the container, or may not be run, is a [`RuntimeError::Start`], here or as
    /// the first item of its output.
    fn exec_start(&self, id: &ContainerId, spec: &ExecSpec) -> impl Future<Output = Result<ExecSession>> + Send;

    /// Sets the size of a command's terminal, in characters. One that has ended is fine.
    fn exec_resize(&self, exec: &ExecId, width: u16, height: u16) -> impl Future<Output = Result<()>> + Send;

    /// Waits for a command's end and returns its exit code; 128 + n for signal n.
    fn exec_wait(&self, exec: &ExecId) -> impl Future<Output = Result<i64>> + Send;

    /// Ends a command whose caller has gone: asks its process (and those of its group) to end, and
    /// kills what is left after some seconds. One that has ended is fine. Fails where the process
    /// cannot be reached from here; it is left to the container then.
    fn exec_end(&self, exec: &ExecId) -> impl Future<Output = Result<()>> + Send;

    /// Connects to the standard streams of a running container's own process.
    fn attach(&self, id: &ContainerId, stdin: bool) -> impl Future<Output = Result<AttachSession>> + Send;

    /// Sets the size of a container's terminal, in characters.
    fn resize(&self, id: &ContainerId, width: u16, height: u16) -> impl Future<Output = Result<()>> + Send;

    /// What a running container uses now.
    fn stats(&self, id: &ContainerId) -> impl Future<Output = Result<Stats>> + Send;

    /// An image by reference or id; `None` where the node does not have it.
    fn image(&self, reference: &str) -> impl Future<Output = Result<Option<ImageInfo>>> + Send;

    /// All images, dangling ones included.
    fn images(&self) -> impl Future<Output = Result<Vec<ImageInfo>>> + Send;

    /// Pulls an image; returns what is there then. Fails with [`RuntimeError::Pull`].
    fn pull(&self, reference: &str, auth: Option<&RegistryAuth>) -> impl Future<Output = Result<ImageInfo>> + Send;

    /// Removes an image with its tags; not by force, so that one in use stays (a conflict).
    fn remove_image(&self, id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Loads images from a tar in the format of `docker save`.
    fn load_images(&self, tar: bytes::Bytes) -> impl Future<Output = Result<()>> + Send;
}
