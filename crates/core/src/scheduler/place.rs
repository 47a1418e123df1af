//! The choice of a node for one pod.
//!
//! Not every node is looked at: classes of nodes whose taints the pod does not tolerate fall away
//! as a whole, the rest is walked in the order of free room until enough nodes fit, and only those
//! are scored. Where a node selector picks few nodes, those are walked instead. A node is found
//! whenever there is one: the walk ends early only after it has found some.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::{cmp::Reverse, fmt};

use evenkeel_model::{Object, Uid};

use super::fit::{Misfit, class_misfit, fits, misfits};
use crate::world::{
    World,
    nodes::{NodeRecord, SCORED_CPU_MILLI, SCORED_MEMORY},
    pods::PodShape,
};

/// Nodes that fit and are scored. More would spread the pods of one controller a little better in
/// huge clusters, and cost a placement more.
const SCORED_NODES: usize = 20;
/// Up to so many nodes with a label are walked by the label instead of by room.
const FEW_LABELLED: usize = 256;
/// Points for the evenness of a controller's pods; room and balance give up to 1000 each.
const SPREAD_WEIGHT: i64 = 2000;
/// Points lost on a node with a `PreferNoSchedule` taint that the pod does not tolerate.
const PREFER_NOT: i64 = 3000;

/// Why no node takes a pod: how many there are, and how many have each thing against them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unschedulable {
    /// All nodes.
    pub nodes: usize,
    /// Nodes by what stands against them; one node may count more than once.
    pub reasons: BTreeMap<Misfit, usize>,
}

/// `0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {k: v}.`
impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        write!(f, "0/{} nodes are available: ", self.nodes)?;
        let mut reasons: Vec<(Reverse<usize>, String)> =
            self.reasons.iter().map(|(why, n)| (Reverse(*n), alloc::format!("{n} {why}"))).collect();
        reasons.sort();
        for (i, (_, text)) in reasons.iter().enumerate() {
            let gap = if i == 0 { "" } else { ", " };
            write!(f, "{gap}{text}")?;
        }
        f.write_str(".")
    }
}

/// A node that fits, with its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Points; more is better.
    pub score: i64,
    /// Node.
    pub node: Arc<str>,
}

/// The node for a pod that is not in the world yet, by its body: for plans.
pub fn place_object(world: &World, pod: &Object) -> Result<Arc<str>, Unschedulable> {
    place(world, &world.pods.shape(&pod.body), pod.meta.controller().map(|o| o.uid))
}

/// The node for a pod of this shape and controller.
pub fn place(world: &World, shape: &PodShape, controller: Option<Uid>) -> Result<Arc<str>, Unschedulable> {
    choose(world, shape, controller).ok_or_else(|| diagnose(world, shape))
}

/// The same, without the reasons where there is none.
pub(super) fn choose(world: &World, shape: &PodShape, controller: Option<Uid>) -> Option<Arc<str>> {
    let found = candidates(world, shape);
    let siblings = |node: &Arc<str>| i64::from(controller.map_or(0, |c| world.pods.siblings(c, node)));
    let counts: Vec<i64> = found.iter().map(|(name, _)| siblings(name)).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut best: Option<Candidate> = None;
    for ((name, node), count) in found.into_iter().zip(counts) {
        let spread = if most == 0 { 0 } else { SPREAD_WEIGHT * (most - count) / most };
        let score = spread + room_score(shape, node) - soft_taints(shape, node);
        // On a tie the first stays: nodes come in the order of free room, then name.
        if best.as_ref().is_none_or(|b| score > b.score) {
            best = Some(Candidate { score, node: name.clone() });
        }
    }
    best.map(|b| b.node)
}

fn candidates<'a>(world: &'a World, shape: &PodShape) -> Vec<(&'a Arc<str>, &'a NodeRecord)> {
    let nodes = &world.nodes;
    let labelled = shape.node_selector.iter().map(|(k, v)| nodes.with_label(k, v));
    let mut fewest: Option<&imbl::OrdSet<Arc<str>>> = None;
    for set in labelled {
        let Some(set) = set else { return Vec::new() };
        if fewest.is_none_or(|f| set.len() < f.len()) {
            fewest = Some(set);
        }
    }
    if let Some(few) = fewest.filter(|f| f.len() <= FEW_LABELLED) {
        return few
            .iter()
            .filter_map(|name| Some((name, nodes.get(name)?)))
            .filter(|(_, n)| class_misfit(shape, &n.class).is_none() && fits(shape, n))
            .collect();
    }
    let mut out = Vec::with_capacity(SCORED_NODES);
    for (class, names) in nodes.by_room() {
        if class_misfit(shape, class).is_some() {
            continue;
        }
        let fitting = names.filter_map(|name| Some((name, nodes.get(name)?))).filter(|(_, n)| fits(shape, n));
        out.extend(fitting.take(SCORED_NODES));
    }
    out
}

/// Least allocated and balanced, 1000 points each, as the node would be with the pod.
fn room_score(shape: &PodShape, node: &NodeRecord) -> i64 {
    let or = |n: i64, default: i64| if n == 0 { default } else { n };
    let part = |used: i64, all: i64| if all <= 0 { 1000 } else { (used.saturating_mul(1000) / all).clamp(0, 1000) };
    let cpu = part(node.scored_cpu_milli + or(shape.cpu_milli, SCORED_CPU_MILLI), node.cpu_milli);
    let memory = part(node.scored_memory + or(shape.memory, SCORED_MEMORY), node.memory);
    (2000 - cpu - memory) / 2 + (1000 - (cpu - memory).abs())
}

pub(super) fn soft_taints(shape: &PodShape, node: &NodeRecord) -> i64 {
    let disliked = node.taints.iter().filter(|t| t.effect == "PreferNoSchedule").any(|taint| {
        let value = taint.value.as_deref().unwrap_or("");
        !shape.tolerations.iter().any(|t| super::tolerates(t, &taint.key, value, &taint.effect))
    });
    if disliked { PREFER_NOT } else { 0 }
}

/// What stands against every node. Walks them all: only for pods that fit nowhere, and not for
/// each of their like (see the controller).
fn diagnose(world: &World, shape: &PodShape) -> Unschedulable {
    let mut out = Unschedulable::default();
    for (class, names) in world.nodes.by_room() {
        let against = class_misfit(shape, class);
        for name in names {
            out.nodes += 1;
            if let Some(misfit) = &against {
                *out.reasons.entry(misfit.clone()).or_default() += 1;
                continue;
            }
            let Some(node) = world.nodes.get(name) else { continue };
            for misfit in misfits(shape, node) {
                *out.reasons.entry(misfit).or_default() += 1;
            }
        }
    }
    out
}
