//! Services made up for tests.

use std::{net::Ipv4Addr, sync::Arc};

use evenkeel_model::{
    ids::Uid,
    net::{Endpoint, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet, ServicePort},
};

/// A Service at address number `n` of 10.43.0.0/16, port 80 to 8080, with nobody behind it.
pub(super) fn service(name: &str, n: u16) -> ServiceNet {
    let [high, low] = n.to_be_bytes();
    ServiceNet {
        cluster_ips: vec![Ipv4Addr::new(10, 43, high, low).into()],
        ports: vec![ServicePort { name: String::new(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        ..ServiceNet::new(ServiceId { namespace: "default".into(), name: name.into() }, Uid::from_random(u128::from(n)))
    }
}

/// One that is ready, with one port, 8080.
pub(super) fn endpoint(address: &str, node: &str) -> Endpoint {
    Endpoint { node: Some(node.into()), ..Endpoint::ready(address.parse().unwrap(), vec![Some(8080)]) }
}

/// A full update of node `n1`, whose pods are in 10.42.1.0/24.
pub(super) fn full(services: Vec<ServiceNet>) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number: 1,
        full: true,
        settings: Some(NetworkSettings::default()),
        nodes: vec![NodeNet {
            name: "n1".into(),
            address: Some("192.0.2.1".parse().unwrap()),
            pod_cidr: Some("10.42.1.0/24".parse().unwrap()),
            zone: None,
        }],
        services: services.into_iter().map(Arc::new).collect(),
        ..NetworkUpdate::default()
    }
}

/// What changed since.
pub(super) fn change(services: Vec<ServiceNet>, gone: Vec<ServiceId>) -> NetworkUpdate {
    NetworkUpdate { full: false, settings: None, nodes: Vec::new(), gone_services: gone, ..full(services) }
}
