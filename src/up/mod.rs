//! `evenkeel up`: server and agent in one process, wired together.
//!
//! Called by the verb. Opens the data directory, starts the host, the API's listener and the agent,
//! makes sure that the source given exists, tells the story on the terminal, and ends in order on
//! Ctrl-C. Containers run on. Deliberately not here: what any of these parts does.

mod node;
mod source;
mod terminal;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use evenkeel_agent::{
    driver::{DialError, Dialing, DriverConfig, NodeSettings, Streams},
    logic::{self, capacity::Reserved},
};
use evenkeel_core::Settings;
use evenkeel_model::{own::SourceSpec, session::NodeTaint};
use evenkeel_runtime::{Docker, Runtime as _};
use evenkeel_server::{
    api::{self, Api},
    host::{BackupOptions, Host, Options},
    pki::{self, Pki},
};
use tokio::{net::TcpListener, signal::unix::SignalKind, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use source::{Place, locate};

/// What `up` is told.
#[derive(Debug, Clone)]
pub(crate) struct Up {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// The source to follow, by name; `None` goes on with those there are.
    pub(crate) source: Option<(String, SourceSpec)>,
    /// The node's name.
    pub(crate) node_name: String,
    /// Further labels of the node.
    pub(crate) labels: BTreeMap<String, String>,
    /// Taints of the node.
    pub(crate) taints: Vec<NodeTaint>,
    /// Pods that it takes.
    pub(crate) max_pods: u32,
    /// What is kept back from pods.
    pub(crate) reserved: Reserved,
    /// The node's address.
    pub(crate) node_ip: Option<IpAddr>,
    /// The engine, as `unix:///var/run/docker.sock`.
    pub(crate) runtime: String,
    /// The key file of Secrets at rest, if not in the data directory.
    pub(crate) encryption_key_file: Option<PathBuf>,
    /// Settings of the core.
    pub(crate) settings: Settings,
    /// Copies of the database that the server makes by itself.
    pub(crate) backups: BackupOptions,
    /// Whether the story is told in sentences; else as lines of JSON.
    pub(crate) story: bool,
}

/// The name under which `up` itself asks for things.
const USER: &str = "evenkeel-up";
/// How long a start waits for a lost database's sources before it adds its own.
const RECOVERY_POLL: Duration = Duration::from_millis(50);
/// How long the ends of the parts may take before the process ends anyway: more than the agent's
/// and the listener's own limits together.
const END: Duration = Duration::from_secs(20);

/// Runs until Ctrl-C or SIGTERM, or until a part that cannot be started again fails.
pub(crate) async fn run(up: Up) -> Result<()> {
    raise_file_limit();
    let metrics = api::install_metrics();
    let runtime =
        Arc::new(Docker::new(&up.runtime).with_context(|| format!("the container engine's address {}", up.runtime))?);
    if let Err(e) = runtime.info().await {
        // Not fatal: it may come back, and until then the node is not ready and says why.
        warn!(error = %e, "the container engine does not answer yet");
    }
    let pki = Arc::new(Pki::open(&up.data_dir).context("the certificates")?);
    let listener = TcpListener::bind(up.listen).await.with_context(|| listen_hint(up.listen))?;
    let address = listener.local_addr().context("the listener's address")?;
    let tls = pki.server_config(&hosts(address, &up)).context("the server's certificate")?;
    let host = start_host(&up, &pki).await?;
    let kubeconfig = pki
        .admin_kubeconfig(&up.data_dir, &format!("https://{}", reachable(address)))
        .context("the administrator's kubeconfig")?;
    let stop = CancellationToken::new();
    let mut story = terminal::start(host.story(), !up.story, stop.clone());
    if up.story {
        story.say_start(&up, address, &kubeconfig);
    }
    let served = api::Api::new(Arc::new(host.clone()), stop.clone(), metrics);
    let api: JoinHandle<()> = tokio::spawn(api::serve(Arc::<Api>::new(served), listener, tls, stop.clone()));
    let mut agent = start_agent(&up, &pki, &host, runtime, stop.clone())?;
    let added = tokio::spawn(add_source(host.clone(), up.source.clone(), stop.clone()));
    let ended = wait_for_end(&mut agent, added).await;
    info!("stopping; containers run on");
    if up.story {
        terminal::say_end();
    }
    stop.cancel();
    let parts = async {
        // The agent first: what it has seen last is still taken.
        if !agent.is_finished()
            && let Err(e) = agent.await.context("the agent's task").flatten()
        {
            warn!(error = format!("{e:#}"), "the agent ended badly");
        }
        host.stop().await;
        // A listener that panicked has been logged by its task.
        let _ended = api.await;
        story.end().await;
    };
    if tokio::time::timeout(END, parts).await.is_err() {
        warn!("some part did not end in time");
    }
    ended
}

async fn start_host(up: &Up, pki: &Pki) -> Result<Host> {
    let known: Option<_> = if pki.is_new() {
        None
    } else {
        let nodes = pki.nodes().context("the list of known nodes")?;
        Some(nodes.into_iter().map(Arc::from).collect())
    };
    let options = Options {
        data_dir: up.data_dir.clone(),
        settings: up.settings.clone(),
        seed: u64::from_le_bytes(pki::random()?),
        digest_key: pki.digest_key(),
        encryption_key: up.encryption_key_file.clone(),
        known_nodes: known,
        backups: up.backups,
    };
    // The host needs the runtime's handle and may block while it loads.
    let handle = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let _entered = handle.enter();
        Host::start(options)
    });
    Ok(started.await.context("the host's start")??)
}

fn start_agent(
    up: &Up,
    pki: &Pki,
    host: &Host,
    runtime: Arc<Docker>,
    stop: CancellationToken,
) -> Result<JoinHandle<Result<()>>> {
    let node: Arc<str> = up.node_name.as_str().into();
    pki.add_node(&node).context("the list of known nodes")?;
    let cluster = pki.cluster_id().to_string();
    host.register_node(node.clone(), Arc::new(node::Access::new(Streams::new(runtime.clone(), cluster.clone()))));
    let config = DriverConfig {
        dir: up.data_dir.join("agent"),
        logic: logic::settings::Config {
            node: node.clone(),
            cluster,
            node_ip: up.node_ip,
            settings: logic::settings::Settings::default(),
        },
        node: NodeSettings {
            name: node.to_string(),
            labels: up.labels.clone(),
            taints: up.taints.clone(),
            ip: up.node_ip,
            max_pods: up.max_pods,
            reserved: up.reserved,
        },
    };
    let host = host.clone();
    let dial = move || -> Dialing {
        let host = host.clone();
        Box::pin(async move {
            let (agent, server) = evenkeel_wire::local::pair();
            host.accept(server);
            Ok::<_, DialError>(agent)
        })
    };
    Ok(tokio::spawn(async move { evenkeel_agent::driver::run(runtime, config, dial, stop).await.context("the agent") }))
}

/// Makes the source given, or brings its specification up to date. While the world is recovering
/// it waits: the agent may know the source, with a pin or a quarantine.
async fn add_source(host: Host, source: Option<(String, SourceSpec)>, stop: CancellationToken) -> Result<()> {
    let Some((name, spec)) = source else { return Ok(()) };
    while host.recovering() {
        if stop.run_until_cancelled(tokio::time::sleep(RECOVERY_POLL)).await.is_none() {
            return Ok(());
        }
    }
    source::ensure(&host, &name, spec, USER).await
}

/// Waits for a signal, or for a part that failed.
async fn wait_for_end(agent: &mut JoinHandle<Result<()>>, mut added: JoinHandle<Result<()>>) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut source_pending = true;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            ended = &mut added, if source_pending => {
                source_pending = false;
                ended.context("adding the source")??;
            }
            ended = &mut *agent => {
                ended.context("the agent's task")??;
                bail!("the agent ended by itself");
            }
        }
    }
}

/// The names by which clients may call the server.
fn hosts(address: SocketAddr, up: &Up) -> Vec<String> {
    let mut hosts = vec![address.ip().to_string(), up.node_name.clone()];
    hosts.extend(up.node_ip.map(|ip| ip.to_string()));
    hosts
}

/// The address that a client on this machine uses.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port()) } else { address }
}

fn listen_hint(listen: SocketAddr) -> String {
    format!("cannot listen on {listen}; is another Evenkeel running? `--listen` takes another address")
}

/// Every watcher and container costs file descriptors: takes what the hard limit allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        warn!(error = %e, "the limit of open files stays as it is");
    }
}
