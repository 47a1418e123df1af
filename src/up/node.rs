//! The logs of this machine's pods, for the API.

use evenkeel_agent::driver::{LogReader, LogRequest as AgentRequest};
use evenkeel_runtime::{Docker, LogOptions, RuntimeError};
use evenkeel_server::{
    api::{Later, LogError, LogRequest, LogStream},
    host::NodeAccess,
};
use futures_util::StreamExt as _;

/// Reads logs through the agent's reader, without the network between.
#[derive(Debug)]
pub(super) struct Access {
    reader: LogReader<Docker>,
}

impl Access {
    pub(super) fn new(reader: LogReader<Docker>) -> Self {
        Self { reader }
    }
}

impl NodeAccess for Access {
    fn logs(&self, request: LogRequest) -> Later<Result<LogStream, LogError>> {
        let reader = self.reader.clone();
        Box::pin(async move {
            let node = request.pod.node.as_deref().unwrap_or_default().to_string();
            let asked = AgentRequest {
                pod: request.pod.uid,
                container: request.container,
                previous: request.previous,
                options: LogOptions {
                    follow: request.follow,
                    tail: request.tail,
                    since: request.since,
                    timestamps: request.timestamps,
                },
            };
            let stream = reader.read(&asked).await.map_err(|e| log_error(&node, &e))?;
            let mut left = request.limit_bytes.unwrap_or(u64::MAX);
            let bytes = stream.map(move |chunk| chunk.map(|c| c.bytes).map_err(|e| log_error(&node, &e)));
            let limited = bytes.scan((), move |(), chunk| {
                let out = match chunk {
                    _ if left == 0 => None,
                    Ok(mut bytes) => {
                        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        left -= bytes.len() as u64;
                        Some(Ok(bytes))
                    }
                    Err(e) => Some(Err(e)),
                };
                std::future::ready(out)
            });
            Ok(Box::pin(limited) as LogStream)
        })
    }
}

fn log_error(node: &str, error: &RuntimeError) -> LogError {
    match error {
        RuntimeError::NotFound { message } => LogError::NotThere(message.clone()),
        RuntimeError::EngineUnavailable { .. } | RuntimeError::Timeout { .. } => {
            LogError::NodeAway { node: node.to_string(), reason: error.to_string() }
        }
        other => LogError::Engine(other.to_string()),
    }
}
