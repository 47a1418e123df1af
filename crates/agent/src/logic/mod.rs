//! The agent's decisions: pods as state machines, without clock, thread, socket or file.

pub mod command;
pub mod journal;
pub mod labels;
