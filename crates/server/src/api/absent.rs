//! Kinds of Kubernetes that Evenkeel does not have yet, where somebody asks for one.
//!
//! Called by `rest` and `discovery`. Some of them clients look for without looking whether they are there:
//! `kubectl apply --prune` wants to list whatever it might prune and gives up where a kind is unknown, and so do
//! tools that walk a cluster. These are in discovery, their lists are empty, and whoever would make one is told that
//! it is not supported yet. Paths of all others are not there, with the same reason.

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_schema::{KnownKind, kubernetes};
use serde_json::json;

use super::{
    path,
    query::Pairs,
    status::{Failure, json_response},
};

/// Those that are looked for: group, plural, short names. All that `kubectl apply --prune` goes through, and what
/// `kubectl autoscale` makes.
const LOOKED_FOR: [(&str, &str, &[&str]); 8] = [
    ("", "persistentvolumeclaims", &["pvc"]),
    ("", "persistentvolumes", &["pv"]),
    ("", "replicationcontrollers", &["rc"]),
    ("apps", "daemonsets", &["ds"]),
    ("apps", "statefulsets", &["sts"]),
    ("autoscaling", "horizontalpodautoscalers", &["hpa"]),
    ("batch", "cronjobs", &["cj"]),
    ("batch", "jobs", &[]),
];
/// What can be done with them.
pub(super) const VERBS: [&str; 3] = ["create", "get", "list"];

/// Those that are in discovery, with their short names; of several versions the newest.
pub(super) fn looked_for() -> impl Iterator<Item = (&'static KnownKind, &'static [&'static str])> {
    LOOKED_FOR.into_iter().filter_map(|(group, plural, short)| {
        let known = kubernetes().iter().filter(move |k| k.group == group && k.plural == plural);
        known.max_by_key(|k| k.version).map(|k| (k, short))
    })
}

/// Answers a request for a kind that is not there; `None` where it is for something else.
pub(super) fn answer(parts: &Parts) -> Result<Option<Response>, Failure> {
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
        (&Method::POST, None) => Err(Failure::not_allowed(not_yet)),
        (&Method::GET | &Method::HEAD, None) if !Pairs::of(&parts.uri)?.flag("watch") => {
            let kind = format!("{}List", known.kind);
            let list = json!({"kind": kind, "apiVersion": known.api_version(), "metadata": {}, "items": []});
            Ok(Some(json_response(200, &list)))
        }
        (_, None) => Err(Failure::not_allowed(format!("{not_yet}: there are none to be watched or deleted"))),
        (_, Some(name)) => {
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
            ("GET", format!("{home}?watch=1"), 405, "not supported yet"),
            ("DELETE", format!("{home}/web"), 404, "statefulsets.apps \"web\" not found"),
            (
                "GET",
                "/api/v1/namespaces/shop/persistentvolumeclaims/x".into(),
                404,
                "persistentvolumeclaims \"x\" not found",
            ),
            (
                "POST",
                "/apis/scheduling.k8s.io/v1/priorityclasses".into(),
                404,
                "PriorityClass of scheduling.k8s.io/v1 is not",
            ),
            ("GET", "/apis/apps/v1beta1/statefulsets".into(), 404, "could not find the requested resource"),
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
}
