//! Writes through the subresource `ephemeralcontainers` of a Pod: containers are added to it, and nothing else
//! of what a request says counts. Its agent starts them in the pod that runs.
//!
//! Deliberately not here: what such a container may be (the schema says), and a debugged copy of a pod, which
//! is a pod like any other.

use alloc::{string::ToString as _, sync::Arc};

use evenkeel_model::{Object, canonical};
use evenkeel_schema::{
    custom::Before,
    merge::{Apply, FieldSet, Managed, Update, apply, update},
    validate::Cause,
};
use serde_json::{Value, json};

use super::{Wish, conflicting, schema, unlocked, valid, without_status};
use crate::{
    ask::{Answer, Refusal},
    cx::{Cx, EventKind},
    world::World,
};

/// The subresource's name.
pub(super) const NAME: &str = "ephemeralcontainers";
const FIELD: &str = "ephemeralContainers";

/// Sets the ephemeral containers that the wish sets, by server-side apply.
pub(super) fn applied(world: &World, wish: &Wish, force: bool, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let live = world.get(&wish.key).ok_or_else(|| Refusal::not_found(&wish.key))?;
    let owners = Managed::from_bytes(&live.managed).map_err(|e| Refusal::new(500, "InternalError", e.to_string()))?;
    let mut wanted = json!({"apiVersion": "v1", "kind": "Pod"});
    if let Some(list) = wish.value.get("spec").and_then(|s| s.get(FIELD)) {
        wanted["spec"] = json!({FIELD: list});
    }
    let by = Apply { manager: &wish.manager, force, time: cx.now, exclude: FieldSet::EMPTY, subresource: NAME };
    let before = without_status(live, wish.key.kind);
    let node = world.node(wish.key.kind);
    let merged = apply(node, &before, &owners, &wanted, &by).map_err(|c| conflicting(&c))?;
    let wish = Wish { value: merged.value, ..wish.clone() };
    replace(world, live, (&wish, Some(merged.managed)), user, cx)
}

/// Makes a pod's ephemeral containers what the wish says; `managed` is who owns what then, where that is known.
pub(super) fn replace(
    world: &World,
    live: &Arc<Object>,
    (wish, managed): (&Wish, Option<Managed>),
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let key = &live.key;
    unlocked(world, live)?;
    let before = without_status(live, key.kind);
    let mut after = before.clone();
    let wanted = wish.value.get("spec").and_then(|s| s.get(FIELD)).cloned().unwrap_or(Value::Null);
    if let Some(spec) = after.get_mut("spec").and_then(Value::as_object_mut) {
        if wanted.as_array().is_some_and(|l| !l.is_empty()) {
            spec.insert(FIELD.into(), wanted);
        } else {
            spec.remove(FIELD);
        }
    }
    let schema = schema(world, key)?;
    schema.fill_defaults(&mut after);
    valid(schema, key, &after, Before::Was(&before))?;
    let names = |of: &Value| -> alloc::vec::Vec<Value> {
        let list = of.get("spec").and_then(|s| s.get(FIELD)).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().map(|c| c.get("name").cloned().unwrap_or_default()).collect()
    };
    let (had, has) = (names(&before), names(&after));
    if had == has {
        return Ok(if wish.dry_run { Answer::Would(live.clone()) } else { Answer::Object(key.clone()) });
    }
    let over = if world.pods.finished(key) {
        Some("the pod has ended, and nothing is started in it any more")
    } else if live.deleting() {
        Some("the pod is being deleted")
    } else {
        None
    };
    if let Some(why) = over {
        return Err(Refusal::fields(key, [Cause::forbidden(alloc::format!("spec.{FIELD}"), why)]));
    }
    let mut body = live.body_map();
    body.insert("spec".into(), after.get("spec").cloned().unwrap_or_default());
    let mut new = Object::clone(live);
    // Where it runs stands apart.
    if let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("nodeName");
    }
    new.body = canonical::value_bytes(&json!(body)).into();
    new.meta.generation += 1;
    let managed = managed.unwrap_or_else(|| {
        let owners = Managed::from_bytes(&live.managed).unwrap_or_default();
        let by = Update { manager: &wish.manager, time: cx.now, subresource: NAME };
        update(world.node(key.kind), &before, &after, &owners, &by)
    });
    new.managed = managed.to_bytes();
    if wish.dry_run {
        return Ok(Answer::Would(Arc::new(new)));
    }
    for name in has.iter().filter(|n| !had.contains(n)) {
        let text = alloc::format!("{user} has added the ephemeral container {name} to {key}");
        cx.event(world, live, EventKind::Normal, "EphemeralContainer", &text);
    }
    cx.put(new);
    Ok(Answer::Object(key.clone()))
}
