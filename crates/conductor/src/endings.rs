//! The order of an ending: a pod that stands behind a Service gets its SIGTERM only after every node
//! has stopped sending new connections to it.
//!
//! Its node hears of the deletion when all agents in session have said that their kernel follows the
//! network without it ([`Report::network`](evenkeel_model::session::Report::network)), or after
//! [`PATIENCE`]: an agent that hangs holds no rollout up. Kubernetes has no such order, which is why
//! programs there sleep in `preStop`. Deliberately not here: who stands behind a Service (core's
//! `endpoints`), and how nodes are told (`network`).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use evenkeel_core::World;
use evenkeel_model::{Key, Kind, Object, Time, Uid};

use crate::network::Network;

/// Longest wait for agents.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Pods that are to end.
#[derive(Debug, Default)]
pub(crate) struct Endings(BTreeMap<Uid, Ending>);

#[derive(Debug)]
enum Ending {
    /// Its node does not know of it yet.
    Held {
        node: Arc<str>,
        key: Key,
        until: Time,
        /// The network that every agent must follow; `None` until there is one without the pod.
        after: Option<u64>,
    },
    /// Its node was told, and must not hear anything else.
    Told,
}

impl Endings {
    /// For a world that was loaded: what was asked for before a restart is not held again.
    pub(crate) fn of(world: &World) -> Self {
        let ending = world.list(Kind::Pod, "").filter(|pod| pod.meta.deletion.is_some());
        Self(ending.map(|pod| (pod.uid, Ending::Told)).collect())
    }

    /// Whether the pod's node is not to hear of its deletion yet.
    pub(crate) fn holds(&mut self, world: &World, network: &Network, pod: &Object, now: Time) -> bool {
        let Some(deletion) = pod.meta.deletion else { return false };
        let Some(node) = &pod.node else { return false };
        match self.0.entry(pod.uid) {
            Entry::Occupied(mut known) => {
                // By force it goes at once, also when that comes later.
                if deletion.grace_seconds == 0 {
                    known.insert(Ending::Told);
                }
                matches!(known.get(), Ending::Held { .. })
            }
            Entry::Vacant(new) => {
                let key = &pod.key;
                let held = network.leads_to(world, key) && deletion.grace_seconds > 0 && world.recovering.is_none();
                new.insert(if held {
                    Ending::Held { node: node.clone(), key: key.clone(), until: now + PATIENCE, after: None }
                } else {
                    Ending::Told
                });
                held
            }
        }
    }

    /// A pod is gone.
    pub(crate) fn forget(&mut self, pod: Uid) {
        self.0.remove(&pod);
    }

    /// The pods whose nodes are to hear of their deletion now: `followed` is the network that all
    /// agents follow, `None` where one said nothing yet.
    pub(crate) fn due(
        &mut self,
        world: &World,
        network: &Network,
        followed: Option<u64>,
        now: Time,
    ) -> Vec<(Arc<str>, Key)> {
        let mut due = Vec::new();
        for ending in self.0.values_mut() {
            let Ending::Held { node, key, until, after } = ending else { continue };
            if after.is_none() && !network.leads_to(world, key) {
                *after = Some(network.last());
            }
            if *until <= now || after.is_some_and(|after| followed.is_some_and(|f| f >= after)) {
                due.push((node.clone(), key.clone()));
                *ending = Ending::Told;
            }
        }
        due
    }

    /// When the next one is told in any case.
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.values().filter_map(|e| if let Ending::Held { until, .. } = e { Some(*until) } else { None }).min()
    }
}
