//! Releases: a revision's way into the cluster and back. Being written.

pub mod ask;
pub mod engine;
pub mod inbound;
pub mod sync;
