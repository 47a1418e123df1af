//! A session inside one process: two bounded channels.

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
    (AgentEnd { send: to_server, recv: from_server }, ServerEnd { send: to_agent, recv: from_agent })
}
