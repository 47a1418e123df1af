//! Evenkeel's own kinds, group `evenkeel.dev/v1alpha1`: `Source`, `Release`, `Drift`.
//!
//! These are wire types: their field names are what tools rely on (docs/reference). Durations are
//! text in humantime's form (`30s`, `5m`), parsed where they are used.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{Digest, Uid},
    revision::Revision,
    time::Time,
};

/// `Source.spec`. Exactly one of `git` and `directory` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSpec {
    /// A git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSpec>,
    /// A directory on the server's machine, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Folder inside it that holds the manifests; empty for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often a remote is asked; default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Nothing new is applied while true.
    #[serde(default, skip_serializing_if = "is_default")]
    pub suspend: bool,
    /// Whether drift is written back; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_heal: Option<bool>,
    /// What a failed release causes; default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackMode>,
    /// What an unsupported kind causes; default `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<UnsupportedMode>,
    /// Fields that others own by design.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_differences: Vec<IgnoreDifference>,
    /// Writes by hand to objects of this source are refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub locked: bool,
    /// How long a healthy release is watched; default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_window: Option<String>,
    /// Restarts of a container that fail a release; default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash_limit: Option<u32>,
    /// How far the last good revision may fall behind before new ones wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unsettled: Option<MaxUnsettled>,
    /// From when on a revision counts as a mass deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mass_delete: Option<MassDelete>,
    /// File with the secret of this source's git hook; without one the hook's route is 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<String>,
}

/// Where a repository is and what of it is followed. At most one of branch, tag, commit; without
/// one, the repository's default branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitSpec {
    /// `https://`, `ssh://`, `git@host:path`, `file://` or a path.
    pub url: String,
    /// A branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// A tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// A commit, 40 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// File with a bearer-like token for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// File with `user:password` for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// Private key for ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_file: Option<String>,
    /// Known hosts for ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<String>,
}

/// `rollback` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RollbackMode {
    /// A failed release is taken back at once.
    #[default]
    Auto,
    /// It stays until someone asks.
    Manual,
    /// Never.
    Off,
}

/// `unsupported` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum UnsupportedMode {
    /// The revision is rejected.
    #[default]
    Reject,
    /// The documents are left out and listed.
    Skip,
}

/// A field that someone else owns by design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IgnoreDifference {
    /// Kind.
    pub kind: String,
    /// Namespace; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Field path, as `spec.replicas` or `spec.template.spec.containers[web].image`.
    pub path: String,
}

/// How far a busy source may run ahead of its last good revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxUnsettled {
    /// Commits; default 5.
    pub commits: u32,
    /// Age; default 15m.
    pub age: String,
}

impl Default for MaxUnsettled {
    fn default() -> Self {
        Self { commits: 5, age: "15m".into() }
    }
}

/// A revision that deletes more than both is held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MassDelete {
    /// Part of the source's objects, 0 to 1; default 0.5.
    pub fraction: f64,
    /// Number of objects; default 5.
    pub count: u32,
}

impl Default for MassDelete {
    fn default() -> Self {
        Self { fraction: 0.5, count: 5 }
    }
}

/// A condition, as Kubernetes' `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// As `Synced`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// One word in CamelCase.
    #[serde(default)]
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Time,
}

impl Condition {
    /// Sets a condition in a list; the transition time stays if the status does. Says whether
    /// anything changed.
    pub fn set(list: &mut Vec<Self>, kind: &str, status: bool, reason: &str, message: &str, now: Time) -> bool {
        let status = if status { "True" } else { "False" };
        match list.iter_mut().find(|c| c.kind == kind) {
            Some(c) if c.status == status && c.reason == reason && c.message == message => false,
            Some(c) => {
                if c.status != status {
                    c.last_transition_time = now;
                }
                c.status = status.into();
                c.reason = reason.into();
                c.message = message.into();
                true
            }
            None => {
                list.push(Self {
                    kind: kind.into(),
                    status: status.into(),
                    reason: reason.into(),
                    message: message.into(),
                    last_transition_time: now,
                });
                true
            }
        }
    }
}

/// `Source.status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceStatus {
    /// The newest revision that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_revision: Option<Revision>,
    /// The revision that the objects were last written from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_revision: Option<Revision>,
    /// Digest of the applied documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_digest: Option<Digest>,
    /// The last revision that became healthy and stayed so for the watch window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good_revision: Option<Revision>,
    /// Digest of its documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good_digest: Option<Digest>,
    /// Earlier good revisions, newest first, the last good one excluded: at most 9.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_good: Vec<GoodRevision>,
    /// Content that failed and is not tried again by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// Set by `evenkeel rollback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    /// Name of the Release that was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_release: Option<String>,
    /// Name of the newest Release where it is not applied: it waits, or was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_release: Option<String>,
    /// `Synced`, `Healthy`, `Suspended`, `Fetched`, `Complete`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A revision that was good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoodRevision {
    /// Revision.
    pub revision: Revision,
    /// Digest of its documents.
    pub digest: Digest,
}

/// An entry of `Source.status.quarantined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Digest of the parsed snapshot.
    pub digest: Digest,
    /// The revision that failed with it.
    pub revision: Revision,
    /// Since when.
    pub since: Time,
}

/// `Source.status.pinned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// What it is pinned to.
    pub revision: Revision,
    /// Who asked.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Ends with the next commit.
    #[serde(default)]
    pub until_next_commit: bool,
}

/// `Release.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSpec {
    /// The source.
    pub source: String,
    /// The revision.
    pub revision: Revision,
    /// Digest of the parsed documents; absent where they could not be parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Author of the commit, as `Name <mail>`; empty for a directory.
    #[serde(default)]
    pub author: String,
    /// First line of the commit's message.
    #[serde(default)]
    pub message: String,
    /// Set where a person asked for it: `evenkeel rollback` or `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
}

/// A release's phase; see the table in docs/concepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Seen, not yet admitted, or waiting.
    Pending,
    /// Did not pass the checks; nothing was applied.
    Rejected,
    /// Applied; rollouts under way.
    Progressing,
    /// Every workload it touched is complete.
    Healthy,
    /// A workload did not come up.
    Failed,
    /// The last good revision is being applied again.
    RollingBack,
    /// The last good revision is back.
    RolledBack,
    /// The last good revision did not come up either.
    RollbackFailed,
    /// A newer revision took over.
    Superseded,
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

/// `Release.status`.
#[allow(clippy::struct_excessive_bools)] // each is a field on the wire
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Phase.
    pub phase: Phase,
    /// Why it waits (`MassDelete`, `Pinned`, `Quarantined`, `Suspended`, `Settling`,
    /// `Recovering`), or another word for the phase's cause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Every phase it had, oldest first.
    #[serde(default)]
    pub timeline: Vec<PhaseAt>,
    /// What applying it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Complaints: errors where it was rejected, else warnings. At most 100 are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<String>,
    /// Keys of the workloads it touched, as `Deployment shop/web`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// Objects that this release created and that were not there before: what a rollback may
    /// delete. Keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<String>,
    /// Revisions that a rollback takes back, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes_back: Vec<Revision>,
    /// What its own rollback applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<Revision>,
    /// How often a failure from outside was tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempts: u32,
    /// Someone let its mass deletion through.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_mass_delete: bool,
    /// Someone asked not to wait for the rollout under way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub now: bool,
    /// Every object that it changes is written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub written: bool,
    /// While it is watched: how often containers had ended by themselves before it was up, as
    /// `shop/web-1/main`, those left out that never had. One that ends again fails it. By count, not
    /// by time, because the clocks of nodes differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<BTreeMap<String, u32>>,
    /// A directory's revision of which a second scan has yet to say the same: nothing is pruned.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unconfirmed: bool,
}

impl ReleaseStatus {
    /// A release that was just seen.
    pub fn new(now: Time) -> Self {
        Self {
            phase: Phase::Pending,
            reason: String::new(),
            message: String::new(),
            cause: None,
            timeline: alloc::vec![PhaseAt { phase: Phase::Pending, at: now }],
            changes: None,
            diagnostics: Vec::new(),
            workloads: Vec::new(),
            created: Vec::new(),
            takes_back: Vec::new(),
            rollback_to: None,
            attempts: 0,
            allow_mass_delete: false,
            now: false,
            ended: None,
            unconfirmed: false,
            written: false,
        }
    }

    /// When it last entered a phase.
    pub fn entered(&self, phase: Phase) -> Option<Time> {
        self.timeline.iter().rev().find(|p| p.phase == phase).map(|p| p.at)
    }
}

/// One step of a release's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseAt {
    /// Phase.
    pub phase: Phase,
    /// Since when.
    pub at: Time,
}

/// What applying a release did, in objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Changes {
    /// Created.
    pub created: u32,
    /// Changed.
    pub changed: u32,
    /// Deleted.
    pub deleted: u32,
    /// Left as they were.
    pub unchanged: u32,
}

/// Why a release failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The workload, as `Deployment shop/web`.
    pub object: String,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// One word, as `CrashLoopBackOff`.
    pub reason: String,
    /// For people, with exit code or the engine's message.
    pub message: String,
    /// The container's last lines, Secret values struck out; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    /// Whether it came from outside the revision (registry unreachable, no room).
    #[serde(default, skip_serializing_if = "is_default")]
    pub outside: bool,
}

/// `Drift.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftSpec {
    /// The source that owns the object; empty where none does.
    pub source: String,
    /// The object; for a container its Pod.
    pub object: ObjectRef,
    /// A field path; for a container `containers[NAME]`.
    pub path: String,
    /// What it should be. A Secret's value is a keyed digest.
    #[serde(default)]
    pub desired: Value,
    /// What it is.
    #[serde(default)]
    pub live: Value,
    /// Who did it.
    pub origin: DriftOrigin,
}

/// An object that a drift is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As `apps/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for the cluster's scope.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: Uid,
}

/// Where a drift came from. One of the two is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftOrigin {
    /// A user of the API.
    User(String),
    /// A node, for what happened to a container there.
    Node(String),
}

/// `Drift.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// How often it was seen.
    pub count: u64,
    /// First.
    pub first_seen: Time,
    /// Last.
    pub last_seen: Time,
    /// Healed too often: healed with back-off.
    #[serde(default)]
    pub contested: bool,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Last times that it was healed, newest last, at most 5: for the back-off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healed_at: Vec<Time>,
}

/// How a drift ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Written back, or the container made again.
    Healed,
    /// The source now says the live value.
    Adopted,
    /// `evenkeel drift accept`: sync and rollback leave the field alone.
    Accepted,
    /// A newer revision or the object's end settled it.
    Superseded,
}

/// A map of names to text, for annotations that hold JSON.
pub type TextMap = BTreeMap<String, String>;

fn is_default<T: Default + PartialEq>(v: &T) -> bool {
    *v == T::default()
}
