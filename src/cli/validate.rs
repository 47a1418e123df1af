//! `evenkeel validate`: the checks of a source alone, without a server.

use std::{fs::File, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use evenkeel_model::own::UnsupportedMode;
use evenkeel_source::{KnownKinds, read_directory, read_stream};

use super::{Cx, output::Tone};

/// Check manifests, without a server
///
/// What depends on the cluster is not checked: whether a namespace, ConfigMap or Secret outside of what is
/// read is there. Exit code 0: all is well; 1: something is not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  evenkeel validate ./manifests\n  evenkeel validate . --path deploy\n  \
                  evenkeel validate web.yaml\n  helm template shop | evenkeel validate -")]
pub(crate) struct Args {
    /// A directory (of a repository, its working tree), a file, or `-` for standard input
    #[arg(value_name = "DIR|FILE|-")]
    what: PathBuf,
    /// Folder inside the directory that holds the manifests
    #[arg(long, value_name = "FOLDER", default_value = "", hide_default_value = true)]
    path: String,
    /// Leave out kinds that are not supported, and list them
    #[arg(long)]
    skip_unsupported: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, cx: &mut Cx) -> Result<ExitCode> {
    let mode = if args.skip_unsupported { UnsupportedMode::Skip } else { UnsupportedMode::Reject };
    let (what, known) = (args.what.as_path(), KnownKinds::default());
    let failed = || format!("{} cannot be read", what.display());
    let outcome = if what.as_os_str() == "-" {
        read_stream("standard input", std::io::stdin().lock(), Some(mode), &known).with_context(failed)?
    } else if what.is_file() {
        anyhow::ensure!(args.path.is_empty(), "--path is for a directory, and {} is a file", what.display());
        let file = File::open(what).with_context(failed)?;
        read_stream(&what.to_string_lossy(), file, Some(mode), &known).with_context(failed)?
    } else {
        read_directory(what, &args.path, Some(mode), &known).with_context(failed)?.outcome
    };
    match outcome {
        Ok(snapshot) => {
            for warning in &snapshot.warnings {
                eprintln!("warning: {warning}");
            }
            for skipped in &snapshot.skipped {
                eprintln!("left out: {skipped}");
            }
            let said = match snapshot.docs.len() {
                1 => "1 object is valid".to_owned(),
                n => format!("{n} objects are valid"),
            };
            let good = cx.out.paint(Tone::Good, &said);
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
