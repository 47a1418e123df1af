//! Writes through the subresource `status` of a custom object: the status alone changes, and nothing else
//! of what a request says counts.
//!
//! Deliberately not here: built-in kinds, whose status Evenkeel writes itself.

use alloc::{string::ToString, sync::Arc};

use evenkeel_model::{Key, Object, canonical};
use evenkeel_schema::{
    custom::Before,
    merge::{Apply, FieldSet, Managed, Update, apply, update},
};
use serde_json::{Value, json};

use super::{Wish, conflicting, schema, valid};
use crate::{
    ask::{Answer, Refusal},
    cx::Cx,
    world::World,
};

/// The subresource's name.
pub(super) const NAME: &str = "status";

/// Makes the status what the wish says.
pub(super) fn replace(world: &World, live: &Arc<Object>, wish: &Wish, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let before = shown(live, wish);
    let mut after = before.clone();
    match wish.value.get(NAME) {
        Some(status) if !status.is_null() => after[NAME] = status.clone(),
        _ => drop(after.as_object_mut().and_then(|m| m.remove(NAME))),
    }
    let owners = Managed::from_bytes(&live.managed).unwrap_or_default();
    schema(world, &wish.key)?.fill_defaults(&mut after);
    let by = Update { manager: &wish.manager, time: cx.now, subresource: NAME };
    let managed = update(world.node(wish.key.kind), &before, &after, &owners, &by);
    write(world, live, &after, &managed, wish, cx)
}

/// Sets in the status what the wish sets, by server-side apply.
pub(super) fn applied(world: &World, wish: &Wish, force: bool, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let live = world.get(&wish.key).ok_or_else(|| Refusal::not_found(&wish.key))?;
    let before = shown(live, wish);
    let owners = Managed::from_bytes(&live.managed).map_err(|e| Refusal::new(500, "InternalError", e.to_string()))?;
    let info = wish.key.kind.info();
    let mut wanted = json!({"apiVersion": info.api_version(), "kind": info.kind});
    if let Some(status) = wish.value.get(NAME) {
        wanted[NAME] = status.clone();
    }
    let by = Apply { manager: &wish.manager, force, time: cx.now, exclude: FieldSet::EMPTY, subresource: NAME };
    let node = world.node(wish.key.kind);
    let merged = apply(node, &before, &owners, &wanted, &by).map_err(|c| conflicting(&c))?;
    let mut after = merged.value;
    schema(world, &wish.key)?.fill_defaults(&mut after);
    write(world, live, &after, &merged.managed, wish, cx)
}

/// The whole object in the version of a request.
fn shown(live: &Object, wish: &Wish) -> Value {
    let mut value = live.shown_as(wish.key.kind).to_value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

fn write(
    world: &World,
    live: &Arc<Object>,
    after: &Value,
    managed: &Managed,
    wish: &Wish,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let before = shown(live, wish);
    valid(schema(world, &wish.key)?, &wish.key, after, Before::Was(&before))?;
    let status = after.get(NAME).map_or_else(evenkeel_model::object::empty, |s| canonical::value_bytes(s).into());
    let new = Object { status, managed: managed.to_bytes(), ..Object::clone(live) };
    if wish.dry_run {
        return Ok(Answer::Would(Arc::new(new)));
    }
    let key: Key = live.key.clone();
    if !new.same_content(live) {
        cx.put(new);
    }
    Ok(Answer::Object(key))
}
