//! One pod: its parts, its modes, and the drive that takes it the next steps towards what is
//! ordered. Called by `AgentLogic` after everything that touched the pod.
//!
//! ```text
//! Active <-> Rebuild (the sandbox died: all containers are made anew)
//!   |  \---> Finishing (all containers ended for good: sidecars and sandbox go, logs stay)
//!   \------> Deleting -> Gone
//! ```
//! Steps of one container are in `run`, its end in `ending`, stops in `stop`, events in `events`,
//! comparisons and adoption in `observe`, probes in `probe`, the PodStatus in `status`.

pub(super) mod container;
mod ending;
mod events;
mod observe;
mod probe;
mod run;
mod status;
mod stop;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use evenkeel_model::{Time, Uid, canonical, podstatus::FailedStart};
use evenkeel_runtime::{ContainerId, RuntimeError};
use evenkeel_wire::{ContainerDrift, DriftAction, PodOrder};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Deserialize as _;
use serde_json::json;

use self::container::{Cont, Kind, State, StopWhy};
use super::{
    build,
    command::{Failure, OpId, Output, Work},
    env::Facts,
    journal::{JournalPod, JournalSandbox},
    labels,
    ops::{Cx, Purpose, doubled},
};

/// What a pod is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Active,
    /// The sandbox is no more: everything ends and begins anew, for this reason.
    Rebuild(&'static str),
    Finishing,
    Deleting {
        /// When the grace ends.
        until: Time,
    },
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Volumes {
    Absent,
    Preparing(OpId),
    Ready,
    Held { until: Time },
    Removing(OpId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sandbox {
    Absent,
    Creating(OpId),
    Ready(JournalSandbox),
    Held { until: Time },
}

/// Why volumes or sandbox cannot be made.
#[derive(Debug, Clone, Default)]
pub(super) struct SetupTrouble {
    pub failed: Option<FailedStart>,
    pub message: String,
    pub retry: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trash {
    op: Option<OpId>,
    after: Time,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub order: Arc<PodOrder>,
    pub spec: PodSpec,
    /// Set where the order's pod cannot be read.
    pub invalid: Option<String>,
    pub epoch: u64,
    pub started: Time,
    pub mode: Mode,
    pub volumes: Volumes,
    pub volumes_stale: bool,
    pub volumes_trouble: SetupTrouble,
    pub sandbox: Sandbox,
    pub sandbox_attempt: u32,
    pub sandbox_trouble: SetupTrouble,
    pub sandbox_signal: Option<(Time, i32)>,
    pub sandbox_open: Vec<(container::Fix, ContainerDrift)>,
    pub sandbox_fixing: bool,
    pub sandbox_suspect: bool,
    pub containers: Vec<Cont>,
    pub initialized: bool,
    pub finished: Option<String>,
    pub garbage: BTreeMap<ContainerId, Trash>,
    pub conditions: BTreeMap<String, (bool, Time)>,
    /// The status as it was told last; empty before the first time.
    pub last_status: Arc<[u8]>,
    /// Since when the sandbox is known: an older listing does not have it.
    pub sandbox_since: Time,
    /// Whether it was compared with what runs: before, nothing is begun.
    pub adopted: bool,
    /// Its object is gone at the server: all memory of it goes with it.
    pub forgotten: bool,
    /// Whether the journal is behind.
    pub dirty: bool,
    /// Whether the status may say something else than it did.
    pub news: bool,
}

fn decode(order: &PodOrder) -> (PodSpec, Option<String>) {
    match PodSpec::deserialize(&order.pod["spec"]) {
        Ok(spec) => (spec, None),
        Err(e) => (PodSpec::default(), Some(format!("the pod cannot be read: {e}"))),
    }
}

fn kinds(spec: &PodSpec) -> impl Iterator<Item = (&Container, Kind)> {
    let init = spec
        .init_containers
        .iter()
        .flatten()
        .map(|c| (c, if c.restart_policy.as_deref() == Some("Always") { Kind::Sidecar } else { Kind::Init }));
    init.chain(spec.containers.iter().map(|c| (c, Kind::Main)))
}

impl Pod {
    /// A pod that is new to this agent.
    pub(super) fn new(order: Arc<PodOrder>, epoch: u64, now: Time) -> Self {
        Self::restore(JournalPod {
            order,
            started: now,
            epoch,
            sandbox_attempt: 0,
            sandbox: None,
            containers: BTreeMap::new(),
            finished: None,
            initialized: false,
            garbage: Vec::new(),
            status: None,
            conditions: BTreeMap::new(),
        })
    }

    /// A pod from the journal; it begins nothing before it was compared with what runs.
    pub(super) fn restore(mut from: JournalPod) -> Self {
        let (spec, invalid) = decode(&from.order);
        let mut containers: Vec<Cont> = kinds(&spec)
            .map(|(c, kind)| {
                let wanted = build::spec_hash(&from.order, &c.name);
                Cont::new(c.clone(), kind, wanted, from.containers.remove(&c.name).unwrap_or_default())
            })
            .collect();
        for c in &mut containers {
            if c.book.id.is_some() && c.book.due != super::journal::Due::No {
                c.state = State::Ended { held: false };
            }
        }
        let garbage = from.garbage.into_iter().map(|id| (id, Trash { op: None, after: Time(0) })).collect();
        let mut pod = Self {
            spec,
            invalid,
            epoch: from.epoch,
            started: from.started,
            mode: Mode::Active,
            volumes: Volumes::Absent,
            volumes_stale: false,
            volumes_trouble: SetupTrouble::default(),
            sandbox: from.sandbox.map_or(Sandbox::Absent, Sandbox::Ready),
            sandbox_attempt: from.sandbox_attempt,
            sandbox_trouble: SetupTrouble::default(),
            sandbox_signal: None,
            sandbox_open: Vec::new(),
            sandbox_fixing: false,
            sandbox_suspect: false,
            containers,
            initialized: from.initialized,
            finished: from.finished,
            garbage,
            conditions: from.conditions,
            last_status: from.status.map_or_else(|| Arc::from([]), |v| canonical::value_bytes(&v).into()),
            sandbox_since: Time(0),
            adopted: false,
            forgotten: false,
            dirty: true,
            news: true,
            order: from.order,
        };
        if pod.finished.is_some() {
            pod.mode = Mode::Finishing;
        }
        pod.follow_deletion(pod.started);
        pod
    }

    /// What the disk shall hold.
    pub(super) fn journal(&self) -> JournalPod {
        JournalPod {
            order: self.order.clone(),
            started: self.started,
            epoch: self.epoch,
            sandbox_attempt: self.sandbox_attempt,
            sandbox: self.sandbox_ready().cloned(),
            containers: self.containers.iter().map(|c| (c.spec.name.clone(), c.book.clone())).collect(),
            finished: self.finished.clone(),
            initialized: self.initialized,
            garbage: self.garbage.keys().cloned().collect(),
            status: serde_json::from_slice(&self.last_status).ok(),
            conditions: self.conditions.clone(),
        }
    }

    pub(super) fn uid(&self) -> Uid {
        self.order.uid
    }

    pub(super) fn sandbox_ready(&self) -> Option<&JournalSandbox> {
        match &self.sandbox {
            Sandbox::Ready(s) => Some(s),
            _ => None,
        }
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.sandbox_ready().and_then(|s| s.ip)
    }

    pub(super) fn facts<'a>(&'a self, cx: &'a Cx<'_>) -> Facts<'a> {
        Facts {
            order: &self.order,
            containers: self.containers.iter().map(|c| &c.spec).collect(),
            node: &cx.config.node,
            node_ip: cx.config.node_ip,
            pod_ip: self.ip(),
            allocatable: cx.allocatable,
        }
    }

    /// The grace that containers get where nothing else says one.
    pub(super) fn grace(&self) -> Duration {
        let seconds = self.spec.termination_grace_period_seconds.unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// Takes a newer order. Containers whose specification changed are made anew.
    pub(super) fn update(&mut self, order: Arc<PodOrder>, epoch: u64, cx: &mut Cx<'_>) {
        if self.epoch != epoch {
            (self.epoch, self.dirty) = (epoch, true);
        }
        if *self.order == *order {
            return;
        }
        (self.dirty, self.news) = (true, true);
        if self.order.contents != order.contents {
            self.volumes_stale = true;
        }
        let was_healing = self.order.self_heal;
        let spec_changed = self.order.pod["spec"] != order.pod["spec"];
        self.order = order;
        if spec_changed {
            self.take_spec();
        }
        self.follow_deletion(cx.now);
        if self.order.self_heal && !was_healing {
            self.heal(None, cx);
        }
    }

    fn take_spec(&mut self) {
        let (spec, invalid) = decode(&self.order);
        let new: Vec<(Container, Kind)> = kinds(&spec).map(|(c, k)| (c.clone(), k)).collect();
        // A pod's containers never change in number or name (Kubernetes forbids it); one that did
        // is taken with the old ones, and says so.
        let same = new.len() == self.containers.len()
            && new.iter().zip(&self.containers).all(|(n, c)| n.0.name == c.spec.name);
        if !same {
            self.invalid = invalid.or_else(|| Some("the list of containers of a pod cannot change".into()));
            return;
        }
        for ((spec, _), c) in new.into_iter().zip(&mut self.containers) {
            if c.spec.image != spec.image {
                c.image = None;
                c.book.image_id.clear();
            }
            c.wanted = build::spec_hash(&self.order, &spec.name);
            c.spec = spec;
        }
        (self.spec, self.invalid) = (spec, invalid);
    }

    /// Begins or shortens the end that the order asks for.
    fn follow_deletion(&mut self, now: Time) {
        let Some(deletion) = self.order.deletion else { return };
        let grace = Duration::from_secs(u64::try_from(deletion.grace_seconds).unwrap_or(0));
        self.delete(now + grace);
    }

    /// Ends the pod, with its containers killed at `until` at the latest.
    pub(super) fn delete(&mut self, until: Time) {
        self.news = true;
        match &mut self.mode {
            Mode::Gone => {}
            Mode::Deleting { until: old } => *old = (*old).min(until),
            _ => self.mode = Mode::Deleting { until },
        }
    }

    /// Takes the next steps.
    pub(super) fn drive(&mut self, cx: &mut Cx<'_>) {
        if !self.adopted || self.mode == Mode::Gone {
            return;
        }
        self.news |= self.mode != Mode::Active;
        match self.mode {
            Mode::Active if self.invalid.is_none() => self.drive_active(cx),
            Mode::Active | Mode::Gone => {}
            Mode::Rebuild(reason) => {
                let until = cx.now + self.grace();
                if self.wind_down(&StopWhy::Disturbed(reason), until, cx) {
                    self.begin_anew();
                    self.drive_active(cx);
                }
            }
            Mode::Finishing => {
                let until = cx.now + self.grace();
                if self.wind_down(&StopWhy::Pod, until, cx) {
                    self.discard_sandbox();
                }
            }
            Mode::Deleting { until } => self.drive_deleting(until, cx),
        }
        self.sweep(cx);
    }

    fn drive_active(&mut self, cx: &mut Cx<'_>) {
        self.set_up(cx);
        for i in 0..self.containers.len() {
            self.drive_container(i, cx);
            self.latch_initialized();
        }
        self.look_for_the_end();
    }

    fn set_up(&mut self, cx: &mut Cx<'_>) {
        let wants_volumes = match &self.volumes {
            Volumes::Absent => true,
            Volumes::Ready => self.volumes_stale,
            Volumes::Held { until } => *until <= cx.now,
            Volumes::Preparing(_) | Volumes::Removing(_) => false,
        };
        if wants_volumes {
            self.volumes_stale = false;
            if self.spec.volumes.as_ref().is_none_or(Vec::is_empty) {
                self.volumes = Volumes::Ready;
            } else {
                let work = Work::PrepareVolumes { order: self.order.clone() };
                self.volumes = Volumes::Preparing(cx.run(self.uid(), Purpose::Volumes, work));
            }
        }
        let wants_sandbox = match &self.sandbox {
            Sandbox::Absent => true,
            Sandbox::Held { until } => *until <= cx.now,
            Sandbox::Creating(_) | Sandbox::Ready(_) => false,
        };
        if wants_sandbox && cx.engine {
            self.sandbox_attempt += 1;
            self.dirty = true;
            let spec = build::sandbox(&self.order, &self.spec, &cx.config.cluster, self.sandbox_attempt);
            self.sandbox =
                Sandbox::Creating(cx.run(self.uid(), Purpose::Sandbox, Work::CreateSandbox { spec: Box::new(spec) }));
        }
    }

    /// Whether volumes are there; content that is being renewed counts.
    pub(super) fn volumes_ready(&self) -> bool {
        self.volumes == Volumes::Ready
    }

    fn latch_initialized(&mut self) {
        if !self.initialized && self.containers.iter().filter(|c| c.kind != Kind::Main).all(passed) {
            self.initialized = true;
            (self.dirty, self.news) = (true, true);
        }
    }

    /// Whether the container at `i` may be made: all init containers before it have passed.
    pub(super) fn may_begin(&self, i: usize) -> bool {
        match self.containers[i].kind {
            Kind::Main => self.initialized,
            Kind::Init | Kind::Sidecar => self.containers[..i].iter().all(passed),
        }
    }

    pub(super) fn policy(&self) -> &str {
        self.spec.restart_policy.as_deref().unwrap_or("Always")
    }

    /// Finds out whether nothing will run any more.
    fn look_for_the_end(&mut self) {
        if self.finished.is_some() {
            return;
        }
        let over = |c: &Cont| matches!(c.state, State::Ended { held: false });
        let failed_init = self
            .containers
            .iter()
            .enumerate()
            .any(|(i, c)| c.kind == Kind::Init && !c.book.completed && over(c) && !self.restarts(i));
        let mains = || self.containers.iter().enumerate().filter(|(_, c)| c.kind == Kind::Main);
        let all_over = mains().all(|(i, c)| over(c) && !self.restarts(i)) && mains().next().is_some();
        if failed_init || all_over {
            let well = !failed_init && mains().all(|(_, c)| c.book.last.as_ref().is_some_and(|t| t.code == 0));
            self.finished = Some(if well { "Succeeded" } else { "Failed" }.to_owned());
            self.mode = Mode::Finishing;
            (self.dirty, self.news) = (true, true);
        }
    }

    /// After everything of a lost sandbox has ended.
    fn begin_anew(&mut self) {
        self.discard_sandbox();
        self.initialized = false;
        for c in &mut self.containers {
            c.book.completed = false;
            if c.kind == Kind::Init && c.book.started && c.book.due == super::journal::Due::No {
                // It runs once more for the new sandbox, and that is nobody's failure.
                c.book.due = super::journal::Due::Disturbed;
            }
            // A crash back-off goes on; all else begins at once.
            if !matches!(c.state, State::Held { .. }) || c.book.due == super::journal::Due::Disturbed {
                c.state = State::Waiting;
            }
        }
        self.mode = Mode::Active;
        self.dirty = true;
    }

    pub(super) fn discard_sandbox(&mut self) {
        if let Sandbox::Ready(s) = std::mem::replace(&mut self.sandbox, Sandbox::Absent) {
            self.throw(s.id);
        }
        self.sandbox_signal = None;
        self.sandbox_suspect = false;
    }

    fn drive_deleting(&mut self, until: Time, cx: &mut Cx<'_>) {
        if !self.wind_down(&StopWhy::Pod, until, cx) || matches!(self.sandbox, Sandbox::Creating(_)) {
            return;
        }
        self.discard_sandbox();
        for i in 0..self.containers.len() {
            let c = &mut self.containers[i];
            let ids = [c.book.id.take(), c.book.previous.take()];
            ids.into_iter().flatten().for_each(|id| self.throw(id));
        }
        if !self.garbage.is_empty() {
            return;
        }
        match &self.volumes {
            Volumes::Preparing(_) | Volumes::Removing(_) => {}
            Volumes::Held { until } if *until > cx.now && self.volumes_trouble.message.is_empty() => {}
            _ => {
                // Also where none were made in this life: an earlier one may have.
                if self.spec.volumes.as_ref().is_none_or(Vec::is_empty) {
                    self.mode = Mode::Gone;
                } else {
                    self.volumes_trouble.message.clear();
                    self.volumes = Volumes::Removing(cx.run(self.uid(), Purpose::RemoveVolumes, Work::RemoveVolumes));
                }
            }
        }
    }

    /// The engine went away: ends that were taken for drifts were its own doing.
    pub(super) fn absolve(&mut self, container: Option<&str>) {
        let restart = |fix: &container::Fix| *fix == container::Fix::Restart;
        match container {
            None => self.sandbox_open.retain(|(fix, _)| !restart(fix)),
            Some(name) => {
                for c in self.containers.iter_mut().filter(|c| c.spec.name == name) {
                    c.open.retain(|(fix, _)| !restart(fix));
                    if let State::Ended { held } = &mut c.state {
                        *held = false;
                    }
                }
            }
        }
    }

    /// Puts a container among those to be removed.
    pub(super) fn throw(&mut self, id: ContainerId) {
        self.garbage.entry(id).or_insert(Trash { op: None, after: Time(0) });
        self.dirty = true;
    }

    fn sweep(&mut self, cx: &mut Cx<'_>) {
        if !cx.engine {
            return;
        }
        let uid = self.uid();
        for (id, trash) in &mut self.garbage {
            if trash.op.is_none() && trash.after <= cx.now {
                trash.op = Some(cx.run(uid, Purpose::Garbage(id.clone()), Work::Remove { id: id.clone() }));
            }
        }
    }

    /// An operation of this pod ended.
    pub(super) fn done(&mut self, op: OpId, purpose: Purpose, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        self.news |= !matches!(purpose, Purpose::Probe(..));
        match purpose {
            Purpose::Volumes => self.volumes_done(op, result, cx),
            Purpose::RemoveVolumes => {
                if result.is_ok() {
                    self.mode = Mode::Gone;
                } else {
                    self.volumes = Volumes::Held { until: cx.now + cx.settings().retry_first };
                }
            }
            Purpose::Sandbox => self.sandbox_done(op, result, cx),
            Purpose::FixSandbox => self.sandbox_fixed(&result, cx),
            Purpose::Garbage(id) => self.swept(id, &result, cx),
            Purpose::Late => self.late(result),
            Purpose::Image(i) => self.image_done(i, op, result, cx),
            Purpose::Create(i) => self.create_done(i, op, result, cx),
            Purpose::Start(i) => self.start_done(i, op, result, cx),
            Purpose::PostStart(i) => self.post_start_done(i, op, &result, cx),
            Purpose::PreStop(i) => self.pre_stop_done(i, op, cx),
            Purpose::Stop(i) => self.stop_done(i, op, &result, cx),
            Purpose::Inspect(i) => self.inspected(i, op, result, cx),
            Purpose::CheckLimits(i) => self.limits_checked(i, result, cx),
            Purpose::Probe(i, kind) => self.probed(i, kind, op, result, cx),
            Purpose::Tail(i) => self.tailed(i, result),
            Purpose::Fix(i, fix) => self.fixed(i, fix, &result, cx),
        }
    }

    /// Something was made by an operation that was given up.
    fn late(&mut self, result: Result<Output, Failure>) {
        if let Ok(Output::Sandbox { id, .. } | Output::Created { id }) = result {
            self.throw(id);
            if self.mode == Mode::Gone {
                self.mode = Mode::Deleting { until: Time(0) };
            }
        }
    }

    fn swept(&mut self, id: ContainerId, result: &Result<Output, Failure>, cx: &Cx<'_>) {
        match result {
            Ok(_) | Err(Failure::Runtime(RuntimeError::NotFound { .. })) => {
                self.garbage.remove(&id);
                self.dirty = true;
            }
            Err(_) => {
                let after = cx.now + cx.settings().retry_first;
                self.garbage.insert(id, Trash { op: None, after });
            }
        }
    }

    fn volumes_done(&mut self, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if self.volumes != Volumes::Preparing(op) {
            return;
        }
        match result {
            Ok(_) => {
                self.volumes = Volumes::Ready;
                self.volumes_trouble = SetupTrouble::default();
            }
            Err(failure) => {
                let outside = matches!(&failure, Failure::Runtime(e) if e.is_outside());
                let until = trouble(&mut self.volumes_trouble, "CreateContainerConfigError", outside, &failure, cx);
                self.volumes = Volumes::Held { until };
            }
        }
    }

    fn sandbox_done(&mut self, op: OpId, result: Result<Output, Failure>, cx: &mut Cx<'_>) {
        if self.sandbox != Sandbox::Creating(op) {
            return self.late(result);
        }
        self.dirty = true;
        match result {
            Ok(Output::Sandbox { id, ip }) => {
                self.sandbox = Sandbox::Ready(JournalSandbox { id, ip });
                self.sandbox_since = cx.now;
                self.sandbox_trouble = SetupTrouble::default();
                if let Some(i) = self.sandbox_open.iter().position(|(fix, _)| *fix == container::Fix::Restart) {
                    cx.drifts.healed(self.sandbox_open.remove(i).1);
                }
            }
            Ok(_) => self.sandbox = Sandbox::Absent,
            Err(Failure::Runtime(e)) if e.is_engine() => {
                self.sandbox = Sandbox::Held { until: cx.now + cx.settings().engine_retry };
            }
            Err(failure) => {
                let outside = matches!(&failure, Failure::Runtime(e) if e.is_outside());
                let until = trouble(&mut self.sandbox_trouble, "CreatePodSandboxError", outside, &failure, cx);
                self.sandbox = Sandbox::Held { until };
            }
        }
    }

    /// The sandbox ended without our doing: everything is made anew, unless the end is a drift that
    /// is not to be healed.
    pub(super) fn sandbox_lost(&mut self, reason: &'static str) {
        if self.mode == Mode::Active {
            self.mode = Mode::Rebuild(reason);
            self.dirty = true;
        }
    }

    pub(super) fn drift(
        &self,
        container: Option<usize>,
        action: DriftAction,
        desired: &str,
        live: &str,
    ) -> ContainerDrift {
        ContainerDrift {
            pod: self.uid(),
            namespace: self.order.namespace.clone(),
            name: self.order.name.clone(),
            container: container.map(|i| self.containers[i].spec.name.clone()),
            action,
            desired: json!(desired),
            live: json!(live),
            healed: false,
        }
    }

    /// The engine's name that a container, or the sandbox, has by right.
    pub(super) fn right_name(&self, container: Option<usize>) -> String {
        match container {
            Some(i) => labels::name(&self.order, Some(&self.containers[i].spec.name), self.containers[i].book.attempt),
            None => labels::name(&self.order, None, self.sandbox_attempt),
        }
    }

    /// Whether nothing is under way: every container is where it stays.
    pub(super) fn at_rest(&self) -> bool {
        let settled = |c: &Cont| match &c.state {
            State::Running(run) => run.stop.is_none() && run.post_start.is_none(),
            State::Ended { .. } => true,
            State::Waiting => c.book.completed,
            _ => false,
        };
        let still = match self.mode {
            Mode::Active => self.invalid.is_some() || self.containers.iter().all(settled),
            Mode::Finishing => self.sandbox == Sandbox::Absent,
            Mode::Gone => true,
            Mode::Rebuild(_) | Mode::Deleting { .. } => false,
        };
        self.adopted && still && self.garbage.is_empty()
    }

    /// Whether its state is known: not before the first comparison, and not while the engine is
    /// asked how a container ended (to be ready no more, for whose fault?).
    pub(super) fn certain(&self) -> bool {
        self.adopted && !self.containers.iter().any(|c| matches!(c.state, State::Ending { .. }))
    }

    /// Ids of what lives of it.
    pub(super) fn alive(&self) -> Vec<ContainerId> {
        let sandbox = self.sandbox_ready().map(|s| s.id.clone());
        self.containers.iter().filter_map(|c| c.run().map(|r| r.id.clone())).chain(sandbox).collect()
    }

    /// The current container of a name, or the one before it.
    pub(super) fn container_id(&self, name: &str, previous: bool) -> Option<ContainerId> {
        let book = &self.containers.iter().find(|c| c.spec.name == name)?.book;
        if previous { book.previous.clone() } else { book.id.clone().or_else(|| book.previous.clone()) }
    }

    /// Image ids by container name, as far as they are known.
    pub(super) fn image_ids(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let known = self.containers.iter().filter(|c| !c.book.image_id.is_empty());
        known.map(|c| (c.spec.name.clone(), c.book.image_id.clone()))
    }

    /// Last lines of containers that failed.
    pub(super) fn logs(&self) -> BTreeMap<String, Vec<String>> {
        let failed = self.containers.iter().filter(|c| !c.logs.is_empty());
        failed.map(|c| (c.spec.name.clone(), c.logs.clone())).collect()
    }

    /// When it wants to be driven again without anything happening.
    pub(super) fn wake(&self, engine: bool) -> Option<Time> {
        if !self.adopted || self.mode == Mode::Gone || !engine {
            return None;
        }
        let setup = [
            match &self.volumes {
                Volumes::Held { until } => Some(*until),
                _ => None,
            },
            match &self.sandbox {
                Sandbox::Held { until } => Some(*until),
                _ => None,
            },
        ];
        let trash = self.garbage.values().filter(|t| t.op.is_none()).map(|t| t.after);
        setup
            .into_iter()
            .flatten()
            .chain(trash)
            .chain(self.containers.iter().filter_map(|c| self.container_wake(c)))
            .min()
    }

    fn container_wake(&self, c: &Cont) -> Option<Time> {
        match &c.state {
            State::Held { until, .. } if self.mode == Mode::Active => Some(*until),
            State::Ending { op: None, after, .. } => Some(*after),
            State::Running(run) => match &run.stop {
                Some(container::Stop { step: container::Step::Retry(at), .. }) => Some(*at),
                Some(_) => None,
                None if self.mode == Mode::Active => self.probe_wake(c, run),
                None => None,
            },
            _ => None,
        }
    }
}

/// Whether what comes after an init container may begin.
fn passed(c: &Cont) -> bool {
    match c.kind {
        Kind::Init => c.book.completed,
        Kind::Sidecar => c.is_started(),
        Kind::Main => true,
    }
}

/// Notes a failed set-up; gives the time of the next try.
fn trouble(t: &mut SetupTrouble, reason: &str, outside: bool, failure: &Failure, cx: &Cx<'_>) -> Time {
    let tries = t.failed.as_ref().map_or(0, |f| f.tries) + 1;
    t.failed = Some(FailedStart { tries, reason: reason.to_owned(), outside });
    t.message = failure.to_string();
    t.retry = doubled(t.retry, cx.settings().retry_first, cx.settings().retry_max);
    cx.now + t.retry
}
