//! The agent's decisions, without clock, thread, socket or file: inputs and a time go in, commands
//! come out. The driver (and the simulation) executes the commands and feeds their results back.
//!
//! [`AgentLogic`] holds the pods of one node, the session's rules, and what is to be reported; a
//! pod's own life is in `pod`. The order of use is: [`Input::Restored`] first, then
//! [`Input::EngineUp`] when the engine answers, [`Input::SessionOpened`] with each session, and
//! everything else as it comes. Same inputs at same times give the same commands.

mod build;
pub mod capacity;
pub mod command;
mod drift;
pub(crate) mod env;
mod happened;
pub mod journal;
pub mod labels;
mod ops;
mod pod;
pub mod pressure;
mod report;
mod secrets;
mod session;
pub mod settings;
mod shift;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_model::{Time, Uid};
use evenkeel_runtime::{ContainerId, ContainerInfo, RuntimeError, RuntimeEvent};
use evenkeel_wire::{Hello, KnownPod, NodeReport, Report, SourceCopy, ToAgent, ToServer};

use self::{
    command::{Command, Failure, Input, OpId},
    drift::DriftBook,
    happened::Happened,
    journal::{AgentRecord, Journal},
    ops::{Cx, Ops},
    pod::{Mode, Pod},
    report::Outbox,
    session::Session,
    settings::Config,
};

/// A wake that did not bring anything forward is not asked for again sooner than this: a guard
/// against a driver that spins.
const STALL: Duration = Duration::from_secs(1);

/// The decisions of one node's agent.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // facts that are independent of each other
pub struct AgentLogic {
    config: Config,
    restored: bool,
    record: AgentRecord,
    record_dirty: bool,
    pods: BTreeMap<Uid, Pod>,
    ops: Ops,
    /// Whether the engine answers.
    engine: bool,
    engine_message: String,
    /// Whether the engine was away since the last comparison.
    lost: bool,
    /// Since when the engine answers.
    engine_since: Time,
    /// Whether a comparison was made in this life.
    compared: bool,
    /// Operation and its deadline.
    listing: Option<(OpId, Time)>,
    next_list: Time,
    /// None is made before, after one that failed.
    list_from: Time,
    session: Session,
    node: NodeReport,
    drifts: DriftBook,
    happened: Happened,
    outbox: Outbox,
    touched: BTreeSet<Uid>,
    /// Pods that the runtime has something of and the agent does not know.
    strays: BTreeSet<Uid>,
    last_step: Time,
}

impl AgentLogic {
    /// An agent that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            restored: false,
            record: AgentRecord::default(),
            record_dirty: false,
            pods: BTreeMap::new(),
            ops: Ops::default(),
            engine: false,
            engine_message: "not asked yet".into(),
            lost: true,
            engine_since: Time(0),
            compared: false,
            listing: None,
            next_list: Time(0),
            list_from: Time(0),
            session: Session::default(),
            node: NodeReport::default(),
            drifts: DriftBook::default(),
            happened: Happened::default(),
            outbox: Outbox::default(),
            touched: BTreeSet::new(),
            strays: BTreeSet::new(),
            last_step: Time(i64::MIN),
        }
    }

    /// Takes one input at a time of the caller's clock, which must not go back but with
    /// [`Input::ClockMoved`].
    pub fn step(&mut self, now: Time, input: Input) -> Vec<Command> {
        let mut out = Vec::new();
        self.take(now, input, &mut out);
        self.advance(now, &mut out);
        self.last_step = now;
        out
    }

    /// Time passed: the same as [`Input::Wake`].
    pub fn poll(&mut self, now: Time) -> Vec<Command> {
        self.step(now, Input::Wake)
    }

    /// Takes what packets live by, and nothing else happens: what was decided before may not be on disk
    /// yet. Gives back a message that must wait its turn.
    pub fn ahead(&mut self, message: ToAgent) -> Result<Option<Command>, ToAgent> {
        if self.session.is_at_work() { self.network(message) } else { Err(message) }
    }

    /// The same as [`Input::NetworkApplied`], and nothing else happens.
    pub fn network_applied(&mut self, number: u64) {
        self.session.network_applied(number);
    }

    /// The same as [`Input::IngressesServed`], and nothing else happens.
    pub fn ingresses_served(&mut self, number: u64) {
        self.session.ingresses_served(number);
    }

    /// How far the network is followed and Ingresses are served, alone, where the server does not know of it.
    pub fn network_message(&mut self) -> Option<ToServer> {
        let (network, ingresses) = (self.session.take_network(), self.session.take_ingresses());
        let report = Report { network, ingresses, ..Report::default() };
        (!report.is_heartbeat())
            .then(|| ToServer::Report { stamp: self.session.tell(&report), report: Box::new(report) })
    }

    /// When [`AgentLogic::poll`] wants to be called, if nothing happens before.
    pub fn next_wake(&self) -> Option<Time> {
        let pods = self.pods.values().filter_map(|p| p.wake(self.engine)).min();
        let list = (self.engine && self.restored && self.listing.is_none()).then_some(self.next_list);
        let listing = self.listing.map(|(_, deadline)| deadline);
        let all = [
            pods,
            list,
            listing,
            self.ops.next_deadline(),
            self.drifts.wake(self.last_step),
            self.happened.wake(),
            self.session.deadline(),
        ];
        let next = all.into_iter().flatten().min()?;
        Some(if next <= self.last_step { self.last_step + STALL } else { next })
    }

    fn take(&mut self, now: Time, input: Input, out: &mut Vec<Command>) {
        match input {
            Input::Restored(journal) => self.restore(now, *journal),
            Input::SessionOpened => self.session_opened(now),
            Input::SessionClosed => self.session.close(),
            Input::Server(message) => self.server(now, message, out),
            Input::Done { op, result } => self.done(now, op, result, out),
            Input::Listing { op, result } => self.listed(now, op, result, out),
            Input::Event(event) => self.event(now, &event, out),
            Input::EngineUp => {
                if !self.engine {
                    (self.engine, self.engine_since, self.next_list) = (true, now, now);
                    self.touched.extend(self.pods.keys());
                    self.tell_node();
                }
            }
            Input::EngineDown { message } => {
                self.engine_message = message;
                // What it answers to questions from before is no comparison with what it is now.
                self.listing = None;
                if std::mem::replace(&mut self.engine, false) {
                    self.lost = true;
                    self.pods.values_mut().for_each(Pod::engine_down);
                    for drift in self.drifts.engine_down() {
                        if let Some(pod) = self.pods.get_mut(&drift.pod) {
                            pod.absolve(drift.container.as_deref());
                        }
                    }
                    self.tell_node();
                }
            }
            Input::Node(node) => {
                self.node = *node;
                self.tell_node();
            }
            Input::NetworkApplied { number } => self.network_applied(number),
            Input::IngressesServed { number } => self.ingresses_served(number),
            Input::NetworkDrift { message } => self.session.network_drifted(message),
            Input::ClockMoved { millis } => self.clock_moved(millis),
            Input::Wake => {}
        }
    }

    fn restore(&mut self, now: Time, journal: Journal) {
        if std::mem::replace(&mut self.restored, true) {
            return;
        }
        self.record = journal.agent;
        for from in journal.pods {
            let pod = Pod::restore(from, now);
            self.touched.insert(pod.uid());
            self.pods.insert(pod.uid(), pod);
        }
    }

    /// Lets time pass and takes every pod that is due as far as it goes.
    fn advance(&mut self, now: Time, out: &mut Vec<Command>) {
        for (op, pending) in self.ops.overdue(now) {
            let seconds = u64::try_from(now.0.saturating_sub(self.last_step.0) / 1000).unwrap_or(0);
            let error = RuntimeError::Timeout { operation: format!("{:?}", pending.purpose), seconds };
            self.finish(now, op, pending, Err(Failure::Runtime(error)), out);
        }
        self.list_when_due(now, out);
        self.watch_session(now, out);
        let engine = self.engine;
        let due = self.pods.iter().filter(|(_, p)| p.wake(engine).is_some_and(|at| at <= now)).map(|(uid, _)| *uid);
        self.touched.extend(due);
        for uid in std::mem::take(&mut self.touched) {
            self.with_pod(uid, now, out, Pod::drive);
            // While nothing is certain a pod is as it was told last.
            let pod = self.pods.get_mut(&uid).filter(|p| p.certain() || p.last_status.is_empty());
            if let Some(pod) = pod.filter(|p| p.news) {
                pod.news = false;
                self.outbox.look(pod, &self.config, now);
            }
        }
        self.touched.clear();
        self.drop_forgotten(out);
        self.happened.tick(now);
        self.write(out);
    }

    /// Puts what must be on disk before everything else.
    fn write(&mut self, out: &mut Vec<Command>) {
        let mut first: Vec<Command> = Vec::new();
        if std::mem::take(&mut self.record_dirty) {
            first.push(Command::PersistAgent(Box::new(self.record.clone())));
        }
        for pod in self.pods.values_mut() {
            if std::mem::take(&mut pod.dirty) {
                let undecided = self.drifts.holds_sandbox_of(pod.uid());
                first.push(Command::Persist(Box::new(pod.journal(undecided))));
            }
        }
        if !first.is_empty() {
            out.splice(0..0, first);
        }
    }

    fn with_pod(&mut self, uid: Uid, now: Time, out: &mut Vec<Command>, f: impl FnOnce(&mut Pod, &mut Cx<'_>)) {
        let Some(pod) = self.pods.get_mut(&uid) else { return };
        let mut cx = Cx {
            now,
            config: &self.config,
            engine: self.engine,
            lost: self.lost,
            allocatable: &self.node.allocatable,
            ops: &mut self.ops,
            out,
            drifts: &mut self.drifts,
            happened: &mut self.happened,
        };
        f(pod, &mut cx);
        self.touched.insert(uid);
    }

    fn done(&mut self, now: Time, op: OpId, result: Result<command::Output, Failure>, out: &mut Vec<Command>) {
        if let Some(pending) = self.ops.take(op) {
            self.finish(now, op, pending, result, out);
        }
    }

    fn finish(
        &mut self,
        now: Time,
        op: OpId,
        pending: ops::Pending,
        result: Result<command::Output, Failure>,
        out: &mut Vec<Command>,
    ) {
        self.with_pod(pending.pod, now, out, |pod, cx| pod.done(op, pending.purpose, result, cx));
    }

    fn event(&mut self, now: Time, event: &RuntimeEvent, out: &mut Vec<Command>) {
        let uid = event.labels.get(labels::POD_UID).and_then(|t| t.parse::<Uid>().ok());
        let since = self.engine_since;
        if let Some(uid) = uid {
            self.with_pod(uid, now, out, |pod, cx| pod.event(event, since, cx));
        }
    }

    fn list_when_due(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.listing.is_some_and(|(_, deadline)| deadline <= now) {
            self.list_failed(now);
        }
        if self.drifts.waits_for_the_engine(now) {
            self.next_list = self.next_list.min(self.list_from);
        }
        if self.engine && self.restored && self.listing.is_none() && self.next_list <= now {
            let op = self.ops.next_id();
            self.listing = Some((op, now + self.config.settings.engine_limit));
            out.push(Command::List { op });
        }
    }

    fn list_failed(&mut self, now: Time) {
        self.listing = None;
        self.list_from = now + self.config.settings.engine_retry;
        self.next_list = self.list_from;
    }

    fn listed(
        &mut self,
        now: Time,
        op: OpId,
        result: Result<Vec<ContainerInfo>, RuntimeError>,
        out: &mut Vec<Command>,
    ) {
        if self.listing.take_if(|(expected, _)| *expected == op).is_none() {
            return;
        }
        let Ok(infos) = result else { return self.list_failed(now) };
        for pod in self.drifts.answered(now, op) {
            if let Some(pod) = self.pods.get_mut(&pod) {
                pod.dirty = true;
            }
        }
        let mut by_pod: BTreeMap<Uid, Vec<&ContainerInfo>> = BTreeMap::new();
        for info in &infos {
            let uid = info.labels.get(labels::POD_UID).and_then(|t| t.parse::<Uid>().ok());
            if let Some(uid) = uid.filter(|_| info.labels.get(labels::CLUSTER) == Some(&self.config.cluster)) {
                by_pod.entry(uid).or_default().push(info);
            }
        }
        self.strays = by_pod.keys().filter(|uid| !self.pods.contains_key(*uid)).copied().collect();
        let lost = std::mem::replace(&mut self.lost, false);
        self.compared = true;
        let mut again = false;
        for uid in self.pods.keys().copied().collect::<Vec<_>>() {
            let mine = by_pod.get(&uid).map(Vec::as_slice).unwrap_or_default();
            self.with_pod(uid, now, out, |pod, cx| again |= pod.observe(mine, op, lost, cx));
        }
        let s = &self.config.settings;
        self.next_list = now + if again { s.relist } else { s.list_interval };
    }

    /// Whether everything that was ordered is as it should be, and nothing is under way: for tests
    /// and for a driver that waits for rest.
    pub fn at_rest(&self) -> bool {
        self.restored && self.compared && self.outbox.is_empty() && self.pods.values().all(Pod::at_rest)
    }

    /// The container of a pod by its name: the current one, or the one before it.
    pub fn container_id(&self, pod: Uid, container: &str, previous: bool) -> Option<ContainerId> {
        self.pods.get(&pod)?.container_id(container, previous)
    }

    /// Every pod that this agent has, gone ones left out.
    pub fn pods(&self) -> impl Iterator<Item = Uid> + '_ {
        self.pods.iter().filter(|(_, p)| p.mode != Mode::Gone).map(|(uid, _)| *uid)
    }

    /// Ids of the images that this agent's containers are made of.
    pub fn images_in_use(&self) -> BTreeSet<String> {
        self.pods.values().flat_map(Pod::image_ids).map(|(_, id)| id).collect()
    }

    /// The next message of the session after its hello: what is to be reported, or a heartbeat where
    /// nothing is. Newer reports of a pod replace older ones until this is called. The session must
    /// be open, and each message sent: one that is not breaks it.
    pub fn next_message(&mut self) -> ToServer {
        let report = Report {
            drifts: self.drifts.take(),
            events: self.happened.take(self.last_step),
            answers: self.session.take_roll_call(),
            network: self.session.take_network(),
            ingresses: self.session.take_ingresses(),
            network_drifts: self.session.take_network_drifts(),
            assigned: self.session.assigned(),
            ..self.outbox.take()
        };
        ToServer::Report { stamp: self.session.tell(&report), report: Box::new(report) }
    }

    /// Whether [`AgentLogic::next_message`] would be more than a heartbeat, or is asked for.
    pub fn has_report(&self) -> bool {
        self.session.has_news() || !self.outbox.is_empty() || self.drifts.has_ready() || self.happened.has_ready()
    }

    /// The first message of a session.
    pub fn hello(&mut self, now: Time) -> Hello {
        let config = &self.config;
        let pods = self.pods.values_mut().filter(|p| p.mode != Mode::Gone).map(|pod| KnownPod {
            pod: pod.known(),
            uid: pod.uid(),
            status: match serde_json::from_slice(&pod.last_status) {
                Ok(told) if !pod.certain() => told,
                _ => serde_json::to_value(pod.status(config, now)).unwrap_or_default(),
            },
            image_ids: pod.image_ids().collect(),
            drifted: pod.drifted_containers(),
        });
        let pods = pods.collect();
        Hello {
            node: self.config.node.clone(),
            session: self.session.number(),
            epoch: self.record.epoch,
            report: self.node_report(),
            pods,
            sources: self.record.sources.clone(),
        }
    }

    /// The copies of sources that it holds.
    pub fn sources(&self) -> &[SourceCopy] {
        &self.record.sources
    }

    fn node_report(&self) -> NodeReport {
        let mut node = NodeReport { pod_cidr: self.record.pod_cidr, ..self.node.clone() };
        if !self.engine {
            node.not_ready = Some(format!("the container engine does not answer: {}", self.engine_message));
        }
        node
    }

    fn tell_node(&mut self) {
        let node = self.node_report();
        self.outbox.node(node);
    }
}
