//! Rows of pods: the summary of a pod's state in a few words, as kubectl users know it.

use evenkeel_model::{Object, Time};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodSpec, PodStatus};
use serde_json::Value;

use super::{Column, age, ago, name, or_none, text, wide};

pub(super) const COLUMNS: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Status"),
    text("Restarts"),
    text("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

/// What the columns Ready, Status and Restarts show.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i32,
    last_restart: Option<Time>,
}

pub(super) fn cells(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<PodSpec>().unwrap_or_default();
    let status = object.status::<PodStatus>().ok().flatten().unwrap_or_default();
    let summary = summarize(object, &spec, &status);
    let restarts = match summary.last_restart {
        Some(t) if summary.restarts > 0 => format!("{} ({} ago)", summary.restarts, ago(Some(t), now)),
        _ => summary.restarts.to_string(),
    };
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let open = gates.iter().filter(|g| conditions.iter().any(|c| c.type_ == g.condition_type && c.status == "True"));
    let gate_text = if gates.is_empty() { "<none>".into() } else { format!("{}/{}", open.count(), gates.len()) };
    vec![
        name(object),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(object, now),
        or_none(status.pod_ip.as_deref()),
        or_none(object.node.as_deref()),
        or_none(status.nominated_node_name.as_deref()),
        gate_text.into(),
    ]
}

fn summarize(object: &Object, spec: &PodSpec, status: &PodStatus) -> Summary {
    let reason = status.reason.clone().filter(|r| !r.is_empty()).or_else(|| status.phase.clone());
    let mut out = Summary {
        ready: 0,
        total: spec.containers.len(),
        reason: reason.unwrap_or_else(|| "Pending".into()),
        restarts: 0,
        last_restart: None,
    };
    let init = init_containers(&mut out, spec, status);
    let initialized = status.conditions.iter().flatten().any(|c| c.type_ == "Initialized" && c.status == "True");
    if !init.waiting || initialized {
        // Once the pod runs, only the restarts of what goes on running count.
        (out.restarts, out.last_restart) = init.sidecars;
        main_containers(&mut out, status);
    }
    if object.deleting() {
        let lost = status.reason.as_deref() == Some("NodeLost");
        out.reason = if lost { "Unknown".into() } else { "Terminating".into() };
    }
    out
}

/// What the init containers say.
#[derive(Default)]
struct Init {
    /// One of them is what the pod waits for.
    waiting: bool,
    /// Restarts of sidecars, and when the last one was.
    sidecars: (i32, Option<Time>),
}

fn init_containers(out: &mut Summary, spec: &PodSpec, status: &PodStatus) -> Init {
    let mut init = Init::default();
    let specs = spec.init_containers.as_deref().unwrap_or_default();
    let sidecar = |n: &str| specs.iter().any(|c| c.name == n && c.restart_policy.as_deref() == Some("Always"));
    out.total += specs.iter().filter(|c| c.restart_policy.as_deref() == Some("Always")).count();
    for (i, container) in status.init_container_statuses.iter().flatten().enumerate() {
        let is_sidecar = sidecar(&container.name);
        count_restarts(out, container);
        if is_sidecar {
            init.sidecars = (init.sidecars.0 + container.restart_count, init.sidecars.1.max(last_end(container)));
        }
        let state = container.state.clone().unwrap_or_default();
        if state.terminated.as_ref().is_some_and(|t| t.exit_code == 0) {
            continue;
        }
        if is_sidecar && container.started == Some(true) {
            out.ready += usize::from(container.ready);
            continue;
        }
        out.reason = match (&state.terminated, &state.waiting) {
            (Some(_), _) => format!("Init:{}", ended(&state).unwrap_or_default()),
            (None, Some(w)) if w.reason.as_deref().is_some_and(|r| !r.is_empty() && r != "PodInitializing") => {
                format!("Init:{}", w.reason.as_deref().unwrap_or_default())
            }
            _ => format!("Init:{i}/{}", specs.len()),
        };
        init.waiting = true;
        return init;
    }
    init
}

fn main_containers(out: &mut Summary, status: &PodStatus) {
    let mut running = false;
    // The first container's trouble wins: the list is walked from its end.
    for container in status.container_statuses.iter().flatten().rev() {
        count_restarts(out, container);
        let state = container.state.clone().unwrap_or_default();
        match (&state.waiting, &state.terminated) {
            (Some(w), _) if w.reason.as_deref().is_some_and(|r| !r.is_empty()) => {
                out.reason = w.reason.clone().unwrap_or_default();
            }
            (_, Some(_)) => out.reason = ended(&state).unwrap_or_default(),
            _ if container.ready && state.running.is_some() => {
                running = true;
                out.ready += 1;
            }
            _ => {}
        }
    }
    if out.reason == "Completed" && running {
        let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
        out.reason = if ready { "Running".into() } else { "NotReady".into() };
    }
}

fn count_restarts(out: &mut Summary, container: &ContainerStatus) {
    out.restarts += container.restart_count;
    out.last_restart = out.last_restart.max(last_end(container));
}

fn last_end(container: &ContainerStatus) -> Option<Time> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?;
    Some(Time(ended.0.as_millisecond()))
}

fn ended(state: &ContainerState) -> Option<String> {
    let t = state.terminated.as_ref()?;
    Some(match (t.reason.as_deref(), t.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.into(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", t.exit_code),
    })
}
