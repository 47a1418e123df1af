//! Rows of ServiceAccounts, roles and bindings.

use evenkeel_model::{Object, Time};
use k8s_openapi::api::rbac::v1::{RoleBinding, Subject};
use serde_json::Value;

use super::{Column, age, name, number, text, wide};

pub(super) const ACCOUNT: &[Column] = &[text("Name"), number("Secrets"), text("Age")];
pub(super) const ROLE: &[Column] = &[text("Name"), text("Created At")];
pub(super) const BINDING: &[Column] =
    &[text("Name"), text("Role"), text("Age"), wide("Users"), wide("Groups"), wide("ServiceAccounts")];

pub(super) fn account(object: &Object, now: Time) -> Vec<Value> {
    let secrets = object.body_map().get("secrets").and_then(Value::as_array).map_or(0, Vec::len);
    vec![name(object), secrets.into(), age(object, now)]
}

pub(super) fn role(object: &Object) -> Vec<Value> {
    vec![name(object), object.meta.created.rfc3339().into()]
}

pub(super) fn binding(object: &Object, now: Time) -> Vec<Value> {
    // Both kinds have the same fields.
    let fields = Value::Object(object.body_map());
    let binding: RoleBinding = serde_json::from_value(fields).unwrap_or_default();
    let subjects = binding.subjects.unwrap_or_default();
    let of = |kind: &str, shown: fn(&Subject) -> String| -> Value {
        let all: Vec<String> = subjects.iter().filter(|s| s.kind == kind).map(shown).collect();
        all.join(", ").into()
    };
    let account = |s: &Subject| format!("{}/{}", s.namespace.as_deref().unwrap_or_default(), s.name);
    vec![
        name(object),
        format!("{}/{}", binding.role_ref.kind, binding.role_ref.name).into(),
        age(object, now),
        of("User", |s| s.name.clone()),
        of("Group", |s| s.name.clone()),
        of("ServiceAccount", account),
    ]
}
