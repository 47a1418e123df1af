//! What server and agents say to each other.
//!
//! Plain types (`evenkeel_model::session`, named here again) and their ways of travel. In `evenkeel up` both halves live in one process and the messages
//! cross a bounded channel ([`local`]); over a network they will cross a stream with the very same
//! types. Logs and commands have streams of their own ([`stream`]). Nothing here decides anything.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod local;
pub mod stream;

pub use evenkeel_model::session::{
    Assignment, ContainerDrift, DriftAction, Hello, KnownPod, NodeReport, NodeTaint, PodContent, PodOrder, PodReport,
    Report, SourceCopy, Stamp, TaintEffect, ToAgent, ToServer,
};
