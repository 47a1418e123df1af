//! Whether somebody who has some rules has others, too: nobody grants what they do not have.

use alloc::{format, string::String, vec::Vec};

use super::{ALL, Rule, names_path, names_resource};

/// The rules that `held` do not cover; each says as little as a rule can.
pub fn missing<'a>(held: impl IntoIterator<Item = &'a Rule>, wanted: &[Rule]) -> Vec<Rule> {
    let held: Vec<&Rule> = held.into_iter().collect();
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// A rule as rules of one verb, group and resource each.
fn parts(rule: &Rule) -> Vec<Rule> {
    let mut out = Vec::new();
    let one = |text: &String| Vec::from([text.clone()]);
    for verb in &rule.verbs {
        for url in &rule.non_resource_urls {
            out.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let plain =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    out.push(plain.clone());
                }
                for name in &rule.resource_names {
                    out.push(Rule { resource_names: one(name), ..plain.clone() });
                }
            }
        }
    }
    out
}

/// Whether a rule says all that a part says.
fn covers(rule: &Rule, part: &Rule) -> bool {
    let all = |list: &[String], part: &[String]| part.iter().all(|p| list.iter().any(|l| l == ALL || l == p));
    all(&rule.verbs, &part.verbs)
        && all(&rule.api_groups, &part.api_groups)
        && part.resources.iter().all(|p| rule.resources.iter().any(|r| covers_resource(r, p)))
        && (rule.resource_names.is_empty()
            || !part.resource_names.is_empty() && all(&rule.resource_names, &part.resource_names))
        && part.non_resource_urls.iter().all(|p| rule.non_resource_urls.iter().any(|r| r == p || names_path(r, p)))
}

fn covers_resource(rule: &str, part: &str) -> bool {
    let (resource, below) = part.split_once('/').unwrap_or((part, ""));
    rule == part || names_resource(rule, resource, below)
}

/// Rules as Kubernetes prints them where they are missing.
pub fn shown(rules: &[Rule]) -> String {
    let list = |name: &str, list: &[String]| {
        (!list.is_empty()).then(|| {
            let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
            format!("{name}:[{}]", quoted.join(", "))
        })
    };
    let one = |rule: &Rule| {
        let fields = [
            list("NonResourceURLs", &rule.non_resource_urls),
            list("APIGroups", &rule.api_groups),
            list("Resources", &rule.resources),
            list("ResourceNames", &rule.resource_names),
            list("Verbs", &rule.verbs),
        ];
        format!("{{{}}}", fields.into_iter().flatten().collect::<Vec<_>>().join(", "))
    };
    rules.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(value: serde_json::Value) -> Vec<Rule> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_held_covers_what_is_granted() {
        let held = rules(json!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "services"]},
            {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/openapi/*"]}]));
        let missing = |wanted: serde_json::Value| shown(&missing(held.iter(), &rules(wanted)));
        for fine in [
            json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["services", "pods"]}]),
            json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}]),
            json!([{"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]),
            json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}]),
            json!([{"verbs": ["get"], "nonResourceURLs": ["/openapi/v3", "/openapi/*"]}]),
        ] {
            assert_eq!(missing(fine.clone()), "", "{fine}");
        }
        for (more, expected) in [
            (
                json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}]),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}"#,
            ),
            (
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]),
                r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#,
            ),
            (
                json!([{"verbs": ["*"], "apiGroups": ["apps"], "resources": ["deployments"]}]),
                r#"{APIGroups:["apps"], Resources:["deployments"], Verbs:["*"]}"#,
            ),
            (json!([{"verbs": ["get"], "nonResourceURLs": ["*"]}]), r#"{NonResourceURLs:["*"], Verbs:["get"]}"#),
        ] {
            assert_eq!(missing(more.clone()), expected, "{more}");
        }
    }
}
