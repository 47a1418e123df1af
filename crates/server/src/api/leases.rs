//! When nodes were last heard of: as Leases of the namespace `kube-node-lease`, which `kubectl describe node`
//! reads, and beside what they have given out at `/evenkeel/nodes`:
//! `{"nodes": [{"name", "lastSeen", "pods", "podLimit", "cpu", "cpuAllocatable", "memory",
//! "memoryAllocatable"}…]}`, cpu in millicores, memory in bytes.
//!
//! Called by `rest`. Both are served from the conductor's memory: heartbeats are never written. Leases of other
//! namespaces are objects like any other, by which programs take turns. Deliberately not here: those, and
//! writes and watches.

use std::sync::Arc;

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::{Answer, Ask, controllers::node::NodeUse, world::View};
use evenkeel_model::{Key, Kind, Object, Time, Uid};
use serde_json::{Value, json};

use super::{
    Api, accept,
    path::Target,
    query::{Pairs, Params},
    read,
    status::{Failure, json_response},
};

/// The namespace of those of nodes, which holds no others.
const NAMESPACE: &str = "kube-node-lease";
/// Seconds after which a node without a word is Unknown, by default: what a Lease's duration says.
const DURATION: u32 = 40;

async fn nodes(api: &Api) -> Result<Vec<NodeUse>, Failure> {
    let key = Key::cluster(Kind::Node, "");
    // A question that changes nothing needs no name in any history.
    match api.backend.ask(Ask::NodeUse, String::new()).await.map_err(|e| Failure::of_ask(&e, &key))? {
        Answer::NodeUse(nodes) => Ok(nodes),
        _ => Err(Failure::new(500, "InternalError", "the server did not answer about its nodes")),
    }
}

/// `/evenkeel/nodes`.
pub(crate) async fn usage(api: &Api) -> Result<Response, Failure> {
    let one = |n: NodeUse| {
        json!({
            "name": n.node, "lastSeen": n.heard.map(Time::rfc3339), "pods": n.pods.0, "podLimit": n.pods.1,
            "cpu": n.cpu_milli.0, "cpuAllocatable": n.cpu_milli.1,
            "memory": n.memory.0, "memoryAllocatable": n.memory.1,
        })
    };
    let all: Vec<Value> = nodes(api).await?.into_iter().map(one).collect();
    Ok(json_response(200, &json!({"nodes": all})))
}

/// Answers a request for Leases of nodes; `None` for all others.
pub(crate) async fn handle(api: &Api, parts: &Parts, target: &Target) -> Result<Option<Response>, Failure> {
    let (namespace, name) = match target {
        Target::Collection { kind: Kind::Lease, namespace } => (namespace.as_str(), None),
        Target::Item(key) if key.kind == Kind::Lease => (&*key.namespace, Some(&*key.name)),
        _ => return Ok(None),
    };
    let pairs = Pairs::of(&parts.uri)?;
    let read = !pairs.flag("watch") && matches!(parts.method, Method::GET | Method::HEAD);
    // A list of all namespaces has both sorts.
    if namespace != NAMESPACE && !(namespace.is_empty() && read) {
        return Ok(None);
    }
    if !read {
        let message = "leases of nodes are made by the server from its agents' heartbeats: they can only be read, with \
                       get and list";
        return Err(Failure::not_allowed(message));
    }
    let (form, params) = (accept::form(&parts.headers)?, Params::read(&pairs)?);
    let view = api.backend.live().view();
    let all = nodes(api).await?.into_iter().filter_map(|node| lease(&node, &view));
    let Some(name) = name else {
        return read::list(api, (Kind::Lease, namespace), &params, form, all.collect()).map(Some);
    };
    let found = all.into_iter().find(|lease| *lease.key.name == *name);
    let lease = found.ok_or_else(|| Failure::not_found(&Key::new(Kind::Lease, namespace, name)))?;
    Ok(Some(read::one(&lease, &view.customs, form, &params, (api.now)())))
}

/// The Lease of a node, which owns it as in Kubernetes.
fn lease(node: &NodeUse, view: &View) -> Option<Arc<Object>> {
    let renewed = node.heard.map(|t| {
        // A MicroTime has six digits.
        let whole = t.rfc3339();
        format!("{}.{:03}000Z", whole.trim_end_matches('Z'), t.0.rem_euclid(1000))
    });
    let mut value = json!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": node.node, "namespace": NAMESPACE, "resourceVersion": view.version.to_string()},
        "spec": {"holderIdentity": node.node, "leaseDurationSeconds": DURATION, "renewTime": renewed},
    });
    if let Some(of) = view.get(&Key::cluster(Kind::Node, node.node.clone())) {
        let metadata = &mut value["metadata"];
        metadata["creationTimestamp"] = of.meta.created.rfc3339().into();
        // Its own, and always the same.
        metadata["uid"] = Uid(of.uid.0 ^ 1).to_string().into();
        metadata["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": node.node, "uid": of.uid.to_string()}]);
    }
    Object::from_value(value).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::World;

    use super::*;

    #[test]
    fn a_lease_says_when_its_node_was_heard_of() {
        let mut world = World::default();
        let made = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": Uid(4).to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z"}});
        world.apply(evenkeel_core::change::Change::Put(Arc::new(Object::from_value(made).unwrap())));
        let view = world.view();
        let mut node = NodeUse {
            node: "n1".into(),
            heard: Time::parse_rfc3339("2026-01-02T03:04:05.678Z"),
            pods: (1, 110),
            cpu_milli: (100, 4000),
            memory: (0, 1),
        };
        let said = lease(&node, &view).unwrap().to_value();
        assert_eq!(said["spec"]["renewTime"], "2026-01-02T03:04:05.678000Z");
        assert_eq!(said["spec"]["holderIdentity"], "n1");
        let metadata = &said["metadata"];
        assert_eq!((&metadata["namespace"], &metadata["uid"]), (&json!(NAMESPACE), &json!(Uid(5).to_string())));
        assert_eq!(metadata["ownerReferences"][0]["uid"], Uid(4).to_string());
        assert_eq!(metadata["creationTimestamp"], "2026-01-01T00:00:00Z");
        node.heard = None;
        assert_eq!(lease(&node, &view).unwrap().to_value()["spec"]["renewTime"], Value::Null);
    }
}
