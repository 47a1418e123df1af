//! The ways to the pods of other nodes: a plain route where the node is on one of our links, VXLAN
//! else. [`plan`] is pure; [`Ways`] brings the kernel there, by the difference to what it did before,
//! or against what the kernel really has (`steps` says which words that takes).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::net::{Cidr, NetworkMode, NodeNet};

use super::{
    ipam::node_address,
    kernel::{Address, Kernel, KernelError, Link, PROTOCOL, Route, Tunnel},
    names::{Owner, mac_of},
    steps::{Needs, Step, undone},
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
    /// Whether the kernel has been brought there: else a look at the whole comes first.
    whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    own: Own,
    needs: Needs,
    tunnel: Option<u32>,
}

impl Ways {
    pub(crate) fn new(owner: Owner) -> Self {
        Self { owner, done: None, whole: false }
    }

    /// Makes what is new and takes away what is gone since the last time; everything where there was
    /// none, or where the tunnel begins or ends. Gives what [`Ways::renew`] does, where all is looked at.
    pub(crate) async fn follow(
        &mut self,
        kernel: &Kernel,
        own: &Own,
        plan: &Plan,
        cluster: Cidr,
        mtu: u32,
    ) -> Result<Vec<String>, KernelError> {
        // What fails half-way is made anew as a whole.
        if !std::mem::take(&mut self.whole) {
            return self.renew(kernel, own, plan, cluster, mtu).await;
        }
        let Some(done) = self.done.take().filter(|d| d.own == *own && d.tunnel.is_some() == plan.tunnels()) else {
            return self.renew(kernel, own, plan, cluster, mtu).await;
        };
        let needs = Needs::of(own, &plan.ways, done.tunnel);
        carry_out(kernel, needs.from(&done.needs)).await?;
        self.done = Some(Done { needs, ..done });
        self.whole = true;
        Ok(Vec::new())
    }

    /// Holds everything of ours against what the kernel has, and puts right what differs. Gives what
    /// others did to it since the last time, in words.
    pub(crate) async fn renew(
        &mut self,
        kernel: &Kernel,
        own: &Own,
        plan: &Plan,
        cluster: Cidr,
        mtu: u32,
    ) -> Result<Vec<String>, KernelError> {
        self.whole = false;
        // Kept until it is put right: a device that goes down meanwhile fails this, and is told by the next.
        let before = self.done.as_ref().filter(|d| d.own == *own && d.tunnel.is_some() == plan.tunnels());
        let (tunnel, again) = self.tunnel(kernel, own, plan.tunnels(), mtu).await?;
        let links = kernel.links().await?;
        let mut have = Needs::default();
        for route in kernel.routes().await? {
            if is_node_route(&route, own, cluster) && !self.is_anothers(&route, &links) {
                have.routes.insert(route.to, route);
            }
        }
        if let Some(link) = tunnel {
            have.neighbours = kernel.neighbours(link).await?.into_iter().collect();
            have.ends = kernel.tunnel_ends(link).await?.into_iter().collect();
        }
        let needs = Needs::of(own, &plan.ways, tunnel);
        let steps = needs.from(&have);
        let drifts = match before {
            // With the device all that was behind it went.
            Some(before) if before.tunnel != tunnel || again => {
                vec![format!("the VXLAN device {} was gone, down or another one; it is as it was", self.owner.tunnel())]
            }
            Some(before) if before.needs == needs => undone(&steps),
            _ => Vec::new(),
        };
        carry_out(kernel, steps).await?;
        self.done = Some(Done { own: own.clone(), needs, tunnel });
        self.whole = true;
        Ok(drifts)
    }

    /// Whether a route goes through a link of another agent on this machine.
    fn is_anothers(&self, route: &Route, links: &[Link]) -> bool {
        let link = links.iter().find(|l| l.index == route.link);
        link.is_some_and(|l| super::names::is_some_agents(&l.name) && !self.owner.owns(&l.name))
    }

    /// The VXLAN device as it shall be, or none; and whether one that was there had to be set up again.
    async fn tunnel(
        &self,
        kernel: &Kernel,
        own: &Own,
        wanted: bool,
        mtu: u32,
    ) -> Result<(Option<u32>, bool), KernelError> {
        let name = self.owner.tunnel();
        let found = kernel.link(&name).await?;
        let mac = mac_of(own.in_range);
        let tunnel = own.address.map(|local| Tunnel { number: self.owner.tunnel_number(), local, port: TUNNEL_PORT });
        let (Some(tunnel), true) = (tunnel, wanted) else {
            if let Some(found) = found {
                kernel.delete_link(found.index).await?;
            }
            return Ok((None, false));
        };
        let mtu = mtu.saturating_sub(TUNNEL_BYTES);
        let was_up = found.as_ref().is_some_and(|l| l.up);
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
        Ok((Some(index), !was_up))
    }
}

async fn carry_out(kernel: &Kernel, steps: Vec<Step>) -> Result<(), KernelError> {
    for step in steps {
        match step {
            Step::SetNeighbour(n) => kernel.set_neighbour(&n).await?,
            Step::SetEnd(n) => kernel.set_tunnel_end(&n).await?,
            Step::SetRoute(route) => kernel.set_route(&route).await?,
            Step::DeleteRoute(route) => kernel.delete_route(&route).await?,
            Step::DeleteNeighbour(n) => kernel.delete_neighbour(&n).await?,
            Step::DeleteEnd(n) => kernel.delete_tunnel_end(&n).await?,
        }
    }
    Ok(())
}

/// Whether a route is one to another node's pods, made by us or by an earlier life of this agent.
fn is_node_route(route: &Route, own: &Own, cluster: Cidr) -> bool {
    route.protocol == PROTOCOL && cluster.contains(route.to.network().into()) && !own.range.overlaps(route.to)
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
