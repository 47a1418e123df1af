//! What server and agents say to each other, and how it travels.
//!
//! Plain types (`evenkeel_model::session`, named here again) and their ways of travel. In
//! `evenkeel up` both halves live in one process and the messages cross a bounded channel
//! ([`local`]); over a network they cross a gRPC stream as the types of `proto/agents.proto`
//! ([`proto`], [`convert`], [`parts`]). Logs and commands have streams of their own
//! ([`stream`]), and both halves speak TLS with programs in pods in one way ([`pod_tls`]). Nothing here
//! decides anything.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod carry;
pub mod convert;
#[rustfmt::skip]
#[path = "generated/agents.rs"]
mod generated;
pub mod local;
pub mod netcheck;
pub mod parts;
pub mod pod_tls;
pub mod proto;
pub mod stream;
pub mod usage;
pub mod version;

pub use evenkeel_model::session::{
    Assignment, ContainerDrift, DriftAction, Hello, KnownPod, NodeReport, NodeTaint, PodContent, PodEvent, PodOrder,
    PodReport, Report, SourceCopy, Stamp, TaintEffect, ToAgent, ToServer,
};

/// The name in every server's certificate, by which agents know it whatever its address: an agent
/// trusts who its CA named so.
pub const SERVER_NAME: &str = "evenkeel-server";

/// Metadata of a call of `Stream`: which of the streams that the server asked for it carries.
pub const STREAM: &str = "evenkeel-stream";
