//! One policy as rules of nftables, and the sets that these look at. Pure.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use evenkeel_model::{
    net::PortProtocol,
    policy::{Peer, PolicyNet, PolicyPort, PolicyRule, PortMatch},
};

use super::Set;

/// A way of packets, as the pod sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Way {
    /// To it.
    In,
    /// From it.
    Out,
}

impl Way {
    /// In the names of maps and of the chains of those who are isolated together.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// In the name of a policy's chain.
    pub(super) fn policy(self) -> &'static str {
        match self {
            Self::In => "from",
            Self::Out => "to",
        }
    }

    fn peer(self) -> &'static str {
        match self {
            Self::In => "saddr",
            Self::Out => "daddr",
        }
    }
}

/// A policy with its rules.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) net: Arc<PolicyNet>,
    pub(super) sets: BTreeSet<Set>,
    ingress: Option<Vec<String>>,
    egress: Option<Vec<String>>,
}

impl Parts {
    /// `number` gives the number of a set of the policy's.
    pub(super) fn new(net: Arc<PolicyNet>, sets: BTreeSet<Set>, number: impl Fn(&Set) -> u32) -> Self {
        let write = |rules: &Option<Vec<PolicyRule>>, way| {
            rules.as_ref().map(|all| all.iter().flat_map(|rule| self::rules(rule, way, &number)).collect())
        };
        let (ingress, egress) = (write(&net.ingress, Way::In), write(&net.egress, Way::Out));
        Self { net, sets, ingress, egress }
    }

    /// Its rules of a way; `None` where it does not isolate that way.
    pub(super) fn rules(&self, way: Way) -> Option<&[String]> {
        match way {
            Way::In => self.ingress.as_deref(),
            Way::Out => self.egress.as_deref(),
        }
    }
}

/// The sets that a policy's rules look at.
pub(super) fn sets(net: &PolicyNet) -> BTreeSet<Set> {
    let rules = || net.ingress.iter().chain(&net.egress).flatten();
    let pods = rules().flat_map(|r| r.peers.iter().flatten()).filter_map(|peer| match peer {
        Peer::Pods(selection) => Some(Set::Pods(selection.clone())),
        Peer::Block { .. } => None,
    });
    let ports = rules().flat_map(|r| r.ports.iter().flatten()).filter_map(|port| match &port.ports {
        PortMatch::Named(name) => Some(Set::Ports(port.protocol, name.clone())),
        PortMatch::All | PortMatch::Range(..) => None,
    });
    pods.chain(ports).collect()
}

fn rules(rule: &PolicyRule, way: Way, number: &impl Fn(&Set) -> u32) -> Vec<String> {
    let peers = match &rule.peers {
        None => vec![String::new()],
        Some(peers) => peers.iter().map(|p| peer(p, way, number)).collect(),
    };
    let ports = match &rule.ports {
        None => vec![String::new()],
        Some(ports) => self::ports(ports, number),
    };
    peers.iter().flat_map(|peer| ports.iter().map(move |port| format!("{peer}{port}accept"))).collect()
}

fn peer(peer: &Peer, way: Way, number: &impl Fn(&Set) -> u32) -> String {
    let field = way.peer();
    match peer {
        Peer::Pods(selection) => format!("ip {field} @pods_{} ", number(&Set::Pods(selection.clone()))),
        Peer::Block { cidr, except } => {
            // All addresses are no condition, and nft takes none for one.
            let these = if cidr.prefix() == 0 { String::new() } else { format!("ip {field} {cidr} ") };
            let without = merged(except.iter().map(|c| (u32::from(c.network()), u32::from(c.last()))));
            if without.is_empty() {
                return these;
            }
            let shown = |(first, last)| match (Ipv4Addr::from(first), Ipv4Addr::from(last)) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            let without: Vec<String> = without.into_iter().map(shown).collect();
            format!("{these}ip {field} != {{ {} }} ", without.join(", "))
        }
    }
}

fn ports(ports: &[PolicyPort], number: &impl Fn(&Set) -> u32) -> Vec<String> {
    let mut out = Vec::new();
    for protocol in [PortProtocol::Tcp, PortProtocol::Udp] {
        let of = || ports.iter().filter(|p| p.protocol == protocol).map(|p| &p.ports);
        let name = protocol.as_str();
        if of().any(|p| *p == PortMatch::All) {
            out.push(format!("meta l4proto {name} "));
            continue;
        }
        let ranges = merged(of().filter_map(|p| match p {
            PortMatch::Range(first, last) => Some((u32::from(*first), u32::from(*last))),
            _ => None,
        }));
        if !ranges.is_empty() {
            let all: Vec<String> =
                ranges.into_iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
            out.push(format!("{name} dport {{ {} }} ", all.join(", ")));
        }
        let names: BTreeSet<&String> = of()
            .filter_map(|p| match p {
                PortMatch::Named(name) => Some(name),
                _ => None,
            })
            .collect();
        for port in names {
            let set = number(&Set::Ports(protocol, port.clone()));
            out.push(format!("ip daddr . {name} dport @ports_{set} "));
        }
    }
    out
}

/// The same numbers in ranges that neither overlap nor touch, which nft would refuse.
fn merged(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = ranges.filter(|(first, last)| first <= last).collect();
    all.sort_unstable();
    let mut out: Vec<(u32, u32)> = Vec::new();
    for (first, last) in all {
        match out.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}
