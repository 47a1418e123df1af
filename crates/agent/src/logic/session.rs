//! The rules of a session: which server is obeyed, what a gap means, what absence stops, and what
//! is told again.
//!
//! - A server of a lower epoch than the highest that this agent saw gives no orders.
//! - Assignments of a session come numbered; the first is full; one that comes twice is nothing new;
//!   a gap asks for a new session. Those of another session are not this one's.
//! - A pod that a full assignment does not name is ended only if a server of this very epoch named
//!   it before, and is not recovering. So a new or restored store stops nothing by not knowing.
//! - Drifts are told again in the next session, unless the server said that it has them: nothing
//!   else repeats them. What else a session tells is in the next one's hello.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use evenkeel_model::{Time, Uid, net::NetworkUpdate};
use evenkeel_wire::{Assignment, ContainerDrift, Report, Stamp, ToAgent};

use super::{
    AgentLogic,
    command::Command,
    pod::{Mode, Pod},
    settings::{FULL_FIRST, FULL_LIMIT, MAX_DRIFTS, MAX_NETWORK_DRIFTS},
    shift::shift,
};

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Closed,
    /// Open; a full assignment is awaited until then.
    Fresh(Time),
    /// The last assignment had this number.
    At(u64),
    /// A new session was asked for: what still comes in this one does not count.
    Broken,
}

/// What an assignment is to a session.
enum Place {
    Next,
    /// It came before.
    Again,
    /// One before it did not come.
    Gap,
}

/// How far the node is with what the server numbers, and what was told of it.
#[derive(Debug, Default)]
struct Reached {
    number: Option<u64>,
    told: Option<u64>,
}

impl Reached {
    fn come_to(&mut self, number: u64) {
        self.number = self.number.max(Some(number));
    }

    fn is_news(&self) -> bool {
        self.number > self.told
    }

    /// What the server does not know yet.
    fn take(&mut self) -> Option<u64> {
        let news = self.number.filter(|_| self.is_news());
        self.told = self.number;
        news
    }
}

/// The session with the server.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: State,
    /// The last report's place.
    told: Stamp,
    /// The server's question that the next report answers.
    roll_call: Option<Time>,
    /// The highest network update of this session that the kernel follows.
    network: Reached,
    /// The highest update of Ingresses of this session that is served.
    ingresses: Reached,
    /// What others did to the node's network, to be told; the newest [`MAX_NETWORK_DRIFTS`].
    network_drifts: VecDeque<String>,
    /// Drifts of this session's reports that the server has not said to have, at most
    /// [`MAX_DRIFTS`], oldest first.
    unheard: VecDeque<(u64, ContainerDrift)>,
    /// What was said of the network before the first assignment.
    early: Option<Arc<NetworkUpdate>>,
    /// The last wait for a first assignment that did not come; zero after one that did.
    waited: Duration,
}

impl Session {
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Begins. Gives the drifts that the sessions before it may not have told.
    fn open(&mut self, now: Time, last: u64) -> Vec<ContainerDrift> {
        // Above those of an earlier life of this agent, too, as far as clock and disk can tell.
        let number = u64::try_from(now.0).unwrap_or(0).max(last + 1);
        self.told = Stamp { session: number, seq: 0 };
        self.roll_call = None;
        (self.network, self.ingresses) = Default::default();
        self.early = None;
        self.state = State::Fresh(now + self.patience());
        std::mem::take(&mut self.unheard).into_iter().map(|(_, drift)| drift).collect()
    }

    /// How long the first assignment of a session is waited for.
    fn patience(&self) -> Duration {
        (self.waited * 2).clamp(FULL_FIRST, FULL_LIMIT)
    }

    pub(super) fn number(&self) -> u64 {
        self.told.session
    }

    /// The place of a report that is sent now.
    pub(super) fn tell(&mut self, report: &Report) -> Stamp {
        if !report.is_heartbeat() {
            self.told.seq += 1;
            let seq = self.told.seq;
            self.unheard.extend(report.drifts.iter().map(|d| (seq, d.clone())));
            let surplus = self.unheard.len().saturating_sub(MAX_DRIFTS);
            self.unheard.drain(..surplus);
        }
        self.told
    }

    /// The server's question that is open, answered by what is said next.
    pub(super) fn take_roll_call(&mut self) -> Option<Time> {
        self.roll_call.take()
    }

    pub(super) fn network_applied(&mut self, number: u64) {
        self.network.come_to(number);
    }

    /// The network that the kernel follows, where the server does not know of it.
    pub(super) fn take_network(&mut self) -> Option<u64> {
        self.network.take()
    }

    /// An older server numbers none of these, and takes a report with nothing else for a heartbeat, which
    /// has another place in the session: it would end it.
    pub(super) fn ingresses_served(&mut self, number: u64) {
        if number != 0 {
            self.ingresses.come_to(number);
        }
    }

    /// The Ingresses that are served, where the server does not know of it.
    pub(super) fn take_ingresses(&mut self) -> Option<u64> {
        self.ingresses.take()
    }

    /// The last assignment that was taken.
    pub(super) fn assigned(&self) -> Option<u64> {
        if let State::At(seq) = self.state { Some(seq) } else { None }
    }

    pub(super) fn network_drifted(&mut self, message: String) {
        self.network_drifts.push_back(message);
        let surplus = self.network_drifts.len().saturating_sub(MAX_NETWORK_DRIFTS);
        self.network_drifts.drain(..surplus);
    }

    /// What others did to the network since the last report. One that does not arrive is told no more:
    /// it was put right before.
    pub(super) fn take_network_drifts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.network_drifts).into()
    }

    /// Whether the server waits for a word: its question is open, or the node has come further with what it
    /// said; or there is one for it.
    pub(super) fn has_news(&self) -> bool {
        let further = self.network.is_news() || self.ingresses.is_news();
        self.roll_call.is_some() || further || !self.network_drifts.is_empty()
    }

    /// The server has what was told up to here.
    fn heard(&mut self, stamp: Stamp) {
        if stamp.session == self.told.session {
            self.unheard.retain(|(seq, _)| *seq > stamp.seq);
        }
    }

    fn place(&self, assignment: &Assignment) -> Place {
        match self.state {
            State::Fresh(_) if assignment.full => Place::Next,
            State::At(seq) if assignment.seq <= seq => Place::Again,
            State::At(seq) if assignment.full || assignment.seq == seq + 1 => Place::Next,
            _ => Place::Gap,
        }
    }

    /// Whether the server is obeyed.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state, State::At(_))
    }

    fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh(_))
    }

    /// When the wait for the first assignment ends.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Fresh(until) => Some(until),
            _ => None,
        }
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        if let State::Fresh(until) = &mut self.state {
            shift(until, millis);
        }
    }

    fn give_up(&mut self, reason: String) -> Command {
        self.state = State::Broken;
        Command::Reconnect { reason }
    }
}

impl AgentLogic {
    pub(super) fn session_opened(&mut self, now: Time) {
        let untold = self.session.open(now, self.record.session);
        (self.record.session, self.record_dirty) = (self.session.number(), true);
        self.drifts.give_back(untold);
        self.outbox.forget_told();
        self.tell_node();
    }

    /// A server that took the session and says nothing is left.
    pub(super) fn watch_session(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.session.deadline().is_some_and(|at| at <= now) {
            self.session.waited = self.session.patience();
            out.push(self.session.give_up("the server has not said what to run".into()));
        }
    }

    pub(super) fn server(&mut self, now: Time, message: ToAgent, out: &mut Vec<Command>) {
        match message {
            ToAgent::Assign(assignment) => self.assigned(now, &assignment, out),
            ToAgent::Sources(sources) => {
                if *self.record.sources != *sources {
                    self.record.sources = sources.to_vec();
                    self.record_dirty = true;
                }
            }
            ToAgent::HealDrift { pod, container, heal } => {
                if heal {
                    self.with_pod(pod, now, out, |pod, cx| pod.heal(container.as_deref(), cx));
                }
            }
            ToAgent::RollCall { at } => self.session.roll_call = Some(at),
            ToAgent::Heard(stamp) => self.session.heard(stamp),
            ToAgent::Network(update) if update.session == self.session.number() && self.session.is_fresh() => {
                // What isolates pods comes before them. Whether it counts, the assignment says.
                self.session.early = Some(update);
            }
            message @ (ToAgent::Network(_) | ToAgent::Ingresses(_)) => {
                // The first assignment comes before them and tells whether this server is obeyed.
                if self.session.is_at_work() {
                    out.extend(self.network(message).ok().flatten());
                }
            }
        }
    }

    /// Takes what is said of the network and of Ingresses in a session that is obeyed; gives back what is
    /// neither.
    pub(super) fn network(&mut self, message: ToAgent) -> Result<Option<Command>, ToAgent> {
        let own = self.session.number();
        match message {
            ToAgent::Network(update) if update.session == own => {
                self.note_range(&update);
                Ok(Some(Command::Network(update)))
            }
            ToAgent::Ingresses(update) if update.session == own => Ok(Some(Command::Ingresses(update))),
            ToAgent::Network(_) | ToAgent::Ingresses(_) => Ok(None),
            other => Err(other),
        }
    }

    /// Keeps the node's own range, for a server that lost its database.
    fn note_range(&mut self, update: &NetworkUpdate) {
        let own = update.nodes.iter().find(|n| n.name == self.config.node).and_then(|n| n.pod_cidr);
        if own.is_some() && own != self.record.pod_cidr {
            (self.record.pod_cidr, self.record_dirty) = (own, true);
            self.tell_node();
        }
    }

    fn assigned(&mut self, now: Time, assignment: &Assignment, out: &mut Vec<Command>) {
        if matches!(self.session.state, State::Closed | State::Broken) || assignment.session != self.session.number() {
            return;
        }
        if assignment.epoch < self.record.epoch {
            out.push(self.session.give_up(format!(
                "the server's epoch {} is older than {}, which this agent has seen: it is refused",
                assignment.epoch, self.record.epoch
            )));
            return;
        }
        match self.session.place(assignment) {
            Place::Next => {
                self.session.state = State::At(assignment.seq);
                self.session.waited = Duration::ZERO;
                out.extend(self.session.early.take().map(Command::Network));
            }
            Place::Again => return,
            Place::Gap => {
                let reason = format!("assignment {} does not follow the last one", assignment.seq);
                return out.push(self.session.give_up(reason));
            }
        }
        if assignment.epoch > self.record.epoch {
            self.record.epoch = assignment.epoch;
            self.record_dirty = true;
        }
        if let Some(keep) = &assignment.keep_images {
            out.push(Command::KeepImages(keep.clone()));
        }
        for order in &assignment.pods {
            if let Some(pod) = self.pods.get(&order.uid) {
                // The same or an older version has nothing new to say.
                if order.version < pod.order.version && pod.epoch == assignment.epoch {
                    continue;
                }
                let epoch = assignment.epoch;
                self.with_pod(order.uid, now, out, |pod, cx| pod.update(order.clone(), epoch, cx));
            } else {
                self.pods.insert(order.uid, Pod::new(order.clone(), assignment.epoch, now));
                self.touched.insert(order.uid);
                if self.compared && !self.lost {
                    self.adopt_or_begin(now, order.uid);
                }
            }
        }
        self.end_absent(now, assignment, out);
    }

    /// A pod that is new to the agent begins at once, unless the runtime may have something of it:
    /// then the next comparison decides, and it is asked for now.
    fn adopt_or_begin(&mut self, now: Time, uid: Uid) {
        if self.strays.contains(&uid) {
            self.next_list = now;
        } else if let Some(pod) = self.pods.get_mut(&uid) {
            pod.adopted = true;
        }
    }

    fn end_absent(&mut self, now: Time, assignment: &Assignment, out: &mut Vec<Command>) {
        for uid in &assignment.forget {
            self.end(now, *uid, out);
        }
        if !assignment.full || assignment.recovering {
            return;
        }
        let absent: Vec<Uid> = self
            .pods
            .iter()
            .filter(|(uid, pod)| pod.epoch == assignment.epoch && !assignment.pods.iter().any(|o| o.uid == **uid))
            .map(|(uid, _)| *uid)
            .collect();
        for uid in absent {
            self.end(now, uid, out);
        }
    }

    /// The object of a pod is gone: so shall be the pod, and then all memory of it.
    fn end(&mut self, now: Time, uid: Uid, out: &mut Vec<Command>) {
        let Some(pod) = self.pods.get_mut(&uid) else { return };
        if pod.mode == Mode::Gone {
            self.pods.remove(&uid);
            self.outbox.drop_pod(uid);
            out.push(Command::Forget(uid));
            return;
        }
        pod.forgotten = true;
        let grace: Duration = pod.grace();
        pod.delete(now + grace);
        self.touched.insert(uid);
    }

    /// Lets go of pods whose object is gone once nothing of them is left.
    pub(super) fn drop_forgotten(&mut self, out: &mut Vec<Command>) {
        let over: Vec<Uid> =
            self.pods.iter().filter(|(_, p)| p.forgotten && p.mode == Mode::Gone).map(|(uid, _)| *uid).collect();
        for uid in over {
            self.pods.remove(&uid);
            self.outbox.drop_pod(uid);
            out.push(Command::Forget(uid));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_wire::{DriftAction, ToServer};
    use serde_json::Value;

    use super::*;
    use crate::logic::{
        command::Input,
        settings::{Config, Settings},
    };

    const T0: Time = Time(1_000_000);

    fn agent() -> AgentLogic {
        let (node, cluster) = ("n1".into(), "c".into());
        let mut logic = AgentLogic::new(Config { node, cluster, node_ip: None, settings: Settings::default() });
        logic.step(T0, Input::Restored(Box::default()));
        logic
    }

    fn assignment(logic: &AgentLogic, seq: u64, full: bool) -> Assignment {
        let session = logic.session.number();
        let (pods, forget) = (Vec::new(), Vec::new());
        Assignment { epoch: 1, session, seq, full, pods, forget, keep_images: None, recovering: false }
    }

    /// Whether the agent asks for a new session.
    fn breaks(logic: &mut AgentLogic, now: Time, assignment: Assignment) -> bool {
        let commands = logic.step(now, Input::Server(ToAgent::Assign(Arc::new(assignment))));
        commands.iter().any(|c| matches!(c, Command::Reconnect { .. }))
    }

    fn told(message: ToServer) -> (Stamp, usize) {
        match message {
            ToServer::Report { stamp, report } => (stamp, report.drifts.len()),
            ToServer::Hello(hello) => panic!("{hello:?}"),
        }
    }

    #[test]
    fn what_comes_twice_or_is_of_another_session_changes_nothing() {
        let mut logic = agent();
        logic.step(T0, Input::SessionOpened);
        let old = assignment(&logic, 1, true);
        logic.step(T0, Input::SessionClosed);
        logic.step(T0, Input::SessionOpened);
        assert_ne!(logic.session.number(), old.session, "also at the same time");
        assert!(!breaks(&mut logic, T0, Assignment { seq: 2, full: false, ..old.clone() }));
        assert!(!breaks(&mut logic, T0, old));
        assert!(matches!(logic.session.state, State::Fresh(_)));
        for (seq, full) in [(1, true), (2, false), (3, false), (3, false), (2, false), (1, true)] {
            let next = assignment(&logic, seq, full);
            assert!(!breaks(&mut logic, T0, next));
        }
        assert_eq!(logic.session.state, State::At(3));
        let jump = assignment(&logic, 7, true);
        assert!(!breaks(&mut logic, T0, jump), "a full one says all that a gap may have held");
        let gap = assignment(&logic, 9, false);
        assert!(breaks(&mut logic, T0, gap));
        let late = assignment(&logic, 8, false);
        assert!(!breaks(&mut logic, T0, late));
        assert_eq!(logic.session.state, State::Broken);
    }

    #[test]
    fn a_first_assignment_that_does_not_come_asks_for_a_new_session() {
        let mut logic = agent();
        logic.step(T0, Input::SessionOpened);
        let second = assignment(&logic, 2, false);
        assert!(breaks(&mut logic, T0, second));
        // A server that says nothing is given ever more time, until it has said something.
        let (mut now, seconds) = (T0, Duration::from_secs);
        for wait in [10, 20, 40, 60, 60].map(seconds) {
            logic.step(now, Input::SessionOpened);
            assert!(logic.next_wake().is_some_and(|at| at <= now + wait));
            assert!(logic.poll(now + wait.saturating_sub(Duration::from_millis(1))).is_empty());
            now = now + wait;
            assert!(logic.poll(now).iter().any(|c| matches!(c, Command::Reconnect { .. })), "{wait:?}");
            now = now + FULL_LIMIT;
            assert!(logic.poll(now).is_empty(), "asked for once");
        }
        logic.step(now, Input::SessionOpened);
        let first = assignment(&logic, 1, true);
        assert!(!breaks(&mut logic, now, first));
        logic.step(now, Input::SessionOpened);
        assert!(!logic.poll(now + FULL_FIRST).is_empty());
    }

    #[test]
    fn drifts_are_told_again_until_the_server_has_them() {
        let mut logic = agent();
        let settings = Settings::default();
        logic.step(T0, Input::SessionOpened);
        logic.drifts.record(T0, crate::logic::OpId(0), &settings, drift_of(1));
        let (first, drifts) = told(logic.next_message());
        assert_eq!((first.seq, drifts), (1, 1));
        assert_eq!(told(logic.next_message()), (first, 0), "a heartbeat has no number of its own");
        logic.drifts.record(T0, crate::logic::OpId(0), &settings, drift_of(2));
        assert_eq!(told(logic.next_message()).0.seq, 2);
        logic.step(T0, Input::Server(ToAgent::Heard(first)));
        logic.step(T0, Input::SessionClosed);
        logic.step(T0, Input::SessionOpened);
        // What another session heard is not what this one told.
        logic.step(T0, Input::Server(ToAgent::Heard(Stamp { seq: 9, ..first })));
        let ToServer::Report { stamp, report } = logic.next_message() else { panic!("no report") };
        assert_eq!(report.drifts.iter().map(|d| d.pod).collect::<Vec<_>>(), [Uid(2)]);
        logic.step(T0, Input::Server(ToAgent::Heard(stamp)));
        logic.step(T0, Input::SessionOpened);
        assert_eq!(told(logic.next_message()).1, 0);
    }

    #[test]
    fn what_a_deaf_server_is_owed_stays_bounded() {
        let mut session = Session::default();
        session.open(T0, 0);
        let many = Report { drifts: vec![drift_of(3); MAX_DRIFTS], ..Report::default() };
        session.tell(&many);
        session.tell(&Report { drifts: vec![drift_of(4)], ..Report::default() });
        let owed = session.open(T0, 0);
        assert_eq!((owed.len(), owed.last().map(|d| d.pod)), (MAX_DRIFTS, Some(Uid(4))));
    }

    #[test]
    fn drifts_of_the_network_wait_for_a_session_and_are_bounded() {
        let mut logic = agent();
        for n in 0..MAX_NETWORK_DRIFTS + 3 {
            logic.step(T0, Input::NetworkDrift { message: format!("flush {n}") });
        }
        logic.step(T0, Input::SessionOpened);
        let first = assignment(&logic, 1, true);
        assert!(!breaks(&mut logic, T0, first));
        assert!(logic.has_report());
        let ToServer::Report { report, .. } = logic.next_message() else { panic!("no report") };
        assert_eq!(report.network_drifts.len(), MAX_NETWORK_DRIFTS);
        assert_eq!(report.network_drifts.last().unwrap(), &format!("flush {}", MAX_NETWORK_DRIFTS + 2));
        let ToServer::Report { report, .. } = logic.next_message() else { panic!("no report") };
        assert!(report.network_drifts.is_empty() && !logic.has_report(), "told once");
    }

    #[test]
    fn a_network_is_of_this_session_and_its_place_is_told_once() {
        let mut logic = agent();
        logic.step(T0, Input::SessionOpened);
        let update = |session| {
            let (nodes, gone_nodes, services, gone_services) = Default::default();
            let settings = None;
            Arc::new(NetworkUpdate {
                session,
                number: 7,
                full: true,
                settings,
                nodes,
                gone_nodes,
                services,
                gone_services,
                ..NetworkUpdate::default()
            })
        };
        let taken = |logic: &mut AgentLogic, session| {
            let out = logic.step(T0, Input::Server(ToAgent::Network(update(session))));
            out.iter().any(|c| matches!(c, Command::Network(_)))
        };
        let this = logic.session.number();
        assert!(!taken(&mut logic, this), "nobody knows yet whether this server is obeyed");
        let first = ToAgent::Assign(Arc::new(assignment(&logic, 1, true)));
        let out = logic.step(T0, Input::Server(first));
        let early = out.iter().position(|c| matches!(c, Command::Network(_)));
        let begun = out.iter().position(|c| matches!(c, Command::Run { .. } | Command::List { .. }));
        assert!(early.is_some() && begun.is_none_or(|b| early < Some(b)), "what came early is before pods: {out:?}");
        assert!(taken(&mut logic, this) && !taken(&mut logic, this - 1));
        logic.next_message();
        for (applied, said) in [(7, Some(7)), (7, None), (6, None), (9, Some(9))] {
            logic.step(T0, Input::NetworkApplied { number: applied });
            assert_eq!(logic.has_report(), said.is_some());
            let ToServer::Report { report, .. } = logic.next_message() else { panic!("no report") };
            assert_eq!(report.network, said);
        }
    }

    #[test]
    fn what_is_served_is_told_once_a_session_and_not_to_a_server_that_numbers_nothing() {
        let mut logic = agent();
        let told = |logic: &mut AgentLogic, served: Option<u64>| {
            if let Some(number) = served {
                logic.step(T0, Input::IngressesServed { number });
            }
            let news = logic.has_report();
            let ToServer::Report { report, .. } = logic.next_message() else { panic!("no report") };
            assert_eq!(news, report.ingresses.is_some());
            report.ingresses
        };
        for _ in 0..2 {
            logic.step(T0, Input::SessionOpened);
            let first = assignment(&logic, 1, true);
            assert!(!breaks(&mut logic, T0, first));
            logic.next_message();
            assert_eq!(told(&mut logic, Some(0)), None);
            for (served, said) in [(7, Some(7)), (7, None), (6, None), (9, Some(9))] {
                assert_eq!(told(&mut logic, Some(served)), said);
            }
            assert_eq!(told(&mut logic, None), None);
        }
    }

    fn drift_of(n: u128) -> ContainerDrift {
        let (namespace, name) = ("shop".into(), "web".into());
        let (desired, live) = (Value::Null, Value::Null);
        let action = DriftAction::Paused;
        ContainerDrift { pod: Uid(n), namespace, name, container: None, action, desired, live, healed: false }
    }
}
