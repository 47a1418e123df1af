//! The loop that owns the world, as a step function over core and store.
//!
//! [`Conductor::step`] takes a batch of events, lets the core handle them, runs the controllers of
//! the keys they touched, commits everything as one transaction, and says what to answer, publish
//! and send. No thread, no socket, no clock: the server drives it from a thread of its own, the
//! simulation from virtual time, with the very same code.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod batch;
mod conductor;
mod dirty;
mod dispatch;
mod endings;
mod event;
mod guard;
mod held;
mod ingress;
mod network;
mod orders;
mod recovery;
mod served;
mod sessions;
mod stalled;
mod told;

pub use conductor::{BATCH_EVENTS, Conductor, Start};
pub use event::{AskId, Event, Failure, Output, Published};
pub use served::{Behind, Reach, Served};
