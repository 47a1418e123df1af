//! The sessions that are open, and which machine each belongs to.
//!
//! A node's files may have been copied to a second machine. So a session that begins while another
//! of its node is open asks that one first: if it answers, the newer one is refused and both
//! addresses are named. The same process that dials again is let in at once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use evenkeel_wire::proto::{FromServer, Ping, from_server};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A machine that is there answers within a round trip; one that was cut off does not.
const ANSWER: Duration = Duration::from_secs(3);

/// One open session.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// Of the agent's process.
    pub(super) instance: Bytes,
    pub(super) peer: SocketAddr,
    /// Messages of the session itself, beside the conductor's.
    pub(super) control: mpsc::Sender<FromServer>,
    /// Nonce of the last answer.
    pub(super) pong: watch::Receiver<u64>,
    /// Ends the session.
    pub(super) end: CancellationToken,
}

/// All of them by node.
#[derive(Debug, Default)]
pub(super) struct Live {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    /// Sessions have rising numbers, so that the end of an old one is not that of a new one.
    last: u64,
    open: BTreeMap<Arc<str>, (u64, Open)>,
}

/// Another machine has this node's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InUse {
    /// Its address.
    pub(super) by: SocketAddr,
}

impl Live {
    /// Takes a session in, in place of an older one of the same process or of one that does not
    /// answer. Gives the number that ends it.
    pub(super) async fn begin(&self, node: &Arc<str>, open: Open) -> Result<u64, InUse> {
        loop {
            let Some((number, other)) = self.lock().open.get(node).cloned() else {
                if let Some(number) = self.put(node, None, &open) {
                    return Ok(number);
                }
                continue;
            };
            if other.instance != open.instance && answers(&other, number).await {
                return Err(InUse { by: other.peer });
            }
            if let Some(number) = self.put(node, Some(number), &open) {
                other.end.cancel();
                return Ok(number);
            }
        }
    }

    /// Ends a session, unless another took its place.
    pub(super) fn end(&self, node: &str, number: u64) {
        let mut all = self.lock();
        if all.open.get(node).is_some_and(|(n, _)| *n == number) {
            all.open.remove(node);
        }
    }

    fn put(&self, node: &Arc<str>, instead: Option<u64>, open: &Open) -> Option<u64> {
        let mut all = self.lock();
        let there = all.open.get(node).map(|(n, _)| *n);
        if there != instead {
            return None;
        }
        all.last += 1;
        let number = all.last;
        all.open.insert(node.clone(), (number, open.clone()));
        Some(number)
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the machine at the other end of a session is there.
async fn answers(open: &Open, number: u64) -> bool {
    let mut last = open.pong.clone();
    // Another nonce than that of any answer before.
    let nonce = last.borrow().wrapping_add(1).max(number);
    let asked = async {
        let ping = FromServer { message: Some(from_server::Message::Ping(Ping { nonce })) };
        if open.control.send(ping).await.is_err() {
            return false;
        }
        last.wait_for(|n| *n >= nonce).await.is_ok()
    };
    tokio::select! {
        answered = timeout(ANSWER, asked) => answered.unwrap_or(false),
        () = open.end.cancelled() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Agent {
        asked: mpsc::Receiver<FromServer>,
        answer: watch::Sender<u64>,
    }

    fn session(instance: &'static [u8], port: u16) -> (Open, Agent) {
        let (control, asked) = mpsc::channel(4);
        let (answer, pong) = watch::channel(0);
        let peer = SocketAddr::from(([10, 0, 0, 1], port));
        let end = CancellationToken::new();
        (Open { instance: Bytes::from_static(instance), peer, control, pong, end }, Agent { asked, answer })
    }

    async fn answer(mut agent: Agent) {
        while let Some(FromServer { message: Some(from_server::Message::Ping(Ping { nonce })) }) =
            agent.asked.recv().await
        {
            agent.answer.send_replace(nonce);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_refused_as_long_as_the_other_machine_answers() {
        let live = Live::default();
        let node: Arc<str> = "n1".into();
        let (first, agent) = session(b"a", 1);
        let end = first.end.clone();
        let number = live.begin(&node, first).await.unwrap();
        let task = tokio::spawn(answer(agent));
        for _ in 0..3 {
            let refused = live.begin(&node, session(b"b", 2).0).await;
            assert_eq!(refused, Err(InUse { by: SocketAddr::from(([10, 0, 0, 1], 1)) }));
        }
        task.abort();
        // Now it does not answer any more.
        let second = live.begin(&node, session(b"b", 2).0).await.unwrap();
        assert!(end.is_cancelled() && second != number);
        live.end(&node, number);
        assert!(live.lock().open.contains_key("n1"), "the end of the old one is not the end of the new one");
        live.end(&node, second);
        assert!(live.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_dials_again_is_let_in_at_once() {
        let live = Live::default();
        let node: Arc<str> = "n1".into();
        let (first, _agent) = session(b"a", 1);
        let end = first.end.clone();
        live.begin(&node, first).await.unwrap();
        let before = tokio::time::Instant::now();
        live.begin(&node, session(b"a", 2).0).await.unwrap();
        assert!(end.is_cancelled() && before.elapsed().is_zero());
    }
}
