//! An upgrade over running containers: the server first, then the agents one by one. Nothing is
//! restarted, and nobody serves less meanwhile.
//!
//! The newer version is another file with the same program; what an older one leaves behind on disk
//! and on the wire is in the samples of the crates `store`, `agent` and `wire`.

use std::fs;

use evenkeel_lab::{Lab, SHOP_READY, eventually};

use crate::common::{cluster, nothing_evicted, settled, web};

#[test]
fn the_server_first_then_the_agents_one_by_one() {
    let mut cluster = cluster(Lab::new(3), &web(6, "1.0"), 6, &[]);
    let before = settled(&cluster, 6);
    let watch = cluster.lab.watch(SHOP_READY);
    let next = cluster.lab.dir().join("evenkeel-next");
    fs::copy(&cluster.binary, &next).unwrap();

    cluster.use_binary(next.clone());
    cluster.server_stop();
    cluster.server_start();
    cluster.wait_nodes();
    assert_eq!(settled(&cluster, 6), before);
    for node in 1..=3 {
        cluster.agent_stop(node);
        let name = cluster.lab.node(node).name().to_string();
        // A server of the next version and agents of both: what is written comes everywhere.
        cluster.evenkeel(&["node", "cordon", &name]);
        cluster.agent_start(node);
        let pid = cluster.agent(node).pid();
        assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap(), next);
        eventually("its agent reports again", || {
            // Of all six pods, and so over its streams as well.
            let said = cluster.evenkeel_output(&["logs", "-l", "app=web", "--tail", "1"]);
            (said.status.success() && cluster.ready(node)? == "True").then_some(())
        });
        cluster.evenkeel(&["node", "uncordon", &name]);
        assert_eq!(settled(&cluster, 6), before);
    }
    nothing_evicted(&cluster);
    let few: Vec<_> = watch.stop().into_iter().filter(|sample| sample.all() < 6).collect();
    assert!(few.is_empty(), "fewer than six answered: {few:?}");
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "{drifts:#?}");
    // And it works: a rollout by the new ones.
    cluster.repo.write("web.json", &web(6, "1.1"));
    let second = cluster.repo.commit("by the next version");
    cluster.wait_phase(&second, "Healthy");
    cluster.audit();
}
