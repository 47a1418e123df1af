//! The control half: certificates, host, listener, and the first source. `up` and `server` start one.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use evenkeel_core::{Settings, network::Layout, settings::ApiPlace};
use evenkeel_model::own::SourceSpec;
use evenkeel_server::{
    acme,
    api::{self, AccessLog, Api, Logged},
    dispatch::Agents,
    host::{BackupOptions, Host, Options},
    oidc::{Oidc, OidcOptions},
    pki::{self, Pki},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{pods, source, terminal};

/// What the control half is told.
#[derive(Debug, Clone)]
pub(crate) struct ControlOptions {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// How clients and agents on other machines call this server: a name or address, and a port if
    /// it is another one.
    pub(crate) advertise: Option<(String, Option<u16>)>,
    /// The source to follow, by name; `None` goes on with those there are.
    pub(crate) source: Option<(String, SourceSpec)>,
    /// The key file of Secrets at rest, if not in the data directory.
    pub(crate) encryption_key_file: Option<PathBuf>,
    /// Settings of the core.
    pub(crate) settings: Settings,
    /// Copies of the database that the server makes by itself.
    pub(crate) backups: BackupOptions,
    /// Which requests are logged.
    pub(crate) access_log: Logged,
    /// Where certificates for Ingresses come from.
    pub(crate) acme: Option<acme::Options>,
    /// Whose ID tokens are taken.
    pub(crate) oidc: Option<OidcOptions>,
    /// Whether the story is told in sentences; else as lines of JSON.
    pub(crate) story: bool,
}

/// The name under which a start itself asks for things.
const USER: &str = "evenkeel-up";
/// How long a start waits for a lost database's sources before it adds its own.
const RECOVERY_POLL: Duration = Duration::from_millis(50);

/// A running control half.
pub(super) struct Control {
    pub(super) host: Host,
    pub(super) pki: Arc<Pki>,
    pub(super) agents: Agents,
    /// How it is called from this machine and, if it listens for them, from others.
    pub(super) url: String,
    pub(super) kubeconfig: PathBuf,
    pub(super) story: terminal::Story,
    /// Ends with an error if the source given cannot be added.
    pub(super) added: JoinHandle<Result<()>>,
    stop: CancellationToken,
    api: JoinHandle<()>,
    /// For pods, where it listens for its own machine alone.
    inner: Option<JoinHandle<()>>,
    acme: Option<JoinHandle<()>>,
    log: Option<Arc<AccessLog>>,
}

impl Control {
    /// Starts it. `names` are further names of this machine for the server's certificate, `node` is the
    /// one of this very process.
    pub(super) async fn start(
        options: &ControlOptions,
        names: &[String],
        node: Option<&str>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let metrics = api::install_metrics();
        let pki = Arc::new(Pki::open(&options.data_dir).context("the certificates")?);
        let listener = TcpListener::bind(options.listen).await.with_context(|| listen_hint(options.listen))?;
        let address = listener.local_addr().context("the listener's address")?;
        let (host_name, port) = called(options.advertise.as_ref(), address);
        let mut hosts = vec![address.ip().to_string(), host_name.clone()];
        hosts.extend(names.iter().cloned());
        let layout = &options.settings.network;
        hosts.extend(inside(layout));
        let place = place(&host_name, port, address, node).await;
        let tls = pki.server_config(&hosts).context("the server's certificate")?;
        let host = start_host(options, &pki, place.clone()).await?;
        let url = format!("https://{}:{port}", bracketed(&host_name));
        let kubeconfig = pki.admin_kubeconfig(&options.data_dir, &url).context("the administrator's kubeconfig")?;
        let story = terminal::start(host.story(), !options.story, stop.clone());
        let log = AccessLog::open(&options.data_dir, options.access_log).context("the log of requests")?.map(Arc::new);
        let served = Api::new(Arc::new(host.clone()), stop.clone(), metrics)
            .with_pki(pki.clone())
            .with_oidc(issuer(options.oidc.clone())?)
            .with_log(log.clone());
        let agents = Agents::new(host.clone(), pki.clone(), stop.clone());
        let served = Arc::new(served);
        let inner = match place {
            ApiPlace::OnNode { node, port } if address.ip().is_loopback() => {
                let (host, api, tls, stop) = (host.clone(), served.clone(), tls.clone(), stop.clone());
                let inner = pods::Inner { host, api, tls, node, port, pods: layout.net.cluster_cidr, stop };
                Some(tokio::spawn(inner.run()))
            }
            _ => None,
        };
        let api = tokio::spawn(api::serve(served, Some(agents.clone()), listener, tls, stop.clone()));
        let acme = options.acme.clone().map(|acme| tokio::spawn(acme::run(host.clone(), acme, stop.clone())));
        let added = tokio::spawn(add_source(host.clone(), options.source.clone(), stop.clone()));
        Ok(Self { host, pki, agents, url, kubeconfig, story, added, stop, api, inner, acme, log })
    }

    /// Ends it. What agents have said last is still taken.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Some(acme) = self.acme {
            // One that panicked has been logged by its task.
            let _ended = acme.await;
        }
        self.host.stop().await;
        // A listener that panicked has been logged by its task.
        let _ended = self.api.await;
        if let Some(inner) = self.inner {
            let _ended = inner.await;
        }
        if let Some(log) = self.log {
            // One that panicked has been logged by its task.
            let _ended = tokio::task::spawn_blocking(move || log.end()).await;
        }
        self.story.end().await;
    }
}

/// The issuer of ID tokens, which is asked for its keys.
fn issuer(options: Option<OidcOptions>) -> Result<Option<Arc<Oidc>>> {
    let oidc = options.map(Oidc::new).transpose().context("OpenID Connect")?.map(Arc::new);
    if let Some(oidc) = &oidc {
        oidc.start();
    }
    Ok(oidc)
}

async fn start_host(options: &ControlOptions, pki: &Pki, api: ApiPlace) -> Result<Host> {
    let known = (!pki.is_new()).then(|| pki.nodes().into_iter().map(Arc::from).collect());
    let options = Options {
        data_dir: options.data_dir.clone(),
        settings: Settings {
            root_ca: Some(pki.trust_pem().into()),
            api,
            acme: options.acme.is_some(),
            ..options.settings.clone()
        },
        seed: u64::from_le_bytes(pki::random()?),
        digest_key: pki.digest_key(),
        encryption_key: options.encryption_key_file.clone(),
        known_nodes: known,
        backups: options.backups,
    };
    // The host needs the runtime's handle and may block while it loads.
    let handle = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let _entered = handle.enter();
        Host::start(options)
    });
    Ok(started.await.context("the host's start")??)
}

/// Makes the source given, or brings its specification up to date. While the world is recovering
/// it waits: agents may know the source, with a pin or a quarantine.
async fn add_source(host: Host, source: Option<(String, SourceSpec)>, stop: CancellationToken) -> Result<()> {
    let Some((name, spec)) = source else { return Ok(()) };
    while host.recovering() {
        if stop.run_until_cancelled(tokio::time::sleep(RECOVERY_POLL)).await.is_none() {
            return Ok(());
        }
    }
    source::ensure(&host, &name, spec, USER).await
}

/// The name or address, and the port, by which clients call a server.
fn called(advertise: Option<&(String, Option<u16>)>, address: SocketAddr) -> (String, u16) {
    match advertise {
        Some((host, port)) => (host.clone(), port.unwrap_or(address.port())),
        None if address.ip().is_unspecified() => (own_address(address.ip()).to_string(), address.port()),
        None => (address.ip().to_string(), address.port()),
    }
}

/// The names and the address by which pods call it, in every cluster.
fn inside(layout: &Layout) -> Vec<String> {
    let service = "kubernetes.default.svc";
    let short = ["kubernetes", "kubernetes.default", service].map(Into::into);
    // Clients are written for the usual domain, whatever the cluster's is.
    let long = [format!("{service}.{}", layout.net.domain), format!("{service}.cluster.local")];
    short.into_iter().chain(long).chain([layout.api().to_string()]).collect()
}

/// Where pods and nodes reach it: by the name or address that others call it, or on the node of this
/// process where it has none that leads here from outside.
async fn place(host: &str, port: u16, address: SocketAddr, node: Option<&str>) -> ApiPlace {
    let found = match host.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) => match tokio::net::lookup_host((host, port)).await {
            Ok(all) => all.map(|a| a.ip()).find(IpAddr::is_ipv4),
            Err(error) => {
                warn!(host, %error, "the address of this server's name is not known");
                None
            }
        },
    };
    match (found.filter(|ip| ip.is_ipv4() && !ip.is_loopback()), node) {
        (Some(ip), _) => ApiPlace::Address(SocketAddr::new(ip, port)),
        (None, Some(node)) => ApiPlace::OnNode { node: node.into(), port: address.port() },
        (None, None) => {
            warn!(
                host,
                "pods do not reach the API: --advertise takes an IPv4 address by which nodes reach this server"
            );
            ApiPlace::Unknown
        }
    }
}

/// The address of the way out of this machine. Nothing is sent: a UDP socket that is connected to an
/// address for documentation (RFC 5737, RFC 3849) tells which of its own it would use.
pub(super) fn address_outside(any: IpAddr) -> std::io::Result<IpAddr> {
    let (here, there): (&str, &str) =
        if any.is_ipv6() { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let socket = UdpSocket::bind(here)?;
    socket.connect(there)?;
    Ok(socket.local_addr()?.ip())
}

/// The same; the loopback address where there is no way out.
fn own_address(any: IpAddr) -> IpAddr {
    address_outside(any).unwrap_or_else(|error| {
        warn!(%error, "this machine's address is not known: --advertise says how others call it");
        IpAddr::from([127, 0, 0, 1])
    })
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn listen_hint(listen: SocketAddr) -> String {
    format!("cannot listen on {listen}; is another Evenkeel running? `--listen` takes another address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_as_it_says_or_by_where_it_listens() {
        let listens: SocketAddr = "10.0.0.1:7443".parse().unwrap();
        assert_eq!(called(None, listens), ("10.0.0.1".into(), 7443));
        assert_eq!(called(Some(&("s.example".into(), None)), listens), ("s.example".into(), 7443));
        assert_eq!(called(Some(&("s.example".into(), Some(443))), listens), ("s.example".into(), 443));
        let (name, _) = called(None, "0.0.0.0:1".parse().unwrap());
        assert!(!name.parse::<IpAddr>().unwrap().is_unspecified());
        assert_eq!(bracketed("fd00::1"), "[fd00::1]");
    }
}
