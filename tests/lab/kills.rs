//! `kill -9` at random moments of rollouts, of the server, of agents and of engines: the end is
//! right, nothing that was acknowledged is lost, and at no moment do fewer answer than promised.

use std::time::Duration;

use evenkeel_lab::{Client, Cluster, Lab, SHOP_READY, Sample, eventually};

use crate::common::{Chance, Writer, begin_rollout, cluster, long, never_failed, of_tag, settled, web};

const REPLICAS: u32 = 4;

/// Tags of rollouts, one after the other.
fn tag(rollout: usize) -> &'static str {
    if rollout.is_multiple_of(2) { "1.0" } else { "1.1" }
}

/// Kills so many times, in as many rollouts as that takes; sees each rollout through.
fn rollouts(cluster: &mut Cluster, kills: usize, mut kill: impl FnMut(&mut Cluster, &mut Chance)) {
    let (mut done, mut rollout, mut chance) = (0, 0, Chance::new());
    while done < kills {
        rollout += 1;
        let commit = begin_rollout(cluster, &web(REPLICAS, tag(rollout)), 1);
        for _ in 0..5.min(kills - done) {
            chance.wait(Duration::from_millis(900));
            kill(cluster, &mut chance);
            done += 1;
        }
        cluster.wait_phase(&commit, "Healthy");
        cluster.wait_ready("default", "web", REPLICAS.into());
        never_failed(cluster, &commit);
    }
    settled(cluster, REPLICAS as usize);
    assert_eq!(of_tag(cluster, tag(rollout)).len(), REPLICAS as usize);
    cluster.audit();
}

fn kept_the_promise(seen: &[Sample]) {
    let least = seen.iter().map(Sample::all).min().unwrap_or_default();
    let at = seen.iter().find(|s| s.all() == least);
    assert!(seen.len() > 20 && least >= REPLICAS as usize, "only {least} of {REPLICAS} answered: {at:?}");
}

#[test]
fn of_the_server() {
    let mut cluster = cluster(Lab::new(3), &web(REPLICAS, "1.0"), REPLICAS.into(), &[]);
    let watch = cluster.lab.watch(SHOP_READY);
    let writer = Writer::start(Client::clone(&cluster));
    rollouts(&mut cluster, if long() { 50 } else { 10 }, |cluster, _| {
        cluster.server_kill();
        cluster.server_start();
    });
    kept_the_promise(&watch.stop());
    writer.none_lost(&cluster);
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "{drifts:#?}");
}

#[test]
fn of_agents_and_engines() {
    let mut cluster = cluster(Lab::with_engines(&[true, true, false]), &web(REPLICAS, "1.0"), REPLICAS.into(), &[]);
    let watch = cluster.lab.watch(SHOP_READY);
    rollouts(&mut cluster, if long() { 50 } else { 10 }, |cluster, chance| {
        // Every third time an engine; of the two that restore their containers.
        if chance.below(3) == 0 {
            let node = usize::try_from(chance.below(2)).unwrap() + 1;
            cluster.lab.engine_kill(node);
            cluster.lab.engine_start(node);
        } else {
            let node = usize::try_from(chance.below(3)).unwrap() + 1;
            cluster.agent_kill(node);
            cluster.agent_start(node);
        }
    });
    kept_the_promise(&watch.stop());

    // An engine that does not restore its containers stops them all when it starts again: that is
    // the engine's doing, nobody is blamed, and all of them come back.
    let release = cluster.repo.git(&["rev-parse", "HEAD"]);
    let pods = crate::common::pods(&cluster);
    cluster.lab.engine_kill(3);
    cluster.lab.engine_start(3);
    eventually("all answer again", || {
        (cluster.lab.answering(&SHOP_READY).iter().sum::<usize>() == REPLICAS as usize).then_some(())
    });
    settled(&cluster, REPLICAS as usize);
    assert_eq!(crate::common::pods(&cluster), pods, "an engine's restart is no reason to move");
    never_failed(&cluster, &release);
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "{drifts:#?}");
    cluster.audit();
}
