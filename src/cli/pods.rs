//! The pods that a person means: by name, by their workload, by labels.
//!
//! Used by `logs`, `exec` and `port-forward`.

use anyhow::Result;
use evenkeel_model::Kind;
use serde_json::Value;

use super::{
    error::hinted,
    objects::{items, name, text},
    paths,
};
use crate::client::Client;

/// What was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meant {
    /// One pod.
    Pod(String),
    /// The pods of a workload, or those that a Service leads to.
    Owner(Kind, String),
}

impl Meant {
    /// Reads `NAME` or `KIND/NAME`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((kind, name)) = text.split_once('/') else { return Ok(Self::Pod(text.to_owned())) };
        match paths::kind(kind)? {
            Kind::Pod => Ok(Self::Pod(name.to_owned())),
            kind @ (Kind::Deployment | Kind::ReplicaSet | Kind::Service) => Ok(Self::Owner(kind, name.to_owned())),
            kind => Err(hinted(
                format!("a {kind} has no containers"),
                "name a pod, a deployment, a replicaset or a service",
            )),
        }
    }
}

/// The selector of a workload or of a Service, as a query.
pub(crate) async fn selector_of(client: &Client, kind: Kind, namespace: &str, owner: &str) -> Result<String> {
    selector_in(kind, &client.get(&paths::item(kind, namespace, owner)).await?)
}

/// The same of an object that was asked for.
pub(crate) fn selector_in(kind: Kind, object: &Value) -> Result<String> {
    let of = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    if kind != Kind::Service {
        return Ok(selector(of));
    }
    // A Service's is the labels alone, and without any it selects nothing.
    if of.as_object().is_none_or(serde_json::Map::is_empty) {
        let message = format!("service {} has no selector, so no pods are known to be its own", name(object));
        return Err(hinted(message, "name one of the pods"));
    }
    Ok(selector(&serde_json::json!({ "matchLabels": of })))
}

/// A `LabelSelector` in the form of a query.
fn selector(of: &Value) -> String {
    let labels = of.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> = labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in of.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let key = field("key");
        parts.push(match field("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

/// The pods with these labels; none is an error.
pub(crate) async fn list(client: &Client, namespace: &str, selector: &str) -> Result<Vec<Value>> {
    let path = paths::collection(Kind::Pod, namespace);
    let list = client.get(&format!("{path}{}", paths::query(&[("labelSelector", selector)]))).await?;
    let all = items(&list).to_vec();
    if all.is_empty() {
        return Err(hinted(format!("no pods have the labels {selector}"), "-n names a namespace"));
    }
    Ok(all)
}

/// The pod that somebody is led to: a ready one, else one that runs, the newest of them.
pub(crate) fn best(pods: &[Value]) -> Option<&Value> {
    let rank = |pod: &&Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let ready =
            conditions.into_iter().flatten().any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True");
        let ends = pod.pointer("/metadata/deletionTimestamp").is_some();
        let runs = text(pod, "/status/phase") == "Running";
        (!ends, ready, runs, text(pod, "/metadata/creationTimestamp").to_owned(), name(pod).to_owned())
    };
    pods.iter().max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_selectors() {
        assert_eq!(Meant::parse("web-1").unwrap(), Meant::Pod("web-1".into()));
        assert_eq!(Meant::parse("po/web-1").unwrap(), Meant::Pod("web-1".into()));
        assert_eq!(Meant::parse("deploy/web").unwrap(), Meant::Owner(Kind::Deployment, "web".into()));
        assert_eq!(Meant::parse("svc/web").unwrap(), Meant::Owner(Kind::Service, "web".into()));
        assert!(Meant::parse("node/n1").is_err());
        let service = |selector: Value| json!({"metadata": {"name": "web"}, "spec": {"selector": selector}});
        assert_eq!(selector_in(Kind::Service, &service(json!({"app": "web"}))).unwrap(), "app=web");
        for none in [Value::Null, json!({})] {
            assert!(selector_in(Kind::Service, &service(none)).unwrap_err().to_string().contains("no selector"));
        }
        let of = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"}, {"key": "zone", "operator": "Exists"},
            {"key": "env", "operator": "NotIn", "values": ["dev"]}]});
        let text = selector(&of);
        assert_eq!(text, "app=web,tier in (a,b),!old,zone,env notin (dev)");
        evenkeel_model::Selector::parse(&text).unwrap();
    }
    #[test]
    fn a_ready_pod_is_taken_first() {
        let pod = |name: &str, ready: &str, created: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": created},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let mut all = vec![
            pod("old", "True", "2026-01-01T00:00:00Z"),
            pod("new", "True", "2026-01-02T00:00:00Z"),
            pod("newest", "False", "2026-01-03T00:00:00Z"),
        ];
        assert_eq!(best(&all).map(name), Some("new"));
        all[1]["metadata"]["deletionTimestamp"] = "2026-01-04T00:00:00Z".into();
        assert_eq!(best(&all).map(name), Some("old"));
    }
}
