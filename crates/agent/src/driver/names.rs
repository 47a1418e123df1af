//! What a pod's `/etc/hosts`, `/etc/resolv.conf` and host name say, as the kubelet composes them.
//! Pure: the machine's own files come as text.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel_net::plane::ClusterNames;
use evenkeel_runtime::{DnsConfig, SandboxNetwork, SandboxSpec};

use crate::logic::command::{DnsPolicy, PodNetwork};

/// What Kubernetes asks resolvers to do with names of a few parts: try the search domains first.
const NDOTS: &str = "ndots:5";
/// As many name servers as resolvers ask.
const MAX_SERVERS: usize = 3;
/// As many search domains as Kubernetes allows.
const MAX_SEARCHES: usize = 32;
/// The engine's word for "no search domain"; an empty list would be the machine's own.
const NO_SEARCH: &str = ".";
/// Longest host name that the kernel takes.
const MAX_HOSTNAME: usize = 64;

/// The machine's own files.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// `/etc/hosts`.
    pub(super) hosts: String,
    /// `/etc/resolv.conf`.
    pub(super) resolv: String,
}

/// Completes a sandbox for its network: `address` is its own on the node's network, `cluster` how
/// names of the cluster are resolved where they are. Fails with what a person has to change.
pub(super) fn complete(
    spec: &mut SandboxSpec,
    pod: &PodNetwork,
    address: Option<Ipv4Addr>,
    cluster: Option<&ClusterNames>,
    machine: &Machine,
) -> Result<(), String> {
    let aliases = std::mem::take(&mut spec.hosts);
    if pod.host {
        spec.network = SandboxNetwork::Host;
        // Its name is the machine's, and so is its file; with aliases the engine writes another one.
        spec.hostname = String::new();
        if !aliases.is_empty() {
            spec.hosts = entries(&machine.hosts);
            spec.hosts.extend(aliases);
        }
    } else if let (Some(address), Some(cluster)) = (address, cluster) {
        spec.network = SandboxNetwork::Own;
        let short = spec.hostname.clone();
        let full = pod
            .subdomain
            .as_ref()
            .map(|subdomain| format!("{short}.{subdomain}.{}.svc.{}", pod.namespace, cluster.domain));
        let names = full.as_ref().map_or_else(|| short.clone(), |full| format!("{full} {short}"));
        if let (true, Some(full)) = (pod.hostname_is_full, full) {
            if full.len() > MAX_HOSTNAME {
                return Err(format!(
                    "setHostnameAsFQDN gives the host name {full}, which is longer than {MAX_HOSTNAME} characters: shorten the pod's hostname or subdomain"
                ));
            }
            spec.hostname = full;
        }
        spec.hosts = vec![(address.to_string(), names)];
        spec.hosts.extend(aliases);
    } else if pod.hostname_is_full && pod.subdomain.is_some() {
        return Err("setHostnameAsFQDN needs the cluster's domain, which the container engine's network does not have: the node needs `--pod-network own`".into());
    } else {
        spec.hosts = aliases;
    }
    resolver(spec, pod, cluster, machine);
    Ok(())
}

fn resolver(spec: &mut SandboxSpec, pod: &PodNetwork, names: Option<&ClusterNames>, machine: &Machine) {
    let mut asked = std::mem::take(&mut spec.dns);
    let cluster = match pod.dns {
        DnsPolicy::ClusterFirst => names.filter(|_| !pod.host),
        DnsPolicy::ClusterFirstWithHostNet => names,
        DnsPolicy::Default | DnsPolicy::None => None,
    };
    let mut own = from_file(&machine.resolv);
    let base = match (cluster, pod.dns) {
        (_, DnsPolicy::None) => DnsConfig::default(),
        (Some(names), _) => {
            let zone = &names.domain;
            let mut searches = vec![format!("{}.svc.{zone}", pod.namespace), format!("svc.{zone}"), zone.clone()];
            searches.append(&mut own.searches);
            DnsConfig { servers: vec![names.dns.to_string()], searches, options: vec![NDOTS.into()] }
        }
        // The engine gives it the machine's file, and knows what of that a container can use.
        (None, _) if asked == DnsConfig::default() && spec.network != SandboxNetwork::Own => {
            return;
        }
        (None, _) => {
            if let (SandboxNetwork::Own, Some(names)) = (spec.network, names) {
                // What listens on the machine's loopback is not on the pod's: the node asks it.
                own.servers.retain(|s| s.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback()));
                if own.servers.is_empty() {
                    own.servers.push(names.dns.to_string());
                }
            }
            own
        }
    };
    let mut dns = base;
    dns.servers.append(&mut asked.servers);
    dns.searches.append(&mut asked.searches);
    for option in asked.options {
        let name = |o: &str| o.split(':').next().unwrap_or_default().to_owned();
        dns.options.retain(|o| name(o) != name(&option));
        dns.options.push(option);
    }
    spec.dns = DnsConfig {
        servers: first(dns.servers, MAX_SERVERS),
        searches: first(dns.searches, MAX_SEARCHES),
        options: dns.options,
    };
    if spec.dns.searches.is_empty() {
        spec.dns.searches.push(NO_SEARCH.into());
    }
}

/// The first so many that differ.
fn first(list: Vec<String>, most: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for item in list {
        if !out.contains(&item) && out.len() < most {
            out.push(item);
        }
    }
    out
}

/// Lines of a file of hosts, without comments.
fn entries(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse::<IpAddr>().ok()?.to_string();
        let names = words.collect::<Vec<_>>().join(" ");
        (!names.is_empty()).then_some((address, names))
    };
    text.lines().filter_map(line).collect()
}

/// What a `resolv.conf` says.
fn from_file(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect::<Vec<_>>();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            // The last one counts.
            Some("search" | "domain") => out.searches = rest(words),
            Some("options") => out.options.append(&mut rest(words)),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> (Ipv4Addr, ClusterNames) {
        let names = ClusterNames { dns: "10.43.0.10".parse().unwrap(), domain: "cluster.local".into() };
        ("10.42.1.7".parse().unwrap(), names)
    }

    fn pod(dns: DnsPolicy) -> PodNetwork {
        PodNetwork { dns, namespace: "shop".into(), ..PodNetwork::default() }
    }

    fn machine() -> Machine {
        Machine {
            hosts: "127.0.0.1 localhost\n# none\n10.0.0.9  db.corp db # the old one\n".into(),
            resolv: "nameserver 127.0.0.53\nnameserver 10.0.0.53\nsearch corp lan\noptions edns0 trust-ad\n".into(),
        }
    }

    fn completed(mut spec: SandboxSpec, pod: &PodNetwork, lease: Option<&(Ipv4Addr, ClusterNames)>) -> SandboxSpec {
        spec.hostname = "web-0".into();
        complete(&mut spec, pod, lease.map(|l| l.0), lease.map(|l| &l.1), &machine()).unwrap();
        spec
    }

    #[test]
    fn a_pod_on_the_network_asks_the_cluster_first() {
        let asked = DnsConfig {
            servers: vec!["9.9.9.9".into()],
            searches: vec!["corp".into(), "extra".into()],
            options: vec!["ndots:2".into(), "timeout:1".into()],
        };
        let spec = SandboxSpec { dns: asked.clone(), ..SandboxSpec::default() };
        let done = completed(spec, &pod(DnsPolicy::ClusterFirst), Some(&lease()));
        assert_eq!(done.network, SandboxNetwork::Own);
        assert_eq!(done.dns.servers, ["10.43.0.10", "9.9.9.9"]);
        let searches = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp", "lan", "extra"];
        assert_eq!(done.dns.searches, searches);
        assert_eq!(done.dns.options, ["ndots:2", "timeout:1"]);
        assert_eq!(done.hosts, [("10.42.1.7".to_owned(), "web-0".to_owned())]);

        let none = completed(
            SandboxSpec { dns: asked.clone(), ..SandboxSpec::default() },
            &pod(DnsPolicy::None),
            Some(&lease()),
        );
        assert_eq!(none.dns, asked);
        let default = completed(SandboxSpec::default(), &pod(DnsPolicy::Default), Some(&lease()));
        assert_eq!(default.dns.servers, ["10.0.0.53"], "nothing of the pod listens on its loopback");
        assert_eq!((default.dns.searches.len(), default.dns.options.len()), (2, 2));
    }

    #[test]
    fn a_name_below_a_service_is_full_where_it_is_asked_for() {
        let aliases = vec![("1.2.3.4".to_owned(), "a b".to_owned())];
        let spec = || SandboxSpec { hosts: aliases.clone(), ..SandboxSpec::default() };
        let below = PodNetwork { subdomain: Some("db".into()), ..pod(DnsPolicy::ClusterFirst) };
        let done = completed(spec(), &below, Some(&lease()));
        assert_eq!(done.hostname, "web-0");
        let own = ("10.42.1.7".to_owned(), "web-0.db.shop.svc.cluster.local web-0".to_owned());
        assert_eq!(done.hosts, [own, aliases[0].clone()]);
        let full = PodNetwork { hostname_is_full: true, ..below.clone() };
        assert_eq!(completed(spec(), &full, Some(&lease())).hostname, "web-0.db.shop.svc.cluster.local");
        let long = PodNetwork { subdomain: Some("d".repeat(60)), ..full };
        let mut spec = spec();
        spec.hostname = "web-0".into();
        let (address, names) = lease();
        let refused = complete(&mut spec, &long, Some(address), Some(&names), &machine()).unwrap_err();
        assert!(refused.contains("setHostnameAsFQDN"), "{refused}");
    }

    #[test]
    fn a_pod_on_the_machines_network_has_the_machines_files() {
        let host = PodNetwork { host: true, ..pod(DnsPolicy::ClusterFirst) };
        let plain = completed(SandboxSpec::default(), &host, Some(&lease()));
        assert_eq!((plain.network, plain.hostname.as_str()), (SandboxNetwork::Host, ""));
        assert_eq!((plain.dns, plain.hosts), (DnsConfig::default(), Vec::new()), "the engine copies them");
        let spec = SandboxSpec { hosts: vec![("1.2.3.4".into(), "a".into())], ..SandboxSpec::default() };
        let hosts = completed(spec, &host, None).hosts;
        assert_eq!(hosts.len(), 3);
        assert_eq!(hosts[1], ("10.0.0.9".into(), "db.corp db".into()));
        let cluster = PodNetwork { dns: DnsPolicy::ClusterFirstWithHostNet, ..host };
        let done = completed(SandboxSpec::default(), &cluster, Some(&lease()));
        assert_eq!(done.dns.servers, ["10.43.0.10"]);
    }

    #[test]
    fn on_the_engines_network_names_are_the_engines_but_for_what_is_asked() {
        let done = completed(SandboxSpec::default(), &pod(DnsPolicy::ClusterFirst), None);
        assert_eq!((done.network, done.dns), (SandboxNetwork::Default, DnsConfig::default()));
        let dns = DnsConfig { servers: vec!["9.9.9.9".into()], ..DnsConfig::default() };
        let none = completed(SandboxSpec { dns, ..SandboxSpec::default() }, &pod(DnsPolicy::None), None);
        assert_eq!((none.dns.servers.len(), none.dns.searches[0].as_str()), (1, "."));
    }
}
