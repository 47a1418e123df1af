//! Rows of Evenkeel's own kinds.

use evenkeel_model::{
    Object, Revision, Time,
    own::{Condition, DriftOrigin, DriftSpec, DriftStatus, ReleaseSpec, ReleaseStatus, SourceSpec, SourceStatus},
    pool::{AddressPoolSpec, AddressPoolStatus},
};
use serde_json::Value;

use super::{Column, age, ago, name, number, or_none, text, wide};

pub(super) const SOURCE: &[Column] = &[
    text("Name"),
    text("From"),
    text("Revision"),
    text("Synced"),
    text("Healthy"),
    text("State"),
    text("Age"),
    wide("Observed"),
    wide("Last Good"),
    wide("Message"),
];
pub(super) const RELEASE: &[Column] = &[
    text("Name"),
    text("Source"),
    text("Revision"),
    text("Phase"),
    text("Reason"),
    text("Age"),
    wide("Author"),
    wide("Commit"),
    wide("Message"),
];
pub(super) const DRIFT: &[Column] = &[
    text("Name"),
    text("Object"),
    text("Path"),
    text("By"),
    number("Count"),
    text("State"),
    text("Last Seen"),
    wide("Desired"),
    wide("Live"),
    wide("Source"),
];

pub(super) const POOL: &[Column] =
    &[text("Name"), text("Addresses"), number("Size"), number("Used"), text("Auto"), text("Age"), wide("Nodes")];

/// Characters of a value that a row shows.
const VALUE_WIDTH: usize = 60;

fn condition<'a>(list: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    list.iter().find(|c| c.kind == kind)
}

fn revision(r: Option<&Revision>) -> Value {
    or_none(r.map(Revision::short).as_deref())
}

pub(super) fn pool(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<AddressPoolSpec>().unwrap_or_default();
    let status = object.status::<AddressPoolStatus>().ok().flatten().unwrap_or_default();
    let nodes: Vec<String> = spec.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        name(object),
        spec.addresses.join(",").into(),
        status.size.into(),
        status.used.into(),
        (spec.auto_assign != Some(false)).to_string().into(),
        age(object, now),
        or_none(Some(&nodes.join(","))),
    ]
}

pub(super) fn source(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<SourceSpec>().unwrap_or_default();
    let status = object.status::<SourceStatus>().ok().flatten().unwrap_or_default();
    let from = spec.git.as_ref().map(|g| g.url.clone()).or(spec.directory).unwrap_or_default();
    let flag = |kind: &str| condition(&status.conditions, kind).map_or("Unknown", |c| c.status.as_str());
    let bad = |kind: &str| condition(&status.conditions, kind).filter(|c| c.status == "False");
    let trouble = bad("Fetched").or_else(|| bad("Healthy")).or_else(|| bad("Synced")).or_else(|| bad("Complete"));
    let state = match (&status.pinned, trouble) {
        _ if spec.suspend => "Suspended".to_owned(),
        (Some(pin), _) => format!("Pinned to {}", pin.revision.short()),
        (None, Some(c)) => c.reason.clone(),
        (None, None) if status.applied_revision.is_none() => "Waiting".to_owned(),
        (None, None) => "Following".to_owned(),
    };
    vec![
        name(object),
        from.into(),
        revision(status.applied_revision.as_ref()),
        flag("Synced").into(),
        flag("Healthy").into(),
        state.into(),
        age(object, now),
        revision(status.observed_revision.as_ref()),
        revision(status.last_good_revision.as_ref()),
        or_none(trouble.map(|c| c.message.as_str())),
    ]
}

pub(super) fn release(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<ReleaseSpec>().ok();
    let status = object.status::<ReleaseStatus>().ok().flatten();
    let cause = status.as_ref().and_then(|s| s.cause.as_ref());
    let reason = cause.map_or_else(
        || status.as_ref().map(|s| s.reason.clone()).unwrap_or_default(),
        |c| {
            let on = c.container.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            format!("{} {}{on}", c.reason, c.object)
        },
    );
    let message =
        cause.map(|c| c.message.clone()).or_else(|| status.as_ref().map(|s| s.message.clone())).unwrap_or_default();
    let of = |f: fn(&ReleaseSpec) -> String| or_none(spec.as_ref().map(f).as_deref());
    vec![
        name(object),
        of(|s| s.source.clone()),
        of(|s| s.revision.short()),
        or_none(status.as_ref().map(|s| s.phase.to_string()).as_deref()),
        reason.into(),
        age(object, now),
        of(|s| s.author.clone()),
        of(|s| s.message.clone()),
        first_line(&message).into(),
    ]
}

pub(super) fn drift(object: &Object, now: Time) -> Vec<Value> {
    let Ok(spec) = object.spec::<DriftSpec>() else {
        return DRIFT.iter().enumerate().map(|(i, _)| if i == 0 { name(object) } else { "<unknown>".into() }).collect();
    };
    let status = object.status::<DriftStatus>().ok().flatten();
    let target = if spec.object.namespace.is_empty() {
        format!("{} {}", spec.object.kind, spec.object.name)
    } else {
        format!("{} {}/{}", spec.object.kind, spec.object.namespace, spec.object.name)
    };
    let by = match &spec.origin {
        DriftOrigin::User(u) => format!("user {u}"),
        DriftOrigin::Node(n) => format!("node {n}"),
    };
    let state = match status.as_ref() {
        Some(s) if s.resolution.is_some() => s.resolution.map(|r| format!("{r:?}")).unwrap_or_default(),
        Some(s) if s.contested => "Contested".into(),
        _ => "Open".into(),
    };
    vec![
        name(object),
        target.into(),
        spec.path.as_str().into(),
        by.into(),
        status.as_ref().map_or(1, |s| s.count).into(),
        state.into(),
        ago(status.as_ref().map(|s| s.last_seen), now).into(),
        short_value(&spec.desired).into(),
        short_value(&spec.live).into(),
        or_none(Some(&spec.source)),
    ]
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn short_value(value: &Value) -> String {
    let text = match value {
        Value::Null => "<absent>".to_owned(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= VALUE_WIDTH {
        return text;
    }
    text.chars().take(VALUE_WIDTH - 1).chain(['…']).collect()
}
