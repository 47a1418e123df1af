//! Garbage collection by owner references, as Kubernetes: a dependent goes when all its owners are
//! gone; a foreground deletion waits for the dependents, an orphaning one lets them go free.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use evenkeel_model::{Key, Object, OwnerRef};

use super::ControllerId;
use crate::{
    change::{Change, Changed},
    cx::Cx,
    world::{World, deletion},
};

/// Finalizer of an owner that waits for its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner that lets its dependents go free.
pub const ORPHAN: &str = "orphan";
/// Dependents handled in one run; the rest in the next.
const BURST: usize = 500;
/// How often a recovering server looks again; nothing is collected until it is over.
const RECOVERY_POLL: Duration = Duration::from_secs(1);

/// Marks dependents of what is gone, what got other owners, and owners whose end waits for it.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match (&changed.old, &changed.new) {
        (Some(old), None) => {
            world.owned_by(old.uid).for_each(|d| mark(d.key.clone()));
            for owner in old.meta.owners.iter().filter_map(|o| owner_key(world, &old.key, o)) {
                if world.get(&owner).is_some_and(|o| waits(o)) {
                    mark(owner);
                }
            }
        }
        (old, Some(new)) => {
            let others = old.as_ref().is_none_or(|o| o.meta.owners != new.meta.owners || o.uid != new.uid);
            if (others && !new.meta.owners.is_empty()) || waits(new) {
                mark(changed.key.clone());
            }
            if let Some(old) = old
                && old.uid != new.uid
            {
                world.owned_by(old.uid).for_each(|d| mark(d.key.clone()));
            }
        }
        (None, None) => {}
    }
}

fn waits(object: &Object) -> bool {
    object.deleting() && object.meta.finalizers.iter().any(|f| f == FOREGROUND || f == ORPHAN)
}

fn owner_key(world: &World, dependent: &Key, owner: &OwnerRef) -> Option<Key> {
    Some(dependent.sibling(world.customs.of_reference(&owner.api_version, &owner.kind)?, owner.name.clone()))
}

/// Looks at one object: as a dependent, then as an owner.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(object) = world.get(key) else { return };
    if world.recovering.is_some() {
        cx.wake(cx.now + RECOVERY_POLL, ControllerId::Gc, key.clone());
        return;
    }
    if !object.meta.owners.is_empty() && !object.deleting() {
        let (there, gone): (Vec<&OwnerRef>, Vec<&OwnerRef>) =
            object.meta.owners.iter().partition(|o| is_there(world, &object.key, o));
        if there.is_empty() {
            cx.changes.extend(deletion::request(world, key, None, cx.now));
            return;
        }
        if !gone.is_empty() {
            let mut next = Object::clone(object);
            next.meta.owners = there.into_iter().cloned().collect();
            cx.put(next);
            return;
        }
    }
    if waits(object) {
        end_of_owner(world, object, cx);
    }
}

/// Whether an owner exists. One of a kind that is not known here is taken to exist.
fn is_there(world: &World, dependent: &Key, owner: &OwnerRef) -> bool {
    owner_key(world, dependent, owner).is_none_or(|key| world.get(&key).is_some_and(|o| o.uid == owner.uid))
}

fn end_of_owner(world: &World, owner: &Arc<Object>, cx: &mut Cx<'_>) {
    let has = |name: &str| owner.meta.finalizers.iter().any(|f| f == name);
    let dependents: Vec<&Arc<Object>> = world.owned_by(owner.uid).collect();
    if has(ORPHAN) && !dependents.is_empty() {
        for dependent in dependents.into_iter().take(BURST) {
            let mut free = Object::clone(dependent);
            free.meta.owners = free.meta.owners.iter().filter(|o| o.uid != owner.uid).cloned().collect();
            cx.put(free);
        }
        cx.wake(cx.now, ControllerId::Gc, owner.key.clone());
        return;
    }
    if has(FOREGROUND) && !has(ORPHAN) {
        let blocks = |d: &&&Arc<Object>| d.meta.owners.iter().any(|o| o.uid == owner.uid && o.block_owner_deletion);
        if dependents.iter().any(|d| blocks(&d)) {
            for dependent in dependents.iter().filter(|d| !d.deleting()).take(BURST) {
                cx.changes.extend(foreground(world, dependent, cx));
            }
            return;
        }
    }
    let left: Vec<String> =
        owner.meta.finalizers.iter().filter(|f| *f != FOREGROUND && *f != ORPHAN).cloned().collect();
    if left.is_empty() {
        cx.delete(owner.key.clone());
    } else {
        let mut next = Object::clone(owner);
        next.meta.finalizers = left.into();
        cx.put(next);
    }
}

/// A dependent that has dependents of its own waits for them in turn.
fn foreground(world: &World, dependent: &Arc<Object>, cx: &Cx<'_>) -> Option<Change> {
    if world.owned_by(dependent.uid).next().is_none() {
        return deletion::request(world, &dependent.key, None, cx.now);
    }
    let mut next = Object::clone(dependent);
    let finalizers = next.meta.finalizers.iter().cloned().chain([String::from(FOREGROUND)]);
    next.meta.finalizers = finalizers.collect();
    next.meta.deletion = Some(evenkeel_model::meta::Deletion { at: cx.now, grace_seconds: 0 });
    Some(Change::Put(Arc::new(next)))
}
