//! A server that has its CA but an empty or restored store: it waits for what its agents know.
//!
//! Which of two servers is the newer one the epochs of their stores say: each new or restored store
//! draws one above the clock, and agents refuse whoever has a lower one than they have obeyed. Where
//! the clock of the new server is behind, that would be the new one: it takes a higher epoch than
//! those it hears ([`Recovery::claim`]). Only a store that was made or restored by this very start may
//! do so, and only while it recovers: a former server that is started again, or that comes out of a
//! cut after another one was restored, is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_core::{World, release::inbound};
use evenkeel_model::{Kind, Time, Version, session::Hello};
use evenkeel_store::{Batch, Op, Origin, RECOVERING, Store, StoreError};

/// What is waited for: nodes that have not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    expected: BTreeSet<Arc<str>>,
    origin: Origin,
}

/// No clock gives an epoch as high as this (it is in the year 2255): who says so lies, or its disk
/// does.
const EPOCH_LIMIT: u64 = 1 << 53;

impl Recovery {
    /// Begins: nothing is created or removed until every expected node has reported, or `until`.
    /// Of the store: where it comes from, and up to which version it knows everything.
    pub(crate) fn begin(
        world: &mut World,
        expected: BTreeSet<Arc<str>>,
        until: Time,
        (origin, base): (Origin, Version),
    ) -> Self {
        world.recovering = Some(until);
        // What this server writes from now on is of a higher version, and knows nothing more of what
        // the agents have seen.
        world.recovered = world.list(Kind::Source, "").map(|source| (source.key.name.clone(), base)).collect();
        Self { expected, origin }
    }

    /// The version that a stored value says; an unreadable one knows nothing.
    pub(crate) fn base(stored: &[u8]) -> Version {
        let digits = std::str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
        Version(digits.unwrap_or_default())
    }

    /// The epoch that this server takes to be the newest one for a node that has obeyed a higher one:
    /// above all that the node knows of. `None`: it is the former server, and refused.
    pub(crate) fn claim(&self, world: &World, hello: &Hello) -> Option<u64> {
        let begun = match self.origin {
            Origin::New | Origin::Restored => world.recovering.is_some(),
            Origin::Kept => false,
        };
        // Versions begin where epochs do: the next one is above these, too.
        let known = hello.sources.iter().map(|copy| copy.version.0).fold(hello.epoch, u64::max);
        (begun && known < EPOCH_LIMIT).then(|| known + 1)
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

/// Keeps that a recovery is under way, and up to which version the store knows everything; or that
/// none is.
pub(crate) fn remember(store: &mut impl Store, at: Version, base: Option<Version>) -> Result<(), StoreError> {
    let value = base.map(|base| base.to_string().into_bytes()).unwrap_or_default();
    store.commit(&Batch { from: at, to: at, ops: vec![Op::SetMeta(RECOVERING.into(), value)] })
}
