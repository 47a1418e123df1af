//! An update never takes a workload below its promise, watched from outside all the way.

use std::sync::{Arc, Mutex};

use crate::support::{App, Cluster, Sampler, http_status};

#[test]
fn an_update_keeps_the_promised_pods_answering() {
    let app = |tag| App { replicas: 3, tag, ..App::default() };
    let cluster = Cluster::start(&[("web.json", &app("1.0").yaml())]);
    cluster.wait_ready("default", "web", 3);

    // From outside: how many of the pods that the API shows as ready answer, at 20 Hz.
    let addresses: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = addresses.clone();
    let sampler = Sampler::start(move || {
        let all = known.lock().unwrap().clone();
        all.iter().filter(|a| http_status(a, "/readyz") == Some(200)).count()
    });
    let note = || {
        let pods = cluster.pods("default", "app=web");
        let ready =
            pods.iter().filter(|p| p["status"]["conditions"].to_string().contains(r#""status":"True","type":"Ready""#));
        let ips = ready.filter_map(|p| p["status"]["podIP"].as_str().map(|ip| format!("{ip}:8080")));
        let mut all = addresses.lock().unwrap();
        for ip in ips {
            if !all.contains(&ip) {
                all.push(ip);
            }
        }
    };
    note();
    assert_eq!(addresses.lock().unwrap().len(), 3);

    cluster.repo.write("web.json", &app("1.1").yaml());
    let second = cluster.repo.commit("web 1.1");
    crate::support::eventually("the update is done", || {
        note();
        let release = cluster.release(&second)?;
        (release["status"]["phase"] == "Healthy").then_some(())
    });
    let samples = sampler.stop();
    let least = samples.iter().skip(1).min().copied().unwrap_or_default();
    assert!(least >= 3, "only {least} of 3 answered at some moment: {samples:?}");
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
    let after = cluster.running("web-");
    assert!(after.iter().all(|c| !before.contains(c)), "the pods were not made anew: {after:?}");
    let env = crate::support::docker(&["inspect", "--format", "{{.Config.Env}}", &after[0].id]);
    assert!(env.contains("GREETING=two"), "{env}");
    // The Deployment itself does not carry the digest.
    let deployment = cluster.kubectl(&["get", "deployment", "web", "-o", "yaml"]);
    assert!(!deployment.contains("config-digest"), "{deployment}");
}
