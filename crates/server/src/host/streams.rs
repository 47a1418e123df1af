//! Logs of containers on the nodes, commands in them and their ports, built on one stream to a node.
//!
//! Called by the host's [`crate::api::Backend`]. Who may ask was decided before; where a container
//! is found on its node, the agent knows. Deliberately not here: how a stream reaches its node
//! ([`super::NodeAccess`]).

use std::{sync::PoisonError, time::Duration};

use evenkeel_model::{Key, Kind, Object};
use evenkeel_wire::{
    stream::{CallerEnd, FailureKind, LogsRequest, StreamError, StreamOutput, StreamRequest},
    usage::{NodeUsage, UsageRequest},
};
use futures_util::stream;
use serde::Deserialize;

use super::Shared;
use crate::api::{LogRequest, LogStream};

/// A node answers in milliseconds whether it has what is asked for; its engine may be busy.
const OPEN: Duration = Duration::from_secs(30);
/// Bytes of what a node says that it uses: some thousand containers.
const USAGE_BYTES: usize = 4 << 20;

/// Opens a stream to the node that a pod is bound to.
pub(super) async fn open_at_pod(
    shared: &Shared,
    pod: &Object,
    request: StreamRequest,
) -> Result<CallerEnd, StreamError> {
    open(shared, pod.node.as_deref().unwrap_or_default(), request).await
}

/// Opens a stream to a node; its first message has been taken, and was no failure.
pub(super) async fn open(shared: &Shared, node: &str, request: StreamRequest) -> Result<CallerEnd, StreamError> {
    let access = shared.nodes.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned();
    let Some(access) = access else { return Err(away(shared, node, "its agent is not connected")) };
    let opening = async {
        let mut end = access.open(request).await?;
        match end.recv.recv().await {
            Some(StreamOutput::Failed(error)) => Err(error),
            Some(_) => Ok(end),
            None => Err(StreamError::new(FailureKind::NodeAway, "the connection was cut")),
        }
    };
    let opened = match tokio::time::timeout(OPEN, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(StreamError::new(FailureKind::NodeAway, format!("no answer within {} s", OPEN.as_secs()))),
    };
    opened.map_err(|error| match error.kind {
        FailureKind::NodeAway => away(shared, node, &error.message),
        _ => error,
    })
}

/// The part of a Node's status that says whether it is heard of.
#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    last_transition_time: Option<String>,
}

/// A node that cannot be asked: its name, since when it has not been heard of, and why.
fn away(shared: &Shared, node: &str, why: &str) -> StreamError {
    let object = shared.live.view().get(&Key::cluster(Kind::Node, node)).cloned();
    let since = object.and_then(|o| silent_since(&o)).map(|at| format!(" since {at}")).unwrap_or_default();
    StreamError::new(FailureKind::NodeAway, format!("node {node} cannot be asked{since}: {why}"))
}

/// Since when a node's `Ready` is unknown.
fn silent_since(node: &Object) -> Option<String> {
    let status: NodeStatus = node.status().ok().flatten()?;
    let ready = status.conditions.into_iter().find(|c| c.kind == "Ready")?;
    if ready.status == "Unknown" { ready.last_transition_time } else { None }
}

/// A container's output.
pub(super) async fn logs(shared: &Shared, request: LogRequest) -> Result<LogStream, StreamError> {
    let asked = LogsRequest {
        pod: request.pod.uid,
        container: request.container,
        previous: request.previous,
        follow: request.follow,
        tail: request.tail,
        since: request.since,
        timestamps: request.timestamps,
        limit_bytes: request.limit_bytes,
    };
    let end = open_at_pod(shared, &request.pod, StreamRequest::Logs(asked)).await?;
    let node = request.pod.node.clone().unwrap_or_default();
    let bytes = stream::unfold(Some(end), move |end| {
        let node = node.clone();
        async move {
            let mut end = end?;
            match end.recv.recv().await {
                Some(StreamOutput::Ended { .. }) => None,
                Some(StreamOutput::Stdout(bytes) | StreamOutput::Stderr(bytes)) => Some((Ok(bytes), Some(end))),
                Some(StreamOutput::Opened | StreamOutput::StdoutEnd) => Some((Ok(bytes::Bytes::new()), Some(end))),
                Some(StreamOutput::Failed(error)) => Some((Err(error), None)),
                None => {
                    let message = format!("the stream from node {node} was cut off");
                    Some((Err(StreamError::new(FailureKind::NodeAway, message)), None))
                }
            }
        }
    });
    Ok(Box::pin(bytes) as LogStream)
}

/// What a node and its containers use.
pub(super) async fn usage(shared: &Shared, node: &str, request: UsageRequest) -> Result<NodeUsage, StreamError> {
    let mut end = open(shared, node, StreamRequest::Usage(request)).await?;
    let mut text = Vec::new();
    let reading = async {
        while let Some(message) = end.recv.recv().await {
            match message {
                StreamOutput::Stdout(bytes) if text.len() + bytes.len() <= USAGE_BYTES => text.extend(bytes),
                StreamOutput::Ended { .. } => return Ok(()),
                StreamOutput::Failed(error) => return Err(error),
                StreamOutput::Opened | StreamOutput::StdoutEnd => {}
                StreamOutput::Stdout(_) | StreamOutput::Stderr(_) => break,
            }
        }
        Err(StreamError::new(FailureKind::NodeAway, format!("the stream from node {node} was cut off")))
    };
    let read = tokio::time::timeout(OPEN, reading).await;
    read.map_err(|_| StreamError::new(FailureKind::NodeAway, format!("no answer within {} s", OPEN.as_secs())))??;
    let wrong = |e: serde_json::Error| StreamError::new(FailureKind::Engine, format!("node {node} answered: {e}"));
    serde_json::from_slice(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_silent_node_has_a_time() {
        let node = |status: &str| {
            let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [
                {"type": "MemoryPressure", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T12:00:00Z"}]}});
            Object::from_value(value).unwrap()
        };
        assert_eq!(silent_since(&node("Unknown")).as_deref(), Some("2026-01-01T12:00:00Z"));
        assert_eq!(silent_since(&node("True")), None);
    }
}
