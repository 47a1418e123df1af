//! The cluster's names: what each one means, kept change by change.
//!
//! A name is not stored but read: its labels lead to a Service, and the Service says the rest. Only
//! addresses need an index of their own, for `PTR`. Maps are persistent: a change costs by what it
//! changes, and who reads goes on reading the state that it began with. Deliberately not here: wire
//! formats and time to live (`answer`).

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use evenkeel_model::net::{Cidr, Endpoint, NetworkSettings, NetworkUpdate, NodeNet, ServiceId, ServiceNet};
use imbl::{OrdMap, OrdSet};

/// The version of the specification that is followed, as `dns-version` says it.
pub(super) const SPECIFICATION: &str = "1.1.0";

/// What is known of names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Zone {
    settings: NetworkSettings,
    /// The domain's labels, from the left.
    domain: Vec<String>,
    /// The node that is answered on.
    node: Option<NodeNet>,
    services: OrdMap<ServiceId, Arc<ServiceNet>>,
    /// Addresses that have names, with the Service that gives the name.
    pointers: OrdSet<(IpAddr, ServiceId)>,
}

/// What a name of the cluster means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no such name.
    Missing,
    /// It exists and has no record of its own, or none today.
    Empty,
    /// The zone itself.
    Apex,
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// Ports, each on a name with its addresses.
    Ports(Vec<Target>),
    /// Another name, which may lie anywhere.
    Alias(String),
    /// A text.
    Text(&'static str),
    /// Names of an address.
    Pointers(Vec<String>),
}

/// Where a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The port.
    pub(super) port: u16,
    /// The name that it is on, without a dot at its end.
    pub(super) name: String,
    /// That name's addresses.
    pub(super) addresses: Vec<IpAddr>,
}

/// Who answers for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// This zone; `origin` is the name of the part that its negative answers name.
    Here { meaning: Meaning, origin: String },
    /// Somebody else.
    Elsewhere,
}

impl Zone {
    /// What a full update says.
    pub(super) fn new(settings: NetworkSettings) -> Self {
        Self {
            domain: settings.domain.to_ascii_lowercase().split('.').map(Into::into).collect(),
            settings,
            node: None,
            services: OrdMap::new(),
            pointers: OrdSet::new(),
        }
    }

    /// The zone after an update, for the node of this name. `None` where nothing is known that the
    /// update could change.
    pub(super) fn updated(now: Option<&Self>, node: &str, update: &NetworkUpdate) -> Option<Self> {
        let mut zone = match (&update.settings, now) {
            (Some(settings), _) if update.full => Self::new(settings.clone()),
            (None, Some(now)) if update.full => Self::new(now.settings.clone()),
            (Some(settings), Some(now)) => Self {
                node: now.node.clone(),
                services: now.services.clone(),
                pointers: now.pointers.clone(),
                ..Self::new(settings.clone())
            },
            (None, Some(now)) => now.clone(),
            (_, None) => return None,
        };
        if update.gone_nodes.iter().any(|gone| &**gone == node) {
            zone.node = None;
        }
        if let Some(own) = update.nodes.iter().find(|n| &*n.name == node) {
            zone.node = Some(own.clone());
        }
        for id in &update.gone_services {
            zone.remove(id);
        }
        for service in &update.services {
            zone.insert(service);
        }
        Some(zone)
    }

    fn insert(&mut self, service: &Arc<ServiceNet>) {
        let old = self.services.insert(service.id.clone(), Arc::clone(service));
        let before = old.as_deref().map(named_addresses).unwrap_or_default();
        let after = named_addresses(service);
        for address in before.difference(&after) {
            self.pointers.remove(&(*address, service.id.clone()));
        }
        for address in after.difference(&before) {
            self.pointers.insert((*address, service.id.clone()));
        }
    }

    fn remove(&mut self, id: &ServiceId) {
        if let Some(old) = self.services.remove(id) {
            for address in named_addresses(&old) {
                self.pointers.remove(&(address, id.clone()));
            }
        }
    }

    /// Whether a client is of this node: its pods, its programs. Nobody else is answered, so that a
    /// forged sender cannot turn answers against others.
    pub(super) fn serves(&self, client: IpAddr) -> bool {
        let node = self.node.as_ref();
        let pods = node.and_then(|n| n.pod_cidr).unwrap_or(self.settings.cluster_cidr);
        client.is_loopback()
            || client == self.settings.dns
            || node.and_then(|n| n.address) == Some(client)
            || pods.contains(client)
    }

    /// The cluster's domain.
    pub(super) fn domain(&self) -> &str {
        &self.settings.domain
    }

    /// Where the server itself is reached: never one to ask for other names.
    pub(super) fn own_address(&self) -> IpAddr {
        self.settings.dns
    }

    /// What a name means, given its labels from the left, in lower case.
    pub(super) fn read(&self, labels: &[&str]) -> Place {
        if let Some(within) = self.within(labels) {
            return Place::Here { meaning: self.name(within), origin: self.settings.domain.to_ascii_lowercase() };
        }
        match labels {
            [octets @ .., "in-addr", "arpa"] => self.reverse(octets),
            _ => Place::Elsewhere,
        }
    }

    /// The labels left of the domain.
    fn within<'a, 'b>(&self, labels: &'a [&'b str]) -> Option<&'a [&'b str]> {
        let cut = labels.len().checked_sub(self.domain.len())?;
        let (within, domain) = labels.split_at(cut);
        domain.iter().zip(&self.domain).all(|(a, b)| *a == b.as_str()).then_some(within)
    }

    fn name(&self, labels: &[&str]) -> Meaning {
        match labels {
            [] => Meaning::Apex,
            ["dns-version"] => Meaning::Text(SPECIFICATION),
            // Pods are not all known here, so that a namespace of them cannot be told to be missing.
            ["svc" | "pod" | "dns"] | [_, "pod"] => Meaning::Empty,
            ["ns", "dns"] => Meaning::Addresses(vec![self.settings.dns]),
            [namespace, "svc"] => self.namespace(namespace),
            [rest @ .., name, namespace, "svc"] => self.service(rest, name, namespace),
            [dashed, _, "pod"] => match undashed(dashed) {
                Some(address) if self.settings.cluster_cidr.contains(address) => Meaning::Addresses(vec![address]),
                _ => Meaning::Missing,
            },
            _ => Meaning::Missing,
        }
    }

    fn namespace(&self, namespace: &str) -> Meaning {
        let first = ServiceId { namespace: namespace.into(), name: "".into() };
        let found = self.services.range(first..).next();
        if found.is_some_and(|(id, _)| &*id.namespace == namespace) { Meaning::Empty } else { Meaning::Missing }
    }

    fn service(&self, rest: &[&str], name: &str, namespace: &str) -> Meaning {
        let id = ServiceId { namespace: namespace.into(), name: name.into() };
        let Some(service) = self.services.get(&id) else { return Meaning::Missing };
        if let Some(name) = &service.external_name {
            let alias = || Meaning::Alias(name.trim_end_matches('.').to_ascii_lowercase());
            return if rest.is_empty() { alias() } else { Meaning::Missing };
        }
        match rest {
            [] if is_headless(service) => addresses(published(service).map(|endpoint| endpoint.address).collect()),
            [] => addresses(service.cluster_ips.clone()),
            [protocol @ ("_tcp" | "_udp")] => {
                let known = service.ports.iter().any(|p| !p.name.is_empty() && p.protocol.as_str() == &protocol[1..]);
                if known { Meaning::Empty } else { Meaning::Missing }
            }
            [port, protocol @ ("_tcp" | "_udp")] if port.starts_with('_') => {
                self.ports(service, &port[1..], &protocol[1..])
            }
            [host] => {
                let found: Vec<IpAddr> = published(service)
                    .filter(|endpoint| host_is(endpoint, host))
                    .map(|endpoint| endpoint.address)
                    .collect();
                if found.is_empty() { Meaning::Missing } else { Meaning::Addresses(found) }
            }
            _ => Meaning::Missing,
        }
    }

    fn ports(&self, service: &ServiceNet, name: &str, protocol: &str) -> Meaning {
        let mut found = service.ports.iter().enumerate().filter(|(_, p)| {
            !p.name.is_empty() && p.name.eq_ignore_ascii_case(name) && p.protocol.as_str() == protocol
        });
        let Some((at, port)) = found.next() else { return Meaning::Missing };
        if !is_headless(service) {
            let name = self.full(&service.id, "");
            return Meaning::Ports(vec![Target { port: port.port, name, addresses: service.cluster_ips.clone() }]);
        }
        let targets: Vec<Target> = published(service)
            .filter_map(|endpoint| {
                let port = endpoint.ports.get(at).copied().flatten()?;
                let name = self.full(&service.id, &host_of(endpoint));
                Some(Target { port, name, addresses: vec![endpoint.address] })
            })
            .collect();
        if targets.is_empty() { Meaning::Empty } else { Meaning::Ports(targets) }
    }

    fn reverse(&self, octets: &[&str]) -> Place {
        let Some(address) = reversed(octets) else { return Place::Elsewhere };
        let address = IpAddr::V4(address);
        let first = (address, ServiceId { namespace: "".into(), name: "".into() });
        let names: Vec<String> = self
            .pointers
            .range(first..)
            .take_while(|(at, _)| *at == address)
            .filter_map(|(_, id)| self.services.get(id))
            .flat_map(|service| self.names_of(service, address))
            .collect();
        let range =
            [self.settings.service_cidr, self.settings.cluster_cidr].into_iter().find(|range| range.contains(address));
        match range {
            _ if !names.is_empty() => Place::Here { meaning: Meaning::Pointers(names), origin: origin(octets, range) },
            Some(_) => Place::Here { meaning: Meaning::Missing, origin: origin(octets, range) },
            None => Place::Elsewhere,
        }
    }

    /// The names that a Service gives an address.
    fn names_of(&self, service: &ServiceNet, address: IpAddr) -> Vec<String> {
        if is_headless(service) {
            let of_it = published(service).filter(|endpoint| endpoint.address == address);
            of_it.map(|endpoint| self.full(&service.id, &host_of(endpoint))).collect()
        } else {
            vec![self.full(&service.id, "")]
        }
    }

    /// The name of a Service or, with a host, of an endpoint of it.
    fn full(&self, id: &ServiceId, host: &str) -> String {
        let dot = if host.is_empty() { "" } else { "." };
        format!("{host}{dot}{}.{}.svc.{}", id.name, id.namespace, self.settings.domain)
    }
}

fn is_headless(service: &ServiceNet) -> bool {
    service.cluster_ips.is_empty() && service.external_name.is_none()
}

fn addresses(found: Vec<IpAddr>) -> Meaning {
    if found.is_empty() { Meaning::Empty } else { Meaning::Addresses(found) }
}

/// Endpoints that have names.
fn published(service: &ServiceNet) -> impl Iterator<Item = &Endpoint> {
    service.endpoints.iter().filter(|endpoint| endpoint.ready || service.publish_not_ready)
}

/// Addresses that lead back to a Service's names.
fn named_addresses(service: &ServiceNet) -> BTreeSet<IpAddr> {
    if is_headless(service) {
        published(service).map(|endpoint| endpoint.address).collect()
    } else {
        service.cluster_ips.iter().copied().collect()
    }
}

/// An endpoint's name below its Service: the pod's hostname, else its address.
fn host_of(endpoint: &Endpoint) -> String {
    match &endpoint.hostname {
        Some(name) => name.to_ascii_lowercase(),
        None => endpoint.address.to_string().replace(['.', ':'], "-"),
    }
}

fn host_is(endpoint: &Endpoint, host: &str) -> bool {
    match &endpoint.hostname {
        Some(name) => name.eq_ignore_ascii_case(host),
        None => undashed(host) == Some(endpoint.address),
    }
}

/// `10-42-0-7` as an address, in its only form.
fn undashed(text: &str) -> Option<IpAddr> {
    let address: Ipv4Addr = text.replace('-', ".").parse().ok()?;
    (!text.contains('.')).then_some(address.into())
}

/// The address that four labels below `in-addr.arpa` name.
fn reversed(octets: &[&str]) -> Option<Ipv4Addr> {
    let [d, c, b, a] = octets else { return None };
    format!("{a}.{b}.{c}.{d}").parse().ok()
}

/// The part of `in-addr.arpa` that a range fills; of an address in no range, its own name.
fn origin(octets: &[&str], range: Option<Cidr>) -> String {
    let kept = range.map_or(4, |range| usize::from(range.prefix() / 8)).min(octets.len());
    let mut name = String::new();
    for octet in &octets[octets.len() - kept..] {
        // Writing to a text cannot fail.
        let _ = write!(name, "{octet}.");
    }
    name + "in-addr.arpa"
}

#[cfg(test)]
mod tests;
