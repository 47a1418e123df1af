//! What does not change in an object's life, in Kubernetes' words.
//!
//! Called for every write over an object that is there. Deliberately not here: what a valid object is
//! (the schema says), and writes by sources, which make a pod anew instead.

use alloc::string::String;

use evenkeel_model::{Kind, Object};
use serde_json::{Map, Value};

use crate::ask::Refusal;

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
            Err(invalid(live, "spec.selector", IMMUTABLE))
        }
        Kind::Pod => Err(invalid(
            live,
            "spec",
            "Forbidden: a pod's specification does not change: change its workload, or delete it and create another",
        )),
        Kind::Secret if differs(&["type"]) => Err(invalid(live, "type", IMMUTABLE)),
        Kind::RoleBinding | Kind::ClusterRoleBinding if differs(&["roleRef"]) => {
            let new = next.get("roleRef").unwrap_or(&Value::Null);
            Err(invalid(live, "roleRef", &alloc::format!("Invalid value: {new}: cannot change roleRef")))
        }
        Kind::ConfigMap | Kind::Secret if at(&old, &["immutable"]) == Some(&Value::Bool(true)) => {
            Err(invalid(live, "data", "Forbidden: field is immutable when `immutable` is set"))
        }
        _ => Ok(()),
    }
}

fn at<'v>(map: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(*first)?, |v, name| v.get(*name))
}

fn invalid(object: &Object, field: &str, message: &str) -> Refusal {
    Refusal::fields(&object.key, alloc::vec![(field.into(), message.into())])
}
