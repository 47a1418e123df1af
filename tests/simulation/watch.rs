//! What is checked all the way: the auditor after every step that changed something, and promises
//! that only one who sees the engines can check.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::sim::StopNote;
use evenkeel_audit::{
    AppliedSource, ContainerView, ForeignView, Input, NodeView, PodView, Severity, State, audit, render,
};
use evenkeel_model::{
    Digest, Key, Kind, Object, Time, Uid,
    own::{ReleaseStatus, SourceStatus},
};
use evenkeel_runtime::ContainerId;

use crate::{commits::Commit, world::Node};

/// For so long after somebody's hand or an engine's restart a stop on its node is not held against
/// the agent: it heals.
const HEALING: Duration = Duration::from_secs(400);

/// The checks' memory.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    before: Option<(Vec<Object>, Vec<NodeView>)>,
    last: Vec<Arc<Object>>,
    disturbed: BTreeMap<Arc<str>, Time>,
    pub(crate) foreign: BTreeSet<ContainerId>,
    /// The database was lost: what nothing explains runs on as an orphan.
    pub(crate) amnesia: bool,
    /// Audits made.
    pub(crate) audits: u64,
}

impl Watch {
    /// Somebody or something other than Evenkeel touched a node.
    pub(crate) fn disturbed(&mut self, now: Time, node: &Arc<str>) {
        self.disturbed.insert(node.clone(), now);
    }

    /// The server's process ended: what comes next is not one step after what came before.
    pub(crate) fn forget(&mut self) {
        self.before = None;
    }

    /// The objects as they were seen last.
    pub(crate) fn last_objects(&self) -> Vec<Arc<Object>> {
        self.last.clone()
    }

    /// An agent stopped a living container: only a pod that shall end, or whose container does not
    /// do what it should, may be stopped.
    pub(crate) fn stopped(
        &self,
        now: Time,
        node: &Arc<str>,
        stop: &StopNote,
        objects: &[Arc<Object>],
    ) -> Result<(), String> {
        if !stop.good || self.disturbed.get(node).is_some_and(|at| now.since(*at) < HEALING) {
            return Ok(());
        }
        let object = objects.iter().find(|o| o.key.kind == Kind::Pod && o.uid.to_string() == stop.pod);
        match object {
            None => Err(format!("the agent of {node} stopped {} of a pod that nothing asked to end", stop.name)),
            Some(o) if o.deleting() => Ok(()),
            Some(o) => Err(format!("the agent of {node} stopped {} of {}, which shall run", stop.name, o.key)),
        }
    }

    /// Runs the auditor over the state and the one before.
    pub(crate) fn audit(
        &mut self,
        now: Time,
        objects: Vec<Arc<Object>>,
        nodes: &[Node],
        commits: &[Commit],
        settled: bool,
    ) -> Result<(), String> {
        self.audits += 1;
        let plain: Vec<Object> = objects.iter().map(|o| Object::clone(o)).collect();
        self.last = objects;
        let mut views: Vec<NodeView> = nodes.iter().map(view).collect();
        for pod in views.iter_mut().flat_map(|n| &mut n.pods) {
            pod.orphan = self.amnesia && !plain.iter().any(|o| o.uid == pod.uid);
        }
        let sources = applied(&plain, commits);
        let before = self.before.as_ref().map(|(objects, nodes)| State { objects, nodes });
        let input = Input {
            now,
            state: State { objects: &plain, nodes: &views },
            before,
            settled,
            undisturbed: false,
            deleted_by_hand: None,
            sources: &sources,
            texts: &[],
        };
        let findings: Vec<_> = audit(&input).into_iter().filter(|f| f.severity == Severity::Broken).collect();
        if !findings.is_empty() {
            return Err(render(&findings));
        }
        blame(&plain, commits)?;
        self.before = Some((plain, views));
        Ok(())
    }
}

/// No good commit is quarantined, and what is quarantined is no good one's content.
fn blame(objects: &[Object], commits: &[Commit]) -> Result<(), String> {
    let good: BTreeSet<Digest> = commits.iter().filter(|c| c.flaw.is_none()).filter_map(Commit::digest).collect();
    for object in objects.iter().filter(|o| o.key.kind == Kind::Source) {
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

/// What a node's engine runs.
fn view(node: &Node) -> NodeView {
    let mut pods: BTreeMap<Uid, PodView> = BTreeMap::new();
    let mut foreign = Vec::new();
    for c in node.sim.runtime.containers() {
        if !c.by_agent {
            foreign.push(ForeignView { id: c.info.id.to_string(), running: c.info.state.is_alive() });
            continue;
        }
        let label = |name: &str| c.info.labels.get(name).cloned().unwrap_or_default();
        let Ok(uid) = label("evenkeel.dev/pod-uid").parse::<Uid>() else { continue };
        let pod = pods.entry(uid).or_insert_with(|| PodView {
            uid,
            namespace: label("evenkeel.dev/namespace"),
            name: label("evenkeel.dev/pod"),
            ..PodView::default()
        });
        let name = label("evenkeel.dev/container");
        if !name.is_empty() {
            pod.containers.push(ContainerView { name, running: c.info.state.is_alive(), ready: true, restarts: 0 });
        }
    }
    NodeView { name: node.sim.name().to_string(), pods: pods.into_values().collect(), foreign }
}

fn applied(objects: &[Object], commits: &[Commit]) -> Vec<AppliedSource> {
    let of = |o: &Object| {
        let status: SourceStatus = o.status().ok().flatten()?;
        let digest = status.applied_digest?;
        let commit = commits.iter().find(|c| c.digest() == Some(digest))?;
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
