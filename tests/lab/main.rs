//! Stories of several nodes, on real parts: the built binary as server and agents, each node a set
//! of namespaces with an engine of its own, real git and kubectl, and a network that fails. One file
//! a story. Nothing is skipped: a missing part is an error.
//!
//! With `EVENKEEL_LONG=1` (`make test-long`) the same stories take longer: cuts of ten minutes, 50
//! kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod acme;
mod adding_a_node;
mod alone;
mod amnesia;
mod apps;
mod common;
mod drain;
mod faults;
mod kills;
mod losing_a_node;
mod netcheck;
mod networking;
mod paused;
mod policy;
mod pool;
mod rebalance;
mod upgrade;
