//! The watch window: a release that is up is watched before it becomes the last good one.
//!
//! Called for a `Healthy` Release. A restart of one of its containers, or fewer pods available than
//! its workloads promise, still fails it; drift, lost nodes and the engine never do. At its end the
//! nodes are asked, so that what they had to tell by then is known.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{
    Key, Time,
    own::{GoodRevision, Phase},
};

use super::{
    cause::{self, Scope},
    duration,
    engine::Wakes,
    progress, rollback,
    state::{Rel, Src},
};
use crate::{
    cx::{Cx, EventKind},
    world::World,
};

pub(super) use crate::world::windows::WATCHING;

/// How long an answer of the nodes is waited for before they are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Default of `watchWindow`.
const WINDOW: Duration = Duration::from_secs(30);

/// How long a source's releases are watched.
pub(super) fn length(src: &Src) -> Duration {
    duration::or(src.spec.watch_window.as_deref(), WINDOW)
}

/// How often containers have ended by themselves, before it is watched.
pub(super) fn ended(world: &World, src: &Src, rel: &Rel, since: Time, cx: &Cx<'_>) -> BTreeMap<String, u32> {
    let scope = Scope::new(world, src, rel, since, cx);
    let keys = rel.status.workloads.iter().filter_map(|w| w.parse::<Key>().ok());
    keys.flat_map(|key| cause::all_ends(&scope, &key)).collect()
}

/// Takes the step that is due.
pub(super) fn step(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    if rel.status.reason != WATCHING {
        return;
    }
    let healthy = rel.status.entered(Phase::Healthy).unwrap_or(cx.now);
    if rel.status.ended.is_none() {
        // An earlier version watched it until now.
        rel.status.ended = Some(ended(world, src, rel, healthy, cx));
    }
    for key in rel.status.workloads.iter().filter_map(|w| w.parse().ok()) {
        let scope = Scope::new(world, src, rel, healthy, cx);
        if let Some(cause) = cause::degraded(&scope, &key) {
            rollback::fail(world, src, rel, cause, cx);
            return;
        }
    }
    // Nobody watched while the server was away.
    let end = healthy.max(cx.started) + length(src);
    if cx.now < end {
        wakes.at(end);
        return;
    }
    // A crash within the window may be on its way, or its node be cut off: silent nodes do not count.
    let untold: BTreeSet<Arc<str>> = {
        let scope = Scope::new(world, src, rel, healthy, cx);
        let keys = rel.status.workloads.iter().filter_map(|w| w.parse::<Key>().ok());
        let nodes = keys.flat_map(|key| cause::nodes(&scope, &key).collect::<Vec<_>>());
        nodes.filter(|node| !world.nodes.has_told_until(node, end)).cloned().collect()
    };
    if !untold.is_empty() {
        cx.roll_calls.extend(untold);
        wakes.at(cx.now + ASK_AGAIN);
        return;
    }
    // What is incomplete now is so by drift or a lost node: it becomes good when that is over.
    if progress::waiting(world, rel).is_empty() && progress::synced(world, src).is_ok() {
        good(world, src, rel, cx);
    }
}

/// It is the last good one now.
fn good(world: &World, src: &mut Src, rel: &mut Rel, cx: &mut Cx<'_>) {
    // Commits that changed no document have moved the applied revision on meanwhile.
    let revision = src.status.applied_revision.clone().unwrap_or_else(|| rel.spec.revision.clone());
    let Some(digest) = src.status.applied_digest else { return };
    let earlier = &mut src.status.earlier_good;
    if let Some(back) = earlier.iter().position(|g| g.digest == digest) {
        // Someone went back to it: what came later is no way back any more.
        earlier.drain(..=back);
    } else if let (Some(revision), Some(before)) = (src.status.last_good_revision.take(), src.status.last_good_digest)
        && before != digest
    {
        earlier.insert(0, GoodRevision { revision, digest: before });
    }
    earlier.truncate(cx.settings.good_revisions.saturating_sub(1));
    src.status.last_good_revision = Some(revision.clone());
    src.status.last_good_digest = Some(digest);
    src.status.quarantined.retain(|q| q.digest != digest);
    rel.status.reason.clear();
    rel.status.ended = None;
    rel.status.message = "the last good revision".into();
    rel.status.takes_back.clear();
    let text = alloc::format!("{} is the last good revision now", revision.short());
    cx.event(world, &src.object, EventKind::Normal, "LastGood", &text);
}
