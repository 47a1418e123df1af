//! The order of an ending: a pod that stands behind a Service gets its SIGTERM only after every node
//! has stopped sending new connections to it.
//!
//! Its node hears of the deletion when all agents in session have said that their kernel follows the
//! network without it ([`Report::network`](evenkeel_model::session::Report::network)), or after
//! [`PATIENCE`]: an agent that hangs holds no rollout up. Kubernetes has no such order, which is why
//! programs there sleep in `preStop`. Deliberately not here: who stands behind a Service (core's
//! `endpoints`), and how nodes are told (`network`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_core::World;
use evenkeel_model::{Key, Kind, Object, Time, Uid};

use crate::network::Network;

/// Longest wait for agents.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Pods that are to end. Each step asks for those that are held: they are few, and none most of the time.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// Those whose nodes do not know of it yet.
    held: BTreeMap<Uid, Held>,
    /// Those whose nodes were told, and must not hear anything else.
    told: BTreeSet<Uid>,
}

#[derive(Debug)]
struct Held {
    node: Arc<str>,
    key: Key,
    until: Time,
    /// The network that every agent must follow; `None` until there is one without the pod.
    after: Option<u64>,
}

impl Endings {
    /// For a world that was loaded: what was asked for before a restart is not held again.
    pub(crate) fn of(world: &World) -> Self {
        let ending = world.list(Kind::Pod, "").filter(|pod| pod.meta.deletion.is_some());
        Self { held: BTreeMap::new(), told: ending.map(|pod| pod.uid).collect() }
    }

    /// Whether the pod's node is not to hear of its deletion yet.
    pub(crate) fn holds(&mut self, world: &World, network: &Network, pod: &Object, now: Time) -> bool {
        let Some(deletion) = pod.meta.deletion else { return false };
        let Some(node) = &pod.node else { return false };
        if self.told.contains(&pod.uid) {
            return false;
        }
        // By force it goes at once, also when that comes later.
        let waits = deletion.grace_seconds > 0
            && (self.held.contains_key(&pod.uid) || network.leads_to(world, &pod.key) && world.recovering.is_none());
        if !waits {
            self.held.remove(&pod.uid);
            self.told.insert(pod.uid);
            return false;
        }
        let fresh = || Held { node: node.clone(), key: pod.key.clone(), until: now + PATIENCE, after: None };
        self.held.entry(pod.uid).or_insert_with(fresh);
        true
    }

    /// A pod is gone.
    pub(crate) fn forget(&mut self, pod: Uid) {
        self.held.remove(&pod);
        self.told.remove(&pod);
    }

    /// The pods whose nodes are to hear of their deletion now: `followed` gives the network that all
    /// agents follow, `None` where one said nothing yet; it is asked only where a pod is held.
    pub(crate) fn due(
        &mut self,
        world: &World,
        network: &Network,
        followed: impl FnOnce() -> Option<u64>,
        now: Time,
    ) -> Vec<(Arc<str>, Key)> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let followed = followed();
        let mut due = Vec::new();
        let told = &mut self.told;
        self.held.retain(|uid, held| {
            if held.after.is_none() && !network.leads_to(world, &held.key) {
                held.after = Some(network.last());
            }
            let followed = held.after.zip(followed).is_some_and(|(after, all)| all >= after);
            let waits = held.until > now && !followed;
            if !waits {
                due.push((held.node.clone(), held.key.clone()));
                told.insert(*uid);
            }
            waits
        });
        due
    }

    /// When the next one is told in any case.
    pub(crate) fn next(&self) -> Option<Time> {
        self.held.values().map(|held| held.until).min()
    }
}
