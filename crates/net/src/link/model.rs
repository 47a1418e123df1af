//! A node's ways to the pods of others without a kernel: the real plan and its steps, over maps that
//! take them. For simulations of whole clusters.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel_model::net::{Cidr, NetworkMode, NodeNet};

use super::{
    ipam::node_address,
    kernel::{Address, Neighbour},
    routes::{Own, plan},
    steps::{Needs, Step, undone},
};

/// The link to the machines' network, and the tunnel.
const UPLINK: u32 = 2;
const TUNNEL: u32 = 9;

/// The ways of one node.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    have: Needs,
    /// What the agent brought the kernel to; `None` after its start.
    done: Option<Needs>,
}

impl Ways {
    /// The agent starts again: what the kernel has stays, and is not known.
    pub(crate) fn restart(&mut self) {
        self.done = None;
    }

    /// The machine's power goes, and with it what the kernel has.
    pub(crate) fn power_off(&mut self) {
        (self.have, self.done) = (Needs::default(), None);
    }

    /// Brings the kernel to what is known, by the difference to the last time, or with a `look` at all
    /// that the kernel has. Gives what others had done to it, in words.
    pub(crate) fn follow(
        &mut self,
        (name, address): (&str, Ipv4Addr),
        mode: NetworkMode,
        nodes: &[NodeNet],
        look: bool,
    ) -> Vec<String> {
        let range = nodes.iter().find(|n| *n.name == *name).and_then(|n| n.pod_cidr);
        let Some((range, in_range)) = range.and_then(|r| Some((r, node_address(r)?))) else { return Vec::new() };
        let own = Own { name: name.into(), range, in_range, address: Some(address) };
        // All machines of a simulation share a network of 16 bits.
        let plan = plan(&own, mode, nodes, &[Address { link: UPLINK, ip: address, prefix: 16 }]);
        let needs = Needs::of(&own, &plan.ways, plan.tunnels().then_some(TUNNEL));
        let from = self.done.as_ref().filter(|_| !look).unwrap_or(&self.have);
        let steps = needs.from(from);
        // Told where it is another's doing: what is needed is what it was.
        let drifts = if self.done.as_ref() == Some(&needs) { undone(&steps) } else { Vec::new() };
        for step in steps {
            self.take(step);
        }
        self.done = Some(needs);
        drifts
    }

    fn take(&mut self, step: Step) {
        let have = &mut self.have;
        match step {
            Step::SetRoute(route) => drop(have.routes.insert(route.to, route)),
            Step::DeleteRoute(route) => drop(have.routes.remove(&route.to)),
            Step::SetNeighbour(new) => {
                self.forget(&new);
                self.have.neighbours.insert(new);
            }
            Step::DeleteNeighbour(old) => self.forget(&old),
            Step::SetEnd(new) => drop(have.ends.insert(new)),
            Step::DeleteEnd(old) => drop(have.ends.remove(&old)),
        }
    }

    /// A neighbour goes by its address alone.
    fn forget(&mut self, neighbour: &Neighbour) {
        if let Some(had) = self.neighbour(neighbour.link, neighbour.to).cloned() {
            self.have.neighbours.remove(&had);
        }
    }

    fn neighbour(&self, link: u32, to: Ipv4Addr) -> Option<&Neighbour> {
        let first = Neighbour { link, to, mac: Vec::new() };
        self.have.neighbours.range(first..).next().filter(|n| (n.link, n.to) == (link, to))
    }

    /// Somebody takes a route away.
    pub(crate) fn lose(&mut self, to: Cidr) {
        self.have.routes.remove(&to);
    }

    /// The machine to which packets for an address are sent.
    pub(crate) fn leads(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        // Ranges of nodes share no address, so the one that begins last before it is the one.
        let (range, route) = self.have.routes.range(..=Cidr::around(to, 32)).next_back()?;
        if !range.contains(IpAddr::V4(to)) {
            return None;
        }
        if route.link != TUNNEL {
            return route.via;
        }
        let neighbour = self.neighbour(TUNNEL, route.via?)?;
        self.have.ends.iter().find(|end| end.mac == neighbour.mac).map(|end| end.to)
    }

    /// The ranges that there is a way to.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Cidr> + '_ {
        self.have.routes.keys().copied()
    }
}
