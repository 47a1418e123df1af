//! The node's packet rules as a part of the plane: Services, ports of the node that lead to pods, and
//! the answers at `healthCheckNodePort`.
//!
//! Called by the task alone. What rules say is `nft`'s; when they are brought there, and who hears of
//! what others did to them, is here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::{
    Uid,
    net::{NetworkUpdate, ServiceId},
};
use tokio::time::Instant;

use super::{
    PodPort,
    balance::{Balance, Listeners},
};
use crate::nft::{CHECK_EVERY, HealthServer, HostPort, Nft, Services, ServicesError};

/// After a start the rules wait so long at most for the pods that run: a table without their ports
/// would close these for a moment.
const PODS_WITHIN: Duration = Duration::from_secs(5);
/// Ports that another program has are looked at this often while a LoadBalancer waits for them: nobody
/// tells when they are free.
const PORTS_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Rules {
    cluster: String,
    node: Arc<str>,
    /// `None` until they are needed, for they hold sockets.
    services: Option<Services>,
    /// Ports of pods, also for those who come before `services`.
    ports: BTreeMap<Uid, Vec<HostPort>>,
    /// Addresses of this node's pods, likewise.
    addresses: BTreeMap<Uid, Ipv4Addr>,
    /// Whether there may be NetworkPolicies.
    policies: bool,
    /// LoadBalancers at this node's own addresses.
    balance: Balance,
    /// When ports that another one had are looked at again.
    ports_at: Instant,
    /// The DNS server's address, at which every node listens.
    dns: Option<IpAddr>,
    health: HealthServer,
    /// Services with a port for balancers, and whether these ports may differ from what is answered.
    with_health: BTreeSet<ServiceId>,
    health_stale: bool,
    health_complaints: BTreeSet<String>,
    /// Until when the pods that run are waited for; `None` when they are known.
    pods_until: Option<Instant>,
    check_at: Instant,
    complaint: Option<String>,
}

impl Rules {
    /// `addresses` are those of the pods that there were.
    pub(super) fn new(cluster: &str, node: Arc<str>, addresses: BTreeMap<Uid, Ipv4Addr>, balance: Balance) -> Self {
        let now = Instant::now();
        Self {
            cluster: cluster.into(),
            node,
            services: None,
            ports: BTreeMap::new(),
            addresses,
            policies: false,
            balance,
            ports_at: now,
            dns: None,
            health: HealthServer::default(),
            with_health: BTreeSet::new(),
            health_stale: true,
            health_complaints: BTreeSet::new(),
            pods_until: Some(now + PODS_WITHIN),
            check_at: now,
            complaint: None,
        }
    }

    /// Takes in what the server said.
    pub(super) fn update(&mut self, update: &NetworkUpdate) {
        for service in &update.services {
            let has = service.external_local && service.health_check_port.is_some();
            let had = if has {
                self.with_health.insert(service.id.clone());
                true
            } else {
                self.with_health.remove(&service.id)
            };
            self.health_stale |= has || had;
        }
        self.health_stale |= update.full || update.gone_services.iter().any(|id| self.with_health.remove(id));
        self.policies |= !update.policy.policies.is_empty();
        self.dns = update.settings.as_ref().map(|s| s.dns).or(self.dns);
        self.balance.update(update);
        if let Some(services) = &mut self.services {
            services.update(update);
        }
    }

    /// The address of a pod, before the pod has it. Says whether something is to be applied before.
    pub(super) fn set_address(&mut self, pod: Uid, address: Ipv4Addr) -> bool {
        if self.addresses.insert(pod, address) != Some(address)
            && let Some(services) = &mut self.services
        {
            services.set_address(pod, Some(address));
        }
        self.policies
    }

    /// The ports of the node that lead to a pod, all of them. Says whether something is to be applied.
    pub(super) fn set_ports(&mut self, pod: Uid, address: Ipv4Addr, ports: &[PodPort]) -> bool {
        let ports: Vec<HostPort> = ports
            .iter()
            .map(|p| HostPort {
                host_address: p.host_address,
                host_port: p.host_port,
                protocol: p.protocol,
                address,
                port: p.port,
            })
            .collect();
        let changed =
            if ports.is_empty() { self.ports.remove(&pod).is_some() } else { self.ports.get(&pod) != Some(&ports) };
        if changed {
            if let Some(services) = &mut self.services {
                services.set_host_ports(&name(pod), &ports);
            }
            if !ports.is_empty() {
                self.ports.insert(pod, ports);
            }
        }
        changed
    }

    /// Takes a pod's ports away. Says whether something is to be applied.
    pub(super) fn unplugged(&mut self, pod: Uid) -> bool {
        self.set_ports(pod, Ipv4Addr::UNSPECIFIED, &[])
    }

    /// A pod is gone, and its address free. Says whether something is to be applied.
    pub(super) fn forget(&mut self, pod: Uid) -> bool {
        if self.addresses.remove(&pod).is_some()
            && let Some(services) = &mut self.services
        {
            services.set_address(pod, None);
        }
        self.unplugged(pod) || self.policies
    }

    /// The pods that run have been told of.
    pub(super) fn pods_known(&mut self) {
        self.pods_until = None;
    }

    /// Until when nothing is applied, because pods that run may have ports.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.pods_until.filter(|until| *until > Instant::now())
    }

    /// Brings the kernel there; `known` is all that the server said, for the first time.
    pub(super) async fn apply(&mut self, known: impl FnOnce() -> NetworkUpdate) -> Result<(), ServicesError> {
        self.decide_ports().await;
        let services = match &mut self.services {
            Some(services) => services,
            none => {
                let mut new = Services::new(&self.cluster, &self.node, Nft::new())?;
                new.update(&known());
                for (pod, ports) in &self.ports {
                    new.set_host_ports(&name(*pod), ports);
                }
                for (pod, address) in &self.addresses {
                    new.set_address(*pod, Some(*address));
                }
                none.insert(new)
            }
        };
        for (service, open) in self.balance.changes() {
            services.set_open(&service, open);
        }
        match services.apply().await {
            Ok(done) => {
                if done.full {
                    tracing::debug!(elements = done.elements, table = services.table(), "the Services' table was made");
                }
            }
            // The rules are in place.
            Err(error @ ServicesError::Flows(_)) => tracing::warn!(%error, "a Service changed"),
            Err(error) => return Err(error),
        }
        self.answer_balancers().await;
        Ok(())
    }

    /// Gives ports of the node to LoadBalancers where nobody listens there. What listens is not known when
    /// the kernel cannot be asked: then who waits goes on waiting.
    async fn decide_ports(&mut self) {
        if !self.balance.waits() {
            return;
        }
        self.ports_at = Instant::now() + PORTS_AGAIN;
        let dns = self.dns;
        let read = tokio::task::spawn_blocking(move || Listeners::read(dns)).await;
        match read.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(listeners) => self.balance.decide(|port| listeners.who(port)),
            Err(error) => tracing::warn!(%error, "whether a program has the ports of LoadBalancers is not known"),
        }
    }

    /// Whether ports are to be looked at again that another one had.
    pub(super) fn waits_for_ports(&self) -> bool {
        self.balance.waits() && self.ports_at <= Instant::now()
    }

    /// What became of the ports that LoadBalancers ask for; true once it is applied.
    pub(super) fn balanced(&self) -> &Balance {
        &self.balance
    }

    /// Tries ports again that could not be answered at, with the next look at everything.
    pub(super) fn look_again(&mut self) {
        self.health_stale |= !self.health_complaints.is_empty();
    }

    async fn answer_balancers(&mut self) {
        let Some(services) = self.services.as_ref().filter(|_| std::mem::take(&mut self.health_stale)) else { return };
        let failed = self.health.set(services.health_ports()).await;
        let complaints: BTreeSet<String> = failed.iter().map(ToString::to_string).collect();
        for complaint in complaints.difference(&self.health_complaints) {
            tracing::warn!(complaint, "balancers outside take this node for one without endpoints");
        }
        self.health_complaints = complaints;
    }

    /// When the rules are to be looked at; `None` where there are none.
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.services.as_ref().map(|_| self.check_at)
    }

    /// Looks whether others changed the rules and makes them again; gives what they did.
    pub(super) async fn check(&mut self) -> Option<String> {
        self.check_at = Instant::now() + CHECK_EVERY;
        match self.services.as_mut()?.check().await {
            Ok(drift) => {
                self.complaint = None;
                drift.map(|d| d.message)
            }
            Err(error) => {
                let text = error.to_string();
                if self.complaint.as_ref() != Some(&text) {
                    tracing::error!(%error, "the node's Services are not as they shall be; trying again");
                    self.complaint = Some(text);
                }
                None
            }
        }
    }
}

fn name(pod: Uid) -> Arc<str> {
    pod.to_string().into()
}
