//! Links of pods and ways to other nodes, by netlink.
//!
//! `kernel` speaks to the kernel in plain types; `names` says what ours are called; `ipam` gives
//! addresses; `pods` plugs pods in, `netns` goes where their end is; `routes` leads to other nodes'
//! pods (`steps` is what that takes, `model` does it without a kernel); `host` looks at what the machine has of its own; `arp` answers for addresses of pools; `forward` lets pods through Docker's firewall,
//! which alone runs a program (`nft`).

pub(crate) mod arp;
pub(crate) mod forward;
pub(crate) mod host;
pub mod ipam;
pub(crate) mod kernel;
pub(crate) mod model;
pub mod names;
pub mod netns;
pub mod pods;
pub mod routes;
pub(crate) mod steps;

pub use kernel::KernelError;
