//! Problems, worded as Kubernetes' `field.Error` words them.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;

use serde_json::Value;

use crate::path::{Path, Trail};

/// Problems kept of one object. Beyond it nobody reads them.
const MAX_PROBLEMS: usize = 100;
/// Characters of a value that a message shows.
const MAX_VALUE: usize = 120;

/// Kubernetes' sort of a mistake in a field: the `reason` of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It must be there.
    Required,
    /// It is no value of this field.
    Invalid,
    /// It is none of those that there are.
    NotSupported,
    /// It is there already.
    Duplicate,
    /// What it names is not there.
    NotFound,
    /// It may not be there, or not be so.
    Forbidden,
    /// It is of another type.
    TypeInvalid,
    /// A list has too many items.
    TooMany,
    /// A text is too long.
    TooLong,
}

impl Reason {
    /// Its name in Kubernetes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::TooMany => "FieldValueTooMany",
            Self::TooLong => "FieldValueTooLong",
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: Path,
    /// The sort of mistake.
    pub reason: Reason,
    /// What is wrong, as `Invalid value: "x": …`.
    pub message: String,
}

/// What is wrong with a field, as it is told: one of a failure's causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The field's path, as `spec.ports[0].name`.
    pub field: String,
    /// The sort of mistake.
    pub reason: Reason,
    /// What is wrong.
    pub message: String,
}

impl Cause {
    /// It must stand there.
    pub fn required(field: impl Into<String>, why: impl Display) -> Self {
        Self::new(field, Reason::Required, format!("Required value: {why}"))
    }

    /// It may not stand there, or not be so.
    pub fn forbidden(field: impl Into<String>, why: impl Display) -> Self {
        Self::new(field, Reason::Forbidden, format!("Forbidden: {why}"))
    }

    /// It is no value of this field.
    pub fn invalid(field: impl Into<String>, found: impl Display, why: impl Display) -> Self {
        Self::new(field, Reason::Invalid, format!("Invalid value: {found}: {why}"))
    }

    /// The same in words of its own.
    pub fn wrong(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(field, Reason::Invalid, message.into())
    }

    /// It is none of these.
    pub fn unsupported(field: impl Into<String>, found: &str, known: &[&str]) -> Self {
        Self::new(field, Reason::NotSupported, unsupported(&format!("{found:?}"), known))
    }

    /// It has more bytes than this.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self::new(field, Reason::TooLong, too_long(limit))
    }

    fn new(field: impl Into<String>, reason: Reason, message: String) -> Self {
        Self { field: field.into(), reason, message }
    }
}

impl From<Problem> for Cause {
    fn from(problem: Problem) -> Self {
        Self::new(problem.path.to_string(), problem.reason, problem.message)
    }
}

fn unsupported(shown: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
    format!("Unsupported value: {shown}: supported values: {}", known.join(", "))
}

fn too_long(limit: usize) -> String {
    format!("Too long: may not be more than {limit} bytes")
}

/// Causes in one line, as Kubernetes shows them behind the object's name.
#[must_use]
pub fn in_one_line(causes: &[Cause]) -> String {
    let texts: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
    if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) }
}

/// The problems of one object, under way.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    pub(crate) problems: Vec<Problem>,
}

impl Complaints {
    fn add(&mut self, at: &Trail<'_>, reason: Reason, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path: at.path(), reason, message });
        }
    }

    pub(crate) fn required(&mut self, at: &Trail<'_>, why: &str) {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        self.add(at, Reason::Required, message);
    }

    pub(crate) fn invalid(&mut self, at: &Trail<'_>, value: &Value, why: &str) {
        self.add(at, Reason::Invalid, format!("Invalid value: {}: {why}", shown(value)));
    }

    pub(crate) fn invalid_str(&mut self, at: &Trail<'_>, value: &str, why: &str) {
        self.invalid(at, &Value::from(value), why);
    }

    /// A value that must not be shown.
    pub(crate) fn invalid_hidden(&mut self, at: &Trail<'_>, why: &str) {
        self.add(at, Reason::Invalid, format!("Invalid value: \"<secret contents redacted>\": {why}"));
    }

    pub(crate) fn unsupported(&mut self, at: &Trail<'_>, value: &Value, supported: &[&str]) {
        self.add(at, Reason::NotSupported, unsupported(&shown(value), supported));
    }

    pub(crate) fn duplicate(&mut self, at: &Trail<'_>, value: &Value) {
        self.add(at, Reason::Duplicate, format!("Duplicate value: {}", shown(value)));
    }

    pub(crate) fn not_found(&mut self, at: &Trail<'_>, value: &str) {
        self.add(at, Reason::NotFound, format!("Not found: {value:?}"));
    }

    pub(crate) fn forbidden(&mut self, at: &Trail<'_>, why: &str) {
        self.add(at, Reason::Forbidden, format!("Forbidden: {why}"));
    }

    /// What a rule of a definition says; of the value its sort alone is shown, as in Kubernetes.
    pub(crate) fn by_rule(&mut self, path: Path, reason: Reason, sort: &str, why: &str) {
        let message = match reason {
            Reason::Required => format!("Required value: {why}"),
            Reason::Forbidden => format!("Forbidden: {why}"),
            Reason::Duplicate => format!("Duplicate value: {sort:?}"),
            _ => format!("Invalid value: {sort:?}: {why}"),
        };
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path, reason, message });
        }
    }

    pub(crate) fn wrong_type(&mut self, at: &Trail<'_>, value: &Value, wanted: &str) {
        let why = format!("{at} in body must be of type {wanted}: {}", shown(&sort(value).into()));
        self.add(at, Reason::TypeInvalid, format!("Invalid value: {}: {why}", shown(value)));
    }

    pub(crate) fn too_many(&mut self, at: &Trail<'_>, found: u64, limit: u64) {
        self.add(at, Reason::TooMany, format!("Too many: {found}: must have at most {limit} items"));
    }

    pub(crate) fn too_long(&mut self, at: &Trail<'_>, limit: usize) {
        self.add(at, Reason::TooLong, too_long(limit));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_mistake_is_told_in_the_same_words() {
        let (mut out, at, value) = (Complaints::default(), Trail::Root, Value::from("x"));
        out.required(&at, "no");
        out.invalid(&at, &value, "no");
        out.unsupported(&at, &value, &["y", "z"]);
        out.forbidden(&at, "no");
        out.too_long(&at, 1);
        let told: Vec<Cause> = out.problems.into_iter().map(Into::into).collect();
        let causes = [
            Cause::required("", "no"),
            Cause::invalid("", "\"x\"", "no"),
            Cause::unsupported("", "x", &["y", "z"]),
            Cause::forbidden("", "no"),
            Cause::too_long("", 1),
        ];
        assert_eq!(told, causes);
        assert_eq!(in_one_line(&causes[..1]), ": Required value: no");
        assert_eq!(in_one_line(&[Cause::wrong("a", "no"), Cause::wrong("b", "no")]), "[a: no, b: no]");
    }

    #[test]
    fn a_reason_does_not_follow_from_words() {
        let (mut out, at) = (Complaints::default(), Trail::Root);
        out.wrong_type(&at, &Value::from("x"), "integer");
        out.by_rule(Trail::Root.path(), Reason::Required, "string", "no");
        let reasons: Vec<&str> = out.problems.iter().map(|p| p.reason.name()).collect();
        assert_eq!(reasons, ["FieldValueTypeInvalid", "FieldValueRequired"]);
    }
}
