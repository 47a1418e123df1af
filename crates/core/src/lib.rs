//! The pure core: the world and everything that decides about it.
//!
//! The conductor owns a [`World`], feeds it events and runs the controllers of the keys that they
//! touched. Controllers are pure: they read the world and the time they are given and answer with
//! [`Change`]s. Deliberately not here: any clock, thread, file or socket, Docker, SQLite, git.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acme;
pub mod ask;
pub mod change;
pub mod controllers;
pub mod cx;
pub mod drift;
pub mod edit;
pub mod ingress;
mod limits;
pub mod network;
pub mod policy;
mod quota;
pub mod rbac;
pub mod release;
pub mod scheduler;
pub mod service;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod world;

pub use ask::{Answer, Ask, Refusal};
pub use change::{Change, Changed};
pub use controllers::{ControllerId, Controllers};
pub use cx::Cx;
pub use settings::Settings;
pub use world::World;
