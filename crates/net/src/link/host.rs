//! What the machine has of its own: whether the cluster's ranges get in its way, which link leads
//! outside, whether it forwards packets; and what it takes for itself of the cluster's network.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::net::Cidr;

use super::{
    KernelError,
    kernel::{Address, Kernel, Link, PROTOCOL, Route},
    names::{Owner, is_some_agents},
    pods::{LOOPBACK, set_parameter},
};

/// What Ethernet has where nothing else is known.
const USUAL_MTU: u32 = 1500;
/// A route as wide as this, or wider, is a default one and gets in nobody's way.
const DEFAULT_BITS: u8 = 7;

/// Links, addresses and routes as they were at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) links: Vec<Link>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
}

/// A range of the cluster, and the server's flag that sets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) range: Cidr,
    pub(crate) flag: &'static str,
}

impl Machine {
    fn name(&self, link: u32) -> &str {
        self.links.iter().find(|l| l.index == link).map_or("?", |l| l.name.as_str())
    }

    /// Whether a link is the machine's own: neither loopback nor made by an agent.
    fn is_its_own(&self, link: u32) -> bool {
        self.links.iter().any(|l| l.index == link && !l.loopback && !is_some_agents(&l.name))
    }

    /// Addresses of the machine's own links.
    pub(crate) fn own_addresses(&self) -> Vec<Address> {
        self.addresses.iter().filter(|a| self.is_its_own(a.link)).copied().collect()
    }

    /// What of the machine a range of the cluster would hide, in words that say what to do.
    pub(crate) fn conflict(&self, claims: &[Claim]) -> Option<String> {
        for claim in claims {
            // One address alone is no network: it is told as what it is ([`Machine::taken`]).
            let held = self.own_addresses().into_iter().filter(|a| a.prefix < 32).find(|a| {
                let network = Cidr::around(a.ip, a.prefix);
                claim.range.overlaps(network)
            });
            if let Some(held) = held {
                return Some(claim.refusal(&format!(
                    "{}/{} of this machine's link {}",
                    held.ip,
                    held.prefix,
                    self.name(held.link)
                )));
            }
            // A wider one goes on for all that the cluster does not use.
            let routed = self.routes.iter().find(|r| {
                let narrow = r.to.prefix() >= claim.range.prefix() && r.to.prefix() > DEFAULT_BITS;
                r.protocol != PROTOCOL && narrow && claim.range.overlaps(r.to) && !is_some_agents(self.name(r.link))
            });
            if let Some(routed) = routed {
                return Some(claim.refusal(&format!(
                    "this machine's route to {} by {}",
                    routed.to,
                    self.name(routed.link)
                )));
            }
        }
        None
    }

    /// Another agent on this machine that has pods in this node's range.
    pub(crate) fn rival(&self, owner: &Owner, range: Cidr) -> Option<String> {
        let rival = self.routes.iter().find(|r| {
            let name = self.name(r.link);
            r.protocol == PROTOCOL && r.to.overlaps(range) && !owner.owns(name)
        })?;
        Some(format!(
            "another Evenkeel agent on this machine has a route to {} by {}, within this node's range {range}: clusters that share a machine need different --cluster-cidr at their servers",
            rival.to,
            self.name(rival.link)
        ))
    }

    /// Another agent on this machine that has Services in this cluster's range.
    pub(crate) fn rival_of_services(&self, own: Ipv4Addr, services: Cidr) -> Option<String> {
        let another = |r: &&Route| r.protocol == PROTOCOL && r.link == LOOPBACK && r.source != Some(own);
        let rival = self.routes.iter().filter(another).find(|r| r.to.overlaps(services))?;
        Some(format!(
            "another Evenkeel agent on this machine has Services in {}, which overlaps {services}: clusters that share a machine need different --service-cidr at their servers",
            rival.to
        ))
    }

    /// The link by which other nodes reach this one: that of its address, or else of the default
    /// route.
    pub(crate) fn uplink(&self, address: Option<IpAddr>) -> Option<u32> {
        let by_address = self.addresses.iter().find(|a| Some(IpAddr::V4(a.ip)) == address).map(|a| a.link);
        by_address.or_else(|| self.routes.iter().find(|r| r.to.prefix() == 0).map(|r| r.link))
    }

    /// The name of the link on which others look for an address: one whose network it is in, or that of the
    /// default route.
    pub(crate) fn link_to(&self, address: Ipv4Addr) -> Option<String> {
        let beside = self.beside(address).or_else(|| self.uplink(None));
        beside.map(|link| self.name(link).to_owned())
    }

    /// Whether an address is in the network of a link of this machine, and not its own.
    pub(crate) fn is_beside(&self, address: Ipv4Addr) -> bool {
        self.beside(address).is_some() && !self.addresses.iter().any(|a| a.ip == address)
    }

    /// Addresses of the cluster on links where no agent put them, with the link's name: packets to these end
    /// at this machine. `held` are those that the agent itself has on the loopback.
    pub(crate) fn taken(&self, is_the_clusters: impl Fn(Ipv4Addr) -> bool, held: &[Ipv4Addr]) -> Vec<(Address, &str)> {
        let ours = |a: &Address| a.link == LOOPBACK && held.contains(&a.ip);
        let strange = self.addresses.iter().filter(|a| !is_some_agents(self.name(a.link)) && !ours(a));
        strange.filter(|a| is_the_clusters(a.ip)).map(|a| (*a, self.name(a.link))).collect()
    }

    /// What of [`hold`] and of the name server's address is missing, in words.
    pub(crate) fn lacks(&self, own: Ipv4Addr, services: Cidr, dns: Option<Ipv4Addr>) -> Vec<String> {
        let has = |ip: Ipv4Addr| self.addresses.iter().any(|a| a.link == LOOPBACK && a.ip == ip);
        let mut out = Vec::new();
        for (ip, what) in [(Some(own), "what this node speaks to pods from"), (dns, "that of the cluster's names")] {
            if let Some(ip) = ip.filter(|ip| !has(*ip)) {
                out.push(format!("the address {ip}, {what}, was taken from lo; it is there again"));
            }
        }
        if !self.routes.contains(&to_services(own, services)) {
            out.push(format!("the route to Services at {services} was gone; it is there again"));
        }
        out
    }

    fn beside(&self, address: Ipv4Addr) -> Option<u32> {
        let own = self.own_addresses().into_iter().filter(|a| a.prefix < 32);
        let holding = own.filter(|a| Cidr::around(a.ip, a.prefix).contains(address.into()));
        holding.max_by_key(|a| a.prefix).map(|a| a.link)
    }

    /// The size of packets that fits through it.
    pub(crate) fn uplink_mtu(&self, address: Option<IpAddr>) -> u32 {
        let link = self.uplink(address);
        let mtu = self.links.iter().find(|l| Some(l.index) == link && !l.loopback).map(|l| l.mtu);
        mtu.filter(|mtu| *mtu > 0).unwrap_or(USUAL_MTU)
    }
}

impl Claim {
    fn refusal(&self, what: &str) -> String {
        format!(
            "{} {} of this cluster overlaps {what}: set another range when the cluster is made, or change this machine's network",
            self.flag, self.range
        )
    }
}

/// What a node has of the cluster's network itself: an address, and a way to Services. Their packets
/// are translated before they leave, but only after a route was found for them, which a machine
/// without a default route does not have.
pub(crate) async fn hold(kernel: &Kernel, own: Ipv4Addr, services: Cidr) -> Result<(), KernelError> {
    kernel.add_address(LOOPBACK, own, 32, false).await?;
    kernel.set_route(&to_services(own, services)).await
}

/// Lets go of what [`hold`] made.
pub(crate) async fn let_go(kernel: &Kernel, own: Ipv4Addr, services: Cidr) -> Result<(), KernelError> {
    let route = to_services(own, services);
    if kernel.routes().await?.contains(&route) {
        kernel.delete_route(&route).await?;
    }
    kernel.delete_address(LOOPBACK, own, 32).await
}

fn to_services(own: Ipv4Addr, services: Cidr) -> Route {
    Route { to: services, link: LOOPBACK, via: None, onlink: false, source: Some(own), protocol: PROTOCOL }
}

/// Lets the machine forward packets, which pods live by; says whether it did not before.
pub(crate) fn forward_packets() -> io::Result<bool> {
    let name = "net.ipv4.ip_forward";
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?;
    set_parameter(name, "1")?;
    Ok(before.trim() != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let link = |index, name: &str, mtu| Link {
            index,
            name: name.into(),
            up: true,
            mtu,
            loopback: name == "lo",
            mac: Vec::new(),
            tunnel: None,
        };
        let address = |link, ip: &str, prefix| Address { link, ip: ip.parse().unwrap(), prefix };
        let route = |to: &str, link, protocol| Route {
            to: to.parse().unwrap(),
            link,
            via: None,
            onlink: false,
            source: None,
            protocol,
        };
        Machine {
            links: vec![
                link(1, "lo", 65536),
                link(2, "eth0", 9000),
                link(3, &Owner::new("c", "n").tunnel(), 8950),
                link(4, "vpn0", 1400),
                link(5, &Owner::new("c2", "n").pod_link(evenkeel_model::Uid(1)), 1500),
            ],
            addresses: vec![
                address(1, "127.0.0.1", 8),
                address(1, "10.42.1.1", 32),
                address(2, "10.77.0.11", 24),
                address(3, "10.42.1.1", 32),
            ],
            routes: vec![
                route("0.0.0.0/0", 2, 3),
                route("0.0.0.0/1", 4, 3),
                route("10.77.0.0/24", 2, 2),
                route("10.90.7.0/24", 4, 3),
                route("10.0.0.0/8", 4, 3),
                route("10.42.2.0/24", 2, PROTOCOL),
                route("10.42.5.7/32", 5, PROTOCOL),
            ],
        }
    }

    #[test]
    fn ranges_that_hide_the_machines_networks_are_refused() {
        let conflict =
            |range: &str| machine().conflict(&[Claim { range: range.parse().unwrap(), flag: "--cluster-cidr" }]);
        assert_eq!(conflict("10.42.0.0/16"), None, "what is ours is in nobody's way, nor is a wider route");
        let address = conflict("10.77.0.0/16").unwrap();
        assert!(
            address.contains("--cluster-cidr 10.77.0.0/16")
                && address.contains("10.77.0.11/24")
                && address.contains("eth0"),
            "{address}"
        );
        assert!(conflict("10.77.0.128/25").is_some());
        let route = conflict("10.90.0.0/16").unwrap();
        assert!(route.contains("10.90.7.0/24") && route.contains("vpn0"), "{route}");
    }

    #[test]
    fn a_pools_address_is_looked_for_on_the_link_of_its_network() {
        let link = |ip: &str| machine().link_to(ip.parse().unwrap());
        assert_eq!(link("10.77.0.200").as_deref(), Some("eth0"));
        assert_eq!(link("192.0.2.1").as_deref(), Some("eth0"), "the default route's");
        let beside = |ip: &str| machine().is_beside(ip.parse().unwrap());
        assert!(beside("10.77.0.12") && !beside("10.77.0.11") && !beside("192.0.2.1"));
    }

    #[test]
    fn addresses_of_the_cluster_that_nobody_of_ours_put_there_are_found() {
        let cluster: Cidr = "10.42.0.0/16".parse().unwrap();
        let mut machine = machine();
        let taken = |machine: &Machine| {
            let found = machine.taken(|ip| cluster.contains(ip.into()), &["10.42.1.1".parse().unwrap()]);
            found.into_iter().map(|(a, link)| format!("{}/{} {link}", a.ip, a.prefix)).collect::<Vec<_>>()
        };
        assert!(taken(&machine).is_empty(), "{:?}", taken(&machine));
        for (link, ip, prefix) in [(1, "10.42.1.7", 32), (2, "10.42.2.2", 32), (3, "10.42.1.9", 32)] {
            machine.addresses.push(Address { link, ip: ip.parse().unwrap(), prefix });
        }
        assert_eq!(taken(&machine), ["10.42.1.7/32 lo", "10.42.2.2/32 eth0"], "a link of ours is our own");
        let claim = Claim { range: cluster, flag: "--cluster-cidr" };
        assert_eq!(machine.conflict(&[claim]), None, "one address is no network that would be hidden");
    }

    #[test]
    fn what_is_held_and_missing_is_said() {
        let (own, services): (Ipv4Addr, Cidr) = ("10.42.1.1".parse().unwrap(), "10.43.0.0/16".parse().unwrap());
        let dns: Ipv4Addr = "10.43.0.10".parse().unwrap();
        let mut machine = machine();
        let said = machine.lacks(own, services, Some(dns));
        assert!(said.len() == 2 && said[0].contains("10.43.0.10") && said[1].contains("10.43.0.0/16"), "{said:?}");
        machine.addresses.push(Address { link: LOOPBACK, ip: dns, prefix: 32 });
        machine.routes.push(to_services(own, services));
        assert!(machine.lacks(own, services, Some(dns)).is_empty());
        machine.addresses.retain(|a| a.ip != own);
        assert!(machine.lacks(own, services, Some(dns))[0].contains("10.42.1.1"));
    }

    #[test]
    fn another_agent_in_the_same_range_is_told() {
        let owner = Owner::new("c", "n");
        assert_eq!(machine().rival(&owner, "10.42.1.0/24".parse().unwrap()), None);
        let rival = machine().rival(&owner, "10.42.5.0/24".parse().unwrap()).unwrap();
        assert!(rival.contains("10.42.5.7/32") && rival.contains("--cluster-cidr"), "{rival}");
    }

    #[test]
    fn the_uplink_is_that_of_the_nodes_address_or_the_default_route() {
        assert_eq!(machine().uplink_mtu(Some("10.77.0.11".parse().unwrap())), 9000);
        assert_eq!(machine().uplink_mtu(Some("1.2.3.4".parse().unwrap())), 9000);
        assert_eq!(Machine::default().uplink_mtu(None), USUAL_MTU);
    }
}
