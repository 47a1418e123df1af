//! A node is cut off: its pods are replaced elsewhere after their toleration, and when it comes back
//! there are neither too many nor restarts.

use std::{collections::BTreeMap, time::Instant};

use evenkeel_lab::{At, Lab, SHOP_READY, eventually};

use crate::common::{cluster, none_restarted, pods, settled, web};

#[test]
fn a_node_is_cut_off_and_comes_back() {
    let flags = ["--node-grace", "15s", "--default-toleration", "5s", "--eviction-interval", "1s"];
    let mut cluster = cluster(Lab::new(3), &web(9, "1.0"), 9, &flags);
    let mut spread: BTreeMap<String, usize> = BTreeMap::new();
    for node in pods(&cluster).into_values() {
        *spread.entry(node).or_default() += 1;
    }
    assert!(spread.len() == 3 && spread.values().all(|n| *n == 3), "nine pods on three equal nodes: {spread:?}");
    let before = settled(&cluster, 9);

    let watch = cluster.lab.watch(SHOP_READY);
    let cut = Instant::now();
    cluster.lab.cut(At::Node(2));
    eventually("the node is Unknown", || (cluster.ready(2)? == "Unknown").then_some(()));
    // Its last word may be as old as the time between two heartbeats, 10 s.
    assert!(cut.elapsed().as_secs() >= 4, "Unknown after {:?}", cut.elapsed());
    eventually("nine are ready elsewhere", || {
        let pods = cluster.pods("default", "app=web");
        let ready = |p: &serde_json::Value| {
            let conditions = p["status"]["conditions"].as_array().cloned().unwrap_or_default();
            p["spec"]["nodeName"] != "node-2"
                && conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        (pods.iter().filter(|p| ready(p)).count() == 9).then_some(())
    });
    // Cut off from everybody, its containers run on.
    assert_eq!(cluster.lab.engine(2).running("web-").len(), 3);
    let meanwhile = cluster.lab.running("web-");
    none_restarted(&before, &meanwhile);

    let mended = cut.elapsed();
    cluster.lab.mend(At::Node(2));
    eventually("the node is ready again", || (cluster.ready(2)? == "True").then_some(()));
    let after = settled(&cluster, 9);
    for container in &before {
        assert!(after.contains(container), "{container:?} went, or was started anew, and its replacement stayed");
    }
    let seen = watch.stop();
    for sample in &seen {
        // Also afterwards, when there are more than nine for a moment: the replacements go.
        let others = sample.answering[0] >= 3 && sample.answering[2] >= 3;
        assert!(others, "the others served less, {mended:?} after the start the cut was mended: {sample:?}");
        assert!(sample.all() >= 9, "fewer than nine answered somewhere: {sample:?}");
    }
    let drifts = cluster.items(&["drifts"]);
    assert!(drifts.is_empty(), "{drifts:#?}");

    // What the node asks the server for, it asks on a connection that broke in the cut; more pods on it come
    // up as on any other.
    cluster.repo.write("web.json", &web(12, "1.0"));
    let more = cluster.repo.commit("twelve");
    cluster.wait_phase(&more, "Healthy");
    assert_eq!(pods(&cluster).into_values().filter(|node| node == "node-2").count(), 4);
    let events = cluster.items(&["events", "--field-selector", "reason=FailedMount"]);
    assert!(events.is_empty(), "{events:#?}");
    cluster.audit();
}
