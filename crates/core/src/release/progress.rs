//! Is the applied release up: drives it from `Progressing` to its end.
//!
//! Called by the engine for the current Release. A release is up when every object is written and
//! every workload it touched is complete, as Kubernetes says it of a rollout.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, Snapshot, Time, names, own::Phase};
use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus, ReplicaSetSpec, ReplicaSetStatus};

use super::{
    cause::{self, Scope},
    engine::Wakes,
    rollback,
    state::{Rel, Src},
    sync, window,
};
use crate::{
    cx::Cx,
    world::{World, crew::Crew, pods::PodPhase},
};

/// `progressDeadlineSeconds` where nothing says it, as in Kubernetes; also the deadline for writing
/// all objects.
pub(super) const PROGRESS_DEADLINE: Duration = Duration::from_mins(10);

/// How far a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// All its pods are as wanted, and available.
    Complete,
    /// Why not yet.
    Waiting(String),
}

/// Takes the step that is due.
pub(super) fn step(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    match rel.status.phase {
        Phase::Progressing => progressing(world, src, rel, wakes, cx),
        Phase::Healthy => window::step(world, src, rel, wakes, cx),
        Phase::Failed => failed(world, src, rel, wakes, cx),
        Phase::RollingBack => rollback::step(world, src, rel, wakes, cx),
        Phase::RollbackFailed => rollback::after_all(world, src, rel, cx),
        Phase::Pending | Phase::Rejected | Phase::RolledBack | Phase::Superseded => {}
    }
}

fn progressing(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    let since = since(rel, Phase::Progressing, cx);
    let looked = look(world, src, rel, since, cx);
    match looked {
        Looked::Complete => {
            rel.status.ended = Some(window::ended(world, src, rel, since, cx));
            rel.enter(world, src, Phase::Healthy, window::WATCHING, "every workload it touched is complete", cx);
            rel.status.cause = None;
            wakes.at(cx.now + window::length(src));
        }
        Looked::Waiting { message, wake } => {
            rel.status.message = message;
            if let Some(at) = wake {
                wakes.at(at);
            }
        }
        Looked::Failed(cause) => rollback::fail(world, src, rel, *cause, cx),
    }
}

/// A first release that failed stays applied and may yet come up: when it stayed up for the watch
/// window, so that one which crashes now and then does not go back and forth.
fn failed(world: &World, src: &mut Src, rel: &mut Rel, wakes: &mut Wakes, cx: &mut Cx<'_>) {
    if rollback::begin(world, src, rel, cx) || !waiting(world, rel).is_empty() || synced(world, src).is_err() {
        return;
    }
    let failed = since(rel, Phase::Failed, cx);
    let applied = rel.status.entered(Phase::Progressing).unwrap_or(failed);
    let scope = Scope::new(world, src, rel, applied, cx);
    let keys = rel.status.workloads.iter().filter_map(|w| w.parse::<Key>().ok());
    let crashed = keys.filter_map(|k| cause::last_crash(&scope, &k)).max();
    let due = crashed.map_or(failed, |c| c.max(failed)) + window::length(src);
    if cx.now < due {
        wakes.at(due);
        return;
    }
    let digest = rel.spec.digest;
    src.status.quarantined.retain(|q| Some(q.digest) != digest);
    rel.status.ended = Some(window::ended(world, src, rel, applied, cx));
    rel.enter(world, src, Phase::Healthy, window::WATCHING, "it came up after all", cx);
}

/// From when on waits count: never from before this server watched.
pub(super) fn since(rel: &Rel, phase: Phase, cx: &Cx<'_>) -> Time {
    rel.status.entered(phase).unwrap_or(cx.now).max(cx.started)
}

/// What a look at all workloads of a release gives.
pub(super) enum Looked {
    /// All is as wanted.
    Complete,
    /// Not yet; looked at again at `wake`.
    Waiting { message: String, wake: Option<Time> },
    /// It will not come up.
    Failed(alloc::boxed::Box<evenkeel_model::own::Cause>),
}

/// Looks at what a release touched.
pub(super) fn look(world: &World, src: &Src, rel: &mut Rel, since: Time, cx: &Cx<'_>) -> Looked {
    // Once all is written, what is not is drift, which sync sees to.
    let written = if rel.status.written { Ok(()) } else { synced(world, src) };
    if let Err(which) = written {
        let at = since + PROGRESS_DEADLINE;
        if cx.now >= at && nodes_answer(world) {
            return Looked::Failed(alloc::boxed::Box::new(evenkeel_model::own::Cause {
                object: which.to_string(),
                reason: "NotWritten".into(),
                message: format!("{which} could not be brought to what the revision says"),
                ..evenkeel_model::own::Cause::default()
            }));
        }
        return Looked::Waiting { message: format!("{which} is being written"), wake: Some(at) };
    }
    rel.status.written = true;
    let rel = &*rel;
    let mut wake: Option<Time> = None;
    let mut first = String::new();
    let unfinished = waiting(world, rel);
    let count = unfinished.len();
    for (key, why) in unfinished {
        let scope = Scope::new(world, src, rel, since, cx);
        match cause::of_workload(&scope, &key) {
            cause::Found::Failure(cause) => return Looked::Failed(alloc::boxed::Box::new(cause)),
            cause::Found::Later(at) => wake = Some(wake.map_or(at, |w| w.min(at))),
            cause::Found::Nothing => {}
        }
        if let Some(deadline) = deadline(world, &key, since, cx.now) {
            if cx.now >= deadline {
                return Looked::Failed(alloc::boxed::Box::new(cause::stuck(&scope, &key)));
            }
            wake = Some(wake.map_or(deadline, |w| w.min(deadline)));
        }
        if first.is_empty() {
            let held = world.get(&key).and_then(|o| cause::not_made(world, o));
            first = held.map_or_else(|| format!("{key}: {why}"), |held| format!("{key}: {why}; {held}"));
        }
    }
    match count {
        0 => Looked::Complete,
        1 => Looked::Waiting { message: first, wake },
        n => Looked::Waiting { message: format!("{n} workloads are not complete; {first}"), wake },
    }
}

/// Workloads of a release that are not complete. What is not wanted any more does not count.
pub(super) fn waiting(world: &World, rel: &Rel) -> Vec<(Key, String)> {
    let keys = rel.status.workloads.iter().filter_map(|w| w.parse::<Key>().ok());
    keys.filter(|k| world.desired.source_of(k).is_some_and(|s| **s == *rel.spec.source))
        .filter_map(|k| match workload(world, &k) {
            State::Complete => None,
            State::Waiting(why) => Some((k, why)),
        })
        .collect()
}

/// Whether every object is as the applied documents say; else one that is not.
pub(super) fn synced(world: &World, src: &Src) -> Result<(), Key> {
    let Some(snapshot) = world.desired.applied(&src.name) else {
        return Err(src.object.key.clone());
    };
    // Sync works in the order of keys, so the last ones tell first.
    for doc in snapshot.docs.iter().rev() {
        if world.desired.source_of(&doc.key).is_some_and(|s| *s == src.name) && !sync::is_written(world, &src.name, doc)
        {
            return Err(doc.key.clone());
        }
    }
    match sync::left_to_prune(world, &src.name, false) {
        Some(key) => Err(key),
        None => Ok(()),
    }
}

/// How far a workload is.
pub(super) fn workload(world: &World, key: &Key) -> State {
    let Some(object) = world.get(key) else { return State::Waiting("it is not there".into()) };
    match key.kind {
        Kind::Deployment => deployment(world, object),
        Kind::ReplicaSet => replica_set(object),
        Kind::Pod => match world.pods.get(key) {
            Some(p) if p.ready() || p.phase == PodPhase::Succeeded => State::Complete,
            _ => State::Waiting("the pod is not ready".into()),
        },
        _ => State::Complete,
    }
}

fn deployment(world: &World, object: &Object) -> State {
    let spec: DeploymentSpec = object.spec().unwrap_or_default();
    let status: DeploymentStatus = object.status().ok().flatten().unwrap_or_default();
    if status.observed_generation.unwrap_or_default() < object.meta.generation {
        return State::Waiting("its change has yet to be taken up".into());
    }
    if spec.paused.unwrap_or_default() {
        return State::Complete;
    }
    // A changed ConfigMap does not step the generation, and a set may come back from the history
    // before the status says so: the set of what is wanted now must be up itself.
    let Some(set) = crate::controllers::deployment::current_replica_set(world, object) else {
        return State::Waiting("its new pods have yet to be made".into());
    };
    let wanted = spec.replicas.unwrap_or(1);
    let n = |v: Option<i32>| v.unwrap_or_default();
    let (updated, all, available) = (n(status.updated_replicas), n(status.replicas), n(status.available_replicas));
    let own: ReplicaSetStatus = set.status().ok().flatten().unwrap_or_default();
    let own = n(own.available_replicas);
    if updated < wanted {
        State::Waiting(format!("{updated} of {wanted} pods are of the new template"))
    } else if all > updated {
        State::Waiting(format!("{} old pods have yet to go", all - updated))
    } else if available.min(own) < wanted {
        State::Waiting(format!("{} of {wanted} pods are available", available.min(own)))
    } else {
        State::Complete
    }
}

fn replica_set(object: &Object) -> State {
    let spec: ReplicaSetSpec = object.spec().unwrap_or_default();
    let status: ReplicaSetStatus = object.status().ok().flatten().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    if status.observed_generation.unwrap_or_default() < object.meta.generation {
        return State::Waiting("its change has yet to be taken up".into());
    }
    let available = status.available_replicas.unwrap_or_default();
    if status.replicas != wanted || available < wanted {
        return State::Waiting(format!("{available} of {wanted} pods are available"));
    }
    State::Complete
}

/// When a workload that makes no progress has failed; `None` while nobody could make progress.
pub(super) fn deadline(world: &World, key: &Key, since: Time, now: Time) -> Option<Time> {
    if !nodes_answer(world) {
        return None;
    }
    let object = world.get(key)?;
    let mut from = since;
    let mut limit = PROGRESS_DEADLINE;
    if key.kind == Kind::Deployment {
        let spec: DeploymentSpec = object.spec().unwrap_or_default();
        if let Some(secs) = spec.progress_deadline_seconds.and_then(|s| u64::try_from(s).ok()) {
            limit = Duration::from_secs(secs);
        }
        let status: DeploymentStatus = object.status().ok().flatten().unwrap_or_default();
        let progressed = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == "Progressing" && c.status == "True")
            .and_then(|c| c.last_update_time.as_ref())
            .map(|t| Time(t.0.as_millisecond()));
        from = progressed.map_or(from, |t| from.max(t));
    }
    // A node that was away, or its engine, held its pods up: they get the whole time again, and so do those
    // that take the place of pods whose node is gone.
    let set = cause::present_set(world, object);
    let unready = set.iter().filter_map(|set| world.pods.crew(set.uid)).flat_map(Crew::unready);
    let alone = (key.kind == Kind::Pod).then_some(key);
    for record in unready.chain(alone).filter_map(|key| world.pods.get(key)).filter(|record| !record.ready()) {
        from = from.max(record.created);
    }
    let nodes = set.iter().flat_map(|set| world.pods.nodes_of(set.uid));
    for node in nodes.chain(object.node.as_ref()) {
        if world.nodes.get(node).is_none_or(|n| !n.ready) {
            return None;
        }
        from = from.max(world.nodes.works_since(node, now));
    }
    Some(from + limit)
}

/// Whether any node could do work.
pub(super) fn nodes_answer(world: &World) -> bool {
    world.nodes.iter().any(|(_, n)| n.ready)
}

/// What a Deployment promises: pods that are available at any time.
pub(super) fn promised(object: &Object) -> i32 {
    let spec: DeploymentSpec = object.spec().unwrap_or_default();
    let replicas = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return replicas;
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    let surge = amount(rolling.max_surge.as_ref(), replicas, true);
    let mut unavailable = amount(rolling.max_unavailable.as_ref(), replicas, false);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    (replicas - unavailable).max(0)
}

fn amount(value: Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>, of: i32, up: bool) -> i32 {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let percent = |p: i64| {
        let product = i64::from(of) * p;
        i32::try_from(if up { (product + 99) / 100 } else { product / 100 }).unwrap_or(of)
    };
    match value {
        Some(IntOrString::Int(n)) => *n,
        Some(IntOrString::String(s)) => {
            s.strip_suffix('%').and_then(|p| p.parse().ok()).map_or_else(|| s.parse().unwrap_or(0), percent)
        }
        None => percent(25),
    }
}

/// The Release that a ReplicaSet was made by.
pub(super) fn made_by(object: &Object) -> Option<&str> {
    object.meta.annotation(names::RELEASE)
}

/// The documents that a release's rollback applies.
pub(super) fn good_snapshot<'a>(world: &'a World, src: &Src) -> Option<&'a alloc::sync::Arc<Snapshot>> {
    src.status.last_good_digest.and_then(|d| world.snapshot(&d)).map(|k| &k.snapshot)
}
