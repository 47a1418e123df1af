//! Who may do what: Kubernetes' role-based access control, pure.
//!
//! [`Grants`] is kept with the world and published with each view, so that a request is judged by what
//! was committed. It is filed by subject and namespace: a request looks at the bindings of its user and
//! groups that count where it acts, however many others there are. There are no denials: what nothing
//! allows is forbidden. Deliberately not here: who somebody is (`api::auth` of the server), and which
//! request is which act.

pub mod cover;
pub mod grants;
pub mod ready;

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize};

pub use grants::Grants;

/// Members may do everything, as in Kubernetes: there is always somebody who can mend the rest.
pub const MASTERS: &str = "system:masters";
/// Everybody who has shown who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// What the name of a ServiceAccount as a user begins with, followed by `NAMESPACE:NAME`.
pub const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// All ServiceAccounts; with `:NAMESPACE`, those of a namespace.
pub const ACCOUNTS: &str = "system:serviceaccounts";
/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Everything.
const ALL: &str = "*";

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    #[serde(rename = "username")]
    pub name: String,
    /// What tells two of a name apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub groups: Vec<String>,
    /// What else is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Whether they are in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// The name of a ServiceAccount as a user.
pub fn account_user(namespace: &str, name: &str) -> String {
    format!("{ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The groups of a ServiceAccount.
pub fn account_groups(namespace: &str) -> Vec<String> {
    [ACCOUNTS.into(), format!("{ACCOUNTS}:{namespace}")].into()
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'a> {
    /// To objects.
    Resource(Resource<'a>),
    /// To a path that names no objects.
    Path {
        /// The method, in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// Objects that something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resource<'a> {
    /// As `list`.
    pub verb: &'a str,
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// What lies below the object; empty for the object itself.
    pub subresource: &'a str,
    /// Empty for all namespaces, and for what is the cluster's.
    pub namespace: &'a str,
    /// Empty where no one object is named.
    pub name: &'a str,
}

/// A rule of a role, as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// What may be done.
    #[serde(deserialize_with = "or_default")]
    pub verbs: Vec<String>,
    /// To resources of these groups.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// To these resources.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// To objects of these names alone, where any is set.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// To these paths.
    #[serde(rename = "nonResourceURLs", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

/// `null` is what is absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Rule {
    /// Whether it allows an act.
    pub fn allows(&self, act: &Act<'_>) -> bool {
        match act {
            Act::Resource(r) => {
                has(&self.verbs, r.verb)
                    && has(&self.api_groups, r.group)
                    && self.resources.iter().any(|rule| names_resource(rule, r.resource, r.subresource))
                    && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == r.name))
            }
            Act::Path { verb, path } => {
                has(&self.verbs, verb) && self.non_resource_urls.iter().any(|rule| names_path(rule, path))
            }
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == ALL || one == wanted)
}

fn names_resource(rule: &str, resource: &str, below: &str) -> bool {
    match (rule.split_once('/'), below) {
        _ if rule == ALL => true,
        (None, "") => rule == resource,
        (Some((of, sub)), below) => !below.is_empty() && sub == below && (of == ALL || of == resource),
        (None, _) => false,
    }
}

fn names_path(rule: &str, path: &str) -> bool {
    rule == ALL || rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: serde_json::Value) -> Rule {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rules_allow_what_they_name() {
        let pods = rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"],
            "resourceNames": null}));
        let act = |verb, resource, subresource, group, name| {
            Act::Resource(Resource { verb, group, resource, subresource, namespace: "shop", name })
        };
        assert!(pods.allows(&act("get", "pods", "", "", "web")));
        assert!(pods.allows(&act("get", "pods", "log", "", "web")));
        for other in [
            act("delete", "pods", "", "", "web"),
            act("get", "pods", "exec", "", "web"),
            act("get", "pods", "", "apps", "web"),
            act("get", "secrets", "", "", "web"),
            Act::Path { verb: "get", path: "/api" },
        ] {
            assert!(!pods.allows(&other), "{other:?}");
        }
        let named =
            rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}));
        assert!(named.allows(&act("get", "secrets", "", "", "a")));
        assert!(!named.allows(&act("get", "secrets", "", "", "b")));
        assert!(!named.allows(&act("get", "secrets", "", "", "")), "a list names none");
        let scale = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}));
        assert!(scale.allows(&act("patch", "deployments", "scale", "apps", "web")));
        assert!(!scale.allows(&act("patch", "deployments", "", "apps", "web")));
        let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        assert!(all.allows(&act("get", "pods", "exec", "", "web")));
        assert!(!all.allows(&Act::Path { verb: "get", path: "/metrics" }));
    }

    #[test]
    fn rules_of_paths() {
        let urls = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/metrics", "/openapi/*"]}));
        for (path, allowed) in
            [("/metrics", true), ("/metrics/x", false), ("/openapi/v3", true), ("/openapi", false), ("/", false)]
        {
            assert_eq!(urls.allows(&Act::Path { verb: "get", path }), allowed, "{path}");
        }
        assert!(!urls.allows(&Act::Path { verb: "post", path: "/metrics" }));
        let any = rule(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
        assert!(any.allows(&Act::Path { verb: "post", path: "/x" }));
    }
}
