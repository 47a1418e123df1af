//! May the waiting revision be applied: rejected, waiting with a reason, or applied whole.
//!
//! Called by the engine. The rules stand in order, the first that holds decides. Applying is one
//! small change of the Source's status; the sync controller then works off the objects.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use evenkeel_model::{
    Diagnostic, Key, Object, Snapshot, Time,
    own::{Phase, RollbackMode},
};

use super::{
    checks,
    delta::Delta,
    duration,
    engine::Wakes,
    goes_with,
    state::{Rel, Src, releases},
};
use crate::{controllers::account, cx::Cx, world::World};

/// Default of `maxUnsettled.age`.
const UNSETTLED_AGE: Duration = Duration::from_mins(15);
/// Created objects that a Release names; more are only counted.
const CREATED_LIMIT: usize = 1000;
/// Objects that a message names.
const NAMED_LIMIT: usize = 5;

/// What becomes of a waiting revision.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It does not pass the checks.
    Reject(Vec<Diagnostic>),
    /// Not now: a word and a sentence; something else, or the wake, brings it back.
    Wait(&'static str, String, Option<Time>),
    /// Apply it.
    Apply,
}

/// Looks at the waiting Release.
pub(super) fn step(world: &World, src: &mut Src, current: &mut Option<Rel>, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    let Some(mut head) = src.pending(world) else { return };
    match head.status.phase {
        Phase::Pending => {}
        // What could not be parsed waits for a new revision; what missed something is checked again.
        Phase::Rejected if head.spec.digest.is_some() => {}
        Phase::Rejected => return,
        _ => {
            src.status.pending_release = None;
            return;
        }
    }
    let Some(kept) = head.spec.digest.and_then(|d| world.snapshot(&d)) else { return };
    let snapshot = kept.snapshot.clone();
    if same_content(world, src, current.as_ref(), &mut head, cx) {
        return;
    }
    match verdict(world, src, current.as_ref(), &head, &snapshot, cx) {
        Verdict::Reject(diagnostics) => reject(world, src, &mut head, &diagnostics, cx),
        Verdict::Wait(reason, message, wake) => {
            if head.status.phase == Phase::Rejected {
                head.status.diagnostics.clear();
            }
            head.wait(world, src, reason, &message, cx);
            if let Some(at) = wake {
                wakes.at(at);
            }
        }
        Verdict::Apply => {
            apply(world, src, current, &mut head, &snapshot, cx);
            *current = Some(head);
            return;
        }
    }
    head.save(cx);
}

/// What waited may have become what is applied, by a rollback: then there is nothing to do.
fn same_content(world: &World, src: &mut Src, current: Option<&Rel>, head: &mut Rel, cx: &mut Cx<'_>) -> bool {
    let Some(applied) = world.desired.applied(&src.name) else { return false };
    let asked = head.spec.requested_by.is_some() || current.is_some_and(|c| c.spec.digest == head.spec.digest);
    if asked || head.spec.digest != src.status.applied_digest {
        return false;
    }
    super::inbound::same_content(src, &head.spec.revision);
    src.status.pending_release = None;
    if super::inbound::is_unwatched(src, current) {
        super::inbound::take_up(world, src, head, applied, cx);
    } else {
        head.enter(world, src, Phase::Superseded, "Unchanged", "its documents are applied already", cx);
    }
    head.save(cx);
    true
}

fn reject(world: &World, src: &Src, head: &mut Rel, diagnostics: &[Diagnostic], cx: &mut Cx<'_>) {
    let texts = super::state::texts(diagnostics);
    if head.status.phase == Phase::Rejected && head.status.diagnostics == texts {
        return;
    }
    head.status.diagnostics = texts;
    let first = diagnostics.first().map(|d| format!("{}: {}", d.place, d.message)).unwrap_or_default();
    let message = if diagnostics.len() > 1 { format!("{} errors, first {first}", diagnostics.len()) } else { first };
    head.enter(world, src, Phase::Rejected, "NotAdmitted", &message, cx);
}

fn verdict(
    world: &World,
    src: &Src,
    current: Option<&Rel>,
    head: &Rel,
    snapshot: &Arc<Snapshot>,
    cx: &Cx<'_>,
) -> Verdict {
    let wrong = checks::run(world, &src.name, snapshot, &cx.settings.network);
    if !wrong.is_empty() {
        return Verdict::Reject(wrong);
    }
    // After a recovery the applied documents come first: what they made must be known before
    // something else replaces it.
    let limit = cx.started + cx.settings.recovery_wait * 2;
    if src.status.applied_digest.is_some() && world.desired.applied(&src.name).is_none() && cx.now < limit {
        let message = "the documents of the applied revision are not known yet".into();
        return Verdict::Wait("Recovering", message, Some(limit));
    }
    if let Some(q) = head.spec.digest.and_then(|d| src.status.quarantined.iter().find(|q| q.digest == d)) {
        let message = format!("its content failed as {}; `evenkeel retry` tries it again", q.revision.short());
        return Verdict::Wait("Quarantined", message, None);
    }
    if src.spec.suspend {
        return Verdict::Wait("Suspended", "the source is suspended".into(), None);
    }
    if let Some(pin) = src.status.pinned.as_ref().filter(|p| p.revision != head.spec.revision) {
        let message = format!("the source is pinned to {} by {}", pin.revision.short(), pin.by);
        return Verdict::Wait("Pinned", message, None);
    }
    if let Some(wait) = settling(world, src, current, head, cx) {
        return wait;
    }
    if !head.status.allow_mass_delete
        && let Some(message) = mass_delete(world, src, snapshot)
    {
        return Verdict::Wait("MassDelete", message, None);
    }
    Verdict::Apply
}

/// A rollback runs to its end, and a busy branch lets a rollout end now and then.
fn settling(world: &World, src: &Src, current: Option<&Rel>, head: &Rel, cx: &Cx<'_>) -> Option<Verdict> {
    let current = current.filter(|_| !head.status.now)?;
    let auto = src.spec.rollback.unwrap_or_default() == RollbackMode::Auto;
    let under_way = match current.status.phase {
        Phase::RollingBack => {
            let message = format!("the rollback of {} is under way", current.spec.revision.short());
            return Some(Verdict::Wait("Settling", message, None));
        }
        Phase::Progressing => true,
        Phase::Healthy => current.status.reason == super::window::WATCHING,
        // It goes back in the next run.
        Phase::Failed => auto && src.status.last_good_digest.is_some_and(|d| Some(d) != src.status.applied_digest),
        _ => false,
    };
    if !under_way {
        return None;
    }
    let limit = src.spec.max_unsettled.clone().unwrap_or_default();
    let age = duration::or(Some(&limit.age), UNSETTLED_AGE);
    let good = src.status.last_good_revision.as_ref();
    let since =
        good.and_then(|g| super::state::latest(world, &src.name, g)).map_or(Time(i64::MIN), |r| r.object.meta.created);
    let later: Vec<Rel> = releases(world, &src.name)
        .into_iter()
        .filter(|r| r.object.meta.created >= since && Some(&r.spec.revision) != good && r.name() != head.name())
        .collect();
    let oldest = later.iter().map(|r| r.object.meta.created).min()?;
    let commits = u32::try_from(later.len()).unwrap_or(u32::MAX);
    let behind = commits > limit.commits || cx.now.since(oldest) > age;
    behind.then(|| {
        let message = format!(
            "the last good revision is {commits} commits behind; the rollout of {} ends first (`evenkeel sync --now` does not wait)",
            current.spec.revision.short()
        );
        Verdict::Wait("Settling", message, None)
    })
}

/// Why a revision counts as a mass deletion.
pub(super) fn mass_delete(world: &World, src: &Src, snapshot: &Snapshot) -> Option<String> {
    let old = world.desired.applied(&src.name)?;
    let delta = Delta::between(world, &src.name, old, snapshot);
    let (mut gone, mut total) = (delta.deleted.len(), old.docs.len());
    for key in &delta.deleted {
        // What goes with it, also what the source did not make.
        let alone = |o: &&Arc<Object>| o.meta.owners.is_empty() && !account::given(o);
        let others = goes_with(world, key).into_iter().filter(alone).filter(|o| old.get(&o.key).is_none()).count();
        gone += others;
        total += others;
    }
    let limit = src.spec.mass_delete.clone().unwrap_or_default();
    let all = gone > 0 && snapshot.docs.is_empty();
    #[allow(clippy::cast_precision_loss)] // counts of objects are far below 2^52
    let share = gone as f64 > total as f64 * limit.fraction;
    let many = share && gone > limit.count as usize;
    if !(all || many) {
        return None;
    }
    let names: Vec<String> = delta.deleted.iter().take(NAMED_LIMIT).map(|k| format!("{k}")).collect();
    let more = if delta.deleted.len() > NAMED_LIMIT { ", …" } else { "" };
    Some(format!(
        "it would delete {gone} of {total} objects ({}{more}); `evenkeel sync {} --allow-mass-delete` lets it through",
        names.join(", "),
        src.name
    ))
}

/// Makes a Release's documents the applied ones.
pub(super) fn apply(
    world: &World,
    src: &mut Src,
    current: &mut Option<Rel>,
    rel: &mut Rel,
    snapshot: &Arc<Snapshot>,
    cx: &mut Cx<'_>,
) {
    let nothing = Arc::new(Snapshot::default());
    let old = world.desired.applied(&src.name).unwrap_or(&nothing);
    let delta = Delta::between(world, &src.name, old, snapshot);
    let mut workloads: Vec<String> = delta.workloads.iter().map(|k| format!("{k}")).collect();
    let mut takes_back = alloc::vec![rel.spec.revision.clone()];
    if let Some(current) = current.as_mut().filter(|c| c.name() != rel.name()) {
        // What the last one left unfinished is this one's to finish: it becomes good with it or not.
        if unsettled(current) {
            let wanted = |w: &&String| w.parse::<Key>().is_ok_and(|k| snapshot.get(&k).is_some());
            workloads.extend(current.status.workloads.iter().filter(wanted).cloned());
            takes_back.extend(current.status.takes_back.iter().filter(|r| **r != rel.spec.revision).cloned());
        }
        supersede(world, src, current, rel, cx);
        current.save(cx);
    }
    workloads.sort_unstable();
    workloads.dedup();
    let counts = delta.counts();
    rel.status.workloads = workloads;
    rel.status.takes_back = takes_back;
    rel.status.created = delta.created.iter().take(CREATED_LIMIT).map(|k| format!("{k}")).collect();
    rel.status.changes = Some(counts);
    rel.status.cause = None;
    rel.status.written = false;
    rel.complain(&snapshot.warnings);
    rel.remark(delta.stays());
    src.status.applied_revision = Some(rel.spec.revision.clone());
    src.status.applied_digest = rel.spec.digest;
    src.status.current_release = Some(rel.name().into());
    if src.status.pending_release.as_deref() == Some(rel.name()) {
        src.status.pending_release = None;
    }
    let message = format!("{} to create, {} to change, {} to delete", counts.created, counts.changed, counts.deleted);
    rel.enter(world, src, Phase::Progressing, "", &message, cx);
    rel.save(cx);
}

/// Whether a release that is applied has not become last good.
fn unsettled(rel: &Rel) -> bool {
    match rel.status.phase {
        Phase::Progressing | Phase::Failed | Phase::RollingBack | Phase::RollbackFailed => true,
        Phase::Healthy => rel.status.reason == super::window::WATCHING,
        Phase::Pending | Phase::Rejected | Phase::RolledBack | Phase::Superseded => false,
    }
}

/// A newer release took over. How a failed one ended stays to be read.
fn supersede(world: &World, src: &Src, old: &mut Rel, by: &Rel, cx: &mut Cx<'_>) {
    if !matches!(old.status.phase, Phase::RolledBack | Phase::RollbackFailed | Phase::Rejected | Phase::Superseded) {
        old.enter(world, src, Phase::Superseded, "", &format!("by {}", by.spec.revision.short()), cx);
    }
}
