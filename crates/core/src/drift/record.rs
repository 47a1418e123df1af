//! A Drift as the controllers read and write it, and how it is found.
//!
//! Its name follows from object, path and origin, so that one place has one record, and all records
//! of an object stand together. Called by the other files of this folder.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Digest, Key, Kind, Object, Time,
    own::{DriftOrigin, DriftSpec, DriftStatus, ObjectRef, Resolution},
};
use serde_json::{Value, json};

use crate::{cx::Cx, settings::Settings, world::World};

/// Hexadecimal digits of the object in a Drift's name.
const OBJECT_DIGITS: usize = 16;
/// Hexadecimal digits of path and origin in a Drift's name.
const PLACE_DIGITS: usize = 10;

/// A Drift, decoded; it may not be in the world yet.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) object: Object,
    pub(super) spec: DriftSpec,
    pub(super) status: DriftStatus,
    before: Option<(DriftSpec, DriftStatus)>,
}

impl Record {
    /// Decodes a Drift.
    pub(super) fn read(object: &Arc<Object>) -> Option<Self> {
        let spec: DriftSpec = object.spec().ok()?;
        let status: DriftStatus = object.status().ok()??;
        let before = Some((spec.clone(), status.clone()));
        Some(Self { object: Object::clone(object), spec, status, before })
    }

    /// The record of a place, or a new one that has not been counted yet.
    pub(super) fn of(
        world: &World,
        source: &str,
        about: &Object,
        path: &str,
        origin: DriftOrigin,
        cx: &mut Cx<'_>,
    ) -> Self {
        let key = Key::cluster(Kind::Drift, name(&about.key, path, &origin));
        // One report may tell a drift and its end: the second goes on from what the first wrote.
        if let Some(found) = cx.pending(&key).or_else(|| world.get(&key)).and_then(Self::read) {
            return found;
        }
        let info = about.key.kind.info();
        let spec = DriftSpec {
            source: source.into(),
            object: ObjectRef {
                api_version: info.api_version(),
                kind: info.kind.into(),
                namespace: about.key.namespace.to_string(),
                name: about.key.name.to_string(),
                uid: about.uid,
            },
            path: path.into(),
            desired: Value::Null,
            live: Value::Null,
            origin,
        };
        let status = DriftStatus {
            count: 0,
            first_seen: cx.now,
            last_seen: cx.now,
            contested: false,
            resolved_at: None,
            resolution: None,
            healed_at: Vec::new(),
        };
        let object = cx.draft(key, &json!({"spec": spec}));
        Self { object, spec, status, before: None }
    }

    /// Whether it is not settled.
    pub(super) fn open(&self) -> bool {
        self.status.resolution.is_none()
    }

    /// Whether it is about a container.
    pub(super) fn of_container(&self) -> bool {
        matches!(self.spec.origin, DriftOrigin::Node(_))
    }

    /// Seen once more, with these values.
    pub(super) fn seen(&mut self, about: &Object, desired: Value, live: Value, now: Time) {
        self.spec.object.uid = about.uid;
        self.spec.desired = desired;
        self.spec.live = live;
        self.status.count += 1;
        self.status.last_seen = now;
        self.status.resolution = None;
        self.status.resolved_at = None;
    }

    /// Settles it.
    pub(super) fn resolve(&mut self, how: Resolution, now: Time, settings: &Settings) {
        self.status.resolution = Some(how);
        self.status.resolved_at = Some(now);
        if how == Resolution::Healed {
            self.status.healed_at.push(now);
            let surplus = self.status.healed_at.len().saturating_sub(settings.contested_count);
            self.status.healed_at.drain(..surplus);
        }
    }

    /// Notes whether it is contested, and gives the time before which it is not healed again.
    pub(super) fn back_off(&mut self, now: Time, settings: &Settings) -> Option<Time> {
        let recent = self.status.healed_at.iter().filter(|t| now.since(**t) < settings.contested_window).count();
        self.status.contested = recent >= settings.contested_count;
        let last = self.status.healed_at.last().filter(|_| self.status.contested)?;
        let due = *last + settings.contested_window / 2;
        (now < due).then_some(due)
    }

    /// Writes it if it changed.
    pub(super) fn save(self, cx: &mut Cx<'_>) {
        if self.before.as_ref() != Some(&(self.spec.clone(), self.status.clone())) {
            cx.put(self.object.with_spec(&self.spec).with_status(&self.status));
        }
    }
}

fn prefix(object: &Key) -> String {
    format!("{}-", Digest::of(object.to_string().as_bytes()).short(OBJECT_DIGITS))
}

fn name(object: &Key, path: &str, origin: &DriftOrigin) -> String {
    let (kind, who): (&[u8], _) = match origin {
        DriftOrigin::User(u) => (b"user", u),
        DriftOrigin::Node(n) => (b"node", n),
    };
    let place = Digest::of_parts([path.as_bytes(), kind, who.as_bytes()]).short(PLACE_DIGITS);
    format!("{}{place}", prefix(object))
}

/// Keys of all records about an object.
pub(super) fn keys_of(world: &World, object: &Key) -> Vec<Key> {
    let prefix = prefix(object);
    world
        .list_from(Kind::Drift, "", &prefix)
        .take_while(|o| o.key.name.starts_with(&prefix))
        .map(|o| o.key.clone())
        .collect()
}

/// All records about an object.
pub(super) fn of_object(world: &World, object: &Key) -> Vec<Record> {
    keys_of(world, object).iter().filter_map(|k| world.get(k)).filter_map(Record::read).collect()
}

/// The object that a record is about.
pub(super) fn about(world: &World, spec: &DriftSpec) -> Option<Key> {
    let kind = world.customs.of_reference(&spec.object.api_version, &spec.object.kind)?;
    Some(Key::new(kind, &*spec.object.namespace, &*spec.object.name))
}
