//! Drift: places where live differs from desired, recorded, healed or left.
//!
//! Object drift is found by sync, which compares; container drift by agents. What becomes of either
//! is decided here. `record.rs` keeps the ledger, `containers.rs` and
//! `network.rs` have what agents saw, `verbs.rs`
//! what users ask, `redact.rs` hides values of Secrets.

mod containers;
mod network;
mod record;
pub(crate) mod redact;
#[cfg(test)]
mod tests;
mod verbs;

use evenkeel_model::{
    Key, Kind, Object, Time,
    own::{DriftOrigin, Resolution},
};
use evenkeel_schema::merge::{FieldDiff, FieldPath, FieldSet, Managed};
use record::Record;
use serde_json::Value;

pub use containers::{observe, righted};
pub use network::network;
pub use verbs::{accept, heal};

use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    release::state::Src,
    world::World,
};

/// What sync does about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Write it.
    Heal,
    /// Write it then.
    Later(Time),
    /// Leave it.
    Leave,
}

/// Marks keys: the records about an object that went, or came anew.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let another = match (&changed.old, &changed.new) {
        (Some(old), Some(new)) => old.uid != new.uid,
        (_, None) => true,
        (None, _) => false,
    };
    if changed.key.kind == Kind::Drift {
        mark(changed.key.clone());
    } else if another && changed.key.kind != Kind::Event {
        record::keys_of(world, &changed.key).into_iter().for_each(mark);
    }
}

/// Looks at one record: whose object is gone, it is settled; a contested container may be due.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(mut record) = world.get(key).and_then(Record::read).filter(Record::open) else { return };
    let there =
        record::about(world, &record.spec).and_then(|k| world.get(&k)).filter(|o| o.uid == record.spec.object.uid);
    match there {
        None => {
            record.resolve(Resolution::Superseded, cx.now, cx.settings);
            record.save(cx);
        }
        Some(object) if record.of_container() => containers::due(world, object, record, cx),
        Some(_) => {}
    }
}

/// The object that a Drift is about.
pub(crate) fn object_key(world: &World, drift: &Object) -> Option<Key> {
    record::about(world, &drift.spec().ok()?)
}

/// Fields of an object that its source neither writes nor owns: `ignoreDifferences`, accepted
/// drift.
pub(crate) fn excluded(world: &World, src: &Src, live: &Object) -> FieldSet {
    let schema = world.node(live.key.kind);
    let kind = live.key.kind.text();
    let ignored = src.spec.ignore_differences.iter().filter(|i| {
        i.kind == kind
            && i.namespace.as_deref().is_none_or(|n| n == &*live.key.namespace)
            && i.name.as_deref().is_none_or(|n| n == &*live.key.name)
    });
    let mut out = FieldSet::default();
    for path in ignored.map(|i| i.path.clone()).chain(accepted(world, &live.key)) {
        // The schema refused a path that does not parse when the Source was written.
        if let Ok(path) = FieldPath::parse(schema, &path) {
            out.insert(&path);
        }
    }
    out
}

fn accepted(world: &World, key: &Key) -> impl Iterator<Item = alloc::string::String> {
    record::of_object(world, key)
        .into_iter()
        .filter(|r| r.status.resolution == Some(Resolution::Accepted) && !r.of_container())
        .map(|r| r.spec.path)
}

/// Records what differs although no revision changed it, settles what does not any more, and says
/// whether to write it back.
pub(crate) fn object(world: &World, src: &Src, live: &Object, differences: &[FieldDiff], cx: &mut Cx<'_>) -> Decision {
    let gone = |r: &Record| r.open() && !r.of_container() && !differences.iter().any(|d| d.path == r.spec.path);
    for mut record in record::of_object(world, &live.key).into_iter().filter(gone) {
        record.resolve(Resolution::Healed, cx.now, cx.settings);
        record.save(cx);
    }
    if differences.is_empty() {
        return Decision::Heal;
    }
    let managed = Managed::from_bytes(&live.managed).unwrap_or_default();
    let mut decision = if src.self_heal() { Decision::Heal } else { Decision::Leave };
    let mut records: alloc::vec::Vec<Record> = alloc::vec::Vec::new();
    for difference in differences {
        let origin = DriftOrigin::User(who(&managed, &difference.field, &src.name));
        let mut record = Record::of(world, &src.name, live, &difference.path, origin, cx);
        let show = |v: &Value| redact::value(world, live.key.kind, &difference.field, v);
        let (desired, now) = (show(&difference.desired), difference.live.as_ref().map_or(Value::Null, show));
        if !record.open() || record.status.count == 0 || record.spec.live != now || record.spec.desired != desired {
            record.seen(live, desired, now, cx.now);
            let text = alloc::format!("{}: {} is not as its source says", live.key, difference.path);
            cx.event(world, live, EventKind::Warning, "Drift", &text);
        }
        if let (Some(due), Decision::Heal | Decision::Later(_)) = (record.back_off(cx.now, cx.settings), decision) {
            decision = match decision {
                Decision::Later(at) => Decision::Later(at.min(due)),
                _ => Decision::Later(due),
            };
        }
        records.push(record);
    }
    for mut record in records {
        if decision == Decision::Heal {
            record.resolve(Resolution::Healed, cx.now, cx.settings);
        }
        record.save(cx);
    }
    decision
}

/// The user that wrote a field last.
fn who(managed: &Managed, field: &FieldPath, source: &str) -> alloc::string::String {
    let own = crate::release::manager(source);
    let others = managed.0.iter().filter(|e| e.manager != own);
    let owners = managed.owners_of(field);
    let owner = owners.into_iter().filter(|e| e.manager != own).max_by_key(|e| e.time);
    owner.or_else(|| others.max_by_key(|e| e.time)).map_or_else(|| "unknown".into(), |e| e.manager.clone())
}

/// A revision changed the object: what was open about it is settled.
pub(crate) fn superseded(world: &World, live: &Object, wanted: &Value, cx: &mut Cx<'_>) {
    let schema = world.node(live.key.kind);
    for mut record in record::of_object(world, &live.key).into_iter().filter(|r| r.open() && !r.of_container()) {
        let now = FieldPath::parse(schema, &record.spec.path).ok().and_then(|p| {
            let value = p.get(wanted)?;
            Some(redact::value(world, live.key.kind, &p, value))
        });
        let adopted = now.is_some_and(|v| v == record.spec.live);
        record.resolve(if adopted { Resolution::Adopted } else { Resolution::Superseded }, cx.now, cx.settings);
        record.save(cx);
    }
}

/// Whether somebody did something to a container behind its agent's back since then.
pub(crate) fn touched(world: &World, pod: &Key, container: &str, since: Time) -> bool {
    let path = alloc::format!("containers[{container}]");
    record::of_object(world, pod).iter().any(|r| {
        r.of_container()
            && r.status.last_seen.secs() >= since.secs()
            && (r.spec.path == path || r.spec.path == "sandbox")
    })
}
