//! Kinds of Kubernetes that Evenkeel does not have yet, where somebody asks for one.
//!
//! Called by `rest` and `discovery`. Some of them clients look for without looking whether they are there:
//! `kubectl apply --prune` wants to list whatever it might prune and gives up where a kind is unknown, and
//! controllers keep copies of PriorityClasses or StorageClasses and wait for ever until they have them. These are in
//! discovery, their lists are empty, watches of them are quiet, and whoever would make one is told that it is not
//! supported yet. Paths of all others are not there, with the same reason.

use std::sync::Arc;

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_model::Kind;
use evenkeel_schema::{KnownKind, kubernetes};
use serde_json::{Value, json};

use super::{
    Api,
    accept::{self, Form},
    path,
    query::{Pairs, Params},
    status::{Failure, json_response},
    tables, watch,
};

/// Those that are looked for: group, plural, short names. All that `kubectl apply --prune` goes through, what
/// `kubectl autoscale` makes, and what schedulers, autoscalers, collectors of figures and drivers of volumes keep
/// copies of.
const LOOKED_FOR: [(&str, &str, &[&str]); 18] = [
    ("", "persistentvolumeclaims", &["pvc"]),
    ("", "persistentvolumes", &["pv"]),
    ("", "replicationcontrollers", &["rc"]),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &[]),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", &[]),
    ("apiregistration.k8s.io", "apiservices", &[]),
    ("apps", "daemonsets", &["ds"]),
    ("apps", "statefulsets", &["sts"]),
    ("autoscaling", "horizontalpodautoscalers", &["hpa"]),
    ("batch", "cronjobs", &["cj"]),
    ("batch", "jobs", &[]),
    ("node.k8s.io", "runtimeclasses", &[]),
    ("scheduling.k8s.io", "priorityclasses", &["pc"]),
    ("storage.k8s.io", "csidrivers", &[]),
    ("storage.k8s.io", "csinodes", &[]),
    ("storage.k8s.io", "csistoragecapacities", &[]),
    ("storage.k8s.io", "storageclasses", &["sc"]),
    ("storage.k8s.io", "volumeattachments", &[]),
];
/// What can be done with them.
pub(super) const VERBS: [&str; 4] = ["create", "get", "list", "watch"];

/// Those that are in discovery, with their short names; of several versions the newest.
pub(super) fn looked_for() -> impl Iterator<Item = (&'static KnownKind, &'static [&'static str])> {
    LOOKED_FOR.into_iter().filter_map(|(group, plural, short)| {
        let known = kubernetes().iter().filter(move |k| k.group == group && k.plural == plural);
        known.max_by_key(|k| k.version).map(|k| (k, short))
    })
}

/// Answers a request for a kind that is not there; `None` where it is for something else.
pub(super) fn answer(api: &Arc<Api>, parts: &Parts) -> Result<Option<Response>, Failure> {
    let Some((group, version, rest)) = path::split(parts.uri.path()) else { return Ok(None) };
    let of = |plural: &str| {
        let known = kubernetes().iter().find(|k| k.group == group && k.version == version && k.plural == plural);
        known.filter(|k| evenkeel_model::Kind::of_resource(k.group, k.version, k.plural).is_none())
    };
    let Some(place) = path::place(&rest, |plural| of(plural).map(|k| (k, k.namespaced))) else { return Ok(None) };
    let known = place.of;
    let not_yet = format!("{} of {} is not supported yet", known.kind, known.api_version());
    if !looked_for().any(|(k, _)| std::ptr::eq(k, known)) {
        return Err(Failure::new(404, "NotFound", format!("{}: {not_yet}", Failure::no_path().message)));
    }
    match (&parts.method, place.name) {
        (&Method::GET | &Method::HEAD, None) => {
            let (form, params) = (accept::form(&parts.headers)?, Params::read(&Pairs::of(&parts.uri)?)?);
            if params.watch && parts.method == Method::GET {
                return Ok(Some(watch::nothing(api, (known.kind, &known.api_version()), &params, form)));
            }
            Ok(Some(json_response(200, &none(api, known, form))))
        }
        (&Method::DELETE, None) => Ok(Some(json_response(200, &none(api, known, Form::Objects)))),
        (&Method::GET | &Method::HEAD | &Method::DELETE, Some(name)) => {
            let dot = if known.group.is_empty() { "" } else { "." };
            let message = format!("{}{dot}{} \"{name}\" not found", known.plural, known.group);
            let mut failure = Failure::new(404, "NotFound", message);
            failure.details.insert("name".into(), name.into());
            failure.details.insert("kind".into(), known.plural.into());
            if !known.group.is_empty() {
                failure.details.insert("group".into(), known.group.into());
            }
            Err(failure)
        }
        // Whoever makes, replaces or applies one wants it to be there.
        _ => Err(Failure::not_allowed(not_yet)),
    }
}

/// What Kubernetes has below objects of kinds that are here, and is not here yet, with what there is instead.
const BELOW: [(Kind, &str, &str); 4] = [
    (Kind::Namespace, "finalize", ""),
    (Kind::Node, "proxy", ""),
    (Kind::Pod, "binding", ": pods get their nodes from Evenkeel"),
    (Kind::Pod, "resize", ": a pod's specification does not change; change that of its workload"),
];

/// Refuses what is not there below an object.
pub(super) fn below(kind: Kind, below: &str) -> Failure {
    let name = below.split('/').next().unwrap_or_default();
    let mut failure = Failure::no_path();
    if let Some((.., instead)) = BELOW.iter().find(|(of, n, _)| *of == kind && *n == name) {
        let more = format!(": {}/{name} is not supported yet{instead}", kind.resource());
        failure.message.push_str(&more);
    }
    failure
}

/// The list of those that there are. It names the version up to which that is so: copies go on from there.
fn none(api: &Api, known: &KnownKind, form: Form) -> Value {
    let metadata = json!({"resourceVersion": api.backend.live().view().version.to_string()});
    match form {
        Form::Objects => json!({
            "kind": format!("{}List", known.kind), "apiVersion": known.api_version(), "metadata": metadata, "items": [],
        }),
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": [],
        }),
        Form::Table => json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": tables::plain(), "rows": [],
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::{Fake, call, get};

    #[tokio::test]
    async fn kinds_that_are_not_there_are_looked_for_and_not_made() {
        let fake = Fake::new();
        let home = "/apis/apps/v1/namespaces/shop/statefulsets";
        let (code, list) = get(&fake, &format!("{home}?limit=500")).await;
        assert_eq!(
            (code.as_u16(), &list["kind"], &list["items"]),
            (200, &"StatefulSetList".into(), &Value::Array(vec![]))
        );
        for (method, path, code, part) in [
            ("POST", home.to_owned(), 405, "StatefulSet of apps/v1 is not supported yet"),
            ("PATCH", format!("{home}/web"), 405, "StatefulSet of apps/v1 is not supported yet"),
            ("PUT", format!("{home}/web"), 405, "StatefulSet of apps/v1 is not supported yet"),
            ("DELETE", format!("{home}/web"), 404, "statefulsets.apps \"web\" not found"),
            ("DELETE", home.to_owned(), 200, "StatefulSetList"),
            (
                "GET",
                "/api/v1/namespaces/shop/persistentvolumeclaims/x".into(),
                404,
                "persistentvolumeclaims \"x\" not found",
            ),
            (
                "POST",
                "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas".into(),
                404,
                "FlowSchema of flowcontrol.apiserver.k8s.io/v1 is not",
            ),
            ("GET", "/apis/apps/v1beta1/statefulsets".into(), 404, "could not find the requested resource"),
            (
                "POST",
                "/api/v1/namespaces/shop/pods/web/binding".into(),
                404,
                "pods/binding is not supported yet: pods get",
            ),
            ("PATCH", "/api/v1/namespaces/shop/pods/web/resize".into(), 404, "pods/resize is not supported yet"),
            ("GET", "/api/v1/namespaces/shop/pods/web/nothing".into(), 404, "the requested resource\""),
        ] {
            let (found, text) = call(&fake, method, &path, &[], "{}").await;
            assert!(
                found.as_u16() == code && text.replace("\\\"", "\"").contains(part),
                "{method} {path}: {found} {text}"
            );
        }
        let (_, rows) = get(&fake, "/apis/apps/v1").await;
        let named = |name: &str| rows["resources"].as_array().unwrap().iter().any(|r| r["name"] == name);
        assert!(named("statefulsets") && named("deployments") && named("deployments/scale"), "{rows}");
        let (_, groups) = get(&fake, "/apis").await;
        let named = |name: &str| groups["groups"].as_array().unwrap().iter().filter(|g| g["name"] == name).count();
        assert_eq!([named("apps"), named("batch"), named("autoscaling"), named("")], [1, 1, 1, 0]);
    }

    #[tokio::test]
    async fn copies_of_kinds_that_are_not_there_are_complete_and_quiet() {
        let fake = Fake::new();
        let version = fake.view().version.to_string();
        let home = "/apis/scheduling.k8s.io/v1/priorityclasses";
        let as_a = |form: &str| format!("application/json;as={form};v=v1;g=meta.k8s.io");
        for (accept, kind) in [
            ("application/json".to_owned(), "PriorityClassList"),
            (as_a("PartialObjectMetadataList"), "PartialObjectMetadataList"),
            (as_a("Table"), "Table"),
        ] {
            let (code, text) = call(&fake, "GET", home, &[("accept", &accept)], "").await;
            let list: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((code.as_u16(), &list["kind"]), (200, &kind.into()));
            assert_eq!(list["metadata"]["resourceVersion"], version.as_str(), "{list}");
        }
        let quiet = format!("{home}?watch=1&timeoutSeconds=1&resourceVersion={version}&allowWatchBookmarks=true");
        let (code, text) = call(&fake, "GET", &quiet, &[], "").await;
        assert_eq!((code.as_u16(), text.as_str()), (200, ""));
        let initial = format!(
            "{home}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        );
        let (_, text) = call(&fake, "GET", &initial, &[], "").await;
        let bookmark: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&"BOOKMARK".into(), &"PriorityClass".into()));
        assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
}
