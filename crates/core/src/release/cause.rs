//! Why a workload does not come up: walks its new pods and finds the container to blame.
//!
//! Called while a release progresses and in its watch window. Only pods of templates that the
//! release made count, on nodes that are Ready; what drift, a lost node or the engine did never
//! does. What the agent counts is in `model::podstatus`.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Key, Kind, Object, Time,
    own::{Cause, Phase},
    podstatus::{self, FailedStart, crashes},
};
use k8s_openapi::api::{
    apps::v1::ReplicaSetStatus,
    core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus},
};

use super::{
    progress::{made_by, promised},
    state::{Rel, Src},
};
use crate::{
    controllers::{deployment::current_replica_set, tally::controlled},
    cx::Cx,
    settings::Settings,
    world::{
        World,
        crew::Crew,
        pods::{PodPhase, PodRecord},
    },
};

/// Restarts of a container that fail a release, where its Source says nothing.
const CRASH_LIMIT: u32 = 3;
/// Reasons of a start that failed because the engine was away: nobody's fault, however often.
const ENGINE_AWAY: [&str; 2] = ["EngineUnavailable", "EngineTimeout"];
/// Last lines of a container's output that a cause keeps.
const LOG_LINES: usize = 20;

/// The reason of a workload whose deadline passed, as Kubernetes names it.
const DEADLINE: &str = "ProgressDeadlineExceeded";

/// What a look at pods is about.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    world: &'a World,
    rel: &'a Rel,
    since: Time,
    now: Time,
    crash_limit: u32,
    settings: &'a Settings,
}

/// What a look found.
#[derive(Debug)]
pub(super) enum Found {
    /// It will not come up.
    Failure(Cause),
    /// It may have failed by then.
    Later(Time),
    /// Nothing to blame.
    Nothing,
}

impl<'a> Scope<'a> {
    /// What has counted since `since`.
    pub(super) fn new(world: &'a World, src: &Src, rel: &'a Rel, since: Time, cx: &Cx<'a>) -> Self {
        let crash_limit = src.spec.crash_limit.unwrap_or(CRASH_LIMIT).max(1);
        Self { world, rel, since, now: cx.now, crash_limit, settings: cx.settings }
    }
}

/// A pod that counts.
struct Counted<'a> {
    object: &'a Arc<Object>,
    status: PodStatus,
}

/// Why a workload that is not complete fails.
pub(super) fn of_workload(scope: &Scope<'_>, key: &Key) -> Found {
    // On the way back only the deadline counts.
    if scope.rel.status.phase == Phase::RollingBack {
        return Found::Nothing;
    }
    let mut later: Option<Time> = None;
    let troubled = counted(scope, key, Which::Troubled).into_iter();
    for pod in troubled.map(|(object, _)| read(object)) {
        match of_pod(scope, key, &pod) {
            Found::Failure(cause) => return Found::Failure(cause),
            Found::Later(at) => later = Some(later.map_or(at, |l| l.min(at))),
            Found::Nothing => {}
        }
    }
    later.map_or(Found::Nothing, Found::Later)
}

/// Why pods of a workload's present template cannot be made, in the words of its ReplicaSet.
pub(super) fn not_made(world: &World, object: &Arc<Object>) -> Option<String> {
    let set = match object.key.kind {
        Kind::Deployment => current_replica_set(world, object)?,
        Kind::ReplicaSet => object.clone(),
        _ => return None,
    };
    let status: ReplicaSetStatus = set.status().ok().flatten()?;
    let failed = status.conditions?.into_iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    failed.message
}

/// Which pods of a workload a look is about. There may be thousands, and one of them has changed: only
/// what is asked of all of them walks over all.
#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    /// Of which something is told that is worth reading their status for.
    Troubled,
    /// Not ready, or on their way out.
    Unready,
}

impl Which {
    fn holds(self, pod: &PodRecord) -> bool {
        match self {
            Self::All => true,
            Self::Troubled => pod.told.troubled(),
            Self::Unready => !pod.ready(),
        }
    }
}

/// The ReplicaSet of a workload's present template, where it has one. While the set of what is wanted
/// now is not made, pods of the last rollout, which may be the very one that this release repairs, say
/// nothing of it.
pub(super) fn present_set(world: &World, object: &Arc<Object>) -> Option<Arc<Object>> {
    match object.key.kind {
        Kind::Deployment => current_replica_set(world, object),
        Kind::ReplicaSet => Some(object.clone()),
        _ => None,
    }
}

/// Pods of a workload whose present set is `set`, or of itself where it is a pod.
fn pods_of<'a>(
    world: &'a World,
    object: &'a Object,
    set: Option<&Object>,
    which: Which,
) -> Vec<(&'a Arc<Object>, &'a PodRecord)> {
    let found = |key: &'a Key| Some((world.get(key)?, world.pods.get(key)?));
    let Some(set) = set else {
        let itself = Some(&object.key).filter(|key| key.kind == Kind::Pod).and_then(found);
        return itself.filter(|(_, record)| which.holds(record)).into_iter().collect();
    };
    let crew = world.pods.crew(set.uid).into_iter();
    match which {
        Which::All => controlled(world, set.uid).filter_map(|(key, record)| Some((world.get(key)?, record))).collect(),
        Which::Troubled => crew.flat_map(Crew::troubled).filter_map(found).collect(),
        Which::Unready => crew.flat_map(Crew::unready).filter_map(found).collect(),
    }
}

/// Pods that count for the release: of a template that it, or an unsettled one before it, made.
fn counted<'a>(scope: &Scope<'a>, key: &Key, which: Which) -> Vec<(&'a Arc<Object>, &'a PodRecord)> {
    let Some(object) = scope.world.get(key) else { return Vec::new() };
    let set = present_set(scope.world, object);
    let ours = key.kind == Kind::Deployment && set.as_ref().is_some_and(|set| ours(scope, set));
    pods_of(scope.world, object, set.as_deref(), which)
        .into_iter()
        .filter(|(p, _)| !p.deleting())
        // Times of objects may have whole seconds only.
        .filter(|(p, _)| ours || p.meta.created.secs() >= scope.since.secs())
        .filter(|(p, _)| p.node.as_ref().is_none_or(|n| scope.world.nodes.get(n).is_some_and(|n| n.ready)))
        .collect()
}

/// Those of them that had a container end, read.
fn with_ends<'a>(scope: &Scope<'a>, key: &Key) -> Vec<Counted<'a>> {
    let troubled = counted(scope, key, Which::Troubled).into_iter();
    troubled.filter(|(_, record)| record.told.ended).map(|(object, _)| read(object)).collect()
}

fn read(object: &Arc<Object>) -> Counted<'_> {
    Counted { object, status: object.status().ok().flatten().unwrap_or_default() }
}

/// The nodes of those.
pub(super) fn nodes<'a>(scope: &Scope<'a>, key: &Key) -> impl Iterator<Item = &'a Arc<str>> {
    counted(scope, key, Which::All).into_iter().filter_map(|(object, _)| object.node.as_ref())
}

fn ours(scope: &Scope<'_>, set: &Object) -> bool {
    let Some(name) = made_by(set) else { return false };
    name == scope.rel.name()
        || Rel::load(scope.world, name).is_some_and(|r| scope.rel.status.takes_back.contains(&r.spec.revision))
}

fn of_pod(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>) -> Found {
    if pod.object.node.is_none() {
        return unschedulable(scope, workload, pod);
    }
    let failed = failed_starts(pod);
    let disturbed = disturbed(pod);
    for (name, start) in failed.iter().filter(|(_, s)| !ENGINE_AWAY.contains(&s.reason.as_str())) {
        if start.tries >= scope.settings.start_tries {
            return Found::Failure(start_cause(scope, workload, pod, name, start));
        }
    }
    for container in containers(&pod.status) {
        let count = crashes(container.restart_count, &disturbed, &container.name);
        if count >= scope.crash_limit {
            return Found::Failure(crash_cause(scope, workload, pod, container, count));
        }
    }
    if workload.kind == Kind::Pod && scope.world.pods.get(workload).is_some_and(|p| p.phase == PodPhase::Failed) {
        let ended = containers(&pod.status).find(|c| terminated(c.state.as_ref()).is_some_and(|t| t.exit_code != 0));
        if let Some(container) = ended {
            return Found::Failure(crash_cause(scope, workload, pod, container, 0));
        }
    }
    Found::Nothing
}

fn unschedulable(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>) -> Found {
    let conditions = pod.status.conditions.iter().flatten();
    let Some(condition) = conditions
        .into_iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
    else {
        return Found::Nothing;
    };
    let said = condition.last_transition_time.as_ref().map_or(scope.since, |t| Time(t.0.as_millisecond()));
    // While most nodes were away it had nowhere to go, whatever it asks for.
    let away = scope.world.nodes.mostly_away_until().unwrap_or(scope.since);
    let due = said.max(scope.since).max(away) + scope.settings.unschedulable_limit;
    if scope.now < due {
        return Found::Later(due);
    }
    Found::Failure(unscheduled_cause(scope, workload, pod, condition.message.as_deref().unwrap_or_default()))
}

fn unscheduled_cause(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>, text: &str) -> Cause {
    Cause {
        reason: "Unschedulable".into(),
        message: format!("pod {} found no node: {text}", pod.object.key.name),
        outside: no_room(scope, pod, text),
        ..cause(workload, pod, None)
    }
}

/// Whether a pod found no node for want of room, which is not the commit's fault, unless it asks
/// for more than any node has.
fn no_room(scope: &Scope<'_>, pod: &Counted<'_>, message: &str) -> bool {
    let mut nodes = scope.world.nodes.iter().map(|(_, n)| n).peekable();
    if nodes.peek().is_none() {
        return true;
    }
    let Some(record) = scope.world.pods.get(&pod.object.key) else { return true };
    let shape = &record.shape;
    let fits_somewhere = nodes.any(|n| shape.cpu_milli <= n.cpu_milli && shape.memory <= n.memory);
    let room = ["Insufficient", "Too many pods", "free ports", "not-ready", "unreachable", "unschedulable"];
    fits_somewhere && room.iter().any(|w| message.contains(w))
}

fn cause(workload: &Key, pod: &Counted<'_>, container: Option<&str>) -> Cause {
    Cause {
        object: workload.to_string(),
        pod: Some(pod.object.key.name.to_string()),
        container: container.map(ToString::to_string),
        ..Cause::default()
    }
}

fn start_cause(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>, name: &str, start: &FailedStart) -> Cause {
    let status = containers(&pod.status).find(|c| c.name == name);
    let waiting = status.and_then(|c| c.state.as_ref()?.waiting.as_ref()?.message.clone());
    let ended = status.and_then(|c| {
        let t = terminated(c.state.as_ref()).or_else(|| terminated(c.last_state.as_ref()))?;
        t.message.clone()
    });
    let said = waiting.or(ended).unwrap_or_default();
    let gap = if said.is_empty() { "" } else { ": " };
    Cause {
        reason: start.reason.clone(),
        message: format!(
            "container {name} of pod {} did not start in {} tries{gap}{said}",
            pod.object.key.name, start.tries
        ),
        logs: logs(scope, pod, name),
        outside: start.outside,
        ..cause(workload, pod, Some(name))
    }
}

fn crash_cause(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>, container: &ContainerStatus, count: u32) -> Cause {
    let ended = terminated(container.state.as_ref()).or_else(|| terminated(container.last_state.as_ref()));
    let how = ended.map_or_else(|| "ended".into(), exit_text);
    let killed = ended.and_then(|t| t.reason.as_deref()) == Some("OOMKilled");
    let name = &container.name;
    let times = match count {
        0 => String::new(),
        1 => ", 1 restart".into(),
        n => format!(", {n} restarts"),
    };
    Cause {
        reason: if killed {
            "OOMKilled"
        } else if count > 0 {
            "CrashLoopBackOff"
        } else {
            "Error"
        }
        .into(),
        message: format!("container {name} of pod {} {how}{times}", pod.object.key.name),
        logs: logs(scope, pod, name),
        ..cause(workload, pod, Some(name))
    }
}

fn exit_text(t: &ContainerStateTerminated) -> String {
    let mut text = match t.signal.filter(|s| *s != 0) {
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("exited with code {}", t.exit_code),
    };
    if let Some(reason) = t.reason.as_deref().filter(|r| !matches!(*r, "Error" | "Completed")) {
        text.push_str(" (");
        text.push_str(reason);
        text.push(')');
    }
    text
}

/// The cause of a workload whose deadline passed.
pub(super) fn stuck(scope: &Scope<'_>, workload: &Key) -> Cause {
    let reason = DEADLINE;
    let Some(object) = scope.world.get(workload) else {
        let message = "it was not made in time".into();
        return Cause { object: workload.to_string(), reason: reason.into(), message, ..Cause::default() };
    };
    if let Some(message) = not_made(scope.world, object) {
        let reason = "FailedCreate".into();
        return Cause { object: workload.to_string(), reason, message, ..Cause::default() };
    }
    let set = present_set(scope.world, object);
    let mut unready = pods_of(scope.world, object, set.as_deref(), Which::Unready).into_iter();
    if let Some((object, _)) = unready.find(|(object, _)| !object.deleting()) {
        return stuck_pod(scope, workload, &read(object));
    }
    let message = "its rollout did not end in time".into();
    Cause { object: workload.to_string(), reason: reason.into(), message, ..Cause::default() }
}

fn stuck_pod(scope: &Scope<'_>, workload: &Key, pod: &Counted<'_>) -> Cause {
    let name = &pod.object.key.name;
    if let Some((name, start)) = failed_starts(pod).iter().next() {
        return start_cause(scope, workload, pod, name, start);
    }
    if pod.object.node.is_none() {
        let conditions = pod.status.conditions.iter().flatten();
        let said = conditions.into_iter().find(|c| c.type_ == "PodScheduled").and_then(|c| c.message.clone());
        return unscheduled_cause(scope, workload, pod, said.as_deref().unwrap_or("nothing has placed it"));
    }
    let reason = DEADLINE.into();
    let Some(container) = containers(&pod.status).find(|c| !c.ready) else {
        let message = format!("pod {name} is not ready in time");
        return Cause { reason, message, ..cause(workload, pod, None) };
    };
    Cause {
        reason,
        message: format!("container {} of pod {name} is not ready in time: {}", container.name, waits(pod, container)),
        logs: logs(scope, pod, &container.name),
        ..cause(workload, pod, Some(&container.name))
    }
}

/// What a container of a pod waits for, with the words of the probe that fails, if one does: the
/// agent puts them into the pod's condition, as `shop: readiness probe failed: ...`.
fn waits(pod: &Counted<'_>, container: &ContainerStatus) -> String {
    let prefix = format!("{}: ", container.name);
    let condition = pod.status.conditions.iter().flatten().find(|c| c.type_ == "ContainersReady");
    let told = condition.and_then(|c| c.message.as_deref()).unwrap_or_default();
    match told.split("; ").find_map(|part| part.strip_prefix(&prefix)) {
        Some(complaint) => format!("{}; {complaint}", waits_for(container)),
        None => waits_for(container),
    }
}

fn waits_for(container: &ContainerStatus) -> String {
    let state = container.state.clone().unwrap_or_default();
    if let Some(waiting) = state.waiting {
        let reason = waiting.reason.unwrap_or_default();
        return match waiting.message {
            Some(message) if !message.is_empty() => format!("{reason}: {message}"),
            _ => reason,
        };
    }
    if let Some(ended) = state.terminated {
        return exit_text(&ended);
    }
    if container.started == Some(false) {
        return "its startup probe has not succeeded".into();
    }
    "its readiness probe has not succeeded".into()
}

/// What fails a release within its watch window: a restart of a container since it was healthy, or
/// fewer pods available than promised because of pods that count.
pub(super) fn degraded(scope: &Scope<'_>, workload: &Key) -> Option<Cause> {
    let troubled = counted(scope, workload, Which::Troubled);
    let before = scope.rel.status.ended.as_ref();
    // One that is to end has done so.
    let crashed = troubled.iter().filter(|(_, record)| record.told.ended && record.phase != PodPhase::Succeeded);
    for pod in crashed.map(|(object, _)| read(object)) {
        let disturbed = disturbed(&pod);
        for container in containers(&pod.status) {
            let known = before.and_then(|all| all.get(&container_name(&pod, container))).copied().unwrap_or(0);
            if ends(container, &disturbed) > known {
                let count = crashes(container.restart_count, &disturbed, &container.name);
                return Some(crash_cause(scope, workload, &pod, container, count));
            }
        }
    }
    let object = scope.world.get(workload)?;
    let (available, wanted) = available(scope.world, object)?;
    if available >= wanted {
        return None;
    }
    // Of those that are missing, one must be to blame itself.
    let unready = counted(scope, workload, Which::Unready).into_iter().find_map(|(object, record)| {
        // One that was made since takes the place of a pod that somebody moved (a drain, a lost node):
        // it starts, and the release becomes good when it is up.
        let replaces = record.created > scope.since;
        if record.finished() || object.node.is_none() || replaces {
            return None;
        }
        let touched = |c: &ContainerStatus| crate::drift::touched(scope.world, &object.key, &c.name, scope.since);
        let pod = read(object);
        let blamed = |c: &&ContainerStatus| !c.ready && started(c) && blameless_end(c).is_none() && !touched(c);
        let container = containers(&pod.status).find(blamed).cloned()?;
        Some((pod, container))
    });
    unready.map(|(pod, container)| Cause {
        reason: "Unready".into(),
        message: format!(
            "{available} of {wanted} promised pods are available; container {} of pod {} is not ready: {}",
            container.name,
            pod.object.key.name,
            waits(&pod, &container)
        ),
        logs: logs(scope, &pod, &container.name),
        ..cause(workload, &pod, Some(&container.name))
    })
}

/// When a container that counts last ended by itself.
pub(super) fn last_crash(scope: &Scope<'_>, workload: &Key) -> Option<Time> {
    let pods = with_ends(scope, workload);
    let ends = pods
        .iter()
        .flat_map(|p| containers(&p.status))
        .flat_map(|c| [terminated(c.state.as_ref()), terminated(c.last_state.as_ref())].into_iter().flatten());
    ends.filter(|t| own_doing(t)).filter_map(|t| Some(Time(t.finished_at.as_ref()?.0.as_millisecond()))).max()
}

fn started(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|s| s.running.is_some())
}

/// Its last run was ended by somebody else: it is starting again.
fn blameless_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    terminated(container.last_state.as_ref()).filter(|t| !own_doing(t))
}

fn own_doing(t: &ContainerStateTerminated) -> bool {
    !matches!(t.reason.as_deref(), Some(podstatus::REASON_DRIFT | podstatus::REASON_ENGINE))
}

/// How often containers of a workload's pods that count have ended by themselves, by name; those left
/// out that never have.
pub(super) fn all_ends(scope: &Scope<'_>, workload: &Key) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    for pod in with_ends(scope, workload) {
        let disturbed = disturbed(&pod);
        let ended = containers(&pod.status).map(|c| (container_name(&pod, c), ends(c, &disturbed)));
        all.extend(ended.filter(|(_, times)| *times > 0));
    }
    all
}

fn container_name(pod: &Counted<'_>, container: &ContainerStatus) -> String {
    format!("{}/{}/{}", pod.object.key.namespace, pod.object.key.name, container.name)
}

/// How often a container has ended by itself: its restarts, and the end after which none came yet. One
/// that ended well at its own time is restarted as well, under `Always`; one that was disturbed does
/// not count.
fn ends(container: &ContainerStatus, disturbed: &BTreeMap<String, u32>) -> u32 {
    let state = container.state.as_ref();
    let waits = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref()) == Some("CrashLoopBackOff");
    let last = terminated(state).or_else(|| terminated(container.last_state.as_ref()).filter(|_| waits));
    crashes(container.restart_count, disturbed, &container.name) + u32::from(last.is_some_and(own_doing))
}

/// (available, promised) pods of a workload.
fn available(world: &World, object: &Arc<Object>) -> Option<(i32, i32)> {
    use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSetSpec, ReplicaSetStatus};
    match object.key.kind {
        Kind::Deployment => {
            let status: DeploymentStatus = object.status().ok().flatten().unwrap_or_default();
            Some((status.available_replicas.unwrap_or_default(), promised(object)))
        }
        Kind::ReplicaSet => {
            let status: ReplicaSetStatus = object.status().ok().flatten().unwrap_or_default();
            let spec: ReplicaSetSpec = object.spec().unwrap_or_default();
            Some((status.available_replicas.unwrap_or_default(), spec.replicas.unwrap_or(1)))
        }
        Kind::Pod => {
            let record = world.pods.get(&object.key)?;
            Some((i32::from(record.ready() || record.phase == PodPhase::Succeeded), 1))
        }
        _ => None,
    }
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
}

fn terminated(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    state.and_then(|s| s.terminated.as_ref())
}

fn condition_text(pod: &Counted<'_>, kind: &str) -> String {
    let found = pod.status.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True");
    found.and_then(|c| c.message.clone()).unwrap_or_default()
}

fn failed_starts(pod: &Counted<'_>) -> BTreeMap<String, FailedStart> {
    podstatus::failed_starts_parse(&condition_text(pod, podstatus::FAILED_STARTS))
}

fn disturbed(pod: &Counted<'_>) -> BTreeMap<String, u32> {
    podstatus::disturbed_parse(&condition_text(pod, podstatus::DISTURBED))
}

fn logs(scope: &Scope<'_>, pod: &Counted<'_>, container: &str) -> Vec<String> {
    let lines = scope.world.logs(pod.object.uid).and_then(|l| l.get(container)).cloned().unwrap_or_default();
    let skip = lines.len().saturating_sub(LOG_LINES);
    lines.into_iter().skip(skip).collect()
}
