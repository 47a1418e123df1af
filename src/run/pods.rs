//! The way of pods to the API where it listens for its own machine alone: a second listener, at the
//! node's own address in the cluster's network.
//!
//! Started by `control` in `up`. The Service `default/kubernetes` leads there
//! (`ApiPlace::OnNode`). The address is this machine's loopback's, and whoever has none of the
//! cluster's addresses is turned away, so nobody of the machine's networks gets in by it. Agents do not:
//! it serves the API alone. Deliberately not here: who may do what.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use evenkeel_core::network::Layout;
use evenkeel_model::net::Cidr;
use evenkeel_server::{
    api::{self, Api, Entrance},
    host::Host,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// A port that another program has is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// What it needs.
pub(super) struct Inner {
    pub(super) host: Host,
    pub(super) api: Arc<Api>,
    pub(super) tls: Arc<ServerConfig>,
    /// The node of this machine, and the port.
    pub(super) node: Arc<str>,
    pub(super) port: u16,
    /// Who may come.
    pub(super) pods: Cidr,
    pub(super) stop: CancellationToken,
}

impl Inner {
    /// Serves until it is stopped, wherever the node's range is.
    pub(super) async fn run(self) {
        let mut at = None;
        loop {
            let now = self.stop.run_until_cancelled(self.host.node_range(&self.node, at)).await;
            let Some(Some(range)) = now else { return };
            at = Some(range);
            let Some(address) = Layout::node_address(range) else { continue };
            let moved = async {
                // It is the node's as long as the node is there.
                self.host.node_range(&self.node, at).await;
            };
            tokio::select! {
                () = self.serve(address) => return,
                () = moved => at = None,
            }
        }
    }

    async fn serve(&self, address: IpAddr) {
        let listener = loop {
            match bind(address, self.port) {
                Ok(listener) => break listener,
                Err(error) => error!(error = format!("{error:#}"), "pods do not reach the API; trying again"),
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                return;
            }
        };
        info!(%address, port = self.port, "pods reach the API");
        let entrance = Entrance { listener, from: Some(self.pods) };
        api::serve(self.api.clone(), None, entrance, self.tls.clone(), self.stop.clone()).await;
    }
}

/// Before the machine has the address, too: its agent takes it when the network is known.
fn bind(address: IpAddr, port: u16) -> Result<TcpListener> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, port).into())?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("cannot listen on {address}:{port}, where pods find the API"))
}
