//! A pod's status in Kubernetes' form: phase, conditions, container statuses, and the two
//! conditions with counts that `evenkeel_model::podstatus` describes.

use std::collections::BTreeMap;

use evenkeel_model::{
    Time,
    podstatus::{DISTURBED, FAILED_STARTS, FailedStart, disturbed_text, failed_starts_text},
};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    PodCondition, PodIP, PodStatus,
};

use super::{
    Cont, Mode, Pod, Volumes,
    container::{Kind, State},
};
use crate::logic::{journal::Terminated, settings::Config};

fn terminated(t: &Terminated) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("docker://{}", t.id)),
            exit_code: t.code,
            finished_at: Some(t.finished.to_k8s()),
            message: Some(t.message.clone()).filter(|m| !m.is_empty()),
            reason: Some(t.reason.clone()),
            signal: None,
            started_at: Some(t.started.to_k8s()),
        }),
        ..ContainerState::default()
    }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|m| !m.is_empty()),
        }),
        ..ContainerState::default()
    }
}

/// One container's part in the phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Waiting,
    Running,
    Stopped { well: bool },
}

/// Why a container waits whose end is still being looked into.
const ENDED: &str = "ContainerEnded";

impl Pod {
    /// The whole status.
    pub(in crate::logic) fn status(&mut self, config: &Config, now: Time) -> PodStatus {
        let phase = self.phase();
        let conditions = self.conditions(&phase, now);
        let of = |kinds: &[Kind]| -> Vec<ContainerStatus> {
            self.containers.iter().filter(|c| kinds.contains(&c.kind)).map(|c| self.container_status(c)).collect()
        };
        let (inits, mains) = (of(&[Kind::Init, Kind::Sidecar]), of(&[Kind::Main]));
        let ip = self.ip().map(|ip| ip.to_string());
        let host = config.node_ip.map(|ip| ip.to_string());
        PodStatus {
            phase: Some(phase),
            conditions: Some(conditions),
            message: self.invalid.clone(),
            reason: self.invalid.as_ref().map(|_| "InvalidPod".to_owned()),
            container_statuses: Some(mains),
            init_container_statuses: Some(inits).filter(|l| !l.is_empty()),
            ephemeral_container_statuses: Some(of(&[Kind::Ephemeral])).filter(|l| !l.is_empty()),
            host_ips: host.clone().map(|ip| vec![HostIP { ip }]),
            host_ip: host,
            pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
            pod_ip: ip,
            start_time: Some(self.started.to_k8s()),
            qos_class: Some(self.qos().to_owned()),
            ..PodStatus::default()
        }
    }

    fn phase(&self) -> String {
        // Nobody isolates a pod that has ended, and a sidecar may still run, or a start be under way that came
        // before the order to end. The kubelet waits as well, since 1.27.
        let over = self.containers.iter().all(Cont::quiet);
        if let Some(finished) = self.finished.as_ref().filter(|_| over) {
            return finished.clone();
        }
        if !self.initialized {
            return "Pending".into();
        }
        let parts: Vec<Part> = self.containers.iter().filter(|c| c.kind == Kind::Main).map(part).collect();
        let all = |f: &dyn Fn(&Part) -> bool| parts.iter().all(f);
        if parts.contains(&Part::Waiting) {
            return "Pending".into();
        }
        let stopped = !parts.is_empty() && all(&|p| matches!(p, Part::Stopped { .. }));
        if stopped && over && matches!(self.mode, Mode::Deleting { .. } | Mode::Gone) {
            return if all(&|p| *p == Part::Stopped { well: true }) { "Succeeded" } else { "Failed" }.into();
        }
        "Running".into()
    }

    fn container_status(&self, c: &Cont) -> ContainerStatus {
        let (state, last) = self.states(c);
        let current = match &c.state {
            State::Running(run) | State::Ending { run, .. } => Some(run.id.clone()),
            _ => c.book.last.as_ref().map(|t| t.id.clone()),
        };
        ContainerStatus {
            name: c.spec.name.clone(),
            image: c.spec.image.clone().unwrap_or_default(),
            image_id: c.book.image_id.clone(),
            container_id: current.map(|id| format!("docker://{id}")),
            ready: c.is_ready(),
            started: Some(c.is_started()),
            restart_count: i32::try_from(c.book.restarts).unwrap_or(i32::MAX),
            state: Some(state),
            last_state: last,
            ..ContainerStatus::default()
        }
    }

    /// State and last state.
    fn states(&self, c: &Cont) -> (ContainerState, Option<ContainerState>) {
        let last = c.book.last.as_ref();
        let other = |id: &evenkeel_runtime::ContainerId| last.filter(|t| t.id != *id).map(terminated);
        match &c.state {
            State::Running(run) => {
                let running = ContainerStateRunning { started_at: Some(run.started.to_k8s()) };
                (ContainerState { running: Some(running), ..ContainerState::default() }, other(&run.id))
            }
            // Not running, and not known yet by whose doing: no state that a release could blame.
            State::Ending { run, .. } => (waiting(ENDED, "it ended; how is being asked"), other(&run.id)),
            State::Ended { .. } => (last.map(terminated).unwrap_or_default(), None),
            _ if c.kind == Kind::Init && c.book.completed => (last.map(terminated).unwrap_or_default(), None),
            State::Held { why, .. } => (waiting(&why.reason, &why.message), last.map(terminated)),
            _ => (self.waits(c), last.map(terminated)),
        }
    }

    /// Why a container that is not there yet waits.
    fn waits(&self, c: &Cont) -> ContainerState {
        if let Some(failed) = &c.failed {
            return waiting(&failed.reason, &c.failed_message);
        }
        for t in [&self.volumes_trouble, &self.sandbox_trouble] {
            if let Some(failed) = &t.failed {
                return waiting(&failed.reason, &t.message);
            }
        }
        if c.kind == Kind::Main && !self.initialized {
            waiting("PodInitializing", "")
        } else {
            waiting("ContainerCreating", "")
        }
    }

    fn conditions(&mut self, phase: &str, now: Time) -> Vec<PodCondition> {
        let names = |list: Vec<&Cont>| list.iter().map(|c| c.spec.name.clone()).collect::<Vec<_>>().join(" ");
        let over = matches!(phase, "Succeeded" | "Failed");
        let unready: Vec<&Cont> =
            self.containers.iter().filter(|c| matches!(c.kind, Kind::Main | Kind::Sidecar) && !c.is_ready()).collect();
        let mut unready_text = format!("containers with unready status: [{}]", names(unready.clone()));
        let complaints: Vec<String> = unready.iter().filter_map(|c| Self::probe_complaint(c)).collect();
        if !complaints.is_empty() {
            unready_text = format!("{unready_text}; {}", complaints.join("; "));
        }
        let incomplete: Vec<&Cont> =
            self.containers.iter().filter(|c| c.kind != Kind::Main && !super::passed(c)).collect();
        let incomplete_text = format!("containers with incomplete status: [{}]", names(incomplete));
        let ready = unready.is_empty() && !self.containers.is_empty() && !over;
        let not_ready = if over { ("PodCompleted", String::new()) } else { ("ContainersNotReady", unready_text) };
        let sandbox = self.sandbox_ready().is_some() && (self.volumes_ready() || self.volumes_in_renewal());
        let list = [
            ("Initialized", self.initialized || phase == "Succeeded", ("ContainersNotInitialized", incomplete_text)),
            ("ContainersReady", ready, not_ready.clone()),
            ("Ready", ready, not_ready),
            ("PodReadyToStartContainers", sandbox, ("", String::new())),
        ];
        let mut out: Vec<PodCondition> = Vec::new();
        for (name, holds, (reason, message)) in list {
            let (reason, message) = if holds { ("", String::new()) } else { (reason, message) };
            out.push(self.condition(name, holds, reason, message, now));
        }
        out.extend(self.counts(now));
        out
    }

    fn volumes_in_renewal(&self) -> bool {
        matches!(self.volumes, Volumes::Preparing(_)) && self.initialized
    }

    fn condition(&mut self, name: &str, holds: bool, reason: &str, message: String, now: Time) -> PodCondition {
        let since = match self.conditions.get(name) {
            Some((before, since)) if *before == holds => *since,
            _ => {
                self.conditions.insert(name.to_owned(), (holds, now));
                self.dirty = true;
                now
            }
        };
        PodCondition {
            type_: name.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: Some(reason.to_owned()).filter(|r| !r.is_empty()),
            message: Some(message).filter(|m| !m.is_empty()),
            last_transition_time: Some(since.to_k8s()),
            ..PodCondition::default()
        }
    }

    fn counts(&mut self, now: Time) -> Vec<PodCondition> {
        let disturbed: BTreeMap<String, u32> = self
            .containers
            .iter()
            .filter(|c| c.book.disturbed > 0)
            .map(|c| (c.spec.name.clone(), c.book.disturbed))
            .collect();
        let mut failed: BTreeMap<String, FailedStart> =
            self.containers.iter().filter_map(|c| Some((c.spec.name.clone(), c.failed.clone()?))).collect();
        // Trouble of the whole pod is told of its first ordinary container, which waits for it.
        for t in [&self.volumes_trouble, &self.sandbox_trouble] {
            let first = self.containers.iter().find(|c| c.kind == Kind::Main);
            if let (Some(f), Some(c)) = (&t.failed, first) {
                failed.entry(c.spec.name.clone()).or_insert_with(|| f.clone());
            }
        }
        let mut out = Vec::new();
        for (name, text) in [(DISTURBED, disturbed_text(&disturbed)), (FAILED_STARTS, failed_starts_text(&failed))] {
            if text.is_empty() {
                self.conditions.remove(name);
            } else {
                out.push(self.condition(name, true, "Counted", text, now));
            }
        }
        out
    }

    /// `qosClass`, by requests and limits of cpu and memory.
    fn qos(&self) -> &'static str {
        let (mut any, mut guaranteed) = (false, true);
        for c in &self.containers {
            let r = c.spec.resources.clone().unwrap_or_default();
            let (requests, limits) = (r.requests.unwrap_or_default(), r.limits.unwrap_or_default());
            for name in ["cpu", "memory"] {
                any |= requests.contains_key(name) || limits.contains_key(name);
                let (limit, request) = (limits.get(name), requests.get(name).or(limits.get(name)));
                guaranteed &= limit.is_some() && limit == request;
            }
        }
        match (any, guaranteed) {
            (false, _) => "BestEffort",
            (true, true) => "Guaranteed",
            (true, false) => "Burstable",
        }
    }
}

fn part(c: &Cont) -> Part {
    match (&c.state, &c.book.last) {
        (State::Running(_) | State::Ending { .. }, _) => Part::Running,
        (_, Some(last)) => Part::Stopped { well: last.code == 0 },
        (_, None) => Part::Waiting,
    }
}
