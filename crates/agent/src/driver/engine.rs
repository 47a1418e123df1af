//! Follows the engine: whether it answers, what happens to our containers, what the node is.
//!
//! One task for an agent. It sends [`Input::EngineUp`], [`Input::Event`], [`Input::EngineDown`] and
//! [`Input::Node`]; it gives up only when nobody listens any more.

use std::{sync::Arc, time::Duration};

use evenkeel_model::Time;
use evenkeel_runtime::{EngineInfo, Runtime, RuntimeError, RuntimeEvent};
use evenkeel_wire::NodeReport;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};

use super::{
    clock,
    node::{self, NodeSettings},
};
use crate::logic::command::Input;

/// How often an engine that is away is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often an engine that says nothing is asked whether it is there (a frozen one closes no
/// connection), and the node's pressures are read.
const CHECK: Duration = Duration::from_secs(20);

/// Why following ended.
enum End {
    /// The engine is away.
    Engine(RuntimeError),
    /// The driver is.
    Driver,
}

impl From<RuntimeError> for End {
    fn from(error: RuntimeError) -> Self {
        Self::Engine(error)
    }
}

/// The task's state.
pub(super) struct Follower<R> {
    pub(super) runtime: Arc<R>,
    pub(super) selector: Vec<(String, String)>,
    pub(super) node: NodeSettings,
    pub(super) send: mpsc::Sender<Input>,
    /// What the engine is, for image clean-up.
    pub(super) engine: watch::Sender<Option<EngineInfo>>,
    reported: Option<NodeReport>,
    /// The newest event's time, and the events of that very time: `since` gives them again.
    last: Option<Time>,
    at_last: Vec<RuntimeEvent>,
}

impl<R: Runtime> Follower<R> {
    pub(super) fn new(
        runtime: Arc<R>,
        selector: Vec<(String, String)>,
        node: NodeSettings,
        send: mpsc::Sender<Input>,
        engine: watch::Sender<Option<EngineInfo>>,
    ) -> Self {
        Self { runtime, selector, node, send, engine, reported: None, last: None, at_last: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        let mut told = None;
        loop {
            match self.follow(&mut told).await {
                Err(End::Driver) | Ok(()) => return,
                Err(End::Engine(error)) => {
                    let message = error.to_string();
                    if told.as_ref() != Some(&message) {
                        tracing::warn!(%error, "the container engine is away");
                        if self.tell(Input::EngineDown { message: message.clone() }).await.is_err() {
                            return;
                        }
                        told = Some(message.clone());
                    }
                    if self.report(None, Some(&message)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn follow(&mut self, told: &mut Option<String>) -> Result<(), End> {
        // Events are asked for from before the engine answered, so none falls between.
        let since = *self.last.get_or_insert_with(clock);
        let info = self.runtime.info().await?;
        let mut events = self.runtime.events(&self.selector, Some(since)).await?;
        self.report(Some(&info), None).await?;
        self.engine.send_replace(Some(info));
        self.tell(Input::EngineUp).await?;
        *told = None;
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        check.tick().await;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => if self.is_new(&event) { self.tell(Input::Event(event)).await? },
                    Some(Err(error)) => return Err(error.into()),
                    None => {
                        let message = "its stream of events ended".to_owned();
                        return Err(RuntimeError::EngineUnavailable { message }.into());
                    }
                },
                _ = check.tick() => {
                    let info = self.runtime.info().await?;
                    self.report(Some(&info), None).await?;
                }
                () = self.send.closed() => return Err(End::Driver),
            }
        }
    }

    /// Whether an event was not sent already before the stream was cut.
    fn is_new(&mut self, event: &RuntimeEvent) -> bool {
        match self.last {
            Some(last) if event.at < last => return false,
            Some(last) if event.at == last => {
                if self.at_last.contains(event) {
                    return false;
                }
            }
            _ => {
                self.last = Some(event.at);
                self.at_last.clear();
            }
        }
        self.at_last.push(event.clone());
        true
    }

    async fn report(&mut self, engine: Option<&EngineInfo>, down: Option<&str>) -> Result<(), End> {
        let known = self.engine.borrow().clone();
        let now = node::report(&self.node, engine.or(known.as_ref()), down);
        if self.reported.as_ref() != Some(&now) {
            self.reported = Some(now.clone());
            self.tell(Input::Node(Box::new(now))).await?;
        }
        Ok(())
    }

    async fn tell(&self, input: Input) -> Result<(), End> {
        self.send.send(input).await.map_err(|_| End::Driver)
    }
}
