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

    /// Closes one: its agent comes back and tells everything.
    pub(crate) fn close(&self, node: &str) {
        self.lock().remove(node);
    }

    /// Begins a session, in place of any before it. The event goes into the queue under the lock, so
    /// that nothing of an older session of the node can come after it.
    fn open(&self, node: Arc<str>, sender: mpsc::Sender<ToAgent>, place: mpsc::Permit<'_, Message>, hello: Event) {
        let mut senders = self.lock();
        senders.insert(node, sender);
        place.send(Message::Event(hello));
    }

    /// Passes on what an agent says; false if its session is closed or another one took its place.
    fn pass(&self, node: &str, own: &Own, place: mpsc::Permit<'_, Message>, event: Event) -> bool {
        let senders = self.lock();
        let open = senders.get(node).is_some_and(|s| is_own(own, s));
        if open {
            place.send(Message::Event(event));
        }
        open
    }

    /// Ends a session, unless another one took its place: what that one was told stands.
    fn end(&self, node: &Arc<str>, own: &Own, place: mpsc::Permit<'_, Message>) {
        let mut senders = self.lock();
        if senders.get(node).is_none_or(|s| is_own(own, s)) {
            senders.remove(node);
            place.send(Message::Event(Event::Ended { node: node.clone() }));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, mpsc::Sender<ToAgent>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's own sender, without keeping it open.
type Own = mpsc::WeakSender<ToAgent>;

fn is_own(own: &Own, sender: &mpsc::Sender<ToAgent>) -> bool {
    own.upgrade().is_some_and(|own| own.same_channel(sender))
}

/// Serves one session until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, mut end: ServerEnd) {
    let Some(ToServer::Hello(hello)) = end.recv.recv().await else {
        warn!("a session began without a hello; closing it");
        return;
    };
    let node = hello.node.clone();
    let own = end.send.downgrade();
    info!(%node, pods = hello.pods.len(), "agent connected");
    // The queue is gone only at the end of the process.
    let Ok(place) = shared.queue.reserve().await else { return };
    shared.sessions.open(node.clone(), end.send, place, Event::Hello(hello));
    while let Some(message) = end.recv.recv().await {
        let event = match message {
            ToServer::Hello(hello) => Event::Hello(hello),
            ToServer::Report { stamp, report } => Event::Report { node: node.clone(), stamp, report },
        };
        let Ok(place) = shared.queue.reserve().await else { break };
        if !shared.sessions.pass(&node, &own, place, event) {
            break;
        }
    }
    if let Ok(place) = shared.queue.reserve().await {
        shared.sessions.end(&node, &own, place);
    }
    info!(%node, "agent disconnected");
}

#[cfg(test)]
mod tests {
    use evenkeel_model::session::{Hello, NodeReport, Report, Stamp};

    use super::*;

    fn hello() -> Event {
        let (session, epoch, report) = (1, 0, NodeReport::default());
        Event::Hello(Box::new(Hello {
            node: "n1".into(),
            session,
            epoch,
            report,
            pods: Vec::new(),
            sources: Vec::new(),
        }))
    }

    fn report() -> Event {
        Event::Report { node: "n1".into(), stamp: Stamp::default(), report: Box::new(Report::default()) }
    }

    #[tokio::test]
    async fn nothing_of_an_old_session_comes_after_the_hello_of_the_new_one() {
        let (queue, mut inbox) = mpsc::channel(8);
        let place = || queue.try_reserve().unwrap();
        let sessions = Sessions::default();
        let node: Arc<str> = "n1".into();
        let (old, _old_agent) = mpsc::channel(1);
        let (new, _new_agent) = mpsc::channel(1);
        let (own_old, own_new) = (old.downgrade(), new.downgrade());
        sessions.open(node.clone(), old, place(), hello());
        assert!(sessions.pass(&node, &own_old, place(), report()));
        sessions.open(node.clone(), new, place(), hello());
        assert!(!sessions.pass(&node, &own_old, place(), report()));
        sessions.end(&node, &own_old, place());
        assert!(sessions.pass(&node, &own_new, place(), report()));
        // Closed from this side: its end is told as long as no other session began.
        sessions.close(&node);
        sessions.end(&node, &own_new, place());
        drop(queue);
        let mut told = Vec::new();
        while let Some(Message::Event(event)) = inbox.recv().await {
            told.push(event);
        }
        assert_eq!(told, [hello(), report(), hello(), report(), Event::Ended { node }]);
    }
}
