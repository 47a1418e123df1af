//! `evenkeel sync` and `retry`: look now, apply now, try again; and wait for the end of it.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use evenkeel_model::{
    Kind, Revision,
    own::{Phase, ReleaseStatus, SourceStatus},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Cx,
    error::hinted,
    objects::{self, condition, maybe, name, said, text, typed},
    paths,
};
use crate::client::Client;

/// How often `--wait` looks.
const POLL: Duration = Duration::from_millis(200);
/// A source whose revision and release did not change for this long after it was asked to look has
/// nothing new: longer than a look at a local repository, and than a commit of the server.
const QUIET: Duration = Duration::from_secs(2);

/// Look at a source now, and apply what is new
///
/// Without SOURCE all sources. With --wait exit code 0: its newest revision is applied and healthy;
/// 1: it failed, and why.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel sync\n  evenkeel sync shop --wait\n  evenkeel sync shop --allow-mass-delete"
)]
pub(crate) struct Args {
    /// Name of the source
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    /// Wait until the newest revision is healthy, or has failed
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Do not wait for a rollout under way to settle
    #[arg(long)]
    now: bool,
    /// Let a revision through that deletes most of the source's objects
    #[arg(long)]
    allow_mass_delete: bool,
}

/// Try a failed or quarantined revision again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  evenkeel retry shop")]
pub(crate) struct Retry {
    /// Name of the source
    #[arg(value_name = "SOURCE")]
    source: String,
}

/// Runs `sync`.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let names = match &args.source {
        Some(name) => vec![name.as_str().into()],
        None => paths::source_names(&client).await?,
    };
    if names.is_empty() {
        return Err(hinted("there is no source", "add one: `evenkeel source add NAME DIR|URL`"));
    }
    let body = json!({"now": args.now, "allowMassDelete": args.allow_mass_delete});
    for source in &names {
        client.send(Method::POST, &format!("{}/sync", paths::source(source)), &body).await?;
        if !args.wait {
            cx.out.line(format!("source {source} is being synced"))?;
        }
    }
    let end = Instant::now() + args.timeout;
    for source in names.iter().filter(|_| args.wait) {
        let line = wait(&client, source, end).await?;
        cx.out.line(line)?;
        cx.out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `retry`.
pub(crate) async fn retry(args: Retry, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    client.send(Method::POST, &format!("{}/retry", paths::source(&args.source)), &Value::Null).await?;
    cx.out.line(format!("source {} is being tried again", args.source))?;
    Ok(ExitCode::SUCCESS)
}

/// How a source stands.
#[derive(Debug, PartialEq)]
enum Stand {
    /// Its newest revision is applied and healthy.
    Good(Revision),
    /// Nothing goes on by itself, and why.
    Bad(String),
    /// Something goes on.
    Moving,
}

async fn wait(client: &Client, source: &str, end: Instant) -> Result<String> {
    let mut before = String::new();
    let mut quiet_since = Instant::now();
    let mut last = String::from("nothing was seen of it");
    loop {
        let object = client.get(&paths::source(source)).await?;
        let releases = objects::list(client, Kind::Release, "").await?;
        let own: Vec<&Value> = releases.iter().filter(|r| text(r, "/spec/source") == source).collect();
        let picture = picture(&object, &own);
        if picture != before {
            (before, quiet_since) = (picture, Instant::now());
        }
        match stand(&object, &own)? {
            Stand::Good(revision) if quiet_since.elapsed() >= QUIET => {
                return Ok(format!("source {source} is at {}, healthy", revision.short()));
            }
            Stand::Bad(why) if quiet_since.elapsed() >= QUIET => bail!("source {source}: {why}"),
            Stand::Moving => last = describe(&own),
            Stand::Good(_) | Stand::Bad(_) => {}
        }
        if Instant::now() >= end {
            return Err(hinted(
                format!("source {source} did not settle in time: {last}"),
                "`evenkeel status` shows more",
            ));
        }
        sleep(POLL).await;
    }
}

/// What must stand still before the state counts.
fn picture(source: &Value, releases: &[&Value]) -> String {
    let phases: Vec<&str> = releases.iter().map(|r| text(r, "/status/phase")).collect();
    format!("{}{:?}", text(source, "/status/observedRevision"), phases)
}

fn describe(releases: &[&Value]) -> String {
    let newest = releases.iter().max_by_key(|r| text(r, "/metadata/creationTimestamp").to_owned());
    newest.map_or_else(|| "it has no release yet".into(), |r| format!("{} is {}", name(r), text(r, "/status/phase")))
}

fn stand(source: &Value, releases: &[&Value]) -> Result<Stand> {
    let status: SourceStatus = typed(source, "/status")?;
    if let Some(("False", reason, message)) = condition(source, "Fetched") {
        return Ok(Stand::Bad(format!("it cannot be read: {}", said(reason, message))));
    }
    let Some(observed) = status.observed_revision else { return Ok(Stand::Moving) };
    let applied = status.applied_revision.as_ref() == Some(&observed);
    let of = |r: &&&Value| text(r, "/spec/revision") == observed.as_str();
    let newest = releases.iter().filter(of).max_by_key(|r| text(r, "/metadata/creationTimestamp").to_owned());
    let Some(newest) = newest else {
        // A revision whose documents equal the applied ones makes no release.
        let healthy = condition(source, "Healthy").is_some_and(|(s, ..)| s == "True");
        return Ok(if applied && healthy { Stand::Good(observed) } else { Stand::Moving });
    };
    let Some(release) = maybe::<ReleaseStatus>(newest, "/status") else { return Ok(Stand::Moving) };
    let why = || {
        let own = said(&release.reason, &release.message);
        let cause = release.cause.as_ref().map(|c| format!("{}: {}", c.object, said(&c.reason, &c.message)));
        let first = release.diagnostics.first().cloned();
        let text = cause.or(first).unwrap_or(own);
        format!("{} is {}: {text}", name(newest), release.phase)
    };
    Ok(match release.phase {
        Phase::Healthy if applied => Stand::Good(observed),
        Phase::Rejected | Phase::RolledBack | Phase::RollbackFailed => Stand::Bad(why()),
        Phase::Pending if ["MassDelete", "Pinned", "Quarantined", "Suspended"].contains(&release.reason.as_str()) => {
            Stand::Bad(why())
        }
        // Without automatic rollback it stays so.
        Phase::Failed if matches!(text(source, "/spec/rollback"), "manual" | "off") => Stand::Bad(why()),
        _ => Stand::Moving,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "main@sha1:0123456789012345678901234567890123456789";

    fn source(observed: &str, applied: &str) -> Value {
        json!({"metadata": {"name": "shop"}, "spec": {}, "status": {"observedRevision": observed, "appliedRevision": applied,
            "conditions": [{"type": "Healthy", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    }

    fn release(phase: &str, reason: &str) -> Value {
        json!({"metadata": {"name": "shop-0123456789"}, "spec": {"source": "shop", "revision": A},
            "status": {"phase": phase, "reason": reason, "timeline": []}})
    }

    #[test]
    fn a_source_stands_as_its_newest_revision() {
        let stand_of = |phase, reason| stand(&source(A, A), &[&release(phase, reason)]).unwrap();
        assert!(matches!(stand_of("Healthy", ""), Stand::Good(_)));
        assert_eq!(stand_of("Progressing", ""), Stand::Moving);
        assert_eq!(stand_of("Pending", "Settling"), Stand::Moving);
        assert_eq!(stand_of("Pending", "MassDelete"), Stand::Bad("shop-0123456789 is Pending: MassDelete".into()));
        assert!(matches!(stand_of("RolledBack", ""), Stand::Bad(_)));
        // Equal documents under another commit.
        assert!(matches!(stand(&source(A, A), &[]).unwrap(), Stand::Good(_)));
    }
}
