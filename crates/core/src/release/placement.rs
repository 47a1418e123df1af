//! Where the new pods of a planned workload would go.
//!
//! Called by plans. Tried on a copy of the world, which costs nothing; what a rollout frees on its
//! way is not foreseen, so this is the answer for the moment in which all of them are new.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Kind, Meta, Object, Uid, canonical};
use serde_json::{Value, json};

use crate::{change::Change, scheduler::place_object, world::World};

/// Pods of one workload that a plan places: a person reads no more names.
const PODS_LIMIT: u64 = 100;

/// Node names, one a new pod; the reason where one finds none, and then no more.
pub(super) fn of(world: &mut World, before: Option<&Object>, after: &Object) -> Vec<String> {
    let Some((template, replicas)) = new_pods(before, after) else { return Vec::new() };
    let mut out = Vec::new();
    for i in 0..replicas.min(PODS_LIMIT) {
        let key = after.key.sibling(Kind::Pod, format!("{}-planned-{i}", after.key.name));
        let body = canonical::value_bytes(&json!({"spec": template}));
        // A uid that no other object has: plans are never stored.
        let uid = Uid(u128::from(world.version.0) << 64 | u128::from(i));
        let mut pod = Object::new(key, uid, Meta::default(), body.into());
        match place_object(world, &pod) {
            Ok(node) => {
                pod.node = Some(node.clone());
                world.apply(Change::Put(Arc::new(pod)));
                out.push(node.to_string());
            }
            Err(why) => {
                out.push(why.to_string());
                break;
            }
        }
    }
    out
}

/// The template and number of the pods that would be made.
fn new_pods(before: Option<&Object>, after: &Object) -> Option<(Value, u64)> {
    let spec = |o: &Object| o.body_map().remove("spec").unwrap_or_default();
    let (old, new) = (before.map(spec), spec(after));
    match after.key.kind {
        Kind::Pod => (old.as_ref() != Some(&new)).then_some((new, 1)),
        Kind::Deployment | Kind::ReplicaSet => {
            let template = |v: &Value| v.get("template").and_then(|t| t.get("spec")).cloned();
            let replicas = |v: &Value| v.get("replicas").and_then(Value::as_u64).unwrap_or(1);
            let more = match &old {
                // A ReplicaSet's template makes no pod anew.
                Some(old) if after.key.kind == Kind::ReplicaSet || template(old) == template(&new) => {
                    replicas(&new).saturating_sub(replicas(old))
                }
                _ => replicas(&new),
            };
            Some((template(&new)?, more))
        }
        _ => None,
    }
}
