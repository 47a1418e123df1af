//! Deployment to ReplicaSets, as Kubernetes: rolling updates, Recreate, pause, scaling in
//! proportion, history, conditions.
//!
//! Every run reads the pods themselves, not the ReplicaSets' statuses, and does one act for each
//! ReplicaSet; the change brings the next run. Deliberately not here: single pods (the ReplicaSet
//! controller, which asks `budget` before it takes a ready one), and what a failed rollout means
//! (the release engine).

pub(super) mod recall;
mod rolling;
mod scale;
mod status;
mod template;

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, Selector, Time, names};
use k8s_openapi::{api::apps::v1::DeploymentStrategy, apimachinery::pkg::apis::meta::v1::LabelSelector};
use serde::Deserialize;
use serde_json::Value;

use super::{
    replicaset,
    tally::{seconds, tally},
};
use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    world::{World, crew::Tally},
};
use rolling::{Limits, Set};
pub(crate) use status::rolling as is_rolling;
use template::Config;

/// Annotation of a ReplicaSet: the Deployment's replicas when it was last scaled.
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation of a ReplicaSet: the same with the surge.
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Reason of the Progressing condition while a ConfigMap or Secret of the source is not there yet.
const WAITING_FOR_CONFIG: &str = "WaitingForConfig";
/// Old ReplicaSets kept if the Deployment does not say.
const DEFAULT_HISTORY: i32 = 10;

/// A Deployment's body.
#[derive(Debug, Deserialize)]
struct View {
    spec: Spec,
}

/// Its `spec`, the template as it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    replicas: Option<i32>,
    selector: LabelSelector,
    template: Value,
    strategy: Option<DeploymentStrategy>,
    min_ready_seconds: Option<i32>,
    #[serde(default)]
    paused: Option<bool>,
    progress_deadline_seconds: Option<i32>,
    revision_history_limit: Option<i32>,
}

impl Spec {
    fn limits(&self) -> Limits {
        Limits::of(self.strategy.as_ref(), self.replicas.unwrap_or(1))
    }

    fn min_ready(&self) -> Duration {
        seconds(self.min_ready_seconds)
    }

    fn paused(&self) -> bool {
        self.paused.unwrap_or(false)
    }
}

/// One ReplicaSet of the Deployment with its counts.
#[derive(Debug, Clone)]
struct Owned {
    object: Arc<Object>,
    wanted: i32,
    /// Its template, as it stands in the body.
    template: Value,
    tally: Tally,
}

impl Owned {
    fn set(&self) -> Set {
        Set { wanted: self.wanted, active: self.tally.active, available: self.tally.available }
    }

    fn revision(&self) -> i64 {
        revision(&self.object)
    }
}

fn revision(object: &Object) -> i64 {
    object.meta.annotation(names::DEPLOYMENT_REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// What a ReplicaSet may do at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Ready pods that may go.
    pub(crate) spare_ready: i32,
    /// Pods that may be added.
    pub(crate) room: i32,
}

/// What a Deployment has and what its promise allows: for tests.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) ready: i32,
    pub(crate) active: i32,
    pub(crate) min_ready: i32,
    pub(crate) max_total: i32,
}

/// Counts it anew, without what controllers count by.
#[cfg(test)]
pub(crate) fn promise(world: &World, deployment: &Object) -> Option<Promise> {
    let limits = deployment.view::<View>().ok()?.spec.limits();
    let sets: Vec<_> = world.owned_by(deployment.uid).map(|s| s.uid).collect();
    let pods = || world.list(Kind::Pod, "").filter(|p| p.meta.controller().is_some_and(|c| sets.contains(&c.uid)));
    let records = || pods().filter_map(|p| world.pods.get(&p.key));
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    Some(Promise {
        ready: count(records().filter(|p| p.ready()).count()),
        active: count(records().filter(|p| !p.terminating && !p.finished()).count()),
        min_ready: limits.min_ready(),
        max_total: limits.max_total(),
    })
}

/// The budget of a ReplicaSet that a Deployment manages; `None` for any other.
pub(crate) fn budget(world: &World, set: &Object) -> Option<Budget> {
    let owner = set.meta.controller().filter(|o| o.known_kind() == Some(Kind::Deployment))?;
    let deployment = world.get(&set.key.sibling(Kind::Deployment, owner.name.clone()))?;
    if deployment.uid != owner.uid || deployment.deleting() {
        return None;
    }
    let limits = deployment.view::<View>().ok()?.spec.limits();
    let (mut ready, mut active) = (0, 0);
    for sibling in world.owned_by(owner.uid).filter(|o| o.key.kind == Kind::ReplicaSet) {
        let t = tally(world, sibling.uid, Duration::ZERO, Time(0));
        ready += t.ready;
        active += t.active;
    }
    let spare_ready = if limits.recreate { i32::MAX } else { (ready - limits.min_ready()).max(0) };
    Some(Budget { spare_ready, room: (limits.max_total() - active).max(0) })
}

/// How many pods a Deployment wants, and how many of them it promises to be available in a rollout.
/// `Recreate` promises none.
pub(crate) fn promised(deployment: &Object) -> Option<(i32, i32)> {
    #[derive(Deserialize)]
    struct View {
        spec: Spec,
    }
    // The template, which is most of it, is not decoded.
    #[derive(Deserialize)]
    struct Spec {
        replicas: Option<i32>,
        strategy: Option<DeploymentStrategy>,
    }
    let View { spec } = deployment.view().ok()?;
    let limits = Limits::of(spec.strategy.as_ref(), spec.replicas.unwrap_or(1));
    Some((limits.replicas, limits.min_ready()))
}

/// The Deployment that takes a ReplicaSet without an owner.
pub(crate) fn adopter_of<'a>(world: &'a World, set: &'a Object) -> Option<&'a Arc<Object>> {
    world.list(Kind::Deployment, &set.key.namespace).find(|d| {
        !d.deleting()
            && d.view::<View>().is_ok_and(|v| {
                Selector::from_k8s(&v.spec.selector).is_ok_and(|s| !s.0.is_empty() && s.matches(&set.meta.labels))
            })
    })
}

/// The ReplicaSet of a Deployment's template as it is now, and of the configuration that it uses
/// now; `None` while it is not made yet.
pub fn current_replica_set(world: &World, deployment: &Object) -> Option<Arc<Object>> {
    let view: View = deployment.view().ok()?;
    let Config::Known(config) = template::config(world, deployment, &view.spec.template) else { return None };
    let owned = sets(world, deployment, |_| Tally::default());
    template::find(&owned, &view.spec.template, &config).map(|i| owned[i].object.clone())
}

/// Marks the Deployment itself, that of a ReplicaSet or pod, and those that use a changed
/// ConfigMap or Secret of their own source.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Deployment if changed.new.is_some() => mark(changed.key.clone()),
        Kind::ReplicaSet => {
            for owner in [&changed.old, &changed.new].into_iter().flatten().filter_map(|o| o.meta.controller()) {
                mark(changed.key.sibling(Kind::Deployment, owner.name.clone()));
            }
        }
        Kind::Pod => {
            for owner in [&changed.old, &changed.new].into_iter().flatten().filter_map(|o| o.meta.controller()) {
                let set = world.get(&changed.key.sibling(Kind::ReplicaSet, owner.name.clone()));
                if let Some(above) = set.and_then(|s| s.meta.controller()) {
                    mark(changed.key.sibling(Kind::Deployment, above.name.clone()));
                }
            }
        }
        Kind::ConfigMap | Kind::Secret if changed.body_changed() => {
            let Some(source) = changed.either().and_then(|o| o.source()) else { return };
            let users = world.templates.using(&changed.key).filter_map(|key| world.get(key));
            for deployment in users.filter(|d| d.source() == Some(source)) {
                mark(deployment.key.clone());
            }
        }
        _ => {}
    }
}

/// Looks at one Deployment.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(deployment) = world.get(key) else { return };
    let view: View = match deployment.view() {
        Ok(view) => view,
        Err(e) => return cx.event(world, deployment, EventKind::Warning, "InvalidSpec", &format!("{e}")),
    };
    let owned = sets(world, deployment, |set| tally(world, set.uid, view.spec.min_ready(), cx.now));
    let mut run = Run { world, deployment, spec: &view.spec, limits: view.spec.limits(), owned, progress: None };
    if deployment.deleting() || world.recovering.is_some() {
        let new = run.current();
        return status::write(&mut run, new, cx);
    }
    run.act(cx);
}

/// The ReplicaSets of a Deployment, oldest first, with their pods counted by whoever needs it.
fn sets(world: &World, deployment: &Object, count: impl Fn(&Object) -> Tally) -> Vec<Owned> {
    let sets = world.owned_by(deployment.uid).filter(|o| o.key.kind == Kind::ReplicaSet);
    let mut all: Vec<Owned> = sets
        .filter(|o| o.meta.controller().is_some_and(|c| c.uid == deployment.uid))
        .map(|o| {
            let view = o.view::<replicaset::View>().ok();
            Owned {
                object: o.clone(),
                wanted: view.as_ref().map_or(0, |v| v.spec.replicas()),
                template: view.map(|v| v.spec.template).unwrap_or_default(),
                tally: count(o),
            }
        })
        .collect();
    all.sort_by(|a, b| (a.object.meta.created, &a.object.key).cmp(&(b.object.meta.created, &b.object.key)));
    all
}

/// One look at one Deployment.
struct Run<'a> {
    world: &'a World,
    deployment: &'a Arc<Object>,
    spec: &'a Spec,
    limits: Limits,
    owned: Vec<Owned>,
    /// A reason of the Progressing condition that this run gives: reason, message.
    progress: Option<(&'static str, String)>,
}

impl Run<'_> {
    /// The newest ReplicaSet by revision, where the template's own cannot be told.
    fn current(&self) -> Option<usize> {
        (0..self.owned.len()).max_by_key(|i| self.owned[*i].revision())
    }

    fn act(&mut self, cx: &mut Cx<'_>) {
        let config = match template::config(self.world, self.deployment, &self.spec.template) {
            Config::Known(config) => config,
            Config::Missing(key) => {
                let message = format!("{key} is of the same source and is not there yet");
                self.progress = Some((WAITING_FOR_CONFIG, message));
                let new = self.current();
                return status::write(self, new, cx);
            }
        };
        let new = template::find(&self.owned, &self.spec.template, &config);
        if recall::recall(self, &config, cx) {
            // They count from the next run on.
            return status::write(self, new, cx);
        }
        if let Some(i) = new {
            self.number(i, cx);
        }
        if scale::is_scaling(self) {
            scale::scale(self, new, cx);
        } else if self.spec.paused() {
            // Nothing rolls out; `scale` above still follows `replicas`.
        } else if self.limits.recreate {
            self.recreate(new, &config, cx);
        } else {
            self.roll(new, &config, cx);
        }
        self.clean_up(new, cx);
        status::write(self, new, cx);
    }

    fn others(&self, new: Option<usize>) -> Vec<usize> {
        (0..self.owned.len()).filter(|i| Some(*i) != new).collect()
    }

    fn roll(&mut self, new: Option<usize>, config: &template::Used, cx: &mut Cx<'_>) {
        let old = self.others(new);
        let sets: Vec<Set> = old.iter().map(|i| self.owned[*i].set()).collect();
        let Some(n) = new else {
            let replicas = self.limits.scale_new(Set::default(), &sets);
            let (there, ready) = recall::waiting(self, config);
            if there == 0 {
                return template::create(self, config, replicas, cx);
            }
            // They run already: their set is as big as they are many, and the old ones give way at once.
            let wanted = there.min(self.limits.replicas).max(replicas);
            template::create(self, config, wanted, cx);
            let claimed = Set { wanted, active: there, available: ready.min(wanted) };
            let shrunk = self.limits.scale_old(claimed, &sets);
            for (i, replicas) in old.into_iter().zip(shrunk) {
                self.resize(i, replicas, cx);
            }
            return;
        };
        let current = self.owned[n].set();
        let grown = self.limits.scale_new(current, &sets);
        if grown != current.wanted {
            return self.resize(n, grown, cx);
        }
        let shrunk = self.limits.scale_old(current, &sets);
        for (i, replicas) in old.into_iter().zip(shrunk) {
            self.resize(i, replicas, cx);
        }
    }

    fn recreate(&mut self, new: Option<usize>, config: &template::Used, cx: &mut Cx<'_>) {
        let old = self.others(new);
        for i in &old {
            if self.owned[*i].wanted > 0 {
                self.resize(*i, 0, cx);
            }
        }
        let left = |i: &usize| {
            let o = &self.owned[*i];
            o.wanted > 0 || o.tally.active > 0 || o.tally.terminating > 0
        };
        if old.iter().any(left) {
            return;
        }
        match new {
            None => template::create(self, config, self.limits.replicas, cx),
            Some(n) if self.owned[n].wanted != self.limits.replicas => self.resize(n, self.limits.replicas, cx),
            Some(_) => {}
        }
    }

    /// Gives a ReplicaSet another number of replicas.
    fn resize(&mut self, i: usize, replicas: i32, cx: &mut Cx<'_>) {
        let owned = &self.owned[i];
        let marked = owned.object.meta.annotation(DESIRED_REPLICAS) == Some(&*self.limits.replicas.to_string());
        if owned.wanted == replicas && marked {
            return;
        }
        let mut next = Object::clone(&owned.object);
        self.mark_size(&mut next);
        if owned.wanted != replicas {
            next.body = template::with_replicas(&next, replicas);
            next.meta.generation += 1;
            let verb = if replicas > owned.wanted { "Scaled up" } else { "Scaled down" };
            let message = format!("{verb} replica set {} from {} to {replicas}", next.key.name, owned.wanted);
            cx.event(self.world, self.deployment, EventKind::Normal, "ScalingReplicaSet", &message);
        }
        cx.put(next);
    }

    fn mark_size(&self, set: &mut Object) {
        set.meta.annotate(DESIRED_REPLICAS, self.limits.replicas.to_string());
        set.meta.annotate(MAX_REPLICAS, self.limits.max_total().to_string());
    }

    /// Gives the new ReplicaSet the highest revision number, also when it is an old one that came back, and the
    /// Deployment's annotations as they are now: `kubectl rollout history` shows the cause of a change from there,
    /// which is written after the change, and `kubectl rollout undo` puts them all back. Its release stays the one
    /// that made it.
    fn number(&mut self, new: usize, cx: &mut Cx<'_>) {
        let highest = self.others(Some(new)).into_iter().map(|i| self.owned[i].revision()).max().unwrap_or(0);
        let object = &self.owned[new].object;
        let numbered = self.owned[new].revision() > highest;
        let kept = template::copied(self.deployment).all(|(k, v)| object.meta.annotation(k) == Some(v.as_str()));
        if numbered && kept {
            return;
        }
        let mut next = Object::clone(object);
        for (name, text) in template::copied(self.deployment) {
            next.meta.annotate(name, text.clone());
        }
        if !numbered {
            next.meta.annotate(names::DEPLOYMENT_REVISION, (highest + 1).to_string());
            self.progress = Some(("FoundNewReplicaSet", format!("Found new replica set \"{}\"", next.key.name)));
        }
        self.owned[new].object = Arc::new(next.clone());
        cx.put(next);
    }

    /// Old ReplicaSets beyond the history's limit go, once the rollout is complete.
    fn clean_up(&self, new: Option<usize>, cx: &mut Cx<'_>) {
        let Some(n) = new else { return };
        let t = &self.owned[n].tally;
        if t.active != self.limits.replicas || t.available != self.limits.replicas {
            return;
        }
        let limit = usize::try_from(self.spec.revision_history_limit.unwrap_or(DEFAULT_HISTORY)).unwrap_or(0);
        let mut idle: Vec<&Owned> = self.others(new).into_iter().map(|i| &self.owned[i]).collect();
        idle.retain(|o| o.wanted == 0 && o.tally == Tally::default() && !o.object.deleting());
        idle.sort_by_key(|o| o.revision());
        let surplus = idle.len().saturating_sub(limit);
        for old in idle.into_iter().take(surplus) {
            cx.changes.extend(crate::world::deletion::request(self.world, &old.object.key, None, cx.now));
        }
    }
}

#[cfg(test)]
mod tests;
