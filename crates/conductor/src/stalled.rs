//! The condition `Stalled` of objects: set when a controller is parked at them (`guard`), taken back
//! when that controller has come to its end again, also after a restart.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_core::{Change, ControllerId, World};
use evenkeel_model::{Key, Object, Time, own::Condition};
use serde_json::{Value, json};

use crate::guard::Writers;

const STALLED: &str = "Stalled";

/// Objects with the condition, and what was parked when they got it: `None` before a restart.
#[derive(Debug, Default)]
pub(crate) struct Stalled(BTreeMap<Key, Option<(ControllerId, Key)>>);

impl Stalled {
    /// Those of a world that was loaded.
    pub(crate) fn of(world: &World) -> Self {
        let has = |object: &&Arc<Object>| is_stalled(object);
        Self(world.all().filter(has).map(|object| (object.key.clone(), None)).collect())
    }

    /// A controller, which looked at a key, was parked at an object; gives the change that says so.
    pub(crate) fn set(
        &mut self,
        world: &World,
        (object, parked): (&Key, (ControllerId, Key)),
        why: &str,
        now: Time,
    ) -> Option<Change> {
        let changed = with(world.get(object)?, true, ("ControllerParked", why), now)?;
        self.0.insert(object.clone(), Some(parked));
        Some(changed)
    }

    /// No controller has anything to do: gives the changes that take the condition back from those whose
    /// controllers are not parked any more. An object is forgotten when it is seen without it, for the
    /// batch of these changes may be undone.
    pub(crate) fn take_back(&mut self, world: &World, writers: &Writers, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        self.0.retain(|key, parked| {
            let Some(object) = world.get(key).filter(|object| is_stalled(object)) else { return false };
            if !parked.as_ref().is_some_and(|(controller, at)| writers.is_parked(*controller, at)) {
                changes.extend(with(object, false, ("Resumed", "its controllers have come to their end"), now));
            }
            true
        });
        changes
    }
}

/// Whether its status has the condition as `True`. Most objects do not mention it, and are not decoded.
fn is_stalled(object: &Object) -> bool {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Status {
        conditions: Vec<Named>,
    }
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Named {
        r#type: String,
        status: String,
    }
    let mentioned = std::str::from_utf8(&object.status).is_ok_and(|text| text.contains(STALLED));
    let status: Option<Status> = if mentioned { object.status().ok().flatten() } else { None };
    status.unwrap_or_default().conditions.iter().any(|c| c.r#type == STALLED && c.status == "True")
}

/// The object with the condition, `None` if it says so already. Other conditions stay to the letter.
fn with(object: &Object, stalled: bool, (reason, message): (&str, &str), now: Time) -> Option<Change> {
    let mut status: Value = object.status().ok().flatten().unwrap_or_else(|| json!({}));
    let list = status.as_object_mut()?.entry("conditions").or_insert_with(|| json!([])).as_array_mut()?;
    let old = list.iter().position(|c| c["type"] == STALLED).map(|at| list.remove(at));
    let mut one: Vec<Condition> = old.into_iter().filter_map(|c| serde_json::from_value(c).ok()).collect();
    if !Condition::set(&mut one, STALLED, stalled, reason, message, now) {
        return None;
    }
    list.push(serde_json::to_value(one.pop()?).ok()?);
    Some(Change::Put(Arc::new(object.with_status(&status))))
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;

    use super::*;

    fn world(status: &Value) -> World {
        let mut world = World::new(evenkeel_model::Version(1), 1, [7; 32]);
        let body =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}});
        let object = Object::from_value(body).unwrap().with_status(status);
        world.apply(Change::Put(Arc::new(object)));
        world
    }

    fn key() -> Key {
        Key::new(Kind::Deployment, "a", "web")
    }

    fn status(world: &World) -> Value {
        world.get(&key()).unwrap().status().unwrap().unwrap_or_default()
    }

    fn apply(world: &mut World, changes: impl IntoIterator<Item = Change>) -> usize {
        changes.into_iter().map(|change| world.apply(change)).count()
    }

    #[test]
    fn it_is_said_until_the_controller_comes_to_its_end() {
        let other = json!({"type": "Available", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"});
        let mut world = world(&json!({"replicas": 3, "conditions": [other]}));
        let (mut stalled, mut writers) = (Stalled::of(&world), Writers::default());
        let parked = (ControllerId::Deployment, key());
        writers.park(parked.0, parked.1.clone());
        let now = Time::from_secs(1);
        let set = stalled.set(&world, (&key(), parked.clone()), "it panicked", now);
        assert_eq!(apply(&mut world, set), 1);
        assert_eq!(status(&world)["conditions"][0], other);
        assert_eq!(status(&world)["conditions"][1]["message"], "it panicked");
        assert!(stalled.set(&world, (&key(), parked), "it panicked", now).is_none(), "it says so already");

        assert!(stalled.take_back(&world, &writers, now).is_empty(), "it is parked still");
        assert_eq!(writers.event_from_outside().len(), 1);
        // Undone once: it is wanted again.
        assert_eq!(stalled.take_back(&world, &writers, now).len(), 1);
        let changes = stalled.take_back(&world, &writers, now);
        assert_eq!(apply(&mut world, changes), 1);
        assert_eq!(status(&world)["conditions"][1]["status"], "False");
        assert_eq!(status(&world)["replicas"], 3);
        assert!(stalled.take_back(&world, &writers, now).is_empty());
        assert!(stalled.0.is_empty());
    }

    #[test]
    fn after_a_restart_what_the_store_says_is_taken_back_too() {
        let told = json!({"type": "Stalled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let world = world(&json!({"conditions": [told]}));
        assert_eq!(Stalled::of(&world).take_back(&world, &Writers::default(), Time::from_secs(1)).len(), 1);
    }
}
