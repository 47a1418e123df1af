//! Roles and bindings, filed by whom they are for.
//!
//! Kept with each write. Everything is a persistent map, so that a view has its own for nothing.

use alloc::{collections::BTreeSet, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, Selector};
use imbl::{OrdMap, OrdSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use super::{Act, MASTERS, Rule, User, account_user};
use crate::change::Changed;

/// All roles and bindings.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    rules: OrdMap<Key, Arc<[Rule]>>,
    bindings: OrdMap<Key, Arc<Binding>>,
    /// By subject, and the namespace in which it counts: empty for everywhere.
    filed: OrdMap<(Subject, Arc<str>), OrdSet<Key>>,
    /// ClusterRoles that are the sum of others.
    sums: OrdMap<Key, Arc<[Selector]>>,
}

/// Whom a binding is for. A ServiceAccount is a user of that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    User(String),
    Group(String),
}

#[derive(Debug, PartialEq, Eq)]
struct Binding {
    role: Key,
    subjects: BTreeSet<Subject>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RoleBody {
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<Aggregation>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Aggregation {
    cluster_role_selectors: Option<Vec<LabelSelector>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BindingBody {
    subjects: Option<Vec<SubjectBody>>,
    role_ref: RoleRef,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SubjectBody {
    kind: String,
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

/// The role that a binding names; `None` where it names none that can be.
pub fn role_of(binding: &Key, kind: &str, name: &str) -> Option<Key> {
    match kind {
        "ClusterRole" => Some(Key::cluster(Kind::ClusterRole, name)),
        "Role" if binding.kind == Kind::RoleBinding => Some(binding.sibling(Kind::Role, name)),
        _ => None,
    }
}

impl Grants {
    /// Whether somebody may do something.
    pub fn allow(&self, user: &User, act: &Act<'_>) -> bool {
        self.why(user, act).is_some()
    }

    /// Why somebody may do something, in Kubernetes' words; `None` where they may not.
    pub fn why(&self, user: &User, act: &Act<'_>) -> Option<String> {
        if user.is_in(MASTERS) {
            return Some(String::new());
        }
        let namespace = match act {
            Act::Resource(r) => r.namespace,
            Act::Path { .. } => "",
        };
        let found = self.of(user, namespace).find(|(_, _, rules)| rules.iter().any(|rule| rule.allows(act)))?;
        let (key, binding, _) = found;
        let named = if key.namespace.is_empty() {
            alloc::format!("{} {:?}", key.kind, key.name)
        } else {
            alloc::format!("{} \"{}/{}\"", key.kind, key.name, key.namespace)
        };
        Some(alloc::format!("RBAC: allowed by {named} of {} {:?}", binding.role.kind, binding.role.name))
    }

    /// The rules that count for somebody in a namespace (empty: in the cluster as a whole).
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> + Clone + 'a {
        self.of(user, namespace).flat_map(|(_, _, rules)| rules.iter())
    }

    /// The rules of a role.
    pub fn of_role(&self, role: &Key) -> Option<&Arc<[Rule]>> {
        self.rules.get(role)
    }

    /// The bindings that count for somebody there, with the rules of their roles.
    fn of<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Binding, &'a [Rule])> + Clone + 'a {
        let subjects = core::iter::once(Subject::User(user.name.clone()))
            .chain(user.groups.iter().map(|g| Subject::Group(g.clone())));
        let places = [Some(""), (!namespace.is_empty()).then_some(namespace)];
        let keys = subjects.flat_map(move |subject| {
            places.into_iter().flatten().filter_map(move |place| self.filed.get(&(subject.clone(), place.into())))
        });
        keys.flatten().filter_map(|key| {
            let binding = self.bindings.get(key)?;
            Some((key, &**binding, &**self.rules.get(&binding.role)?))
        })
    }

    /// ClusterRoles that are the sum of others, this one among them.
    pub fn sums_with<'a>(&'a self, role: &'a Object) -> impl Iterator<Item = &'a Key> + 'a {
        let takes = move |selectors: &[Selector]| selectors.iter().any(|s| s.matches(&role.meta.labels));
        self.sums.iter().filter(move |(key, selectors)| **key != role.key && takes(selectors)).map(|(key, _)| key)
    }

    /// What a ClusterRole is the sum of; `None` for one that has rules of its own.
    pub fn sum(&self, role: &Key) -> Option<&[Selector]> {
        self.sums.get(role).map(|s| &**s)
    }

    /// Takes a change of a role or binding in.
    pub(crate) fn update(&mut self, changed: &Changed) {
        let key = &changed.key;
        match key.kind {
            Kind::Role | Kind::ClusterRole => {
                let body: RoleBody = changed.new.as_ref().and_then(|o| o.view().ok()).unwrap_or_default();
                match &changed.new {
                    Some(_) => self.rules.insert(key.clone(), body.rules.unwrap_or_default().into()),
                    None => self.rules.remove(key),
                };
                let selectors = body.aggregation_rule.and_then(|a| a.cluster_role_selectors).unwrap_or_default();
                let selectors: Arc<[Selector]> = selectors.iter().filter_map(|s| Selector::from_k8s(s).ok()).collect();
                if selectors.is_empty() {
                    self.sums.remove(key);
                } else {
                    self.sums.insert(key.clone(), selectors);
                }
            }
            _ => self.binding(key, changed.new.as_deref()),
        }
    }

    fn binding(&mut self, key: &Key, new: Option<&Object>) {
        let place = |subject: &Subject| (subject.clone(), key.namespace.clone());
        if let Some(old) = self.bindings.remove(key) {
            for at in old.subjects.iter().map(place) {
                let Some(set) = self.filed.get_mut(&at) else { continue };
                set.remove(key);
                if set.is_empty() {
                    self.filed.remove(&at);
                }
            }
        }
        let Some(body) = new.and_then(|o| o.view::<BindingBody>().ok()) else { return };
        let Some(role) = role_of(key, &body.role_ref.kind, &body.role_ref.name) else { return };
        let subject = |s: SubjectBody| match s.kind.as_str() {
            "User" => Some(Subject::User(s.name)),
            "Group" => Some(Subject::Group(s.name)),
            "ServiceAccount" => {
                let namespace = s.namespace.filter(|n| !n.is_empty()).unwrap_or_else(|| (*key.namespace).into());
                Some(Subject::User(account_user(&namespace, &s.name)))
            }
            _ => None,
        };
        let subjects: BTreeSet<Subject> = body.subjects.unwrap_or_default().into_iter().filter_map(subject).collect();
        for at in subjects.iter().map(place) {
            self.filed.entry(at).or_default().insert(key.clone());
        }
        self.bindings.insert(key.clone(), Arc::new(Binding { role, subjects }));
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use serde_json::{Value, json};

    use super::{super::Resource, *};

    fn put(grants: &mut Grants, kind: &str, namespace: &str, name: &str, mut fields: Value) -> Key {
        fields["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
        fields["kind"] = kind.into();
        fields["metadata"] = json!({"name": name});
        if !namespace.is_empty() {
            fields["metadata"]["namespace"] = namespace.into();
        }
        let object = Arc::new(Object::from_value(fields).unwrap());
        let key = object.key.clone();
        grants.update(&Changed { key: key.clone(), old: None, new: Some(object) });
        key
    }

    fn user(name: &str, groups: &[&str]) -> User {
        User { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..User::default() }
    }

    fn get(namespace: &'static str) -> Act<'static> {
        Act::Resource(Resource { verb: "get", resource: "pods", namespace, name: "web", ..Resource::default() })
    }

    fn reader(grants: &mut Grants) {
        let rules = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        put(grants, "ClusterRole", "", "reader", rules.clone());
        put(grants, "Role", "shop", "reader", rules);
    }

    fn bind(role: &str, subjects: &Value) -> Value {
        json!({"roleRef": {"kind": role, "name": "reader"}, "subjects": subjects})
    }

    #[test]
    fn a_binding_counts_where_it_is() {
        let mut grants = Grants::default();
        reader(&mut grants);
        let an = user("an", &["dev"]);
        assert!(!grants.allow(&an, &get("shop")));
        let here = put(&mut grants, "RoleBinding", "shop", "b", bind("Role", &json!([{"kind": "User", "name": "an"}])));
        assert!(grants.allow(&an, &get("shop")));
        assert!(!grants.allow(&an, &get("other")) && !grants.allow(&an, &get("")));
        assert!(!grants.allow(&user("bo", &["dev"]), &get("shop")));
        assert_eq!(grants.why(&an, &get("shop")).unwrap(), r#"RBAC: allowed by RoleBinding "b/shop" of Role "reader""#);
        // Another subject in its place.
        put(&mut grants, "RoleBinding", "shop", "b", bind("ClusterRole", &json!([{"kind": "Group", "name": "dev"}])));
        assert!(grants.allow(&user("bo", &["dev"]), &get("shop")));
        assert!(!grants.allow(&user("an", &[]), &get("shop")));
        grants.update(&Changed { key: here, old: None, new: None });
        assert!(!grants.allow(&an, &get("shop")));
        assert!(grants.filed.is_empty() && grants.bindings.is_empty());
        // In the whole cluster.
        put(
            &mut grants,
            "ClusterRoleBinding",
            "",
            "b",
            bind("ClusterRole", &json!([{"kind": "Group", "name": "dev"}])),
        );
        assert!(grants.allow(&an, &get("other")) && grants.allow(&an, &get("")));
        assert_eq!(grants.rules(&an, "").count(), 1);
        // A binding without its role gives nothing.
        grants.update(&Changed { key: Key::cluster(Kind::ClusterRole, "reader"), old: None, new: None });
        assert!(!grants.allow(&an, &get("other")));
        assert!(grants.allow(&user("root", &[MASTERS]), &get("other")));
    }

    #[test]
    fn service_accounts_are_users_of_a_namespace() {
        let mut grants = Grants::default();
        reader(&mut grants);
        let subjects = json!([{"kind": "ServiceAccount", "name": "bot"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"}]);
        put(&mut grants, "RoleBinding", "shop", "b", bind("Role", &subjects));
        for (namespace, allowed) in [("shop", true), ("ci", true), ("other", false)] {
            let bot = user(&account_user(namespace, "bot"), &[]);
            assert_eq!(grants.allow(&bot, &get("shop")), allowed, "{namespace}");
        }
    }

    #[test]
    fn a_request_looks_at_its_own_bindings_alone() {
        let mut grants = Grants::default();
        reader(&mut grants);
        for n in 0..1000 {
            let subjects = json!([{"kind": "User", "name": format!("u{n}")}]);
            put(&mut grants, "RoleBinding", &format!("n{n}"), "b", bind("ClusterRole", &subjects));
        }
        assert_eq!(grants.of(&user("u7", &["dev"]), "n7").count(), 1);
        assert_eq!(grants.of(&user("u7", &["dev"]), "n8").count(), 0);
    }
}
