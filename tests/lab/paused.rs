//! Time that nobody watched is no time: a server whose machine stood still evicts nobody when it
//! goes on, and an agent that stood still is silent, no more.

use std::{thread, time::Duration};

use evenkeel_lab::{At, Lab, SHOP_READY, eventually};

use crate::common::{cluster, none_restarted, nothing_evicted, settled, web};

#[test]
fn a_machine_that_stands_still_costs_no_pod() {
    let flags = ["--node-grace", "15s", "--default-toleration", "1s", "--eviction-interval", "1s"];
    let mut cluster = cluster(Lab::new(2), &web(4, "1.0"), 4, &flags);
    let before = settled(&cluster, 4);
    let watch = cluster.lab.watch(SHOP_READY);

    // Longer than a node may be silent and its pods tolerate it.
    cluster.lab.freeze(At::Server);
    thread::sleep(Duration::from_secs(25));
    cluster.lab.thaw(At::Server);
    cluster.wait_nodes();
    nothing_evicted(&cluster);
    assert_eq!(settled(&cluster, 4), before);

    // An agent that stands still for less than the grace costs nothing, not even a word.
    cluster.agent(1).pause();
    thread::sleep(Duration::from_secs(3));
    cluster.agent(1).resume();
    cluster.wait_nodes();
    nothing_evicted(&cluster);
    let after = settled(&cluster, 4);
    none_restarted(&before, &after);
    assert_eq!(after, before);

    // Half of the nodes silent is not more than half: now pods are replaced. The node's containers
    // run on until its agent hears of it. It goes on at once the first time, so that its pods and the
    // replacements are taken for each other if anything is; later the second time.
    for replaced in [false, true] {
        cluster.agent(1).pause();
        eventually("the node is Unknown", || (cluster.ready(1)? == "Unknown").then_some(()));
        eventually("its pods are replaced", || {
            let all = cluster.pods("default", "app=web");
            let going = all.iter().any(|p| !p["metadata"]["deletionTimestamp"].is_null());
            let gone = all.len() == 4 && all.iter().all(|p| p["spec"]["nodeName"] == "node-2");
            (if replaced { gone } else { going || gone }).then_some(())
        });
        assert_eq!(cluster.lab.engine(1).running("web-").len(), 2);
        cluster.agent(1).resume();
        cluster.wait_nodes();
        none_restarted(&before, &settled(&cluster, 4));
    }

    let few: Vec<_> = watch.stop().into_iter().filter(|sample| sample.all() < 4).collect();
    assert!(few.is_empty(), "fewer than four answered: {few:?}");
    cluster.audit();
}
