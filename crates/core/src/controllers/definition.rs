//! CustomResourceDefinitions: whose names they have, when they come into force, and their end, which
//! takes their objects first.
//!
//! As in Kubernetes: a definition whose names another one of its group has waits (`NamesAccepted:
//! False`); once it has been in force it stays so (`Established`). Deliberately not here: what a
//! definition in force means (`world::customs`), and whether its schema is a good one (the schema crate
//! says so when it is written).

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Custom, Key, Kind, Object, Time, custom::Names, own::Condition};
use serde_json::{Value, json};

use super::{ControllerId, podstatus};
use crate::{
    change::Changed,
    cx::Cx,
    world::{World, deletion},
};

/// The condition of a definition that is in force.
pub(crate) const ESTABLISHED: &str = "Established";
/// The finalizer that holds a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// All conditions of a definition that are written here.
pub(crate) const CONDITIONS: [&str; 3] = [ESTABLISHED, "NamesAccepted", "Terminating"];
/// Objects asked to go in one run; the rest in the next.
const BURST: usize = 500;

/// Whether a condition of a definition is true.
pub(crate) fn is(object: &Object, condition: &str) -> bool {
    podstatus::condition(object, condition).is_some_and(|c| c["status"] == "True")
}

/// The kind that a definition makes, as its objects are kept.
pub(crate) fn stored(object: &Object) -> Option<Kind> {
    Names::stored(object.body_map().get("spec")?).map(|names| Kind::Custom(Custom::new(&names)))
}

/// Marks a definition that changed, those that may have waited for its names, and one that is going
/// whenever an object of it went.
pub(super) fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::CustomResourceDefinition => {
            if changed.new.is_some() {
                mark(changed.key.clone());
            }
            if changed.new.is_none() || changed.body_changed() {
                let waiting = world.list(Kind::CustomResourceDefinition, "").filter(|o| !is(o, "NamesAccepted"));
                waiting.for_each(|o| mark(o.key.clone()));
            }
        }
        Kind::Custom(_) if changed.new.is_none() => {
            let definition = Key::cluster(Kind::CustomResourceDefinition, changed.key.kind.resource());
            if world.get(&definition).is_some_and(|d| d.deleting()) {
                mark(definition);
            }
        }
        _ => {}
    }
}

/// Looks at one definition.
pub(super) fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(object) = world.get(key) else { return };
    if object.deleting() && world.recovering.is_some() {
        cx.wake(cx.now + core::time::Duration::from_secs(1), ControllerId::Definition, key.clone());
        return;
    }
    let mut next = Object::clone(object);
    let held = object.meta.finalizers.iter().any(|f| f == CLEANUP);
    if !object.deleting() && !held {
        next.meta.finalizers = object.meta.finalizers.iter().cloned().chain([CLEANUP.to_string()]).collect();
    }
    if object.deleting() && empty_out(world, object, cx) {
        next.meta.finalizers = object.meta.finalizers.iter().filter(|f| *f != CLEANUP).cloned().collect();
        if next.meta.finalizers.is_empty() {
            return cx.delete(key.clone());
        }
    }
    let next = next.with_status(&status(world, object, cx.now));
    if !next.same_content(object) {
        cx.put(next);
    }
}

/// Asks all objects of a definition to go; says whether none is left.
fn empty_out(world: &World, definition: &Object, cx: &mut Cx<'_>) -> bool {
    // One that never had its names has no objects; those of its kind are another's.
    let Some(kind) = stored(definition).filter(|_| is(definition, ESTABLISHED)) else { return true };
    for object in world.list(kind, "").take(BURST) {
        cx.changes.extend(deletion::request(world, &object.key, None, cx.now));
    }
    world.count(kind) == 0
}

/// What the status of a definition is.
fn status(world: &World, object: &Arc<Object>, now: Time) -> Value {
    let before: Value = object.status().ok().flatten().unwrap_or_else(|| json!({}));
    let spec = object.body_map().remove("spec").unwrap_or_default();
    let list = before.get("conditions").cloned().and_then(|list| serde_json::from_value(list).ok());
    let mut list: Vec<Condition> = list.unwrap_or_default();
    let conflict = conflict(world, &object.key, &spec);
    let mut accepted = before.get("acceptedNames").cloned().unwrap_or_else(|| json!({"plural": "", "kind": ""}));
    match &conflict {
        None => {
            accepted = spec["names"].clone();
            Condition::set(&mut list, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            let message = "the initial names have been accepted";
            Condition::set(&mut list, ESTABLISHED, true, "InitialNamesAccepted", message, now);
        }
        Some((reason, message)) => {
            Condition::set(&mut list, "NamesAccepted", false, reason, message, now);
            if !is(object, ESTABLISHED) {
                Condition::set(&mut list, ESTABLISHED, false, "NotAccepted", "not all names are accepted", now);
            }
        }
    }
    if object.deleting() {
        let message = "CustomResource deletion is in progress";
        Condition::set(&mut list, "Terminating", true, "InstanceDeletionInProgress", message, now);
    }
    let mut versions: Vec<Value> = before.get("storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    let stored = spec["versions"].as_array().into_iter().flatten().filter(|v| v["storage"] == true);
    for name in stored.map(|v| v["name"].clone()) {
        if !versions.contains(&name) {
            versions.push(name);
        }
    }
    json!({"acceptedNames": accepted, "conditions": list, "storedVersions": versions})
}

/// The first name that another definition of the group has: Kubernetes' reason and words.
fn conflict(world: &World, key: &Key, spec: &Value) -> Option<(&'static str, String)> {
    let mut resources: Vec<String> = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for other in world.list(Kind::CustomResourceDefinition, "").filter(|o| o.key != *key) {
        if other.body_map().get("spec").is_none_or(|s| s["group"] != spec["group"]) {
            continue;
        }
        let Some(status) = other.status::<Value>().ok().flatten() else { continue };
        let names = &status["acceptedNames"];
        resources.extend(texts(names, &["plural", "singular", "shortNames"]));
        kinds.extend(texts(names, &["kind", "listKind"]));
    }
    let fields: [(&str, &[String], &str); 5] = [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ];
    fields.into_iter().find_map(|(field, taken, reason)| {
        let name = texts(&spec["names"], &[field]).into_iter().find(|n| taken.contains(n))?;
        Some((reason, format!("\"{name}\" is already in use")))
    })
}

fn texts(names: &Value, fields: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for field in fields {
        match &names[*field] {
            Value::String(s) if !s.is_empty() => out.push(s.clone()),
            Value::Array(list) => out.extend(list.iter().filter_map(|v| v.as_str().map(Into::into))),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests;
