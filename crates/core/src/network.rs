//! How the cluster's network is laid out: the ranges of pods, nodes and Services, checked as a whole,
//! and held against what a cluster already uses.
//!
//! Asked by the command line before a server starts, and by the conductor at its start. Deliberately
//! not here: which node (`controllers::node`) or Service (`service`) gets which address, and networks
//! of the machines themselves, which agents know.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, net::IpAddr};

use evenkeel_model::net::{Cidr, NetworkMode, NetworkSettings};

use crate::{controllers, world::World};

/// Which address of the service range is the API's, as in Kubernetes.
const API: u64 = 1;
/// Which one is the DNS server's, as usual.
const DNS: u64 = 10;
/// The smallest service range: room for the API, the DNS server and some Services.
const SMALLEST_SERVICES: u8 = 28;
/// The largest service range, as in Kubernetes: which addresses are taken is held in memory.
const LARGEST_SERVICES: u8 = 12;
/// The smallest range of a node: its gateway and a few pods.
const SMALLEST_NODE: u8 = 29;

/// The network's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What agents are told of it.
    pub net: NetworkSettings,
    /// Bits that all addresses of one node's pods share.
    pub node_prefix: u8,
}

/// Ranges that do not go together, with what to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutError {
    message: String,
    hint: String,
}

impl LayoutError {
    fn new(message: String, hint: impl Into<String>) -> Self {
        Self { message, hint: hint.into() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for LayoutError {}

impl Default for Layout {
    fn default() -> Self {
        Self { net: NetworkSettings::default(), node_prefix: 24 }
    }
}

fn dns(services: Cidr) -> IpAddr {
    services.nth(DNS).unwrap_or_else(|| services.last()).into()
}

impl Layout {
    /// A layout whose parts go together.
    pub fn new(
        cluster: Cidr,
        services: Cidr,
        node_prefix: u8,
        domain: &str,
        mode: NetworkMode,
    ) -> Result<Self, LayoutError> {
        if cluster.overlaps(services) {
            return Err(LayoutError::new(
                format!("the range of pods {cluster} and the range of Services {services} share addresses"),
                "set --cluster-cidr or --service-cidr to a range of its own",
            ));
        }
        for (flag, range) in [("--cluster-cidr", cluster), ("--service-cidr", services)] {
            let unusable = [(0, 8), (127, 8), (224, 4), (240, 4)].map(|(a, p)| Cidr::around([a, 0, 0, 0].into(), p));
            if let Some(reserved) = unusable.into_iter().find(|r| r.overlaps(range)) {
                return Err(LayoutError::new(
                    format!("{range} holds addresses of {reserved}, which no machine can have"),
                    format!("set {flag} to a private range as 10.42.0.0/16"),
                ));
            }
        }
        if !(LARGEST_SERVICES..=SMALLEST_SERVICES).contains(&services.prefix()) {
            return Err(LayoutError::new(
                format!(
                    "the range of Services {services} is not between a /{LARGEST_SERVICES} and a /{SMALLEST_SERVICES}"
                ),
                "set --service-cidr to a range as 10.43.0.0/16",
            ));
        }
        if !(cluster.prefix()..=SMALLEST_NODE).contains(&node_prefix) {
            return Err(LayoutError::new(
                format!("a node's range of /{node_prefix} is no part of {cluster} with room for pods"),
                format!("set --node-cidr-size to a number from {} to {SMALLEST_NODE}", cluster.prefix()),
            ));
        }
        Ok(Self {
            net: NetworkSettings {
                cluster_cidr: cluster,
                service_cidr: services,
                dns: dns(services),
                domain: self::domain(domain)?,
                mode,
            },
            node_prefix,
        })
    }

    /// The address of the Service `default/kubernetes`.
    pub fn api(&self) -> IpAddr {
        let services = self.net.service_cidr;
        services.nth(API).unwrap_or_else(|| services.network()).into()
    }

    /// The address of a node's own in its range.
    pub fn node_address(range: Cidr) -> Option<IpAddr> {
        range.nth(1).map(IpAddr::V4)
    }

    /// For how many nodes there is room.
    pub fn nodes(&self) -> u64 {
        self.net.cluster_cidr.parts(self.node_prefix)
    }

    /// Whether a range can be a node's.
    pub fn is_node_range(&self, range: Cidr) -> bool {
        range.prefix() == self.node_prefix && self.net.cluster_cidr.contains(range.network().into())
    }

    /// Whether a cluster that is there can go on with this layout: nothing of it has an address that
    /// would lie outside.
    pub fn fits(&self, world: &World) -> Result<(), LayoutError> {
        let stays = "start with the flags it was made with; ranges of a cluster that is in use cannot be changed";
        for (name, node) in world.nodes.iter() {
            if let Some(range) = node.pod_cidr.filter(|r| !self.is_node_range(*r)) {
                let (cluster, prefix) = (self.net.cluster_cidr, self.node_prefix);
                return Err(LayoutError::new(
                    format!(
                        "node {name} has the range {range}, which is no /{prefix} of --cluster-cidr {cluster}: this \
                         cluster was made with another --cluster-cidr or --node-cidr-size"
                    ),
                    stays,
                ));
            }
        }
        let services = self.net.service_cidr;
        // That of the API is given anew.
        let outside = world
            .services
            .addresses()
            .find(|(address, key)| !services.contains(**address) && !controllers::api::is_the_service(key));
        if let Some((address, key)) = outside {
            return Err(LayoutError::new(
                format!(
                    "Service {}/{} has the address {address}, which is not in --service-cidr {services}: this cluster \
                     was made with another one",
                    key.namespace, key.name
                ),
                stays,
            ));
        }
        Ok(())
    }
}

/// A DNS name in lower case, without dots at its ends.
fn domain(text: &str) -> Result<String, LayoutError> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    // A Service's whole name has to fit into DNS' 253 bytes beside it.
    if text.len() > 100 || !labels.iter().all(|l| label(l)) {
        return Err(LayoutError::new(
            format!("`{text}` is no domain: labels of a-z, 0-9 and -, with dots between, at most 100 bytes"),
            "set --cluster-domain as cluster.local",
        ));
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(cluster: &str, services: &str, prefix: u8, domain: &str) -> Result<Layout, LayoutError> {
        Layout::new(cluster.parse().unwrap(), services.parse().unwrap(), prefix, domain, NetworkMode::Auto)
    }

    #[test]
    fn what_is_given_as_the_default_is_the_default() {
        let same = layout("10.42.0.0/16", "10.43.0.0/16", 24, "cluster.local").unwrap();
        assert_eq!(same, Layout::default());
        assert_eq!((same.nodes(), same.net.dns.to_string()), (256, "10.43.0.10".into()));
        assert!(same.is_node_range("10.42.255.0/24".parse().unwrap()));
        assert!(!same.is_node_range("10.43.0.0/24".parse().unwrap()));
        assert!(!same.is_node_range("10.42.0.0/25".parse().unwrap()));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_what_to_set() {
        for (cluster, services, prefix, domain, flag) in [
            ("10.42.0.0/16", "10.42.128.0/17", 24, "a", "--service-cidr"),
            ("10.0.0.0/8", "10.43.0.0/16", 24, "a", "--cluster-cidr"),
            ("127.0.0.0/16", "10.43.0.0/16", 24, "a", "--cluster-cidr"),
            ("10.42.0.0/16", "240.0.0.0/16", 24, "a", "--service-cidr"),
            ("10.42.0.0/16", "10.43.0.0/29", 24, "a", "--service-cidr"),
            ("10.42.0.0/16", "11.0.0.0/11", 24, "a", "--service-cidr"),
            ("10.42.0.0/16", "10.43.0.0/16", 15, "a", "16 to 29"),
            ("10.42.0.0/16", "10.43.0.0/16", 30, "a", "--node-cidr-size"),
            ("10.42.0.0/16", "10.43.0.0/16", 24, "Cluster.local", "--cluster-domain"),
            ("10.42.0.0/16", "10.43.0.0/16", 24, ".local", "--cluster-domain"),
        ] {
            let error = layout(cluster, services, prefix, domain).unwrap_err();
            assert!(error.hint().contains(flag), "{error}; {}", error.hint());
        }
    }
}
