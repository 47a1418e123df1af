//! What the rules say of one connection, without a kernel: for those that began while the rules were
//! away. Pure.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel_model::{
    net::PortProtocol,
    policy::{Peer, PolicyPort, PolicyRule, PortMatch},
};

use super::{Element, Policies, Set, Way};

/// A connection: who asks, and who answers after all translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Flow {
    /// Who asks.
    pub(in super::super) from: Ipv4Addr,
    /// Who answers.
    pub(in super::super) to: Ipv4Addr,
    /// And where.
    pub(in super::super) port: u16,
    /// By what.
    pub(in super::super) protocol: PortProtocol,
}

impl Policies {
    /// Whether nobody is isolated here.
    pub(in super::super) fn is_idle(&self) -> bool {
        self.judged.is_empty()
    }

    /// Whether the rules let a connection through.
    pub(in super::super) fn allows(&self, flow: Flow) -> bool {
        flow.from == flow.to || self.lets(flow, Way::Out) && self.lets(flow, Way::In)
    }

    fn lets(&self, flow: Flow, way: Way) -> bool {
        let (subject, peer) = match way {
            Way::In => (flow.to, flow.from),
            Way::Out => (flow.from, flow.to),
        };
        let isolated = self.given.iter().filter(|(_, address)| **address == subject).filter_map(|(uid, _)| {
            let pod = self.pods.get(uid).filter(|p| p.node.as_ref() == Some(&self.own))?;
            let policies = pod.selections.iter().filter_map(|s| self.subjects.get(s)).flatten();
            let rules: Vec<&Vec<PolicyRule>> = policies
                .filter_map(|id| self.known.get(id))
                .filter_map(|p| match way {
                    Way::In => p.net.ingress.as_ref(),
                    Way::Out => p.net.egress.as_ref(),
                })
                .collect();
            (!rules.is_empty()).then_some(rules)
        });
        let mut isolated = isolated.peekable();
        isolated.peek().is_none() || isolated.flatten().flatten().any(|rule| self.fits(rule, peer, flow))
    }

    fn fits(&self, rule: &PolicyRule, peer: Ipv4Addr, flow: Flow) -> bool {
        let is = |p: &Peer| match p {
            Peer::Pods(selection) => self.is_in(&Set::Pods(selection.clone()), peer, None),
            Peer::Block { cidr, except } => {
                let peer = IpAddr::V4(peer);
                cidr.contains(peer) && !except.iter().any(|e| e.contains(peer))
            }
        };
        let asked = |p: &PolicyPort| {
            p.protocol == flow.protocol
                && match &p.ports {
                    PortMatch::All => true,
                    PortMatch::Range(first, last) => (*first..=*last).contains(&flow.port),
                    PortMatch::Named(name) => {
                        self.is_in(&Set::Ports(p.protocol, name.clone()), flow.to, Some(flow.port))
                    }
                }
        };
        rule.peers.as_ref().is_none_or(|all| all.iter().any(is))
            && rule.ports.as_ref().is_none_or(|all| all.iter().any(asked))
    }

    fn is_in(&self, set: &Set, address: Ipv4Addr, port: Option<u16>) -> bool {
        let Some(number) = self.sets.get(set) else { return false };
        let element = port.map_or(Element::Pod(*number, address), |port| Element::Port(*number, address, port));
        self.wanted.contains_key(&element)
    }
}
