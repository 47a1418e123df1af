//! `evenkeel completion`: a script for the shell.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Cx};

/// Print the completion script of a shell
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Example:\n  source <(evenkeel completion bash)")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the verb.
pub(crate) fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut script);
    cx.out.raw(&script)?;
    Ok(ExitCode::SUCCESS)
}
