//! `evenkeel up`: the command line of server and agent in one process.
//!
//! Reads flags into [`crate::up::Up`]; what they start is there.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use evenkeel_core::Settings;
use tracing_subscriber::{EnvFilter, fmt};

use super::{Cx, source::Fields};
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
    /// Address of the node
    #[arg(long, value_name = "IP", help_heading = "Node")]
    node_ip: Option<IpAddr>,
    /// Folder of the key that encrypts Secrets at rest [default: the data directory]
    #[arg(long, value_name = "DIR", help_heading = "Settings")]
    encryption_key_dir: Option<PathBuf>,
    /// How long a server that lost its database waits for its nodes
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = "Settings")]
    recovery_wait: Duration,
    /// A node without a word for this long is Unknown
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = duration, help_heading = "Settings")]
    node_grace: Duration,
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
    let settings = Settings { recovery_wait: args.recovery_wait, node_grace: args.node_grace, ..Settings::default() };
    let labels: BTreeMap<String, String> = args.labels.into_iter().collect();
    up::run(Up {
        data_dir,
        listen: args.listen,
        source,
        node_name,
        labels,
        node_ip: args.node_ip,
        runtime: args.runtime,
        encryption_key_file: args.encryption_key_dir,
        settings,
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

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| format!("`{text}` is not KEY=VALUE"))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| e.to_string())
}
