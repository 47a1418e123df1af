//! `env` and `envFrom` of a container.

use serde_json::Value;

use super::{complaints::Complaints, list, names, pod, text};
use crate::path::Trail;

pub(super) fn check(container: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let env = at.field("env");
    for (i, var) in list(container, "env").iter().enumerate() {
        let at = env.index(i);
        if let Some(name) = text(var, "name")
            && let Some(why) = names::env_name(name)
        {
            out.invalid_str(&at.field("name"), name, why);
        }
        if var["valueFrom"].is_object() {
            value_from(var, &at.field("valueFrom"), out);
        }
    }
    let env_from = at.field("envFrom");
    for (i, from) in list(container, "envFrom").iter().enumerate() {
        source(from, &env_from.index(i), out);
    }
}

fn value_from(var: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let from = &var["valueFrom"];
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    match kinds.iter().filter(|k| from[**k].is_object()).count() {
        0 => {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            out.invalid_str(at, "", why);
        }
        1 if text(var, "value").is_some() => {
            out.invalid_str(at, "", "may not be specified when `value` is not empty");
        }
        1 => {}
        _ => out.invalid_str(at, "", "may not have more than one field specified at a time"),
    }
    pod::field_ref(&from["fieldRef"], &pod::ENV_FIELDS, &at.field("fieldRef"), out);
    pod::resource_ref(&from["resourceFieldRef"], false, &at.field("resourceFieldRef"), out);
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let selector = &from[kind];
        if !selector.is_object() {
            continue;
        }
        let at = at.field(kind);
        if text(selector, "name").is_none() {
            out.required(&at.field("name"), "");
        }
        if let Some(key) = text(selector, "key")
            && let Some(why) = names::config_key(key)
        {
            out.invalid_str(&at.field("key"), key, why);
        }
    }
}

fn source(from: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(prefix) = text(from, "prefix")
        && let Some(why) = names::env_name(prefix)
    {
        out.invalid_str(&at.field("prefix"), prefix, why);
    }
    let kinds = ["configMapRef", "secretRef"];
    match kinds.iter().filter(|k| from[**k].is_object()).count() {
        0 => out.invalid_str(at, "", "must specify one of: `configMapRef` or `secretRef`"),
        1 => {}
        _ => out.invalid_str(at, "", "may not have more than one field specified at a time"),
    }
    for kind in kinds {
        if from[kind].is_object() && text(&from[kind], "name").is_none() {
            out.required(&at.field(kind).field("name"), "");
        }
    }
}
