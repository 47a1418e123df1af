//! Writes of objects of any kind: create, replace, patches that are no apply, delete.
//!
//! Called by `write`. A patch that is no apply is put on the object as it is in the last view, and
//! written under the condition that it still is so; when it changed meanwhile, once more. Deliberately
//! not here: kinds with rules of their own (Sources, Nodes), and any decision, which core takes.

use axum::{body::Bytes, response::Response};
use evenkeel_core::{
    Ask,
    edit::{Edit, Wish},
};
use evenkeel_model::{Key, Kind, Object, Version};
use evenkeel_schema::{merge, of_kind};
use serde_json::{Value, json};

use super::{
    apply,
    backend::AskError,
    body, custom,
    given::{self, Given, Warnings, What},
    grants, jsonpatch, pods,
    query::{Pairs, Params},
    read,
    select::selects,
    signing,
    status::{Failure, json_response},
    write::{Write, json_body},
};

/// Kubernetes' media types of patches.
pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(super) const JSON: &str = "application/json-patch+json";
pub(super) const APPLY: &str = "application/apply-patch+yaml";
const PATCHES: [&str; 4] = [JSON, MERGE, STRATEGIC, APPLY];

/// Operations of one JSON patch, as in Kubernetes.
const MAX_OPERATIONS: usize = 10_000;

/// `POST` to a collection.
pub(super) async fn create(
    write: &Write<'_>,
    (kind, namespace): (Kind, &str),
    pairs: &Pairs,
    bytes: &Bytes,
) -> Result<Response, Failure> {
    if kind.namespaced() && namespace.is_empty() {
        return Err(Failure::not_allowed(format!("{} are made within a namespace", kind.resource())));
    }
    let mut warnings = Warnings::default();
    given::once(kind, &write.parts.headers, bytes, (pairs, &mut warnings))?;
    let customs = write.customs();
    let what = What::object(custom::schema(&customs, kind)?);
    let tree = given::tree(kind, &write.parts.headers, bytes)?;
    let mut given = given::read(what, namespace, None, tree, None, (pairs, &mut warnings))?;
    if given.version.is_some() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let key = Key::new(kind, namespace, given.name.as_str());
    signing::made(&key, &write.user, &mut given.value)?;
    grants::held(write.api, &write.user, &key, &given.value, None)?;
    let wish = wish(write, key.clone(), given.value, "", pairs);
    Ok(warnings.on(ask(write, Edit::Create(wish), &key).await?))
}

/// `PUT` of an object.
pub(super) async fn replace(
    write: &Write<'_>,
    (key, subresource): (Key, &'static str),
    pairs: &Pairs,
    bytes: &Bytes,
) -> Result<Response, Failure> {
    let mut warnings = Warnings::default();
    given::once(key.kind, &write.parts.headers, bytes, (pairs, &mut warnings))?;
    let customs = write.customs();
    let what = What { subresource, ..What::object(custom::schema(&customs, key.kind)?) };
    let tree = given::tree(key.kind, &write.parts.headers, bytes)?;
    let object = write.current(&key);
    let before = object.as_ref().ok().map(|o| o.to_value());
    // What does not fit the path is told first, as in Kubernetes.
    let mut given = given::read(what, &key.namespace, Some(&key.name), tree, before.as_ref(), (pairs, &mut warnings))?;
    let object = object?;
    let current = before.unwrap_or_default();
    grants::held(write.api, &write.user, &key, &given.value, Some(&current))?;
    let judged = signing::written(write, &object, subresource, &mut given.value)?;
    let wish = Wish { managed: given.managed, ..wish(write, key.clone(), given.value, subresource, pairs) };
    let edit = Edit::Replace { wish, if_version: given.version.or(judged), if_uid: given.uid };
    Ok(warnings.on(ask(write, edit, &key).await?))
}

/// `PATCH` of an object.
pub(super) async fn patch(
    write: &Write<'_>,
    (key, subresource): (Key, &'static str),
    pairs: &Pairs,
    bytes: &Bytes,
) -> Result<Response, Failure> {
    let media = body::media_type(&write.parts.headers);
    let customs = write.customs();
    let what = What { subresource, ..What::object(custom::schema(&customs, key.kind)?) };
    if media == APPLY {
        return apply::object(write, key, what, pairs, bytes).await;
    }
    let what = What { patched: true, ..what };
    if media == STRATEGIC && matches!(key.kind, Kind::Custom(_)) {
        return Err(Failure::media_type(&media, &[JSON, MERGE, APPLY]));
    }
    let patch = Patch::read(&media, bytes)?;
    let make = || {
        let mut warnings = Warnings::default();
        given::once(key.kind, &write.parts.headers, bytes, (pairs, &mut warnings))?;
        let current = write.current(&key)?;
        let mut given = patched(&patch, &current, what, (pairs, &mut warnings))?;
        grants::held(write.api, &write.user, &key, &given.value, Some(&current.to_value()))?;
        signing::written(write, &current, subresource, &mut given.value)?;
        let asked = patch.names_version();
        let if_version = if asked { given.version } else { Some(current.version) };
        let wish = Wish { managed: given.managed, ..wish(write, key.clone(), given.value, subresource, pairs) };
        let edit = Edit::Replace { wish, if_version, if_uid: given.uid };
        Ok((Ask::Edit(Box::new(edit)), !asked, warnings))
    };
    let (answer, warnings) = write.ask_again(&key, make).await?;
    Ok(warnings.on(write.respond(answer, &key, 200)?))
}

fn patched(patch: &Patch, current: &Object, what: What<'_>, how: (&Pairs, &mut Warnings)) -> Result<Given, Failure> {
    let key = &current.key;
    let before = current.to_value();
    let tree = patch.on(key.kind, &before)?;
    given::read(what, &key.namespace, Some(&key.name), tree, Some(&before), how)
}

/// `DELETE` of an object.
pub(super) async fn delete(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let options = pods::delete_options(&write.parts.headers, pairs, bytes)?;
    let edit = Edit::Delete { key: key.clone(), options };
    ask(write, edit, &key).await
}

/// `DELETE` of a collection: of all that the selectors select, one after the other.
pub(super) async fn delete_collection(
    write: &Write<'_>,
    (kind, namespace): (Kind, &str),
    pairs: &Pairs,
    bytes: &Bytes,
) -> Result<Response, Failure> {
    if kind.namespaced() && namespace.is_empty() {
        return Err(Failure::not_allowed(format!("{} are deleted within a namespace", kind.resource())));
    }
    let options = pods::delete_options(&write.parts.headers, pairs, bytes)?;
    let params = Params::read(pairs)?;
    if let Some(field) = params.fields.unsupported(kind, &write.customs()) {
        return Err(Failure::bad_request(format!("field label not supported: {field}")));
    }
    read::check_token(&params)?;
    let view = write.api.backend.live().view();
    let selected = view.list(kind, namespace).filter(|o| selects(o, namespace, &params.labels, &params.fields));
    let keys: Vec<Key> = selected.map(|o| o.key.clone()).take(params.limit.unwrap_or(usize::MAX)).collect();
    for key in keys {
        let edit = Edit::Delete { key: key.clone(), options: options.clone() };
        match write.ask(Ask::Edit(Box::new(edit))).await {
            Ok(_) => {}
            Err(AskError::Refused(r)) if r.code == 404 => {}
            Err(e) => return Err(Failure::of_ask(&e, &key)),
        }
    }
    Ok(json_response(200, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})))
}

pub(super) fn wish(write: &Write<'_>, key: Key, value: Value, subresource: &'static str, pairs: &Pairs) -> Wish {
    let manager = given::manager(pairs, &write.parts.headers);
    Wish { key, value, manager, subresource, dry_run: pods::dry_run(pairs), managed: None }
}

async fn ask(write: &Write<'_>, edit: Edit, key: &Key) -> Result<Response, Failure> {
    let answer = write.ask(Ask::Edit(Box::new(edit))).await.map_err(|e| Failure::of_ask(&e, key))?;
    write.respond(answer, key, 200)
}

/// A patch that is put on an object.
pub(super) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// Kubernetes' own.
    Strategic(Value),
}

impl Patch {
    pub(super) fn read(media: &str, bytes: &Bytes) -> Result<Self, Failure> {
        match media {
            MERGE => json_body(bytes).map(Self::Merge),
            STRATEGIC => json_body(bytes).map(Self::Strategic),
            JSON => {
                let patch: json_patch::Patch = serde_json::from_slice(bytes)
                    .map_err(|e| Failure::bad_request(format!("the body is no JSON patch: {e}")))?;
                if patch.len() > MAX_OPERATIONS {
                    let message = format!("the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}");
                    return Err(Failure::new(413, "RequestEntityTooLarge", message));
                }
                Ok(Self::Json(patch))
            }
            _ => Err(Failure::media_type(media, &PATCHES)),
        }
    }

    /// What it makes of an object's tree.
    pub(super) fn on(&self, kind: Kind, tree: &Value) -> Result<Value, Failure> {
        match self {
            Self::Merge(patch) => {
                let mut out = tree.clone();
                jsonpatch::merge(&mut out, patch);
                Ok(out)
            }
            Self::Json(patch) => {
                let mut out = tree.clone();
                // Without details, for then kubectl shows the message.
                jsonpatch::apply(&mut out, patch).map_err(|e| {
                    let message = format!("the server rejected our request due to an error in our request: {e}");
                    Failure::new(422, "Invalid", message)
                })?;
                Ok(out)
            }
            // A custom kind's was refused before.
            Self::Strategic(patch) => merge::strategic(of_kind(kind), tree, patch)
                .map_err(|e| Failure::bad_request(format!("the patch cannot be applied: {e}"))),
        }
    }

    /// On a tree that is no object of the tables.
    pub(super) fn on_plain(&self, kind: Kind, tree: &Value) -> Result<Value, Failure> {
        match self {
            // Without lists the two are one.
            Self::Strategic(patch) => Self::Merge(patch.clone()).on(kind, tree),
            other => other.on(kind, tree),
        }
    }

    /// Whether it says itself which version it is for.
    pub(super) fn names_version(&self) -> bool {
        match self {
            Self::Merge(patch) | Self::Strategic(patch) => {
                patch.pointer("/metadata/resourceVersion").is_some_and(|v| !v.is_null())
            }
            // One that only tests for it is put on what is there by then, where the test fails.
            Self::Json(patch) => patch.iter().any(|op| {
                let tests = matches!(op, json_patch::PatchOperation::Test(_));
                !tests && op.path().as_str() == "/metadata/resourceVersion"
            }),
        }
    }
}

/// A version as a body says it.
pub(super) fn version(tree: &Value) -> Result<Option<Version>, Failure> {
    match tree.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(|n| Some(Version(n)))
            .map_err(|_| Failure::bad_request(format!("metadata.resourceVersion: `{text}` is none"))),
    }
}
