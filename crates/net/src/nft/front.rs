//! What a Service is at each of its addresses: who answers there, by Kubernetes' rules for readiness
//! and traffic policies. Pure. Deliberately not here: how a table says it (`element`).

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use evenkeel_model::net::{Cidr, Endpoint, Hints, PortProtocol, ServiceNet};

/// Where clients knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Front {
    pub(super) at: At,
    pub(super) protocol: PortProtocol,
    pub(super) port: u16,
}

/// An address, or every address that the node itself has but those of its loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Node,
    Address(Ipv4Addr),
}

/// One that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Backend {
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// These, at random.
    Backends(Arc<[Backend]>),
    /// Nobody anywhere: a client is told at once.
    Refuse,
    /// Nobody on this node, where only this node may answer: silence, as Kubernetes has it, because
    /// a balancer in front tries another node.
    Drop,
}

impl Answer {
    /// Those who answer, where that is another answer. Nobody here and nobody anywhere is the same.
    fn only_if_not(&self, here: &Self) -> Option<Arc<[Backend]>> {
        match self {
            Self::Backends(all) if self != here => Some(all.clone()),
            _ => None,
        }
    }

    pub(super) fn backends(&self) -> &[Backend] {
        match self {
            Self::Backends(all) => all,
            Self::Refuse | Self::Drop => &[],
        }
    }
}

/// What happens at a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// Who answers everyone.
    pub(super) every: Answer,
    /// Who answers pods and the node itself, where that differs: `externalTrafficPolicy: Local` binds
    /// clients from outside alone.
    pub(super) near: Option<Arc<[Backend]>>,
    /// `sessionAffinity: ClientIP`, for so many seconds.
    pub(super) affinity: Option<u32>,
    /// Who may connect: everybody, where it is empty.
    pub(super) sources: Arc<[Cidr]>,
}

/// Most who answer at one front: as many as a picker counts. An Endpoints object ends at 1,000.
const MOST_BACKENDS: usize = u16::MAX as usize;

/// From where a Service is seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat<'a> {
    /// The node.
    pub(super) node: &'a str,
    /// Its zone, where it has one.
    pub(super) zone: Option<&'a str>,
    /// The address of DNS.
    pub(super) dns: Option<IpAddr>,
}

/// All fronts of a Service as one node sees it. That of DNS is left out: every node answers there itself.
/// Its ports answer at the node's own addresses where they are `open` there.
pub(super) fn fronts(service: &ServiceNet, seat: Seat<'_>, open: bool) -> Vec<(Front, Body)> {
    let mut out = Vec::new();
    if service.external_name.is_some() {
        return out;
    }
    let v4 = |all: &[IpAddr]| -> Vec<Ipv4Addr> {
        let known = all.iter().filter(|a| Some(**a) != seat.dns);
        known.filter_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None }).collect()
    };
    let inner = v4(&service.cluster_ips);
    let outer =
        |all: &[IpAddr]| -> Vec<At> { v4(all).into_iter().filter(|a| !inner.contains(a)).map(At::Address).collect() };
    let (outer, balanced) = (outer(&service.external_ips), outer(&service.load_balancer_ips));
    let (everybody, sources): (Arc<[Cidr]>, Arc<[Cidr]>) = ([].into(), disjoint(&service.balancer.sources).into());
    for (n, port) in service.ports.iter().enumerate() {
        let all = answer(service, n, Who::First(seat));
        let here = (service.internal_local || service.external_local).then(|| answer(service, n, Who::On(seat.node)));
        let (every, near) = match &here {
            Some(here) if service.external_local => (here.clone(), all.only_if_not(here)),
            _ => (all.clone(), None),
        };
        let outside = Body { every, near, affinity: service.affinity_seconds, sources: everybody.clone() };
        let guarded = Body { sources: sources.clone(), ..outside.clone() };
        let inside = match here {
            Some(here) if service.internal_local => here,
            _ => all,
        };
        let inside = Body { every: inside, near: None, ..outside.clone() };
        let front = |at, port: u16, protocol| Front { at, protocol, port };
        out.extend(inner.iter().map(|a| (front(At::Address(*a), port.port, port.protocol), inside.clone())));
        out.extend(outer.iter().map(|at| (front(*at, port.port, port.protocol), outside.clone())));
        let balanced = balanced.iter().copied().chain(open.then_some(At::Node));
        out.extend(balanced.map(|at| (front(at, port.port, port.protocol), guarded.clone())));
        out.extend(port.node_port.map(|p| (front(At::Node, p, port.protocol), outside)));
    }
    // An address that is named twice is one, and guarded where it is at one of these.
    out.sort_by_key(|(front, body)| (*front, body.sources.is_empty()));
    out.dedup_by_key(|(front, _)| *front);
    out
}

/// Ranges without those that lie in others; none where one of them is everything.
fn disjoint(ranges: &[Cidr]) -> Vec<Cidr> {
    if ranges.iter().any(|r| r.prefix() == 0) {
        return Vec::new();
    }
    let mut wide: Vec<Cidr> = ranges.to_vec();
    wide.sort_by_key(|r| (r.prefix(), *r));
    let mut out: Vec<Cidr> = Vec::new();
    for range in wide {
        if !out.iter().any(|o| o.overlaps(range)) {
            out.push(range);
        }
    }
    out
}

/// Who may answer.
#[derive(Debug, Clone, Copy)]
enum Who<'a> {
    /// Everybody, those first who are meant for this node or zone.
    First(Seat<'a>),
    /// Those on this node alone.
    On(&'a str),
    /// Everybody.
    All,
}

/// Who answers at port number `n` of a Service: those that are ready; where none is, those that end and
/// still answer, so that a rollout that went wrong or a last pod that drains loses nobody.
fn answer(service: &ServiceNet, n: usize, who: Who<'_>) -> Answer {
    let here = |e: &Endpoint| if let Who::On(node) = who { e.node.as_deref() == Some(node) } else { true };
    let ready = |e: &Endpoint| e.ready || service.publish_not_ready;
    let ends = |e: &Endpoint| e.serving && e.terminating;
    let pick = |wanted: &dyn Fn(&Endpoint) -> bool| -> Vec<Backend> {
        let all = service.endpoints.iter().filter(|e| wanted(e));
        let mut found: Vec<Backend> = all
            .filter_map(|e| match (e.address, e.ports.get(n).copied().flatten()) {
                (IpAddr::V4(address), Some(port)) => Some(Backend { address, port }),
                _ => None,
            })
            .take(MOST_BACKENDS)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let nearest = if let Who::First(seat) = who { nearest(service, &ready, seat) } else { None };
    let mut found = pick(&|e| here(e) && ready(e) && nearest.is_none_or(|nearest| nearest.means(e)));
    if found.is_empty() && nearest.is_some() {
        // Those who are meant for here have no such port.
        found = pick(&|e| ready(e));
    }
    if found.is_empty() {
        found = pick(&|e| here(e) && ends(e));
    }
    if !found.is_empty() {
        return Answer::Backends(found.into());
    }
    let elsewhere = matches!(who, Who::On(_)) && !answer(service, n, Who::All).backends().is_empty();
    if elsewhere { Answer::Drop } else { Answer::Refuse }
}

/// By what endpoints are chosen that are meant for here.
#[derive(Debug, Clone, Copy)]
enum Nearest<'a> {
    Node(&'a str),
    Zone(&'a str),
}

impl Nearest<'_> {
    fn means(&self, endpoint: &Endpoint) -> bool {
        endpoint.hints.as_ref().is_some_and(|hints| match self {
            Self::Node(node) => hints.nodes.iter().any(|n| **n == **node),
            Self::Zone(zone) => hints.zones.iter().any(|z| **z == **zone),
        })
    }
}

/// The narrowest choice by hints, as in Kubernetes' proxy: where each that is ready has such a hint, and
/// one of them means this node, or else its zone.
fn nearest<'a>(service: &ServiceNet, ready: &dyn Fn(&Endpoint) -> bool, seat: Seat<'a>) -> Option<Nearest<'a>> {
    let all = || service.endpoints.iter().filter(|e| ready(e));
    let hinted = |has: fn(&Hints) -> bool| all().all(|e| e.hints.as_deref().is_some_and(has));
    let node = Some(Nearest::Node(seat.node)).filter(|_| hinted(|h| !h.nodes.is_empty()));
    let zone = seat.zone.map(Nearest::Zone).filter(|_| hinted(|h| !h.zones.is_empty()));
    node.into_iter().chain(zone).find(|nearest| all().any(|e| nearest.means(e)))
}

#[cfg(test)]
mod tests {
    use super::{
        super::testkit::{endpoint, service},
        *,
    };

    fn shown(service: &ServiceNet) -> Vec<String> {
        shown_at(service, false)
    }

    fn shown_at(service: &ServiceNet, open: bool) -> Vec<String> {
        let say = |a: &Answer| match a {
            Answer::Backends(all) => {
                let all: Vec<String> = all.iter().map(|b| format!("{}:{}", b.address, b.port)).collect();
                all.join(",")
            }
            other => format!("{other:?}"),
        };
        let seat = Seat { node: "n1", zone: Some("west"), dns: Some("10.43.0.10".parse().unwrap()) };
        fronts(service, seat, open)
            .iter()
            .map(|(f, b)| {
                let at = if let At::Address(a) = f.at { a.to_string() } else { "node".into() };
                let near =
                    b.near.as_ref().map(|n| format!(" near {}", say(&Answer::Backends(n.clone())))).unwrap_or_default();
                let from = b.sources.iter().fold(String::new(), |all, range| format!("{all} from {range}"));
                format!("{at} {} {}: {}{near}{from}", f.protocol.as_str(), f.port, say(&b.every))
            })
            .collect()
    }

    #[test]
    fn every_address_of_a_service_is_a_front() {
        let mut s = service("web", 1);
        s.ports[0].node_port = Some(30080);
        s.external_ips = vec!["192.0.2.7".parse().unwrap()];
        s.load_balancer_ips = vec!["192.0.2.8".parse().unwrap(), "192.0.2.7".parse().unwrap()];
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.2.2", "n2")];
        assert_eq!(
            shown(&s),
            [
                "node tcp 30080: 10.42.1.2:8080,10.42.2.2:8080",
                "10.43.0.1 tcp 80: 10.42.1.2:8080,10.42.2.2:8080",
                "192.0.2.7 tcp 80: 10.42.1.2:8080,10.42.2.2:8080",
                "192.0.2.8 tcp 80: 10.42.1.2:8080,10.42.2.2:8080",
            ]
        );
    }

    #[test]
    fn a_balancers_ports_are_at_the_node_for_some() {
        let mut s = service("web", 1);
        s.ports[0].node_port = Some(30080);
        s.endpoints = vec![endpoint("10.42.1.2", "n1")];
        let range = |text: &str| text.parse().unwrap();
        s.balancer.sources = vec![range("10.1.0.0/16"), range("10.0.0.0/8"), range("192.0.2.0/24")];
        s.load_balancer_ips = vec!["192.0.2.8".parse().unwrap()];
        let from = " from 10.0.0.0/8 from 192.0.2.0/24";
        assert_eq!(
            shown_at(&s, true),
            [
                format!("node tcp 80: 10.42.1.2:8080{from}"),
                "node tcp 30080: 10.42.1.2:8080".into(),
                "10.43.0.1 tcp 80: 10.42.1.2:8080".into(),
                format!("192.0.2.8 tcp 80: 10.42.1.2:8080{from}"),
            ]
        );
        s.external_ips = s.load_balancer_ips.clone();
        assert!(shown(&s)[2].contains(from), "named twice: {:?}", shown(&s));
        s.balancer.sources.push(range("0.0.0.0/0"));
        assert_eq!(shown_at(&s, true)[0], "node tcp 80: 10.42.1.2:8080");
    }

    #[test]
    fn names_headless_services_and_the_dns_address_have_no_front() {
        let mut s = service("web", 10);
        assert_eq!(shown(&s), Vec::<String>::new(), "the address of DNS");
        s.cluster_ips.clear();
        assert_eq!(shown(&s), Vec::<String>::new());
        let mut s = service("web", 1);
        s.external_name = Some("example.com".into());
        assert_eq!(shown(&s), Vec::<String>::new());
    }

    #[test]
    fn the_ready_answer_then_those_that_end() {
        let mut s = service("web", 1);
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.1.3", "n1"), endpoint("10.42.1.4", "n1")];
        s.endpoints[0].ready = false;
        s.endpoints[1].ready = false;
        s.endpoints[1].terminating = true;
        assert_eq!(shown(&s), ["10.43.0.1 tcp 80: 10.42.1.4:8080"]);
        s.endpoints.remove(2);
        assert_eq!(shown(&s), ["10.43.0.1 tcp 80: 10.42.1.3:8080"]);
        s.endpoints[1].serving = false;
        assert_eq!(shown(&s), ["10.43.0.1 tcp 80: Refuse"]);
        s.publish_not_ready = true;
        assert_eq!(shown(&s), ["10.43.0.1 tcp 80: 10.42.1.2:8080,10.42.1.3:8080"]);
    }

    #[test]
    fn hints_lead_to_the_node_or_the_zone_while_somebody_is_there() {
        let mut s = service("web", 1);
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.2.2", "n2"), endpoint("10.42.3.2", "n3")];
        let meant = |nodes: &[&str], zones: &[&str]| {
            let names = |all: &[&str]| all.iter().map(|n| (*n).into()).collect();
            Some(Box::new(Hints { nodes: names(nodes), zones: names(zones) }))
        };
        let at = |backends: &str| vec![format!("10.43.0.1 tcp 80: {backends}")];
        let all = "10.42.1.2:8080,10.42.2.2:8080,10.42.3.2:8080";
        s.endpoints[0].hints = meant(&["n1"], &["west"]);
        s.endpoints[1].hints = meant(&["n2"], &["west"]);
        assert_eq!(shown(&s), at(all), "one has none");
        s.endpoints[2].hints = meant(&["n3"], &["east"]);
        assert_eq!(shown(&s), at("10.42.1.2:8080"));
        s.endpoints[0].ready = false;
        assert_eq!(shown(&s), at("10.42.2.2:8080"), "of the zone");
        s.endpoints[1].ports = vec![None];
        assert_eq!(shown(&s), at("10.42.3.2:8080"), "who is meant has no such port");
        s.endpoints[1].ready = false;
        assert_eq!(shown(&s), at("10.42.3.2:8080"), "nobody is meant");
        for e in &mut s.endpoints {
            e.ready = true;
            e.ports = vec![Some(8080)];
            e.hints = meant(&[], &["west"]);
        }
        s.endpoints[2].hints = meant(&[], &["east"]);
        assert_eq!(shown(&s), at("10.42.1.2:8080,10.42.2.2:8080"));
        s.internal_local = true;
        assert_eq!(shown(&s), at("10.42.1.2:8080"), "what binds is before what is wished");
    }

    #[test]
    fn local_policies_keep_to_the_node() {
        let mut s = service("web", 1);
        s.ports[0].node_port = Some(30080);
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.2.2", "n2")];
        s.external_local = true;
        let all = "10.42.1.2:8080,10.42.2.2:8080";
        assert_eq!(
            shown(&s),
            [format!("node tcp 30080: 10.42.1.2:8080 near {all}"), format!("10.43.0.1 tcp 80: {all}")]
        );
        s.internal_local = true;
        assert_eq!(shown(&s)[1], "10.43.0.1 tcp 80: 10.42.1.2:8080");
        s.endpoints.remove(0);
        assert_eq!(shown(&s), ["node tcp 30080: Drop near 10.42.2.2:8080", "10.43.0.1 tcp 80: Drop"]);
        s.endpoints.clear();
        assert_eq!(shown(&s), ["node tcp 30080: Refuse", "10.43.0.1 tcp 80: Refuse"]);
    }

    #[test]
    fn a_port_that_an_endpoint_does_not_have_is_not_asked_of_it() {
        let mut s = service("web", 1);
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.1.3", "n1")];
        s.endpoints[0].ports = vec![None];
        s.endpoints[1].ports.clear();
        assert_eq!(shown(&s), ["10.43.0.1 tcp 80: Refuse"]);
    }
}
