//! Flags that the lasting verbs share (`up`, `server`, `agent`), and what they have in common before
//! anything starts: the log, the data directory, names.

use std::{
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use evenkeel_agent::{
    driver::{Choice, DEFAULT_MAX_PODS, IngressSettings},
    logic::capacity::Reserved,
};
use evenkeel_model::{
    Quantity,
    session::{NodeTaint, TaintEffect},
};
use tracing_subscriber::{EnvFilter, fmt};

use super::{Cx, oidc, settings::Given, source::Fields};
use crate::run::{ControlOptions, NodeOptions, locate};

/// Of the control half: its source, where it is reached, its settings.
#[derive(Debug, clap::Args)]
pub(super) struct Control {
    /// A directory, a repository or its URL; without it the sources that are there are followed
    #[arg(value_name = "DIR|URL")]
    from: Option<String>,
    /// Name of the source [default: the last part of DIR or URL]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// How clients and agents on other machines call this server [default: the address of the way
    /// out of this machine, or the one it listens on]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = advertise)]
    advertise: Option<(String, Option<u16>)>,
    /// Key that encrypts Secrets at rest: 32 bytes, mode 0600, made if it is not there [default:
    /// encryption.key in the data directory]
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    encryption_key_file: Option<PathBuf>,
    #[command(flatten)]
    acme: super::acme::Acme,
    #[command(flatten)]
    settings: Given,
    #[command(flatten)]
    oidc: oidc::Issuer,
}

impl Control {
    /// As the process takes it.
    pub(super) fn options(self, listen: SocketAddr, story: bool, cx: &Cx) -> Result<ControlOptions> {
        let source = match &self.from {
            None => None,
            Some(from) => {
                let place = locate(from)?;
                let name = self.name.clone().unwrap_or_else(|| place.default_name());
                Some((name, self.fields.spec(place)?))
            }
        };
        let key = self.encryption_key_file.map(std::path::absolute).transpose().context("the encryption key's file")?;
        Ok(ControlOptions {
            data_dir: data_dir(cx)?,
            listen,
            advertise: self.advertise,
            source,
            encryption_key_file: key,
            settings: self.settings.settings()?,
            backups: self.settings.backups(),
            access_log: self.settings.access_log(),
            acme: self.acme.options()?,
            oidc: self.oidc.options()?,
            story,
        })
    }
}

/// Of the node's half.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub(super) struct Node {
    /// The container engine: Docker's or Podman's socket
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    runtime: String,
    /// Labels of the node, as disk=ssd,zone=a
    #[arg(long, value_name = "K=V,...", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// Taints of the node, as dedicated=db:NoSchedule,old:NoExecute
    #[arg(long, value_name = "K[=V]:EFFECT,...", value_delimiter = ',', value_parser = taint)]
    taints: Vec<NodeTaint>,
    /// Address of the node
    #[arg(id = "node_ip", long = "node-ip", value_name = "IP", value_parser = ip)]
    ip: Option<IpAddr>,
    /// Network of pods: own (addresses of the cluster, Services, names), engine (the container engine's
    /// default network, without these), or auto (own where this process is root and has nft)
    #[arg(long, value_name = "NETWORK", default_value = "auto", value_parser = str::parse::<Choice>)]
    pod_network: Choice,
    /// Whether Ingresses are served on the node: on (its ports are taken while there are Ingresses) or off
    #[arg(long, value_name = "WHETHER", default_value = "on", value_parser = ["on", "off"])]
    ingress: String,
    /// Port on which Ingresses are served without TLS
    #[arg(long, value_name = "PORT", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    ingress_http_port: u16,
    /// Port on which Ingresses are served with TLS
    #[arg(long, value_name = "PORT", default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    ingress_https_port: u16,
    /// Largest body of a request that an Ingress takes
    #[arg(long, value_name = "AMOUNT", default_value = "64Mi", value_parser = bytes)]
    ingress_max_body: u64,
    /// Each request of an Ingress has a line in the log
    #[arg(long)]
    ingress_access_log: bool,
    /// Pods that the node takes
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_MAX_PODS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_pods: u32,
    /// What is kept back from pods for the rest of the machine, as cpu=100m,memory=256Mi
    #[arg(long, value_name = "RESOURCE=AMOUNT,...", default_value = "", hide_default_value = true)]
    system_reserved: Reserved,
}

impl Node {
    /// As the process takes it.
    pub(super) fn options(self, name: Option<String>) -> Result<NodeOptions> {
        let name = match name {
            Some(name) => name,
            None => host_name()?,
        };
        Ok(NodeOptions {
            name,
            labels: self.labels.into_iter().collect(),
            taints: self.taints,
            max_pods: self.max_pods,
            reserved: self.system_reserved,
            ip: self.ip,
            network: self.pod_network,
            ingress: (self.ingress == "on").then_some(IngressSettings {
                http_port: self.ingress_http_port,
                https_port: self.ingress_https_port,
                access_log: self.ingress_access_log,
                max_body: self.ingress_max_body,
            }),
            runtime: self.runtime,
        })
    }
}

/// Of every lasting process.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Process {
    /// File with flags as keys [default: config.yaml in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Form of the log on stderr; with json, the story is told there too
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// JSON lines for machines.
    Json,
}

/// Variable with the log's filter, as `info` or `evenkeel_source=debug,warn`.
const LOG_FILTER: &str = "EVENKEEL_LOG";

impl Process {
    /// Whether people read what is told.
    pub(super) fn story(&self) -> bool {
        self.log_format == LogFormat::Text
    }

    /// Starts the log; `level` where its form is text and the environment says nothing.
    pub(super) fn start_log(&self, level: &str) {
        let default = if self.log_format == LogFormat::Json { "info" } else { level };
        let filter = EnvFilter::try_from_env(LOG_FILTER).unwrap_or_else(|_| EnvFilter::new(default));
        let colour = std::io::stderr().is_terminal();
        let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colour);
        match self.log_format {
            LogFormat::Text => builder.init(),
            LogFormat::Json => builder.json().init(),
        }
    }
}

/// The data directory, absolute.
pub(super) fn data_dir(cx: &Cx) -> Result<PathBuf> {
    let dir = cx.place.data_dir();
    std::path::absolute(&dir).with_context(|| format!("the data directory {}", dir.display()))
}

/// The host's name, made into a valid name of a node.
pub(super) fn host_name() -> Result<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().context("the host's name is not UTF-8; give the node a name by its flag")?;
    let name: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    Ok(if name.is_empty() { "node".into() } else { name.to_owned() })
}

/// The port where nothing says another.
const PORT: u16 = 7443;

/// An address and a port to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_not_both| {
        if let Ok(address) = text.parse::<IpAddr>() {
            return format!("a port is needed as well, as {}", SocketAddr::new(address, PORT));
        }
        let port = text.rsplit_once(':').map_or(text, |(_, port)| port).parse::<u16>().unwrap_or(PORT);
        format!(
            "an address and a port are needed, no name: 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} for all \
             its addresses, [::]:{port} with IPv6"
        )
    })
}

/// An address of this machine.
fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_no_address| "an address is needed, as 10.0.0.1 or fd00::1, no name and no port".to_owned())
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn advertise(text: &str) -> Result<(String, Option<u16>), String> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| format!("`{text}` is no port"));
    let (host, given) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a `]` is missing")?;
            (host, rest.strip_prefix(':').map(port).transpose()?)
        }
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((host, given)) => (host, Some(port(given)?)),
            None => (text, None),
        },
    };
    let address = host.parse::<IpAddr>();
    let name = |h: &str| !h.is_empty() && h.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    if address.as_ref().is_ok_and(IpAddr::is_unspecified) {
        return Err(format!("nobody can connect to {host}"));
    }
    if address.is_err() && !name(host) {
        return Err(format!("`{host}` is neither a name nor an address"));
    }
    Ok((host.to_owned(), given))
}

/// Labels that say what the machine is: the agent sets them.
const OWN_LABELS: [&str; 3] = ["kubernetes.io/arch", "kubernetes.io/os", "kubernetes.io/hostname"];

/// An amount of bytes, as Kubernetes writes it.
fn bytes(text: &str) -> Result<u64, String> {
    let amount = text.parse::<Quantity>().ok().and_then(|q| u64::try_from(q.units()).ok());
    amount.filter(|n| *n > 0).ok_or_else(|| format!("`{text}` is no amount of bytes above zero, as 64Mi or 1Gi"))
}

/// A label, as `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    if OWN_LABELS.contains(&key) {
        return Err(format!("{key} is set by the agent, by what the machine is"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Taints under this are the server's own: it sets them by the node's state.
const OWN_TAINTS: &str = "node.kubernetes.io/";

/// A taint as kubectl takes it: `KEY=VALUE:EFFECT` or `KEY:EFFECT`.
fn taint(text: &str) -> Result<NodeTaint, String> {
    let (pair, effect) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` is not KEY=VALUE:EFFECT"))?;
    let effects = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute];
    let effect = effects
        .into_iter()
        .find(|e| e.as_str() == effect)
        .ok_or_else(|| format!("`{effect}` is none of NoSchedule, PreferNoSchedule, NoExecute"))?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !pair.replacen('=', "", 1).chars().all(fits) {
        return Err(format!("`{pair}` is not KEY=VALUE"));
    }
    if key.starts_with(OWN_TAINTS) {
        return Err(format!("taints of {OWN_TAINTS} are set by the server, by the state of the node"));
    }
    Ok(NodeTaint { key: key.to_owned(), value: value.to_owned(), effect })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_machine_are_not_for_flags() {
        assert_eq!(label("disk=ssd").unwrap(), ("disk".into(), "ssd".into()));
        for wrong in ["disk", "kubernetes.io/arch=arm64", "kubernetes.io/hostname=x"] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_would_listen_on_a_name_is_told_what_to_write() {
        assert_eq!(listen("10.0.0.1:7443").unwrap(), "10.0.0.1:7443".parse().unwrap());
        assert_eq!(listen("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        for (wrong, hint) in [
            ("localhost:8443", "127.0.0.1:8443 for this machine alone"),
            ("8443", "0.0.0.0:8443 for all"),
            (":8443", "[::]:8443"),
            ("10.0.0.1", "as 10.0.0.1:7443"),
            ("::1", "as [::1]:7443"),
            ("localhost:99999", "127.0.0.1:7443"),
        ] {
            assert!(listen(wrong).unwrap_err().contains(hint), "{wrong}: {}", listen(wrong).unwrap_err());
        }
        assert!(ip("node-1").unwrap_err().contains("no name"));
    }

    #[test]
    fn amounts_of_bytes() {
        assert_eq!((bytes("64Mi").unwrap(), bytes("1G").unwrap()), (64 << 20, 1_000_000_000));
        for wrong in ["", "0", "-1", "many", "1m5"] {
            assert!(bytes(wrong).unwrap_err().contains("64Mi"), "{wrong}");
        }
    }

    #[test]
    fn a_server_is_called_by_name_or_address() {
        assert_eq!(advertise("s.example").unwrap(), ("s.example".into(), None));
        assert_eq!(advertise("10.0.0.1:443").unwrap(), ("10.0.0.1".into(), Some(443)));
        assert_eq!(advertise("[fd00::1]:443").unwrap(), ("fd00::1".into(), Some(443)));
        assert_eq!(advertise("fd00::1").unwrap(), ("fd00::1".into(), None));
        for wrong in ["", "0.0.0.0", "a b", "a:b", "a:0", "https://a"] {
            assert!(advertise(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn taints_are_written_as_kubectl_takes_them() {
        let made = |key: &str, value: &str, effect| NodeTaint { key: key.into(), value: value.into(), effect };
        assert_eq!(taint("dedicated=db:NoSchedule").unwrap(), made("dedicated", "db", TaintEffect::NoSchedule));
        assert_eq!(taint("example.com/old:NoExecute").unwrap(), made("example.com/old", "", TaintEffect::NoExecute));
        for wrong in ["a", "a=b", "a=b:Never", ":NoSchedule", "a b:NoSchedule", "node.kubernetes.io/x:NoExecute"] {
            assert!(taint(wrong).is_err(), "{wrong}");
        }
    }
}
