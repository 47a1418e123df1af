//! What a world is made of, by its seed: how many nodes and of what kind, how many sources, how big
//! their workloads, how faithful the network, for how long things go wrong.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_model::Rng;
use evenkeel_wire::{NodeReport, NodeTaint, TaintEffect};

/// A world's measures.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) nodes: u64,
    pub(crate) sources: u64,
    /// Most replicas of one Deployment.
    pub(crate) replicas: u64,
    /// Whether messages are lost, doubled and reordered inside of a session, which a TLS stream does
    /// not do, and those of an older session come late.
    pub(crate) hostile: bool,
    /// How long things go wrong.
    pub(crate) chaos: Duration,
    /// Faults in that time, beside commits.
    pub(crate) faults: u64,
    /// How long a pod stays on a node that is lost.
    pub(crate) toleration: Duration,
    /// The whole state is audited at each step that changed something; else what a step touched, and
    /// everything at each [`WHOLE`]th.
    pub(crate) whole: bool,
}

/// In a large world everything is audited at each such step.
pub(crate) const WHOLE: u64 = 100;

impl Shape {
    /// Up to 10 nodes and 100 pods.
    pub(crate) fn small(rng: &mut Rng) -> Self {
        let big = rng.below(24) == 0;
        let long = rng.below(6) == 0;
        Self {
            nodes: 1 + if big { 5 + rng.below(5) } else { rng.below(5) },
            sources: 1 + u64::from(rng.below(4) == 0),
            replicas: if big { 24 } else { 4 },
            hostile: rng.below(4) == 0,
            chaos: Duration::from_secs(if long { 900 } else { 120 + rng.below(120) }),
            faults: 2 + rng.below(if long { 20 } else { 9 }),
            toleration: Duration::from_secs([20, 60, 300][usize::try_from(rng.below(3)).unwrap()]),
            whole: true,
        }
    }

    /// From 100 nodes up.
    pub(crate) fn large(rng: &mut Rng, nodes: u64) -> Self {
        Self {
            nodes,
            sources: 2,
            replicas: nodes,
            hostile: false,
            chaos: Duration::from_secs(200),
            faults: 6 + rng.below(6),
            toleration: Duration::from_mins(1),
            whole: false,
        }
    }

    /// What a node says of itself.
    pub(crate) fn node(&self, rng: &mut Rng, name: &str) -> NodeReport {
        // The smallest takes three pods of a Deployment that has many: there is always room elsewhere.
        let cpu = [4, 8, 16, 32][usize::try_from(rng.below(4)).unwrap()] * if self.replicas > 4 { 2 } else { 1 };
        let room: BTreeMap<String, String> =
            [("cpu", cpu.to_string()), ("memory", format!("{}Gi", cpu * 2)), ("pods", "110".into())]
                .map(|(k, v)| (k.to_owned(), v))
                .into();
        let arch = if rng.below(4) == 0 && !matches!(name, "n0" | "n1") { "arm64" } else { "amd64" };
        let zone = ["a", "b", "c"][usize::try_from(rng.below(3)).unwrap()];
        // The first two take everything, so that what is selective has a place.
        let apart = self.nodes > 3 && !matches!(name, "n0" | "n1") && rng.below(6) == 0;
        let taint = NodeTaint { key: "dedicated".into(), value: "batch".into(), effect: TaintEffect::NoSchedule };
        NodeReport {
            capacity: room.clone(),
            allocatable: room,
            labels: [("kubernetes.io/hostname", name), ("kubernetes.io/arch", arch), ("zone", zone)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            taints: apart.then_some(taint).into_iter().collect(),
            version: "0".into(),
            ..NodeReport::default()
        }
    }
}
