//! What arrives from the followers of sources, and from agents that kept copies of sources.
//!
//! Called by the conductor for events. Only notes what came; whether and when a revision is applied
//! decides the engine, which runs because its Source was written.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{
    Diagnostic, Digest, Key, Kind, Meta, Object, Revision, Snapshot, SourceName, Version, canonical,
    own::{GoodRevision, Phase, ReleaseSpec, SourceStatus},
    session::SourceCopy,
};
use serde_json::json;

use super::state::{Rel, Src, latest, texts};
use crate::{change::Change, cx::Cx, world::World};

/// A revision that a source's follower has seen, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Source.
    pub source: SourceName,
    /// Revision.
    pub revision: Revision,
    /// `Name <mail>`; empty for a directory.
    pub author: String,
    /// First line of the commit's message.
    pub message: String,
    /// The documents, or everything that is wrong with them.
    pub outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
    /// For a directory: whether a second scan, `Settings::prune_confirm` after the first that
    /// missed something, misses the same. Always true for git.
    pub confirmed: bool,
}

/// A revision arrived.
pub fn seen(world: &World, seen: &Seen, cx: &mut Cx<'_>) {
    let Some(mut src) = Src::load(world, &seen.source) else { return };
    if src.object.deleting() {
        return;
    }
    fetched(&mut src, cx);
    let digest = seen.outcome.as_ref().ok().map(|s| s.digest());
    let asked_for = match (&seen.outcome, digest) {
        (Ok(snapshot), Some(digest)) => keep_missing(world, &mut src, seen, snapshot, digest, cx),
        _ => false,
    };
    if !asked_for {
        head(world, &mut src, seen, digest, cx);
    }
    src.save(cx);
}

/// After a recovery the documents of the applied or last good revision are asked for. Says whether
/// this was such an answer.
fn keep_missing(
    world: &World,
    src: &mut Src,
    seen: &Seen,
    snapshot: &Arc<Snapshot>,
    digest: Digest,
    cx: &mut Cx<'_>,
) -> bool {
    let missing = |known: Option<Digest>| known.is_none_or(|d| world.snapshot(&d).is_none());
    let is = |revision: &Option<Revision>| revision.as_ref() == Some(&seen.revision);
    let applied = is(&src.status.applied_revision) && missing(src.status.applied_digest);
    let good = is(&src.status.last_good_revision) && missing(src.status.last_good_digest);
    if !applied && !good {
        return false;
    }
    keep(seen, snapshot, cx);
    if good {
        src.status.last_good_digest = Some(digest);
        // Kept documents alone wake nobody; a rollback may wait for these.
        let message = format!("the documents of {} are known again", seen.revision.short());
        src.condition("Fetched", true, "Recovered", &message, cx);
    }
    if applied {
        src.status.applied_digest = Some(digest);
        src.condition("Synced", true, "Recovered", "the applied documents are known again", cx);
        if src.status.last_good_digest != Some(digest) {
            // Its rollout was never seen to its end: it is watched as any other.
            take_up_seen(world, src, seen, snapshot, digest, cx);
        }
        if src.status.observed_revision.is_none() {
            src.status.observed_revision = Some(seen.revision.clone());
        }
    }
    true
}

/// Whether the release that applied what is there went with a lost store, and was never seen to its end.
pub(super) fn is_unwatched(src: &Src, current: Option<&Rel>) -> bool {
    current.is_none() && src.status.last_good_digest != src.status.applied_digest
}

/// Makes a release the current one whose documents were applied before the store was lost.
pub(super) fn take_up(world: &World, src: &mut Src, rel: &mut Rel, applied: &Snapshot, cx: &mut Cx<'_>) {
    rel.status.workloads = super::delta::workloads_of(applied);
    rel.status.takes_back = alloc::vec![rel.spec.revision.clone()];
    rel.enter(world, src, Phase::Progressing, "Recovered", "taken up again after a recovery", cx);
    src.status.current_release = Some(rel.name().into());
}

/// The same under the revision that its documents were seen as just now.
fn take_up_seen(world: &World, src: &mut Src, seen: &Seen, applied: &Snapshot, digest: Digest, cx: &mut Cx<'_>) {
    let mut rel = Rel::draft(world, src, spec(seen, Some(digest)), cx);
    take_up(world, src, &mut rel, applied, cx);
    rel.save(cx);
}

/// The newest state of the source.
fn head(world: &World, src: &mut Src, seen: &Seen, digest: Option<Digest>, cx: &mut Cx<'_>) {
    let again = src.status.observed_revision.as_ref() == Some(&seen.revision);
    if again && repeated(world, src, seen, digest, cx) {
        return;
    }
    if !again && src.status.pinned.as_ref().is_some_and(|p| p.until_next_commit) {
        src.status.pinned = None;
    }
    src.status.observed_revision = Some(seen.revision.clone());
    if let Some(mut pending) = src.pending(world).filter(|p| p.status.phase == Phase::Pending) {
        pending.enter(world, src, Phase::Superseded, "", &format!("by {}", seen.revision.short()), cx);
        pending.save(cx);
    }
    src.status.pending_release = None;
    let Ok(snapshot) = &seen.outcome else {
        reject(world, src, seen, cx);
        return;
    };
    keep(seen, snapshot, cx);
    if digest.is_some() && digest == src.status.applied_digest && world.desired.applied(&src.name).is_some() {
        same_content(src, &seen.revision);
        if let Some(digest) = digest.filter(|_| is_unwatched(src, src.current(world).as_ref())) {
            take_up_seen(world, src, seen, snapshot, digest, cx);
        }
        return;
    }
    let mut rel = Rel::draft(world, src, spec(seen, digest), cx);
    rel.status.unconfirmed = !seen.confirmed;
    rel.save(cx);
    src.status.pending_release = Some(rel.name().into());
}

/// The revision that is the newest already; says whether that settles it.
fn repeated(world: &World, src: &mut Src, seen: &Seen, digest: Option<Digest>, cx: &mut Cx<'_>) -> bool {
    let Some(mut rel) = latest(world, &src.name, &seen.revision) else {
        return digest.is_some() && digest == src.status.applied_digest;
    };
    if rel.status.unconfirmed && seen.confirmed {
        rel.status.unconfirmed = false;
        rel.save(cx);
    }
    match &seen.outcome {
        Ok(_) => rel.spec.digest == digest,
        Err(diagnostics) => rel.spec.digest.is_none() && rel.status.diagnostics == texts(diagnostics),
    }
}

/// Nothing but comments, formatting or other paths changed: what is applied has a later name, and no object is
/// written.
pub(super) fn same_content(src: &mut Src, revision: &Revision) {
    src.status.applied_revision = Some(revision.clone());
    if src.status.last_good_digest == src.status.applied_digest {
        src.status.last_good_revision = Some(revision.clone());
    }
}

fn reject(world: &World, src: &mut Src, seen: &Seen, cx: &mut Cx<'_>) {
    let Err(diagnostics) = &seen.outcome else { return };
    let mut rel = Rel::draft(world, src, spec(seen, None), cx);
    rel.complain(diagnostics);
    let first = diagnostics.first().map(|d| format!("{}: {}", d.place, d.message)).unwrap_or_default();
    let message = match diagnostics.len() {
        0 | 1 => first,
        n => format!("{n} errors, first {first}"),
    };
    rel.enter(world, src, Phase::Rejected, "Invalid", &message, cx);
    rel.save(cx);
    src.status.pending_release = Some(rel.name().into());
}

fn spec(seen: &Seen, digest: Option<Digest>) -> ReleaseSpec {
    ReleaseSpec {
        source: seen.source.to_string(),
        revision: seen.revision.clone(),
        digest,
        author: seen.author.clone(),
        message: seen.message.clone(),
        requested_by: None,
    }
}

fn keep(seen: &Seen, snapshot: &Arc<Snapshot>, cx: &mut Cx<'_>) {
    cx.changes.push(Change::KeepSnapshot {
        source: seen.source.clone(),
        revision: seen.revision.clone(),
        snapshot: snapshot.clone(),
    });
}

fn fetched(src: &mut Src, cx: &Cx<'_>) {
    src.condition("Fetched", true, "Fetched", "", cx);
}

/// A source cannot be reached; `next_try` from now.
pub fn away(world: &World, source: &SourceName, reason: &str, message: &str, next_try: Duration, cx: &mut Cx<'_>) {
    let Some(mut src) = Src::load(world, source) else { return };
    let text = format!("{message}; next try at {}", cx.now + next_try);
    src.condition("Fetched", false, reason, &text, cx);
    src.save(cx);
}

/// A source answers again (or for the first time).
pub fn reachable(world: &World, source: &SourceName, cx: &mut Cx<'_>) {
    let Some(mut src) = Src::load(world, source) else { return };
    fetched(&mut src, cx);
    src.save(cx);
}

/// An agent's copy of the sources, heard while recovering: Sources that the store does not know
/// come back with their settings, applied and last good revision, pin and quarantine; those that a
/// restored store knows as they were are brought to where the agents saw them last.
pub fn recover(world: &World, copies: &[SourceCopy], cx: &mut Cx<'_>) {
    if world.recovering.is_none() {
        return;
    }
    for copy in copies {
        let key = Key::cluster(Kind::Source, copy.name.clone());
        let Some(src) = Src::load(world, &copy.name) else {
            if world.get(&key).is_none() {
                let body = json!({"spec": copy.spec});
                let meta = Meta { generation: 1, created: cx.now, ..Meta::default() };
                let object = Object::new(key, cx.rng.uid(), meta, canonical::value_bytes(&body).into());
                cx.put(object.with_status(&recovered_status(&copy.status)));
            }
            continue;
        };
        if is_newer(world, &src, copy) {
            let object = src.object.with_spec(&copy.spec);
            bring_up(world, src, object, copy, cx);
        } else if src.status.applied_revision.is_none() && copy.status.applied_revision.is_some() {
            // Added by a flag before the agents spoke: its settings are the newer ones.
            let object = Object::clone(&src.object);
            bring_up(world, src, object, copy, cx);
        }
    }
}

/// Whether a copy says more than the store: versions never repeat, also not between two stores.
fn is_newer(world: &World, src: &Src, copy: &SourceCopy) -> bool {
    let known = world.recovered.get(&src.name).copied().unwrap_or(src.object.version);
    copy.version > known
}

/// Copies that say what the world has now, with their versions: what later ones are held against.
pub fn taken(world: &World, copies: &[SourceCopy]) -> Vec<(SourceName, Version)> {
    if world.recovering.is_none() {
        return Vec::new();
    }
    let newer = |c: &&SourceCopy| Src::load(world, &c.name).is_none_or(|src| is_newer(world, &src, c));
    copies.iter().filter(newer).map(|c| (c.name.clone(), c.version)).collect()
}

/// Takes a copy's status. What its follower brought meanwhile is newer than the copy; releases of the
/// store that were under way are not any more.
fn bring_up(world: &World, src: Src, mut object: Object, copy: &SourceCopy, cx: &mut Cx<'_>) {
    let fresh = src.pending(world).filter(|r| r.object.meta.created >= cx.started);
    // What the nodes have seen applied may be what the store rolls out or watches: that goes on to its end.
    let applied = |r: &Rel| r.spec.digest.is_some() && r.spec.digest == copy.status.applied_digest;
    let goes_on = |r: &Rel| matches!(r.status.phase, Phase::Progressing | Phase::Healthy);
    let current = src.current(world).filter(|r| applied(r) && goes_on(r));
    let kept = |r: &Rel| [&fresh, &current].into_iter().flatten().any(|k| k.name() == r.name());
    let unfinished = |r: &Rel| {
        let open = matches!(r.status.phase, Phase::Pending | Phase::Progressing | Phase::RollingBack);
        open && *r.spec.source == *src.name && !kept(r)
    };
    for mut rel in world.list(Kind::Release, "").filter_map(Rel::read).filter(unfinished).collect::<Vec<_>>() {
        let message = "the nodes have seen a later state of the source";
        rel.enter(world, &src, Phase::Superseded, "Recovered", message, cx);
        rel.save(cx);
    }
    object.meta.generation += i64::from(object.body != src.object.body);
    let known = src.status;
    let mut status = recovered_status(&copy.status);
    if fresh.is_some() || status.observed_revision.is_none() {
        status.observed_revision = known.observed_revision.or(status.observed_revision);
    }
    status.pending_release = fresh.map(|r| r.name().into());
    status.current_release = current.map(|r| r.name().into());
    status.conditions = known.conditions;
    cx.put(object.with_status(&status));
}

/// Whether documents of a revision that was applied are awaited: until they are here, what the
/// objects shall be is not known.
pub fn awaits_documents(world: &World) -> bool {
    world.list(Kind::Source, "").any(|object| {
        let status: Option<SourceStatus> = object.status().ok().flatten();
        let applied = status.and_then(|s| s.applied_digest);
        !object.deleting() && applied.is_some_and(|digest| world.snapshot(&digest).is_none())
    })
}

/// Releases are gone with the store, so nothing may name one.
fn recovered_status(copy: &SourceStatus) -> SourceStatus {
    SourceStatus { current_release: None, pending_release: None, conditions: Vec::new(), ..copy.clone() }
}

/// Revisions whose documents a new server lacks and its followers can bring: the applied one, and
/// the last good one for a rollback. Answered by [`seen`].
pub fn wanted_revisions(world: &World) -> Vec<(SourceName, Revision)> {
    let mut out = Vec::new();
    for object in world.list(Kind::Source, "") {
        let Some(src) = Src::load(world, &object.key.name) else { continue };
        let status = &src.status;
        let applied = status.applied_revision.clone().zip(status.applied_digest);
        let good = status.last_good_revision.clone().zip(status.last_good_digest);
        for (revision, digest) in [applied, good].into_iter().flatten() {
            let wanted = (src.name.clone(), revision);
            if world.snapshot(&digest).is_none() && !out.contains(&wanted) {
                out.push(wanted);
            }
        }
    }
    out
}

/// Digests of the documents that a source still needs: applied, last good, earlier good, waiting,
/// newest. Everything else of it may be dropped.
pub fn kept_digests(world: &World, source: &str) -> Vec<Digest> {
    let Some(src) = Src::load(world, source) else { return Vec::new() };
    let status = &src.status;
    let mut out: Vec<Digest> = [status.applied_digest, status.last_good_digest].into_iter().flatten().collect();
    out.extend(status.earlier_good.iter().map(|g: &GoodRevision| g.digest));
    out.extend([src.pending(world), src.current(world)].into_iter().flatten().filter_map(|r| r.spec.digest));
    if let Some(head) = status.observed_revision.as_ref().and_then(|r| latest(world, source, r)) {
        out.extend(head.spec.digest);
    }
    out.sort_unstable();
    out.dedup();
    out
}
