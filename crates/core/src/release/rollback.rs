//! A failed release goes back: the last good revision is applied again, whole, once.
//!
//! Called by the engine and the watch window. Needs no network: the documents are kept.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{
    Key,
    own::{Cause, Phase, Quarantined, ReleaseSpec, RollbackMode},
};

use super::{
    delta::Delta,
    engine::Wakes,
    progress::{self, Looked},
    state::{Rel, Src},
};
use crate::{cx::Cx, world::World};

/// Quarantined contents that a source remembers: older ones than that are long gone.
const QUARANTINE_LIMIT: usize = 20;

/// The release does not come up.
pub(super) fn fail(world: &World, src: &mut Src, rel: &mut Rel, cause: Cause, cx: &mut Cx<'_>) {
    let message = format!("{}: {}", cause.object, cause.message);
    if let Some(digest) = rel.spec.digest.filter(|d| !cause.outside && !src.quarantined(d)) {
        let entry = Quarantined { digest, revision: rel.spec.revision.clone(), since: cx.now };
        src.status.quarantined.insert(0, entry);
        src.status.quarantined.truncate(QUARANTINE_LIMIT);
    }
    let reason = cause.reason.clone();
    rel.status.cause = Some(cause);
    rel.enter(world, src, Phase::Failed, &reason, &message, cx);
}

/// Applies the last good revision again if that is due; says whether it did.
pub(super) fn begin(world: &World, src: &mut Src, rel: &mut Rel, cx: &mut Cx<'_>) -> bool {
    if src.spec.rollback.unwrap_or_default() != RollbackMode::Auto {
        return false;
    }
    let (Some(revision), Some(digest)) = (src.status.last_good_revision.clone(), src.status.last_good_digest) else {
        return false;
    };
    if src.status.applied_digest == Some(digest) {
        return false;
    }
    let Some(good) = progress::good_snapshot(world, src).cloned() else { return false };
    let Some(old) = world.desired.applied(&src.name) else { return false };
    let delta = Delta::between(world, &src.name, old, &good);
    let mut workloads: Vec<String> = delta.workloads.iter().map(ToString::to_string).collect();
    workloads.extend(
        rel.status.workloads.iter().filter(|w| w.parse::<Key>().is_ok_and(|k| good.get(&k).is_some())).cloned(),
    );
    workloads.sort_unstable();
    workloads.dedup();
    rel.status.workloads = workloads;
    rel.status.rollback_to = Some(revision.clone());
    rel.status.written = false;
    src.status.applied_revision = Some(revision.clone());
    src.status.applied_digest = Some(digest);
    let taken: Vec<String> = rel.status.takes_back.iter().map(evenkeel_model::Revision::short).collect();
    let reason = rel.status.reason.clone();
    let message = format!("back to {}, taking back {}", revision.short(), taken.join(", "));
    rel.enter(world, src, Phase::RollingBack, &reason, &message, cx);
    true
}

/// Is the last good revision back?
pub(super) fn step(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    let since = progress::since(rel, Phase::RollingBack, cx);
    let reason = rel.status.cause.as_ref().map(|c| c.reason.clone()).unwrap_or_default();
    match progress::look(world, src, rel, since, cx) {
        Looked::Complete => {
            let to = rel.status.rollback_to.as_ref().map(evenkeel_model::Revision::short).unwrap_or_default();
            rel.enter(world, src, Phase::RolledBack, &reason, &format!("{to} runs again"), cx);
        }
        Looked::Waiting { wake, .. } => {
            if let Some(at) = wake {
                wakes.at(at);
            }
        }
        Looked::Failed(cause) => {
            let Cause { object, message, .. } = *cause;
            rel.enter(
                world,
                src,
                Phase::RollbackFailed,
                &reason,
                &format!("the last good revision did not come up either: {object}: {message}"),
                cx,
            );
        }
    }
}

/// A rollback that failed and came up after all.
pub(super) fn after_all(world: &World, src: &mut Src, rel: &mut Rel, cx: &mut Cx<'_>) {
    if progress::waiting(world, rel).is_empty() && progress::synced(world, src).is_ok() {
        rel.enter(world, src, Phase::Healthy, "CameBack", "the last good revision came up after all", cx);
    }
}

/// A failure from outside the revision is tried again, with back-off.
pub(super) fn retry_later(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    let outside = rel.status.cause.as_ref().is_some_and(|c| c.outside);
    // A newer revision is what would be tried instead.
    let newest = src.status.observed_revision.as_ref() == Some(&rel.spec.revision);
    if rel.status.phase != Phase::RolledBack || !outside || !newest || src.status.pending_release.is_some() {
        return;
    }
    if src.status.pinned.is_some() || src.spec.suspend {
        return;
    }
    let ended = rel.status.entered(Phase::RolledBack).unwrap_or(cx.now);
    let wait = back_off(cx.settings.retry_first, cx.settings.retry_max, rel.status.attempts);
    let due = ended + wait;
    if cx.now < due {
        wakes.at(due);
        return;
    }
    let spec = ReleaseSpec { requested_by: None, ..rel.spec.clone() };
    let mut next = Rel::draft(world, src, spec, cx);
    next.status.attempts = rel.status.attempts + 1;
    next.status.message = format!("tried again after {}", rel.status.reason);
    next.save(cx);
    src.status.pending_release = Some(next.name().into());
}

fn back_off(first: Duration, max: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(attempts.min(20)).unwrap_or(u32::MAX)).min(max)
}
