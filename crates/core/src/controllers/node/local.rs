//! Pods that cannot be elsewhere: one that mounts a folder of its node (`hostPath`) has its data
//! there and nowhere else, and a replacement would run without it, or beside it when the node comes
//! back. Such a pod stays with a node that is silent or not ready, and says so.
//!
//! Kubernetes evicts these as any other; here a person decides, by removing the node or the pod. A
//! taint that somebody set is such a decision: those evict them too. `emptyDir` does not count: its
//! data go with the pod wherever it goes.

use alloc::{format, sync::Arc};

use evenkeel_model::{Key, Object};
use serde_json::{Value, json};

use crate::{
    controllers::podstatus,
    cx::{Cx, EventKind},
    world::World,
};

/// Says of a pod, once, that it stays although its toleration is over.
pub(super) fn hold(world: &World, node: &Object, key: &Key, volume: &str, cx: &mut Cx<'_>) {
    let Some(pod) = cx.pending(key).or_else(|| world.get(key)).cloned() else { return };
    if podstatus::condition(&pod, podstatus::STAYS).is_some() {
        return;
    }
    let name = &node.key.name;
    let message = format!(
        "node {name} is away, and volume \"{volume}\" (hostPath) is there alone: the pod is not replaced. If the node \
         will not come back: evenkeel node remove {name}, or kubectl delete pod {} -n {} --force",
        pod.key.name, pod.key.namespace
    );
    let condition = json!({"type": podstatus::STAYS, "status": "True", "reason": "LocalVolume", "message": message,
        "lastTransitionTime": cx.now.rfc3339()});
    cx.put(podstatus::with_condition(&pod, &condition));
    cx.event(world, &pod, EventKind::Warning, "NotEvicted", &message);
}

/// Takes it back from the pods of a node that is well.
pub(super) fn release(world: &World, node: &Object, cx: &mut Cx<'_>) {
    let held = |key: &&Key| {
        let bound = world.pods.get(key).is_some_and(|pod| pod.shape.local_volume.is_some());
        bound && world.get(key).is_some_and(|pod| podstatus::condition(pod, podstatus::STAYS).is_some())
    };
    let pods: alloc::vec::Vec<Arc<Object>> =
        world.pods.on_node(&node.key.name).filter(held).filter_map(|key| world.get(key).cloned()).collect();
    for pod in pods {
        let mut status = podstatus::map(&pod);
        if let Some(Value::Array(list)) = status.get_mut("conditions") {
            list.retain(|c| c.get("type").and_then(Value::as_str) != Some(podstatus::STAYS));
        }
        let status = evenkeel_model::canonical::value_bytes(&Value::Object(status)).into();
        cx.put(Object { status, ..Object::clone(&pod) });
    }
}
