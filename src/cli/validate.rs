//! `evenkeel validate`: the checks of a source alone, without a server.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use evenkeel_model::own::UnsupportedMode;
use evenkeel_source::{KnownKinds, read_directory};

use super::{Cx, output::Tone};

/// Check the manifests of a directory, without a server
///
/// What depends on the cluster is not checked: whether a namespace, ConfigMap or Secret outside the
/// directory is there. Exit code 0: all is well; 1: something is not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  evenkeel validate ./manifests\n  evenkeel validate . --path deploy")]
pub(crate) struct Args {
    /// A directory; of a repository, its working tree
    dir: PathBuf,
    /// Folder inside it that holds the manifests
    #[arg(long, value_name = "FOLDER", default_value = "", hide_default_value = true)]
    path: String,
    /// Leave out kinds that are not supported, and list them
    #[arg(long)]
    skip_unsupported: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, cx: &mut Cx) -> Result<ExitCode> {
    let mode = if args.skip_unsupported { UnsupportedMode::Skip } else { UnsupportedMode::Reject };
    let read = read_directory(&args.dir, &args.path, Some(mode), &KnownKinds::default())
        .with_context(|| format!("{} cannot be read", args.dir.display()))?;
    match read.outcome {
        Ok(snapshot) => {
            for warning in &snapshot.warnings {
                eprintln!("warning: {warning}");
            }
            for skipped in &snapshot.skipped {
                eprintln!("left out: {skipped}");
            }
            let good = cx.out.paint(Tone::Good, &format!("{} objects are valid", snapshot.docs.len()));
            cx.out.line(good)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(diagnostics) => {
            let mut errors = 0;
            for d in &diagnostics {
                let error = d.severity == evenkeel_model::Severity::Error;
                errors += usize::from(error);
                eprintln!("{}: {d}", if error { "error" } else { "warning" });
            }
            eprintln!("{errors} error{}", if errors == 1 { "" } else { "s" });
            Ok(ExitCode::FAILURE)
        }
    }
}
