//! Slices follow the pods, with as few writes as the change asks for.
#![allow(clippy::needless_pass_by_value)] // so that tests read well

use std::{collections::BTreeSet, vec};

use evenkeel_model::{Rng, session::PodReport};

use super::*;
use crate::{
    change::Change,
    controllers::testkit::{Cluster, pod_report},
};

fn cluster() -> Cluster {
    Cluster::new(&[("n1", "400", "800Gi"), ("n2", "400", "800Gi")])
}

fn service(c: &mut Cluster, name: &str, spec: Value) {
    c.put(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    c.settle();
}

fn pod(c: &mut Cluster, name: &str, node: &str, labels: Value, more: Value) {
    let mut spec = json!({"containers": [{"name": "web", "image": "a:1", "ports": [{"name": "http", "containerPort": 8080}]}],
        "nodeName": node});
    for (k, v) in more.as_object().into_iter().flatten() {
        spec[k] = v.clone();
    }
    c.put(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": spec}));
    c.settle();
}

/// The pod's agent says its address and whether it is ready.
fn says(c: &mut Cluster, name: &str, ip: &str, ready: bool) {
    let pod = c.get(Kind::Pod, name);
    let report = pod_report(&pod, ready, false, c.now);
    let mut status: Value = serde_json::from_slice(&report.status).unwrap();
    status["podIP"] = ip.into();
    let node = pod.node.clone().unwrap();
    c.report(&node, PodReport { status: canonical::value_bytes(&status).into(), ..report });
    c.settle();
}

/// A pod, its address, and whether it is ready, serves, ends.
type Standing = (String, String, [bool; 3]);

/// All slices of a Service: name, ports, and (pod, address, ready, serving, terminating) of each.
fn slices_of(c: &Cluster, name: &str) -> Vec<(Value, Vec<Standing>)> {
    let key = Key::new(Kind::Service, "default", name);
    let text = |v: &Value| v.as_str().unwrap().to_string();
    let one = |e: &Value| {
        let flag = |f: &str| e["conditions"][f].as_bool().unwrap();
        (text(&e["targetRef"]["name"]), text(&e["addresses"][0]), [flag("ready"), flag("serving"), flag("terminating")])
    };
    let all = c.world.services.slices(&key).map(|k| c.world.get(k).unwrap().body_map());
    all.map(|b| (b["ports"].clone(), b["endpoints"].as_array().unwrap().iter().map(one).collect())).collect()
}

#[test]
fn a_pod_comes_in_when_it_is_ready_and_serves_on_while_it_ends() {
    let mut c = cluster();
    service(
        &mut c,
        "web",
        json!({"selector": {"app": "web"}, "ports": [{"name": "w", "port": 80, "targetPort": "http"}]}),
    );
    pod(&mut c, "a", "n1", json!({"app": "web", "tier": "x"}), json!({}));
    pod(&mut c, "b", "n1", json!({"app": "db"}), json!({}));
    assert!(slices_of(&c, "web").is_empty(), "it has no address yet");
    says(&mut c, "a", "10.42.0.5", false);
    says(&mut c, "b", "10.42.0.6", true);
    let ports = json!([{"name": "w", "port": 8080, "protocol": "TCP"}]);
    let with = |flags| vec![(ports.clone(), vec![("a".to_string(), "10.42.0.5".to_string(), flags)])];
    assert_eq!(slices_of(&c, "web"), with([false, false, false]));
    says(&mut c, "a", "10.42.0.5", true);
    assert_eq!(slices_of(&c, "web"), with([true, true, false]));
    let endpoints = c.get(Kind::Endpoints, "web").body_map();
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "10.42.0.5");
    assert_eq!(endpoints["subsets"][0]["ports"][0], json!({"name": "w", "port": 8080, "protocol": "TCP"}));
    let version = c.world.version;
    says(&mut c, "a", "10.42.0.5", true);
    assert_eq!(c.world.version, version, "nothing new writes nothing");
    c.delete(&Key::new(Kind::Pod, "default", "a"));
    c.settle();
    assert_eq!(slices_of(&c, "web"), with([false, true, true]));
    assert!(c.get(Kind::Endpoints, "web").body_map().get("subsets").is_none());
    c.apply(Change::Delete(Key::new(Kind::Pod, "default", "a")));
    c.settle();
    assert!(slices_of(&c, "web").is_empty());
}

#[test]
fn labels_ports_and_flags_are_kubernetes() {
    let mut c = cluster();
    service(
        &mut c,
        "db",
        json!({"selector": {"app": "db"}, "clusterIP": "None", "publishNotReadyAddresses": true,
        "ports": [{"port": 5432}, {"name": "named", "port": 1, "targetPort": "none"}]}),
    );
    pod(&mut c, "db-0", "n2", json!({"app": "db"}), json!({"hostname": "db-0", "subdomain": "db"}));
    says(&mut c, "db-0", "10.42.1.5", false);
    let key = Key::new(Kind::Service, "default", "db");
    let slice = c.world.services.slices(&key).next().unwrap().clone();
    let slice = c.world.get(&slice).unwrap();
    for (label, value) in [(SERVICE_NAME, "db"), (MANAGED_BY, SLICES), (HEADLESS_LABEL, "")] {
        assert_eq!(slice.meta.label(label), Some(value));
    }
    assert_eq!(slice.meta.controller().map(|o| o.uid), Some(c.world.get(&key).unwrap().uid));
    let endpoint = &slice.body_map()["endpoints"][0];
    assert_eq!(endpoint["conditions"], json!({"ready": true, "serving": false, "terminating": false}));
    assert_eq!((&endpoint["hostname"], &endpoint["nodeName"]), (&json!("db-0"), &json!("n2")));
    assert_eq!(slice.body_map()["ports"], json!([{"name": "", "port": 5432, "protocol": "TCP"}]), "no such port");
    c.apply(Change::Delete(key.clone()));
    c.settle();
    assert_eq!(c.world.count(Kind::EndpointSlice), 0, "they go with their Service");
}

#[test]
fn a_slice_holds_a_hundred_and_a_change_writes_one() {
    let mut c = cluster();
    service(&mut c, "web", json!({"selector": {"app": "web"}, "ports": [{"port": 80}]}));
    for n in 0..205 {
        let (name, ip) = (format!("p{n:03}"), format!("10.42.0.{}", n % 250));
        pod(&mut c, &name, "n1", json!({"app": "web"}), json!({}));
        says(&mut c, &name, &ip, true);
    }
    let sizes = |c: &Cluster| -> Vec<usize> {
        let mut all: Vec<usize> = slices_of(c, "web").iter().map(|(_, e)| e.len()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(sizes(&c), [5, 100, 100]);
    let version = c.world.version;
    says(&mut c, "p007", "10.42.0.7", false);
    assert_eq!(c.world.version.0 - version.0, 3, "the pod, its slice, the Endpoints");
    for n in 0..150 {
        c.apply(Change::Delete(Key::new(Kind::Pod, "default", format!("p{n:03}"))));
        c.settle();
    }
    let left = sizes(&c);
    assert_eq!(left.iter().sum::<usize>(), 55);
    assert!(left.len() <= 2, "{left:?}");
}

/// Whatever happens in whatever order, the slices are those of the pods that are there now.
#[test]
fn what_was_followed_equals_what_is_worked_out_anew() {
    for seed in 0..12 {
        let (mut c, mut rng) = (cluster(), Rng::new(seed));
        let apps = ["web", "db"];
        for _ in 0..80 {
            let name = format!("p{}", rng.below(8));
            let key = Key::new(Kind::Pod, "default", name.as_str());
            let app = apps[usize::try_from(rng.below(2)).unwrap()];
            match rng.below(6) {
                0 if c.world.get(&key).is_none() => pod(&mut c, &name, "n1", json!({"app": app}), json!({})),
                1 => {
                    c.apply(Change::Delete(key));
                    c.settle();
                }
                2 if c.world.get(&key).is_some() => {
                    c.delete(&key);
                    c.settle();
                }
                3 => service(&mut c, app, json!({"selector": {"app": app}, "ports": [{"port": 80 + rng.below(2)}]})),
                _ if c.world.get(&key).is_some() => {
                    let ready = rng.below(2) == 0;
                    says(&mut c, &name, &format!("10.42.0.{}", rng.below(50)), ready);
                }
                _ => {}
            }
            for app in apps {
                if c.world.get(&Key::new(Kind::Service, "default", app)).is_none() {
                    continue;
                }
                let told: BTreeSet<(String, [bool; 3])> =
                    slices_of(&c, app).into_iter().flat_map(|(_, e)| e).map(|(pod, _, flags)| (pod, flags)).collect();
                let there: BTreeSet<(String, [bool; 3])> = c
                    .pods()
                    .iter()
                    .filter(|p| p.meta.label("app") == Some(app))
                    .filter_map(|p| Some((p, c.world.pods.get(&p.key).filter(|r| r.address.is_some())?)))
                    .map(|(p, r)| {
                        let serving = r.ready_since.is_some();
                        (p.key.name.to_string(), [serving && !r.terminating, serving, r.terminating])
                    })
                    .collect();
                assert_eq!(told, there, "seed {seed}");
            }
        }
    }
}

#[test]
fn hints_say_for_whom_an_endpoint_is_meant_first() {
    let mut c = cluster();
    let mut node = Object::clone(&c.get(Kind::Node, "n1"));
    node.meta.set_label(ZONE, "west");
    c.apply(Change::Put(Arc::new(node)));
    let spec =
        |wanted: Value| json!({"selector": {"app": "web"}, "ports": [{"port": 80}], "trafficDistribution": wanted});
    service(&mut c, "web", spec(json!("PreferClose")));
    for (name, node, ip) in [("a", "n1", "10.42.1.2"), ("b", "n2", "10.42.2.2"), ("c", "n1", "10.42.1.3")] {
        pod(&mut c, name, node, json!({"app": "web"}), json!({}));
        says(&mut c, name, ip, name != "c");
    }
    let hints = |c: &Cluster| -> BTreeMap<String, Value> {
        let key = Key::new(Kind::Service, "default", "web");
        let all = c
            .world
            .services
            .slices(&key)
            .flat_map(|k| c.world.get(k).unwrap().body_map()["endpoints"].as_array().unwrap().clone());
        all.map(|e| (e["targetRef"]["name"].as_str().unwrap().into(), e["hints"].clone())).collect()
    };
    let (zones, null) = (json!([{"name": "west"}]), Value::Null);
    let expect = |a: Value, b: Value| BTreeMap::from([("a".into(), a), ("b".into(), b), ("c".into(), null.clone())]);
    // The node of b has no zone, and c is not ready.
    assert_eq!(hints(&c), expect(json!({"forZones": zones}), null.clone()));
    service(&mut c, "web", spec(json!("PreferSameNode")));
    let of_n2 = json!({"forNodes": [{"name": "n2"}]});
    assert_eq!(hints(&c), expect(json!({"forNodes": [{"name": "n1"}], "forZones": zones}), of_n2));
    let net = crate::service::net::service_net(&c.world, &c.get(Kind::Service, "web"));
    assert_eq!(net.endpoints[0].hints.as_ref().unwrap().zones, ["west".into()]);
    service(&mut c, "web", spec(null.clone()));
    assert_eq!(hints(&c), expect(null.clone(), null.clone()));
}
