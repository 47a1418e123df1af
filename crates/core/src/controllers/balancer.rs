//! Addresses of Services of type LoadBalancer: what stands in their status, and what of it is missing.
//!
//! A [`Provider`] gives them. Without a cloud these are pools (`pools`), and where there is none the nodes: a Service's own ports answer at the
//! addresses of every node, where nobody else has one of them. Who came first stays: the Service that
//! has a port says so in its status ([`crate::world::balanced`]), a pod with a `hostPort` has it on its
//! node, and what else listens on a machine its agent tells of (`BalancedPorts`). An address is told when
//! its node has opened the ports. Services of another class (`loadBalancerClass`) are left alone.
//! Deliberately not here: rules of packets (agents), and ports of the nodes (`service`).

mod nodes;
mod pools;
#[cfg(test)]
mod tests;

use alloc::{string::String, sync::Arc, vec::Vec};
use core::net::IpAddr;

use evenkeel_model::{
    Key, Kind, Object,
    names::{self, BALANCER_CONDITION as CONDITION},
    net::PortId,
    own::Condition,
};
use serde_json::{Value, json};

use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    network::Layout,
    world::{
        World,
        balanced::{self, Claim},
        nodes::NodeRecord,
        services::Services,
    },
};

/// Label of a node to which clients outside shall not be sent, as in Kubernetes.
const SPARED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// One that gives Services addresses. A cloud's would be another: it gives those that it has made, and
/// says so long that it waits.
trait Provider {
    /// What a Service gets as the world is.
    fn provide(&self, world: &World, layout: &Layout, service: &Object, claim: &Claim) -> Provided;
}

/// What a provider has for a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Provided {
    /// Addresses at which it is reached, in order.
    addresses: Vec<IpAddr>,
    /// The condition's reason.
    reason: &'static str,
    /// For people: where it is reached, and what stands against it.
    message: String,
    /// Whether a person should do something about it.
    trouble: bool,
    /// The node that announces the addresses, where they are not the nodes' own.
    announcer: Option<Arc<str>>,
}

/// Whether clients outside shall not be sent to a node.
pub(crate) fn is_spared(node: &NodeRecord) -> bool {
    node.labels.contains_key(SPARED)
}

/// Marks a Service that changed with those that wait for its ports, and whoever a change of nodes, pods or
/// slices concerns.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Service => {
            if changed.new.is_some() {
                mark(changed.key.clone());
            }
            let old = changed.old.as_deref().and_then(balanced::read);
            let new = world.balanced.get(&changed.key);
            if old.as_ref() != new {
                let ports = old.iter().chain(new).flat_map(|claim| &claim.ports);
                ports.flat_map(|p| world.balanced.wanting(*p)).for_each(|k| mark(k.clone()));
            }
            let (had, has) = (old.and_then(|o| o.address()), new.and_then(Claim::address));
            if had != has {
                world.list(Kind::AddressPool, "").for_each(|pool| mark(pool.key.clone()));
            }
            // An address is free that somebody may wait for.
            if had.is_some() && had != has {
                let waiting =
                    world.balanced.keys().filter(|k| world.balanced.get(k).is_some_and(|c| c.address().is_none()));
                waiting.for_each(|k| mark(k.clone()));
            }
        }
        Kind::AddressPool => {
            if changed.new.is_some() {
                mark(changed.key.clone());
            }
            let spec = |o: &Option<Arc<Object>>| o.as_ref().filter(|o| !o.deleting()).map(|o| o.body.clone());
            if spec(&changed.old) != spec(&changed.new) {
                world.balanced.keys().for_each(|k| mark(k.clone()));
            }
        }
        Kind::Node if told(changed.old.as_ref()) != told(changed.new.as_ref()) => {
            world.balanced.keys().for_each(|k| mark(k.clone()));
        }
        Kind::EndpointSlice => {
            let both = changed.old.as_deref().into_iter().chain(changed.new.as_deref());
            both.filter_map(Services::of_slice).filter(|k| world.balanced.get(k).is_some()).for_each(mark);
        }
        _ => except_changed(world, changed, mark),
    }
}

/// What of a node Services' addresses follow.
fn told(node: Option<&Arc<Object>>) -> Option<NodeRecord> {
    let read = NodeRecord::of(node?);
    Some(NodeRecord {
        known: true,
        ready: read.ready,
        // Pools name their nodes by labels.
        labels: read.labels,
        balanced: read.balanced,
        addresses: read.addresses,
        ..NodeRecord::default()
    })
}

/// Tells the Services whose ports somebody else may have on some node since a change.
pub fn except_changed(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    if world.balanced.is_empty() {
        return;
    }
    match changed.key.kind {
        Kind::Pod => {
            let mut tell = |ports: &[(String, String, i32)]| {
                let ports = ports.iter().filter_map(|(protocol, _, port)| balanced::host_port(protocol, *port));
                ports.flat_map(|p| world.balanced.wanting(p)).for_each(|k| mark(k.clone()));
            };
            match (world.pods.get(&changed.key), &changed.old) {
                (Some(pod), _) => tell(&pod.shape.host_ports),
                (None, Some(old)) => tell(&world.pods.shape(&old.body).host_ports),
                (None, None) => {}
            }
        }
        Kind::Node => {
            let spared = |node: &Option<Arc<Object>>| node.as_ref().map(|n| n.meta.label(SPARED).is_some());
            if spared(&changed.old) != spared(&changed.new) {
                world.balanced.keys().for_each(|k| mark(k.clone()));
            }
        }
        _ => {}
    }
}

/// Looks at one Service, or at a pool.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    if key.kind == Kind::AddressPool {
        return pools::status(world, key, cx);
    }
    let Some(service) = world.get(key).filter(|s| !s.deleting()) else { return };
    let before = service.status::<Value>().ok().flatten().unwrap_or_default();
    let Some(claim) = world.balanced.get(key) else {
        // What was ours goes with the type or the class; what others wrote is theirs.
        if conditions(&before).iter().any(|c| c.kind == CONDITION) {
            let mut next = service.with_status(&json!({"loadBalancer": {}}));
            if next.meta.annotation(names::ANNOUNCED_BY).is_some() {
                Arc::make_mut(&mut next.meta.annotations).remove(names::ANNOUNCED_BY);
            }
            cx.put(next);
        }
        return;
    };
    let provided = provider(world, service).provide(world, &cx.settings.network, service, claim);
    let mut conditions = conditions(&before);
    let Provided { addresses, reason, message, trouble, announcer } = provided;
    let changed = Condition::set(&mut conditions, CONDITION, !addresses.is_empty(), reason, &message, cx.now);
    if changed && trouble {
        cx.event(world, service, EventKind::Warning, reason, &message);
    }
    let status = json!({"conditions": conditions, "loadBalancer": ingress(&addresses, &claim.ports)});
    let announced = service.meta.annotation(names::ANNOUNCED_BY);
    if before != status || announced != announcer.as_deref() {
        let mut next = service.with_status(&status);
        match announcer {
            Some(node) => next.meta.annotate(names::ANNOUNCED_BY, &*node),
            None if announced.is_some() => drop(Arc::make_mut(&mut next.meta.annotations).remove(names::ANNOUNCED_BY)),
            None => {}
        }
        cx.put(next);
    }
}

/// Pools go before nodes: where there is one that gives to everybody, or that is asked for.
fn provider(world: &World, service: &Object) -> &'static dyn Provider {
    if pools::serve(world, service) { &pools::AtPools } else { &nodes::AtNodes }
}

fn conditions(status: &Value) -> Vec<Condition> {
    // Others' conditions were checked when they came in.
    serde_json::from_value(status["conditions"].clone()).unwrap_or_default()
}

fn ingress(addresses: &[IpAddr], ports: &[PortId]) -> Value {
    if addresses.is_empty() {
        return json!({});
    }
    let ports: Vec<Value> =
        ports.iter().map(|p| json!({"port": p.port, "protocol": p.protocol.kubernetes()})).collect();
    let all: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP", "ports": ports})).collect();
    json!({"ingress": all})
}
