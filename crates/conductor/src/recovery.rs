//! A server that has its CA but an empty or restored store: it waits for what its agents know.

use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_core::{World, release::inbound};
use evenkeel_model::Time;

/// What is waited for: nodes that have not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    expected: BTreeSet<Arc<str>>,
}

impl Recovery {
    /// Begins: nothing is created or removed until every expected node has reported, or `until`.
    pub(crate) fn begin(world: &mut World, expected: BTreeSet<Arc<str>>, until: Time) -> Self {
        world.recovering = Some(until);
        Self { expected }
    }

    /// A node has reported.
    pub(crate) fn heard(&mut self, node: &str) {
        self.expected.remove(node);
    }

    /// Whether nothing is waited for any more while the world still waits.
    pub(crate) fn complete(&self, world: &World) -> bool {
        world.recovering.is_some() && self.has_all(world)
    }

    /// Ends the recovery when it is due; says whether it ended just now.
    pub(crate) fn check(&self, world: &mut World, now: Time) -> bool {
        match world.recovering {
            Some(until) if now >= until || self.has_all(world) => {
                world.recovering = None;
                world.recovered.clear();
                true
            }
            _ => false,
        }
    }

    /// Every node has reported, and what was applied is known again: until then the objects of a
    /// restored store are older than what runs.
    fn has_all(&self, world: &World) -> bool {
        self.expected.is_empty() && !inbound::awaits_documents(world)
    }
}
