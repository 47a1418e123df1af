//! `evenkeel status`: everything at a glance, with a cause for what is not green.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::{
    Kind, Revision,
    own::{Condition, DriftSpec, DriftStatus, Phase, ReleaseSpec, ReleaseStatus, SourceSpec, SourceStatus},
};
use serde_json::Value;

use super::{
    Cx, Out,
    objects::{self, condition, full_name, maybe, name, number, pod_trouble, said, text, typed},
    orphan,
    output::{Tone, align, one_line},
};

/// Sources, releases, workloads and nodes at a glance; a cause for everything that is not green
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Marks: `ok` as it should be, `..` under way, `!!` not as it should be, `--` off by design.\nExit code 0 whatever the state; 1 if the server cannot be asked."
)]
pub(crate) struct Args {}

/// One line, and what is to be said under it.
struct Entry {
    tone: Tone,
    cells: Vec<String>,
    notes: Vec<String>,
}

/// Runs the verb.
pub(crate) async fn run(Args {}: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let sources = objects::list(&client, Kind::Source, "").await?;
    let releases = objects::list(&client, Kind::Release, "").await?;
    let deployments = objects::list(&client, Kind::Deployment, "").await?;
    let replica_sets = objects::list(&client, Kind::ReplicaSet, "").await?;
    let pods = objects::list(&client, Kind::Pod, "").await?;
    let nodes = objects::list(&client, Kind::Node, "").await?;
    let drifts = objects::list(&client, Kind::Drift, "").await?;
    let server = client.get("/evenkeel/server").await?;
    let out = &mut cx.out;
    let about: Vec<Entry> = items_of(&server).filter_map(server_condition).collect();
    if !about.is_empty() {
        section(out, "Server", &about, "")?;
    }
    let followed: Vec<Entry> = sources.iter().map(|s| source(s, &releases)).collect::<Result<_>>()?;
    section(out, "Sources", &followed, "none: `evenkeel source add NAME DIR|URL`")?;
    section(out, "Releases", &current(&sources, &releases), "none yet")?;
    section(out, "Workloads", &workloads(&deployments, &replica_sets, &pods), "none")?;
    let machines: Vec<Entry> = nodes.iter().map(|n| node(n, &pods)).collect();
    section(out, "Nodes", &machines, "none has reported yet")?;
    let open: Vec<Entry> = drifts.iter().filter_map(drift).collect();
    if !open.is_empty() {
        section(out, "Open drift", &open, "")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn section(out: &mut Out, title: &str, entries: &[Entry], none: &str) -> Result<()> {
    let title = out.paint(Tone::Bold, title);
    out.line(title)?;
    if entries.is_empty() {
        out.line(format!("  {none}"))?;
    }
    let rows: Vec<&[String]> = entries.iter().map(|e| e.cells.as_slice()).collect();
    for (entry, line) in entries.iter().zip(align(&rows)) {
        let mark = out.mark(entry.tone);
        out.line(format!("  {mark} {line}"))?;
        for note in &entry.notes {
            for line in note.lines() {
                out.line(format!("       {line}"))?;
            }
        }
    }
    out.line("")
}

fn items_of(server: &Value) -> impl Iterator<Item = &Value> {
    server.get("conditions").and_then(Value::as_array).into_iter().flatten()
}

/// What is not as it should be with the server itself.
fn server_condition(condition: &Value) -> Option<Entry> {
    let (kind, reason) = (text(condition, "/type"), text(condition, "/reason"));
    let holds = text(condition, "/status") == "True";
    let tone = match (kind, holds, reason) {
        ("BackedUp", true, _) => return None,
        ("BackedUp", false, "Off") => Tone::Faint,
        ("Recovering", true, _) => Tone::Warn,
        (_, false, _) if kind != "BackedUp" => return None,
        _ => Tone::Bad,
    };
    let cells = vec![kind.into(), reason.into()];
    Some(Entry { tone, cells, notes: vec![text(condition, "/message").into()] })
}

fn source(object: &Value, releases: &[Value]) -> Result<Entry> {
    let spec: SourceSpec = typed(object, "/spec")?;
    let status: SourceStatus = typed(object, "/status")?;
    let from = spec.git.as_ref().map(|g| g.url.as_str()).or(spec.directory.as_deref()).unwrap_or_default();
    let applied = status.applied_revision.as_ref().map_or_else(|| "nothing applied".into(), Revision::short);
    let mut notes = Vec::new();
    let mut tone = if status.applied_revision.is_some() { Tone::Good } else { Tone::Warn };
    for Condition { kind, status, reason, message, .. } in &status.conditions {
        // Suspended is said below, from the specification.
        if status == "False" && kind != "Suspended" {
            // That a release is under way, was refused or taken back stands below, with its cause; so
            // does a pin, and what is in quarantine.
            let below = message.is_empty()
                || (kind == "Synced" && ["Rejected", "RolledBack", "Pinned", "Quarantined"].contains(&reason.as_str()));
            if !below {
                notes.push(format!("{kind}={status}: {}", said(reason, message)));
            }
            tone = if running(object, releases) { Tone::Warn } else { Tone::Bad };
        }
    }
    if let Some(pin) = &status.pinned {
        let until = if pin.until_next_commit { " until the next commit" } else { "" };
        let why = if pin.reason.is_empty() { String::new() } else { format!(": {}", pin.reason) };
        notes.push(format!(
            "pinned to {} by {}{until}{why}; `evenkeel unpin {}` goes on",
            pin.revision.short(),
            pin.by,
            name(object)
        ));
        tone = Tone::Warn;
    }
    if spec.suspend {
        notes.push(format!("suspended; `evenkeel resume {}` goes on", name(object)));
        tone = Tone::Faint;
    }
    if !status.quarantined.is_empty() {
        let list: Vec<String> = status.quarantined.iter().map(|q| q.revision.short()).collect();
        notes.push(format!("quarantined: {}; `evenkeel retry {}` tries again", list.join(", "), name(object)));
    }
    Ok(Entry { tone, cells: vec![name(object).into(), applied, from.into()], notes })
}

/// Whether a source's current release is under way: trouble may be over by itself.
fn running(source: &Value, releases: &[Value]) -> bool {
    let current = text(source, "/status/currentRelease");
    releases.iter().any(|r| name(r) == current && text(r, "/status/phase") == "Progressing")
}

/// The release of each source that matters now: its current one, and that of the newest revision
/// seen if it is another.
fn current(sources: &[Value], releases: &[Value]) -> Vec<Entry> {
    let mut out = Vec::new();
    for source in sources {
        let own = |r: &&Value| text(r, "/spec/source") == name(source);
        let made = |r: &Value| (text(r, "/metadata/creationTimestamp").to_owned(), number_of(r));
        let seen = text(source, "/status/observedRevision");
        let newest = releases.iter().filter(own).max_by_key(|r| made(r));
        let newest = newest.filter(|r| text(r, "/spec/revision") == seen);
        let current = text(source, "/status/currentRelease");
        let current = releases.iter().filter(own).find(|r| name(r) == current);
        let both = current.into_iter().chain(newest.filter(|n| current.is_none_or(|c| name(c) != name(n))));
        out.extend(both.filter_map(release));
    }
    out
}

fn number_of(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

fn release(object: &Value) -> Option<Entry> {
    let spec: ReleaseSpec = maybe(object, "/spec")?;
    let status: ReleaseStatus = maybe(object, "/status")?;
    let tone = match status.phase {
        Phase::Healthy => Tone::Good,
        Phase::Pending | Phase::Progressing | Phase::RollingBack => Tone::Warn,
        Phase::Rejected | Phase::Failed | Phase::RolledBack | Phase::RollbackFailed => Tone::Bad,
        Phase::Superseded => Tone::Faint,
    };
    let mut notes = Vec::new();
    if tone != Tone::Good {
        // The reason of a release that went back is in its cause; a refused one's in what it complains of.
        let own = match status.phase {
            Phase::RolledBack | Phase::RollingBack if status.cause.is_some() => status.message.clone(),
            Phase::Rejected if !status.diagnostics.is_empty() => String::new(),
            _ => said(&status.reason, &status.message),
        };
        notes.extend((!own.is_empty()).then_some(own));
    }
    if let Some(cause) = status.cause.as_ref().filter(|_| tone == Tone::Bad || tone == Tone::Warn) {
        let container = cause.container.as_ref().map(|c| format!(", container {c}")).unwrap_or_default();
        notes.push(format!("{}{container}: {}", cause.object, said(&cause.reason, &cause.message)));
    }
    if status.phase == Phase::Rejected {
        notes.extend(status.diagnostics.iter().take(3).cloned());
        if status.diagnostics.len() > 3 {
            notes.push(format!(
                "and {} more: `evenkeel describe release {}`",
                status.diagnostics.len() - 3,
                name(object)
            ));
        }
    }
    let since = status.timeline.last().map(|p| objects::since(p.at)).unwrap_or_default();
    let author = spec.author.split(" <").next().unwrap_or_default();
    let by = if author.is_empty() { String::new() } else { format!(" ({author})") };
    let cells = vec![name(object).into(), status.phase.to_string(), since, format!("{}{by}", spec.message)];
    Some(Entry { tone, cells, notes })
}

fn workloads(deployments: &[Value], replica_sets: &[Value], pods: &[Value]) -> Vec<Entry> {
    let owner = |o: &Value| text(o, "/metadata/ownerReferences/0/uid").to_owned();
    let mut out = Vec::new();
    for deployment in deployments {
        let uid = text(deployment, "/metadata/uid");
        let sets: Vec<&str> =
            replica_sets.iter().filter(|r| owner(r) == uid).map(|r| text(r, "/metadata/uid")).collect();
        let own: Vec<&Value> = pods.iter().filter(|p| sets.contains(&owner(p).as_str())).collect();
        out.push(workload(deployment, "Deployment", &own));
    }
    for set in replica_sets.iter().filter(|r| owner(r).is_empty()) {
        let uid = text(set, "/metadata/uid");
        let own: Vec<&Value> = pods.iter().filter(|p| owner(p) == uid).collect();
        out.push(workload(set, "ReplicaSet", &own));
    }
    for pod in pods.iter().filter(|p| owner(p).is_empty()) {
        let trouble = pod_trouble(pod);
        let unexplained = orphan::is_orphan(pod);
        let mut notes: Vec<String> = trouble.clone().into_iter().collect();
        if unexplained {
            notes.push(format!("an orphan, runs on untouched: {}", orphan::why(pod)));
            notes.push(format!(
                "`evenkeel orphan adopt {0}` keeps it, `evenkeel orphan remove {0}` ends it",
                orphan::typed(pod)
            ));
        }
        let tone = if trouble.is_some() {
            Tone::Bad
        } else if unexplained {
            Tone::Warn
        } else {
            Tone::Good
        };
        out.push(Entry {
            tone,
            cells: vec![format!("Pod {}", full_name(pod)), text(pod, "/status/phase").into()],
            notes,
        });
    }
    out
}

fn workload(object: &Value, kind: &str, pods: &[&Value]) -> Entry {
    let desired = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    let deployment = kind == "Deployment";
    let updated = if deployment { number(object, "/status/updatedReplicas") } else { desired };
    let total = number(object, "/status/replicas");
    let observed = number(object, "/status/observedGeneration") >= number(object, "/metadata/generation");
    let complete = observed && ready >= desired && updated >= desired && total == desired;
    let failed = condition(object, "Progressing").is_some_and(|(s, ..)| s == "False");
    let tone = match (complete, failed) {
        (true, _) => Tone::Good,
        (false, true) => Tone::Bad,
        (false, false) => Tone::Warn,
    };
    let mut notes = Vec::new();
    if !complete {
        for (kind, bad) in [("Progressing", "False"), ("Available", "False"), ("ReplicaFailure", "True")] {
            if let Some((_, reason, message)) = condition(object, kind).filter(|(s, ..)| *s == bad) {
                notes.push(said(reason, message));
            }
        }
        // One line for each distinct cause, with the first pod that has it.
        let mut seen: Vec<String> = Vec::new();
        for pod in pods.iter().filter(|p| text(p, "/metadata/deletionTimestamp").is_empty()) {
            if let Some(trouble) = pod_trouble(pod).filter(|t| !seen.contains(t)) {
                notes.push(format!("pod {}: {trouble}", name(pod)));
                seen.push(trouble);
            }
        }
    }
    let behind = if deployment && updated < desired { format!(", {updated} updated") } else { String::new() };
    let state = format!("{ready}/{desired} ready{behind}");
    Entry { tone, cells: vec![format!("{kind} {}", full_name(object)), state], notes }
}

fn node(object: &Value, pods: &[Value]) -> Entry {
    let ready = condition(object, "Ready");
    let mut notes = Vec::new();
    let (mut tone, mut state) = match ready {
        Some(("True", ..)) => (Tone::Good, "Ready".to_owned()),
        Some((status, reason, message)) => {
            notes.push(said(reason, message));
            (Tone::Bad, if status == "False" { "NotReady" } else { "Unknown" }.to_owned())
        }
        None => (Tone::Warn, "Unknown".to_owned()),
    };
    if object.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        state.push_str(", cordoned");
        tone = if tone == Tone::Good { Tone::Faint } else { tone };
    }
    let here = pods.iter().filter(|p| text(p, "/spec/nodeName") == name(object)).count();
    let memory = text(object, "/status/allocatable/memory");
    let room = format!("{} cpu, {} memory", text(object, "/status/allocatable/cpu"), gibibytes(memory));
    let pods = if here == 1 { "1 pod".into() } else { format!("{here} pods") };
    Entry { tone, cells: vec![name(object).into(), state, pods, room], notes }
}

/// A quantity of memory for people, as `23.4Gi`; as it is where that would say less.
fn gibibytes(text: &str) -> String {
    let Some(tenths) = text.strip_suffix("Ki").and_then(|k| k.parse::<u64>().ok()).map(|k| k * 10 / (1 << 20)) else {
        return text.to_owned();
    };
    if tenths < 10 { text.to_owned() } else { format!("{}.{}Gi", tenths / 10, tenths % 10) }
}

fn drift(object: &Value) -> Option<Entry> {
    let spec: DriftSpec = maybe(object, "/spec")?;
    let status: Option<DriftStatus> = maybe(object, "/status");
    if status.as_ref().is_some_and(|s| s.resolution.is_some()) {
        return None;
    }
    let contested = status.as_ref().is_some_and(|s| s.contested);
    let target = format!(
        "{} {}",
        spec.object.kind,
        [spec.object.namespace.as_str(), spec.object.name.as_str()]
            .iter()
            .filter(|s| !s.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("/")
    );
    let mut notes = Vec::new();
    if contested {
        notes.push("contested: someone changes it again and again".into());
    }
    notes.push(format!("`evenkeel drift heal {}` puts it right", name(object)));
    let plain = |v: &Value| match v {
        Value::Null => "absent".to_owned(),
        Value::String(s) => one_line(s),
        other => other.to_string(),
    };
    let change = format!("is {}, should be {}", plain(&spec.live), plain(&spec.desired));
    let seen = status.as_ref().map(|s| format!("{} ago", objects::since(s.last_seen))).unwrap_or_default();
    Some(Entry {
        tone: if contested { Tone::Bad } else { Tone::Warn },
        cells: vec![target, spec.path, change, seen],
        notes,
    })
}
