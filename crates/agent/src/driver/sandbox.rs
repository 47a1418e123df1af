//! Makes a pod's sandbox and puts it on its network: the node's own, the machine's, or the engine's.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::{Uid, net::PortProtocol};
use evenkeel_net::plane::{ClusterNames, PodPort, Sandbox};
use evenkeel_runtime::{
    ContainerId, ContainerInfo, ContainerState, PortBinding, Protocol, Runtime, SandboxNetwork, SandboxSpec,
};

use super::{
    names::{self, Machine},
    work::{Worker, turn},
};
use crate::logic::{
    command::{DnsPolicy, Failure, Output, PodNetwork},
    labels,
};

/// Kernel parameters that touch the pod alone: Kubernetes' list of safe ones. Others could harm the
/// node and its other pods.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
/// Where systemd's resolver keeps the servers that it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// What the sandbox program ends with where it may not make its network.
const FORBIDDEN: i32 = 99;

impl<R: Runtime> Worker<R> {
    pub(super) async fn create_sandbox(
        &self,
        pod: Uid,
        mut spec: SandboxSpec,
        network: &PodNetwork,
    ) -> Result<Output, Failure> {
        if let Some(name) = spec.sysctls.keys().find(|name| !SAFE.contains(&name.as_str())) {
            return Err(Failure::Network(format!(
                "forbidden sysctl: \"{name}\" not allowlisted: it reaches beyond the pod (allowed: {})",
                SAFE.join(", ")
            )));
        }
        let (address, cluster) = self.lease(pod, network).await?;
        let machine = tokio::task::spawn_blocking(machine).await.map_err(|e| Failure::Internal(e.to_string()))?;
        names::complete(&mut spec, network, address, cluster.as_ref(), &machine).map_err(Failure::Network)?;
        let own = spec.network == SandboxNetwork::Own;
        let ports = if own { ports(&spec.host_ports).map_err(Failure::Network)? } else { Vec::new() };
        // The engine cannot set them in a network that it does not make.
        let mut parameters = Vec::new();
        if own {
            spec.sysctls.retain(|name, value| {
                let of_network = name.starts_with("net.");
                if of_network {
                    parameters.push((name.clone(), value.clone()));
                }
                !of_network
            });
        }
        let _turn = turn(&self.starts).await?;
        let id = self.runtime.run_sandbox(&spec).await?;
        match self.put_on_network(pod, &id, &spec, parameters, ports).await {
            Ok(ip) => Ok(Output::Sandbox { id, ip }),
            Err(failure) => {
                // Without its id in the answer nobody would know of it.
                if let Err(also) = self.runtime.remove(&id).await {
                    tracing::warn!(container = %id, error = %also, "cannot remove a sandbox that is on no network");
                }
                Err(failure)
            }
        }
    }

    /// The pod's address on the node's own network, and the cluster's names, where it has them.
    async fn lease(&self, pod: Uid, network: &PodNetwork) -> Result<(Option<Ipv4Addr>, Option<ClusterNames>), Failure> {
        let given = match (network.host, network.dns) {
            (true, DnsPolicy::ClusterFirstWithHostNet) => self.plane.names().await.map(|names| (None, names)),
            (true, _) => Ok((None, None)),
            (false, _) => self.plane.lease(pod).await.map(|lease| lease.map(|l| (l.address, l.names)).unzip()),
        };
        given.map_err(|e| Failure::Network(e.to_string()))
    }

    async fn put_on_network(
        &self,
        pod: Uid,
        id: &ContainerId,
        spec: &SandboxSpec,
        parameters: Vec<(String, String)>,
        ports: Vec<PodPort>,
    ) -> Result<Option<IpAddr>, Failure> {
        let info = self.runtime.inspect(id).await?;
        match spec.network {
            SandboxNetwork::Default | SandboxNetwork::None => Ok(info.ip),
            SandboxNetwork::Host => Ok(self.node_ip),
            SandboxNetwork::Own => {
                let pid = match info.state {
                    ContainerState::Running { pid, .. } => pid,
                    ContainerState::Exited { code: FORBIDDEN, .. } => {
                        return Err(Failure::Network(
                            "the container engine does not let the sandbox make its own network: it needs CAP_SYS_ADMIN for its first act, and unshare allowed by the engine's seccomp filter".into(),
                        ));
                    }
                    other => return Err(Failure::Network(format!("the sandbox does not run: {other:?}"))),
                };
                let sandbox = Sandbox { pod, title: title(&info), pid, parameters, ports };
                let address = self.plane.plug(sandbox).await.map_err(|e| Failure::Network(e.to_string()))?;
                Ok(Some(address.into()))
            }
        }
    }

    /// Fills in what the engine does not know: the address of a sandbox that is not on its network.
    pub(super) fn settle(&self, info: &mut ContainerInfo) {
        if !info.labels.contains_key(labels::SANDBOX) {
            return;
        }
        match info.network {
            SandboxNetwork::Default | SandboxNetwork::None => {}
            SandboxNetwork::Host => info.ip = self.node_ip,
            SandboxNetwork::Own => {
                info.ip = pod_of(info).and_then(|pod| self.plane.address_of(pod)).map(IpAddr::V4);
            }
        }
    }

    /// All containers of the cluster; those that run and are on the node's own network are looked
    /// after by it from now on.
    pub(super) async fn list(&self, selector: &[(String, String)]) -> evenkeel_runtime::Result<Vec<ContainerInfo>> {
        let mut all = self.runtime.list(selector).await?;
        let mut found = Vec::new();
        for info in &mut all {
            self.settle(info);
            if let (
                SandboxNetwork::Own,
                true,
                Some(pod),
                ContainerState::Running { pid, .. } | ContainerState::Paused { pid, .. },
            ) = (info.network, info.labels.contains_key(labels::SANDBOX), pod_of(info), &info.state)
            {
                let (title, ports) = (title(info), ports_of(info));
                found.push(Sandbox { pod, title, pid: *pid, parameters: Vec::new(), ports });
            }
        }
        self.plane.found(found).await;
        Ok(all)
    }
}

/// Ports of the node that lead to a pod on its own network.
fn ports(bindings: &[PortBinding]) -> Result<Vec<PodPort>, String> {
    let port = |b: &PortBinding| {
        let refused = |why: &str| format!("hostPort {}: {why}", b.host_port);
        let protocol = match b.protocol {
            Protocol::Tcp => PortProtocol::Tcp,
            Protocol::Udp => PortProtocol::Udp,
            Protocol::Sctp => return Err(refused("SCTP is not supported on the node's own pod network")),
        };
        let host_address = match b.host_ip {
            None => None,
            Some(IpAddr::V4(a)) => Some(a),
            Some(IpAddr::V6(_)) => return Err(refused("hostIP is an IPv6 address, which is not supported yet")),
        };
        Ok(PodPort { host_address, host_port: b.host_port, protocol, port: b.container_port })
    };
    bindings.iter().map(port).collect()
}

/// The same of a sandbox that runs, by its label.
fn ports_of(info: &ContainerInfo) -> Vec<PodPort> {
    let Some(text) = info.labels.get(labels::HOST_PORTS) else { return Vec::new() };
    let read = serde_json::from_str::<Vec<PortBinding>>(text).map_err(|e| e.to_string()).and_then(|all| ports(&all));
    read.unwrap_or_else(|error| {
        tracing::warn!(pod = title(info), error, "the label with the pod's ports of the node cannot be read");
        Vec::new()
    })
}

fn pod_of(info: &ContainerInfo) -> Option<Uid> {
    info.labels.get(labels::POD_UID)?.parse().ok()
}

/// The pod's namespace and name.
fn title(info: &ContainerInfo) -> String {
    let label = |name| info.labels.get(name).map_or("", String::as_str);
    format!("{}/{}", label(labels::NAMESPACE), label(labels::POD))
}

/// The machine's files; what cannot be read is empty.
fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut resolv = read("/etc/resolv.conf");
    // Its stub listens on the machine's loopback alone.
    if resolv.lines().any(|l| l.split_whitespace().eq(["nameserver", "127.0.0.53"])) {
        let upstream = read(RESOLVED);
        if !upstream.is_empty() {
            resolv = upstream;
        }
    }
    Machine { hosts: read("/etc/hosts"), resolv }
}
