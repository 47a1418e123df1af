//! `evenkeel kubeconfig`: the administrator's kubeconfig, for `kubectl`.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use evenkeel_server::pki::{KUBECONFIG, Pki};

use super::{Cx, error::hinted};

/// Print the administrator's kubeconfig
///
/// Its certificate lives for a year. One of which less than a third is left, or of a CA that was
/// replaced, is made anew here, where the CA is.
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
    renew(&path, cx)?;
    if args.file {
        let path = std::path::absolute(&path).with_context(|| format!("the path {}", path.display()))?;
        cx.out.line(path.display().to_string())?;
    } else {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        cx.out.raw(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Renews the certificate of a data directory's own kubeconfig, if it is due.
fn renew(path: &Path, cx: &Cx) -> Result<()> {
    let dir = cx.place.data_dir();
    if *path != dir.join(KUBECONFIG) || !dir.join("ca/ca.crt").exists() {
        return Ok(());
    }
    Pki::open(&dir).and_then(|pki| pki.renew_kubeconfig(&dir)).context("the administrator's certificate")
}
