//! Bounds of what only grows: events, resolved drifts, finished releases, requests for certificates, contents
//! that no ReplicaSet refers to, documents of revisions that nothing needs.
//!
//! The work hangs on keys with an empty name, one for each concern, so that many new objects cause
//! one walk over their own kind, and only now and then. Nothing here walks pods.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{
    ContentRef, Digest, Key, Kind, Object, Time, names,
    own::{DriftStatus, Phase, ReleaseSpec, ReleaseStatus, Resolution, SourceStatus},
};
use serde_json::Value;

use super::ControllerId;
use crate::{
    change::{Change, Changed},
    cx::Cx,
    world::World,
};

/// How often ages are looked at while there is anything to age.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// How far a count may pass its bound before a walk takes it back: one walk for so many.
const SLACK: usize = 128;
/// Documents that were just kept are not looked at before their release names them.
const SNAPSHOT_GRACE: Duration = Duration::from_mins(1);

/// How long a request for a certificate waits for a decision, and stays after one: as in Kubernetes.
const REQUEST_WAITS: Duration = Duration::from_hours(24);
const REQUEST_DECIDED: Duration = Duration::from_hours(1);

fn concern(kind: Kind) -> Key {
    Key { kind, namespace: "".into(), name: "".into() }
}

/// Marks a concern when something of it was made, or something that needed it went.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let made = changed.old.is_none() && changed.new.is_some();
    match changed.key.kind {
        // The first one starts the clock; later ones count only beyond the bound.
        kind @ (Kind::Event | Kind::Drift) if made => {
            let n = world.count(kind);
            // Not written just now: the server has started anew, and the clock with it.
            let restored = changed.new.as_ref().is_some_and(|o| o.version != world.version);
            if n == 1 || n.is_multiple_of(SLACK) || restored {
                mark(concern(kind));
            }
        }
        kind @ (Kind::Release | Kind::CertificateSigningRequest) if made => mark(concern(kind)),
        Kind::ReplicaSet
            if changed.new.is_none()
                && changed.old.as_ref().is_some_and(|o| o.meta.annotation(names::CONTENTS).is_some()) =>
        {
            mark(concern(Kind::ReplicaSet));
        }
        Kind::Source if changed.status_changed() => mark(concern(Kind::Source)),
        _ => {}
    }
}

/// Looks at one concern.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    match key.kind {
        Kind::Event => events(world, cx),
        Kind::Drift => drifts(world, cx),
        Kind::Release => releases(world, cx),
        Kind::ReplicaSet => contents(world, cx),
        Kind::Source => snapshots(world, cx),
        Kind::CertificateSigningRequest => requests(world, cx),
        _ => {}
    }
}

/// An accepted drift holds as long as nobody takes it back.
fn settled_at(object: &Object) -> Option<Time> {
    let status = object.status::<DriftStatus>().ok().flatten()?;
    status.resolved_at.filter(|_| status.resolution != Some(Resolution::Accepted))
}

fn event_time(object: &Object) -> Time {
    let body = object.body_map();
    let last = body.get("lastTimestamp").and_then(Value::as_str).and_then(Time::parse_rfc3339);
    last.unwrap_or(object.meta.created)
}

/// Events beyond an age, and the oldest beyond a count. In the order of their last write: only
/// those at the old end are decoded.
fn events(world: &World, cx: &mut Cx<'_>) {
    let mut all: Vec<&Arc<Object>> = world.list(Kind::Event, "").collect();
    all.sort_by_key(|o| o.version);
    let surplus = all.len().saturating_sub(cx.settings.event_count);
    let age = cx.settings.event_age;
    let mut left = all.len();
    for (i, event) in all.into_iter().enumerate() {
        if i >= surplus && event_time(event) + age > cx.now {
            break;
        }
        cx.delete(event.key.clone());
        left -= 1;
    }
    if left > 0 {
        cx.wake(cx.now + LOOK_EVERY, ControllerId::Retention, concern(Kind::Event));
    }
}

/// Resolved drifts beyond an age, and the oldest beyond a count. Open ones stay.
fn drifts(world: &World, cx: &mut Cx<'_>) {
    let mut dated: Vec<(Time, &Key)> =
        world.list(Kind::Drift, "").filter_map(|o| Some((settled_at(o)?, &o.key))).collect();
    dated.sort();
    let surplus = dated.len().saturating_sub(cx.settings.drift_count);
    let age = cx.settings.drift_age;
    let gone = dated.iter().enumerate().take_while(|(i, (at, _))| *i < surplus || *at + age <= cx.now);
    let gone: Vec<Key> = gone.map(|(_, (_, key))| Key::clone(key)).collect();
    let left = world.count(Kind::Drift) > gone.len();
    for key in gone {
        cx.delete(key);
    }
    if left {
        cx.wake(cx.now + LOOK_EVERY, ControllerId::Retention, concern(Kind::Drift));
    }
}

/// Requests for certificates some time after their decision, or when there is none for long.
fn requests(world: &World, cx: &mut Cx<'_>) {
    let mut left = false;
    for request in world.list(Kind::CertificateSigningRequest, "") {
        let status: Value = request.status().ok().flatten().unwrap_or_default();
        let times = status["conditions"].as_array().into_iter().flatten().filter_map(|c| c["lastUpdateTime"].as_str());
        let decided = times.filter_map(Time::parse_rfc3339).max();
        let until = decided.map_or(request.meta.created + REQUEST_WAITS, |at| at + REQUEST_DECIDED);
        if until <= cx.now {
            cx.delete(request.key.clone());
        } else {
            left = true;
        }
    }
    if left {
        cx.wake(cx.now + LOOK_EVERY, ControllerId::Retention, concern(Kind::CertificateSigningRequest));
    }
}

/// Releases that are over, beyond the count of their source: the oldest go. The one that is
/// current and those that still move stay.
fn releases(world: &World, cx: &mut Cx<'_>) {
    let mut by_source: BTreeMap<String, Vec<(Time, &Key)>> = BTreeMap::new();
    for release in world.list(Kind::Release, "") {
        let (Ok(spec), Ok(Some(status))) = (release.spec::<ReleaseSpec>(), release.status::<ReleaseStatus>()) else {
            continue;
        };
        let over = matches!(
            status.phase,
            Phase::Rejected | Phase::Superseded | Phase::RolledBack | Phase::RollbackFailed | Phase::Healthy
        );
        if over {
            by_source.entry(spec.source).or_default().push((release.meta.created, &release.key));
        }
    }
    for (source, mut list) in by_source {
        let status = source_status(world, &source);
        let named = |key: &Key| {
            let name = Some(&*key.name);
            status
                .as_ref()
                .is_some_and(|s| s.current_release.as_deref() == name || s.pending_release.as_deref() == name)
        };
        list.sort();
        let surplus = list.len().saturating_sub(cx.settings.release_count);
        for (_, key) in list.into_iter().take(surplus).filter(|(_, k)| !named(k)) {
            cx.delete(key.clone());
        }
    }
}

fn source_status(world: &World, name: &str) -> Option<SourceStatus> {
    world.get(&Key::cluster(Kind::Source, name))?.status().ok().flatten()
}

/// Contents that no ReplicaSet refers to.
fn contents(world: &World, cx: &mut Cx<'_>) {
    let mut used: BTreeSet<Digest> = BTreeSet::new();
    for set in world.list(Kind::ReplicaSet, "") {
        let refs = set.meta.annotation(names::CONTENTS).and_then(|t| serde_json::from_str::<Vec<ContentRef>>(t).ok());
        used.extend(refs.into_iter().flatten().map(|r| r.digest));
    }
    cx.changes.extend(world.content_digests().filter(|d| !used.contains(*d)).map(|d| Change::DropContent(*d)));
}

/// Documents that no source names and no unfinished release needs. What a release was made for is
/// in its spec; a snapshot is kept in the same batch as its release, or shortly before.
fn snapshots(world: &World, cx: &mut Cx<'_>) {
    let mut used: BTreeSet<Digest> = BTreeSet::new();
    for source in world.list(Kind::Source, "") {
        used.extend(crate::release::kept_digests(world, &source.key.name));
    }
    let mut young = false;
    let mut ended: BTreeMap<String, Vec<(Time, Digest)>> = BTreeMap::new();
    for release in world.list(Kind::Release, "") {
        let (Ok(spec), Ok(Some(status))) = (release.spec::<ReleaseSpec>(), release.status::<ReleaseStatus>()) else {
            continue;
        };
        let over = matches!(status.phase, Phase::Rejected | Phase::Superseded);
        let fresh = release.meta.created + SNAPSHOT_GRACE > cx.now;
        young |= over && fresh;
        let moving = matches!(status.phase, Phase::Pending | Phase::Progressing | Phase::Failed | Phase::RollingBack);
        if moving || fresh {
            used.extend(spec.digest);
        } else if let Some(digest) = spec.digest.filter(|_| !over) {
            ended.entry(spec.source).or_default().push((release.meta.created, digest));
        }
    }
    // Of those that ended the newest: `retry` and `rollback --to` need no git.
    for mut list in ended.into_values() {
        list.sort();
        used.extend(list.into_iter().rev().take(cx.settings.good_revisions).map(|(_, d)| d));
    }
    if young {
        cx.wake(cx.now + SNAPSHOT_GRACE, ControllerId::Retention, concern(Kind::Source));
    }
    cx.changes.extend(world.snapshots().filter(|(d, _)| !used.contains(*d)).map(|(d, _)| Change::DropSnapshot(*d)));
}
