//! Whole clusters on virtual time, by seed: the real conductor, core and agent logic; a store that
//! is a model in memory; simulated engines, registry and network. First everything goes wrong at
//! random, audited after every step; then all trouble ends, and the cluster must come to rest as
//! its repository says.
//!
//! `EVENKEEL_SEEDS` says how many worlds (500), `EVENKEEL_SEED` names one to run alone with its
//! story.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test all through

mod commits;
mod faults;
mod watch;
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use evenkeel_model::{Digest, canonical};

use crate::world::World;

/// How long things go wrong.
const CHAOS: Duration = Duration::from_secs(100);
/// How long it may take to come to rest afterwards: longer than the longest wait (a release that
/// failed for its surroundings is tried again after up to some minutes).
const REST: Duration = Duration::from_mins(40);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_secs(20);

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one world; the error tells its story.
fn run(seed: u64) -> Result<World, String> {
    let mut world = World::new(seed);
    let result = live(&mut world);
    match result {
        Ok(()) => Ok(world),
        Err(why) => Err(format!("{}\nseed {seed}: {why}", world.story())),
    }
}

fn live(world: &mut World) -> Result<(), String> {
    faults::plan(world, CHAOS);
    let end = world.now + CHAOS;
    world.run(end)?;
    world.calm();
    // A first release that failed stays applied, because there is nothing to go back to.
    let stuck =
        |world: &World| -> bool { world.source().is_some_and(|s| s.last_good_digest.is_none()) && world.head_is_bad() };
    let last = world.now + REST;
    while world.now < last {
        let next = world.now + LOOK;
        world.run(next)?;
        if at_rest(world).is_ok() && world.idle() {
            world.audit(true)?;
            if !world.head_is_bad() {
                return Ok(());
            }
            // Somebody repairs it, and then nothing may be left of the bad one.
            world.repair();
        } else if stuck(world) {
            world.repair();
        }
    }
    at_rest(world)?;
    Err(format!("it does not come to rest: {}", world.restless()))
}

/// Whether what runs is what the repository says: its head if that is good, else the last good one.
fn at_rest(world: &World) -> Result<(), String> {
    let status = world.source().ok_or("there is no source")?;
    let good: Vec<_> = world.commits.iter().filter(|c| c.flaw.is_none()).collect();
    let head = world.commits.last().ok_or("there is no commit")?;
    let known: Vec<Digest> = good.iter().filter_map(|c| c.digest()).collect();
    let applied = status.applied_digest.ok_or("nothing is applied")?;
    if head.flaw.is_none() && head.digest() != Some(applied) {
        return Err(format!("the head {} is good and not applied: {:?}", head.revision.short(), status.conditions));
    }
    if !known.contains(&applied) {
        return Err(format!("what is applied is not good: {:?}", status.applied_revision));
    }
    if status.last_good_digest != Some(applied) {
        return Err(format!("what is applied is not the last good one: {:?}", status.last_good_revision));
    }
    let incomplete = watch::incomplete(&world.objects());
    if incomplete.is_empty() { Ok(()) } else { Err(incomplete.join("; ")) }
}

#[test]
fn small_worlds_keep_every_promise() {
    if let Some(seed) = env("EVENKEEL_SEED") {
        let world = run(seed).unwrap_or_else(|e| panic!("{e}"));
        println!("{}\nseed {seed}: {} steps, {} audits", world.story(), world.steps, world.watch.audits);
        return;
    }
    let (seeds, next) = (env("EVENKEEL_SEEDS").unwrap_or(500), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failed.len() > 2 {
                    return failed;
                }
                if let Err(e) = run(seed) {
                    failed.push(e);
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digest = |seed| {
        let world = run(seed).unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<Vec<u8>> = world.objects().iter().map(|o| canonical::value_bytes(&o.to_value())).collect();
        (Digest::of_parts(all.iter().map(Vec::as_slice)), world.story())
    };
    assert_eq!(digest(1), digest(1));
}
