//! `evenkeel kubeconfig`: the administrator's kubeconfig, for `kubectl`.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result};

use super::{Cx, error::hinted};

/// Print the administrator's kubeconfig
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(
    after_help = "Examples:\n  export KUBECONFIG=$(evenkeel kubeconfig --file)\n  evenkeel kubeconfig > ~/.kube/config"
)]
pub(crate) struct Args {
    /// Print its path instead
    #[arg(long)]
    file: bool,
}

/// Runs the verb.
pub(crate) fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let path = cx.place.kubeconfig();
    if !path.exists() {
        return Err(hinted(format!("{} does not exist", path.display()), "`evenkeel up` writes it at its start"));
    }
    if args.file {
        let path = std::path::absolute(&path).with_context(|| format!("the path {}", path.display()))?;
        cx.out.line(path.display().to_string())?;
    } else {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        cx.out.raw(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
