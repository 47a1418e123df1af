//! Brings one object to what its source wants. Key: any object.
//!
//! Level-triggered: it compares the wanted document with the live object and is not told why. A
//! document that the object was not yet written from is a revision's change; a difference without
//! one is drift. Deliberately not here: pruning (`prune.rs`), the write itself (`write.rs`).

use core::time::Duration;

use evenkeel_model::{Doc, Key, Kind, Meta, Object, Version, names};
use evenkeel_schema::merge::{FieldSet, diff};

use super::{prune, state::Src, write};
use crate::{
    change::{Change, Changed},
    controllers::{ControllerId, admission, definition},
    cx::{Cx, EventKind},
    drift,
    edit::fixed::is_immutable,
    quota, service,
    world::{World, deletion, desired::Wanted},
};

pub(crate) use prune::left_to_prune;

/// How long what a quota keeps out waits for another try.
const HELD_UP: Duration = Duration::from_secs(10);
/// Why an object that no source made is not written.
const HELD: &str = "it is immutable, and this source did not make it: delete it, or give yours another name";

/// Marks keys.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let key = &changed.key;
    match key.kind {
        Kind::Source => source_changed(world, changed, mark),
        Kind::Release => release_changed(world, changed, mark),
        Kind::Namespace => {
            let terminating = |o: &Option<alloc::sync::Arc<Object>>| o.as_ref().map(|o| o.deleting());
            if terminating(&changed.old) != terminating(&changed.new) {
                world.desired.in_namespace(&key.name).for_each(|k| mark(k.clone()));
            }
        }
        Kind::Drift => {
            if let Some(object) = changed.either().and_then(|o| drift::object_key(world, o)) {
                mark(object);
            }
            return;
        }
        Kind::CustomResourceDefinition => {
            let names = changed.new.as_ref().and_then(|o| definition::stored(o));
            if let Some(kind) = names.filter(|k| world.schema(*k).is_some()) {
                world.desired.of_kind(kind).for_each(|k| mark(k.clone()));
            }
        }
        Kind::ResourceQuota | Kind::LimitRange if changed.body_changed() => {
            let missing = world.desired.in_namespace(&key.namespace).filter(|k| world.get(k).is_none());
            missing.for_each(|k| mark(k.clone()));
        }
        Kind::Event | Kind::Node => return,
        _ => {}
    }
    let meta = |o: &Option<alloc::sync::Arc<Object>>| o.as_ref().map(|o| o.meta.clone());
    if !changed.body_changed() && meta(&changed.old) == meta(&changed.new) {
        return;
    }
    let labelled = changed.new.as_ref().is_some_and(|o| o.source().is_some());
    if labelled || world.desired.source_of(key).is_some() {
        mark(key.clone());
    }
}

/// Settings that bear on every object, a Source that came or went, or a start of the server.
fn source_changed(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let name = &changed.key.name;
    if changed.old.is_none() || changed.new.is_none() || changed.body_changed() {
        for doc in world.desired.applied(name).iter().flat_map(|s| &s.docs) {
            mark(doc.key.clone());
        }
        world.of_source(name).for_each(|k| mark(k.clone()));
    } else if changed.new.as_ref().is_some_and(|o| o.deleting()) {
        world.of_source(name).for_each(|k| mark(k.clone()));
    }
}

/// A second scan confirmed what a directory misses.
fn release_changed(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let Some(rel) = changed.new.as_ref().and_then(super::state::Rel::read) else { return };
    let before = changed.old.as_ref().and_then(super::state::Rel::read);
    if before.is_some_and(|b| b.status.unconfirmed) && !rel.status.unconfirmed {
        world.of_source(&rel.spec.source).for_each(|k| mark(k.clone()));
    }
}

/// Looks at one object.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    // Nothing is made or removed while the nodes have not all reported; all is marked afterwards.
    if world.recovering.is_some() {
        return;
    }
    match world.desired.get(key) {
        Some(wanted) => want(world, key, &wanted, cx),
        None => prune::unwanted(world, key, cx),
    }
}

/// Whether an object was written from this document.
pub(super) fn is_written(world: &World, source: &str, doc: &Doc) -> bool {
    world.get(&doc.key).is_some_and(|o| {
        !o.deleting()
            && o.source() == Some(source)
            && o.meta.annotation(names::APPLIED) == Some(write::mark(world, doc).as_str())
    })
}

fn want(world: &World, key: &Key, wanted: &Wanted, cx: &mut Cx<'_>) {
    // Its definition's coming marks it.
    if world.schema(wanted.doc.key.kind).is_none() {
        return;
    }
    let Some(src) = Src::load(world, &wanted.source) else { return };
    let Some(live) = world.get(key) else {
        create(world, &src, wanted, cx);
        return;
    };
    // What goes comes back when it is gone.
    if live.deleting() {
        return;
    }
    let other = live.source().filter(|s| *s != &*wanted.source);
    if let Some(other) = other
        && world.get(&Key::cluster(Kind::Source, other)).is_some()
        && crate::world::desired::taken_from(&wanted.doc) != Some(other)
    {
        return;
    }
    let mark = write::mark(world, &wanted.doc);
    // Without its label it is still the source's: somebody took the label away, which is drift.
    if other.is_none() && live.meta.annotation(names::APPLIED) == Some(mark.as_str()) {
        heal(world, &src, live, wanted, cx);
    } else {
        change(world, &src, live, wanted, cx);
    }
}

fn create(world: &World, src: &Src, wanted: &Wanted, cx: &mut Cx<'_>) {
    let key = &wanted.doc.key;
    if key.kind.namespaced() {
        let namespace = Key::cluster(Kind::Namespace, key.namespace.clone());
        // Its coming marks this object.
        if world.get(&namespace).is_none_or(|n| n.deleting()) {
            return;
        }
    }
    let value = write::applied(world, &wanted.doc, &wanted.source, wanted.revision.as_str(), None);
    let uid = cx.rng.uid();
    match write::onto(world, None, &wanted.doc, &value, &wanted.source, FieldSet::EMPTY, (cx.now, uid)) {
        Ok(mut object) => {
            if key.kind == Kind::Service {
                object = match service::admit(world, None, object, cx) {
                    Ok(object) => object,
                    Err(e) => return complain(world, src, key, &e, cx),
                };
            }
            if key.kind == Kind::Pod {
                if let Err(why) = admission::of_source(world, &mut object) {
                    return held_up(world, src, key, &why, cx);
                }
                let spec = object.body_map().remove("spec").unwrap_or_default();
                object.status = crate::controllers::podstatus::initial(&spec);
            }
            if let Err(why) = quota::admit(world, None, &object, cx.now) {
                return held_up(world, src, key, &why, cx);
            }
            cx.put(object);
        }
        Err(e) => complain(world, src, key, &e, cx),
    }
}

/// A revision changes the object.
fn change(world: &World, src: &Src, live: &Object, wanted: &Wanted, cx: &mut Cx<'_>) {
    let doc = &wanted.doc;
    let unowned = live.source().is_none() && live.meta.annotation(names::APPLIED).is_none();
    let former = match live.meta.annotation(names::FORMER) {
        Some(kept) => Some(alloc::string::String::from(kept)),
        None if unowned => Some(write::former(live)),
        None => None,
    };
    let value = write::applied(world, doc, &wanted.source, wanted.revision.as_str(), former.as_deref());
    let exclude = drift::excluded(world, src, live);
    let mut base = live.clone();
    if let Some(other) = live.source().filter(|s| *s != &*wanted.source) {
        // Moved from another source, which gives up its fields with it.
        base = write::released(live, other);
    }
    let written = write::onto(world, Some(&base), doc, &value, &wanted.source, &exclude, (cx.now, live.uid));
    match written.and_then(|object| admitted(world, live, object, cx)) {
        Ok(object) if doc.key.kind == Kind::Pod && object.body != live.body && !unowned => {
            // A pod's specification does not change: it is made anew.
            cx.changes.extend(deletion::request(world, &doc.key, None, cx.now));
        }
        Ok(object) if unowned && held(live, &object) => complain(world, src, &doc.key, HELD, cx),
        Ok(object) if held(live, &object) => anew(world, live, object, cx),
        Ok(object) => {
            if unowned {
                let text = alloc::format!("{} was there without a source; {} has taken it over", doc.key, src.name);
                cx.event(world, &src.object, EventKind::Normal, "TakenOver", &text);
            }
            cx.put(object);
            drift::superseded(world, live, &value, cx);
        }
        Err(e) => complain(world, src, &doc.key, &e, cx),
    }
}

/// The revision did not change: what differs is drift.
fn heal(world: &World, src: &Src, live: &Object, wanted: &Wanted, cx: &mut Cx<'_>) {
    let doc = &wanted.doc;
    let kept = |name: &str| live.meta.annotation(name);
    let revision = kept(names::REVISION).unwrap_or(wanted.revision.as_str());
    let value = write::applied(world, doc, &wanted.source, revision, kept(names::FORMER));
    let exclude = drift::excluded(world, src, live);
    let differences = diff(world.node(doc.key.kind), &value, &write::without_status(live, doc.key.kind), &exclude);
    match drift::object(world, src, live, &differences, cx) {
        drift::Decision::Leave => return,
        drift::Decision::Later(at) => {
            cx.wake(at, ControllerId::Sync, doc.key.clone());
            return;
        }
        drift::Decision::Heal => {}
    }
    let written = write::onto(world, Some(live), doc, &value, &wanted.source, &exclude, (cx.now, live.uid));
    match written.and_then(|object| admitted(world, live, object, cx)) {
        Ok(object) if object.same_content(live) => {}
        Ok(object) if doc.key.kind == Kind::Pod && object.body != live.body => {
            cx.changes.extend(deletion::request(world, &doc.key, None, cx.now));
        }
        Ok(object) if held(live, &object) => anew(world, live, object, cx),
        Ok(object) => cx.put(object),
        Err(e) => complain(world, src, &doc.key, &e, cx),
    }
}

/// Whether an object that says of itself that it does not change would.
fn held(live: &Object, next: &Object) -> bool {
    matches!(live.key.kind, Kind::ConfigMap | Kind::Secret) && live.body != next.body && is_immutable(&live.body_map())
}

/// Another object takes the place of one that does not change: who keeps contents by an object's uid, because
/// it is immutable, must not take the new ones for the old. A revision that would ask for it is rejected, so
/// this is for a way back: a rollback, and what was made immutable by hand.
fn anew(world: &World, live: &Object, next: Object, cx: &mut Cx<'_>) {
    let request = deletion::request(world, &live.key, None, cx.now);
    let gone = matches!(request, Some(Change::Delete(_)));
    cx.changes.extend(request);
    // One that waits for its finalizers is made when it is gone.
    if gone {
        let (uid, meta) = (cx.rng.uid(), Meta { created: cx.now, ..next.meta.clone() });
        cx.put(Object { uid, version: Version(0), meta, ..next });
    }
}

/// A Service keeps what it was given, and is given what it lacks.
fn admitted(world: &World, live: &Object, next: Object, cx: &mut Cx<'_>) -> Result<Object, alloc::string::String> {
    if next.key.kind != Kind::Service {
        return Ok(next);
    }
    let next = service::admit(world, Some(live), next, cx)?;
    quota::admit(world, Some(live), &next, cx.now)?;
    Ok(next)
}

/// A quota or a LimitRange stands against it: it is tried again, for there may be room.
fn held_up(world: &World, src: &Src, key: &Key, why: &str, cx: &mut Cx<'_>) {
    cx.wake(cx.now + HELD_UP, ControllerId::Sync, key.clone());
    let why = quota::forbidden(key, why);
    cx.event(world, &src.object, EventKind::Warning, "CannotWrite", &alloc::format!("{key} cannot be written: {why}"));
}

fn complain(world: &World, src: &Src, key: &Key, why: &str, cx: &mut Cx<'_>) {
    let text = alloc::format!("{key} cannot be written: {why}");
    cx.event(world, &src.object, EventKind::Warning, "CannotWrite", &text);
}
