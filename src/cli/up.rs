//! `evenkeel up`: the command line of server and agent in one process.
//!
//! Reads flags into [`crate::up::Up`]; what they start is there.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use evenkeel_agent::{driver::DEFAULT_MAX_PODS, logic::capacity::Reserved};
use evenkeel_model::session::{NodeTaint, TaintEffect};
use tracing_subscriber::{EnvFilter, fmt};

use super::{Cx, settings::Given, source::Fields};
use crate::up::{self, Up};

/// Follow a repository or directory, and run it on this machine
///
/// Server and agent in one process: syncs the source, runs its containers on Docker, reports
/// drift, rolls a failing commit back. Ctrl-C stops Evenkeel and leaves the containers running.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  evenkeel up ./manifests\n  evenkeel up ~/git/shop --branch main --path deploy\n  evenkeel up https://git.example/shop.git --interval 10s\n  evenkeel up                     goes on with the sources it has"
)]
pub(crate) struct Args {
    /// A directory, a repository or its URL; without it the sources that are there are followed
    #[arg(value_name = "DIR|URL")]
    from: Option<String>,
    /// Name of the source [default: the last part of DIR or URL]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Where the API listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Name of this machine's node [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    node_name: Option<String>,
    /// The container engine: Docker's or Podman's socket
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock", help_heading = "Node")]
    runtime: String,
    /// Labels of the node, as disk=ssd,zone=a
    #[arg(long, value_name = "K=V,...", value_delimiter = ',', value_parser = label, help_heading = "Node")]
    labels: Vec<(String, String)>,
    /// Taints of the node, as dedicated=db:NoSchedule,old:NoExecute
    #[arg(long, value_name = "K[=V]:EFFECT,...", value_delimiter = ',', value_parser = taint, help_heading = "Node")]
    taints: Vec<NodeTaint>,
    /// Address of the node
    #[arg(long, value_name = "IP", help_heading = "Node")]
    node_ip: Option<IpAddr>,
    /// Pods that the node takes
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_MAX_PODS, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Node")]
    max_pods: u32,
    /// What is kept back from pods for the rest of the machine, as cpu=100m,memory=256Mi
    #[arg(
        long,
        value_name = "RESOURCE=AMOUNT,...",
        default_value = "",
        hide_default_value = true,
        help_heading = "Node"
    )]
    system_reserved: Reserved,
    /// Key that encrypts Secrets at rest: 32 bytes, mode 0600, made if it is not there [default:
    /// encryption.key in the data directory]
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    encryption_key_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Given,
    /// File with flags as keys [default: config.yaml in the data directory]
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Form of the log on stderr; with json, the story is told there too
    #[arg(long, value_enum, default_value_t, help_heading = "Settings")]
    log_format: LogFormat,
}

impl Args {
    /// The configuration file that was named.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
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

/// Runs until Ctrl-C.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    start_log(args.log_format);
    let source = match &args.from {
        None => None,
        Some(from) => {
            let place = up::locate(from)?;
            let name = args.name.clone().unwrap_or_else(|| place.default_name());
            Some((name, args.fields.spec(place)?))
        }
    };
    let node_name = match args.node_name {
        Some(name) => name,
        None => host_name()?,
    };
    let data_dir = cx.place.data_dir();
    let data_dir =
        std::path::absolute(&data_dir).with_context(|| format!("the data directory {}", data_dir.display()))?;
    let key = args.encryption_key_file.map(std::path::absolute).transpose().context("the encryption key's file")?;
    let labels: BTreeMap<String, String> = args.labels.into_iter().collect();
    up::run(Up {
        data_dir,
        listen: args.listen,
        source,
        node_name,
        labels,
        taints: args.taints,
        max_pods: args.max_pods,
        reserved: args.system_reserved,
        node_ip: args.node_ip,
        runtime: args.runtime,
        encryption_key_file: key,
        settings: args.settings.settings(),
        backups: args.settings.backups(),
        story: args.log_format == LogFormat::Text,
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(format: LogFormat) {
    let default = if format == LogFormat::Json { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env(LOG_FILTER).unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colour);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// The host's name, made into a valid name of a node.
fn host_name() -> Result<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().context("the host's name is not UTF-8; give one with --node-name")?;
    let name: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    Ok(if name.is_empty() { "node".into() } else { name.to_owned() })
}

/// Labels that say what the machine is: the agent sets them.
const OWN_LABELS: [&str; 3] = ["kubernetes.io/arch", "kubernetes.io/os", "kubernetes.io/hostname"];

fn label(text: &str) -> Result<(String, String), String> {
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
    fn taints_are_written_as_kubectl_takes_them() {
        let made = |key: &str, value: &str, effect| NodeTaint { key: key.into(), value: value.into(), effect };
        assert_eq!(taint("dedicated=db:NoSchedule").unwrap(), made("dedicated", "db", TaintEffect::NoSchedule));
        assert_eq!(taint("example.com/old:NoExecute").unwrap(), made("example.com/old", "", TaintEffect::NoExecute));
        for wrong in ["a", "a=b", "a=b:Never", ":NoSchedule", "a b:NoSchedule", "node.kubernetes.io/x:NoExecute"] {
            assert!(taint(wrong).is_err(), "{wrong}");
        }
    }
}
