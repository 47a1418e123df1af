//! Which part of the cluster's range a node's pods have their addresses from.
//!
//! Each node has one part, no two the same; it keeps it as long as its Node object is there. A node
//! that had one before the server lost its database says so and gets it again: while the server
//! recovers nobody else is given any. Deliberately not here: addresses of single pods, which the
//! node's agent gives.

use alloc::{format, vec};

use evenkeel_model::{Object, Time, net::Cidr};
use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus};

use super::object::{NO_NETWORK, retaint, set};
use crate::{
    cx::{Cx, EventKind},
    network::Layout,
    world::World,
};

/// The node with a range, where there is one; `said` is what its agent had.
pub(crate) fn with_range(world: &World, node: Object, said: Option<Cidr>, cx: &mut Cx<'_>) -> Object {
    ensured(world, &node, said, cx).unwrap_or(node)
}

/// The node as it is written for its range; `None` where it is well already.
pub(super) fn ensured(world: &World, node: &Object, said: Option<Cidr>, cx: &mut Cx<'_>) -> Option<Object> {
    let layout = &cx.settings.network;
    let has: Option<Cidr> = spec(node).pod_cidr.and_then(|text| text.parse().ok());
    let recovering = world.recovering.is_some();
    let said = said.filter(|range| layout.is_node_range(*range) && is_free(world, *range, &node.key.name));
    let range = match (has, said) {
        // A restored store may be of before the node got another one.
        (Some(has), Some(said)) if recovering && has != said => said,
        (Some(_), _) => return None,
        (None, Some(said)) => said,
        // It may be one that had none yet, and any range may be that of a node not heard of yet.
        (None, None) if recovering => return None,
        (None, None) => match smallest_free(world, layout) {
            Some(range) => range,
            None => return none_left(world, node, cx),
        },
    };
    let text = format!("{range}");
    let next = node.with_spec(&NodeSpec { pod_cidr: Some(text.clone()), pod_cidrs: Some(vec![text]), ..spec(node) });
    let waited = has_none(node);
    let next = if waited { judged(&next, false, "RangeAssigned", "", cx.now) } else { next };
    Some(next)
}

fn spec(node: &Object) -> NodeSpec {
    node.spec().unwrap_or_default()
}

fn is_free(world: &World, range: Cidr, name: &str) -> bool {
    !world.nodes.ranges().any(|(taken, owner)| &**owner != name && taken.overlaps(range))
}

/// The first part of the cluster's range that shares no address with any node's. Ranges come in order
/// and share nothing, so one walk is enough.
fn smallest_free(world: &World, layout: &Layout) -> Option<Cidr> {
    let (all, prefix) = (layout.net.cluster_cidr, layout.node_prefix);
    let mut n = 0;
    for (taken, _) in world.nodes.ranges().filter(|(taken, _)| taken.overlaps(all)) {
        while all.part(prefix, n)?.overlaps(*taken) {
            n += 1;
        }
        if all.part(prefix, n)?.network() < taken.network() {
            break;
        }
    }
    all.part(prefix, n)
}

fn has_none(node: &Object) -> bool {
    crate::controllers::podstatus::condition(node, NO_NETWORK.0)
        .is_some_and(|c| c.get("status").and_then(serde_json::Value::as_str) == Some("True"))
}

fn none_left(world: &World, node: &Object, cx: &mut Cx<'_>) -> Option<Object> {
    let layout = &cx.settings.network;
    let message = format!(
        "no range of addresses is left for this node's pods: {} has room for {} nodes with a /{} each; start the \
         server with a larger --cluster-cidr or a larger --node-cidr-size on a new cluster, or delete nodes that \
         are gone",
        layout.net.cluster_cidr,
        layout.nodes(),
        layout.node_prefix
    );
    let next = judged(node, true, "NoRangeLeft", &message, cx.now);
    if next.same_content(node) {
        return None;
    }
    cx.event(world, node, EventKind::Warning, "CIDRNotAvailable", &message);
    Some(next)
}

/// The node with the condition that it has no network, or has one.
fn judged(node: &Object, holds: bool, reason: &str, message: &str, now: Time) -> Object {
    let mut status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let mut conditions = status.conditions.take().unwrap_or_default();
    set(&mut conditions, NO_NETWORK.0, if holds { "True" } else { "False" }, reason, message, now);
    status.conditions = Some(conditions);
    retaint(node.with_status(&status), now)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, string::String, vec::Vec};

    use evenkeel_model::{
        Key, Kind, Rng,
        session::{Hello, NodeReport},
    };

    use crate::{
        change::Change,
        controllers::{podstatus, report, testkit::Cluster},
    };

    fn range(c: &Cluster, node: &str) -> Option<String> {
        c.world.nodes.get(node).and_then(|n| n.pod_cidr).map(|r| std::format!("{r}"))
    }

    fn hello(c: &mut Cluster, node: &str, had: Option<&str>) {
        let report = NodeReport { pod_cidr: had.map(|r| r.parse().unwrap()), ..NodeReport::default() };
        let (session, epoch, pods, sources) = Default::default();
        let hello = Hello { node: node.into(), session, epoch, report, pods, sources };
        c.with(|w, cx| report::hello(w, &hello, cx));
        let now = c.now;
        c.world.nodes.hear(&node.into(), now);
        c.settle();
    }

    fn no_network(c: &Cluster, node: &str) -> Option<String> {
        let node = c.world.get(&Key::cluster(Kind::Node, node)).unwrap();
        let condition = podstatus::condition(node, "NetworkUnavailable")?;
        (condition["status"] == "True").then(|| condition["message"].as_str().unwrap().into())
    }

    #[test]
    fn the_smallest_free_range_is_given_and_kept() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi")]);
        hello(&mut c, "n3", None);
        let all = ["n1", "n2", "n3"].map(|n| range(&c, n).unwrap());
        assert_eq!(all, ["10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"]);
        c.apply(Change::Delete(Key::cluster(Kind::Node, "n2")));
        c.settle();
        hello(&mut c, "n4", None);
        assert_eq!(range(&c, "n4").as_deref(), Some("10.42.1.0/24"), "what became free");
        hello(&mut c, "n1", Some("10.42.9.0/24"));
        assert_eq!(range(&c, "n1").as_deref(), Some("10.42.0.0/24"), "a node keeps its own");
        hello(&mut c, "n2", Some("10.42.9.0/24"));
        assert_eq!(range(&c, "n2").as_deref(), Some("10.42.9.0/24"), "it is free, and the node had it");
        hello(&mut c, "n5", Some("10.42.9.0/24"));
        assert_eq!(range(&c, "n5").as_deref(), Some("10.42.3.0/24"), "it is another one's");
    }

    #[test]
    fn where_none_is_left_a_node_takes_no_pods_and_says_which_flags_to_widen() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi")]);
        c.settings.network.net.cluster_cidr = "10.42.0.0/23".parse().unwrap();
        hello(&mut c, "n2", None);
        hello(&mut c, "n3", None);
        let why = no_network(&c, "n3").unwrap();
        assert!(why.contains("--cluster-cidr") && why.contains("--node-cidr-size") && why.contains("2 nodes"), "{why}");
        let taints = c.world.nodes.get("n3").unwrap().taints.clone();
        assert!(taints.iter().any(|t| t.key == "node.kubernetes.io/network-unavailable" && t.effect == "NoSchedule"));
        let version = c.world.version;
        hello(&mut c, "n3", None);
        assert_eq!(c.world.version, version, "said once");
        c.apply(Change::Delete(Key::cluster(Kind::Node, "n1")));
        c.settle();
        assert_eq!((range(&c, "n3").as_deref(), no_network(&c, "n3")), (Some("10.42.0.0/24"), None));
        assert!(!c.world.nodes.get("n3").unwrap().taints.iter().any(|t| t.key.contains("network")));
    }

    #[test]
    fn while_recovering_a_node_gets_what_it_had_and_nobody_else_gets_anything() {
        let mut c = Cluster::new(&[]);
        c.world.recovering = Some(c.now + core::time::Duration::from_mins(1));
        hello(&mut c, "n1", None);
        assert_eq!(range(&c, "n1"), None);
        hello(&mut c, "n2", Some("10.42.0.0/24"));
        assert_eq!(range(&c, "n2").as_deref(), Some("10.42.0.0/24"));
        c.world.recovering = None;
        c.mark_all();
        c.settle();
        assert_eq!(range(&c, "n1").as_deref(), Some("10.42.1.0/24"));
    }

    #[test]
    fn no_range_is_given_twice_whatever_comes_and_goes() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut c = Cluster::new(&[]);
            c.settings.network.net.cluster_cidr = "10.42.0.0/21".parse().unwrap();
            for _ in 0..60 {
                let name = std::format!("n{}", rng.below(12));
                if rng.below(3) == 0 {
                    c.apply(Change::Delete(Key::cluster(Kind::Node, name.as_str())));
                    c.settle();
                } else {
                    let had = std::format!("10.42.{}.0/24", rng.below(10));
                    hello(&mut c, &name, (rng.below(2) == 0).then_some(&had));
                }
                let all: Vec<String> =
                    c.world.nodes.iter().filter_map(|(_, n)| n.pod_cidr).map(|r| std::format!("{r}")).collect();
                assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
                let without = c.world.nodes.iter().filter(|(_, n)| n.pod_cidr.is_none()).count();
                assert!(without == 0 || all.len() == 8, "{without} have none, {all:?}");
            }
        }
    }
}
