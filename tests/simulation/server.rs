//! The server's process: the real conductor, its bounded queue, its sessions, its clock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::sim::SimClock;
use evenkeel_conductor::{BATCH_EVENTS, Conductor, Event, Output, Start};
use evenkeel_core::Settings;
use evenkeel_model::Time;
use evenkeel_store::{MemoryDisk, MemoryStore, StoreError};

/// What the real server's queue holds: what comes beyond it waits in its session.
const QUEUE: usize = 4096;
/// What a batch costs: about what it takes in a release build, with its commit.
const BATCH: Duration = Duration::from_millis(1);
/// What each event adds.
const EVENT: Duration = Duration::from_micros(100);

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) conductor: Conductor<MemoryStore>,
    /// Another number for each process: connections to an earlier one are dead.
    pub(crate) life: u64,
    inbox: VecDeque<Event>,
    wake: Option<Time>,
    /// It is at work, or its machine stands still, until then.
    pub(crate) busy: Time,
    /// The current connection of each node, as the real table of sessions has it.
    pub(crate) lines: BTreeMap<usize, u64>,
    /// The newest connection of each node that said hello.
    pub(crate) heard: BTreeMap<usize, u64>,
    pub(crate) clock: SimClock,
    /// It did not run for a while, or its clock jumped: the host notices, and tells the conductor.
    gap: bool,
}

impl Server {
    /// Starts over a disk. With `recover`, an empty disk waits for these nodes.
    pub(crate) fn start(
        disk: &MemoryDisk,
        (now, mut clock): (Time, SimClock),
        (seed, life): (u64, u64),
        settings: Settings,
        recover: Option<BTreeSet<Arc<str>>>,
    ) -> Result<Self, StoreError> {
        clock.follow_wall();
        let at = clock.wall(now);
        let start = Start { now: at, seed, digest_key: [7; 32], settings, recover };
        let conductor = Conductor::start(MemoryStore::open(disk, at), start)?;
        let (inbox, lines, heard) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { conductor, life, inbox, wake: Some(at), busy: now, lines, heard, clock, gap: false })
    }

    /// Something arrives.
    pub(crate) fn push(&mut self, event: Event) {
        self.inbox.push_back(event);
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Whether what waits fits its queue.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.inbox.len() <= QUEUE
    }

    /// When it has something to do.
    pub(crate) fn due(&self) -> Option<Time> {
        let at = if self.inbox.is_empty() { self.clock.when(self.wake?) } else { Time(i64::MIN) };
        Some(at.max(self.busy))
    }

    /// It stands still for a while.
    pub(crate) fn pause(&mut self, now: Time, time: Duration) {
        self.busy = self.busy.max(now + time);
        self.gap |= time > Settings::default().pause_limit;
    }

    /// Its clock is set.
    pub(crate) fn set_clock(&mut self, now: Time, by: Duration, back: bool) {
        self.clock.jump(now, by, back);
        self.gap |= !back && by > Settings::default().pause_limit;
    }

    /// One batch.
    pub(crate) fn step(&mut self, now: Time) -> Result<Output, StoreError> {
        let take = self.inbox.len().min(BATCH_EVENTS);
        let events: Vec<Event> = self.inbox.drain(..take).collect();
        let cost = EVENT * u32::try_from(take).unwrap_or(u32::MAX);
        let at = self.clock.process(now);
        if std::mem::take(&mut self.gap) {
            self.conductor.unwatched(at);
        }
        let output = self.conductor.step(at, events)?;
        self.busy = now + BATCH + cost;
        self.wake = output.wake;
        Ok(output)
    }
}
