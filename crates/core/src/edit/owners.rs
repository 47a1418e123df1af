//! Who owns the fields of kinds whose writes have rules of their own: Nodes and Sources.
//!
//! Their requests say so as it was decided where they were read: an apply has merged already, any other
//! write gives what it changes to its manager.

use alloc::{string::String, sync::Arc};

use evenkeel_model::{Object, Time};
use evenkeel_schema::merge::{Managed, Update, update};
use serde_json::Value;

use crate::{release::write::without_status, world::World};

/// Who owns what after a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Owners {
    /// What the write changes is this manager's.
    By(String),
    /// As an apply has made it.
    Applied(Managed),
}

impl Owners {
    /// As `object` keeps it, which was `before`.
    pub(crate) fn of(&self, world: &World, before: Option<&Object>, object: &Object, now: Time) -> Arc<[u8]> {
        let manager = match self {
            Self::Applied(managed) => return managed.to_bytes(),
            Self::By(manager) => manager,
        };
        let kind = object.key.kind;
        let old = before.map_or(Value::Null, |o| without_status(o, kind));
        let owners = before.and_then(|o| Managed::from_bytes(&o.managed).ok()).unwrap_or_default();
        let by = Update { manager, time: now, subresource: "" };
        update(world.node(kind), &old, &without_status(object, kind), &owners, &by).to_bytes()
    }
}
