//! Being written.
use evenkeel_model::Key;

use crate::{change::Changed, cx::Cx, world::World};

/// Marks keys.
pub fn route(_world: &World, _changed: &Changed, _mark: &mut dyn FnMut(Key)) {}

/// Looks at one key.
pub fn reconcile(_world: &World, _key: &Key, _cx: &mut Cx<'_>) {}

/// `evenkeel drift accept`.
pub fn accept(
    _w: &World,
    name: &str,
    _user: &str,
    _cx: &mut Cx<'_>,
) -> Result<crate::ask::Answer, crate::ask::Refusal> {
    Err(crate::ask::Refusal::not_found(&Key::cluster(evenkeel_model::Kind::Drift, name)))
}

/// `evenkeel drift heal`.
pub fn heal(_w: &World, name: &str, _user: &str, _cx: &mut Cx<'_>) -> Result<crate::ask::Answer, crate::ask::Refusal> {
    Err(crate::ask::Refusal::not_found(&Key::cluster(evenkeel_model::Kind::Drift, name)))
}

/// What an agent saw done to containers.
pub fn observe(
    _world: &World,
    _node: &alloc::sync::Arc<str>,
    _drift: &evenkeel_model::session::ContainerDrift,
    _cx: &mut Cx<'_>,
) {
}
