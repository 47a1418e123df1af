//! `evenkeel server`: the command line of the control half.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use anyhow::Result;

use super::{Cx, lasting};
use crate::run;

/// Run the server alone: machines join it as nodes
///
/// Follows sources, decides, and serves the API and the agents on one port. Containers run on the
/// machines that join (`evenkeel token create` here, `evenkeel agent` there). Ctrl-C stops the server;
/// nodes and containers run on.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  evenkeel server https://git.example/shop.git\n  evenkeel server --advertise cluster.example\n  evenkeel server --data-dir /srv/evenkeel --listen 10.0.0.1:7443"
)]
pub(crate) struct Args {
    #[command(flatten)]
    control: lasting::Control,
    /// Where the API and the agents' service listen
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7443", value_parser = lasting::listen)]
    listen: SocketAddr,
    #[command(flatten)]
    process: lasting::Process,
}

impl Args {
    /// The configuration file that was named.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.process.config.as_deref()
    }
}

/// Runs until Ctrl-C.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    args.process.start_log("warn");
    let options = args.control.options(args.listen, args.process.story(), cx)?;
    run::server::run(options, lasting::host_name()?).await?;
    Ok(ExitCode::SUCCESS)
}
