//! `evenkeel why`: from a container or pod up to the commit, its author, file and line.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::{
    Kind, Revision, names,
    own::{Phase, ReleaseSpec, ReleaseStatus},
};
use serde_json::Value;

use super::{
    Cx, Out,
    error::hinted,
    objects::{self, condition, full_name, items, maybe, name, pod_trouble, said, text},
    output::Tone,
    paths::{self, Scope},
};
use crate::client::Client;

/// Objects that own each other are fewer than this; more would be a circle.
const MAX_CHAIN: usize = 10;

/// Show why something runs: up to the commit, its author, file and line; and why on that node
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  evenkeel why pod web-5d7f-abcde -n shop\n  evenkeel why deployment/web")]
pub(crate) struct Args {
    /// KIND or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Name of the object
    name: Option<String>,
    #[command(flatten)]
    scope: Scope,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let (kind, Some(wanted)) = paths::kind_and_name(&args.kind, args.name)? else {
        return Err(hinted("why takes a kind and a name", "as `evenkeel why pod web-5d7f-abcde`"));
    };
    let kind = paths::kind(kind)?;
    let namespace = args.scope.of(&client);
    if namespace.is_empty() && kind.namespaced() {
        return Err(hinted("an object of all namespaces cannot be named", "use -n NAMESPACE"));
    }
    let first = client.get(&paths::item(kind, &namespace, &wanted)).await?;
    let mut chain = vec![first];
    while let Some(owner) = owner(&client, chain.last()).await? {
        chain.push(owner);
        if chain.len() > MAX_CHAIN {
            break;
        }
    }
    let out = &mut cx.out;
    for (i, object) in chain.iter().enumerate() {
        step(out, i, &heading(object))?;
        match text(object, "/kind") {
            "Pod" => pod(&client, out, i, object).await?,
            "Service" => balancer(out, i, object)?,
            _ => {}
        }
    }
    let Some(top) = chain.last() else { return Ok(ExitCode::SUCCESS) };
    source(&client, out, chain.len(), top).await?;
    Ok(ExitCode::SUCCESS)
}

fn heading(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), full_name(object))
}

fn step(out: &mut Out, depth: usize, line: &str) -> Result<()> {
    let line = if depth == 0 { out.paint(Tone::Bold, line) } else { format!("{}<- {line}", "  ".repeat(depth - 1)) };
    out.line(line)
}

fn note(out: &mut Out, depth: usize, label: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    out.line(format!("{}   {label}: {value}", "  ".repeat(depth)))
}

/// The controller of an object.
async fn owner(client: &Client, object: Option<&Value>) -> Result<Option<Value>> {
    let Some(object) = object else { return Ok(None) };
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let controller = owners.into_iter().flatten().find(|o| o.get("controller").and_then(Value::as_bool) == Some(true));
    let Some(reference) = controller else { return Ok(None) };
    let Some(kind) = Kind::of(text(reference, "/apiVersion"), text(reference, "/kind")) else { return Ok(None) };
    let namespace = text(object, "/metadata/namespace");
    let found = client.find(&paths::item(kind, namespace, text(reference, "/name"))).await?;
    Ok(found.filter(|o| text(o, "/metadata/uid") == text(reference, "/uid")))
}

/// Where a Service of type LoadBalancer is reached, or who has its port.
fn balancer(out: &mut Out, depth: usize, service: &Value) -> Result<()> {
    let Some((_, _, message)) = condition(service, names::BALANCER_CONDITION) else { return Ok(()) };
    note(out, depth, "load balancer", message)
}

async fn pod(client: &Client, out: &mut Out, depth: usize, pod: &Value) -> Result<()> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    for container in statuses.iter().filter_map(|p| pod.pointer(p)?.as_array()).flatten() {
        let state = container.get("state").and_then(Value::as_object);
        let state = state.and_then(|s| s.keys().next()).map_or("unknown", String::as_str);
        let label = format!("container {}", text(container, "/name"));
        note(out, depth, &label, &format!("{state}, image {}", text(container, "/image")))?;
    }
    if let Some(trouble) = pod_trouble(pod) {
        note(out, depth, "not ready", &trouble)?;
    }
    let node = text(pod, "/spec/nodeName");
    let selector = format!("involvedObject.uid={},reason=Scheduled", text(pod, "/metadata/uid"));
    let path = paths::collection(Kind::Event, text(pod, "/metadata/namespace"));
    let events = client.get(&format!("{path}{}", paths::query(&[("fieldSelector", &selector)]))).await?;
    let why = items(&events).last().map(|e| text(e, "/message").to_owned());
    match (node, why) {
        ("", _) => note(out, depth, "node", "none yet"),
        // The event names pod and node, which stand above and here.
        (node, Some(why)) => {
            let assigned =
                format!("Successfully assigned {}/{} to {node}", text(pod, "/metadata/namespace"), name(pod));
            let why = why.strip_prefix(&assigned).unwrap_or(&why).trim_start_matches([':', ',', ' ']);
            let gap = if why.is_empty() { "" } else { ": " };
            note(out, depth, "node", &format!("{node}{gap}{why}"))
        }
        (node, None) => {
            let wanted = pod.pointer("/spec/nodeSelector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
            let wanted = wanted.map(|s| format!(", its nodeSelector is {s}")).unwrap_or_default();
            note(out, depth, "node", &format!("{node}; the event that says why has expired{wanted}"))
        }
    }
}

/// The release that last changed the object, and the place in its source.
async fn source(client: &Client, out: &mut Out, depth: usize, object: &Value) -> Result<()> {
    let field = |map: &str, key: &str| {
        let value = object.pointer(&format!("/metadata/{map}")).and_then(|m| m.get(key)).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let source = field("labels", names::SOURCE);
    let revision = field("annotations", names::REVISION);
    if source.is_empty() {
        return step(out, depth, "no source: nothing in git or a directory says so");
    }
    let releases = objects::list(client, Kind::Release, "").await?;
    let release = releases
        .iter()
        .filter(|r| text(r, "/spec/source") == source && text(r, "/spec/revision") == revision)
        .max_by_key(|r| text(r, "/metadata/creationTimestamp").to_owned());
    let shown = revision.parse::<Revision>().map_or_else(|_| revision.clone(), |r| r.short());
    match release.and_then(|r| Some((r, maybe::<ReleaseSpec>(r, "/spec")?))) {
        Some((release, spec)) => {
            let status: Option<ReleaseStatus> = maybe(release, "/status");
            let phase = status.as_ref().map(|s| s.phase.to_string()).unwrap_or_default();
            step(out, depth, &format!("Release {} ({phase})", name(release)))?;
            let troubled = status.filter(|s| s.phase != Phase::Healthy);
            let why = troubled.map(|s| match s.cause {
                Some(cause) => said(&cause.reason, &cause.message),
                None => said(&s.reason, &s.message),
            });
            note(out, depth, "reason", &why.unwrap_or_default())?;
            step(out, depth + 1, &format!("revision {}", spec.revision))?;
            note(out, depth + 1, "author", &spec.author)?;
            note(out, depth + 1, "message", &spec.message)?;
        }
        None => step(out, depth, &format!("revision {shown} (its release is no longer kept)"))?,
    }
    let key = heading(object);
    let query = paths::query(&[("object", key.as_str()), ("revision", revision.as_str())]);
    let place = match client.find(&format!("{}/place{query}", paths::source(&source))).await {
        Ok(place) => place,
        Err(e) => {
            note(out, depth + 1, "file", &format!("cannot be looked up: {e}"))?;
            None
        }
    };
    if let Some(place) = place {
        note(out, depth + 1, "file", text(&place, "/place"))?;
    }
    let object = client.find(&paths::source(&source)).await?.unwrap_or_default();
    let from = [text(&object, "/spec/git/url"), text(&object, "/spec/directory")].concat();
    step(out, depth + 2, &format!("Source {source} ({from})"))
}
