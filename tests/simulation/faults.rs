//! What goes wrong: crashes of server, agents and engines, cuts of the network, a registry that is
//! away, and people who lay hands on containers.

use std::time::Duration;

use evenkeel_model::Rng;
use evenkeel_runtime::{ContainerId, Resources};
use evenkeel_store::Crash;

use crate::world::{Item, World};

/// A fault. Numbers name nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    ServerCrash,
    /// The server's database is gone, and with it the process.
    Amnesia,
    ServerCrashAtCommit(Crash),
    AgentCrash(usize),
    EngineRestart {
        node: usize,
        orderly: bool,
        live: bool,
    },
    Cut(usize),
    HangUp(usize),
    Registry,
    Hand(usize),
}

/// Strews faults and commits over the time of chaos.
pub(crate) fn plan(world: &mut World, span: Duration) {
    let millis = u64::try_from(span.as_millis()).unwrap();
    let commits = 1 + world.rng.below(5);
    for _ in 0..commits {
        let at = Duration::from_millis(world.rng.below(millis));
        world.later(at, Item::Commit);
    }
    let faults = 2 + world.rng.below(8);
    for _ in 0..faults {
        let at = Duration::from_millis(world.rng.below(millis));
        let fault = one(&mut world.rng, world.nodes.len());
        world.later(at, Item::Fault(fault));
    }
}

fn one(rng: &mut Rng, nodes: usize) -> Fault {
    let node = usize::try_from(rng.below(nodes as u64)).unwrap();
    match rng.below(12) {
        0 if rng.below(2) == 0 => Fault::Amnesia,
        0 => Fault::ServerCrash,
        1 => Fault::ServerCrashAtCommit(Crash::BeforeCommit),
        2 => Fault::ServerCrashAtCommit(Crash::AfterCommit),
        3 | 4 => Fault::AgentCrash(node),
        5 => Fault::EngineRestart { node, orderly: rng.below(2) == 0, live: rng.below(2) == 0 },
        6 => Fault::Cut(node),
        7 => Fault::HangUp(node),
        8 => Fault::Registry,
        _ => Fault::Hand(node),
    }
}

/// A fault happens.
pub(crate) fn strike(world: &mut World, fault: Fault) {
    world.tell(|| format!("{fault:?}"));
    let now = world.now;
    match fault {
        Fault::ServerCrash => world.crash_server(),
        Fault::Amnesia => {
            world.crash_server();
            world.disk.wipe();
            world.watch.amnesia = true;
        }
        Fault::ServerCrashAtCommit(crash) => world.disk.fail_next(crash),
        Fault::AgentCrash(n) => {
            world.hang_up(n);
            let registry = world.registry.clone();
            world.nodes[n].sim.crash(now, &registry);
            let after = Duration::from_millis(world.rng.below(30_000));
            world.later(after, Item::StartAgent(n));
        }
        Fault::EngineRestart { node, orderly, live } => {
            let name = world.nodes[node].sim.name().clone();
            world.watch.disturbed(now, &name);
            world.nodes[node].sim.runtime.go_down(now, orderly);
            let after = Duration::from_millis(500 + world.rng.below(15_000));
            world.later(after, Item::EngineBack(node, live));
        }
        Fault::Cut(n) => {
            world.hang_up(n);
            world.nodes[n].cut = true;
            let after = Duration::from_millis(world.rng.below(60_000));
            world.later(after, Item::Reconnected(n));
        }
        Fault::HangUp(n) => world.hang_up(n),
        Fault::Registry => {
            world.registry.up = false;
            let after = Duration::from_millis(world.rng.below(30_000));
            world.later(after, Item::RegistryBack);
        }
        Fault::Hand(n) => hand(world, n),
    }
}

/// Somebody does something to a managed container.
fn hand(world: &mut World, n: usize) {
    let now = world.now;
    if !world.nodes[n].sim.runtime.is_up() {
        return;
    }
    let ids: Vec<ContainerId> = world.nodes[n]
        .sim
        .runtime
        .containers()
        .filter(|c| c.by_agent && c.info.state.is_alive())
        .map(|c| c.info.id.clone())
        .collect();
    if ids.is_empty() {
        return;
    }
    let name = world.nodes[n].sim.name().clone();
    world.watch.disturbed(now, &name);
    let id = &ids[usize::try_from(world.rng.below(ids.len() as u64)).unwrap()];
    let act = world.rng.below(6);
    let runtime = &mut world.nodes[n].sim.runtime;
    match act {
        0 => runtime.kill(now, id),
        1 => runtime.stop(now, id),
        2 => runtime.remove(now, id),
        3 => runtime.pause(now, id),
        4 => runtime.rename(now, id, "somebody-elses-name"),
        _ => runtime.update(now, id, Resources { memory_bytes: Some(1 << 30), ..Resources::default() }),
    }
}
