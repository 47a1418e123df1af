//! What users ask about sources: add, change, remove, sync, retry, roll back, unpin, plan.
//!
//! Called by `ask.rs` of the crate. Deliberately not here: parsing a request (the API does).

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
};

use evenkeel_model::{
    Digest, Key, Kind, Labels, Meta, Object, Revision, SourceName, Version, names,
    own::{Phase, Pin, ReleaseSpec, SourceSpec},
};
use serde_json::json;

use super::{
    admit, checks, plan,
    state::{Rel, Src, latest},
};
use crate::{
    ask::{Answer, Ask, Refusal},
    cx::{Cx, EventKind},
    edit::Owners,
    world::World,
};

/// Finalizer of a Source that is being removed together with its objects.
const FINALIZER: &str = "evenkeel.dev/objects";

/// Decides on a request about a source.
pub fn handle(world: &World, ask: &Ask, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    match ask {
        Ask::CreateSource { name, spec, meta, owners, dry_run } => {
            create(world, (name, *dry_run), spec, (meta, owners), cx)
        }
        Ask::UpdateSource { name, spec, if_version, meta, owners, dry_run } => {
            update(world, (name, *dry_run), spec, *if_version, (meta.as_ref(), owners), cx)
        }
        Ask::DeleteSource { name, prune, dry_run } => delete(world, name, (*prune, *dry_run), cx),
        Ask::Sync { name, now, allow_mass_delete } => sync(world, name, *now, *allow_mass_delete, user, cx),
        Ask::Retry { name } => retry(world, name, user, cx),
        Ask::Rollback { name, revision, reason, until_next_commit } => {
            rollback(world, name, revision.as_ref(), reason, *until_next_commit, user, cx)
        }
        Ask::Unpin { name } => unpin(world, name, user, cx),
        Ask::Diff { source, snapshot } => Ok(Answer::Plan(plan::of(world, source, snapshot, cx))),
        Ask::DriftAccept { .. }
        | Ask::DriftHeal { .. }
        | Ask::UpdateNode { .. }
        | Ask::NodeUse
        | Ask::RenewLeases { .. }
        | Ask::DeleteNode { .. }
        | Ask::OrphanAdopt { .. }
        | Ask::OrphanRemove { .. }
        | Ask::Evict { .. }
        | Ask::Rebalance(_)
        | Ask::Edit(_)
        | Ask::Acme(_)
        | Ask::DeletePod { .. } => Err(Refusal::invalid("the request is not about a source")),
    }
}

fn source(world: &World, name: &SourceName) -> Result<Src, Refusal> {
    let key = Key::cluster(Kind::Source, name.clone());
    let src = Src::load(world, name).ok_or_else(|| Refusal::not_found(&key))?;
    if src.object.deleting() {
        return Err(Refusal::conflict(format!("source \"{name}\" is being removed")));
    }
    Ok(src)
}

fn valid(spec: &SourceSpec) -> Result<(), Refusal> {
    match (&spec.git, &spec.directory) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(Refusal::invalid("exactly one of spec.git and spec.directory must be set")),
    }
}

fn create(
    world: &World,
    (name, dry_run): (&SourceName, bool),
    spec: &SourceSpec,
    (meta, owners): (&Meta, &Owners),
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    valid(spec)?;
    let key = Key::cluster(Kind::Source, name.clone());
    if let Some(there) = world.get(&key) {
        let why = there.spec().ok().and_then(|s: SourceSpec| checks::other_origin(&s, spec)).unwrap_or_default();
        return Err(Refusal::exists(&key, &why));
    }
    let mut object = cx.draft(key.clone(), &json!({"spec": spec}));
    object.meta.labels = meta.labels.clone();
    object.meta.annotations = meta.annotations.clone();
    object.managed = owners.of(world, None, &object, cx.now);
    if dry_run {
        return Ok(Answer::WouldCreate(Arc::new(object)));
    }
    cx.put(object);
    Ok(Answer::Object(key))
}

fn update(
    world: &World,
    (name, dry_run): (&SourceName, bool),
    spec: &SourceSpec,
    if_version: Option<Version>,
    (meta, owners): (Option<&Meta>, &Owners),
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let src = source(world, name)?;
    valid(spec)?;
    if if_version.is_some_and(|v| v != src.object.version) {
        return Err(Refusal::conflict(format!(
            "the object has been modified; please apply your changes to the latest version of source \"{name}\""
        )));
    }
    if let Some(why) = checks::other_origin(&src.spec, spec) {
        return Err(Refusal::invalid(why));
    }
    let mut object = src.object.with_spec(spec);
    if let Some(meta) = meta {
        object.meta.labels = with_own(&meta.labels, &object.meta.labels);
        object.meta.annotations = with_own(&meta.annotations, &object.meta.annotations);
    }
    let body_changed = object.body != src.object.body;
    object.meta.generation += i64::from(body_changed);
    object.managed = owners.of(world, Some(&src.object), &object, cx.now);
    if dry_run {
        return Ok(Answer::Would(Arc::new(object)));
    }
    if !object.same_content(&src.object) {
        cx.put(object);
    }
    Ok(Answer::Object(src.object.key.clone()))
}

/// Labels or annotations as given, but Evenkeel's own as they were: nobody writes those by hand.
fn with_own(given: &Labels, before: &Labels) -> Labels {
    let own = |k: &&String| k.starts_with("evenkeel.dev/");
    let theirs = given.iter().filter(|(k, _)| !own(k));
    let ours = before.iter().filter(|(k, _)| own(k));
    let all: BTreeMap<String, String> = theirs.chain(ours).map(|(k, v)| (k.clone(), v.clone())).collect();
    Arc::new(all)
}

fn delete(
    world: &World,
    name: &SourceName,
    (prune, dry_run): (bool, bool),
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let src = source(world, name)?;
    let before = src.object.clone();
    if dry_run {
        return Ok(Answer::Deleted(before));
    }
    if prune {
        let mut object = Object::clone(&src.object);
        object.meta.annotate(names::REMOVE_WITH_OBJECTS, "true");
        object.meta.finalizers = [FINALIZER.to_string()].into();
        object.meta.deletion = Some(evenkeel_model::meta::Deletion { at: cx.now, grace_seconds: 0 });
        cx.put(object);
    } else {
        cx.delete(src.object.key.clone());
    }
    Ok(Answer::Deleted(before))
}

fn sync(
    world: &World,
    name: &SourceName,
    now: bool,
    allow_mass_delete: bool,
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let src = source(world, name)?;
    if let Some(mut head) = src.pending(world) {
        head.status.now |= now;
        if allow_mass_delete && !head.status.allow_mass_delete {
            head.status.allow_mass_delete = true;
            let text = format!("{user} lets the mass deletion of {} through", head.name());
            cx.event(world, &src.object, EventKind::Normal, "MassDeleteAllowed", &text);
        }
        head.save(cx);
    }
    Ok(Answer::Object(src.object.key.clone()))
}

fn retry(world: &World, name: &SourceName, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let mut src = source(world, name)?;
    if let Some(pin) = &src.status.pinned {
        return Err(Refusal::conflict(format!(
            "source \"{name}\" is pinned to {}; unpin it first",
            pin.revision.short()
        )));
    }
    // A waiting newest revision (quarantined with its content) is tried itself.
    if let Some(mut head) = src.pending(world).filter(|h| h.status.phase == Phase::Pending) {
        let digest = head.spec.digest;
        src.status.quarantined.retain(|q| Some(q.digest) != digest);
        head.status.now = true;
        head.save(cx);
        src.save(cx);
        return Ok(Answer::Object(src.object.key.clone()));
    }
    let failed = |r: &Rel| {
        matches!(r.status.phase, Phase::Failed | Phase::RolledBack | Phase::RollbackFailed | Phase::RollingBack)
    };
    let Some(current) = src.current(world).filter(failed) else {
        return Err(Refusal::conflict(format!("nothing of source \"{name}\" has failed")));
    };
    let digest = current.spec.digest;
    again(world, &mut src, current.spec, user, cx)?;
    src.status.quarantined.retain(|q| Some(q.digest) != digest);
    src.save(cx);
    Ok(Answer::Object(src.object.key.clone()))
}

/// A further attempt at a revision, waiting to be applied.
fn again(world: &World, src: &mut Src, spec: ReleaseSpec, user: &str, cx: &mut Cx<'_>) -> Result<(), Refusal> {
    if spec.digest.is_none_or(|d| world.snapshot(&d).is_none()) {
        return Err(Refusal::conflict(format!("the documents of {} are not kept any more", spec.revision)));
    }
    if let Some(mut old) = src.pending(world).filter(|p| p.status.phase == Phase::Pending) {
        old.enter(world, src, Phase::Superseded, "", "", cx);
        old.save(cx);
    }
    let mut rel = Rel::draft(world, src, ReleaseSpec { requested_by: Some(user.into()), ..spec }, cx);
    rel.status.now = true;
    rel.status.message = format!("asked for by {user}");
    rel.save(cx);
    src.status.pending_release = Some(rel.name().into());
    Ok(())
}

fn rollback(
    world: &World,
    name: &SourceName,
    to: Option<&Revision>,
    reason: &str,
    until_next_commit: bool,
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let mut src = source(world, name)?;
    if world.recovering.is_some() {
        return Err(Refusal::conflict("the server is recovering"));
    }
    let (revision, digest) = target(world, &src, to)?;
    let Some(kept) = world.snapshot(&digest) else {
        return Err(Refusal::invalid(format!("the documents of {revision} are not kept any more")));
    };
    let wrong = checks::run(world, &src.name, &kept.snapshot, &cx.settings.network);
    if let Some(first) = wrong.first() {
        return Err(Refusal::conflict(format!("{revision} cannot be applied now: {first}")));
    }
    let earlier = latest(world, name, &revision).map(|r| r.spec);
    let spec = ReleaseSpec {
        source: name.to_string(),
        digest: Some(digest),
        author: earlier.as_ref().map(|s| s.author.clone()).unwrap_or_default(),
        message: earlier.map(|s| s.message).unwrap_or_default(),
        requested_by: Some(user.into()),
        revision: revision.clone(),
    };
    let mut rel = Rel::draft(world, &src, spec, cx);
    src.status.quarantined.retain(|q| q.digest != digest);
    src.status.pinned = Some(Pin {
        revision: revision.clone(),
        by: user.into(),
        reason: reason.into(),
        since: cx.now,
        until_next_commit,
    });
    let gap = if reason.is_empty() { "" } else { ": " };
    let text = format!("{user} rolls back to {} and pins it{gap}{reason}", revision.short());
    cx.event(world, &src.object, EventKind::Normal, "Pinned", &text);
    let mut current = src.current(world);
    let snapshot = kept.snapshot.clone();
    admit::apply(world, &mut src, &mut current, &mut rel, &snapshot, cx);
    src.save(cx);
    Ok(Answer::Object(src.object.key.clone()))
}

/// Where a rollback goes.
fn target(world: &World, src: &Src, to: Option<&Revision>) -> Result<(Revision, Digest), Refusal> {
    let status = &src.status;
    let good = status.last_good_revision.clone().zip(status.last_good_digest);
    let mut goods = good.into_iter().chain(status.earlier_good.iter().map(|g| (g.revision.clone(), g.digest)));
    match to {
        None => goods
            .find(|(_, digest)| Some(*digest) != status.applied_digest)
            .ok_or_else(|| Refusal::conflict("there is no good revision before the applied one")),
        Some(revision) => goods
            .find(|(r, _)| r == revision)
            .or_else(|| {
                let rel = latest(world, &src.name, revision).filter(|r| r.spec.revision == *revision)?;
                Some((revision.clone(), rel.spec.digest?))
            })
            .or_else(|| {
                // A commit that changed no document has no release of its own.
                let applied = status.applied_revision.as_ref() == Some(revision);
                Some((revision.clone(), status.applied_digest.filter(|_| applied)?))
            })
            .ok_or_else(|| Refusal::invalid(format!("no revision {revision} of source \"{}\" is known", src.name))),
    }
}

fn unpin(world: &World, name: &SourceName, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let mut src = source(world, name)?;
    let Some(pin) = src.status.pinned.take() else {
        return Err(Refusal::conflict(format!("source \"{name}\" is not pinned")));
    };
    let text = format!("{user} takes the pin to {} away", pin.revision.short());
    cx.event(world, &src.object, EventKind::Normal, "Unpinned", &text);
    // What the pin held back, or took back, is the newest revision again.
    let head = src.status.observed_revision.clone().filter(|r| Some(r) != src.status.applied_revision.as_ref());
    if src.status.pending_release.is_none()
        && let Some(last) = head.and_then(|r| latest(world, name, &r))
        && last.spec.digest.is_some_and(|d| Some(d) != src.status.applied_digest)
    {
        again(world, &mut src, last.spec, user, cx)?;
    }
    src.save(cx);
    Ok(Answer::Object(src.object.key.clone()))
}
