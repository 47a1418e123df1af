//! Deployments and ReplicaSets.

use evenkeel_model::Kind;
use serde_json::{Value, json};

use super::{complaints::Complaints, meta, pod, text};
use crate::path::Trail;

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
/// Seconds of `progressDeadlineSeconds` where it is absent.
const DEFAULT_DEADLINE: i64 = 600;

/// `spec` of either kind.
pub(super) fn spec(kind: Kind, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    selector(kind, value, at, out);
    let template_at = at.field("template");
    template(&value["template"], &template_at, out);
    if kind == Kind::Deployment {
        strategy(&value["strategy"], &at.field("strategy"), out);
        let ready = value["minReadySeconds"].as_i64().unwrap_or(0);
        let deadline = value["progressDeadlineSeconds"].as_i64().unwrap_or(DEFAULT_DEADLINE);
        if deadline <= ready {
            out.invalid(&at.field("progressDeadlineSeconds"), &json!(deadline), "must be greater than minReadySeconds");
        }
    }
}

fn selector(kind: Kind, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let selector = &value["selector"];
    let selector_at = at.field("selector");
    let Some(map) = selector.as_object() else { return };
    let empty = map.values().all(|v| {
        v.as_object().is_none_or(serde_json::Map::is_empty) && v.as_array().is_none_or(alloc::vec::Vec::is_empty)
    });
    if empty {
        let why = alloc::format!("empty selector is invalid for {}", kind.info().singular);
        out.invalid(&selector_at, selector, &why);
        return;
    }
    meta::selector(selector, &selector_at, out);
    let labels = &value["template"]["metadata"]["labels"];
    if meta::matches(selector, labels) == Some(false) {
        let template = at.field("template");
        let metadata = template.field("metadata");
        let labels = if labels.is_null() { json!({}) } else { labels.clone() };
        out.invalid(&metadata.field("labels"), &labels, "`selector` does not match template `labels`");
    }
}

fn template(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    meta::labels_and_annotations(&value["metadata"], &at.field("metadata"), out);
    let (spec, at) = (&value["spec"], at.field("spec"));
    pod::spec(spec, &at, out);
    if !super::list(spec, "ephemeralContainers").is_empty() {
        out.forbidden(&at.field("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
    if let Some(policy) = text(spec, "restartPolicy").filter(|p| matches!(*p, "OnFailure" | "Never")) {
        out.unsupported(&at.field("restartPolicy"), &json!(policy), &["Always"]);
    }
    if spec["activeDeadlineSeconds"].is_number() {
        out.forbidden(&at.field("activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicaSet is not Supported");
    }
}

fn strategy(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let rolling = &value["rollingUpdate"];
    let at = at.field("rollingUpdate");
    if text(value, "type") == Some("Recreate") {
        if rolling.is_object() {
            out.forbidden(&at, "may not be specified when strategy `type` is 'Recreate'");
        }
        return;
    }
    let (surge, unavailable) = (at.field("maxSurge"), at.field("maxUnavailable"));
    let most = amount(&rolling["maxSurge"], &surge, out);
    let least = amount(&rolling["maxUnavailable"], &unavailable, out);
    if least.is_some_and(|n| rolling["maxUnavailable"].is_string() && n > 100) {
        out.invalid(&unavailable, &rolling["maxUnavailable"], "must not be greater than 100%");
    }
    if most == Some(0) && least == Some(0) {
        out.invalid(&unavailable, &rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0");
    }
}

/// A number or a percentage; `None` where it is absent or wrong.
pub(super) fn amount(value: &Value, at: &Trail<'_>, out: &mut Complaints) -> Option<i64> {
    match value {
        Value::Number(n) => {
            let n = n.as_i64()?;
            if n < 0 {
                out.invalid(at, value, "must be greater than or equal to 0");
                return None;
            }
            Some(n)
        }
        Value::String(s) if s.is_empty() => None,
        Value::String(s) => {
            let digits = s.strip_suffix('%').filter(|d| !d.is_empty() && d.bytes().all(|c| c.is_ascii_digit()));
            let number = digits.and_then(|d| d.parse().ok());
            if number.is_none() {
                out.invalid(at, value, PERCENT);
            }
            number
        }
        _ => None,
    }
}
