//! `evenkeel rollback` and `unpin`.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::{Kind, Revision, own::SourceStatus};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Cx,
    error::hinted,
    objects::{self, text, typed},
    paths,
};
use crate::client::Client;

/// Go back to an earlier revision, and stay there until `unpin`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel rollback shop --reason \"prices are wrong\"\n  evenkeel rollback shop --to 0123456789 --until-next-commit"
)]
pub(crate) struct Args {
    /// Name of the source
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where to: a revision, or the first digits of its hash [default: the last good one before this one]
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    /// Why, for those who wonder later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// The next commit is applied again
    #[arg(long)]
    until_next_commit: bool,
}

/// Go on with the newest revision after a rollback
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  evenkeel unpin shop")]
pub(crate) struct Unpin {
    /// Name of the source
    #[arg(value_name = "SOURCE")]
    source: String,
}

/// Runs `rollback`.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let revision = match &args.to {
        Some(text) => Some(resolve(&client, &args.source, text).await?),
        None => None,
    };
    let body = json!({"revision": revision, "reason": args.reason, "untilNextCommit": args.until_next_commit});
    let source = client.send(Method::POST, &format!("{}/rollback", paths::source(&args.source)), &body).await?;
    let status: SourceStatus = typed(&source, "/status")?;
    let to = status.pinned.map_or_else(|| "the last good revision".into(), |p| p.revision.short());
    cx.out.line(format!("source {} goes back to {to}; `evenkeel unpin {}` goes on", args.source, args.source))?;
    Ok(ExitCode::SUCCESS)
}

/// A revision by its whole text, or by the beginning of its hash among those that are known.
async fn resolve(client: &Client, source: &str, wanted: &str) -> Result<Revision> {
    if let Ok(revision) = wanted.parse() {
        return Ok(revision);
    }
    let status: SourceStatus = typed(&client.get(&paths::source(source)).await?, "/status")?;
    let mut known: Vec<Revision> =
        status.last_good_revision.into_iter().chain(status.earlier_good.into_iter().map(|g| g.revision)).collect();
    let releases = objects::list(client, Kind::Release, "").await?;
    let own = releases.iter().filter(|r| text(r, "/spec/source") == source);
    known.extend(own.filter_map(|r| text(r, "/spec/revision").parse::<Revision>().ok()));
    known.sort();
    known.dedup();
    let digits = wanted.rsplit(['@', ':']).next().unwrap_or(wanted);
    let mut found = known.into_iter().filter(|r| !digits.is_empty() && r.hash().starts_with(digits));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(hinted(
            format!("no release of {source} has the revision {wanted}"),
            format!("`evenkeel history {source}` lists them"),
        )),
        (Some(_), Some(_)) => Err(hinted(format!("{wanted} means several revisions"), "give more digits")),
    }
}

/// Runs `unpin`.
pub(crate) async fn unpin(args: Unpin, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    client.send(Method::POST, &format!("{}/unpin", paths::source(&args.source)), &Value::Null).await?;
    cx.out.line(format!("source {} goes on with its newest revision", args.source))?;
    Ok(ExitCode::SUCCESS)
}
