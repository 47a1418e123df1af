//! The plane's task: one thing after the other, so that nothing of the network is done twice at once.
//!
//! What fails is tried again as a whole, soon; what others undo is put right when the kernel tells,
//! and looked for now and then in case it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use evenkeel_model::{
    Uid,
    net::{NetworkSettings, NetworkUpdate},
    policy::PodNet,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    ADDRESSES, Ask, Choice, ClusterNames, Drift, KNOWN, Known, Sandbox, Settings, Status, announce::Assigned,
    balance::Balance, checkpoint::Between, links, names::NameServer, rules::Rules, tell::Says,
    troubles::RESOLVERS_SILENT, watch,
};
use crate::{
    link::{
        KernelError,
        host::{self, Claim, Machine, forward_packets},
        ipam::{Ipam, IpamError, node_address},
        kernel::{Kernel, refused},
        names::Owner,
        netns::Identity,
        pods::Wire,
        routes::{Own, Plan, Ways, plan},
    },
    nft::run,
};

/// Questions answered before the network is brought where they want it.
const BATCH: usize = 64;
/// Changes come in crowds; they are looked at together, this long after the first.
const SETTLE: Duration = Duration::from_millis(100);
/// What failed is tried again after this.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// Everything is looked at this often even if nobody told of a change.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// What is known of Services is written down as a whole this long after it changed: they change in crowds,
/// and until then the changes themselves are kept. Nodes and settings are written at once.
const SAVE: Duration = Duration::from_secs(2);
/// Capabilities that an own pod network needs, by their bits.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN")];

/// A pod that is plugged in.
pub(super) struct Wired {
    pub(super) pid: u32,
    /// The pod, for people.
    pub(super) title: String,
    pub(super) network: Identity,
    pub(super) wire: Wire,
}

/// Where pods get addresses, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) own: Own,
    pub(super) settings: NetworkSettings,
}

impl Place {
    pub(super) fn names(self) -> ClusterNames {
        ClusterNames { dns: self.settings.dns, domain: self.settings.domain }
    }
}

pub(super) struct Task {
    pub(super) settings: Settings,
    pub(super) owner: Owner,
    pub(super) kernel: Option<Kernel>,
    pub(super) known: Known,
    pub(super) names: NameServer,
    pub(super) save_at: Option<Instant>,
    pub(super) rules: Rules,
    /// The last update's number, until it is told.
    pub(super) number: Option<u64>,
    /// Whether the kernel does not follow what is known yet, and whether of nodes, too.
    pub(super) behind: bool,
    pub(super) nodes_behind: bool,
    pub(super) ipam: Arc<Mutex<Ipam>>,
    /// Pods that have an address and no link yet.
    pub(super) leased: BTreeSet<Uid>,
    pub(super) wires: BTreeMap<Uid, Wired>,
    /// Whether the driver has told which pods run.
    told_pods: bool,
    /// Sandboxes whose link could not be made again.
    pub(super) unplugged: Vec<Sandbox>,
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    pub(super) ways: Ways,
    pub(super) check_at: Option<Instant>,
    /// When Docker's firewall is looked at next, and what is wrong with it.
    pub(super) forward_at: Instant,
    pub(super) forward_complaint: Option<String>,
    /// The place whose addresses the node has had since the last look.
    pub(super) held: Option<Place>,
    /// What was complained of last.
    pub(super) complaint: Option<String>,
    /// Addresses of pools that this node is to announce.
    pub(super) assigned: Assigned,
    pub(super) says: Says,
}

impl Task {
    pub(super) fn new(settings: Settings, says: Says) -> Result<Self, IpamError> {
        let owner = Owner::new(&settings.cluster, &settings.node);
        let ipam = Ipam::open(&settings.dir.join(ADDRESSES))?;
        let own = settings.choice != Choice::Engine;
        let known = if own { Known::read(&settings.dir.join(KNOWN)) } else { Known::default() };
        let names = NameServer::new(settings.node.clone());
        let kept = known.as_update();
        if known.settings.is_some() {
            names.update(&kept);
        }
        says.addresses.with(|all| *all = ipam.given().collect());
        let balance = Balance::new(settings.node.clone(), settings.reserved.clone(), &known.opened);
        let mut rules = Rules::new(&settings.cluster, settings.node.clone(), ipam.given().collect(), balance);
        rules.update(&kept);
        let mut assigned = Assigned::default();
        assigned.update(&kept, &settings.node);
        Ok(Self {
            assigned,
            rules,
            nodes_behind: true,
            ways: Ways::new(owner.clone()),
            owner,
            kernel: None,
            behind: known.settings.is_some(),
            known,
            names,
            save_at: None,
            number: None,
            ipam: Arc::new(Mutex::new(ipam)),
            leased: BTreeSet::new(),
            wires: BTreeMap::new(),
            told_pods: false,
            unplugged: Vec::new(),
            machine: Machine::default(),
            plan: Plan::default(),
            check_at: None,
            forward_at: Instant::now(),
            forward_complaint: None,
            held: None,
            complaint: None,
            settings,
            says,
        })
    }

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let (changed_send, mut changed) = mpsc::channel(1);
        let mut silent = self.names.silent();
        if let Some(engine) = self.engine() {
            self.say(Status::Engine(engine));
        } else {
            self.check_at = Some(Instant::now());
            self.watch(changed_send);
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let far = Instant::now() + LOOK;
            tokio::select! {
                taken = asks.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        self.save().await;
                        return;
                    }
                    let mut saves_first = false;
                    for ask in batch.drain(..) {
                        saves_first |= self.take(ask).await;
                    }
                    if saves_first {
                        self.save().await;
                    }
                    if self.behind {
                        self.follow().await;
                    }
                }
                Some(()) = changed.recv() => {
                    self.check_at = Some(self.check_at.map_or(Instant::now() + SETTLE, |at| at.min(Instant::now() + SETTLE)));
                }
                Ok(()) = silent.changed() => {
                    self.says.troubles.set(RESOLVERS_SILENT, silent.borrow_and_update().clone());
                }
                () = sleep_until(self.check_at.unwrap_or(far)), if self.check_at.is_some() => self.check().await,
                () = sleep_until(self.save_at.unwrap_or(far)), if self.save_at.is_some() => self.save().await,
                () = sleep_until(self.rules.check_at().unwrap_or(far)), if self.rules.check_at().is_some() => {
                    if let Some(message) = self.rules.check().await {
                        self.drifted(message);
                    }
                    if self.rules.waits_for_ports() && *self.says.status.borrow() == Status::Own {
                        self.follow_services().await;
                    }
                }
            }
        }
    }

    fn watch(&self, changed: mpsc::Sender<()>) {
        let owner = self.owner.clone();
        tokio::spawn(async move {
            while !changed.is_closed() {
                match watch::follow(owner.clone(), changed.clone()).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, "changes of the network are found only every {} s", LOOK.as_secs());
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = changed.closed() => return,
                }
            }
        });
    }

    /// Why pods get the engine's network whatever the server says.
    pub(super) fn engine(&self) -> Option<String> {
        let missing = missing_capabilities();
        match self.settings.choice {
            Choice::Engine => Some("--pod-network is engine".into()),
            Choice::Auto if !missing.is_empty() => {
                Some(format!("an own pod network needs root with {}", missing.join(", ")))
            }
            Choice::Auto if self.settings.engine_elsewhere => {
                Some("the container engine runs in another PID namespace than the agent".into())
            }
            Choice::Auto if !run::is_installed() => {
                Some("an own pod network needs the program `nft`, of the package nftables".into())
            }
            Choice::Auto | Choice::Own => None,
        }
    }

    /// Whether what was said must be on the disk before the kernel follows it.
    async fn take(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Update(update) => {
                // What is told ahead of the whole has none.
                self.number = Some(update.number).filter(|n| *n != 0).or(self.number);
                self.behind = true;
                if self.engine().is_none() {
                    self.known.take(&update);
                    self.names.update(&update);
                    self.rules.update(&update);
                    self.assigned.update(&update, &self.settings.node);
                    self.known.owner = (self.settings.cluster.clone(), self.settings.node.to_string());
                    let slow = update.settings.is_none() && update.nodes.is_empty() && update.gone_nodes.is_empty();
                    self.nodes_behind |= !slow;
                    // An agent that starts again isolates its pods as before.
                    let own = |p: &Arc<PodNet>| p.node.as_ref() == Some(&self.settings.node);
                    let slow = slow && update.policy.policies.is_empty() && !update.policy.pods.iter().any(own);
                    let kept = slow && self.keep(update).await;
                    let at = Instant::now() + if kept { SAVE } else { Duration::ZERO };
                    self.save_at = Some(self.save_at.map_or(at, |save| save.min(at)));
                    return !kept;
                }
            }
            Ask::Away => {
                self.assigned.away();
                // What was not announced yet waits for the rules.
                self.says.announced.send_if_modified(|now| std::mem::take(&mut now.sure));
            }
            Ask::Lease { pod, answer } => {
                let lease = self.lease(pod).await;
                // Who asked may have given up; the pod asks again and gets the same.
                let _ = answer.send(lease);
            }
            Ask::Links { namespace, all, answer } => {
                let services = self.known.services().iter().map(|s| &**s);
                let _ = answer.send(Ok(links::variables(links::seen(services, &namespace, all))));
            }
            Ask::Names { answer } => {
                let names = self.own_place().await.map(Place::names);
                let _ = answer.send(names);
            }
            Ask::Ways { answer } => {
                let _ = answer.send(Ok(Between::of(&self.plan)));
            }
            Ask::Plug { sandbox, answer } => {
                let plugged = self.plug(&sandbox).await;
                let _ = answer.send(plugged);
            }
            Ask::Found(sandboxes) => {
                self.told_pods = true;
                self.found(sandboxes).await;
                self.pods_known();
            }
            Ask::Forget(pod) => {
                self.leased.remove(&pod);
                self.wires.remove(&pod);
                self.behind |= self.rules.forget(pod);
                if let Err(error) = self.with_ipam(move |ipam| ipam.free(pod)).await {
                    tracing::error!(%error, "a pod's address is not free yet");
                }
            }
        }
        false
    }

    /// This node's place in the cluster's network: `Ok(None)` where the engine's is used.
    fn place(&self) -> Result<Place, Status> {
        if let Some(engine) = self.engine() {
            return Err(Status::Engine(engine));
        }
        let Some(settings) = self.known.settings.clone() else { return Err(Status::Waiting) };
        let auto = self.settings.choice == Choice::Auto;
        let missing = missing_capabilities();
        if !missing.is_empty() {
            return Err(Status::Refused(format!("the agent must be root and lacks {}", missing.join(", "))));
        }
        let Some(range) = self.known.range(&self.settings.node) else {
            let why = "the server has given this node no range of addresses for pods".to_owned();
            return Err(if auto { Status::Engine(why) } else { Status::Refused(why) });
        };
        let Some(in_range) = node_address(range) else {
            return Err(Status::Refused(IpamError::TooSmall(range).to_string()));
        };
        let own = Own { name: self.settings.node.to_string(), range, in_range, address: self.address() };
        Ok(Place { own, settings })
    }

    /// An address of this machine that other nodes reach it by.
    fn address(&self) -> Option<Ipv4Addr> {
        let said = self.settings.address.or_else(|| self.known.address(&self.settings.node));
        let own = self.machine.own_addresses();
        let mine = own.iter().find(|a| said == Some(IpAddr::V4(a.ip)));
        // A node behind another's address: packets leave from what it has itself.
        let mine = mine.or_else(|| own.iter().find(|a| Some(a.link) == self.machine.uplink(said)));
        mine.map(|a| a.ip)
    }

    fn claims(settings: &NetworkSettings) -> [Claim; 2] {
        [
            Claim { range: settings.cluster_cidr, flag: "--cluster-cidr" },
            Claim { range: settings.service_cidr, flag: "--service-cidr" },
        ]
    }

    fn say(&mut self, status: Status) {
        let changed = self.says.status.send_if_modified(|now| {
            let changed = *now != status;
            now.clone_from(&status);
            changed
        });
        match status {
            Status::Engine(why) if changed => {
                tracing::info!(why, "pods get the container engine's default network");
            }
            Status::Refused(why) if changed => tracing::error!(why, "the pod network cannot be used"),
            Status::Own if changed => tracing::info!("pods get addresses of this node's range"),
            _ => {}
        }
    }

    /// Brings the kernel to what is known, by the difference to what it was brought to before.
    async fn follow(&mut self) {
        let place = match self.ready().await {
            Ok(Some(place)) => place,
            Ok(None) => return self.followed(),
            Err(error) => return self.failed(&error),
        };
        if self.nodes_behind
            && let Err(error) = self.follow_nodes(&place).await
        {
            return self.failed(&error);
        }
        self.nodes_behind = false;
        self.follow_services().await;
    }

    async fn follow_nodes(&mut self, place: &Place) -> Result<(), KernelError> {
        let new = plan(&place.own, place.settings.mode, self.known.nodes(), &self.machine.own_addresses());
        let mtu = self.machine.uplink_mtu(place.own.address.map(IpAddr::V4));
        let cluster = place.settings.cluster_cidr;
        let kernel = self.kernel()?;
        for message in self.ways.follow(&kernel, &place.own, &new, cluster, mtu).await? {
            self.drifted(message);
        }
        self.told_without(&new);
        self.plan = new;
        Ok(())
    }

    /// Brings the packet rules to what is known: the last of what an update asks for.
    pub(super) async fn follow_services(&mut self) {
        if let Some(until) = self.rules.waits_until() {
            // Not said to be followed, and not tried with every question until then.
            self.behind = false;
            self.check_at = Some(self.check_at.map_or(until, |at| at.min(until)));
            return;
        }
        match self.rules.apply(|| self.known.as_update()).await {
            Ok(()) => {
                self.tell_balanced();
                self.tell_announced();
                self.followed();
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Lets the rules go on once all pods that run are on the network.
    pub(super) fn pods_known(&mut self) {
        if self.told_pods && self.unplugged.is_empty() && self.rules.waits_until().is_some() {
            self.rules.pods_known();
            self.behind |= self.known.settings.is_some();
        }
    }

    /// Somebody else changed what pods live by, and it was put right.
    pub(super) fn drifted(&self, message: String) {
        tracing::warn!("{message}");
        // Who reads them may be gone, at the agent's end, or behind: then the log alone has it.
        let _ = self.settings.drifts.try_send(Drift { message });
    }

    pub(super) fn followed(&mut self) {
        self.behind = false;
        if let Some(number) = self.number.take() {
            self.says.applied.send_replace(number);
        }
    }

    pub(super) fn failed(&mut self, error: &dyn std::error::Error) {
        self.behind = true;
        self.check_at = Some(Instant::now() + RETRY);
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            tracing::error!(%error, "the node's network is not as it shall be; trying again");
            self.complaint = Some(text);
        }
    }

    pub(super) fn told_without(&self, new: &Plan) {
        for why in new.without.iter().filter(|why| !self.plan.without.contains(*why)) {
            tracing::warn!(why, "pods of a node cannot be reached");
        }
    }

    /// The place, with the machine looked at and its network free for it; `None` where pods get none.
    pub(super) async fn ready(&mut self) -> Result<Option<Place>, KernelError> {
        match self.place() {
            Err(status) => {
                self.say(status);
                return Ok(None);
            }
            Ok(_) if self.machine.links.is_empty() => self.look().await?,
            Ok(_) => {}
        }
        // Again: the address follows from what was just looked at.
        let place = match self.place() {
            Ok(place) => place,
            Err(status) => {
                self.say(status);
                return Ok(None);
            }
        };
        let conflict = self.machine.conflict(&Self::claims(&place.settings));
        let rival = || self.machine.rival(&self.owner, place.own.range);
        let services = || self.machine.rival_of_services(place.own.in_range, place.settings.service_cidr);
        if let Some(why) = conflict.or_else(rival).or_else(services) {
            self.say(Status::Refused(why));
            return Ok(None);
        }
        if *self.says.status.borrow() != Status::Own {
            let forwarded = forward_packets().map_err(|e| refused("let this machine forward packets", e))?;
            if forwarded {
                tracing::info!("this machine forwards packets from now on (net.ipv4.ip_forward): pods live by it");
            }
            let kernel = self.kernel()?;
            host::hold(&kernel, place.own.in_range, place.settings.service_cidr).await?;
            self.names.serve(&kernel, place.settings.dns).await?;
            self.check_at = Some(Instant::now());
            self.say(Status::Own);
        }
        Ok(Some(place))
    }

    pub(super) fn kernel(&mut self) -> Result<Kernel, KernelError> {
        if self.kernel.is_none() {
            self.kernel = Some(Kernel::open()?);
        }
        self.kernel.clone().ok_or_else(|| refused("open a netlink socket", std::io::ErrorKind::NotFound.into()))
    }

    /// Keeps a change of Services until all is written; false where that cannot be.
    async fn keep(&self, update: Arc<NetworkUpdate>) -> bool {
        let path = self.settings.dir.join(KNOWN);
        let kept = tokio::task::spawn_blocking(move || Known::append(&path, &update)).await;
        let kept = kept.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        if let Err(error) = &kept {
            tracing::debug!(%error, "a change of the network could not be kept; all of it is written instead");
        }
        kept.is_ok()
    }

    async fn save(&mut self) {
        if self.save_at.take().is_none() {
            return;
        }
        let (mut known, path) = (self.known.clone(), self.settings.dir.join(KNOWN));
        let written = tokio::task::spawn_blocking(move || known.write(&path)).await;
        if let Err(error) = written.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
            tracing::warn!(%error, "what is known of the network could not be kept");
            self.save_at = Some(Instant::now() + LOOK);
        }
    }
}

/// What this process may not do of what an own pod network needs.
fn missing_capabilities() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let has = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    NEEDED.into_iter().filter(|(bit, _)| has & (1 << bit) == 0).map(|(_, name)| name).collect()
}
