//! What travels on a stream of its own beside the session: a container's log, a command run in it, a
//! connection to a port of a pod.
//!
//! The server asks ([`StreamRequest`]) and the node's agent serves; both hold one end of a pair of
//! bounded channels ([`pair`]). Over a network the same messages cross a second connection, so that
//! a large log cannot starve the session: whoever carries them moves messages between a channel and
//! the connection and looks at none. A full channel makes its writer wait, and through it, in the
//! end, the container: nothing is kept without end. Deliberately not here: where a container is
//! found, and what became of its process.

use std::time::Duration;

use bytes::Bytes;
use evenkeel_model::{Time, Uid};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{sync::mpsc, time::timeout};

use crate::usage::UsageRequest;

/// Bytes of one message at most: large enough to be cheap, small enough that some of them on their
/// way do not delay what else shares the connection.
pub const CHUNK: usize = 64 << 10;
/// Bytes of one stream that may be on their way over a connection, or wait there for a reader.
pub const WINDOW: u32 = 256 << 10;
/// The same of all streams of a connection: as many windows as a node serves streams, so that one
/// that nobody reads holds up no other.
pub const WINDOWS: u32 = 128 * WINDOW;
/// Messages under way in each direction. More would only be kept, not be faster.
const DEPTH: usize = 4;
/// Output that nobody has taken for so long ends its stream: the reader has stopped reading. Input
/// has no such bound: a command may be busy for long before it reads on.
pub const PROGRESS: Duration = Duration::from_mins(1);

/// What is wanted of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamRequest {
    /// A container's output.
    Logs(LogsRequest),
    /// A command run in a container.
    Exec(ExecRequest),
    /// The streams of a container's own process.
    Attach(AttachRequest),
    /// A connection to a TCP port of a pod.
    Port(PortRequest),
    /// What the node and its containers use.
    Usage(UsageRequest),
    /// A check of the network between nodes: see [`crate::netcheck`].
    Net,
}

/// A port of a pod. What the caller sends as standard input goes to it, and its end is passed on;
/// what comes from it is standard output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortRequest {
    /// The pod.
    pub pod: Uid,
    /// The TCP port.
    pub port: u16,
}

/// Which output, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogsRequest {
    /// The pod.
    pub pod: Uid,
    /// A container of it, init containers included.
    pub container: String,
    /// The run before the current one.
    pub previous: bool,
    /// Wait for more at the end.
    pub follow: bool,
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    /// Only from this time on; whole seconds.
    pub since: Option<Time>,
    /// Put RFC 3339 time stamps before lines.
    pub timestamps: bool,
    /// End after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// A command, and which of its standard streams are connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecRequest {
    /// The pod.
    pub pod: Uid,
    /// A container of it that runs.
    pub container: String,
    /// The program and its arguments; not empty.
    pub command: Vec<String>,
    /// Its standard streams.
    pub streams: ExecStreams,
}

/// A container's own process, and which of its standard streams are connected. The stream ends with the
/// container, or leaves it running when its caller goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachRequest {
    /// The pod.
    pub pod: Uid,
    /// A container of it that runs.
    pub container: String,
    /// Its standard streams.
    pub streams: ExecStreams,
}

/// The standard streams of a command. Standard input that is not connected reads an end at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecStreams {
    /// A pipe for each that is connected.
    Pipes {
        /// Standard input.
        stdin: bool,
        /// Standard output.
        stdout: bool,
        /// Standard error.
        stderr: bool,
    },
    /// A terminal: its output is all of [`StreamOutput::Stdout`].
    Terminal {
        /// Whether its input is connected.
        stdin: bool,
    },
}

impl Default for ExecStreams {
    fn default() -> Self {
        Self::Pipes { stdin: false, stdout: true, stderr: true }
    }
}

/// From the caller to the node. Dropping the end does what [`StreamInput::Close`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamInput {
    /// For standard input, at most [`CHUNK`] bytes.
    Stdin(Bytes),
    /// Standard input ends.
    StdinEnd,
    /// The terminal's size from now on, in characters.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// The caller goes: the stream ends, and a command with it.
    Close,
}

/// From the node to the caller. The first message is [`StreamOutput::Opened`] or a failure, the
/// last [`StreamOutput::Ended`] or a failure; a stream that ends otherwise was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamOutput {
    /// What was asked for is there; output follows.
    Opened,
    /// Of standard output, or a log's both streams; at most [`CHUNK`] bytes.
    Stdout(Bytes),
    /// Of standard error; at most [`CHUNK`] bytes.
    Stderr(Bytes),
    /// No more of standard output: a port has closed this way, and may still read.
    StdoutEnd,
    /// The end: a command's exit code, 0 for a log and a port.
    Ended {
        /// 128 + n for signal n.
        exit_code: i32,
    },
    /// It could not be served, or broke.
    Failed(StreamError),
}

/// Why there is no stream, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct StreamError {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// What kind of failure ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// There is no such container on the node (yet, or any more).
    NotFound,
    /// The container is there and does not run.
    NotRunning,
    /// The request makes no sense.
    Invalid,
    /// The node serves as many streams as it may.
    Busy,
    /// The node cannot be reached, or was cut off in the middle.
    NodeAway,
    /// Nothing answers at the port.
    Refused,
    /// The container engine failed.
    Engine,
    /// The node's agent does not know this kind of stream.
    Unsupported,
}

impl StreamError {
    /// A failure with its text.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The server ends, and the stream with it.
    pub fn stopping() -> Self {
        Self::new(FailureKind::NodeAway, "the server is stopping")
    }
}

/// Why a message was not taken. The stream is over in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The other end is gone.
    #[error("the other end of the stream is gone")]
    Gone,
    /// The other end took nothing for [`PROGRESS`].
    #[error("the other end of the stream took nothing for {} s", PROGRESS.as_secs())]
    Stalled,
}

/// The end of who asked. Dropping it ends the stream.
#[derive(Debug)]
pub struct CallerEnd {
    /// To the node.
    pub send: mpsc::Sender<StreamInput>,
    /// From the node; `None` means that the stream is over.
    pub recv: mpsc::Receiver<StreamOutput>,
}

/// The end of who serves.
#[derive(Debug)]
pub struct NodeEnd {
    /// To the caller; [`NodeEnd::send`] bounds the wait.
    pub send: mpsc::Sender<StreamOutput>,
    /// From the caller; `None` means that it is gone.
    pub recv: mpsc::Receiver<StreamInput>,
}

/// A fresh stream.
pub fn pair() -> (CallerEnd, NodeEnd) {
    let (to_node, from_caller) = mpsc::channel(DEPTH);
    let (to_caller, from_node) = mpsc::channel(DEPTH);
    (CallerEnd { send: to_node, recv: from_node }, NodeEnd { send: to_caller, recv: from_caller })
}

impl CallerEnd {
    /// Sends a message; waits as long as the command does not read what came before.
    pub async fn send(&self, message: StreamInput) -> Result<(), SendError> {
        self.send.send(message).await.map_err(|_| SendError::Gone)
    }
}

impl NodeEnd {
    /// Sends a message; waits while the caller is slow, at most [`PROGRESS`].
    pub async fn send(&self, message: StreamOutput) -> Result<(), SendError> {
        put(&self.send, message).await
    }
}

/// Sends a message; waits while the other end is slow, at most [`PROGRESS`].
pub async fn put<T>(to: &mpsc::Sender<T>, message: T) -> Result<(), SendError> {
    match timeout(PROGRESS, to.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(SendError::Gone),
        Err(_) => Err(SendError::Stalled),
    }
}

/// Cuts bytes into pieces of at most [`CHUNK`], without copying.
pub fn chunks(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(bytes.len().min(CHUNK))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_into_bounded_pieces() {
        let whole = Bytes::from((0..=255).cycle().take(2 * CHUNK + 1).collect::<Vec<u8>>());
        let pieces: Vec<Bytes> = chunks(whole.clone()).collect();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK, CHUNK, 1]);
        assert_eq!(pieces.concat(), whole);
        assert_eq!(chunks(Bytes::new()).count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_ends_the_stream_after_a_minute() {
        let (mut caller, node) = pair();
        for _ in 0..DEPTH {
            node.send(StreamOutput::Stdout(Bytes::from_static(b"x"))).await.unwrap();
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(node.send(StreamOutput::Opened).await, Err(SendError::Stalled));
        assert_eq!(begun.elapsed(), PROGRESS);
        assert!(caller.recv.recv().await.is_some());
        node.send(StreamOutput::Opened).await.unwrap();
        drop(caller);
        assert_eq!(node.send(StreamOutput::Opened).await, Err(SendError::Gone));
    }

    #[test]
    fn messages_have_a_stable_form() {
        let exec = StreamRequest::Exec(ExecRequest {
            command: vec!["sh".into()],
            streams: ExecStreams::Terminal { stdin: true },
            ..Default::default()
        });
        let text = serde_json::to_string(&exec).unwrap();
        assert_eq!(
            text,
            r#"{"exec":{"pod":"00000000-0000-0000-0000-000000000000","container":"","command":["sh"],"streams":{"terminal":{"stdin":true}}}}"#
        );
        assert_eq!(serde_json::from_str::<StreamRequest>(&text).unwrap(), exec);
        // What a newer server adds is passed over.
        let newer = r#"{"logs":{"container":"web","colour":true}}"#;
        let expected = StreamRequest::Logs(LogsRequest { container: "web".into(), ..Default::default() });
        assert_eq!(serde_json::from_str::<StreamRequest>(newer).unwrap(), expected);
    }
}
