//! An object as the world holds it and the store keeps it.
//!
//! Typed metadata, and canonical JSON bytes for the rest: the body (every field but `apiVersion`,
//! `kind`, `metadata` and `status`, as `{"spec":{…}}` or `{"data":{…}}`) and the status. Bodies
//! are shared: the pods of one template point to one body, which is why a pod's `spec.nodeName`
//! stands apart. Typed views are decoded for the controller that reads them and not kept.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    canonical,
    ids::{Uid, Version},
    key::Key,
    kind::Kind,
    meta::Meta,
    text,
};

/// Bytes or a tree that are no object.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// A field that makes up the identity is missing or wrong.
    #[error("not a Kubernetes object: {0}")]
    Shape(&'static str),
    /// The kind is none that Evenkeel knows.
    #[error("unknown kind {api_version} {kind}")]
    Kind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
    /// A part does not have the type that its reader expects.
    #[error("{what} of {key} cannot be read")]
    Decode {
        /// Which part.
        what: &'static str,
        /// Of which object.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Metadata that cannot be read.
    #[error("metadata cannot be read")]
    Meta(#[source] serde_json::Error),
}

/// An object. Cheap to clone: everything big is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Kind, namespace, name.
    pub key: Key,
    /// Uid.
    pub uid: Uid,
    /// The version of its last write; zero until it was committed.
    pub version: Version,
    /// Metadata.
    pub meta: Meta,
    /// Canonical JSON of every top-level field but `apiVersion`, `kind`, `metadata` and `status`.
    pub body: Arc<[u8]>,
    /// Canonical JSON of `status`; empty if there is none.
    pub status: Arc<[u8]>,
    /// Canonical JSON of `metadata.managedFields`; empty if there are none.
    pub managed: Arc<[u8]>,
    /// A pod's `spec.nodeName`, which is not in the body.
    pub node: Option<Arc<str>>,
}

impl Object {
    /// A new object with this body, at version zero.
    pub fn new(key: Key, uid: Uid, meta: Meta, body: Arc<[u8]>) -> Self {
        Self { key, uid, version: Version(0), meta, body, status: empty(), managed: empty(), node: None }
    }

    /// Reads a whole object in Kubernetes' form. `resourceVersion` becomes the version if it is a
    /// number, a missing uid becomes zero.
    pub fn from_value(value: Value) -> Result<Self, ObjectError> {
        let Value::Object(mut map) = value else { return Err(ObjectError::Shape("it is no mapping")) };
        let api_version = text(&mut map, "apiVersion").ok_or(ObjectError::Shape("apiVersion is missing"))?;
        let kind = text(&mut map, "kind").ok_or(ObjectError::Shape("kind is missing"))?;
        let Some(kind) = Kind::of(&api_version, &kind) else { return Err(ObjectError::Kind { api_version, kind }) };
        Self::of_map(kind, map)
    }

    /// Reads a whole object whose kind is known, which its `apiVersion` and `kind` are not asked for.
    pub fn of_kind(kind: Kind, value: Value) -> Result<Self, ObjectError> {
        let Value::Object(mut map) = value else { return Err(ObjectError::Shape("it is no mapping")) };
        map.remove("apiVersion");
        map.remove("kind");
        Self::of_map(kind, map)
    }

    fn of_map(kind: Kind, mut map: Map<String, Value>) -> Result<Self, ObjectError> {
        let Some(Value::Object(mut metadata)) = map.remove("metadata") else {
            return Err(ObjectError::Shape("metadata is missing"));
        };
        let name = text(&mut metadata, "name").unwrap_or_default();
        let namespace = text(&mut metadata, "namespace").unwrap_or_default();
        let uid = match text(&mut metadata, "uid") {
            Some(u) => u.parse().map_err(|_| ObjectError::Shape("metadata.uid is no uid"))?,
            None => Uid::default(),
        };
        let version = text(&mut metadata, "resourceVersion").and_then(|v| v.parse().ok()).map_or(Version(0), Version);
        let managed = metadata.remove("managedFields").map_or_else(empty, |m| canonical::value_bytes(&m).into());
        let meta = Meta::from_map(&metadata).map_err(ObjectError::Meta)?;
        // Without a status subresource, a custom kind's `status` is a field like any other.
        let apart = !matches!(kind, Kind::Custom(custom) if !custom.info().has_status);
        let status = if apart { map.remove("status") } else { None };
        let status = status.map_or_else(empty, |s| canonical::value_bytes(&s).into());
        let node = if kind == Kind::Pod { take_node(&mut map) } else { None };
        let body = canonical::value_bytes(&Value::Object(map)).into();
        Ok(Self { key: Key::new(kind, namespace, name), uid, version, meta, body, status, managed, node })
    }

    /// The whole object in Kubernetes' form.
    pub fn to_value(&self) -> Value {
        let mut map = self.body_map();
        if let Some(node) = &self.node
            && let Some(Value::Object(spec)) = map.get_mut("spec")
        {
            spec.insert("nodeName".into(), json!(node));
        }
        let info = self.key.kind.info();
        map.insert("apiVersion".into(), info.api_version().into());
        map.insert("kind".into(), info.kind.into());
        map.insert("metadata".into(), Value::Object(self.metadata_map()));
        if !self.status.is_empty() {
            map.insert("status".into(), serde_json::from_slice(&self.status).unwrap_or_default());
        }
        Value::Object(map)
    }

    /// The whole `metadata` tree.
    pub fn metadata_map(&self) -> Map<String, Value> {
        let mut m = self.metadata_head();
        if !self.managed.is_empty() {
            m.insert("managedFields".into(), serde_json::from_slice(&self.managed).unwrap_or_default());
        }
        m
    }

    /// The same without who owns which field.
    pub(crate) fn metadata_head(&self) -> Map<String, Value> {
        let mut m = self.meta.to_map();
        m.insert("name".into(), json!(self.key.name));
        if !self.key.namespace.is_empty() {
            m.insert("namespace".into(), json!(self.key.namespace));
        }
        m.insert("uid".into(), self.uid.to_string().into());
        if self.version != Version(0) {
            m.insert("resourceVersion".into(), self.version.to_string().into());
        }
        m
    }

    /// The same object as another version of its kind shows it: without conversion, only its name differs.
    pub fn shown_as(&self, kind: Kind) -> Self {
        let key = Key { kind, ..self.key.clone() };
        Self { key, ..self.clone() }
    }

    /// The whole object as JSON in Kubernetes' form.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + self.status.len() + self.managed.len() + 1024);
        self.write_json(&mut out);
        out
    }

    /// Appends it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        text::write_object(self, out);
    }

    /// The body as a map.
    pub fn body_map(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body decoded as a typed view: a struct with the top-level fields that the caller needs.
    pub fn view<T: DeserializeOwned>(&self) -> Result<T, ObjectError> {
        serde_json::from_slice(&self.body).map_err(|e| self.decode_error("the body", e))
    }

    /// `spec`, typed. A pod's comes without `nodeName`.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, ObjectError> {
        #[derive(Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct Spec<T> {
            spec: T,
        }
        self.view::<Spec<T>>().map(|s| s.spec)
    }

    /// `status`, typed; `None` where there is none.
    pub fn status<T: DeserializeOwned>(&self) -> Result<Option<T>, ObjectError> {
        if self.status.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&self.status).map(Some).map_err(|e| self.decode_error("the status", e))
    }

    /// The same object with another status. A status that cannot be serialized does not exist.
    pub fn with_status<T: Serialize>(&self, status: &T) -> Self {
        let bytes = canonical::to_bytes(status).unwrap_or_else(|_| empty());
        Self { status: bytes, ..self.clone() }
    }

    /// The same object with another `spec`; its generation is not touched.
    pub fn with_spec<T: Serialize>(&self, spec: &T) -> Self {
        let mut map = self.body_map();
        map.insert("spec".into(), serde_json::to_value(spec).unwrap_or_default());
        Self { body: canonical::value_bytes(&Value::Object(map)).into(), ..self.clone() }
    }

    /// Whether deletion was asked for.
    pub fn deleting(&self) -> bool {
        self.meta.deletion.is_some()
    }

    /// The source that owns it, by its label.
    pub fn source(&self) -> Option<&str> {
        self.meta.label(crate::names::SOURCE)
    }

    /// Whether the two say the same, whatever their versions.
    pub fn same_content(&self, other: &Self) -> bool {
        self.key == other.key
            && self.uid == other.uid
            && self.node == other.node
            && self.meta == other.meta
            && self.status == other.status
            && self.body == other.body
            && self.managed == other.managed
    }

    /// Bytes it takes, roughly, shared parts included: for bounds.
    pub fn weight(&self) -> usize {
        256 + self.body.len() + self.status.len() + self.managed.len()
    }

    fn decode_error(&self, what: &'static str, source: serde_json::Error) -> ObjectError {
        ObjectError::Decode { what, key: self.key.to_string(), source }
    }
}

/// No bytes: an absent status or absent managed fields.
pub fn empty() -> Arc<[u8]> {
    Arc::from([])
}

fn take_node(map: &mut Map<String, Value>) -> Option<Arc<str>> {
    let Some(Value::Object(spec)) = map.get_mut("spec") else { return None };
    match spec.remove("nodeName") {
        Some(Value::String(n)) if !n.is_empty() => Some(n.into()),
        _ => None,
    }
}

fn text(map: &mut Map<String, Value>, key: &str) -> Option<String> {
    match map.remove(key) {
        Some(Value::String(s)) => Some(s),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_round_trips_and_shares_its_body() {
        let pod = |name: &str, node: &str| {
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "shop", "uid": "00000000-0000-4000-8000-000000000001",
                    "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"},
                    "managedFields": [{"manager": "x"}]},
                "spec": {"nodeName": node, "containers": [{"name": "c"}]},
                "status": {"phase": "Running"}})
        };
        let (a, b) = (Object::from_value(pod("a", "n1")).unwrap(), Object::from_value(pod("b", "n2")).unwrap());
        assert_eq!(a.to_value(), pod("a", "n1"));
        assert_eq!(a.body, b.body);
        assert_eq!(a.node.as_deref(), Some("n1"));
        assert_eq!(a.version, Version(7));
        assert!(!a.same_content(&b));
        assert!(a.same_content(&Object { version: Version(9), ..a.clone() }));
    }

    #[test]
    fn what_is_no_object_says_why() {
        for (value, part) in [
            (json!([]), "no mapping"),
            (json!({"kind": "Pod"}), "apiVersion"),
            (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata"),
            (json!({"apiVersion": "v2", "kind": "Pod", "metadata": {}}), "v2"),
        ] {
            let error = Object::from_value(value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
