//! What follows from what nodes found: which leg of the network is broken, in words that say where to look.
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use evenkeel_model::net::Cidr;
use evenkeel_wire::netcheck::{Carrier, CheckPoint, From, Leg, Probe};
use serde::Serialize;

/// A node that takes part.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) address: Option<IpAddr>,
    pub(super) range: Option<Cidr>,
    pub(super) point: CheckPoint,
    pub(super) probes: Vec<Probe>,
}

/// A leg that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Broken {
    /// The node that tried.
    pub(super) node: String,
    /// What it could not reach: `pods`, `largePackets`, `service` or `names`.
    pub(super) leg: &'static str,
    /// The other node, of legs between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// For people.
    pub(super) message: String,
}

/// All that is broken, by node.
pub(super) fn judge(members: &[Member]) -> Vec<Broken> {
    let by_name: BTreeMap<&str, &Member> = members.iter().map(|m| (m.name.as_str(), m)).collect();
    members.iter().flat_map(|member| of(member, &by_name)).collect()
}

/// What was wrong with a leg, from each place.
fn error<'a>(member: &'a Member, from: From, leg: &Leg) -> Option<&'a str> {
    member.probes.iter().find(|p| p.from == from && p.leg == *leg)?.error.as_deref()
}

fn of(member: &Member, all: &BTreeMap<&str, &Member>) -> Vec<Broken> {
    let mut out = Vec::new();
    let mut say = |leg, to: Option<&str>, message| {
        out.push(Broken { node: member.name.clone(), leg, to: to.map(str::to_owned), message });
    };
    let name = &member.name;
    let others: BTreeSet<&str> = member.probes.iter().filter_map(|p| other(&p.leg)).collect();
    for to in others {
        let leg = Leg::Pod(to.to_owned());
        let (pod, node) = (error(member, From::Pod, &leg), error(member, From::Node, &leg));
        let Some(target) = all.get(to) else { continue };
        if let Some(why) = pod.or(node) {
            // What a pod cannot do its node often cannot either: one line for both.
            let who = if pod.is_some() { name.clone() } else { format!("{name} itself, but not its pods,") };
            let (way, hint) = between(member, target);
            let at = target.range.map(|r| format!(" at {r}")).unwrap_or_default();
            say("pods", Some(to), format!("{who} cannot reach pods of {to}{at}{way}: {why}; {hint}"));
        } else if let Some(why) = error(member, From::Pod, &Leg::LargePacket(to.to_owned())) {
            let hint = "small packets pass: look at the MTU of the links between the nodes";
            say(
                "largePackets",
                Some(to),
                format!("{name} cannot send packets of full size to pods of {to}: {why}; {hint}"),
            );
        }
    }
    let places = |leg: Leg| match (error(member, From::Pod, &leg), error(member, From::Node, &leg)) {
        (Some(why), Some(_)) => Some((format!("{name} and its pods"), why)),
        (Some(why), None) => Some((format!("pods of {name}"), why)),
        (None, Some(why)) => Some((format!("{name} itself, but not its pods,"), why)),
        (None, None) => None,
    };
    if let Some((who, why)) = places(Leg::Service) {
        let hint = "evenkeel describe service kubernetes says who stands behind it";
        say("service", None, format!("{who} cannot reach the Service default/kubernetes: {why}; {hint}"));
    }
    if let Some((who, why)) = places(Leg::Name) {
        let hint = "the node's agent answers names itself: look at its log";
        say("names", None, format!("{who} cannot resolve kubernetes.default.svc: {why}; {hint}"));
    }
    out
}

fn other(leg: &Leg) -> Option<&str> {
    match leg {
        Leg::Pod(node) | Leg::LargePacket(node) | Leg::Node(node) => Some(node),
        Leg::Service | Leg::Name => None,
    }
}

/// By what a node reaches another's pods, and where to look when it does not.
fn between(member: &Member, target: &Member) -> (&'static str, String) {
    let way = member.point.ways.iter().find(|w| Some(w.range) == target.range).map(|w| w.by);
    let Some(way) = way else {
        let prefix = format!("node {} ", target.name);
        let told = member.point.without.iter().find(|why| why.starts_with(&prefix)).cloned();
        return ("", told.unwrap_or_else(|| "it has no way there: look at its agent's log".into()));
    };
    let (by, look) = match way {
        Carrier::Vxlan => (" over vxlan", "look at UDP 4789 between them, which a firewall may drop"),
        Carrier::Routes => (
            " by routes",
            "look for what drops forwarded packets of pods' addresses: a firewall, or a cloud that checks sources",
        ),
    };
    let own = Leg::Node(target.name.clone());
    let hint = match (target.address, error(member, From::Node, &own)) {
        (Some(address), Some(why)) => {
            format!("its own address {address} does not answer either ({why}): look at the network between the nodes")
        }
        (Some(_), None) => format!("the nodes' own addresses answer: {look}"),
        (None, _) => look.to_owned(),
    };
    (by, hint)
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::netcheck::WayTo;

    use super::*;

    fn member(name: &str, number: u8, by: Carrier, failed: &[(From, Leg)]) -> Member {
        let range = |n: u8| format!("10.42.{n}.0/24").parse().unwrap();
        let mut probes = Vec::new();
        for to in ["node-a", "node-b", "node-c"].into_iter().filter(|n| *n != name) {
            let legs =
                [Leg::Pod(to.into()), Leg::LargePacket(to.into()), Leg::Node(to.into()), Leg::Service, Leg::Name];
            for leg in legs {
                for from in [From::Pod, From::Node] {
                    let error = failed.contains(&(from, leg.clone())).then(|| "timed out after 2 s".to_owned());
                    probes.push(Probe { from, leg: leg.clone(), micros: 100, error });
                }
            }
        }
        Member {
            name: name.into(),
            address: format!("192.0.2.{number}").parse().ok(),
            range: Some(range(number)),
            point: CheckPoint {
                pod: [10, 42, number, 9].into(),
                ways: (1..=3).filter(|n| *n != number).map(|n| WayTo { range: range(n), by }).collect(),
                without: Vec::new(),
            },
            probes,
        }
    }

    fn messages(b: Member) -> Vec<String> {
        let by = b.point.ways[0].by;
        let all = [member("node-a", 1, by, &[]), b, member("node-c", 3, by, &[])];
        judge(&all).into_iter().map(|b| b.message).collect()
    }

    fn pods() -> [(From, Leg); 2] {
        [From::Pod, From::Node].map(|from| (from, Leg::Pod("node-c".into())))
    }

    #[test]
    fn all_well_is_nothing() {
        assert!(messages(member("node-b", 2, Carrier::Routes, &[])).is_empty());
    }

    #[test]
    fn a_broken_leg_is_named_once_with_where_to_look() {
        let said = messages(member("node-b", 2, Carrier::Vxlan, &pods()));
        assert_eq!(
            said,
            [
                "node-b cannot reach pods of node-c at 10.42.3.0/24 over vxlan: timed out after 2 s; the nodes' own addresses answer: look at UDP 4789 between them, which a firewall may drop"
            ]
        );
        let said = messages(member("node-b", 2, Carrier::Routes, &pods()));
        assert!(said.len() == 1 && said[0].contains("by routes") && said[0].contains("forwarded packets"), "{said:?}");
        let cut = [pods().as_slice(), &[(From::Node, Leg::Node("node-c".into()))]].concat();
        let said = messages(member("node-b", 2, Carrier::Routes, &cut));
        assert!(said[0].ends_with(
            "its own address 192.0.2.3 does not answer either (timed out after 2 s): look at the network between the nodes"
        ));
    }

    #[test]
    fn what_only_one_place_finds_is_said_of_it() {
        let said = messages(member("node-b", 2, Carrier::Routes, &pods()[1..]));
        assert!(said[0].starts_with("node-b itself, but not its pods, cannot reach pods of node-c"), "{said:?}");
        let said = messages(member("node-b", 2, Carrier::Routes, &[(From::Pod, Leg::LargePacket("node-a".into()))]));
        assert!(said.len() == 1 && said[0].contains("packets of full size to pods of node-a"), "{said:?}");
        let said =
            messages(member("node-b", 2, Carrier::Routes, &[(From::Pod, Leg::Service), (From::Node, Leg::Name)]));
        assert!(said[0].starts_with("pods of node-b cannot reach the Service default/kubernetes"), "{said:?}");
        assert!(said[1].starts_with("node-b itself, but not its pods, cannot resolve"), "{said:?}");
    }

    #[test]
    fn a_node_without_a_way_says_why() {
        let mut b = member("node-b", 2, Carrier::Routes, &pods());
        b.point.ways.retain(|w| w.range != "10.42.3.0/24".parse().unwrap());
        b.point.without = vec!["node node-c (192.0.2.3) is on no link of this node".into()];
        assert!(messages(b)[0].ends_with("node node-c (192.0.2.3) is on no link of this node"));
    }
}
