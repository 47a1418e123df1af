//! The conductor's thread: takes messages, steps, and hands out what a step says.
//!
//! A failed transaction, or a panic outside of an event's handling, ends the conductor; it starts
//! again from the store, as after a crash, with back-off. Agents go on meanwhile. Deliberately not
//! here: what a batch does (`evenkeel_conductor`).

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use evenkeel_conductor::{AskId, BATCH_EVENTS, Conductor, Event, Failure, Output, Start};
use evenkeel_store::{DirLock, EncryptionKey, OpenOptions, SqliteStore, StoreError};
use metrics::{counter, gauge, histogram};
use tokio::{sync::mpsc, sync::oneshot, time::timeout};
use tracing::{error, info, warn};

use super::{
    Message, Options, Question, Shared,
    checkpoint::Checkpoints,
    clock::{Clock, LOOK_EVERY, Watch},
    story,
};
use crate::api::{AskError, live::WatchEvent};

/// First wait before the conductor starts again; doubles.
const RESTART_FIRST: Duration = Duration::from_millis(500);
/// Longest such wait; who ran longer than this starts with the first one again.
const RESTART_MAX: Duration = Duration::from_secs(30);
/// Transactions after which the database is checkpointed: a few MiB of its log.
const CHECKPOINT_EVERY: u64 = 1000;

/// Opens the store and loads the world.
pub(super) fn open(
    options: &Options,
    key: &EncryptionKey,
    lock: &Arc<DirLock>,
) -> Result<Conductor<SqliteStore>, StoreError> {
    let now = super::clock::wall();
    let open = OpenOptions { lock: Some(lock.clone()), ..OpenOptions::new(now, key.clone()) };
    let store = SqliteStore::open(&options.data_dir, open)?;
    let start = Start {
        now,
        seed: options.seed,
        digest_key: options.digest_key,
        settings: options.settings.clone(),
        recover: options.known_nodes.clone(),
    };
    let conductor = Conductor::start(store, start)?;
    if conductor.world().recovering.is_some() {
        warn!("the database is new but the cluster is not: waiting for what the agents know");
    }
    Ok(conductor)
}

/// Starts the thread.
pub(super) fn spawn(
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Message>,
    options: Options,
    key: EncryptionKey,
    lock: Arc<DirLock>,
    conductor: Conductor<SqliteStore>,
) -> std::io::Result<JoinHandle<()>> {
    // A runtime of one thread, for its timer alone: the loop waits for a message or a wish.
    let waiter = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("conductor".into()).spawn(move || {
        let _entered = runtime.enter();
        let clock = Clock::start();
        let watch = Watch::new(options.settings.pause_limit);
        let mut looper = Looper { shared, inbox, clock, watch, open: HashMap::new(), next_id: 0 };
        let mut conductor = Some(conductor);
        let mut wait = RESTART_FIRST;
        loop {
            let began = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let conductor = match conductor.take() {
                    Some(conductor) => conductor,
                    None => looper.reopen(&options, &key, &lock)?,
                };
                looper.run(&waiter, conductor)
            }));
            if began.elapsed() > RESTART_MAX {
                wait = RESTART_FIRST;
            }
            match ended {
                Ok(Ok(())) => return,
                Ok(Err(e)) => {
                    error!(error = %evenkeel_model::causes(&e), ?wait, "the store failed; starting again from it");
                }
                // The panic's own message went to the log where it happened.
                Err(_) => error!(?wait, "the conductor panicked; starting again from the store"),
            }
            counter!("evenkeel_conductor_restarts_total").increment(1);
            looper.fail_open();
            looper.shared.sessions.close_all();
            if looper.pause(&waiter, wait) {
                return;
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    })
}

struct Looper {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Message>,
    clock: Clock,
    watch: Watch,
    /// Questions whose batch has not been committed yet.
    open: HashMap<AskId, oneshot::Sender<Result<evenkeel_core::Answer, AskError>>>,
    next_id: u64,
}

impl Looper {
    /// Opens the store again. Agents that came back meanwhile said their hello to nobody: they
    /// come once more.
    fn reopen(
        &self,
        options: &Options,
        key: &EncryptionKey,
        lock: &Arc<DirLock>,
    ) -> Result<Conductor<SqliteStore>, StoreError> {
        let conductor = open(options, key, lock)?;
        self.shared.live.reset(conductor.view());
        self.shared.sessions.close_all();
        Ok(conductor)
    }

    /// Runs until the end is asked for (`Ok`) or the store fails.
    fn run(
        &mut self,
        waiter: &tokio::runtime::Runtime,
        mut conductor: Conductor<SqliteStore>,
    ) -> Result<(), StoreError> {
        let checkpoints = Checkpoints::start(conductor.store().checkpointer()?);
        let mut commits = 0_u64;
        self.shared.followers.follow(&conductor.view());
        self.want(&conductor);
        self.shared.pulse.loaded.store(true, Ordering::Release);
        self.shared.pulse.down_since.store(0, Ordering::Release);
        let mut wake = Some(self.clock.now());
        loop {
            let Some(events) = self.gather(waiter, wake, &conductor) else {
                info!("the conductor stops");
                return Ok(());
            };
            let started = Instant::now();
            self.pulse(true);
            let now = self.clock.now();
            if let Some(gap) = self.watch.gap(now) {
                warn!(seconds = gap.as_secs(), "this server did not run for a while: every wait begins anew");
                conductor.unwatched(now);
            }
            let output = conductor.step(now, events)?;
            self.pulse(false);
            histogram!("evenkeel_batch_seconds").record(started.elapsed().as_secs_f64());
            gauge!("evenkeel_dirty_keys").set(f64::from(u32::try_from(conductor.backlog()).unwrap_or(u32::MAX)));
            self.shared.pulse.disk_full.store(conductor.disk_full(), Ordering::Release);
            self.shared.pulse.newer.store(conductor.world().newer.unwrap_or(0), Ordering::Release);
            self.shared.pulse.recovering.store(conductor.world().recovering.is_some(), Ordering::Release);
            wake = output.wake;
            let changed = output.view.is_some();
            self.hand_out(output);
            self.shared.serving.tell(|| conductor.served());
            if changed {
                self.want(&conductor);
                counter!("evenkeel_commits_total").increment(1);
                commits += 1;
            }
            if commits >= CHECKPOINT_EVERY {
                commits = 0;
                checkpoints.wish();
            }
        }
    }

    /// Revisions that the core needs and has no documents of.
    fn want(&self, conductor: &Conductor<SqliteStore>) {
        self.shared.followers.want(evenkeel_core::release::wanted_revisions(conductor.world()));
    }

    /// Waits for messages or the time; `None` is the end.
    fn gather(
        &mut self,
        waiter: &tokio::runtime::Runtime,
        wake: Option<evenkeel_model::Time>,
        conductor: &Conductor<SqliteStore>,
    ) -> Option<Vec<Event>> {
        let (now, first) = loop {
            let now = self.clock.now();
            let paused = self.watch.look(now);
            let wait = wake.map(|at| at.since(now));
            let inbox = &mut self.inbox;
            if paused || wait == Some(Duration::ZERO) {
                break (now, inbox.try_recv().ok());
            }
            let nap = wait.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY));
            // Nothing came: it is looked at the clock again.
            if let Ok(message) = waiter.block_on(async { timeout(nap, inbox.recv()).await }) {
                break (now, message);
            }
        };
        let mut events = Vec::new();
        let mut next = first;
        while let Some(message) = next {
            match message {
                Message::Stop => return None,
                Message::Event(event) => events.push(event),
                Message::Look => {}
                Message::Question(question) => events.push(self.question(*question)),
                Message::World(reply) => {
                    // A copy costs nothing; auditor and rebalance take their time elsewhere.
                    let _left = reply.send((Box::new(conductor.world().clone()), now));
                }
            }
            if events.len() >= BATCH_EVENTS {
                break;
            }
            next = self.inbox.try_recv().ok();
        }
        // Requests and reports first: a revision may wait for them, not the other way round. What is
        // heard of sources keeps its order.
        events.sort_by_key(|e| matches!(e, Event::Seen(_) | Event::Away { .. } | Event::Reachable { .. }));
        Some(events)
    }

    fn question(&mut self, question: Question) -> Event {
        self.next_id += 1;
        let id = AskId(self.next_id);
        self.open.insert(id, question.reply);
        Event::Ask { id, ask: Box::new(question.ask), user: question.user }
    }

    /// After the commit: readers first, then callers, then agents and followers.
    fn hand_out(&mut self, output: Output) {
        if let Some(view) = output.view {
            let events: Vec<WatchEvent> = output
                .published
                .iter()
                .map(|p| WatchEvent { version: p.version, key: p.key.clone(), old: p.old.clone(), new: p.new.clone() })
                .collect();
            self.shared.live.publish(view, events);
        }
        for (id, answer) in output.replies {
            if let Some(reply) = self.open.remove(&id) {
                // A caller that has gone away needs no answer.
                let _gone = reply.send(answer.map_err(|f| match f {
                    Failure::Refused(r) => AskError::Refused(r),
                    Failure::Panicked => AskError::Panicked,
                    Failure::DiskFull => AskError::DiskFull,
                }));
            }
        }
        for (node, message) in output.to_agents {
            self.shared.sessions.send(&node, message);
        }
        for node in output.hang_up {
            self.shared.sessions.close(&node);
        }
        self.shared.followers.changed(&output.published, &self.shared.live.view());
        story::tell(&self.shared, &output.published);
    }

    fn fail_open(&mut self) {
        for (_, reply) in self.open.drain() {
            let _gone = reply.send(Err(AskError::Stopped));
        }
        self.pulse(false);
        self.shared.pulse.loaded.store(false, Ordering::Release);
        let now = self.millis();
        // Several tries that fail are one time of being down.
        let _since_before = self.shared.pulse.down_since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Waits before a new start. Questions are answered with `Stopped`, agents' sessions are
    /// closed already. Says whether the end was asked for.
    fn pause(&mut self, waiter: &tokio::runtime::Runtime, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let inbox = &mut self.inbox;
            match waiter.block_on(async { timeout(left, inbox.recv()).await }) {
                Err(_) => return false,
                Ok(None | Some(Message::Stop)) => return true,
                Ok(Some(Message::Question(q))) => {
                    let _gone = q.reply.send(Err(AskError::Stopped));
                }
                Ok(Some(_)) => {}
            }
        }
    }

    fn pulse(&self, busy: bool) {
        self.shared.pulse.batch_since.store(if busy { self.millis() } else { 0 }, Ordering::Release);
    }

    /// Milliseconds since the host's start, never 0.
    fn millis(&self) -> u64 {
        u64::try_from(self.shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}
