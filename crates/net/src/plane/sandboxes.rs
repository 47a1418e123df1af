//! Pods on the network: their addresses, their cables, and those that were there before.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::PoisonError,
};

use evenkeel_model::{
    Uid,
    net::{Cidr, NetworkMode},
};
use tokio::time::Instant;

use super::{
    ADDRESSES, Lease, PlaneError, Sandbox, Status,
    task::{Place, RETRY, Task, Wired},
};
use crate::link::{
    KernelError,
    ipam::{Ipam, IpamError},
    kernel::Kernel,
    netns::{Network, SandboxError},
    pods::{self, Wire},
    routes::TUNNEL_BYTES,
};

impl Task {
    pub(super) async fn check_pods(&mut self, kernel: &Kernel) -> Result<(), KernelError> {
        let mut gone = Vec::new();
        for (pod, wired) in &self.wires {
            let wire = &wired.wire;
            let Some(link) = self.machine.links.iter().find(|l| l.name == wire.link) else {
                // With its namespace the link goes, too.
                match Network::of(wired.pid) {
                    Ok(network) if network.identity() == wired.network => {
                        pods::plug(kernel, wire, &network).await?;
                        self.drifted(format!("the link of pod {} was gone; it is plugged in again", wired.title));
                    }
                    _ => gone.push(*pod),
                }
                continue;
            };
            let routed = self.machine.routes.contains(&pods::route(wire, link.index));
            if !link.up || !routed {
                pods::node_side(kernel, wire, link.index).await?;
                self.drifted(format!("the link of pod {} was down or had no route; it is as it was", wired.title));
            }
        }
        for pod in gone {
            self.wires.remove(&pod);
            self.rules.unplugged(pod);
        }
        let again = std::mem::take(&mut self.unplugged);
        self.found(again).await;
        Ok(())
    }

    pub(super) async fn lease(&mut self, pod: Uid) -> Result<Lease, PlaneError> {
        let place = self.own_place().await?;
        let address = self.give(pod, place.own.range).await?;
        self.leased.insert(pod);
        Ok(Lease { address, names: place.names() })
    }

    pub(super) async fn own_place(&mut self) -> Result<Place, PlaneError> {
        let ready = self.ready().await?;
        let why = |status: &Status| match status {
            Status::Refused(why) | Status::Engine(why) => PlaneError::Refused(why.clone()),
            Status::Waiting | Status::Own => PlaneError::Unknown,
        };
        ready.ok_or_else(|| why(&self.says.status.borrow()))
    }

    async fn give(&mut self, pod: Uid, range: Cidr) -> Result<Ipv4Addr, PlaneError> {
        let routes = self.kernel()?.routes().await?;
        let inside = |address: Ipv4Addr| range.contains(address.into());
        let pods = routes.iter().filter(|r| r.to.prefix() == 32).map(|r| r.to.network());
        let held = self.machine.addresses.iter().map(|a| a.ip);
        let busy: BTreeSet<Ipv4Addr> = pods.chain(held).filter(|a| inside(*a)).collect();
        let alive: BTreeSet<Uid> = self.wires.keys().chain(&self.leased).copied().collect();
        Ok(self.with_ipam(move |ipam| ipam.give(pod, range, &busy, |pod| alive.contains(&pod))).await?)
    }

    /// Works on the addresses off the runtime's threads: it ends with a sync of the disk.
    pub(super) async fn with_ipam<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ipam) -> Result<T, IpamError> + Send + 'static,
    ) -> Result<T, IpamError> {
        let (ipam, addresses) = (self.ipam.clone(), self.says.addresses.clone());
        let path: PathBuf = self.settings.dir.join(ADDRESSES);
        let work = tokio::task::spawn_blocking(move || {
            let mut ipam = ipam.lock().unwrap_or_else(PoisonError::into_inner);
            let result = act(&mut ipam);
            addresses.with(|all| *all = ipam.given().collect());
            result
        });
        work.await.unwrap_or_else(|e| Err(IpamError::Io { path, source: std::io::Error::other(e) }))
    }

    pub(super) async fn plug(&mut self, sandbox: &Sandbox) -> Result<Ipv4Addr, PlaneError> {
        let place = self.own_place().await?;
        let pid = sandbox.pid;
        let seen = |source| SandboxError::Unseen { pid, source };
        let network = Network::of(pid).map_err(seen)?;
        let address = self.give(sandbox.pod, place.own.range).await?;
        let wire = self.wire(sandbox, &place, address);
        let kernel = self.kernel()?;
        // Isolated before its first packet.
        if self.rules.set_address(sandbox.pod, address) {
            self.rules.apply(|| self.known.as_update()).await?;
        }
        pods::plug(&kernel, &wire, &network).await?;
        self.leased.remove(&sandbox.pod);
        let title = sandbox.title.clone();
        self.wires.insert(sandbox.pod, Wired { pid, title, network: network.identity(), wire });
        if self.rules.set_ports(sandbox.pod, address, &sandbox.ports) && self.rules.waits_until().is_none() {
            self.rules.apply(|| self.known.as_update()).await?;
        }
        Ok(address)
    }

    fn wire(&self, sandbox: &Sandbox, place: &Place, address: Ipv4Addr) -> Wire {
        let uplink = self.machine.uplink_mtu(place.own.address.map(IpAddr::V4));
        let tunnels = place.settings.mode == NetworkMode::Vxlan || self.plan.tunnels();
        Wire {
            link: self.owner.pod_link(sandbox.pod),
            alias: format!("evenkeel: {}", sandbox.title),
            address,
            node: place.own.in_range,
            mtu: if tunnels { uplink.saturating_sub(TUNNEL_BYTES) } else { uplink },
            parameters: sandbox.parameters.clone(),
            from_localhost: !sandbox.ports.is_empty(),
        }
    }

    /// Sandboxes that run. One that is not known is of an earlier life of this agent: what it has is
    /// taken over, what it lacks is made.
    pub(super) async fn found(&mut self, sandboxes: Vec<Sandbox>) {
        if self.engine().is_some() {
            return;
        }
        if *self.says.status.borrow() != Status::Own {
            // They are looked at as soon as the network is there.
            self.unplugged = sandboxes;
            return;
        }
        for sandbox in sandboxes {
            if self.wires.get(&sandbox.pod).is_some_and(|wired| wired.pid == sandbox.pid) {
                continue;
            }
            if let Err(error) = self.adopt(&sandbox).await {
                tracing::warn!(pod = sandbox.title, %error, "a pod that runs is not on the network; trying again");
                self.unplugged.push(sandbox);
                let at = Instant::now() + RETRY;
                self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
            }
        }
    }

    async fn adopt(&mut self, sandbox: &Sandbox) -> Result<(), PlaneError> {
        let network = match Network::of(sandbox.pid) {
            Ok(network) if !network.is_the_machines() => network,
            // It has ended since, or is just beginning: whoever makes it plugs it in.
            _ => return Ok(()),
        };
        let place = self.own_place().await?;
        let kernel = self.kernel()?;
        let given = self.with_ipam({
            let pod = sandbox.pod;
            move |ipam| Ok(ipam.of(pod))
        });
        if let Some(address) = given.await? {
            let wire = self.wire(sandbox, &place, address);
            let inside = network.enter("look at the pod's link", async |inside| inside.addresses().await).await?;
            if let Some(link) = kernel.link(&wire.link).await?
                && inside.iter().any(|a| a.ip == address)
            {
                pods::node_side(&kernel, &wire, link.index).await?;
                self.leased.remove(&sandbox.pod);
                let title = sandbox.title.clone();
                let wired = Wired { pid: sandbox.pid, title, network: network.identity(), wire };
                self.wires.insert(sandbox.pod, wired);
                self.behind |= self.rules.set_ports(sandbox.pod, address, &sandbox.ports);
                return Ok(());
            }
        }
        tracing::warn!(pod = sandbox.title, "a pod that runs had no link and is plugged in again");
        self.plug(sandbox).await.map(drop)
    }
}
