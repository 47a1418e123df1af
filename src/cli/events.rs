//! `evenkeel events`: what happened, oldest first.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::Kind;
use serde_json::Value;

use super::{
    Cx, Out,
    error::hinted,
    objects::{ago, happened, items, text},
    output::{Tone, align, one_line},
    paths::{self, Scope},
    watching::Watch,
};

/// Show what happened
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel events -n shop\n  evenkeel events --for pod/web-5d7f-abcde\n  evenkeel events -A --watch"
)]
pub(crate) struct Args {
    #[command(flatten)]
    scope: Scope,
    /// Only events about this object
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Only warnings
    #[arg(long)]
    warnings: bool,
    /// Go on with every new event
    #[arg(short, long)]
    watch: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let mut fields = Vec::new();
    let mut namespace = args.scope.of(&client);
    if let Some(about) = &args.about {
        let (kind, name) = about
            .split_once('/')
            .ok_or_else(|| hinted(format!("`{about}` is not KIND/NAME"), "as `--for pod/web-5d7f-abcde`"))?;
        let kind = paths::kind(kind)?;
        fields.push(format!("involvedObject.kind={kind},involvedObject.name={name}"));
        if !kind.namespaced() {
            namespace = String::new();
        }
    }
    if args.warnings {
        fields.push("type=Warning".to_owned());
    }
    let fields = fields.join(",");
    let path = paths::collection(Kind::Event, &namespace);
    let everywhere = namespace.is_empty();
    let selection = [("fieldSelector", fields.as_str())];
    let (list, mut watch) = Watch::start(&client, &path, &selection, "application/json").await?;
    let mut all: Vec<&Value> = items(&list).iter().collect();
    all.sort_by_key(|e| happened(e));
    show(&mut cx.out, &all, everywhere, true)?;
    if all.is_empty() && !args.watch {
        eprintln!("No events found.");
    }
    if !args.watch {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        cx.out.flush()?;
        match watch.next().await? {
            Some(event) if event.what != "DELETED" => show(&mut cx.out, &[&event.object], everywhere, false)?,
            Some(_) => {}
            None => watch = Watch::start(&client, &path, &selection, "application/json").await?.1,
        }
    }
}

fn show(out: &mut Out, events: &[&Value], everywhere: bool, header: bool) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    if header {
        let head = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        rows.push(head.iter().skip(usize::from(!everywhere)).map(|h| (*h).to_owned()).collect());
    }
    for e in events {
        let kind = text(e, "/involvedObject/kind");
        let mut row = vec![
            format!("{} ago", ago(e, "/lastTimestamp")),
            text(e, "/type").into(),
            text(e, "/reason").into(),
            format!("{kind}/{}", text(e, "/involvedObject/name")),
            one_line(text(e, "/message")),
        ];
        if everywhere {
            row.insert(0, text(e, "/metadata/namespace").into());
        }
        rows.push(row);
    }
    let refs: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    for (line, row) in align(&refs).into_iter().zip(&rows) {
        let warning = row.iter().any(|c| c == "Warning");
        let line = if warning { out.paint(Tone::Warn, &line) } else { line };
        out.line(line)?;
    }
    Ok(())
}
