//! What Services are given, on an empty world and in a source's life.
#![allow(clippy::needless_pass_by_value)] // so that tests read well

use std::{collections::BTreeMap, format, string::String, vec, vec::Vec};

use evenkeel_model::{Kind, Time, Version};

use super::*;
use crate::{
    change::Change,
    settings::Settings,
    testing::{Lab, doc, rev},
};

struct Bench {
    world: World,
    settings: Settings,
    rng: Rng,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self { world: World::new(Version(1), 1, [7; 32]), settings: Settings::default(), rng: Rng::new(seed) }
    }

    fn write(&mut self, name: &str, spec: Value) -> Result<Value, String> {
        let key = Key::new(Kind::Service, "shop", name);
        let mut value = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        evenkeel_schema::defaults::apply(Kind::Service, &mut value);
        let next = Object::from_value(value).unwrap();
        let live = self.world.get(&key).cloned();
        let mut cx = Cx::new(Time(0), Time(0), &self.settings, &mut self.rng);
        let object = admit(&self.world, live.as_deref(), next, &mut cx)?;
        self.world.apply(Change::Put(object.clone().into()));
        Ok(object.body_map()["spec"].clone())
    }
}

#[test]
fn a_service_is_written_as_kubernetes_writes_it() {
    let mut b = Bench::new(1);
    let spec = b.write("web", json!({"selector": {"app": "web"}, "ports": [{"port": 80}]})).unwrap();
    let ip = spec["clusterIP"].as_str().unwrap();
    assert!(ip.starts_with("10.43."));
    assert_eq!(
        spec,
        json!({"clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP",
            "selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    );
    let again = b.write("web", json!({"selector": {"app": "web"}, "ports": [{"port": 81}]})).unwrap();
    assert_eq!(again["clusterIP"], spec["clusterIP"], "it keeps its address");
    let other = b.write("web", json!({"clusterIP": "10.43.9.9", "ports": [{"port": 81}]}));
    assert!(other.unwrap_err().contains("immutable"));
    let headless = b.write("db", json!({"clusterIP": "None", "ports": [{"port": 1}]})).unwrap();
    assert_eq!((&headless["clusterIP"], &headless["clusterIPs"]), (&json!("None"), &json!(["None"])));
    let name = b.write("out", json!({"type": "ExternalName", "externalName": "a.example"})).unwrap();
    assert_eq!(name, json!({"type": "ExternalName", "externalName": "a.example", "sessionAffinity": "None"}));
}

#[test]
fn node_ports_are_given_kept_and_given_back() {
    let mut b = Bench::new(2);
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 53}, {"name": "web", "port": 80}]);
    let spec = b.write("dns", json!({"type": "NodePort", "ports": ports})).unwrap();
    let given: Vec<i64> = spec["ports"].as_array().unwrap().iter().map(|p| p["nodePort"].as_i64().unwrap()).collect();
    assert!(given.iter().all(|p| NODE_PORTS.contains(p)), "{given:?}");
    assert_eq!(given[0], given[1], "both protocols of a port have the same");
    assert_ne!(given[0], given[2]);
    let again = b.write("dns", json!({"type": "NodePort", "ports": ports})).unwrap();
    assert_eq!(again["ports"], spec["ports"]);
    let taken = b.write("other", json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": given[2]}]}));
    assert!(taken.unwrap_err().contains("already allocated"));
    let inner = b.write("dns", json!({"type": "ClusterIP", "ports": ports})).unwrap();
    assert!(inner["ports"][0].get("nodePort").is_none());
    assert!(b.write("other", json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": given[2]}]})).is_ok());
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let balanced = b.write("lb", local).unwrap();
    assert!(NODE_PORTS.contains(&balanced["healthCheckNodePort"].as_i64().unwrap()));
    let none = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]});
    assert!(b.write("lb2", none).unwrap()["ports"][0].get("nodePort").is_none());
}

#[test]
fn nothing_is_given_twice_and_all_of_a_range_is_given() {
    for seed in 0..8 {
        let mut b = Bench::new(seed);
        b.settings.network.net.service_cidr = "10.43.0.0/28".parse().unwrap();
        b.settings.network.net.dns = "10.43.0.10".parse().unwrap();
        let mut rng = Rng::new(seed);
        let mut has: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..120 {
            let name = format!("s{}", rng.below(20));
            if rng.below(4) == 0 {
                b.world.apply(Change::Delete(Key::new(Kind::Service, "shop", name.as_str())));
                has.remove(&name);
                continue;
            }
            match b.write(&name, json!({"type": "NodePort", "ports": [{"port": 80}]})) {
                Ok(spec) => {
                    let ip = String::from(spec["clusterIP"].as_str().unwrap());
                    assert!(has.iter().all(|(n, other)| *n == name || *other != ip), "{ip} twice");
                    if let Some(before) = has.insert(name, ip.clone()) {
                        assert_eq!(before, ip, "it stays");
                    }
                }
                // Of 16 addresses the first, the last, the API's and the DNS server's are nobody's.
                Err(why) => assert!(has.len() == 12 && why.contains("no address is left"), "{why}, {}", has.len()),
            }
            let ports = b.world.services.node_ports_from(0).count();
            assert_eq!(ports, has.len());
        }
    }
}

#[test]
fn what_a_manifest_cannot_have_is_refused_with_its_field() {
    let service = |name: &str, spec: Value| {
        doc(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}),
        )
    };
    let port = json!([{"port": 80}]);
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    let good = service("web", json!({"clusterIP": "10.43.0.50", "ports": port}));
    lab.commit(1, vec![good.clone()]);
    lab.pass(40);
    assert_eq!(lab.get(Kind::Service, "web").unwrap()["spec"]["clusterIP"], "10.43.0.50");
    let why = |lab: &mut Lab, n: u32, docs: Vec<_>| {
        lab.commit(n, docs);
        let release = lab.release(n);
        format!("{:?}", release.diagnostics)
    };
    for (n, (spec, expected)) in [
        (json!({"clusterIP": "10.43.0.51", "ports": port}), "immutable"),
        (json!({"clusterIP": "None", "ports": port}), "immutable"),
    ]
    .into_iter()
    .enumerate()
    {
        let told = why(&mut lab, 2 + u32::try_from(n).unwrap(), vec![service("web", spec)]);
        assert!(told.contains(expected) && told.contains("spec.clusterIP"), "{told}");
    }
    for (n, (spec, expected)) in [
        (json!({"clusterIP": "10.43.0.50", "ports": port}), "asked for by"),
        (json!({"clusterIP": "10.99.0.1", "ports": port}), "not in the valid range"),
        (json!({"clusterIP": "10.43.0.10", "ports": port}), "DNS server"),
    ]
    .into_iter()
    .enumerate()
    {
        let told = why(&mut lab, 10 + u32::try_from(n).unwrap(), vec![good.clone(), service("b", spec)]);
        assert!(told.contains(expected), "{told}");
    }
    // The address is left out: it stays, and that is no drift.
    lab.commit(20, vec![service("web", json!({"ports": port}))]);
    assert_eq!(lab.get(Kind::Service, "web").unwrap()["spec"]["clusterIP"], "10.43.0.50");
    assert_eq!(lab.status().applied_revision, Some(rev(20)));
    let version = lab.world.version;
    lab.pass(600);
    let live = lab.world.get(&Key::new(Kind::Service, "shop", "web")).unwrap();
    assert!(live.version <= version, "nobody fights over it");
}
