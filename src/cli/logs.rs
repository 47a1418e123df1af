//! `evenkeel logs`: what containers print.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use evenkeel_model::Kind;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Cx,
    objects::{name, text},
    paths::{self, Scope},
    pods::{self, Meant},
};
use crate::client::{Client, Where};

/// Lines under way between the readers and the terminal: enough to keep both busy.
const BUFFER: usize = 256;

/// Show what containers print
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel logs web-5d7f-abcde -n shop\n  evenkeel logs deployment/web -f --tail 20\n  evenkeel logs -l app=web --since 5m\n  evenkeel logs web-5d7f-abcde --previous"
)]
pub(crate) struct Args {
    /// A pod, or deployment/NAME, replicaset/NAME
    #[arg(value_name = "POD", required_unless_present = "selector")]
    what: Option<String>,
    #[command(flatten)]
    scope: Scope,
    /// All pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "what")]
    selector: Option<String>,
    /// Container [default: the only one, or the pod's annotation]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Of the run before this one
    #[arg(short, long)]
    previous: bool,
    /// Only so many of the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only of the last time, as 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<std::time::Duration>,
    /// With the time in front of each line
    #[arg(long)]
    timestamps: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let namespace = args.scope.of(&client);
    let pods = pods(&client, &args, &namespace).await?;
    if let [pod] = pods.as_slice() {
        let mut lines = client.lines(&log_path(&args, pod), "*/*").await?;
        while let Some(line) = lines.next().await? {
            cx.out.raw(&line)?;
            cx.out.raw(b"\n")?;
            if args.follow {
                cx.out.flush()?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    many(&args, pods, cx).await
}

/// Several pods: each line with its pod's name in front, as they come.
async fn many(args: &Args, pods: Vec<Value>, cx: &mut Cx) -> Result<ExitCode> {
    let (send, mut receive) = mpsc::channel(BUFFER);
    let mut readers = JoinSet::new();
    for pod in pods {
        let (args, place, send) = (args.clone(), cx.place.clone(), send.clone());
        readers
            .spawn(async move { read(&args, &place, &pod, send).await.with_context(|| format!("pod {}", name(&pod))) });
    }
    drop(send);
    while let Some(line) = receive.recv().await {
        cx.out.raw(&line)?;
        if args.follow {
            cx.out.flush()?;
        }
    }
    let mut code = ExitCode::SUCCESS;
    while let Some(ended) = readers.join_next().await {
        if let Err(e) = ended? {
            eprintln!("error: {e:#}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn read(args: &Args, place: &Where, pod: &Value, to: mpsc::Sender<Vec<u8>>) -> Result<()> {
    let client = Client::new(place)?;
    let mut lines = client.lines(&log_path(args, pod), "*/*").await?;
    while let Some(line) = lines.next().await? {
        let mut out = format!("[{}] ", name(pod)).into_bytes();
        out.extend_from_slice(&line);
        out.push(b'\n');
        if to.send(out).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn log_path(args: &Args, pod: &Value) -> String {
    let flag = |b: bool| if b { "true" } else { "" };
    let tail = args.tail.map(|n| n.to_string()).unwrap_or_default();
    let since = args.since.map(|d| d.as_secs().max(1).to_string()).unwrap_or_default();
    let query = paths::query(&[
        ("container", args.container.as_deref().unwrap_or_default()),
        ("follow", flag(args.follow)),
        ("previous", flag(args.previous)),
        ("timestamps", flag(args.timestamps)),
        ("tailLines", &tail),
        ("sinceSeconds", &since),
    ]);
    format!("{}/log{query}", paths::item(Kind::Pod, text(pod, "/metadata/namespace"), name(pod)))
}

/// The pods that are meant.
async fn pods(client: &Client, args: &Args, namespace: &str) -> Result<Vec<Value>> {
    let selector = match (&args.selector, args.what.as_deref().map(Meant::parse).transpose()?) {
        (Some(selector), _) => selector.clone(),
        (None, Some(Meant::Owner(kind, owner))) => pods::selector_of(client, kind, namespace, &owner).await?,
        (None, Some(Meant::Pod(pod))) => {
            return Ok(vec![client.get(&paths::item(Kind::Pod, namespace, &pod)).await?]);
        }
        (None, None) => String::new(),
    };
    pods::list(client, namespace, &selector).await
}
