//! Which conditions of a CertificateSigningRequest may follow on which.
//!
//! Called for writes of its `status` and `approval`. A decision stays: who was approved or denied is not asked
//! about again. Deliberately not here: who may decide, and the signature (the API).

use alloc::format;

use evenkeel_model::{Key, Time};
use evenkeel_schema::validate::Cause;
use serde_json::{Value, json};

use crate::ask::Refusal;

/// The subresource by which a request is approved or denied.
pub(super) const APPROVAL: &str = "approval";
/// Conditions that are written by it.
pub(super) const DECIDED: [&str; 2] = ["Approved", "Denied"];
/// Conditions that stay; that a signer cannot sign what was approved is known with the approval.
pub(super) const SETTLED: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Refuses to take a decision back; fills in when conditions came.
pub(super) fn follows(key: &Key, before: &Value, after: &mut Value, now: Time) -> Result<(), Refusal> {
    let list = |value: &Value| value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let old = list(before);
    let was = |kind: &Value| old.iter().find(|c| c["type"] == *kind);
    let new = list(after);
    let settled = old.iter().filter(|c| SETTLED.iter().any(|s| c["type"] == *s));
    if let Some(gone) = settled.clone().find(|c| !new.iter().any(|n| n["type"] == c["type"])) {
        let why = format!("updates may not remove a condition of type {}", gone["type"]);
        return Err(Refusal::fields(key, [Cause::forbidden("status.conditions", why)]));
    }
    let conditions = after["status"].get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter(|c| c.is_object()) {
        let same = was(&condition["type"]).filter(|c| c["status"] == condition["status"]);
        for (field, kept) in [
            ("lastUpdateTime", None),
            ("lastTransitionTime", same.map(|c| c["lastTransitionTime"].clone()).filter(|t| !t.is_null())),
        ] {
            if condition[field].is_null() {
                condition[field] = kept.unwrap_or_else(|| json!(now.rfc3339()));
            }
        }
    }
    Ok(())
}
