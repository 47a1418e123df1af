//! A whole cluster in one thread on virtual time: the real conductor over the model of a store, the
//! real agent logic over simulated engines, and a network that delays, duplicates and cuts.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::{
    logic::{AgentLogic, command::Input, settings},
    sim::{Conduct, SimNode, SimRegistry},
};
use evenkeel_conductor::{AskId, Conductor, Event, Start};
use evenkeel_core::{
    Ask, Settings,
    release::inbound::{self, Seen},
};
use evenkeel_model::{
    Key, Kind, Meta, Object, Revision, Rng, SourceName, Time,
    own::{GitSpec, SourceSpec, SourceStatus},
};
use evenkeel_store::{MemoryDisk, MemoryStore};
use evenkeel_wire::{NodeReport, ToAgent, ToServer};

use crate::{
    commits::{Commit, Repository},
    faults::Fault,
    watch::Watch,
};

/// Heartbeats of an agent with nothing to report.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long an agent waits before it dials again.
const REDIAL: Duration = Duration::from_secs(2);
/// How often the follower looks.
const POLL: Duration = Duration::from_secs(5);
/// Lines of the story that are kept for a failure.
const STORY: usize = 400;

/// What is on its way.
#[derive(Debug)]
pub(crate) enum Item {
    ToServer(usize, u64, Box<ToServer>),
    ToAgent(usize, u64, Box<ToAgent>),
    Dial(usize),
    Heartbeat(usize, u64),
    Commit,
    /// The follower tells the server what the branch's head is.
    Follow,
    Fault(Fault),
    StartServer,
    StartAgent(usize),
    EngineBack(usize, bool),
    RegistryBack,
    Reconnected(usize),
}

/// A node and its line to the server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) sim: SimNode,
    /// Number of its session; a message of another one is lost.
    session: u64,
    connected: bool,
    pub(crate) cut: bool,
    /// Its messages keep their order: none overtakes this.
    last_up: Time,
    last_down: Time,
}

/// The server's process.
struct Server {
    conductor: Conductor<MemoryStore>,
    inbox: VecDeque<Event>,
    wake: Option<Time>,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) registry: SimRegistry,
    pub(crate) nodes: Vec<Node>,
    pub(crate) disk: MemoryDisk,
    server: Option<Server>,
    queue: BTreeMap<(Time, u64), Item>,
    counter: u64,
    repository: Repository,
    /// The head that this server's follower has told.
    told: Option<Revision>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) watch: Watch,
    story: VecDeque<String>,
    pub(crate) chaos: bool,
    pub(crate) steps: u64,
}

fn source() -> SourceName {
    "shop".into()
}

impl World {
    /// A new cluster that follows a repository with one good commit.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = Rng::new(seed);
        let now = Time::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let mut world = Self {
            now,
            rng: rng.fork("world"),
            registry: SimRegistry::new(),
            nodes: Vec::new(),
            disk: MemoryDisk::new(),
            server: None,
            queue: BTreeMap::new(),
            counter: 0,
            repository: Repository::new(rng.fork("repository")),
            told: None,
            commits: Vec::new(),
            watch: Watch::default(),
            story: VecDeque::new(),
            chaos: true,
            steps: 0,
        };
        let count = 2 + world.rng.below(2);
        for n in 0..count {
            world.add_node(&format!("n{n}"), seed);
        }
        world.start_server();
        world.add_source();
        world.commit();
        world.later(Duration::from_millis(50), Item::Follow);
        world
    }

    fn add_node(&mut self, name: &str, seed: u64) {
        let config = settings::Config {
            node: name.into(),
            cluster: "sim".into(),
            node_ip: Some("192.0.2.1".parse().unwrap()),
            settings: settings::Settings::default(),
        };
        let room: BTreeMap<String, String> =
            [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let report = NodeReport {
            capacity: room.clone(),
            allocatable: room,
            labels: [("kubernetes.io/hostname".to_owned(), name.to_owned())].into(),
            version: "0".into(),
            ..NodeReport::default()
        };
        let mut sim = SimNode::new(config, report, seed, Conduct::default());
        let foreign = sim.runtime.add_foreign(self.now, "foreign", BTreeMap::new());
        self.watch.foreign.insert(foreign);
        sim.start(self.now);
        let at = self.nodes.len();
        self.nodes.push(Node { sim, session: 0, connected: false, cut: false, last_up: self.now, last_down: self.now });
        self.later(Duration::from_millis(100), Item::Dial(at));
    }

    /// Notes a line of the story.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.story.len() >= STORY {
            self.story.pop_front();
        }
        let at = self.now.0 % 100_000_000;
        self.story.push_back(format!("{:>9}.{:03} {}", at / 1000, at % 1000, line()));
    }

    /// The story so far.
    pub(crate) fn story(&self) -> String {
        self.story.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Puts something on its way.
    pub(crate) fn later(&mut self, after: Duration, item: Item) {
        self.at(self.now + after, item);
    }

    fn at(&mut self, at: Time, item: Item) {
        self.counter += 1;
        self.queue.insert((at, self.counter), item);
    }

    /// A delay of the network.
    fn delay(&mut self) -> Duration {
        let most = if self.chaos && self.rng.below(20) == 0 { 2000 } else { 20 };
        Duration::from_millis(1 + self.rng.below(most))
    }

    /// Makes the next commit.
    pub(crate) fn commit(&mut self) {
        let commit = self.repository.commit(&mut self.registry);
        self.tell(|| format!("commit {} {:?}", commit.revision.short(), commit.flaw));
        self.commits.push(commit);
    }

    /// Whether the branch's head has a flaw.
    pub(crate) fn head_is_bad(&self) -> bool {
        self.commits.last().is_some_and(|c| c.flaw.is_some())
    }

    /// A good commit.
    pub(crate) fn repair(&mut self) {
        let commit = self.repository.good(&mut self.registry);
        self.tell(|| format!("repair {}", commit.revision.short()));
        self.commits.push(commit);
    }

    /// The follower's poll: it brings the head, and documents that a new server lacks. A source that
    /// nobody remembers is added again, as a person would.
    fn follow(&mut self) {
        self.later(POLL, Item::Follow);
        let Some(server) = &self.server else { return };
        let world = server.conductor.world();
        let known = world.get(&Key::cluster(Kind::Source, "shop")).is_some();
        if !known {
            if world.recovering.is_none() {
                self.add_source();
            }
            return;
        }
        let wanted = inbound::wanted_revisions(world);
        let old = wanted.into_iter().filter_map(|(_, r)| self.commits.iter().find(|c| c.revision == r).cloned());
        let mut bring: Vec<Commit> = old.collect();
        if self.told.as_ref() != self.commits.last().map(|c| &c.revision) {
            self.told = self.commits.last().map(|c| c.revision.clone());
            bring.extend(self.commits.last().cloned());
        }
        let Some(server) = &mut self.server else { return };
        server.inbox.extend(bring.into_iter().map(|commit| {
            Event::Seen(Box::new(Seen {
                source: source(),
                revision: commit.revision,
                author: "A <a@b>".into(),
                message: "a commit".into(),
                outcome: commit.outcome,
                confirmed: true,
            }))
        }));
    }

    fn add_source(&mut self) {
        self.ask(Ask::CreateSource {
            name: source(),
            spec: SourceSpec {
                git: Some(GitSpec { url: "file:///repo".into(), ..GitSpec::default() }),
                ..SourceSpec::default()
            },
            meta: Meta::default(),
        });
    }

    fn ask(&mut self, ask: Ask) {
        if let Some(server) = &mut self.server {
            server.inbox.push_back(Event::Ask { id: AskId(0), ask: Box::new(ask), user: "admin".into() });
        }
    }

    /// Starts the server over its disk.
    fn start_server(&mut self) {
        if self.server.is_some() {
            return;
        }
        self.tell(|| "the server starts".into());
        let store = MemoryStore::open(&self.disk, self.now);
        let nodes: BTreeSet<Arc<str>> = self.nodes.iter().map(|n| n.sim.name().clone()).collect();
        let start = Start {
            now: self.now,
            seed: self.rng.next_u64(),
            digest_key: [7; 32],
            settings: Settings::default(),
            recover: Some(nodes).filter(|_| !self.commits.is_empty()),
        };
        let conductor = match Conductor::start(store, start) {
            Ok(conductor) => conductor,
            Err(error) => {
                self.tell(|| format!("the server does not start: {error}"));
                self.later(Duration::from_secs(1), Item::StartServer);
                return;
            }
        };
        self.server = Some(Server { conductor, inbox: VecDeque::new(), wake: Some(self.now) });
        self.told = None;
    }

    /// Ends the server's process.
    pub(crate) fn crash_server(&mut self) {
        if self.server.take().is_none() {
            return;
        }
        self.tell(|| "the server is gone".into());
        self.disk.crash();
        self.watch.forget();
        for n in 0..self.nodes.len() {
            self.hang_up(n);
        }
        let after = Duration::from_millis(self.rng.below(20_000));
        self.later(after, Item::StartServer);
    }

    /// The line between a node and the server breaks.
    pub(crate) fn hang_up(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !std::mem::replace(&mut node.connected, false) {
            return;
        }
        node.session += 1;
        let name = node.sim.name().clone();
        let now = self.now;
        node.sim.give(now, Input::SessionClosed);
        if let Some(server) = &mut self.server {
            server.inbox.push_back(Event::Ended { node: name });
        }
        self.later(REDIAL, Item::Dial(n));
    }

    fn dial(&mut self, n: usize) {
        let now = self.now;
        let up = self.server.is_some();
        let node = &mut self.nodes[n];
        if node.connected {
            return;
        }
        if !up || node.cut || node.sim.logic.is_none() {
            self.later(REDIAL, Item::Dial(n));
            return;
        }
        node.connected = true;
        node.session += 1;
        let session = node.session;
        if let Some(hello) = node.sim.open_session(now) {
            self.send_up(n, ToServer::Hello(Box::new(hello)));
        }
        self.later(HEARTBEAT, Item::Heartbeat(n, session));
    }

    fn send_up(&mut self, n: usize, message: ToServer) {
        let delay = self.delay();
        let again = self.chaos && self.rng.below(30) == 0 && matches!(message, ToServer::Report { .. });
        let node = &mut self.nodes[n];
        let at = (self.now + delay).max(node.last_up);
        node.last_up = at;
        let session = node.session;
        if again {
            self.at(at, Item::ToServer(n, session, Box::new(message.clone())));
        }
        self.at(at, Item::ToServer(n, session, Box::new(message)));
    }

    fn send_down(&mut self, n: usize, message: ToAgent) {
        let delay = self.delay();
        let node = &mut self.nodes[n];
        let at = (self.now + delay).max(node.last_down);
        node.last_down = at;
        let session = node.session;
        self.at(at, Item::ToAgent(n, session, Box::new(message)));
    }

    /// Lets everything happen up to `until`.
    pub(crate) fn run(&mut self, until: Time) -> Result<(), String> {
        loop {
            let mut next: Option<Time> = self.queue.keys().next().map(|(at, _)| *at);
            let mut consider = |at: Option<Time>| {
                if let Some(at) = at {
                    next = Some(next.map_or(at, |n: Time| n.min(at)));
                }
            };
            self.nodes.iter().for_each(|n| consider(n.sim.next()));
            if let Some(server) = &self.server {
                consider(if server.inbox.is_empty() { server.wake } else { Some(self.now) });
            }
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(at);
            self.instant()?;
        }
    }

    /// Everything that happens now.
    fn instant(&mut self) -> Result<(), String> {
        while let Some((key, _)) = self.queue.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            let key = *key;
            if let Some(item) = self.queue.remove(&key) {
                self.handle(item);
            }
        }
        self.run_nodes()?;
        let due = self.server.as_ref().is_some_and(|s| !s.inbox.is_empty() || s.wake.is_some_and(|w| w <= self.now));
        if due { self.step_server() } else { Ok(()) }
    }

    fn run_nodes(&mut self) -> Result<(), String> {
        for n in 0..self.nodes.len() {
            let node = &mut self.nodes[n];
            if node.sim.next().is_some_and(|at| at <= self.now) {
                node.sim.run_until(self.now, &self.registry);
            }
            if let Some(broken) = node.sim.runtime.violations.first() {
                return Err(format!("{}: {broken}", node.sim.name()));
            }
            if node.sim.reconnect.take().is_some() {
                self.hang_up(n);
            }
            if self.nodes[n].connected
                && let Some(ToServer::Report { stamp, report }) = self.nodes[n].sim.take_report()
            {
                for drift in &report.drifts {
                    self.tell(|| {
                        format!(
                            "drift {:?} of {} {:?} healed {}",
                            drift.action, drift.name, drift.container, drift.healed
                        )
                    });
                }
                self.send_up(n, ToServer::Report { stamp, report });
            }
        }
        let stops = self.nodes.iter_mut().flat_map(|n| {
            let name = n.sim.name().clone();
            n.sim.runtime.take_stops().into_iter().map(move |s| (name.clone(), s))
        });
        let stops: Vec<_> = stops.collect();
        for (node, stop) in stops {
            self.watch.stopped(self.now, &node, &stop, &self.disk_objects())?;
        }
        Ok(())
    }

    fn disk_objects(&self) -> Vec<Arc<Object>> {
        match &self.server {
            Some(server) => server.conductor.world().all().cloned().collect(),
            None => self.watch.last_objects(),
        }
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::ToServer(n, session, message) => {
                if self.nodes[n].session == session && self.nodes[n].connected && !self.nodes[n].cut {
                    let node = self.nodes[n].sim.name().clone();
                    if let Some(server) = &mut self.server {
                        server.inbox.push_back(match *message {
                            ToServer::Hello(hello) => Event::Hello(hello),
                            ToServer::Report { stamp, report } => Event::Report { node, stamp, report },
                        });
                    }
                }
            }
            Item::ToAgent(n, session, message) => {
                if self.nodes[n].session == session && self.nodes[n].connected && !self.nodes[n].cut {
                    let now = self.now;
                    self.nodes[n].sim.receive(now, *message);
                }
            }
            Item::Dial(n) => self.dial(n),
            Item::Heartbeat(n, session) => {
                if self.nodes[n].session == session && self.nodes[n].connected {
                    let beat = self.nodes[n].sim.heartbeat();
                    if let Some(message) = beat {
                        self.send_up(n, message);
                    }
                    self.later(HEARTBEAT, Item::Heartbeat(n, session));
                }
            }
            Item::Commit => self.commit(),
            Item::Follow => self.follow(),
            Item::Fault(fault) => crate::faults::strike(self, fault),
            Item::StartServer => self.start_server(),
            Item::StartAgent(n) => {
                let now = self.now;
                self.nodes[n].sim.start(now);
                self.tell(|| format!("agent {n} starts"));
            }
            Item::EngineBack(n, live) => {
                let now = self.now;
                self.watch.disturbed(now, &self.nodes[n].sim.name().clone());
                self.nodes[n].sim.runtime.come_up(now, live);
                self.tell(|| format!("engine {n} is back"));
            }
            Item::RegistryBack => self.registry.up = true,
            Item::Reconnected(n) => self.nodes[n].cut = false,
        }
    }

    fn step_server(&mut self) -> Result<(), String> {
        let now = self.now;
        let Some(server) = &mut self.server else { return Ok(()) };
        let take = server.inbox.len().min(256);
        let events: Vec<Event> = server.inbox.drain(..take).collect();
        let output = match server.conductor.step(now, events) {
            Ok(output) => output,
            Err(error) => {
                self.tell(|| format!("the server's transaction failed: {error}"));
                self.crash_server();
                return Ok(());
            }
        };
        self.steps += 1;
        // A wake that was due is now served; one that lies in the past means "at once".
        server.wake = output.wake;
        // Events are told by nobody but themselves: they alone change nothing that is promised.
        let published = output.published.iter().any(|p| p.key.kind != Kind::Event);
        for p in &output.published {
            if matches!(p.key.kind, Kind::Release) {
                let phase =
                    p.new.as_ref().and_then(|o| o.status::<evenkeel_model::own::ReleaseStatus>().ok().flatten());
                let name = p.key.name.clone();
                let line =
                    phase.map(|s| format!("release {name} {} {} {:?}", s.phase, s.reason, s.cause.map(|c| c.message)));
                if self.story.back().is_none_or(|l| line.as_ref().is_some_and(|x| !l.ends_with(x.as_str()))) {
                    self.tell(|| line.unwrap_or_else(|| format!("release {name} is gone")));
                }
            }
        }
        for (node, message) in output.to_agents {
            if let Some(n) = self.nodes.iter().position(|n| *n.sim.name() == node).filter(|n| self.nodes[*n].connected)
            {
                self.send_down(n, message);
            }
        }
        if published {
            self.audit(false)?;
        }
        Ok(())
    }

    /// Holds the state against the promises.
    pub(crate) fn audit(&mut self, settled: bool) -> Result<(), String> {
        let Some(server) = &self.server else { return Ok(()) };
        let objects: Vec<Arc<Object>> = server.conductor.world().all().cloned().collect();
        self.watch.audit(self.now, objects, &self.nodes, &self.commits, settled)
    }

    /// A Source's status.
    pub(crate) fn source(&self) -> Option<SourceStatus> {
        let server = self.server.as_ref()?;
        server.conductor.world().get(&Key::cluster(Kind::Source, "shop"))?.status().ok().flatten()
    }

    /// Every object, for comparing two runs.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.disk_objects()
    }

    /// Ends all trouble.
    pub(crate) fn calm(&mut self) {
        self.chaos = false;
        self.queue.retain(|_, item| !matches!(item, Item::Fault(_) | Item::Commit));
        self.registry.up = true;
        let now = self.now;
        for n in 0..self.nodes.len() {
            self.nodes[n].cut = false;
            self.watch.disturbed(now, &self.nodes[n].sim.name().clone());
            self.nodes[n].sim.runtime.come_up(now, true);
            self.nodes[n].sim.start(now);
        }
        self.start_server();
    }

    /// Who is not at rest, for a failure.
    pub(crate) fn restless(&self) -> String {
        let backlog = self.server.as_ref().map(|s| (s.inbox.len(), s.conductor.backlog()));
        let agents = self.nodes.iter().map(|n| (n.connected, n.sim.logic.as_ref().map(AgentLogic::at_rest)));
        format!("server {backlog:?}, agents {:?}", agents.collect::<Vec<_>>())
    }

    /// Whether the conductor has nothing to do.
    pub(crate) fn idle(&self) -> bool {
        // An orphan that nothing explains may crash for ever.
        let rests = |l: &AgentLogic| l.at_rest() || self.watch.amnesia;
        self.server.as_ref().is_some_and(|s| s.inbox.is_empty() && s.conductor.backlog() == 0)
            && self.nodes.iter().all(|n| n.connected && n.sim.logic.as_ref().is_some_and(rests))
    }
}
