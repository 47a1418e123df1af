//! Objects as the checks read them, without the product's own types.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::{Key, Kind, Object};
use serde_json::Value;

/// The objects as they were seen last.
pub(crate) type Objects = BTreeMap<Key, Arc<Object>>;

/// Those of a kind.
pub(crate) fn of_kind(objects: &Objects, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
    objects.values().filter(move |o| o.key.kind == kind)
}

/// The rows of a list; none where there is no list.
pub(crate) fn rows<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
