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

/// How the message of an Event begins that stands for many with other words, as in Kubernetes.
const COMBINED: &str = "(combined from similar events): ";

/// The context of one run of a controller or of one event's handling.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Now. Never goes back while the server runs.
    pub now: Time,
    /// Since when this server watches, without a pause: waits that nobody watched begin anew from here.
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
    /// Nodes that shall answer a roll call.
    pub roll_calls: Vec<Arc<str>>,
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
        Self {
            now,
            started,
            settings,
            rng,
            changes: Vec::new(),
            wakes: Vec::new(),
            heals: Vec::new(),
            roll_calls: Vec::new(),
        }
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
        let now = self.now;
        let told = Told { kind, reason, message, field: "", count: 1, first: now, last: now, host: "" };
        self.told(world, about, &told);
    }

    /// The same of what lasts: told once, and again when the Event has expired.
    pub fn lasting(&mut self, world: &World, about: &Object, kind: EventKind, reason: &str, message: &str) {
        if world.get(&event_key(about, reason, message, "")).is_none() {
            self.event(world, about, kind, reason, message);
        }
    }

    /// The same of what someone else saw.
    pub fn told(&mut self, world: &World, about: &Object, told: &Told<'_>) {
        let message = shortened(told.message);
        let uid = about.uid.to_string();
        let key = event_key(about, told.reason, told.message, told.field);
        // An equal event may stand among this run's own changes already.
        let pending = self.changes.iter().any(|c| matches!(c, Change::Put(o) if o.key == key));
        if pending {
            return;
        }
        let previous = world.get(&key);
        let before = previous.map(|o| o.body_map()).unwrap_or_default();
        let count = before.get("count").and_then(Value::as_i64).unwrap_or(0).saturating_add(i64::from(told.count));
        let first =
            before.get("firstTimestamp").and_then(Value::as_str).map_or_else(|| told.first.rfc3339(), Into::into);
        let info = about.key.kind.info();
        let component = if told.host.is_empty() { "evenkeel" } else { "evenkeel-agent" };
        let mut body = json!({
            "involvedObject": {
                "apiVersion": info.api_version(), "kind": info.kind, "name": about.key.name,
                "namespace": about.key.namespace, "uid": uid,
            },
            "reason": told.reason, "message": message, "type": told.kind.as_str(), "count": count,
            "firstTimestamp": first, "lastTimestamp": told.last.rfc3339(),
            "source": {"component": component}, "reportingComponent": component, "reportingInstance": told.host,
        });
        if !told.field.is_empty() {
            body["involvedObject"]["fieldPath"] = told.field.into();
        }
        if !told.host.is_empty() {
            body["source"]["host"] = told.host.into();
        }
        let mut object = self.draft(key, &body);
        if let Some(previous) = previous {
            object.uid = previous.uid;
            object.meta = previous.meta.clone();
        }
        self.put(object);
    }
}

fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(EVENT_MESSAGE_LIMIT)]
}

/// The Event of an object, a reason and a message.
fn event_key(about: &Object, reason: &str, message: &str, field: &str) -> Key {
    let namespace: Arc<str> =
        if about.key.namespace.is_empty() { "default".into() } else { about.key.namespace.clone() };
    let (uid, message) = (about.uid.to_string(), shortened(message));
    // All that an agent combined are one, whatever the newest says.
    let words = if message.starts_with(COMBINED) { COMBINED } else { message };
    // Without a part the name is as it always was, so that old ones are counted on.
    let mut parts = alloc::vec![uid.as_bytes(), reason.as_bytes(), words.as_bytes()];
    parts.extend((!field.is_empty()).then_some(field.as_bytes()));
    let id = Digest::of_parts(parts).short(16);
    Key::new(Kind::Event, namespace, format!("{}.{id}", about.key.name))
}

/// An Event as someone saw it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its type.
    pub kind: EventKind,
    /// Its reason.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// The part of the object that it is about; empty for the whole.
    pub field: &'a str,
    /// How often since it was told last.
    pub count: u32,
    /// The first time of these.
    pub first: Time,
    /// The last one.
    pub last: Time,
    /// The node whose agent saw it; empty for this server.
    pub host: &'a str,
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
