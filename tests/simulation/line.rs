//! The network between the server and one node: the way each way, and the connections that the agent
//! has dialled over it.
//!
//! Faithful, it is a TLS stream: in order and once; what cannot pass waits, and is lost with the
//! connection when an end gives it up. The ends notice a break apart from each other, so an old
//! connection may live on at the server while its agent has a new one.

use std::{collections::VecDeque, time::Duration};

use evenkeel_model::Time;
use evenkeel_wire::{ToAgent, ToServer};

/// An end that hears nothing for so long gives the connection up; by chance up to twice as long.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(20);

/// One way between two ends.
#[derive(Debug)]
pub(crate) struct Way<T> {
    /// Cut as often as this; open at zero: faults overlap.
    pub(crate) cuts: u32,
    /// What waits for the way to open again, oldest first.
    pub(crate) stuck: VecDeque<T>,
    /// Nothing overtakes what was sent to arrive then.
    pub(crate) last: Time,
}

impl<T> Way<T> {
    fn new(now: Time) -> Self {
        Self { cuts: 0, stuck: VecDeque::new(), last: now }
    }

    /// Whether something may pass now, and in its turn.
    pub(crate) fn passes(&self) -> bool {
        self.cuts == 0 && self.stuck.is_empty()
    }

    fn begin(&mut self, now: Time) {
        self.stuck.clear();
        self.last = now;
    }
}

/// A node's line to the server.
#[derive(Debug)]
pub(crate) struct Line {
    /// The agent's end of its newest connection, while that is open.
    pub(crate) agent: Option<u64>,
    /// The number of the newest connection.
    pub(crate) connection: u64,
    pub(crate) up: Way<ToServer>,
    pub(crate) down: Way<ToAgent>,
    /// Whether it leads to the old server, which runs on beside a restored one.
    pub(crate) rival: bool,
    /// When the open connection was opened.
    pub(crate) opened: Time,
}

impl Line {
    pub(crate) fn new(now: Time) -> Self {
        Self { agent: None, connection: 0, up: Way::new(now), down: Way::new(now), rival: false, opened: now }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.up.cuts == 0 && self.down.cuts == 0
    }

    /// A new connection in place of the last one: what that one had under way is lost with it.
    pub(crate) fn dial(&mut self, now: Time, rival: bool) -> u64 {
        self.connection += 1;
        self.agent = Some(self.connection);
        (self.rival, self.opened) = (rival, now);
        self.up.begin(now);
        self.down.begin(now);
        self.connection
    }
}
