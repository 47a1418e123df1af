//! The step itself: events in, one transaction, answers out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use evenkeel_core::{
    Change, Changed, ControllerId, Controllers, Cx, Settings, World,
    ask::handle,
    controllers::{namespace, node, report},
    cx::Heal,
    ingress,
    release::inbound,
    world::{KeptSnapshot, View, timers::Timers},
};
use evenkeel_model::{
    Key, Kind, Rng, Time, Version,
    session::{Hello, Stamp, ToAgent},
};
use evenkeel_store::{Op, Origin, RECOVERING, Store, StoreError};
use tracing::{debug, error, warn};

use crate::{
    batch,
    dirty::Dirty,
    dispatch::Dispatch,
    event::{AskId, Event, Failure, Output, Published},
    guard::{self, Writers},
    held::Held,
    recovery::{self, Recovery},
    sessions::{Sessions, Verdict},
    stalled::Stalled,
};

/// Events taken into one batch. A count, not a clock, so that a replay cuts at the same places.
pub const BATCH_EVENTS: usize = 512;
/// Controller runs in one batch: about 5 ms at 20 µs each.
pub(crate) const BATCH_RUNS: usize = 256;
/// Timers taken in one batch; the rest stay due.
const BATCH_TIMERS: usize = 256;
/// How long a full disk is left alone before the next try to write.
const FULL_DISK_RETRY: Duration = Duration::from_secs(2);

/// How a conductor starts.
#[derive(Debug, Clone)]
pub struct Start {
    /// Now.
    pub now: Time,
    /// Seed of everything that is chosen by chance.
    pub seed: u64,
    /// Key of digests that stand for Secret values.
    pub digest_key: [u8; 32],
    /// Settings.
    pub settings: Settings,
    /// Nodes that the cluster is known to have, where it is older than this process; `None` for a
    /// new installation. If the store turns out to be new, these must report before anything is
    /// created or removed.
    pub recover: Option<BTreeSet<Arc<str>>>,
}

/// The loop's state. See the crate's documentation.
#[derive(Debug)]
pub struct Conductor<S> {
    store: S,
    world: World,
    settings: Settings,
    rng: Rng,
    timers: Timers,
    dirty: Dirty,
    dispatch: Dispatch,
    sessions: Sessions,
    writers: Writers,
    stalled: Stalled,
    recovery: Recovery,
    /// Since when it watches without a pause.
    started: Time,
    last_step: Time,
    /// Events that could not be committed because the disk is full: tried again.
    held: Held,
    disk_full: bool,
}

/// What a batch did before it was committed.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    published: Vec<Published>,
    replies: Vec<(AskId, Result<evenkeel_core::Answer, Failure>)>,
    heals: Vec<Heal>,
    roll_calls: BTreeSet<Arc<str>>,
    noted: Vec<Changed>,
    /// Whether the epoch was raised: every session hears of it.
    epoch_taken: bool,
    /// Nodes that said hello.
    heard: Vec<Arc<str>>,
    /// Nodes of which a report was dropped or never came.
    hang_up: BTreeSet<Arc<str>>,
    /// Reports of which the agent is told that they are durable.
    acknowledged: Vec<(Arc<str>, Stamp)>,
}

/// What a run or an event's handling leaves to be done.
#[derive(Default)]
struct Wishes {
    changes: Vec<Change>,
    wakes: Vec<(Time, ControllerId, Key)>,
    heals: Vec<Heal>,
    roll_calls: Vec<Arc<str>>,
}

impl Wishes {
    fn of(cx: Cx<'_>) -> Self {
        Self { changes: cx.changes, wakes: cx.wakes, heals: cx.heals, roll_calls: cx.roll_calls }
    }
}

/// Who was at work when a panic came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Guilty {
    Event(usize),
    Controller(ControllerId, Key),
}

impl<S: Store> Conductor<S> {
    /// Loads the world from the store. Every object is marked, so that whatever was under way goes
    /// on and every timer is set again.
    pub fn start(mut store: S, start: Start) -> Result<Self, StoreError> {
        let loaded = store.load()?;
        let mut world = World::new(loaded.version, loaded.epoch, start.digest_key);
        let mut snapshots = Vec::new();
        for head in &loaded.snapshots {
            let Some(seal) = &head.seal else { continue };
            if let Some(snapshot) = store.snapshot(head.digest)? {
                snapshots.push(KeptSnapshot {
                    source: seal.source.clone(),
                    revision: seal.revision.clone(),
                    snapshot: Arc::new(snapshot),
                });
            }
        }
        let contents = loaded.contents.into_iter().map(|(_, c)| Arc::new(c)).collect();
        // A recovery that was cut off by a crash goes on: its store is new no more, but as empty. It
        // may have been cut off before its first write, which leaves a store without any object.
        let under_way = loaded.meta.get(RECOVERING).map(|base| Recovery::base(base));
        let lost = loaded.origin != Origin::Kept || under_way.is_some() || loaded.objects.is_empty();
        world.restore(loaded.objects, contents, snapshots);
        let recovery = match start.recover.filter(|_| lost) {
            Some(expected) => {
                let base = under_way.unwrap_or_default();
                recovery::remember(&mut store, world.version, Some(base))?;
                let until = start.now + start.settings.recovery_wait;
                Recovery::begin(&mut world, expected, until, (loaded.origin, base))
            }
            None => Recovery::default(),
        };
        let (dispatch, stalled) = (Dispatch::new(&world, start.now), Stalled::of(&world));
        let mut this = Self {
            store,
            world,
            settings: start.settings,
            rng: Rng::new(start.seed),
            timers: Timers::default(),
            dirty: Dirty::default(),
            dispatch,
            sessions: Sessions::default(),
            writers: Writers::default(),
            stalled,
            recovery,
            started: start.now,
            last_step: start.now,
            held: Held::default(),
            disk_full: false,
        };
        this.mark_all();
        Ok(this)
    }

    /// What readers see now.
    pub fn view(&self) -> View {
        self.world.view()
    }

    /// The world, for tests and the auditor.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What nodes serve of Ingresses. To be asked between two steps, and only where somebody waits for it.
    pub fn served(&self) -> crate::Served {
        self.dispatch.served(&self.world)
    }

    /// Whether writes are refused because the disk is full.
    pub fn disk_full(&self) -> bool {
        self.disk_full
    }

    /// Controller runs that wait.
    pub fn backlog(&self) -> usize {
        self.dirty.len()
    }

    /// The store, for reads that the driver makes between steps (history, backup).
    pub fn store(&mut self) -> &mut S {
        &mut self.store
    }

    /// Takes events (at most [`BATCH_EVENTS`]: the caller keeps the rest), does a batch of work and
    /// commits it. An error means that the store is in doubt: start again from it.
    pub fn step(&mut self, now: Time, events: Vec<Event>) -> Result<Output, StoreError> {
        let now = now.max(self.last_step);
        self.notice_pause(now);
        debug_assert!(events.len() <= BATCH_EVENTS);
        let events = if self.held.is_empty() { events } else { self.held.before(events) };
        self.mark_due(now, !events.is_empty())?;
        self.world.nodes.watch(now);
        let before = self.world.clone();
        let undo = (self.rng.clone(), self.timers.clone(), self.dirty.clone(), self.sessions.clone());
        let mut guilty: BTreeSet<Guilty> = BTreeSet::new();
        let work = loop {
            match self.work(now, &events, &guilty) {
                Ok(work) => break work,
                Err((who, message)) => {
                    error!(?who, message, "panic; the batch is undone and run again without it");
                    self.world = before.clone();
                    (self.rng, self.timers, self.dirty, self.sessions) = undo.clone();
                    guilty.insert(who);
                }
            }
        };
        match self.commit(&before, &work) {
            Ok(()) => {
                self.disk_full = false;
                Ok(self.finish(now, work))
            }
            Err(e) if e.is_full() => {
                warn!(error = %e, "the disk is full; writes are refused");
                self.world = before;
                (self.rng, self.timers, self.dirty, self.sessions) = undo;
                Ok(self.refuse_for_space(now, events))
            }
            Err(e) => Err(e),
        }
    }

    /// The host noticed that this process did not run for a while, or that the clock jumped: nobody
    /// watched. As after a start, every wait for something outside begins anew from now: a node's
    /// grace and its pods' tolerations, a rollout's deadline, a release's window.
    pub fn unwatched(&mut self, now: Time) {
        self.started = self.started.max(now);
        self.dispatch.unwatched(now);
    }

    /// A long pause (a sleeping laptop, a paused machine) that the host did not notice itself.
    fn notice_pause(&mut self, now: Time) {
        if now.since(self.last_step) > self.settings.pause_limit && self.quiet_until_expected(now) {
            debug!("a pause was noticed; waits begin anew");
            self.unwatched(now);
        }
        self.last_step = now;
    }

    /// Whether the time since the last step is longer than any wait that was asked for.
    fn quiet_until_expected(&self, now: Time) -> bool {
        self.timers.next().is_some_and(|at| now.since(at) > self.settings.pause_limit)
    }

    fn mark_due(&mut self, now: Time, outside: bool) -> Result<(), StoreError> {
        if outside {
            for (controller, key) in self.writers.event_from_outside() {
                self.dirty.mark(controller, key);
            }
        }
        for (controller, key) in self.timers.due(now, BATCH_TIMERS) {
            self.dirty.mark(controller, key);
        }
        if self.recovery.check(&mut self.world, now) {
            recovery::remember(&mut self.store, self.world.version, None)?;
            // Until now nothing was done that anybody could have waited for.
            self.unwatched(now);
            self.mark_all();
            self.dispatch.all_again();
        }
        Ok(())
    }

    fn mark_all(&mut self) {
        let objects: Vec<_> = self.world.all().cloned().collect();
        for object in objects {
            let changed = Changed { key: object.key.clone(), old: None, new: Some(object) };
            let dirty = &mut self.dirty;
            Controllers.route(&self.world, &changed, &mut |c, k| dirty.mark(c, k));
        }
        for key in self.world.desired.take_touched() {
            self.dirty.mark(ControllerId::Sync, key);
        }
    }

    /// Handles the events and runs controllers, without committing.
    fn work(&mut self, now: Time, events: &[Event], guilty: &BTreeSet<Guilty>) -> Result<Work, (Guilty, String)> {
        let mut work = Work::default();
        self.ensure_defaults(now, &mut work);
        for (i, event) in events.iter().enumerate() {
            if guilty.contains(&Guilty::Event(i)) {
                match event {
                    Event::Ask { id, .. } => work.replies.push((*id, Err(Failure::Panicked))),
                    // It is acknowledged, so that it does not come again; what else it said comes with
                    // the next hello.
                    Event::Report { node, stamp, .. } => {
                        work.acknowledged.push((node.clone(), *stamp));
                        self.hang_up(node, &mut work);
                    }
                    _ => {}
                }
                continue;
            }
            let handled = guard::caught(|| self.handle(now, event, &mut work));
            handled.map_err(|message| (Guilty::Event(i), format!("{}: {message}", event.describe())))?;
        }
        for _ in 0..BATCH_RUNS {
            let Some((controller, key)) = self.dirty.pop() else { break };
            if self.writers.is_parked(controller, &key) {
                continue;
            }
            if guilty.contains(&Guilty::Controller(controller, key.clone())) {
                self.writers.park(controller, key.clone());
                let why = format!("controller {} panicked", controller.name());
                self.stall(now, &key.clone(), (controller, key), &why, &mut work);
                continue;
            }
            guard::caught(|| self.run(now, controller, &key, &mut work))
                .map_err(|message| (Guilty::Controller(controller, key), message))?;
        }
        if self.dirty.is_empty() {
            let changes = self.stalled.take_back(&self.world, &self.writers, now);
            self.take(Wishes { changes, ..Wishes::default() }, &mut work, None);
        }
        Ok(work)
    }

    fn ensure_defaults(&mut self, now: Time, work: &mut Work) {
        let lacks = |kind, name| self.world.get(&Key::cluster(kind, name)).is_none();
        if lacks(Kind::Namespace, "default") || lacks(Kind::IngressClass, ingress::CLASS) {
            let mut cx = Cx::new(now, self.started, &self.settings, &mut self.rng);
            namespace::ensure_defaults(&self.world, &mut cx);
            ingress::ensure_class(&self.world, &mut cx);
            let wishes = Wishes::of(cx);
            self.take(wishes, work, None);
        }
    }

    fn handle(&mut self, now: Time, event: &Event, work: &mut Work) {
        if !self.is_heard(event, work) {
            return;
        }
        let mut cx = Cx::new(now, self.started, &self.settings, &mut self.rng);
        let world = &self.world;
        match event {
            Event::Seen(seen) => inbound::seen(world, seen, &mut cx),
            Event::Away { source, reason, message, next_try } => {
                inbound::away(world, source, reason, message, *next_try, &mut cx);
            }
            Event::Reachable { source } => inbound::reachable(world, source, &mut cx),
            Event::Ask { id, ask, user } => {
                let answer = handle(world, ask, user, &mut cx).map_err(Failure::Refused);
                if answer.is_err() {
                    cx.changes.clear();
                    cx.wakes.clear();
                }
                work.replies.push((*id, answer));
            }
            Event::Hello(hello) => {
                inbound::recover(world, &hello.sources, &mut cx);
                report::hello(world, hello, &mut cx);
            }
            Event::Report { node, report: r, .. } => report::report(world, node, r, &mut cx),
            Event::Ended { .. } => {}
        }
        let wishes = Wishes::of(cx);
        self.note(now, event, work);
        self.take(wishes, work, None);
    }

    /// Whether an event counts: what agents say does only in its place.
    fn is_heard(&mut self, event: &Event, work: &mut Work) -> bool {
        match event {
            Event::Hello(hello) if hello.epoch > self.world.epoch => {
                if let Some(epoch) = self.recovery.claim(&self.world, hello) {
                    self.take_epoch(epoch, hello);
                    work.epoch_taken = true;
                    return self.sessions.begin(&hello.node, hello.session);
                }
                self.outdated(hello);
                work.hang_up.remove(&hello.node);
                false
            }
            Event::Hello(hello) => self.sessions.begin(&hello.node, hello.session),
            Event::Report { node, stamp, report } => match self.sessions.take(node, *stamp, report) {
                Verdict::Next => true,
                Verdict::Late => false,
                Verdict::Lost => {
                    self.hang_up(node, work);
                    false
                }
            },
            _ => true,
        }
    }

    /// A node has obeyed a store of a higher epoch, and this one is the newer one all the same: its
    /// clock is behind. Nobody has an order of the new epoch before it is on disk.
    fn take_epoch(&mut self, epoch: u64, hello: &Hello) {
        warn!(
            node = %hello.node, heard = hello.epoch, own = self.world.epoch, epoch,
            "the clock is behind that of the server before: the epoch is raised above what the node has obeyed"
        );
        self.world.epoch = epoch;
        self.world.version = self.world.version.max(Version(epoch));
    }

    /// A node has obeyed a newer store: this server is the former one, and nothing that it knows of the
    /// node counts. The node is told this store's epoch, and refuses it for itself.
    fn outdated(&mut self, hello: &Hello) {
        warn!(
            node = %hello.node, epoch = hello.epoch, own = self.world.epoch,
            "the node has obeyed a newer store: this server gives it no orders"
        );
        self.world.newer = self.world.newer.max(Some(hello.epoch));
        self.dispatch.begin(hello.node.clone(), hello.session);
    }

    /// Notes what an event means beside the world's objects.
    fn note(&mut self, now: Time, event: &Event, work: &mut Work) {
        match event {
            Event::Hello(hello) => {
                for (source, version) in inbound::taken(&self.world, &hello.sources) {
                    self.world.recovered.insert(source, version);
                }
                self.world.nodes.hear(&hello.node, now);
                work.heard.push(hello.node.clone());
                work.hang_up.remove(&hello.node);
                self.dispatch.begin(hello.node.clone(), hello.session);
            }
            Event::Report { node, stamp, report } => {
                self.world.nodes.hear(node, now);
                if self.dispatch.heard(node, report, now) {
                    self.hang_up(node, work);
                }
                if let Some(asked) = report.answers {
                    self.world.nodes.answer(node, asked);
                }
                if !report.drifts.is_empty() {
                    work.acknowledged.push((node.clone(), *stamp));
                }
                for pod in &report.pods {
                    let key = Key::new(Kind::Pod, pod.namespace.clone(), pod.name.clone());
                    self.world.note_logs(&key, pod.uid, &pod.logs);
                }
            }
            Event::Ended { node } => {
                self.sessions.end(node);
                self.dispatch.end(node);
            }
            _ => {}
        }
    }

    /// Ends a session from this side: its agent comes back and tells everything.
    fn hang_up(&mut self, node: &Arc<str>, work: &mut Work) {
        self.sessions.end(node);
        work.hang_up.insert(node.clone());
    }

    fn run(&mut self, now: Time, controller: ControllerId, key: &Key, work: &mut Work) {
        self.timers.clear(controller, key);
        let mut cx = Cx::new(now, self.started, &self.settings, &mut self.rng);
        Controllers.reconcile(controller, &self.world, key, &mut cx);
        let wishes = Wishes::of(cx);
        let stalled = self.take(wishes, work, Some((controller, key)));
        if let Some((object, writers)) = stalled {
            let names: Vec<&str> = writers.iter().map(|w| w.name()).collect();
            let why = format!("parked: it was written again and again by {}", names.join(" and "));
            warn!(%object, why);
            self.stall(now, &object, (controller, key.clone()), &why, work);
        }
    }

    /// Applies what a handler or controller wants. Gives the object and its writers when the
    /// controller was parked for writing too often.
    fn take(
        &mut self,
        mut wishes: Wishes,
        work: &mut Work,
        by: Option<(ControllerId, &Key)>,
    ) -> Option<(Key, Vec<ControllerId>)> {
        let mut stalled = None;
        for change in wishes.changes {
            let Some((changed, change)) = self.world.apply(change) else { continue };
            work.changes.push(change);
            let Some(changed) = changed else { continue };
            if node::fell_silent(&changed) {
                // What it was told from here on it would do late, in a world that has gone on. Only a
                // hello says again what its pods were judged by meanwhile.
                self.hang_up(&changed.key.name, work);
            }
            let dirty = &mut self.dirty;
            Controllers.route(&self.world, &changed, &mut |c, k| dirty.mark(c, k));
            for key in self.world.desired.take_touched() {
                self.dirty.mark(ControllerId::Sync, key);
            }
            if let Some((controller, at)) = by
                && let Some(writers) = self.writers.wrote(controller, at, &changed.key)
            {
                stalled = Some((changed.key.clone(), writers));
            }
            work.published.push(Published {
                version: self.world.version,
                key: changed.key.clone(),
                old: changed.old.clone(),
                new: changed.new.clone(),
            });
            work.noted.push(changed);
        }
        for (at, controller, key) in wishes.wakes {
            self.timers.set(at, controller, key);
        }
        work.heals.append(&mut wishes.heals);
        work.roll_calls.extend(wishes.roll_calls);
        stalled
    }

    /// Says at an object why nobody takes it on.
    fn stall(&mut self, now: Time, object: &Key, parked: (ControllerId, Key), why: &str, work: &mut Work) {
        let changes = self.stalled.set(&self.world, (object, parked), why, now).into_iter().collect();
        self.take(Wishes { changes, ..Wishes::default() }, work, None);
    }

    fn commit(&mut self, before: &World, work: &Work) -> Result<(), StoreError> {
        let raised = self.world.epoch != before.epoch;
        if work.changes.is_empty() && !raised {
            return Ok(());
        }
        let world = &self.world;
        let (staged, mut batch) = batch::transactions(before.version, world.version, &work.changes, &world.digest_key);
        batch.ops.extend(raised.then_some(Op::RaiseEpoch(world.epoch)));
        for part in &staged {
            self.store.commit(part)?;
        }
        self.store.commit(&batch)
    }

    fn finish(&mut self, now: Time, work: Work) -> Output {
        for node in &work.heard {
            self.recovery.heard(node);
        }
        for changed in &work.noted {
            self.dispatch.note(&self.world, changed);
        }
        for node in &work.hang_up {
            self.dispatch.end(node);
        }
        if work.epoch_taken {
            self.dispatch.all_again();
        }
        let heard = work.acknowledged.into_iter().map(|(node, stamp)| (node, ToAgent::Heard(stamp)));
        let mut to_agents: Vec<(Arc<str>, ToAgent)> = heard.collect();
        to_agents.extend(self.dispatch.take(&self.world, &self.settings.network, work.heals, now));
        let asked = work.roll_calls.into_iter().filter(|node| self.dispatch.speaks_with(node));
        to_agents.extend(asked.map(|node| (node, ToAgent::RollCall { at: now })));
        let busy = !self.dirty.is_empty() || self.recovery.complete(&self.world);
        let wake = if busy { Some(now) } else { self.next_wake() };
        Output {
            replies: work.replies,
            view: (!work.published.is_empty()).then(|| self.world.view()),
            published: work.published,
            to_agents,
            hang_up: work.hang_up.into_iter().collect(),
            wake,
        }
    }

    fn next_wake(&self) -> Option<Time> {
        [self.timers.next(), self.world.recovering, self.dispatch.next()].into_iter().flatten().min()
    }

    /// The disk is full: requests are refused, everything else waits for the next try.
    fn refuse_for_space(&mut self, now: Time, events: Vec<Event>) -> Output {
        self.disk_full = true;
        let (mut replies, mut hang_up) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Ask { id, .. } => replies.push((id, Err(Failure::DiskFull))),
                other => hang_up.extend(self.held.keep(other)),
            }
        }
        for node in &hang_up {
            self.sessions.end(node);
            self.dispatch.end(node);
        }
        Output { replies, hang_up, wake: Some(now + FULL_DISK_RETRY), ..Output::default() }
    }
}
