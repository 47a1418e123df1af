//! When each node was last heard of, as a Lease of the namespace `kube-node-lease`; key: the Node.
//!
//! A node's Lease is there as long as its Node object: the garbage collection takes it with its owner. Words of
//! agents are not written as they come. `renew`, which the API asks for while somebody reads or watches these
//! Leases, writes those that are behind, so what nobody reads costs nothing. Deliberately not here: Leases of
//! other namespaces, which programs write.

use alloc::{format, sync::Arc};

use evenkeel_model::{Key, Kind, Meta, Object, OwnerRef, Uid, canonical};
use serde_json::json;

use crate::{change::Changed, cx::Cx, world::World};

/// The namespace of those of nodes, which holds no others.
pub const NAMESPACE: &str = "kube-node-lease";
/// Nodes that one request looks at: bounds its batch.
pub const RENEWED: usize = 512;

/// Marks a Node that is new, and all when the namespace is there again.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::Node if is_new(changed) => mark(changed.key.clone()),
        Kind::Namespace if is_new(changed) && &*changed.key.name == NAMESPACE => {
            world.list(Kind::Node, "").for_each(|n| mark(n.key.clone()));
        }
        _ => {}
    }
}

fn is_new(changed: &Changed) -> bool {
    let Changed { old, new, .. } = changed;
    new.as_ref().is_some_and(|new| old.as_ref().is_none_or(|old| old.uid != new.uid))
}

/// Looks at one node: makes its Lease where it has none.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    if let Some(node) = world.get(key)
        && live(world, node).is_none()
    {
        ensure(world, node, cx);
    }
}

/// Brings the Leases of some nodes up to date: so many, from a name on. Gives the name to go on from.
pub fn renew(world: &World, from: &str, count: usize, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let mut nodes = world.list_from(Kind::Node, "", from);
    for node in nodes.by_ref().take(count.min(RENEWED)) {
        ensure(world, node, cx);
    }
    nodes.next().map(|n| n.key.name.clone())
}

fn live<'a>(world: &'a World, node: &Object) -> Option<&'a Arc<Object>> {
    world.get(&of(node)).filter(|l| l.uid == uid(node))
}

/// A node's Lease as it shall be; one that is so already is no change.
fn ensure(world: &World, node: &Object, cx: &mut Cx<'_>) {
    let namespace = world.get(&Key::cluster(Kind::Namespace, NAMESPACE));
    if namespace.is_none_or(|n| n.deleting()) {
        return;
    }
    let (live, name) = (live(world, node), &*node.key.name);
    let heard = world.nodes.last_heard(name);
    // What is known from before the server's start stays until the node is heard of.
    if heard.is_none() && live.is_some() {
        return;
    }
    let mut spec = json!({"holderIdentity": name, "leaseDurationSeconds": cx.settings.node_grace.as_secs()});
    if let Some(at) = heard {
        // A MicroTime has six digits.
        let whole = at.rfc3339();
        spec["renewTime"] = format!("{}.{:03}000Z", whole.trim_end_matches('Z'), at.0.rem_euclid(1000)).into();
    }
    let body: Arc<[u8]> = canonical::value_bytes(&json!({"spec": spec})).into();
    cx.put(match live {
        Some(live) => Object { body, ..Object::clone(live) },
        None => new(node, body),
    });
}

/// Owned by its node, as in Kubernetes.
fn new(node: &Object, body: Arc<[u8]>) -> Object {
    let owner = OwnerRef {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.key.name.clone(),
        uid: node.uid,
        controller: false,
        block_owner_deletion: false,
    };
    let meta = Meta { created: node.meta.created, owners: [owner].into(), ..Meta::default() };
    Object::new(of(node), uid(node), meta, body)
}

fn of(node: &Object) -> Key {
    Key::new(Kind::Lease, NAMESPACE, node.key.name.clone())
}

/// Its own, and always the same for one Node.
fn uid(node: &Object) -> Uid {
    Uid(node.uid.0 ^ 1)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::{change::Change, controllers::testkit::Cluster, world::deletion};

    fn lease(c: &Cluster, node: &str) -> Option<Arc<Object>> {
        c.world.get(&Key::new(Kind::Lease, NAMESPACE, node)).cloned()
    }

    fn spec(c: &Cluster, node: &str) -> Value {
        lease(c, node).unwrap().body_map()["spec"].clone()
    }

    #[test]
    fn a_lease_is_there_with_its_node_and_says_when_it_was_heard_of() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi")]);
        let node = c.get(Kind::Node, "n1");
        let made = lease(&c, "n1").unwrap();
        assert_eq!((made.meta.owners[0].uid, made.uid, made.meta.created), (node.uid, uid(&node), node.meta.created));
        assert_eq!(spec(&c, "n1")["holderIdentity"], "n1");
        assert_eq!(spec(&c, "n1")["leaseDurationSeconds"], 40);
        // Words alone write nothing.
        let version = c.world.version;
        c.now = c.now + Duration::from_millis(5678);
        c.world.nodes.hear(&"n1".into(), c.now);
        c.settle();
        assert_eq!(c.world.version, version);
        // What is behind is written, once.
        assert_eq!(c.with(|w, cx| renew(w, "", RENEWED, cx)), None);
        assert_eq!(c.world.version, version.next(), "n2 said nothing more");
        assert_eq!(spec(&c, "n1")["renewTime"], "1970-01-12T13:46:45.678000Z");
        let renewed = lease(&c, "n1").unwrap();
        assert_eq!((renewed.uid, renewed.version), (made.uid, c.world.version));
        c.with(|w, cx| renew(w, "", RENEWED, cx));
        assert_eq!(c.world.version, version.next());
        c.with(|_, cx| cx.delete(node.key.clone()));
        c.settle();
        assert!(lease(&c, "n1").is_none() && lease(&c, "n2").is_some());
    }

    #[test]
    fn a_request_looks_at_so_many_and_says_where_to_go_on() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi"), ("n2", "4", "8Gi"), ("n3", "4", "8Gi")]);
        c.now = c.now + Duration::from_secs(5);
        for node in ["n1", "n2", "n3"] {
            c.world.nodes.hear(&node.into(), c.now);
        }
        let version = c.world.version;
        assert_eq!(c.with(|w, cx| renew(w, "", 2, cx)).as_deref(), Some("n3"));
        assert_eq!(c.world.version.0, version.0 + 2);
        assert_eq!(c.with(|w, cx| renew(w, "n3", 2, cx)), None);
        assert_eq!(c.world.version.0, version.0 + 3);
    }

    #[test]
    fn what_was_known_stays_after_a_start_and_leases_come_back_with_their_namespace() {
        let mut c = Cluster::new(&[("n1", "4", "8Gi")]);
        let (before, node) = (spec(&c, "n1"), c.get(Kind::Node, "n1"));
        let objects = c.world.all().map(|o| Object::clone(o)).collect();
        c.world = World::new(c.world.version, 1, [7; 32]);
        c.world.restore(objects, alloc::vec::Vec::new(), alloc::vec::Vec::new());
        c.mark_all();
        c.settle();
        c.with(|w, cx| renew(w, "", RENEWED, cx));
        assert_eq!(spec(&c, "n1"), before);
        // A Node of that name that is another one.
        let other = Object { uid: Uid(77), ..Object::clone(&node) };
        c.apply(Change::Put(Arc::new(other.clone())));
        c.settle();
        assert_eq!(lease(&c, "n1").unwrap().uid, uid(&other));
        let namespace = Key::cluster(Kind::Namespace, NAMESPACE);
        c.with(|w, cx| cx.changes.extend(deletion::request(w, &namespace, None, cx.now)));
        c.with(|w, cx| renew(w, "", RENEWED, cx));
        c.settle();
        assert!(c.world.get(&namespace).is_none() && lease(&c, "n1").is_none());
        c.with(crate::controllers::namespace::ensure_defaults);
        c.settle();
        assert!(lease(&c, "n1").is_some());
    }
}
