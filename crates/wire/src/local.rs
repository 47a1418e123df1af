//! A session inside one process: two bounded channels.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::{ToAgent, ToServer};

/// Messages under way in each direction. A report is merged by the agent while the channel is
/// full, so a small number suffices.
const DEPTH: usize = 64;

/// The agent's end of a session.
#[derive(Debug)]
pub struct AgentEnd {
    /// To the server.
    pub send: mpsc::Sender<ToServer>,
    /// From the server; `None` means that the session is over.
    pub recv: mpsc::Receiver<ToAgent>,
    /// Why it is over, where more is known.
    pub why: Why,
}

/// Why a session ended; said once, before its channels close.
#[derive(Debug, Clone, Default)]
pub struct Why(Arc<OnceLock<String>>);

impl Why {
    /// Says it; a second word is not heard.
    pub fn say(&self, reason: String) {
        let _first_word_counts = self.0.set(reason);
    }

    /// What was said.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The server's end of a session.
#[derive(Debug)]
pub struct ServerEnd {
    /// To the agent.
    pub send: mpsc::Sender<ToAgent>,
    /// From the agent; `None` means that the session is over.
    pub recv: mpsc::Receiver<ToServer>,
}

/// A fresh session.
pub fn pair() -> (AgentEnd, ServerEnd) {
    let (to_server, from_agent) = mpsc::channel(DEPTH);
    let (to_agent, from_server) = mpsc::channel(DEPTH);
    (
        AgentEnd { send: to_server, recv: from_server, why: Why::default() },
        ServerEnd { send: to_agent, recv: from_agent },
    )
}
