//! Streams to nodes over their second connection: the server asks for one by the session, the agent
//! opens it by a call of its own, and the two are brought together by an id that only they know.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use evenkeel_wire::{
    carry,
    proto::{FromServer, Open, StreamDown, StreamUp, from_server},
    stream::{self, CallerEnd, FailureKind, NodeEnd, StreamError, StreamInput, StreamOutput, StreamRequest, put},
};
use metrics::gauge;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{Inner, Node};
use crate::{api::Later, host::NodeAccess, pki};

/// An agent opens a stream within this time: a handshake, on a slow line.
const OPEN: Duration = Duration::from_secs(15);
/// Streams that may wait for their agents' calls.
const WAITING: usize = 1024;
/// Frames on their way out.
const OUT: usize = 2;

/// Streams that were asked for and not opened yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    all: Mutex<BTreeMap<String, (Arc<str>, NodeEnd)>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Arc<str>, NodeEnd)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an agent's call: from now on it carries the stream of this id.
    pub(super) fn serve(
        &self,
        node: &Node,
        id: Option<&str>,
        inbound: Streaming<StreamUp>,
    ) -> Result<mpsc::Receiver<Result<StreamDown, Status>>, Status> {
        let unknown = || Status::not_found("nobody waits for this stream (any more)");
        let id = id.ok_or_else(unknown)?;
        let mut all = self.lock();
        // Of another node: as if it were not there.
        if all.get(id).is_none_or(|(of, _)| *of != node.name) {
            return Err(unknown());
        }
        let (_, end) = all.remove(id).ok_or_else(unknown)?;
        drop(all);
        let (send, receive) = mpsc::channel(OUT);
        let removed = node.removed.clone();
        tokio::spawn(async move {
            gauge!("evenkeel_agent_streams").increment(1);
            let NodeEnd { send: to_caller, recv: from_caller } = end;
            tokio::select! {
                () = up(inbound, to_caller) => {}
                () = removed.cancelled() => {}
                () = down(from_caller, send) => {}
            }
            gauge!("evenkeel_agent_streams").decrement(1);
        });
        Ok(receive)
    }
}

/// From the node to the caller, until either goes. The caller hears of a broken connection by the
/// missing end.
async fn up(mut inbound: Streaming<StreamUp>, to_caller: mpsc::Sender<StreamOutput>) {
    loop {
        let frame = tokio::select! {
            frame = inbound.message() => frame,
            // Also where the command reads no input, on which the other way waits.
            () = to_caller.closed() => return,
        };
        let Ok(Some(frame)) = frame else { return };
        let Some(message) = carry::read_output(frame) else { continue };
        let last = matches!(message, StreamOutput::Ended { .. } | StreamOutput::Failed(_));
        if put(&to_caller, message).await.is_err() || last {
            return;
        }
    }
}

/// From the caller to the node. The caller's end closes the stream; what the node still says then
/// is for nobody.
async fn down(mut from_caller: mpsc::Receiver<StreamInput>, to_node: mpsc::Sender<Result<StreamDown, Status>>) {
    while let Some(message) = from_caller.recv().await {
        // However long the command does not read: `up` hears when its node goes.
        if to_node.send(Ok(carry::input(message))).await.is_err() {
            return;
        }
    }
    let _gone = put(&to_node, Ok(carry::input(StreamInput::Close))).await;
}

/// How a node's containers are reached while its session is open.
pub(super) struct Remote {
    inner: Arc<Inner>,
    node: Arc<str>,
    control: mpsc::Sender<FromServer>,
}

impl Remote {
    pub(super) fn new(inner: Arc<Inner>, node: Arc<str>, control: mpsc::Sender<FromServer>) -> Self {
        Self { inner, node, control }
    }
}

/// Forgets a stream that nobody opened in time.
struct Forget {
    inner: Arc<Inner>,
    id: String,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.inner.waiting.lock().remove(&self.id);
    }
}

impl NodeAccess for Remote {
    fn open(&self, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let (inner, node, control) = (self.inner.clone(), self.node.clone(), self.control.clone());
        Box::pin(async move {
            let away = |why: &str| StreamError::new(FailureKind::NodeAway, why);
            let bytes = pki::random::<16>().map_err(|e| StreamError::new(FailureKind::Engine, e.to_string()))?;
            let id = u128::from_be_bytes(bytes).to_string();
            let request = serde_json::to_vec(&request)
                .map_err(|e| StreamError::new(FailureKind::Invalid, format!("the request cannot be sent: {e}")))?;
            let (caller, end) = stream::pair();
            {
                let mut all = inner.waiting.lock();
                if all.len() >= WAITING {
                    let message = format!("{WAITING} streams wait for their nodes already; try again later");
                    return Err(StreamError::new(FailureKind::Busy, message));
                }
                all.insert(id.clone(), (node, end));
            }
            let open = Open { id: id.clone(), request: request.into() };
            let asked = FromServer { message: Some(from_server::Message::Open(open)) };
            let forget = Forget { inner: inner.clone(), id };
            if tokio::time::timeout(OPEN, control.send(asked)).await.is_ok_and(|sent| sent.is_ok()) {
                tokio::spawn(async move {
                    tokio::time::sleep(OPEN).await;
                    // Its end is dropped with it, which the caller hears.
                    drop(forget);
                });
                return Ok(caller);
            }
            Err(away("its session has ended"))
        })
    }
}
