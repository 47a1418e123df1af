//! What a node's table should hold and what it holds, and the change between them as one batch. Its
//! cost follows what changed, not how much there is. Pure. Deliberately not here: running a batch.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::Ipv4Addr,
    sync::Arc,
};

use evenkeel_model::net::{Cidr, NetworkSettings, NetworkUpdate, PortProtocol, ServiceId, ServiceNet};

use super::{
    element::{Key, Kind, Picker, Value, elements, shared},
    front::{Answer, At, Backend, Body, Front, Seat, fronts},
    table::{self, Place},
};

/// A port of the node that leads to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort {
    /// `hostIP`; `None` for all of the node's addresses and its localhost.
    pub host_address: Option<Ipv4Addr>,
    /// `hostPort`.
    pub host_port: u16,
    /// Protocol.
    pub protocol: PortProtocol,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// `containerPort`.
    pub port: u16,
}

/// Who asks for a front. Where two ask for the same, the first in this order has it: Services before
/// pods, then by name, the same at every start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Service(ServiceId),
    Pod(Arc<str>),
}

/// The book.
#[derive(Debug)]
pub(super) struct Book {
    table: String,
    /// The node's name.
    own: Arc<str>,
    own_cidr: Option<Cidr>,
    /// The node's zone.
    zone: Option<Arc<str>>,
    settings: Option<NetworkSettings>,
    services: BTreeMap<ServiceId, Arc<ServiceNet>>,
    /// LoadBalancers whose ports answer at the node's addresses.
    open: BTreeSet<ServiceId>,
    /// The fronts of each owner.
    owned: BTreeMap<Owner, Vec<Front>>,
    /// Who asks for each front, the first first.
    claims: BTreeMap<Front, Vec<(Owner, Body)>>,
    /// Fronts that may differ from what was applied.
    dirty: BTreeSet<Front>,
    /// What the kernel holds; `None` when that is not known.
    applied: Option<Applied>,
}

#[derive(Debug, Default)]
struct Applied {
    fronts: BTreeMap<Front, Body>,
    /// How many fronts ask for each shared element. One that nobody asks for stays until the next
    /// change: a connection that was sent to somebody a moment ago still has to leave as it says.
    shared: BTreeMap<Key, usize>,
    /// Those that nobody asks for.
    idle: BTreeSet<Key>,
    room: Room,
}

/// For each way to pick, up to how many there are chains for. They are made with the table alone: nft
/// 1.0.6 does not take a rule that looks at a map which is there already (`conflicting protocols
/// specified: tcp vs. th`). So there are more than are needed, and the table is made again for what is
/// beyond, in one transaction as ever.
type Room = BTreeMap<Kind, u32>;

/// The least room, and at first.
const ROOM: u32 = 32;

/// A change to make, and what the book is to remember when it is made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Takes what is there away and makes everything.
    pub(super) full: bool,
    pub(super) deleted: Vec<Key>,
    pub(super) added: Vec<(Key, Value)>,
    /// Fronts whose flows may lead to one that is gone.
    pub(super) cut: Vec<Front>,
    /// Up to how many it picks from, for each way.
    needs: Room,
    fronts: Vec<(Front, Option<Body>)>,
    shared: BTreeMap<Key, usize>,
}

impl Book {
    pub(super) fn new(table: String, own: Arc<str>) -> Self {
        Self {
            table,
            own,
            own_cidr: None,
            zone: None,
            settings: None,
            services: BTreeMap::new(),
            open: BTreeSet::new(),
            owned: BTreeMap::new(),
            claims: BTreeMap::new(),
            dirty: BTreeSet::new(),
            applied: None,
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<ServiceNet>> {
        self.services.values()
    }

    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Takes in what the server said.
    pub(super) fn update(&mut self, update: &NetworkUpdate) {
        let mut again = false;
        if let Some(settings) = &update.settings
            && self.settings.as_ref() != Some(settings)
        {
            self.settings = Some(settings.clone());
            again = true;
        }
        let own = update.nodes.iter().find(|n| n.name == self.own);
        if let Some(cidr) = own.map(|n| n.pod_cidr)
            && cidr != self.own_cidr
        {
            self.own_cidr = cidr;
            again = true;
        }
        let moved = own.is_some_and(|n| n.zone != self.zone);
        if let Some(own) = own.filter(|_| moved) {
            self.zone.clone_from(&own.zone);
        }
        if update.full {
            let named: BTreeSet<&ServiceId> = update.services.iter().map(|s| &s.id).collect();
            let gone: Vec<ServiceId> = self.services.keys().filter(|id| !named.contains(id)).cloned().collect();
            for id in gone {
                self.remove(id);
            }
        }
        for id in &update.gone_services {
            self.remove(id.clone());
        }
        for service in &update.services {
            let before = self.services.insert(service.id.clone(), service.clone());
            if before.as_ref() != Some(service) {
                self.render(service);
            }
        }
        if again {
            self.forget();
        }
        if again || moved {
            let all: Vec<_> = self.services.values().cloned().collect();
            for service in &all {
                self.render(service);
            }
        }
    }

    fn remove(&mut self, id: ServiceId) {
        self.services.remove(&id);
        self.claim(&Owner::Service(id), Vec::new());
    }

    /// Whether a LoadBalancer's ports answer at the node's addresses.
    pub(super) fn set_open(&mut self, id: &ServiceId, open: bool) {
        let changed = if open { self.open.insert(id.clone()) } else { self.open.remove(id) };
        if changed && let Some(service) = self.services.get(id).cloned() {
            self.render(&service);
        }
    }

    fn render(&mut self, service: &ServiceNet) {
        let open = self.open.contains(&service.id);
        let dns = self.settings.as_ref().map(|s| s.dns);
        let fronts = fronts(service, Seat { node: &self.own, zone: self.zone.as_deref(), dns }, open);
        self.claim(&Owner::Service(service.id.clone()), fronts);
    }

    /// The ports of the node that lead to a pod, all of them; none when it is gone.
    pub(super) fn host_ports(&mut self, pod: &Arc<str>, ports: &[HostPort]) {
        let mut fronts: Vec<(Front, Body)> = ports
            .iter()
            .flat_map(|p| {
                let given = p.host_address.filter(|a| !a.is_unspecified());
                // The machine itself reaches it by localhost, too, as with Docker's published ports.
                let at =
                    given.map_or_else(|| vec![At::Node, At::Address(Ipv4Addr::LOCALHOST)], |a| vec![At::Address(a)]);
                let every = Answer::Backends([Backend { address: p.address, port: p.port }].into());
                let body = Body { every, near: None, affinity: None, sources: [].into() };
                at.into_iter().map(move |at| (Front { at, protocol: p.protocol, port: p.host_port }, body.clone()))
            })
            .collect();
        fronts.sort_by_key(|(front, _)| *front);
        fronts.dedup_by_key(|(front, _)| *front);
        self.claim(&Owner::Pod(pod.clone()), fronts);
    }

    /// What an owner asks for, instead of what it asked for before.
    fn claim(&mut self, owner: &Owner, fronts: Vec<(Front, Body)>) {
        for front in self.owned.remove(owner).unwrap_or_default() {
            self.dirty.insert(front);
            if let Some(claims) = self.claims.get_mut(&front) {
                claims.retain(|(o, _)| o != owner);
                if claims.is_empty() {
                    self.claims.remove(&front);
                }
            }
        }
        if fronts.is_empty() {
            return;
        }
        self.owned.insert(owner.clone(), fronts.iter().map(|(front, _)| *front).collect());
        for (front, body) in fronts {
            self.dirty.insert(front);
            let claims = self.claims.entry(front).or_default();
            let at = claims.partition_point(|(o, _)| o < owner);
            claims.insert(at, (owner.clone(), body));
        }
    }

    /// What the kernel holds is not known any more: the next plan makes everything.
    pub(super) fn forget(&mut self) {
        self.applied = None;
    }

    /// Whether the kernel holds what was planned last.
    pub(super) fn is_applied(&self) -> bool {
        self.applied.is_some()
    }

    /// Elements in the kernel that nobody asks for any more.
    #[cfg(test)]
    pub(super) fn idle(&self) -> BTreeSet<Key> {
        self.applied.as_ref().map(|a| a.idle.clone()).unwrap_or_default()
    }

    /// Who answers at a front.
    pub(super) fn body(&self, front: Front) -> Option<&Body> {
        self.claims.get(&front).and_then(|claims| claims.first()).map(|(_, body)| body)
    }

    /// What to do now; `None` where there is nothing to do, or nothing known to do it from.
    pub(super) fn plan(&self) -> Option<Plan> {
        let settings = self.settings.as_ref()?;
        if let Some(applied) = &self.applied {
            let plan = self.plan_from(settings, applied, self.dirty.iter().copied(), false);
            if plan.needs.iter().all(|(kind, of)| applied.room.get(kind).is_some_and(|room| of <= room)) {
                return (!plan.fronts.is_empty()).then_some(plan);
            }
        }
        let mut plan = self.plan_from(settings, &Applied::default(), self.claims.keys().copied(), true);
        for node in [false, true] {
            plan.needs.entry(Kind { node, near: false, affinity: None }).or_default();
        }
        for of in plan.needs.values_mut() {
            *of = (*of).max(ROOM).next_power_of_two();
        }
        Some(plan)
    }

    fn plan_from(
        &self,
        settings: &NetworkSettings,
        applied: &Applied,
        fronts: impl Iterator<Item = Front>,
        full: bool,
    ) -> Plan {
        let mut plan = Plan { full, ..Plan::default() };
        let mut count: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
        for front in fronts {
            let (before, after) = (applied.fronts.get(&front), self.body(front));
            if before == after {
                continue;
            }
            plan.differ(front, before, after);
            for (body, sign) in [(before, false), (after, true)] {
                let asked = body.map(|b| shared(front, b, settings.cluster_cidr, self.own_cidr)).unwrap_or_default();
                for key in asked {
                    let (less, more) = count.entry(key).or_default();
                    *if sign { more } else { less } += 1;
                }
            }
            if plan.full || cuts(before, after) {
                plan.cut.push(front);
            }
            plan.fronts.push((front, after.cloned()));
        }
        for (key, (less, more)) in count {
            let before = applied.shared.get(&key).copied().unwrap_or(0);
            let after = (before + more).saturating_sub(less);
            if after > 0 && !applied.shared.contains_key(&key) {
                plan.added.push((key, Value::Present));
            }
            if before > 0 || after > 0 {
                plan.shared.insert(key, after);
            }
        }
        // Asked for again they stay, and what was left over at the last change goes.
        plan.deleted.extend(applied.idle.iter().filter(|key| !plan.shared.contains_key(*key)));
        plan
    }

    /// The batch that does a plan; `place` is where a table that is made anew is to stand.
    pub(super) fn text(&self, plan: &Plan, place: Place) -> String {
        let mut out = String::new();
        if let (Some(settings), true) = (&self.settings, plan.full) {
            out = table::skeleton(&self.table, settings, self.own_cidr, place);
            for (kind, room) in &plan.needs {
                for of in 1..=*room {
                    table::picker(&mut out, &self.table, Picker { kind: *kind, of });
                }
            }
        }
        let mut deleted: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for key in &plan.deleted {
            deleted.entry(key.container()).or_default().push(key);
        }
        for (container, keys) in deleted {
            let _ = write!(out, "delete element ip {} {container} {{ ", self.table);
            for (n, key) in keys.into_iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                key.write(&mut out);
            }
            out.push_str(" }\n");
        }
        let mut added: BTreeMap<&str, Vec<&(Key, Value)>> = BTreeMap::new();
        for element in &plan.added {
            added.entry(element.0.container()).or_default().push(element);
        }
        for (container, all) in added {
            let _ = write!(out, "add element ip {} {container} {{ ", self.table);
            for (n, (key, value)) in all.into_iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                key.write(&mut out);
                value.write(&mut out);
            }
            out.push_str(" }\n");
        }
        out
    }

    /// A plan was done.
    pub(super) fn done(&mut self, plan: Plan) {
        if plan.full {
            self.applied = None;
        }
        let applied = self.applied.get_or_insert_default();
        for (front, body) in plan.fronts {
            match body {
                Some(body) => applied.fronts.insert(front, body),
                None => applied.fronts.remove(&front),
            };
        }
        for key in std::mem::take(&mut applied.idle) {
            applied.shared.remove(&key);
        }
        applied.idle.extend(plan.shared.iter().filter(|(_, count)| **count == 0).map(|(key, _)| *key));
        applied.shared.extend(plan.shared);
        if plan.full {
            applied.room = plan.needs;
        }
        self.dirty.clear();
    }
}

impl Plan {
    fn differ(&mut self, front: Front, before: Option<&Body>, after: Option<&Body>) {
        let of = |body: Option<&Body>| body.map(|b| elements(front, b)).unwrap_or_default();
        let (before, after) = (of(before), of(after));
        self.deleted.extend(before.iter().filter(|(k, v)| after.get(k) != Some(v)).map(|(k, _)| *k));
        for (key, value) in after {
            if let Value::Pick(picker) = value {
                let needs = self.needs.entry(picker.kind).or_default();
                *needs = picker.of.max(*needs);
            }
            if before.get(&key) != Some(&value) {
                self.added.push((key, value));
            }
        }
    }
}

/// Whether somebody who answered does not any more.
fn cuts(before: Option<&Body>, after: Option<&Body>) -> bool {
    let all = |body: Option<&Body>| -> BTreeSet<Backend> { body.into_iter().flat_map(Body::backends).collect() };
    !all(before).is_subset(&all(after))
}

impl Body {
    /// All who answer anyone.
    pub(super) fn backends(&self) -> impl Iterator<Item = Backend> {
        self.every.backends().iter().chain(self.near.as_deref().unwrap_or_default()).copied()
    }
}
