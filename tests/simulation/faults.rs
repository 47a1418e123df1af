//! What goes wrong: crashes of server, agents and engines, machines without power, clocks that jump,
//! machines that stand still or sleep, a network that splits in any way, databases that are lost or
//! old, a registry that is away, and people who lay hands on containers, cordon, remove and add.

use std::time::Duration;

use evenkeel_agent::{logic::labels, sim::SimClock};
use evenkeel_model::Rng;
use evenkeel_runtime::{ContainerId, Resources};
use evenkeel_store::Crash;

use crate::{
    network::To,
    world::{Item, World},
};

/// A fault. Numbers name nodes.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The server's process ends, and starts again after so long.
    ServerAway(Duration),
    ServerCrashAtCommit(Crash),
    /// The server's machine stands still.
    ServerPaused(Duration),
    /// The server's clock is set; back, that shows at its next start.
    ServerClock {
        by: Duration,
        back: bool,
    },
    /// The server's database is gone, and with it the process.
    Amnesia,
    /// A copy of the database is put aside.
    Backup,
    /// The copy takes the database's place, on another machine: the old server may run on.
    Restore {
        rival: bool,
    },
    /// Everything stands still, as a laptop that sleeps.
    Sleep(Duration),
    AgentCrash(usize),
    PowerOff {
        node: usize,
        lose_writes: bool,
        time: Duration,
    },
    Paused(usize, Duration),
    Clock {
        node: usize,
        by: Duration,
        back: bool,
    },
    EngineRestart {
        node: usize,
        orderly: bool,
        live: bool,
    },
    /// These nodes and the server hear each other no more, or one does not hear the other.
    Split {
        nodes: Vec<usize>,
        ways: &'static [To],
        time: Duration,
    },
    HangUp(usize),
    Registry,
    Hand(usize),
    Cordon(usize, Duration),
    /// A machine is taken out of the cluster.
    Remove {
        node: usize,
        returns: bool,
    },
    Join,
}

/// Strews faults and commits over the time of chaos.
pub(crate) fn plan(world: &mut World) {
    let millis = u64::try_from(world.shape.chaos.as_millis()).unwrap();
    for n in 0..world.feeds.len() {
        for _ in 0..=world.rng.below(5) {
            let at = Duration::from_millis(world.rng.below(millis));
            world.later(at, Item::Commit(n));
        }
    }
    for _ in 0..world.shape.faults {
        let at = Duration::from_millis(world.rng.below(millis));
        let (nodes, long) = (world.machines.len(), world.shape.chaos.as_secs() > 300);
        let fault = one(&mut world.rng, nodes, long);
        world.later(at, Item::Fault(fault));
    }
}

fn some_time(rng: &mut Rng, long: bool) -> Duration {
    // Most are short; some last longer than any grace and toleration.
    let most = if long && rng.below(2) == 0 { 720_000 } else { 90_000 };
    Duration::from_millis(1000 + rng.below(most))
}

fn one(rng: &mut Rng, nodes: usize, long: bool) -> Fault {
    let node = usize::try_from(rng.below(nodes as u64)).unwrap();
    let time = some_time(rng, long);
    let coin = rng.below(2) == 0;
    match rng.below(34) {
        0 | 1 => Fault::ServerAway(Duration::from_millis(rng.below(20_000))),
        2 => Fault::ServerAway(time),
        3 => Fault::ServerCrashAtCommit(Crash::BeforeCommit),
        4 => Fault::ServerCrashAtCommit(Crash::AfterCommit),
        5 => Fault::ServerPaused(time),
        6 => Fault::ServerClock { by: time * 4, back: coin },
        7 => Fault::Amnesia,
        8 => Fault::Backup,
        9 => Fault::Restore { rival: coin },
        10 => Fault::Sleep(time * 20),
        11 | 12 => Fault::AgentCrash(node),
        13 | 14 => Fault::PowerOff { node, lose_writes: coin, time },
        15 => Fault::Paused(node, time),
        16 | 17 => Fault::Clock { node, by: time * 4, back: coin },
        18 | 19 => Fault::EngineRestart { node, orderly: coin, live: rng.below(2) == 0 },
        20..=24 => split(rng, nodes, time),
        25 => Fault::HangUp(node),
        26 => Fault::Registry,
        27 | 28 => Fault::Cordon(node, time),
        29 => Fault::Remove { node, returns: coin },
        30 => Fault::Join,
        _ => Fault::Hand(node),
    }
}

fn split(rng: &mut Rng, nodes: usize, time: Duration) -> Fault {
    // One node, any set of them, or all.
    let nodes: Vec<usize> = match rng.below(4) {
        0 => (0..nodes).collect(),
        1 => (0..nodes).filter(|_| rng.below(2) == 0).collect(),
        _ => vec![usize::try_from(rng.below(nodes as u64)).unwrap()],
    };
    let ways: &'static [To] = match rng.below(4) {
        0 => &[To::Server],
        1 => &[To::Agent],
        _ => &[To::Server, To::Agent],
    };
    Fault::Split { nodes, ways, time }
}

/// A fault happens.
pub(crate) fn strike(world: &mut World, fault: Fault) {
    world.tell(|| format!("{fault:?}"));
    let now = world.now;
    match fault {
        Fault::AgentCrash(n) => {
            world.machines[n].disturbed(now);
            world.agent_closes(n, false);
            let registry = world.registry.clone();
            world.machines[n].sim.crash(now, &registry);
            world.touch(n);
            let after = Duration::from_millis(world.rng.below(30_000));
            world.later(after, Item::StartAgent(n));
        }
        // One that is off stays so until whoever switched it off says otherwise.
        Fault::PowerOff { node, .. } | Fault::Remove { node, .. } if !world.machines[node].powered => {}
        Fault::PowerOff { node, lose_writes, time } => {
            power_off(world, node, lose_writes);
            world.later(time, Item::PowerOn(node));
        }
        Fault::Paused(n, time) => {
            world.freeze(n, now + time);
            world.touch(n);
        }
        Fault::Clock { node, by, back } => {
            world.machines[node].sim.set_clock(now, by, back);
            world.touch(node);
        }
        Fault::EngineRestart { node, orderly, live } => {
            world.watch.disturbed(now, world.machines[node].sim.name());
            world.machines[node].sim.runtime.go_down(now, orderly);
            world.touch(node);
            let after = Duration::from_millis(500 + world.rng.below(15_000));
            world.later(after, Item::EngineBack(node, live));
        }
        Fault::Split { nodes, ways, time } => nodes.into_iter().for_each(|n| world.cut(n, ways, time)),
        Fault::HangUp(n) => {
            world.machines[n].disturbed(now);
            world.agent_closes(n, true);
        }
        Fault::Registry => {
            world.registry.up = false;
            let after = Duration::from_millis(world.rng.below(30_000));
            world.later(after, Item::RegistryBack);
        }
        Fault::Hand(n) => hand(world, n),
        Fault::Cordon(n, time) => {
            world.cordon(n, true);
            world.later(time, Item::Uncordon(n));
        }
        Fault::Remove { node, returns } => remove(world, node, returns),
        Fault::Join => world.add_machine(),
        Fault::Sleep(time) => world.sleep(time),
        of_server => strike_server(world, &of_server),
    }
}

fn strike_server(world: &mut World, fault: &Fault) {
    let now = world.now;
    match *fault {
        Fault::ServerAway(time) => world.crash_server(time),
        Fault::ServerCrashAtCommit(crash) => world.disk.fail_next(crash),
        Fault::ServerPaused(time) => {
            world.services.unwatched(now + time);
            if let Some(server) = &mut world.server {
                server.pause(now, time);
            }
        }
        Fault::ServerClock { by, back } => {
            world.server_clock.jump(now, by, back);
            world.services.unwatched(now);
            if let Some(server) = &mut world.server {
                server.set_clock(now, by, back);
            }
        }
        Fault::Amnesia => {
            world.crash_server(Duration::from_secs(5));
            world.disk.wipe();
            another_machine(world);
        }
        Fault::Backup => world.backup = Some(world.disk.fork()),
        Fault::Restore { rival } => restore(world, rival),
        _ => {}
    }
}

/// The server starts over another database. Its clock is not behind that of the one before: a new
/// epoch is drawn from it, and one below the old would be refused by every agent.
fn another_machine(world: &mut World) {
    let ahead = world.newest_epoch.since(world.now) + Duration::from_secs(1);
    world.server_clock = SimClock::new(world.now, 0);
    world.server_clock.jump(world.now, ahead, false);
    world.watch.database_lost();
}

/// The old database is put in the place of the one that is there. Where the old server runs on, it
/// does so over what it had.
fn restore(world: &mut World, rival: bool) {
    let Some(backup) = world.backup.take() else { return };
    let old = world.disk.fork();
    world.crash_server(Duration::from_secs(5));
    world.disk.restore(&backup);
    another_machine(world);
    if rival && world.rival.is_none() {
        world.rival = world.boot(&old);
        let time = some_time(&mut world.rng, false) * 2;
        world.later(time, Item::StopRival);
    }
}

/// The old server is stopped at last.
pub(crate) fn stop_rival(world: &mut World) {
    let Some(rival) = world.rival.take() else { return };
    for (n, connection) in rival.lines {
        if world.machines[n].line.rival {
            world.later(Duration::from_millis(1), Item::Closed { n, connection, end: To::Agent });
        }
    }
}

fn power_off(world: &mut World, n: usize, lose_writes: bool) {
    let now = world.now;
    world.machines[n].powered = false;
    world.machines[n].disturbed(now);
    world.agent_closes(n, false);
    world.watch.disturbed(now, world.machines[n].sim.name());
    world.machines[n].sim.power_off(now, lose_writes);
    world.touch(n);
}

/// A machine is switched off and removed; one that returns joins anew.
fn remove(world: &mut World, n: usize, returns: bool) {
    // The first two stay: what is selective has its place there.
    if n < 2 || world.machines[n].leaving {
        return;
    }
    power_off(world, n, false);
    world.later(Duration::from_secs(50), Item::Remove(n));
    if returns {
        world.later(Duration::from_mins(5), Item::PowerOn(n));
    } else {
        world.machines[n].leaving = true;
    }
}

/// Somebody does something to a managed container.
fn hand(world: &mut World, n: usize) {
    let now = world.now;
    if !world.machines[n].sim.runtime.is_up() {
        return;
    }
    let runtime = &world.machines[n].sim.runtime;
    let managed = runtime.containers().filter(|c| c.by_agent && c.info.state.is_alive());
    let ids: Vec<ContainerId> = managed.map(|c| c.info.id.clone()).collect();
    if ids.is_empty() {
        return;
    }
    world.watch.disturbed(now, world.machines[n].sim.name());
    let id = &ids[usize::try_from(world.rng.below(ids.len() as u64)).unwrap()];
    if let Some(pod) = runtime.containers().find(|c| c.info.id == *id).and_then(|c| c.info.labels.get(labels::POD_UID))
    {
        world.watch.hand_on(pod);
    }
    let act = world.rng.below(6);
    world.tell(|| format!("a hand's act {act} on {}", id.0));
    let runtime = &mut world.machines[n].sim.runtime;
    match act {
        0 => runtime.kill(now, id),
        1 => runtime.stop(now, id),
        2 => runtime.remove(now, id),
        3 => runtime.pause(now, id),
        4 => runtime.rename(now, id, "somebody-elses-name"),
        _ => runtime.update(now, id, Resources { memory_bytes: Some(1 << 30), ..Resources::default() }),
    }
    world.touch(n);
}
