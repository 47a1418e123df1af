//! A node joins in the middle of a rollout: it takes new pods at once, and nothing that already runs
//! moves because of it.

use evenkeel_lab::{Lab, SHOP_READY, eventually};

use crate::common::{
    begin_rollout, cluster, never_failed, none_restarted, nothing_evicted, of_tag, pods, settled, web,
};

#[test]
fn in_the_middle_of_a_rollout() {
    let mut cluster = cluster(Lab::new(2), &web(8, "1.0"), 8, &[]);
    let watch = cluster.lab.watch(SHOP_READY);
    let second = begin_rollout(&cluster, &web(8, "1.1"), 1);
    let node = cluster.lab.add_node();
    cluster.join(node);
    let (new, held) = (of_tag(&cluster, "1.1"), cluster.lab.running("web-"));
    eventually("the node is ready", || (cluster.ready(node)? == "True").then_some(()));
    cluster.wait_phase(&second, "Healthy");
    let after = settled(&cluster, 8);
    none_restarted(&held, &after);
    for pod in &new {
        assert!(after.iter().any(|c| c.pod == *pod), "{pod} moved: {after:?}");
    }
    let here = pods(&cluster).values().filter(|n| *n == "node-3").count();
    assert!(here >= 1, "a new, empty node takes pods of a rollout under way: {:?}", pods(&cluster));
    let seen = watch.stop();
    assert!(seen.iter().all(|s| s.all() >= 8) && seen.iter().any(|s| s.answering.len() == 3), "{seen:?}");
    never_failed(&cluster, &second);
    nothing_evicted(&cluster);
    cluster.audit();
}
