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

pub use inbound::{kept_digests, wanted_revisions};
#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
mod tests;

pub(crate) use settled::unsettled;
pub(crate) use write::{applied, manager, onto, without_status};
