//! What a source does not want any more: deleted, given back, or kept, and told why.
//!
//! Called by sync for objects that nothing wants. Only what the source itself made goes.

use alloc::format;

use evenkeel_model::{Key, Kind, Object, Snapshot, names};

use super::{engine::source_of, goes_with, state::Src, write};
use crate::{
    controllers::account,
    cx::{Cx, EventKind},
    world::{World, deletion},
};

/// Namespaces that are always there.
const BUILT_IN: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// What becomes of an object.
enum Fate {
    /// Nothing: it is none of a source's, or it is not known yet what its source wants.
    None,
    /// Its source is gone and left its objects.
    Release,
    /// It stays although its source does not want it.
    Keep(&'static str),
    /// It was there before its source took it over.
    GiveBack,
    /// It goes.
    Delete,
}

/// What becomes of an object whose source applies documents without it.
pub(super) enum Left {
    /// It is deleted.
    Goes,
    /// It stays, and why.
    Stays(&'static str),
    /// It is gone, or has become another's.
    NotOurs,
}

const KEPT: &str = "it is annotated evenkeel.dev/prune: \"false\"";
const HOLDS_OTHERS: &str = "it holds objects of others";
const GIVEN_BACK: &str = "it was there before the source took it over, and becomes what it was";

/// Says before a revision is applied what [`unwanted`] will do once it is.
pub(super) fn left(world: &World, source: &str, key: &Key, new: &Snapshot) -> Left {
    let ours = |o: &Object| o.source() == Some(source) && o.meta.annotation(names::APPLIED).is_some();
    let Some(live) = world.get(key).filter(|o| ours(o)) else { return Left::NotOurs };
    if world.desired.source_of(key).is_some_and(|s| **s != *source) {
        return Left::NotOurs;
    }
    let wanted = |k: &Key| new.get(k).is_some() || world.desired.source_of(k).is_some_and(|s| **s != *source);
    if live.meta.annotation(names::PRUNE) == Some("false") {
        return Left::Stays(KEPT);
    }
    if holds_others(world, key, source, wanted) {
        return Left::Stays(HOLDS_OTHERS);
    }
    if live.meta.annotation(names::FORMER).is_some() { Left::Stays(GIVEN_BACK) } else { Left::Goes }
}

/// Looks at an object that no applied revision wants.
pub(super) fn unwanted(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(live) = world.get(key).filter(|o| !o.deleting()) else { return };
    let Some(source) = live.source() else { return };
    let src = Src::load(world, source);
    let tell = |world: &World, reason: &str, text: &str, cx: &mut Cx<'_>| {
        if let Some(src) = &src {
            cx.event(world, &src.object, EventKind::Normal, reason, text);
        }
    };
    match fate(world, live, src.as_ref()) {
        Fate::None => {}
        Fate::Release => cx.put(write::released(live, source)),
        Fate::Keep(why) => {
            tell(world, "NotPruned", &format!("{key} is not in the source any more and stays: {why}"), cx);
        }
        Fate::GiveBack => match write::give_back(live, source) {
            Some(object) => {
                cx.put(object);
                tell(world, "GivenBack", &format!("{key} is as it was before the source took it over"), cx);
            }
            None => tell(world, "NotPruned", &format!("{key} stays: its former state cannot be read"), cx),
        },
        Fate::Delete => {
            cx.changes.extend(deletion::request(world, key, None, cx.now));
            tell(world, "Pruned", &format!("{key} is deleted"), cx);
        }
    }
}

fn fate(world: &World, live: &Object, src: Option<&Src>) -> Fate {
    // A label alone can be set by anybody.
    if live.meta.annotation(names::APPLIED).is_none() {
        return Fate::None;
    }
    let Some(src) = src else { return Fate::Release };
    let removing = src.object.deleting();
    let known = world.desired.applied(&src.name).is_some();
    if !(known || removing) || src.current(world).is_some_and(|r| r.status.unconfirmed && !removing) {
        return Fate::None;
    }
    if live.meta.annotation(names::PRUNE) == Some("false") {
        return if removing { Fate::Release } else { Fate::Keep(KEPT) };
    }
    if holds_others(world, &live.key, &src.name, |k| world.desired.source_of(k).is_some()) {
        return if removing { Fate::Release } else { Fate::Keep(HOLDS_OTHERS) };
    }
    if live.meta.annotation(names::FORMER).is_some() { Fate::GiveBack } else { Fate::Delete }
}

/// Whether a Namespace or a definition may not go, because what goes with it is wanted, was not made by its
/// source, or must stay.
fn holds_others(world: &World, key: &Key, source: &str, wanted: impl Fn(&Key) -> bool) -> bool {
    let name = &key.name;
    let namespace = key.kind == Kind::Namespace;
    if namespace && (BUILT_IN.contains(&&**name) || world.desired.in_namespace(name).any(&wanted)) {
        return true;
    }
    goes_with(world, key).into_iter().any(|o| {
        !o.deleting()
            && !account::given(o)
            && (wanted(&o.key)
                || source_of(world, o).as_deref() != Some(source)
                || o.meta.annotation(names::PRUNE) == Some("false")
                || o.meta.annotation(names::FORMER).is_some())
    })
}

/// An object that is yet to be pruned: it is not wanted and nothing keeps it. With `gone`, one
/// that is on its way out counts as well.
pub(crate) fn left_to_prune(world: &World, source: &str, gone: bool) -> Option<Key> {
    let src = Src::load(world, source)?;
    let mut keys = world.of_source(source).filter(|k| world.desired.source_of(k).is_none_or(|s| **s != *source));
    keys.find(|k| {
        world.get(k).is_some_and(|o| {
            if o.deleting() {
                return gone;
            }
            matches!(fate(world, o, Some(&src)), Fate::Delete | Fate::GiveBack | Fate::Release)
        })
    })
    .cloned()
}
