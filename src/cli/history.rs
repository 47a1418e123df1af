//! `evenkeel history`: every release, and why it ended as it did.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::{
    Kind,
    own::{Phase, ReleaseSpec, ReleaseStatus, SourceStatus},
};
use serde_json::{Value, json};

use super::{
    Cx,
    objects::{self, maybe, name, said, since, text, typed},
    output::{Format, one_line},
    paths,
};

/// Show the releases of a source, the newest first, and why each ended as it did
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  evenkeel history\n  evenkeel history shop -o json")]
pub(crate) struct Args {
    /// Name of the source [default: all]
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let sources = match &args.source {
        Some(name) => vec![client.get(&paths::source(name)).await?],
        None => objects::list(&client, Kind::Source, "").await?,
    };
    let mut releases = objects::list(&client, Kind::Release, "").await?;
    releases.retain(|r| args.source.as_deref().is_none_or(|s| text(r, "/spec/source") == s));
    releases.sort_by_key(|r| std::cmp::Reverse((text(r, "/metadata/creationTimestamp").to_owned(), version(r))));
    match args.output {
        Format::Json | Format::Yaml => {
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": releases});
            cx.out.object(&list, args.output)?;
        }
        Format::Name => {
            for release in &releases {
                cx.out.line(name(release))?;
            }
        }
        Format::Table | Format::Wide => table(&args, &sources, &releases, cx)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

fn table(args: &Args, sources: &[Value], releases: &[Value], cx: &mut Cx) -> Result<()> {
    let wide = args.output == Format::Wide;
    let mut header: Vec<String> =
        ["REVISION", "PHASE", "AGE", "AUTHOR", "COMMIT", "WHY"].into_iter().map(Into::into).collect();
    if args.source.is_none() {
        header.insert(0, "SOURCE".into());
    }
    if wide {
        header.push("CHANGES".into());
    }
    let rows: Vec<Vec<String>> = releases.iter().filter_map(|r| row(r, args.source.is_none(), wide)).collect();
    if rows.is_empty() {
        eprintln!("No releases found.");
    } else {
        cx.out.table(&header, &rows)?;
    }
    for source in sources {
        let status: SourceStatus = typed(source, "/status")?;
        if let Some(good) = &status.last_good_revision {
            cx.out.line(format!("\n{}: last good is {}", name(source), good.short()))?;
        }
        if let Some(pin) = &status.pinned {
            let why = if pin.reason.is_empty() { String::new() } else { format!(": {}", pin.reason) };
            cx.out.line(format!(
                "{}: pinned to {} by {} {} ago{why}",
                name(source),
                pin.revision.short(),
                pin.by,
                since(pin.since)
            ))?;
        }
    }
    Ok(())
}

/// The first complaint without the text it points at; how many more there are.
fn first_line(diagnostics: &[String]) -> Option<String> {
    let first = diagnostics.first()?.lines().next()?;
    let more = diagnostics.len() - 1;
    Some(if more == 0 { first.to_owned() } else { format!("{first} (and {more} more)") })
}

fn row(release: &Value, with_source: bool, wide: bool) -> Option<Vec<String>> {
    let spec: ReleaseSpec = maybe(release, "/spec")?;
    let status: ReleaseStatus = maybe(release, "/status")?;
    // A healthy release needs no reason.
    let own = if status.phase == Phase::Healthy { String::new() } else { said(&status.reason, &status.message) };
    let cause = status.cause.as_ref().map(|c| {
        let container = c.container.as_ref().map(|n| format!(" container {n}")).unwrap_or_default();
        format!("{}{container}: {}", c.object, said(&c.reason, &c.message))
    });
    let why = cause.or_else(|| first_line(&status.diagnostics)).unwrap_or(own);
    let age = status.timeline.first().map(|p| since(p.at)).unwrap_or_default();
    let author = spec.author.split(" <").next().unwrap_or_default().to_owned();
    let mut row =
        vec![spec.revision.short(), status.phase.to_string(), age, author, one_line(&spec.message), one_line(&why)];
    if with_source {
        row.insert(0, spec.source);
    }
    if wide {
        let changes = status.changes.map(|c| format!("+{} ~{} -{} ={}", c.created, c.changed, c.deleted, c.unchanged));
        row.push(changes.unwrap_or_default());
    }
    Some(row)
}
