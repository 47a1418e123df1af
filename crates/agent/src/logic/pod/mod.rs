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
mod removal;
mod run;
mod setup;
mod status;
mod stop;
mod telling;
mod view;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use evenkeel_model::{Time, Uid, canonical, podstatus::FailedStart};
use evenkeel_runtime::ContainerId;
use evenkeel_wire::{ContainerDrift, DriftAction, PodOrder};
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec};
use serde::Deserialize as _;
use serde_json::json;

use self::container::{Cont, Kind, State, StopWhy};
use super::{
    build,
    command::{Failure, OpId, Output},
    env::Facts,
    happened::Tone,
    journal::{JournalPod, JournalSandbox},
    labels,
    ops::{Cx, Purpose},
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
    pub op: Option<OpId>,
    pub after: Time,
    pub orphans: Orphans,
}

/// Whether processes of a container may run that its engine does not know of: one that was killed in
/// the midst of a start leaves them to a successor that takes the container for one that never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orphans {
    /// Its end is known, or that it was never started.
    None,
    /// Nothing of the pod is started before they are ended: they may hold its ports.
    Awaited,
    /// Ending them failed; it is tried again, and nobody waits for it.
    Tried,
}

/// A pod.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // facts that are independent of each other
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
    /// The last operation before the sandbox was known, as with [`Cont::id_since`].
    pub sandbox_since: OpId,
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

/// All containers of a pod in their order.
fn kinds(spec: &PodSpec) -> Vec<(Container, Kind)> {
    let sidecar = |c: &Container| c.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.iter().flatten();
    let init = init.map(|c| (c.clone(), if sidecar(c) { Kind::Sidecar } else { Kind::Init }));
    let main = spec.containers.iter().map(|c| (c.clone(), Kind::Main));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| (ordinary(c), Kind::Ephemeral));
    init.chain(main).chain(ephemeral).collect()
}

/// What an ephemeral container has in common with others.
fn ordinary(c: &EphemeralContainer) -> Container {
    Container {
        name: c.name.clone(),
        image: c.image.clone(),
        image_pull_policy: c.image_pull_policy.clone(),
        command: c.command.clone(),
        args: c.args.clone(),
        env: c.env.clone(),
        env_from: c.env_from.clone(),
        working_dir: c.working_dir.clone(),
        volume_mounts: c.volume_mounts.clone(),
        security_context: c.security_context.clone(),
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        tty: c.tty,
        ..Container::default()
    }
}

impl Pod {
    /// A pod that is new to this agent.
    pub(super) fn new(order: Arc<PodOrder>, epoch: u64, now: Time) -> Self {
        let journal = JournalPod {
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
            open: Vec::new(),
        };
        Self::restore(journal, now)
    }

    /// A pod from the journal; it begins nothing before it was compared with what runs. One that was
    /// being ended gets its grace anew: how much of it was left nobody knows.
    pub(super) fn restore(mut from: JournalPod, now: Time) -> Self {
        let (spec, invalid) = decode(&from.order);
        let mut containers: Vec<Cont> = kinds(&spec)
            .into_iter()
            .map(|(c, kind)| {
                let wanted = build::spec_hash(&from.order, &c.name);
                let book = from.containers.remove(&c.name).unwrap_or_default();
                Cont::new(c, kind, wanted, book)
            })
            .collect();
        for c in &mut containers {
            if c.book.id.is_some() && c.book.due != super::journal::Due::No {
                c.state = State::Ended { held: false };
            }
        }
        let (of_sandbox, of_containers): (Vec<_>, Vec<_>) =
            from.open.into_iter().partition(|(_, d)| d.container.is_none());
        for (fix, drift) in of_containers {
            if let Some(c) = containers.iter_mut().find(|c| drift.container.as_ref() == Some(&c.spec.name)) {
                c.open.push((fix, drift));
            }
        }
        let garbage = from.garbage.into_iter().map(|id| (id, Trash::of(Orphans::Awaited))).collect();
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
            sandbox_open: of_sandbox,
            sandbox_fixing: false,
            sandbox_suspect: false,
            containers,
            initialized: from.initialized,
            finished: from.finished,
            garbage,
            conditions: from.conditions,
            last_status: from.status.map_or_else(|| Arc::from([]), |v| canonical::value_bytes(&v).into()),
            sandbox_since: OpId(0),
            adopted: false,
            forgotten: false,
            dirty: true,
            news: true,
            order: from.order,
        };
        if pod.finished.is_some() {
            pod.mode = Mode::Finishing;
        }
        pod.follow_deletion(now);
        pod
    }

    /// What the disk shall hold.
    /// `undecided`: whether the end of its sandbox is a drift has yet to be seen. An agent that starts again does
    /// not call it one: a machine that shuts down ends the engine, and the agent soon after.
    pub(super) fn journal(&self, undecided: bool) -> JournalPod {
        let told = |(fix, _): &&(container::Fix, ContainerDrift)| !(undecided && *fix == container::Fix::Restart);
        let of_sandbox = self.sandbox_open.iter().filter(told);
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
            open: of_sandbox.chain(self.containers.iter().flat_map(|c| &c.open)).cloned().collect(),
        }
    }

    /// The pod's object for a server that may not know it: one that is going stays so.
    pub(super) fn known(&self) -> serde_json::Value {
        let mut pod = self.order.pod.clone();
        if let (Some(deletion), Some(meta)) = (self.order.deletion, pod["metadata"].as_object_mut()) {
            meta.insert("deletionTimestamp".into(), deletion.at.rfc3339().into());
            meta.insert("deletionGracePeriodSeconds".into(), deletion.grace_seconds.into());
        }
        pod
    }

    /// The containers with a drift that is not put right yet; `None` is the sandbox.
    pub(super) fn drifted_containers(&self) -> Vec<Option<String>> {
        let all = self.sandbox_open.iter().chain(self.containers.iter().flat_map(|c| &c.open));
        all.map(|(_, drift)| drift.container.clone()).collect()
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

    /// Takes a newer order. Containers whose specification changed are made anew. A deletion is not taken
    /// back: a server that started meanwhile waits for other nodes before it says it again.
    pub(super) fn update(&mut self, mut order: Arc<PodOrder>, epoch: u64, cx: &mut Cx<'_>) {
        if self.epoch != epoch {
            (self.epoch, self.dirty) = (epoch, true);
        }
        if order.deletion.is_none() && self.order.deletion.is_some() {
            Arc::make_mut(&mut order).deletion = self.order.deletion;
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
        let mut new = kinds(&spec);
        // A pod's containers never change in number or name (Kubernetes forbids it), but for those that
        // are added to look into it; one that did is taken with the old ones, and says so.
        let same = new.len() >= self.containers.len()
            && new.iter().zip(&self.containers).all(|(n, c)| n.0.name == c.spec.name)
            && new[self.containers.len()..].iter().all(|(_, kind)| *kind == Kind::Ephemeral);
        if !same {
            self.invalid = invalid.or_else(|| Some("the list of containers of a pod cannot change".into()));
            return;
        }
        let added = new.split_off(self.containers.len());
        for ((spec, _), c) in new.into_iter().zip(&mut self.containers) {
            if c.spec.image != spec.image {
                c.image = None;
                c.book.image_id.clear();
            }
            c.wanted = build::spec_hash(&self.order, &spec.name);
            c.spec = spec;
        }
        for (spec, kind) in added {
            let wanted = build::spec_hash(&self.order, &spec.name);
            self.containers.push(Cont::new(spec, kind, wanted, super::journal::JournalContainer::default()));
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
                    let message = format!("Pod sandbox changed, it will be killed and re-created ({reason})");
                    self.tell(Tone::Normal, "SandboxChanged", &message, cx);
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
            Kind::Ephemeral => true,
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
            if c.kind == Kind::Ephemeral && c.book.started {
                c.state = State::Ended { held: false };
                continue;
            }
            // A crash back-off goes on; all else begins at once.
            if !matches!(c.state, State::Held { .. }) || c.book.due == super::journal::Due::Disturbed {
                c.state = State::Waiting;
            }
        }
        self.mode = Mode::Active;
        self.dirty = true;
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
}

/// Whether what comes after an init container may begin.
fn passed(c: &Cont) -> bool {
    match c.kind {
        Kind::Init => c.book.completed,
        Kind::Sidecar => c.is_started(),
        Kind::Main | Kind::Ephemeral => true,
    }
}
