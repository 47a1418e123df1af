//! What a revision would do, for `evenkeel diff`: nothing is written.
//!
//! Called for `Ask::Diff`. Values of Secrets are keyed digests on both sides.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use evenkeel_model::{Diagnostic, Doc, Key, Kind, Object, Severity, Snapshot, SourceName, Uid, names};
use evenkeel_schema::merge::FieldSet;
use serde_json::Value;

use super::{checks, delta::Delta, placement, state::Src, sync, write};
use crate::{
    ask::{Plan, PlannedObject},
    cx::Cx,
    drift,
    world::World,
};

/// What applying a snapshot as the source's next revision would do.
pub(super) fn of(world: &World, source: &SourceName, snapshot: &Snapshot, cx: &Cx<'_>) -> Plan {
    let mut plan = Plan { diagnostics: checks::run(world, source, snapshot, &cx.settings.network), ..Plan::default() };
    let src = Src::load(world, source);
    let nothing = Snapshot::default();
    let old = world.desired.applied(source).map_or(&nothing, |s| &**s);
    let delta = Delta::between(world, source, old, snapshot);
    let guarded = src.as_ref().and_then(|s| super::admit::mass_delete(world, s, snapshot));
    for message in guarded.into_iter().chain(delta.stays()) {
        plan.diagnostics.push(Diagnostic {
            place: evenkeel_model::Place::default(),
            path: String::new(),
            message,
            excerpt: String::new(),
            width: 1,
            severity: Severity::Warning,
        });
    }
    let deleted: BTreeSet<Key> = delta.deleted.into_iter().collect();
    let mut trial = world.clone();
    for doc in &snapshot.docs {
        match changed(world, &mut trial, source, src.as_ref(), doc, cx) {
            Some(object) => plan.objects.push(object),
            None => plan.unchanged += 1,
        }
    }
    for key in deleted {
        if let Some(live) = world.get(&key) {
            let before = Some(shown(world, live));
            plan.objects.push(PlannedObject { key, before, after: None, placement: Vec::new() });
        }
    }
    plan.objects.sort_by(|a, b| a.key.cmp(&b.key));
    plan
}

fn changed(
    world: &World,
    trial: &mut World,
    source: &str,
    src: Option<&Src>,
    doc: &Doc,
    cx: &Cx<'_>,
) -> Option<PlannedObject> {
    if sync::is_written(world, source, doc) {
        return None;
    }
    let live = world.get(&doc.key);
    let revision = live.and_then(|o| o.meta.annotation(names::REVISION)).unwrap_or_default();
    let value = write::applied(world, doc, source, revision, None);
    let exclude = match (src, live) {
        (Some(src), Some(live)) => drift::excluded(world, src, live),
        _ => FieldSet::default(),
    };
    let live = live.map(|o| &**o);
    let after = write::onto(world, live, doc, &value, source, &exclude, (cx.now, Uid::default())).ok()?;
    let (old, new) = (live.map(|o| shown(world, o)), shown(world, &after));
    if old.as_ref() == Some(&new) {
        return None;
    }
    let placement = placement::of(trial, live, &after);
    Some(PlannedObject { key: doc.key.clone(), before: old, after: Some(new), placement })
}

/// An object as a plan shows it: what a person could write, Secret values hidden.
fn shown(world: &World, object: &Object) -> Value {
    let mut value = write::without_status(object, object.key.kind);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for server_set in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            metadata.remove(server_set);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            for own in [names::REVISION, names::APPLIED, names::FORMER] {
                annotations.remove(own);
            }
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if object.key.kind == Kind::Secret {
        drift::redact::secret(world, &mut value);
    }
    value
}
