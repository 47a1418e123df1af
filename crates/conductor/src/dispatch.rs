//! What each agent is told: everything when its session begins, then differences.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_core::{Changed, World, cx::Heal, network::Layout, world::nodes::NodeRecord};
use evenkeel_model::{
    Digest, Key, Kind, Object, Time, Uid, Version, canonical, names,
    own::{SourceSpec, SourceStatus},
    session::{Assignment, PodOrder, Report, SourceCopy, ToAgent},
};
use tracing::warn;

use crate::{
    endings::{Due, Endings},
    ingress::Ingresses,
    network::Network,
    orders,
    served::{Behind, Reach, Served},
};

/// An assignment that an agent does not say to have after this is lost; heartbeats come every 10 s.
const LOST_AFTER: Duration = Duration::from_secs(15);
/// Nodes that one line of the log names; more are counted.
const NAMED: usize = 5;

/// One agent's session, as far as the conductor needs it.
#[derive(Debug, Default)]
struct Session {
    /// Its number, as its hello has it.
    number: u64,
    seq: u64,
    /// When the last assignment was sent.
    assigned_at: Time,
    /// The network that its kernel follows, once it said.
    followed: Option<u64>,
    /// The Ingresses that it serves, likewise.
    served: Option<u64>,
    /// Digest of the order last sent, by pod.
    sent: BTreeMap<Uid, Digest>,
}

/// All sessions, and what they must hear next.
#[derive(Debug)]
pub(crate) struct Dispatch {
    sessions: BTreeMap<Arc<str>, Session>,
    fresh: BTreeSet<Arc<str>>,
    /// Nodes that did not say yet which network they follow.
    beginning: BTreeSet<Arc<str>>,
    touched: BTreeMap<Arc<str>, BTreeSet<Key>>,
    forgotten: BTreeMap<Arc<str>, BTreeSet<Uid>>,
    sources_changed: bool,
    images_changed: bool,
    images: Images,
    network: Network,
    endings: Endings,
    ingresses: Ingresses,
    /// The sources as they were told last.
    copies: Option<Arc<[SourceCopy]>>,
}

/// Images that clean-up on nodes must spare: those that any ReplicaSet remembers, because a
/// rollback starts them without a pull. Counted, so that a change costs what changed.
#[derive(Debug, Default)]
struct Images {
    /// How many ReplicaSets remember an image.
    users: BTreeMap<String, usize>,
    all: Option<Arc<[String]>>,
}

impl Images {
    /// Takes a ReplicaSet's change in; says whether another set of images is to be spared.
    fn update(&mut self, old: Option<&Object>, new: Option<&Object>) -> bool {
        let annotation = |o: Option<&Object>| o.and_then(|o| o.meta.annotation(names::IMAGE_IDS).map(String::from));
        if annotation(old) == annotation(new) {
            return false;
        }
        let before = self.users.len();
        let mut changed = false;
        for id in new.map(orders::image_ids).unwrap_or_default() {
            *self.users.entry(id).or_default() += 1;
        }
        changed |= self.users.len() != before;
        for id in old.map(orders::image_ids).unwrap_or_default() {
            if let Some(n) = self.users.get_mut(&id) {
                *n -= 1;
                if *n == 0 {
                    self.users.remove(&id);
                    changed = true;
                }
            }
        }
        if changed {
            self.all = None;
        }
        changed
    }

    fn all(&mut self) -> Arc<[String]> {
        self.all.get_or_insert_with(|| self.users.keys().cloned().collect()).clone()
    }
}

impl Dispatch {
    /// For a world that was loaded now.
    pub(crate) fn new(world: &World, now: Time) -> Self {
        let mut this = Self {
            sessions: BTreeMap::new(),
            fresh: BTreeSet::new(),
            beginning: BTreeSet::new(),
            touched: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            sources_changed: false,
            images_changed: false,
            images: Images::default(),
            network: Network::of(world),
            endings: Endings::new(now),
            ingresses: Ingresses::loaded(),
            copies: None,
        };
        for set in world.list(Kind::ReplicaSet, "") {
            this.images.update(None, Some(set));
        }
        this
    }

    /// The server did not run for a while.
    pub(crate) fn unwatched(&mut self, now: Time) {
        self.endings.unwatched(now);
    }

    /// A session began: its agent hears everything.
    pub(crate) fn begin(&mut self, node: Arc<str>, number: u64) {
        self.sessions.insert(node.clone(), Session { number, ..Session::default() });
        self.beginning.insert(node.clone());
        self.fresh.insert(node);
    }

    /// A session ended.
    pub(crate) fn end(&mut self, node: &str) {
        self.sessions.remove(node);
        self.fresh.remove(node);
        self.beginning.remove(node);
        self.touched.remove(node);
        self.forgotten.remove(node);
    }

    /// What an agent says of how far it is. True where it should have taken a later assignment long ago:
    /// that was lost, and nothing came after it by which the agent could know.
    pub(crate) fn heard(&mut self, node: &str, report: &Report, now: Time) -> bool {
        let Some(session) = self.sessions.get_mut(node) else { return false };
        session.followed = session.followed.max(report.network);
        session.served = session.served.max(report.ingresses);
        if session.followed.is_some() {
            self.beginning.remove(node);
        }
        report.assigned.is_some_and(|taken| taken < session.seq && now.since(session.assigned_at) > LOST_AFTER)
    }

    /// What nodes serve of Ingresses. Looks at all of them: for the moments in which somebody waits for it.
    pub(crate) fn served(&self, world: &World) -> Served {
        let last = self.ingresses.last();
        let of_session = |(node, session): (&Arc<str>, &Session)| {
            let reach = match session.served {
                Some(number) if number >= last => return None,
                Some(number) => Reach::At(Version(number)),
                None => Reach::Unsaid,
            };
            Some(Behind { node: node.clone(), reach })
        };
        let away = away(world, &self.sessions).map(|node| Behind { node: node.clone(), reach: Reach::Away });
        let mut behind: Vec<Behind> = self.sessions.iter().filter_map(of_session).chain(away).collect();
        behind.sort_by(|a, b| a.node.cmp(&b.node));
        // Nobody is told anything while the world recovers.
        let told = if world.recovering.is_some() { Version(0) } else { world.version };
        Served { told, behind }
    }

    /// When something is to be sent even if nothing happens.
    pub(crate) fn next(&self) -> Option<Time> {
        self.endings.next()
    }

    /// Whether a node has a session.
    pub(crate) fn speaks_with(&self, node: &str) -> bool {
        self.sessions.contains_key(node)
    }

    /// Everybody hears everything again: the recovery is over.
    pub(crate) fn all_again(&mut self) {
        self.fresh = self.sessions.keys().cloned().collect();
    }

    /// Notes what a change means for agents.
    pub(crate) fn note(&mut self, world: &World, changed: &Changed) {
        self.network.note(world, changed);
        self.ingresses.note(world, changed);
        match changed.key.kind {
            Kind::Pod => self.note_pod(changed),
            Kind::ConfigMap | Kind::Secret if changed.body_changed() => {
                let users: Vec<Key> = world.pods.using(&changed.key).cloned().collect();
                for pod in users {
                    self.touch(world, &pod);
                }
            }
            Kind::ReplicaSet => {
                self.images_changed |= self.images.update(changed.old.as_deref(), changed.new.as_deref());
            }
            Kind::Source => self.sources_changed = true,
            _ => {}
        }
    }

    fn note_pod(&mut self, changed: &Changed) {
        let deleting = |o: &Option<Arc<Object>>| o.as_ref().is_some_and(|o| o.deleting());
        if let Some(new) = changed.new.as_ref().filter(|_| deleting(&changed.old) && !deleting(&changed.new)) {
            self.endings.forget(new.uid);
        }
        match (&changed.old, &changed.new) {
            (Some(old), new) if new.as_ref().is_none_or(|n| n.uid != old.uid || n.node != old.node) => {
                if new.as_ref().is_none_or(|n| n.uid != old.uid) {
                    self.endings.forget(old.uid);
                }
                if let Some(node) = &old.node {
                    self.forgotten.entry(node.clone()).or_default().insert(old.uid);
                }
            }
            (Some(old), Some(new)) if old.body == new.body && old.meta == new.meta => return,
            _ => {}
        }
        if let Some(node) = changed.new.as_ref().and_then(|n| n.node.clone()) {
            self.touched.entry(node).or_default().insert(changed.key.clone());
        }
    }

    fn touch(&mut self, world: &World, pod: &Key) {
        if let Some(node) = world.pods.get(pod).and_then(|r| r.node.clone()) {
            self.touched.entry(node).or_default().insert(pod.clone());
        }
    }

    /// Says for whom a pod's end did not wait any longer: requests by these nodes may be refused.
    fn tell_unfollowed(&self, world: &World, due: &Due) {
        let behind = |session: &Session| due.after.is_none() || session.followed < due.after;
        let sessions = self.sessions.iter().filter(|(_, s)| behind(s)).map(|(node, _)| node);
        let nodes: Vec<&str> = sessions.chain(away(world, &self.sessions)).map(|node| &**node).collect();
        warn!(
            pod = %due.pod, nodes = nodes.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "), count = nodes.len(),
            "a pod of a Service ends before these nodes have said that nothing leads to it any more",
        );
    }

    /// The messages for everything that was noted.
    pub(crate) fn take(
        &mut self,
        world: &World,
        layout: &Layout,
        heals: Vec<Heal>,
        now: Time,
    ) -> Vec<(Arc<str>, ToAgent)> {
        let mut out = Vec::new();
        let followed = || followed(world, &self.sessions);
        for due in self.endings.due(world, &self.network, followed, now) {
            if due.is_late {
                self.tell_unfollowed(world, &due);
            }
            self.touched.entry(due.node).or_default().insert(due.pod);
        }
        let touched = std::mem::take(&mut self.touched);
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let fresh = std::mem::take(&mut self.fresh);
        let sources_changed = self.sources_changed && self.renew_copies(world);
        let images = (self.images_changed || !fresh.is_empty()).then(|| self.images.all());
        let sources = (sources_changed || !fresh.is_empty())
            .then(|| self.copies.get_or_insert_with(|| source_copies(world).collect()).clone());
        // Not every session for every change: there may be thousands.
        let concerned: BTreeSet<Arc<str>> = if self.images_changed || sources_changed {
            self.sessions.keys().cloned().collect()
        } else {
            touched.keys().chain(forgotten.keys()).chain(&fresh).cloned().collect()
        };
        for node in &concerned {
            let begins = !self.beginning.is_empty();
            let mut held = |pod: &Object| self.endings.holds(world, &self.network, pod, (begins, now));
            let Some(session) = self.sessions.get_mut(node) else {
                // Its wait begins now, and not when its node is back.
                for pod in touched.get(node).into_iter().flatten().filter_map(|key| world.get(key)) {
                    held(pod);
                }
                continue;
            };
            let full = fresh.contains(node);
            let gone = forgotten.remove(node).unwrap_or_default();
            // What a recovery has not found yet would be told as not there: pods run on without a word.
            let pods: Vec<Key> = if world.recovering.is_some() {
                Vec::new()
            } else if full {
                world.pods.on_node(node).cloned().collect()
            } else {
                touched.get(node).into_iter().flatten().cloned().collect()
            };
            if let Some(sources) = &sources
                && (full || sources_changed)
                && world.recovering.is_none()
            {
                out.push((node.clone(), ToAgent::Sources(sources.clone())));
            }
            let images = images.clone().filter(|_| full || self.images_changed);
            if let Some(assignment) = session.assignment(world, (full, now), &pods, gone, images, held) {
                out.push((node.clone(), ToAgent::Assign(Arc::new(assignment))));
            }
        }
        self.sources_changed = false;
        self.images_changed = false;
        let numbered = |(node, session): (&Arc<str>, &Session)| (node.clone(), session.number);
        let (all, old): (Vec<_>, Vec<_>) = if self.network.has_news() || self.ingresses.has_news() || !fresh.is_empty()
        {
            self.sessions.iter().map(numbered).partition(|(node, _)| fresh.contains(node))
        } else {
            Default::default()
        };
        let network = self.network.take(world, layout, &all, &old);
        out.splice(0..0, network.before);
        out.extend(network.after);
        out.extend(self.ingresses.take(world, &all, &old));
        for heal in heals {
            if self.sessions.contains_key(&heal.node) {
                let message = ToAgent::HealDrift { pod: heal.pod, container: heal.container, heal: heal.heal };
                out.push((heal.node, message));
            }
        }
        out
    }

    /// Reads the sources again; says whether agents have something new to keep. Most changes of a
    /// Source are of its conditions, which they do not keep: a copy that says the same is the same.
    fn renew_copies(&mut self, world: &World) -> bool {
        let mut copies: Vec<SourceCopy> = source_copies(world).collect();
        for copy in &mut copies {
            let before = self.copies.iter().flat_map(|c| c.iter()).find(|c| c.name == copy.name);
            if let Some(before) = before.filter(|b| b.spec == copy.spec && b.status == copy.status) {
                copy.version = before.version;
            }
        }
        let copies: Arc<[SourceCopy]> = copies.into();
        let new = self.copies.as_ref() != Some(&copies);
        self.copies = Some(copies);
        new
    }
}

/// Nodes that have no session and are not found silent yet.
fn away<'a>(
    world: &'a World,
    sessions: &'a BTreeMap<Arc<str>, Session>,
) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
    let away = |(name, node): &(&Arc<str>, &NodeRecord)| node.heard_since.is_some() && !sessions.contains_key(*name);
    world.nodes.iter().filter(away).map(|(name, _)| name)
}

/// What the kernels of nodes follow: of those that have a session, and of those that have none and are not
/// found silent yet.
fn followed(world: &World, sessions: &BTreeMap<Arc<str>, Session>) -> Option<u64> {
    let all_are_here = away(world, sessions).next().is_none();
    sessions.values().map(|s| s.followed).min().flatten().filter(|_| all_are_here)
}

impl Session {
    fn assignment(
        &mut self,
        world: &World,
        (full, now): (bool, Time),
        pods: &[Key],
        gone: BTreeSet<Uid>,
        keep_images: Option<Arc<[String]>>,
        mut held: impl FnMut(&Object) -> bool,
    ) -> Option<Assignment> {
        if full {
            self.sent.clear();
        }
        let mut orders: Vec<Arc<PodOrder>> = Vec::new();
        for key in pods {
            let Some(pod) = world.get(key) else { continue };
            let mut order = orders::order(world, pod);
            if held(pod) {
                order.deletion = None;
            }
            let digest = fingerprint(&order);
            if self.sent.insert(order.uid, digest) != Some(digest) {
                orders.push(Arc::new(order));
            }
        }
        let forget: Vec<Uid> = gone.into_iter().filter(|uid| self.sent.remove(uid).is_some()).collect();
        if !full && orders.is_empty() && forget.is_empty() && keep_images.is_none() {
            return None;
        }
        self.seq += 1;
        self.assigned_at = now;
        Some(Assignment {
            epoch: world.epoch,
            session: self.number,
            seq: self.seq,
            full,
            pods: orders,
            forget,
            keep_images,
            recovering: world.recovering.is_some(),
        })
    }
}

/// Equal orders have equal fingerprints; the object's version does not count.
fn fingerprint(order: &PodOrder) -> Digest {
    let deletion = order.deletion.map(|d| format!("{} {}", d.at, d.grace_seconds)).unwrap_or_default();
    let images = canonical::to_bytes(&order.image_ids).unwrap_or_else(|_| Arc::from([]));
    let contents: Vec<u8> = order.contents.iter().flat_map(|c| c.digest.0).collect();
    let pod = canonical::value_bytes(&order.pod);
    Digest::of_parts([&pod[..], deletion.as_bytes(), &images, &contents, &[u8::from(order.self_heal)]])
}

fn source_copies(world: &World) -> impl Iterator<Item = SourceCopy> {
    world.list(Kind::Source, "").filter_map(|object| {
        let spec: SourceSpec = object.spec().ok()?;
        let mut status: SourceStatus = object.status().ok().flatten().unwrap_or_default();
        status.conditions.clear();
        Some(SourceCopy { name: object.key.name.clone(), version: object.version, spec, status })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenkeel_core::Change;
    use evenkeel_model::Meta;
    use serde_json::json;

    use super::*;

    fn set(ids: &[&str]) -> Object {
        let ids: BTreeMap<String, &str> = ids.iter().enumerate().map(|(i, id)| (format!("c{i}"), *id)).collect();
        let text = serde_json::to_string(&ids).unwrap();
        let annotations = BTreeMap::from([(names::IMAGE_IDS.to_string(), text)]);
        let meta = Meta { annotations: annotations.into(), ..Meta::default() };
        Object::new(Key::new(Kind::ReplicaSet, "shop", "web-1"), Uid(1), meta, Arc::from(&b"{}"[..]))
    }

    #[test]
    fn images_are_spared_as_long_as_a_replica_set_remembers_them() {
        let mut images = Images::default();
        let (one, both, none) = (set(&["a"]), set(&["a", "b"]), set(&[]));
        assert!(images.update(None, Some(&one)));
        assert!(!images.update(None, Some(&one)), "a second user is nothing new");
        assert!(images.update(Some(&one), Some(&both)));
        assert_eq!(images.all()[..], ["a", "b"]);
        assert!(!images.update(Some(&one), Some(&none)), "the other one still has it");
        assert!(images.update(Some(&both), None));
        assert!(images.all().is_empty());
    }

    #[test]
    fn a_node_is_waited_for_unless_nothing_is_heard_of_it() {
        let mut world = World::default();
        let conditions = [("well", "True"), ("engine-away", "False"), ("silent", "Unknown")];
        for (name, status) in conditions {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": status}]}});
            drop(world.apply(Change::Put(Arc::new(Object::from_value(node).unwrap()))));
        }
        let by_hand = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "by-hand"}, "spec": {}});
        drop(world.apply(Change::Put(Arc::new(Object::from_value(by_hand).unwrap()))));
        let sessions = BTreeMap::new();
        let waited: Vec<&str> = away(&world, &sessions).map(|name| &**name).collect();
        assert_eq!(waited, ["engine-away", "well"], "the kernel of a node without an engine leads on");
    }
}
