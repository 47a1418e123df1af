//! `metrics.k8s.io/v1beta1`: what nodes and pods use now, which `kubectl top` reads.
//!
//! Called by `rest`. Each request asks the agents of the nodes that it is about, some at a time; one that does
//! not answer is left out of a list, as a node without metrics is in Kubernetes. Nothing is kept.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_model::{Kind, Object, Time, Uid};
use evenkeel_wire::usage::{ContainerUsage, NodeUsage, UsageRequest, Used};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    Api, path,
    query::{Pairs, Params},
    select::selects,
    status::{Failure, json_response},
};

/// The group and version.
pub(crate) const GROUP: (&str, &str) = ("metrics.k8s.io", "v1beta1");
/// What can be done with them.
pub(crate) const VERBS: [&str; 2] = ["get", "list"];
/// Its resources: the plural, the kind, whether it has namespaces.
pub(crate) const RESOURCES: [(&str, &str, bool); 2] = [("nodes", "NodeMetrics", false), ("pods", "PodMetrics", true)];
/// Nodes that are asked at once.
const AT_ONCE: usize = 64;

/// What a path names; an empty namespace or name is all.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    kind: Kind,
    namespace: String,
    name: String,
}

fn named(path: &str) -> Option<Named> {
    let (group, version, rest) = path::split(path)?;
    let resource = |plural: &str| match plural {
        "nodes" => Some((Kind::Node, false)),
        "pods" => Some((Kind::Pod, true)),
        _ => None,
    };
    let place = path::place(&rest, resource)?;
    let known = (group.as_str(), version.as_str()) == GROUP && place.below.is_empty();
    known.then(|| Named {
        kind: place.of,
        namespace: place.namespace.into(),
        name: place.name.unwrap_or_default().into(),
    })
}

/// Answers a request for them; `None` where the path names none.
pub(crate) async fn handle(api: &Api, parts: &Parts) -> Result<Option<Response>, Failure> {
    let Some(named) = named(parts.uri.path()) else { return Ok(None) };
    let pairs = Pairs::of(&parts.uri)?;
    if pairs.flag("watch") || !matches!(parts.method, Method::GET | Method::HEAD) {
        let message = "metrics are measured when somebody asks: they can only be read, with get and list";
        return Err(Failure::new(405, "MethodNotAllowed", message));
    }
    let params = Params::read(&pairs)?;
    let view = api.backend.live().view();
    let wanted = |o: &&Arc<Object>| {
        let one = named.name.is_empty() || *o.key.name == *named.name;
        one && selects(o, &named.namespace, &params.labels, &params.fields)
    };
    let objects: Vec<Arc<Object>> = view.list(named.kind, &named.namespace).filter(wanted).cloned().collect();
    let mut nodes: Vec<Arc<str>> = match named.kind {
        Kind::Node => objects.iter().map(|o| o.key.name.clone()).collect(),
        _ => objects.iter().filter_map(|o| o.node.clone()).collect(),
    };
    nodes.sort();
    nodes.dedup();
    let request = UsageRequest { pods: named.kind == Kind::Pod };
    let ask = |node: Arc<str>| async move {
        let usage = api.backend.usage(node.clone(), request).await;
        if let Err(error) = &usage {
            tracing::debug!(%node, %error, "a node says nothing of what it uses");
        }
        usage.ok().map(|usage| (node, usage))
    };
    let asked = stream::iter(nodes).map(ask).buffer_unordered(AT_ONCE);
    let usage: BTreeMap<Arc<str>, NodeUsage> = asked.filter_map(std::future::ready).collect().await;
    let items = items(named.kind, &objects, usage, (api.now)());
    if named.name.is_empty() {
        let (_, kind, _) = RESOURCES[usize::from(named.kind == Kind::Pod)];
        let list =
            json!({"kind": format!("{kind}List"), "apiVersion": group_version(), "metadata": {}, "items": items});
        return Ok(Some(json_response(200, &list)));
    }
    let plural = if named.kind == Kind::Pod { "pods" } else { "nodes" };
    let missing = || Failure::new(404, "NotFound", format!("{plural}.metrics.k8s.io \"{}\" not found", named.name));
    Ok(Some(json_response(200, items.first().ok_or_else(missing)?)))
}

fn group_version() -> String {
    format!("{}/{}", GROUP.0, GROUP.1)
}

fn items(kind: Kind, objects: &[Arc<Object>], usage: BTreeMap<Arc<str>, NodeUsage>, now: Time) -> Vec<Value> {
    let head = |object: &Object, kind: &str, window: u64| {
        let mut metadata = json!({"name": object.key.name, "creationTimestamp": now.rfc3339()});
        if !object.meta.labels.is_empty() {
            metadata["labels"] = json!(object.meta.labels);
        }
        if !object.key.namespace.is_empty() {
            metadata["namespace"] = json!(object.key.namespace);
        }
        json!({"kind": kind, "apiVersion": group_version(), "metadata": metadata, "timestamp": now.rfc3339(),
            "window": format!("{}.{:03}s", window / 1000, window % 1000)})
    };
    if kind == Kind::Node {
        let of = |object: &Arc<Object>| {
            let used = usage.get(&object.key.name)?;
            let mut item = head(object, "NodeMetrics", used.window_millis);
            item["usage"] = quantities(used.node);
            Some(item)
        };
        return objects.iter().filter_map(of).collect();
    }
    let mut by_pod: BTreeMap<Uid, (u64, Vec<ContainerUsage>)> = BTreeMap::new();
    for usage in usage.into_values() {
        for container in usage.containers {
            by_pod.entry(container.pod).or_insert((usage.window_millis, Vec::new())).1.push(container);
        }
    }
    let of = |object: &Arc<Object>| {
        let (window, containers) = by_pod.get(&object.uid)?;
        let mut item = head(object, "PodMetrics", *window);
        let one = |c: &ContainerUsage| json!({"name": c.container, "usage": quantities(c.used)});
        item["containers"] = containers.iter().map(one).collect();
        Some(item)
    };
    objects.iter().filter_map(of).collect()
}

fn quantities(used: Used) -> Value {
    json!({"cpu": format!("{}n", used.cpu_nanocores), "memory": format!("{}Ki", used.memory_bytes / 1024)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_nodes_and_pods() {
        let of = |path: &str| named(path).map(|n| (n.kind, n.namespace, n.name));
        let all = "/apis/metrics.k8s.io/v1beta1";
        assert_eq!(of(&format!("{all}/nodes")), Some((Kind::Node, String::new(), String::new())));
        assert_eq!(of(&format!("{all}/namespaces/a/pods/b")), Some((Kind::Pod, "a".into(), "b".into())));
        assert_eq!(of(&format!("{all}/namespaces/a/nodes")), None);
        assert_eq!(of("/api/v1/nodes"), None);
    }

    #[test]
    fn a_pod_has_what_its_containers_use() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "a",
            "labels": {"app": "web"}, "uid": Uid(5).to_string()}});
        let silent = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": "a",
            "uid": Uid(6).to_string()}});
        let objects: Vec<_> = [pod, silent].map(|v| Arc::new(Object::from_value(v).unwrap())).into();
        let used = Used { cpu_nanocores: 1_500, memory_bytes: 3 << 20 };
        let containers = vec![ContainerUsage { pod: Uid(5), container: "shop".into(), used }];
        let usage = [("n1".into(), NodeUsage { window_millis: 1_002, node: used, containers })].into();
        let items = items(Kind::Pod, &objects, usage, Time(0));
        let expected = json!([{"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": "web", "namespace": "a", "labels": {"app": "web"},
                "creationTimestamp": "1970-01-01T00:00:00Z"},
            "timestamp": "1970-01-01T00:00:00Z", "window": "1.002s",
            "containers": [{"name": "shop", "usage": {"cpu": "1500n", "memory": "3072Ki"}}]}]);
        assert_eq!(Value::Array(items), expected);
    }
}
