//! Being written.
use evenkeel_model::Key;

use crate::{change::Changed, cx::Cx, world::World};

/// Marks keys.
pub fn route(_world: &World, _changed: &Changed, _mark: &mut dyn FnMut(Key)) {}

/// Looks at one key.
pub fn reconcile(_world: &World, _key: &Key, _cx: &mut Cx<'_>) {}

/// Sets `spec.unschedulable`.
pub fn set_unschedulable(
    _world: &World,
    name: &str,
    _unschedulable: bool,
    _cx: &mut Cx<'_>,
) -> Result<crate::ask::Answer, crate::ask::Refusal> {
    Err(crate::ask::Refusal::not_found(&Key::cluster(evenkeel_model::Kind::Node, name)))
}

/// Deletes a Node.
pub fn remove(_world: &World, name: &str, _cx: &mut Cx<'_>) -> Result<crate::ask::Answer, crate::ask::Refusal> {
    Err(crate::ask::Refusal::not_found(&Key::cluster(evenkeel_model::Kind::Node, name)))
}
