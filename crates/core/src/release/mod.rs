//! Releases: a revision's way into the cluster and back.
//!
//! `inbound` notes what the followers bring; the `engine` drives phases, one file a question:
//! may it be applied (`admit`), is it up (`progress`), what stops it (`cause`), back (`rollback`);
//! `sync` brings each object to what its source wants and finds drift; `ask` is what users want.

mod admit;
pub mod ask;
mod cause;
mod checks;
mod delta;
pub mod duration;
pub mod engine;
pub mod inbound;
mod placement;
mod plan;
mod progress;
mod prune;
mod rollback;
mod settled;
pub(crate) mod state;
mod status;
pub mod sync;
mod window;
pub(crate) mod write;

use alloc::{format, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object};

use crate::world::World;

/// The built-in kinds of what lives in a namespace on its own account.
const LIVE_IN_NAMESPACES: [Kind; 15] = [
    Kind::ServiceAccount,
    Kind::LimitRange,
    Kind::ResourceQuota,
    Kind::Role,
    Kind::RoleBinding,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Ingress,
    Kind::NetworkPolicy,
    Kind::PodDisruptionBudget,
    Kind::Pod,
    Kind::ReplicaSet,
    Kind::Deployment,
];

/// What lives in a namespace, of definitions' kinds, too.
pub(crate) fn living_in<'w>(world: &'w World, namespace: &'w str) -> impl Iterator<Item = &'w Arc<Object>> {
    let custom = world.customs.iter().map(|d| d.stored).filter(|kind| kind.namespaced());
    LIVE_IN_NAMESPACES.into_iter().chain(custom).flat_map(move |kind| world.list(kind, namespace))
}

/// What goes with a Namespace or a CustomResourceDefinition.
pub(crate) fn goes_with<'w>(world: &'w World, key: &'w Key) -> Vec<&'w Arc<Object>> {
    match key.kind {
        Kind::Namespace => living_in(world, &key.name).collect(),
        Kind::CustomResourceDefinition => {
            let named = |kind: Kind| format!("{}.{}", kind.info().plural, kind.info().group) == *key.name;
            let kind = world.customs.iter().map(|d| d.stored).find(|kind| named(*kind));
            kind.into_iter().flat_map(|kind| world.list(kind, "")).collect()
        }
        _ => Vec::new(),
    }
}

pub use inbound::{kept_digests, wanted_revisions};
#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
mod tests;

pub(crate) use settled::unsettled;
pub(crate) use write::{applied, manager, onto, without_status};
