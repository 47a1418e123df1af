//! A whole cluster in one thread on virtual time: the real conductor over the model of a store, the
//! real agent logic over simulated engines, and a network between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::{
    logic::{AgentLogic, settings},
    sim::{Conduct, SimClock, SimNode, SimRegistry, StartNote, StopNote},
};
use evenkeel_conductor::{AskId, Event, Output};
use evenkeel_core::{
    Ask, Settings,
    ask::NodeWish,
    edit::Owners,
    release::inbound::{self, Seen},
};
use evenkeel_model::{
    Key, Kind, Meta, Object, Revision, Rng, SourceName, Time,
    own::{GitSpec, SourceSpec, SourceStatus},
};
use evenkeel_store::MemoryDisk;
use evenkeel_wire::{ToAgent, ToServer};

use crate::{
    commits::{Commit, Repository},
    faults::Fault,
    machine::Machine,
    network::To,
    policies::Policies,
    server::Server,
    services::Services,
    shape::Shape,
    watch::Watch,
};

/// How often the follower looks.
const POLL: Duration = Duration::from_secs(5);
/// How often a node that shall go is asked to.
const REMOVE_AGAIN: Duration = Duration::from_secs(20);
/// How often it is looked what silence makes of Services.
const LOOK: Duration = Duration::from_secs(1);
/// After a recovery agents hear everything again.
const RECOVERED: Duration = Duration::from_secs(30);
/// Lines of the story that are kept for a failure.
const STORY: usize = 250;

/// What is on its way.
#[derive(Debug)]
pub(crate) enum Item {
    Up {
        n: usize,
        connection: u64,
        life: u64,
        message: Box<ToServer>,
    },
    Down {
        n: usize,
        connection: u64,
        message: Box<ToAgent>,
    },
    Flush {
        n: usize,
        connection: u64,
        to: To,
    },
    Mend(usize, To),
    GiveUp {
        n: usize,
        connection: u64,
        end: To,
    },
    Closed {
        n: usize,
        connection: u64,
        end: To,
    },
    Dial(usize),
    Heartbeat(usize, u64),
    Commit(usize),
    /// The followers tell the server what the branches' heads are.
    Follow,
    Fault(Fault),
    StartServer,
    StopRival,
    StartAgent(usize),
    PowerOn(usize),
    Remove(usize),
    EngineBack(usize, bool),
    RegistryBack,
    Uncordon(usize),
}

/// A source as its follower knows it.
pub(crate) struct Feed {
    pub(crate) repository: Repository,
    pub(crate) commits: Vec<Commit>,
    /// The head that this server has been told.
    told: Option<Revision>,
}

impl Feed {
    pub(crate) fn name(&self) -> SourceName {
        self.repository.name.as_str().into()
    }

    /// Whether the branch's head has a flaw.
    pub(crate) fn head_is_bad(&self) -> bool {
        self.commits.last().is_some_and(|c| c.flaw.is_some())
    }
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) shape: Shape,
    pub(crate) registry: SimRegistry,
    pub(crate) machines: Vec<Machine>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// When something happens on each machine next.
    wakes: BTreeSet<(Time, usize)>,
    wake_of: Vec<Option<Time>>,
    pub(crate) disk: MemoryDisk,
    pub(crate) backup: Option<MemoryDisk>,
    pub(crate) server: Option<Server>,
    pub(crate) server_clock: SimClock,
    /// When the newest epoch was drawn, by the clock of the server that drew it.
    pub(crate) newest_epoch: Time,
    /// The old server, beside one that was restored elsewhere.
    pub(crate) rival: Option<Server>,
    lives: u64,
    queue: BTreeMap<(Time, u64), Item>,
    counter: u64,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) watch: Watch,
    pub(crate) services: Services,
    pub(crate) policies: Policies,
    /// When it is looked next what silence makes of Services.
    look: Time,
    /// While a server takes a cluster back it holds no pod's end, and for a while after.
    recovered: Time,
    story: VecDeque<String>,
    pub(crate) chaos: bool,
    pub(crate) steps: u64,
    /// All machines sleep until then.
    asleep: Time,
    /// For how long.
    slept: Duration,
    /// Most events that ever waited for the server.
    pub(crate) backlog: usize,
}

impl World {
    /// A new cluster that follows repositories with one good commit each.
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        let rng = Rng::new(seed);
        let now = Time::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let feed = |n: u64| Feed {
            repository: Repository::new(
                &format!("shop{n}"),
                shape.replicas,
                shape.whole,
                rng.fork(&format!("repository {n}")),
            ),
            commits: Vec::new(),
            told: None,
        };
        let mut world = Self {
            now,
            rng: rng.fork("world"),
            registry: SimRegistry::new(),
            machines: Vec::new(),
            by_name: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wake_of: Vec::new(),
            disk: MemoryDisk::new(),
            backup: None,
            server: None,
            server_clock: SimClock::new(now, 0),
            newest_epoch: now,
            rival: None,
            lives: 0,
            queue: BTreeMap::new(),
            counter: 0,
            feeds: (0..shape.sources).map(feed).collect(),
            watch: Watch::new(shape.whole),
            services: Services::default(),
            policies: Policies::default(),
            look: now,
            recovered: now,
            story: VecDeque::new(),
            chaos: true,
            steps: 0,
            asleep: now,
            slept: Duration::ZERO,
            backlog: 0,
            shape,
        };
        world.server_clock = SimClock::new(now, world.drift());
        for _ in 0..world.shape.nodes {
            world.add_machine();
        }
        world.start_server();
        for n in 0..world.feeds.len() {
            world.add_source(n);
            world.commit(n);
        }
        world.later(Duration::from_millis(50), Item::Follow);
        world
    }

    /// A clock's drift in millionths: up to 2 % each way.
    fn drift(&mut self) -> i64 {
        i64::try_from(self.rng.below(40_000)).unwrap() - 20_000
    }

    /// Another machine joins.
    pub(crate) fn add_machine(&mut self) {
        let n = self.machines.len();
        let name = format!("n{n}");
        let (high, low) = (u8::try_from(n / 250).unwrap(), u8::try_from(n % 250 + 1).unwrap());
        let address = Ipv4Addr::new(10, 99, high, low);
        let config = settings::Config {
            node: name.as_str().into(),
            cluster: "sim".into(),
            node_ip: Some(address.into()),
            settings: settings::Settings::default(),
        };
        let mut report = self.shape.node(&mut self.rng, &name);
        report.addresses = vec![("InternalIP".into(), address.to_string())];
        let (seed, clock) = (self.rng.next_u64(), SimClock::new(self.now, self.drift()));
        let mut sim = SimNode::new(config, report, seed, Conduct::default(), clock);
        sim.runtime.add_foreign(self.now, "foreign", BTreeMap::new());
        sim.start(self.now);
        self.by_name.insert(sim.name().clone(), n);
        self.machines.push(Machine::new(sim, self.now));
        self.wake_of.push(None);
        self.touch(n);
        self.dial_later(n, Duration::from_millis(100));
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

    pub(crate) fn at(&mut self, at: Time, item: Item) {
        self.counter += 1;
        self.queue.insert((at, self.counter), item);
    }

    /// Makes the next commit.
    pub(crate) fn commit(&mut self, n: usize) {
        let commit = self.feeds[n].repository.commit(&mut self.registry);
        self.tell(|| format!("commit {n} {} {:?}", commit.revision.short(), commit.flaw));
        self.feeds[n].commits.push(commit);
    }

    /// A good commit.
    pub(crate) fn repair(&mut self, n: usize) {
        let commit = self.feeds[n].repository.good(&mut self.registry);
        self.tell(|| format!("repair {n} {}", commit.revision.short()));
        self.feeds[n].commits.push(commit);
    }

    /// The followers' poll: they bring the heads, and documents that a new server lacks. A source
    /// that nobody remembers is added again, as a person would.
    fn follow(&mut self) {
        self.later(POLL, Item::Follow);
        for n in 0..self.feeds.len() {
            let Some(server) = &self.server else { return };
            let world = server.conductor.world();
            let name = self.feeds[n].name();
            if world.get(&Key::cluster(Kind::Source, name.clone())).is_none() {
                if world.recovering.is_none() {
                    self.add_source(n);
                }
                continue;
            }
            let wanted = inbound::wanted_revisions(world).into_iter().filter(|(source, _)| *source == name);
            let feed = &mut self.feeds[n];
            let mut bring: Vec<Commit> =
                wanted.filter_map(|(_, r)| feed.commits.iter().find(|c| c.revision == r).cloned()).collect();
            if feed.told.as_ref() != feed.commits.last().map(|c| &c.revision) {
                feed.told = feed.commits.last().map(|c| c.revision.clone());
                bring.extend(feed.commits.last().cloned());
            }
            let Some(server) = &mut self.server else { return };
            for commit in bring {
                server.push(Event::Seen(Box::new(Seen {
                    source: name.clone(),
                    revision: commit.revision,
                    author: "A <a@b>".into(),
                    message: "a commit".into(),
                    outcome: commit.outcome,
                    confirmed: true,
                })));
            }
        }
    }

    fn add_source(&mut self, n: usize) {
        self.ask(Ask::CreateSource {
            name: self.feeds[n].name(),
            spec: SourceSpec {
                git: Some(GitSpec { url: format!("file:///{n}"), ..GitSpec::default() }),
                ..SourceSpec::default()
            },
            meta: Meta::default(),
            owners: Owners::By("simulation".into()),
            dry_run: false,
        });
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        if let Some(server) = &mut self.server {
            server.push(Event::Ask { id: AskId(0), ask: Box::new(ask), user: "admin".into() });
        }
    }

    /// Somebody cordons a node, or lets pods on it again.
    pub(crate) fn cordon(&mut self, n: usize, unschedulable: bool) {
        let name = self.machines[n].sim.name().clone();
        let Some(server) = &self.server else { return };
        let world = server.conductor.world();
        let (node, record) = (world.get(&Key::cluster(Kind::Node, name.clone())), world.nodes.get(&name));
        let (Some(node), Some(record)) = (node, record) else { return };
        let wish = NodeWish {
            labels: node.meta.labels.clone(),
            annotations: node.meta.annotations.clone(),
            taints: record.taints.to_vec(),
            unschedulable,
        };
        self.ask(Ask::UpdateNode {
            name,
            wish,
            if_version: None,
            dry_run: false,
            owners: Owners::By("simulation".into()),
        });
    }

    /// Whether a node is cordoned, or nobody is there to say.
    fn is_cordoned(&self, n: usize) -> bool {
        let Some(server) = &self.server else { return true };
        server.conductor.world().nodes.get(self.machines[n].sim.name()).is_some_and(|node| node.unschedulable)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings { default_toleration: self.shape.toleration, ..Settings::default() };
        // Large worlds have more nodes than the default has room for.
        settings.network.net.cluster_cidr = "172.16.0.0/12".parse().unwrap();
        settings
    }

    /// Starts a server over a disk, for a cluster that has these nodes if it is older than the disk.
    pub(crate) fn boot(&mut self, disk: &MemoryDisk) -> Option<Server> {
        self.lives += 1;
        let nodes: BTreeSet<Arc<str>> =
            self.machines.iter().filter(|m| !m.leaving).map(|m| m.sim.name().clone()).collect();
        let recover = Some(nodes).filter(|_| self.feeds.iter().any(|f| !f.commits.is_empty()));
        let seed = self.rng.next_u64();
        let started = Server::start(disk, (self.now, self.server_clock), (seed, self.lives), self.settings(), recover);
        match started {
            Ok(server) => {
                let drawn = i64::try_from(server.conductor.world().epoch / 1000).unwrap_or(i64::MAX);
                self.newest_epoch = self.newest_epoch.max(Time(drawn));
                Some(server)
            }
            Err(error) => {
                self.tell(|| format!("the server does not start: {error}"));
                None
            }
        }
    }

    fn start_server(&mut self) {
        if self.server.is_some() {
            return;
        }
        self.tell(|| "the server starts".into());
        let disk = self.disk.clone();
        self.server = self.boot(&disk);
        match &self.server {
            Some(server) => {
                self.watch.reload(server.conductor.world().all());
                self.services.reload(self.now, self.watch.all());
            }
            None => self.later(Duration::from_secs(1), Item::StartServer),
        }
        self.feeds.iter_mut().for_each(|f| f.told = None);
    }

    /// Ends the server's process; it starts again after a while.
    pub(crate) fn crash_server(&mut self, away: Duration) {
        let Some(server) = self.server.take() else { return };
        self.tell(|| "the server is gone".into());
        self.disk.crash();
        self.watch.forget();
        for (n, connection) in server.lines {
            if !self.machines[n].line.rival {
                self.later(Duration::from_millis(1), Item::Closed { n, connection, end: To::Agent });
            }
        }
        self.later(away, Item::StartServer);
    }

    /// What happened on a machine: it may want a new session, have something to say, or wake at
    /// another time.
    pub(crate) fn touch(&mut self, n: usize) {
        if self.machines[n].sim.reconnect.take().is_some() {
            self.machines[n].disturbed(self.now);
            self.agent_closes(n, true);
        }
        if self.machines[n].line.agent.is_some()
            && let Some(message) = self.machines[n].sim.take_report()
        {
            self.send_up(n, message);
        }
        let next = self.machines[n].next();
        if let Some(before) = std::mem::replace(&mut self.wake_of[n], next) {
            self.wakes.remove(&(before, n));
        }
        self.wakes.extend(next.map(|at| (at, n)));
    }

    fn next(&self) -> Option<Time> {
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        let machine = self.wakes.first().map(|(at, _)| *at);
        let servers = [&self.server, &self.rival].into_iter().flatten().filter_map(Server::due).min();
        [queue, machine, servers].into_iter().flatten().min()
    }

    /// Lets everything happen up to `until`.
    pub(crate) fn run(&mut self, until: Time) -> Result<(), String> {
        while let Some(at) = self.next().map(|at| at.max(self.asleep)).filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.wake_up();
            self.instant()?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Everything sleeps for a while.
    pub(crate) fn sleep(&mut self, time: Duration) {
        // Sleeps that come together are one long one.
        let from = self.asleep.max(self.now);
        (self.asleep, self.slept) = (from + time, self.slept + time);
        for server in [&mut self.server, &mut self.rival].into_iter().flatten() {
            server.pause(from, time);
        }
    }

    /// After a sleep each agent finds its clock moved: its own time stood still.
    fn wake_up(&mut self) {
        let slept = std::mem::take(&mut self.slept);
        if slept.is_zero() {
            return;
        }
        let millis = i64::try_from(slept.as_millis()).unwrap_or(i64::MAX);
        self.services.unwatched(self.now);
        for n in 0..self.machines.len() {
            self.machines[n].disturbed(self.now);
            self.machines[n].sim.clock_moved(self.now, millis);
            self.touch(n);
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
        while let Some((_, n)) = self.wakes.first().copied().filter(|(at, _)| *at <= self.now) {
            self.machines[n].run(self.now, &self.registry);
            let sim = &mut self.machines[n].sim;
            if let Some(broken) = sim.runtime.violations.first() {
                return Err(format!("{}: {broken}", sim.name()));
            }
            self.services.followed(sim)?;
            for start in sim.take_starts() {
                self.started(n, &start)?;
            }
            for stop in self.machines[n].sim.runtime.take_stops() {
                self.watch.stopped(self.now, self.machines[n].sim.name(), &stop)?;
                self.stopped(&stop)?;
            }
            self.touch(n);
        }
        let due = |s: &Option<Server>, now: Time| s.as_ref().and_then(Server::due).is_some_and(|at| at <= now);
        if due(&self.rival, self.now) {
            self.step_rival();
        }
        if due(&self.server, self.now) { self.step_server() } else { Ok(()) }
    }

    /// A container begins: what isolates its pod is there before.
    fn started(&mut self, n: usize, start: &StartNote) -> Result<(), String> {
        match self.watch.pod(&start.pod).filter(|_| self.promised()) {
            Some(pod) => self.policies.started(pod, start, self.machines[n].sim.name(), self.watch.all()),
            None => Ok(()),
        }
    }

    /// Whether promises hold that messages which a stream never loses, and an old server that nobody
    /// looks at, take away.
    fn promised(&self) -> bool {
        !self.shape.hostile && self.rival.is_none() && self.recovered <= self.now
    }

    /// A container is stopped: nobody is to lead to it any more.
    fn stopped(&mut self, stop: &StopNote) -> Result<(), String> {
        match self.watch.pod(&stop.pod).filter(|_| self.promised() && !stop.name.is_empty()) {
            Some(pod) => self.services.stopped(self.now, pod, &self.machines, self.watch.all()),
            None => Ok(()),
        }
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Up { n, connection, life, message } => self.up(n, connection, life, *message),
            Item::Down { n, connection, message } => self.down(n, connection, *message),
            Item::Flush { n, connection, to } => self.flush(n, connection, to),
            Item::Mend(n, way) => self.mend(n, way),
            Item::GiveUp { n, connection, end } => self.give_up(n, connection, end),
            Item::Closed { n, connection, end } => self.see_the_end(n, connection, end),
            Item::Dial(n) => self.dial(n),
            Item::Heartbeat(n, connection) => self.heartbeat(n, connection),
            Item::Commit(n) => self.commit(n),
            Item::Follow => self.follow(),
            Item::Fault(fault) => crate::faults::strike(self, fault),
            Item::StartServer => self.start_server(),
            Item::StopRival => crate::faults::stop_rival(self),
            Item::StartAgent(n) => self.start_agent(n),
            Item::PowerOn(n) => self.power_on(n),
            Item::Remove(n) => self.remove(n),
            Item::EngineBack(n, live) => {
                let now = self.now;
                self.watch.disturbed(now, self.machines[n].sim.name());
                if self.machines[n].powered {
                    self.machines[n].sim.runtime.come_up(now, live);
                    self.tell(|| format!("engine {n} is back"));
                }
                self.touch(n);
            }
            Item::RegistryBack => self.registry.up = true,
            Item::Uncordon(n) if self.is_cordoned(n) => {
                // Whoever asks looks whether it was done, and asks again: a server may end before it is.
                self.cordon(n, false);
                self.later(POLL, Item::Uncordon(n));
            }
            Item::Uncordon(_) => {}
        }
    }

    fn start_agent(&mut self, n: usize) {
        if self.machines[n].powered {
            let now = self.now;
            self.machines[n].disturbed(now);
            self.machines[n].sim.start(now);
            self.tell(|| format!("agent {n} starts"));
            self.touch(n);
            self.dial_later(n, Duration::from_millis(50));
        }
    }

    fn power_on(&mut self, n: usize) {
        if std::mem::replace(&mut self.machines[n].powered, true) {
            return;
        }
        let now = self.now;
        self.watch.disturbed(now, self.machines[n].sim.name());
        self.machines[n].sim.runtime.power_on(now);
        self.start_agent(n);
    }

    /// Somebody removes a node that is off for good, again until it is gone.
    fn remove(&mut self, n: usize) {
        let name = self.machines[n].sim.name().clone();
        let known = self.server.as_ref().is_some_and(|s| {
            let world = s.conductor.world();
            world.get(&Key::cluster(Kind::Node, name.clone())).is_some() || world.recovering.is_some()
        });
        if known || self.server.is_none() {
            self.ask(Ask::DeleteNode { name, force: false, dry_run: false });
            self.later(REMOVE_AGAIN, Item::Remove(n));
        }
    }

    fn step_server(&mut self) -> Result<(), String> {
        let now = self.now;
        let Some(server) = &mut self.server else { return Ok(()) };
        self.backlog = self.backlog.max(server.waiting());
        if !server.is_within_bounds() {
            return Err(format!("{} events wait for the server", server.waiting()));
        }
        let output = match server.step(now) {
            Ok(output) => output,
            Err(error) => {
                self.tell(|| format!("the server's transaction failed: {error}"));
                let away = Duration::from_millis(self.rng.below(20_000));
                self.crash_server(away);
                return Ok(());
            }
        };
        self.steps += 1;
        self.tell_of(&output);
        self.watch.published(&output.published);
        self.services.published(now, &output.published, self.watch.all())?;
        self.policies.published(&output.published, self.watch.all());
        self.look_at_services()?;
        // Events are told by nobody but themselves, and endpoints are looked at in kernels: they alone
        // change nothing that is audited.
        let unaudited = [Kind::Event, Kind::EndpointSlice, Kind::Endpoints];
        let changed = output.published.iter().any(|p| !unaudited.contains(&p.key.kind));
        for (node, message) in output.to_agents {
            let n = self.by_name.get(&node).copied();
            let line = n.and_then(|n| Some((n, *self.server.as_ref()?.lines.get(&n)?)));
            if let Some((n, connection)) = line {
                self.send_down(n, connection, message);
            }
        }
        for node in output.hang_up {
            self.tell(|| format!("the server hangs up on {node}"));
            if let Some(n) = self.by_name.get(&node).copied() {
                self.machines[n].disturbed(now);
                self.server_closes(n);
            }
        }
        if changed { self.audit(false) } else { Ok(()) }
    }

    /// Looks now and then what became of Services behind which nodes are silent.
    fn look_at_services(&mut self) -> Result<(), String> {
        let Some(server) = &self.server else { return Ok(()) };
        if server.conductor.world().recovering.is_some() {
            self.recovered = self.now + RECOVERED;
            self.services.unwatched(self.now);
        }
        if self.look > self.now || server.waiting() > 0 || server.conductor.backlog() > 0 {
            return Ok(());
        }
        self.look = self.now + LOOK;
        self.services.silence(self.now, &self.machines, self.watch.all(), !self.shape.hostile)
    }

    /// The old server goes on as if nothing were; nobody looks at what it believes.
    fn step_rival(&mut self) {
        let now = self.now;
        let Some(Ok(output)) = self.rival.as_mut().map(|r| r.step(now)) else { return };
        for (node, message) in output.to_agents {
            let n = self.by_name.get(&node).copied();
            let line = n.and_then(|n| Some((n, *self.rival.as_ref()?.lines.get(&n)?)));
            if let Some((n, connection)) = line.filter(|(n, _)| self.machines[*n].line.rival) {
                self.send_down(n, connection, message);
            }
        }
    }

    fn tell_of(&mut self, output: &Output) {
        use evenkeel_model::own::ReleaseStatus;
        for p in &output.published {
            let name = p.key.name.clone();
            match (p.key.kind, &p.new) {
                (Kind::Release, Some(o)) => {
                    let status = o.status::<ReleaseStatus>().ok().flatten();
                    let line = status
                        .map(|s| format!("release {name} {} {} {:?}", s.phase, s.reason, s.cause.map(|c| c.message)));
                    if let Some(line) = line.filter(|l| self.story.back().is_none_or(|last| !last.ends_with(l))) {
                        self.tell(|| line);
                    }
                }
                (Kind::Node, new) => {
                    let ready = |o: &Arc<Object>| crate::watch::ready(o);
                    let (old, new) = (p.old.as_ref().map(ready), new.as_ref().map(ready));
                    if old != new {
                        self.tell(|| format!("node {name} ready {old:?} -> {new:?}"));
                    }
                }
                (Kind::Pod, new) => {
                    let going = |o: &Arc<Object>| o.deleting();
                    let (old, new) = (p.old.as_ref().map(going), new.as_ref().map(going));
                    if old != new {
                        self.tell(|| format!("pod {name} going {old:?} -> {new:?}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Holds the state against the promises.
    pub(crate) fn audit(&mut self, settled: bool) -> Result<(), String> {
        let Some(server) = &self.server else { return Ok(()) };
        let now = server.clock.process(self.now);
        let left = |m: &Machine| m.sim.runtime.left_behind().next().cloned();
        // Of pods whose agent lost its disk nobody knows what was begun.
        if settled
            && !self.watch.orphans
            && let Some((node, id)) = self.staying().find_map(|m| Some((m.sim.name(), left(m)?)))
        {
            return Err(format!("{node}: a process of {id} runs, and its engine does not know of it"));
        }
        self.watch.audit(now, &self.machines, &self.by_name, &self.feeds, settled)
    }

    /// A Source's status.
    pub(crate) fn source(&self, n: usize) -> Option<SourceStatus> {
        let server = self.server.as_ref()?;
        server.conductor.world().get(&Key::cluster(Kind::Source, self.feeds[n].name()))?.status().ok().flatten()
    }

    /// Every object as it was seen last.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.watch.objects()
    }

    /// When the laptop's sleep ends; past if it is awake.
    pub(crate) fn asleep_until(&self) -> Time {
        self.asleep
    }

    /// Ends all trouble.
    pub(crate) fn calm(&mut self) {
        self.chaos = false;
        self.tell(|| "all trouble ends".into());
        let machines = &self.machines;
        self.queue.retain(|_, item| match item {
            Item::Fault(_) | Item::Commit(_) => false,
            // One that is switched on again below is not removed any more.
            Item::Remove(n) => machines[*n].leaving,
            _ => true,
        });
        self.registry.up = true;
        // A sleep that is cut short lasted no longer than until now.
        self.slept = self.slept.saturating_sub(self.asleep.since(self.now));
        self.asleep = self.now;
        self.wake_up();
        crate::faults::stop_rival(self);
        for n in 0..self.machines.len() {
            self.thaw(n);
            for way in [To::Server, To::Agent] {
                let line = &mut self.machines[n].line;
                match way {
                    To::Server => line.up.cuts = 1,
                    To::Agent => line.down.cuts = 1,
                }
                self.mend(n, way);
            }
            if self.machines[n].leaving {
                continue;
            }
            let now = self.now;
            // It may be cordoned in a database that was restored meanwhile.
            self.later(POLL, Item::Uncordon(n));
            self.watch.disturbed(now, self.machines[n].sim.name());
            self.power_on(n);
            self.machines[n].sim.runtime.come_up(now, true);
            self.start_agent(n);
            // A message that is lost with none after it is told by nobody.
            if self.shape.hostile {
                self.agent_closes(n, true);
            }
            self.touch(n);
        }
        if let Some(server) = &mut self.server {
            server.busy = self.now;
        }
        self.start_server();
    }

    /// A machine stands still, or does so for longer than it was to.
    pub(crate) fn freeze(&mut self, n: usize, until: Time) {
        if self.machines[n].frozen > self.now && until > self.machines[n].frozen {
            self.waits_until(n, until);
        }
        self.machines[n].freeze(until);
    }

    /// A machine that stands still goes on: what waits for it comes now.
    fn thaw(&mut self, n: usize) {
        self.waits_until(n, self.now);
        let now = self.now;
        self.machines[n].thaw(now);
    }

    /// What waits for a machine that stands still comes at another time, and in its order.
    fn waits_until(&mut self, n: usize, time: Time) {
        let frozen = self.machines[n].frozen;
        let waits = |item: &Item| match item {
            Item::Down { n: to, .. } | Item::Dial(to) | Item::Heartbeat(to, _) => *to == n,
            _ => false,
        };
        let all: Vec<(Time, u64)> =
            self.queue.iter().filter(|((at, _), i)| *at == frozen && waits(i)).map(|(k, _)| *k).collect();
        for key in all {
            if let Some(item) = self.queue.remove(&key) {
                self.queue.insert((time, key.1), item);
            }
        }
    }

    /// Machines that shall be there.
    pub(crate) fn staying(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|m| !m.leaving)
    }

    /// Who is not at rest, for a failure.
    pub(crate) fn restless(&self) -> String {
        let backlog = self.server.as_ref().map(|s| (s.waiting(), s.conductor.backlog()));
        let restless = |m: &&Machine| m.line.agent.is_none() || !m.sim.logic.as_ref().is_some_and(AgentLogic::at_rest);
        let agents: Vec<_> =
            self.staying().filter(restless).map(|m| (m.sim.name(), m.line.agent, m.sim.logic.is_some())).collect();
        format!("server {backlog:?}, agents {agents:?}")
    }

    /// Whether the conductor has nothing to do, and no agent.
    pub(crate) fn idle(&self) -> bool {
        // An orphan that nothing explains may crash for ever.
        let rests = |l: &AgentLogic| l.at_rest() || self.watch.orphans;
        let gone = |m: &Machine| {
            let key = Key::cluster(Kind::Node, m.sim.name().clone());
            self.server.as_ref().is_some_and(|s| s.conductor.world().get(&key).is_none())
        };
        self.server.as_ref().is_some_and(|s| s.waiting() == 0 && s.conductor.backlog() == 0)
            && self.staying().all(|m| m.line.agent.is_some() && m.sim.logic.as_ref().is_some_and(rests))
            && self.machines.iter().filter(|m| m.leaving).all(gone)
    }
}
