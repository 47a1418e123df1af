//! The pods of one ReplicaSet and their counts. Used by ReplicaSet, Deployment and what moves pods.

use core::time::Duration;

use evenkeel_model::{Key, Kind, Time, Uid};

use crate::world::{World, crew::Tally, pods::PodRecord};

/// The pods that an owner controls.
pub(crate) fn controlled(world: &World, owner: Uid) -> impl Iterator<Item = (&Key, &PodRecord)> {
    world
        .owned_by(owner)
        .filter(|o| o.key.kind == Kind::Pod)
        .filter_map(|o| Some((&o.key, world.pods.get(&o.key)?)))
        .filter(move |(_, r)| r.controller == Some(owner))
}

/// Counts them, without a look at each.
pub(crate) fn tally(world: &World, owner: Uid, min_ready: Duration, now: Time) -> Tally {
    world.pods.crew(owner).map_or_else(Tally::default, |crew| crew.tally(min_ready, now))
}

/// A number of seconds from a field of a specification; negative counts as none.
pub(crate) fn seconds(n: Option<i32>) -> Duration {
    Duration::from_secs(u64::try_from(n.unwrap_or(0)).unwrap_or(0))
}
