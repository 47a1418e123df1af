//! Whole clusters on virtual time, by seed: the real conductor, core and agent logic; a store that
//! is a model in memory; simulated engines, registry, clocks and network. First everything goes wrong
//! at random, audited after every step; then all trouble ends, and the cluster must come to rest as
//! its repositories say.
//!
//! `EVENKEEL_SEEDS` says how many small worlds (200) and `EVENKEEL_LARGE` how many large ones (none);
//! `EVENKEEL_SEED` names one to run alone with its story, with `EVENKEEL_NODES` a large one of so many
//! nodes. `make simulate` passes them on.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test all through

mod commits;
mod faults;
mod ingresses;
mod line;
mod machine;
mod network;
mod objects;
mod policies;
mod routes;
mod server;
mod services;
mod shape;
mod watch;
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use evenkeel_model::{Digest, Rng, canonical};

use crate::{shape::Shape, world::World};

/// How long it may take to come to rest afterwards: longer than the longest wait (a release that
/// failed for its surroundings is tried again after up to some minutes).
const REST: Duration = Duration::from_mins(40);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_secs(20);
/// Small worlds, where nobody says how many.
const SEEDS: u64 = 200;
/// Large worlds: none where nobody asks, because one takes minutes.
const LARGE: u64 = 0;
fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one world; the error begins with its seed and tells its story.
fn run(seed: u64, nodes: Option<u64>) -> Result<World, String> {
    let mut rng = Rng::new(seed).fork("shape");
    let shape = match nodes {
        Some(nodes) => Shape::large(&mut rng, nodes),
        None => Shape::small(&mut rng),
    };
    let named = format!("seed {seed}: {shape:?}");
    let mut world = World::new(seed, shape);
    match live(&mut world) {
        Ok(()) => Ok(world),
        Err(why) => Err(format!("{named}\n{}\n{}\nseed {seed}: {why}", world.story(), world.watch.unready())),
    }
}

fn live(world: &mut World) -> Result<(), String> {
    faults::plan(world);
    let end = world.now + world.shape.chaos;
    world.run(end)?;
    // A machine that sleeps is woken by its time alone: what it would have heard comes after it.
    let awake = world.asleep_until();
    if awake > world.now {
        world.run(awake)?;
    }
    world.calm();
    let last = world.now + REST;
    while world.now < last {
        let next = world.now + LOOK;
        world.run(next)?;
        let rests = at_rest(world).is_ok() && world.idle();
        if rests {
            world.audit(true)?;
        }
        if rests && !world.feeds.iter().any(world::Feed::head_is_bad) {
            return Ok(());
        }
        for n in 0..world.feeds.len() {
            // Somebody repairs it, and then nothing may be left of the bad one. A first release that
            // failed stays applied, because there is nothing to go back to.
            let stuck = world.source(n).is_some_and(|s| s.last_good_digest.is_none());
            if world.feeds[n].head_is_bad() && (rests || stuck) {
                world.repair(n);
            }
        }
    }
    at_rest(world)?;
    Err(format!("it does not come to rest: {}", world.restless()))
}

/// Whether what runs is what the repositories say: their heads if they are good, else the last good
/// ones.
fn at_rest(world: &World) -> Result<(), String> {
    for n in 0..world.feeds.len() {
        let status = world.source(n).ok_or("there is no source")?;
        let commits = &world.feeds[n].commits;
        let good: Vec<_> = commits.iter().filter(|c| c.flaw.is_none()).collect();
        let head = commits.last().ok_or("there is no commit")?;
        let known: Vec<Digest> = good.iter().filter_map(|c| c.digest()).collect();
        let applied = status.applied_digest.ok_or("nothing is applied")?;
        if head.flaw.is_none() && head.digest() != Some(applied) {
            let short = head.revision.short();
            return Err(format!("the head {short} is good and not applied: {:?}", status.conditions));
        }
        if !known.contains(&applied) {
            return Err(format!("what is applied is not good: {:?}", status.applied_revision));
        }
        if status.last_good_digest != Some(applied) {
            return Err(format!("what is applied is not the last good one: {:?}", status.last_good_revision));
        }
    }
    let incomplete = watch::incomplete(&world.objects());
    if !incomplete.is_empty() {
        return Err(incomplete.join("; "));
    }
    services::converged(world.staying(), world.watch.all())?;
    policies::converged(world.staying(), world.watch.all())?;
    ingresses::converged(world.staying(), world.watch.all())
}

/// Runs worlds on some threads; panics with the stories of those that break a promise.
fn run_all(seeds: u64, nodes: fn(u64) -> Option<u64>) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failed.len() > 2 {
                    return failed;
                }
                failed.extend(run(seed, nodes(seed)).err());
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn small_worlds_keep_every_promise() {
    if let Some(seed) = env("EVENKEEL_SEED") {
        let world = run(seed, env("EVENKEEL_NODES")).unwrap_or_else(|e| panic!("{e}"));
        let (steps, audits, backlog) = (world.steps, world.watch.audits, world.backlog);
        println!("{}\nseed {seed}: {steps} steps, {audits} audits, {backlog} events waited", world.story());
        let (services, isolated) = (&world.services, world.policies.starts);
        println!(
            "held against kernels: {} stops, {} followed Services, {isolated} isolated starts",
            services.stops, services.follows
        );
        return;
    }
    run_all(env("EVENKEEL_SEEDS").unwrap_or(SEEDS), |_| None);
}

#[test]
fn large_worlds_keep_every_promise() {
    if env("EVENKEEL_SEED").is_none() {
        run_all(env("EVENKEEL_LARGE").unwrap_or(LARGE), |seed| Some(100 + 300 * (seed % 4)));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digest = |seed| {
        let world = run(seed, None).unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<Vec<u8>> = world.objects().iter().map(|o| canonical::value_bytes(&o.to_value())).collect();
        (Digest::of_parts(all.iter().map(Vec::as_slice)), world.story())
    };
    assert_eq!(digest(1), digest(1));
}
