//! A small cluster for tests of controllers: the world, a queue of marked keys, timers, and agents
//! that run every pod at once, or as they are told. After every single run of a controller the
//! promise of availability is checked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use core::time::Duration;

use evenkeel_model::{
    Key, Kind, Object, Rng, Time, Version, canonical,
    session::{Hello, KnownPod, NodeReport, PodReport, Report},
};
use serde_json::{Value, json};

use super::{ControllerId, Controllers, deployment, namespace, report};
use crate::{
    ask::NodeWish,
    change::{Change, Changed},
    cx::Cx,
    settings::Settings,
    world::{World, timers::Timers},
};

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) now: Time,
    pub(crate) started: Time,
    pub(crate) rng: Rng,
    timers: Timers,
    queue: VecDeque<(ControllerId, Key)>,
    waiting: BTreeSet<(ControllerId, Key)>,
    /// Nodes whose agent does not speak.
    pub(crate) silent: BTreeSet<String>,
    /// Writes to each key since the last event from outside.
    pub(crate) runs: usize,
}

impl Cluster {
    pub(crate) fn new(nodes: &[(&str, &str, &str)]) -> Self {
        let now = Time::from_secs(1_000_000);
        let mut this = Self {
            world: World::new(Version(1), 1, [7; 32]),
            settings: Settings::default(),
            now,
            started: now,
            rng: Rng::new(1),
            timers: Timers::default(),
            queue: VecDeque::new(),
            waiting: BTreeSet::new(),
            silent: BTreeSet::new(),
            runs: 0,
        };
        this.with(namespace::ensure_defaults);
        for (name, cpu, memory) in nodes {
            this.hello(name, cpu, memory, Vec::new());
        }
        this.settle();
        this
    }

    /// Runs something with a context and takes in what it wants.
    pub(crate) fn with<T>(&mut self, f: impl FnOnce(&World, &mut Cx<'_>) -> T) -> T {
        self.world.nodes.watch(self.now);
        let mut cx = Cx::new(self.now, self.started, &self.settings, &mut self.rng);
        let out = f(&self.world, &mut cx);
        let (changes, wakes) = (cx.changes, cx.wakes);
        for change in changes {
            self.apply(change);
        }
        for (at, controller, key) in wakes {
            self.timers.set(at, controller, key);
        }
        out
    }

    pub(crate) fn apply(&mut self, change: Change) {
        let Some((Some(changed), _)) = self.world.apply(change) else { return };
        self.route(&changed);
    }

    fn route(&mut self, changed: &Changed) {
        let (queue, waiting) = (&mut self.queue, &mut self.waiting);
        Controllers.route(&self.world, changed, &mut |c, k| {
            if !matches!(c, ControllerId::Release | ControllerId::Sync | ControllerId::Drift)
                && waiting.insert((c, k.clone()))
            {
                queue.push_back((c, k));
            }
        });
    }

    /// As after a restart: every object is marked.
    pub(crate) fn mark_all(&mut self) {
        let all: Vec<Arc<Object>> = self.world.all().cloned().collect();
        for object in all {
            self.route(&Changed { key: object.key.clone(), old: None, new: Some(object) });
        }
    }

    /// One run of one controller; false if nothing is marked.
    pub(crate) fn run(&mut self) -> bool {
        let Some((controller, key)) = self.queue.pop_front() else { return false };
        self.waiting.remove(&(controller, key.clone()));
        self.timers.clear(controller, &key);
        let before = self.availability();
        self.with(|world, cx| Controllers.reconcile(controller, world, &key, cx));
        let after = self.availability();
        check_promise(controller, &key, &before, &after);
        true
    }

    /// Runs until nothing is marked.
    pub(crate) fn settle(&mut self) {
        let mut runs = 0;
        while self.run() {
            runs += 1;
            assert!(runs < 20_000, "it never ends: {:?}", self.queue.front());
        }
        self.runs += runs;
    }

    /// Lets time pass; live agents send heartbeats.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_secs(5));
            let nodes: Vec<Arc<str>> = self.world.nodes.iter().map(|(n, _)| n.clone()).collect();
            for node in nodes {
                if self.silent.contains(&*node) {
                    continue;
                }
                self.with(|w, cx| report::report(w, &node, &Report::default(), cx));
                self.world.nodes.hear(&node, self.now);
            }
            for (controller, key) in self.timers.due(self.now, usize::MAX) {
                if self.waiting.insert((controller, key.clone())) {
                    self.queue.push_back((controller, key));
                }
            }
            self.settle();
        }
    }

    pub(crate) fn hello(&mut self, name: &str, cpu: &str, memory: &str, pods: Vec<KnownPod>) {
        let amount: BTreeMap<String, String> =
            [("cpu", cpu), ("memory", memory), ("pods", "110")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        self.hello_of(
            name,
            NodeReport { capacity: amount.clone(), allocatable: amount, ..NodeReport::default() },
            pods,
        );
    }

    /// A session begins, in which the agent says this of the node.
    pub(crate) fn hello_of(&mut self, name: &str, report: NodeReport, pods: Vec<KnownPod>) {
        let hello = Hello { node: name.into(), session: 1, epoch: 1, report, pods, sources: Vec::new() };
        self.with(|w, cx| report::hello(w, &hello, cx));
        self.world.nodes.hear(&name.into(), self.now);
    }

    /// What a user may change of a node, as it is.
    pub(crate) fn wish(&self, node: &str) -> NodeWish {
        let object = self.world.get(&Key::cluster(Kind::Node, node)).unwrap();
        let record = self.world.nodes.get(node).unwrap();
        NodeWish {
            labels: object.meta.labels.clone(),
            annotations: object.meta.annotations.clone(),
            taints: record.taints.to_vec(),
            unschedulable: record.unschedulable,
        }
    }

    pub(crate) fn cordon(&mut self, node: &str, unschedulable: bool) {
        let wish = NodeWish { unschedulable, ..self.wish(node) };
        self.with(|w, cx| {
            super::node::update(w, node, (&wish, &crate::controllers::testkit::by_test()), None, false, cx)
        })
        .unwrap();
    }

    /// A silent agent speaks again, and has the pods it had, as they were.
    pub(crate) fn back(&mut self, node: &str) {
        if !self.silent.remove(node) {
            return;
        }
        let on_it: Vec<Arc<Object>> =
            self.world.pods.on_node(node).filter_map(|k| self.world.get(k)).cloned().collect();
        let one = |p: &Arc<Object>| KnownPod {
            pod: p.to_value(),
            uid: p.uid,
            status: serde_json::from_slice(&pod_report(p, !p.uid.0.is_multiple_of(3), false, self.now).status).unwrap(),
            image_ids: BTreeMap::new(),
            drifted: Vec::new(),
        };
        let known = on_it.iter().map(one).collect();
        self.hello(node, "4", "8Gi", known);
    }

    /// Every agent that speaks does what it is told: pods run and are ready, or are gone.
    pub(crate) fn agents(&mut self) {
        self.agents_with(|_| true);
    }

    pub(crate) fn agents_with(&mut self, ready: impl Fn(&Key) -> bool) {
        for pod in self.pods() {
            let Some(node) = pod.node.clone().filter(|n| !self.silent.contains(&**n)) else { continue };
            let report = pod_report(&pod, ready(&pod.key), pod.deleting(), self.now);
            self.report(&node, report);
        }
    }

    pub(crate) fn report(&mut self, node: &Arc<str>, pod: PodReport) {
        let report = Report { pods: [pod].into(), ..Report::default() };
        self.with(|w, cx| report::report(w, node, &report, cx));
        self.world.nodes.hear(node, self.now);
    }

    /// Agents and controllers in turn until the cluster rests.
    pub(crate) fn rest(&mut self) {
        for _ in 0..60 {
            self.settle();
            let before = self.world.version;
            self.agents();
            self.settle();
            if self.world.version == before {
                return;
            }
        }
        panic!("the cluster never rests");
    }

    pub(crate) fn pods(&self) -> Vec<Arc<Object>> {
        self.world.list(Kind::Pod, "").cloned().collect()
    }

    /// (not terminating, ready and not terminating)
    pub(crate) fn counts(&self) -> (usize, usize) {
        let records = || self.world.list(Kind::Pod, "").filter_map(|o| self.world.pods.get(&o.key));
        let active = records().filter(|p| !p.terminating && !p.finished()).count();
        (active, records().filter(|p| p.ready()).count())
    }

    pub(crate) fn put(&mut self, value: Value) {
        let mut value = value;
        let mut object = Object::from_value(value.clone()).unwrap();
        evenkeel_schema::defaults::apply(object.key.kind, &mut value);
        object = Object::from_value(value).unwrap();
        if let Some(old) = self.world.get(&object.key) {
            object.uid = old.uid;
            object.status.clone_from(&old.status);
            object.node.clone_from(&old.node);
            object.meta.created = old.meta.created;
            object.meta.generation = old.meta.generation + i64::from(old.body != object.body);
            let mut annotations = BTreeMap::clone(&old.meta.annotations);
            annotations.extend(object.meta.annotations.iter().map(|(k, v)| (k.clone(), v.clone())));
            object.meta.annotations = Arc::new(annotations);
        } else {
            object.uid = self.rng.uid();
            object.meta.created = self.now;
            object.meta.generation = 1;
        }
        self.apply(Change::Put(Arc::new(object)));
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Arc<Object> {
        self.world.get(&Key::new(kind, "default", name)).unwrap().clone()
    }

    pub(crate) fn status(&self, kind: Kind, name: &str) -> Value {
        self.get(kind, name).status().unwrap().unwrap_or_default()
    }

    pub(crate) fn sets(&self) -> Vec<Arc<Object>> {
        self.world.list(Kind::ReplicaSet, "").cloned().collect()
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        let change = crate::world::deletion::request(&self.world, key, None, self.now);
        if let Some(change) = change {
            self.apply(change);
        }
    }

    fn availability(&self) -> BTreeMap<Key, deployment::Promise> {
        let all = self.world.list(Kind::Deployment, "");
        all.filter_map(|d| Some((d.key.clone(), deployment::promise(&self.world, d)?))).collect()
    }
}

fn check_promise(
    controller: ControllerId,
    key: &Key,
    before: &BTreeMap<Key, deployment::Promise>,
    after: &BTreeMap<Key, deployment::Promise>,
) {
    for (name, was) in before {
        let Some(is) = after.get(name) else { continue };
        // What agents and node life judge is no act upon the pods.
        if is.ready < was.ready && controller != ControllerId::Node {
            assert!(is.ready >= is.min_ready, "{controller:?} {key}: {was:?} -> {is:?}");
        }
        if is.active > was.active {
            assert!(is.active <= is.max_total, "{controller:?} {key}: {was:?} -> {is:?}");
        }
    }
}

pub(crate) fn pod_report(pod: &Object, ready: bool, gone: bool, now: Time) -> PodReport {
    let old: Value = pod.status().ok().flatten().unwrap_or_default();
    let was = super::podstatus::condition(pod, "Ready");
    let status = if ready { "True" } else { "False" };
    let same = was.as_ref().is_some_and(|c| c["status"] == status && c.get("reason").is_none());
    let at = if same { was.unwrap()["lastTransitionTime"].clone() } else { now.rfc3339().into() };
    let mut next = json!({"phase": "Running", "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": at}]});
    if let Some(start) = old.get("startTime") {
        next["startTime"] = start.clone();
    }
    PodReport {
        uid: pod.uid,
        namespace: pod.key.namespace.clone(),
        name: pod.key.name.clone(),
        status: canonical::value_bytes(&next).into(),
        gone,
        image_ids: [("web".to_string(), format!("sha256:{}", pod.key.name))].into(),
        logs: BTreeMap::new(),
    }
}

pub(crate) fn deployment(replicas: i32, image: &str, more: Value) -> Value {
    let mut value = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "web", "image": image, "resources": {"requests": {"cpu": "100m"}}}]}}}});
    merge(&mut value, more);
    value
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in b {
                merge(a.entry(k).or_insert(Value::Null), v);
            }
        }
        (slot, v) => *slot = v,
    }
}

/// Who owns what tests write.
pub(crate) fn by_test() -> crate::edit::Owners {
    crate::edit::Owners::By("test".into())
}
