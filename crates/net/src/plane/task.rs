//! The plane's task: one thing after the other, so that nothing of the network is done twice at once.
//!
//! What fails is tried again as a whole, soon; what others undo is put right when the kernel tells,
//! and looked for now and then in case it does not.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::{
    Uid,
    net::{Cidr, NetworkSettings, NetworkUpdate},
    policy::PodNet,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    ADDRESSES, Ask, Choice, ClusterNames, Drift, KNOWN, Known, Said, Sandbox, Settings, Status,
    announce::Assigned,
    balance::Balance,
    checkpoint::Between,
    firewall::Firewall,
    given::Given,
    keep::{Keeper, Turn},
    links,
    names::NameServer,
    rules::Rules,
    tell::Says,
    troubles::RESOLVERS_SILENT,
    watch,
};
use crate::{
    link::{
        KernelError,
        host::{self, Claim, Machine, forward_packets},
        ipam::{IpamError, node_address},
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
/// A turn that lasts longer is told: what packets wait for waits that long, too.
const SLOW: Duration = Duration::from_secs(1);
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
    pub(super) keeper: Keeper,
    pub(super) rules: Rules,
    /// The last update's number, until the kernel follows it.
    pub(super) number: Option<u64>,
    /// Whether the kernel does not follow what is known yet, and whether of nodes, too.
    pub(super) behind: bool,
    pub(super) nodes_behind: bool,
    pub(super) given: Given,
    pub(super) wires: BTreeMap<Uid, Wired>,
    /// Whether the driver has told which pods run.
    told_pods: bool,
    /// Sandboxes whose link could not be made again.
    pub(super) unplugged: Vec<Sandbox>,
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    pub(super) ways: Ways,
    pub(super) check_at: Option<Instant>,
    pub(super) firewall: Firewall,
    /// The place whose addresses the node has had since the last look.
    pub(super) held: Option<Place>,
    /// What was complained of last.
    pub(super) complaint: Option<String>,
    /// Addresses of pools that this node is to announce.
    pub(super) assigned: Assigned,
    pub(super) says: Says,
}

/// What the task does next.
enum Next {
    /// Answer so many questions; none is the end.
    Asks(usize),
    /// Look soon: links or routes changed.
    Changed,
    /// Say whether resolvers answer.
    Silent,
    /// Look at everything.
    Check,
    /// Go on with what is kept.
    Kept(Turn),
    /// Look at the rules.
    Rules,
}

impl Task {
    pub(super) fn new(settings: Settings, says: Says) -> Result<Self, IpamError> {
        let owner = Owner::new(&settings.cluster, &settings.node);
        let given = Given::open(settings.dir.join(ADDRESSES), says.addresses.clone())?;
        let own = settings.choice != Choice::Engine;
        let known = if own { Known::read(&settings.dir.join(KNOWN)) } else { Known::default() };
        let names = NameServer::new(settings.node.clone());
        let kept = known.as_update();
        if known.settings.is_some() {
            names.update(&kept);
        }
        let balance = Balance::new(settings.node.clone(), settings.reserved.clone(), &known.opened);
        let mut rules = Rules::new(&settings.cluster, settings.node.clone(), given.all(), balance);
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
            keeper: Keeper::new(settings.dir.join(KNOWN)),
            number: None,
            given,
            wires: BTreeMap::new(),
            told_pods: false,
            unplugged: Vec::new(),
            machine: Machine::default(),
            plan: Plan::default(),
            check_at: None,
            firewall: Firewall::new(&settings.cluster),
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
            let next = tokio::select! {
                taken = asks.recv_many(&mut batch, BATCH) => Next::Asks(taken),
                Some(()) = changed.recv() => Next::Changed,
                Ok(()) = silent.changed() => Next::Silent,
                () = sleep_until(self.check_at.unwrap_or(far)), if self.check_at.is_some() => Next::Check,
                turn = self.keeper.turn() => Next::Kept(turn),
                () = sleep_until(self.rules.check_at().unwrap_or(far)), if self.rules.check_at().is_some() => Next::Rules,
            };
            let begun = Instant::now();
            match next {
                Next::Asks(0) => return self.keeper.end(&self.known).await,
                Next::Asks(_) => self.answer(&mut batch).await,
                Next::Changed => {
                    let at = begun + SETTLE;
                    self.check_at = Some(self.check_at.map_or(at, |before| before.min(at)));
                }
                Next::Silent => self.says.troubles.set(RESOLVERS_SILENT, silent.borrow_and_update().clone()),
                Next::Check => self.check().await,
                Next::Kept(Turn::Write) => self.keeper.begin(&self.known),
                Next::Kept(Turn::Done(number)) => self.says.kept(number),
                Next::Rules => self.check_rules().await,
            }
            self.settle().await;
            if begun.elapsed() > SLOW {
                tracing::debug!(millis = begun.elapsed().as_millis(), "the network's turn took long");
            }
        }
    }

    /// First what the server says: all of it is followed at once, and is so before the first packet of a pod
    /// that came after it.
    async fn answer(&mut self, batch: &mut Vec<Ask>) {
        let mut others = Vec::new();
        for ask in batch.drain(..) {
            match ask {
                Ask::Said(said) => self.hear(said),
                other => others.push(other),
            }
        }
        self.settle().await;
        for ask in others {
            self.take(ask).await;
        }
    }

    async fn check_rules(&mut self) {
        if let Some(message) = self.rules.check().await {
            self.drifted(message);
        }
        if self.rules.waits_for_ports() && *self.says.status.borrow() == Status::Own {
            self.follow_services().await;
        }
    }

    /// Brings the kernel to what was said, and has that kept.
    async fn settle(&mut self) {
        let number = self.keeper.first(&self.known).await;
        self.says.kept(number);
        if self.behind {
            self.follow().await;
        }
        let number = self.keeper.keep();
        self.says.kept(number);
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

    async fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Said(said) => self.hear(said),
            Ask::Lease { pod, answer } => {
                let lease = self.lease(pod).await;
                tokio::spawn(async move {
                    let lease = async { lease?.await }.await;
                    // Who asked may have given up; the pod asks again and gets the same.
                    let _ = answer.send(lease);
                });
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
                self.wires.remove(&pod);
                self.behind |= self.rules.forget(pod);
                self.given.free(pod);
            }
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Update(update) => self.take_update(update),
            Said::Away => {
                self.assigned.away();
                // What was not announced yet waits for the rules.
                self.says.announced.send_if_modified(|now| std::mem::take(&mut now.sure));
            }
        }
    }

    fn take_update(&mut self, update: Arc<NetworkUpdate>) {
        // What is told ahead of the whole has none.
        self.number = Some(update.number).filter(|n| *n != 0).or(self.number);
        self.behind = true;
        if self.engine().is_some() {
            return;
        }
        let before = self.laid_out();
        self.known.take(&update);
        self.known.owner = (self.settings.cluster.clone(), self.settings.node.to_string());
        if before != self.laid_out() {
            self.keeper.lay_out();
        }
        self.names.update(&update);
        self.rules.update(&update);
        self.assigned.update(&update, &self.settings.node);
        let of_nodes = update.settings.is_some() || !update.nodes.is_empty() || !update.gone_nodes.is_empty();
        self.nodes_behind |= of_nodes;
        // An agent that starts again isolates its pods as before.
        let own = |p: &Arc<PodNet>| p.node.as_ref() == Some(&self.settings.node);
        let isolates = !update.policy.policies.is_empty() || update.policy.pods.iter().any(own);
        let sync = update.full || of_nodes || isolates;
        self.keeper.take(update, sync);
    }

    /// What this node has in its kernel is found again by this.
    fn laid_out(&self) -> (Option<NetworkSettings>, Option<Cidr>, (String, String)) {
        (self.known.settings.clone(), self.known.range(&self.settings.node), self.known.owner.clone())
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
            self.keeper.reached(number);
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
}

/// What this process may not do of what an own pod network needs.
fn missing_capabilities() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let has = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    NEEDED.into_iter().filter(|(bit, _)| has & (1 << bit) == 0).map(|(_, name)| name).collect()
}
