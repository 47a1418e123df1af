//! The node's half: the engine and the agent's driver. `up` and `agent` start one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use evenkeel_agent::{
    driver::{Choice, Dial, DriverConfig, IngressSettings, NetHandle, NodeSettings},
    logic::{self, capacity::Reserved},
    tokens::TokenSource,
};
use evenkeel_model::session::NodeTaint;
use evenkeel_runtime::{Docker, Runtime as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::control::address_outside;

/// What the node's half is told.
#[derive(Debug, Clone)]
pub(crate) struct NodeOptions {
    /// The node's name.
    pub(crate) name: String,
    /// Further labels of the node.
    pub(crate) labels: BTreeMap<String, String>,
    /// Taints of the node.
    pub(crate) taints: Vec<NodeTaint>,
    /// Pods that it takes.
    pub(crate) max_pods: u32,
    /// What is kept back from pods.
    pub(crate) reserved: Reserved,
    /// The node's address.
    pub(crate) ip: Option<IpAddr>,
    /// Which network pods get.
    pub(crate) network: Choice,
    /// How Ingresses are served; `None` where they are not.
    pub(crate) ingress: Option<IngressSettings>,
    /// The engine, as `unix:///var/run/docker.sock`.
    pub(crate) runtime: String,
}

/// Opens the engine's address. That it does not answer is not fatal: it may come back, and until
/// then the node is not ready and says why.
pub(super) async fn engine(address: &str) -> Result<Arc<Docker>> {
    let runtime = Arc::new(Docker::new(address).with_context(|| format!("the container engine's address {address}"))?);
    if let Err(e) = runtime.info().await {
        warn!(error = %e, "the container engine does not answer yet");
    }
    Ok(runtime)
}

/// What an agent has beside its session.
pub(super) struct Beside {
    /// Tokens for its pods.
    pub(super) tokens: TokenSource,
    /// Its network, for who checks it.
    pub(super) net: NetHandle,
}

/// Starts the agent of one cluster.
pub(super) fn start(
    options: &NodeOptions,
    data_dir: &Path,
    cluster: &str,
    runtime: Arc<Docker>,
    dial: impl Dial,
    beside: Beside,
    stop: CancellationToken,
) -> JoinHandle<Result<()>> {
    // Other nodes reach its pods by it, so that a network of its own needs one.
    let ip = options.ip.or_else(|| match options.network {
        Choice::Engine => None,
        Choice::Auto | Choice::Own => address_outside(Ipv4Addr::UNSPECIFIED.into()).ok(),
    });
    let config = DriverConfig {
        network: options.network,
        engine_elsewhere: false,
        net: beside.net,
        ingress: options.ingress.clone(),
        dir: data_dir.join("agent"),
        logic: logic::settings::Config {
            node: options.name.as_str().into(),
            cluster: cluster.to_owned(),
            node_ip: ip,
            settings: logic::settings::Settings::default(),
        },
        node: NodeSettings {
            name: options.name.clone(),
            labels: options.labels.clone(),
            taints: options.taints.clone(),
            ip,
            max_pods: options.max_pods,
            reserved: options.reserved,
        },
    };
    tokio::spawn(async move {
        let config = DriverConfig { engine_elsewhere: runtime.is_elsewhere().await, ..config };
        evenkeel_agent::driver::run(runtime, config, dial, beside.tokens, stop).await.context("the agent")
    })
}

/// Waits for an agent's end after it was told to stop; a bad one is logged.
pub(super) async fn end(agent: JoinHandle<Result<()>>) {
    if !agent.is_finished()
        && let Err(e) = agent.await.context("the agent's task").flatten()
    {
        warn!(error = format!("{e:#}"), "the agent ended badly");
    }
}
