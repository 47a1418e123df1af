//! `evenkeel drift accept` and `evenkeel drift heal`.
//!
//! Called by `ask.rs` of the crate.

use alloc::format;

use evenkeel_model::{Key, Kind, Object, names, own::Resolution};
use evenkeel_schema::merge::{FieldPath, diff};

use super::{
    containers, excluded,
    record::{self, Record},
};
use crate::{
    ask::{Answer, Refusal},
    cx::{Cx, EventKind},
    release::{self, state::Src},
    world::World,
};

fn find(world: &World, name: &str) -> Result<Record, Refusal> {
    let key = Key::cluster(Kind::Drift, name);
    world.get(&key).and_then(Record::read).ok_or_else(|| Refusal::not_found(&key))
}

/// The live object of a record.
fn live<'a>(world: &'a World, record: &Record) -> Result<&'a alloc::sync::Arc<Object>, Refusal> {
    let key = record::about(world, &record.spec);
    let found = key.as_ref().and_then(|k| world.get(k));
    found.ok_or_else(|| Refusal::conflict(format!("the object of drift \"{}\" is gone", record.object.key.name)))
}

/// `evenkeel drift accept`: sync and rollback leave the field alone from now on.
pub fn accept(world: &World, name: &str, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let mut record = find(world, name)?;
    if record.of_container() {
        return Err(Refusal::invalid("a container's drift cannot be accepted; only a field's can"));
    }
    match record.status.resolution {
        None | Some(Resolution::Healed) => {}
        Some(other) => return Err(Refusal::conflict(format!("drift \"{name}\" is settled already: {other:?}"))),
    }
    let object = live(world, &record)?;
    let text = format!("{user} accepts the drift of {}", record.spec.path);
    cx.event(world, object, EventKind::Normal, "DriftAccepted", &text);
    let key = record.object.key.clone();
    record.resolve(Resolution::Accepted, cx.now, cx.settings);
    record.save(cx);
    Ok(Answer::Object(key))
}

/// `evenkeel drift heal`: the field is written back, and is the source's again.
pub fn heal(world: &World, name: &str, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let mut record = find(world, name)?;
    if !record.open() && record.status.resolution != Some(Resolution::Accepted) {
        return Err(Refusal::conflict(format!("drift \"{name}\" is settled already")));
    }
    let key = record.object.key.clone();
    let object = live(world, &record)?;
    let text = format!("{user} heals the drift of {}", record.spec.path);
    cx.event(world, object, EventKind::Normal, "DriftHealed", &text);
    if record.of_container() {
        containers::tell(object, &record, true, cx);
        return Ok(Answer::Object(key));
    }
    write_back(world, object, &record, cx)?;
    record.resolve(Resolution::Healed, cx.now, cx.settings);
    record.save(cx);
    Ok(Answer::Object(key))
}

/// Writes this one field back and leaves what else differs.
fn write_back(world: &World, live: &Object, record: &Record, cx: &mut Cx<'_>) -> Result<(), Refusal> {
    let gone = || Refusal::conflict("its source does not want the object any more");
    let wanted = world.desired.get(&live.key).ok_or_else(gone)?;
    let src = Src::load(world, &wanted.source).ok_or_else(gone)?;
    let kind = wanted.doc.key.kind;
    let schema = world.node(kind);
    let bad = |e: &dyn core::fmt::Display| Refusal::conflict(format!("{} cannot be written: {e}", record.spec.path));
    let path = FieldPath::parse(schema, &record.spec.path).map_err(|e| bad(&e))?;
    let mut one = evenkeel_schema::merge::FieldSet::default();
    one.insert(&path);
    let kept = |name: &str| live.meta.annotation(name);
    let revision = kept(names::REVISION).unwrap_or(wanted.revision.as_str());
    let value = release::applied(world, &wanted.doc, &wanted.source, revision, kept(names::FORMER));
    let before = release::without_status(live, kind);
    let mut exclude = excluded(world, &src, live).recursive_difference(&one);
    for other in diff(schema, &value, &before, &exclude).into_iter().filter(|d| d.path != record.spec.path) {
        exclude.insert(&other.field);
    }
    let object = release::onto(world, Some(live), &wanted.doc, &value, &wanted.source, &exclude, (cx.now, live.uid))
        .map_err(|e| bad(&e))?;
    cx.put(object);
    Ok(())
}
