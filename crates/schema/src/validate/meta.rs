//! `metadata`, labels and selectors.

use alloc::{collections::BTreeMap, string::String};

use evenkeel_model::{Kind, Selector};
use serde_json::{Map, Value};

use super::{complaints::Complaints, list, names, text};
use crate::path::Trail;

/// All annotations of an object together, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// An object's own metadata.
pub(super) fn metadata(kind: Kind, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    match text(value, "name") {
        None if text(value, "generateName").is_some() => {}
        None => out.required(&at.field("name"), "name or generateName is required"),
        Some(name) => {
            let wrong = match kind {
                Kind::Role | Kind::RoleBinding | Kind::ClusterRole | Kind::ClusterRoleBinding => {
                    names::path_segment(name)
                }
                Kind::Namespace | Kind::Service | Kind::Source => names::dns_label(name),
                _ => names::dns_subdomain(name),
            };
            if let Some(why) = wrong {
                out.invalid_str(&at.field("name"), name, why);
            }
        }
    }
    match (kind.namespaced(), text(value, "namespace")) {
        (true, Some(namespace)) => {
            if let Some(why) = names::dns_label(namespace) {
                out.invalid_str(&at.field("namespace"), namespace, why);
            }
        }
        (false, Some(_)) => out.forbidden(&at.field("namespace"), "not allowed on this type"),
        (_, None) => {}
    }
    labels_and_annotations(value, at, out);
}

/// The metadata of a pod template.
pub(super) fn labels_and_annotations(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    labels(&value["labels"], &at.field("labels"), out);
    let at = at.field("annotations");
    let mut size = 0;
    for (key, value) in value["annotations"].as_object().into_iter().flatten() {
        // Kubernetes takes an annotation's key in any case.
        if let Some(why) = names::qualified_name(&key.to_ascii_lowercase()) {
            out.invalid_str(&at, key, why);
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        out.too_long(&at, MAX_ANNOTATIONS);
    }
}

/// A mapping of labels.
pub(super) fn labels(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if let Some(why) = names::qualified_name(key) {
            out.invalid_str(at, key, why);
        }
        if let Some(value) = value.as_str()
            && let Some(why) = names::label_value(value)
        {
            out.invalid_str(&at.key(key), value, why);
        }
    }
}

/// A workload's selector: what it says itself.
pub(super) fn selector(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    labels(&value["matchLabels"], &at.field("matchLabels"), out);
    let at = at.field("matchExpressions");
    for (i, expression) in list(value, "matchExpressions").iter().enumerate() {
        let at = at.index(i);
        let values = list(expression, "values");
        match text(expression, "operator") {
            Some("In" | "NotIn") if values.is_empty() => {
                out.required(&at.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            Some("Exists" | "DoesNotExist") if !values.is_empty() => {
                out.forbidden(
                    &at.field("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            _ => {}
        }
        if let Some(key) = text(expression, "key")
            && let Some(why) = names::qualified_name(key)
        {
            out.invalid_str(&at.field("key"), key, why);
        }
    }
}

/// Whether a selector matches labels; `None` where it cannot be read, which is told elsewhere.
pub(super) fn matches(selector: &Value, labels: &Value) -> Option<bool> {
    if selector.get("matchExpressions").is_none() {
        // The common case, without decoding.
        let wanted = selector.get("matchLabels").and_then(Value::as_object);
        return Some(wanted.into_iter().flatten().all(|(k, v)| labels.get(k) == Some(v)));
    }
    let selector = serde_json::from_value(selector.clone()).ok()?;
    let selector = Selector::from_k8s(&selector).ok()?;
    let labels: BTreeMap<String, String> = match labels {
        Value::Object(map) => texts(map),
        _ => BTreeMap::new(),
    };
    Some(selector.matches(&labels))
}

fn texts(map: &Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.into()))).collect()
}
