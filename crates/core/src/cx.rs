//! What a controller is given beside the world, and where it leaves its answers.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Digest, Key, Kind, Meta, Object, Rng, Time};
use serde_json::{Value, json};

use crate::{change::Change, controllers::ControllerId, settings::Settings, world::World};

/// Longest message of an Event, in bytes, as in Kubernetes.
const EVENT_MESSAGE_LIMIT: usize = 1024;

/// The context of one run of a controller or of one event's handling.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Now. Never goes back while the server runs.
    pub now: Time,
    /// When this server started: waits that nobody watched begin anew from here.
    pub started: Time,
    /// Settings.
    pub settings: &'a Settings,
    /// The one source of chance.
    pub rng: &'a mut Rng,
    /// What to write, in order; applied after the run.
    pub changes: Vec<Change>,
    /// When to run a controller again although nothing changed: replaces the earlier wish of the
    /// same controller and key.
    pub wakes: Vec<(Time, ControllerId, Key)>,
    /// Container drifts that the agents shall heal or leave.
    pub heals: Vec<Heal>,
}

/// A decision on a container drift, for the node's agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Heal {
    /// Node.
    pub node: Arc<str>,
    /// Pod.
    pub pod: evenkeel_model::Uid,
    /// Container; `None` for the sandbox.
    pub container: Option<String>,
    /// Whether to heal.
    pub heal: bool,
}

impl<'a> Cx<'a> {
    /// A fresh context.
    pub fn new(now: Time, started: Time, settings: &'a Settings, rng: &'a mut Rng) -> Self {
        Self { now, started, settings, rng, changes: Vec::new(), wakes: Vec::new(), heals: Vec::new() }
    }

    /// An object as this run has written it so far.
    pub fn pending(&self, key: &Key) -> Option<&Arc<Object>> {
        self.changes.iter().rev().find_map(|c| match c {
            Change::Put(object) if object.key == *key => Some(object),
            _ => None,
        })
    }

    /// Writes an object.
    pub fn put(&mut self, object: Object) {
        self.changes.push(Change::Put(Arc::new(object)));
    }

    /// Takes an object away for good. To ask for a deletion with finalizers and grace, see
    /// [`crate::world::deletion`].
    pub fn delete(&mut self, key: Key) {
        self.changes.push(Change::Delete(key));
    }

    /// Runs a controller for a key at a time.
    pub fn wake(&mut self, at: Time, controller: ControllerId, key: Key) {
        self.wakes.push((at, controller, key));
    }

    /// A new object of generation 1 with a uid, made now.
    pub fn draft(&mut self, key: Key, body: &Value) -> Object {
        let meta = Meta { generation: 1, created: self.now, ..Meta::default() };
        Object::new(key, self.rng.uid(), meta, evenkeel_model::canonical::value_bytes(body).into())
    }

    /// Records a Kubernetes Event about an object. Equal events (object, reason, message) are one
    /// with a count.
    pub fn event(&mut self, world: &World, about: &Object, kind: EventKind, reason: &str, message: &str) {
        let mut message = message.to_string();
        if message.len() > EVENT_MESSAGE_LIMIT {
            let cut = (0..=EVENT_MESSAGE_LIMIT).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
            message.truncate(cut);
        }
        let namespace: Arc<str> =
            if about.key.namespace.is_empty() { "default".into() } else { about.key.namespace.clone() };
        let id = Digest::of_parts([about.uid.to_string().as_bytes(), reason.as_bytes(), message.as_bytes()]).short(16);
        let key = Key::new(Kind::Event, namespace, format!("{}.{id}", about.key.name));
        // An equal event may stand among this run's own changes already.
        let pending = self.changes.iter().any(|c| matches!(c, Change::Put(o) if o.key == key));
        if pending {
            return;
        }
        let now = self.now.rfc3339();
        let previous = world.get(&key);
        let count = previous.and_then(|o| o.body_map().get("count").and_then(Value::as_i64)).unwrap_or(0) + 1;
        let first = previous
            .and_then(|o| o.body_map().get("firstTimestamp").and_then(Value::as_str).map(ToString::to_string))
            .unwrap_or_else(|| now.clone());
        let info = about.key.kind.info();
        let body = json!({
            "involvedObject": {
                "apiVersion": info.api_version(), "kind": info.kind, "name": about.key.name,
                "namespace": about.key.namespace, "uid": about.uid.to_string(),
            },
            "reason": reason, "message": message, "type": kind.as_str(), "count": count,
            "firstTimestamp": first, "lastTimestamp": now,
            "source": {"component": "evenkeel"}, "reportingComponent": "evenkeel", "reportingInstance": "",
        });
        let mut object = self.draft(key, &body);
        if let Some(previous) = previous {
            object.uid = previous.uid;
            object.meta = previous.meta.clone();
        }
        self.put(object);
    }
}

/// The type of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Things go as they should.
    Normal,
    /// Something a person should know.
    Warning,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}
