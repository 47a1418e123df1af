//! What stands in a request beside its object: `CreateOptions`, `UpdateOptions`, `PatchOptions`,
//! `DeleteOptions`, `ListOptions` and `PodLogOptions` of Kubernetes, where their values are wrong.
//!
//! Called by `write`, `pods`, `query` and `logs`. A value that is no number is 400; one that is no value of its
//! field is 422 and names the options, as in Kubernetes. Deliberately not here: what the values do.

use axum::http::Method;
use serde_json::{Value, json};

use super::{given::MANAGER_MOST, query::Pairs, status::Failure};

/// The group of options.
const GROUP: &str = "meta.k8s.io";

/// One wrong value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    reason: &'static str,
    field: &'static str,
    message: String,
}

impl Wrong {
    /// It may not stand there.
    pub(super) fn forbidden(field: &'static str, why: impl std::fmt::Display) -> Self {
        Self { reason: "FieldValueForbidden", field, message: format!("Forbidden: {why}") }
    }

    /// It must stand there.
    fn required(field: &'static str, why: &str) -> Self {
        Self { reason: "FieldValueRequired", field, message: format!("Required value: {why}") }
    }

    /// It is none of these.
    pub(super) fn unsupported(field: &'static str, found: &str, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
        let message = format!("Unsupported value: {found:?}: supported values: {}", known.join(", "));
        Self { reason: "FieldValueNotSupported", field, message }
    }

    /// It is no value of this field.
    pub(super) fn invalid(field: &'static str, found: impl std::fmt::Display, why: &str) -> Self {
        Self { reason: "FieldValueInvalid", field, message: format!("Invalid value: {found}: {why}") }
    }
}

/// 422, if anything is wrong.
pub(super) fn judged(kind: &str, wrong: &[Wrong]) -> Result<(), Failure> {
    refuse((GROUP, kind), "", wrong)
}

/// The same for options of the core group, which are of an object.
pub(super) fn judged_of(kind: &str, name: &str, wrong: &[Wrong]) -> Result<(), Failure> {
    refuse(("", kind), name, wrong)
}

fn refuse((group, kind): (&str, &str), name: &str, wrong: &[Wrong]) -> Result<(), Failure> {
    let texts: Vec<String> = wrong.iter().map(|w| format!("{}: {}", w.field, w.message)).collect();
    let text = match texts.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        _ => format!("[{}]", texts.join(", ")),
    };
    let dot = if group.is_empty() { "" } else { "." };
    let mut failure = Failure::new(422, "Invalid", format!("{kind}{dot}{group} {name:?} is invalid: {text}"));
    let cause = |w: &Wrong| json!({"reason": w.reason, "message": w.message, "field": w.field});
    failure.details.insert("kind".into(), kind.into());
    failure.details.insert("causes".into(), wrong.iter().map(cause).collect::<Vec<Value>>().into());
    for (field, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            failure.details.insert(field.into(), value.into());
        }
    }
    Err(failure)
}

/// `dryRun`: each value is `All`.
pub(super) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Option<Wrong> {
    values.into_iter().find(|v| *v != "All").map(|v| Wrong::unsupported("dryRun", v, &["All"]))
}

/// Checks what the query of a write says, whatever it is about. Options of a deletion may stand in its body and
/// are looked at with that.
pub(super) fn check(method: &Method, apply: bool, pairs: &Pairs) -> Result<(), Failure> {
    let kind = match *method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        _ => return Ok(()),
    };
    let mut wrong: Vec<Wrong> = dry_run(pairs.all("dryRun").filter(|v| !v.is_empty())).into_iter().collect();
    if *method == Method::PATCH {
        if apply && pairs.get("fieldManager").is_none() {
            wrong.push(Wrong::required("fieldManager", "is required for apply patch"));
        }
        if !apply && pairs.get("force").is_some() {
            wrong.push(Wrong::forbidden("force", "may not be specified for non-apply patch"));
        }
    }
    if let Some(manager) = pairs.get("fieldManager") {
        if manager.len() > MANAGER_MOST {
            let why = format!("may not be more than {MANAGER_MOST} bytes");
            let message = format!("Too long: {why}");
            wrong.push(Wrong { reason: "FieldValueTooLong", field: "fieldManager", message });
        } else if manager.chars().any(char::is_control) {
            wrong.push(Wrong::invalid(
                "fieldManager",
                format!("{manager:?}"),
                "should only contain printable characters",
            ));
        }
    }
    if let Some(found) = pairs.get("fieldValidation")
        && !["Ignore", "Warn", "Strict"].contains(&found)
    {
        wrong.push(Wrong::unsupported("fieldValidation", found, &["Ignore", "Strict", "Warn"]));
    }
    judged(kind, &wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &Method, apply: bool, query: &str) -> Option<(u16, String)> {
        let pairs = Pairs::of(&format!("/x?{query}").parse().unwrap()).unwrap();
        check(method, apply, &pairs).err().map(|f| (f.code, f.message))
    }

    #[test]
    fn options_are_told_in_kubernetes_words() {
        for (method, apply, query, message) in [
            (
                Method::POST,
                false,
                "dryRun=Some",
                r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All""#,
            ),
            (
                Method::PUT,
                false,
                "fieldValidation=No",
                r#"UpdateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "No": supported values: "Ignore", "Strict", "Warn""#,
            ),
            (
                Method::PATCH,
                true,
                "",
                r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#,
            ),
            (
                Method::PATCH,
                false,
                "force=true&dryRun=x",
                r#"PatchOptions.meta.k8s.io "" is invalid: [dryRun: Unsupported value: "x": supported values: "All", force: Forbidden: may not be specified for non-apply patch]"#,
            ),
            (
                Method::PUT,
                false,
                "fieldManager=a%0Ab",
                r#"UpdateOptions.meta.k8s.io "" is invalid: fieldManager: Invalid value: "a\nb": should only contain printable characters"#,
            ),
        ] {
            assert_eq!(checked(&method, apply, query), Some((422, message.to_owned())));
        }
        let long = format!("fieldManager={}", "m".repeat(129));
        assert_eq!(checked(&Method::POST, false, &long).unwrap().0, 422);
        assert_eq!(checked(&Method::POST, false, "dryRun=All&fieldManager=me&fieldValidation=Strict"), None);
        assert_eq!(checked(&Method::PATCH, true, "fieldManager=me&force=true"), None);
        assert_eq!(checked(&Method::GET, false, "dryRun=x"), None);
    }
}
