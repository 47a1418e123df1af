//! Follows the engine: whether it answers, what happens to our containers, what the node is.
//!
//! One task for an agent. It sends [`Input::EngineUp`], [`Input::Event`], [`Input::EngineDown`] and
//! [`Input::Node`]; it gives up only when nobody listens any more.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::{
    Time, names,
    net::{BalancedPorts, NetworkTrouble},
};
use evenkeel_net::plane::Status;
use evenkeel_runtime::{EngineInfo, Runtime, RuntimeError, RuntimeEvent};
use evenkeel_wire::NodeReport;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};

use super::{
    clock, ingress,
    machine::{Limits, Machine},
    node::{self, NodeSettings},
};
use crate::logic::{
    command::Input,
    pressure::{Connections, Pressures},
};

/// How often an engine that is away is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often the node is measured: memory can be gone within seconds. The kubelet's interval, and
/// the one of heartbeats, so that the agent wakes no more often.
const MEASURE: Duration = Duration::from_secs(10);
/// Measurements between two questions whether an engine that says nothing is there (a frozen one
/// closes no connection).
const ASK_EVERY: u32 = 2;

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

/// Events may come this much out of order; more means that the machine's clock was set back.
const DISORDER_MILLIS: i64 = 5000;

/// Which events were told already: a stream that is opened anew repeats those from its start on.
#[derive(Default)]
struct Seen {
    /// The newest event's time.
    last: Option<Time>,
    /// The events of that very time.
    at_last: Vec<RuntimeEvent>,
    /// Whether what comes may be a repetition.
    replay: bool,
}

impl Seen {
    /// Where to go on from.
    fn resume(&mut self, now: Time) -> Time {
        self.replay = self.last.is_some_and(|last| last <= now);
        if !self.replay {
            (self.last, self.at_last) = (Some(now), Vec::new());
        }
        self.last.unwrap_or(now)
    }

    /// Whether this event was not told before; it counts as told from now on.
    fn is_new(&mut self, event: &RuntimeEvent) -> bool {
        let last = self.last.unwrap_or(event.at);
        if self.replay && (event.at < last || self.at_last.contains(event)) {
            return false;
        }
        if event.at > last || event.at.0 < last.0 - DISORDER_MILLIS {
            (self.last, self.replay) = (Some(event.at), false);
            self.at_last.clear();
        }
        if self.last == Some(event.at) {
            self.at_last.push(event.clone());
        }
        true
    }
}

/// The task's state.
pub(super) struct Follower<R> {
    pub(super) runtime: Arc<R>,
    pub(super) selector: Vec<(String, String)>,
    pub(super) node: NodeSettings,
    pub(super) send: mpsc::Sender<Input>,
    /// What the engine is, and whether its disk is short, for image clean-up.
    pub(super) engine: watch::Sender<Option<Disk>>,
    /// The agent's own folder: its disk counts, too.
    dir: PathBuf,
    /// What the pod network is at: without it the node takes no pods.
    network: watch::Receiver<Status>,
    /// What the ports of Ingresses are at.
    ingress: watch::Receiver<evenkeel_ingress::Status>,
    /// What became of the ports that LoadBalancers ask for.
    balanced: watch::Receiver<BalancedPorts>,
    /// What is wrong with the network and lasts.
    troubles: watch::Receiver<Vec<NetworkTrouble>>,
    machine: Machine,
    pressures: Pressures,
    connections: Connections,
    /// Since when pressures are counted: a clock that never jumps.
    begun: Instant,
    reported: Option<NodeReport>,
    seen: Seen,
}

/// What else is told of the node.
pub(super) struct Beside {
    pub(super) network: watch::Receiver<Status>,
    pub(super) ingress: watch::Receiver<evenkeel_ingress::Status>,
    pub(super) balanced: watch::Receiver<BalancedPorts>,
    pub(super) troubles: watch::Receiver<Vec<NetworkTrouble>>,
}

/// The engine and its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) engine: EngineInfo,
    /// `DiskPressure` holds.
    pub(super) short: bool,
}

impl<R: Runtime> Follower<R> {
    pub(super) fn new(
        runtime: Arc<R>,
        selector: Vec<(String, String)>,
        node: NodeSettings,
        dir: PathBuf,
        send: mpsc::Sender<Input>,
        engine: watch::Sender<Option<Disk>>,
        beside: Beside,
    ) -> Self {
        Self {
            runtime,
            selector,
            node,
            send,
            engine,
            dir,
            network: beside.network,
            ingress: beside.ingress,
            balanced: beside.balanced,
            troubles: beside.troubles,
            machine: Machine::default(),
            pressures: Pressures::default(),
            connections: Connections::default(),
            begun: Instant::now(),
            reported: None,
            seen: Seen::default(),
        }
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
        let since = self.seen.resume(clock());
        let info = self.runtime.info().await?;
        let mut events = self.runtime.events(&self.selector, Some(since)).await?;
        self.report(Some(&info), None).await?;
        self.tell(Input::EngineUp).await?;
        *told = None;
        let mut measure = tokio::time::interval(MEASURE);
        measure.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        measure.tick().await;
        let mut measured = 0_u32;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => if self.seen.is_new(&event) { self.tell(Input::Event(event)).await? },
                    Some(Err(error)) => return Err(error.into()),
                    None => {
                        let message = "its stream of events ended".to_owned();
                        return Err(RuntimeError::EngineUnavailable { message }.into());
                    }
                },
                _ = measure.tick() => {
                    measured = measured.wrapping_add(1);
                    if measured.is_multiple_of(ASK_EVERY) {
                        let info = self.runtime.info().await?;
                        self.report(Some(&info), None).await?;
                    } else {
                        self.report(None, None).await?;
                    }
                }
                changed = self.network.changed() => match changed {
                    Ok(()) => self.report(None, None).await?,
                    Err(_) => return Err(End::Driver),
                },
                // Where they are not served nobody tells of them.
                Ok(()) = self.ingress.changed(), if self.ingress.has_changed().is_ok() => {
                    self.report(None, None).await?;
                }
                Ok(()) = self.balanced.changed(), if self.balanced.has_changed().is_ok() => {
                    self.report(None, None).await?;
                }
                Ok(()) = self.troubles.changed(), if self.troubles.has_changed().is_ok() => {
                    self.report(None, None).await?;
                }
                () = self.send.closed() => return Err(End::Driver),
            }
        }
    }

    /// Measures the node and tells what is new of it.
    async fn report(&mut self, engine: Option<&EngineInfo>, down: Option<&str>) -> Result<(), End> {
        let known = self.engine.borrow().as_ref().map(|disk| disk.engine.clone());
        let engine = engine.or(known.as_ref());
        let limits: Limits = self.machine.limits();
        let sample = self.machine.sample(&[node::engine_dir(engine), &self.dir], &limits);
        self.pressures.take(self.begun.elapsed(), &sample);
        if let Some(engine) = engine {
            let disk = Some(Disk { engine: engine.clone(), short: self.pressures.disk() });
            self.engine.send_if_modified(|known| std::mem::replace(known, disk.clone()) != disk);
        }
        let (refused, engine_network) = match &*self.network.borrow() {
            Status::Refused(why) => (Some(format!("the pod network cannot be used: {why}")), None),
            Status::Engine(why) => (None, Some(why.clone())),
            Status::Waiting | Status::Own => (None, None),
        };
        let down = down.or(refused.as_deref());
        let mut troubles = self.troubles.borrow_and_update().clone();
        if self.machine.connections().is_some_and(|gauge| self.connections.take(gauge)) {
            troubles.push(self.connections.trouble());
        }
        let mut now = NodeReport {
            engine_network,
            balanced: BalancedPorts {
                refused: ingress::refused(&self.ingress.borrow()),
                ..self.balanced.borrow().clone()
            },
            troubles,
            ..node::report(&self.node, engine, down, &limits, self.pressures.conditions())
        };
        if ingress::serves(&self.ingress.borrow()) {
            now.labels.insert(names::SERVES_INGRESS.into(), "true".into());
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenkeel_runtime::{ContainerId, EventAction};

    use super::*;

    fn event(at: i64, id: &str) -> RuntimeEvent {
        RuntimeEvent {
            at: Time(at),
            id: ContainerId(id.into()),
            name: String::new(),
            labels: BTreeMap::new(),
            action: EventAction::Started,
        }
    }

    #[test]
    fn events_are_told_once_over_a_cut_and_a_clock_set_back() {
        let mut seen = Seen::default();
        assert_eq!(seen.resume(Time(100_000)), Time(100_000));
        assert!(seen.is_new(&event(100_001, "a")));
        assert!(seen.is_new(&event(100_001, "b")));
        // A little out of order is ordinary.
        assert!(seen.is_new(&event(100_000, "c")));
        assert_eq!(seen.resume(Time(100_500)), Time(100_001));
        assert!(!seen.is_new(&event(100_001, "a")) && !seen.is_new(&event(100_001, "b")));
        assert!(seen.is_new(&event(100_001, "d")), "of the same time, and not seen yet");
        assert!(seen.is_new(&event(100_002, "a")));
        // The clock is set back an hour while the stream is open, and it is opened anew after.
        assert!(seen.is_new(&event(10_000, "a")));
        assert!(seen.is_new(&event(10_001, "a")));
        assert_eq!(seen.resume(Time(5_000)), Time(5_000));
        assert!(seen.is_new(&event(5_001, "a")));
    }
}
