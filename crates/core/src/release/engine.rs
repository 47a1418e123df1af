//! The controller that drives the releases of a source through their phases. Key: the Source.
//!
//! It is not told why it runs: it looks at the Source, its current and its waiting Release, and
//! takes each step that is due. Every wait is a wake.

use alloc::{string::String, sync::Arc};

use evenkeel_model::{Key, Kind, Object, own::Phase};

use super::{admit, progress, rollback, state::Src, status};
use crate::{change::Changed, controllers::ControllerId, cx::Cx, world::World};

/// Owners above an object that are looked at for the source's label: a Deployment owns a
/// ReplicaSet owns a Pod.
const OWNER_LEVELS: usize = 4;

/// Marks keys.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let Some(object) = changed.either() else { return };
    match changed.key.kind {
        Kind::Source => mark(changed.key.clone()),
        Kind::Release => {
            if let Some(owner) = object.meta.owners.first() {
                mark(Key::cluster(Kind::Source, owner.name.clone()));
            }
        }
        Kind::Deployment | Kind::ReplicaSet | Kind::Pod => mark_source(world, object, mark),
        // A revision may wait for one of these.
        Kind::Namespace | Kind::ConfigMap | Kind::Secret => {
            if changed.body_changed() || changed.labels_changed() {
                mark_all(world, mark);
            } else {
                mark_source(world, object, mark);
            }
        }
        // A node that is back lets its pods count again.
        Kind::Node if changed.status_changed() => mark_all(world, mark),
        _ => {}
    }
}

fn mark_all(world: &World, mark: &mut dyn FnMut(Key)) {
    for source in world.list(Kind::Source, "") {
        mark(source.key.clone());
    }
}

fn mark_source(world: &World, object: &Arc<Object>, mark: &mut dyn FnMut(Key)) {
    if let Some(source) = source_of(world, object) {
        mark(Key::cluster(Kind::Source, source));
    }
}

/// The source that an object comes from: its own label, or that of an owner above it.
pub fn source_of(world: &World, object: &Object) -> Option<String> {
    if let Some(source) = object.source() {
        return Some(source.into());
    }
    let mut at = owner(world, object)?;
    for _ in 0..OWNER_LEVELS {
        if let Some(source) = at.source() {
            return Some(source.into());
        }
        at = owner(world, at)?;
    }
    None
}

fn owner<'a>(world: &'a World, object: &Object) -> Option<&'a Arc<Object>> {
    let reference = object.meta.controller()?;
    world.get(
        &object
            .key
            .sibling(world.customs.of_reference(&reference.api_version, &reference.kind)?, reference.name.clone()),
    )
}

/// Looks at one Source.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    if key.kind != Kind::Source {
        return;
    }
    let Some(mut src) = Src::load(world, &key.name) else { return };
    if src.object.deleting() {
        remove(world, &mut src, cx);
        return;
    }
    if let Some(until) = world.recovering {
        recovering(world, &mut src, cx);
        cx.wake(until, ControllerId::Release, key.clone());
        return;
    }
    let mut wakes = Wakes::default();
    let mut current = src.current(world);
    if let Some(rel) = &mut current {
        progress::step(world, &mut src, rel, &mut wakes, cx);
        rollback::retry_later(world, &mut src, rel, &mut wakes, cx);
    }
    admit::step(world, &mut src, &mut current, &mut wakes, cx);
    status::conditions(world, &mut src, current.as_ref(), cx);
    if let Some(rel) = &current {
        rel.save(cx);
    }
    src.save(cx);
    if let Some(at) = wakes.0 {
        cx.wake(at, ControllerId::Release, key.clone());
    }
}

/// The earliest of several wishes: a controller has one for each key.
#[derive(Debug, Default)]
pub(super) struct Wakes(pub(super) Option<evenkeel_model::Time>);

impl Wakes {
    /// Looks again at `at`.
    pub(super) fn at(&mut self, at: evenkeel_model::Time) {
        self.0 = Some(self.0.map_or(at, |t| t.min(at)));
    }
}

/// Nothing is created, removed or failed while the nodes have not all reported.
fn recovering(world: &World, src: &mut Src, cx: &mut Cx<'_>) {
    if let Some(mut rel) = src.pending(world).filter(|r| r.status.phase == Phase::Pending) {
        rel.wait(world, src, "Recovering", "the server waits for its nodes to report", cx);
        rel.save(cx);
    }
    src.condition("Synced", false, "Recovering", "the server waits for its nodes to report", cx);
    src.save(cx);
}

/// A Source that goes together with what it made: first nothing is wanted any more, and when the
/// last object is gone, the Source goes.
fn remove(world: &World, src: &mut Src, cx: &mut Cx<'_>) {
    if src.status.applied_digest.is_some() || src.status.applied_revision.is_some() {
        src.status.applied_digest = None;
        src.status.applied_revision = None;
        src.save(cx);
        return;
    }
    if super::sync::left_to_prune(world, &src.name, true).is_none() {
        cx.delete(src.object.key.clone());
    }
}
