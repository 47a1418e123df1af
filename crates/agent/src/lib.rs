//! The node's end: what is ordered becomes real, what is seen is reported.
//!
//! `logic` decides (sans-IO: inputs and a time in, commands out), so that the simulation drives the
//! very same code; the driver executes its commands on a runtime; `remote` is the way to a server on
//! another machine. Deliberately not here: any
//! knowledge of controllers or of the server's state.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod channel;
pub mod driver;
pub mod logic;
pub mod remote;
pub mod sim;
pub mod tokens;
