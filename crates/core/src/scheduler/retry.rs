//! Pods that found no room, looked at again when a node gained some.
//!
//! Pods of one body are one group: if the first of it does not fit on the node, none does. So the
//! work is bounded by the number of different bodies, and by constants.

use core::time::Duration;

use evenkeel_model::{Key, Kind};

use super::{
    bind,
    fit::{class_misfit, fits},
    place, refuse,
};
use crate::{controllers::ControllerId, cx::Cx, world::World};

/// Pods bound in one run; further ones in the next, so that one new node does not hold up a batch.
const BIND_LIMIT: usize = 64;
/// Bodies whose reason is brought up to date in one run.
const REFRESH_GROUPS: usize = 32;
/// Pods whose reason is brought up to date in one run.
const REFRESH_PODS: usize = 256;
/// How often reasons are brought up to date at most: each costs a look at every node.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// Binds waiting pods to a node as far as they fit.
pub(super) fn node(world: &World, key: &Key, cx: &mut Cx<'_>) {
    if world.recovering.is_some() {
        return;
    }
    if let Some(record) = world.nodes.get(&key.name).filter(|r| r.known) {
        let mut room = record.clone();
        let mut bound = 0;
        for (body, group) in world.pods.waiting() {
            let shape = world.pods.shape(body);
            if class_misfit(&shape, &room.class).is_some() {
                continue;
            }
            for pod in &group.keys {
                if !fits(&shape, &room) {
                    break;
                }
                if bound == BIND_LIMIT {
                    cx.wake(cx.now, ControllerId::Scheduler, key.clone());
                    return;
                }
                let Some(object) = world.get(pod) else { continue };
                bind(world, object, key.name.clone(), cx);
                room.charge(&shape, 1);
                bound += 1;
            }
        }
    }
    // Whole multiples, so that a stream of changes does not put it off for ever.
    let every = i64::try_from(REFRESH_EVERY.as_millis()).unwrap_or(i64::MAX);
    let at = evenkeel_model::Time((cx.now.0 / every + 1) * every);
    cx.wake(at, ControllerId::Scheduler, Key::cluster(Kind::Node, ""));
}

/// Says anew why waiting pods wait, where that changed; binds what fits after all.
pub(super) fn refresh(world: &World, cx: &mut Cx<'_>) {
    let mut pods = 0;
    for (body, group) in world.pods.waiting().filter(|(_, g)| g.gains != world.nodes.gains()).take(REFRESH_GROUPS) {
        let shape = world.pods.shape(body);
        match place(world, &shape, None) {
            // One of them; the next look finds what is left.
            Ok(node) => {
                if let Some(object) = group.keys.iter().next().and_then(|k| world.get(k)) {
                    bind(world, object, node, cx);
                    cx.wake(cx.now, ControllerId::Scheduler, Key::cluster(Kind::Node, ""));
                    return;
                }
            }
            Err(why) => {
                let message = alloc::format!("{why}");
                for object in group.keys.iter().filter_map(|k| world.get(k)) {
                    if pods == REFRESH_PODS {
                        return;
                    }
                    refuse(world, object, &message, cx);
                    pods += 1;
                }
            }
        }
    }
}
