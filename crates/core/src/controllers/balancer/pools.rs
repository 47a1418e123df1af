//! Addresses of pools, each announced by one node.
//!
//! What a Service has stands in its status, and the node in an annotation, so both hold over restarts. A
//! node keeps an address while it may: others come and go without moving it.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr};

use evenkeel_model::{
    Digest, Key, Kind, Object, names,
    pool::{AddressPoolSpec, AddressPoolStatus, AddressRange},
};
use k8s_openapi::api::core::v1::ServiceSpec;

use super::{Provided, Provider, is_spared, nodes::with_endpoint};
use crate::{
    cx::Cx,
    network::Layout,
    world::{
        World,
        balanced::{AT_POOL, Claim},
    },
};

/// The reason of a Service for which no address is left.
const EXHAUSTED: &str = "PoolExhausted";
/// The reason of a Service that asks for an address which it cannot have.
const REFUSED: &str = "AddressRefused";

/// Gives addresses of pools.
pub(super) struct AtPools;

struct Pool {
    name: Arc<str>,
    spec: AddressPoolSpec,
}

impl Pool {
    fn has(&self, address: Ipv4Addr) -> bool {
        self.spec.ranges().any(|r| r.contains(address))
    }
}

fn pools(world: &World) -> impl Iterator<Item = Pool> {
    let all = world.list(Kind::AddressPool, "").filter(|o| !o.deleting());
    all.filter_map(|o| Some(Pool { name: o.key.name.clone(), spec: o.spec().ok()? }))
}

/// The address and the pool that a Service asks for.
fn asked(service: &Object) -> (Option<String>, Option<&str>) {
    let address = service.spec::<ServiceSpec>().unwrap_or_default().load_balancer_ip.filter(|ip| !ip.is_empty());
    (address, service.meta.annotation(names::ADDRESS_POOL))
}

/// Whether a Service gets an address of a pool: it asks for one, or there is one for everybody.
pub(super) fn serve(world: &World, service: &Object) -> bool {
    asked(service) != (None, None) || pools(world).any(|p| p.spec.auto_assign != Some(false))
}

impl Provider for AtPools {
    fn provide(&self, world: &World, layout: &Layout, service: &Object, claim: &Claim) -> Provided {
        let none =
            |reason, message| Provided { addresses: Vec::new(), reason, message, trouble: true, announcer: None };
        match address(world, layout, service, claim) {
            Err((reason, message)) => none(reason, message),
            Ok((address, pool)) => {
                let announcer = announcer(world, service, &pool, address);
                let by = announcer.as_ref().map_or_else(
                    || "announced by no node: none that may is ready".to_string(),
                    |node| format!("announced by {node}"),
                );
                let message = format!("{address} of the pool {}, {by}", pool.name);
                let trouble = announcer.is_none();
                Provided { addresses: alloc::vec![IpAddr::V4(address)], reason: AT_POOL, message, trouble, announcer }
            }
        }
    }
}

/// The address of a Service with its pool, or the reason and the words why it has none.
fn address(
    world: &World,
    layout: &Layout,
    service: &Object,
    claim: &Claim,
) -> Result<(Ipv4Addr, Pool), (&'static str, String)> {
    let (wanted, from) = asked(service);
    let named = |p: &Pool| from.is_none_or(|name| *p.name == *name);
    if let Some(name) = from.filter(|_| !pools(world).any(|p| named(&p))) {
        return Err((REFUSED, format!("there is no AddressPool {name}, which {} names", names::ADDRESS_POOL)));
    }
    let wanted = match wanted.as_deref().map(str::parse::<Ipv4Addr>) {
        Some(Err(_)) => return Err((REFUSED, "loadBalancerIP is not an IPv4 address".to_string())),
        Some(Ok(address)) => Some(address),
        None => None,
    };
    if let Some(address) = wanted {
        let pool = pools(world).find(|p| named(p) && p.has(address));
        let pool = pool.ok_or_else(|| {
            let of =
                from.map_or_else(|| "of no AddressPool".to_string(), |name| format!("not of the AddressPool {name}"));
            (REFUSED, format!("loadBalancerIP {address} is {of}"))
        })?;
        return match against(world, layout, &service.key, address) {
            Some(why) => Err((REFUSED, format!("loadBalancerIP {address} is {why}"))),
            None => Ok((address, pool)),
        };
    }
    let free = |address: Ipv4Addr| against(world, layout, &service.key, address).is_none();
    let open = |p: &Pool| named(p) && (from.is_some() || p.spec.auto_assign != Some(false));
    if let Some(address) = claim.address().filter(|a| free(*a))
        && let Some(pool) = pools(world).find(|p| open(p) && p.has(address))
    {
        return Ok((address, pool));
    }
    for pool in pools(world).filter(open) {
        let found = pool.spec.ranges().find_map(|range| first_free(world, range, free));
        if let Some(address) = found {
            return Ok((address, pool));
        }
    }
    let of = from.map_or_else(|| "of the AddressPools".to_string(), |name| format!("of the AddressPool {name}"));
    Err((EXHAUSTED, format!("no address {of} is left: add a range, or take a Service away")))
}

/// Why a Service cannot have an address, in words that follow "is".
fn against(world: &World, layout: &Layout, own: &Key, address: Ipv4Addr) -> Option<String> {
    if let Some(other) = world.balanced.of_address(address).filter(|k| *k != own) {
        return Some(format!("that of the Service {}/{}", other.namespace, other.name));
    }
    let ranges = [("pods", layout.net.cluster_cidr), ("Services", layout.net.service_cidr)];
    if let Some((whose, range)) = ranges.into_iter().find(|(_, range)| range.contains(address.into())) {
        return Some(format!("within the cluster's range of {whose}, {range}"));
    }
    let node = world.nodes.iter().find(|(_, node)| node.addresses.contains(&IpAddr::V4(address)));
    node.map(|(name, _)| format!("that of the node {name}"))
}

/// The first address of a range that nobody has; its cost is that of those that are taken.
fn first_free(world: &World, range: AddressRange, free: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let mut taken = world.balanced.addresses_from(range.first).peekable();
    let mut next = u32::from(range.first);
    while next <= u32::from(range.last) {
        let address = Ipv4Addr::from(next);
        if taken.next_if_eq(&address).is_none() && free(address) {
            return Some(address);
        }
        next = next.checked_add(1)?;
    }
    None
}

/// The node that announces an address: the one that does, while it may; else one by the address, so that
/// they spread. While nobody may, it stays.
fn announcer(world: &World, service: &Object, pool: &Pool, address: Ipv4Addr) -> Option<Arc<str>> {
    let local = service.spec::<ServiceSpec>().unwrap_or_default().external_traffic_policy;
    let only = (local.as_deref() == Some("Local")).then(|| with_endpoint(world, &service.key));
    let may = |name: &Arc<str>, ready: bool| {
        let node = world.nodes.get(name).filter(|n| n.known && !is_spared(n) && (n.ready || !ready));
        node.is_some_and(|n| pool.spec.node_selector.iter().all(|(k, v)| n.labels.get(k) == Some(v)))
            && only.as_ref().is_none_or(|only| only.contains(name))
    };
    let now: Option<Arc<str>> = service.meta.annotation(names::ANNOUNCED_BY).map(Into::into);
    if let Some(now) = now.clone().filter(|n| may(n, true)) {
        return Some(now);
    }
    let rank = |name: &Arc<str>| Digest::of_parts([&address.octets()[..], name.as_bytes()]);
    let candidates = world.nodes.iter().map(|(name, _)| name).filter(|name| may(name, true));
    candidates.min_by_key(|name| rank(name)).cloned().or_else(|| now.filter(|n| may(n, false)))
}

/// Keeps how much of a pool is used.
pub(super) fn status(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(object) = world.get(key).filter(|o| !o.deleting()) else { return };
    let spec: AddressPoolSpec = object.spec().unwrap_or_default();
    let taken = |range: AddressRange| {
        let all = world.balanced.addresses_from(range.first).take_while(move |a| *a <= range.last);
        u64::try_from(all.count()).unwrap_or(u64::MAX)
    };
    let status =
        AddressPoolStatus { size: spec.ranges().map(AddressRange::size).sum(), used: spec.ranges().map(taken).sum() };
    if object.status::<AddressPoolStatus>().ok().flatten().as_ref() != Some(&status) {
        cx.put(object.with_status(&status));
    }
}
