//! A commit becomes running containers; what git says is what runs.

use std::process::Command;

use crate::{
    ingress,
    support::{App, Cluster, eventually, http_status, output},
};

#[test]
fn a_commit_becomes_running_containers() {
    let web = App { replicas: 2, ..App::default() }.yaml();
    let cluster = Cluster::start(&[("web.json", &web)]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_ready("default", "web", 2);
    assert_eq!(cluster.running("web-").len(), 2);
    for pod in cluster.pods("default", "app=web") {
        let ip = pod["status"]["podIP"].as_str().expect("an address").to_string();
        assert_eq!(http_status(&format!("{ip}:8080"), "/readyz"), Some(200));
    }
    let release = cluster.wait_phase(&first, "Healthy");
    assert_eq!(release["status"]["changes"]["created"], 1);
    assert_eq!(release["spec"]["author"], "Someone <someone@shop.example>");
    let table = cluster.kubectl(&["get", "deployments,replicasets,pods,sources,releases"]);
    assert!(table.contains("deployment.apps/web") && table.contains("2/2"), "{table}");
    cluster.audit();
    assert!(cluster.said().contains("Healthy"), "{}", cluster.said());
}

#[test]
fn the_example_runs_as_its_readme_says() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests-example");
    let files: Vec<(String, String)> = std::fs::read_dir(root)
        .unwrap()
        .filter_map(|e| {
            let path = e.unwrap().path();
            let name = path.file_name()?.to_str()?.to_string();
            path.extension().is_some_and(|e| e == "yaml").then(|| (name, std::fs::read_to_string(&path).unwrap()))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let [http, https] = ingress::ports();
    let flags = ingress::flags([http, https]);
    let cluster = Cluster::start_with(&files, &flags.each_ref().map(String::as_str));
    cluster.wait_ready("shop", "web", 3);
    cluster.wait_ready("shop", "api", 2);
    let status = cluster.evenkeel(&["status"]);
    assert!(status.contains("web") && status.contains("3/3"), "{status}");
    // The page, which asks the other application by its name.
    let address = cluster.json(&["service", "web", "-n", "shop"]).unwrap()["spec"]["clusterIP"].clone();
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/target/example/shop");
    // At the Service, and in a browser by the Ingress.
    for at in [format!("{}:80", address.as_str().unwrap()), format!("127.0.0.1:{http}")] {
        let page = eventually("the page has the api's word", || {
            let got = output(Command::new(shop).args(["get", &at]));
            let page = String::from_utf8_lossy(&got.stdout).into_owned();
            page.contains("the api says: Hello from shop 1.0, api").then_some(page)
        });
        assert!(page.starts_with("Welcome from shop 1.0, web"), "{at}: {page}");
    }
}
