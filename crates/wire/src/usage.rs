//! What a node, and the containers of its pods, use now: asked for by a stream of its own
//! ([`crate::stream::StreamRequest::Usage`]), never sent unasked, so that nobody measures what nobody reads.
//!
//! The answer is one [`NodeUsage`] as JSON, in pieces of [`crate::stream::StreamOutput::Stdout`].

use evenkeel_model::Uid;
use serde::{Deserialize, Serialize};

/// What is to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageRequest {
    /// Also the containers of all pods; else the node alone.
    pub pods: bool,
}

/// Cpu and memory in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Used {
    /// Cpu in billionths of a core, over the window.
    pub cpu_nanocores: u64,
    /// Memory in bytes, without what the kernel gives back by itself.
    pub memory_bytes: u64,
}

/// A container's use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerUsage {
    /// Its pod.
    pub pod: Uid,
    /// Its name there.
    pub container: String,
    /// What it uses.
    #[serde(flatten)]
    pub used: Used,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeUsage {
    /// Over how long cpu was measured, in milliseconds.
    pub window_millis: u64,
    /// The whole machine.
    pub node: Used,
    /// Running containers of this cluster's pods, without sandboxes.
    pub containers: Vec<ContainerUsage>,
}
