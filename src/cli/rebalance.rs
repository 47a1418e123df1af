//! `evenkeel rebalance`: which pods would be better off on another node, and moving them one by one.
//!
//! The server says what helps and evicts one pod when asked; here each move is waited for, and the
//! next comes from a new plan. Deliberately not here: what helps and what is allowed, which the server
//! decides.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::Result;
use evenkeel_model::Kind;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Cx,
    error::hinted,
    objects::{items, name, number, pod_trouble, text},
    output::Format,
    paths,
};
use crate::client::{Client, ClientError};

/// Where plans are, and moves are asked for.
const PATH: &str = "/evenkeel/rebalance";
/// How often it is looked whether a workload is whole again: a pod takes seconds to come up.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Moves that a dry run shows if nothing else is said.
const SHOWN: u32 = 100;

/// Make the load of the nodes more even: show the moves that would help, or make them
///
/// Nothing moves by itself when a node comes or goes. A move evicts one pod of a ReplicaSet, within
/// its disruption budget and its Deployment's maxUnavailable, and only where the scheduler would put
/// its replacement on a node that is better by a real margin. The next one follows when the workload
/// is whole again. Refused while a release or a Deployment is being rolled out.
///
/// Exit code 0 also if nothing would help; 1 if a workload was not whole again in time.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true).multiple(true).args(["dry_run", "budget"])),
    after_help = "Examples:\n  evenkeel rebalance --dry-run\n  evenkeel rebalance --budget 5\n  \
                  evenkeel rebalance --budget 20 --timeout 10m --delete-emptydir-data"
)]
pub(crate) struct Args {
    /// Show the moves that would help, and what holds others back; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Make at most so many moves, one after the other; with --dry-run, show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    budget: Option<u32>,
    /// Move pods with an emptyDir too: what is in it is lost
    #[arg(long)]
    delete_emptydir_data: bool,
    /// How long one move may take until its workload is whole again
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    if args.dry_run {
        let plan = plan(&client, &args, args.budget.unwrap_or(SHOWN)).await.map_err(refused)?;
        show(&plan, &args, cx)?;
        return Ok(ExitCode::SUCCESS);
    }
    make(&client, &args, args.budget.unwrap_or_default(), cx).await
}

async fn plan(client: &Client, args: &Args, limit: u32) -> Result<Value, ClientError> {
    let empty_dirs = if args.delete_emptydir_data { "true" } else { "" };
    let query = paths::query(&[("limit", &limit.to_string()), ("deleteEmptydirData", empty_dirs)]);
    client.get(&format!("{PATH}{query}")).await
}

/// A refusal with what to do about it.
fn refused(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Status { code: 409, message, .. } => {
            hinted(message, "`evenkeel status` shows how far it is; try again when it is done")
        }
        error => error.into(),
    }
}

fn list<'a>(plan: &'a Value, field: &str) -> &'a [Value] {
    plan.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// `default/web-1-a`
fn pod_of(one: &Value) -> String {
    format!("{}/{}", text(one, "/namespace"), text(one, "/pod"))
}

/// `Deployment default/web`
fn workload_of(one: &Value) -> String {
    format!("{} {}/{}", text(one, "/workload/kind"), text(one, "/namespace"), text(one, "/workload/name"))
}

fn show(plan: &Value, args: &Args, cx: &mut Cx) -> Result<()> {
    let (moves, held) = (list(plan, "moves"), list(plan, "held"));
    match args.output {
        Format::Json | Format::Yaml => return cx.out.object(plan, args.output),
        Format::Name => return moves.iter().try_for_each(|m| cx.out.line(format!("pod/{}", text(m, "/pod")))),
        Format::Table | Format::Wide => {}
    }
    if !moves.is_empty() {
        let header = ["POD", "FROM", "TO", "GAIN", "LOAD", "OF ITS REPLICASET"].map(String::from);
        let rows: Vec<Vec<String>> = moves.iter().map(|m| row(pod_of(m), m)).collect();
        cx.out.table(&header, &rows)?;
    }
    if !held.is_empty() {
        if !moves.is_empty() {
            cx.out.line("")?;
        }
        let header = ["HELD BACK", "FROM", "TO", "GAIN", "LOAD", "OF ITS REPLICASET", "WHY"].map(String::from);
        let with_why = |h: &Value| {
            let mut cells = row(workload_of(h), h);
            cells.push(text(h, "/reason").to_owned());
            cells
        };
        let rows: Vec<Vec<String>> = held.iter().map(with_why).collect();
        cx.out.table(&header, &rows)?;
    }
    cx.out.line(summary(moves.len(), held.len(), plan.get("more") == Some(&Value::Bool(true))))
}

fn row(who: String, one: &Value) -> Vec<String> {
    let (from, to) = (text(one, "/from").to_owned(), text(one, "/to").to_owned());
    let load = |at: &str| number(one, &format!("/load/{at}")) / 10;
    let siblings = |at: &str| number(one, &format!("/siblings/{at}"));
    vec![
        who,
        from,
        to,
        number(one, "/gain").to_string(),
        format!("{}% > {}%", load("from"), load("to")),
        format!("{} > {}", siblings("from"), siblings("to")),
    ]
}

fn summary(moves: usize, held: usize, more: bool) -> String {
    match (moves, held) {
        (0, 0) => "no move would help".into(),
        (0, 1) => "one move would help, and is held back".into(),
        (0, n) => format!("moves of {n} workloads would help, and are held back"),
        (n, _) => {
            let (least, what) = (if more { "at least " } else { "" }, if n == 1 { "move" } else { "moves" });
            let them = if n == 1 { "it" } else { "them, one at a time" };
            format!("{least}{n} {what} would help; `evenkeel rebalance --budget {n}` makes {them}")
        }
    }
}

/// What came of looking for the next move.
enum Next {
    /// The pod is on its way out: the move, its ReplicaSet's path, and the pods that were there.
    Begun(Value, String, Vec<Value>),
    /// Not now, or not any more: a new plan may know better.
    Later(String),
    /// None would help; the plan that says so.
    Nothing(Value),
}

/// Makes moves until the budget is used up or none would help.
async fn make(client: &Client, args: &Args, budget: u32, cx: &mut Cx) -> Result<ExitCode> {
    let mut made: Vec<Value> = Vec::new();
    let mut last = None;
    let (mut deadline, mut said) = (Instant::now() + args.timeout, String::new());
    while made.len() < budget as usize {
        let why = match next(client, args).await {
            Ok(Next::Begun(one, set, before)) => {
                until_whole(client, args, &one, &set, made.len()).await?;
                made.push(seen_through(client, args, one, &set, &before, cx).await?);
                (deadline, said) = (Instant::now() + args.timeout, String::new());
                continue;
            }
            Ok(Next::Nothing(plan)) => {
                last = Some(plan);
                break;
            }
            Ok(Next::Later(why)) => why,
            Err(e) if away(&e) => format!("the server is not there ({e})"),
            Err(e) if made.is_empty() => return Err(refused(e)),
            Err(e) => return Err(refused(e).context(format!("{} made, and then", counted(made.len())))),
        };
        if Instant::now() >= deadline {
            return Err(hinted(
                format!("no pod could be moved within {}: {why}", told(args.timeout)),
                format!("{} made; `evenkeel rebalance --dry-run` shows what is left", counted(made.len())),
            ));
        }
        if why != said {
            eprintln!("waiting: {why}");
            said = why;
        }
        sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
    // What the last plan said is from before the last move.
    let last = match last {
        Some(plan) => Some(plan),
        // What was made is made, whatever keeps the server from saying more.
        None => plan(client, args, 1).await.ok(),
    };
    end(args, &made, last.as_ref(), cx)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the server does not answer, or not yet, rather than say no.
fn away(error: &ClientError) -> bool {
    matches!(error, ClientError::Connect { .. } | ClientError::Http { .. } | ClientError::Status { code: 503, .. })
}

/// Begins the first move of a new plan.
async fn next(client: &Client, args: &Args) -> Result<Next, ClientError> {
    let plan = plan(client, args, 1).await?;
    let Some(one) = list(&plan, "moves").first() else { return Ok(Next::Nothing(plan)) };
    let set = paths::item(Kind::ReplicaSet, text(one, "/namespace"), text(one, "/replicaSet"));
    let before = replicas(client, one, &set).await?;
    let (from, to) = (text(one, "/from"), text(one, "/to"));
    if let Some(why) = begin(client, args, one).await? {
        return Ok(Next::Later(format!("pod {} stays on {from} for now: {why}", pod_of(one))));
    }
    eprintln!("moving pod {} from {from} to {to}", pod_of(one));
    Ok(Next::Begun(one.clone(), set, before))
}

/// Asks for one move; why it was not begun, where it was not.
async fn begin(client: &Client, args: &Args, one: &Value) -> Result<Option<String>, ClientError> {
    let body = json!({"namespace": text(one, "/namespace"), "pod": text(one, "/pod"), "uid": text(one, "/uid"),
        "to": text(one, "/to"), "deleteEmptydirData": args.delete_emptydir_data});
    match client.send(Method::POST, PATH, &body).await {
        Ok(_) => Ok(None),
        Err(ClientError::Status { code: 404 | 409 | 429 | 503 | 507, message, cause, .. }) => {
            Ok(Some(cause.unwrap_or(message)))
        }
        // The answer was lost, perhaps with the move under way: the next look at the pod tells.
        Err(e @ (ClientError::Connect { .. } | ClientError::Http { .. })) => {
            let there = client.get(&paths::item(Kind::Pod, text(one, "/namespace"), text(one, "/pod"))).await;
            match there {
                Ok(pod) if stands(&pod, one) => Err(e),
                Ok(_) | Err(ClientError::Status { code: 404, .. }) => Ok(None),
                Err(e) => Err(e),
            }
        }
        Err(e) => Err(e),
    }
}

/// Whether a pod is the one of a move, and was not asked to go.
fn stands(pod: &Value, one: &Value) -> bool {
    text(pod, "/metadata/uid") == text(one, "/uid") && text(pod, "/metadata/deletionTimestamp").is_empty()
}

/// Waits until the moved pod is gone and its ReplicaSet has all its pods; says what it waits for.
async fn until_whole(client: &Client, args: &Args, one: &Value, set: &str, made: usize) -> Result<()> {
    let deadline = Instant::now() + args.timeout;
    let mut said = String::new();
    loop {
        let waits = match missing(client, one, set).await {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what,
            Err(e) if away(&e) => format!("the server does not answer ({e})"),
            Err(e) => return Err(e.into()),
        };
        if waits != said {
            eprintln!("  {waits}");
            said.clone_from(&waits);
        }
        if Instant::now() >= deadline {
            let troubles = troubles(client, one, set).await.unwrap_or_default();
            return Err(hinted(
                format!(
                    "{} is not whole {} after pod {} left {}: {waits}{troubles}",
                    workload_of(one),
                    told(args.timeout),
                    pod_of(one),
                    text(one, "/from")
                ),
                format!("nothing further is moved; {} made before it", counted(made)),
            ));
        }
        sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// What a workload lacks after a move; `None` if it is whole.
async fn missing(client: &Client, one: &Value, set: &str) -> Result<Option<String>, ClientError> {
    let pod = client.get(&paths::item(Kind::Pod, text(one, "/namespace"), text(one, "/pod"))).await;
    match pod {
        Ok(pod) if text(&pod, "/metadata/uid") == text(one, "/uid") => {
            return Ok(Some(format!("pod {} is on its way out", pod_of(one))));
        }
        Ok(_) | Err(ClientError::Status { code: 404, .. }) => {}
        Err(e) => return Err(e),
    }
    let set = match client.get(set).await {
        Ok(set) => set,
        // Somebody took the workload away meanwhile.
        Err(ClientError::Status { code: 404, .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    let wanted = number(&set, "/spec/replicas");
    let (has, available) = (number(&set, "/status/replicas"), number(&set, "/status/availableReplicas"));
    let whole = has == wanted && available == wanted && number(&set, "/status/terminatingReplicas") == 0;
    Ok((!whole).then(|| format!("{available} of {wanted} pods of {} are available", workload_of(one))))
}

/// The pods of a move's ReplicaSet.
async fn replicas(client: &Client, one: &Value, set: &str) -> Result<Vec<Value>, ClientError> {
    let set = match client.get(set).await {
        Ok(set) => set,
        Err(ClientError::Status { code: 404, .. }) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let labels = set.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> =
        labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let query = paths::query(&[("labelSelector", &selector.join(","))]);
    let all = client.get(&format!("{}{query}", paths::collection(Kind::Pod, text(one, "/namespace")))).await?;
    let uid = text(&set, "/metadata/uid");
    let owned = |pod: &&Value| {
        let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|o| text(o, "/uid") == uid)
    };
    Ok(items(&all).iter().filter(owned).cloned().collect())
}

/// What keeps each of its pods from being ready, a line each.
async fn troubles(client: &Client, one: &Value, set: &str) -> Result<String, ClientError> {
    let pods = replicas(client, one, set).await?;
    let lines = pods.iter().filter_map(|p| Some(format!("\n  pod {}: {}", name(p), pod_trouble(p)?)));
    Ok(lines.collect())
}

/// Tells that a move is done, and where the replacement is; gives the move with that.
async fn seen_through(
    client: &Client,
    args: &Args,
    one: Value,
    set: &str,
    before: &[Value],
    cx: &mut Cx,
) -> Result<Value> {
    let old: BTreeSet<&str> = before.iter().map(|p| text(p, "/metadata/uid")).collect();
    let after = replicas(client, &one, set).await?;
    let new = after.iter().find(|p| !old.contains(text(p, "/metadata/uid")));
    let (who, from) = (pod_of(&one), text(&one, "/from").to_owned());
    let mut done = one;
    let line = match new {
        Some(pod) => {
            done["replacement"] = json!({"pod": name(pod), "node": text(pod, "/spec/nodeName")});
            let (pod, node) = (name(pod), text(pod, "/spec/nodeName"));
            format!("pod {who} moved from {from} to {node}, where {pod} is ready")
        }
        None => format!("pod {who} left {from}, and nothing came in its place"),
    };
    if matches!(args.output, Format::Table | Format::Wide) {
        cx.out.line(line)?;
        cx.out.flush()?;
    }
    Ok(done)
}

/// Says what was made and what is left, as the newest plan has it.
fn end(args: &Args, made: &[Value], plan: Option<&Value>, cx: &mut Cx) -> Result<()> {
    let left = plan.map(|p| !list(p, "moves").is_empty());
    let held = plan.map(|p| list(p, "held")).unwrap_or_default();
    match args.output {
        Format::Json | Format::Yaml => cx.out.object(&json!({"moves": made, "more": left, "held": held}), args.output),
        Format::Name => made.iter().try_for_each(|m| cx.out.line(format!("pod/{}", text(m, "/pod")))),
        Format::Table | Format::Wide => {
            let rest = match (left, held.len()) {
                (None, _) => "`evenkeel rebalance --dry-run` says what is left",
                (Some(true), _) => "further moves would help",
                (Some(false), 0) => "no further move would help",
                (Some(false), _) => "what else would help is held back: `evenkeel rebalance --dry-run` says by what",
            };
            cx.out.line(format!("{} made; {rest}", counted(made.len())))
        }
    }
}

fn counted(moves: usize) -> String {
    match moves {
        0 => "no move was".into(),
        1 => "1 move was".into(),
        n => format!("{n} moves were"),
    }
}

fn told(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_summed_up() {
        assert_eq!(summary(0, 0, false), "no move would help");
        assert_eq!(summary(0, 2, false), "moves of 2 workloads would help, and are held back");
        assert_eq!(summary(1, 0, false), "1 move would help; `evenkeel rebalance --budget 1` makes it");
        assert_eq!(
            summary(100, 1, true),
            "at least 100 moves would help; `evenkeel rebalance --budget 100` makes them, one at a time"
        );
    }

    #[test]
    fn a_row_says_what_a_move_is_good_for() {
        let one = json!({"namespace": "shop", "pod": "web-1-a", "workload": {"kind": "Deployment", "name": "web"},
            "from": "n1", "to": "n2", "gain": 412, "load": {"from": 614, "to": 98}, "siblings": {"from": 3, "to": 0}});
        assert_eq!(row(pod_of(&one), &one), ["shop/web-1-a", "n1", "n2", "412", "61% > 9%", "3 > 0"]);
        assert_eq!(workload_of(&one), "Deployment shop/web");
    }
}
