//! `evenkeel drift`: the ledger of what someone changed behind the source's back.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use evenkeel_model::{
    Kind,
    own::{DriftOrigin, DriftSpec, DriftStatus},
};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Cx,
    objects::{self, maybe, name, now, since},
    output::{Format, one_line},
    paths,
};

/// Characters of a value in the table.
const VALUE_WIDTH: usize = 40;

/// Show where live differs from desired, and settle it
///
/// Exit code 0: nothing is open; 2: some are.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  evenkeel drift\n  evenkeel drift --since 24h --all\n  evenkeel drift accept NAME"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only what was seen in this time, as 24h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Also what is settled
    #[arg(long)]
    all: bool,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Leave an object's field as it is, in syncs and rollbacks, until `drift heal`
    ///
    /// A container's drift cannot be accepted: heal it, or change what the source says.
    #[command(after_help = "Example:\n  evenkeel drift accept 4d732e7f0640dff6-31144aa6d9")]
    Accept {
        /// Name of the drift
        name: String,
    },
    /// Write back what the source says
    #[command(after_help = "Example:\n  evenkeel drift heal 4d732e7f0640dff6-31144aa6d9")]
    Heal {
        /// Name of the drift
        name: String,
    },
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let act = match &args.verb {
        Some(Verb::Accept { name }) => Some((name, "accept", "accepted: the field stays as it is")),
        Some(Verb::Heal { name }) => Some((name, "heal", "being healed")),
        None => None,
    };
    if let Some((name, verb, done)) = act {
        let path = format!("{}/{verb}", paths::item(Kind::Drift, "", name));
        client.send(Method::POST, &path, &Value::Null).await?;
        cx.out.line(format!("drift {name} {done}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = objects::list(&client, Kind::Drift, "").await?;
    let open = all.iter().filter(|d| is_open(d)).count();
    let from = args.since.map(|d| objects::now().0.saturating_sub(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)));
    let mut shown: Vec<Value> = all.into_iter().filter(|d| args.all || is_open(d)).collect();
    shown.retain(|d| from.is_none_or(|from| last_seen(d) >= from));
    shown.sort_by_key(|d| std::cmp::Reverse(last_seen(d)));
    match args.output {
        Format::Json | Format::Yaml => {
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": shown});
            cx.out.object(&list, args.output)?;
        }
        Format::Name => shown.iter().try_for_each(|d| cx.out.line(name(d)))?,
        Format::Table | Format::Wide => {
            let header = ["NAME", "OBJECT", "PATH", "DESIRED", "LIVE", "BY", "COUNT", "STATE", "LAST SEEN"];
            let header: Vec<String> = header.into_iter().map(Into::into).collect();
            let rows: Vec<Vec<String>> = shown.iter().filter_map(|d| row(d, args.output == Format::Wide)).collect();
            if rows.is_empty() {
                eprintln!("No {}drift.", if args.all { "" } else { "open " });
            } else {
                cx.out.table(&header, &rows)?;
            }
        }
    }
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn is_open(drift: &Value) -> bool {
    maybe::<DriftStatus>(drift, "/status").is_none_or(|s| s.resolution.is_none())
}

fn last_seen(drift: &Value) -> i64 {
    maybe::<DriftStatus>(drift, "/status").map_or_else(|| now().0, |s| s.last_seen.0)
}

fn row(drift: &Value, wide: bool) -> Option<Vec<String>> {
    let spec: DriftSpec = maybe(drift, "/spec")?;
    let status: DriftStatus = maybe(drift, "/status")?;
    let object = [spec.object.namespace.as_str(), spec.object.name.as_str()];
    let object: Vec<&str> = object.into_iter().filter(|p| !p.is_empty()).collect();
    let by = match &spec.origin {
        DriftOrigin::User(user) => format!("user {user}"),
        DriftOrigin::Node(node) => format!("node {node}"),
    };
    let state = match status.resolution {
        Some(resolution) => format!("{resolution:?}"),
        None if status.contested => "Contested".into(),
        None => "Open".into(),
    };
    let value = |v: &Value| {
        let text = match v {
            Value::Null => "<absent>".into(),
            Value::String(s) => one_line(s),
            other => other.to_string(),
        };
        if wide || text.chars().count() <= VALUE_WIDTH {
            text
        } else {
            text.chars().take(VALUE_WIDTH - 1).chain(['…']).collect()
        }
    };
    Some(vec![
        name(drift).into(),
        format!("{} {}", spec.object.kind, object.join("/")),
        spec.path.clone(),
        value(&spec.desired),
        value(&spec.live),
        by,
        status.count.to_string(),
        state,
        format!("{} ago", since(status.last_seen)),
    ])
}
