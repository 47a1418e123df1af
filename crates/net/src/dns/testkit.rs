//! Services and updates for the tests of names.

use std::{net::IpAddr, sync::Arc};

use evenkeel_model::{
    ids::Uid,
    net::{Endpoint, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol, ServiceId, ServiceNet, ServicePort},
};

use super::zone::Zone;

/// The node that tests are on.
pub(super) const NODE: &str = "n1";

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn id(name: &str) -> ServiceId {
    let (name, namespace) = name.split_once('.').unwrap();
    ServiceId { namespace: namespace.into(), name: name.into() }
}

/// A Service `NAME.NAMESPACE` with a TCP port `http` and a UDP port `dns` at these addresses.
pub(super) fn service(name: &str, addresses: &[&str]) -> ServiceNet {
    let port = |name: &str, protocol, port| ServicePort { name: name.into(), protocol, port, node_port: None };
    ServiceNet {
        cluster_ips: addresses.iter().map(|a| ip(a)).collect(),
        ports: vec![port("http", PortProtocol::Tcp, 80), port("dns", PortProtocol::Udp, 53)],
        ..ServiceNet::new(id(name), Uid(1))
    }
}

/// A ready endpoint with both ports.
pub(super) fn endpoint(address: &str, host: Option<&str>) -> Endpoint {
    Endpoint {
        node: Some(NODE.into()),
        pod: Some("p".into()),
        hostname: host.map(Into::into),
        ..Endpoint::ready(ip(address), vec![Some(8080), Some(5353)])
    }
}

pub(super) fn not_ready(address: &str, host: Option<&str>) -> Endpoint {
    Endpoint { ready: false, serving: false, ..endpoint(address, host) }
}

pub(super) fn update(full: bool, services: Vec<ServiceNet>, gone: &[&str]) -> NetworkUpdate {
    NetworkUpdate {
        session: 1,
        number: 1,
        full,
        settings: full.then(NetworkSettings::default),
        nodes: vec![NodeNet {
            name: NODE.into(),
            address: Some(ip("192.0.2.7")),
            pod_cidr: Some("10.42.1.0/24".parse().unwrap()),
            zone: None,
        }],
        services: services.into_iter().map(Arc::new).collect(),
        gone_services: gone.iter().map(|name| id(name)).collect(),
        ..NetworkUpdate::default()
    }
}

/// One of each kind of Service.
pub(super) fn some_services() -> Vec<ServiceNet> {
    let alias = |name: &str, target: &str| ServiceNet { external_name: Some(target.into()), ..service(name, &[]) };
    let unnamed = |mut service: ServiceNet| {
        service.ports.truncate(1);
        service.ports[0].name = String::new();
        service
    };
    vec![
        service("kubernetes.default", &["10.43.0.1"]),
        ServiceNet { endpoints: vec![endpoint("10.42.1.9", Some("w-0"))], ..service("web.shop", &["10.43.0.20"]) },
        ServiceNet {
            endpoints: vec![
                endpoint("10.42.1.2", Some("db-0")),
                endpoint("10.42.2.3", Some("db-1")),
                endpoint("10.42.2.4", None),
                not_ready("10.42.2.5", Some("db-3")),
                Endpoint { ports: vec![None, Some(5353)], ..endpoint("10.42.2.6", Some("half")) },
            ],
            ..service("db.shop", &[])
        },
        ServiceNet {
            publish_not_ready: true,
            endpoints: vec![not_ready("10.42.3.1", Some("peer-0"))],
            ..service("peers.shop", &[])
        },
        service("nobody.shop", &[]),
        unnamed(service("plain.shop", &["10.43.0.21"])),
        alias("mail.shop", "mx.example.org."),
        alias("inner.shop", "web.shop.svc.cluster.local"),
        alias("loop-a.shop", "loop-b.shop.svc.cluster.local"),
        alias("loop-b.shop", "loop-a.shop.svc.cluster.local"),
    ]
}

pub(super) fn some_zone() -> Zone {
    Zone::updated(None, NODE, &update(true, some_services(), &[])).unwrap()
}
