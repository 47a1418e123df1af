//! `events.k8s.io/v1`: the Events of the core group with other names of their fields, as newer recorders write
//! them.
//!
//! Called by `rest`: a request is put as one for the core group, and its answer told in the names of this one. So
//! there is one sort of Event, whichever way it came. Deliberately not here: who may (the gate has looked at the
//! request as it came), and anything about Events.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, Uri, header, request::Parts},
    response::Response,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{
    Streaming, body, given,
    objects::{APPLY, JSON},
    path,
    protobuf::MEDIA as PROTOBUF,
    status::Failure,
};

/// The group and version.
pub(super) const GROUP: (&str, &str) = ("events.k8s.io", "v1");
/// What can be done with them: all that can be done in the core group.
pub(super) const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Its message, and what it says that it is.
const EVENT: (&str, &str, &str) = ("events.v1.Event", "events.k8s.io/v1", "Event");
/// Fields: in the core group, and here. All others have one name.
const NAMES: [(&str, &str); 7] = [
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// A request for Events of this group as one for those of the core group; `None` for all others.
pub(super) async fn request(parts: &Parts, sent: &mut Option<Body>) -> Result<Option<Parts>, Failure> {
    let Some((group, version, rest)) = path::split(parts.uri.path()) else { return Ok(None) };
    let events = |plural: &str| (plural == "events").then_some(((), true));
    if (group.as_str(), version.as_str()) != GROUP || path::place(&rest, events).is_none() {
        return Ok(None);
    }
    let mut core = parts.clone();
    core.uri = core_uri(&parts.uri).ok_or_else(Failure::no_path)?;
    if [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
        let bytes = body::read(sent.take().unwrap_or_default(), body::LIMIT).await?;
        *sent = Some(Body::from(core_body(&mut core, &bytes)?));
    }
    Ok(Some(core))
}

fn core_uri(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix("/apis/events.k8s.io/v1/")?;
    let name =
        |text: &str| text.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent");
    let part = |p: &str| if p.starts_with("fieldSelector=") { name(p) } else { p.to_owned() };
    let query = uri.query().map(|q| format!("?{}", q.split('&').map(part).collect::<Vec<_>>().join("&")));
    format!("/api/v1/{path}{}", query.unwrap_or_default()).parse().ok()
}

fn core_body(core: &mut Parts, bytes: &Bytes) -> Result<Vec<u8>, Failure> {
    let media = body::media_type(&core.headers);
    if media == JSON {
        let mut patch: Value = serde_json::from_slice(bytes)
            .map_err(|e| Failure::bad_request(format!("the body is no JSON patch: {e}")))?;
        for operation in patch.as_array_mut().into_iter().flatten() {
            for field in ["path", "from"] {
                if let Some(Value::String(at)) = operation.get_mut(field) {
                    *at = pointer(at);
                }
            }
        }
        return Ok(patch.to_string().into_bytes());
    }
    let mut tree = match media.as_str() {
        PROTOBUF => {
            let sent = core.headers.clone();
            core.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            given::question(EVENT, &sent, bytes)?
        }
        APPLY | "application/yaml" | "application/x-yaml" | "text/yaml" => {
            serde_yaml::from_slice(bytes).map_err(|e| Failure::bad_request(format!("the body is no YAML: {e}")))?
        }
        _ => serde_json::from_slice(bytes).map_err(|e| Failure::bad_request(format!("the body is no JSON: {e}")))?,
    };
    rename(&mut tree, |(core, here)| (here, core), (EVENT.1, "v1"));
    Ok(tree.to_string().into_bytes())
}

/// A JSON pointer into an Event.
fn pointer(at: &str) -> String {
    let (first, rest) =
        at.strip_prefix('/').map_or(("", None), |at| at.split_once('/').map_or((at, None), |(f, r)| (f, Some(r))));
    let first = NAMES.into_iter().find(|(_, here)| *here == first).map_or(first, |(core, _)| core);
    rest.map_or_else(|| format!("/{first}"), |rest| format!("/{first}/{rest}"))
}

fn rename(
    event: &mut Value,
    way: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
    version: (&str, &str),
) {
    let Some(map) = event.as_object_mut() else { return };
    for (from, to) in NAMES.map(way) {
        if let Some(value) = map.remove(from) {
            map.insert(to.into(), value);
        }
    }
    if let Some(found) = map.get_mut("apiVersion").filter(|found| **found == *version.0) {
        *found = version.1.into();
    }
}

/// The answer in the names of this group; what holds no Events is as it is.
pub(super) async fn answer(response: Response) -> Result<Response, Failure> {
    let streams = response.extensions().get::<Streaming>().is_some();
    let (mut parts, body) = response.into_parts();
    if streams {
        let lines = body.into_data_stream().map(|piece| piece.map(|lines| told_in_lines(&lines)));
        return Ok(Response::from_parts(parts, Body::from_stream(lines)));
    }
    let broken = |e: axum::Error| Failure::new(500, "InternalError", format!("the list broke off: {e}"));
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(broken)?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let bytes = match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut value) => {
            told(&mut value);
            value.to_string().into()
        }
        Err(_) => bytes,
    };
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// A watch's lines; each piece holds whole ones.
fn told_in_lines(lines: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(lines.len());
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Value>(line) {
            Ok(mut event) => {
                told(&mut event["object"]);
                out.extend(event.to_string().into_bytes());
            }
            Err(_) => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    out.into()
}

fn told(value: &mut Value) {
    let here = |value: &mut Value| rename(value, |names| names, ("v1", EVENT.1));
    match value["kind"].as_str() {
        Some("Event") => here(value),
        Some("EventList") => {
            value["apiVersion"] = json!(EVENT.1);
            value["items"].as_array_mut().into_iter().flatten().for_each(here);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Fake, call, get},
        *,
    };

    #[test]
    fn a_request_is_put_as_one_for_the_core_group() {
        let uri =
            "/apis/events.k8s.io/v1/namespaces/a/events?fieldSelector=regarding.name%3Dweb&limit=5".parse().unwrap();
        let core = core_uri(&uri).unwrap().to_string();
        assert_eq!(core, "/api/v1/namespaces/a/events?fieldSelector=involvedObject.name%3Dweb&limit=5");
        for (here, core) in
            [("/regarding/name", "/involvedObject/name"), ("/note", "/message"), ("/metadata", "/metadata")]
        {
            assert_eq!(pointer(here), core);
        }
    }

    #[tokio::test]
    async fn events_have_the_names_of_the_group_that_is_asked() {
        let fake = Fake::new();
        let old = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "name": "web"}, "message": "ready", "reason": "Started", "type": "Normal",
            "count": 3, "reportingComponent": "agent", "lastTimestamp": "2026-01-01T00:00:00Z"});
        fake.put(old.clone());
        let home = "/apis/events.k8s.io/v1/namespaces/shop/events";
        let (_, list) = get(&fake, home).await;
        let (_, one) = get(&fake, &format!("{home}/web.1")).await;
        assert_eq!((&list["apiVersion"], &list["items"][0]), (&json!("events.k8s.io/v1"), &one));
        for (field, expected) in [
            ("regarding", json!({"kind": "Pod", "name": "web"})),
            ("note", json!("ready")),
            ("deprecatedCount", json!(3)),
            ("reportingController", json!("agent")),
            ("involvedObject", json!(null)),
            ("apiVersion", json!("events.k8s.io/v1")),
        ] {
            assert_eq!(one[field], expected, "{field}");
        }
        let (_, chosen) = get(&fake, &format!("{home}?fieldSelector=regarding.name%3Dother")).await;
        assert_eq!(chosen["items"], json!([]));
        assert_eq!(get(&fake, "/apis/events.k8s.io/v1/namespaces/shop/nothing").await.0, 404);
        let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "x-"},
            "regarding": {"kind": "Pod", "name": "web", "namespace": "shop"}, "note": "told", "action": "Telling",
            "eventTime": "2026-01-01T00:00:00.000001Z", "reportingController": "a.b/c", "reportingInstance": "c-1"});
        let _refused = call(&fake, "POST", home, &[], &new.to_string()).await;
        let asked = format!("{:?}", fake.asked.lock().unwrap());
        assert!(asked.contains("involvedObject") && asked.contains("\"message\": String(\"told\")"), "{asked}");
    }
}
