//! What happens, in sentences: for the terminal of `evenkeel up` and for the log.
//!
//! Derived from what a step committed, so it tells nothing that is not durable.

use std::sync::Arc;

use evenkeel_conductor::Published;
use evenkeel_model::{
    Kind, Object,
    own::{DriftSpec, DriftStatus, Phase, ReleaseSpec, ReleaseStatus, SourceStatus},
};
use serde::Serialize;
use serde_json::Value;

use super::Shared;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum Told {
    /// A release has another phase.
    Release {
        /// Name.
        name: String,
        /// Source.
        source: String,
        /// Revision, short.
        revision: String,
        /// First line of the commit's message.
        subject: String,
        /// Phase.
        phase: Phase,
        /// What else is to be said: reason, cause, changes.
        detail: Vec<String>,
    },
    /// A Deployment came further.
    Rollout {
        /// `shop/web`.
        name: String,
        /// Pods of the newest template.
        updated: i64,
        /// Ready ones of those asked for.
        ready: i64,
        /// Asked for.
        replicas: i64,
    },
    /// Someone changed something by hand.
    Drift {
        /// `Deployment shop/web`.
        object: String,
        /// Field path or container.
        path: String,
        /// What it should be and is.
        detail: String,
        /// `Healed`, `Accepted`, or nothing.
        resolution: Option<String>,
        /// Who or where.
        origin: String,
    },
    /// A source cannot be reached, or can be again.
    Source {
        /// Name.
        name: String,
        /// Whether it answers.
        reachable: bool,
        /// Why not.
        message: String,
    },
    /// A node came or went.
    Node {
        /// Name.
        name: String,
        /// Whether it is ready.
        ready: bool,
        /// Why not.
        message: String,
    },
}

/// Tells what a step did, if anybody listens.
pub(crate) fn tell(shared: &Shared, published: &[Published]) {
    if shared.story.receiver_count() == 0 {
        return;
    }
    for p in published {
        if let Some(new) = &p.new
            && let Some(told) = of_change(p.old.as_ref(), new)
        {
            // Nobody listening any more is fine.
            let _none = shared.story.send(told);
        }
    }
}

fn of_change(old: Option<&Arc<Object>>, new: &Arc<Object>) -> Option<Told> {
    match new.key.kind {
        Kind::Release => release(old, new),
        Kind::Deployment => rollout(old, new),
        Kind::Drift => drift(old, new),
        Kind::Source => source(old, new),
        Kind::Node => node(old, new),
        _ => None,
    }
}

fn release(old: Option<&Arc<Object>>, new: &Object) -> Option<Told> {
    let status: ReleaseStatus = new.status().ok()??;
    let before: Option<ReleaseStatus> = old.and_then(|o| o.status().ok().flatten());
    if before.as_ref().is_some_and(|b| b.phase == status.phase && b.reason == status.reason) {
        return None;
    }
    let spec: ReleaseSpec = new.spec().ok()?;
    let mut detail = Vec::new();
    if let Some(c) = status.changes.filter(|_| status.phase == Phase::Progressing) {
        detail.push(format!(
            "{} to create, {} to change, {} to delete, {} unchanged",
            c.created, c.changed, c.deleted, c.unchanged
        ));
    }
    if let Some(cause) =
        status.cause.as_ref().filter(|_| status.phase == Phase::Failed || before.is_none_or(|b| b.cause.is_none()))
    {
        let place =
            [cause.pod.as_deref(), cause.container.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let gap = if place.is_empty() { "" } else { ", " };
        detail.push(format!("{}{gap}{place}: {}: {}", cause.object, cause.reason, cause.message));
        detail.extend(cause.logs.iter().map(|l| format!("  | {l}")));
    }
    // What the cause or the complaints say is not said twice.
    let said = match status.phase {
        Phase::Progressing => status.changes.is_some(),
        Phase::Failed => status.cause.is_some(),
        Phase::Rejected => !status.diagnostics.is_empty(),
        _ => false,
    };
    if !status.message.is_empty() && !said {
        detail.push(status.message.clone());
    }
    if status.phase == Phase::Rejected {
        detail.extend(status.diagnostics.iter().flat_map(|d| d.lines().map(String::from).collect::<Vec<_>>()));
    }
    Some(Told::Release {
        name: new.key.name.to_string(),
        source: spec.source,
        revision: spec.revision.short(),
        subject: spec.message,
        phase: status.phase,
        detail,
    })
}

fn number(status: Option<&Value>, field: &str) -> i64 {
    status.and_then(|s| s.get(field)).and_then(Value::as_i64).unwrap_or(0)
}

fn rollout(old: Option<&Arc<Object>>, new: &Object) -> Option<Told> {
    let status: Option<Value> = new.status().ok()?;
    let before: Option<Value> = old.and_then(|o| o.status().ok().flatten());
    let counts = |s: Option<&Value>| (number(s, "updatedReplicas"), number(s, "readyReplicas"));
    if counts(status.as_ref()) == counts(before.as_ref()) {
        return None;
    }
    let replicas = new.spec::<Value>().ok()?.get("replicas").and_then(Value::as_i64).unwrap_or(1);
    let (updated, ready) = counts(status.as_ref());
    Some(Told::Rollout { name: format!("{}/{}", new.key.namespace, new.key.name), updated, ready, replicas })
}

fn drift(old: Option<&Arc<Object>>, new: &Object) -> Option<Told> {
    let status: DriftStatus = new.status().ok()??;
    let before: Option<DriftStatus> = old.and_then(|o| o.status().ok().flatten());
    if before.is_some_and(|b| b.resolution == status.resolution && b.count == status.count) {
        return None;
    }
    let spec: DriftSpec = new.spec().ok()?;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), String::from);
    let gap = if spec.object.namespace.is_empty() { "" } else { "/" };
    Some(Told::Drift {
        object: format!("{} {}{gap}{}", spec.object.kind, spec.object.namespace, spec.object.name),
        path: spec.path.clone(),
        detail: format!("should be {}, is {}", text(&spec.desired), text(&spec.live)),
        resolution: status.resolution.map(|r| format!("{r:?}")),
        origin: match spec.origin {
            evenkeel_model::own::DriftOrigin::User(u) => format!("by {u}"),
            evenkeel_model::own::DriftOrigin::Node(n) => format!("on {n}"),
        },
    })
}

fn source(old: Option<&Arc<Object>>, new: &Object) -> Option<Told> {
    let fetched = |o: &Object| {
        let status: SourceStatus = o.status().ok().flatten()?;
        status.conditions.into_iter().find(|c| c.kind == "Fetched").map(|c| (c.status == "True", c.message))
    };
    let now = fetched(new)?;
    let before = old.and_then(|o| fetched(o));
    let quiet = before.as_ref().is_some_and(|b| b.0 == now.0) || (before.is_none() && now.0);
    (!quiet).then(|| Told::Source { name: new.key.name.to_string(), reachable: now.0, message: now.1 })
}

fn node(old: Option<&Arc<Object>>, new: &Object) -> Option<Told> {
    let ready = |o: &Object| {
        let status: Value = o.status().ok().flatten()?;
        let c =
            status.get("conditions")?.as_array()?.iter().find(|c| c.get("type").is_some_and(|t| t == "Ready"))?.clone();
        let message = c.get("message").and_then(Value::as_str).unwrap_or_default().to_string();
        Some((c.get("status").is_some_and(|s| s == "True"), message))
    };
    let now = ready(new)?;
    if old.and_then(|o| ready(o)).is_some_and(|b| b.0 == now.0) {
        return None;
    }
    Some(Told::Node { name: new.key.name.to_string(), ready: now.0, message: now.1 })
}
