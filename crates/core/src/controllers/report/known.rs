//! The pods that an agent has when its session begins.
//!
//! Some are as the world knows them. Some are on their way out there and not here any more: gone.
//! Some were evicted while the node was silent: of such a pod and its replacement the ready one
//! stays, the older on a tie. Where the store is new to the node (it was lost, or is an older one that
//! was restored), pods that the world does not know come back, and those that a controller would
//! replace, and that the node does not have, are gone: the node knows better.

use alloc::{collections::BTreeSet, sync::Arc};

use evenkeel_model::{
    Key, Kind, Object, Uid, canonical,
    session::{Hello, KnownPod},
};
use serde_json::Value;

use super::{remember_images, take_status};
use crate::{
    controllers::{orphan, podstatus, replicaset, tally::tally},
    cx::Cx,
    drift,
    world::World,
};

pub(super) fn pods(world: &World, hello: &Hello, cx: &mut Cx<'_>) {
    let mut has: BTreeSet<Uid> = BTreeSet::new();
    for known in &hello.pods {
        has.insert(known.uid);
        take(world, hello, known, cx);
    }
    // An agent that has lost its own memory knows nothing better.
    let knows_better = hello.epoch != 0 && is_new_to(world, hello);
    for key in world.pods.on_node(&hello.node) {
        let Some(pod) = world.get(key).filter(|p| !has.contains(&p.uid)) else { continue };
        let gone = pod.deleting() || (knows_better && pod.meta.controller().is_some());
        if gone && pod.meta.finalizers.is_empty() {
            cx.delete(key.clone());
        }
    }
}

/// Whether the node has not obeyed this store yet: while recovering, and later for a node that was
/// away meanwhile.
fn is_new_to(world: &World, hello: &Hello) -> bool {
    world.recovering.is_some() || (hello.epoch != 0 && hello.epoch < world.epoch)
}

fn take(world: &World, hello: &Hello, known: &KnownPod, cx: &mut Cx<'_>) {
    let Ok(mut reported) = Object::from_value(known.pod.clone()) else { return };
    if reported.key.kind != Kind::Pod {
        return;
    }
    let status = canonical::value_bytes(&known.status);
    let Some(pod) = world.get(&reported.key) else {
        if is_new_to(world, hello) {
            reported.uid = known.uid;
            adopt(hello, reported, status.into(), cx);
        }
        return;
    };
    if pod.uid != known.uid || pod.node.as_ref() != Some(&hello.node) {
        return;
    }
    drift::righted(world, &hello.node, pod, &known.drifted, cx);
    let next = take_status(pod, &status);
    remember_images(world, pod, next.as_ref(), &known.image_ids, cx);
    let next = next.unwrap_or_else(|| Object::clone(pod));
    // One that its agent has begun to stop cannot be kept.
    let next = if reported.meta.deletion.is_none() && keeps(world, &next) { unevicted(next) } else { next };
    if !next.same_content(pod) {
        cx.put(next);
    }
}

/// A pod that the world does not know, as the agent has it. It belongs to nobody until a
/// ReplicaSet or source takes it; what nobody takes stays an orphan and runs on.
fn adopt(hello: &Hello, mut pod: Object, status: Arc<[u8]>, cx: &mut Cx<'_>) {
    pod.status = status;
    pod.node = Some(hello.node.clone());
    pod.version = evenkeel_model::Version(0);
    pod.managed = evenkeel_model::object::empty();
    let whose = pod.meta.controller().map(|o| alloc::format!("; {} \"{}\" made it", o.kind, o.name));
    orphan::mark(
        &mut pod.meta,
        alloc::format!(
            "node {} had it when the server recovered, and the database did not know it{}",
            hello.node,
            whose.unwrap_or_default()
        ),
    );
    pod.meta.owners = Arc::from([]);
    pod.meta.finalizers = Arc::from([]);
    pod.meta.generation = pod.meta.generation.max(1);
    cx.put(pod);
}

/// Whether an evicted pod of a node that came back stays after all. One that a user evicted goes.
fn keeps(world: &World, pod: &Object) -> bool {
    let evicted = podstatus::condition(pod, podstatus::DISRUPTION).is_some_and(|c| {
        c.get("status") == Some(&"True".into()) && c.get("reason") == Some(&podstatus::TAINTED.into())
    });
    if !pod.deleting() || !evicted {
        return false;
    }
    let Some(owner) = pod.meta.controller() else { return false };
    let key: Key = pod.key.sibling(Kind::ReplicaSet, owner.name.clone());
    let Some(set) = world.get(&key).filter(|s| s.uid == owner.uid && !s.deleting()) else { return false };
    let wanted = set.view::<replicaset::View>().map_or(0, |v| v.spec.replicas());
    if wanted == 0 {
        return false;
    }
    let ready = podstatus::since(pod, "Ready", "True").is_some();
    let others = tally(world, set.uid, core::time::Duration::ZERO, evenkeel_model::Time(0));
    // Ready: it is the older of the two. Not ready: only where no replacement is ready either.
    ready || others.ready < wanted
}

fn unevicted(mut pod: Object) -> Object {
    pod.meta.deletion = None;
    pod.meta.generation += 1;
    let mut status = podstatus::map(&pod);
    if let Some(Value::Array(list)) = status.get_mut("conditions") {
        list.retain(|c| c.get("type").and_then(Value::as_str) != Some(podstatus::DISRUPTION));
    }
    pod.status = canonical::value_bytes(&Value::Object(status)).into();
    pod
}
