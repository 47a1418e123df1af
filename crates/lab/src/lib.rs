//! Several nodes on one machine: network namespaces on a switch, each with an address and a
//! container engine of its own, and the faults of networks and machines as functions.
//!
//! For tests on real parts, and for people who want to try a cluster (`make lab`). The product
//! never uses it. It needs root, Docker, iproute2, nftables and util-linux; what is missing is an
//! error, never a test less. Several labs, and several processes with labs, run beside each other:
//! names carry the process's id and start time, addresses are a range that nothing else uses. When
//! the process that made a lab dies, however it dies, everything in the lab dies with it; files and
//! control groups that are left go with the next lab.
//!
//! What goes wrong here is a test's failure: functions panic with what was tried and what came.
//! Deliberately not here: Evenkeel's own promises; the stories hold those.
#![allow(clippy::expect_used, clippy::panic)]

mod client;
mod cluster;
mod command;
mod engine;
mod example;
mod faults;
mod group;
mod lab;
mod machine;
mod mark;
mod process;
mod range;
mod switch;
mod wait;
mod watch;

pub use client::Client;
pub use cluster::Cluster;
pub use command::{docker, feed, needs_root, output, run};
pub use engine::{Container, Engine};
pub use example::{App, Repo};
pub use lab::{At, IMAGES, Lab, images};
pub use machine::Machine;
pub use process::Process;
pub use wait::{PATIENCE, eventually, holds_for, pause, within};
pub use watch::{Question, SHOP_READY, Sample, Watch};
