//! Compact records of pods, and their shapes: what of a pod's specification is asked for all the
//! time, decoded once for each distinct body and shared by all pods of one template.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::net::IpAddr;

use evenkeel_model::{Key, Kind, Labels, Object, Selector, Time, Uid, podstatus};
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::{PodSpec, Toleration, Volume};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    charge::{Charge, effective_requests},
    crew::{Crew, Crews},
};
use crate::{change::Changed, world::deletion::DEFAULT_GRACE_SECONDS};

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// At least one runs.
    Running,
    /// All ended well and none is restarted.
    Succeeded,
    /// All ended, at least one badly.
    Failed,
    /// Its node cannot be asked.
    Unknown,
}

/// More of a resource than any node has: larger requests count as this much, so that sums of them
/// do not overflow. It never fits, because nodes are taken to have less.
pub(super) const MOST_ASKED: i64 = 1 << 52;

/// What pods of one body have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodShape {
    /// Effective cpu request in millicores (KEP-753 arithmetic for init containers and sidecars).
    pub cpu_milli: i64,
    /// Effective memory request in bytes.
    pub memory: i64,
    /// Other requested resources by name, in units.
    pub other: BTreeMap<String, i64>,
    /// (protocol, host ip or empty, host port).
    pub host_ports: Vec<(String, String, i32)>,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: i64,
    /// `priority`.
    pub priority: i32,
    /// ConfigMaps (false) and Secrets (true) that it mentions, sorted.
    pub contents: Vec<(bool, Arc<str>)>,
    /// A volume of it that is on its node alone (`hostPath`): such a pod cannot be elsewhere.
    pub local_volume: Option<Arc<str>>,
    /// A volume of it whose content ends with the pod (`emptyDir`).
    pub empty_dir: Option<Arc<str>>,
    /// Its containers' named ports: name, protocol, number.
    pub ports: Vec<(String, String, u16)>,
    /// `hostname` and `subdomain`.
    pub hostname: Option<Arc<str>>,
    /// See `hostname`.
    pub subdomain: Option<Arc<str>>,
    /// `hostNetwork`.
    pub host_network: bool,
    /// What quotas count of it.
    pub charge: Charge,
}

/// What is told of a pod's troubles: whether its status is worth reading for a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// A container of it has ended, by whosever making.
    pub ended: bool,
    /// The scheduler or its agent says what keeps it from starting.
    pub held_up: bool,
}

impl Told {
    /// Whether anything is.
    pub fn troubled(self) -> bool {
        self.ended || self.held_up
    }
}

/// What is kept of a pod beside its object.
#[derive(Debug, Clone, PartialEq)]
pub struct PodRecord {
    /// Uid.
    pub uid: Uid,
    /// Phase.
    pub phase: PodPhase,
    /// Since when its `Ready` condition is true.
    pub ready_since: Option<Time>,
    /// Whether deletion was asked for.
    pub terminating: bool,
    /// Where it is bound.
    pub node: Option<Arc<str>>,
    /// The managing controller's uid.
    pub controller: Option<Uid>,
    /// The scheduler found no room for it.
    pub unschedulable: bool,
    /// What is told of its troubles.
    pub told: Told,
    /// When it was made.
    pub created: Time,
    /// Its address, once its agent said it.
    pub address: Option<IpAddr>,
    /// Its template's demands.
    pub shape: Arc<PodShape>,
}

impl PodRecord {
    /// Whether it is ready and stays: counts for availability.
    pub fn ready(&self) -> bool {
        self.ready_since.is_some() && !self.terminating
    }

    /// Whether it ended for good.
    pub fn finished(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }
}

#[derive(Debug, Clone)]
struct Shared {
    body: Arc<[u8]>,
    shape: Arc<PodShape>,
    users: u32,
}

/// Pods of one body that found no room.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// The pods.
    pub keys: OrdSet<Key>,
    /// [`crate::world::nodes::Nodes::gains`] when the last of them was looked at: nothing changed
    /// for any of them since, if it is still the same.
    pub gains: u64,
}

/// All pods.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    records: OrdMap<Key, PodRecord>,
    by_node: OrdMap<Arc<str>, OrdSet<Key>>,
    unbound: OrdSet<Key>,
    waiting: OrdMap<Arc<[u8]>, Waiting>,
    uncontrolled: OrdSet<Key>,
    by_labels: OrdMap<(Arc<str>, Labels), OrdSet<Key>>,
    siblings: OrdMap<(Uid, Arc<str>), u32>,
    crews: Crews,
    by_content: OrdMap<Key, OrdSet<Key>>,
    bodies: OrdMap<Arc<[u8]>, Shared>,
    labels: OrdMap<Labels, u32>,
}

impl Pods {
    /// A pod's record.
    pub fn get(&self, key: &Key) -> Option<&PodRecord> {
        self.records.get(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a pod ended for good.
    pub fn finished(&self, key: &Key) -> bool {
        self.records.get(key).is_some_and(PodRecord::finished)
    }

    /// Keys of the pods bound to a node.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.by_node.get(node).into_iter().flatten()
    }

    /// Keys of pods that are bound nowhere and not finished or terminating.
    pub fn unbound(&self) -> impl Iterator<Item = &Key> {
        self.unbound.iter()
    }

    /// Keys of pods that mention a ConfigMap or Secret.
    pub fn using(&self, content: &Key) -> impl Iterator<Item = &Key> {
        self.by_content.get(content).into_iter().flatten()
    }

    /// Pods that found no room, by body.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Waiting)> {
        self.waiting.iter()
    }

    /// Pods of one body that found no room.
    pub fn waiting_like(&self, body: &[u8]) -> Option<&Waiting> {
        self.waiting.get(body)
    }

    /// Whether any pod found no room.
    pub fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Keys of pods in a namespace that no controller manages.
    pub fn uncontrolled<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Key> + 'a {
        self.uncontrolled.range(Key::new(Kind::Pod, namespace, "")..).take_while(move |k| &*k.namespace == namespace)
    }

    /// Keys of the pods of a namespace that a selector matches. Costs a look at each distinct set of
    /// labels in the namespace (one for each template) and at the pods that are given.
    pub fn selected<'a>(&'a self, namespace: &Arc<str>, selector: &'a Selector) -> impl Iterator<Item = &'a Key> + 'a {
        let from = (namespace.clone(), Labels::default());
        let namespace = namespace.clone();
        self.by_labels
            .range(from..)
            .take_while(move |((n, _), _)| *n == namespace)
            .filter(|((_, labels), _)| selector.matches(labels))
            .flat_map(|(_, keys)| keys)
    }

    /// How many unfinished pods of a controller a node has: what spreading is scored by.
    pub fn siblings(&self, controller: Uid, node: &Arc<str>) -> u32 {
        self.siblings.get(&(controller, node.clone())).copied().unwrap_or(0)
    }

    /// Nodes that have unfinished pods of a controller.
    pub fn nodes_of(&self, controller: Uid) -> impl Iterator<Item = &Arc<str>> {
        let all = self.siblings.range((controller, Arc::from(""))..);
        all.take_while(move |((owner, _), _)| *owner == controller).map(|((_, node), _)| node)
    }

    /// The pods of a controller, counted; `None` if it has none.
    pub fn crew(&self, controller: Uid) -> Option<&Crew> {
        self.crews.of(controller)
    }

    /// The shape of a body, from the shared ones or decoded.
    pub fn shape(&self, body: &[u8]) -> Arc<PodShape> {
        self.bodies.get(body).map_or_else(|| Arc::new(shape_of(body)), |s| s.shape.clone())
    }

    /// Gives a pod the body and labels that its like already share. Other kinds pass through.
    pub(super) fn intern(&mut self, mut object: Object) -> Object {
        if object.key.kind == Kind::Pod {
            if let Some(shared) = self.bodies.get(&object.body) {
                object.body = shared.body.clone();
            }
            if let Some((labels, _)) = self.labels.get_key_value(&object.meta.labels) {
                object.meta.labels = labels.clone();
            }
        }
        object
    }

    /// Follows a pod's object.
    pub(super) fn update(&mut self, changed: &Changed, gains: u64) {
        if let Some(new) = &changed.new {
            self.share(new);
        }
        if let Some(old) = &changed.old {
            self.unshare(old);
        }
        self.relabel(changed);
        if let Some(record) = self.records.remove(&changed.key) {
            for (secret, name) in &record.shape.contents {
                drop_from(&mut self.by_content, &content_key(&changed.key, *secret, name), &changed.key);
            }
            if let Some(node) = &record.node {
                drop_from(&mut self.by_node, node, &changed.key);
            }
            self.count_sibling(&record, false);
            if let Some(old) = &changed.old {
                self.crews.leave(&changed.key, &old.meta.labels, &record);
            }
            if record.unschedulable
                && let Some(old) = &changed.old
            {
                self.stop_waiting(&old.body, &changed.key);
            }
        }
        self.unbound.remove(&changed.key);
        self.uncontrolled.remove(&changed.key);
        let Some(new) = &changed.new else { return };
        let record = self.record(new);
        self.count_sibling(&record, true);
        self.crews.join(&changed.key, &new.meta.labels, &record);
        if record.controller.is_none() {
            self.uncontrolled.insert(changed.key.clone());
        }
        if record.unschedulable {
            let group = self.waiting.entry(new.body.clone()).or_default();
            group.keys.insert(changed.key.clone());
            group.gains = gains;
        }
        for (secret, name) in &record.shape.contents {
            self.by_content.entry(content_key(&changed.key, *secret, name)).or_default().insert(changed.key.clone());
        }
        match &record.node {
            Some(node) => {
                self.by_node.entry(node.clone()).or_default().insert(changed.key.clone());
            }
            None if !record.finished() && !record.terminating => {
                self.unbound.insert(changed.key.clone());
            }
            None => {}
        }
        self.records.insert(changed.key.clone(), record);
    }

    fn relabel(&mut self, changed: &Changed) {
        let at = |o: &Arc<Object>| (o.key.namespace.clone(), o.meta.labels.clone());
        let (old, new) = (changed.old.as_ref(), changed.new.as_ref());
        if old.map(|o| &o.meta.labels) == new.map(|o| &o.meta.labels) {
            return;
        }
        if let Some(old) = old {
            drop_from(&mut self.by_labels, &at(old), &changed.key);
        }
        if let Some(new) = new {
            self.by_labels.entry(at(new)).or_default().insert(changed.key.clone());
        }
    }

    fn stop_waiting(&mut self, body: &Arc<[u8]>, key: &Key) {
        if let Some(group) = self.waiting.get_mut(body) {
            group.keys.remove(key);
            if group.keys.is_empty() {
                self.waiting.remove(body);
            }
        }
    }

    fn count_sibling(&mut self, record: &PodRecord, more: bool) {
        let (Some(controller), Some(node)) = (record.controller, &record.node) else { return };
        if record.finished() {
            return;
        }
        let at = (controller, node.clone());
        let left = match self.siblings.get(&at).copied().unwrap_or(0) {
            n if more => n + 1,
            n => n.saturating_sub(1),
        };
        if left == 0 {
            self.siblings.remove(&at);
        } else {
            self.siblings.insert(at, left);
        }
    }

    fn record(&self, object: &Object) -> PodRecord {
        let status: StatusView = object.status().ok().flatten().unwrap_or_default();
        let phase = match status.phase.as_deref() {
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some("Unknown") => PodPhase::Unknown,
            _ => PodPhase::Pending,
        };
        let ready = status.conditions.iter().find(|c| c.kind == "Ready" && c.status == "True");
        let terminating = object.deleting();
        let finished = matches!(phase, PodPhase::Succeeded | PodPhase::Failed);
        let unschedulable = object.node.is_none()
            && !terminating
            && !finished
            && status.conditions.iter().any(|c| c.kind == "PodScheduled" && c.status == "False");
        PodRecord {
            uid: object.uid,
            phase,
            ready_since: ready.map(|c| c.last_transition_time.unwrap_or(object.meta.created)),
            terminating,
            node: object.node.clone(),
            controller: object.meta.controller().map(|o| o.uid),
            unschedulable,
            told: Told {
                ended: status.containers().any(ContainerView::ended),
                held_up: status.conditions.iter().any(ConditionView::holds_up),
            },
            created: object.meta.created,
            address: status.pod_ip.as_deref().and_then(|text| text.parse().ok()),
            shape: self.shape(&object.body),
        }
    }

    fn share(&mut self, object: &Object) {
        if let Some(shared) = self.bodies.get_mut(&object.body) {
            shared.users += 1;
        } else {
            let shape = Arc::new(shape_of(&object.body));
            self.bodies.insert(object.body.clone(), Shared { body: object.body.clone(), shape, users: 1 });
        }
        *self.labels.entry(object.meta.labels.clone()).or_insert(0) += 1;
    }

    fn unshare(&mut self, object: &Object) {
        if let Some(shared) = self.bodies.get_mut(&object.body) {
            shared.users -= 1;
            if shared.users == 0 {
                self.bodies.remove(&object.body);
            }
        }
        if let Some(users) = self.labels.get_mut(&object.meta.labels) {
            *users -= 1;
            if *users == 0 {
                self.labels.remove(&object.meta.labels);
            }
        }
    }
}

/// What of a pod's status its record keeps: decoded with each report, so no more than that.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Vec<ConditionView>,
    init_container_statuses: Vec<ContainerView>,
    container_statuses: Vec<ContainerView>,
}

impl StatusView {
    fn containers(&self) -> impl Iterator<Item = &ContainerView> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerView {
    restart_count: i32,
    state: StateView,
    last_state: StateView,
}

impl ContainerView {
    fn ended(&self) -> bool {
        self.restart_count > 0 || self.state.terminated.is_some() || self.last_state.terminated.is_some()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StateView {
    terminated: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionView {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    last_transition_time: Option<Time>,
}

impl ConditionView {
    fn holds_up(&self) -> bool {
        match self.kind.as_str() {
            "PodScheduled" => self.status == "False",
            podstatus::FAILED_STARTS => self.status == "True",
            _ => false,
        }
    }
}

fn content_key(pod: &Key, secret: bool, name: &Arc<str>) -> Key {
    pod.sibling(if secret { Kind::Secret } else { Kind::ConfigMap }, name.clone())
}

fn drop_from<K: Ord + Clone>(index: &mut OrdMap<K, OrdSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = index.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            index.remove(at);
        }
    }
}

/// Decodes a body. One that cannot be decoded (it was checked when it came in) asks for nothing.
fn shape_of(body: &[u8]) -> PodShape {
    #[derive(Deserialize)]
    struct Body {
        spec: PodSpec,
    }
    let Ok(Body { spec }) = serde_json::from_slice::<Body>(body) else {
        return PodShape { grace_seconds: DEFAULT_GRACE_SECONDS, ..PodShape::default() };
    };
    let requests = effective_requests(&spec);
    let contents = mentioned(&spec);
    let first =
        |is: fn(&Volume) -> bool| spec.volumes.iter().flatten().find(|v| is(v)).map(|v| Arc::from(v.name.as_str()));
    let (local_volume, empty_dir) = (first(|v| v.host_path.is_some()), first(|v| v.empty_dir.is_some()));
    let host_ports = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|n| *n != 0)?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            let ip = p.host_ip.clone().filter(|ip| ip != "0.0.0.0").unwrap_or_default();
            Some((protocol, ip, port))
        })
        .collect();
    let named = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = named
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((p.name.clone().filter(|n| !n.is_empty())?, protocol, u16::try_from(p.container_port).ok()?))
        })
        .collect();
    let name = |text: Option<String>| text.filter(|t| !t.is_empty()).map(Arc::from);
    let mut other = requests;
    let charge = Charge::of(&spec);
    PodShape {
        charge,
        cpu_milli: other.remove("cpu").unwrap_or_default().milli().min(MOST_ASKED),
        memory: other.remove("memory").unwrap_or_default().units().min(MOST_ASKED),
        other: other.into_iter().map(|(k, v)| (k, v.units().min(MOST_ASKED))).collect(),
        host_ports,
        node_selector: spec.node_selector.unwrap_or_default(),
        tolerations: spec.tolerations.unwrap_or_default(),
        grace_seconds: spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS),
        priority: spec.priority.unwrap_or_default(),
        contents,
        local_volume,
        empty_dir,
        ports,
        hostname: name(spec.hostname),
        subdomain: name(spec.subdomain),
        host_network: spec.host_network == Some(true),
    }
}

/// ConfigMaps and Secrets that a pod mentions, sorted, each once.
pub fn mentioned(spec: &PodSpec) -> Vec<(bool, Arc<str>)> {
    let mut out: BTreeSet<(bool, Arc<str>)> = BTreeSet::new();
    let mut note = |secret: bool, name: &str| {
        if !name.is_empty() {
            out.insert((secret, name.into()));
        }
    };
    let ordinary = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| (&c.env_from, &c.env));
    for (env_from, env) in ordinary.map(|c| (&c.env_from, &c.env)).chain(ephemeral) {
        for from in env_from.iter().flatten() {
            from.config_map_ref.iter().for_each(|r| note(false, &r.name));
            from.secret_ref.iter().for_each(|r| note(true, &r.name));
        }
        for value in env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            value.config_map_key_ref.iter().for_each(|r| note(false, &r.name));
            value.secret_key_ref.iter().for_each(|r| note(true, &r.name));
        }
    }
    for v in spec.volumes.iter().flatten() {
        v.config_map.iter().for_each(|r| note(false, &r.name));
        v.secret.iter().filter_map(|r| r.secret_name.as_deref()).for_each(|n| note(true, n));
        for p in v.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            p.config_map.iter().for_each(|r| note(false, &r.name));
            p.secret.iter().for_each(|r| note(true, &r.name));
        }
    }
    for r in spec.image_pull_secrets.iter().flatten() {
        note(true, &r.name);
    }
    out.into_iter().collect()
}
