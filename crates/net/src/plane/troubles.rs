//! What is wrong with the node's network, lasts, and cannot be put right by the agent: told once when it
//! begins and once when it ends, and to whoever asks meanwhile.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel_model::net::{NetworkTrouble, ServiceNet};
use tokio::sync::watch as channel;

use super::{Known, task::Task};
use crate::link::kernel::Address;

/// An address of a pod or a Service is on a link of the machine.
pub(super) const ADDRESS_TAKEN: &str = "AddressTaken";
/// None of the node's resolvers answers.
pub(super) const RESOLVERS_SILENT: &str = "ResolversSilent";
/// Addresses that are named; more are counted.
const NAMED: usize = 4;

/// All that lasts, one for each reason.
#[derive(Debug, Clone)]
pub(super) struct Troubles(channel::Sender<Vec<NetworkTrouble>>);

impl Troubles {
    pub(super) fn new() -> (Self, channel::Receiver<Vec<NetworkTrouble>>) {
        let (send, receive) = channel::channel(Vec::new());
        (Self(send), receive)
    }

    /// How it stands with a reason: `None` where all is well.
    pub(super) fn set(&self, reason: &'static str, message: Option<String>) {
        self.0.send_if_modified(|all| {
            let before = all.iter().position(|t| t.reason == reason);
            match (before, message) {
                (None, None) => false,
                (Some(at), Some(message)) if all[at].message == message => false,
                (before, Some(message)) => {
                    tracing::warn!(reason, "{message}");
                    let trouble = NetworkTrouble { reason: reason.to_owned(), message };
                    match before {
                        Some(at) => all[at] = trouble,
                        None => all.push(trouble),
                    }
                    true
                }
                (Some(at), None) => {
                    tracing::info!(reason, "it is over: {}", all[at].message);
                    all.remove(at);
                    true
                }
            }
        });
    }
}

impl Task {
    /// Looks for addresses of the cluster that somebody gave to a link of this machine.
    pub(super) fn look_for_taken(&self) {
        let Some(place) = &self.held else { return };
        let IpAddr::V4(dns) = place.settings.dns else { return };
        let ranges = [place.settings.cluster_cidr, place.settings.service_cidr];
        let pools: Vec<Ipv4Addr> = self.known.services().iter().flat_map(|s| of_pools(s)).collect();
        let is_the_clusters = |ip: Ipv4Addr| ranges.iter().any(|r| r.contains(ip.into())) || pools.contains(&ip);
        let title = |ip| self.wires.values().find(|w| w.wire.address == ip).map(|w| w.title.clone());
        let taken = self.machine.taken(is_the_clusters, &[place.own.in_range, dns]);
        self.says.troubles.set(ADDRESS_TAKEN, message(&taken, |ip| whose(&self.known, ip, title(ip))));
    }
}

/// Addresses of a pool, which one node announces and no link has.
fn of_pools(service: &ServiceNet) -> impl Iterator<Item = Ipv4Addr> {
    let announced = service.balancer.announcer.is_some();
    let v4 = |ip: &IpAddr| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None };
    service.load_balancer_ips.iter().filter(move |_| announced).filter_map(v4)
}

fn whose(known: &Known, ip: Ipv4Addr, pod: Option<String>) -> String {
    if let Some(pod) = pod {
        return format!("pod {pod}");
    }
    let address = IpAddr::V4(ip);
    let has = |s: &ServiceNet| s.cluster_ips.contains(&address) || of_pools(s).any(|a| a == ip);
    if let Some(service) = known.services().iter().find(|s| has(s)) {
        return format!("the Service {}/{}", service.id.namespace, service.id.name);
    }
    match known.nodes().iter().find(|n| n.pod_cidr.is_some_and(|r| r.contains(address))) {
        Some(node) => format!("pods of node {}", node.name),
        None => "pods or Services of the cluster".to_owned(),
    }
}

fn message(taken: &[(Address, &str)], whose: impl Fn(Ipv4Addr) -> String) -> Option<String> {
    let one = |(a, link): &(Address, &str)| {
        format!(
            "{} is an address of {} and was given to the link {link}: packets to it end at this machine; take it away (ip address del {}/{} dev {link})",
            a.ip,
            whose(a.ip),
            a.ip,
            a.prefix
        )
    };
    let named: Vec<String> = taken.iter().take(NAMED).map(one).collect();
    let more = taken.len() - named.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!taken.is_empty()).then(|| named.join("; ") + &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_begins_changes_or_ends() {
        let (troubles, mut told) = Troubles::new();
        let mut news = |message: Option<&str>| {
            troubles.set(ADDRESS_TAKEN, message.map(str::to_owned));
            let news = told.has_changed().unwrap();
            (news, told.borrow_and_update().iter().map(|t| t.message.clone()).collect::<Vec<_>>())
        };
        assert_eq!(news(None), (false, vec![]));
        assert_eq!(news(Some("a")), (true, vec!["a".to_owned()]));
        assert_eq!(news(Some("a")), (false, vec!["a".to_owned()]));
        assert_eq!(news(Some("b")), (true, vec!["b".to_owned()]));
        troubles.set(RESOLVERS_SILENT, Some("c".into()));
        assert_eq!(news(None), (true, vec!["c".to_owned()]));
    }

    #[test]
    fn taken_addresses_are_named_with_what_to_do() {
        let address = |n: u8| Address { link: 1, ip: [10, 42, 0, n].into(), prefix: 32 };
        let all: Vec<(Address, &str)> = (1..=6).map(|n| (address(n), "lo")).collect();
        assert_eq!(message(&[], |_| String::new()), None);
        let said = message(&all[..1], |_| "pod shop/web".into()).unwrap();
        assert!(
            said.contains("10.42.0.1 is an address of pod shop/web")
                && said.contains("ip address del 10.42.0.1/32 dev lo")
        );
        let said = message(&all, |_| String::new()).unwrap();
        assert!(said.contains("10.42.0.4") && !said.contains("10.42.0.5") && said.ends_with("and 2 more"), "{said}");
    }
}
