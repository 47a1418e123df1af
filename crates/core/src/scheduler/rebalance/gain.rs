//! What a move is good for, in the scheduler's points.
//!
//! Two things count, as in a placement: how full the two nodes are, and how many pods of the same
//! ReplicaSet they have. A move never makes the second worse, and where it does not better it, the
//! first must. So with each move, of the pair (sum over ReplicaSets and nodes of the square of the
//! ReplicaSet's pods on the node; sum over nodes and resources of used²/room) the first number
//! falls, or it stays and the second falls: no sequence of moves goes on for ever.

use alloc::sync::Arc;
use core::fmt;

use evenkeel_model::Uid;

use crate::{
    scheduler::place::soft_taints,
    world::{
        World,
        nodes::{NodeRecord, SCORED_CPU_MILLI, SCORED_MEMORY},
        pods::PodShape,
    },
};

/// Points that a move is worth at least. A pod's restart has its price, so a twentieth of a node is
/// not worth one.
pub const LEAST_GAIN: i64 = 50;
/// Points for pods of a ReplicaSet that no longer share a node, in proportion; as in placements.
const SPREAD_POINTS: i64 = 2000;
/// Parts of a node's room: fine enough that rounding is far below [`LEAST_GAIN`].
const WHOLE: i128 = 1_000_000;
/// Parts of the cluster's room, in which a pod's share is weighed.
const SHARES: i128 = 1_000_000_000_000;

/// What a move is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gain {
    /// Points, at least [`LEAST_GAIN`]. A node's whole room is 1000.
    pub points: i64,
    /// Thousandths in use, mean of cpu and memory, of the node that it leaves and of the one that
    /// it goes to, before the move. Pods without requests count as the scheduler counts them.
    pub load: (i64, i64),
    /// Pods of its ReplicaSet on both, before the move.
    pub siblings: (u32, u32),
}

/// `the load is 61% here and 9% there, and of its ReplicaSet 3 pods are here and 0 there`
impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((here, there), (mine, theirs)) = (self.load, self.siblings);
        let pods = if mine == 1 { "1 pod is" } else { "pods are" };
        write!(f, "the load is {}% here and {}% there, and of its ReplicaSet ", here / 10, there / 10)?;
        if mine == 1 {
            write!(f, "{pods} here and {theirs} there")
        } else {
            write!(f, "{mine} {pods} here and {theirs} there")
        }
    }
}

/// The room of all nodes together, which makes cpu and memory comparable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    cpu: i128,
    memory: i128,
}

impl Totals {
    /// Costs a look at each node.
    pub(super) fn of(world: &World) -> Self {
        world.nodes.iter().fold(Self { cpu: 0, memory: 0 }, |all, (_, node)| Self {
            cpu: all.cpu + i128::from(node.cpu_milli),
            memory: all.memory + i128::from(node.memory),
        })
    }
}

/// What moving a pod of this shape and ReplicaSet would be good for; `None` where it is not worth it.
pub(super) fn weigh(
    world: &World,
    totals: &Totals,
    shape: &PodShape,
    set: Uid,
    from: &Arc<str>,
    to: &Arc<str>,
) -> Option<Gain> {
    let (source, target) = (world.nodes.get(from)?, world.nodes.get(to)?);
    let siblings = (world.pods.siblings(set, from), world.pods.siblings(set, to));
    if from == to || siblings.0 <= siblings.1 || soft_taints(shape, target) > soft_taints(shape, source) {
        return None;
    }
    let (here, there) = (i64::from(siblings.0), i64::from(siblings.1));
    let spread = SPREAD_POINTS * (here - 1 - there) / here;
    let evened = evened(totals, shape, source, target);
    if spread == 0 && evened < LEAST_GAIN {
        return None;
    }
    let points = spread + evened;
    (points >= LEAST_GAIN).then(|| Gain { points, load: (load(source), load(target)), siblings })
}

/// By how much the load becomes more even, in thousandths of a node: the fall of the sum over nodes
/// of used²/room for a unit of what the pod uses. The resource counts more of which it uses more.
fn evened(totals: &Totals, shape: &PodShape, source: &NodeRecord, target: &NodeRecord) -> i64 {
    let or = |n: i64, default: i64| i128::from(if n == 0 { default } else { n });
    let (cpu, memory) = (or(shape.cpu_milli, SCORED_CPU_MILLI), or(shape.memory, SCORED_MEMORY));
    // As full as half of the pod makes it: the mean of before and after.
    let fall = |own: i128, source: (i64, i64), target: (i64, i64)| {
        let part = |twice: i128, room: i64| twice.saturating_mul(WHOLE) / (2 * i128::from(room.max(1)));
        part(2 * i128::from(source.0) - own, source.1) - part(2 * i128::from(target.0) + own, target.1)
    };
    let cpu_fall = fall(cpu, (source.scored_cpu_milli, source.cpu_milli), (target.scored_cpu_milli, target.cpu_milli));
    let memory_fall = fall(memory, (source.scored_memory, source.memory), (target.scored_memory, target.memory));
    let (cpu, memory) = (cpu * SHARES / totals.cpu.max(1), memory * SHARES / totals.memory.max(1));
    let sum = cpu.saturating_mul(cpu_fall).saturating_add(memory.saturating_mul(memory_fall));
    let points = sum / (cpu + memory).max(1) / (WHOLE / 1000);
    i64::try_from(points).unwrap_or(if points < 0 { i64::MIN / 2 } else { i64::MAX / 2 })
}

fn load(node: &NodeRecord) -> i64 {
    let part = |used: i64, all: i64| if all <= 0 { 1000 } else { used.saturating_mul(1000) / all };
    i64::midpoint(part(node.scored_cpu_milli, node.cpu_milli), part(node.scored_memory, node.memory))
}
