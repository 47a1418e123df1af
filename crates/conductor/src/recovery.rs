//! A server that has its CA but an empty or restored store: it waits for what its agents know.

use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_core::World;
use evenkeel_model::Time;

/// Nodes that have not reported yet.
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

    /// Whether every expected node has reported while the world still waits.
    pub(crate) fn complete(&self, world: &World) -> bool {
        world.recovering.is_some() && self.expected.is_empty()
    }

    /// Ends the recovery when it is due; says whether it ended just now.
    pub(crate) fn check(&self, world: &mut World, now: Time) -> bool {
        match world.recovering {
            Some(until) if self.expected.is_empty() || now >= until => {
                world.recovering = None;
                true
            }
            _ => false,
        }
    }
}
