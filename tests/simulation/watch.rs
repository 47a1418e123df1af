//! What is checked all the way: the auditor after every step that changed something, and promises
//! that only one who sees the engines can check.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::sim::StopNote;
use evenkeel_audit::{
    AppliedSource, Auditor, ContainerView, ForeignView, Input, NodeView, PodView, Severity, State, render,
};
use evenkeel_conductor::Published;
use evenkeel_model::{
    Digest, Key, Kind, Object, Time, Uid,
    own::{DriftOrigin, DriftSpec, ReleaseStatus, SourceStatus},
};
use serde_json::Value;

use crate::{commits::Commit, machine::Machine, shape::WHOLE, world::Feed};

/// For so long after somebody's hand or an engine's restart a stop on its node is not held against
/// the agent: it heals.
const HEALING: Duration = Duration::from_secs(400);

/// The checks' memory.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Everything is audited each time.
    whole: bool,
    /// The server's objects, as far as it told of them.
    now: BTreeMap<Key, Arc<Object>>,
    /// Those that were there at the last audit; `None` where what comes next is not one step later.
    before: Option<BTreeMap<Key, Arc<Object>>>,
    views: BTreeMap<String, NodeView>,
    by_uid: BTreeMap<String, Key>,
    touched: BTreeSet<Key>,
    /// Pods that may be stopped although no server asks for it any more.
    gone: BTreeSet<String>,
    disturbed: BTreeMap<Arc<str>, Time>,
    /// Uids of pods that somebody laid a hand on.
    handled: BTreeSet<String>,
    /// The database was lost, or an old one restored: what nothing explains runs on as an orphan.
    pub(crate) orphans: bool,
    auditor: Auditor,
    /// Audits made.
    pub(crate) audits: u64,
}

impl Watch {
    pub(crate) fn new(whole: bool) -> Self {
        Self { whole, ..Self::default() }
    }

    /// Somebody or something other than Evenkeel touched a node.
    pub(crate) fn disturbed(&mut self, now: Time, node: &Arc<str>) {
        self.disturbed.insert(node.clone(), now);
    }

    /// Somebody did something to a container of a pod.
    pub(crate) fn hand_on(&mut self, pod: &str) {
        self.handled.insert(pod.to_owned());
    }

    /// Only what somebody did is a drift of a container: no restart of an engine, no loss of power, no crash.
    fn drifts_are_somebodys(&self) -> Result<(), String> {
        let drifts = self.touched.iter().filter(|key| key.kind == Kind::Drift).filter_map(|key| self.now.get(key));
        for drift in drifts {
            let spec: DriftSpec = drift.spec().map_err(|e| e.to_string())?;
            let of_node = matches!(spec.origin, DriftOrigin::Node(_)) && spec.object.kind == "Pod";
            if of_node && !self.handled.contains(&spec.object.uid.to_string()) {
                return Err(format!("nobody did what a drift tells of: {spec:?}"));
            }
        }
        Ok(())
    }

    /// The server's process ended: what comes next is not one step after what came before.
    pub(crate) fn forget(&mut self) {
        self.before = None;
    }

    /// The database is another one from now on. What was asked to end before may still do so.
    pub(crate) fn database_lost(&mut self) {
        self.orphans = true;
        let going = self.now.values().filter(|o| o.key.kind == Kind::Pod && o.deleting());
        self.gone.extend(going.map(|o| o.uid.to_string()));
        self.now.clear();
        self.by_uid.clear();
        self.before = None;
    }

    /// A server has started over its store: a transaction may have been durable that nobody heard of.
    pub(crate) fn reload<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<Object>>) {
        let before = std::mem::take(&mut self.now);
        self.now = objects.map(|o| (o.key.clone(), o.clone())).collect();
        self.by_uid = self.now.values().filter(|o| o.key.kind == Kind::Pod).map(uid_and_key).collect();
        let lost = before.values().filter(|o| o.key.kind == Kind::Pod).map(|o| o.uid.to_string());
        self.gone.extend(lost.filter(|uid| !self.by_uid.contains_key(uid)));
        self.before = None;
        self.touched.extend(self.now.keys().cloned());
    }

    /// A server has committed.
    pub(crate) fn published(&mut self, changes: &[Published]) {
        for change in changes {
            if change.key.kind == Kind::Event {
                continue;
            }
            self.touched.insert(change.key.clone());
            if let Some(old) = change.old.as_ref().filter(|o| o.key.kind == Kind::Pod) {
                let uid = old.uid.to_string();
                if change.new.as_ref().is_none_or(|n| n.uid != old.uid) {
                    self.by_uid.remove(&uid);
                    self.gone.insert(uid);
                }
            }
            match &change.new {
                Some(new) => {
                    if new.key.kind == Kind::Pod {
                        self.by_uid.extend([uid_and_key(new)]);
                    }
                    self.now.insert(change.key.clone(), new.clone());
                }
                None => drop(self.now.remove(&change.key)),
            }
        }
    }

    /// The objects as they were seen last, but for Events.
    pub(crate) fn all(&self) -> &BTreeMap<Key, Arc<Object>> {
        &self.now
    }

    /// A pod that is known, by its uid.
    pub(crate) fn pod(&self, uid: &str) -> Option<&Arc<Object>> {
        self.by_uid.get(uid).and_then(|key| self.now.get(key))
    }

    /// The objects as they were seen last, but for Events.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.now.values().cloned().collect()
    }

    /// The pods that are not as they should be, for a failure.
    pub(crate) fn unready(&self) -> String {
        let pods = self.now.values().filter(|o| o.key.kind == Kind::Pod);
        let lines = pods.filter(|o| o.deleting() || ready(o) != "\"True\"").map(|o| {
            let status: Value = o.status().ok().flatten().unwrap_or_default();
            format!("  {} on {:?} going {:?}: {status}", o.key, o.node, o.meta.deletion)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// An agent stopped a living container: only a pod that shall end, or whose container does not
    /// do what it should, may be stopped.
    pub(crate) fn stopped(&self, now: Time, node: &Arc<str>, stop: &StopNote) -> Result<(), String> {
        if !stop.good || self.disturbed.get(node).is_some_and(|at| now.since(*at) < HEALING) {
            return Ok(());
        }
        match self.by_uid.get(&stop.pod).and_then(|key| self.now.get(key)) {
            Some(o) if o.deleting() => Ok(()),
            Some(o) => Err(format!("the agent of {node} stopped {} of {}, which shall run", stop.name, o.key)),
            None if self.gone.contains(&stop.pod) => Ok(()),
            None => Err(format!("the agent of {node} stopped {} of a pod that nothing asked to end", stop.name)),
        }
    }

    /// Runs the auditor over the state and the one before.
    pub(crate) fn audit(
        &mut self,
        now: Time,
        machines: &[Machine],
        by_name: &BTreeMap<Arc<str>, usize>,
        feeds: &[Feed],
        settled: bool,
    ) -> Result<(), String> {
        self.audits += 1;
        let whole = settled || self.whole || self.audits.is_multiple_of(WHOLE) || self.before.is_none();
        let (keys, nodes) = if whole { self.everything(machines) } else { self.concerned() };
        let pick = |of: &BTreeMap<Key, Arc<Object>>| -> Vec<Object> {
            keys.iter().filter_map(|k| of.get(k)).map(|o| Object::clone(o)).collect()
        };
        let objects = pick(&self.now);
        let before = self.before.as_ref().map(pick);
        let machine = |node: &Arc<str>| by_name.get(node).map(|n| &machines[*n]).filter(|m| m.powered);
        let views: Vec<NodeView> = nodes.iter().filter_map(machine).map(|m| self.view(m)).collect();
        let views_before: Vec<NodeView> = nodes.iter().filter_map(|n| self.views.get(&**n).cloned()).collect();
        let sources = applied(&objects, feeds);
        let input = Input {
            now,
            state: State { objects: &objects, nodes: &views },
            before: before.as_deref().map(|objects| State { objects, nodes: &views_before }),
            settled,
            undisturbed: false,
            deleted_by_hand: None,
            sources: &sources,
            texts: &[],
        };
        let findings: Vec<_> =
            self.auditor.audit(&input).into_iter().filter(|f| f.severity == Severity::Broken).collect();
        if !findings.is_empty() {
            return Err(render(&findings));
        }
        feeds.iter().try_for_each(|feed| blame(&objects, feed))?;
        self.drifts_are_somebodys()?;
        self.remember(&nodes, views, whole);
        Ok(())
    }

    /// Keeps what the next audit compares with.
    fn remember(&mut self, nodes: &BTreeSet<Arc<str>>, views: Vec<NodeView>, whole: bool) {
        // One without power says nothing, and has what it had: none of it runs.
        for view in self.views.iter_mut().filter(|(name, _)| nodes.contains(name.as_str())).map(|(_, view)| view) {
            let containers = view.pods.iter_mut().flat_map(|pod| &mut pod.containers);
            containers.for_each(|container| container.running = false);
            view.foreign.iter_mut().for_each(|foreign| foreign.running = false);
        }
        self.views.extend(views.into_iter().map(|v| (v.name.clone(), v)));
        let touched = std::mem::take(&mut self.touched);
        match &mut self.before {
            Some(before) if !whole => {
                for key in touched {
                    match self.now.get(&key) {
                        Some(o) => drop(before.insert(key, o.clone())),
                        None => drop(before.remove(&key)),
                    }
                }
            }
            before => *before = Some(self.now.clone()),
        }
    }

    fn everything(&self, machines: &[Machine]) -> (BTreeSet<Key>, BTreeSet<Arc<str>>) {
        let keys = self.now.keys().chain(self.before.iter().flat_map(BTreeMap::keys)).cloned().collect();
        (keys, machines.iter().map(|m| m.sim.name().clone()).collect())
    }

    /// What was touched, and what is judged together with it: a pod's owners with all their pods, its
    /// node with all that run there.
    fn concerned(&self) -> (BTreeSet<Key>, BTreeSet<Arc<str>>) {
        let states = || [Some(&self.now), self.before.as_ref()].into_iter().flatten();
        let mut owners: BTreeSet<Uid> = BTreeSet::new();
        let mut nodes: BTreeSet<Arc<str>> = BTreeSet::new();
        for object in self.touched.iter().flat_map(|k| states().filter_map(move |s| s.get(k))) {
            match object.key.kind {
                Kind::Node => drop(nodes.insert(object.key.name.clone())),
                Kind::Pod => nodes.extend(object.node.clone()),
                _ => {}
            }
            owners.extend(object.meta.controller().map(|o| o.uid));
            owners.insert(object.uid);
        }
        let controller = |o: &Object| o.meta.controller().map(|c| c.uid);
        let of_kind = |kind: Kind| states().flat_map(BTreeMap::values).filter(move |o| o.key.kind == kind);
        // From pods up to their Deployments, and down again to all that those have.
        owners.extend(
            of_kind(Kind::ReplicaSet)
                .filter(|o| owners.contains(&o.uid))
                .filter_map(|o| controller(o))
                .collect::<Vec<_>>(),
        );
        owners.extend(
            of_kind(Kind::ReplicaSet)
                .filter(|o| controller(o).is_some_and(|u| owners.contains(&u)))
                .map(|o| o.uid)
                .collect::<Vec<_>>(),
        );
        let concerned = |o: &Arc<Object>| {
            owners.contains(&o.uid)
                || controller(o).is_some_and(|u| owners.contains(&u))
                || o.node.as_ref().is_some_and(|n| nodes.contains(n))
                || (o.key.kind == Kind::Node && nodes.contains(&o.key.name))
        };
        let keys = states().flat_map(BTreeMap::values).filter(|o| concerned(o)).map(|o| o.key.clone()).collect();
        (keys, nodes)
    }

    /// What a node's engine runs.
    fn view(&self, machine: &Machine) -> NodeView {
        let mut view = NodeView { name: machine.sim.name().to_string(), ..NodeView::default() };
        let mut pods: BTreeMap<Uid, PodView> = BTreeMap::new();
        for c in machine.sim.runtime.containers() {
            if !c.by_agent {
                view.foreign.push(ForeignView { id: c.info.id.to_string(), running: c.info.state.is_alive() });
                continue;
            }
            let label = |name: &str| c.info.labels.get(name).cloned().unwrap_or_default();
            let Ok(uid) = label("evenkeel.dev/pod-uid").parse::<Uid>() else { continue };
            let pod = pods.entry(uid).or_insert_with(|| PodView {
                uid,
                namespace: label("evenkeel.dev/namespace"),
                name: label("evenkeel.dev/pod"),
                orphan: self.orphans && !self.by_uid.contains_key(&uid.to_string()),
                ..PodView::default()
            });
            let name = label("evenkeel.dev/container");
            if !name.is_empty() {
                pod.containers.push(ContainerView { name, running: c.info.state.is_alive(), ready: true, restarts: 0 });
            }
        }
        // Of some it knows only that it was to run them: that is as much as their containers would tell.
        for order in machine.sim.orders() {
            pods.entry(order.uid).or_insert_with(|| PodView {
                uid: order.uid,
                namespace: order.namespace.to_string(),
                name: order.name.to_string(),
                ..PodView::default()
            });
        }
        view.pods = pods.into_values().collect();
        view
    }
}

fn uid_and_key(pod: &Arc<Object>) -> (String, Key) {
    (pod.uid.to_string(), pod.key.clone())
}

/// The status of an object's condition `Ready`.
pub(crate) fn ready(node: &Object) -> String {
    let status: Value = node.status().ok().flatten().unwrap_or_default();
    let list = status["conditions"].as_array().cloned().unwrap_or_default();
    list.iter().find(|c| c["type"] == "Ready").map_or_else(String::new, |c| c["status"].to_string())
}

/// No good commit is quarantined, and what is quarantined is no good one's content.
fn blame(objects: &[Object], feed: &Feed) -> Result<(), String> {
    let commits = &feed.commits;
    let good: BTreeSet<Digest> = commits.iter().filter(|c| c.flaw.is_none()).filter_map(Commit::digest).collect();
    for object in objects.iter().filter(|o| o.key.kind == Kind::Source && o.key.name == feed.name()) {
        let status: SourceStatus = object.status().ok().flatten().unwrap_or_default();
        if let Some(q) = status.quarantined.iter().find(|q| good.contains(&q.digest)) {
            let cause = objects
                .iter()
                .filter(|o| o.key.kind == Kind::Release)
                .filter_map(|o| o.status::<ReleaseStatus>().ok().flatten())
                .filter_map(|s| s.cause)
                .map(|c| format!("{} {:?} {:?}: {} {}", c.object, c.pod, c.container, c.reason, c.message))
                .collect::<Vec<_>>()
                .join("\n  ");
            return Err(format!("the good commit {} is quarantined; causes:\n  {cause}", q.revision));
        }
        let bad = commits.iter().filter(|c| c.flaw.is_some() && !c.digest().is_some_and(|d| good.contains(&d)));
        if let Some(c) =
            bad.into_iter().find(|c| status.last_good_digest.is_some() && c.digest() == status.last_good_digest)
        {
            return Err(format!("the bad commit {} ({:?}) counts as good", c.revision.short(), c.flaw));
        }
    }
    Ok(())
}

fn applied(objects: &[Object], feeds: &[Feed]) -> Vec<AppliedSource> {
    let of = |o: &Object| {
        let status: SourceStatus = o.status().ok().flatten()?;
        let digest = status.applied_digest?;
        let mut commits = feeds.iter().filter(|f| f.name() == o.key.name).flat_map(|f| &f.commits);
        let commit = commits.find(|c| c.digest() == Some(digest))?;
        Some(AppliedSource { source: o.key.name.to_string(), keys: commit.keys() })
    };
    objects.iter().filter(|o| o.key.kind == Kind::Source).filter_map(of).collect()
}

/// The Deployments of these objects that are not complete.
pub(crate) fn incomplete(objects: &[Arc<Object>]) -> Vec<String> {
    #[derive(serde::Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Numbers {
        replicas: i64,
        ready_replicas: i64,
        updated_replicas: i64,
    }
    let of = |o: &Arc<Object>| -> Option<String> {
        let wanted = o.spec::<Numbers>().ok()?.replicas;
        let now: Numbers = o.status().ok().flatten().unwrap_or_default();
        let done = now.ready_replicas == wanted && now.updated_replicas == wanted && now.replicas == wanted;
        (!done).then(|| {
            format!(
                "{}: {} of {wanted} ready, {} updated, {} in all",
                key(&o.key),
                now.ready_replicas,
                now.updated_replicas,
                now.replicas
            )
        })
    };
    objects.iter().filter(|o| o.key.kind == Kind::Deployment).filter_map(of).collect()
}

fn key(key: &Key) -> String {
    key.to_string()
}
