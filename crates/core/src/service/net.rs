//! A node and a Service as agents are told of them, from their objects.
//!
//! Called by the conductor for what changed. Deliberately not here: who is told, and when.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::IpAddr;

use evenkeel_model::{
    Key, Object, names,
    net::{AtNodes, Balancer, Endpoint, Hints, NodeNet, PortProtocol, ServiceId, ServiceNet, ServicePort},
};
use k8s_openapi::api::{
    core::v1::{NodeStatus, ServiceSpec, ServiceStatus},
    discovery::v1::EndpointSlice,
};

use crate::{
    controllers::{balancer, endpoints::ZONE},
    world::{World, nodes::NodeRecord},
};

/// A Service's name as agents know it.
pub fn id(key: &Key) -> ServiceId {
    ServiceId { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// A node.
pub fn node_net(world: &World, node: &Object) -> NodeNet {
    let status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let address = status.addresses.iter().flatten().find(|a| a.type_ == "InternalIP");
    NodeNet {
        name: node.key.name.clone(),
        address: address.and_then(|a| a.address.parse().ok()),
        pod_cidr: world.nodes.get(&node.key.name).and_then(|n| n.pod_cidr),
        zone: node.meta.label(ZONE).map(Into::into),
    }
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}

fn port_number(port: Option<i32>) -> Option<u16> {
    port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)
}

/// A Service and who stands behind it.
pub fn service_net(world: &World, service: &Object) -> ServiceNet {
    let spec: ServiceSpec = service.spec().unwrap_or_default();
    let status: ServiceStatus = service.status().ok().flatten().unwrap_or_default();
    let named = spec.type_.as_deref() == Some("ExternalName");
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let ports: Vec<ServicePort> = spec
        .ports
        .iter()
        .flatten()
        .filter_map(|p| {
            let protocol = match p.protocol.as_deref() {
                None | Some("TCP") => PortProtocol::Tcp,
                Some("UDP") => PortProtocol::Udp,
                Some(_) => return None,
            };
            let (name, port) = (p.name.clone().unwrap_or_default(), u16::try_from(p.port).ok()?);
            Some(ServicePort { name, protocol, port, node_port: port_number(p.node_port) })
        })
        .collect();
    let affinity = spec.session_affinity_config.and_then(|c| c.client_ip).and_then(|c| c.timeout_seconds);
    let ingress = status.load_balancer.and_then(|l| l.ingress).unwrap_or_default();
    ServiceNet {
        id: id(&service.key),
        uid: service.uid,
        cluster_ips: addresses(spec.cluster_ips.iter().flatten()),
        external_name: spec.external_name.filter(|_| named),
        external_ips: addresses(spec.external_ips.iter().flatten()),
        load_balancer_ips: addresses(ingress.iter().filter_map(|i| i.ip.as_ref())),
        affinity_seconds: affinity.and_then(|s| u32::try_from(s).ok()),
        internal_local: local(&spec.internal_traffic_policy),
        external_local: local(&spec.external_traffic_policy),
        health_check_port: port_number(spec.health_check_node_port),
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        balancer: balancer(world, service, spec.load_balancer_source_ranges.as_deref().unwrap_or_default()),
        endpoints: endpoints(world, service, &ports),
        ports,
    }
}

/// How a Service is reached from outside, as a LoadBalancer of Evenkeel's.
fn balancer(world: &World, service: &Object, sources: &[String]) -> Balancer {
    let Some(claim) = world.balanced.get(&service.key) else { return Balancer::default() };
    let at_nodes = claim.holds().then(|| {
        let taken = |node: &NodeRecord| balancer::is_spared(node) || claim.ports.iter().any(|p| node.has_host_port(*p));
        let except = world.nodes.iter().filter(|(_, node)| taken(node));
        AtNodes { except: except.map(|(name, _)| name.clone()).collect() }
    });
    let announcer = service.meta.annotation(names::ANNOUNCED_BY).filter(|_| claim.address().is_some());
    // Checked when it came in.
    Balancer {
        at_nodes,
        announcer: announcer.map(Into::into),
        sources: sources.iter().filter_map(|text| text.trim().parse().ok()).collect(),
    }
}

/// Everybody of a Service's slices, each once, sorted by address.
fn endpoints(world: &World, service: &Object, ports: &[ServicePort]) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = Vec::new();
    for slice in world.services.slices(&service.key).filter_map(|key| world.get(key)) {
        // One that cannot be read (it was checked when it came in) holds nobody.
        let Ok(slice) = serde_json::from_value::<EndpointSlice>(slice.to_value()) else { continue };
        let number = |port: &ServicePort| {
            let same = slice.ports.iter().flatten().find(|p| {
                let protocol = p.protocol.as_deref().unwrap_or("TCP");
                p.name.as_deref().unwrap_or_default() == port.name
                    && protocol.eq_ignore_ascii_case(port.protocol.as_str())
            });
            same.and_then(|p| port_number(p.port))
        };
        let numbers: Vec<Option<u16>> = ports.iter().map(number).collect();
        for endpoint in slice.endpoints.into_iter().flatten() {
            let conditions = endpoint.conditions.unwrap_or_default();
            // What is not said is so, by the API's rules, but for the end.
            let ready = conditions.ready.unwrap_or(true);
            let hints = endpoint.hints.as_ref().map(|h| {
                let nodes = h.for_nodes.iter().flatten().map(|n| n.name.as_str().into()).collect();
                Box::new(Hints { nodes, zones: h.for_zones.iter().flatten().map(|z| z.name.as_str().into()).collect() })
            });
            let pod = endpoint.target_ref.filter(|t| t.kind.as_deref() == Some("Pod")).and_then(|t| t.name);
            for address in addresses(&endpoint.addresses) {
                all.push(Endpoint {
                    address,
                    node: endpoint.node_name.as_deref().map(Into::into),
                    pod: pod.as_deref().map(Into::into),
                    hostname: endpoint.hostname.as_deref().map(Into::into),
                    ready,
                    serving: conditions.serving.unwrap_or(ready),
                    terminating: conditions.terminating.unwrap_or(false),
                    hints: hints.clone(),
                    ports: numbers.clone(),
                });
            }
        }
    }
    all.sort_by(|a, b| (a.address, &a.pod, &a.ports).cmp(&(b.address, &b.pod, &b.ports)));
    all
}
