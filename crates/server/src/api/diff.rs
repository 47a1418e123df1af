//! `POST sources/NAME/diff`: what a revision, or the files in the body, would change.
//!
//! Called by `write`. The body is `{"revision": TEXT}` or `{"files": [{"path", "text"}…]}`; the
//! answer `{"objects": [{"object", "before", "after", "placement"}…], "unchanged": n,
//! "diagnostics": [TEXT…], "rejected": bool}`. Nothing is written; Secret values in it are digests.
//!
//! `GET sources/NAME/place?object=KEY&revision=REVISION` says where a revision has an object:
//! `{"file", "line", "place": "FILE:LINE"}`.

use std::sync::Arc;

use axum::{body::Bytes, response::Response};
use evenkeel_core::{
    Answer, Ask,
    ask::{Plan, PlannedObject},
};
use evenkeel_manifest::{Customs, Options, assemble, is_manifest_path, parse_file};
use evenkeel_model::{
    Diagnostic, Key, Kind, Severity, Snapshot,
    own::{SourceSpec, UnsupportedMode},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api,
    backend::SnapshotError,
    body,
    query::Pairs,
    status::{Failure, json_response},
    write::Write,
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DiffBody {
    revision: Option<String>,
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Relative to the source's root.
    path: String,
    text: String,
}

/// Answers with the plan.
pub(super) async fn post(write: &Write<'_>, key: Key, bytes: &Bytes) -> Result<Response, Failure> {
    if key.kind != Kind::Source {
        return Err(Failure::no_path());
    }
    let body: DiffBody = body::fields(&write.parts.headers, bytes)?;
    let source = write.api.backend.live().view().get(&key).cloned().ok_or_else(|| Failure::not_found(&key))?;
    let unsupported = source.spec::<SourceSpec>().ok().and_then(|s| s.unsupported).unwrap_or_default();
    let known = write.customs();
    let snapshot = match (body.revision, body.files) {
        (Some(revision), None) => match write.api.backend.snapshot(key.name.clone(), revision).await {
            Ok(snapshot) => Ok(snapshot),
            Err(SnapshotError::Invalid(diagnostics)) => Err(diagnostics),
            Err(other) => return Err(Failure::of_snapshot(&other, &key.name)),
        },
        (None, Some(files)) => tokio::task::spawn_blocking(move || parse(&files, unsupported, &known))
            .await
            .map_err(|_| Failure::new(500, "InternalError", "the documents could not be read"))?,
        _ => return Err(Failure::bad_request("the body needs either `revision` or `files`")),
    };
    let snapshot = match snapshot {
        Ok(snapshot) => snapshot,
        Err(diagnostics) => return Ok(json_response(200, &plan(&Plan { diagnostics, ..Plan::default() }))),
    };
    let ask = Ask::Diff { source: key.name.clone(), snapshot };
    match write.ask(ask).await.map_err(|e| Failure::of_ask(&e, &key))? {
        Answer::Plan(p) => Ok(json_response(200, &plan(&p))),
        _ => Err(Failure::new(500, "InternalError", "the server did not answer with a plan")),
    }
}

/// Where a revision has an object.
pub(super) async fn place(api: &Api, key: &Key, pairs: &Pairs) -> Result<Response, Failure> {
    let object = pairs.get("object").unwrap_or_default();
    let customs = &api.backend.live().view().customs;
    let object =
        key_of(object, customs).ok_or_else(|| Failure::bad_request(format!("object: `{object}` is no key")))?;
    let revision = pairs.get("revision").unwrap_or_default().to_owned();
    let snapshot = api.backend.snapshot(key.name.clone(), revision).await;
    let snapshot = snapshot.map_err(|e| Failure::of_snapshot(&e, &key.name))?;
    let doc = snapshot.get(&object).ok_or_else(|| Failure::not_found(&object))?;
    let place = &doc.place;
    Ok(json_response(200, &json!({"file": place.file, "line": place.line, "place": place.to_string()})))
}

/// A key as its text, of any kind.
fn key_of(text: &str, customs: &Customs) -> Option<Key> {
    let (kind, rest) = text.split_once(' ')?;
    let kind = kind.parse().ok().or_else(|| customs.of_text(kind))?;
    let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
    (kind.namespaced() != namespace.is_empty()).then(|| Key::new(kind, namespace, name))
}

fn parse(files: &[File], unsupported: UnsupportedMode, known: &Customs) -> Result<Arc<Snapshot>, Vec<Diagnostic>> {
    let options = Options { unsupported };
    let parsed: Vec<_> = files
        .iter()
        .filter(|f| is_manifest_path(&f.path))
        .map(|f| Arc::new(parse_file(&f.path, f.text.as_bytes(), &options)))
        .collect();
    assemble(&parsed, known).map(Arc::new)
}

fn plan(plan: &Plan) -> Value {
    let objects: Vec<Value> = plan.objects.iter().map(object).collect();
    let rejected = plan.diagnostics.iter().any(|d| d.severity == Severity::Error);
    let diagnostics: Vec<String> = plan.diagnostics.iter().map(ToString::to_string).collect();
    json!({
        "objects": objects, "unchanged": plan.unchanged, "diagnostics": diagnostics, "rejected": rejected,
    })
}

fn object(o: &PlannedObject) -> Value {
    json!({"object": o.key.to_string(), "before": o.before, "after": o.after, "placement": o.placement})
}
