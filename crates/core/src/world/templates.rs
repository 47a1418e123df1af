//! Which Deployments mention which ConfigMaps and Secrets in their template: so that a change of
//! one finds its users without a walk over all.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object};
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::apps::v1::DeploymentSpec;

use super::pods::mentioned;
use crate::change::Changed;

/// Users by content, and contents by user.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    users: OrdMap<Key, OrdSet<Key>>,
    used: OrdMap<Key, Arc<[Key]>>,
}

impl Templates {
    /// Keys of the Deployments whose template mentions a ConfigMap or Secret.
    pub fn using(&self, content: &Key) -> impl Iterator<Item = &Key> {
        self.users.get(content).into_iter().flatten()
    }

    /// Follows a Deployment's object.
    pub(super) fn update(&mut self, changed: &Changed) {
        if !changed.body_changed() {
            return;
        }
        for content in self.used.remove(&changed.key).iter().flat_map(|all| all.iter()) {
            if let Some(users) = self.users.get_mut(content) {
                users.remove(&changed.key);
                if users.is_empty() {
                    self.users.remove(content);
                }
            }
        }
        let contents = changed.new.as_ref().map(|o| contents(o)).unwrap_or_default();
        for content in &contents {
            self.users.entry(content.clone()).or_default().insert(changed.key.clone());
        }
        if !contents.is_empty() {
            self.used.insert(changed.key.clone(), contents.into());
        }
    }
}

/// What a Deployment's template mentions. One that cannot be decoded (it was checked when it came
/// in) mentions nothing.
fn contents(deployment: &Object) -> Vec<Key> {
    let spec = deployment.spec::<DeploymentSpec>().ok().and_then(|s| s.template.spec);
    let names = spec.map(|s| mentioned(&s)).unwrap_or_default();
    let key = |(secret, name)| deployment.key.sibling(if secret { Kind::Secret } else { Kind::ConfigMap }, name);
    names.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{Meta, Uid};
    use serde_json::json;

    use super::*;

    fn deployment(config: Option<&str>) -> Arc<Object> {
        let from = config.map(|name| json!([{"configMapRef": {"name": name}}])).unwrap_or(json!([]));
        let body =
            json!({"spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "envFrom": from}]}}}});
        let key = Key::new(Kind::Deployment, "shop", "web");
        Arc::new(Object::new(key, Uid(1), Meta::default(), evenkeel_model::canonical::value_bytes(&body).into()))
    }

    #[test]
    fn users_follow_their_templates() {
        let mut index = Templates::default();
        let (a, b) = (Key::new(Kind::ConfigMap, "shop", "a"), Key::new(Kind::ConfigMap, "shop", "b"));
        let mut now = None;
        for (next, of_a, of_b) in
            [(deployment(Some("a")), 1, 0), (deployment(Some("b")), 0, 1), (deployment(None), 0, 0)]
        {
            index.update(&Changed {
                key: Key::new(Kind::Deployment, "shop", "web"),
                old: now,
                new: Some(next.clone()),
            });
            assert_eq!((index.using(&a).count(), index.using(&b).count()), (of_a, of_b));
            now = Some(next);
        }
        index.update(&Changed { key: Key::new(Kind::Deployment, "shop", "web"), old: now, new: None });
        assert!(index.used.is_empty() && index.users.is_empty());
    }
}
