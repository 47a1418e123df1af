//! What agents are told of nodes and Services as the protocol's types, and back.
//!
//! Part of `convert`, with its rules: what comes is checked here, once; what a later version adds is
//! left out. Deliberately not here: what an agent does with it.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use evenkeel_model::{
    net::{
        Balancer, Cidr, Endpoint, Hints, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId,
        ServiceNet, ServicePort,
    },
    policy::{PolicyId, PolicyUpdate},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Result, bad, parsed, uid};
use crate::proto;

pub(super) fn update(u: &NetworkUpdate) -> proto::NetworkUpdate {
    proto::NetworkUpdate {
        session: u.session,
        number: u.number,
        full: u.full,
        settings: u.settings.as_ref().map(settings),
        nodes: u.nodes.iter().map(node).collect(),
        gone_nodes: u.gone_nodes.iter().map(ToString::to_string).collect(),
        services: u.services.iter().map(|s| service(s)).collect(),
        gone_services: u.gone_services.iter().map(id).collect(),
        policies: u.policy.policies.iter().map(json).collect(),
        gone_policies: u.policy.gone_policies.iter().map(policy_name).collect(),
        pods: u.policy.pods.iter().map(json).collect(),
        gone_pods: u.policy.gone_pods.iter().map(ToString::to_string).collect(),
    }
}

/// They have text, numbers and lists alone, which all have a JSON.
fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// What of a policy is not understood is refused: left out, it would let through what it forbids.
fn read_json<T: DeserializeOwned>(bytes: &Bytes) -> Result<Arc<T>> {
    serde_json::from_slice(bytes).map(Arc::new).map_err(|e| bad("a network policy", e))
}

fn policy_name(id: &PolicyId) -> proto::ObjectName {
    proto::ObjectName { namespace: id.namespace.to_string(), name: id.name.to_string() }
}

pub(super) fn read_update(u: proto::NetworkUpdate) -> Result<NetworkUpdate> {
    Ok(NetworkUpdate {
        session: u.session,
        number: u.number,
        full: u.full,
        settings: u.settings.map(read_settings).transpose()?,
        nodes: u.nodes.into_iter().map(read_node).collect::<Result<_>>()?,
        gone_nodes: u.gone_nodes.into_iter().map(Into::into).collect(),
        services: u.services.into_iter().map(|s| read_service(s).map(Arc::new)).collect::<Result<_>>()?,
        gone_services: u.gone_services.into_iter().map(read_id).collect(),
        policy: PolicyUpdate {
            policies: u.policies.iter().map(read_json).collect::<Result<_>>()?,
            gone_policies: u
                .gone_policies
                .into_iter()
                .map(|n| PolicyId { namespace: n.namespace.into(), name: n.name.into() })
                .collect(),
            pods: u.pods.iter().map(read_json).collect::<Result<_>>()?,
            gone_pods: u.gone_pods.iter().map(|text| uid(text)).collect::<Result<_>>()?,
        },
    })
}

fn address(address: &IpAddr) -> Bytes {
    match address {
        IpAddr::V4(a) => Bytes::copy_from_slice(&a.octets()),
        IpAddr::V6(a) => Bytes::copy_from_slice(&a.octets()),
    }
}

fn read_address(bytes: &[u8]) -> Result<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_| bad("an address", "it has neither 4 nor 16 bytes"))
}

fn read_addresses(all: &[Bytes]) -> Result<Vec<IpAddr>> {
    all.iter().map(|bytes| read_address(bytes)).collect()
}

pub(super) fn read_cidr(text: &str) -> Result<Cidr> {
    text.parse().map_err(|e| bad("a range of addresses", e))
}

fn read_port(port: u32) -> Result<u16> {
    u16::try_from(port).map_err(|_| bad("a port", "it is above 65535"))
}

fn settings(s: &NetworkSettings) -> proto::NetworkSettings {
    let mode = match s.mode {
        NetworkMode::Auto => proto::NetworkMode::Auto,
        NetworkMode::Routes => proto::NetworkMode::Routes,
        NetworkMode::Vxlan => proto::NetworkMode::Vxlan,
    };
    proto::NetworkSettings {
        cluster_cidr: s.cluster_cidr.to_string(),
        service_cidr: s.service_cidr.to_string(),
        dns: address(&s.dns),
        domain: s.domain.clone(),
        mode: mode.into(),
    }
}

fn read_settings(s: proto::NetworkSettings) -> Result<NetworkSettings> {
    Ok(NetworkSettings {
        cluster_cidr: read_cidr(&s.cluster_cidr)?,
        service_cidr: read_cidr(&s.service_cidr)?,
        dns: read_address(&s.dns)?,
        mode: match s.mode() {
            proto::NetworkMode::Auto => NetworkMode::Auto,
            proto::NetworkMode::Routes => NetworkMode::Routes,
            proto::NetworkMode::Vxlan => NetworkMode::Vxlan,
        },
        domain: s.domain,
    })
}

fn node(n: &NodeNet) -> proto::NodeNet {
    proto::NodeNet {
        name: n.name.to_string(),
        address: n.address.as_ref().map(address),
        pod_cidr: n.pod_cidr.map(|c| c.to_string()),
        zone: n.zone.as_deref().map(Into::into),
    }
}

fn read_node(n: proto::NodeNet) -> Result<NodeNet> {
    Ok(NodeNet {
        name: n.name.into(),
        address: n.address.as_deref().map(read_address).transpose()?,
        pod_cidr: n.pod_cidr.as_deref().map(read_cidr).transpose()?,
        zone: n.zone.map(Into::into),
    })
}

fn id(id: &ServiceId) -> proto::ServiceId {
    proto::ServiceId { namespace: id.namespace.to_string(), name: id.name.to_string() }
}

fn read_id(id: proto::ServiceId) -> ServiceId {
    ServiceId { namespace: id.namespace.into(), name: id.name.into() }
}

fn service(s: &ServiceNet) -> proto::ServiceNet {
    proto::ServiceNet {
        id: Some(id(&s.id)),
        uid: s.uid.to_string(),
        cluster_ips: s.cluster_ips.iter().map(address).collect(),
        external_name: s.external_name.clone(),
        ports: s.ports.iter().map(port).collect(),
        external_ips: s.external_ips.iter().map(address).collect(),
        load_balancer_ips: s.load_balancer_ips.iter().map(address).collect(),
        affinity_seconds: s.affinity_seconds,
        internal_local: s.internal_local,
        external_local: s.external_local,
        health_check_port: s.health_check_port.map(Into::into),
        publish_not_ready: s.publish_not_ready,
        endpoints: s.endpoints.iter().map(endpoint).collect(),
        balancer: if s.balancer == Balancer::default() { Bytes::new() } else { json(&s.balancer) },
    }
}

/// A port of a protocol that this version does not know is left out, here and of the endpoints.
fn read_service(s: proto::ServiceNet) -> Result<ServiceNet> {
    let ports = s.ports.into_iter().map(read_service_port).collect::<Result<Vec<_>>>()?;
    let known: Vec<bool> = ports.iter().map(Option::is_some).collect();
    Ok(ServiceNet {
        id: s.id.map(read_id).ok_or_else(|| bad("a service", "it has no name"))?,
        uid: uid(&s.uid)?,
        cluster_ips: read_addresses(&s.cluster_ips)?,
        external_name: s.external_name,
        ports: ports.into_iter().flatten().collect(),
        external_ips: read_addresses(&s.external_ips)?,
        load_balancer_ips: read_addresses(&s.load_balancer_ips)?,
        affinity_seconds: s.affinity_seconds,
        internal_local: s.internal_local,
        external_local: s.external_local,
        health_check_port: s.health_check_port.map(read_port).transpose()?,
        publish_not_ready: s.publish_not_ready,
        balancer: if s.balancer.is_empty() { Balancer::default() } else { parsed("a balancer", &s.balancer)? },
        endpoints: s.endpoints.into_iter().map(|e| read_endpoint(e, &known)).collect::<Result<_>>()?,
    })
}

fn port(p: &ServicePort) -> proto::ServicePort {
    let protocol = match p.protocol {
        PortProtocol::Tcp => proto::PortProtocol::Tcp,
        PortProtocol::Udp => proto::PortProtocol::Udp,
    };
    proto::ServicePort {
        name: p.name.clone(),
        protocol: protocol.into(),
        port: p.port.into(),
        node_port: p.node_port.map(Into::into),
    }
}

fn read_service_port(p: proto::ServicePort) -> Result<Option<ServicePort>> {
    let protocol = match p.protocol() {
        proto::PortProtocol::Tcp => PortProtocol::Tcp,
        proto::PortProtocol::Udp => PortProtocol::Udp,
        proto::PortProtocol::Unspecified => return Ok(None),
    };
    let node_port = p.node_port.map(read_port).transpose()?;
    Ok(Some(ServicePort { name: p.name, protocol, port: read_port(p.port)?, node_port }))
}

fn endpoint(e: &Endpoint) -> proto::Endpoint {
    proto::Endpoint {
        address: address(&e.address),
        node: e.node.as_deref().map(Into::into),
        pod: e.pod.as_deref().map(Into::into),
        hostname: e.hostname.as_deref().map(Into::into),
        ready: e.ready,
        serving: e.serving,
        terminating: e.terminating,
        hints: e.hints.as_deref().map(hints),
        ports: e.ports.iter().map(|p| p.unwrap_or(0).into()).collect(),
    }
}

fn hints(h: &Hints) -> proto::EndpointHints {
    let texts = |all: &[Arc<str>]| all.iter().map(ToString::to_string).collect();
    proto::EndpointHints { nodes: texts(&h.nodes), zones: texts(&h.zones) }
}

fn read_hints(h: proto::EndpointHints) -> Hints {
    let names = |all: Vec<String>| all.into_iter().map(Into::into).collect();
    Hints { nodes: names(h.nodes), zones: names(h.zones) }
}

fn read_endpoint(e: proto::Endpoint, known: &[bool]) -> Result<Endpoint> {
    if e.ports.len() != known.len() {
        return Err(bad("an endpoint", "it has another number of ports than its service"));
    }
    let ports = e.ports.into_iter().zip(known).filter(|(_, known)| **known);
    Ok(Endpoint {
        address: read_address(&e.address)?,
        node: e.node.map(Into::into),
        pod: e.pod.map(Into::into),
        hostname: e.hostname.map(Into::into),
        ready: e.ready,
        serving: e.serving,
        terminating: e.terminating,
        hints: e.hints.map(|h| Box::new(read_hints(h))),
        ports: ports.map(|(p, _)| read_port(p).map(|p| Some(p).filter(|p| *p != 0))).collect::<Result<_>>()?,
    })
}
