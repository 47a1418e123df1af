//! `evenkeel up`: the command line of server and agent in one process.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use anyhow::Result;

use super::{Cx, lasting};
use crate::run;

/// Follow a repository or directory, and run it on this machine
///
/// Server and agent in one process: syncs the source, runs its containers on Docker, reports
/// drift, rolls a failing commit back. Ctrl-C stops Evenkeel and leaves the containers running.
/// Other machines may join later: listen where they reach it, and see `evenkeel token`.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  evenkeel up ./manifests\n  evenkeel up ~/git/shop --branch main --path deploy\n  evenkeel up https://git.example/shop.git --interval 10s\n  evenkeel up                     goes on with the sources it has\n  evenkeel up --listen 0.0.0.0:7443   other machines may join"
)]
pub(crate) struct Args {
    #[command(flatten)]
    control: lasting::Control,
    /// Where the API listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443", value_parser = lasting::listen)]
    listen: SocketAddr,
    /// Name of this machine's node [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    node_name: Option<String>,
    #[command(flatten)]
    node: lasting::Node,
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
    let control = args.control.options(args.listen, args.process.story(), cx)?;
    run::up::run(control, args.node.options(args.node_name)?).await?;
    Ok(ExitCode::SUCCESS)
}
