//! Problems, worded as Kubernetes' `field.Error` words them.

use alloc::{format, string::String, vec::Vec};

use serde_json::Value;

use crate::path::{Path, Trail};

/// Problems kept of one object. Beyond it nobody reads them.
const MAX_PROBLEMS: usize = 100;
/// Characters of a value that a message shows.
const MAX_VALUE: usize = 120;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: Path,
    /// Kubernetes' name of the sort of mistake, as `FieldValueRequired`: the `reason` of a cause.
    pub reason: &'static str,
    /// What is wrong, as `Invalid value: "x": …`.
    pub message: String,
}

/// The problems of one object, under way.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    pub(crate) problems: Vec<Problem>,
}

impl Complaints {
    fn add(&mut self, at: &Trail<'_>, reason: &'static str, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path: at.path(), reason, message });
        }
    }

    pub(crate) fn required(&mut self, at: &Trail<'_>, why: &str) {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        self.add(at, "FieldValueRequired", message);
    }

    pub(crate) fn invalid(&mut self, at: &Trail<'_>, value: &Value, why: &str) {
        self.add(at, "FieldValueInvalid", format!("Invalid value: {}: {why}", shown(value)));
    }

    pub(crate) fn invalid_str(&mut self, at: &Trail<'_>, value: &str, why: &str) {
        self.invalid(at, &Value::from(value), why);
    }

    /// A value that must not be shown.
    pub(crate) fn invalid_hidden(&mut self, at: &Trail<'_>, why: &str) {
        self.add(at, "FieldValueInvalid", format!("Invalid value: \"<secret contents redacted>\": {why}"));
    }

    pub(crate) fn unsupported(&mut self, at: &Trail<'_>, value: &Value, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), list.join(", "));
        self.add(at, "FieldValueNotSupported", message);
    }

    pub(crate) fn duplicate(&mut self, at: &Trail<'_>, value: &Value) {
        self.add(at, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)));
    }

    pub(crate) fn not_found(&mut self, at: &Trail<'_>, value: &str) {
        self.add(at, "FieldValueNotFound", format!("Not found: {value:?}"));
    }

    pub(crate) fn forbidden(&mut self, at: &Trail<'_>, why: &str) {
        self.add(at, "FieldValueForbidden", format!("Forbidden: {why}"));
    }

    /// What a rule of a definition says; of the value its sort alone is shown, as in Kubernetes.
    pub(crate) fn by_rule(&mut self, path: Path, reason: &'static str, sort: &str, why: &str) {
        let message = match reason {
            "FieldValueRequired" => format!("Required value: {why}"),
            "FieldValueForbidden" => format!("Forbidden: {why}"),
            "FieldValueDuplicate" => format!("Duplicate value: {sort:?}"),
            _ => format!("Invalid value: {sort:?}: {why}"),
        };
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path, reason, message });
        }
    }

    pub(crate) fn wrong_type(&mut self, at: &Trail<'_>, value: &Value, wanted: &str) {
        let why = format!("{at} in body must be of type {wanted}: {}", shown(&sort(value).into()));
        self.add(at, "FieldValueTypeInvalid", format!("Invalid value: {}: {why}", shown(value)));
    }

    pub(crate) fn too_many(&mut self, at: &Trail<'_>, found: u64, limit: u64) {
        self.add(at, "FieldValueTooMany", format!("Too many: {found}: must have at most {limit} items"));
    }

    pub(crate) fn too_long(&mut self, at: &Trail<'_>, limit: usize) {
        self.add(at, "FieldValueTooLong", format!("Too long: may not be more than {limit} bytes"));
    }
}

/// The sort of a value, as a schema names it.
fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as JSON, cut where it is long.
fn shown(value: &Value) -> String {
    let text = format!("{value}");
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    let mut out: String = text.chars().take(MAX_VALUE).collect();
    out.push('…');
    out
}
