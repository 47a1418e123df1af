//! What the runtime trait speaks in: specifications, observations, events.
//!
//! Plain data, serde on everything, so that the agent's commands, its journal and the simulation
//! use the same types. Units are in the names or the docs of fields.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, pin::Pin, time::Duration};

use evenkeel_model::Time;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

use crate::LogStream;

/// Less memory than this no engine gives a container (Docker refuses it): limits below are raised
/// to it, by whoever builds a [`Resources`], so that comparing with what is live stays exact.
pub const MIN_MEMORY_BYTES: u64 = 6 << 20;

/// The period that `cpu_quota_micros` counts in, as the kubelet's.
pub const CPU_PERIOD_MICROS: u64 = 100_000;

/// A container's id, as the engine gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which network a sandbox gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SandboxNetwork {
    /// The engine's default network, or none where the engine has none.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// A network namespace that the sandbox makes for itself as its first act, empty but for
    /// loopback, which is down: whoever asks for it plugs a link in. The sandbox is started in the
    /// engine's own network and may be seen there for some milliseconds more, so a caller waits for
    /// its namespace to be another one before anything joins it. Host ports are the caller's matter.
    Own,
    /// The network of the engine's machine. Host ports need no binding here.
    Host,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the pod on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// The address on the host; `None` is all of them.
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the pod.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What goes to `/etc/resolv.conf`; empty lists leave the engine's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options, as `ndots:5`.
    pub options: Vec<String>,
}

/// What a pod's sandbox is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The container's name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The pod's host name.
    pub hostname: String,
    /// Name resolution.
    pub dns: DnsConfig,
    /// Lines of `/etc/hosts`, as (address, name).
    pub hosts: Vec<(String, String)>,
    /// Ports on the host.
    pub host_ports: Vec<PortBinding>,
    /// The network.
    pub network: SandboxNetwork,
    /// Kernel parameters of the pod's namespaces.
    pub sysctls: BTreeMap<String, String>,
}

/// How mounts made on one side of a bind mount are seen on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Propagation {
    /// Not at all.
    #[default]
    Private,
    /// From the host into the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// A path of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The path on the host; it exists already.
    pub source: PathBuf,
    /// The path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
    /// Propagation of mounts below it.
    pub propagation: Propagation,
}

/// A container's limits. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Share of cpu under contention; 1024 is one core's. At least 2. Best always said: an engine
    /// has its own default, which reads back as a number once it was updated to.
    pub cpu_shares: Option<u64>,
    /// Microseconds of cpu in each [`CPU_PERIOD_MICROS`].
    pub cpu_quota_micros: Option<u64>,
    /// Bytes of memory, at least [`MIN_MEMORY_BYTES`]; swap is never given on top.
    pub memory_bytes: Option<u64>,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Seccomp {
    /// The engine's default filter.
    #[default]
    RuntimeDefault,
    /// No filter.
    Unconfined,
    /// A profile's JSON text.
    Profile(String),
}

/// The privileges of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// User id, or a name of the image; `None` is the image's own.
    pub user: Option<String>,
    /// Group id; needs a user.
    pub group: Option<i64>,
    /// Further groups.
    pub supplemental_groups: Vec<i64>,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// All devices and capabilities.
    pub privileged: bool,
    /// Capabilities beyond the engine's default, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away, without `CAP_`.
    pub cap_drop: Vec<String>,
    /// Forbids gaining privileges by set-user-id programs.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: Seccomp,
}

/// How a container's log files are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRotation {
    /// Bytes of one file.
    pub max_bytes: u64,
    /// Number of files.
    pub max_files: u32,
}

impl Default for LogRotation {
    /// 10 MB, 5 files: the kubelet's.
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_files: 5 }
    }
}

/// What a container is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The engine's name for it, two characters or more.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// An image id or reference that is present.
    pub image: String,
    /// Replaces the image's entrypoint where not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments where not empty, or where `command` is set.
    pub args: Vec<String>,
    /// Environment in order.
    pub env: Vec<EnvVar>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Paths of the host.
    pub mounts: Vec<Mount>,
    /// Memory file systems of the container's own: path and size in bytes, if limited.
    pub tmpfs: Vec<(String, Option<u64>)>,
    /// Limits.
    pub resources: Resources,
    /// Privileges.
    pub security: Security,
    /// Replaces the image's stop signal, as `SIGINT`.
    pub stop_signal: Option<String>,
    /// Bounds of the log.
    pub log: LogRotation,
    /// A terminal as standard streams.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin: bool,
    /// Standard input closes after the first client's end.
    pub stdin_once: bool,
    /// Whose processes it sees.
    pub processes: Processes,
    /// Whose System V IPC and POSIX queues it has.
    pub ipc: Ipc,
}

/// Whose processes a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Processes {
    /// Its own.
    #[default]
    Own,
    /// Those of another container, which sees its own.
    Of(ContainerId),
    /// The machine's.
    Host,
}

/// Whose System V IPC and POSIX queues a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ipc {
    /// Its pod's.
    #[default]
    Pod,
    /// The machine's.
    Host,
}

/// One variable of the environment. Its value may be a Secret's: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// Where a container's life is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made and never started.
    Created,
    /// Runs.
    Running {
        /// Process id in the engine's pid namespace.
        pid: u32,
        /// Since when.
        started: Time,
    },
    /// Frozen.
    Paused {
        /// Process id in the engine's pid namespace.
        pid: u32,
        /// Since when it ran.
        started: Time,
    },
    /// Has ended.
    Exited {
        /// Exit code; 128 + n for signal n.
        code: i32,
        /// The kernel killed it for memory (and not merely one of its children).
        oom: bool,
        /// When it had started; the epoch if never.
        started: Time,
        /// When it ended.
        finished: Time,
        /// What the engine says of a failed start; often empty.
        error: String,
    },
    /// The engine could not remove it, or is doing so.
    Dead,
}

impl ContainerState {
    /// Whether its process exists, frozen or not.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Paused { .. })
    }
}

/// What the engine says of a container: all that adoption and drift detection need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInfo {
    /// Id.
    pub id: ContainerId,
    /// Name, without a leading slash.
    pub name: String,
    /// Labels, the image's own included.
    pub labels: BTreeMap<String, String>,
    /// The image as the container was made with it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// When it was made.
    pub created: Time,
    /// Its state.
    pub state: ContainerState,
    /// Its limits as they are in force.
    pub resources: Resources,
    /// Whether the engine restarts it by itself; never so for what we make.
    pub engine_restarts: bool,
    /// Address in the engine's network; `None` for one without a network of its own.
    pub ip: Option<IpAddr>,
    /// The container whose network it shares.
    pub joins: Option<ContainerId>,
    /// The network that it was made with; says nothing where it joins another container's.
    #[serde(default)]
    pub network: SandboxNetwork,
}

/// What happened to a container, as far as the engine tells. Who did it is not said: the agent
/// knows its own acts, and takes the rest for somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventAction {
    /// Made.
    Created,
    /// Its process was started.
    Started,
    /// Its process ended.
    Died {
        /// Exit code; 128 + n for signal n.
        exit_code: i32,
    },
    /// The kernel killed a process in it for memory; `Died` follows if it was the first one.
    Oom,
    /// A signal was sent through the engine: `docker kill`, or the first act of `docker stop`.
    Killed {
        /// Number of the signal.
        signal: i32,
    },
    /// `docker stop` or `docker restart` has ended its process; `Died` came before.
    Stopped,
    /// Frozen.
    Paused,
    /// Continued.
    Unpaused,
    /// Renamed.
    Renamed {
        /// The name before.
        old_name: String,
    },
    /// Its limits or restart policy were changed.
    Updated,
    /// Removed.
    Destroyed,
}

/// An event of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    /// When, by the engine's clock.
    pub at: Time,
    /// Which container.
    pub id: ContainerId,
    /// Its name at that time.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What.
    pub action: EventAction,
}

/// What to read of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogOptions {
    /// Wait for more at the end.
    pub follow: bool,
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    /// Only from this time on.
    pub since: Option<Time>,
    /// Put RFC 3339 time stamps before lines.
    pub timestamps: bool,
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output; all output of a container with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output. Lines may be cut between two pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// From which stream.
    pub stream: Stream,
    /// The bytes.
    pub bytes: bytes::Bytes,
}

/// Bounds of a command run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecLimits {
    /// How long it may take.
    pub timeout: Duration,
    /// How much of its output is kept, in bytes; the rest is read and dropped.
    pub max_output: usize,
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    /// Its exit code; `None` when it timed out.
    pub exit_code: Option<i64>,
    /// Its output, both streams as they came, cut at the bound.
    pub output: Vec<u8>,
    /// Whether output was cut.
    pub truncated: bool,
}

impl ExecResult {
    /// Whether it did not end in time.
    pub fn timed_out(&self) -> bool {
        self.exit_code.is_none()
    }
}

/// A command's id, as the engine gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExecId(pub String);

/// A command to be run with its streams connected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether standard input is connected; without it the command reads an end at once.
    pub stdin: bool,
    /// A terminal in place of pipes.
    pub tty: bool,
}

/// A command that was started. Dropping it closes its streams and leaves its process alone.
pub struct ExecSession {
    /// Its id.
    pub id: ExecId,
    /// Its standard input; shutting it down is the end of it.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output. It ends when all who hold its pipes have closed them.
    pub output: LogStream,
}

/// The standard streams of a container's own process, from now on. Dropping it leaves the process alone.
pub struct AttachSession {
    /// Its standard input, where the container was made with one; shutting it down is the end of it.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output, to the container's end.
    pub output: LogStream,
}

impl fmt::Debug for AttachSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachSession").finish_non_exhaustive()
    }
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Cpu used since its start, in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use without reclaimable page cache, in bytes.
    pub memory_bytes: u64,
}

/// An image on the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Id, `sha256:…`.
    pub id: String,
    /// Tags, `name:tag`.
    pub tags: Vec<String>,
    /// Digests, `name@sha256:…`; none for one that never saw a registry.
    pub digests: Vec<String>,
    /// Bytes on disk; layers shared with others are counted in each.
    pub size: u64,
    /// When it was built.
    pub created: Time,
    /// The user it runs as; empty is root. `runAsNonRoot` looks at it.
    pub user: String,
    /// Operating system that it is built for, as `linux`; empty where a list does not tell.
    pub os: String,
    /// Architecture that it is built for in Kubernetes' words, as `amd64`; empty likewise.
    pub arch: String,
}

/// Credentials for one registry. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Token instead of both.
    pub identity_token: String,
    /// The registry's address, as the credentials name it.
    pub server: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAuth").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What the engine is and what its machine has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `docker` or `podman`.
    pub name: String,
    /// The engine's version, as `20.10.24`.
    pub version: String,
    /// The API's version, as `1.41`.
    pub api_version: String,
    /// Number of cpus.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Operating system, as `linux`.
    pub os: String,
    /// Architecture in Kubernetes' words, as `amd64`.
    pub arch: String,
    /// The system's name, as `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// Kernel version.
    pub kernel: String,
    /// Where the engine keeps its data.
    pub root_dir: PathBuf,
    /// Whether it has a default network that a sandbox can join.
    pub has_default_network: bool,
}
