//! The end of an object by hand.

use alloc::{format, sync::Arc};

use evenkeel_model::{Key, Kind, Object};

use super::{owner, unlocked};
use crate::{
    ask::{Answer, DeleteOptions, Refusal},
    change::Change,
    controllers::{definition, namespace, pod},
    cx::{Cx, EventKind},
    ingress,
    world::World,
};

pub(super) fn handle(
    world: &World,
    key: &Key,
    options: &DeleteOptions,
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let object = world.get(key).ok_or_else(|| Refusal::not_found(key))?;
    options.check(object)?;
    unlocked(world, object)?;
    if key.kind == Kind::Namespace && namespace::DEFAULTS.contains(&&*key.name) {
        let message = format!("namespaces \"{}\" is forbidden: this namespace may not be deleted", key.name);
        return Err(Refusal::new(403, "Forbidden", message));
    }
    if key.kind == Kind::IngressClass && &*key.name == ingress::CLASS {
        let message = format!(
            "ingressclasses.networking.k8s.io \"{}\" is forbidden: this class may not be deleted; annotate it \
             ingressclass.kubernetes.io/is-default-class: \"false\" to have another default",
            key.name
        );
        return Err(Refusal::new(403, "Forbidden", message));
    }
    let change = pod::end(world, object, options, cx.now);
    if options.dry_run {
        return Ok(Answer::Would(object.clone()));
    }
    if change.is_some() && owner(world, object).is_some() {
        let text = format!("{user} has deleted {key} by hand");
        cx.event(world, object, EventKind::Warning, "DeletedByHand", &text);
    }
    match change {
        Some(Change::Delete(key)) => {
            cx.delete(key);
            Ok(Answer::Deleted(object.clone()))
        }
        change => {
            cx.changes.extend(change);
            Ok(Answer::Object(key.clone()))
        }
    }
}

/// Whether an object that is going, and whose last finalizer went, has nothing else to wait for: a pod
/// waits for its node, a Namespace for what is in it.
pub(super) fn may_go(world: &World, object: &Arc<Object>) -> bool {
    match object.key.kind {
        Kind::Pod => object.node.is_none() || world.pods.finished(&object.key),
        Kind::Namespace => false,
        // Its controller has emptied it before it took its finalizer away.
        Kind::CustomResourceDefinition => definition::stored(object).is_none_or(|kind| world.count(kind) == 0),
        _ => true,
    }
}
