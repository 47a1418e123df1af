//! `evenkeel ca`: list, rotate, retire. Works on files, without a server.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use evenkeel_server::pki::{self, Pki};
use evenkeel_store::DirLock;

use super::{Cx, error::hinted, lasting::data_dir};

/// Look at the cluster's CA, and put another one in its place
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show the CAs that are trusted, the one that signs first
    #[command(after_help = "Example:\n  evenkeel ca list")]
    List,
    /// Make a new CA that signs from now on; the old ones stay trusted
    ///
    /// Stop the server first, and start it again afterwards; nodes and containers run on. Agents learn of
    /// the new CA with their next session and renew their certificates by themselves; `evenkeel kubeconfig`
    /// renews the administrator's. When all have, `evenkeel ca retire` ends the rotation.
    #[command(after_help = "Example:\n  evenkeel ca rotate --data-dir /var/lib/evenkeel")]
    Rotate,
    /// Trust the CA that signs alone: certificates of the old ones count no longer
    #[command(after_help = "Example:\n  evenkeel ca retire --data-dir /var/lib/evenkeel")]
    Retire {
        /// Also while nodes still have certificates of an old CA: they join again by a token
        #[arg(long)]
        force: bool,
    },
}

/// Runs the verb.
pub(crate) fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    let dir = data_dir(cx)?;
    if !dir.join("ca/ca.crt").exists() {
        return Err(hinted(format!("{} has no CA", dir.display()), "--data-dir names the server's data directory"));
    }
    if let Verb::List = verb {
        let pki = Pki::open(&dir)?;
        let header = ["NAME", "STATE", "SINCE", "UNTIL"].into_iter().map(Into::into).collect::<Vec<String>>();
        let state = |signs| if signs { "signs" } else { "trusted" }.to_owned();
        let row = |a: pki::Authority| vec![a.name, state(a.signs), a.since.rfc3339(), a.until.rfc3339()];
        let rows: Vec<Vec<String>> = pki.authorities().into_iter().map(row).collect();
        cx.out.table(&header, &rows)?;
        let behind = pki.behind(super::objects::now())?;
        if !behind.is_empty() {
            cx.out.line(format!("Nodes with a certificate of an old CA: {}", behind.join(", ")))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = DirLock::acquire(&dir).context("the server must be stopped first")?;
    match verb {
        Verb::List => {}
        Verb::Rotate => {
            pki::rotate(&dir)?;
            cx.out.line("a new CA signs from now on; start the server again")?;
            cx.out.line("when `evenkeel ca list` names no node with an old certificate: evenkeel ca retire")?;
        }
        Verb::Retire { force } => {
            let behind = pki::retire(&dir, force, super::objects::now())?;
            if !behind.is_empty() {
                bail!(
                    "these nodes still have certificates of an old CA: {}; start the server and let their agents renew \
                     them, or use --force and let them join again by a token",
                    behind.join(", ")
                );
            }
            cx.out.line("the CA that signs is the only one that is trusted; start the server again")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
