//! A simulated node: the real agent logic over an engine on virtual time, deterministic by seed.
//!
//! For tests of the logic and for the simulation of whole clusters. The engine notes what must
//! never happen in `SimRuntime::violations`: two runs of one container at once, a foreign container
//! touched. [`live`] runs a node in real time over a real session. Deliberately not here: a server;
//! whoever uses a node in virtual time carries messages to and fro.

mod clock;
mod engine;
mod live;
mod node;
mod program;
mod work;

pub use clock::SimClock;
pub use engine::{Conduct, SimContainer, SimRegistry, SimRuntime, StopNote};
pub use live::{SharedNode, live};
pub use node::{STRANGER, Served, SimNode, StartNote};
pub use program::Program;
