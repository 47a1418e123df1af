//! Being written.
use evenkeel_model::Key;

use crate::{change::Changed, cx::Cx, world::World};

/// Marks keys.
pub fn route(_world: &World, _changed: &Changed, _mark: &mut dyn FnMut(Key)) {}

/// Looks at one key.
pub fn reconcile(_world: &World, _key: &Key, _cx: &mut Cx<'_>) {}

/// Makes the namespaces that every cluster has.
pub fn ensure_defaults(_world: &World, _cx: &mut Cx<'_>) {}
