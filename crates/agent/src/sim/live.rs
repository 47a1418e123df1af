//! A simulated node in real time: it holds a session with a real server by the driver's own rules
//! of dialling, waiting and heartbeats.
//!
//! For tests and figures with many nodes, where everything but the engine and the disk is real.
//! Deliberately not here: the connection (whoever gives the [`Dial`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_model::Time;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{SimNode, SimRegistry};
use crate::{
    driver::{
        Dial, clock,
        session::{Heard, Session, SessionState},
    },
    logic::command::Input,
};

/// A node that others look at while it runs.
pub type SharedNode = Arc<Mutex<SimNode>>;

/// The wall clock at the start, and what ran since: it never goes back.
struct Steady(Time, Instant);

impl Steady {
    fn now(&self) -> Time {
        self.0 + self.1.elapsed()
    }
}

fn lock(node: &SharedNode) -> MutexGuard<'_, SimNode> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a node until `stop` is cancelled, and starts its agent if it is down.
pub async fn live<D: Dial>(node: SharedNode, registry: Arc<SimRegistry>, dial: D, stop: CancellationToken) {
    let time = Steady(clock(), Instant::now());
    let (state, _nobody_reads_it) = watch::channel(SessionState::Starting);
    let mut session = Session::new(dial, state);
    lock(&node).start(time.now());
    loop {
        let (told, wake) = {
            let mut node = lock(&node);
            let now = time.now();
            node.run_until(now, &registry);
            if let Some(reason) = node.reconnect.take() {
                session.cut(&reason);
            }
            (node.logic.as_ref().is_some_and(crate::logic::AgentLogic::has_report), node.next().map(|at| at.since(now)))
        };
        let speaks = told || session.heartbeat_due();
        let heartbeat = session.heartbeat_at();
        tokio::select! {
            () = stop.cancelled() => return,
            heard = session.next(speaks) => hear(&node, &mut session, heard, time.now()),
            () = sleep(wake.unwrap_or_default()), if wake.is_some() => {}
            () = sleep_until(heartbeat.unwrap_or_else(Instant::now)), if heartbeat.is_some() && !speaks => {}
        }
    }
}

fn hear<D: Dial>(node: &SharedNode, session: &mut Session<D>, heard: Heard, now: Time) {
    let mut node = lock(node);
    match heard {
        Heard::Opened(end) => {
            session.opened(end);
            let hello = node.open_session(now);
            say(session, hello.map(|hello| evenkeel_wire::ToServer::Hello(Box::new(hello))));
            session.greet = false;
        }
        Heard::Message(message) => node.receive(now, message),
        Heard::Closed => {
            session.broke();
            node.give(now, Input::SessionClosed);
        }
        Heard::Writable => {
            let message = node.heartbeat();
            say(session, message);
        }
    }
}

/// Says what the session has room for: it has just been opened, or has said so.
fn say<D: Dial>(session: &mut Session<D>, message: Option<evenkeel_wire::ToServer>) {
    if let (Some(end), Some(message)) = (&session.open, message)
        && end.send.try_send(message).is_ok()
    {
        session.last_sent = Instant::now();
    }
}
