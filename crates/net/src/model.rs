//! A node's network without a kernel, for simulations of whole clusters: what an agent keeps of the
//! server's words, the planning of the real one, and maps in place of what the kernel has.
//!
//! What the agent knows outlives its process, what the kernel has outlives it too, and of the two the
//! machine's power takes the latter alone. Deliberately not here: time, and all that is no plan: links
//! of pods, names, ports of LoadBalancers at the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use evenkeel_model::{
    Uid,
    net::{Cidr, NetworkUpdate, PortProtocol, ServiceId, ServiceNet},
};

pub use crate::nft::model::Knock;
use crate::{
    link::model::Ways,
    nft::model::{Filter, Services},
    plane::Known,
};

/// One node.
#[derive(Debug)]
pub struct Node {
    name: Arc<str>,
    address: Ipv4Addr,
    known: Known,
    services: Services,
    ways: Ways,
    /// Whom the kernel lets through.
    filter: Filter,
    /// What was said of policies, and is not in the kernel yet.
    said: Vec<NetworkUpdate>,
    /// What the kernel lets through is not known: all of it is made again.
    filter_unknown: bool,
    /// The addresses of this node's pods, as they are on the disk.
    pods: BTreeMap<Uid, Ipv4Addr>,
    /// Services whose words the kernel does not follow yet.
    behind: BTreeSet<ServiceId>,
    nodes_behind: bool,
    /// The number of the last update that was said.
    number: Option<u64>,
    /// What the kernel had when the agent started: until the server says something it stays so.
    kept: Option<BTreeMap<Knock, Answers>>,
}

/// Who answers at a place.
type Answers = Option<Vec<(Ipv4Addr, u16)>>;

impl Node {
    /// A machine with nothing.
    pub fn new(name: Arc<str>, address: Ipv4Addr) -> Self {
        Self {
            services: Services::new(&name),
            filter: Filter::new(&name),
            said: Vec::new(),
            filter_unknown: true,
            pods: BTreeMap::new(),
            name,
            address,
            known: Known::default(),
            ways: Ways::default(),
            behind: BTreeSet::new(),
            nodes_behind: false,
            number: None,
            kept: None,
        }
    }

    /// Takes in what the server said. The kernel follows with the next [`Node::apply`].
    pub fn update(&mut self, update: &NetworkUpdate) {
        self.kept = None;
        self.number = Some(update.number).filter(|n| *n != 0).or(self.number);
        if update.full {
            self.behind.extend(self.known.services().iter().map(|s| s.id.clone()));
        }
        self.behind.extend(update.services.iter().map(|s| s.id.clone()).chain(update.gone_services.iter().cloned()));
        self.nodes_behind |= update.settings.is_some() || !update.nodes.is_empty() || !update.gone_nodes.is_empty();
        self.known.take(update);
        self.services.update(update);
        if update.full || !update.policy.is_empty() {
            let (full, policy) = (update.full, update.policy.clone());
            self.said.push(NetworkUpdate { full, policy, ..NetworkUpdate::default() });
        }
    }

    /// Brings the kernel there. Gives the number of what it follows now, if the server has said one since,
    /// and the Services that changed; or why the kernel would refuse it.
    pub fn apply(&mut self) -> Result<(Option<u64>, BTreeSet<ServiceId>), String> {
        let Some(settings) = &self.known.settings else { return Ok((self.number.take(), BTreeSet::new())) };
        if std::mem::take(&mut self.nodes_behind) {
            self.ways.follow((&self.name, self.address), settings.mode, self.known.nodes(), false);
        }
        self.services.apply()?;
        self.isolate();
        let kept = self.kept.take();
        if kept.is_some_and(|kept| kept != self.all_answers()) {
            return Err("an agent that started changed who answers, and no server had said so".into());
        }
        Ok((self.number.take(), std::mem::take(&mut self.behind)))
    }

    /// Brings what isolates pods into the kernel.
    fn isolate(&mut self) {
        let mut said = std::mem::take(&mut self.said);
        if std::mem::take(&mut self.filter_unknown) {
            self.filter = Filter::new(&self.name);
            said = vec![self.known.as_update()];
        }
        for update in &said {
            self.filter.update(update);
        }
        for (pod, address) in &self.pods {
            self.filter.set_address(*pod, Some(*address));
        }
    }

    /// A pod gets an address: what isolates it is in the kernel before the pod has a link.
    pub fn plug(&mut self, pod: Uid, address: Ipv4Addr) {
        self.pods.insert(pod, address);
        self.isolate();
        self.filter.set_address(pod, Some(address));
    }

    /// A pod is forgotten, and its address free.
    pub fn unplug(&mut self, pod: Uid) {
        if self.pods.remove(&pod).is_some() {
            self.filter.set_address(pod, None);
        }
    }

    /// Whether this node's kernel lets a connection through, from one address to a port of another. That
    /// of the other node has to do so as well.
    pub fn lets(&self, from: Ipv4Addr, to: (Ipv4Addr, PortProtocol, u16)) -> bool {
        self.filter.allows(from, to)
    }

    /// Looks at all ways that the kernel has, and puts right what others did. Gives it in words.
    pub fn look(&mut self) -> Vec<String> {
        let Some(settings) = &self.known.settings else { return Vec::new() };
        self.ways.follow((&self.name, self.address), settings.mode, self.known.nodes(), true)
    }

    /// The agent starts, and goes on with what it knew. Says whether there is something to apply.
    pub fn start(&mut self) -> bool {
        let followed = self.behind.is_empty() && !self.fronts().is_empty();
        self.kept = followed.then(|| self.all_answers());
        self.services.restart(&self.name);
        self.ways.restart();
        let kept = self.known.as_update();
        self.services.update(&kept);
        (self.number, self.nodes_behind, self.filter_unknown) = (None, true, true);
        self.behind = self.known.services().iter().map(|s| s.id.clone()).collect();
        self.known.settings.is_some()
    }

    /// The machine's power goes.
    pub fn power_off(&mut self) {
        self.services.power_off();
        self.ways.power_off();
        self.filter = Filter::new(&self.name);
    }

    /// The agent's disk is lost.
    pub fn wipe(&mut self) {
        self.known = Known::default();
        self.pods.clear();
    }

    /// Somebody takes the way to a range away.
    pub fn lose_way(&mut self, to: Cidr) {
        self.ways.lose(to);
    }

    /// The range of its pods, once a server said it.
    pub fn range(&self) -> Option<Cidr> {
        self.known.range(&self.name)
    }

    /// A Service as it was said last.
    pub fn service(&self, id: &ServiceId) -> Option<&Arc<ServiceNet>> {
        let all = self.known.services();
        all.binary_search_by(|s| s.id.cmp(id)).ok().map(|at| &all[at])
    }

    /// Every place where the kernel leads connections on or refuses them.
    pub fn fronts(&self) -> BTreeSet<Knock> {
        self.services.fronts().collect()
    }

    /// Who answers at a place, by what the kernel has; `None` where nothing is led anywhere.
    pub fn answers(&self, at: Knock) -> Option<Vec<(Ipv4Addr, u16)>> {
        self.services.answers(at)
    }

    fn all_answers(&self) -> BTreeMap<Knock, Answers> {
        self.services.fronts().map(|at| (at, self.services.answers(at))).collect()
    }

    /// The machine that the kernel sends packets for an address to; `None` where there is no way.
    pub fn leads(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        self.ways.leads(to)
    }

    /// The ranges of other nodes that the kernel has a way to.
    pub fn ways(&self) -> BTreeSet<Cidr> {
        self.ways.ranges().collect()
    }
}
