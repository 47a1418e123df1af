//! A node's network, made real: links and addresses of pods, routes between nodes, the Services'
//! addresses, and names.
//!
//! The agent's driver calls it with what the server said (`evenkeel_model::net`). Everything that is
//! written to the kernel follows from what the agent knows, and can be made again from it at any
//! time. Deliberately not here: who gets which Service address, and who stands behind a Service (the
//! core decides), and pods' life (the agent's logic).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod dns;
pub mod link;
pub mod model;
pub mod nft;
pub mod plane;
