//! Ingresses of this node: started with the agent where they are asked for, fed with what the server
//! says, and ended with it. Deliberately not here: how requests are led (`evenkeel-ingress`).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use evenkeel_ingress::{Ingress, Limits, Port, Settings, StartError, Status};
use evenkeel_model::{
    ingress::IngressUpdate,
    net::{NetworkUpdate, PortId, PortProtocol},
};
use tokio::sync::watch;

/// How Ingresses are served, by the agent's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressSettings {
    /// Port of HTTP.
    pub http_port: u16,
    /// Port of TLS.
    pub https_port: u16,
    /// Each request has a line in the log.
    pub access_log: bool,
    /// Bytes of a request's body.
    pub max_body: u64,
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self { http_port: 80, https_port: 443, access_log: false, max_body: Limits::default().body }
    }
}

impl IngressSettings {
    /// Its ports, with who has them.
    pub(super) fn ports(&self) -> BTreeMap<PortId, String> {
        let tcp = |port| PortId { port, protocol: PortProtocol::Tcp };
        let who = |flag: &str| format!("Evenkeel's own Ingresses ({flag} sets another, --ingress off none)");
        [(tcp(self.http_port), who("--ingress-http-port")), (tcp(self.https_port), who("--ingress-https-port"))].into()
    }
}

/// This node's.
#[derive(Clone)]
pub(super) enum Ingresses {
    /// It serves them.
    Served(Ingress),
    /// It serves none, so that nobody has to wait for it: each update counts as served when it comes.
    Off(Arc<watch::Sender<u64>>),
}

impl Ingresses {
    /// Starts serving what was known when the agent ended.
    pub(super) fn start(settings: Option<&IngressSettings>, dir: &Path) -> Result<Self, StartError> {
        let Some(given) = settings else { return Ok(Self::Off(Arc::default())) };
        let at = |port: u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Ingress::start(Settings {
            dir: dir.to_owned(),
            http: at(given.http_port),
            https: at(given.https_port),
            access_log: given.access_log,
            limits: Limits { body: given.max_body, ..Limits::default() },
        })
        .map(Self::Served)
    }

    /// Takes what the server said of Services.
    pub(super) fn network(&self, update: &NetworkUpdate) {
        if let Self::Served(ingress) = self {
            ingress.network(update);
        }
    }

    /// Takes what the server said of Ingresses.
    pub(super) fn update(&self, update: &Arc<IngressUpdate>) {
        match self {
            Self::Served(ingress) => ingress.ingresses(update),
            Self::Off(served) => drop(served.send_replace(update.number)),
        }
    }

    /// The number of the last update that is served.
    pub(super) fn served(&self) -> watch::Receiver<u64> {
        match self {
            Self::Served(ingress) => ingress.served(),
            Self::Off(served) => served.subscribe(),
        }
    }

    /// What its ports are at.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::Served(ingress) => ingress.status(),
            Self::Off(_) => watch::channel(Status::default()).1,
        }
    }

    /// Lets requests under way end, within a bound.
    pub(super) async fn stop(&self) {
        if let Self::Served(ingress) = self {
            ingress.stop().await;
        }
    }
}

/// Whether a node can be told as one that serves: each port that there is a use for is had.
pub(super) fn serves(status: &Status) -> bool {
    let refused = |port: &Port| matches!(port, Port::Refused(_));
    matches!(status.http, Port::Open(_)) && !refused(&status.https)
}

/// Why a port cannot be had, of each that there is a use for.
pub(super) fn refused(status: &Status) -> Vec<String> {
    let why = |port: &Port| if let Port::Refused(why) = port { Some(why.clone()) } else { None };
    [&status.http, &status.https].into_iter().filter_map(why).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_serves_where_it_has_the_ports() {
        let open = || Port::Open(SocketAddr::from(([0, 0, 0, 0], 80)));
        let status = |http, https| Status { http, https };
        assert!(serves(&status(open(), Port::Unused)) && serves(&status(open(), open())));
        assert!(!serves(&Status::default()));
        assert!(!serves(&status(open(), Port::Refused("taken".into()))));
        let neither = status(Port::Refused("taken".into()), Port::Unused);
        assert!(!serves(&neither));
        assert_eq!(refused(&neither), ["taken"]);
    }
}
