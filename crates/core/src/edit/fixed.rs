//! What does not change in an object's life, in Kubernetes' words.
//!
//! Called for every write over an object that is there. Deliberately not here: what a valid object is
//! (the schema says), and writes by sources, which make a pod anew instead.

use alloc::{string::String, vec::Vec};

use evenkeel_model::{Kind, Object};
use evenkeel_schema::validate::Cause;
use serde_json::{Map, Value};

use crate::{ask::Refusal, controllers::definition};

const IMMUTABLE: &str = "field is immutable";

/// Refuses a change of what is fixed.
pub(super) fn check(live: &Object, new: &Object) -> Result<(), Refusal> {
    if live.body == new.body {
        return Ok(());
    }
    let (old, next) = (live.body_map(), new.body_map());
    let differs = |path: &[&str]| at(&old, path) != at(&next, path);
    match live.key.kind {
        Kind::Deployment | Kind::ReplicaSet if differs(&["spec", "selector"]) => {
            Err(refused(live, Cause::wrong("spec.selector", IMMUTABLE)))
        }
        Kind::Pod => {
            let why = "a pod's specification does not change: change its workload, or delete it and create another";
            Err(refused(live, Cause::forbidden("spec", why)))
        }
        Kind::ResourceQuota if differs(&["spec", "scopes"]) => {
            let new = at(&next, &["spec", "scopes"]).unwrap_or(&Value::Null);
            Err(refused(live, Cause::invalid("spec.scopes", new, IMMUTABLE)))
        }
        Kind::CustomResourceDefinition => definition(live, &old, &next),
        Kind::Secret if differs(&["type"]) => Err(refused(live, Cause::wrong("type", IMMUTABLE))),
        Kind::RoleBinding | Kind::ClusterRoleBinding if differs(&["roleRef"]) => {
            let new = next.get("roleRef").unwrap_or(&Value::Null);
            Err(refused(live, Cause::invalid("roleRef", new, "cannot change roleRef")))
        }
        Kind::ControllerRevision if differs(&["data"]) => Err(refused(live, Cause::wrong("data", IMMUTABLE))),
        Kind::ConfigMap | Kind::Secret if is_immutable(&old) => {
            let wrong = ["immutable", "data", "binaryData"].into_iter().filter(|field| differs(&[field]));
            let why = "field is immutable when `immutable` is set";
            Err(Refusal::fields(&live.key, wrong.map(|field| Cause::forbidden(field, why)).collect::<Vec<_>>()))
        }
        _ => Ok(()),
    }
}

/// Whether a ConfigMap or Secret says of itself that it does not change.
pub(crate) fn is_immutable(body: &Map<String, Value>) -> bool {
    body.get("immutable") == Some(&Value::Bool(true))
}

/// What a definition in force is: its objects are kept by it.
fn definition(live: &Object, old: &Map<String, Value>, new: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(path) = fixed_of_definition(live, old, new) {
        let found = at(new, &path).unwrap_or(&Value::Null);
        return Err(refused(live, Cause::invalid(path.join("."), found, IMMUTABLE)));
    }
    for (i, version) in stored_versions(live).iter().enumerate() {
        let named = |v: &Value| v["name"] == version.as_str();
        if !new.get("spec").is_some_and(|s| s["versions"].as_array().is_some_and(|v| v.iter().any(named))) {
            let path = alloc::format!("status.storedVersions[{i}]");
            let found = alloc::format!("\"{version}\"");
            return Err(refused(live, Cause::invalid(path, found, "must appear in spec.versions")));
        }
    }
    Ok(())
}

/// The fields of a definition that differ and must not, as paths.
pub(crate) fn fixed_of_definition(
    live: &Object,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Option<Vec<&'static str>> {
    let fixed: [&[&'static str]; 4] =
        [&["spec", "group"], &["spec", "names", "plural"], &["spec", "scope"], &["spec", "names", "kind"]];
    // Group and plural are the name of the definition; the others are fixed once there may be objects.
    let held = if definition::is(live, definition::ESTABLISHED) { &fixed[..] } else { &fixed[..2] };
    held.iter().find(|path| at(old, path) != at(new, path)).map(|path| path.to_vec())
}

fn stored_versions(live: &Object) -> Vec<String> {
    let status: Value = live.status().ok().flatten().unwrap_or_default();
    let list = status.get("storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().filter_map(|v| v.as_str().map(Into::into)).collect()
}

fn at<'v>(map: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(*first)?, |v, name| v.get(*name))
}

fn refused(object: &Object, cause: Cause) -> Refusal {
    Refusal::fields(&object.key, [cause])
}
