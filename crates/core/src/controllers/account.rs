//! What every namespace has for its pods' identity: the ServiceAccount `default`, and the ConfigMap
//! `kube-root-ca.crt` with the certificates by which this server is known. Key: the Namespace.
//!
//! Both come back when somebody deletes them, as in Kubernetes; one that a source holds is the source's.
//! Deliberately not here: tokens, which the API makes when it is asked.

use alloc::sync::Arc;

use evenkeel_model::{Key, Kind, Object, canonical};
use serde_json::{Value, json};

use crate::{change::Changed, cx::Cx, world::World};

/// The ServiceAccount of pods that name none.
pub const DEFAULT: &str = "default";
/// The ConfigMap with the CA.
pub const ROOT_CA: &str = "kube-root-ca.crt";
/// Its key.
const ROOT_CA_KEY: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using \
    internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed \
    across distributions of Kubernetes clusters.";

/// Whether an object is what this controller makes, and so nobody's reason to keep a namespace.
pub(crate) fn given(object: &Object) -> bool {
    let name = &*object.key.name;
    matches!((object.key.kind, name), (Kind::ServiceAccount, DEFAULT) | (Kind::ConfigMap, ROOT_CA))
        && object.source().is_none()
}

/// Marks a namespace that is new or lost one of the two.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    let key = &changed.key;
    match (key.kind, &*key.name) {
        (Kind::Namespace, _) if changed.old.is_none() => mark(key.clone()),
        (Kind::ServiceAccount, DEFAULT) | (Kind::ConfigMap, ROOT_CA) => {
            let namespace = Key::cluster(Kind::Namespace, key.namespace.clone());
            if world.get(&namespace).is_some_and(|n| !n.deleting()) {
                mark(namespace);
            }
        }
        _ => {}
    }
}

/// Looks at one namespace.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(_) = world.get(key).filter(|n| !n.deleting()) else { return };
    let account = Key::new(Kind::ServiceAccount, key.name.clone(), DEFAULT);
    if world.get(&account).is_none() {
        let mut account = cx.draft(account, &json!({}));
        account.meta.generation = 0;
        cx.put(account);
    }
    let Some(ca) = cx.settings.root_ca.clone() else { return };
    let map = Key::new(Kind::ConfigMap, key.name.clone(), ROOT_CA);
    let body: Arc<[u8]> = canonical::value_bytes(&json!({"data": {ROOT_CA_KEY: &*ca}})).into();
    match world.get(&map) {
        None => {
            let mut new = cx.draft(map, &Value::Null);
            new.meta.generation = 0;
            new.meta.annotate(DESCRIPTION, DESCRIPTION_TEXT);
            cx.put(Object { body, ..new });
        }
        Some(live) if live.body != body && !live.deleting() && live.source().is_none() => {
            cx.put(Object { body, ..Object::clone(live) });
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Change, controllers::testkit::Cluster, world::deletion};

    fn namespace(c: &mut Cluster, name: &str) -> Key {
        let key = Key::cluster(Kind::Namespace, name);
        let made = c.with(|_, cx| cx.draft(key.clone(), &json!({})));
        c.apply(Change::Put(Arc::new(made)));
        c.settle();
        key
    }

    #[test]
    fn every_namespace_has_an_account_and_the_ca_and_gets_them_back() {
        let mut c = Cluster::new(&[]);
        c.settings.root_ca = Some("first".into());
        let shop = namespace(&mut c, "shop");
        let account = Key::new(Kind::ServiceAccount, "shop", DEFAULT);
        let map = Key::new(Kind::ConfigMap, "shop", ROOT_CA);
        let ca = |c: &Cluster| c.world.get(&map).map(|o| o.body_map()["data"][ROOT_CA_KEY].clone());
        let uid = c.world.get(&account).unwrap().uid;
        assert_eq!(ca(&c), Some("first".into()));
        assert!(given(c.world.get(&account).unwrap()) && given(c.world.get(&map).unwrap()));
        assert!(c.world.get(&Key::new(Kind::ServiceAccount, "kube-system", DEFAULT)).is_some());
        // Another CA after a start.
        c.settings.root_ca = Some("second".into());
        c.mark_all();
        c.settle();
        assert_eq!(ca(&c), Some("second".into()));
        // Nothing changed, nothing is written.
        let version = c.world.version;
        c.mark_all();
        c.settle();
        assert_eq!(c.world.version, version);
        c.delete(&account);
        c.delete(&map);
        c.settle();
        assert_ne!(c.world.get(&account).unwrap().uid, uid, "tokens of the old one are worth nothing");
        assert_eq!(ca(&c), Some("second".into()));
        // A namespace goes with both.
        c.with(|w, cx| cx.changes.extend(deletion::request(w, &shop, None, cx.now)));
        c.settle();
        for key in [shop, account, map] {
            assert!(c.world.get(&key).is_none(), "{key}");
        }
    }
}
