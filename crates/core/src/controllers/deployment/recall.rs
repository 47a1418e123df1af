//! ReplicaSets of earlier templates, made again from the pods that they left behind.
//!
//! Called before a Deployment acts. A server that lost its database knows its pods from the agents
//! and its newest template from the source, but in the middle of a rollout nothing explains the pods
//! of the template before it. Without their ReplicaSet they would run for ever, and the rollout would
//! not count them. Deliberately not here: pods of the current template, which its ReplicaSet claims.

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
    controllers::{orphan, replicaset},
    cx::Cx,
};

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

fn key(run: &Run<'_>, hash: &str) -> Key {
    run.deployment.key.sibling(Kind::ReplicaSet, format!("{}-{hash}", run.deployment.key.name))
}

/// Orphans of this Deployment by their template's hash, where no ReplicaSet has it.
fn lost(run: &Run<'_>, config: &super::template::Used) -> BTreeMap<String, Vec<Arc<Object>>> {
    let mut lost: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
    let Ok(selector) = Selector::from_k8s(&run.spec.selector) else { return lost };
    let orphan = |at: &&Key| run.world.get(at).is_some_and(|p| orphan::is_orphan(p));
    if !run.world.pods.uncontrolled(&run.deployment.key.namespace).any(|at| orphan(&at)) {
        return lost;
    }
    let current = super::template::current_hash(run, config);
    for at in run.world.pods.uncontrolled(&run.deployment.key.namespace) {
        let (Some(pod), Some(record)) = (run.world.get(at), run.world.pods.get(at)) else { continue };
        let Some(hash) = pod.meta.label(names::POD_TEMPLATE_HASH).filter(|h| *h != current) else { continue };
        let orphan = orphan::is_orphan(pod) && !record.terminating && !record.finished();
        let set = key(run, hash);
        // Its name says whose it was: a selector may fit by accident.
        let mine = pod.key.name.strip_prefix(&*set.name).is_some_and(|rest| rest.starts_with('-'));
        if orphan && mine && selector.matches(&pod.meta.labels) && run.world.get(&set).is_none() {
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
        spec = pod.body_map().remove("spec").unwrap_or_default();
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nodeName");
        replicaset::unadmit(spec, cx.settings.default_toleration);
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
    let mut set = Object::new(key(run, hash), cx.rng.uid(), meta, canonical::value_bytes(&body).into());
    set.meta.annotate(names::DEPLOYMENT_REVISION, number.to_string());
    run.mark_size(&mut set);
    set
}
