//! NetworkPolicies as a part of the node's table: what its packets are judged by, and the change to it.
//! Its cost follows what changed, not how many pods or policies there are. Pure.
//!
//! ```text
//! a packet of a pod that is isolated ── isolated_out / isolated_in (its address) ──> out_1 / in_1
//!     a chain for each set of policies that isolate together:  jump to_3, jump to_4, drop
//!     a chain for each policy and way, with its rules:         ip daddr @pods_7 tcp dport 80 accept
//! ```
//!
//! Peers are sets of addresses, one for each selector, so a pod that comes or goes is a few elements.
//! A connection that is there goes on, and so its answers pass: what is judged is its first packet.
//! Both ways are chains of their own on the hook, because what one lets through the other still judges.
//! Deliberately not here: which pods a selector takes (the server says), and running a batch.

mod judge;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use evenkeel_model::{
    Uid,
    net::{NetworkUpdate, PortProtocol},
    policy::{PodNet, PolicyId, PolicyNet, Selection},
};

use self::rules::Parts;
pub(super) use self::{judge::Flow, rules::Way};

/// The table's part that is always there.
pub(super) const SKELETON: &str = "  map isolated_in { type ipv4_addr : verdict; }
  map isolated_out { type ipv4_addr : verdict; }
  chain policy_out_forward {
    type filter hook forward priority -9; policy accept;
    ct state established,related accept
    ip saddr . ip daddr @hairpin accept
    ip saddr vmap @isolated_out
  }
  chain policy_in_forward {
    type filter hook forward priority -8; policy accept;
    ct state established,related accept
    ip saddr . ip daddr @hairpin accept
    ip daddr vmap @isolated_in
  }
  chain policy_out_input {
    type filter hook input priority -9; policy accept;
    ct state established,related accept
    ip saddr vmap @isolated_out
  }
";

/// A set of the table that policies need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    /// Addresses of the pods that a selector takes.
    Pods(Selection),
    /// Addresses and numbers of ports of this name.
    Ports(PortProtocol, String),
}

/// The policies that isolate a pod together, one way.
type Profile = (Way, Vec<u32>);

/// An element of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A member of the set of this number.
    Pod(u32, Ipv4Addr),
    /// A port of the set of this number.
    Port(u32, Ipv4Addr, u16),
    /// Who judges a pod's packets: the profile's number.
    Isolated(Way, Ipv4Addr, u32),
}

impl Element {
    fn container(self) -> String {
        match self {
            Self::Pod(set, _) => format!("pods_{set}"),
            Self::Port(set, ..) => format!("ports_{set}"),
            Self::Isolated(way, ..) => format!("isolated_{}", way.name()),
        }
    }

    fn key(self) -> String {
        match self {
            Self::Pod(_, address) | Self::Isolated(_, address, _) => address.to_string(),
            Self::Port(_, address, port) => format!("{address} . {port}"),
        }
    }

    fn whole(self) -> String {
        match self {
            Self::Isolated(way, address, profile) => format!("{address} : goto {}_{profile}", way.name()),
            _ => self.key(),
        }
    }
}

/// What is asked for, by its name in the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shape {
    /// Sets with their type.
    sets: BTreeMap<String, &'static str>,
    /// Chains with their rules.
    chains: BTreeMap<String, Vec<String>>,
}

/// The policies' book: see the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    own: Arc<str>,
    known: BTreeMap<PolicyId, Parts>,
    /// Policies by the selector of whom they isolate.
    subjects: BTreeMap<Selection, BTreeSet<PolicyId>>,
    pods: BTreeMap<Uid, Arc<PodNet>>,
    selected: BTreeMap<Selection, BTreeSet<Uid>>,
    /// Addresses that this node gave its pods.
    given: BTreeMap<Uid, Ipv4Addr>,
    /// How many policies use a set.
    used: BTreeMap<Set, u32>,
    /// Names that were given; never to another.
    sets: BTreeMap<Set, u32>,
    profiles: BTreeMap<Profile, u32>,
    numbers: BTreeMap<PolicyId, u32>,
    next: u32,
    /// What each pod asks for, and how many ask for each.
    claims: BTreeMap<Uid, BTreeSet<Element>>,
    wanted: BTreeMap<Element, u32>,
    /// How many pods a profile judges.
    judged: BTreeMap<u32, u32>,
    dirty: BTreeSet<Element>,
    shape_dirty: bool,
    applied: Option<(Shape, BTreeSet<Element>)>,
}

/// A change to make.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) text: String,
    /// Elements that it writes or takes away.
    pub(super) elements: usize,
    shape: Option<Shape>,
    added: Vec<Element>,
    deleted: Vec<Element>,
    full: bool,
}

impl Policies {
    pub(super) fn new(own: Arc<str>) -> Self {
        Self { own, shape_dirty: true, ..Self::default() }
    }

    /// Takes in what the server said.
    pub(super) fn update(&mut self, update: &NetworkUpdate) {
        let said = &update.policy;
        if update.full {
            let named: BTreeSet<&PolicyId> = said.policies.iter().map(|p| &p.id).collect();
            let gone: Vec<PolicyId> = self.known.keys().filter(|id| !named.contains(id)).cloned().collect();
            for id in &gone {
                self.set_policy(id, None);
            }
            let named: BTreeSet<Uid> = said.pods.iter().map(|p| p.uid).collect();
            let gone: Vec<Uid> = self.pods.keys().filter(|uid| !named.contains(uid)).copied().collect();
            for uid in gone {
                self.set_pod(uid, None);
            }
        }
        for policy in &said.policies {
            self.set_policy(&policy.id, Some(policy));
        }
        for id in &said.gone_policies {
            self.set_policy(id, None);
        }
        for pod in &said.pods {
            self.set_pod(pod.uid, Some(pod));
        }
        for uid in &said.gone_pods {
            self.set_pod(*uid, None);
        }
    }

    /// The address that this node gave a pod; `None` when it is free again.
    pub(super) fn set_address(&mut self, pod: Uid, address: Option<Ipv4Addr>) {
        let before = match address {
            Some(address) => self.given.insert(pod, address),
            None => self.given.remove(&pod),
        };
        if before != address {
            self.refresh(pod);
        }
    }

    fn set_policy(&mut self, id: &PolicyId, now: Option<&Arc<PolicyNet>>) {
        if self.known.get(id).map(|p| &p.net) == now {
            return;
        }
        let mut touched: BTreeSet<Uid> = BTreeSet::new();
        let before = self.known.remove(id);
        for set in before.iter().flat_map(|p| &p.sets) {
            let users = self.used.entry(set.clone()).or_default();
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.used.remove(set);
                touched.extend(self.members(set));
            }
        }
        if let Some(before) = &before {
            touched.extend(self.selected.get(&before.net.subjects).into_iter().flatten());
            if let Some(all) = self.subjects.get_mut(&before.net.subjects) {
                all.remove(id);
                if all.is_empty() {
                    self.subjects.remove(&before.net.subjects);
                }
            }
        }
        if let Some(net) = now {
            let sets = rules::sets(net);
            for set in &sets {
                let users = self.used.entry(set.clone()).or_default();
                *users += 1;
                if *users == 1 {
                    touched.extend(self.members(set));
                }
            }
            for set in &sets {
                number(&mut self.sets, &mut self.next, set);
            }
            number(&mut self.numbers, &mut self.next, id);
            let parts = Parts::new(net.clone(), sets, |set| self.sets.get(set).copied().unwrap_or_default());
            touched.extend(self.selected.get(&net.subjects).into_iter().flatten());
            self.subjects.entry(net.subjects.clone()).or_default().insert(id.clone());
            self.known.insert(id.clone(), parts);
        }
        self.shape_dirty = true;
        for uid in touched {
            self.refresh(uid);
        }
    }

    /// Pods with an element in a set.
    fn members(&self, set: &Set) -> BTreeSet<Uid> {
        match set {
            Set::Pods(selection) => self.selected.get(selection).cloned().unwrap_or_default(),
            Set::Ports(protocol, name) => {
                let has = |p: &PodNet| p.ports.iter().any(|n| n.protocol == *protocol && n.name == *name);
                self.pods.iter().filter(|(_, p)| has(p)).map(|(uid, _)| *uid).collect()
            }
        }
    }

    fn set_pod(&mut self, uid: Uid, now: Option<&Arc<PodNet>>) {
        if self.pods.get(&uid) == now {
            return;
        }
        for selection in self.pods.remove(&uid).iter().flat_map(|p| &p.selections) {
            if let Some(all) = self.selected.get_mut(selection) {
                all.remove(&uid);
                if all.is_empty() {
                    self.selected.remove(selection);
                }
            }
        }
        if let Some(pod) = now {
            for selection in &pod.selections {
                self.selected.entry(selection.clone()).or_default().insert(uid);
            }
            self.pods.insert(uid, pod.clone());
        }
        self.refresh(uid);
    }

    /// What a pod asks for now, instead of what it asked for before.
    fn refresh(&mut self, uid: Uid) {
        let now = self.claims_of(uid);
        let before = self.claims.remove(&uid).unwrap_or_default();
        for element in before.difference(&now) {
            self.count(*element, false);
        }
        for element in now.difference(&before) {
            self.count(*element, true);
        }
        if !now.is_empty() {
            self.claims.insert(uid, now);
        }
    }

    fn count(&mut self, element: Element, more: bool) {
        self.dirty.insert(element);
        let step = |count: &mut u32| *count = if more { *count + 1 } else { count.saturating_sub(1) };
        let count = self.wanted.entry(element).or_default();
        step(count);
        if *count == 0 {
            self.wanted.remove(&element);
        }
        if let Element::Isolated(_, _, profile) = element {
            let count = self.judged.entry(profile).or_default();
            let before = *count;
            step(count);
            self.shape_dirty |= (before == 0) != (*count == 0);
            if *count == 0 {
                self.judged.remove(&profile);
            }
        }
    }

    fn claims_of(&mut self, uid: Uid) -> BTreeSet<Element> {
        let mut out = BTreeSet::new();
        let Some(pod) = self.pods.get(&uid).cloned() else { return out };
        let here = pod.node.as_ref() == Some(&self.own);
        // Of its own pods a node knows the address first and best.
        let told = match pod.address {
            Some(IpAddr::V4(address)) if !here => Some(address),
            _ => None,
        };
        let Some(address) = self.given.get(&uid).copied().or(told) else { return out };
        for selection in &pod.selections {
            let set = Set::Pods(selection.clone());
            if let (Some(number), true) = (self.sets.get(&set), self.used.contains_key(&set)) {
                out.insert(Element::Pod(*number, address));
            }
        }
        for port in &pod.ports {
            let set = Set::Ports(port.protocol, port.name.clone());
            if let (Some(number), true) = (self.sets.get(&set), self.used.contains_key(&set)) {
                out.insert(Element::Port(*number, address, port.port));
            }
        }
        if here {
            for way in [Way::In, Way::Out] {
                let policies = self.isolating(&pod, way);
                if !policies.is_empty() {
                    let profile = number(&mut self.profiles, &mut self.next, &(way, policies));
                    out.insert(Element::Isolated(way, address, profile));
                }
            }
        }
        out
    }

    /// Numbers of the policies that isolate a pod, in order.
    fn isolating(&self, pod: &PodNet, way: Way) -> Vec<u32> {
        let policies = pod.selections.iter().filter_map(|s| self.subjects.get(s)).flatten();
        let isolating = policies.filter(|id| self.known.get(*id).is_some_and(|p| p.rules(way).is_some()));
        let mut numbers: Vec<u32> = isolating.filter_map(|id| self.numbers.get(id).copied()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn shape(&self) -> Shape {
        let mut out = Shape::default();
        for set in self.used.keys() {
            let Some(number) = self.sets.get(set) else { continue };
            match set {
                Set::Pods(_) => out.sets.insert(format!("pods_{number}"), "ipv4_addr"),
                Set::Ports(..) => out.sets.insert(format!("ports_{number}"), "ipv4_addr . inet_service"),
            };
        }
        for (id, parts) in &self.known {
            let Some(number) = self.numbers.get(id) else { continue };
            for way in [Way::In, Way::Out] {
                if let Some(rules) = parts.rules(way) {
                    out.chains.insert(format!("{}_{number}", way.policy()), rules.to_vec());
                }
            }
        }
        for ((way, policies), number) in self.profiles.iter().filter(|(_, n)| self.judged.contains_key(n)) {
            let jumps = policies.iter().map(|p| format!("jump {}_{p}", way.policy()));
            out.chains.insert(format!("{}_{number}", way.name()), jumps.chain(["drop".into()]).collect());
        }
        out
    }

    /// What the kernel holds is not known any more.
    pub(super) fn forget(&mut self) {
        self.applied = None;
    }

    /// What to do now; `full` where the table is made anew in the same batch, with nothing but its
    /// skeleton.
    pub(super) fn plan(&self, table: &str, full: bool) -> Option<Plan> {
        let nothing = (Shape::default(), BTreeSet::new());
        // Without a table there is nothing to change.
        let (shape, elements) = if full { &nothing } else { self.applied.as_ref()? };
        let look: BTreeSet<Element> =
            if full { self.wanted.keys().copied().collect() } else { self.dirty.iter().copied().collect() };
        let (mut added, mut deleted) = (Vec::new(), Vec::new());
        for element in look {
            match (elements.contains(&element), self.wanted.contains_key(&element)) {
                (true, false) => deleted.push(element),
                (false, true) => added.push(element),
                _ => {}
            }
        }
        let new = (self.shape_dirty || full).then(|| self.shape()).filter(|new| new != shape);
        if added.is_empty() && deleted.is_empty() && new.is_none() && !full {
            return None;
        }
        let text = text(table, shape, new.as_ref().unwrap_or(shape), &added, &deleted);
        Some(Plan { text, elements: added.len() + deleted.len(), shape: new, added, deleted, full })
    }

    /// A plan was done.
    pub(super) fn done(&mut self, plan: Plan) {
        if plan.full {
            self.applied = None;
        }
        let (shape, elements) = self.applied.get_or_insert_default();
        if let Some(new) = plan.shape {
            *shape = new;
        }
        for element in &plan.deleted {
            elements.remove(element);
        }
        elements.extend(plan.added);
        self.dirty.clear();
        self.shape_dirty = false;
    }
}

/// The number of something: the one that it has, or the next.
fn number<K: Ord + Clone>(all: &mut BTreeMap<K, u32>, next: &mut u32, key: &K) -> u32 {
    if let Some(number) = all.get(key) {
        return *number;
    }
    *next += 1;
    all.insert(key.clone(), *next);
    *next
}

/// A batch from one shape to another, with these elements. Nothing goes before what refers to it, and
/// nothing comes after.
fn text(table: &str, old: &Shape, new: &Shape, added: &[Element], deleted: &[Element]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for (set, kind) in new.sets.iter().filter(|(set, _)| !old.sets.contains_key(*set)) {
        let _ = writeln!(out, "add set ip {table} {set} {{ type {kind}; }}");
    }
    for chain in new.chains.keys().filter(|chain| !old.chains.contains_key(*chain)) {
        let _ = writeln!(out, "add chain ip {table} {chain}");
    }
    grouped(&mut out, "delete", table, deleted, Element::key);
    grouped(&mut out, "add", table, added, Element::whole);
    for (chain, before) in &old.chains {
        if new.chains.get(chain) != Some(before) {
            let _ = writeln!(out, "flush chain ip {table} {chain}");
        }
    }
    for (chain, rules) in new.chains.iter().filter(|(chain, rules)| old.chains.get(*chain) != Some(*rules)) {
        for rule in rules {
            let _ = writeln!(out, "add rule ip {table} {chain} {rule}");
        }
    }
    for chain in old.chains.keys().filter(|chain| !new.chains.contains_key(*chain)) {
        let _ = writeln!(out, "delete chain ip {table} {chain}");
    }
    for set in old.sets.keys().filter(|set| !new.sets.contains_key(*set)) {
        let _ = writeln!(out, "delete set ip {table} {set}");
    }
    out
}

fn grouped(out: &mut String, verb: &str, table: &str, elements: &[Element], say: fn(Element) -> String) {
    let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for element in elements {
        by.entry(element.container()).or_default().push(say(*element));
    }
    for (container, all) in by {
        let _ = writeln!(out, "{verb} element ip {table} {container} {{ {} }}", all.join(", "));
    }
}
