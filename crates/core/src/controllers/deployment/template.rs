//! From a Deployment's template to its ReplicaSet: the hash, the ConfigMaps and Secrets that are
//! part of the revision, and the object.
//!
//! The hash is over the template without what equals its default, so that neither defaults filled
//! in nor a newer schema roll anything; over the content of the ConfigMaps and Secrets of the same
//! source; and over the scheme's number.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use core::time::Duration;

use evenkeel_model::{
    Content, ContentRef, Digest, Key, Kind, Meta, Object, OwnerRef, canonical, names, own::SourceStatus,
    rng::NAME_ALPHABET,
};
use evenkeel_schema::canonical::{SCHEME, form};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::{DESIRED_REPLICAS, MAX_REPLICAS, Run, revision};
use crate::{
    change::Change,
    controllers::ControllerId,
    cx::{Cx, EventKind},
    quota,
    world::{World, pods::mentioned},
};

/// Characters of a hash, as many as Kubernetes' have at most.
const HASH_LENGTH: usize = 10;
/// How long a Deployment whose ReplicaSet a quota keeps out waits for another try.
const HELD_UP: Duration = Duration::from_secs(10);
/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    names::DEPLOYMENT_REVISION,
    "deployment.kubernetes.io/revision-history",
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// The ConfigMaps and Secrets that are part of a revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Used {
    /// Digest of them all; `None` if there are none.
    digest: Option<Digest>,
    refs: Vec<ContentRef>,
    contents: Vec<Arc<Content>>,
}

/// What is known of them.
pub(super) enum Config {
    /// All are there.
    Known(Used),
    /// The source has one that is not there yet: a ReplicaSet made now would soon be replaced.
    Missing(Key),
}

/// The ConfigMaps and Secrets of the Deployment's own source that its template uses.
pub(super) fn config(world: &World, deployment: &Object, template: &Value) -> Config {
    let Some(source) = deployment.source() else { return Config::Known(Used::default()) };
    if deployment.meta.annotation(names::ROLL_ON_CONFIG) == Some("false") {
        return Config::Known(Used::default());
    }
    let Some(mut spec) = template.get("spec").and_then(|s| serde_json::from_value::<PodSpec>(s.clone()).ok()) else {
        return Config::Known(Used::default());
    };
    // Credentials for pulling change nothing of what runs.
    spec.image_pull_secrets = None;
    let mut used = Used::default();
    for (secret, name) in mentioned(&spec) {
        let key = deployment.key.sibling(if secret { Kind::Secret } else { Kind::ConfigMap }, name.clone());
        let Some(object) = world.get(&key) else {
            if world.desired.source_of(&key).is_some_and(|s| &**s == source) {
                return Config::Missing(key);
            }
            continue;
        };
        if object.source() != Some(source) {
            continue;
        }
        let content = Arc::new(Content::of_object(object));
        used.refs.push(ContentRef { secret, name, digest: content.digest(&world.digest_key) });
        used.contents.push(content);
    }
    if !used.refs.is_empty() {
        // Keyed: it is shown, and Secrets may be guessed.
        let parts = used.refs.iter().flat_map(|r| [r.name.as_bytes(), &r.digest.0[..]]);
        used.digest = Some(Digest::of_parts(core::iter::once(&world.digest_key[..]).chain(parts)));
    }
    Config::Known(used)
}

/// A template's canonical bytes: without defaults, without the label that the hash itself is.
fn canonical_template(template: &Value) -> Vec<u8> {
    let mut template = template.clone();
    unlabel(&mut template);
    if let Some(ty) = evenkeel_schema::definition("core.v1.PodTemplateSpec") {
        template = form(ty, &template);
    }
    canonical::value_bytes(&canonical::without_empty(&template))
}

/// Takes the label away that the hash itself is.
fn unlabel(template: &mut Value) {
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(names::POD_TEMPLATE_HASH);
    }
}

fn hash(template: &[u8], config: Option<&Digest>, collisions: i32) -> String {
    let config = config.map_or(&[][..], |d| &d.0[..]);
    let digest = Digest::of_parts([&[SCHEME][..], template, config, &collisions.to_be_bytes()]);
    digest.0.iter().take(HASH_LENGTH).map(|b| NAME_ALPHABET[usize::from(*b) % NAME_ALPHABET.len()] as char).collect()
}

/// The ReplicaSet of the Deployment's template and config: by meaning, not by name, so that one
/// named by an older scheme is taken as right.
pub(super) fn find(owned: &[super::Owned], template: &Value, config: &Used) -> Option<usize> {
    let digest = config.digest.as_ref().map(ToString::to_string);
    let fits =
        |o: &super::Owned| !o.object.deleting() && o.object.meta.annotation(names::CONFIG_DIGEST) == digest.as_deref();
    // Nearly always it is the very same but for the label; only else is its meaning looked at.
    let same = owned.iter().position(|o| {
        let mut copy = o.template.clone();
        unlabel(&mut copy);
        fits(o) && copy == *template
    });
    same.or_else(|| {
        let wanted = canonical_template(template);
        owned.iter().position(|o| fits(o) && canonical_template(&o.template) == wanted)
    })
}

/// The hash that the ReplicaSet of the template and config as they are now gets.
pub(super) fn current_hash(run: &Run<'_>, config: &Used) -> String {
    hash(&canonical_template(&run.spec.template), config.digest.as_ref(), 0)
}

/// Makes the new ReplicaSet.
pub(super) fn create(run: &mut Run<'_>, config: &Used, replicas: i32, cx: &mut Cx<'_>) {
    let template = canonical_template(&run.spec.template);
    // A name in use by a ReplicaSet of another meaning: count up, as Kubernetes' collisionCount.
    let free = (0..).map(|n| hash(&template, config.digest.as_ref(), n)).find_map(|h| {
        let key = run.deployment.key.sibling(Kind::ReplicaSet, format!("{}-{h}", run.deployment.key.name));
        run.world.get(&key).is_none().then_some((key, h))
    });
    let Some((key, hash)) = free else { return };
    let mut meter = quota::Meter::of(run.world, &run.deployment.key.namespace, cx.now);
    if let Err(why) = meter.take(&quota::Asked::by_one(Kind::ReplicaSet)) {
        let why = quota::forbidden(&key, &why);
        let message = format!("Failed to create new replica set \"{}\": {why}", key.name);
        cx.event(run.world, run.deployment, EventKind::Warning, "ReplicaSetCreateError", &message);
        cx.wake(cx.now + HELD_UP, ControllerId::Deployment, run.deployment.key.clone());
        return;
    }
    let mut set = Object::new(key, cx.rng.uid(), meta(run, cx), body(run, &hash, replicas));
    set.meta.set_label(names::POD_TEMPLATE_HASH, hash);
    let highest = run.owned.iter().map(super::Owned::revision).max().unwrap_or(0);
    set.meta.annotate(names::DEPLOYMENT_REVISION, (highest + 1).to_string());
    run.mark_size(&mut set);
    if let Some(release) = current_release(run) {
        set.meta.annotate(names::RELEASE, release);
    }
    if let Some(digest) = &config.digest {
        set.meta.annotate(names::CONFIG_DIGEST, digest.to_string());
        set.meta.annotate(names::CONTENTS, serde_json::to_string(&config.refs).unwrap_or_default());
        cx.changes.extend(config.contents.iter().cloned().map(Change::PutContent));
    }
    run.progress = Some(("NewReplicaSetCreated", format!("Created new replica set \"{}\"", set.key.name)));
    let message = format!("Scaled up replica set {} from 0 to {replicas}", set.key.name);
    cx.event(run.world, run.deployment, EventKind::Normal, "ScalingReplicaSet", &message);
    cx.put(set);
}

/// Annotations that the ReplicaSet of the Deployment's template has, too.
pub(super) fn copied(deployment: &Object) -> impl Iterator<Item = (&String, &String)> {
    let kept = |k: &str| !NOT_COPIED.contains(&k) && !k.starts_with("evenkeel.dev/");
    deployment.meta.annotations.iter().filter(move |(k, _)| kept(k))
}

fn meta(run: &Run<'_>, cx: &Cx<'_>) -> Meta {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let labels = run.spec.template.pointer("/metadata/labels").and_then(Value::as_object);
    Meta {
        generation: 1,
        created: cx.now,
        labels: Arc::new(labels.into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect()),
        annotations: Arc::new(copied(run.deployment).map(|(k, v)| (k.clone(), v.clone())).collect()),
        owners: [OwnerRef::controller(&run.deployment.key, run.deployment.uid)].into(),
        ..Meta::default()
    }
}

fn body(run: &Run<'_>, hash: &str, replicas: i32) -> Arc<[u8]> {
    let mut selector = serde_json::to_value(&run.spec.selector).unwrap_or_default();
    put_label(&mut selector, "matchLabels", hash);
    let mut template = run.spec.template.clone();
    if let Some(map) = template.as_object_mut() {
        let metadata = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        put_label(metadata, "labels", hash);
    }
    let mut spec = json!({"replicas": replicas, "selector": selector, "template": template});
    if let Some(seconds) = run.spec.min_ready_seconds.filter(|s| *s > 0)
        && let Some(map) = spec.as_object_mut()
    {
        map.insert("minReadySeconds".into(), seconds.into());
    }
    canonical::value_bytes(&json!({"spec": spec})).into()
}

pub(super) fn put_label(at: &mut Value, field: &str, hash: &str) {
    if let Some(map) = at.as_object_mut() {
        let labels = map.entry(field).or_insert_with(|| Value::Object(Map::new()));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(names::POD_TEMPLATE_HASH.into(), hash.into());
        }
    }
}

/// A ReplicaSet's body with another number of replicas.
pub(super) fn with_replicas(set: &Object, replicas: i32) -> Arc<[u8]> {
    let mut body = set.body_map();
    if let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("replicas".into(), replicas.into());
    }
    canonical::value_bytes(&Value::Object(body)).into()
}

fn current_release(run: &Run<'_>) -> Option<String> {
    let source = Key::cluster(Kind::Source, run.deployment.source()?);
    run.world.get(&source)?.status::<SourceStatus>().ok()??.current_release
}

/// The revision number that the Deployment itself carries.
pub(super) fn shown_revision(deployment: &Object) -> i64 {
    revision(deployment)
}
