//! The roles that every cluster has, and who has them from the beginning.
//!
//! Kubernetes' names, with what this server serves: `view`, `edit` and `admin` are sums of roles with a
//! label, so that a role of somebody's own can add to them. `deployer` is Evenkeel's: whoever releases and
//! rolls back need neither run commands in pods nor read Secrets. Changing a Source is not among it, for
//! a Source says what the whole cluster is. Deliberately not here: how they are kept
//! (`controllers::access`).

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use evenkeel_model::{Key, Kind};
use serde_json::{Value, json};

use super::{ACCOUNTS, AUTHENTICATED, GROUP, MASTERS, Rule};

/// Marks what is kept here, with Kubernetes' value.
pub const LABEL: &str = "kubernetes.io/bootstrapping";
/// The value of [`LABEL`].
pub const LABEL_VALUE: &str = "rbac-defaults";
/// With `"false"` a ready role or binding is left as somebody made it.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
const ALL: [&str; 1] = ["*"];
const CORE: &str = "";
const OWN: &str = "evenkeel.dev";
/// Paths that say nothing of anybody's objects.
const DISCOVERY: [&str; 9] =
    ["/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"];
/// Paths that say how the server fares.
const MONITORING: [&str; 7] = ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"];
/// Paths that say by whose key tokens of ServiceAccounts are signed.
const ISSUER: [&str; 4] =
    ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"];
/// The group of who may read how the server fares.
const MONITORS: &str = "system:monitoring";

/// A role that every cluster has.
#[derive(Debug)]
pub struct Ready {
    /// Its name.
    pub name: &'static str,
    /// Labels beside [`LABEL`].
    pub label: Option<&'static str>,
    /// The label of the roles that it is the sum of.
    pub sum_of: Option<&'static str>,
    /// Its own rules.
    pub rules: Vec<Rule>,
    /// The group that has it in the whole cluster.
    pub group: Option<&'static str>,
}

const TO_VIEW: &str = "rbac.authorization.k8s.io/aggregate-to-view";
const TO_EDIT: &str = "rbac.authorization.k8s.io/aggregate-to-edit";
const TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Rule {
    Rule { verbs: texts(verbs), api_groups: texts(&[group]), resources: texts(resources), ..Rule::default() }
}

fn paths(verbs: &[&str], urls: &[&str]) -> Rule {
    Rule { verbs: texts(verbs), non_resource_urls: texts(urls), ..Rule::default() }
}

/// What people look at; no Secret, no role, nothing that leads into a container.
fn view() -> Vec<Rule> {
    vec![
        rule(
            &READ,
            CORE,
            &[
                "configmaps",
                "endpoints",
                "events",
                "limitranges",
                "namespaces",
                "namespaces/status",
                "pods",
                "pods/log",
                "pods/status",
                "resourcequotas",
                "resourcequotas/status",
                "serviceaccounts",
                "services",
                "services/status",
            ],
        ),
        rule(
            &READ,
            "apps",
            &[
                "controllerrevisions",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
            ],
        ),
        rule(&READ, "discovery.k8s.io", &["endpointslices"]),
        rule(&["get", "list"], "metrics.k8s.io", &["nodes", "pods"]),
        rule(&READ, "networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
        rule(&READ, "policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    ]
}

fn edit() -> Vec<Rule> {
    let ways = ["pods/attach", "pods/exec", "pods/portforward"];
    let proxies = ["pods/proxy", "services/proxy"];
    vec![
        rule(&READ, CORE, &[ways[0], ways[1], ways[2], proxies[0], proxies[1], "secrets"]),
        rule(&["create"], CORE, &ways),
        rule(&WRITE, CORE, &proxies),
        rule(&["impersonate"], CORE, &["serviceaccounts"]),
        rule(&WRITE, CORE, &["configmaps", "events", "pods", "secrets", "serviceaccounts", "services"]),
        rule(&["create"], CORE, &["pods/eviction", "serviceaccounts/token"]),
        rule(&WRITE, "apps", &["deployments", "deployments/scale", "replicasets", "replicasets/scale"]),
        rule(&[&READ[..], &WRITE[..]].concat(), "coordination.k8s.io", &["leases"]),
        rule(&WRITE, "discovery.k8s.io", &["endpointslices"]),
        rule(&WRITE, "networking.k8s.io", &["ingresses", "networkpolicies"]),
        rule(&WRITE, "policy", &["poddisruptionbudgets"]),
    ]
}

fn admin() -> Vec<Rule> {
    vec![
        rule(&["create"], "authorization.k8s.io", &["localsubjectaccessreviews"]),
        rule(&[&READ[..], &WRITE[..]].concat(), GROUP, &["rolebindings", "roles"]),
    ]
}

fn deployer() -> Vec<Rule> {
    let mut rules = view();
    rules.push(rule(&READ, CORE, &["nodes", "nodes/status"]));
    rules.push(rule(
        &READ,
        OWN,
        &["drifts", "drifts/status", "releases", "releases/status", "sources", "sources/place", "sources/status"],
    ));
    rules.push(rule(
        &["create"],
        OWN,
        &["sources/diff", "sources/retry", "sources/rollback", "sources/sync", "sources/unpin"],
    ));
    rules.push(paths(&["get"], &["/evenkeel/nodes", "/evenkeel/server"]));
    rules
}

/// All of them.
pub fn roles() -> Vec<Ready> {
    let plain = |name, rules, group| Ready { name, label: None, sum_of: None, rules, group };
    let part = |name, label, rules| Ready { name, label: Some(label), sum_of: None, rules, group: None };
    let sum = |name, sum_of, label| Ready { name, label, sum_of: Some(sum_of), rules: Vec::new(), group: None };
    let reviews = vec![
        rule(&["create"], "authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        rule(&["create"], "authentication.k8s.io", &["selfsubjectreviews"]),
    ];
    // For servers that leave it to this one who somebody is and what they may, as metrics adapters do.
    let delegator = vec![
        rule(&["create"], "authentication.k8s.io", &["tokenreviews"]),
        rule(&["create"], "authorization.k8s.io", &["subjectaccessreviews"]),
    ];
    vec![
        plain("cluster-admin", vec![rule(&ALL, "*", &ALL), paths(&ALL, &ALL)], Some(MASTERS)),
        sum("admin", TO_ADMIN, None),
        sum("edit", TO_EDIT, Some(TO_ADMIN)),
        sum("view", TO_VIEW, Some(TO_EDIT)),
        plain("deployer", deployer(), None),
        part("system:aggregate-to-admin", TO_ADMIN, admin()),
        part("system:aggregate-to-edit", TO_EDIT, edit()),
        part("system:aggregate-to-view", TO_VIEW, view()),
        plain("system:auth-delegator", delegator, None),
        plain("system:basic-user", reviews, Some(AUTHENTICATED)),
        plain("system:discovery", vec![paths(&["get"], &DISCOVERY)], Some(AUTHENTICATED)),
        plain(MONITORS, vec![paths(&["get"], &MONITORING)], Some(MONITORS)),
        plain("system:service-account-issuer-discovery", vec![paths(&["get"], &ISSUER)], Some(ACCOUNTS)),
    ]
}

impl Ready {
    /// The role's key.
    pub fn key(&self) -> Key {
        Key::cluster(Kind::ClusterRole, self.name)
    }

    /// What a new one holds beside its metadata.
    pub fn body(&self) -> Value {
        match self.sum_of {
            Some(label) => json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}}),
            None => json!({"rules": self.rules}),
        }
    }

    /// Its binding, where somebody has it from the beginning.
    pub fn binding(&self) -> Option<(Key, Value)> {
        let group = self.group?;
        let body = json!({
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": self.name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
        });
        Some((Key::cluster(Kind::ClusterRoleBinding, self.name), body))
    }
}
