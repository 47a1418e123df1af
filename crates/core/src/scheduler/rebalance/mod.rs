//! The rebalance: which pods would be better off on another node, and one such move at a time.
//!
//! Nothing moves by itself when a node comes. Somebody asks for a plan ([`plan`]) and has its moves
//! made one by one ([`begin`]). A move is an eviction: the ReplicaSet makes a replacement, and the
//! scheduler places it. So a plan says where it *would* be placed, tried on a copy of the world, and
//! counts a move only if that very place is better by a real margin ([`gain`]). What stands against
//! moving a workload is in [`workload`].
//!
//! Each move lowers a number that cannot fall for ever (see [`gain`]), so plans carried out one
//! after the other come to an end: then no move helps. A plan costs a look at every pod and one
//! placement a workload, and about two placements a move; it is made from a copy of the world, aside
//! of the conductor.
//!
//! Deliberately not here: waiting for the replacement, which whoever asked does.

mod gain;
#[cfg(test)]
mod tests;
mod workload;

use alloc::{
    collections::{BTreeMap, BinaryHeap},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::cmp::Reverse;

use evenkeel_model::{Key, Kind, Object, Time, Uid};

use super::place;
use crate::{
    ask::{Answer, DeleteOptions, Refusal, Transfer},
    change::Change,
    controllers::{deployment, disruption::eviction},
    cx::{Cx, EventKind},
    release,
    world::World,
};
pub use gain::{Gain, LEAST_GAIN};
use gain::{Totals, weigh};
use workload::Workload;

/// Moves of one plan at most: more than a person reads, and they are made one after the other.
pub const MOST_MOVES: usize = 1000;
/// Workloads of which a plan says what keeps them from a move that would help.
const MOST_HELD: usize = 100;
/// A move is taken before one that is better by less than this many points: else each move would
/// make all others be weighed anew.
const NEAR: i64 = 10;

/// What a plan is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Moves at most.
    pub limit: usize,
    /// Whether pods with an emptyDir move, too: what is in it is lost.
    pub empty_dirs: bool,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebalance {
    /// The moves that would help, the first one first.
    pub moves: Vec<Move>,
    /// Whether further moves would help, beyond the wish's limit.
    pub more: bool,
    /// Moves that would help as well, and that something stands against.
    pub held: Vec<Held>,
}

/// One pod to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The Pod.
    pub pod: Key,
    /// Its uid.
    pub uid: Uid,
    /// Its ReplicaSet.
    pub set: Key,
    /// The Deployment, or the ReplicaSet where there is none.
    pub workload: Key,
    /// Where it is.
    pub from: Arc<str>,
    /// Where the scheduler puts its replacement.
    pub to: Arc<str>,
    /// What it is good for.
    pub gain: Gain,
}

/// A workload that stays as it is although moving one of its pods would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The Deployment, or the ReplicaSet where there is none.
    pub workload: Key,
    /// A node that it would leave.
    pub from: Arc<str>,
    /// Where it would go.
    pub to: Arc<str>,
    /// What it would be good for.
    pub gain: Gain,
    /// What stands against it, for people.
    pub why: String,
}

/// The best move of one workload.
struct Best {
    from: Arc<str>,
    to: Arc<str>,
    gain: Gain,
}

/// Refuses to move pods about while something else does.
fn settled(world: &World) -> Result<(), Refusal> {
    if world.recovering.is_some() {
        return Err(Refusal::recovering());
    }
    match release::unsettled(world) {
        Some(what) => Err(Refusal::conflict(format!("{what}: nothing is moved before it has settled"))),
        None => Ok(()),
    }
}

/// The moves that would help, as the world is at this moment. Refused while the server is recovering,
/// while a release has not settled, and while a Deployment is being rolled out.
pub fn plan(world: &World, wish: &Wish, now: Time) -> Result<Rebalance, Refusal> {
    settled(world)?;
    if let Some(rolling) = world.list(Kind::Deployment, "").find(|d| !d.deleting() && deployment::is_rolling(d)) {
        let what = format!("{} is being rolled out: nothing is moved before it has settled", rolling.key);
        return Err(Refusal::conflict(what));
    }
    let mut planner = Planner {
        world,
        trial: world.clone(),
        totals: Totals::of(world),
        workloads: workload::all(world),
        wish: Wish { limit: wish.limit.min(MOST_MOVES), ..*wish },
        now,
        held: BTreeMap::new(),
        plan: Rebalance::default(),
    };
    // What a move changes may make others worth it that were not: until a whole round finds nothing.
    loop {
        let before = planner.plan.moves.len();
        planner.round();
        if planner.plan.more || planner.plan.moves.len() == before {
            break;
        }
    }
    Ok(planner.finish())
}

struct Planner<'a> {
    world: &'a World,
    /// The world as it would be after the moves so far.
    trial: World,
    totals: Totals,
    workloads: Vec<Workload>,
    wish: Wish,
    now: Time,
    /// Workloads that something stands against, by their place in the list.
    held: BTreeMap<usize, String>,
    plan: Rebalance,
}

impl Planner<'_> {
    /// Makes moves, the best first, until no workload that was looked at has one left.
    fn round(&mut self) {
        // Gains are those of when they were weighed, and weighed anew when their turn comes.
        let mut heap: BinaryHeap<(i64, Reverse<usize>)> = BinaryHeap::new();
        for at in (0..self.workloads.len()).filter(|at| !self.held.contains_key(at)) {
            heap.extend(self.best(at).map(|b| (b.gain.points, Reverse(at))));
        }
        while let Some((_, Reverse(at))) = heap.pop() {
            let Some(best) = self.best(at) else { continue };
            if heap.peek().is_some_and(|(next, _)| best.gain.points + NEAR < *next) {
                heap.push((best.gain.points, Reverse(at)));
                continue;
            }
            if let Some(why) = workload::hold(self.world, &self.workloads[at], self.wish.empty_dirs, self.now) {
                self.held.insert(at, why);
                continue;
            }
            if self.plan.moves.len() == self.wish.limit {
                self.plan.more = true;
                return;
            }
            self.take(at, best);
            heap.extend(self.best(at).map(|b| (b.gain.points, Reverse(at))));
        }
    }

    fn best(&self, at: usize) -> Option<Best> {
        best(&self.trial, &self.totals, self.workloads.get(at)?)
    }

    /// Notes a move, and carries it out on the trial.
    fn take(&mut self, at: usize, best: Best) {
        let Some(workload) = self.workloads.get_mut(at) else { return };
        let Some(pod) = workload.take(&best.from).and_then(|key| self.trial.get(&key)).cloned() else { return };
        // Of a name and a uid that no pod has: a trial is never stored.
        let count = self.plan.moves.len();
        let mut twin = Object::clone(&pod);
        twin.key = pod.key.sibling(Kind::Pod, format!("{}-moved-{count}", pod.key.name));
        twin.uid = Uid(u128::MAX - count as u128);
        twin.node = Some(best.to.clone());
        self.trial.apply(Change::Put(Arc::new(twin)));
        self.trial.apply(Change::Delete(pod.key.clone()));
        self.plan.moves.push(workload.moved(&pod, best));
    }

    /// Adds what would help after all these moves, and what stands against it.
    fn finish(self) -> Rebalance {
        let Self { trial, totals, workloads, held, mut plan, .. } = self;
        for (at, why) in held {
            let Some(workload) = workloads.get(at) else { continue };
            if let Some(Best { from, to, gain }) = best(&trial, &totals, workload) {
                plan.held.push(Held { workload: workload.name.clone(), from, to, gain, why });
            }
        }
        plan.held.sort_by(|a, b| (Reverse(a.gain.points), &a.workload).cmp(&(Reverse(b.gain.points), &b.workload)));
        plan.held.truncate(MOST_HELD);
        plan
    }
}

/// The best move of a workload; all its pods would go to the same node, the next that the scheduler
/// would choose.
fn best(world: &World, totals: &Totals, workload: &Workload) -> Option<Best> {
    let to = place::choose(world, &workload.shape, Some(workload.set.uid))?;
    let mut best: Option<Best> = None;
    for from in workload.nodes() {
        let Some(gain) = weigh(world, totals, &workload.shape, workload.set.uid, from, &to) else { continue };
        if best.as_ref().is_none_or(|b| gain.points > b.gain.points) {
            best = Some(Best { from: from.clone(), to: to.clone(), gain });
        }
    }
    best
}

/// Begins one move of a plan: evicts the pod. Refused where the move no longer helps as planned, and
/// where something stands against it: the plan is from an earlier moment.
pub fn begin(world: &World, transfer: &Transfer, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    settled(world)?;
    let key = &transfer.pod;
    let (Some(pod), Some(record)) = (world.get(key), world.pods.get(key)) else {
        return Err(Refusal::not_found(key));
    };
    let options = DeleteOptions { if_uid: Some(transfer.uid), ..DeleteOptions::default() };
    options.check(pod)?;
    let workload = workload::of_pod(world, pod).ok_or_else(|| {
        Refusal::conflict(format!("pod {} has no ReplicaSet that makes another in its place", key.name))
    })?;
    let gain = record.node.as_ref().filter(|from| workload.has(from, key)).and_then(|from| {
        let to = place::choose(world, &workload.shape, Some(workload.set.uid)).filter(|to| *to == transfer.to)?;
        let gain = weigh(world, &Totals::of(world), &workload.shape, workload.set.uid, from, &to)?;
        Some(Best { from: from.clone(), to, gain })
    });
    let Some(best) = gain else {
        let message = format!("moving pod {} to {} no longer helps: make a new plan", key.name, transfer.to);
        return Err(Refusal::conflict(message));
    };
    if let Some(why) = workload::hold(world, &workload, transfer.empty_dirs, cx.now) {
        return Err(Refusal::conflict(format!("pod {} is not moved: {why}", key.name)));
    }
    eviction::evict(world, key, &options, cx)?;
    let message = format!("Evicted by a rebalance: {}", best.gain);
    cx.event(world, pod, EventKind::Normal, "Rebalanced", &message);
    Ok(Answer::Moved(workload.moved(pod, best)))
}
