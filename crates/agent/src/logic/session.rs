//! The rules of a session: which server is obeyed, what a gap means, what absence stops.
//!
//! - A server of a lower epoch than the highest that this agent saw gives no orders.
//! - Assignments of a session come numbered; the first is full; a gap asks for a new session.
//! - A pod that a full assignment does not name is ended only if a server of this very epoch named
//!   it before, and is not recovering. So a new or restored store stops nothing by not knowing.

use std::time::Duration;

use evenkeel_model::{Time, Uid};
use evenkeel_wire::{Assignment, ToAgent};

use super::{
    AgentLogic,
    command::Command,
    pod::{Mode, Pod},
};

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Session {
    #[default]
    Closed,
    /// Open; a full assignment is awaited.
    Fresh,
    /// The last assignment had this number.
    At(u64),
    /// A new session was asked for: what still comes in this one does not count.
    Broken,
}

impl Session {
    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }

    /// Whether this number continues the session.
    fn accepts(self, assignment: &Assignment) -> bool {
        match self {
            Self::Fresh => assignment.full,
            Self::At(seq) => assignment.full || assignment.seq == seq + 1,
            Self::Closed | Self::Broken => false,
        }
    }
}

impl AgentLogic {
    pub(super) fn session_opened(&mut self) {
        self.session = Session::Fresh;
        self.outbox.forget_told();
        self.tell_node();
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
        }
    }

    fn assigned(&mut self, now: Time, assignment: &Assignment, out: &mut Vec<Command>) {
        if matches!(self.session, Session::Closed | Session::Broken) {
            return;
        }
        if assignment.epoch < self.record.epoch {
            self.session = Session::Broken;
            out.push(Command::Reconnect {
                reason: format!(
                    "the server's epoch {} is older than {}, which this agent has seen: it is refused",
                    assignment.epoch, self.record.epoch
                ),
            });
            return;
        }
        if !self.session.accepts(assignment) {
            if self.session != Session::At(assignment.seq) {
                self.session = Session::Broken;
                out.push(Command::Reconnect {
                    reason: format!("assignment {} does not follow the last one", assignment.seq),
                });
            }
            return;
        }
        self.session = Session::At(assignment.seq);
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
