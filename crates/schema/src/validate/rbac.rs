//! Roles and bindings.

use evenkeel_model::Kind;
use serde_json::{Value, json};

use super::{complaints::Complaints, list, meta, names, text};
use crate::path::Trail;

/// The group of roles, users and groups.
const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role or ClusterRole.
pub(super) fn role(kind: Kind, value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let at = root.field("rules");
    for (i, rule) in list(value, "rules").iter().enumerate() {
        self::rule(kind, rule, &at.index(i), out);
    }
    let aggregation = &value["aggregationRule"];
    if kind == Kind::ClusterRole && aggregation.is_object() {
        let at = root.field("aggregationRule");
        let at = at.field("clusterRoleSelectors");
        let selectors = list(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            out.required(&at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (i, selector) in selectors.iter().enumerate() {
            meta::selector(selector, &at.index(i), out);
        }
    }
}

fn rule(kind: Kind, rule: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if list(rule, "verbs").is_empty() {
        out.required(&at.field("verbs"), "verbs must contain at least one value");
    }
    let [groups, resources, names, urls] =
        ["apiGroups", "resources", "resourceNames", "nonResourceURLs"].map(|field| list(rule, field));
    if urls.is_empty() {
        if groups.is_empty() {
            out.required(&at.field("apiGroups"), "resource rules must supply at least one api group");
        }
        if resources.is_empty() {
            out.required(&at.field("resources"), "resource rules must supply at least one resource");
        }
        return;
    }
    let at = at.field("nonResourceURLs");
    if kind == Kind::Role {
        out.invalid(&at, &json!(urls), "namespaced rules cannot apply to non-resource URLs");
    }
    if !(groups.is_empty() && resources.is_empty() && names.is_empty()) {
        out.invalid(&at, &json!(urls), "rules cannot apply to both regular resources and non-resource URLs");
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub(super) fn binding(kind: Kind, value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let (role, at) = (&value["roleRef"], root.field("roleRef"));
    let group = role["apiGroup"].as_str().unwrap_or(GROUP);
    if ![GROUP, ""].contains(&group) {
        out.unsupported(&at.field("apiGroup"), &json!(group), &[GROUP]);
    }
    let kinds: &[&str] = if kind == Kind::RoleBinding { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    match role["kind"].as_str().unwrap_or_default() {
        known if kinds.contains(&known) => {}
        other => out.unsupported(&at.field("kind"), &json!(other), kinds),
    }
    match text(role, "name") {
        None => out.required(&at.field("name"), ""),
        Some(name) => {
            if let Some(why) = names::path_segment(name) {
                out.invalid_str(&at.field("name"), name, why);
            }
        }
    }
    let at = root.field("subjects");
    for (i, one) in list(value, "subjects").iter().enumerate() {
        subject(kind, one, &at.index(i), out);
    }
}

fn subject(kind: Kind, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let name = text(value, "name");
    if name.is_none() {
        out.required(&at.field("name"), "");
    }
    let what = value["kind"].as_str().unwrap_or_default();
    // Where it is absent its default fits the kind.
    let group = value["apiGroup"].as_str();
    match what {
        "ServiceAccount" => {
            if let Some(why) = name.and_then(names::dns_subdomain) {
                out.invalid_str(&at.field("name"), name.unwrap_or_default(), why);
            }
            if let Some(group) = group.filter(|g| !g.is_empty()) {
                out.unsupported(&at.field("apiGroup"), &json!(group), &[""]);
            }
            if text(value, "namespace").is_none() && kind == Kind::ClusterRoleBinding {
                out.required(&at.field("namespace"), "");
            }
        }
        "User" | "Group" => {
            if let Some(group) = group.filter(|g| ![GROUP, ""].contains(g)) {
                out.unsupported(&at.field("apiGroup"), &json!(group), &[GROUP]);
            }
        }
        other => out.unsupported(&at.field("kind"), &json!(other), &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use super::*;

    fn problems(kind: Kind, mut value: Value) -> Vec<String> {
        value["metadata"] = json!({"name": "system:some one"});
        super::super::object(kind, &value).into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn good_ones_have_no_problems() {
        let rule =
            json!({"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"], "resourceNames": ["a"]});
        let url = json!({"nonResourceURLs": ["/metrics", "/healthz/*"], "verbs": ["get"]});
        for (kind, value) in [
            (Kind::Role, json!({})),
            (Kind::Role, json!({"rules": [rule]})),
            (Kind::ClusterRole, json!({"rules": [rule, url]})),
            (
                Kind::ClusterRole,
                json!({"rules": [], "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}),
            ),
            (
                Kind::RoleBinding,
                json!({"roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "bot"}, {"kind": "User", "name": "an@example.com"}]}),
            ),
            (
                Kind::ClusterRoleBinding,
                json!({"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
                    {"kind": "Group", "name": "dev", "apiGroup": GROUP}]}),
            ),
        ] {
            assert_eq!(problems(kind, value.clone()), Vec::<String>::new(), "{value}");
        }
    }

    #[test]
    fn mistakes() {
        let bind =
            |role: &str, subject: Value| json!({"roleRef": {"kind": role, "name": "view"}, "subjects": [subject]});
        let user = || json!({"kind": "User", "name": "an"});
        for (kind, value, expected) in [
            (
                Kind::Role,
                json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": []}]}),
                "rules[0].verbs: Required value: verbs must",
            ),
            (
                Kind::Role,
                json!({"rules": [{"resources": ["pods"], "verbs": ["get"]}]}),
                "rules[0].apiGroups: Required value: resource rules",
            ),
            (
                Kind::Role,
                json!({"rules": [{"apiGroups": [""], "verbs": ["get"]}]}),
                "rules[0].resources: Required value: resource rules",
            ),
            (
                Kind::Role,
                json!({"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}),
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules",
            ),
            (
                Kind::ClusterRole,
                json!({"rules": [{"nonResourceURLs": ["/x"], "resources": ["pods"], "verbs": ["get"]}]}),
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot",
            ),
            (
                Kind::ClusterRole,
                json!({"aggregationRule": {}}),
                "aggregationRule.clusterRoleSelectors: Required value: at least one",
            ),
            (
                Kind::ClusterRoleBinding,
                bind("Role", user()),
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            ),
            (
                Kind::RoleBinding,
                json!({"roleRef": {"kind": "Role", "name": "a/b"}}),
                "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
            ),
            (
                Kind::RoleBinding,
                bind("Role", json!({"kind": "Robot", "name": "r"})),
                "subjects[0].kind: Unsupported value: \"Robot\"",
            ),
            (Kind::RoleBinding, bind("Role", json!({"kind": "User"})), "subjects[0].name: Required value"),
            (
                Kind::RoleBinding,
                bind("Role", json!({"kind": "ServiceAccount", "name": "A b"})),
                "subjects[0].name: Invalid value: \"A b\": a lowercase",
            ),
            (
                Kind::RoleBinding,
                bind("Role", json!({"kind": "ServiceAccount", "name": "a", "apiGroup": GROUP})),
                "subjects[0].apiGroup: Unsupported value",
            ),
            (
                Kind::ClusterRoleBinding,
                bind("ClusterRole", json!({"kind": "ServiceAccount", "name": "a"})),
                "subjects[0].namespace: Required value",
            ),
        ] {
            let found = problems(kind, value.clone());
            assert!(found.iter().any(|f| f.starts_with(expected)), "{value}: {found:?}");
        }
    }
}
