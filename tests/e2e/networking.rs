//! Services and names on one node: pods reach them by every way there is, an update loses no request,
//! and what others do to the rules is put right.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output};

/// The Service of `web`.
fn service(more: Value) -> String {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    let Value::Object(fields) = more else { panic!("{more} is no mapping") };
    for (field, value) in fields {
        spec[&field] = value;
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}).to_string()
}

/// A pod to ask from.
fn client() -> String {
    let hang = r#""command": ["/shop", "hang"]"#;
    App { name: "client", container: hang, ..App::default() }.yaml()
}

/// The example's program, as it runs on the machine.
fn shop() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop"))
}

/// Runs the program in a pod.
fn in_client(cluster: &Cluster, args: &[&str]) -> Result<String, String> {
    cluster.kubectl_try(&[&["exec", "deployment/client", "--", "/shop"], args].concat())
}

/// Asks 200 times a second, by a program of its own, until it is told to end.
fn load(address: &str) -> Child {
    let mut command = shop();
    command.args(["load", address, "200", "600", "listen"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn none_failed(mut load: Child, what: &str) {
    drop(load.stdin.take());
    let done = load.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains(" 0 failed"), "{what}: {said}");
}

#[test]
fn an_update_loses_no_request_by_any_way_in() {
    let web = |tag| App { replicas: 3, tag, ..App::default() }.yaml();
    let service = service(json!({"type": "NodePort"}));
    let files = [("web.json", &*web("1.0")), ("service.json", &*service), ("client.json", &*client())];
    let cluster = Cluster::start(&files);
    cluster.wait_ready("default", "web", 3);
    cluster.wait_ready("default", "client", 1);
    let object = cluster.json(&["service", "web"]).unwrap();
    let address = format!("{}:80", object["spec"]["clusterIP"].as_str().unwrap());
    let port = &object["spec"]["ports"][0]["nodePort"];
    let nodes = cluster.items(&["nodes"]);
    let addresses = nodes[0]["status"]["addresses"].as_array().unwrap();
    let node = addresses.iter().find(|a| a["type"] == "InternalIP").unwrap()["address"].as_str().unwrap().to_owned();
    let at_node = format!("{node}:{port}");

    // By names, from a pod; and by addresses, from the machine.
    for name in ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"] {
        let said = eventually(name, || in_client(&cluster, &["get", &format!("{name}:80")]).ok());
        assert!(said.contains("from shop 1.0"), "{said}");
    }
    for address in [&address, &at_node] {
        let got = output(shop().args(["get", address]));
        assert!(got.status.success(), "{got:?}");
    }

    // Through the API server, as pages of programs in a cluster are looked at.
    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    for id in ["services/web", "services/http:web:http", &format!("pods/{pod}:8080")] {
        let said = cluster.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/default/{id}/proxy/")]);
        assert!(said.contains("from shop 1.0"), "{id}: {said}");
    }
    let refused = cluster.kubectl_try(&["get", "--raw", &format!("/api/v1/namespaces/default/pods/{pod}:9/proxy/")]);
    assert!(refused.as_ref().is_err_and(|e| e.contains("nothing listens on port 9")), "{refused:?}");

    // The network itself, also from one node alone.
    let said = cluster.evenkeel(&["net", "check"]);
    assert!(said.lines().nth(1).is_some_and(|row| row.contains("Checked") && row.contains(" 0 ")), "{said}");

    let loads = [("ClusterIP", load(&address)), ("NodePort", load(&at_node))];
    for (tag, message) in [("1.1", "second"), ("1.0", "third")] {
        cluster.repo.write("web.json", &web(tag));
        let commit = cluster.repo.commit(message);
        cluster.wait_phase(&commit, "Healthy");
    }
    for (what, load) in loads {
        none_failed(load, what);
    }
    cluster.audit();
}

#[test]
fn a_service_says_who_stands_behind_it_and_flushed_rules_are_a_drift() {
    let files = [("service.json", &*service(json!({}))), ("client.json", &*client())];
    let cluster = Cluster::start(&files);
    cluster.wait_ready("default", "client", 1);
    let address = cluster.json(&["service", "web"]).unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    // Nobody there: refused at once, by address and by name.
    for host in [&*address, "web"] {
        let error = in_client(&cluster, &["get", &format!("{host}:80")]).unwrap_err();
        assert!(error.contains("refused"), "{error}");
    }
    let described = cluster.evenkeel(&["describe", "service", "web"]);
    assert!(described.contains("nobody: no pod of namespace default has the labels app=web"), "{described}");
    // Objects that no source owns, by kubectl's own commands.
    cluster.kubectl(&["create", "deployment", "till", "--image=shop.example/shop:1.0", "--replicas=2"]);
    cluster.kubectl(&["expose", "deployment", "till", "--port=80", "--target-port=8080"]);
    cluster.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", "deployment/till"]);
    let said = eventually("the exposed one answers", || in_client(&cluster, &["get", "till:80"]).ok());
    assert!(said.contains("from shop 1.0"), "{said}");
    // Endpoints by hand, in git, for a Service without selector.
    let pod = cluster.pods("default", "app=till").remove(0)["status"]["podIP"].clone();
    let by_hand = json!([
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "elsewhere"}, "spec": {"ports": [{"port": 80}]}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "elsewhere"},
            "subsets": [{"addresses": [{"ip": pod}], "ports": [{"port": 8080}]}]},
    ]);
    cluster.repo.write("by-hand.json", &json!({"apiVersion": "v1", "kind": "List", "items": by_hand}).to_string());
    cluster.wait_phase(&cluster.repo.commit("a way to elsewhere"), "Healthy");
    let said = eventually("what was written by hand answers", || in_client(&cluster, &["get", "elsewhere:80"]).ok());
    assert!(said.contains("from shop 1.0"), "{said}");
    let described = cluster.evenkeel(&["describe", "service", "till"]);
    assert_eq!(
        described.lines().filter(|l| l.trim().starts_with("till-") && l.ends_with(" ready")).count(),
        2,
        "{described}"
    );
    let table = cluster.kubectl(&["get", "services,endpointslices"]);
    assert!(table.contains("service/till") && table.contains("endpointslice.discovery.k8s.io/till-"), "{table}");

    let list = String::from_utf8(output(Command::new("nft").args(["list", "tables"])).stdout).unwrap();
    let id = cluster.id();
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>().to_lowercase();
    let table = format!("evenkeel_{short}");
    assert!(list.lines().any(|l| l == format!("table ip {table}")), "{table} is not in\n{list}");
    let flushed = output(Command::new("nft").args(["flush", "table", "ip", &table]));
    assert!(flushed.status.success(), "{flushed:?}");
    eventually("it leads there again", || in_client(&cluster, &["get", "till:80"]).ok());
    let drift = eventually("the drift is recorded", || {
        cluster.items(&["drifts"]).into_iter().find(|d| d["spec"]["object"]["kind"] == "Node")
    });
    assert_eq!(drift["status"]["resolution"], "Healed", "{drift:#}");
    assert!(drift["spec"]["live"].as_str().unwrap().contains("another program"), "{drift:#}");

    cluster.kubectl(&["delete", "service", "till"]);
    eventually("the name is gone", || {
        in_client(&cluster, &["get", "till:80"]).err().filter(|e| e.contains("no address"))
    });
    let data = cluster.data();
    drop(cluster);
    let left = String::from_utf8(output(Command::new("nft").args(["list", "tables"])).stdout).unwrap();
    assert!(!left.contains(&table), "`down` left {table} behind ({})", data.display());
}
