//! Roles: those that every cluster has, and those that are the sum of others.
//!
//! The ready ones (`rbac::ready`) are made where they are missing and get back rules that somebody took
//! out of them, unless they are annotated `rbac.authorization.kubernetes.io/autoupdate: "false"`; what
//! somebody added stays, as in Kubernetes. Sums are by the rules of its aggregation controller. Key: the
//! ClusterRole.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, canonical};
use serde_json::Value;

use crate::{
    change::Changed,
    cx::Cx,
    rbac::{Rule, cover, ready},
    world::World,
};

/// With this Namespace, which every cluster has, all ready roles are looked at.
const HOME: &str = "kube-system";

/// Marks a role that changed, and the sums that it is in.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Namespace if &*changed.key.name == HOME && changed.new.is_some() => {
            for role in ready::roles() {
                mark(role.key());
            }
        }
        Kind::ClusterRole => {
            mark(changed.key.clone());
            for role in changed.old.iter().chain(&changed.new) {
                world.grants.sums_with(role).for_each(|sum| mark(sum.clone()));
            }
        }
        Kind::ClusterRoleBinding if changed.new.is_none() => {
            mark(Key::cluster(Kind::ClusterRole, changed.key.name.clone()));
        }
        _ => {}
    }
}

/// Looks at one role.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    if let Some(ready) = ready::roles().into_iter().find(|r| *r.name == *key.name) {
        keep(world, &ready, cx);
    }
    let Some(live) = cx.pending(key).or_else(|| world.get(key)).filter(|o| !o.deleting()).cloned() else { return };
    let Some(selectors) = world.grants.sum(key) else { return };
    let mut rules: Vec<Rule> = Vec::new();
    for part in world.list(Kind::ClusterRole, "").filter(|o| o.key != *key) {
        if selectors.iter().any(|s| s.matches(&part.meta.labels)) {
            for rule in world.grants.of_role(&part.key).iter().flat_map(|rules| rules.iter()) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    put_rules(&live, &rules, cx);
}

fn put_rules(live: &Arc<Object>, rules: &[Rule], cx: &mut Cx<'_>) {
    let mut body = live.body_map();
    let rules = serde_json::to_value(rules).unwrap_or_default();
    let none = |v: Option<&Value>| v.is_none_or(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty));
    if body.get("rules") == Some(&rules) || none(body.get("rules")) && none(Some(&rules)) {
        return;
    }
    body.insert("rules".into(), rules);
    cx.put(Object { body: canonical::value_bytes(&Value::Object(body)).into(), ..Object::clone(live) });
}

/// Makes a ready role and its binding where they are missing, and gives the role what it lacks.
fn keep(world: &World, ready: &ready::Ready, cx: &mut Cx<'_>) {
    let (key, binding) = (ready.key(), ready.binding());
    match world.get(&key) {
        None => make(key, &ready.body(), ready.label, cx),
        Some(live) if ready.sum_of.is_none() && live.meta.annotation(ready::AUTOUPDATE) == Some("true") => {
            let held = world.grants.of_role(&key).cloned().unwrap_or_default();
            if !cover::missing(held.iter(), &ready.rules).is_empty() {
                let mut rules = held.to_vec();
                rules.extend(ready.rules.iter().filter(|r| !held.contains(r)).cloned());
                put_rules(live, &rules, cx);
            }
        }
        Some(_) => {}
    }
    if let Some((key, body)) = binding
        && world.get(&key).is_none()
    {
        make(key, &body, None, cx);
    }
}

fn make(key: Key, body: &Value, label: Option<&str>, cx: &mut Cx<'_>) {
    let mut object = cx.draft(key, body);
    object.meta.generation = 0;
    object.meta.set_label(ready::LABEL, ready::LABEL_VALUE);
    if let Some(label) = label {
        object.meta.set_label(label, "true");
    }
    object.meta.annotate(ready::AUTOUPDATE, "true");
    cx.put(object);
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use serde_json::json;

    use super::*;
    use crate::{
        change::Change,
        controllers::testkit::Cluster,
        rbac::{Act, Resource, User},
    };

    fn role(name: &str) -> Key {
        Key::cluster(Kind::ClusterRole, name)
    }

    fn may(c: &Cluster, group: &str, verb: &str, resource: &str) -> bool {
        let user = User { name: "an".into(), groups: [group.to_string()].into(), ..User::default() };
        c.world
            .grants
            .allow(&user, &Act::Resource(Resource { verb, resource, namespace: "shop", ..Resource::default() }))
    }

    fn put(c: &mut Cluster, value: serde_json::Value) -> Key {
        let object = Object::from_value(value).unwrap();
        let key = object.key.clone();
        c.apply(Change::Put(Arc::new(object)));
        c.settle();
        key
    }

    #[test]
    fn ready_roles_are_there_and_come_back() {
        let mut c = Cluster::new(&[]);
        for ready in ready::roles() {
            let rules = c.world.grants.of_role(&ready.key()).unwrap();
            assert!(!rules.is_empty(), "{}", ready.name);
        }
        let version = c.world.version;
        c.mark_all();
        c.settle();
        assert_eq!(c.world.version, version, "nothing changed");
        c.delete(&role("view"));
        c.delete(&Key::cluster(Kind::ClusterRoleBinding, "cluster-admin"));
        c.settle();
        assert!(c.world.grants.of_role(&role("view")).is_some_and(|r| !r.is_empty()));
        assert!(c.world.get(&Key::cluster(Kind::ClusterRoleBinding, "cluster-admin")).is_some());
    }

    #[test]
    fn what_was_taken_out_comes_back_unless_it_is_meant_and_what_was_added_stays() {
        let mut c = Cluster::new(&[]);
        let key = role("system:discovery");
        let own = |c: &Cluster| c.world.grants.of_role(&key).unwrap().to_vec();
        let before = own(&c);
        let changed = |auto: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": "system:discovery", "annotations": {ready::AUTOUPDATE: auto}},
                "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]})
        };
        put(&mut c, changed("false"));
        assert_eq!(own(&c).len(), 1);
        put(&mut c, changed("true"));
        assert_eq!(own(&c)[1..], before);
    }

    #[test]
    fn a_role_of_somebodys_own_adds_to_the_sums() {
        let mut c = Cluster::new(&[]);
        put(
            &mut c,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "editors"}, "roleRef": {"kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "Group", "name": "dev"}]}),
        );
        assert!(may(&c, "dev", "get", "pods") && may(&c, "dev", "delete", "pods") && !may(&c, "dev", "get", "widgets"));
        let more = put(
            &mut c,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["widgets"]}]}),
        );
        assert!(may(&c, "dev", "get", "widgets"), "by view, of which edit is a sum");
        c.delete(&more);
        c.settle();
        assert!(!may(&c, "dev", "get", "widgets") && may(&c, "dev", "get", "pods"));
    }
}
