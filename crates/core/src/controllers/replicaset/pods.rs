//! Pods made of a ReplicaSet's template.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Labels, Meta, Object, OwnerRef, canonical};
use serde_json::{Value, json};

use super::{BURST, FAILED_BACKOFF, POD_EVENTS, Spec};
use crate::{
    controllers::{ControllerId, admission, deployment, podstatus},
    cx::{Cx, EventKind},
    limits,
    quota::{self, Asked, Meter},
    world::{World, pods::PodPhase},
};

/// Longest part of a name that a generated suffix is put to, as in Kubernetes.
const NAME_BASE_LIMIT: usize = 57;

/// Creates `missing` pods as far as the Deployment's budget allows. Says why it could not.
pub(super) fn create(world: &World, set: &Arc<Object>, spec: &Spec, missing: usize, cx: &mut Cx<'_>) -> Option<String> {
    let namespace = Key::cluster(Kind::Namespace, set.key.namespace.clone());
    if world.get(&namespace).is_some_and(|n| n.deleting()) {
        return Some(format!("namespace {} is being terminated", set.key.namespace));
    }
    let failed = super::ended(world, set).filter(|(_, p)| p.phase == PodPhase::Failed);
    if let Some(at) = failed.map(|(_, p)| p.created + FAILED_BACKOFF).max().filter(|at| *at > cx.now) {
        cx.wake(at, ControllerId::ReplicaSet, set.key.clone());
        return None;
    }
    let room = deployment::budget(world, set).map_or(usize::MAX, |b| usize::try_from(b.room).unwrap_or(0));
    let count = missing.min(room).min(BURST);
    if count == 0 {
        return None;
    }
    let mut taken: BTreeSet<Key> = BTreeSet::new();
    let made = match Template::of(world, set, &spec.template, cx.settings.default_toleration) {
        Ok(made) => made,
        Err(why) => return Some(quota::forbidden(&free_name(world, set, &taken, cx), &why)),
    };
    let mut meter = Meter::of(world, &set.key.namespace, cx.now);
    let asked = Asked::by_pod(world, &made.body, &made.spec);
    for n in 0..count {
        let key = free_name(world, set, &taken, cx);
        if let Err(why) = meter.take(&asked) {
            return Some(quota::forbidden(&key, &why));
        }
        taken.insert(key.clone());
        let pod = made.pod(key, cx);
        if n < POD_EVENTS {
            cx.event(world, set, EventKind::Normal, "SuccessfulCreate", &format!("Created pod: {}", pod.key.name));
        }
        cx.put(pod);
    }
    None
}

fn free_name(world: &World, set: &Object, taken: &BTreeSet<Key>, cx: &mut Cx<'_>) -> Key {
    let base: String = set.key.name.chars().take(NAME_BASE_LIMIT).collect();
    loop {
        // 27^5 names: a second draw is rare, a third practically never happens.
        let key = set.key.sibling(Kind::Pod, format!("{base}-{}", cx.rng.name_suffix()));
        if world.get(&key).is_none() && !taken.contains(&key) {
            return key;
        }
    }
}

/// What all pods of one template share.
struct Template {
    labels: Labels,
    annotations: Labels,
    owners: Arc<[OwnerRef]>,
    body: Arc<[u8]>,
    spec: Value,
    status: Arc<[u8]>,
    generate_name: Arc<str>,
    node: Option<Arc<str>>,
}

impl Template {
    /// Says what stands against such pods.
    fn of(world: &World, set: &Object, template: &Value, toleration: Duration) -> Result<Self, String> {
        let labels = |name: &str| -> Labels {
            let map = template.get("metadata").and_then(|m| m.get(name)).and_then(Value::as_object);
            let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
            Arc::new(map.into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect::<BTreeMap<_, _>>())
        };
        let mut pod = json!({"spec": template.get("spec").cloned().unwrap_or_default()});
        evenkeel_schema::defaults::apply(Kind::Pod, &mut pod);
        let mut spec = pod.get_mut("spec").map(Value::take).unwrap_or_default();
        let node = spec.as_object_mut().and_then(|s| s.remove("nodeName"));
        let limited = limits::fill(world, &set.key.namespace, &mut spec);
        limits::check(world, &set.key.namespace, &spec)?;
        admission::tolerate(&mut spec, toleration);
        admission::give_token(world, &set.key.namespace, &mut spec);
        let mut annotations = labels("annotations");
        if let Some(text) = limited {
            Arc::make_mut(&mut annotations).insert(limits::ANNOTATION.into(), text);
        }
        Ok(Self {
            labels: labels("labels"),
            annotations,
            owners: [OwnerRef::controller(&set.key, set.uid)].into(),
            status: podstatus::initial(&spec),
            body: canonical::value_bytes(&json!({"spec": spec})).into(),
            spec,
            generate_name: format!("{}-", set.key.name).into(),
            node: node.and_then(|n| n.as_str().map(Arc::from)),
        })
    }

    fn pod(&self, key: Key, cx: &mut Cx<'_>) -> Object {
        let meta = Meta {
            generate_name: Some(self.generate_name.clone()),
            generation: 1,
            created: cx.now,
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            owners: self.owners.clone(),
            ..Meta::default()
        };
        let mut pod = Object::new(key, cx.rng.uid(), meta, self.body.clone());
        pod.status = self.status.clone();
        pod.node.clone_from(&self.node);
        pod
    }
}
