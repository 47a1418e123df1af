//! Nodes and server cannot speak to each other, beginning in the middle of a rollout, while
//! containers are killed on the nodes: agents restart them alone, nothing is evicted, and afterwards
//! the rollout goes on where it was. The same with a server that is down.

use std::time::{Duration, Instant};

use evenkeel_lab::{Cluster, Container, Lab, SHOP_READY, eventually};

use crate::common::{
    begin_rollout, cluster, for_as_long_as, long, never_failed, none_restarted, nothing_evicted, of_tag, settled, web,
    web_with_deadline,
};

const REPLICAS: u32 = 6;

/// How long, and how long pods tolerate a node that is away.
fn times() -> (Duration, &'static str) {
    if long() { (Duration::from_mins(10), "60s") } else { (Duration::from_secs(90), "10s") }
}

#[test]
fn a_cut_between_the_server_and_all_agents() {
    let (time, toleration) = times();
    let flags = ["--default-toleration", toleration];
    let mut cluster = cluster(Lab::new(3), &web(REPLICAS, "1.0"), REPLICAS.into(), &flags);
    let second = begin_rollout(&cluster, &web(REPLICAS, "1.1"), 2);

    let cut = Instant::now();
    cluster.cut_server_from_nodes();
    let killed = kill_while(&cluster, time);
    let unknown = (1..=3).filter(|node| cluster.ready(*node).as_deref() == Some("Unknown")).count();
    assert_eq!(unknown, 3, "after {:?} all nodes are silent", cut.elapsed());
    nothing_evicted(&cluster);
    let held = cluster.lab.running("web-");
    let new = of_tag(&cluster, "1.1");
    cluster.lab.heal();
    ends_well(&cluster, &second, &held, &new, &killed);
}

#[test]
fn a_server_that_is_down() {
    let (time, toleration) = times();
    // The deadline would have passed long ago.
    let deadline = u32::try_from(time.as_secs()).unwrap() * 2 / 3;
    let web = |tag| web_with_deadline(REPLICAS, tag, deadline);
    let flags = ["--default-toleration", toleration];
    let mut cluster = cluster(Lab::new(3), &web("1.0"), REPLICAS.into(), &flags);
    let second = begin_rollout(&cluster, &web("1.1"), 2);
    let new = of_tag(&cluster, "1.1");
    cluster.server_kill();
    let killed = kill_while(&cluster, time);
    let held = cluster.lab.running("web-");
    cluster.server_start();
    ends_well(&cluster, &second, &held, &new, &killed);
    let deployment = cluster.json(&["deployment", "web"]).unwrap();
    assert!(!deployment["status"].to_string().contains("ProgressDeadlineExceeded"), "{deployment:#}");
}

/// Looks, two a second, in which nothing changes on nodes at rest.
const LOOKS: u32 = 8;

/// Kills containers for a time, node by node, and sees each come back at its place: the same pod, on
/// the same node. Gives those that were killed.
fn kill_while(cluster: &Cluster, time: Duration) -> Vec<Container> {
    // What was under way on the nodes when the connection went ends first. A pod that begins shows nothing until its
    // container runs, which takes seconds on a busy machine: so nothing may change from look to look for some.
    let (mut last, mut looks) = (Vec::new(), 0);
    eventually("the nodes come to rest", || {
        let now = cluster.lab.running("web-");
        let rest = now == last && cluster.lab.answering(&SHOP_READY).iter().sum::<usize>() == now.len();
        looks = if rest { looks + 1 } else { 0 };
        last = now;
        std::thread::sleep(Duration::from_millis(500));
        (looks == LOOKS).then_some(())
    });
    let (mut killed, mut node) = (Vec::new(), 0);
    for_as_long_as(time, time / 8, || {
        node = node % cluster.lab.nodes() + 1;
        let engine = cluster.lab.engine(node);
        let Some(victim) = engine.running("web-").into_iter().next() else { return };
        engine.kill_container(&victim.id);
        eventually("it runs again", || {
            engine.running("web-").into_iter().find(|c| c.pod == victim.pod && *c != victim).map(|_| ())
        });
        killed.push(victim);
    });
    assert!(killed.len() >= 6, "{killed:?}");
    let pods = |all: &[Container]| all.iter().map(|c| c.pod.clone()).collect::<Vec<_>>();
    assert_eq!(pods(&cluster.lab.running("web-")), pods(&last), "agents alone keep what they had");
    killed
}

fn ends_well(
    cluster: &Cluster,
    commit: &str,
    held: &[Container],
    new: &std::collections::BTreeSet<String>,
    killed: &[Container],
) {
    cluster.wait_nodes();
    cluster.wait_phase(commit, "Healthy");
    let after = settled(cluster, REPLICAS as usize);
    none_restarted(held, &after);
    assert!(new.len() >= 2, "{new:?}");
    for pod in new {
        assert!(after.iter().any(|c| c.pod == *pod), "{pod} of the new template did not stay: {after:?}");
    }
    assert_eq!(of_tag(cluster, "1.1").len(), REPLICAS as usize);
    never_failed(cluster, commit);
    nothing_evicted(cluster);
    // Each kill is on record once.
    let drifts = cluster.items(&["drifts"]);
    let counted: u64 = drifts.iter().filter_map(|d| d["status"]["count"].as_u64()).sum();
    assert_eq!(counted, killed.len() as u64, "{killed:#?}\n{drifts:#?}");
    cluster.audit();
}
