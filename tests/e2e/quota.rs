//! ResourceQuotas and LimitRanges by the real `kubectl` and through git: what is too much is refused, a
//! workload gets as many pods as there is room for and the rest when there is more.

use std::fs;

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually};

fn quota(pods: u32) -> String {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "default"},
        "spec": {"hard": {"pods": pods.to_string(), "limits.memory": "256Mi", "count/services": "9"}}})
    .to_string()
}

#[test]
fn a_namespace_has_so_much_and_no_more() {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds", "namespace": "default"},
        "spec": {"limits": [{"type": "Container", "default": {"memory": "32Mi"}, "max": {"memory": "64Mi"}}]}});
    let app = App { replicas: 3, ..App::default() }.yaml();
    let cluster = Cluster::start_with(
        &[("quota.json", &quota(2)), ("range.json", &range.to_string()), ("web.json", &app)],
        &["--watch-window", "1s"],
    );
    cluster.wait_ready("default", "web", 2);
    let failure = eventually("the Deployment says why", || {
        let web = cluster.json(&["deployment", "web"])?;
        let found = web["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "ReplicaFailure")?.clone();
        found["message"].as_str().map(str::to_owned)
    });
    let words = "is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2";
    assert!(failure.contains(words), "{failure}");
    eventually("the release says it, too", || {
        let releases = cluster.items(&["releases"]);
        releases.iter().any(|r| r.to_string().contains("exceeded quota: team")).then_some(())
    });
    eventually("an event says it", || cluster.kubectl(&["get", "events"]).contains("FailedCreate").then_some(()));
    let table = cluster.kubectl(&["get", "quota"]);
    assert!(table.contains("pods: 2/2") && table.contains("limits.memory: 64Mi/256Mi"), "{table}");
    let described = cluster.kubectl(&["describe", "quota", "team"]);
    assert!(described.contains("Resource") && described.contains("64Mi"), "{described}");
    let described = cluster.kubectl(&["describe", "limitrange", "bounds"]);
    assert!(described.contains("Container") && described.contains("32Mi"), "{described}");
    let namespace = cluster.kubectl(&["describe", "namespace", "default"]);
    assert!(namespace.contains("Resource Quotas") && namespace.contains("Resource Limits"), "{namespace}");
    let pod = cluster.pods("default", "app=web")[0].clone();
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"memory": "32Mi"}));

    by_hand(&cluster);
    cluster.repo.write("quota.json", &quota(3));
    cluster.repo.commit("room for one more");
    cluster.wait_ready("default", "web", 3);
    eventually("nothing is held up any more", || {
        let web = cluster.json(&["deployment", "web"])?;
        (!web["status"].to_string().contains("ReplicaFailure")).then_some(())
    });
    eventually("the release is up", || {
        let phases: Vec<Value> = cluster.items(&["releases"]).iter().map(|r| r["status"]["phase"].clone()).collect();
        phases.contains(&json!("Healthy")).then_some(())
    });
    cluster.audit();
}

fn by_hand(cluster: &Cluster) {
    let refused = |args: &[&str], words: &str| match cluster.kubectl_try(args) {
        Ok(said) => panic!("{args:?} was taken: {said}"),
        Err(said) => assert!(said.contains(words), "{args:?}: {said}"),
    };
    let image = "--image=shop.example/shop:1.0";
    refused(&["run", "more", image], "exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2");
    let big = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"containers": [
        {"name": "a", "image": "shop.example/shop:1.0", "resources": {"limits": {"memory": "1Gi"}}}]}});
    let path = cluster.dir.path().join("big.json");
    fs::write(&path, big.to_string()).unwrap();
    let words = "pods \"big\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 1Gi";
    refused(&["create", "-f", path.to_str().unwrap()], words);
    cluster.kubectl(&["create", "namespace", "other"]);
    cluster.kubectl(&["create", "quota", "maps", "--hard=count/configmaps=2,services.nodeports=0", "-n", "other"]);
    eventually("the namespace's own map is counted", || {
        cluster.kubectl(&["get", "quota", "-n", "other"]).contains("count/configmaps: 1/2").then_some(())
    });
    cluster.kubectl(&["create", "configmap", "one", "-n", "other"]);
    refused(
        &["create", "configmap", "two", "-n", "other"],
        "configmaps \"two\" is forbidden: exceeded quota: maps, requested: count/configmaps=1, used: \
         count/configmaps=2, limited: count/configmaps=2",
    );
    refused(&["create", "service", "nodeport", "web", "--tcp=80", "-n", "other"], "services.nodeports=1");
    refused(
        &["create", "quota", "none", "--hard=deployments=1", "-n", "other"],
        "must be a standard resource for quota",
    );
}
