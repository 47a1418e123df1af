//! Streams of one node's containers for whoever may have them: a log, a command run in one, a port; and checks of
//! its network.
//!
//! `up` opens them in process; over a network the second connection does. Each stream is a task
//! that ends with its caller. Deliberately not here: who may open one (the server has decided).

use std::sync::Arc;

use bytes::Bytes;
use evenkeel_runtime::{LogOptions, Runtime, RuntimeError};
use evenkeel_wire::{
    stream::{
        self, AttachRequest, CallerEnd, ExecRequest, FailureKind, LogsRequest, NodeEnd, PortRequest, SendError,
        StreamError, StreamInput, StreamOutput, StreamRequest,
    },
    usage::UsageRequest,
};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::{
    exec,
    logs::{LogReader, LogRequest},
    netcheck::{NetChecks, NetHandle},
    port,
    usage::Meter,
};

/// Streams at once on a node: each holds a connection to the engine and up to a MiB.
const STREAMS: usize = 128;

/// Opens streams of one cluster's containers. Cheap to clone.
#[derive(Debug)]
pub struct Streams<R> {
    logs: LogReader<R>,
    meter: Meter,
    net: NetChecks,
    free: Arc<Semaphore>,
}

impl<R> Clone for Streams<R> {
    fn clone(&self) -> Self {
        Self { logs: self.logs.clone(), meter: self.meter.clone(), net: self.net.clone(), free: self.free.clone() }
    }
}

impl<R: Runtime> Streams<R> {
    /// Streams of this cluster's pods alone, and of the network that the agent sets in `net`.
    pub fn new(runtime: Arc<R>, cluster: String, net: NetHandle) -> Self {
        let (logs, free) = (LogReader::new(runtime, cluster), Arc::new(Semaphore::new(STREAMS)));
        Self { logs, meter: Meter::default(), net: NetChecks::new(net), free }
    }

    /// Begins to serve a request; must be called inside a tokio runtime. What is wrong with the
    /// request is the stream's first message.
    pub fn open(&self, request: StreamRequest) -> CallerEnd {
        let (caller, mut node) = stream::pair();
        let streams = self.clone();
        tokio::spawn(async move {
            if let Err(error) = streams.serve(&mut node, request).await {
                tracing::debug!(%error, "a stream ended early");
            }
        });
        caller
    }

    async fn serve(&self, end: &mut NodeEnd, request: StreamRequest) -> Result<(), SendError> {
        let Ok(_turn) = self.free.clone().try_acquire_owned() else {
            let message = format!("the node serves {STREAMS} streams already, as many as it may; try again later");
            return end.send(StreamOutput::Failed(StreamError::new(FailureKind::Busy, message))).await;
        };
        let last = match request {
            StreamRequest::Logs(request) => self.log(end, request).await,
            StreamRequest::Exec(request) => self.exec(end, request).await,
            StreamRequest::Attach(request) => self.attach(end, request).await,
            StreamRequest::Port(request) => self.port(end, request).await,
            StreamRequest::Usage(request) => self.usage(end, request).await,
            StreamRequest::Net => self.net.serve(end).await,
        };
        match last {
            Ok(exit_code) => end.send(StreamOutput::Ended { exit_code }).await,
            Err(Broken::Failed(error)) => end.send(StreamOutput::Failed(error)).await,
            Err(Broken::Caller(error)) => Err(error),
        }
    }

    async fn log(&self, end: &mut NodeEnd, request: LogsRequest) -> Result<i32, Broken> {
        let asked = LogRequest {
            pod: request.pod,
            container: request.container,
            previous: request.previous,
            options: LogOptions {
                follow: request.follow,
                tail: request.tail,
                since: request.since,
                timestamps: request.timestamps,
            },
        };
        let mut output = self.logs.read(&asked).await?;
        end.send(StreamOutput::Opened).await?;
        let mut left = request.limit_bytes.unwrap_or(u64::MAX);
        while left > 0 {
            let piece = tokio::select! {
                piece = output.next() => piece,
                () = gone(end) => return Err(SendError::Gone.into()),
            };
            let Some(piece) = piece else { break };
            let mut bytes: Bytes = piece?.bytes;
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= bytes.len() as u64;
            for chunk in stream::chunks(bytes) {
                end.send(StreamOutput::Stdout(chunk)).await?;
            }
        }
        Ok(0)
    }

    async fn exec(&self, end: &mut NodeEnd, request: ExecRequest) -> Result<i32, Broken> {
        let found = self.logs.find(request.pod, &request.container).await?;
        exec::serve(self.logs.runtime(), end, request, found).await
    }

    async fn attach(&self, end: &mut NodeEnd, request: AttachRequest) -> Result<i32, Broken> {
        let found = self.logs.find(request.pod, &request.container).await?;
        exec::attach(self.logs.runtime(), end, request, found).await
    }

    async fn usage(&self, end: &mut NodeEnd, request: UsageRequest) -> Result<i32, Broken> {
        let usage = self.meter.measure(&self.logs, request).await?;
        end.send(StreamOutput::Opened).await?;
        let text = serde_json::to_vec(&usage).map_err(|e| StreamError::new(FailureKind::Engine, e.to_string()))?;
        for chunk in stream::chunks(text.into()) {
            end.send(StreamOutput::Stdout(chunk)).await?;
        }
        Ok(0)
    }

    async fn port(&self, end: &mut NodeEnd, request: PortRequest) -> Result<i32, Broken> {
        let found = self.logs.sandboxes(request.pod).await?;
        port::serve(end, request.port, found).await?;
        Ok(0)
    }
}

/// Waits until the caller goes. It has nothing else to say about a log.
async fn gone(end: &mut NodeEnd) {
    while let Some(message) = end.recv.recv().await {
        if message == StreamInput::Close {
            return;
        }
    }
}

/// Why serving ended before the end.
pub(super) enum Broken {
    /// The caller is told.
    Failed(StreamError),
    /// There is nobody to tell.
    Caller(SendError),
}

impl From<SendError> for Broken {
    fn from(error: SendError) -> Self {
        Self::Caller(error)
    }
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Failed(error)
    }
}

impl From<RuntimeError> for Broken {
    fn from(error: RuntimeError) -> Self {
        let kind = match error {
            RuntimeError::NotFound { .. } => FailureKind::NotFound,
            RuntimeError::Conflict { .. } => FailureKind::NotRunning,
            RuntimeError::EngineUnavailable { .. } | RuntimeError::Timeout { .. } => FailureKind::NodeAway,
            _ => FailureKind::Engine,
        };
        Self::Failed(StreamError::new(kind, error.to_string()))
    }
}
