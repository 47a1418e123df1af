//! `evenkeel audit`: the auditor over the whole state.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::{Cx, objects::text, output::Format};

/// Read the whole state and name every broken promise
///
/// Exit code 0: none is broken; 2: some are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  evenkeel audit\n  evenkeel audit -o json")]
pub(crate) struct Args {
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let report = cx.client()?.get("/evenkeel/audit").await?;
    let all = report.get("violations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // What is under way may be about to be put right: it is told, and is no broken promise.
    let broken = all.iter().filter(|v| text(v, "/severity") != "Unsettled").count();
    match args.output {
        Format::Json | Format::Yaml => cx.out.object(&report, args.output)?,
        Format::Table | Format::Wide | Format::Name => {
            for v in all {
                let promise = v.get("promise").map(ToString::to_string).unwrap_or_default();
                let mark = if text(v, "/severity") == "Unsettled" { "unsettled" } else { "BROKEN" };
                cx.out.line(format!("{mark}: promise {promise}: {}: {}", text(v, "/object"), text(v, "/message")))?;
            }
            let objects = report.get("objects").and_then(Value::as_u64).unwrap_or(0);
            cx.out.line(format!("{objects} objects read, {broken} promises broken"))?;
        }
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
