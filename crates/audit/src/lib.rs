//! The auditor: names every broken promise of a cluster.
//!
//! It takes plain lists of objects and what agents report, and shares no logic with the core, so
//! that a mistake there does not hide itself here. Called by the simulation after each step, by the
//! end-to-end tests, and by the server for `evenkeel audit`. Deliberately not here: any way to mend
//! what it finds, and promise 8 (the same input gives the same plan), which two runs show and no
//! state can.
//!
//! What a state alone cannot prove (a pod went: by whose act?) needs the state before, one step
//! earlier: [`Input::before`]. Without it those checks are silent.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod checks;
mod facts;
mod finding;
#[cfg(test)]
mod testing;

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::time::Duration;

use evenkeel_model::{Key, Object, Time, Uid};

pub use finding::{Finding, Promise, Severity, render};

/// How long something may be on its way before it needs a cause that a person can read. Above the
/// time of a usual start, below a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How long after the end of its grace a pod's container may still be seen running: an agent's
/// stop and its report take their time.
pub const STOP_SLACK: Duration = Duration::from_secs(30);

/// All objects and what the nodes report, at one time.
#[derive(Debug, Clone, Copy, Default)]
pub struct State<'a> {
    /// Every object.
    pub objects: &'a [Object],
    /// Every node that reports; a silent one is left out.
    pub nodes: &'a [NodeView],
}

/// What the auditor looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// Now.
    pub now: Time,
    /// The state to judge.
    pub state: State<'a>,
    /// The state one step earlier, of the same store.
    pub before: Option<State<'a>>,
    /// Nothing is under way: all that should follow from the state has followed. Makes
    /// [`Severity::Unsettled`] findings broken promises.
    pub settled: bool,
    /// Between the two states only parts of Evenkeel, git or the network were away, and nobody
    /// touched a container: none may have stopped.
    pub undisturbed: bool,
    /// Pods that a person deleted since the state before.
    pub deleted_by_hand: Option<&'a BTreeSet<Uid>>,
    /// What each source has applied.
    pub sources: &'a [AppliedSource],
    /// What people read: logs, diffs, output. Events, drifts and releases are read from the objects.
    pub texts: &'a [Text<'a>],
}

/// The documents of a source's applied revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedSource {
    /// The source.
    pub source: String,
    /// The objects that the revision names.
    pub keys: Vec<Key>,
}

/// A text that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// Where it stands, as `server log`.
    pub origin: &'a str,
    /// The text.
    pub text: &'a str,
}

/// What one node's agent reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    /// The node.
    pub name: String,
    /// Pods of which it has anything.
    pub pods: Vec<PodView>,
    /// Containers that are not Evenkeel's.
    pub foreign: Vec<ForeignView>,
}

/// A pod as its node has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodView {
    /// Uid.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The server shows it as an orphan, which may run on.
    pub orphan: bool,
    /// Its containers, without the sandbox.
    pub containers: Vec<ContainerView>,
}

impl PodView {
    /// From the PodStatus that an agent reports, as JSON. A status that cannot be read has no
    /// containers.
    pub fn of_status(uid: Uid, namespace: &str, name: &str, status: &[u8]) -> Self {
        let status: facts::PodStatus = serde_json::from_slice(status).unwrap_or_default();
        let statuses = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        let containers = statuses.map(|c| ContainerView {
            running: c.state.iter().flatten().any(|(state, detail)| state == "running" && detail.is_some()),
            name: c.name,
            ready: c.ready,
            restarts: c.restart_count,
        });
        Self { uid, namespace: namespace.into(), name: name.into(), orphan: false, containers: containers.collect() }
    }
}

/// A container as its node has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerView {
    /// Name in the pod.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Restarts.
    pub restarts: u32,
}

/// A container that belongs to others. In the state before, leave out what the test itself stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForeignView {
    /// Id or name.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
}

/// Statuses of pods that an [`Auditor`] keeps: more than any cluster that is audited has.
const MOST_KEPT: usize = 200_000;

/// An auditor that looks again and again, and keeps what it has read of what did not change since.
#[derive(Debug, Default)]
pub struct Auditor {
    read: facts::Memo,
}

impl Auditor {
    /// As [`audit`].
    pub fn audit(&mut self, input: &Input<'_>) -> Vec<Finding> {
        if self.read.len() > MOST_KEPT {
            self.read.clear();
        }
        look(input, &mut self.read)
    }
}

/// Every broken promise, worst first, in an order that the input alone decides.
pub fn audit(input: &Input<'_>) -> Vec<Finding> {
    look(input, &mut facts::Memo::new())
}

fn look(input: &Input<'_>, read: &mut facts::Memo) -> Vec<Finding> {
    let mut out = Vec::new();
    let world = facts::World::new(&input.state, read, &mut out);
    // What could not be read before was told then.
    let before = input.before.as_ref().map(|s| facts::World::new(s, read, &mut Vec::new()));
    checks::identity::check(input, &world, before.as_ref(), &mut out);
    checks::workloads::check(input, &world, before.as_ref(), &mut out);
    checks::budgets::check(&world, before.as_ref(), &mut out);
    checks::nodes::check(input, &world, before.as_ref(), &mut out);
    checks::containers::check(input, &world, &mut out);
    checks::sources::check(input, &world, before.as_ref(), &mut out);
    checks::causes::check(input, &world, &mut out);
    checks::secrets::check(input, &world, &mut out);
    if input.settled {
        for finding in &mut out {
            finding.severity = Severity::Broken;
        }
    }
    out.sort();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_looks_again_finds_the_same_as_one_that_looks_first() {
        let pod = |status: &[u8]| {
            let key = Key::new(evenkeel_model::Kind::Pod, "shop", "web");
            let mut pod = Object::new(key, Uid(1), evenkeel_model::Meta::default(), b"{}"[..].into());
            pod.status = status.into();
            pod
        };
        let mut auditor = Auditor::default();
        let mut found = Vec::new();
        for status in [&br#"{"phase": "Pending"}"#[..], b"no JSON", b"no JSON", br#"{"phase": "Failed"}"#, b"no JSON"] {
            let objects = [pod(status)];
            let input = Input { state: State { objects: &objects, nodes: &[] }, ..Input::default() };
            let again = (auditor.audit(&input), auditor.audit(&input));
            assert_eq!(again, (audit(&input), audit(&input)));
            found.push(again.0.iter().any(|f| f.message.contains("cannot be read")));
        }
        assert_eq!(found, [false, true, true, false, true]);
    }

    #[test]
    fn a_pods_view_comes_from_its_status() {
        let status = br#"{"phase": "Running", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}"#;
        let view = PodView::of_status(Uid(1), "shop", "web", status);
        let seen: Vec<_> = view.containers.iter().map(|c| (&c.name[..], c.running, c.ready, c.restarts)).collect();
        assert_eq!(seen, [("i", false, false, 0), ("c", true, true, 2)]);
        assert!(PodView::of_status(Uid(1), "shop", "web", b"").containers.is_empty());
    }
}
