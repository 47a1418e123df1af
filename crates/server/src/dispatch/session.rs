//! One session: checks how it begins, then moves messages between the connection and the host.
//!
//! Two tasks: what the agent says goes into the host's channel, which makes the agent wait when it
//! is full; what the host says, and the session's own messages, go out in order. Either side's end
//! ends both.

use std::{sync::Arc, time::Duration};

use evenkeel_model::{Time, session::Hello};
use evenkeel_wire::{
    ToAgent, ToServer, convert, local,
    parts::{Joiner, MOST_TO_SERVER, split},
    proto::{self, FromAgent, FromServer, Welcome, from_agent, from_server},
    stream::put,
    version::{self, Side},
};
use metrics::gauge;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use super::{
    Inner, Node,
    live::{InUse, Open},
    skew,
    streams::Remote,
};
use crate::host::wall;

/// An agent introduces itself at once; its hello may be some MiB on a slow line.
const HELLO: Duration = Duration::from_secs(30);
/// Frames on their way out: the connection has its own buffer.
const OUT: usize = 4;
/// Messages of the session itself that wait: a few streams to be opened.
const CONTROL: usize = 16;
/// A node's deletion ends its session first and revokes its certificate then, which is a write of a
/// small file. Until then the connection stays: the agent could come in again by it.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);

/// Opens a session; gives what is sent to the agent.
pub(super) async fn open(
    inner: &Arc<Inner>,
    node: Node,
    mut inbound: Streaming<FromAgent>,
) -> Result<mpsc::Receiver<Result<FromServer, Status>>, Status> {
    let mut joiner = Joiner::new(MOST_TO_SERVER);
    let first = timeout(HELLO, next(&mut inbound, &mut joiner)).await;
    let first = first.map_err(|_| Status::deadline_exceeded("the agent did not introduce itself"))??;
    let Some(from_agent::Message::Hello(said)) = first else {
        return Err(Status::invalid_argument("a session begins with a hello"));
    };
    let instance = said.instance.clone();
    let hello = check(inner, &node, said)?;
    let (agent, server) = local::pair();
    let (control, asked) = mpsc::channel(CONTROL);
    let (answered, pong) = watch::channel(0);
    let end = inner.stop.child_token();
    let open = Open { instance, peer: node.peer.address, control: control.clone(), pong, end: end.clone() };
    let number = inner.live.begin(&node.name, open).await.map_err(|used| copied(&node, used))?;
    let access: Arc<dyn crate::host::NodeAccess> = Arc::new(Remote::new(inner.clone(), node.name.clone(), control));
    inner.host.register_node(node.name.clone(), access.clone());
    let (send, receive) = mpsc::channel(OUT);
    let name = node.name.clone();
    let removed = node.removed.clone();
    let mut out = Out { send: send.clone(), from_host: agent.recv, asked, node, inner: inner.clone() };
    let inner = inner.clone();
    tokio::spawn(async move {
        gauge!("evenkeel_agent_sessions").increment(1);
        // The channel is empty: this does not wait.
        let greeted = agent.send.send(ToServer::Hello(Box::new(hello))).await.is_ok();
        inner.host.accept(server);
        let from_agent = hear(inbound, joiner, agent.send, answered);
        let status = tokio::select! {
            ended = from_agent, if greeted => ended,
            () = end.cancelled() => None,
            () = removed.cancelled() => None,
            ended = out.turn() => ended,
        };
        let status = match status {
            Some(status) => status,
            None => ended_here(&name, &removed, &end).await,
        };
        debug!(node = %name, reason = status.message(), "a session ended");
        // An agent that takes nothing does not hear why.
        let _told = send.try_send(Err(status));
        end.cancel();
        inner.live.end(&name, number);
        inner.host.unregister_node(&name, &access);
        gauge!("evenkeel_agent_sessions").decrement(1);
    });
    Ok(receive)
}

/// Whether this hello may open a session.
fn check(inner: &Inner, node: &Node, said: proto::Hello) -> Result<Hello, Status> {
    version::agree(said.speaks.as_ref(), Side::Agent).map_err(Status::failed_precondition)?;
    if said.node != *node.name {
        return Err(Status::permission_denied(format!(
            "the certificate is of node {}, and the agent calls itself {}",
            node.name,
            said.node.chars().take(64).collect::<String>()
        )));
    }
    let certificate = node.peer.certificate.as_deref().unwrap_or_default();
    inner
        .pki
        .authorize(&node.name, certificate, Some(&said.machine_id))
        .map_err(|e| Status::permission_denied(e.to_string()))?;
    if let Some(text) = skew(Time(said.clock_ms), wall()) {
        // Nothing is decided by a node's clock, so it may come in; people should know.
        warn!(node = %node.name, "{text}");
    }
    convert::read_hello(said).map_err(|e| Status::invalid_argument(e.to_string()))
}

fn copied(node: &Node, used: InUse) -> Status {
    let (name, by, here) = (&node.name, used.by, node.peer.address.ip());
    Status::already_exists(format!(
        "node {name} is connected from {by}, and a second machine at {here} uses its certificate: its files were \
         copied. On the machine that is the copy, remove the folder agent/ of the data directory and join with a \
         token under another --name"
    ))
}

/// The next whole message.
async fn next(inbound: &mut Streaming<FromAgent>, joiner: &mut Joiner) -> Result<Option<from_agent::Message>, Status> {
    loop {
        let Some(frame) = inbound.message().await? else { return Err(Status::cancelled("the agent went away")) };
        if let Some(whole) = joiner.take(frame).map_err(|e| Status::invalid_argument(e.to_string()))? {
            return Ok(whole.message);
        }
    }
}

/// What an agent hears whose session ends on this side.
async fn ended_here(name: &str, removed: &CancellationToken, end: &CancellationToken) -> Status {
    let stopping = timeout(REVOKED_WITHIN, end.cancelled());
    tokio::select! {
        biased;
        () = removed.cancelled() => Status::permission_denied(format!("node {name} was removed")),
        _ = stopping => Status::unavailable("the server ended the session"),
    }
}

/// Passes on what the agent says, until it goes; nothing if it was this side that ended it.
async fn hear(
    mut inbound: Streaming<FromAgent>,
    mut joiner: Joiner,
    to_host: mpsc::Sender<ToServer>,
    answered: watch::Sender<u64>,
) -> Option<Status> {
    loop {
        let message = match next(&mut inbound, &mut joiner).await {
            Ok(message) => message,
            Err(status) => return Some(status),
        };
        match message {
            Some(from_agent::Message::Report(report)) => {
                let (stamp, report) = match convert::read_report(report) {
                    Ok(read) => read,
                    Err(e) => return Some(Status::invalid_argument(e.to_string())),
                };
                if to_host.send(ToServer::Report { stamp, report: Box::new(report) }).await.is_err() {
                    return None;
                }
            }
            Some(from_agent::Message::Pong(pong)) => {
                answered.send_replace(pong.nonce);
            }
            Some(from_agent::Message::Hello(_)) => {
                return Some(Status::invalid_argument("a session has one hello"));
            }
            // Of a later version.
            Some(from_agent::Message::Part(_)) | None => {}
        }
    }
}

/// What goes out.
struct Out {
    send: mpsc::Sender<Result<FromServer, Status>>,
    from_host: mpsc::Receiver<ToAgent>,
    asked: mpsc::Receiver<FromServer>,
    node: Node,
    inner: Arc<Inner>,
}

impl Out {
    /// Sends until something ends the session, and says what; nothing if the host did.
    async fn turn(&mut self) -> Option<Status> {
        let welcome = Welcome {
            speaks: Some(version::speaks()),
            cluster_id: self.inner.pki.cluster_id().into(),
            trust_pem: self.inner.pki.trust_pem().into(),
        };
        let left = self.node.until.since(wall());
        let mut message = FromServer { message: Some(from_server::Message::Welcome(welcome)) };
        let expiry = tokio::time::sleep(left);
        tokio::pin!(expiry);
        loop {
            for frame in split(message) {
                if put(&self.send, Ok(frame)).await.is_err() {
                    return Some(Status::deadline_exceeded("the agent takes nothing"));
                }
            }
            message = tokio::select! {
                next = self.from_host.recv() => match next {
                    Some(next) => next.into(),
                    None => return None,
                },
                // The other sender lives as long as the session.
                Some(next) = self.asked.recv() => next,
                () = expiry.as_mut() => return Some(Status::unauthenticated("the node's certificate has expired")),
            };
        }
    }
}
