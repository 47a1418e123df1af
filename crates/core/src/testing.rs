//! A small cluster for tests: world and controllers to a fixpoint on virtual time, with timers and
//! an agent that is made up.
//!
//! The whole system with its real agent runs in `tests/simulation`; this is for tables of cases.

#![allow(clippy::needless_pass_by_value)] // so that tests read well

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use evenkeel_model::{
    Diagnostic, Doc, Key, Kind, Meta, Object, Place, Reference, Revision, Rng, Snapshot, Time, Version, canonical,
    own::{ReleaseStatus, SourceSpec, SourceStatus},
    podstatus,
    session::Report,
};
use serde_json::{Value, json};

use crate::{
    Change, Changed, ControllerId, Controllers, Cx, Settings, World,
    ask::{Answer, Ask, Refusal},
    controllers::report,
    release::{
        inbound::{self, Seen},
        state::releases,
    },
    world::timers::Timers,
};

/// Runs of controllers after which a test counts as endless.
const RUNS: usize = 50_000;

/// How pods with an image fare.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// Runs and is ready.
    Runs,
    /// Ends again and again.
    Crashes { code: i32, times: i32 },
    /// Did not start, so often.
    NoStart { tries: u32, reason: &'static str, outside: bool },
    /// Runs and is never ready.
    NotReady,
    /// Waits, and nobody knows for what.
    Starting,
}

/// The cluster.
pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) now: Time,
    pub(crate) started: Time,
    pub(crate) settings: Settings,
    /// By image.
    pub(crate) fates: BTreeMap<String, Fate>,
    pub(crate) heals: Vec<crate::cx::Heal>,
    /// By how much the agents' clocks are behind.
    pub(crate) behind: Duration,
    /// Nobody answers a roll call.
    pub(crate) deaf: bool,
    /// Nodes that shall answer a roll call.
    asked: BTreeSet<Arc<str>>,
    /// The one pod that fares so; all others run.
    pub(crate) only: Option<Key>,
    rng: Rng,
    timers: Timers,
    queue: VecDeque<(ControllerId, Key)>,
    waiting: BTreeSet<(ControllerId, Key)>,
}

impl Lab {
    /// A cluster with one ready node and the namespaces `default` and `shop`.
    pub(crate) fn new() -> Self {
        let now = Time::from_secs(1_000_000);
        let mut lab = Self {
            world: World::new(Version(1), 1, [7; 32]),
            now,
            started: now,
            settings: Settings::default(),
            fates: BTreeMap::new(),
            heals: Vec::new(),
            behind: Duration::ZERO,
            deaf: false,
            asked: BTreeSet::new(),
            only: None,
            rng: Rng::new(1),
            timers: Timers::default(),
            queue: VecDeque::new(),
            waiting: BTreeSet::new(),
        };
        for name in ["default", "shop"] {
            lab.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        lab.node("n1", true);
        lab.settle();
        lab
    }

    /// A node of 8 cores, ready or not.
    pub(crate) fn node(&mut self, name: &str, ready: bool) {
        let room = json!({"cpu": "8", "memory": "16Gi", "pods": "110"});
        let status = json!({"capacity": room, "allocatable": room, "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": self.now.rfc3339(),
                "lastHeartbeatTime": self.now.rfc3339(), "reason": "x", "message": "x"}]});
        self.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}, "status": status}));
        self.world.nodes.hear(&name.into(), self.now);
    }

    /// Writes an object as it is; the uid of one that is there stays.
    pub(crate) fn put(&mut self, value: Value) {
        let mut object = Object::from_value(value).unwrap();
        if let Some(there) = self.world.get(&object.key) {
            object.uid = there.uid;
            object.meta.created = there.meta.created;
        } else {
            object.uid = self.rng.uid();
            object.meta.created = self.now;
        }
        self.change(Change::Put(Arc::new(object)));
    }

    /// Takes one write in.
    pub(crate) fn change(&mut self, change: Change) {
        let Some((changed, _)) = self.world.apply(change) else { return };
        if let Some(changed) = changed {
            self.route(&changed);
        }
        for key in self.world.desired.take_touched() {
            self.mark(ControllerId::Sync, key);
        }
    }

    fn route(&mut self, changed: &Changed) {
        let mut marks = Vec::new();
        Controllers.route(&self.world, changed, &mut |c, k| marks.push((c, k)));
        for (c, k) in marks {
            self.mark(c, k);
        }
    }

    fn mark(&mut self, controller: ControllerId, key: Key) {
        if self.waiting.insert((controller, key.clone())) {
            self.queue.push_back((controller, key));
        }
    }

    /// Handles an event.
    pub(crate) fn event<T>(&mut self, f: impl FnOnce(&World, &mut Cx<'_>) -> T) -> T {
        self.world.nodes.watch(self.now);
        let mut cx = Cx::new(self.now, self.started, &self.settings, &mut self.rng);
        let out = f(&self.world, &mut cx);
        let (changes, wakes, heals) = (cx.changes, cx.wakes, cx.heals);
        self.asked.extend(cx.roll_calls);
        self.heals.extend(heals);
        for change in changes {
            self.change(change);
        }
        for (at, c, k) in wakes {
            self.timers.set(at, c, k);
        }
        out
    }

    /// Controllers and agent until nothing moves at this time.
    pub(crate) fn settle(&mut self) {
        let mut runs = 0;
        loop {
            while let Some((controller, key)) = self.queue.pop_front() {
                self.waiting.remove(&(controller, key.clone()));
                self.timers.clear(controller, &key);
                self.event(|world, cx| Controllers.reconcile(controller, world, &key, cx));
                runs += 1;
                assert!(runs < RUNS, "endless: {controller:?} {key}");
            }
            if !self.agent() && self.queue.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass, stopping at each timer.
    pub(crate) fn pass(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        self.settle();
        loop {
            // Agents say that they are there each 10 s: a node that is silent for longer is in doubt.
            let beat = self.now + Duration::from_secs(10);
            let at = self.timers.next().map_or(beat, |at| at.max(self.now).min(beat));
            if at > end {
                break;
            }
            self.now = at;
            for node in self.world.nodes.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>() {
                self.world.nodes.hear(&node, self.now);
            }
            for (c, k) in self.timers.due(self.now, 1000) {
                self.mark(c, k);
            }
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// A server that starts anew over what is stored.
    pub(crate) fn restart(&mut self) {
        let objects: Vec<Object> = self.world.all().map(|o| Object::clone(o)).collect();
        let snapshots = self.world.snapshots().map(|(_, k)| k.clone()).collect();
        let contents = self.world.content_digests().filter_map(|d| self.world.content(d)).cloned().collect();
        let mut world = World::new(self.world.version, self.world.epoch, self.world.digest_key);
        world.restore(objects, contents, snapshots);
        self.world = world;
        self.started = self.now;
        self.timers = Timers::default();
        self.queue.clear();
        self.waiting.clear();
        self.mark_everything();
        self.settle();
    }

    /// As the conductor at its start, and at the end of a recovery.
    pub(crate) fn mark_everything(&mut self) {
        let all: Vec<Arc<Object>> = self.world.all().cloned().collect();
        for object in all {
            self.route(&Changed { key: object.key.clone(), old: None, new: Some(object) });
        }
        for key in self.world.desired.take_touched() {
            self.mark(ControllerId::Sync, key);
        }
    }

    /// One round of the agent; says whether it did anything.
    fn agent(&mut self) -> bool {
        let pods: Vec<Arc<Object>> = self.world.list(Kind::Pod, "").cloned().collect();
        let before = self.world.version;
        let asked = if self.deaf { BTreeSet::new() } else { core::mem::take(&mut self.asked) };
        let clock = Time(self.now.0 - i64::try_from(self.behind.as_millis()).unwrap());
        for pod in pods {
            if pod.deleting() {
                self.change(Change::Delete(pod.key.clone()));
                continue;
            }
            let node_ready = pod.node.as_ref().is_some_and(|n| self.world.nodes.get(n).is_some_and(|n| n.ready));
            if !node_ready {
                continue;
            }
            let body = pod.body_map();
            let container = &body["spec"]["containers"][0];
            let image = container["image"].as_str().unwrap_or_default().to_string();
            let fate = self.fates.get(&image).filter(|_| self.only.as_ref().is_none_or(|k| *k == pod.key));
            let fate = fate.cloned().unwrap_or(Fate::Runs);
            let mut next = Object::clone(&pod);
            let name = container["name"].as_str().unwrap_or_default();
            let old: Value = serde_json::from_slice(&pod.status).unwrap_or_default();
            next.status = canonical::value_bytes(&pod_status(&fate, name, &old, clock)).into();
            if !next.same_content(&pod) {
                self.change(Change::Put(Arc::new(next)));
            }
        }
        for node in &asked {
            self.world.nodes.answer(node, self.now);
            let answer = Report { answers: Some(self.now), ..Report::default() };
            self.event(|world, cx| report::report(world, node, &answer, cx));
        }
        for (c, k) in self.timers.due(self.now, 1000) {
            self.mark(c, k);
        }
        self.world.version != before || !asked.is_empty()
    }

    /// Asks as `tester`.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Answer, Refusal> {
        let out = self.event(|world, cx| {
            let out = crate::ask::handle(world, &ask, "tester", cx);
            if out.is_err() {
                cx.changes.clear();
            }
            out
        });
        self.settle();
        out
    }

    /// Adds a source that follows a directory, with more of its `spec`.
    pub(crate) fn source(&mut self, name: &str, more: Value) {
        let mut spec = json!({"git": {"url": format!("/srv/{name}")}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec: SourceSpec = serde_json::from_value(spec).unwrap();
        self.ask(Ask::CreateSource {
            name: name.into(),
            spec,
            meta: Meta::default(),
            owners: crate::edit::Owners::By("test".into()),
            dry_run: false,
        })
        .unwrap();
    }

    /// A commit of the source `shop`, numbered.
    pub(crate) fn commit(&mut self, n: u32, docs: Vec<Arc<Doc>>) {
        self.commit_to("shop", n, docs);
    }

    /// A commit of a source.
    pub(crate) fn commit_to(&mut self, source: &str, n: u32, docs: Vec<Arc<Doc>>) {
        self.seen(source, n, Ok(snapshot(docs)), true);
    }

    /// What a follower brings.
    pub(crate) fn seen(
        &mut self,
        source: &str,
        n: u32,
        outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
        confirmed: bool,
    ) {
        let seen = Seen {
            source: source.into(),
            revision: rev(n),
            author: "A <a@b>".into(),
            message: format!("commit {n}"),
            outcome,
            confirmed,
        };
        self.event(|world, cx| inbound::seen(world, &seen, cx));
        self.settle();
    }

    /// The status of the source `shop`.
    pub(crate) fn status(&self) -> SourceStatus {
        self.status_of("shop")
    }

    /// The status of a source.
    pub(crate) fn status_of(&self, source: &str) -> SourceStatus {
        self.world.get(&Key::cluster(Kind::Source, source)).unwrap().status().unwrap().unwrap_or_default()
    }

    /// The last attempt at a commit of `shop`.
    pub(crate) fn release(&self, n: u32) -> ReleaseStatus {
        crate::release::state::latest(&self.world, "shop", &rev(n)).expect("a release").status
    }

    /// Phases of all releases of `shop` in the order in which they came: `1:Healthy 2:Pending/Pinned`.
    pub(crate) fn phases(&self) -> String {
        let mut all = releases(&self.world, "shop");
        all.sort_by_key(|r| (r.object.meta.created, r.object.key.clone()));
        let text = |r: &crate::release::state::Rel| {
            let n = u32::from_str_radix(&r.spec.revision.hash()[..8], 16).unwrap();
            let attempt =
                r.name().rsplit('-').next().filter(|s| s.len() < 3).map(|s| format!("-{s}")).unwrap_or_default();
            let reason = if r.status.reason.is_empty() { String::new() } else { format!("/{}", r.status.reason) };
            format!("{n}{attempt}:{}{reason}", r.status.phase)
        };
        all.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    /// An object of the namespace `shop`, whole.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.world.get(&Key::new(kind, "shop", name)).map(|o| o.to_value())
    }

    /// Reasons of the events, in the order of their keys.
    pub(crate) fn events(&self) -> Vec<String> {
        self.world.list(Kind::Event, "").map(|e| e.body_map()["reason"].as_str().unwrap().to_string()).collect()
    }
}

fn pod_status(fate: &Fate, name: &str, old: &Value, now: Time) -> Value {
    let ready = *fate == Fate::Runs;
    let kept = |kind: &str, status: &str| {
        let list = old["conditions"].as_array()?;
        let found = list.iter().find(|c| c["type"] == kind && c["status"] == status)?;
        found["lastTransitionTime"].as_str().map(ToString::to_string)
    };
    let since = |kind: &str, status: &str| kept(kind, status).unwrap_or_else(|| now.rfc3339());
    let flag = if ready { "True" } else { "False" };
    let mut conditions = alloc::vec![
        json!({"type": "Ready", "status": flag, "lastTransitionTime": since("Ready", flag)}),
        json!({"type": "ContainersReady", "status": flag, "lastTransitionTime": since("ContainersReady", flag)}),
    ];
    let began = old["containerStatuses"][0]["state"]["running"]["startedAt"]
        .as_str()
        .map_or_else(|| now.rfc3339(), ToString::to_string);
    let mut container = json!({"name": name, "image": "i", "imageID": "id", "ready": ready, "restartCount": 0,
        "started": *fate != Fate::Starting, "state": {"running": {"startedAt": began}}});
    match fate {
        Fate::Crashes { code, times } => {
            let ended = old["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"]
                .as_str()
                .map_or_else(|| now.rfc3339(), ToString::to_string);
            container["restartCount"] = json!(times);
            container["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            container["lastState"] = json!({"terminated": {"exitCode": code, "reason": "Error", "finishedAt": ended}});
        }
        Fate::NoStart { tries, reason, outside } => {
            let start = podstatus::FailedStart { tries: *tries, reason: (*reason).into(), outside: *outside };
            let text = podstatus::failed_starts_text(&BTreeMap::from([(name.to_string(), start)]));
            conditions.push(json!({"type": podstatus::FAILED_STARTS, "status": "True", "message": text,
                "lastTransitionTime": since(podstatus::FAILED_STARTS, "True")}));
            container["state"] = json!({"waiting": {"reason": reason, "message": "as the engine said"}});
        }
        Fate::Starting => container["state"] = json!({"waiting": {"reason": "ContainerCreating"}}),
        Fate::Runs | Fate::NotReady => {}
    }
    let phase = if matches!(fate, Fate::Runs | Fate::NotReady | Fate::Crashes { .. }) { "Running" } else { "Pending" };
    json!({"phase": phase, "conditions": conditions, "containerStatuses": [container]})
}

/// The revision of a numbered commit.
pub(crate) fn rev(n: u32) -> Revision {
    Revision::git(Some("main"), &format!("{n:08x}{}", "0".repeat(32)))
}

/// A snapshot of documents.
pub(crate) fn snapshot(mut docs: Vec<Arc<Doc>>) -> Arc<Snapshot> {
    docs.sort_by(|a, b| a.key.cmp(&b.key));
    Arc::new(Snapshot { docs, warnings: Vec::new(), skipped: Vec::new() })
}

/// A document.
pub(crate) fn doc(value: Value) -> Arc<Doc> {
    doc_with(value, &[])
}

/// A document that mentions ConfigMaps or Secrets.
pub(crate) fn doc_with(value: Value, mentions: &[(Kind, &str)]) -> Arc<Doc> {
    let object = Object::from_value(value.clone()).unwrap();
    let place = Place { file: "a.yaml".into(), line: 1, column: 1 };
    let references = mentions
        .iter()
        .map(|(kind, name)| Reference {
            key: object.key.sibling(*kind, *name),
            item: None,
            optional: false,
            place: place.clone(),
            path: "spec".into(),
            excerpt: String::new(),
        })
        .collect();
    Arc::new(Doc::new(object.key, value, place, references))
}

/// A Deployment of the namespace `shop`, with more of its `spec`.
pub(crate) fn deployment(name: &str, image: &str, more: Value) -> Value {
    let mut value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}}});
    value["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// A Deployment as a document.
pub(crate) fn web(image: &str) -> Arc<Doc> {
    doc(deployment("web", image, json!({})))
}

/// A ConfigMap of the namespace `shop`.
pub(crate) fn config(name: &str, value: &str) -> Arc<Doc> {
    doc(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"k": value}}),
    )
}
