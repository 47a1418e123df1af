//! The agent's commands, executed on the simulated engine: each takes effect after a latency and
//! answers then.

use std::{net::IpAddr, time::Duration};

use evenkeel_model::{Time, Uid};
use evenkeel_runtime::{
    ContainerId, ContainerInfo, ContainerSpec, ContainerState, EventAction, ImageInfo, PullFailure, Resources,
    RuntimeError, SandboxSpec, StartFailure,
};

use super::{
    engine::{Happening, SimContainer, SimRegistry, SimRuntime, Start},
    program::Program,
};
use crate::logic::{
    command::{Failure, Input, OpId, Output, PullPolicy, Target, Work},
    labels,
};

/// An operation under way.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub op: OpId,
    pub pod: Uid,
    pub work: Work,
    /// Its effect is through and only the answer is due.
    pub answer: Option<Result<Output, Failure>>,
}

fn away() -> Failure {
    Failure::Runtime(RuntimeError::EngineUnavailable { message: "connection refused".into() })
}

fn not_found(id: &ContainerId) -> Failure {
    Failure::Runtime(RuntimeError::NotFound { message: format!("No such container: {id}") })
}

impl SimRuntime {
    /// Begins an operation of the agent.
    pub(super) fn begin(&mut self, now: Time, op: OpId, pod: Uid, work: Work) {
        let mut at = now + self.latency();
        if let Work::Hook { target: Target::Sleep(time), .. } = &work {
            at = at + *time;
        }
        self.at(at, Happening::Work(Box::new(Job { op, pod, work, answer: None })));
    }

    /// An operation takes effect; gives the agent's input, if the answer is due now.
    pub(super) fn work(&mut self, now: Time, job: Job, registry: &SimRegistry) -> Option<Input> {
        let Job { op, pod, work, answer } = job;
        if let Some(result) = answer {
            return Some(Input::Done { op, result });
        }
        if !self.up && !matches!(work, Work::PrepareVolumes { .. } | Work::RemoveVolumes | Work::Hook { .. }) {
            if self.killed {
                self.half_done(now, &work);
            }
            return Some(Input::Done { op, result: Err(away()) });
        }
        if let Work::Stop { id, grace } = &work
            && let Some(after) = self.begin_stop(now, id, *grace)
        {
            // The process ends later, and the answer with it.
            self.at(
                now + after,
                Happening::Work(Box::new(Job { op, pod, work: Work::Kill { id: id.clone() }, answer: None })),
            );
            return None;
        }
        let result = self.effect(now, pod, work, registry);
        Some(Input::Done { op, result })
    }

    /// An engine that was killed may have begun a process that its successor does not know of.
    fn half_done(&mut self, now: Time, work: &Work) {
        let id = match work {
            _ if self.rng.below(2) == 0 => return,
            Work::Start { id } => id.clone(),
            Work::CreateSandbox { spec, .. } => {
                let image = ("sandbox", Program::good());
                let Ok(id) = self.add(now, &spec.name, &spec.labels, image, Resources::default()) else { return };
                id
            }
            _ => return,
        };
        let alive = |id| self.containers.get(id).is_some_and(|c| c.info.state.is_alive());
        let Some(c) = self.containers.get(&id).filter(|c| c.info.state == ContainerState::Created) else { return };
        let joins = c.info.joins.as_ref();
        if joins.is_none_or(alive) {
            self.orphans.insert(id, c.info.labels.clone());
        }
    }

    fn check_own(&mut self, id: &ContainerId, act: &str) {
        if matches!(act, "stop" | "kill" | "remove") {
            self.note_stop(id);
        }
        if self.containers.get(id).is_some_and(|c| !c.by_agent) {
            self.violations.push(format!("the agent would {act} the foreign container {id}"));
        }
    }

    /// Sends the stop signal; gives how long the process still takes, if it runs.
    fn begin_stop(&mut self, now: Time, id: &ContainerId, grace: Duration) -> Option<Duration> {
        self.check_own(id, "stop");
        let c = self.containers.get_mut(id).filter(|c| c.info.state.is_alive())?;
        if let ContainerState::Paused { pid, started } = c.info.state {
            c.info.state = ContainerState::Running { pid, started };
        }
        let stops = c.program.stops_after.filter(|t| *t < grace);
        self.event(now, id, EventAction::Killed { signal: 15 });
        if let Some(after) = stops {
            let run = self.containers.get(id).map_or(0, |c| c.run);
            self.at(now + after, Happening::Ends { id: id.clone(), run, code: 143, oom: false });
        }
        Some(stops.map_or(grace, |t| t + Duration::from_millis(1)))
    }

    fn effect(&mut self, now: Time, pod: Uid, work: Work, registry: &SimRegistry) -> Result<Output, Failure> {
        match work {
            Work::PrepareVolumes { .. } => {
                self.volumes.insert(pod);
                Ok(Output::Done)
            }
            Work::RemoveVolumes => {
                self.volumes.remove(&pod);
                Ok(Output::Done)
            }
            Work::EnsureImage { image, policy, pinned, .. } => self.image(now, &image, policy, pinned, registry),
            Work::CreateSandbox { spec, .. } => self.sandbox(now, pod, &spec),
            Work::CreateContainer { sandbox, spec, .. } => self.create(now, &sandbox, &spec),
            Work::Start { id } => self.start(now, &id),
            Work::Stop { id, .. } => self.containers.get(&id).map(|_| Output::Done).ok_or_else(|| not_found(&id)),
            Work::Kill { id } => {
                self.check_own(&id, "kill");
                if self.containers.get(&id).is_some_and(|c| c.info.state.is_alive()) {
                    self.event(now, &id, EventAction::Killed { signal: 9 });
                    self.end(now, &id, 137, false);
                }
                Ok(Output::Done)
            }
            Work::Remove { id, orphans } => {
                self.check_own(&id, "remove");
                if orphans {
                    self.orphans.remove(&id);
                }
                self.remove(now, &id);
                Ok(Output::Done)
            }
            Work::Inspect { id } => Ok(Output::Inspected(self.containers.get(&id).map(|c| Box::new(c.info.clone())))),
            Work::Unpause { id } => {
                self.check_own(&id, "unpause");
                let c = self.containers.get_mut(&id).ok_or_else(|| not_found(&id))?;
                if let ContainerState::Paused { pid, started } = c.info.state {
                    c.info.state = ContainerState::Running { pid, started };
                    self.event(now, &id, EventAction::Unpaused);
                }
                Ok(Output::Done)
            }
            Work::Rename { id, name } => {
                self.check_own(&id, "rename");
                self.rename(now, &id, &name);
                Ok(Output::Done)
            }
            Work::Update { id, resources } => {
                self.check_own(&id, "update");
                self.update(now, &id, resources);
                Ok(Output::Done)
            }
            Work::Probe { target, .. } => Ok(self.probe(now, &target)),
            Work::Hook { .. } => Ok(Output::Done),
            Work::Tail { .. } => Ok(Output::Logs(vec!["the last words of the program".into()])),
        }
    }

    fn image(
        &mut self,
        now: Time,
        reference: &str,
        policy: PullPolicy,
        pinned: Option<String>,
        registry: &SimRegistry,
    ) -> Result<Output, Failure> {
        if let Some((info, _)) = pinned.and_then(|id| self.images.get(&id)) {
            return Ok(Output::Image(info.clone()));
        }
        let local = self.tags.get(reference).and_then(|id| self.images.get(id)).map(|(info, _)| info.clone());
        match (local, policy) {
            (Some(info), PullPolicy::IfNotPresent | PullPolicy::Never) => return Ok(Output::Image(info)),
            (None, PullPolicy::Never) => {
                return Err(Failure::Runtime(RuntimeError::ImageNotPresent { image: reference.to_owned() }));
            }
            _ => {}
        }
        let fail = |failure, message: &str| {
            Err(Failure::Runtime(RuntimeError::Pull { image: reference.to_owned(), failure, message: message.into() }))
        };
        if !registry.up {
            return fail(PullFailure::RegistryUnreachable, "dial tcp: connection refused");
        }
        let Some((id, program)) = registry.get(reference) else {
            return fail(PullFailure::NotFound, "manifest unknown");
        };
        let info = ImageInfo {
            id: id.clone(),
            tags: vec![reference.to_owned()],
            created: self.clock.wall(now),
            ..ImageInfo::default()
        };
        self.images.insert(id.clone(), (info.clone(), program.clone()));
        self.tags.insert(reference.to_owned(), id.clone());
        Ok(Output::Image(info))
    }

    fn add(
        &mut self,
        now: Time,
        name: &str,
        labels: &std::collections::BTreeMap<String, String>,
        image: (&str, Program),
        resources: Resources,
    ) -> Result<ContainerId, Failure> {
        if self.containers.values().any(|c| c.info.name == name) {
            let message = format!("Conflict. The container name \"/{name}\" is already in use");
            return Err(Failure::Runtime(RuntimeError::Conflict { message }));
        }
        let id = self.new_id();
        let info = ContainerInfo {
            id: id.clone(),
            name: name.to_owned(),
            labels: labels.clone(),
            image: image.0.to_owned(),
            image_id: image.0.to_owned(),
            created: self.clock.wall(now),
            state: ContainerState::Created,
            resources,
            engine_restarts: false,
            ip: None,
            joins: None,
            network: evenkeel_runtime::SandboxNetwork::Default,
        };
        let made = SimContainer { info, program: image.1, by_agent: true, ports: Vec::new(), began: now, run: 0 };
        self.containers.insert(id.clone(), made);
        self.event(now, &id, EventAction::Created);
        Ok(id)
    }

    fn sandbox(&mut self, now: Time, pod: Uid, spec: &SandboxSpec) -> Result<Output, Failure> {
        let taken = |c: &SimContainer| {
            c.info.state.is_alive()
                && c.ports
                    .iter()
                    .any(|a| spec.host_ports.iter().any(|b| a.host_port == b.host_port && a.protocol == b.protocol))
        };
        if self.containers.values().any(taken) {
            let message = "driver failed programming external connectivity: port is already allocated".into();
            return Err(Failure::Runtime(RuntimeError::Start { failure: StartFailure::PortInUse, message }));
        }
        let id = self.add(now, &spec.name, &spec.labels, ("sandbox", Program::good()), Resources::default())?;
        let uid = pod.to_string();
        let beside = |c: &SimContainer| {
            let has = &c.info.labels;
            let own = has.get(labels::POD_UID) == Some(&uid) && has.contains_key(labels::SANDBOX);
            c.by_agent && own && c.info.state.is_alive()
        };
        if self.containers.values().any(beside) {
            self.violations.push(format!("a second sandbox of pod {uid} is made beside one that is alive"));
        }
        let ip = self.address();
        self.plugged.push((pod, ip));
        if let Some(c) = self.containers.get_mut(&id) {
            c.info.ip = Some(ip);
            c.ports.clone_from(&spec.host_ports);
        }
        self.run(now, &id);
        Ok(Output::Sandbox { id, ip: Some(ip) })
    }

    fn create(&mut self, now: Time, sandbox: &ContainerId, spec: &ContainerSpec) -> Result<Output, Failure> {
        let Some((_, program)) = self.images.get(&spec.image).cloned() else {
            return Err(Failure::Runtime(RuntimeError::ImageNotPresent { image: spec.image.clone() }));
        };
        if !program.creatable {
            return Err(Failure::Runtime(RuntimeError::Create { message: "invalid configuration".into() }));
        }
        let id = self.add(now, &spec.name, &spec.labels, (&spec.image, program), spec.resources)?;
        if let Some(c) = self.containers.get_mut(&id) {
            c.info.joins = Some(sandbox.clone());
        }
        Ok(Output::Created { id })
    }

    fn start(&mut self, now: Time, id: &ContainerId) -> Result<Output, Failure> {
        self.check_own(id, "start");
        let c = self.containers.get(id).ok_or_else(|| not_found(id))?;
        if c.info.state.is_alive() {
            return Ok(Output::Done);
        }
        let fail =
            |failure, message: &str| Err(Failure::Runtime(RuntimeError::Start { failure, message: message.into() }));
        let sandbox = c.info.joins.as_ref().and_then(|s| self.containers.get(s));
        let Some(sandbox) = sandbox.filter(|s| s.info.state.is_alive()) else {
            return fail(StartFailure::SandboxGone, "cannot join network of a non running container");
        };
        if self.orphans.contains_key(id) {
            return fail(StartFailure::Other, &format!("task {id}: already exists"));
        }
        if !c.program.startable {
            return fail(StartFailure::ExecutableNotFound, "exec: \"nope\": executable file not found in $PATH");
        }
        let pod = c.info.labels.get(labels::POD_UID).cloned().unwrap_or_default();
        self.starts.push(Start { pod, address: sandbox.info.ip });
        self.run(now, id);
        Ok(Output::Done)
    }

    fn probe(&self, now: Time, target: &Target) -> Output {
        let (mut asked, ready): (Vec<&SimContainer>, bool) = match target {
            Target::Exec { id, command } => {
                (self.containers.get(id).into_iter().collect(), command.iter().any(|a| a.contains("ready")))
            }
            Target::Http { host, path, .. } => (self.behind(host), path.contains("ready")),
            Target::Tcp { host, .. } | Target::Grpc { host, .. } => (self.behind(host), true),
            Target::Sleep(_) => (Vec::new(), false),
        };
        asked.retain(|c| matches!(c.info.state, ContainerState::Running { .. }));
        let since = |c: &SimContainer| now.since(c.began);
        let well = |c: &&SimContainer| {
            let p = &c.program;
            if ready { p.ready_after.is_some_and(|t| since(c) >= t) } else { p.sick_after.is_none_or(|t| since(c) < t) }
        };
        let ok = !asked.is_empty() && asked.iter().all(well);
        Output::Probe { ok, message: if ok { "200" } else { "HTTP probe failed with statuscode: 503" }.into() }
    }

    /// Containers in the pod that has this address.
    fn behind(&self, host: &str) -> Vec<&SimContainer> {
        let Ok(ip) = host.parse::<IpAddr>() else { return Vec::new() };
        let sandbox = self.containers.values().find(|c| c.info.ip == Some(ip)).map(|c| &c.info.id);
        self.containers.values().filter(|c| c.info.joins.is_some() && c.info.joins.as_ref() == sandbox).collect()
    }

    /// The agent's process ends: of what it had under way, some takes effect and some does not, and
    /// nobody is told.
    pub(super) fn abandon(&mut self, now: Time, registry: &SimRegistry) {
        let due: Vec<(Time, u64)> = self.queue.keys().copied().collect();
        for key in due {
            match self.queue.remove(&key) {
                Some(Happening::Work(job)) if self.up && job.answer.is_none() && self.rng.below(2) == 0 => {
                    // The effect alone: the answer goes nowhere.
                    let _unheard = self.effect(now, job.pod, job.work, registry);
                }
                Some(end @ Happening::Ends { .. }) => {
                    self.queue.insert(key, end);
                }
                _ => {}
            }
        }
        // What those effects would tell is heard by nobody either.
        self.queue.retain(|_, h| matches!(h, Happening::Ends { .. }));
    }

    /// What the engine lists of a cluster.
    pub(super) fn list(&self, cluster: &str) -> Result<Vec<ContainerInfo>, RuntimeError> {
        if !self.up {
            return Err(RuntimeError::EngineUnavailable { message: "connection refused".into() });
        }
        let ours = |c: &&SimContainer| c.info.labels.get(labels::CLUSTER).is_some_and(|v| v == cluster);
        Ok(self.containers.values().filter(ours).map(|c| c.info.clone()).collect())
    }
}
