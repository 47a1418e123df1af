//! What stands in a request beside its object: `CreateOptions`, `UpdateOptions`, `PatchOptions`,
//! `DeleteOptions`, `ListOptions` and `PodLogOptions` of Kubernetes, where their values are wrong.
//!
//! Called by `write`, `pods`, `query` and `logs`. A value that is no number is 400; one that is no value of its
//! field is 422 and names the options, as in Kubernetes. Deliberately not here: what the values do.

use axum::http::Method;
use evenkeel_schema::validate::{Cause, in_one_line};

use super::{given::MANAGER_MOST, query::Pairs, status::Failure};

/// The group of options.
const GROUP: &str = "meta.k8s.io";

/// 422, if anything is wrong.
pub(super) fn judged(kind: &str, wrong: &[Cause]) -> Result<(), Failure> {
    refuse((GROUP, kind), "", wrong)
}

/// The same for options of the core group, which are of an object.
pub(super) fn judged_of(kind: &str, name: &str, wrong: &[Cause]) -> Result<(), Failure> {
    refuse(("", kind), name, wrong)
}

fn refuse((group, kind): (&str, &str), name: &str, wrong: &[Cause]) -> Result<(), Failure> {
    if wrong.is_empty() {
        return Ok(());
    }
    let text = in_one_line(wrong);
    let dot = if group.is_empty() { "" } else { "." };
    let mut failure = Failure::new(422, "Invalid", format!("{kind}{dot}{group} {name:?} is invalid: {text}"));
    failure.details.insert("kind".into(), kind.into());
    failure.fields(wrong);
    for (field, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            failure.details.insert(field.into(), value.into());
        }
    }
    Err(failure)
}

/// `dryRun`: each value is `All`.
pub(super) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Option<Cause> {
    values.into_iter().find(|v| *v != "All").map(|v| Cause::unsupported("dryRun", v, &["All"]))
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
    let mut wrong: Vec<Cause> = dry_run(pairs.all("dryRun").filter(|v| !v.is_empty())).into_iter().collect();
    if *method == Method::PATCH {
        if apply && pairs.get("fieldManager").is_none() {
            wrong.push(Cause::required("fieldManager", "is required for apply patch"));
        }
        if !apply && pairs.get("force").is_some() {
            wrong.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
    }
    if let Some(manager) = pairs.get("fieldManager") {
        if manager.len() > MANAGER_MOST {
            wrong.push(Cause::too_long("fieldManager", MANAGER_MOST));
        } else if manager.chars().any(char::is_control) {
            wrong.push(Cause::invalid(
                "fieldManager",
                format!("{manager:?}"),
                "should only contain printable characters",
            ));
        }
    }
    if let Some(found) = pairs.get("fieldValidation")
        && !["Ignore", "Warn", "Strict"].contains(&found)
    {
        wrong.push(Cause::unsupported("fieldValidation", found, &["Ignore", "Strict", "Warn"]));
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
