//! The session with the server, or the wait for the next one: dials, waits between tries, and says
//! why there is none, in the log and in `session.json` of the agent's folder.
//!
//! Used by the driver's loop. Deliberately not here: what is said in a session (`run`), and how one
//! is carried and authenticated (whoever gives the [`Dial`]).

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use evenkeel_model::Time;
use evenkeel_wire::{ToAgent, local::AgentEnd};
use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use super::{Dial, DialError, Dialing, clock, journal, redial::Redial};

/// A server that heard nothing for so long gets an empty report: by default it takes 40 s of silence
/// for a loss.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The same reason for the end of a session is logged this often: a server that refuses a node does
/// so again and again.
const SAY_AGAIN: Duration = Duration::from_mins(5);

/// Whether there is a session, for people on the node: the server cannot tell them then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub(crate) enum SessionState {
    /// Not tried yet.
    Starting,
    /// There is one.
    Open {
        /// Since when.
        since: Time,
    },
    /// There is none.
    Away {
        /// Since when.
        since: Time,
        /// Tries that failed since.
        failures: u32,
        /// Why the last one failed, or the session ended.
        cause: String,
    },
}

/// See the module.
pub(crate) struct Session<D> {
    dial: D,
    pub(crate) open: Option<AgentEnd>,
    dialing: Option<Dialing>,
    redial: Redial,
    /// When the open one was opened.
    opened: Instant,
    /// The first message is still to be sent.
    pub(crate) greet: bool,
    pub(crate) last_sent: Instant,
    /// It was closed from this side, which the loop is still to hear.
    cut: bool,
    /// What was heard, and waits its turn.
    pub(crate) waiting: VecDeque<Heard>,
    state: watch::Sender<SessionState>,
    /// The last reason for an end that went to the log, and when.
    said: Option<(String, Instant)>,
}

/// What the session has to say.
pub(crate) enum Heard {
    Opened(AgentEnd),
    Message(ToAgent),
    Closed,
    /// The server takes another message.
    Writable,
}

impl<D: Dial> Session<D> {
    pub(crate) fn new(dial: D, state: watch::Sender<SessionState>) -> Self {
        Self {
            dial,
            open: None,
            dialing: None,
            redial: Redial::default(),
            opened: Instant::now(),
            greet: false,
            last_sent: Instant::now(),
            cut: false,
            waiting: VecDeque::new(),
            state,
            said: None,
        }
    }

    /// Waits for what comes next; what waits its turn comes first. Safe to drop and call again.
    pub(crate) async fn next(&mut self, wants_to_write: bool) -> Heard {
        match self.waiting.pop_front() {
            Some(heard) => heard,
            None => self.hear(wants_to_write).await,
        }
    }

    /// Whether there is a session of which more can be heard while so much waits at most: its end is acted on
    /// before what follows.
    pub(crate) fn hears(&self, most: usize) -> bool {
        let goes_on = self.waiting.back().is_none_or(|last| matches!(last, Heard::Message(_)));
        self.open.is_some() && goes_on && self.waiting.len() < most
    }

    /// Waits for what comes next from the other side. Safe to drop and call again.
    pub(crate) async fn hear(&mut self, wants_to_write: bool) -> Heard {
        if std::mem::take(&mut self.cut) {
            return Heard::Closed;
        }
        if let Some(end) = &mut self.open {
            return tokio::select! {
                message = end.recv.recv() => message.map_or(Heard::Closed, Heard::Message),
                permit = end.send.reserve(), if wants_to_write => {
                    if permit.is_ok() { Heard::Writable } else { Heard::Closed }
                }
            };
        }
        loop {
            if self.dialing.is_none() {
                let pause = self.redial.wait(chance());
                let dial = self.dial.dial();
                self.dialing = Some(Box::pin(async move {
                    tokio::time::sleep(pause).await;
                    dial.await
                }));
            }
            let Some(dialing) = &mut self.dialing else { continue };
            let result = dialing.await;
            self.dialing = None;
            match result {
                Ok(end) => return Heard::Opened(end),
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Takes a session that was opened.
    pub(crate) fn opened(&mut self, end: AgentEnd) {
        let failures = self.redial.opened();
        if failures > 0 {
            tracing::info!(failures, "there is a session with the server again");
        }
        (self.open, self.greet, self.opened) = (Some(end), true, Instant::now());
        self.state.send_replace(SessionState::Open { since: clock() });
    }

    fn failed(&mut self, error: &DialError) {
        let aloud = self.redial.failed();
        let failures = self.redial.failures();
        let cause = evenkeel_model::causes(error);
        if aloud {
            tracing::warn!(failures, cause, "no session with the server; containers run on");
        } else {
            tracing::debug!(failures, cause, "no session with the server");
        }
        self.away(failures, cause);
    }

    fn away(&self, failures: u32, cause: String) {
        self.state.send_if_modified(|state| {
            let since = match state {
                SessionState::Away { since, .. } => *since,
                SessionState::Starting | SessionState::Open { .. } => clock(),
            };
            let next = SessionState::Away { since, failures, cause };
            let news = failures.is_power_of_two() || !matches!(state, SessionState::Away { .. });
            *state = next;
            news
        });
    }

    pub(crate) fn heartbeat_at(&self) -> Option<Instant> {
        self.open.is_some().then(|| self.last_sent + HEARTBEAT)
    }

    pub(crate) fn heartbeat_due(&self) -> bool {
        self.open.is_some() && self.last_sent.elapsed() >= HEARTBEAT
    }

    /// The session ended from the other side. A reason that was not said lately is said aloud.
    pub(crate) fn broke(&mut self) {
        let why = self.open.as_ref().and_then(|end| end.why.get()).map(str::to_owned);
        let reason = why.unwrap_or_else(|| "the server ended it, or the connection broke".into());
        let lately = self.said.as_ref().is_some_and(|(said, at)| *said == reason && at.elapsed() < SAY_AGAIN);
        if self.open.is_some() && !lately {
            tracing::warn!(reason, "the session with the server is over; containers run on");
            self.said = Some((reason.clone(), Instant::now()));
        }
        self.close(&reason);
    }

    /// The session is over, for this reason.
    pub(crate) fn close(&mut self, reason: &str) {
        if self.open.take().is_some() {
            self.redial.ended(self.opened.elapsed());
            tracing::debug!(reason, "the session is over");
            self.away(0, reason.to_owned());
        }
        self.greet = false;
    }

    /// Closes it from this side.
    pub(crate) fn cut(&mut self, reason: &str) {
        self.cut = self.open.is_some();
        self.close(reason);
    }
}

/// Chance for waits: these need no more than to differ from node to node. A system without random
/// bytes would not have made the agent's key; here the clock's last digits do, too.
fn chance() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from_ne_bytes(clock().0.to_ne_bytes()))
}

/// Keeps the file that says whether there is a session: the newest state, until nobody tells more.
pub(crate) async fn keep_file(path: PathBuf, mut state: watch::Receiver<SessionState>) {
    while state.changed().await.is_ok() {
        let (now, path) = (state.borrow_and_update().clone(), path.clone());
        let written = tokio::task::spawn_blocking(move || journal::write_plain(&path, &now)).await;
        if let Ok(Err(error)) = written {
            // For people alone; the log says the same.
            tracing::debug!(%error, "the state of the session cannot be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Dialing {
        Box::pin(std::future::ready(Err(DialError("connection refused".into()))))
    }

    #[tokio::test(start_paused = true)]
    async fn the_cause_of_the_last_failure_is_kept_and_the_newest_state_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (send, state) = watch::channel(SessionState::Starting);
        let mut session = Session::new(refused, send);
        let tries = tokio::time::timeout(Duration::from_mins(5), session.next(false)).await;
        assert!(tries.is_err(), "there is no session to be had");
        match &*state.borrow() {
            SessionState::Away { failures, cause, .. } => {
                assert!(*failures >= 20, "{failures} tries in five minutes");
                assert_eq!(cause, "cannot open a session with the server: connection refused");
            }
            other => panic!("{other:?}"),
        }
        let path = dir.path().join("session.json");
        drop(session);
        keep_file(path.clone(), state).await;
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(r#""state":"away""#) && text.contains("connection refused"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_cut_is_heard_closed_and_dialled_again() {
        let (send, state) = watch::channel(SessionState::Starting);
        let mut kept = Vec::new();
        let dial = move || -> Dialing {
            let (agent, server) = evenkeel_wire::local::pair();
            kept.push(server);
            Box::pin(std::future::ready(Ok(agent)))
        };
        let mut session = Session::new(dial, send);
        let Heard::Opened(end) = session.next(false).await else { panic!("no session") };
        session.opened(end);
        assert!(matches!(&*state.borrow(), SessionState::Open { .. }) && session.greet);
        session.cut("a gap");
        assert!(matches!(session.next(false).await, Heard::Closed));
        assert!(matches!(&*state.borrow(), SessionState::Away { failures: 0, cause, .. } if cause == "a gap"));
        let before = Instant::now();
        assert!(matches!(session.next(false).await, Heard::Opened(_)));
        assert!(before.elapsed() >= Duration::from_millis(50), "not without a wait");
    }
}
