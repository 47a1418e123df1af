//! The status of ResourceQuotas: what is used of what there may be. Key: the quota.
//!
//! Deliberately not here: refusing what is too much (`quota`), and adding it up (`world::quotas`).

use alloc::string::String;

use evenkeel_model::{Key, Kind};
use serde_json::{Map, Value, json};

use super::ControllerId;
use crate::{change::Changed, cx::Cx, quota, world::World};

/// Marks a quota that changed, and those of a namespace in which something came, went, or counts otherwise.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let key = &changed.key;
    if !key.kind.namespaced() {
        return;
    }
    let deleting = |o: &Option<alloc::sync::Arc<evenkeel_model::Object>>| o.as_ref().map(|o| o.meta.deletion);
    let counts = match key.kind {
        // Its status may have been written by hand.
        Kind::ResourceQuota => true,
        Kind::Pod => changed.status_changed() || deleting(&changed.old) != deleting(&changed.new),
        Kind::Service => changed.body_changed(),
        _ => changed.old.is_none() || changed.new.is_none(),
    };
    if counts {
        world.quotas.of_namespace(&key.namespace).for_each(|(k, _)| mark(k.clone()));
    }
}

/// Looks at one quota.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let (Some(object), Some(quota)) = (world.get(key), world.quotas.get(key)) else { return };
    let hard = object.body_map().remove("spec").and_then(|mut s| s.get_mut("hard").map(Value::take));
    let mut used: Map<String, Value> = Map::new();
    for limit in &quota.limits {
        let amount = world.quotas.used(&key.namespace, quota, limit, &world.customs, cx.now);
        used.insert(limit.name.clone(), quota::shown(&limit.name, amount).into());
    }
    let status = json!({"hard": hard.unwrap_or_else(|| json!({})), "used": used});
    let next = object.with_status(&status);
    if next.status != object.status {
        cx.put(next);
    }
    if let Some(at) = world.quotas.next_lapse(&key.namespace, cx.now) {
        // A pod counts until its time is over, that moment included.
        cx.wake(at + core::time::Duration::from_millis(1), ControllerId::Quota, key.clone());
    }
}
