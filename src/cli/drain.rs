//! `evenkeel node drain`: moves the pods of a node elsewhere, as `kubectl drain` does.
//!
//! Cordons, decides which pods go by the rules of kubectl ([`judge`]), evicts them, and waits until
//! they are gone. What a budget holds back is asked again with back-off. Deliberately not here:
//! whether a budget allows it, which the server decides at each eviction.

mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use evenkeel_model::Kind;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Cx,
    error::hinted,
    objects::{full_name, items, name, text},
    paths,
};
use crate::client::{Client, ClientError};
use judge::Verdict;

/// First wait after an eviction that was refused; doubles.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait: kubectl's.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often the node's pods are looked at: an eviction takes a pod's grace, seconds at least.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a server may be away while nothing else is known: its start takes seconds.
const AWAY_LIMIT: Duration = Duration::from_mins(5);

/// What to drain, and how.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // one for each flag
pub(crate) struct Args {
    /// Name of the node
    name: String,
    /// Give up after this long [default: never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Leave pods of DaemonSets where they are
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Evict pods with an emptyDir too: what is in it is lost
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Evict pods without a controller too: nothing makes them again
    #[arg(long)]
    force: bool,
    /// Seconds that the containers get to end [default: what each pod says]
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// Only pods with these labels, as app=web
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,
    /// Say what would be done, and what budgets say now; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// One pod that shall go.
#[derive(Debug)]
struct Pod {
    object: Value,
    state: State,
    tries: u32,
}

#[derive(Debug)]
enum State {
    /// To be evicted when its time has come.
    Due(Instant),
    /// Evicted; it has its grace.
    Going,
}

/// What came of one eviction.
enum Eviction {
    Granted,
    /// It is gone already.
    Gone,
    /// Not now.
    Later(String),
    /// No, and asking again does not help.
    Never(String),
}

/// The pods of a drain under way.
#[derive(Debug, Default)]
struct Left {
    /// By uid.
    pods: BTreeMap<String, Pod>,
    /// Why those wait that do.
    waits: BTreeMap<String, String>,
    /// Pods that cannot be evicted, with the reason.
    failed: Vec<String>,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let path = paths::item(Kind::Node, "", &args.name);
    let node = client.get(&path).await?;
    let deadline = args.timeout.filter(|t| !t.is_zero()).map(|t| Instant::now() + t);
    if !args.dry_run && node.pointer("/spec/unschedulable") != Some(&Value::Bool(true)) {
        let cordon = json!({"spec": {"unschedulable": true}});
        client.send_as(Method::PATCH, &path, "application/merge-patch+json", &cordon).await?;
        eprintln!("node {} cordoned", args.name);
    }
    let pods = on_node(&client, &args).await?;
    let verdicts = judge::all(&pods, &args);
    judge::report(&args.name, &pods, &verdicts)?;
    let going: Vec<Value> =
        pods.iter().zip(&verdicts).filter(|(_, v)| matches!(v, Verdict::Goes(_))).map(|(p, _)| p.clone()).collect();
    if args.dry_run {
        return tell(&client, &args, &going, cx).await;
    }
    evict_all(&client, &args, going, deadline).await?;
    cx.out.line(format!("node {} drained", args.name))?;
    Ok(ExitCode::SUCCESS)
}

async fn on_node(client: &Client, args: &Args) -> Result<Vec<Value>, ClientError> {
    let field = format!("spec.nodeName={}", args.name);
    let selector = args.pod_selector.as_deref().unwrap_or_default();
    let query = paths::query(&[("fieldSelector", &field), ("labelSelector", selector)]);
    Ok(items(&client.get(&format!("{}{query}", paths::collection(Kind::Pod, ""))).await?).to_vec())
}

/// What a dry run says of each pod.
async fn tell(client: &Client, args: &Args, pods: &[Value], cx: &mut Cx) -> Result<ExitCode> {
    for pod in pods {
        let line = match evict(client, args, pod).await? {
            Eviction::Granted => format!("would evict pod {}", full_name(pod)),
            Eviction::Gone => continue,
            Eviction::Later(why) | Eviction::Never(why) => {
                format!("would evict pod {}, but not now: {why}", full_name(pod))
            }
        };
        cx.out.line(line)?;
    }
    cx.out.line(format!("node {} would be drained of {} pods", args.name, pods.len()))?;
    Ok(ExitCode::SUCCESS)
}

/// Evicts pods until all are gone, or the deadline comes.
async fn evict_all(client: &Client, args: &Args, pods: Vec<Value>, deadline: Option<Instant>) -> Result<()> {
    let now = Instant::now();
    let pods = pods
        .into_iter()
        .map(|object| (text(&object, "/metadata/uid").to_owned(), Pod { object, state: State::Due(now), tries: 0 }));
    let mut left = Left { pods: pods.collect(), ..Left::default() };
    let mut heard = Instant::now();
    while !left.pods.is_empty() {
        let round = async {
            step(client, args, &mut left).await?;
            look(client, args, &mut left).await
        };
        let wait = match round.await {
            Ok(()) => {
                heard = Instant::now();
                LOOK_EVERY
            }
            // A server that starts again is waited for; what it said no to is not.
            Err(e @ (ClientError::Connect { .. } | ClientError::Http { .. })) if heard.elapsed() < AWAY_LIMIT => {
                eprintln!("the server does not answer ({e}); trying again");
                RETRY_MAX
            }
            Err(e) => return Err(e.into()),
        };
        if left.pods.is_empty() {
            break;
        }
        if deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(given_up(args, &left));
        }
        sleep(deadline.map_or(wait, |d| d.saturating_duration_since(Instant::now()).min(wait))).await;
    }
    if left.failed.is_empty() {
        return Ok(());
    }
    let lines = left.failed.join("\n");
    Err(hinted(
        format!("node {} is not drained:\n{lines}", args.name),
        "it stays cordoned; see the reason for each pod",
    ))
}

/// Evicts those whose time has come.
async fn step(client: &Client, args: &Args, left: &mut Left) -> Result<(), ClientError> {
    let due = |p: &Pod| matches!(p.state, State::Due(at) if at <= Instant::now());
    let keys: Vec<String> = left.pods.iter().filter(|(_, p)| due(p)).map(|(k, _)| k.clone()).collect();
    for key in keys {
        let Some(pod) = left.pods.get_mut(&key) else { continue };
        if pod.tries == 0 {
            eprintln!("evicting pod {}", full_name(&pod.object));
        }
        match evict(client, args, &pod.object).await? {
            Eviction::Granted => {
                pod.state = State::Going;
                left.waits.remove(&key);
            }
            Eviction::Gone => {
                left.pods.remove(&key);
                left.waits.remove(&key);
            }
            Eviction::Later(why) => {
                let wait = RETRY_MAX.min(RETRY_FIRST * 2_u32.saturating_pow(pod.tries.min(8)));
                pod.state = State::Due(Instant::now() + spread(wait, &key));
                pod.tries = pod.tries.saturating_add(1);
                if left.waits.get(&key) != Some(&why) {
                    eprintln!("pod {} stays for now, and is asked again: {why}", full_name(&pod.object));
                    left.waits.insert(key, why);
                }
            }
            Eviction::Never(why) => {
                let line = format!("  pod {}: {why}", full_name(&pod.object));
                eprintln!("pod {} cannot be evicted: {why}", full_name(&pod.object));
                left.failed.push(line);
                left.pods.remove(&key);
            }
        }
    }
    Ok(())
}

/// Takes a share of up to a quarter off a wait, another one for each pod: not all ask at once.
fn spread(wait: Duration, uid: &str) -> Duration {
    let sum = uid.bytes().fold(0_u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into()));
    wait.mul_f64(1.0 - f64::from(sum % 250) / 1000.0)
}

/// Sees which pods are gone.
async fn look(client: &Client, args: &Args, left: &mut Left) -> Result<(), ClientError> {
    let here = on_node(client, args).await?;
    let uids: BTreeSet<&str> = here.iter().map(|p| text(p, "/metadata/uid")).collect();
    left.pods.retain(|uid, pod| {
        let stays = uids.contains(uid.as_str());
        if !stays {
            eprintln!("pod {} evicted", full_name(&pod.object));
        }
        stays
    });
    Ok(())
}

async fn evict(client: &Client, args: &Args, pod: &Value) -> Result<Eviction, ClientError> {
    let namespace = text(pod, "/metadata/namespace");
    let mut options = json!({"preconditions": {"uid": text(pod, "/metadata/uid")}});
    if let Some(seconds) = args.grace_period {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if args.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name(pod), "namespace": namespace}, "deleteOptions": options});
    let path = format!("{}/eviction", paths::item(Kind::Pod, namespace, name(pod)));
    match client.send(Method::POST, &path, &body).await {
        Ok(_) => Ok(Eviction::Granted),
        // Another pod of that name is none of this node's.
        Err(ClientError::Status { code: 404 | 409, .. }) => Ok(Eviction::Gone),
        Err(ClientError::Status { code: 429 | 503 | 507, message, cause, .. }) => {
            Ok(Eviction::Later(cause.unwrap_or(message)))
        }
        Err(ClientError::Status { message, .. }) => Ok(Eviction::Never(message)),
        Err(e) => Err(e),
    }
}

/// The deadline came: what is left, and why.
fn given_up(args: &Args, left: &Left) -> anyhow::Error {
    let mut lines: Vec<String> = left
        .pods
        .iter()
        .map(|(uid, pod)| {
            let why = left.waits.get(uid).map_or("it is on its way out", String::as_str);
            format!("  pod {}: {why}", full_name(&pod.object))
        })
        .collect();
    lines.extend(left.failed.iter().cloned());
    let timeout = args.timeout.map(|t| humantime::format_duration(t).to_string()).unwrap_or_default();
    hinted(
        format!(
            "node {} is not drained after {timeout}; {} left:\n{}",
            args.name,
            count(lines.len()),
            lines.join("\n")
        ),
        format!(
            "it stays cordoned; drain it again, with more time, or take it back by `evenkeel node uncordon {}`",
            args.name
        ),
    )
}

fn count(pods: usize) -> String {
    if pods == 1 { "1 pod is".into() } else { format!("{pods} pods are") }
}
