//! An update never takes a workload below its promise, watched from outside all the way.

use crate::support::{App, Cluster, count_answers, eventually};

#[test]
fn an_update_keeps_the_promised_pods_answering() {
    let app = |tag| App { replicas: 3, tag, ..App::default() };
    let cluster = Cluster::start(&[("web.json", &app("1.0").yaml())]);
    cluster.wait_ready("default", "web", 3);

    // From outside, without asking Evenkeel: how many of the containers that run answer, at 20 Hz.
    let sampler = count_answers(&cluster);
    cluster.repo.write("web.json", &app("1.1").yaml());
    let second = cluster.repo.commit("web 1.1");
    cluster.wait_phase(&second, "Healthy");
    let counts = sampler.stop();
    let least = counts.iter().min().copied().unwrap_or_default();
    assert!(counts.len() > 5 && least >= 3, "only {least} of 3 answered at some moment: {counts:?}");
    for pod in cluster.pods("default", "app=web") {
        assert_eq!(pod["spec"]["containers"][0]["image"], "shop.example/shop:1.1");
    }
    cluster.audit();
}

#[test]
fn a_changed_config_rolls_the_pods_that_use_it() {
    let container =
        r#""env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "greeting"}}}]"#;
    let web = App { replicas: 2, container, ..App::default() }.yaml();
    let config = |text| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "c"}}, "data": {{"greeting": "{text}"}}}}"#
        )
    };
    let cluster = Cluster::start(&[("web.json", &web), ("config.json", &config("one"))]);
    cluster.wait_ready("default", "web", 2);
    let before = cluster.running("web-");
    cluster.repo.write("config.json", &config("two"));
    let commit = cluster.repo.commit("another greeting");
    cluster.wait_phase(&commit, "Healthy");
    cluster.wait_ready("default", "web", 2);
    // Complete does not wait for the old pods, which end in their grace.
    let after = eventually("two other pods, and the old ones gone", || {
        let after = cluster.running("web-");
        (after.len() == 2 && after.iter().all(|c| !before.contains(c))).then_some(after)
    });
    let env = crate::support::docker(&["inspect", "--format", "{{.Config.Env}}", &after[0].id]);
    assert!(env.contains("GREETING=two"), "{env}");
    // The Deployment itself does not carry the digest.
    let deployment = cluster.kubectl(&["get", "deployment", "web", "-o", "yaml"]);
    assert!(!deployment.contains("config-digest"), "{deployment}");
}
