//! Packet rules by nftables: Services at their addresses and NetworkPolicies, on this node.
//!
//! - [`run`] starts `nft` itself, for everyone who needs it.
//! - [`services`] is what the agent holds: it takes in what the server says and keeps one table.
//! - `front` says who answers where, `element` and `table` how nftables is told, `book` what has to
//!   change. All of these are pure.
//! - `policy` says what packets of isolated pods are judged by, and what of it has to change.
//! - `watch` hears of changes by others, `conntrack` ends flows to those who are gone.
//! - [`health`] answers balancers outside.
//! - `model` is a table without a kernel.

mod book;
mod conntrack;
mod element;
mod front;
pub mod health;
pub(crate) mod model;
mod netlink;
mod policy;
pub mod run;
pub mod services;
mod table;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod watch;

pub use book::HostPort;
pub use health::{HealthError, HealthPort, HealthServer};
pub use run::{Nft, NftError};
pub use services::{Applied, CHECK_EVERY, Drift, Services, ServicesError};
