//! Nodes, as far as users write them: taints.

use alloc::collections::BTreeSet;

use serde_json::Value;

use super::{complaints::Complaints, list, names, text};
use crate::path::Trail;

/// `spec`. Which effects there are is in the tables.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("taints");
    let mut seen = BTreeSet::new();
    for (i, taint) in list(value, "taints").iter().enumerate() {
        let at = at.index(i);
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        if let Some(why) = key.and_then(names::qualified_name) {
            out.invalid(&at.field("key"), &taint["key"], why);
        }
        if let Some(why) = text(taint, "value").and_then(names::label_value) {
            out.invalid(&at.field("value"), &taint["value"], why);
        }
        if !seen.insert((key, effect)) {
            out.duplicate(&at, taint);
        }
    }
}
