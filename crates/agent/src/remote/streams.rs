//! Streams to the server over a second connection, dialled when first asked for: a log or a command
//! cannot hold up the session.

use std::sync::Arc;

use evenkeel_wire::{
    STREAM, carry,
    proto::{Open, StreamDown, StreamUp},
    stream::{self, CallerEnd, FailureKind, StreamError, StreamInput, StreamOutput, put},
};
use tokio::sync::{Mutex, mpsc};
use tonic::{Request, Status, Streaming, metadata::MetadataValue};

use super::{
    Current, RemoteError, Serve, ServerAddress,
    connect::{client, connect},
    tls,
};
use crate::channel::Channel;

/// Frames on their way out.
const OUT: usize = 2;

/// The second connection, and who serves what is asked over it.
#[derive(Clone)]
pub(super) struct Side {
    shared: Arc<Shared>,
}

struct Shared {
    server: ServerAddress,
    current: Current,
    serve: Serve,
    channel: Mutex<Option<Channel>>,
}

impl Side {
    pub(super) fn new(server: ServerAddress, current: Current, serve: Serve) -> Self {
        Self { shared: Arc::new(Shared { server, current, serve, channel: Mutex::new(None) }) }
    }

    /// Begins to serve a stream.
    pub(super) fn open(&self, open: Open) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            if let Err(error) = shared.carry(open).await {
                tracing::debug!(error = %evenkeel_model::causes(&error), "a stream was not carried to its end");
            }
        });
    }
}

impl Shared {
    /// The second connection; a new one where the last is gone.
    async fn channel(&self) -> Result<Channel, RemoteError> {
        let mut held = self.channel.lock().await;
        if let Some(channel) = held.as_ref().filter(|c| c.open()) {
            return Ok(channel.clone());
        }
        let channel = connect(&self.server, tls::of_node(&self.current.get())?).await?;
        *held = Some(channel.clone());
        Ok(channel)
    }

    async fn carry(&self, open: Open) -> Result<(), RemoteError> {
        let id = MetadataValue::try_from(open.id).map_err(|e| RemoteError::Refused(e.to_string()))?;
        let channel = self.channel().await?;
        let served = match serde_json::from_slice(&open.request) {
            Ok(request) => (self.serve)(request),
            Err(_) => unknown(),
        };
        let CallerEnd { send: to_node, recv: from_node } = served;
        let (send, receive) = mpsc::channel(OUT);
        let outbound = futures_util::stream::unfold(receive, |mut receive| async {
            let next: StreamUp = receive.recv().await?;
            Some((next, receive))
        });
        let mut request = Request::new(outbound);
        request.metadata_mut().insert(STREAM, id);
        let refused = |status: Status| RemoteError::Refused(status.message().to_owned());
        let mut client = client(channel);
        let up = up(from_node, send);
        let down = async { down(client.stream(request).await?.into_inner(), to_node).await };
        tokio::pin!(up, down);
        let mut said = false;
        loop {
            tokio::select! {
                // All is said; the server ends the call when it has heard it.
                all = up.as_mut(), if !said => {
                    if !all {
                        return Ok(());
                    }
                    said = true;
                }
                ended = down.as_mut() => return ended.map_err(refused),
            }
        }
    }
}

/// What the node says; whether it was all. A call that the server has given up shows here first
/// where the command reads no input.
async fn up(mut from_node: mpsc::Receiver<StreamOutput>, send: mpsc::Sender<StreamUp>) -> bool {
    loop {
        let message = tokio::select! {
            message = from_node.recv() => message,
            () = send.closed() => return false,
        };
        let Some(message) = message else { return true };
        if put(&send, carry::output(message)).await.is_err() {
            return false;
        }
    }
}

/// What the caller says. Dropping `to_node` tells the node that the caller is gone.
async fn down(mut inbound: Streaming<StreamDown>, to_node: mpsc::Sender<StreamInput>) -> Result<(), Status> {
    while let Some(frame) = inbound.message().await? {
        let Some(message) = carry::read_input(frame) else { continue };
        // However long the command does not read; an error says that the node has ended. What it
        // still says goes on.
        if to_node.send(message).await.is_err() {
            break;
        }
    }
    // The rest of the call, up to the server's end of it.
    while inbound.message().await?.is_some() {}
    Ok(())
}

/// A stream of a kind that this version does not know.
fn unknown() -> CallerEnd {
    let (caller, node) = stream::pair();
    let error = StreamError::new(FailureKind::Unsupported, "this node's agent does not know this kind of stream");
    // The channel is empty: there is room.
    let _sent = node.send.try_send(StreamOutput::Failed(error));
    caller
}
