//! Writing the journal, and what may not wait for it.
//!
//! Nothing that the logic decided begins before the journal has it, and nothing else is decided meanwhile.
//! But a disk that others keep busy takes seconds, and packets would be led to pods that are to end: so what
//! the server says of the network and of Ingresses is followed, and said to be followed, while the journal is
//! written. All else that comes waits its turn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use evenkeel_model::Uid;
use evenkeel_runtime::Runtime;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Dial, DriverError,
    journal::{JournalError, JournalStore},
    run::Loop,
    session::Heard,
};
use crate::logic::{
    command::{Command, Input},
    journal::{AgentRecord, JournalPod},
};

/// A journal that the disk refused is tried again this often.
const UNSAVED_RETRY: Duration = Duration::from_secs(5);
/// Inputs, and messages of the server, that are taken in to wait here; more wait where they come from.
const LATER: usize = 256;

/// What the disk refused to take and is still to be written; newest wins.
#[derive(Default)]
pub(super) struct Unsaved {
    pods: BTreeMap<Uid, Option<Box<JournalPod>>>,
    agent: Option<Box<AgentRecord>>,
    pub(super) retry: Option<Instant>,
}

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.agent.is_none()
    }

    /// Takes in what is to be kept; gives back any other command.
    pub(super) fn gather(&mut self, command: Command) -> Option<Command> {
        match command {
            Command::Persist(pod) => {
                self.pods.insert(pod.order.uid, Some(pod));
            }
            Command::Forget(pod) => {
                self.pods.insert(pod, None);
            }
            Command::PersistAgent(record) => self.agent = Some(record),
            other => return Some(other),
        }
        None
    }

    /// Writes all of it; what fails stays.
    fn write(mut self, store: &JournalStore) -> (Self, Option<JournalError>) {
        let mut first = None;
        let mut keep = |result: Result<(), JournalError>| match result {
            Ok(()) => false,
            Err(error) => {
                first.get_or_insert(error);
                true
            }
        };
        self.pods.retain(|uid, pod| {
            keep(match pod {
                Some(pod) => store.persist(pod),
                None => store.forget(*uid),
            })
        });
        self.agent = self.agent.filter(|record| keep(store.persist_agent(record)));
        (self, first)
    }
}

/// What the loop takes in: what came while the journal was written, and then what comes.
pub(super) struct Inputs {
    waiting: VecDeque<Input>,
    receive: mpsc::Receiver<Input>,
}

impl Inputs {
    pub(super) fn new(receive: mpsc::Receiver<Input>) -> Self {
        Self { waiting: VecDeque::new(), receive }
    }

    /// Waits for the next one. May be given up at any time.
    pub(super) async fn recv(&mut self) -> Option<Input> {
        match self.waiting.pop_front() {
            Some(input) => Some(input),
            None => self.receive.recv().await,
        }
    }

    /// The next one, if there is one.
    pub(super) fn at_once(&mut self) -> Option<Input> {
        self.waiting.pop_front().or_else(|| self.receive.try_recv().ok())
    }
}

impl<R: Runtime, D: Dial> Loop<R, D> {
    /// A disk that refuses does not stop the agent: its containers are found by their labels, too.
    pub(super) async fn save(&mut self) -> Result<(), DriverError> {
        let store = self.store.clone();
        let again = self.unsaved.retry.is_some();
        let unsaved = std::mem::take(&mut self.unsaved);
        let mut writing = tokio::task::spawn_blocking(move || unsaved.write(&store));
        let written = loop {
            tokio::select! {
                biased;
                written = &mut writing => break written,
                Some(input) = self.receive.receive.recv(), if self.receive.waiting.len() < LATER => self.take_ahead(input),
                heard = self.session.hear(false), if self.session.hears(LATER) => {
                    self.hear_ahead(heard).await;
                }
            }
        };
        let (rest, error) = written.map_err(|e| DriverError::Fault(e.to_string()))?;
        self.unsaved = rest;
        self.unsaved.retry = (!self.unsaved.is_empty()).then(|| Instant::now() + UNSAVED_RETRY);
        if let (Some(error), false) = (error, again) {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the agent's journal is behind");
        }
        Ok(())
    }

    fn take_ahead(&mut self, input: Input) {
        match input {
            Input::NetworkApplied { number } => {
                self.logic.network_applied(number);
                self.write_ahead();
            }
            Input::IngressesServed { number } => {
                self.logic.ingresses_served(number);
                self.write_ahead();
            }
            other => self.receive.waiting.push_back(other),
        }
    }

    async fn hear_ahead(&mut self, heard: Heard) {
        match heard {
            Heard::Message(message) => match self.logic.ahead(message) {
                Ok(Some(command)) => self.begin(command).await,
                Ok(None) => {}
                Err(message) => self.session.waiting.push_back(Heard::Message(message)),
            },
            other => self.session.waiting.push_back(other),
        }
    }

    /// Says how far the network is followed and Ingresses are served, which needs nothing of the journal.
    fn write_ahead(&mut self) {
        let Some(end) = self.session.open.as_ref().filter(|_| !self.session.greet) else { return };
        // Else it is said with the next report.
        let Ok(permit) = end.send.try_reserve() else { return };
        if let Some(message) = self.logic.network_message() {
            permit.send(message);
        }
    }
}
