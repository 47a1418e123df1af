//! ReplicaSets of earlier templates, made again from the pods that they left behind.
//!
//! Called before a Deployment acts. A server that lost its database knows its pods from the agents
//! and its newest template from the source, but in the middle of a rollout nothing explains the pods
//! of the template before it. Without their ReplicaSet they would run for ever, and the rollout would
//! not count them. Pods of the current template wait for its ReplicaSet, which claims them. Only where a
//! source says what the template is: a Deployment of a restored database that no source owns may be
//! older than its pods, and then nothing explains them.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Meta, Object, OwnerRef, Selector, canonical, names};
use serde_json::{Value, json};

use super::Run;
use crate::{
    controllers::{admission, orphan},
    cx::Cx,
    limits,
    world::{World, pods::PodRecord},
};

/// How many orphans of the current template wait for its ReplicaSet, and how many of them are ready.
pub(super) fn waiting(run: &Run<'_>, config: &super::template::Used) -> (i32, i32) {
    let current = super::template::current_hash(run, config);
    let own = orphans(run.world, run.deployment).filter(|(hash, _)| *hash == current);
    own.fold((0, 0), |(all, ready), (_, key)| {
        (all + 1, ready + i32::from(run.world.pods.get(key).is_some_and(PodRecord::ready)))
    })
}

/// Whether orphans of the Deployment that owns this ReplicaSet wait for a ReplicaSet of their own:
/// until they have it, nobody knows how many pods are missing.
pub(in crate::controllers) fn is_due(world: &World, set: &Object) -> bool {
    let owner = set.meta.controller().filter(|o| o.known_kind() == Some(Kind::Deployment));
    let owner = owner.and_then(|o| world.get(&set.key.sibling(Kind::Deployment, o.name.clone())));
    owner.filter(|d| d.source().is_some()).is_some_and(|d| orphans(world, d).next().is_some())
}

/// Orphans that bear a Deployment's name and whose ReplicaSet is not there, with their template's hash.
fn orphans<'a>(world: &'a World, deployment: &'a Object) -> impl Iterator<Item = (&'a str, &'a Key)> {
    world.pods.uncontrolled(&deployment.key.namespace).filter_map(|at| {
        let (pod, record) = (world.get(at)?, world.pods.get(at)?);
        if !orphan::is_orphan(pod) || record.terminating || record.finished() {
            return None;
        }
        let hash = pod.meta.label(names::POD_TEMPLATE_HASH)?;
        let set = key(deployment, hash);
        // Its name says whose it was: a selector may fit by accident.
        let mine = pod.key.name.strip_prefix(&*set.name).is_some_and(|rest| rest.starts_with('-'));
        (mine && world.get(&set).is_none()).then_some((hash, at))
    })
}

/// Makes what is missing; whether there was any.
pub(super) fn recall(run: &Run<'_>, config: &super::template::Used, cx: &mut Cx<'_>) -> bool {
    let lost = lost(run, config);
    for (number, (hash, pods)) in lost.iter().enumerate() {
        let set = set(run, hash, pods, number + 1, cx);
        for pod in pods {
            let mut mine = Object::clone(pod);
            mine.meta.owners = [OwnerRef::controller(&set.key, set.uid)].into();
            orphan::unmark(&mut mine.meta);
            cx.put(mine);
        }
        cx.put(set);
    }
    !lost.is_empty()
}

fn key(deployment: &Object, hash: &str) -> Key {
    deployment.key.sibling(Kind::ReplicaSet, format!("{}-{hash}", deployment.key.name))
}

/// Orphans of this Deployment by their template's hash, where no ReplicaSet has it.
fn lost(run: &Run<'_>, config: &super::template::Used) -> BTreeMap<String, Vec<Arc<Object>>> {
    let mut lost: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
    let Ok(selector) = Selector::from_k8s(&run.spec.selector) else { return lost };
    if run.deployment.source().is_none() || orphans(run.world, run.deployment).next().is_none() {
        return lost;
    }
    let current = super::template::current_hash(run, config);
    for (hash, at) in orphans(run.world, run.deployment).filter(|(hash, _)| *hash != current) {
        if let Some(pod) = run.world.get(at).filter(|p| selector.matches(&p.meta.labels)) {
            lost.entry(hash.to_string()).or_default().push(pod.clone());
        }
    }
    lost
}

/// A ReplicaSet whose template is that of its pods.
fn set(run: &Run<'_>, hash: &str, pods: &[Arc<Object>], number: usize, cx: &mut Cx<'_>) -> Object {
    let (mut labels, mut annotations, mut spec) = (BTreeMap::new(), BTreeMap::new(), Value::Null);
    if let Some(pod) = pods.first() {
        let mut meta = pod.meta.clone();
        orphan::unmark(&mut meta);
        labels = BTreeMap::clone(&meta.labels);
        annotations = BTreeMap::clone(&meta.annotations);
        annotations.remove(limits::ANNOTATION);
        spec = pod.body_map().remove("spec").unwrap_or_default();
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nodeName");
        admission::taken_back(spec, cx.settings.default_toleration);
    }
    let mut selector = serde_json::to_value(&run.spec.selector).unwrap_or_default();
    super::template::put_label(&mut selector, "matchLabels", hash);
    let template = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec});
    let body = json!({"spec": {"replicas": pods.len(), "selector": selector, "template": template}});
    let meta = Meta {
        generation: 1,
        created: cx.now,
        labels: Arc::new(labels),
        owners: [OwnerRef::controller(&run.deployment.key, run.deployment.uid)].into(),
        ..Meta::default()
    };
    let mut set = Object::new(key(run.deployment, hash), cx.rng.uid(), meta, canonical::value_bytes(&body).into());
    set.meta.annotate(names::DEPLOYMENT_REVISION, number.to_string());
    run.mark_size(&mut set);
    set
}
