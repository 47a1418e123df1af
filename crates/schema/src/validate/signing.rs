//! CertificateSigningRequests, but for the request itself, which wants a reader of certificates.

use alloc::{collections::BTreeSet, format};

use serde_json::Value;

use super::{complaints::Complaints, list, text};
use crate::path::Trail;

/// Shortest life of a certificate that can be asked for, in seconds.
const LEAST_LIFE: i64 = 600;
/// Longest name of a signer: a domain, a slash, and a path.
const LONGEST_SIGNER: usize = 571;
/// Conditions that hold or are not there.
const TRUE_ALONE: [&str; 3] = ["Approved", "Denied", "Failed"];

/// `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    if let Some(name) = text(value, "signerName") {
        signer(name, &at.field("signerName"), out);
    }
    let (usages, at_usages) = (list(value, "usages"), at.field("usages"));
    if usages.is_empty() {
        out.required(&at_usages, "");
    }
    let mut seen = BTreeSet::new();
    for (i, usage) in usages.iter().enumerate() {
        if !seen.insert(usage.as_str()) {
            out.duplicate(&at_usages.index(i), usage);
        }
    }
    let life = value.get("expirationSeconds").filter(|s| s.as_i64().is_some_and(|n| n < LEAST_LIFE));
    if let Some(life) = life {
        let why = format!("may not specify a duration less than {LEAST_LIFE} seconds (10 minutes)");
        out.invalid(&at.field("expirationSeconds"), life, &why);
    }
}

fn signer(name: &str, at: &Trail<'_>, out: &mut Complaints) {
    let Some((domain, path)) = name.split_once('/') else {
        return out.invalid_str(
            at,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    if name.len() > LONGEST_SIGNER {
        return out.too_long(at, LONGEST_SIGNER);
    }
    let part = |p: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !p.is_empty() && p.chars().all(inner) && !p.starts_with('-') && !p.ends_with('-')
    };
    if !domain.contains('.') || !domain.split('.').all(part) {
        out.invalid_str(at, domain, "should be a domain with at least two segments separated by dots");
    }
    if !path.split('.').all(part) {
        out.invalid_str(at, path, "validating label: must consist of lower case alphanumeric characters, '-' or '.'");
    }
}

/// `status`.
pub(super) fn status(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("conditions");
    let mut seen = BTreeSet::new();
    for (i, condition) in list(value, "conditions").iter().enumerate() {
        let at = at.index(i);
        let kind = text(condition, "type").unwrap_or_default();
        if !seen.insert(kind) {
            out.duplicate(&at.field("type"), &condition["type"]);
        }
        let holds = text(condition, "status");
        if TRUE_ALONE.contains(&kind) && holds.is_some_and(|s| s != "True") {
            out.unsupported(&at.field("status"), &condition["status"], &["True"]);
        }
    }
    if seen.contains("Approved") && seen.contains("Denied") {
        let why = "Approved and Denied conditions are mutually exclusive";
        out.invalid(&at, &value["conditions"], why);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        string::{String, ToString as _},
        vec::Vec,
    };

    use evenkeel_model::Kind;
    use serde_json::json;

    #[test]
    fn what_a_request_may_say() {
        let good = json!({"request": "Zg==", "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth", "digital signature"], "expirationSeconds": 600});
        for (patch, path) in [
            (json!({}), ""),
            (json!({"signerName": "example.com/a.b"}), ""),
            (json!({"signerName": "kubernetes"}), "spec.signerName"),
            (json!({"signerName": "kubernetes/x"}), "spec.signerName"),
            (json!({"signerName": "kubernetes.io/X"}), "spec.signerName"),
            (json!({"signerName": null}), "spec.signerName"),
            (json!({"request": null}), "spec.request"),
            (json!({"usages": []}), "spec.usages"),
            (json!({"usages": ["client auth", "client auth"]}), "spec.usages[1]"),
            (json!({"usages": ["to fly"]}), "spec.usages[0]"),
            (json!({"expirationSeconds": 599}), "spec.expirationSeconds"),
        ] {
            let mut spec = good.clone();
            spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
            let object = json!({"metadata": {"name": "an"}, "spec": spec});
            let found: Vec<String> = super::super::object(Kind::CertificateSigningRequest, &object)
                .iter()
                .map(|p| p.path.to_string())
                .collect();
            let expected: Vec<&str> = [path].into_iter().filter(|p| !p.is_empty()).collect();
            assert_eq!(found, expected, "{object}");
        }
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        for (list, wrong) in [
            (json!([condition("Approved", "True"), condition("Ready", "False")]), false),
            (json!([condition("Approved", "False")]), true),
            (json!([condition("Approved", "True"), condition("Denied", "True")]), true),
            (json!([condition("Ready", "True"), condition("Ready", "True")]), true),
        ] {
            let object = json!({"metadata": {"name": "an"}, "spec": good, "status": {"conditions": list}});
            let found = super::super::object(Kind::CertificateSigningRequest, &object);
            assert_eq!(!found.is_empty(), wrong, "{list}: {found:?}");
        }
    }
}
