//! The cluster's name server on this node: at the address that all pods ask, held by the node's
//! loopback, from the moment that the node has a place in the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use std::sync::Arc;

use evenkeel_model::net::NetworkUpdate;
use tokio::sync::watch as channel;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    dns::{Dns, Resolvers},
    link::{KernelError, kernel::Kernel, pods::LOOPBACK},
};

/// The port of names.
const PORT: u16 = 53;
/// Who is asked for names outside of the cluster.
const RESOLVERS: &str = "/etc/resolv.conf";

/// The server, answering or not.
pub(super) struct NameServer {
    dns: Arc<Dns>,
    serving: Option<(Ipv4Addr, DropGuard)>,
    complaint: Option<String>,
}

impl NameServer {
    pub(super) fn new(node: Arc<str>) -> Self {
        Self { dns: Dns::new(node, Resolvers::File(RESOLVERS.into())), serving: None, complaint: None }
    }

    /// Takes what the server said; the next question sees it.
    pub(super) fn update(&self, update: &NetworkUpdate) {
        self.dns.update(update);
    }

    /// Whether none of the node's resolvers answers, and then what is to be said of it.
    pub(super) fn silent(&self) -> channel::Receiver<Option<String>> {
        self.dns.silent()
    }

    /// Answers at an address, which the node takes for itself.
    pub(super) async fn serve(&mut self, kernel: &Kernel, at: IpAddr) -> Result<(), KernelError> {
        let IpAddr::V4(at) = at else { return Ok(()) };
        // For this machine alone: it is nobody's source of packets.
        kernel.add_address(LOOPBACK, at, 32, true).await?;
        if self.serving.as_ref().is_some_and(|(address, _)| *address == at) {
            return Ok(());
        }
        self.serving = None;
        match self.dns.bind(SocketAddr::from((at, PORT))).await {
            Ok(bound) => {
                let stop = CancellationToken::new();
                tokio::spawn(bound.run(stop.clone()));
                self.serving = Some((at, stop.drop_guard()));
                self.complaint = None;
            }
            Err(error) => {
                // Pods run without names; it is tried again with the next look.
                let text = error.to_string();
                if self.complaint.as_ref() != Some(&text) {
                    tracing::error!(%error, "names of the cluster are not answered on this node");
                    self.complaint = Some(text);
                }
            }
        }
        Ok(())
    }
}
