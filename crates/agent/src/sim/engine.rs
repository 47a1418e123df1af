//! A simulated engine: containers, images, a registry, events, on virtual time.
//!
//! Acts of outsiders are methods here; the agent's commands are executed in `work`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use evenkeel_model::{Digest, Rng, Time, net::Cidr};
use evenkeel_runtime::{
    ContainerId, ContainerInfo, ContainerState, EventAction, ImageInfo, PortBinding, Resources, RuntimeEvent,
};

use super::{clock::SimClock, program::Program};
use crate::logic::{command::Input, labels};

/// How fast and how faithful the engine is.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// Shortest time of an operation.
    pub fastest: Duration,
    /// Longest time of an operation.
    pub slowest: Duration,
    /// How many of a thousand events come twice.
    pub duplicates: u64,
    /// How many of a thousand events are lost (a stream that broke unnoticed).
    pub losses: u64,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { fastest: Duration::from_millis(2), slowest: Duration::from_millis(60), duplicates: 20, losses: 0 }
    }
}

/// A simulated container.
#[derive(Debug, Clone)]
pub struct SimContainer {
    /// What the engine says of it.
    pub info: ContainerInfo,
    /// What it does.
    pub program: Program,
    /// Whether the agent made it; all others are foreign.
    pub by_agent: bool,
    pub(super) ports: Vec<PortBinding>,
    /// When its run began, in the simulation's time.
    pub(super) began: Time,
    /// Numbers its runs, so that a scheduled end of an earlier one is not taken for this one's.
    pub(super) run: u64,
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A program ends by itself, if this run of it still lasts.
    Ends { id: ContainerId, run: u64, code: i32, oom: bool },
    /// The agent's operation takes effect and answers.
    Work(Box<super::work::Job>),
    /// The agent is told.
    Tell(Box<Input>),
    /// The kernel follows what the agent was told of the network.
    Follow,
    /// An engine that shuts down stops its next container.
    Closes,
}

/// What comes of it.
pub(super) enum Happened {
    /// The agent hears this.
    Told(Box<Input>),
    /// The kernel is to follow.
    Network,
    /// Nobody is told.
    Unheard,
}

/// The engine of one node.
#[derive(Debug)]
pub struct SimRuntime {
    pub(super) rng: Rng,
    /// The machine's clock: what the engine stamps is its wall clock's, all else is true time.
    pub clock: SimClock,
    pub(super) conduct: Conduct,
    pub(super) containers: BTreeMap<ContainerId, SimContainer>,
    /// Images on the node by id.
    pub(super) images: BTreeMap<String, (ImageInfo, Program)>,
    /// Which image a reference names on the node.
    pub(super) tags: BTreeMap<String, String>,
    /// Whether it answers questions.
    pub(super) up: bool,
    /// When the agent hears that it is up, this time or the last.
    heard_from: Time,
    /// Whether it was killed, and may have left what it was at half done.
    pub(super) killed: bool,
    /// Processes that run and that the engine does not know of, by the labels of their containers.
    pub(super) orphans: BTreeMap<ContainerId, BTreeMap<String, String>>,
    /// What an engine that shuts down has yet to stop; its events are told meanwhile.
    closing: Option<Vec<ContainerId>>,
    pub(super) queue: BTreeMap<(Time, u64), Happening>,
    counter: u64,
    pub(super) volumes: BTreeSet<evenkeel_model::Uid>,
    pub(super) stops: Vec<StopNote>,
    pub(super) starts: Vec<Start>,
    /// Pods that got an address, and that the node's network has not heard of yet.
    pub(super) plugged: Vec<(evenkeel_model::Uid, IpAddr)>,
    /// The addresses of the node's pods, once a server said them.
    pub range: Option<Cidr>,
    /// What must never happen and did.
    pub violations: Vec<String>,
}

/// The agent ended a container that was alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopNote {
    /// Uid of its pod, as its label says.
    pub pod: String,
    /// Name in the pod; empty for a sandbox.
    pub name: String,
    /// Whether its program runs on, gets ready and stays well: there is nothing to end it for.
    pub good: bool,
}

/// A container begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// Uid of its pod, as its label says.
    pub(super) pod: String,
    /// Its pod's address.
    pub(super) address: Option<IpAddr>,
}

/// The registry that all nodes share.
#[derive(Debug, Clone, Default)]
pub struct SimRegistry {
    images: BTreeMap<String, (String, Program)>,
    /// Whether it answers.
    pub up: bool,
}

impl SimRegistry {
    /// An empty one that answers.
    pub fn new() -> Self {
        Self { images: BTreeMap::new(), up: true }
    }

    /// Pushes an image; returns its id. A reference that is there moves.
    pub fn push(&mut self, reference: &str, program: Program) -> String {
        let id = format!("sha256:{}", Digest::of_parts([reference.as_bytes(), format!("{program:?}").as_bytes()]));
        self.images.insert(reference.to_owned(), (id.clone(), program));
        id
    }

    pub(super) fn get(&self, reference: &str) -> Option<&(String, Program)> {
        self.images.get(reference)
    }
}

impl SimRuntime {
    /// An engine that runs and has nothing.
    pub fn new(seed: u64, conduct: Conduct, clock: SimClock) -> Self {
        Self {
            clock,
            rng: Rng::new(seed),
            conduct,
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            up: true,
            heard_from: Time(i64::MIN),
            killed: false,
            orphans: BTreeMap::new(),
            closing: None,
            queue: BTreeMap::new(),
            counter: 0,
            volumes: BTreeSet::new(),
            stops: Vec::new(),
            starts: Vec::new(),
            plugged: Vec::new(),
            range: None,
            violations: Vec::new(),
        }
    }

    /// Whether the engine answers.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// All containers.
    pub fn containers(&self) -> impl Iterator<Item = &SimContainer> {
        self.containers.values()
    }

    /// Puts a container there that an agent has made, in whatever state; it runs a good program.
    pub fn put(&mut self, now: Time, info: ContainerInfo) {
        let ports = Vec::new();
        let container = SimContainer { info, program: Program::good(), by_agent: true, ports, began: now, run: 0 };
        self.containers.insert(container.info.id.clone(), container);
    }

    /// Containers that run, of a pod by its uid label and a container by its name.
    pub fn running(&self, pod: &str, container: &str) -> usize {
        self.containers.values().filter(|c| c.info.state.is_alive() && is(c, pod, container)).count()
    }

    /// The same of processes that the engine does not know of.
    fn orphans(&self, pod: &str, container: &str) -> usize {
        self.orphans.values().filter(|all| name(all, pod, container)).count()
    }

    /// Containers of which processes run that the engine does not know of.
    pub fn left_behind(&self) -> impl Iterator<Item = &ContainerId> {
        self.orphans.keys()
    }

    /// What the agent ended since the last call.
    pub fn take_stops(&mut self) -> Vec<StopNote> {
        std::mem::take(&mut self.stops)
    }

    pub(super) fn note_stop(&mut self, id: &ContainerId) {
        let Some(c) = self.containers.get(id).filter(|c| c.info.state.is_alive()) else { return };
        let label = |name: &str| c.info.labels.get(name).cloned().unwrap_or_default();
        let p = &c.program;
        let good = p.ends.is_none() && p.ready_after.is_some() && p.sick_after.is_none();
        self.stops.push(StopNote { pod: label(labels::POD_UID), name: label(labels::CONTAINER), good });
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Time> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        self.heard_from = Time(self.heard_from.0.saturating_add(millis));
        let moved = std::mem::take(&mut self.queue).into_iter();
        self.queue = moved.map(|((at, n), what)| ((Time(at.0.saturating_add(millis)), n), what)).collect();
    }

    pub(super) fn at(&mut self, at: Time, what: Happening) {
        let n = self.number();
        self.queue.insert((at, n), what);
    }

    pub(super) fn latency(&mut self) -> Duration {
        let span = self.conduct.slowest.saturating_sub(self.conduct.fastest);
        let extra = self.rng.below(u64::try_from(span.as_micros()).unwrap_or(0) + 1);
        self.conduct.fastest + Duration::from_micros(extra)
    }

    /// The next thing that is due, which happens `now`; some of them tell the agent something.
    pub(super) fn happen(&mut self, now: Time, registry: &SimRegistry) -> Option<Happened> {
        let key = *self.queue.keys().next().filter(|(at, _)| *at <= now)?;
        let what = self.queue.remove(&key)?;
        Some(match what {
            Happening::Ends { id, run, code, oom } => {
                if self.containers.get(&id).is_some_and(|c| c.run == run && c.info.state.is_alive()) {
                    // A real engine tells of it before or after the end; after, the end knows nothing of it.
                    let late = oom && id.0.bytes().last().is_some_and(|b| b.is_multiple_of(2));
                    if oom && !late {
                        self.event(now, &id, EventAction::Oom);
                    }
                    self.end(now, &id, code, oom && !late);
                    if late {
                        self.event(now, &id, EventAction::Oom);
                    }
                }
                Happened::Unheard
            }
            Happening::Work(job) => {
                let answer = self.work(now, *job, registry);
                answer.map_or(Happened::Unheard, |input| Happened::Told(Box::new(input)))
            }
            Happening::Tell(input) => Happened::Told(input),
            Happening::Follow => Happened::Network,
            Happening::Closes => {
                self.close_further(now);
                Happened::Unheard
            }
        })
    }

    /// Tells the agent of an event after a moment.
    pub(super) fn event(&mut self, now: Time, id: &ContainerId, action: EventAction) {
        let Some(c) = self.containers.get(id) else { return };
        // The agent asks for its own cluster's events alone.
        let told = (self.up || self.closing.is_some()) && c.info.labels.contains_key(labels::CLUSTER);
        if !told || self.rng.below(1000) < self.conduct.losses {
            return;
        }
        let event = RuntimeEvent {
            at: self.clock.wall(now),
            id: id.clone(),
            name: c.info.name.clone(),
            labels: c.info.labels.clone(),
            action,
        };
        // Events keep their order: all take the same time, and none comes before it is heard that the engine is up.
        let at = (now + self.conduct.fastest).max(self.heard_from);
        if self.rng.below(1000) < self.conduct.duplicates {
            self.at(at, Happening::Tell(Box::new(Input::Event(event.clone()))));
        }
        self.at(at, Happening::Tell(Box::new(Input::Event(event))));
    }

    pub(super) fn new_id(&mut self) -> ContainerId {
        ContainerId(format!("{:016x}{:08x}", self.rng.next_u64(), self.number()))
    }

    /// An address for a pod: of the node's range, in turn, or of the engine's own network.
    pub(super) fn address(&mut self) -> IpAddr {
        let n = self.number();
        if let Some(range) = self.range {
            // Without the first, the node's own, and the last.
            let room = range.size().saturating_sub(3).max(1);
            let taken = |ip: Ipv4Addr| self.containers.values().any(|c| c.info.ip == Some(ip.into()));
            let all = (0..room).filter_map(|k| range.nth(2 + (n + k) % room));
            if let Some(free) = all.into_iter().find(|ip| !taken(*ip)) {
                return free.into();
            }
        }
        let byte = |shift: u32| u8::try_from((n >> shift) & 0xff).unwrap_or(0);
        IpAddr::V4(Ipv4Addr::new(10, byte(16), byte(8), byte(0)))
    }

    /// Makes a container run.
    pub(super) fn run(&mut self, now: Time, id: &ContainerId) {
        let (run, stamp) = (self.number(), self.clock.wall(now));
        let Some(c) = self.containers.get_mut(id) else { return };
        (c.run, c.began) = (run, now);
        c.info.state = ContainerState::Running { pid: 1, started: stamp };
        let ends = c.program.ends;
        let key = (c.info.labels.get(labels::POD_UID).cloned(), c.info.labels.get(labels::CONTAINER).cloned());
        if let (Some(pod), Some(name), true) = (key.0, key.1, c.by_agent) {
            let others = self.running(&pod, &name) + self.orphans(&pod, &name);
            if others > 1 {
                self.violations.push(format!("{others} containers {name} of pod {pod} run at once"));
            }
        }
        self.event(now, id, EventAction::Started);
        if let Some((after, code, oom)) = ends {
            self.at(now + after, Happening::Ends { id: id.clone(), run, code, oom });
        }
    }

    /// A run ends.
    pub(super) fn end(&mut self, now: Time, id: &ContainerId, code: i32, oom: bool) {
        let finished = self.clock.wall(now);
        let Some(c) = self.containers.get_mut(id) else { return };
        let (ContainerState::Running { started, .. } | ContainerState::Paused { started, .. }) = c.info.state else {
            return;
        };
        c.info.state = ContainerState::Exited { code, oom, started, finished, error: String::new() };
        self.event(now, id, EventAction::Died { exit_code: code });
    }

    /// Someone other than the agent kills a container.
    pub fn kill(&mut self, now: Time, id: &ContainerId) {
        self.event(now, id, EventAction::Killed { signal: 9 });
        self.end(now, id, 137, false);
    }

    /// Someone other than the agent stops a container.
    pub fn stop(&mut self, now: Time, id: &ContainerId) {
        self.event(now, id, EventAction::Killed { signal: 15 });
        self.end(now, id, 143, false);
        self.event(now, id, EventAction::Stopped);
    }

    /// Someone other than the agent removes a container.
    pub fn remove(&mut self, now: Time, id: &ContainerId) {
        if self.containers.get(id).is_some_and(|c| c.info.state.is_alive()) {
            self.kill(now, id);
        }
        self.event(now, id, EventAction::Destroyed);
        self.containers.remove(id);
    }

    /// Someone other than the agent pauses a container.
    pub fn pause(&mut self, now: Time, id: &ContainerId) {
        let Some(c) = self.containers.get_mut(id) else { return };
        if let ContainerState::Running { pid, started } = c.info.state {
            c.info.state = ContainerState::Paused { pid, started };
            self.event(now, id, EventAction::Paused);
        }
    }

    /// Someone other than the agent renames a container.
    pub fn rename(&mut self, now: Time, id: &ContainerId, name: &str) {
        let Some(c) = self.containers.get_mut(id) else { return };
        let old_name = std::mem::replace(&mut c.info.name, name.to_owned());
        self.event(now, id, EventAction::Renamed { old_name });
    }

    /// Someone other than the agent changes a container's limits.
    pub fn update(&mut self, now: Time, id: &ContainerId, resources: Resources) {
        let Some(c) = self.containers.get_mut(id) else { return };
        c.info.resources = resources;
        self.event(now, id, EventAction::Updated);
    }

    /// A container that is not the agent's, even if its labels say so.
    pub fn add_foreign(&mut self, now: Time, name: &str, labels: BTreeMap<String, String>) -> ContainerId {
        let id = self.new_id();
        let info = ContainerInfo {
            id: id.clone(),
            name: name.to_owned(),
            labels,
            image: "foreign".into(),
            image_id: "sha256:foreign".into(),
            created: self.clock.wall(now),
            state: ContainerState::Running { pid: 1, started: self.clock.wall(now) },
            resources: Resources::default(),
            engine_restarts: false,
            ip: None,
            joins: None,
            network: evenkeel_runtime::SandboxNetwork::Default,
        };
        let program = Program::good();
        let foreign = SimContainer { info, program, by_agent: false, ports: Vec::new(), began: now, run: 0 };
        self.containers.insert(id.clone(), foreign);
        id
    }

    /// The engine goes away. With `orderly` it answers no more questions, stops its containers one after
    /// the other and tells their ends, as one that gets a SIGTERM; else they run on until it is back.
    pub fn go_down(&mut self, now: Time, orderly: bool) {
        if !self.up {
            return;
        }
        (self.up, self.killed) = (false, !orderly);
        if orderly {
            let alive = self.containers.values().filter(|c| c.by_agent && c.info.state.is_alive());
            self.closing = Some(alive.map(|c| c.info.id.clone()).collect());
            self.close_further(now);
        } else {
            self.is_gone(now);
        }
    }

    fn close_further(&mut self, now: Time) {
        let Some(rest) = &mut self.closing else { return };
        let Some(id) = rest.pop() else { return self.is_gone(now) };
        self.event(now, &id, EventAction::Killed { signal: 15 });
        self.end(now, &id, 143, false);
        let at = now + Duration::from_millis(self.rng.below(1000));
        self.at(at, Happening::Closes);
    }

    /// Its stream of events ends.
    fn is_gone(&mut self, now: Time) {
        self.closing = None;
        let message = "connection refused".to_owned();
        let at = (now + self.conduct.fastest * 2).max(self.heard_from);
        self.at(at, Happening::Tell(Box::new(Input::EngineDown { message })));
    }

    /// The machine loses its power: every process is dead, nobody is told anything, and nothing that
    /// was asked for takes effect.
    pub fn power_off(&mut self, now: Time) {
        (self.up, self.killed) = (false, false);
        self.closing = None;
        self.orphans.clear();
        self.queue.clear();
        for id in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.end(now, &id, 255, false);
        }
    }

    /// The machine has power again, and its engine runs. Foreign containers start by themselves.
    pub fn power_on(&mut self, now: Time) {
        self.up = true;
        let foreign: Vec<ContainerId> =
            self.containers.values().filter(|c| !c.by_agent).map(|c| c.info.id.clone()).collect();
        for id in foreign {
            self.run(now, &id);
        }
    }

    /// The engine comes back. Without `live_restore` no container that ran before runs any more.
    pub fn come_up(&mut self, now: Time, live_restore: bool) {
        if self.up {
            return;
        }
        if self.closing.is_some() {
            self.is_gone(now);
        }
        if !live_restore {
            // Foreign ones have a restart policy, and are none of anybody's business here.
            let ids = self.containers.values().filter(|c| c.by_agent).map(|c| c.info.id.clone());
            for id in ids.collect::<Vec<_>>() {
                self.end(now, &id, 137, false);
            }
            self.orphans.clear();
        }
        (self.up, self.killed) = (true, false);
        self.heard_from = now + self.conduct.fastest * 3;
        self.at(self.heard_from, Happening::Tell(Box::new(Input::EngineUp)));
    }
}

pub(super) fn is(c: &SimContainer, pod: &str, container: &str) -> bool {
    c.by_agent && name(&c.info.labels, pod, container)
}

/// Whether labels are those of this container of a pod.
fn name(labels: &BTreeMap<String, String>, pod: &str, container: &str) -> bool {
    labels.get(labels::POD_UID).is_some_and(|v| v == pod)
        && labels.get(labels::CONTAINER).is_some_and(|v| v == container)
}
