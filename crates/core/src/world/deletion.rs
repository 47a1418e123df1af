//! Asking for an object's deletion, by Kubernetes' rules of finalizers and grace.

use alloc::sync::Arc;

use evenkeel_model::{Key, Kind, Object, Time, meta::Deletion};

use crate::{change::Change, world::World};

/// Grace of a pod that names none, in seconds.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The write that a wish for deletion causes: a pod on a node gets its grace and goes when its
/// agent says that it is gone; what has finalizers waits for them; everything else goes at once.
/// `None` where nothing is to be done. A shorter grace than before is taken, a longer one is not.
pub fn request(world: &World, key: &Key, grace_seconds: Option<i64>, now: Time) -> Option<Change> {
    let object = world.get(key)?;
    let grace = match key.kind {
        Kind::Pod if object.node.is_some() && !world.pods.finished(key) => grace_seconds
            .or_else(|| world.pods.get(key).map(|p| p.shape.grace_seconds))
            .unwrap_or(DEFAULT_GRACE_SECONDS),
        Kind::Pod => {
            return if object.meta.finalizers.is_empty() {
                Some(Change::Delete(key.clone()))
            } else {
                mark(object, 0, now)
            };
        }
        // A Namespace is emptied first: its controller takes it away.
        // So is a definition, of its objects: they would be without their kind.
        Kind::Namespace | Kind::CustomResourceDefinition => 0,
        _ if object.meta.finalizers.is_empty() => return Some(Change::Delete(key.clone())),
        _ => 0,
    };
    mark(object, grace.max(0), now)
}

/// Sets the deletion marks; `None` if they say the same or less already.
fn mark(object: &Arc<Object>, grace_seconds: i64, now: Time) -> Option<Change> {
    let at = Time::from_secs(now.secs() + grace_seconds);
    if object.meta.deletion.is_some_and(|d| d.grace_seconds <= grace_seconds) {
        return None;
    }
    let mut new = Object::clone(object);
    new.meta.deletion = Some(Deletion { at, grace_seconds });
    new.meta.generation += 1;
    Some(Change::Put(Arc::new(new)))
}
