//! The processes that last: `up`, `server`, `agent`. Each is put together here from its halves.
//!
//! Called by the verbs of those names. The control half ([`control`]) is host, API and certificates;
//! the node's half ([`node`]) is engine and agent. In `up` both live in one process and speak through
//! channels. Deliberately not here: what any of these parts does.

mod access;
pub(crate) mod agent;
mod control;
mod node;
mod pods;
mod process;
pub(crate) mod server;
mod source;
mod terminal;
pub(crate) mod up;

pub(crate) use control::ControlOptions;
pub(crate) use node::NodeOptions;
pub(crate) use source::{Place, locate};
