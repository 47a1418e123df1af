//! What users ask of the server beyond reading, and its answers.
//!
//! The API layer parses a request into an [`Ask`]; the conductor hands it to [`handle`], which
//! decides and leaves changes in the context. The caller is answered after they are durable.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Diagnostic, Key, Labels, Object, Revision, Snapshot, SourceName, Uid, Version};
use evenkeel_schema::validate::{Cause, in_one_line};
use k8s_openapi::api::core::v1::Taint;
use serde_json::Value;

use crate::{
    acme, controllers,
    cx::Cx,
    drift,
    edit::{self, Edit, Owners},
    release,
    scheduler::rebalance::{self, Move},
    world::World,
};

/// Seconds after which a request to a recovering server is worth another try: its wait is 60 s by
/// default, and mostly over sooner.
const RECOVERY_RETRY: u32 = 5;

/// A request that may change the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Creates a Source: its name and its `spec` as checked JSON.
    CreateSource {
        /// Name.
        name: SourceName,
        /// `spec`, already decoded strictly and validated.
        spec: evenkeel_model::own::SourceSpec,
        /// Labels and annotations of the new object.
        meta: evenkeel_model::Meta,
        /// Who owns its fields.
        owners: Owners,
        /// Everything is checked, nothing is written.
        dry_run: bool,
    },
    /// Replaces a Source's `spec`, and its labels and annotations.
    UpdateSource {
        /// Name.
        name: SourceName,
        /// The new `spec`.
        spec: evenkeel_model::own::SourceSpec,
        /// Refused with a conflict unless the Source still has this version.
        if_version: Option<evenkeel_model::Version>,
        /// New labels and annotations; absent, they stay. Evenkeel's own (`evenkeel.dev/…`) always do.
        meta: Option<evenkeel_model::Meta>,
        /// Who owns its fields then.
        owners: Owners,
        /// Everything is checked, nothing is written.
        dry_run: bool,
    },
    /// Deletes a Source; its objects stay unless `prune`.
    DeleteSource {
        /// Name.
        name: SourceName,
        /// Deletes what it made, too.
        prune: bool,
        /// Everything is checked, nothing is written.
        dry_run: bool,
    },
    /// `sources/NAME/sync`.
    Sync {
        /// Name.
        name: SourceName,
        /// Does not wait for a rollout under way to settle.
        now: bool,
        /// Lets a held-back mass deletion through.
        allow_mass_delete: bool,
    },
    /// `sources/NAME/retry`: tries a failed or quarantined revision again.
    Retry {
        /// Name.
        name: SourceName,
    },
    /// `sources/NAME/rollback`.
    Rollback {
        /// Name.
        name: SourceName,
        /// Where to; the last good revision before the applied one if absent.
        revision: Option<Revision>,
        /// Why.
        reason: String,
        /// Whether the pin ends with the next commit.
        until_next_commit: bool,
    },
    /// `sources/NAME/unpin`.
    Unpin {
        /// Name.
        name: SourceName,
    },
    /// `drifts/NAME/accept`.
    DriftAccept {
        /// The Drift's name.
        name: Arc<str>,
    },
    /// `drifts/NAME/heal`.
    DriftHeal {
        /// The Drift's name.
        name: Arc<str>,
    },
    /// Changes what users may change of a Node.
    UpdateNode {
        /// Node.
        name: Arc<str>,
        /// All of it, as it shall be.
        wish: NodeWish,
        /// Refused with a conflict unless the Node still has this version.
        if_version: Option<Version>,
        /// Everything is checked, nothing is written.
        dry_run: bool,
        /// Who owns its fields then.
        owners: Owners,
    },
    /// What each node has given out, and when it was heard of. Nothing is written.
    NodeUse,
    /// Writes when nodes were last heard of to their Leases, where these are behind.
    RenewLeases {
        /// The first node, by name.
        from: Arc<str>,
        /// So many from there on, within [`controllers::lease::RENEWED`].
        count: usize,
    },
    /// Deletes a Node: its pods are gone with it.
    DeleteNode {
        /// Node.
        name: Arc<str>,
        /// Also if it speaks and has pods.
        force: bool,
        /// Everything is checked, nothing is written.
        dry_run: bool,
    },
    /// `pods/NAME/adopt`: an orphan belongs to a ReplicaSet that fits, or to itself, from now on.
    OrphanAdopt {
        /// The Pod.
        pod: Key,
    },
    /// `pods/NAME/remove`: an orphan ends with its grace.
    OrphanRemove {
        /// The Pod.
        pod: Key,
    },
    /// `pods/NAME/eviction`: takes a pod away as far as its disruption budget allows.
    Evict {
        /// The Pod.
        pod: Key,
        /// How.
        options: DeleteOptions,
    },
    /// Makes one move of a rebalance's plan, if it still helps and nothing stands against it.
    Rebalance(Transfer),
    /// Deletes a Pod, whatever budgets say. Its controller makes another.
    DeletePod {
        /// The Pod.
        pod: Key,
        /// How.
        options: DeleteOptions,
    },
    /// A write by hand.
    Edit(Box<Edit>),
    /// A step on the way to a certificate.
    Acme(Box<acme::Step>),
    /// What applying this snapshot as the source's next revision would do: nothing is written.
    Diff {
        /// Source whose revision it would be.
        source: SourceName,
        /// The documents.
        snapshot: Arc<Snapshot>,
    },
}

/// A move of a rebalance's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The Pod.
    pub pod: Key,
    /// Its uid.
    pub uid: Uid,
    /// Where its replacement shall go.
    pub to: Arc<str>,
    /// Also if what is in its emptyDirs is lost.
    pub empty_dirs: bool,
}

/// What users may change of a Node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeWish {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
}

/// How to delete, as Kubernetes' `DeleteOptions` say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOptions {
    /// Seconds that the containers get; absent, what the pod says. Zero is a deletion by force.
    pub grace_seconds: Option<i64>,
    /// Only if the object has this uid.
    pub if_uid: Option<Uid>,
    /// Only if the object has this version.
    pub if_version: Option<Version>,
    /// What becomes of its dependents.
    pub propagation: Propagation,
    /// Everything is checked, nothing is written.
    pub dry_run: bool,
}

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// They are collected after it is gone.
    #[default]
    Background,
    /// It stays until they are gone.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

impl DeleteOptions {
    /// Refuses another object than was meant.
    pub fn check(&self, object: &Object) -> Result<(), Refusal> {
        let uid = self.if_uid.filter(|u| *u != object.uid).map(|u| ("UID", u.to_string(), object.uid.to_string()));
        let version = self
            .if_version
            .filter(|v| *v != object.version)
            .map(|v| ("ResourceVersion", v.to_string(), object.version.to_string()));
        let Some((what, wanted, is)) = uid.or(version) else { return Ok(()) };
        Err(Refusal::precondition(&object.key, what, &wanted, &is))
    }
}

/// What came of an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The object as it is now; read it from the world after the batch.
    Object(Key),
    /// As above, of one that was not there before.
    Created(Key),
    /// It is gone; as it was.
    Deleted(Arc<Object>),
    /// As it would be, of a dry run.
    Would(Arc<Object>),
    /// As above, of one that is not there.
    WouldCreate(Arc<Object>),
    /// What each node has given out.
    NodeUse(Vec<controllers::node::NodeUse>),
    /// The Leases are up to date; the node to go on from.
    Renewed(Option<Arc<str>>),
    /// A plan.
    Plan(Plan),
    /// The move that was begun.
    Moved(Move),
}

/// What a revision would change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Objects, in the order of their keys; unchanged ones left out.
    pub objects: Vec<PlannedObject>,
    /// Why the revision would be rejected.
    pub diagnostics: Vec<Diagnostic>,
    /// Objects that would stay as they are.
    pub unchanged: u32,
}

/// One object of a plan. Secret values are keyed digests in both trees.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedObject {
    /// The object.
    pub key: Key,
    /// Now; `None` if it would be created.
    pub before: Option<Value>,
    /// Then; `None` if it would be deleted.
    pub after: Option<Value>,
    /// Where its new pods would go: node names, or the reason why nowhere; empty if none are made.
    pub placement: Vec<String>,
}

/// Why a request was refused, in HTTP's and Kubernetes' terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// `Status.reason`, as `NotFound`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What is to be told beside it.
    pub more: More,
}

/// What some refusals say beyond the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum More {
    /// Nothing.
    #[default]
    Nothing,
    /// A disruption budget stands against it: what it says. `Status.details.causes` has it.
    DisruptionBudget(String),
    /// This namespace ends, and takes nothing in any more.
    Ending(String),
    /// It is worth another try after so many seconds.
    RetryAfter(u32),
    /// Fields that are wrong.
    Fields(Vec<Cause>),
    /// Fields that other managers own: path and message each.
    FieldConflicts(Vec<(String, String)>),
}

impl Refusal {
    /// A refusal without more than its message.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), more: More::Nothing }
    }

    /// What else is to be told.
    #[must_use]
    pub fn with(self, more: More) -> Self {
        Self { more, ..self }
    }

    /// 404 for an object.
    pub fn not_found(key: &Key) -> Self {
        Self::new(404, "NotFound", alloc::format!("{} \"{}\" not found", key.kind.resource(), key.name))
    }

    /// 409: there is one already.
    pub fn exists(key: &Key, why: &str) -> Self {
        let gap = if why.is_empty() { "" } else { ": " };
        let message = alloc::format!("{} \"{}\" already exists{gap}{why}", key.kind.resource(), key.name);
        Self::new(409, "AlreadyExists", message)
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message)
    }

    /// 409: another object, or another state of it, was meant.
    pub fn precondition(key: &Key, what: &str, wanted: &str, is: &str) -> Self {
        let why = alloc::format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
        Self::cannot(key, &why)
    }

    /// 409: the object is not as its writer read it.
    pub fn modified(key: &Key) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::cannot(key, why)
    }

    /// 409, in the form of Kubernetes' conflicts.
    fn cannot(key: &Key, why: &str) -> Self {
        let (resource, name) = (key.kind.resource(), &key.name);
        Self::conflict(alloc::format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"))
    }

    /// 422: the request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// 422: fields of an object are wrong.
    pub fn fields(key: &Key, fields: impl Into<Vec<Cause>>) -> Self {
        let fields = fields.into();
        let (kind, group) = (key.kind.info().kind, key.kind.info().group);
        let dot = if group.is_empty() { "" } else { "." };
        let text = in_one_line(&fields);
        let message = alloc::format!("{kind}{dot}{group} \"{}\" is invalid: {text}", key.name);
        Self::invalid(message).with(More::Fields(fields))
    }

    /// 503: nothing is created or removed before every node has reported.
    pub fn recovering() -> Self {
        let message = "the server is recovering: it removes nothing until its nodes have reported";
        Self::new(503, "ServiceUnavailable", message).with(More::RetryAfter(RECOVERY_RETRY))
    }
}

/// Decides on a request of `user`.
pub fn handle(world: &World, ask: &Ask, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    match ask {
        Ask::DriftAccept { name } => drift::accept(world, name, user, cx),
        Ask::DriftHeal { name } => drift::heal(world, name, user, cx),
        Ask::UpdateNode { name, wish, if_version, dry_run, owners } => {
            controllers::node::update(world, name, (wish, owners), *if_version, *dry_run, cx)
        }
        Ask::OrphanAdopt { pod } => controllers::orphan::adopt(world, pod, user, cx),
        Ask::OrphanRemove { pod } => controllers::orphan::remove(world, pod, user, cx),
        Ask::NodeUse => Ok(Answer::NodeUse(controllers::node::usage(world))),
        Ask::RenewLeases { from, count } => Ok(Answer::Renewed(controllers::lease::renew(world, from, *count, cx))),
        Ask::DeleteNode { name, force, dry_run } => controllers::node::remove(world, name, (*force, *dry_run), cx),
        Ask::Evict { pod, options } => controllers::disruption::eviction::evict(world, pod, options, cx),
        Ask::Rebalance(transfer) => rebalance::begin(world, transfer, cx),
        Ask::DeletePod { pod, options } => controllers::pod::delete(world, pod, options, cx),
        Ask::Acme(step) => acme::handle(world, step, cx),
        Ask::Edit(edit) => edit::handle(world, edit, user, cx),
        source => release::ask::handle(world, source, user, cx),
    }
}
