//! When nodes were last heard of: as Leases (`coordination.k8s.io/v1`, namespace `kube-node-lease`),
//! which `kubectl describe node` reads, and beside what they have given out at `/evenkeel/nodes`:
//! `{"nodes": [{"name", "lastSeen", "pods", "podLimit", "cpu", "cpuAllocatable", "memory",
//! "memoryAllocatable"}…]}`, cpu in millicores, memory in bytes.
//!
//! Called by `rest`. Both are served from the conductor's memory: heartbeats are never written.
//! Leases are in discovery with `get` and `list` alone. Deliberately not here: writes and watches.

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::{Answer, Ask, controllers::node::NodeUse};
use evenkeel_model::{Key, Kind, Time};
use serde_json::{Value, json};

use super::{
    Api,
    accept::{self, Form},
    query::{Pairs, Params},
    status::{Failure, json_response},
    tables,
};

/// The group and version of Leases.
pub(crate) const GROUP: (&str, &str) = ("coordination.k8s.io", "v1");
/// What can be done with Leases.
pub(crate) const VERBS: [&str; 2] = ["get", "list"];
/// The paths of Leases begin so.
const BELOW: &str = "/apis/coordination.k8s.io/v1/";
/// The namespace of those of nodes; there are no others.
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

/// Which Leases a path names.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    /// Those of a namespace, or of all.
    All(Option<&'a str>),
    One {
        namespace: &'a str,
        name: &'a str,
    },
}

fn named(path: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = path.strip_prefix(BELOW)?.split('/').collect();
    match parts[..] {
        ["leases"] => Some(Named::All(None)),
        ["namespaces", namespace, "leases"] => Some(Named::All(Some(namespace))),
        ["namespaces", namespace, "leases", name] => Some(Named::One { namespace, name }),
        _ => None,
    }
}

/// Answers a request for Leases; `None` where the path names none.
pub(crate) async fn handle(api: &Api, parts: &Parts) -> Result<Option<Response>, Failure> {
    let path = parts.uri.path();
    let Some(named) = named(path.strip_suffix('/').unwrap_or(path)) else { return Ok(None) };
    let pairs = Pairs::of(&parts.uri)?;
    if pairs.flag("watch") || !matches!(parts.method, Method::GET | Method::HEAD) {
        let message =
            "leases are made by the server from its agents' heartbeats: they can only be read, with get and list";
        return Err(Failure::new(405, "MethodNotAllowed", message));
    }
    // What is asked for must make sense, though there is nothing to choose by.
    Params::read(&pairs)?;
    let mut all = nodes(api).await?;
    if let Named::All(Some(namespace)) | Named::One { namespace, .. } = named
        && namespace != NAMESPACE
    {
        all.clear();
    }
    if let Named::One { name, .. } = named {
        all.retain(|n| *n.node == *name);
        if all.is_empty() {
            return Err(Failure::new(404, "NotFound", format!("leases.coordination.k8s.io \"{name}\" not found")));
        }
    }
    let version = api.backend.live().view().version.to_string();
    let body = match (accept::form(&parts.headers)?, &named) {
        (Form::Table, _) => table(&all, &version, (api.now)()),
        // A Lease is little more than its metadata.
        (Form::Objects | Form::Metadata, Named::One { .. }) => all.first().map(lease).unwrap_or_default(),
        (Form::Objects | Form::Metadata, Named::All(_)) => {
            let items: Vec<Value> = all.iter().map(lease).collect();
            json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1",
                "metadata": {"resourceVersion": version}, "items": items})
        }
    };
    Ok(Some(json_response(200, &body)))
}

/// The rows that `kubectl get leases` shows.
fn table(nodes: &[NodeUse], version: &str, now: Time) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let row = |node: &NodeUse| {
        let renewed = node.heard.map_or_else(|| "never".to_owned(), |at| tables::human(now.since(at)));
        json!({"cells": [node.node, node.node, renewed], "object": lease(node)})
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
        "columnDefinitions": [column("Name", "name"), column("Holder", ""), column("Renewed", "")],
        "rows": nodes.iter().map(row).collect::<Vec<Value>>(),
    })
}

fn lease(node: &NodeUse) -> Value {
    let renewed = node.heard.map(|t| {
        // A MicroTime has six digits.
        let whole = t.rfc3339();
        format!("{}.{:03}000Z", whole.trim_end_matches('Z'), t.0.rem_euclid(1000))
    });
    json!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": node.node, "namespace": NAMESPACE},
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

    #[test]
    fn a_path_names_one_lease_those_of_a_namespace_or_all() {
        let of = |rest: &str| format!("{BELOW}{rest}");
        assert_eq!(named(&of("leases")), Some(Named::All(None)));
        assert_eq!(named(&of("namespaces/a/leases")), Some(Named::All(Some("a"))));
        assert_eq!(named(&of("namespaces/a/leases/n1")), Some(Named::One { namespace: "a", name: "n1" }));
        for other in ["", "leases/n1", "namespaces/a/leases/n1/status", "namespaces/a/pods"] {
            assert_eq!(named(&of(other)), None, "{other}");
        }
    }

    #[test]
    fn the_table_says_how_long_ago_each_node_was_heard_of() {
        let heard = Time::parse_rfc3339("2026-01-02T03:04:05Z");
        let of =
            |name: &str, heard| NodeUse { node: name.into(), heard, pods: (0, 110), cpu_milli: (0, 1), memory: (0, 1) };
        let now = heard.unwrap() + std::time::Duration::from_secs(7);
        let table = table(&[of("n1", heard), of("n2", None)], "5", now);
        assert_eq!(table["rows"][0]["cells"], json!(["n1", "n1", "7s"]));
        assert_eq!(table["rows"][1]["cells"], json!(["n2", "n2", "never"]));
        assert_eq!(table["rows"][0]["object"]["metadata"]["namespace"], NAMESPACE);
    }
}
