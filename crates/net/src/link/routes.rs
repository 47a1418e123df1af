//! The ways to the pods of other nodes: a plain route where the node is on one of our links, VXLAN
//! else. [`plan`] is pure; [`Ways`] brings the kernel there, by the difference to what it did before,
//! or against what the kernel really has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::net::{Cidr, NetworkMode, NodeNet};

use super::{
    ipam::node_address,
    kernel::{Address, Kernel, KernelError, Link, Neighbour, PROTOCOL, Route, Tunnel},
    names::{Owner, mac_of},
};

/// The port that VXLAN has by its standard.
pub const TUNNEL_PORT: u16 = 4789;
/// What VXLAN puts before each packet.
pub const TUNNEL_BYTES: u32 = 50;

/// The way to one node's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the node's address on one of our links.
    Direct { via: Ipv4Addr, link: u32 },
    /// By VXLAN to the node's address.
    Tunnel { remote: Ipv4Addr },
}

/// What this node is in the cluster's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) name: String,
    /// Its range.
    pub(crate) range: Cidr,
    /// What it speaks to pods from.
    pub(crate) in_range: Ipv4Addr,
    /// The address that other nodes reach it by.
    pub(crate) address: Option<Ipv4Addr>,
}

/// All ways, and nodes that there is none to, each with why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    pub(crate) ways: BTreeMap<Cidr, Way>,
    pub(crate) without: Vec<String>,
}

impl Plan {
    pub(crate) fn tunnels(&self) -> bool {
        self.ways.values().any(|way| matches!(way, Way::Tunnel { .. }))
    }
}

/// Finds the way to each node, from the addresses of this machine's links.
pub(crate) fn plan<'a>(
    own: &Own,
    mode: NetworkMode,
    nodes: impl IntoIterator<Item = &'a NodeNet>,
    addresses: &[Address],
) -> Plan {
    let mut plan = Plan::default();
    for node in nodes {
        // One without range has no pods, one without address cannot be reached yet: both will say.
        let (Some(IpAddr::V4(address)), Some(range)) = (node.address, node.pod_cidr) else { continue };
        let here = addresses.iter().any(|a| a.ip == address);
        if *node.name == *own.name || range.overlaps(own.range) || here {
            continue;
        }
        let near = addresses.iter().find(|a| a.prefix < 32 && Cidr::around(a.ip, a.prefix).contains(address.into()));
        let way = match (mode, near) {
            (NetworkMode::Auto | NetworkMode::Routes, Some(near)) => Way::Direct { via: address, link: near.link },
            (NetworkMode::Routes, None) => {
                plan.without.push(format!(
                    "node {} ({address}) is on no link of this node, and `--network routes` allows no other way: use `--network auto`",
                    node.name
                ));
                continue;
            }
            (NetworkMode::Auto | NetworkMode::Vxlan, _) if own.address.is_some() && node_address(range).is_some() => {
                Way::Tunnel { remote: address }
            }
            (NetworkMode::Auto | NetworkMode::Vxlan, _) => {
                plan.without.push(format!(
                    "node {} ({address}) is reached by VXLAN alone, and this node does not know its own address: set --node-ip",
                    node.name
                ));
                continue;
            }
        };
        plan.ways.insert(range, way);
    }
    plan
}

/// The ways as they are in the kernel.
#[derive(Debug)]
pub(crate) struct Ways {
    owner: Owner,
    done: Option<Done>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    own: Own,
    ways: BTreeMap<Cidr, Way>,
    tunnel: Option<u32>,
}

impl Ways {
    pub(crate) fn new(owner: Owner) -> Self {
        Self { owner, done: None }
    }

    /// Makes what is new and takes away what is gone since the last time; everything where there was
    /// none, or where the tunnel begins or ends.
    pub(crate) async fn follow(
        &mut self,
        kernel: &Kernel,
        own: &Own,
        plan: &Plan,
        cluster: Cidr,
        mtu: u32,
    ) -> Result<(), KernelError> {
        let Some(done) = self.done.as_ref().filter(|d| d.own == *own && d.tunnel.is_some() == plan.tunnels()) else {
            return self.renew(kernel, own, plan, cluster, mtu).await;
        };
        let tunnel = done.tunnel;
        let changed: Vec<(Cidr, Way)> =
            plan.ways.iter().filter(|(range, way)| done.ways.get(range) != Some(way)).map(|(r, w)| (*r, *w)).collect();
        let gone: Vec<(Cidr, Way)> =
            done.ways.iter().filter(|(range, _)| !plan.ways.contains_key(range)).map(|(r, w)| (*r, *w)).collect();
        let before = done.ways.clone();
        // What fails half-way is made anew as a whole.
        self.done = None;
        for (range, way) in &gone {
            if let Some(route) = route(own, *range, *way, tunnel) {
                kernel.delete_route(&route).await?;
            }
            if let (Some(entries), Way::Tunnel { .. }) = (entries(*range, *way, tunnel), way) {
                kernel.delete_neighbour(&entries.0).await?;
                kernel.delete_tunnel_end(&entries.1).await?;
            }
        }
        for (range, way) in &changed {
            if let (Some(Way::Tunnel { .. }), Way::Direct { .. }) = (before.get(range), way)
                && let Some(old) = entries(*range, before[range], tunnel)
            {
                kernel.delete_neighbour(&old.0).await?;
                kernel.delete_tunnel_end(&old.1).await?;
            }
            make(kernel, own, *range, *way, tunnel).await?;
        }
        self.done = Some(Done { own: own.clone(), ways: plan.ways.clone(), tunnel });
        Ok(())
    }

    /// Holds everything of ours against what the kernel has, and puts right what differs.
    pub(crate) async fn renew(
        &mut self,
        kernel: &Kernel,
        own: &Own,
        plan: &Plan,
        cluster: Cidr,
        mtu: u32,
    ) -> Result<(), KernelError> {
        self.done = None;
        let tunnel = self.tunnel(kernel, own, plan.tunnels(), mtu).await?;
        let present: BTreeSet<Route> = kernel.routes().await?.into_iter().collect();
        let wanted: BTreeMap<Cidr, Route> =
            plan.ways.iter().filter_map(|(range, way)| Some((*range, route(own, *range, *way, tunnel)?))).collect();
        let links = kernel.links().await?;
        for stale in present.iter().filter(|r| is_node_route(r, own, cluster) && !self.is_anothers(r, &links)) {
            if !wanted.contains_key(&stale.to) {
                kernel.delete_route(stale).await?;
            }
        }
        if let Some(link) = tunnel {
            let entries: Vec<_> = plan.ways.iter().filter_map(|(r, way)| entries(*r, *way, tunnel)).collect();
            let (neighbours, ends): (BTreeSet<Neighbour>, BTreeSet<Neighbour>) = entries.into_iter().unzip();
            let have: BTreeSet<Neighbour> = kernel.neighbours(link).await?.into_iter().collect();
            for stale in have.difference(&neighbours) {
                kernel.delete_neighbour(stale).await?;
            }
            for missing in neighbours.difference(&have) {
                kernel.set_neighbour(missing).await?;
            }
            let have: BTreeSet<Neighbour> = kernel.tunnel_ends(link).await?.into_iter().collect();
            for stale in have.difference(&ends) {
                kernel.delete_tunnel_end(stale).await?;
            }
            for missing in ends.difference(&have) {
                kernel.set_tunnel_end(missing).await?;
            }
        }
        for route in wanted.values().filter(|route| !present.contains(route)) {
            kernel.set_route(route).await?;
        }
        self.done = Some(Done { own: own.clone(), ways: plan.ways.clone(), tunnel });
        Ok(())
    }

    /// Whether a route goes through a link of another agent on this machine.
    fn is_anothers(&self, route: &Route, links: &[Link]) -> bool {
        let link = links.iter().find(|l| l.index == route.link);
        link.is_some_and(|l| super::names::is_some_agents(&l.name) && !self.owner.owns(&l.name))
    }

    /// The VXLAN device as it shall be, or none.
    async fn tunnel(&self, kernel: &Kernel, own: &Own, wanted: bool, mtu: u32) -> Result<Option<u32>, KernelError> {
        let name = self.owner.tunnel();
        let found = kernel.link(&name).await?;
        let mac = mac_of(own.in_range);
        let tunnel = own.address.map(|local| Tunnel { number: self.owner.tunnel_number(), local, port: TUNNEL_PORT });
        let (Some(tunnel), true) = (tunnel, wanted) else {
            if let Some(found) = found {
                kernel.delete_link(found.index).await?;
            }
            return Ok(None);
        };
        let mtu = mtu.saturating_sub(TUNNEL_BYTES);
        let index = match found {
            Some(found) if found.tunnel == Some(tunnel) && found.mac == mac => {
                if found.mtu != mtu {
                    kernel.set_mtu(found.index, mtu).await?;
                }
                found.index
            }
            other => {
                if let Some(other) = other {
                    kernel.delete_link(other.index).await?;
                }
                kernel.add_tunnel(&name, tunnel, mac, mtu).await?;
                kernel.index(&name).await?
            }
        };
        kernel.set_up(index, Some("evenkeel: pods of other nodes")).await?;
        // What the node itself sends through it, translated or not, comes from this address.
        kernel.add_address(index, own.in_range, 32, false).await?;
        Ok(Some(index))
    }
}

/// Whether a route is one to another node's pods, made by us or by an earlier life of this agent.
fn is_node_route(route: &Route, own: &Own, cluster: Cidr) -> bool {
    route.protocol == PROTOCOL && cluster.contains(route.to.network().into()) && !own.range.overlaps(route.to)
}

async fn make(kernel: &Kernel, own: &Own, range: Cidr, way: Way, tunnel: Option<u32>) -> Result<(), KernelError> {
    if let Some((neighbour, end)) = entries(range, way, tunnel) {
        kernel.set_neighbour(&neighbour).await?;
        kernel.set_tunnel_end(&end).await?;
    }
    match route(own, range, way, tunnel) {
        Some(route) => kernel.set_route(&route).await,
        None => Ok(()),
    }
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
    use super::*;

    fn node(name: &str, address: &str, range: &str) -> NodeNet {
        NodeNet { name: name.into(), address: address.parse().ok(), pod_cidr: range.parse().ok(), zone: None }
    }

    fn own(address: Option<&str>) -> Own {
        Own {
            name: "n1".into(),
            range: "10.42.1.0/24".parse().unwrap(),
            in_range: "10.42.1.1".parse().unwrap(),
            address: address.map(|a| a.parse().unwrap()),
        }
    }

    fn addresses() -> Vec<Address> {
        vec![
            Address { link: 1, ip: "127.0.0.1".parse().unwrap(), prefix: 8 },
            Address { link: 2, ip: "10.77.0.11".parse().unwrap(), prefix: 24 },
            Address { link: 3, ip: "192.168.9.1".parse().unwrap(), prefix: 32 },
        ]
    }

    #[test]
    fn near_nodes_have_a_route_and_far_ones_a_tunnel() {
        let nodes = [
            node("n1", "10.77.0.11", "10.42.1.0/24"),
            node("n2", "10.77.0.12", "10.42.2.0/24"),
            node("n3", "10.78.0.13", "10.42.3.0/24"),
            node("unaddressed", "", "10.42.4.0/24"),
            node("rangeless", "10.77.0.15", ""),
            node("twin", "10.77.0.11", "10.42.6.0/24"),
        ];
        let direct = Way::Direct { via: "10.77.0.12".parse().unwrap(), link: 2 };
        let tunnel = |ip: &str| Way::Tunnel { remote: ip.parse().unwrap() };
        let ways = |mode| plan(&own(Some("10.77.0.11")), mode, &nodes, &addresses());
        let all = |plan: &Plan| plan.ways.iter().map(|(r, w)| (r.to_string(), *w)).collect::<Vec<_>>();
        let auto = ways(NetworkMode::Auto);
        assert_eq!(all(&auto), [("10.42.2.0/24".into(), direct), ("10.42.3.0/24".into(), tunnel("10.78.0.13"))]);
        assert!(auto.tunnels() && auto.without.is_empty());
        let vxlan = ways(NetworkMode::Vxlan);
        assert_eq!(all(&vxlan)[0].1, tunnel("10.77.0.12"));
        let routes = ways(NetworkMode::Routes);
        assert_eq!(all(&routes), [("10.42.2.0/24".into(), direct)]);
        assert!(routes.without[0].contains("n3 (10.78.0.13)"), "{:?}", routes.without);
        let nameless = plan(&own(None), NetworkMode::Auto, &nodes, &addresses());
        assert!(!nameless.tunnels() && nameless.without[0].contains("--node-ip"));
    }

    #[test]
    fn a_tunnel_knows_where_each_end_is() {
        let range: Cidr = "10.42.3.0/24".parse().unwrap();
        let way = Way::Tunnel { remote: "10.78.0.13".parse().unwrap() };
        let (neighbour, end) = entries(range, way, Some(9)).unwrap();
        assert_eq!((neighbour.to.to_string(), end.to.to_string()), ("10.42.3.1".into(), "10.78.0.13".into()));
        assert_eq!(neighbour.mac, end.mac);
        let route = route(&own(None), range, way, Some(9)).unwrap();
        assert_eq!((route.via, route.onlink, route.link), (Some(neighbour.to), true, 9));
        assert!(entries(range, Way::Direct { via: neighbour.to, link: 2 }, Some(9)).is_none());
    }

    #[test]
    fn pods_own_routes_are_no_routes_to_nodes() {
        let cluster: Cidr = "10.42.0.0/16".parse().unwrap();
        let route = |to: &str, protocol| Route {
            to: to.parse().unwrap(),
            link: 2,
            via: None,
            onlink: false,
            source: None,
            protocol,
        };
        let is = |to, protocol| is_node_route(&route(to, protocol), &own(None), cluster);
        assert!(is("10.42.9.0/24", PROTOCOL));
        assert!(!is("10.42.9.0/24", 4) && !is("10.42.1.7/32", PROTOCOL) && !is("10.50.0.0/24", PROTOCOL));
    }
}
