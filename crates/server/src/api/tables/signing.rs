//! Rows of CertificateSigningRequests.

use std::time::Duration;

use evenkeel_model::{Object, Time};
use serde_json::Value;

use super::{Column, age, human, name, text};

pub(super) const REQUEST: &[Column] =
    &[text("Name"), text("Age"), text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")];

pub(super) fn request(object: &Object, now: Time) -> Vec<Value> {
    let tree = object.to_value();
    let (spec, status) = (&tree["spec"], &tree["status"]);
    let lasts = spec["expirationSeconds"].as_u64().map_or("<none>".into(), |s| human(Duration::from_secs(s)));
    let has = |kind: &str| status["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == kind));
    let mut stands = vec![match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }];
    if has("Failed") {
        stands.push("Failed");
    }
    if status["certificate"].as_str().is_some_and(|c| !c.is_empty()) {
        stands.push("Issued");
    }
    let word = |field: &str| Value::from(spec[field].as_str().unwrap_or_default());
    vec![name(object), age(object, now), word("signerName"), word("username"), lasts.into(), stands.join(",").into()]
}
