//! When nodes were last heard of: as Leases (`coordination.k8s.io/v1`, namespace `kube-node-lease`),
//! which `kubectl describe node` reads, and beside what they have given out at `/evenkeel/nodes`:
//! `{"nodes": [{"name", "lastSeen", "pods", "podLimit", "cpu", "cpuAllocatable", "memory",
//! "memoryAllocatable"}…]}`, cpu in millicores, memory in bytes.
//!
//! Called by `rest`. Both are served from the conductor's memory: heartbeats are never written.
//! Deliberately not here: writes and watches of Leases, and their place in discovery.

use axum::response::Response;
use evenkeel_core::{Answer, Ask, controllers::node::NodeUse};
use evenkeel_model::{Key, Kind, Time};
use serde_json::{Value, json};

use super::{
    Api,
    status::{Failure, json_response},
};

/// Where the Leases of nodes are.
pub(crate) const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
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

/// A Lease, or (nothing after the path) all.
pub(crate) async fn get(api: &Api, rest: &str) -> Result<Response, Failure> {
    let all = nodes(api).await?;
    if rest.is_empty() {
        let items: Vec<Value> = all.iter().map(lease).collect();
        let version = api.backend.live().view().version.to_string();
        return Ok(json_response(
            200,
            &json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1",
                "metadata": {"resourceVersion": version}, "items": items}),
        ));
    }
    let name = rest.strip_prefix('/').ok_or_else(Failure::no_path)?;
    let found = all.iter().find(|n| *n.node == *name);
    let missing = || Failure::new(404, "NotFound", format!("leases.coordination.k8s.io \"{name}\" not found"));
    found.map(|n| json_response(200, &lease(n))).ok_or_else(missing)
}

fn lease(node: &NodeUse) -> Value {
    let renewed = node.heard.map(|t| {
        // A MicroTime has six digits.
        let whole = t.rfc3339();
        format!("{}.{:03}000Z", whole.trim_end_matches('Z'), t.0.rem_euclid(1000))
    });
    json!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": node.node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node.node, "leaseDurationSeconds": DURATION, "renewTime": renewed},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_says_when_its_node_was_heard_of() {
        let mut node = NodeUse {
            node: "n1".into(),
            heard: Time::parse_rfc3339("2026-01-02T03:04:05.678Z"),
            pods: (1, 110),
            cpu_milli: (100, 4000),
            memory: (0, 1),
        };
        let said = lease(&node);
        assert_eq!(said["spec"]["renewTime"], "2026-01-02T03:04:05.678000Z");
        assert_eq!(said["spec"]["holderIdentity"], "n1");
        node.heard = None;
        assert_eq!(lease(&node)["spec"]["renewTime"], Value::Null);
    }
}
