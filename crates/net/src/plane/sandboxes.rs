//! Pods on the network: their addresses, their cables, and those that were there before.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::{
    Uid,
    net::{Cidr, NetworkMode},
};
use tokio::time::Instant;

use super::{
    Lease, PlaneError, Sandbox, Status,
    task::{Place, RETRY, Task, Wired},
};
use crate::link::{
    KernelError,
    kernel::Kernel,
    netns::{Network, SandboxError},
    pods::{self, Wire},
    routes::TUNNEL_BYTES,
};

impl Wired {
    /// The pod's network, while its sandbox runs.
    fn network(&self) -> Option<Network> {
        Network::of(self.pid).ok().filter(|network| network.identity() == self.network)
    }
}

impl Task {
    pub(super) async fn check_pods(&mut self, kernel: &Kernel) -> Result<(), KernelError> {
        let mut gone = Vec::new();
        for (pod, wired) in &self.wires {
            match self.check_pod(kernel, wired).await {
                Ok(true) => {}
                Ok(false) => gone.push(*pod),
                // Ended since the machine was looked at: that holds up nobody else.
                Err(_) if wired.network().is_none() => gone.push(*pod),
                Err(error) => return Err(error),
            }
        }
        for pod in gone {
            self.wires.remove(&pod);
            self.given.unplugged(pod);
            self.rules.unplugged(pod);
        }
        let again = std::mem::take(&mut self.unplugged);
        self.found(again).await;
        Ok(())
    }

    /// Puts a pod's link right; false where the pod has ended: with its namespace the link goes, too.
    async fn check_pod(&self, kernel: &Kernel, wired: &Wired) -> Result<bool, KernelError> {
        let wire = &wired.wire;
        let Some(link) = self.machine.links.iter().find(|l| l.name == wire.link) else {
            let Some(network) = wired.network() else { return Ok(false) };
            pods::plug(kernel, wire, &network).await?;
            self.drifted(format!("the link of pod {} was gone; it is plugged in again", wired.title));
            return Ok(true);
        };
        if !link.up || !self.machine.routes.contains(&pods::route(wire, link.index)) {
            pods::node_side(kernel, wire, link.index).await?;
            self.drifted(format!("the link of pod {} was down or had no route; it is as it was", wired.title));
        }
        Ok(true)
    }

    /// Begins to give a pod its address, which ends off the task's turns: with a sync of the disk.
    pub(super) async fn lease(
        &mut self,
        pod: Uid,
    ) -> Result<impl Future<Output = Result<Lease, PlaneError>> + Send + use<>, PlaneError> {
        let place = self.own_place().await?;
        let busy = self.busy(place.own.range).await?;
        let given = self.given.give(pod, place.own.range, busy);
        Ok(async move { Ok(Lease { address: given.await?, names: place.names() }) })
    }

    pub(super) async fn own_place(&mut self) -> Result<Place, PlaneError> {
        let ready = self.ready().await?;
        let why = |status: &Status| match status {
            Status::Refused(why) | Status::Engine(why) => PlaneError::Refused(why.clone()),
            Status::Waiting | Status::Own => PlaneError::Unknown,
        };
        ready.ok_or_else(|| why(&self.says.status.borrow()))
    }

    /// Addresses of a range that the kernel has in use.
    async fn busy(&mut self, range: Cidr) -> Result<BTreeSet<Ipv4Addr>, PlaneError> {
        let routes = self.kernel()?.routes().await?;
        let inside = |address: Ipv4Addr| range.contains(address.into());
        let pods = routes.iter().filter(|r| r.to.prefix() == 32).map(|r| r.to.network());
        let held = self.machine.addresses.iter().map(|a| a.ip);
        Ok(pods.chain(held).filter(|a| inside(*a)).collect())
    }

    /// The address that a pod was given, or else one for it now.
    async fn address_for(&mut self, pod: Uid, range: Cidr) -> Result<Ipv4Addr, PlaneError> {
        if let Some(address) = self.given.of(pod).filter(|address| range.contains((*address).into())) {
            return Ok(address);
        }
        let busy = self.busy(range).await?;
        Ok(self.given.give(pod, range, busy).await?)
    }

    pub(super) async fn plug(&mut self, sandbox: &Sandbox) -> Result<Ipv4Addr, PlaneError> {
        let place = self.own_place().await?;
        let pid = sandbox.pid;
        let seen = |source| SandboxError::Unseen { pid, source };
        let network = Network::of(pid).map_err(seen)?;
        let address = self.address_for(sandbox.pod, place.own.range).await?;
        let wire = self.wire(sandbox, &place, address);
        let kernel = self.kernel()?;
        // Isolated before its first packet.
        if self.rules.set_address(sandbox.pod, address) {
            self.rules.apply(|| self.known.as_update()).await?;
        }
        pods::plug(&kernel, &wire, &network).await?;
        self.given.plugged(sandbox.pod);
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
                self.look_again(sandbox);
            }
        }
    }

    fn look_again(&mut self, sandbox: Sandbox) {
        self.unplugged.push(sandbox);
        let at = Instant::now() + RETRY;
        self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
    }

    async fn adopt(&mut self, sandbox: &Sandbox) -> Result<(), PlaneError> {
        let network = match Network::of(sandbox.pid) {
            Ok(network) if !network.is_the_machines() => network,
            // It is just beginning. Whoever makes it plugs it in, unless that was an agent that has ended since.
            Ok(_) => {
                self.look_again(sandbox.clone());
                return Ok(());
            }
            // It has ended.
            Err(_) => return Ok(()),
        };
        let place = self.own_place().await?;
        let kernel = self.kernel()?;
        if let Some(address) = self.given.of(sandbox.pod) {
            let wire = self.wire(sandbox, &place, address);
            let inside = network.enter("look at the pod's link", async |inside| inside.addresses().await).await?;
            if let Some(link) = kernel.link(&wire.link).await?
                && inside.iter().any(|a| a.ip == address)
            {
                pods::node_side(&kernel, &wire, link.index).await?;
                let title = sandbox.title.clone();
                let wired = Wired { pid: sandbox.pid, title, network: network.identity(), wire };
                self.given.plugged(sandbox.pod);
                self.wires.insert(sandbox.pod, wired);
                self.behind |= self.rules.set_ports(sandbox.pod, address, &sandbox.ports);
                return Ok(());
            }
        }
        tracing::warn!(
            pod = sandbox.title,
            "a pod that runs had no link of ours, or another address, and is plugged in again"
        );
        self.plug(sandbox).await.map(drop)
    }
}
