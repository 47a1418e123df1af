//! Whether every release has come to an end, good or bad: what moves pods about asks first.

use alloc::{format, string::String};

use evenkeel_model::{Kind, own::Phase};

use super::{state::Src, window};
use crate::world::World;

/// The first release that is under way, and what it does; `None` where all have settled.
pub(crate) fn unsettled(world: &World) -> Option<String> {
    world.list(Kind::Source, "").find_map(|source| {
        let release = Src::load(world, &source.key.name)?.current(world)?;
        let does = match release.status.phase {
            Phase::Progressing => "is being rolled out",
            Phase::RollingBack => "is being rolled back",
            Phase::Healthy if release.status.reason == window::WATCHING => "is up, and still being watched",
            Phase::Healthy
            | Phase::Pending
            | Phase::Rejected
            | Phase::Failed
            | Phase::RolledBack
            | Phase::RollbackFailed
            | Phase::Superseded => return None,
        };
        Some(format!("release {} {does}", release.name()))
    })
}
