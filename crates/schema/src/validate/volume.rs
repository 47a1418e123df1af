//! A pod's volumes.

use alloc::collections::BTreeSet;

use evenkeel_model::Quantity;
use serde_json::{Value, json};

use super::{complaints::Complaints, list, names, pod, text};
use crate::path::Trail;

/// Seconds that a token may live, as in Kubernetes.
const TOKEN_LIFE: core::ops::RangeInclusive<i64> = 600..=1 << 32;

/// Checks all volumes of a pod; their names.
pub(super) fn all<'v>(spec: &'v Value, at: &Trail<'_>, out: &mut Complaints) -> BTreeSet<&'v str> {
    let at = at.field("volumes");
    let mut seen = BTreeSet::new();
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let at = at.index(i);
        if let Some(name) = text(volume, "name") {
            if let Some(why) = names::dns_label(name) {
                out.invalid_str(&at.field("name"), name, why);
            } else if !seen.insert(name) {
                out.duplicate(&at.field("name"), &json!(name));
            }
        }
        let sources = volume.as_object().into_iter().flatten().filter(|(k, v)| *k != "name" && v.is_object());
        for (source, _) in sources.skip(1) {
            out.forbidden(&at.field(source), "may not specify more than 1 volume type");
        }
        one(volume, &at, out);
    }
    seen
}

fn one(volume: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let size = &volume["emptyDir"]["sizeLimit"];
    if size.as_str().and_then(|s| s.parse::<Quantity>().ok()).is_some_and(|q| q < Quantity::default()) {
        out.forbidden(&at.field("emptyDir").field("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
    content(&volume["configMap"], "name", &at.field("configMap"), out);
    content(&volume["secret"], "secretName", &at.field("secret"), out);
    if let Some(path) = text(&volume["hostPath"], "path") {
        let at = at.field("hostPath");
        let at = at.field("path");
        if path.split('/').any(|part| part == "..") {
            out.invalid_str(&at, path, "must not contain '..'");
        } else if !path.starts_with('/') {
            out.invalid_str(&at, path, "must be an absolute path");
        }
    }
    downward(&volume["downwardAPI"], &at.field("downwardAPI"), out);
    let projected = at.field("projected");
    let sources = projected.field("sources");
    let mut paths = BTreeSet::new();
    for (i, source) in list(&volume["projected"], "sources").iter().enumerate() {
        let at = sources.index(i);
        projection(source, &at, out);
        if let Some(path) = text(&source["serviceAccountToken"], "path")
            && !paths.insert(path)
        {
            out.invalid_str(&at.field("serviceAccountToken"), path, "conflicting duplicate paths");
        }
        for kind in ["configMap", "secret", "downwardAPI"] {
            for path in list(&source[kind], "items").iter().filter_map(|item| text(item, "path")) {
                if !paths.insert(path) {
                    out.invalid_str(&at.field(kind), path, "conflicting duplicate paths");
                }
            }
        }
    }
}

/// A ConfigMap or Secret as files.
fn content(value: &Value, name: &str, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    if text(value, name).is_none() {
        out.required(&at.field(name), "");
    }
    let at = at.field("items");
    for (i, item) in list(value, "items").iter().enumerate() {
        let at = at.index(i);
        if let Some(path) = text(item, "path")
            && let Some(why) = pod::inner_path(path)
        {
            out.invalid_str(&at.field("path"), path, &why);
        }
    }
}

fn downward(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("items");
    for (i, item) in list(value, "items").iter().enumerate() {
        let at = at.index(i);
        if let Some(path) = text(item, "path")
            && let Some(why) = pod::inner_path(path)
        {
            out.invalid_str(&at.field("path"), path, &why);
        }
        match (item["fieldRef"].is_object(), item["resourceFieldRef"].is_object()) {
            (false, false) => out.required(&at, "one of fieldRef and resourceFieldRef is required"),
            (true, true) => {
                out.invalid_str(&at, "", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
            _ => {
                pod::field_ref(&item["fieldRef"], &pod::FILE_FIELDS, &at.field("fieldRef"), out);
                pod::resource_ref(&item["resourceFieldRef"], true, &at.field("resourceFieldRef"), out);
            }
        }
    }
}

fn projection(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let mut given = value.as_object().into_iter().flatten().filter(|(_, v)| v.is_object());
    if given.next().is_none() {
        out.required(at, "must specify a source");
    }
    for (more, _) in given {
        out.forbidden(&at.field(more), "may not specify more than 1 volume type per source");
    }
    content(&value["configMap"], "name", &at.field("configMap"), out);
    content(&value["secret"], "name", &at.field("secret"), out);
    downward(&value["downwardAPI"], &at.field("downwardAPI"), out);
    token(&value["serviceAccountToken"], &at.field("serviceAccountToken"), out);
}

/// The token of the pod's ServiceAccount as a file.
fn token(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    let seconds = value["expirationSeconds"].as_i64().unwrap_or(*TOKEN_LIFE.start());
    if seconds < *TOKEN_LIFE.start() {
        let why = "may not specify a duration less than 10 minutes";
        out.invalid(&at.field("expirationSeconds"), &json!(seconds), why);
    } else if seconds > *TOKEN_LIFE.end() {
        out.invalid(
            &at.field("expirationSeconds"),
            &json!(seconds),
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    match text(value, "path") {
        None => out.required(&at.field("path"), ""),
        Some(path) => {
            if let Some(why) = pod::inner_path(path) {
                out.invalid_str(&at.field("path"), path, &why);
            }
        }
    }
}
