//! Counts of the pods of one ReplicaSet, from the pods' own records: never from a status that
//! another controller wrote, which may be a step behind. Used by ReplicaSet and Deployment.

use core::time::Duration;

use evenkeel_model::{Key, Kind, Time, Uid};

use crate::world::{World, pods::PodRecord};

/// Pods of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Neither ended nor terminating.
    pub(crate) active: i32,
    /// Active and ready.
    pub(crate) ready: i32,
    /// Ready for `minReadySeconds`.
    pub(crate) available: i32,
    /// Asked to go, and not gone.
    pub(crate) terminating: i32,
    /// Ended, and not terminating.
    pub(crate) finished: i32,
    /// When the next ready pod becomes available by waiting alone.
    pub(crate) next_available: Option<Time>,
}

/// The pods that an owner controls.
pub(crate) fn controlled(world: &World, owner: Uid) -> impl Iterator<Item = (&Key, &PodRecord)> {
    world
        .owned_by(owner)
        .filter(|o| o.key.kind == Kind::Pod)
        .filter_map(|o| Some((&o.key, world.pods.get(&o.key)?)))
        .filter(move |(_, r)| r.controller == Some(owner))
}

/// Counts them.
pub(crate) fn tally(world: &World, owner: Uid, min_ready: Duration, now: Time) -> Tally {
    let mut t = Tally::default();
    for (_, pod) in controlled(world, owner) {
        if pod.terminating {
            t.terminating += 1;
        } else if pod.finished() {
            t.finished += 1;
        } else {
            t.active += 1;
            if let Some(since) = pod.ready_since {
                t.ready += 1;
                let at = since + min_ready;
                if at <= now || min_ready.is_zero() {
                    t.available += 1;
                } else {
                    t.next_available = Some(t.next_available.map_or(at, |n| n.min(at)));
                }
            }
        }
    }
    t
}

/// A number of seconds from a field of a specification; negative counts as none.
pub(crate) fn seconds(n: Option<i32>) -> Duration {
    Duration::from_secs(u64::try_from(n.unwrap_or(0)).unwrap_or(0))
}
