//! `evenkeel suspend` and `resume`: a patch of the Source.

use std::process::ExitCode;

use anyhow::Result;
use hyper::Method;
use serde_json::json;

use super::{Cx, paths};

/// Apply nothing new from a source until it is resumed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  evenkeel suspend shop")]
pub(crate) struct Suspend {
    /// Name of the source [default: the only one]
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
}

/// Go on with a suspended source
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  evenkeel resume shop")]
pub(crate) struct Resume {
    /// Name of the source [default: the only one]
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
}

/// Runs `suspend`.
pub(crate) async fn suspend(args: Suspend, cx: &mut Cx) -> Result<ExitCode> {
    set(args.source.as_deref(), true, cx).await
}

/// Runs `resume`.
pub(crate) async fn resume(args: Resume, cx: &mut Cx) -> Result<ExitCode> {
    set(args.source.as_deref(), false, cx).await
}

async fn set(source: Option<&str>, suspend: bool, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let name = paths::one_source(&client, source).await?;
    let patch = json!({"spec": {"suspend": suspend}});
    client.send_as(Method::PATCH, &paths::source(&name), "application/merge-patch+json", &patch).await?;
    cx.out.line(format!("source {name} {}", if suspend { "suspended" } else { "resumed" }))?;
    Ok(ExitCode::SUCCESS)
}
