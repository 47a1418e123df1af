//! ReplicaSet to Pods: adopts, creates, deletes, counts.
//!
//! What a ReplicaSet of a Deployment may do is bounded once more here, at the very moment of the
//! act, by the Deployment's budget (`deployment::budget`): between the Deployment's decision and
//! this one pods may have become unready. Deliberately not here: which node, and how pods end.

mod pods;
mod rank;

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, OwnerRef, Selector, Time};
use k8s_openapi::{
    api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    ControllerId, deployment, orphan,
    tally::{controlled, seconds, tally},
};
use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    quota,
    world::{World, crew::Crew, deletion, pods::PodRecord},
};

/// Pods created or deleted in one run; the rest follows in the next, which these changes cause.
/// Small enough that one run stays within a few milliseconds.
const BURST: usize = 500;
/// Events about single pods in one run: beyond that they tell nothing new.
const POD_EVENTS: usize = 10;
/// Failed pods that are kept for inspection.
const FAILED_KEPT: usize = 2;
/// A failed pod's replacement waits for so long after the failed one was made, so that a pod that
/// a node turns away at once is not made over and over.
const FAILED_BACKOFF: Duration = Duration::from_secs(10);
/// How long after a start a ReplicaSet waits for its Deployment to give orphans a set of their own: it
/// does so at once, unless it is paused.
const RECALL_LIMIT: Duration = Duration::from_mins(2);
/// The condition of a ReplicaSet whose pods cannot be made, and its reason.
pub(crate) const FAILURE: &str = "ReplicaFailure";
const FAILED_CREATE: &str = "FailedCreate";
/// How often a recovering server looks again; nothing is created or removed until it is over.
const RECOVERY_POLL: Duration = Duration::from_secs(1);

/// A ReplicaSet's body.
#[derive(Debug, Deserialize)]
pub(crate) struct View {
    pub(crate) spec: Spec,
}

/// Its `spec`, the template as it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) replicas: Option<i32>,
    pub(crate) min_ready_seconds: Option<i32>,
    pub(crate) selector: LabelSelector,
    #[serde(default)]
    pub(crate) template: Value,
}

impl Spec {
    /// `replicas`, 1 by default.
    pub(crate) fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1).max(0)
    }
}

/// Marks the ReplicaSet of a pod that changed, its siblings under one Deployment where the pod
/// counts otherwise than before, and for a pod without a controller those that might adopt it.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::ReplicaSet if changed.new.is_some() => mark(changed.key.clone()),
        Kind::Deployment if changed.body_changed() => {
            let Some(deployment) = changed.either() else { return };
            let sets = world.owned_by(deployment.uid).filter(|o| o.key.kind == Kind::ReplicaSet);
            sets.for_each(|o| mark(o.key.clone()));
            if changed.old.is_none() {
                // One without an owner may be adopted by the new Deployment.
                let lone =
                    world.list(Kind::ReplicaSet, &changed.key.namespace).filter(|o| o.meta.controller().is_none());
                lone.for_each(|o| mark(o.key.clone()));
            }
        }
        Kind::Pod => route_pod(world, changed, mark),
        // There may be room now.
        Kind::ResourceQuota | Kind::LimitRange => {
            world.quotas.held_up(&changed.key.namespace).for_each(|k| mark(k.clone()));
        }
        _ => {}
    }
}

fn route_pod(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let owners = [&changed.old, &changed.new].into_iter().flatten().filter_map(|o| o.meta.controller());
    for owner in owners.filter(|o| o.known_kind() == Some(Kind::ReplicaSet)) {
        let key = changed.key.sibling(Kind::ReplicaSet, owner.name.clone());
        let Some(set) = world.get(&key).filter(|s| s.uid == owner.uid) else { continue };
        mark(key);
        if let Some(above) = set.meta.controller() {
            let siblings = world.owned_by(above.uid).filter(|o| o.key.kind == Kind::ReplicaSet && o.uid != set.uid);
            let active = |o: &&Arc<Object>| tally(world, o.uid, Duration::ZERO, Time(0)).active > 0;
            siblings.filter(active).for_each(|o| mark(o.key.clone()));
        }
    }
    let free = changed.new.as_ref().filter(|p| p.meta.controller().is_none());
    let newly = changed.labels_changed() || changed.old.as_ref().is_some_and(|o| o.meta.controller().is_some());
    if let Some(pod) = free.filter(|_| newly) {
        for set in world.list(Kind::ReplicaSet, &changed.key.namespace) {
            let matches = set.view::<View>().is_ok_and(|v| {
                Selector::from_k8s(&v.spec.selector).is_ok_and(|s| !s.0.is_empty() && s.matches(&pod.meta.labels))
            });
            if matches {
                mark(set.key.clone());
            }
        }
    }
}

/// Looks at one ReplicaSet.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(set) = world.get(key) else { return };
    let view: View = match set.view() {
        Ok(view) => view,
        Err(e) => return cx.event(world, set, EventKind::Warning, "InvalidSpec", &format!("{e}")),
    };
    let Ok(selector) = Selector::from_k8s(&view.spec.selector) else { return };
    if set.deleting() {
        return status(world, set, &view.spec, None, cx);
    }
    if set.meta.controller().is_none()
        && let Some(adopter) = deployment::adopter_of(world, set)
    {
        let mut adopted = Object::clone(set);
        adopted.meta.owners = with_owner(&adopted.meta.owners, OwnerRef::controller(&adopter.key, adopter.uid));
        return cx.put(adopted);
    }
    let claimed = claim(world, set, &selector, cx);
    if world.recovering.is_some() {
        cx.wake(cx.now + RECOVERY_POLL, ControllerId::ReplicaSet, key.clone());
        return status(world, set, &view.spec, None, cx);
    }
    let active = tally(world, set.uid, Duration::ZERO, Time(0)).active;
    let active = usize::try_from(active).unwrap_or(0) + claimed;
    let wanted = usize::try_from(view.spec.replicas()).unwrap_or(0);
    let mut failure = None;
    if claimed == 0 {
        if active < wanted && deployment::recall::is_due(world, set) && cx.now < cx.started + RECALL_LIMIT {
            cx.wake(cx.now + RECOVERY_POLL, ControllerId::ReplicaSet, key.clone());
        } else if active < wanted {
            failure = pods::create(world, set, &view.spec, wanted - active, cx);
        } else if active > wanted {
            delete(world, set, active - wanted, cx);
        }
        sweep_failed(world, set, cx);
    }
    if failure.is_none() && active + BURST < wanted {
        // Further runs follow at once: one status for all of them.
        return;
    }
    status(world, set, &view.spec, failure, cx);
}

/// Adopts pods without a controller that match, lets go those that no longer do. Says how many it
/// adopted: they count from now on.
fn claim(world: &World, set: &Arc<Object>, selector: &Selector, cx: &mut Cx<'_>) -> usize {
    if selector.0.is_empty() {
        return 0;
    }
    let strangers = world.pods.crew(set.uid).is_some_and(|crew| !crew.all_labelled(|labels| selector.matches(labels)));
    for (key, pod) in controlled(world, set.uid).filter(|(_, p)| strangers && !p.terminating) {
        let Some(object) = world.get(key) else { continue };
        if !selector.matches(&object.meta.labels) {
            let mut free = Object::clone(object);
            free.meta.owners = free.meta.owners.iter().filter(|o| Some(o.uid) != pod.controller).cloned().collect();
            cx.put(free);
        }
    }
    let mut adopted = 0;
    for key in world.pods.uncontrolled(&set.key.namespace) {
        let (Some(object), Some(pod)) = (world.get(key), world.pods.get(key)) else { continue };
        if pod.terminating || pod.finished() || !selector.matches(&object.meta.labels) {
            continue;
        }
        let mut mine = Object::clone(object);
        mine.meta.owners = with_owner(&mine.meta.owners, OwnerRef::controller(&set.key, set.uid));
        orphan::unmark(&mut mine.meta);
        cx.put(mine);
        adopted += 1;
    }
    adopted
}

fn with_owner(owners: &[OwnerRef], owner: OwnerRef) -> Arc<[OwnerRef]> {
    owners.iter().cloned().chain(core::iter::once(owner)).collect()
}

/// Deletes `surplus` pods, the least useful first; ready ones only as far as the Deployment's
/// promise allows. What is held back is looked at again when a sibling's pod changes.
fn delete(world: &World, set: &Object, surplus: usize, cx: &mut Cx<'_>) {
    let mut spare_ready = deployment::budget(world, set).map_or(i32::MAX, |b| b.spare_ready);
    let pods: Vec<(&Key, &PodRecord)> = controlled(world, set.uid).collect();
    let ranked = rank::least_useful_first(world, &pods);
    let mut told = 0;
    for key in ranked.into_iter().take(surplus.min(BURST)) {
        if world.pods.get(key).is_some_and(PodRecord::ready) {
            if spare_ready <= 0 {
                continue;
            }
            spare_ready -= 1;
        }
        if let Some(change) = deletion::request(world, key, None, cx.now) {
            cx.changes.push(change);
            if told < POD_EVENTS {
                cx.event(world, set, EventKind::Normal, "SuccessfulDelete", &format!("Deleted pod: {}", key.name));
                told += 1;
            }
        }
    }
}

/// Its pods that ended and are not asked to go.
fn ended<'a>(world: &'a World, set: &Object) -> impl Iterator<Item = (&'a Key, &'a PodRecord)> {
    let crew = world.pods.crew(set.uid).into_iter();
    crew.flat_map(Crew::finished).filter_map(|key| Some((key, world.pods.get(key)?)))
}

/// Failed pods stay for inspection, but not for ever more of them.
fn sweep_failed(world: &World, set: &Object, cx: &mut Cx<'_>) {
    let mut ended: Vec<_> = ended(world, set).collect();
    ended.sort_by_key(|(k, p)| (core::cmp::Reverse(p.created), *k));
    for (key, _) in ended.into_iter().skip(FAILED_KEPT) {
        cx.changes.extend(deletion::request(world, key, None, cx.now));
    }
}

/// Writes the status as the world is before this run's own changes; those cause another run.
fn status(world: &World, set: &Arc<Object>, spec: &Spec, failure: Option<String>, cx: &mut Cx<'_>) {
    let t = tally(world, set.uid, seconds(spec.min_ready_seconds), cx.now);
    let old: ReplicaSetStatus = set.status().ok().flatten().unwrap_or_default();
    let labels = spec.template.get("metadata").and_then(|m| m.get("labels")).and_then(Value::as_object);
    let full = world.pods.crew(set.uid).map_or(0, |crew| {
        crew.active_labelled(|have| {
            let mut wanted = labels.into_iter().flatten();
            wanted.all(|(k, v)| have.get(k).map(String::as_str) == v.as_str())
        })
    });
    let failure = failure.map(|message| {
        // A name that was drawn for a pod is no news.
        let why = quota::reason(&message);
        let failed = old.conditions.iter().flatten().find(|c| c.type_ == FAILURE);
        let same = failed.filter(|c| c.message.as_deref().is_some_and(|m| quota::reason(m) == why));
        if let Some(same) = same {
            return same.clone();
        }
        cx.event(world, set, EventKind::Warning, FAILED_CREATE, &format!("Error creating: {message}"));
        ReplicaSetCondition {
            type_: FAILURE.into(),
            status: "True".into(),
            reason: Some(FAILED_CREATE.into()),
            message: Some(message),
            last_transition_time: failed.map_or(Some(cx.now.to_k8s()), |c| c.last_transition_time.clone()),
        }
    });
    // Others' conditions stay.
    let others = old.conditions.iter().flatten().filter(|c| c.type_ != FAILURE).cloned();
    let conditions: Vec<ReplicaSetCondition> = others.chain(failure).collect();
    let new = ReplicaSetStatus {
        replicas: t.active,
        fully_labeled_replicas: Some(full).filter(|n| *n > 0),
        ready_replicas: Some(t.ready).filter(|n| *n > 0),
        available_replicas: Some(t.available).filter(|n| *n > 0),
        terminating_replicas: Some(t.terminating),
        observed_generation: Some(set.meta.generation),
        conditions: Some(conditions).filter(|list| !list.is_empty()),
    };
    if new != old || set.status.is_empty() {
        // The last write to the set in this run: nothing else of it is changed above.
        cx.put(set.with_status(&new));
    }
    if let Some(at) = t.next_available {
        cx.wake(at, ControllerId::ReplicaSet, set.key.clone());
    }
}
