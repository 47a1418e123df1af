//! Environment variables by which programs find Services without names (`enableServiceLinks`): the
//! kubelet's own and those that Docker's links once had. Pure.

use std::net::IpAddr;

use evenkeel_model::net::{PortProtocol, ServiceNet};

/// The API's Service: every container finds it.
const API: (&str, &str) = ("default", "kubernetes");

/// The Services that a container of a namespace is told of: the API's and, if `all`, those of its namespace,
/// whose own `kubernetes` counts before the API's, as in Kubernetes.
pub(super) fn seen<'a>(
    services: impl Iterator<Item = &'a ServiceNet> + Clone,
    namespace: &str,
    all: bool,
) -> impl Iterator<Item = &'a ServiceNet> {
    let own = move |s: &&ServiceNet| all && *s.id.namespace == *namespace;
    let hidden = services.clone().filter(own).any(|s| *s.id.name == *API.1);
    let api = move |s: &&ServiceNet| !hidden && (&*s.id.namespace, &*s.id.name) == API;
    services.filter(move |s| own(s) || api(s))
}

/// The variables of Services, in order; a Service without an address has none.
pub(super) fn variables<'a>(services: impl IntoIterator<Item = &'a ServiceNet>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for service in services {
        if let Some(address) = service.cluster_ips.first() {
            of_service(&mut out, service, *address);
        }
    }
    out
}

fn of_service(out: &mut Vec<(String, String)>, service: &ServiceNet, address: IpAddr) {
    let name = variable(&service.id.name);
    let Some(first) = service.ports.first() else { return };
    out.push((format!("{name}_SERVICE_HOST"), address.to_string()));
    out.push((format!("{name}_SERVICE_PORT"), first.port.to_string()));
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        out.push((format!("{name}_SERVICE_PORT_{}", variable(&port.name)), port.port.to_string()));
    }
    let url = |protocol: PortProtocol, port: u16| format!("{}://{address}:{port}", protocol.as_str());
    out.push((format!("{name}_PORT"), url(first.protocol, first.port)));
    for port in &service.ports {
        let prefix = format!("{name}_PORT_{}_{}", port.port, port.protocol.as_str().to_uppercase());
        out.push((prefix.clone(), url(port.protocol, port.port)));
        out.push((format!("{prefix}_PROTO"), port.protocol.as_str().into()));
        out.push((format!("{prefix}_PORT"), port.port.to_string()));
        out.push((format!("{prefix}_ADDR"), address.to_string()));
    }
}

/// A name as a variable's.
fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{
        Uid,
        net::{ServiceId, ServicePort},
    };

    use super::*;

    #[test]
    fn variables_are_kubernetes_own() {
        let port = |name: &str, protocol, port| ServicePort { name: name.into(), protocol, port, node_port: None };
        let mut service = ServiceNet {
            cluster_ips: vec!["10.43.0.11".parse().unwrap()],
            ports: vec![port("client", PortProtocol::Tcp, 6379), port("gossip-2", PortProtocol::Udp, 7000)],
            ..ServiceNet::new(ServiceId { namespace: "shop".into(), name: "redis-primary".into() }, Uid(1))
        };
        let all: Vec<String> = variables([&service]).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            all,
            [
                "REDIS_PRIMARY_SERVICE_HOST=10.43.0.11",
                "REDIS_PRIMARY_SERVICE_PORT=6379",
                "REDIS_PRIMARY_SERVICE_PORT_CLIENT=6379",
                "REDIS_PRIMARY_SERVICE_PORT_GOSSIP_2=7000",
                "REDIS_PRIMARY_PORT=tcp://10.43.0.11:6379",
                "REDIS_PRIMARY_PORT_6379_TCP=tcp://10.43.0.11:6379",
                "REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp",
                "REDIS_PRIMARY_PORT_6379_TCP_PORT=6379",
                "REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.43.0.11",
                "REDIS_PRIMARY_PORT_7000_UDP=udp://10.43.0.11:7000",
                "REDIS_PRIMARY_PORT_7000_UDP_PROTO=udp",
                "REDIS_PRIMARY_PORT_7000_UDP_PORT=7000",
                "REDIS_PRIMARY_PORT_7000_UDP_ADDR=10.43.0.11",
            ]
        );
        let id = |namespace: &str, name: &str| ServiceId { namespace: namespace.into(), name: name.into() };
        let named = [("default", "kubernetes"), ("default", "web"), ("odd", "kubernetes"), ("shop", "redis")];
        let all: Vec<ServiceNet> = named.map(|(a, b)| ServiceNet::new(id(a, b), Uid(1))).into();
        let told = |namespace: &str, linked| {
            seen(all.iter(), namespace, linked).map(|s| format!("{}/{}", s.id.namespace, s.id.name)).collect::<Vec<_>>()
        };
        assert_eq!(told("shop", true), ["default/kubernetes", "shop/redis"]);
        assert_eq!(told("shop", false), ["default/kubernetes"]);
        assert_eq!(told("default", true), ["default/kubernetes", "default/web"]);
        assert_eq!(told("odd", true), ["odd/kubernetes"]);
        assert_eq!(told("odd", false), ["default/kubernetes"]);
        service.cluster_ips.clear();
        assert!(variables([&service]).is_empty(), "a headless one is found by its name alone");
    }
}
