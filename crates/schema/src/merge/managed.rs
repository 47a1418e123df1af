//! `metadata.managedFields`: who owns which fields of an object.
//!
//! Read from and written to the canonical bytes that an object keeps. Who may own what is decided
//! in `apply.rs`.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Time, canonical};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::set::{FieldSet, FieldsError};

/// As in Kubernetes: of more managers that update (not apply), the oldest are put into one.
const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager that the oldest ones become, as in Kubernetes.
const ANCIENT: &str = "ancient-changes";

/// Bytes that are no managed fields.
#[derive(Debug, Error)]
pub enum ManagedError {
    /// They are no list of entries.
    #[error("managedFields cannot be read")]
    Shape(#[source] serde_json::Error),
    /// An entry's fields cannot be read.
    #[error("managedFields of manager `{manager}` cannot be read")]
    Fields {
        /// Whose.
        manager: String,
        /// Why.
        #[source]
        source: FieldsError,
    },
}

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    Update,
}

/// One manager and what it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedEntry {
    /// Its name.
    pub manager: String,
    /// How it writes.
    pub operation: Operation,
    /// In which version of the object's kind it wrote.
    pub api_version: String,
    /// When it last changed something.
    pub time: Option<Time>,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// What it owns.
    pub fields: FieldSet,
}

impl ManagedEntry {
    /// Whether both are one manager. An applier is one whatever its version.
    pub(super) fn same_manager(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As Kubernetes names a manager in a conflict: `"kubectl" using apps/v1`.
    pub fn describe(&self) -> String {
        // Quoted as JSON, which is Go's quoting for every name that a manager may have.
        let manager = Value::String(self.manager.clone());
        let through = match &self.subresource[..] {
            "" => String::new(),
            name => alloc::format!(" with subresource {}", Value::String(name.into())),
        };
        match self.operation {
            Operation::Apply => alloc::format!("{manager}{through}"),
            Operation::Update => alloc::format!("{manager}{through} using {}", self.api_version),
        }
    }
}

/// All managers of an object, in Kubernetes' order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Managed(pub Vec<ManagedEntry>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    manager: String,
    operation: Operation,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    time: Option<Time>,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    fields_v1: Option<Value>,
}

impl Managed {
    /// From the bytes that an object keeps; none are no managers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManagedError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let wire: Vec<Wire> = serde_json::from_slice(bytes).map_err(ManagedError::Shape)?;
        let entries = wire.into_iter().map(|w| {
            let fields = match &w.fields_v1 {
                None | Some(Value::Null) => FieldSet::default(),
                Some(v) => FieldSet::from_fields_v1(v)
                    .map_err(|source| ManagedError::Fields { manager: w.manager.clone(), source })?,
            };
            Ok(ManagedEntry {
                manager: w.manager,
                operation: w.operation,
                api_version: w.api_version,
                time: w.time,
                subresource: w.subresource,
                fields,
            })
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// As the bytes that an object keeps; without managers there are none.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        if self.0.is_empty() {
            return Arc::from([]);
        }
        canonical::value_bytes(&Value::Array(self.0.iter().map(entry_value).collect())).into()
    }

    /// What one applier owns.
    pub fn applied_by(&self, manager: &str) -> Option<&FieldSet> {
        self.0
            .iter()
            .find(|e| e.manager == manager && e.operation == Operation::Apply && e.subresource.is_empty())
            .map(|e| &e.fields)
    }

    /// The managers that own this very path or one that leads to it.
    pub fn owners_of(&self, path: &super::path::FieldPath) -> Vec<&ManagedEntry> {
        self.0.iter().filter(|e| e.fields.covers(path)).collect()
    }

    /// Drops empty entries, bounds their number, and puts them in Kubernetes' order.
    pub(super) fn normalize(&mut self) {
        self.0.retain(|e| !e.fields.is_empty());
        let order = |a: &ManagedEntry, b: &ManagedEntry| {
            let secs = |e: &ManagedEntry| e.time.map(Time::secs);
            a.operation
                .cmp(&b.operation)
                .then_with(|| secs(a).cmp(&secs(b)))
                .then_with(|| a.manager.cmp(&b.manager))
                .then_with(|| a.api_version.cmp(&b.api_version))
                .then_with(|| a.subresource.cmp(&b.subresource))
        };
        self.0.sort_by(order);
        // Appliers come first, then the updates from the oldest on.
        let first = self.0.iter().position(|e| e.operation == Operation::Update).unwrap_or(self.0.len());
        let surplus = (self.0.len() - first).saturating_sub(MAX_UPDATE_MANAGERS);
        if surplus > 0 {
            let oldest: Vec<ManagedEntry> = self.0.drain(first..=first + surplus).collect();
            let mut oldest = oldest.into_iter();
            if let Some(mut ancient) = oldest.next() {
                ancient.manager = ANCIENT.to_string();
                ancient.subresource = String::new();
                for e in oldest {
                    ancient.fields.extend_from(&e.fields);
                    ancient.time = e.time.or(ancient.time);
                    ancient.api_version = e.api_version;
                }
                self.0.push(ancient);
            }
            self.0.sort_by(order);
        }
    }
}

fn entry_value(e: &ManagedEntry) -> Value {
    let mut m = Map::new();
    m.insert("manager".into(), e.manager.clone().into());
    m.insert("operation".into(), alloc::format!("{:?}", e.operation).into());
    m.insert("apiVersion".into(), e.api_version.clone().into());
    if let Some(time) = e.time {
        m.insert("time".into(), time.rfc3339().into());
    }
    if !e.subresource.is_empty() {
        m.insert("subresource".into(), e.subresource.clone().into());
    }
    m.insert("fieldsType".into(), "FieldsV1".into());
    m.insert("fieldsV1".into(), e.fields.to_fields_v1());
    Value::Object(m)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::path::FieldPath, *};

    fn entry(manager: &str, operation: Operation, secs: i64, field: &str) -> ManagedEntry {
        ManagedEntry {
            manager: manager.into(),
            operation,
            api_version: "apps/v1".into(),
            time: Some(Time::from_secs(secs)),
            subresource: String::new(),
            fields: core::iter::once(FieldPath::of_fields(&[field])).collect(),
        }
    }

    #[test]
    fn bytes_round_trip_in_kubernetes_form() {
        let wire = json!([{"manager": "evenkeel:shop", "operation": "Apply", "apiVersion": "apps/v1",
            "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale",
            "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}}}]);
        let bytes = canonical::value_bytes(&wire);
        let managed = Managed::from_bytes(&bytes).unwrap();
        assert_eq!(&*managed.to_bytes(), &bytes[..]);
        assert!(managed.applied_by("evenkeel:shop").is_some());
        assert!(managed.applied_by("kubectl").is_none());
        assert_eq!(managed.0[1].describe(), r#""kubectl" with subresource "scale" using apps/v1"#);
        assert!(Managed::from_bytes(b"").unwrap().to_bytes().is_empty());
        assert!(Managed::from_bytes(b"{}").is_err());
        assert!(Managed::from_bytes(br#"[{"operation":"Apply","fieldsV1":{"q":{}}}]"#).is_err());
    }

    #[test]
    fn order_and_bound_are_kubernetes() {
        let mut managed = Managed(
            (0..12)
                .map(|i| entry(&alloc::format!("u{i:02}"), Operation::Update, 100 - i, &alloc::format!("f{i}")))
                .collect(),
        );
        managed.0.push(entry("applier", Operation::Apply, 500, "a"));
        managed.0.push(ManagedEntry { fields: FieldSet::default(), ..entry("none", Operation::Apply, 1, "a") });
        managed.normalize();
        assert_eq!(managed.0[0].manager, "applier");
        assert_eq!(managed.0.len(), 11);
        let ancient = managed.0.iter().find(|e| e.manager == ANCIENT).unwrap();
        assert_eq!(ancient.fields.paths().len(), 3);
        let before = managed.clone();
        managed.normalize();
        assert_eq!(managed, before);
    }
}
