//! A container's way up: image, creation, start, postStart hook, and the waits between them.

use std::time::Duration;

use evenkeel_model::{Time, podstatus::FailedStart};
use evenkeel_runtime::{ContainerId, Processes, RuntimeError};
use k8s_openapi::{api::core::v1::LifecycleHandler, apimachinery::pkg::util::intstr::IntOrString};

use super::{
    Mode, Pod,
    container::{Fix, Kind, Run, State, Step, StopWhy, Why},
};
use crate::logic::{
    build,
    command::{Failure, OpId, Output, PullPolicy, Target, Work},
    happened::Tone,
    journal::{Due, Terminated},
    ops::{Cx, Purpose, doubled},
    secrets,
};

/// A hook without an end of its own is given up after the pod's grace, and never sooner than this.
const MIN_HOOK: Duration = Duration::from_secs(30);

/// Exit code of a container whose program could not be started.
const START_ERROR: i32 = 128;

impl Pod {
    /// Takes one container as far as it goes now.
    pub(super) fn drive_container(&mut self, i: usize, cx: &mut Cx<'_>) {
        // Each round changes the state or ends; the states form no circle without a wait.
        for _ in 0..8 {
            let moved = match &self.containers[i].state {
                State::Waiting => self.begin(i, cx),
                State::Fetched => self.create(i, cx),
                State::Held { until, .. } if *until <= cx.now => self.set(i, State::Waiting),
                State::Created(_) => self.start(i, cx),
                State::Running(run) if run.stop.is_none() => self.watch(i, cx),
                State::Running(_) => self.push_stop(i, cx),
                State::Ending { op: None, .. } if cx.engine => self.ask_the_end(i, cx),
                State::Ended { held: false } => self.decide(i, cx),
                _ => false,
            };
            if !moved {
                return;
            }
            self.news = true;
        }
    }

    pub(super) fn set(&mut self, i: usize, state: State) -> bool {
        self.containers[i].state = state;
        true
    }

    fn begin(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        if !cx.engine || !self.may_begin(i) {
            return false;
        }
        let c = &self.containers[i];
        if c.kind == Kind::Init && c.book.completed {
            return false;
        }
        if c.kind == Kind::Ephemeral && c.book.started {
            return self.set(i, State::Ended { held: false });
        }
        if c.book.due == Due::Own && c.book.last.is_some() && !self.restarts(i) {
            // Ended for good before this agent began, and nothing of it is left in the engine.
            return self.set(i, State::Ended { held: false });
        }
        if c.image.is_some() {
            return self.set(i, State::Fetched);
        }
        let image = c.spec.image.clone().unwrap_or_default();
        let policy = match c.spec.image_pull_policy.as_deref() {
            Some("Always") => PullPolicy::Always,
            Some("Never") => PullPolicy::Never,
            _ => PullPolicy::IfNotPresent,
        };
        // A container that ran once goes on with the image that it ran, registry or not.
        let ran = Some(&c.book.image_id).filter(|id| !id.is_empty());
        let pinned = self.order.image_ids.get(&c.spec.name).or(ran).cloned();
        let auths = secrets::registry_auths(&self.order, &self.spec);
        if policy == PullPolicy::Always && pinned.is_none() {
            self.tell_of(i, Tone::Normal, "Pulling", &format!("Pulling image \"{image}\""), cx);
        }
        let op = cx.run(self.uid(), Purpose::Image(i), Work::EnsureImage { image, policy, pinned, auths });
        self.set(i, State::Fetching(op))
    }

    pub(super) fn image_done(&mut self, i: usize, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if !matches!(self.containers[i].state, State::Fetching(o) if o == op) {
            return;
        }
        match result {
            Ok(output @ (Output::Image(_) | Output::Pulled(..))) => {
                let name = self.containers[i].spec.image.clone().unwrap_or_default();
                let message = match &output {
                    Output::Pulled(_, took) => format!("Successfully pulled image \"{name}\" in {took:.1?}"),
                    _ => format!("Image \"{name}\" is present on the node"),
                };
                let (Output::Image(image) | Output::Pulled(image, _)) = output else { return };
                let c = &mut self.containers[i];
                c.book.image_id.clone_from(&image.id);
                c.image = Some(image);
                c.state = State::Fetched;
                self.dirty = true;
                self.tell_of(i, Tone::Normal, "Pulled", &message, cx);
            }
            Ok(_) => self.containers[i].state = State::Waiting,
            Err(failure) => {
                let reason = match &failure {
                    Failure::Runtime(e) => e.reason(),
                    _ => "ErrImagePull",
                };
                self.failed_start(i, reason, &failure, cx);
            }
        }
    }

    /// Notes a failed step before the container ran, and waits.
    fn failed_start(&mut self, i: usize, reason: &str, failure: &Failure, cx: &mut Cx<'_>) {
        let c = &mut self.containers[i];
        let message = failure.to_string();
        if matches!(failure, Failure::Runtime(e) if e.is_engine()) {
            let why = Why { reason: "ContainerCreating".into(), message };
            c.state = State::Held { until: cx.now + cx.settings().engine_retry, why };
            return;
        }
        let tries = c.failed.as_ref().map_or(0, |f| f.tries) + 1;
        c.failed = Some(FailedStart { tries, reason: reason.to_owned(), outside: failure.is_outside() });
        c.retry = doubled(c.retry, cx.settings().retry_first, cx.settings().retry_max);
        c.failed_message.clone_from(&message);
        let pulling = matches!(reason, "ErrImagePull" | "RegistryUnavailable") && tries > 1;
        let why = if pulling {
            let image = c.spec.image.as_deref().unwrap_or_default();
            Why {
                reason: "ImagePullBackOff".into(),
                message: format!("Back-off pulling image \"{image}\": {reason}: {message}"),
            }
        } else {
            Why { reason: reason.to_owned(), message: message.clone() }
        };
        c.state = State::Held { until: cx.now + c.retry, why };
        self.tell_failure(i, reason, &message, tries > 1, cx);
    }

    fn create(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        let (true, true, Some(sandbox)) = (cx.engine, self.volumes_ready(), self.sandbox_ready().map(|s| s.id.clone()))
        else {
            return false;
        };
        let Some(image) = self.containers[i].image.clone() else { return self.set(i, State::Waiting) };
        let beside = match self.beside(i) {
            Ok(beside) => beside,
            Err(message) => {
                self.failed_start(i, "CreateContainerConfigError", &Failure::Internal(message), cx);
                return true;
            }
        };
        let attempt = self.containers[i].book.attempt + 1;
        let built = build::container(
            &self.facts(cx),
            &self.spec,
            &self.containers[i].spec,
            &image,
            &cx.config.cluster,
            attempt,
        );
        let mut built = match built {
            Ok(built) => built,
            Err(message) => {
                self.failed_start(i, "CreateContainerConfigError", &Failure::Internal(message), cx);
                return true;
            }
        };
        if let Some(id) = beside.filter(|_| built.spec.processes == Processes::Own) {
            built.spec.processes = Processes::Of(id);
        }
        let c = &mut self.containers[i];
        c.book.attempt = attempt;
        c.book.spec_hash = built.spec.labels.get(crate::logic::labels::SPEC_HASH).cloned().unwrap_or_default();
        let old = c.book.id.take();
        let older = old.and_then(|old| c.book.previous.replace(old));
        if let Some(id) = older {
            self.throw(id);
        }
        self.dirty = true;
        let service_links = self.spec.enable_service_links.unwrap_or(true);
        let work = Work::CreateContainer { sandbox, spec: Box::new(built.spec), volumes: built.volumes, service_links };
        let op = cx.run(self.uid(), Purpose::Create(i), work);
        self.set(i, State::Creating(op))
    }

    /// The container whose processes this one shall see; one that does not run has none.
    fn beside(&self, i: usize) -> Result<Option<ContainerId>, String> {
        let name = &self.containers[i].spec.name;
        let mut ephemeral = self.spec.ephemeral_containers.iter().flatten();
        let target = ephemeral.find(|e| e.name == *name).and_then(|e| e.target_container_name.as_deref());
        let Some(target) = target.filter(|t| !t.is_empty()) else { return Ok(None) };
        let running = self.containers.iter().find(|c| c.spec.name == target).and_then(|c| c.run());
        running
            .map(|run| Some(run.id.clone()))
            .ok_or_else(|| format!("the target container {target:?} does not run, so nobody sees its processes"))
    }

    pub(super) fn create_done(&mut self, i: usize, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if !matches!(self.containers[i].state, State::Creating(o) if o == op) {
            return self.late(result);
        }
        match result {
            Ok(Output::Created { id }) => {
                let c = &mut self.containers[i];
                c.book.id = Some(id.clone());
                c.id_since = cx.newest();
                c.state = State::Created(id);
                self.dirty = true;
                let message = format!("Created container: {}", self.containers[i].spec.name);
                self.tell_of(i, Tone::Normal, "Created", &message, cx);
            }
            Ok(_) => self.containers[i].state = State::Waiting,
            Err(failure) => {
                if let Failure::Runtime(RuntimeError::ImageNotPresent { .. }) = failure {
                    // Cleaned up since it was had: have it again.
                    self.containers[i].image = None;
                }
                self.failed_start(i, "CreateContainerError", &failure, cx);
            }
        }
    }

    /// Whether those before it in order are up, or will not be soon.
    fn its_turn(&self, i: usize) -> bool {
        self.containers[i].kind != Kind::Main
            || self.containers[..i].iter().filter(|c| c.kind == Kind::Main).all(|c| !c.coming_up())
    }

    fn start(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        let State::Created(id) = &self.containers[i].state else { return false };
        if !cx.engine || !self.its_turn(i) || self.sandbox_ready().is_none() || self.awaits_orphans() {
            return false;
        }
        let id = id.clone();
        let op = cx.run(self.uid(), Purpose::Start(i), Work::Start { id: id.clone() });
        self.set(i, State::Starting { op, id, died: false })
    }

    pub(super) fn start_done(&mut self, i: usize, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        let State::Starting { op: o, id, died } = &self.containers[i].state else { return };
        if *o != op {
            return;
        }
        let (id, died) = (id.clone(), *died);
        match result {
            Ok(_) => {
                let message = format!("Started container {}", self.containers[i].spec.name);
                self.tell_of(i, Tone::Normal, "Started", &message, cx);
                self.started(i, Run::new(id, cx.now), died, cx);
            }
            Err(Failure::Runtime(e)) if e.is_engine() => {
                // It may run or not: the engine is asked as soon as it answers.
                let run = Box::new(Run::new(id, cx.now));
                self.containers[i].state = State::Ending { op: None, run, died: None, after: cx.now };
            }
            Err(failure) => {
                self.containers[i].book.id = None;
                self.throw_begun(id.clone());
                let lost = matches!(
                    &failure,
                    Failure::Runtime(RuntimeError::Start { failure: evenkeel_runtime::StartFailure::SandboxGone, .. })
                );
                if lost {
                    self.containers[i].state = State::Waiting;
                    self.sandbox_lost(evenkeel_model::podstatus::REASON_ENGINE);
                } else if !failure.is_outside() && !self.restarts_after(i, false, START_ERROR) {
                    self.never_started(i, id, &failure, cx);
                } else {
                    self.failed_start(i, "RunContainerError", &failure, cx);
                }
            }
        }
    }

    /// A container that could not be started and is not begun a second time has ended, as the kubelet
    /// says it: with exit code 128 and reason `StartError`.
    fn never_started(&mut self, i: usize, id: ContainerId, failure: &Failure, cx: &mut Cx<'_>) {
        let message = failure.to_string();
        let c = &mut self.containers[i];
        let told = Terminated {
            id,
            code: START_ERROR,
            reason: "StartError".into(),
            message: message.clone(),
            started: cx.now,
            finished: cx.now,
        };
        (c.book.last, c.book.due, c.book.started) = (Some(told), Due::Own, true);
        c.state = State::Ended { held: false };
        self.dirty = true;
        self.tell_failure(i, "RunContainerError", &message, false, cx);
    }

    /// A container runs from now on.
    pub(super) fn started(&mut self, i: usize, run: Run, died: bool, cx: &mut Cx<'_>) {
        self.count_start(i);
        let c = &mut self.containers[i];
        c.book.startup_done = c.spec.startup_probe.is_none();
        c.book.ready = false;
        (c.failed, c.retry) = (None, Duration::ZERO);
        c.failed_message.clear();
        c.state = State::Running(Box::new(run));
        while let Some(at) = c.open.iter().position(|(fix, _)| matches!(fix, Fix::Restart | Fix::Recreate)) {
            cx.drifts.healed(c.open.remove(at).1);
            self.dirty = true;
        }
        if died {
            self.died(i, None, cx);
        } else if self.mode == Mode::Active {
            self.begin_post_start(i, cx);
            self.begin_probes(i, cx.now, false);
        }
    }

    /// Counts the start of a run, and whose making the restart was.
    pub(super) fn count_start(&mut self, i: usize) {
        let book = &mut self.containers[i].book;
        match std::mem::take(&mut book.due) {
            Due::No => {}
            Due::Own => book.restarts += 1,
            Due::Disturbed => {
                book.restarts += 1;
                book.disturbed += 1;
            }
        }
        book.started = true;
        self.dirty = true;
    }

    fn begin_post_start(&mut self, i: usize, cx: &mut Cx<'_>) {
        let Some(hook) = self.containers[i].spec.lifecycle.as_ref().and_then(|l| l.post_start.clone()) else { return };
        let timeout = self.grace().max(MIN_HOOK);
        match self.hook_target(i, &hook) {
            Ok(target) => {
                let op = cx.run(self.uid(), Purpose::PostStart(i), Work::Hook { target, timeout });
                if let Some(run) = self.containers[i].run_mut() {
                    run.post_start = Some(op);
                }
            }
            Err(message) => self.hook_failed(i, &message, cx),
        }
    }

    pub(super) fn post_start_done(&mut self, i: usize, op: OpId, result: &Result<Output, Failure>, cx: &mut Cx<'_>) {
        let Some(run) = self.containers[i].run_mut().filter(|r| r.post_start == Some(op)) else { return };
        run.post_start = None;
        if let Err(failure) = result
            && run.stop.is_none()
        {
            let message = failure.to_string();
            self.hook_failed(i, &message, cx);
        }
    }

    fn hook_failed(&mut self, i: usize, message: &str, cx: &mut Cx<'_>) {
        let why = StopWhy::Failed(format!("PostStartHookError: {message}"));
        let grace = self.grace();
        self.begin_stop(i, &why, grace, cx);
    }

    /// Whom a hook asks.
    pub(super) fn hook_target(&self, i: usize, hook: &LifecycleHandler) -> Result<Target, String> {
        let id = self.containers[i].run().map(|r| r.id.clone()).ok_or("the container does not run")?;
        if let Some(exec) = &hook.exec {
            return Ok(Target::Exec { id, command: exec.command.clone().unwrap_or_default() });
        }
        if let Some(sleep) = &hook.sleep {
            return Ok(Target::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))));
        }
        if let Some(http) = &hook.http_get {
            return self.http_target(i, http);
        }
        if let Some(tcp) = &hook.tcp_socket {
            return self.tcp_target(i, tcp.host.as_deref(), &tcp.port);
        }
        Err("the hook says nothing to do".into())
    }

    pub(super) fn http_target(
        &self,
        i: usize,
        http: &k8s_openapi::api::core::v1::HTTPGetAction,
    ) -> Result<Target, String> {
        let headers = http.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
        let path = http.path.clone().unwrap_or_default();
        Ok(Target::Http {
            host: self.host(http.host.as_deref())?,
            port: self.port(i, &http.port)?,
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            https: http.scheme.as_deref() == Some("HTTPS"),
            headers,
        })
    }

    pub(super) fn tcp_target(&self, i: usize, host: Option<&str>, port: &IntOrString) -> Result<Target, String> {
        Ok(Target::Tcp { host: self.host(host)?, port: self.port(i, port)? })
    }

    pub(super) fn grpc_target(
        &self,
        i: usize,
        grpc: &k8s_openapi::api::core::v1::GRPCAction,
    ) -> Result<Target, String> {
        let port = self.port(i, &IntOrString::Int(grpc.port))?;
        Ok(Target::Grpc { host: self.host(None)?, port, service: grpc.service.clone().unwrap_or_default() })
    }

    fn host(&self, given: Option<&str>) -> Result<String, String> {
        match given.filter(|h| !h.is_empty()) {
            Some(host) => Ok(host.to_owned()),
            None => self
                .ip()
                .map(|ip| ip.to_string())
                .ok_or_else(|| "the pod has no address: its engine has no default network".into()),
        }
    }

    fn port(&self, i: usize, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(n) => Some(*n),
            IntOrString::String(name) => {
                let ports = self.containers[i].spec.ports.iter().flatten();
                let named = ports.filter(|p| p.name.as_deref() == Some(name)).map(|p| p.container_port).next();
                named.or_else(|| name.parse().ok())
            }
        };
        number.and_then(|n| u16::try_from(n).ok()).ok_or_else(|| format!("no port {port:?}"))
    }

    /// Looks after a container that runs.
    fn watch(&mut self, i: usize, cx: &mut Cx<'_>) -> bool {
        let c = &self.containers[i];
        if !build::same_spec(&c.book.spec_hash, &c.wanted) && cx.engine {
            let grace = self.grace();
            self.begin_stop(i, &StopWhy::Changed, grace, cx);
            return true;
        }
        self.drive_probes(i, cx);
        false
    }

    /// Takes a container for running that was found so.
    pub(super) fn resume(&mut self, i: usize, mut run: Run, now: Time) {
        run.suspect = false;
        if let Some(stop) = &mut run.stop {
            // Whatever had been tried did not end it.
            stop.step = Step::Retry(now);
        }
        self.containers[i].state = State::Running(Box::new(run));
        self.begin_probes(i, now, true);
    }
}
