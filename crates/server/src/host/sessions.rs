//! Agents' sessions: messages in become events, messages out go to the right one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use evenkeel_conductor::Event;
use evenkeel_wire::{ToAgent, ToServer, local::ServerEnd};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Message, Shared};

/// The open sessions by node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    senders: Mutex<BTreeMap<Arc<str>, mpsc::Sender<ToAgent>>>,
}

impl Sessions {
    /// Sends without waiting. A session that does not take its messages is closed: its agent comes
    /// back and hears everything.
    pub(crate) fn send(&self, node: &Arc<str>, message: ToAgent) {
        let mut senders = self.lock();
        let full = senders.get(node).is_some_and(|s| s.try_send(message).is_err());
        if full {
            warn!(%node, "the session does not take its messages; closing it");
            senders.remove(node);
        }
    }

    /// Closes all: the agents come back.
    pub(crate) fn close_all(&self) {
        self.lock().clear();
    }

    fn open(&self, node: Arc<str>, sender: mpsc::Sender<ToAgent>) {
        self.lock().insert(node, sender);
    }

    fn is_open(&self, node: &str, sender: &mpsc::WeakSender<ToAgent>) -> bool {
        let held = self.lock().get(node).cloned();
        matches!((held, sender.upgrade()), (Some(a), Some(b)) if a.same_channel(&b))
    }

    fn close(&self, node: &str) {
        self.lock().remove(node);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, mpsc::Sender<ToAgent>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one session until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, mut end: ServerEnd) {
    let Some(ToServer::Hello(hello)) = end.recv.recv().await else {
        warn!("a session began without a hello; closing it");
        return;
    };
    let node = hello.node.clone();
    let weak = end.send.downgrade();
    shared.sessions.open(node.clone(), end.send);
    info!(%node, pods = hello.pods.len(), "agent connected");
    if shared.queue.send(Message::Event(Event::Hello(hello))).await.is_err() {
        return;
    }
    while let Some(message) = end.recv.recv().await {
        if !shared.sessions.is_open(&node, &weak) {
            break;
        }
        let event = match message {
            ToServer::Hello(hello) => Event::Hello(hello),
            ToServer::Report(report) => Event::Report { node: node.clone(), report },
        };
        if shared.queue.send(Message::Event(event)).await.is_err() {
            break;
        }
    }
    if shared.sessions.is_open(&node, &weak) {
        shared.sessions.close(&node);
    }
    // The conductor may be gone already, at the end of the process.
    let _gone = shared.queue.send(Message::Event(Event::Ended { node: node.clone() })).await;
    info!(%node, "agent disconnected");
}
