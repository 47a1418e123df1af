//! What arrives from the followers of sources, and from agents that kept copies of sources.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use evenkeel_model::{Diagnostic, Revision, Snapshot, SourceName, session::SourceCopy};

use crate::{cx::Cx, world::World};

/// A revision that a source's follower has seen, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Source.
    pub source: SourceName,
    /// Revision.
    pub revision: Revision,
    /// `Name <mail>`; empty for a directory.
    pub author: String,
    /// First line of the commit's message.
    pub message: String,
    /// The documents, or everything that is wrong with them.
    pub outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
    /// For a directory: whether a second scan, `Settings::prune_confirm` after the first that
    /// missed something, misses the same. Always true for git.
    pub confirmed: bool,
}

/// A revision arrived.
pub fn seen(_world: &World, _seen: &Seen, _cx: &mut Cx<'_>) {}

/// A source cannot be reached; `next_try` from now.
pub fn away(
    _world: &World,
    _source: &SourceName,
    _reason: &str,
    _message: &str,
    _next_try: Duration,
    _cx: &mut Cx<'_>,
) {
}

/// A source answers again (or for the first time).
pub fn reachable(_world: &World, _source: &SourceName, _cx: &mut Cx<'_>) {}

/// An agent's copy of the sources, heard while recovering: Sources that the store does not know
/// come back with their settings, applied and last good revision, pin and quarantine.
pub fn recover(_world: &World, _copies: &[SourceCopy], _cx: &mut Cx<'_>) {}
