//! ResourceQuotas.

use alloc::{collections::BTreeSet, format, vec::Vec};

use evenkeel_model::Quantity;
use serde_json::{Value, json};

use super::{complaints::Complaints, list, names, text};
use crate::path::Trail;

/// What can be counted without a group before it.
const COUNTED: [&str; 9] = [
    "pods",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
];
/// What can be summed up.
const SUMMED: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Of which there is no other number than of pods.
const OF_COUNT: [&str; 1] = ["pods"];
/// What quotas of pods with other scopes may bound.
const OF_PODS: [&str; 10] = [
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// A quota's `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let hard = value.get("hard").and_then(Value::as_object);
    for (name, amount) in hard.into_iter().flatten() {
        let at = at.field("hard");
        let at = at.key(name);
        if let Some(why) = names::qualified_name(name) {
            out.invalid_str(&at, name, why);
        } else if !name.contains('/') && !standard(name) {
            out.invalid_str(&at, name, "must be a standard resource for quota");
        }
        let Some(read) = amount.as_str().and_then(|t| t.parse::<Quantity>().ok()) else { continue };
        if read < Quantity::default() {
            out.invalid(&at, amount, "must be greater than or equal to 0");
        } else if (COUNTED.contains(&name.as_str()) || name.starts_with("count/"))
            && read != Quantity::from_units(read.units())
        {
            out.invalid(&at, amount, "must be an integer");
        }
    }
    let mut all: Vec<(&str, bool)> = Vec::new();
    let names: Vec<&str> = hard.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for (i, scope) in list(value, "scopes").iter().enumerate() {
        let at = at.field("scopes");
        let at = at.index(i);
        let Some(scope) = scope.as_str() else { continue };
        scope_of(scope, &names, &at, out);
        all.push((scope, true));
    }
    for (i, one) in list(&value["scopeSelector"], "matchExpressions").iter().enumerate() {
        let at = at.field("scopeSelector");
        let at = at.field("matchExpressions");
        let at = at.index(i);
        let scope = text(one, "scopeName").unwrap_or_default();
        scope_of(scope, &names, &at.field("scopeName"), out);
        operator(one, scope, &at, out);
        all.push((scope, text(one, "operator") == Some("Exists")));
    }
    let has = |scope: &str| all.iter().any(|(s, exists)| *s == scope && *exists);
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    if pairs.iter().any(|(a, b)| has(a) && has(b)) {
        let found: BTreeSet<&str> = all.iter().map(|(s, _)| *s).collect();
        out.invalid(&at.field("scopes"), &json!(found), "conflicting scopes");
    }
}

fn standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || SUMMED.contains(&name)
        || ["requests.hugepages-", "hugepages-"].iter().any(|p| name.starts_with(p))
}

fn scope_of(scope: &str, hard: &[&str], at: &Trail<'_>, out: &mut Complaints) {
    if !SCOPES.contains(&scope) {
        return out.unsupported(at, &json!(scope), &SCOPES);
    }
    // A scope says nothing of what only its own kind counts (`count/jobs.batch`).
    for name in hard.iter().filter(|name| standard(name)) {
        let fits = match scope {
            "BestEffort" => OF_COUNT.contains(name),
            "VolumeAttributesClass" => *name == "persistentvolumeclaims" || name.ends_with("requests.storage"),
            _ => OF_PODS.contains(name) || name.starts_with("requests.hugepages-") || name.starts_with("hugepages-"),
        };
        if !fits {
            out.invalid_str(at, scope, &format!("unsupported scope applied to resource {name}"));
        }
    }
}

fn operator(one: &Value, scope: &str, at: &Trail<'_>, out: &mut Complaints) {
    let (operator, values) = (text(one, "operator").unwrap_or_default(), list(one, "values"));
    let named = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if !named && operator != "Exists" {
        let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                   ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                   ResourceQuotaScopeCrossNamespacePodAffinity";
        out.invalid_str(&at.field("operator"), operator, why);
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            out.required(
                &at.field("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            );
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
            out.invalid(&at.field("values"), &one["values"], why);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => out.invalid_str(&at.field("operator"), other, "not a valid selector operator"),
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use evenkeel_model::Kind;

    use super::*;

    fn problems(spec: &Value) -> Vec<String> {
        let value = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec});
        super::super::object(Kind::ResourceQuota, &value).iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn what_can_be_bounded() {
        let good = json!({"hard": {"pods": "10", "count/deployments.apps": "2", "count/widgets.example.com": "1",
            "requests.cpu": "1500m", "limits.memory": "4Gi", "services.nodeports": "0", "requests.storage": "1Ti",
            "gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "requests.example.com/gpu": "1"}});
        assert_eq!(problems(&good), Vec::<String>::new());
        let scoped = json!({"hard": {"pods": "1", "limits.cpu": "2"}, "scopes": ["NotTerminating"], "scopeSelector":
            {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}});
        assert_eq!(problems(&scoped), Vec::<String>::new());
        for (spec, expected) in [
            (
                json!({"hard": {"deployments": "1"}}),
                r#"spec.hard[deployments]: Invalid value: "deployments": must be a standard resource for quota"#,
            ),
            (json!({"hard": {"pods": "1500m"}}), r#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#),
            (
                json!({"hard": {"pods": "-1"}}),
                r#"spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0"#,
            ),
            (
                json!({"hard": {"services": "1"}, "scopes": ["NotTerminating"]}),
                r#"spec.scopes[0]: Invalid value: "NotTerminating": unsupported scope applied to resource services"#,
            ),
            (
                json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
                r#"spec.scopes[0]: Invalid value: "BestEffort": unsupported scope applied to resource cpu"#,
            ),
            (
                json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
                r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes"#,
            ),
            (
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In"}]}}),
                "spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when \
                 `operator` is 'In' or 'NotIn' for scope selector",
            ),
        ] {
            assert_eq!(problems(&spec), [expected], "{spec}");
        }
    }
}
