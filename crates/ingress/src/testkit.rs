//! Ingresses and Services for unit tests.

use std::sync::Arc;

use evenkeel_model::{
    Time, Uid,
    ingress::{
        BackendPort, BackendProtocol, IngressBackend, IngressId, IngressNet, IngressPath, IngressRule, PathKind,
    },
    net::{Endpoint, PortProtocol, ServiceId, ServiceNet, ServicePort},
};

pub(crate) fn id(name: &str) -> ServiceId {
    ServiceId { namespace: "shop".into(), name: name.into() }
}

pub(crate) fn backend(service: &str) -> IngressBackend {
    IngressBackend { service: id(service), port: BackendPort::Number(80), protocol: BackendProtocol::Http }
}

pub(crate) fn path(path: &str, kind: PathKind, service: &str) -> IngressPath {
    IngressPath { path: path.into(), kind, backend: backend(service) }
}

pub(crate) fn ingress(name: &str, created: i64, rules: &[(Option<&str>, &[IngressPath])]) -> IngressNet {
    IngressNet {
        id: IngressId { namespace: "shop".into(), name: name.into() },
        created: Time::from_secs(created),
        https_redirect: false,
        default_backend: None,
        rules: rules
            .iter()
            .map(|(host, paths)| IngressRule { host: host.map(Into::into), paths: paths.to_vec() })
            .collect(),
        tls: Vec::new(),
        answers: Vec::new(),
    }
}

pub(crate) fn endpoint(address: &str, port: u16) -> Endpoint {
    Endpoint::ready(address.parse().unwrap(), vec![Some(port)])
}

pub(crate) fn service(name: &str, endpoints: Vec<Endpoint>) -> Arc<ServiceNet> {
    Arc::new(ServiceNet {
        ports: vec![ServicePort { name: "http".into(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        endpoints,
        ..ServiceNet::new(id(name), Uid(1))
    })
}
