//! A node of the simulation: the real agent logic over a simulated engine and a simulated disk.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use evenkeel_model::{
    Rng, Time, Uid,
    ingress::{CertificateNet, IngressId, IngressNet, IngressUpdate, SecretId},
    net::{PortProtocol, ServiceNet},
};
use evenkeel_net::model;
use evenkeel_wire::{Hello, NodeReport, PodOrder, ToAgent, ToServer};

use super::{
    clock::SimClock,
    engine::{Conduct, Happened, Happening, SimRegistry, SimRuntime, Start},
};
use crate::logic::{
    AgentLogic,
    command::{Command, Input},
    journal::{AgentRecord, Journal, JournalPod},
    settings::Config,
};

/// Rounds after which a node that never comes to rest at one instant is taken for one that spins.
const SPIN: usize = 100_000;

/// Where a [`STRANGER`] is asked, or asks.
const PORT: u16 = 8080;

/// What was on the disk before a write.
#[derive(Debug)]
enum Undo {
    Pod(Uid, Option<Box<JournalPod>>),
    Record(Box<AgentRecord>),
}

/// The Ingresses that a node serves, and their certificates; both are on its disk, too.
#[derive(Debug, Default)]
pub struct Served {
    /// By name.
    pub ingresses: BTreeMap<IngressId, Arc<IngressNet>>,
    /// By their Secrets.
    pub certificates: BTreeMap<SecretId, Arc<CertificateNet>>,
}

impl Served {
    fn take(&mut self, update: &IngressUpdate) {
        if update.full {
            *self = Self::default();
        }
        update.gone_ingresses.iter().for_each(|id| drop(self.ingresses.remove(id)));
        update.gone_certificates.iter().for_each(|id| drop(self.certificates.remove(id)));
        self.ingresses.extend(update.ingresses.iter().map(|i| (i.id.clone(), i.clone())));
        self.certificates.extend(update.certificates.iter().map(|c| (c.id.clone(), c.clone())));
    }
}

/// Somebody outside of the cluster, whom policies name by a block of addresses or not at all.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// A container began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartNote {
    /// Uid of its pod, as its label says.
    pub pod: String,
    /// Whether the kernel let a [`STRANGER`]'s connection come to its pod at that moment.
    pub lets_in: bool,
    /// Whether it let one of the pod go there.
    pub lets_out: bool,
}

/// A node. Times are the simulation's; the agent and the engine's stamps go by the machine's clock.
#[derive(Debug)]
pub struct SimNode {
    config: Config,
    /// The engine.
    pub runtime: SimRuntime,
    /// The agent; `None` while it is down.
    pub logic: Option<AgentLogic>,
    /// The machine's network.
    pub net: model::Node,
    /// Containers that began since somebody asked.
    starts: Vec<StartNote>,
    /// What it serves of Ingresses.
    pub served: Served,
    /// Services that its kernel followed since somebody asked, as they were then.
    followed: Vec<Arc<ServiceNet>>,
    report: NodeReport,
    disk: BTreeMap<Uid, JournalPod>,
    record: AgentRecord,
    /// What undoes the writes that nothing was begun after: power that fails may take them along.
    unsynced: Vec<Undo>,
    /// The agent asked for a new session, and why.
    pub reconnect: Option<String>,
    /// It stands still until then, and does nothing before.
    still: Time,
}

impl SimNode {
    /// A node with an empty disk, not started.
    pub fn new(config: Config, report: NodeReport, seed: u64, conduct: Conduct, clock: SimClock) -> Self {
        let seed = Rng::new(seed).fork(&config.node).next_u64();
        let address = if let Some(IpAddr::V4(address)) = config.node_ip { address } else { Ipv4Addr::LOCALHOST };
        Self {
            net: model::Node::new(config.node.clone(), address),
            starts: Vec::new(),
            served: Served::default(),
            followed: Vec::new(),
            runtime: SimRuntime::new(seed, conduct, clock),
            config,
            logic: None,
            report,
            disk: BTreeMap::new(),
            record: AgentRecord::default(),
            unsynced: Vec::new(),
            reconnect: None,
            still: Time(i64::MIN),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.node
    }

    /// Starts the agent, from what is on the disk.
    pub fn start(&mut self, now: Time) {
        if self.logic.is_some() {
            return;
        }
        self.logic = Some(AgentLogic::new(self.config.clone()));
        self.runtime.clock.follow_wall();
        let journal = self.journal();
        self.give(now, Input::Restored(Box::new(journal)));
        self.give(now, Input::Node(Box::new(self.report.clone())));
        if self.runtime.is_up() {
            self.runtime.at(now, Happening::Tell(Box::new(Input::EngineUp)));
        }
        if self.net.start() {
            self.follow_soon(now);
        }
    }

    /// Ends the agent as `kill -9` does; containers run on.
    pub fn crash(&mut self, now: Time, registry: &SimRegistry) {
        if self.logic.take().is_some() {
            self.runtime.abandon(now, registry);
            self.plug();
        }
    }

    /// The machine loses its power. With `lose_writes` so does the disk what was written last, as far
    /// as nothing was begun after it.
    pub fn power_off(&mut self, now: Time, lose_writes: bool) {
        self.logic = None;
        self.reconnect = None;
        self.runtime.power_off(now);
        self.net.power_off();
        while let Some(undo) = self.unsynced.pop().filter(|_| lose_writes) {
            match undo {
                Undo::Pod(uid, None) => drop(self.disk.remove(&uid)),
                Undo::Pod(uid, Some(pod)) => drop(self.disk.insert(uid, *pod)),
                Undo::Record(record) => self.record = *record,
            }
        }
        self.unsynced.clear();
    }

    /// The machine's wall clock is set: the agent follows it.
    pub fn set_clock(&mut self, now: Time, by: std::time::Duration, back: bool) {
        self.runtime.clock.jump(now, by, back);
        self.runtime.clock.follow_wall();
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.give(now, Input::ClockMoved { millis: if back { -millis } else { millis } });
    }

    /// The highest epoch that the agent has on its disk.
    pub fn epoch(&self) -> u64 {
        self.record.epoch
    }

    /// What the agent says of the node from now on.
    pub fn set_report(&mut self, now: Time, report: NodeReport) {
        self.report = report;
        self.give(now, Input::Node(Box::new(self.report.clone())));
    }

    /// What is on the agent's disk.
    pub fn journal(&self) -> Journal {
        Journal { agent: self.record.clone(), pods: self.disk.values().cloned().collect() }
    }

    /// The pods on the agent's disk.
    pub fn orders(&self) -> impl Iterator<Item = &PodOrder> {
        self.disk.values().map(|pod| &*pod.order)
    }

    /// Puts this on the agent's disk (the agent must be down).
    pub fn put_journal(&mut self, journal: Journal) {
        self.record = journal.agent;
        self.disk = journal.pods.into_iter().map(|pod| (pod.order.uid, pod)).collect();
        self.unsynced.clear();
    }

    /// Loses the agent's disk (the agent must be down).
    pub fn wipe(&mut self) {
        self.disk.clear();
        self.record = AgentRecord::default();
        self.net.wipe();
        self.served = Served::default();
    }

    /// Gives the agent one input and executes its commands.
    pub fn give(&mut self, now: Time, input: Input) {
        let Some(logic) = &mut self.logic else { return };
        let commands = logic.step(self.runtime.clock.process(now), input);
        self.execute(now, commands);
    }

    /// The machine's clock jumps: the engine's own waits keep their length as well.
    pub fn clock_moved(&mut self, now: Time, millis: i64) {
        self.runtime.clock_moved(millis);
        self.give(now, Input::ClockMoved { millis });
    }

    /// A session begins: the agent's first message.
    pub fn open_session(&mut self, now: Time) -> Option<Hello> {
        self.reconnect = None;
        self.give(now, Input::SessionOpened);
        let at = self.runtime.clock.process(now);
        self.logic.as_mut().map(|l| l.hello(at))
    }

    /// The server says something.
    pub fn receive(&mut self, now: Time, message: ToAgent) {
        self.give(now, Input::Server(message));
    }

    /// What the agent has to report, if anything.
    pub fn take_report(&mut self) -> Option<ToServer> {
        self.logic.as_mut().filter(|l| l.has_report()).map(AgentLogic::next_message)
    }

    /// What the agent says when a heartbeat is due.
    pub fn heartbeat(&mut self) -> Option<ToServer> {
        self.logic.as_mut().map(AgentLogic::next_message)
    }

    fn execute(&mut self, now: Time, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Run { op, pod, work } => {
                    self.unsynced.clear();
                    self.runtime.begin(now, op, pod, work);
                }
                Command::List { op } => {
                    let result = self.runtime.list(&self.config.cluster);
                    let at = now + self.runtime.latency();
                    self.runtime.at(at, Happening::Tell(Box::new(Input::Listing { op, result })));
                }
                Command::Persist(pod) => {
                    let uid = pod.order.uid;
                    let before = self.disk.insert(uid, *pod).map(Box::new);
                    self.unsynced.push(Undo::Pod(uid, before));
                }
                Command::Forget(uid) => {
                    self.net.unplug(uid);
                    let before = self.disk.remove(&uid).map(Box::new);
                    self.unsynced.push(Undo::Pod(uid, before));
                }
                Command::PersistAgent(record) => {
                    let before = std::mem::replace(&mut self.record, *record);
                    self.unsynced.push(Undo::Record(Box::new(before)));
                }
                Command::Reconnect { reason } => self.reconnect = Some(reason),
                Command::KeepImages(_) => {}
                Command::Ingresses(update) => {
                    self.served.take(&update);
                    let at = now + self.runtime.latency();
                    let served = Input::IngressesServed { number: update.number };
                    self.runtime.at(at, Happening::Tell(Box::new(served)));
                }
                Command::Network(update) => {
                    self.net.update(&update);
                    self.runtime.range = self.net.range();
                    self.follow_soon(now);
                }
            }
        }
    }

    /// Containers that began since the last call.
    pub fn take_starts(&mut self) -> Vec<StartNote> {
        std::mem::take(&mut self.starts)
    }

    /// What isolates a pod comes before whatever it does.
    fn plug(&mut self) {
        for (pod, address) in std::mem::take(&mut self.runtime.plugged) {
            if let IpAddr::V4(address) = address {
                self.net.plug(pod, address);
            }
        }
        for Start { pod, address } in std::mem::take(&mut self.runtime.starts) {
            if let Some(IpAddr::V4(address)) = address {
                let lets = |from, to| self.net.lets(from, (to, PortProtocol::Tcp, PORT));
                let (lets_in, lets_out) = (lets(STRANGER, address), lets(address, STRANGER));
                self.starts.push(StartNote { pod, lets_in, lets_out });
            }
        }
    }

    /// The kernel follows after a moment.
    fn follow_soon(&mut self, now: Time) {
        let at = now + self.runtime.latency();
        self.runtime.at(at, Happening::Follow);
    }

    /// The kernel follows all that was said by now.
    fn follow(&mut self, now: Time) {
        match self.net.apply() {
            Ok((number, changed)) => {
                self.followed.extend(changed.iter().filter_map(|id| self.net.service(id).cloned()));
                if let Some(number) = number {
                    self.give(now, Input::NetworkApplied { number });
                }
            }
            Err(why) => self.runtime.violations.push(format!("the node's network: {why}")),
        }
    }

    /// Services that the kernel followed since the last call.
    pub fn take_followed(&mut self) -> Vec<Arc<ServiceNet>> {
        std::mem::take(&mut self.followed)
    }

    /// The machine stands still until then: what is due meanwhile happens when it goes on. That it
    /// happened at its own time would let the agent's clock go back.
    pub fn stand_still(&mut self, until: Time) {
        self.still = until;
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Time> {
        let wake = self.logic.as_ref().and_then(AgentLogic::next_wake).map(|at| self.runtime.clock.when(at));
        [self.runtime.next(), wake].into_iter().flatten().min().map(|at| at.max(self.still))
    }

    /// Lets everything happen up to `until`, in order.
    pub fn run_until(&mut self, until: Time, registry: &SimRegistry) {
        for _ in 0..SPIN {
            let Some(at) = self.next().filter(|at| *at <= until) else { return };
            let happened = self.runtime.happen(at, registry);
            self.plug();
            match happened {
                Some(Happened::Told(input)) => self.give(at, *input),
                Some(Happened::Network) => self.follow(at),
                Some(Happened::Unheard) => {}
                None => self.give(at, Input::Wake),
            }
        }
        self.runtime.violations.push("the node spins".into());
    }
}
