//! From a Pod object to what its agent is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use evenkeel_core::{World, release::engine::source_of};
use evenkeel_model::{
    Content, ContentRef, Key, Kind, Object, names,
    own::SourceSpec,
    session::{PodContent, PodOrder},
};
use serde::Deserialize;
use serde_json::Value;

/// Everything an agent needs to run a pod.
pub(crate) fn order(world: &World, pod: &Object) -> PodOrder {
    let owner = owner(world, pod);
    let pinned: Vec<ContentRef> = owner.and_then(|o| json_annotation(o, names::CONTENTS)).unwrap_or_default();
    let image_ids = owner.and_then(|o| json_annotation(o, names::IMAGE_IDS)).unwrap_or_default();
    let mentioned = world.pods.get(&pod.key).map(|r| r.shape.contents.clone()).unwrap_or_default();
    let contents = mentioned.iter().filter_map(|(secret, name)| content(world, pod, &pinned, *secret, name)).collect();
    let mut value = pod.to_value();
    if let Value::Object(map) = &mut value {
        map.remove("status");
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            for transient in
                ["managedFields", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]
            {
                metadata.remove(transient);
            }
        }
    }
    PodOrder {
        uid: pod.uid,
        namespace: pod.key.namespace.clone(),
        name: pod.key.name.clone(),
        version: pod.version,
        pod: value,
        deletion: pod.meta.deletion,
        contents,
        image_ids,
        self_heal: self_heal(world, pod),
    }
}

fn owner<'a>(world: &'a World, pod: &Object) -> Option<&'a Arc<Object>> {
    let reference = pod.meta.controller()?;
    let owner = world.get(&pod.key.sibling(reference.known_kind()?, reference.name.clone()))?;
    (owner.uid == reference.uid).then_some(owner)
}

fn json_annotation<T: for<'de> Deserialize<'de>>(object: &Object, name: &str) -> Option<T> {
    object.meta.annotation(name).and_then(|text| serde_json::from_str(text).ok())
}

/// The content a pod gets under a name: what its ReplicaSet pinned, else what is there now.
fn content(world: &World, pod: &Object, pinned: &[ContentRef], secret: bool, name: &Arc<str>) -> Option<PodContent> {
    let kind = if secret { Kind::Secret } else { Kind::ConfigMap };
    let live = world.get(&pod.key.sibling(kind, name.clone()));
    let secret_type = live
        .and_then(|o| o.body_map().get("type").and_then(Value::as_str).map(String::from))
        .filter(|_| secret)
        .unwrap_or_default();
    let pinned = pinned.iter().find(|r| r.secret == secret && r.name == *name).and_then(|r| world.content(&r.digest));
    let content = match pinned {
        Some(content) => content.clone(),
        None => Arc::new(Content::of_object(live?)),
    };
    Some(PodContent { secret, name: name.clone(), secret_type, digest: content.digest(&world.digest_key), content })
}

/// Whether drift of a pod's containers is healed: its source says so, by default yes.
fn self_heal(world: &World, pod: &Object) -> bool {
    let Some(source) = source_of(world, pod) else { return true };
    let Some(object) = world.get(&Key::cluster(Kind::Source, source)) else { return true };
    object.spec::<SourceSpec>().ok().and_then(|s| s.self_heal).unwrap_or(true)
}

/// Ids of the images that a ReplicaSet remembers.
pub(crate) fn image_ids(set: &Object) -> BTreeSet<String> {
    let ids: BTreeMap<String, String> = json_annotation(set, names::IMAGE_IDS).unwrap_or_default();
    ids.into_values().collect()
}
