//! Bindings: one node a pod, a node that is there, with room and free ports.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::Quantity;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Input,
    facts::{Node, Pod, World, quantity, spec},
    finding::{Finding, Promise},
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    overhead: Option<BTreeMap<String, Value>>,
    host_network: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    restart_policy: Option<String>,
    resources: Option<Resources>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: Option<BTreeMap<String, Value>>,
    limits: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    #[serde(rename = "containerPort")]
    inside: Option<i64>,
    #[serde(rename = "hostPort")]
    host: Option<i64>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    protocol: Option<String>,
}

/// Billionths of each resource.
type Amounts = BTreeMap<String, i128>;

/// What a pod asks of its node.
#[derive(Debug, Default)]
struct Demand {
    amounts: Amounts,
    /// Port, protocol, address; an empty address is all of them.
    ports: BTreeSet<(i64, String, String)>,
}

impl Container {
    fn requests(&self) -> Amounts {
        let resources = self.resources.as_ref();
        // A limit without a request is the request.
        let limits = resources.and_then(|r| r.limits.as_ref()).into_iter().flatten();
        let requests = resources.and_then(|r| r.requests.as_ref()).into_iter().flatten();
        limits.chain(requests).filter_map(|(k, v)| Some((k.clone(), quantity(v)?.0))).collect()
    }
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, n) in more {
        *to.entry(name.clone()).or_default() += n;
    }
}

impl Demand {
    fn of(spec: &PodSpec) -> Self {
        let mut out = Self::default();
        for container in spec.containers.iter().flatten() {
            add(&mut out.amounts, &container.requests());
        }
        // Sidecars stay; other init containers run one after the other, beside the sidecars so far.
        let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
        for container in spec.init_containers.iter().flatten() {
            let mut at_once = container.requests();
            if container.restart_policy.as_deref() == Some("Always") {
                add(&mut out.amounts, &at_once);
                add(&mut sidecars, &at_once);
                at_once.clone_from(&sidecars);
            } else {
                add(&mut at_once, &sidecars);
            }
            for (name, n) in at_once {
                let most = peak.entry(name).or_default();
                *most = (*most).max(n);
            }
        }
        for (name, n) in peak {
            let most = out.amounts.entry(name).or_default();
            *most = (*most).max(n);
        }
        let overhead = spec.overhead.iter().flatten().filter_map(|(k, v)| Some((k.clone(), quantity(v)?.0)));
        add(&mut out.amounts, &overhead.collect());
        out.amounts.insert("pods".into(), Quantity::from_units(1).0);
        for port in spec.containers.iter().chain(&spec.init_containers).flatten().flat_map(|c| c.ports.iter().flatten())
        {
            let host = if spec.host_network == Some(true) { port.inside } else { port.host };
            if let Some(number) = host.filter(|n| *n != 0) {
                let address = port.host_ip.clone().filter(|ip| ip != "0.0.0.0" && ip != "::").unwrap_or_default();
                out.ports.insert((number, port.protocol.clone().unwrap_or_else(|| "TCP".into()), address));
            }
        }
        out
    }
}

pub(crate) fn check(_: &Input<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    let mut on_node: BTreeMap<&str, Vec<&Pod<'_>>> = BTreeMap::new();
    for pod in world.pods.values() {
        let key = &pod.object.key;
        let old = before.and_then(|b| b.pods.get(&pod.object.uid)).and_then(|p| p.object.node.as_deref());
        if let Some(old) = old
            && pod.object.node.as_deref() != Some(old)
        {
            let message =
                format!("it was bound to {old} and now is to {}", pod.object.node.as_deref().unwrap_or("none"));
            out.push(Finding::broken(Promise::Available, key, message));
        }
        let Some(node) = pod.object.node.as_deref() else { continue };
        if !world.nodes.contains_key(node) && !pod.object.deleting() {
            out.push(Finding::unsettled(
                Promise::Available,
                key,
                format!("it is bound to node {node}, which is not there"),
            ));
        }
        if !pod.finished() {
            on_node.entry(node).or_default().push(pod);
        }
    }
    // Pods of one template share their body.
    let mut demands: BTreeMap<&[u8], Demand> = BTreeMap::new();
    for pods in on_node.values() {
        for pod in pods {
            if !demands.contains_key(&pod.object.body[..]) {
                let demand = Demand::of(&spec::<PodSpec>(pod.object, out));
                demands.insert(&pod.object.body, demand);
            }
        }
    }
    for (name, pods) in on_node {
        let Some(node) = world.nodes.get(name) else { continue };
        // Room can also shrink, and a person may bind a pod: only a new binding is Evenkeel's act.
        let fresh = before.is_some_and(|b| {
            pods.iter().any(|p| b.pods.get(&p.object.uid).is_none_or(|old| old.object.node != p.object.node))
        });
        let told = |message: String| {
            if fresh {
                Finding::broken(Promise::Available, &node.object.key, message)
            } else {
                Finding::unsettled(Promise::Available, &node.object.key, message)
            }
        };
        out.extend(over_committed(node, &pods, &demands).into_iter().map(told));
        out.extend(shared_ports(&pods, &demands).into_iter().map(told));
    }
}

fn over_committed(node: &Node<'_>, pods: &[&Pod<'_>], demands: &BTreeMap<&[u8], Demand>) -> Vec<String> {
    let mut sum = Amounts::new();
    for demand in pods.iter().filter_map(|p| demands.get(&p.object.body[..])) {
        add(&mut sum, &demand.amounts);
    }
    let over = |(name, wanted): (&String, &i128)| {
        let have = node.allocatable.get(name).copied().unwrap_or_default();
        // A node that does not say what it offers of a thing offers none of it, but before its
        // first report it says nothing at all.
        (*wanted > have.0 && !node.allocatable.is_empty())
            .then(|| format!("its pods ask for {} of {name} and it has {have}", Quantity(*wanted)))
    };
    sum.iter().filter_map(over).collect()
}

fn shared_ports(pods: &[&Pod<'_>], demands: &BTreeMap<&[u8], Demand>) -> Vec<String> {
    let mut holders: BTreeMap<(i64, &str), Vec<(&str, &Pod<'_>)>> = BTreeMap::new();
    let mut out = Vec::new();
    for pod in pods {
        let Some(demand) = demands.get(&pod.object.body[..]) else { continue };
        for (port, protocol, address) in &demand.ports {
            let others = holders.entry((*port, protocol)).or_default();
            let clash = others.iter().find(|(a, other)| {
                other.object.uid != pod.object.uid && (a.is_empty() || address.is_empty() || *a == address)
            });
            if let Some((_, other)) = clash {
                let mut both = [other.object.key.to_string(), pod.object.key.to_string()];
                both.sort();
                out.push(format!("{} and {} both have its port {port}/{protocol}", both[0], both[1]));
            }
            others.push((address, pod));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, pod, with_spec};

    #[test]
    fn a_binding_stays_and_its_node_is_there() {
        let mut world = World::default();
        world.web(1);
        world.step();
        world.pod_mut(0).node = Some("n2".into());
        world.pod_mut(0).version.0 += 1000;
        world.expect(&["it was bound to n1 and now is to n2", "it is bound to node n2, which is not there"]);
    }

    #[test]
    fn nodes_are_not_over_committed() {
        let asks = |cpu: &str| json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]});
        let mut world = World::default();
        world.node("n1", &json!({"cpu": "2", "pods": "10"}));
        world.add(with_spec(&pod("a", None, "n1", true), &asks("1500m")));
        world.expect(&[]);
        world.step();
        world.add(with_spec(&pod("b", None, "n1", true), &asks("600m")));
        world.expect_broken(&["its pods ask for 2100m of cpu and it has 2"]);
        // Without a new binding it is told, but nobody's act.
        world.step();
        world.expect_broken(&[]);
        world.expect(&["its pods ask for 2100m of cpu"]);
    }

    #[test]
    fn sidecars_add_up_and_init_containers_do_not() {
        let request = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let spec = json!({
            "initContainers": [{"name": "i", "resources": request("3")},
                {"name": "s", "restartPolicy": "Always", "resources": request("1")},
                {"name": "j", "resources": request("3")}],
            "containers": [{"name": "a", "resources": request("1")}], "overhead": {"cpu": "100m"}});
        let mut world = World::default();
        world.node("n1", &json!({"cpu": "4", "pods": "10"}));
        world.add(with_spec(&pod("a", None, "n1", true), &spec));
        world.expect(&["its pods ask for 4100m of cpu and it has 4"]);
    }

    #[test]
    fn host_ports_are_one_pods_each() {
        let has = |ip: &str, port: i64| json!({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": port, "hostIP": ip}]}]});
        for (first, second, clash) in [
            ("", "", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0", "10.0.0.2", true),
            ("10.0.0.2", "10.0.0.2", true),
        ] {
            let mut world = World::default();
            world.node("n1", &json!({"pods": "10"}));
            world.add(with_spec(&pod("a", None, "n1", true), &has(first, 80)));
            world.step();
            world.add(with_spec(&pod("b", None, "n1", true), &has(second, 80)));
            let expected: &[&str] = if clash { &["Pod shop/a and Pod shop/b both have its port 80/TCP"] } else { &[] };
            world.expect_broken(expected);
        }
    }
}
