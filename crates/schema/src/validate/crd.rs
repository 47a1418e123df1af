//! CustomResourceDefinitions: names, versions, and schemas that must be structural.
//!
//! Whose names a definition may have, when others have them, is decided in core.

use alloc::{collections::BTreeSet, format};

use serde_json::Value;

use super::{Complaints, list, names, text};
use crate::{custom, path::Trail};

/// Groups that are Kubernetes' own, whose definitions must say who approved them.
const PROTECTED: [&str; 2] = [".k8s.io", ".kubernetes.io"];
/// Fields that lists of a kind can be asked by, as in Kubernetes.
const SELECTABLE: usize = 8;
/// The annotation that says so.
const APPROVED: &str = "api-approved.kubernetes.io";

pub(super) fn definition(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let (spec, at) = (&value["spec"], root.field("spec"));
    let group = text(spec, "group").unwrap_or_default();
    let plural = text(&spec["names"], "plural").unwrap_or_default();
    let name = text(&value["metadata"], "name").unwrap_or_default();
    let wanted = format!("{plural}.{group}");
    if !name.is_empty() && name != wanted {
        let why = "must be spec.names.plural+\".\"+spec.group";
        out.invalid_str(&root.field("metadata").field("name"), name, why);
    }
    self::group(value, group, &at, out);
    match text(spec, "scope") {
        Some("Cluster" | "Namespaced") | None => {}
        Some(_) => out.unsupported(&at.field("scope"), &spec["scope"], &["Cluster", "Namespaced"]),
    }
    kind_names(&spec["names"], &at.field("names"), out);
    versions(spec, &at, out);
}

fn group(value: &Value, group: &str, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("group");
    if group.is_empty() {
        return;
    }
    if let Some(why) = names::dns_subdomain(group) {
        out.invalid_str(&at, group, why);
    } else if !group.contains('.') {
        out.invalid_str(&at, group, "should be a domain with at least one dot");
    } else if group == "evenkeel.dev" || crate::kinds::kubernetes().iter().any(|k| k.group == group) {
        out.invalid_str(&at, group, "is a group that is built in");
    }
    let approved = text(&value["metadata"]["annotations"], APPROVED).is_some();
    if PROTECTED.iter().any(|p| group.ends_with(p)) && !approved {
        let root = Trail::Root;
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", \
                   see https://github.com/kubernetes/enhancements/pull/1111";
        out.required(&root.field("metadata").field("annotations").key(APPROVED), why);
    }
}

fn kind_names(given: &Value, at: &Trail<'_>, out: &mut Complaints) {
    for field in ["plural", "singular"] {
        if let Some(name) = text(given, field)
            && let Some(why) = names::dns_label(name)
        {
            out.invalid_str(&at.field(field), name, why);
        }
    }
    for field in ["kind", "listKind"] {
        if let Some(name) = text(given, field)
            && let Some(why) = names::dns_label(&name.to_ascii_lowercase())
        {
            out.invalid_str(&at.field(field), name, why);
        }
    }
    if text(given, "kind").is_some() && text(given, "kind") == text(given, "listKind") {
        out.invalid(&at.field("listKind"), &given["listKind"], "kind and listKind may not be the same");
    }
    for field in ["shortNames", "categories"] {
        let at = at.field(field);
        for (i, name) in list(given, field).iter().enumerate() {
            if let Some(name) = name.as_str()
                && let Some(why) = names::dns_label(name)
            {
                out.invalid_str(&at.index(i), name, why);
            }
        }
    }
}

fn versions(spec: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("versions");
    let all = list(spec, "versions");
    let mut seen = BTreeSet::new();
    let stored = all.iter().filter(|v| v["storage"] == Value::Bool(true)).count();
    if !all.is_empty() && stored != 1 {
        out.invalid(&at, &spec["versions"], "must have exactly one version marked as storage version");
    }
    for (i, version) in all.iter().enumerate() {
        let at = at.index(i);
        let name = text(version, "name").unwrap_or_default();
        if let Some(why) = names::dns_label(name).filter(|_| !name.is_empty()) {
            out.invalid_str(&at.field("name"), name, why);
        }
        if !seen.insert(name) {
            out.duplicate(&at.field("name"), &version["name"]);
        }
        if version["deprecated"] != Value::Bool(true) && text(version, "deprecationWarning").is_some() {
            let why = "can only be set for deprecated versions";
            out.invalid(&at.field("deprecationWarning"), &version["deprecationWarning"], why);
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        let below = at.field("schema");
        if schema.is_object() {
            custom::root(schema, &below.field("openAPIV3Schema"), out);
        } else {
            out.required(&below.field("openAPIV3Schema"), "schemas are required");
        }
        columns(version, &at, out);
        selectable(version, schema, &at, out);
        scale(version, &at, out);
    }
}

fn columns(version: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("additionalPrinterColumns");
    for (i, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let at = at.index(i);
        let supported = ["boolean", "date", "integer", "number", "string"];
        if text(column, "type").is_some_and(|t| !supported.contains(&t)) {
            out.unsupported(&at.field("type"), &column["type"], &supported);
        }
        path(column, "jsonPath", &at, out);
    }
}

fn selectable(version: &Value, schema: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let (fields, at) = (list(version, "selectableFields"), at.field("selectableFields"));
    if fields.len() > SELECTABLE {
        out.too_many(&at, fields.len() as u64, SELECTABLE as u64);
    }
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let at = at.index(i);
        let at = at.field("jsonPath");
        let Some(path) = text(field, "jsonPath") else {
            out.required(&at, "");
            continue;
        };
        if !seen.insert(path) {
            out.duplicate(&at, &field["jsonPath"]);
        }
        if let Some(why) = not_selectable(path, schema) {
            out.invalid_str(&at, path, why);
        }
    }
}

/// Why a list cannot be asked by a field.
fn not_selectable(path: &str, schema: &Value) -> Option<&'static str> {
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let Some(names) = path.strip_prefix('.').map(|p| p.split('.')).filter(|p| p.clone().all(plain)) else {
        return Some("is an invalid path: must be a simple path of field names, such as .spec.color");
    };
    if names.clone().next() == Some("metadata") {
        return Some("must not point to fields in metadata");
    }
    match names.clone().try_fold(schema, |s, name| s.get("properties")?.get(name)) {
        None => Some("is an invalid path: does not refer to a valid field"),
        Some(field) => match text(field, "type") {
            Some("string" | "boolean" | "integer") => None,
            _ => Some(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ),
        },
    }
}

fn scale(version: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let scale = &version["subresources"]["scale"];
    if !scale.is_object() {
        return;
    }
    let (subresources, root) = (at.field("subresources"), "must be a JSON path under");
    let at = subresources.field("scale");
    for (field, start) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        path(scale, field, &at, out);
        if text(scale, field).is_some_and(|p| !p.starts_with(start)) {
            out.invalid(&at.field(field), &scale[field], &format!("{root} {}", start.trim_end_matches('.')));
        }
    }
    if let Some(p) = text(scale, "labelSelectorPath") {
        path(scale, "labelSelectorPath", &at, out);
        if !p.starts_with(".spec.") && !p.starts_with(".status.") {
            out.invalid(
                &at.field("labelSelectorPath"),
                &scale["labelSelectorPath"],
                &format!("{root} .spec or .status"),
            );
        }
    }
}

fn path(value: &Value, field: &str, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(path) = text(value, field)
        && let Err(why) = custom::jsonpath::parse(path)
    {
        out.invalid_str(&at.field(field), path, why);
    }
}
