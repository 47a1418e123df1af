//! What agents are told of the network arrives as it was said.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use evenkeel_model::{
    Uid,
    net::{
        AtNodes, Balancer, Endpoint, Hints, NetworkMode, NetworkSettings, NetworkUpdate, NodeNet, PortProtocol,
        ServiceId, ServiceNet, ServicePort,
    },
    policy::{NamedPort, Peer, PodNet, PolicyId, PolicyNet, PolicyPort, PolicyRule, PolicyUpdate, PortMatch},
};
use evenkeel_wire::{
    ToAgent,
    convert::to_agent,
    proto::{self, from_server::Message},
};
use prost::Message as _;

fn service() -> ServiceNet {
    let port = |name: &str, protocol, node_port| ServicePort { name: name.into(), protocol, port: 80, node_port };
    let endpoint = |address: &str, pod: Option<&str>, ports: [Option<u16>; 2]| Endpoint {
        address: address.parse().unwrap(),
        node: pod.map(|_| "n1".into()),
        pod: pod.map(Into::into),
        hostname: pod.map(Into::into),
        ready: pod.is_none(),
        serving: true,
        terminating: pod.is_some(),
        hints: pod.map(|_| Hints { nodes: vec!["n1".into()], zones: vec!["west".into()] }.into()),
        ports: ports.into(),
    };
    ServiceNet {
        id: ServiceId { namespace: "shop".into(), name: "web".into() },
        uid: Uid(7),
        cluster_ips: vec!["10.43.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        external_name: Some("db.example.com".into()),
        ports: vec![port("http", PortProtocol::Tcp, Some(30080)), port("quic", PortProtocol::Udp, None)],
        external_ips: vec!["192.0.2.1".parse().unwrap()],
        load_balancer_ips: vec!["192.0.2.2".parse().unwrap()],
        affinity_seconds: Some(10_800),
        internal_local: true,
        external_local: false,
        health_check_port: Some(32_000),
        publish_not_ready: true,
        balancer: Balancer {
            at_nodes: Some(AtNodes { except: vec!["n2".into()] }),
            sources: vec!["192.0.2.0/24".parse().unwrap()],
            announcer: Some("n1".into()),
        },
        endpoints: vec![
            endpoint("10.42.1.2", Some("web-1"), [Some(8080), None]),
            endpoint("192.0.2.9", None, [None, Some(443)]),
        ],
    }
}

fn update() -> NetworkUpdate {
    let node = |name: &str| NodeNet { name: name.into(), address: None, pod_cidr: None, zone: None };
    NetworkUpdate {
        session: 3,
        number: u64::MAX,
        full: true,
        settings: Some(NetworkSettings { mode: NetworkMode::Vxlan, ..NetworkSettings::default() }),
        nodes: vec![
            node("n1"),
            NodeNet {
                address: Some("192.0.2.7".parse().unwrap()),
                pod_cidr: Some("10.42.1.0/24".parse().unwrap()),
                zone: Some("west".into()),
                ..node("n2")
            },
        ],
        gone_nodes: vec!["n3".into()],
        services: vec![Arc::new(service())],
        gone_services: vec![ServiceId { namespace: "shop".into(), name: "old".into() }],
        policy: policy(),
    }
}

fn policy() -> PolicyUpdate {
    let block = Peer::Block { cidr: "10.0.0.0/8".parse().unwrap(), except: vec!["10.1.0.0/16".parse().unwrap()] };
    let port = |protocol, ports| PolicyPort { protocol, ports };
    let id = |name: &str| PolicyId { namespace: "shop".into(), name: name.into() };
    PolicyUpdate {
        policies: vec![Arc::new(PolicyNet {
            id: id("web"),
            subjects: "shop/app=web".into(),
            ingress: Some(vec![PolicyRule {
                peers: Some(vec![Peer::Pods("[]/app=till".into()), block]),
                ports: Some(vec![
                    port(PortProtocol::Tcp, PortMatch::Range(80, 90)),
                    port(PortProtocol::Udp, PortMatch::Named("dns".into())),
                    port(PortProtocol::Udp, PortMatch::All),
                ]),
            }]),
            egress: None,
        })],
        gone_policies: vec![id("old")],
        pods: vec![Arc::new(PodNet {
            uid: Uid(9),
            node: Some("n1".into()),
            address: Some("10.42.1.2".parse().unwrap()),
            selections: vec!["shop/app=web".into()],
            ports: vec![NamedPort { name: "http".into(), protocol: PortProtocol::Tcp, port: 8080 }],
        })],
        gone_pods: vec![Uid(10)],
    }
}

/// Over the wire and back, with what a hand did to it on the way.
fn heard(update: NetworkUpdate, tamper: impl FnOnce(&mut proto::NetworkUpdate)) -> Result<NetworkUpdate, String> {
    let said = proto::FromServer::from(ToAgent::Network(Arc::new(update))).encode_to_vec();
    let Some(Message::Network(mut message)) = proto::FromServer::decode(&said[..]).unwrap().message else {
        panic!("no network")
    };
    tamper(&mut message);
    match to_agent(Message::Network(message)) {
        Ok(Some(ToAgent::Network(update))) => Ok(Arc::unwrap_or_clone(update)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_network_arrives_as_it_was_said() {
    assert_eq!(heard(update(), |_| {}), Ok(update()));
    let difference = NetworkUpdate { full: false, settings: None, nodes: vec![], ..update() };
    assert_eq!(heard(difference.clone(), |_| {}), Ok(difference));
}

#[test]
fn a_port_of_a_protocol_that_is_not_known_is_left_out_everywhere() {
    let mut told = heard(update(), |m| m.services[0].ports[0].protocol = 99).unwrap();
    let service = Arc::make_mut(&mut told.services[0]);
    assert_eq!(service.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["quic"]);
    assert_eq!(service.endpoints.iter().map(|e| e.ports.clone()).collect::<Vec<_>>(), [[None], [Some(443)]]);
}

#[test]
fn what_cannot_be_read_is_refused() {
    type Tamper = fn(&mut proto::NetworkUpdate);
    let cases: [(Tamper, &str); 6] = [
        (|m| m.services[0].cluster_ips[0] = vec![1, 2, 3].into(), "4 nor 16"),
        (|m| m.services[0].ports[0].port = 70_000, "65535"),
        (|m| m.services[0].endpoints[0].ports = vec![1], "another number"),
        (|m| m.nodes[1].pod_cidr = Some("10.42.1.1/24".into()), "10.42.1.0/24"),
        (|m| m.policies[0] = b"{}"[..].into(), "a network policy"),
        (|m| m.gone_pods[0] = "ten".into(), "ten"),
    ];
    for (tamper, reason) in cases {
        let error = heard(update(), tamper).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn what_is_said_of_ingresses_arrives_and_what_a_later_version_adds_is_left_out() {
    use evenkeel_model::{
        Time,
        ingress::{
            BackendPort, BackendProtocol, CertificateNet, IngressBackend, IngressId, IngressNet, IngressPath,
            IngressRule, IngressTls, IngressUpdate, PathKind, SecretId,
        },
    };
    let id = |name: &str| IngressId { namespace: "shop".into(), name: name.into() };
    let secret = |name: &str| SecretId { namespace: "shop".into(), name: name.into() };
    let backend = IngressBackend {
        service: ServiceId { namespace: "shop".into(), name: "web".into() },
        port: BackendPort::Name("http".into()),
        protocol: BackendProtocol::H2c,
    };
    let path = IngressPath { path: "/a".into(), kind: PathKind::Exact, backend: backend.clone() };
    let ingress = |name| IngressNet {
        answers: vec!["token.thumbprint".into()],
        id: id(name),
        created: Time(1_700_000_000_000),
        https_redirect: true,
        default_backend: Some(backend.clone()),
        rules: vec![IngressRule { host: Some("*.shop.example".into()), paths: vec![path.clone()] }],
        tls: vec![IngressTls { hosts: vec!["a".into()], secret: Some("cert".into()) }],
    };
    let update = IngressUpdate {
        session: 7,
        number: 1_700_000_000_000_123,
        full: true,
        ingresses: vec![Arc::new(ingress("one")), Arc::new(ingress("two"))],
        gone_ingresses: vec![id("gone")],
        certificates: vec![Arc::new(CertificateNet { id: secret("cert"), chain: "c".into(), key: "secret".into() })],
        gone_certificates: vec![secret("old")],
    };
    let said = proto::FromServer::from(ToAgent::Ingresses(Arc::new(update.clone())));
    assert!(!format!("{said:?}").contains("secret\""), "{said:?}");
    let heard = |said: &proto::FromServer| {
        let again = proto::FromServer::decode(&said.encode_to_vec()[..]).unwrap();
        let Some(ToAgent::Ingresses(update)) = to_agent(again.message.unwrap()).unwrap() else { panic!("another") };
        Arc::unwrap_or_clone(update)
    };
    assert_eq!(heard(&said), update);
    // An older server numbers none: nothing is told of what is served.
    let unnumbered = IngressUpdate { number: 0, ..update.clone() };
    assert_eq!(heard(&proto::FromServer::from(ToAgent::Ingresses(Arc::new(unnumbered)))).number, 0);
    let mut later = said;
    let Some(Message::Ingresses(message)) = &mut later.message else { panic!("another") };
    let text = String::from_utf8(message.ingresses[0].to_vec()).unwrap();
    message.ingresses[0] = text.replace("Exact", "Regex").into_bytes().into();
    assert_eq!(heard(&later).ingresses, [Arc::new(ingress("two"))]);
}
