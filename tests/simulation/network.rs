//! What is said between agents and the server on its way: delays, cuts, connections that end at one
//! side before the other knows, and, where the network is hostile, messages that are lost, doubled,
//! overtaken, and those of dead connections that come after all.

use std::time::Duration;

use evenkeel_agent::logic::command::Input;
use evenkeel_conductor::Event;
use evenkeel_wire::{ToAgent, ToServer};

use crate::{
    line::KEEPALIVE,
    server::Server,
    world::{Item, World},
};

/// Heartbeats of an agent with nothing to report.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a dial over a way that is cut takes to fail.
const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// A message that takes longer is late.
const SLOW: Duration = Duration::from_millis(300);

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Server,
    Agent,
}

impl World {
    /// The server that a node's line leads to.
    fn other_end(&mut self, n: usize) -> Option<&mut Server> {
        if self.machines[n].line.rival { self.rival.as_mut() } else { self.server.as_mut() }
    }

    /// A delay of the network.
    fn delay(&mut self) -> Duration {
        let most = if self.chaos && self.rng.below(20) == 0 { 2000 } else { 20 };
        Duration::from_millis(1 + self.rng.below(most))
    }

    fn patience(&mut self) -> Duration {
        KEEPALIVE + Duration::from_millis(self.rng.below(20_000))
    }

    /// Whether the network does what a stream never does, with this chance in a thousand.
    fn is_hostile(&mut self, chance: u64) -> bool {
        self.shape.hostile && self.chaos && self.rng.below(1000) < chance
    }

    /// When a message arrives: in order, unless the network is hostile.
    fn arrival(&mut self, n: usize, to: To) -> evenkeel_model::Time {
        let mut at = self.now + self.delay();
        if self.is_hostile(30) {
            return at + Duration::from_millis(self.rng.below(60_000));
        }
        let wire = &mut self.machines[n].line;
        let last = match to {
            To::Server => &mut wire.up.last,
            To::Agent => &mut wire.down.last,
        };
        at = at.max(*last);
        *last = at;
        if at.since(self.now) > SLOW {
            self.machines[n].disturbed(at);
        }
        at
    }

    /// The agent says something.
    pub(crate) fn send_up(&mut self, n: usize, message: ToServer) {
        self.services.said(&message);
        let Some(connection) = self.machines[n].line.agent else { return };
        let Some(life) = self.other_end(n).map(|s| s.life) else { return };
        if self.is_hostile(15) && !matches!(message, ToServer::Hello(_)) {
            return;
        }
        if self.is_hostile(30) {
            let at = self.arrival(n, To::Server);
            self.at(at, Item::Up { n, connection, life, message: Box::new(message.clone()) });
        }
        let at = self.arrival(n, To::Server);
        self.at(at, Item::Up { n, connection, life, message: Box::new(message) });
    }

    /// The server says something on the current connection of a node.
    pub(crate) fn send_down(&mut self, n: usize, connection: u64, message: ToAgent) {
        if self.is_hostile(15) {
            return;
        }
        if self.is_hostile(30) {
            let at = self.arrival(n, To::Agent);
            self.at(at, Item::Down { n, connection, message: Box::new(message.clone()) });
        }
        let at = self.arrival(n, To::Agent);
        self.at(at, Item::Down { n, connection, message: Box::new(message) });
    }

    /// A message has come as far as the way is open.
    pub(crate) fn up(&mut self, n: usize, connection: u64, life: u64, message: ToServer) {
        let wire = &mut self.machines[n].line;
        if connection == wire.connection && !wire.up.passes() {
            wire.up.stuck.push_back(message);
            return;
        }
        if wire.up.cuts == 0 {
            self.arrive(n, connection, life, message);
        }
    }

    fn arrive(&mut self, n: usize, connection: u64, life: u64, message: ToServer) {
        let hostile = self.shape.hostile;
        let node = self.machines[n].sim.name().clone();
        let Some(server) = self.other_end(n).filter(|s| s.life == life) else {
            return self.refuse(n, connection);
        };
        match message {
            ToServer::Hello(hello) => {
                // A hello is the first message of its stream: what comes of a stream that has ended, or of
                // one before it, opens none.
                let open = server.lines.get(&n) == Some(&connection);
                if !open && server.heard.get(&n).is_some_and(|newest| *newest >= connection) {
                    return self.refuse(n, connection);
                }
                server.heard.insert(n, connection);
                server.lines.insert(n, connection);
                server.push(Event::Hello(hello));
                self.heard(n);
                self.tell(|| format!("n{n}'s hello of connection {connection} arrives"));
            }
            ToServer::Report { stamp, report } => {
                let open = server.lines.get(&n) == Some(&connection);
                if hostile || open {
                    server.push(Event::Report { node, stamp, report });
                    self.heard(n);
                }
                if !open {
                    self.refuse(n, connection);
                }
            }
        }
    }

    /// The server hears of a node.
    fn heard(&mut self, n: usize) {
        if !self.machines[n].line.rival {
            self.machines[n].heard = self.now;
        }
    }

    /// Who speaks on a connection that the other end has closed is told so.
    fn refuse(&mut self, n: usize, connection: u64) {
        let after = self.delay();
        self.later(after, Item::Closed { n, connection, end: To::Agent });
    }

    /// A message has come as far as the way is open.
    pub(crate) fn down(&mut self, n: usize, connection: u64, message: ToAgent) {
        let (now, hostile) = (self.now, self.shape.hostile);
        let machine = &mut self.machines[n];
        if machine.frozen > now {
            let at = machine.frozen;
            return self.at(at, Item::Down { n, connection, message: Box::new(message) });
        }
        if connection == machine.line.connection && !machine.line.down.passes() {
            machine.line.down.stuck.push_back(message);
            return;
        }
        let open = machine.line.agent.is_some_and(|c| c == connection || hostile);
        if open && machine.line.down.cuts == 0 {
            machine.sim.receive(now, message);
            self.touch(n);
        }
    }

    /// Cuts ways for a while.
    pub(crate) fn cut(&mut self, n: usize, ways: &[To], time: Duration) {
        self.machines[n].disturbed(self.now);
        for way in ways {
            let wire = &mut self.machines[n].line;
            match way {
                To::Server => wire.up.cuts += 1,
                To::Agent => wire.down.cuts += 1,
            }
            self.later(time, Item::Mend(n, *way));
        }
        let connection = self.machines[n].line.connection;
        for end in [To::Server, To::Agent] {
            let after = self.patience();
            self.later(after, Item::GiveUp { n, connection, end });
        }
    }

    /// A way is open again, once for each cut. What waited comes after a moment.
    pub(crate) fn mend(&mut self, n: usize, way: To) {
        self.machines[n].disturbed(self.now);
        let wire = &mut self.machines[n].line;
        let cuts = match way {
            To::Server => &mut wire.up.cuts,
            To::Agent => &mut wire.down.cuts,
        };
        *cuts = cuts.saturating_sub(1);
        if *cuts == 0 {
            let connection = wire.connection;
            self.later(Duration::from_millis(5), Item::Flush { n, connection, to: way });
        }
    }

    /// What waited for the way to open arrives, in its order.
    pub(crate) fn flush(&mut self, n: usize, connection: u64, to: To) {
        let life = self.other_end(n).map_or(0, |s| s.life);
        let wire = &mut self.machines[n].line;
        if wire.connection != connection {
            return;
        }
        match to {
            To::Server if wire.up.cuts == 0 => {
                for message in std::mem::take(&mut wire.up.stuck) {
                    self.arrive(n, connection, life, message);
                }
            }
            To::Agent if wire.down.cuts == 0 => {
                for message in std::mem::take(&mut wire.down.stuck) {
                    self.down(n, connection, message);
                }
            }
            _ => {}
        }
    }

    /// An end that heard nothing for long gives the connection up, if it is cut by now.
    pub(crate) fn give_up(&mut self, n: usize, connection: u64, end: To) {
        if !self.machines[n].line.is_open() {
            self.see_the_end(n, connection, end);
        }
    }

    /// An end sees that the connection is over.
    pub(crate) fn see_the_end(&mut self, n: usize, connection: u64, end: To) {
        match end {
            To::Agent if self.machines[n].line.agent == Some(connection) => self.agent_closes(n, true),
            To::Agent => {}
            To::Server => {
                let node = self.machines[n].sim.name().clone();
                let Some(server) = self.other_end(n) else { return };
                // Another session of the node may have taken its place: that one stands.
                if server.lines.get(&n).is_none_or(|c| *c == connection) {
                    server.lines.remove(&n);
                    server.push(Event::Ended { node });
                }
            }
        }
    }

    /// The agent's end closes; `alive` if there is an agent to hear of it.
    pub(crate) fn agent_closes(&mut self, n: usize, alive: bool) {
        let now = self.now;
        let Some(connection) = self.machines[n].line.agent.take() else { return };
        self.tell(|| format!("n{n} closes {connection}"));
        let open = self.machines[n].line.is_open() && self.machines[n].powered;
        let after = if open { self.delay() } else { self.patience() };
        self.later(after, Item::Closed { n, connection, end: To::Server });
        let machine = &mut self.machines[n];
        if alive {
            machine.redial.ended(now.since(machine.line.opened));
            machine.sim.give(now, Input::SessionClosed);
            self.dial_later(n, Duration::ZERO);
            self.touch(n);
        }
    }

    /// The server's end closes.
    pub(crate) fn server_closes(&mut self, n: usize) {
        let Some(connection) = self.other_end(n).and_then(|s| s.lines.remove(&n)) else { return };
        let after = if self.machines[n].line.down.cuts == 0 { self.delay() } else { self.patience() };
        self.later(after, Item::Closed { n, connection, end: To::Agent });
    }

    /// Dials after the wait that the agent's rules give.
    pub(crate) fn dial_later(&mut self, n: usize, more: Duration) {
        let chance = self.rng.next_u64();
        let machine = &mut self.machines[n];
        if !std::mem::replace(&mut machine.dialing, true) {
            let wait = machine.redial.wait(chance) + more;
            self.later(wait, Item::Dial(n));
        }
    }

    pub(crate) fn dial(&mut self, n: usize) {
        let now = self.now;
        let machine = &mut self.machines[n];
        if machine.frozen > now {
            let at = machine.frozen;
            return self.at(at, Item::Dial(n));
        }
        machine.dialing = false;
        if machine.line.agent.is_some() || machine.sim.logic.is_none() || !machine.powered {
            return;
        }
        // The old server is met by those alone that have seen the new one.
        let knows = self.server.as_ref().is_some_and(|s| machine.sim.epoch() >= s.conductor.world().epoch);
        let rival = self.rival.is_some() && knows && self.rng.below(2) == 0;
        let up = if rival { self.rival.is_some() } else { self.server.is_some() };
        let machine = &mut self.machines[n];
        if !up || !machine.line.is_open() {
            machine.redial.failed();
            let more = if machine.line.is_open() { Duration::ZERO } else { DIAL_LIMIT };
            return self.dial_later(n, more);
        }
        let connection = machine.line.dial(now, rival);
        machine.redial.opened();
        self.tell(|| format!("n{n} dials: {connection}, rival {rival}"));
        let machine = &mut self.machines[n];
        let hello = machine.sim.open_session(now);
        if let Some(hello) = hello {
            self.send_up(n, ToServer::Hello(Box::new(hello)));
        }
        self.later(HEARTBEAT, Item::Heartbeat(n, connection));
        self.touch(n);
    }

    pub(crate) fn heartbeat(&mut self, n: usize, connection: u64) {
        if self.machines[n].line.agent != Some(connection) {
            return;
        }
        let frozen = self.machines[n].frozen;
        if frozen > self.now {
            return self.at(frozen, Item::Heartbeat(n, connection));
        }
        if let Some(message) = self.machines[n].sim.heartbeat() {
            self.send_up(n, message);
        }
        self.later(HEARTBEAT, Item::Heartbeat(n, connection));
    }
}
