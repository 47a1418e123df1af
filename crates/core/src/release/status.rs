//! What a Source says of itself: its conditions.
//!
//! Called by the engine at the end of each run. `Fetched` is set where events of the follower
//! arrive (`inbound.rs`).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::own::Phase;

use super::{
    delta::is_workload,
    progress::{self, State},
    state::{Rel, Src},
};
use crate::{cx::Cx, world::World};

/// Beyond so many workloads `Healthy` says how the release ended and no more: looking at all of
/// them with every pod that changes would cost more than the change.
const WORKLOADS_LOOKED_AT: usize = 100;

/// Sets all of them.
pub(super) fn conditions(world: &World, src: &mut Src, current: Option<&Rel>, cx: &mut Cx<'_>) {
    let (status, reason, message) = synced(world, src, current);
    src.condition("Synced", status, &reason, &message, cx);
    let (status, reason, message) = match healthy(src, current) {
        (true, reason, message) => degraded(world, src).unwrap_or((true, reason, message)),
        unhealthy => unhealthy,
    };
    src.condition("Healthy", status, &reason, &message, cx);
    let suspended = src.spec.suspend;
    let reason = if suspended { "Suspended" } else { "Active" };
    src.condition("Suspended", suspended, reason, "", cx);
    complete(world, src, cx);
}

fn synced(world: &World, src: &Src, current: Option<&Rel>) -> (bool, String, String) {
    let status = &src.status;
    let Some(observed) = &status.observed_revision else {
        return (false, "NoRevision".into(), "no revision has been seen yet".into());
    };
    if let Some(head) = src.pending(world) {
        let reason = match head.status.phase {
            Phase::Pending if !head.status.reason.is_empty() => head.status.reason.clone(),
            phase => phase.to_string(),
        };
        let message = format!("{} is not applied: {}", head.spec.revision.short(), head.status.message);
        return (false, reason, message);
    }
    match (&status.applied_revision, current) {
        (Some(applied), _) if applied == observed => {
            (true, "Applied".into(), format!("{} is applied", applied.short()))
        }
        (Some(applied), Some(rel)) => {
            let (applied, tried) = (applied.short(), rel.spec.revision.short());
            match (&status.pinned, &rel.status.cause) {
                (Some(pin), _) => {
                    let message = format!("{applied} is applied: the source is pinned to it by {}", pin.by);
                    (false, "Pinned".into(), message)
                }
                (None, Some(cause)) if tried != applied => {
                    let message =
                        format!("{applied} is applied, for {tried} failed: {}: {}", cause.object, cause.message);
                    (false, rel.status.phase.to_string(), message)
                }
                _ => (false, rel.status.phase.to_string(), format!("{applied} is applied; {}", rel.status.message)),
            }
        }
        (Some(applied), None) => (false, "Outdated".into(), format!("{} is applied", applied.short())),
        (None, _) => (false, "NotApplied".into(), "nothing is applied".into()),
    }
}

fn healthy(src: &Src, current: Option<&Rel>) -> (bool, String, String) {
    let Some(rel) = current else {
        return match &src.status.applied_revision {
            Some(applied) => (true, "Recovered".into(), format!("{} was applied before", applied.short())),
            None => (false, "NothingApplied".into(), String::new()),
        };
    };
    let phase = rel.status.phase;
    let good = matches!(phase, Phase::Healthy | Phase::RolledBack);
    // The message of a progressing release changes with every pod; its own status tells that.
    let message = match phase {
        Phase::Progressing => String::new(),
        _ => rel.status.message.clone(),
    };
    (good, phase.to_string(), message)
}

/// Whether a workload of the applied revision is not as it should be now, whatever its release was.
fn degraded(world: &World, src: &Src) -> Option<(bool, String, String)> {
    let snapshot = world.desired.applied(&src.name)?;
    let workloads = || snapshot.docs.iter().filter(|d| is_workload(d.key.kind)).map(|d| &d.key);
    if workloads().nth(WORKLOADS_LOOKED_AT).is_some() {
        return None;
    }
    let bad: Vec<String> =
        workloads().filter(|k| progress::workload(world, k) != State::Complete).map(ToString::to_string).collect();
    (!bad.is_empty()).then(|| (false, "Degraded".into(), format!("not complete: {}", bad.join(", "))))
}

fn complete(world: &World, src: &mut Src, cx: &Cx<'_>) {
    let Some(snapshot) = world.desired.applied(&src.name) else { return };
    let skipped = snapshot.skipped.join("; ");
    if skipped.is_empty() {
        src.condition("Complete", true, "Complete", "", cx);
    } else {
        let message = format!("left out, not supported yet: {skipped}");
        src.condition("Complete", false, "Unsupported", &message, cx);
    }
}
