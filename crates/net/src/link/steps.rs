//! What the kernel must have for a plan of ways, and what is to be done where it has something else. Pure.
//!
//! Each other node needs a route; one behind the tunnel two entries of the tunnel beside. A change of one
//! node costs what that node has, however many others there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use evenkeel_model::net::Cidr;

use super::{
    ipam::node_address,
    kernel::{Neighbour, PROTOCOL, Route},
    names::mac_of,
    routes::{Own, Way},
};

/// Ranges that are named in one message; more are counted.
const NAMED: usize = 4;

/// Routes and entries of the tunnel: as they shall be, or as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// By range: one has one way.
    pub(super) routes: BTreeMap<Cidr, Route>,
    /// Which hardware address a gateway behind the tunnel has.
    pub(super) neighbours: BTreeSet<Neighbour>,
    /// At which machine a hardware address is.
    pub(super) ends: BTreeSet<Neighbour>,
}

/// One word to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    SetNeighbour(Neighbour),
    SetEnd(Neighbour),
    SetRoute(Route),
    DeleteRoute(Route),
    DeleteNeighbour(Neighbour),
    DeleteEnd(Neighbour),
}

impl Needs {
    pub(super) fn of(own: &Own, ways: &BTreeMap<Cidr, Way>, tunnel: Option<u32>) -> Self {
        let mut out = Self::default();
        for (range, way) in ways {
            if let Some((neighbour, end)) = entries(*range, *way, tunnel) {
                out.neighbours.insert(neighbour);
                out.ends.insert(end);
            }
            if let Some(route) = route(own, *range, *way, tunnel) {
                out.routes.insert(*range, route);
            }
        }
        out
    }

    /// What makes this of what there is. What is new comes first, and takes the place of what was under its
    /// name; what then is taken away may be gone already.
    pub(super) fn from(&self, have: &Self) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend(self.neighbours.difference(&have.neighbours).cloned().map(Step::SetNeighbour));
        steps.extend(self.ends.difference(&have.ends).cloned().map(Step::SetEnd));
        let new = self.routes.iter().filter(|(to, route)| have.routes.get(to) != Some(route));
        steps.extend(new.map(|(_, route)| Step::SetRoute(*route)));
        let gone = have.routes.iter().filter(|(to, _)| !self.routes.contains_key(to));
        steps.extend(gone.map(|(_, route)| Step::DeleteRoute(*route)));
        // An entry of a neighbour goes by its address alone.
        let kept: BTreeSet<(u32, Ipv4Addr)> = self.neighbours.iter().map(|n| (n.link, n.to)).collect();
        let gone = have.neighbours.iter().filter(|n| !kept.contains(&(n.link, n.to)));
        steps.extend(gone.cloned().map(Step::DeleteNeighbour));
        steps.extend(have.ends.difference(&self.ends).cloned().map(Step::DeleteEnd));
        steps
    }
}

/// What somebody else did, by the steps that put it right, in words.
pub(super) fn undone(steps: &[Step]) -> Vec<String> {
    let mut out = Vec::new();
    let ranges = |of: fn(&Step) -> Option<Cidr>| steps.iter().filter_map(of).collect::<Vec<_>>();
    let made = ranges(|s| if let Step::SetRoute(r) = s { Some(r.to) } else { None });
    if !made.is_empty() {
        out.push(format!("the way to pods of other nodes at {} was gone or another one; it is as it was", list(&made)));
    }
    let taken = ranges(|s| if let Step::DeleteRoute(r) = s { Some(r.to) } else { None });
    if !taken.is_empty() {
        out.push(format!(
            "there were routes of the agent's protocol to {}, where no node is; they are gone",
            list(&taken)
        ));
    }
    let entries = steps.iter().filter(|s| !matches!(s, Step::SetRoute(_) | Step::DeleteRoute(_))).count();
    if entries > 0 {
        out.push(format!(
            "entries of the VXLAN device (neighbours, fdb: {entries}) were changed; they are as they were"
        ));
    }
    out
}

fn list(ranges: &[Cidr]) -> String {
    let named: Vec<String> = ranges.iter().take(NAMED).map(ToString::to_string).collect();
    let more = ranges.len() - named.len();
    let named = named.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn route(own: &Own, to: Cidr, way: Way, tunnel: Option<u32>) -> Option<Route> {
    Some(match way {
        Way::Direct { via, link } => {
            Route { to, link, via: Some(via), onlink: false, source: None, protocol: PROTOCOL }
        }
        Way::Tunnel { .. } => Route {
            to,
            link: tunnel?,
            via: node_address(to),
            onlink: true,
            source: Some(own.in_range),
            protocol: PROTOCOL,
        },
    })
}

/// What the tunnel must know of a node: the hardware address of its end, and where that is.
fn entries(range: Cidr, way: Way, tunnel: Option<u32>) -> Option<(Neighbour, Neighbour)> {
    let (Way::Tunnel { remote }, Some(link), Some(to)) = (way, tunnel, node_address(range)) else { return None };
    let mac = mac_of(to).to_vec();
    Some((Neighbour { link, to, mac: mac.clone() }, Neighbour { link, to: remote, mac }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use evenkeel_model::net::{NetworkMode, NodeNet};

    use super::*;
    use crate::link::{kernel::Address, routes::plan};

    fn own() -> Own {
        Own {
            name: "n1".into(),
            range: "10.42.0.0/24".parse().unwrap(),
            in_range: "10.42.0.1".parse().unwrap(),
            address: "10.77.0.1".parse().ok(),
        }
    }

    /// So many nodes in one network, with ranges of 64 addresses.
    fn nodes(count: u32) -> Vec<NodeNet> {
        let part = |n: u32| (n >> 2, (n & 3) * 64);
        let node = |n: u32| NodeNet {
            name: format!("n{n}").into(),
            address: format!("10.77.{}.{}", n / 250, n % 250 + 2).parse().ok(),
            pod_cidr: format!("10.42.{}.{}/26", part(n).0, part(n).1).parse().ok(),
            zone: None,
        };
        (8..count + 8).map(node).collect()
    }

    fn needs(mode: NetworkMode, nodes: &[NodeNet]) -> Needs {
        let addresses = [Address { link: 2, ip: "10.77.0.1".parse().unwrap(), prefix: 16 }];
        let plan = plan(&own(), mode, nodes, &addresses);
        Needs::of(&own(), &plan.ways, plan.tunnels().then_some(9))
    }

    #[test]
    fn a_tunnel_knows_where_each_end_is() {
        let range: Cidr = "10.42.3.0/24".parse().unwrap();
        let way = Way::Tunnel { remote: "10.78.0.13".parse().unwrap() };
        let (neighbour, end) = entries(range, way, Some(9)).unwrap();
        assert_eq!((neighbour.to.to_string(), end.to.to_string()), ("10.42.3.1".into(), "10.78.0.13".into()));
        assert_eq!(neighbour.mac, end.mac);
        let route = route(&own(), range, way, Some(9)).unwrap();
        assert_eq!((route.via, route.onlink, route.link), (Some(neighbour.to), true, 9));
        assert!(entries(range, Way::Direct { via: neighbour.to, link: 2 }, Some(9)).is_none());
    }

    #[test]
    fn of_a_thousand_nodes_a_change_of_one_costs_one() {
        for (mode, each) in [(NetworkMode::Routes, 1), (NetworkMode::Vxlan, 3)] {
            let mut all = nodes(1000);
            let begun = Instant::now();
            let before = needs(mode, &all);
            assert_eq!(before.from(&Needs::default()).len(), 1000 * each, "{mode:?}: all of them at first");
            assert!(before.from(&before).is_empty(), "and none again");

            // One changes its address, one goes, one comes.
            all[500].address = "10.77.9.9".parse().ok();
            let changed = needs(mode, &all);
            let steps = changed.from(&before);
            // Of VXLAN the old end is taken away, too, should it still be there; the route stays as it is.
            let expected = if mode == NetworkMode::Vxlan { 2 } else { 1 };
            assert_eq!(steps.len(), expected, "{mode:?}: {steps:?}");
            all.remove(700);
            let without = needs(mode, &all);
            assert_eq!(without.from(&changed).len(), each, "{mode:?}");
            assert_eq!(changed.from(&without).len(), each, "{mode:?}");
            // Far above what a slow machine takes, far below what a cost by pairs of nodes would be.
            assert!(begun.elapsed() < Duration::from_secs(2), "{mode:?} took {:?}", begun.elapsed());
        }
    }

    #[test]
    fn what_others_did_is_said_in_few_words() {
        let wanted = needs(NetworkMode::Vxlan, &nodes(1000));
        assert!(undone(&wanted.from(&wanted)).is_empty());
        let mut have = wanted.clone();
        let (first, route) = have.routes.pop_first().unwrap();
        let elsewhere: Cidr = "10.42.255.0/24".parse().unwrap();
        have.routes.insert(elsewhere, Route { to: elsewhere, ..route });
        have.ends.pop_first();
        let said = undone(&wanted.from(&have));
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains(&format!("at {first} was gone")), "{}", said[0]);
        assert!(said[1].contains("10.42.255.0/24") && said[2].contains("fdb: 1)"), "{said:?}");
        let all = undone(&wanted.from(&Needs::default()));
        assert!(all[0].contains("and 996 more") && all[0].len() < 200, "{}", all[0]);
        assert!(all[1].contains("fdb: 2000)"), "{}", all[1]);
    }
}
