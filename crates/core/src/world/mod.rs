//! The world: all objects in memory, indexed. One owner, the conductor; readers get a [`View`].
//!
//! Everything is a persistent map, so a copy of the whole costs nothing: that is how a batch that
//! panics is undone and how readers never block the conductor. Cost follows the change: indexes
//! are kept with each write, and nothing here walks all pods.

pub mod balanced;
pub mod budgets;
pub mod charge;
pub mod crew;
mod customs;
pub mod deletion;
pub mod desired;
pub mod nodes;
pub mod pods;
pub mod policies;
pub mod quotas;
pub mod services;
pub mod templates;
pub mod timers;
pub mod windows;

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Content, Digest, Key, Kind, Object, Snapshot, SourceName, Time, Uid, Version};
use evenkeel_schema::{
    Customs, SchemaRef,
    merge::{AnyNode, Node},
};
use imbl::{OrdMap, OrdSet};

use crate::{
    change::{Change, Changed},
    rbac::Grants,
};

/// Last lines kept of a container that failed: what a release's cause shows.
const LOG_LINES: usize = 20;

/// All objects and what is derived from them.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The version of the last change.
    pub version: Version,
    /// The store's epoch.
    pub epoch: u64,
    /// Key of all digests that stand for Secret values.
    pub digest_key: [u8; 32],
    /// While the server is recovering: until when it waits at most.
    pub recovering: Option<Time>,
    /// While recovering: the version up to which each Source is known, that of the agents' copy that
    /// it was taken from, or of the backup that it was restored from.
    pub recovered: OrdMap<SourceName, Version>,
    /// Highest epoch of a node that has obeyed a newer store than this one: whose server this is gives
    /// no orders any more.
    pub newer: Option<u64>,
    objects: OrdMap<Key, Arc<Object>>,
    owned: OrdMap<Uid, OrdSet<Key>>,
    by_source: OrdMap<SourceName, OrdSet<Key>>,
    counts: OrdMap<Kind, usize>,
    contents: OrdMap<Digest, Arc<Content>>,
    snapshots: OrdMap<Digest, KeptSnapshot>,
    logs: OrdMap<Uid, Arc<BTreeMap<String, Vec<String>>>>,
    /// Pods: compact records and who runs where.
    pub pods: pods::Pods,
    /// Nodes: room, readiness, last word.
    pub nodes: nodes::Nodes,
    /// What the applied revisions of all sources want, by object.
    pub desired: desired::Desired,
    /// PodDisruptionBudgets, by namespace.
    pub budgets: budgets::Budgets,
    /// ResourceQuotas, and what they count.
    pub quotas: quotas::Quotas,
    /// Which Deployments mention which ConfigMaps and Secrets.
    pub templates: templates::Templates,
    /// Which sources watch a release.
    pub windows: windows::Windows,
    /// Services: whom they select, what they have.
    pub services: services::Services,
    /// Services of type LoadBalancer, by their ports.
    pub balanced: balanced::Balanced,
    /// NetworkPolicies: which of their selectors take a pod.
    pub policies: policies::Policies,
    /// Who may do what.
    pub grants: Grants,
    /// Kinds that definitions make.
    pub customs: Customs,
}

/// Documents that are kept.
#[derive(Debug, Clone)]
pub struct KeptSnapshot {
    /// Source.
    pub source: SourceName,
    /// Revision it was first seen as.
    pub revision: evenkeel_model::Revision,
    /// The documents.
    pub snapshot: Arc<Snapshot>,
}

/// What readers see: the objects as of one version.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The version.
    pub version: Version,
    /// Who may do what.
    pub grants: Grants,
    /// Kinds that definitions make.
    pub customs: Customs,
    objects: OrdMap<Key, Arc<Object>>,
}

impl View {
    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// All objects of a kind, in a namespace or (empty) in all, in the order of their keys.
    pub fn list<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        list(&self.objects, kind, namespace)
    }
}

fn list<'a>(
    objects: &'a OrdMap<Key, Arc<Object>>,
    kind: Kind,
    namespace: &'a str,
) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
    let from = Key { kind, namespace: namespace.into(), name: "".into() };
    objects
        .range(from..)
        .take_while(move |(k, _)| k.kind == kind && (namespace.is_empty() || &*k.namespace == namespace))
        .map(|(_, o)| o)
}

impl World {
    /// An empty world at a version.
    pub fn new(version: Version, epoch: u64, digest_key: [u8; 32]) -> Self {
        Self { version, epoch, digest_key, ..Self::default() }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// All objects of a kind, in a namespace or (empty) in all, in the order of their keys.
    pub fn list<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        list(&self.objects, kind, namespace)
    }

    /// Objects of a kind in one namespace (empty: the cluster's scope), from a name on.
    pub fn list_from<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        let from = Key { kind, namespace: namespace.into(), name: name.into() };
        self.objects
            .range(from..)
            .take_while(move |(k, _)| k.kind == kind && &*k.namespace == namespace)
            .map(|(_, o)| o)
    }

    /// The schema of a kind; `None` for a custom one that no definition in force makes.
    pub fn schema(&self, kind: Kind) -> Option<SchemaRef<'_>> {
        self.customs.schema(kind)
    }

    /// How objects of a kind merge. Of a custom kind without its definition only the metadata is known.
    pub fn node(&self, kind: Kind) -> AnyNode<'_> {
        self.schema(kind).map_or_else(|| AnyNode::Table(Node::of_kind(kind)), SchemaRef::node)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Dependents of an owner, whatever their kind.
    pub fn owned_by(&self, owner: Uid) -> impl Iterator<Item = &Arc<Object>> {
        self.owned.get(&owner).into_iter().flatten().filter_map(|k| self.objects.get(k))
    }

    /// Keys of the objects that carry a source's label.
    pub fn of_source(&self, source: &str) -> impl Iterator<Item = &Key> {
        self.by_source.get(source).into_iter().flatten()
    }

    /// Kept content by digest.
    pub fn content(&self, digest: &Digest) -> Option<&Arc<Content>> {
        self.contents.get(digest)
    }

    /// Digests of all kept contents.
    pub fn content_digests(&self) -> impl Iterator<Item = &Digest> {
        self.contents.keys()
    }

    /// Kept documents by digest.
    pub fn snapshot(&self, digest: &Digest) -> Option<&KeptSnapshot> {
        self.snapshots.get(digest)
    }

    /// All kept documents.
    pub fn snapshots(&self) -> impl Iterator<Item = (&Digest, &KeptSnapshot)> {
        self.snapshots.iter()
    }

    /// Last lines of a pod's failed containers, by container: at most 20 each, in memory only.
    pub fn logs(&self, pod: Uid) -> Option<&Arc<BTreeMap<String, Vec<String>>>> {
        self.logs.get(&pod)
    }

    /// Keeps the last lines of a pod's failed containers for the cause of a release. They go with
    /// the pod's object; of a pod without one nothing is kept.
    pub fn note_logs(&mut self, key: &Key, pod: Uid, logs: &BTreeMap<String, Vec<String>>) {
        if !logs.is_empty() && self.get(key).is_some_and(|o| o.uid == pod) {
            let mut all = self.logs.get(&pod).map(|l| BTreeMap::clone(l)).unwrap_or_default();
            let last = |lines: &[String]| lines[lines.len().saturating_sub(LOG_LINES)..].to_vec();
            all.extend(logs.iter().map(|(name, lines)| (name.clone(), last(lines))));
            self.logs.insert(pod, Arc::new(all));
        }
    }

    /// What readers shall see.
    pub fn view(&self) -> View {
        View {
            version: self.version,
            grants: self.grants.clone(),
            customs: self.customs.clone(),
            objects: self.objects.clone(),
        }
    }

    /// Takes a write in. Gives what happened to an object, and the write as it must be stored (the
    /// object with its version); `None` if it changes nothing.
    pub fn apply(&mut self, change: Change) -> Option<(Option<Changed>, Change)> {
        match change {
            Change::Put(object) => self.put(object),
            Change::Delete(key) => {
                let old = self.objects.remove(&key)?;
                self.version = self.version.next();
                self.logs.remove(&old.uid);
                self.unindex(&old);
                let changed = Changed { key: key.clone(), old: Some(old), new: None };
                self.derive(&changed);
                Some((Some(changed), Change::Delete(key)))
            }
            Change::PutContent(content) => {
                let digest = content.digest(&self.digest_key);
                if self.contents.contains_key(&digest) {
                    return None;
                }
                self.version = self.version.next();
                self.contents.insert(digest, content.clone());
                Some((None, Change::PutContent(content)))
            }
            Change::DropContent(digest) => {
                self.contents.remove(&digest)?;
                self.version = self.version.next();
                Some((None, Change::DropContent(digest)))
            }
            Change::KeepSnapshot { source, revision, snapshot } => {
                let digest = snapshot.digest();
                if self.snapshots.contains_key(&digest) {
                    return None;
                }
                self.version = self.version.next();
                let kept =
                    KeptSnapshot { source: source.clone(), revision: revision.clone(), snapshot: snapshot.clone() };
                self.snapshots.insert(digest, kept);
                self.snapshot_arrived(&source, digest);
                Some((None, Change::KeepSnapshot { source, revision, snapshot }))
            }
            Change::DropSnapshot(digest) => {
                self.snapshots.remove(&digest)?;
                self.version = self.version.next();
                Some((None, Change::DropSnapshot(digest)))
            }
        }
    }

    /// Takes in what the store held at start: as [`World::apply`], with the versions as they are.
    pub fn restore(&mut self, objects: Vec<Object>, contents: Vec<Arc<Content>>, snapshots: Vec<KeptSnapshot>) {
        for kept in snapshots {
            self.snapshots.insert(kept.snapshot.digest(), kept);
        }
        for content in contents {
            self.contents.insert(content.digest(&self.digest_key), content);
        }
        for object in objects {
            let object = Arc::new(self.pods.intern(object));
            self.index(&object);
            self.objects.insert(object.key.clone(), object.clone());
            self.derive(&Changed { key: object.key.clone(), old: None, new: Some(object) });
        }
        self.nodes.gained();
    }

    fn put(&mut self, object: Arc<Object>) -> Option<(Option<Changed>, Change)> {
        let old = self.objects.get(&object.key).cloned();
        if let Some(old) = &old {
            if old.same_content(&object) {
                return None;
            }
            self.unindex(old);
        }
        self.version = self.version.next();
        let mut object = Arc::unwrap_or_clone(object);
        object.version = self.version;
        let object = Arc::new(self.pods.intern(object));
        self.index(&object);
        self.objects.insert(object.key.clone(), object.clone());
        let changed = Changed { key: object.key.clone(), old, new: Some(object.clone()) };
        self.derive(&changed);
        Some((Some(changed), Change::Put(object)))
    }

    /// After a recovery a Source may name applied documents before they are here.
    fn snapshot_arrived(&mut self, source: &SourceName, digest: Digest) {
        let key = Key::cluster(Kind::Source, source.clone());
        let Some(object) = self.objects.get(&key).cloned() else { return };
        let applied =
            object.status::<evenkeel_model::own::SourceStatus>().ok().flatten().and_then(|s| s.applied_digest);
        if applied == Some(digest) {
            self.derive(&Changed { key, old: Some(object.clone()), new: Some(object) });
        }
    }

    fn index(&mut self, object: &Object) {
        *self.counts.entry(object.key.kind).or_default() += 1;
        if let Some(source) = object.source() {
            self.by_source.entry(source.into()).or_default().insert(object.key.clone());
        }
        for owner in object.meta.owners.iter() {
            self.owned.entry(owner.uid).or_default().insert(object.key.clone());
        }
    }

    fn unindex(&mut self, object: &Object) {
        if let Some(n) = self.counts.get_mut(&object.key.kind) {
            *n -= 1;
        }
        if let Some(source) = object.source()
            && let Some(set) = self.by_source.get_mut(source)
        {
            set.remove(&object.key);
            if set.is_empty() {
                self.by_source.remove(source);
            }
        }
        for owner in object.meta.owners.iter() {
            if let Some(set) = self.owned.get_mut(&owner.uid) {
                set.remove(&object.key);
                if set.is_empty() {
                    self.owned.remove(&owner.uid);
                }
            }
        }
    }

    /// Keeps the derived records in step with an object.
    fn derive(&mut self, changed: &Changed) {
        self.quotas.count(changed);
        match changed.key.kind {
            Kind::Pod => {
                let old = self.pods.get(&changed.key).cloned();
                self.pods.update(changed, self.nodes.gains());
                let new = self.pods.get(&changed.key).cloned();
                self.nodes.pod_changed(&changed.key, old.as_ref(), new.as_ref());
                self.quotas.pod_changed(changed, old.as_ref(), new.as_ref());
            }
            Kind::Node => self.nodes.node_changed(changed),
            Kind::Deployment => self.templates.update(changed),
            Kind::Release => self.windows.update(changed),
            Kind::PodDisruptionBudget => self.budgets.update(changed),
            Kind::Role | Kind::ClusterRole | Kind::RoleBinding | Kind::ClusterRoleBinding => {
                self.grants.update(changed);
            }
            Kind::NetworkPolicy => self.policies.update(changed),
            Kind::CustomResourceDefinition => customs::update(&mut self.customs, changed),
            Kind::Service => {
                self.services.update(changed);
                self.balanced.update(changed);
                self.quotas.service_changed(changed);
            }
            Kind::ResourceQuota => self.quotas.update(changed),
            Kind::ReplicaSet => self.quotas.set_changed(changed),
            Kind::EndpointSlice => self.services.slice_changed(changed),
            Kind::Source => {
                let snapshots = &self.snapshots;
                self.desired.source_changed(changed, |digest| snapshots.get(digest).map(|k| k.snapshot.clone()));
            }
            _ => {}
        }
    }
}
