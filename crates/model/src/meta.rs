//! An object's metadata, typed: what every controller reads of every object.

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{ids::Uid, key::Key, kind::Kind, labels::Labels, time::Time};

/// A reference from a dependent to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerRef {
    /// `v1`, `apps/v1`.
    pub api_version: Arc<str>,
    /// The owner's kind.
    pub kind: Arc<str>,
    /// The owner's name, in the same namespace or of the cluster's scope.
    pub name: Arc<str>,
    /// The owner's uid: what counts.
    pub uid: Uid,
    /// Whether this owner is the managing controller; at most one is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub controller: bool,
    /// Whether a foreground deletion of the owner waits for this object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub block_owner_deletion: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde calls
fn is_false(b: &bool) -> bool {
    !*b
}

impl OwnerRef {
    /// The reference of a controller to what it makes.
    pub fn controller(owner: &Key, uid: Uid) -> Self {
        let info = owner.kind.info();
        Self {
            api_version: info.api_version().into(),
            kind: info.kind.into(),
            name: owner.name.clone(),
            uid,
            controller: true,
            block_owner_deletion: true,
        }
    }

    /// The owner's kind, if Evenkeel knows it.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::of(&self.api_version, &self.kind)
    }
}

/// When an object with a grace period goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// `deletionTimestamp`: when it was asked for, plus the grace, as in Kubernetes.
    pub at: Time,
    /// `deletionGracePeriodSeconds`.
    pub grace_seconds: i64,
}

/// Everything of `metadata` but the name and namespace (in the key), the `resourceVersion` (the
/// object's version) and `managedFields` (kept apart, because they are big and often equal).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// The prefix that the name was generated from, if it was.
    pub generate_name: Option<Arc<str>>,
    /// Steps with each change of the specification, from 1.
    pub generation: i64,
    /// When it was made.
    pub created: Time,
    /// Set once deletion was asked for.
    pub deletion: Option<Deletion>,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// Owners.
    pub owners: Arc<[OwnerRef]>,
    /// What must be done before the object may go.
    pub finalizers: Arc<[String]>,
}

impl Meta {
    /// The managing controller's reference.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|o| o.controller)
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, name: &str, value: impl Into<String>) {
        Arc::make_mut(&mut self.annotations).insert(name.into(), value.into());
    }

    /// Sets a label.
    pub fn set_label(&mut self, name: &str, value: impl Into<String>) {
        Arc::make_mut(&mut self.labels).insert(name.into(), value.into());
    }

    /// Reads the fields it keeps from a `metadata` tree.
    pub(crate) fn from_map(map: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Wire {
            generate_name: Option<Arc<str>>,
            generation: Option<i64>,
            creation_timestamp: Option<Time>,
            deletion_timestamp: Option<Time>,
            deletion_grace_period_seconds: Option<i64>,
            labels: Option<Labels>,
            annotations: Option<Labels>,
            owner_references: Option<Vec<OwnerRef>>,
            finalizers: Option<Vec<String>>,
        }
        let w = Wire::deserialize(Value::Object(map.clone()))?;
        Ok(Self {
            generate_name: w.generate_name,
            generation: w.generation.unwrap_or_default(),
            created: w.creation_timestamp.unwrap_or_default(),
            deletion: w
                .deletion_timestamp
                .map(|at| Deletion { at, grace_seconds: w.deletion_grace_period_seconds.unwrap_or_default() }),
            labels: w.labels.unwrap_or_default(),
            annotations: w.annotations.unwrap_or_default(),
            owners: w.owner_references.unwrap_or_default().into(),
            finalizers: w.finalizers.unwrap_or_default().into(),
        })
    }

    /// As a `metadata` tree, without name, namespace, uid, resourceVersion, managedFields.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let mut m = Map::new();
        if let Some(g) = &self.generate_name {
            m.insert("generateName".into(), json!(g));
        }
        if self.generation != 0 {
            m.insert("generation".into(), json!(self.generation));
        }
        m.insert("creationTimestamp".into(), self.created.rfc3339().into());
        if let Some(d) = self.deletion {
            m.insert("deletionTimestamp".into(), d.at.rfc3339().into());
            m.insert("deletionGracePeriodSeconds".into(), json!(d.grace_seconds));
        }
        if !self.labels.is_empty() {
            m.insert("labels".into(), json!(self.labels));
        }
        if !self.annotations.is_empty() {
            m.insert("annotations".into(), json!(self.annotations));
        }
        if !self.owners.is_empty() {
            m.insert("ownerReferences".into(), json!(&self.owners));
        }
        if !self.finalizers.is_empty() {
            m.insert("finalizers".into(), Value::Array(self.finalizers.iter().map(|f| f.clone().into()).collect()));
        }
        m
    }
}
