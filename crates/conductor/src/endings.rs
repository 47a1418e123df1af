//! The order of an ending: a pod that stands behind a Service gets its SIGTERM only after every node
//! has stopped sending new connections to it.
//!
//! Its node hears of the deletion when all nodes that are not silent have said that their kernel follows
//! the network without it ([`Report::network`](evenkeel_model::session::Report::network)), or after
//! [`PATIENCE`] of time in which the server runs: an agent that hangs, or is gone for a moment while its
//! kernel works on, holds no rollout up. After the server's start nothing is known of what kernels follow,
//! and agents come back by and by: for [`RECONNECT`] they are waited for. Kubernetes has no such order, which
//! is why programs there sleep in `preStop`. Deliberately not here: who stands behind a Service (core's
//! `endpoints`), and how nodes are told (`network`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_core::World;
use evenkeel_model::{Key, Object, Time, Uid};

use crate::network::Network;

/// Longest wait for agents: a busy machine takes seconds now and then, and a hung one is worth no more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of the time between two steps no more counts as waited: what the first one said left the server when it
/// was on disk, and agents cannot follow what they have not heard.
const STEP: Duration = Duration::from_secs(1);
/// Within so long after its start a server has all agents back: the longest that one waits before it
/// dials again, and the time to say what there is.
const RECONNECT: Duration = Duration::from_secs(20);

/// Pods that are to end. Each step asks for those that are held: they are few, and none most of the time.
#[derive(Debug)]
pub(crate) struct Endings {
    /// Until then agents come back to this server.
    returning: Time,
    /// How long agents were waited for in all, and the last step that counts.
    waited: Duration,
    at: Time,
    /// Those whose nodes do not know of it yet.
    held: BTreeMap<Uid, Held>,
    /// Those whose nodes were told, and must not hear anything else.
    told: BTreeSet<Uid>,
}

#[derive(Debug)]
struct Held {
    node: Arc<str>,
    key: Key,
    /// The wait is over when this was waited in all.
    until: Duration,
    /// The network that every agent must follow; `None` until there is one without the pod.
    after: Option<u64>,
}

/// A pod whose node is to hear of its deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) node: Arc<str>,
    pub(crate) pod: Key,
    /// The network without the pod; `None` where there is none yet.
    pub(crate) after: Option<u64>,
    /// Whether the wait was over before all kernels were known to follow it.
    pub(crate) is_late: bool,
}

/// Whether a Service selects a pod.
fn is_of_service(world: &World, pod: &Object) -> bool {
    world.services.selecting(&pod.key.namespace, &pod.meta.labels).next().is_some()
}

impl Endings {
    /// For a server that starts now.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            returning: now + RECONNECT,
            waited: Duration::ZERO,
            at: now,
            held: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// The server did not run for a while: sessions may have ended, and agents come back.
    pub(crate) fn unwatched(&mut self, now: Time) {
        self.returning = now + RECONNECT;
        for held in self.held.values_mut() {
            held.until = self.waited + PATIENCE;
        }
    }

    /// Whether the pod's node is not to hear of its deletion yet. `begins`: a session just began, and its
    /// node's kernel follows what it heard last, whenever that was.
    pub(crate) fn holds(
        &mut self,
        world: &World,
        network: &Network,
        pod: &Object,
        (begins, now): (bool, Time),
    ) -> bool {
        let Some(deletion) = pod.meta.deletion else { return false };
        let Some(node) = &pod.node else { return false };
        if self.told.contains(&pod.uid) {
            return false;
        }
        // By force it goes at once, also when that comes later.
        let led = || {
            // What kernels were told before this server started, they may follow still.
            let returning = (begins || now < self.returning) && is_of_service(world, pod);
            (returning || network.leads_to(world, &pod.key)) && world.recovering.is_none()
        };
        let waits = deletion.grace_seconds > 0 && (self.held.contains_key(&pod.uid) || led());
        if !waits {
            self.held.remove(&pod.uid);
            self.told.insert(pod.uid);
            return false;
        }
        let until = self.waited + PATIENCE;
        let fresh = || Held { node: node.clone(), key: pod.key.clone(), until, after: None };
        self.held.entry(pod.uid).or_insert_with(fresh);
        true
    }

    /// A pod is gone, or is to end no more: its node came back. Should it end later, that is another ending.
    pub(crate) fn forget(&mut self, pod: Uid) {
        self.held.remove(&pod);
        self.told.remove(&pod);
    }

    /// The pods that are to end now. `followed` is asked only where a pod is held: the network that the kernels of
    /// all nodes follow that are not silent, `None` where one has not said yet what it follows. It may have no
    /// session, and its kernel works on, or have just begun one.
    pub(crate) fn due(
        &mut self,
        world: &World,
        network: &Network,
        followed: impl FnOnce() -> Option<u64>,
        now: Time,
    ) -> Vec<Due> {
        self.waited += now.since(self.at).min(STEP);
        self.at = now;
        if self.held.is_empty() || !network.is_told() {
            return Vec::new();
        }
        let followed = followed();
        let mut due = Vec::new();
        let (told, waited) = (&mut self.told, self.waited);
        let returns = followed.is_none() && self.returning > now;
        self.held.retain(|uid, held| {
            if held.after.is_none() && !network.leads_to(world, &held.key) {
                held.after = Some(network.last());
                held.until = waited + PATIENCE;
            }
            let followed = held.after.zip(followed).is_some_and(|(after, all)| all >= after);
            let waits = (held.until > waited || returns) && !followed;
            if !waits {
                let (node, pod) = (held.node.clone(), held.key.clone());
                due.push(Due { node, pod, after: held.after, is_late: !followed });
                told.insert(*uid);
            }
            waits
        });
        due
    }

    /// When they are to be looked at again, whatever happens.
    pub(crate) fn next(&self) -> Option<Time> {
        let wait = |held: &Held| match held.until.saturating_sub(self.waited) {
            // One whose agent may come back.
            Duration::ZERO => self.returning.max(self.at),
            rest => self.at + rest.min(STEP),
        };
        self.held.values().map(wait).min()
    }
}
