//! A Deployment's status: counts and the conditions Progressing, Available, ReplicaFailure with
//! Kubernetes' reasons, which the release engine and `kubectl rollout status` read.

use alloc::{format, string::String, vec::Vec};

use evenkeel_model::{Object, Time, names};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSetStatus};

use super::{Owned, Run, WAITING_FOR_CONFIG, template::shown_revision};
use crate::{
    controllers::{ControllerId, tally::seconds},
    cx::{Cx, EventKind},
    world::crew::Crew,
};

/// `progressDeadlineSeconds` if the Deployment does not say.
const DEFAULT_DEADLINE: i32 = 600;

/// Writes status and revision annotation where they changed, and asks for the next look that no
/// change causes.
pub(super) fn write(run: &mut Run<'_>, new: Option<usize>, cx: &mut Cx<'_>) {
    // While a big ReplicaSet is being filled in many runs, one status at the end tells it all.
    let filling = run.owned.iter().any(|o| o.tally.active + 500 < o.wanted);
    let old: DeploymentStatus = run.deployment.status().ok().flatten().unwrap_or_default();
    let mut next = counts(run, new, &old);
    let mut conditions = old.conditions.clone().unwrap_or_default();
    available(run, &next, &mut conditions, cx.now);
    failure(run, new, &mut conditions, cx.now);
    let deadline = progressing(run, new, &old, &next, &mut conditions, cx);
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    next.conditions = Some(conditions);
    let mut object = Object::clone(run.deployment);
    if let Some(n) = new
        && run.owned[n].revision() != shown_revision(&object)
    {
        object.meta.annotate(names::DEPLOYMENT_REVISION, format!("{}", run.owned[n].revision()));
    }
    if next != old {
        object = object.with_status(&next);
    }
    if !filling && !object.same_content(run.deployment) {
        cx.put(object);
    }
    let waits = run.owned.iter().filter_map(|o| o.tally.next_available).chain(deadline).filter(|at| *at > cx.now);
    if let Some(at) = waits.min() {
        cx.wake(at, ControllerId::Deployment, run.deployment.key.clone());
    }
}

/// Whether a Deployment is on its way to what it says, as its status has it. One that has missed its
/// deadline, or is paused, is not.
pub(crate) fn rolling(deployment: &Object) -> bool {
    let status: DeploymentStatus = deployment.status().ok().flatten().unwrap_or_default();
    if status.observed_generation != Some(deployment.meta.generation) {
        return true;
    }
    let progressing = status.conditions.iter().flatten().find(|c| c.type_ == "Progressing");
    progressing.is_some_and(|c| c.status == "True" && c.reason.as_deref() != Some("NewReplicaSetAvailable"))
}

fn counts(run: &Run<'_>, new: Option<usize>, old: &DeploymentStatus) -> DeploymentStatus {
    let sum = |f: fn(&Owned) -> i32| run.owned.iter().map(f).sum::<i32>();
    let total = sum(|o| o.tally.active);
    let available = sum(|o| o.tally.available);
    let some = |n: i32| Some(n).filter(|n| *n > 0);
    DeploymentStatus {
        replicas: some(total),
        updated_replicas: some(new.map_or(0, |n| run.owned[n].tally.active)),
        ready_replicas: some(sum(|o| o.tally.ready)),
        available_replicas: some(available),
        unavailable_replicas: some(run.limits.replicas.max(total) - available),
        terminating_replicas: Some(sum(|o| o.tally.terminating)),
        observed_generation: Some(run.deployment.meta.generation),
        collision_count: old.collision_count,
        conditions: None,
    }
}

/// Sets a condition; its transition time moves with its status, its update time with any change.
fn set(list: &mut Vec<DeploymentCondition>, kind: &str, status: &str, reason: &str, message: String, now: Time) {
    let at = Some(now.to_k8s());
    match list.iter_mut().find(|c| c.type_ == kind) {
        Some(c)
            if c.status == status && c.reason.as_deref() == Some(reason) && c.message.as_ref() == Some(&message) => {}
        Some(c) => {
            if c.status != status {
                c.last_transition_time.clone_from(&at);
            }
            c.status = status.into();
            c.reason = Some(reason.into());
            c.message = Some(message);
            c.last_update_time = at;
        }
        None => list.push(DeploymentCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: at.clone(),
            last_update_time: at,
        }),
    }
}

fn available(run: &Run<'_>, next: &DeploymentStatus, list: &mut Vec<DeploymentCondition>, now: Time) {
    // Recreate promises nothing while it goes on, and everything afterwards; Kubernetes counts so.
    let least = if run.limits.recreate { run.limits.replicas } else { run.limits.min_ready() };
    if next.available_replicas.unwrap_or(0) >= least {
        let message = "Deployment has minimum availability.".into();
        set(list, "Available", "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.".into();
        set(list, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
}

fn failure(run: &Run<'_>, new: Option<usize>, list: &mut Vec<DeploymentCondition>, now: Time) {
    let of = |o: &Owned| -> Option<(String, String)> {
        let status: ReplicaSetStatus = o.object.status().ok().flatten()?;
        let c = status.conditions?.into_iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
        Some((c.reason.unwrap_or_default(), c.message.unwrap_or_default()))
    };
    let first = new.and_then(|n| of(&run.owned[n])).or_else(|| run.owned.iter().find_map(of));
    match first {
        Some((reason, message)) => set(list, "ReplicaFailure", "True", &reason, message, now),
        None => list.retain(|c| c.type_ != "ReplicaFailure"),
    }
}

/// Whether everything of the newest template is there and available, and nothing else is.
fn complete(run: &Run<'_>, next: &DeploymentStatus) -> bool {
    let wanted = run.limits.replicas;
    [next.updated_replicas, next.replicas, next.available_replicas].into_iter().all(|n| n.unwrap_or(0) == wanted)
}

/// The Progressing condition; gives when its deadline is due.
fn progressing(
    run: &mut Run<'_>,
    new: Option<usize>,
    old: &DeploymentStatus,
    next: &DeploymentStatus,
    list: &mut Vec<DeploymentCondition>,
    cx: &mut Cx<'_>,
) -> Option<Time> {
    let kind = "Progressing";
    let name = new.map_or(&run.deployment.key.name, |n| &run.owned[n].object.key.name).clone();
    let reason = list.iter().find(|c| c.type_ == kind).and_then(|c| c.reason.clone()).unwrap_or_default();
    if run.spec.paused() {
        set(list, kind, "Unknown", "DeploymentPaused", "Deployment is paused".into(), cx.now);
        return None;
    }
    if reason == "DeploymentPaused" {
        set(list, kind, "Unknown", "DeploymentResumed", "Deployment is resumed".into(), cx.now);
    }
    let given = run.progress.take();
    let waits = given.as_ref().is_some_and(|(r, _)| *r == WAITING_FOR_CONFIG);
    if let Some((given, message)) = given
        && !(waits && reason == "ProgressDeadlineExceeded")
    {
        set(list, kind, "True", given, message, cx.now);
        if !waits {
            return due(run, list, cx);
        }
    }
    let was_complete = reason == "NewReplicaSetAvailable" && !waits;
    // Once complete, pods that die later are no progress and no failure of it: as in Kubernetes.
    if was_complete && next.replicas == next.updated_replicas && new.is_some() {
        return None;
    }
    if new.is_some() && complete(run, next) && !waits {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set(list, kind, "True", "NewReplicaSetAvailable", message, cx.now);
        return None;
    }
    if (advanced(old, next) && !waits) || was_complete {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        touch(list, kind, "ReplicaSetUpdated", message, cx.now);
    }
    let at = due(run, list, cx)?;
    if at > cx.now {
        return Some(at);
    }
    if reason != "ProgressDeadlineExceeded" {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        set(list, kind, "False", "ProgressDeadlineExceeded", message.clone(), cx.now);
        cx.event(run.world, run.deployment, EventKind::Warning, "ProgressDeadlineExceeded", &message);
    }
    None
}

/// As [`set`], but the update time moves even if nothing else does: each step is progress.
fn touch(list: &mut Vec<DeploymentCondition>, kind: &str, reason: &str, message: String, now: Time) {
    set(list, kind, "True", reason, message, now);
    if let Some(c) = list.iter_mut().find(|c| c.type_ == kind) {
        c.last_update_time = Some(now.to_k8s());
    }
}

fn advanced(old: &DeploymentStatus, next: &DeploymentStatus) -> bool {
    let n = |n: Option<i32>| n.unwrap_or(0);
    let stale = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(next.updated_replicas) > n(old.updated_replicas)
        || stale(next) < stale(old)
        || n(next.ready_replicas) > n(old.ready_replicas)
        || n(next.available_replicas) > n(old.available_replicas)
}

/// When the deadline is due: counted from the last progress, or from when this server began to
/// watch, or from when the pods that are not ready were made or their nodes began to do what they are
/// asked: a pod that takes the place of one whose node is gone has the whole time, too.
fn due(run: &Run<'_>, list: &[DeploymentCondition], cx: &Cx<'_>) -> Option<Time> {
    let deadline = run.spec.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE);
    if deadline == i32::MAX {
        return None;
    }
    let updated = list.iter().find(|c| c.type_ == "Progressing").and_then(|c| c.last_update_time.as_ref());
    let step = updated.map_or(cx.now, |t| Time(t.0.as_millisecond()));
    let crews = run.owned.iter().filter_map(|o| run.world.pods.crew(o.object.uid));
    let unready = crews.flat_map(Crew::unready).filter_map(|key| run.world.pods.get(key));
    let since = unready.map(|p| {
        let works = p.node.as_ref().map(|node| run.world.nodes.works_since(node, cx.now));
        works.map_or(p.created, |at| at.max(p.created))
    });
    let step = step.max(since.max().unwrap_or(step));
    Some(step.max(cx.started) + seconds(Some(deadline)))
}
