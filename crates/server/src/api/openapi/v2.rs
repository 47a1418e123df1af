//! The one document of OpenAPI v2, in JSON and in protobuf.
//!
//! kubectl checks by it what its newer ways leave out (a `kind: List`), older clients all that they write.
//! It is made when it is first asked for, and again when a definition has changed ([`Cache`]).

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use evenkeel_core::world::View;
use evenkeel_model::{Digest, Kind};
use evenkeel_schema::of_kind;
use serde_json::{Map, Value, json};

use super::{
    super::{
        accept,
        discovery::{groups, response_kind},
        status::Failure,
    },
    Dialect, QUERY, Schemas, collection, custom, custom_name, custom_schema, gnostic, hash_of,
};

/// The document in both its forms.
#[derive(Debug)]
struct Document {
    /// Of which definitions it is.
    of: String,
    json: Bytes,
    protobuf: Bytes,
    /// Digest of what it says, for its `ETag`.
    hash: String,
}

/// The document that was made last.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Option<Arc<Document>>>);

impl Cache {
    fn document(&self, view: &View) -> Arc<Document> {
        let kinds: Vec<Kind> = custom(view).into_iter().flat_map(|(_, _, kinds)| kinds).collect();
        let of = hash_of(view, &kinds);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.as_ref().filter(|d| d.of == of) {
            return known.clone();
        }
        let tree = document(view);
        let json = Bytes::from(serde_json::to_vec(&tree).unwrap_or_default());
        let hash = Digest::of(&json).to_string().to_uppercase();
        let made = Arc::new(Document { of, json, protobuf: gnostic::document(&tree).into(), hash });
        *kept = Some(made.clone());
        made
    }

    /// Answers with the document, in the form that the request accepts.
    pub(crate) fn answer(&self, headers: &HeaderMap, view: &View) -> Result<Response, Failure> {
        let form = accept::openapi_v2(headers)?;
        let document = self.document(view);
        let (bytes, media, mark) = match form {
            accept::OpenApi::Json => (&document.json, "application/json", ""),
            accept::OpenApi::Protobuf => (&document.protobuf, accept::OPENAPI_V2, "-PB"),
        };
        let etag = format!("\"{}{mark}\"", document.hash);
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
        let body = if known { Body::empty() } else { Body::from(bytes.clone()) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = axum::http::StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        out.insert(header::VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            out.insert(header::ETAG, etag);
        }
        Ok(response)
    }
}

/// The document as JSON.
fn document(view: &View) -> Value {
    let mut schemas = Schemas::new(Dialect::V2);
    let mut paths = Map::new();
    for (group, version, kinds) in groups(&view.customs) {
        let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        for kind in kinds {
            let reference = match kind {
                Kind::Custom(_) => {
                    // What every object has.
                    schemas.of(of_kind(kind), None);
                    let name = custom_name(kind);
                    schemas.made.insert(name.clone(), plain(&custom_schema(view, kind)));
                    Dialect::V2.reference(&name)
                }
                built_in => schemas.of(of_kind(built_in), Some(built_in)),
            };
            let (whole, one) = path_items(kind, &reference);
            let collection = collection(&path, kind);
            paths.insert(format!("{collection}/{{name}}"), one);
            paths.insert(collection, whole);
        }
    }
    json!({
        "swagger": "2.0", "info": {"title": "Evenkeel", "version": "v1.36.0"},
        "paths": paths, "definitions": schemas.made,
    })
}

/// What may be done with all objects of a kind, and with one.
fn path_items(kind: Kind, reference: &Value) -> (Value, Value) {
    let query = |name: &str| json!({"name": name, "in": "query", "type": "string", "uniqueItems": true});
    let place =
        |name: &str| json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true});
    let parameters: Vec<Value> = QUERY.into_iter().map(query).collect();
    let operation = |action: &str| {
        json!({
            "parameters": parameters, "responses": {"200": {"description": "OK", "schema": reference}},
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": response_kind(kind),
        })
    };
    let space = kind.namespaced().then(|| place("namespace"));
    let of_one: Vec<Value> = space.iter().cloned().chain([place("name")]).collect();
    let of_all: Vec<Value> = space.into_iter().collect();
    let whole = json!({"get": operation("list"), "post": operation("post"), "parameters": of_all});
    let one = json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"),
        "delete": operation("delete"), "parameters": of_one});
    (whole, one)
}

/// The schema of a custom kind in what version 2 can say. What its readers would take for a fault is left
/// open: values that may be null, numbers that may be text, fields that nobody knows.
fn plain(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return json!({}) };
    let says = |word: &str| schema.get(word) == Some(&Value::Bool(true));
    let open = says("nullable") || says("x-kubernetes-int-or-string") || says("x-kubernetes-preserve-unknown-fields");
    let mut out = Map::new();
    for (word, value) in schema {
        let said = match word.as_str() {
            "type" | "properties" | "items" | "additionalProperties" | "required" if open => continue,
            "properties" => {
                let all = value.as_object().into_iter().flatten();
                all.map(|(name, value)| (name.clone(), plain(value))).collect::<Map<_, _>>().into()
            }
            // `additionalProperties` may be a plain `true`, which says that anything may stand there.
            "items" | "additionalProperties" => plain(value),
            // The metadata of an object.
            "allOf" => {
                let name = value[0]["$ref"].as_str().and_then(|r| r.rsplit('/').next());
                if let Some(name) = name {
                    out.extend(Dialect::V2.reference(name).as_object().cloned().unwrap_or_default());
                }
                continue;
            }
            "type" | "format" | "description" | "default" | "enum" | "required" => value.clone(),
            word if word.starts_with("x-") => value.clone(),
            _ => continue,
        };
        out.insert(word.clone(), said);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::api::openapi::tests::references;

    #[test]
    fn the_document_is_whole() {
        let tree = document(&View::default());
        let mut all = Vec::new();
        references(&tree, &mut all);
        for reference in all {
            let name = reference.strip_prefix("#/definitions/").unwrap();
            assert!(tree["definitions"].get(name).is_some(), "{reference}");
        }
        let limits = &tree["definitions"]["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"];
        assert_eq!(limits["additionalProperties"], json!({"type": "string"}), "a quantity is one thing here");
    }

    #[test]
    fn protobuf_says_the_same() {
        let cache = Cache::default();
        let made = cache.document(&View::default());
        let read = gnostic::Document::decode(made.protobuf.clone()).unwrap();
        assert_eq!(read.swagger, "2.0");
        let json: Value = serde_json::from_slice(&made.json).unwrap();
        let definitions = read.definitions.unwrap().all;
        assert_eq!(definitions.len(), json["definitions"].as_object().unwrap().len());
        let find = |name: &str| definitions.iter().find(|d| d.name == name).unwrap().value.as_ref().unwrap();
        let deployment = find("io.k8s.api.apps.v1.Deployment");
        assert_eq!(deployment.vendor_extension[0].name, "x-kubernetes-group-version-kind");
        let kind: Value = serde_json::from_str(&deployment.vendor_extension[0].value.as_ref().unwrap().yaml).unwrap();
        assert_eq!(kind, json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]));
        let properties = &deployment.properties.as_ref().unwrap().all;
        let spec = properties.iter().find(|p| p.name == "spec").unwrap().value.as_ref().unwrap();
        assert_eq!(spec.reference, "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
        assert!(spec.description.starts_with("What is wanted."));
        let paths = read.paths.unwrap().path;
        let pod = paths.iter().find(|p| p.name == "/api/v1/namespaces/{namespace}/pods/{name}").unwrap();
        let patch = pod.value.as_ref().unwrap().patch.as_ref().unwrap();
        assert!(patch.parameters.iter().any(|p| p.query() == Some("fieldValidation")));
        // Made once.
        assert!(Arc::ptr_eq(&made, &cache.document(&View::default())));
    }

    #[test]
    fn schemas_of_custom_kinds_say_no_more_than_their_readers_understand() {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {
            "metadata": {"description": "About it.", "allOf": [{"$ref": "#/components/schemas/io.ObjectMeta"}]},
            "spec": {"type": "object", "properties": {
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "note": {"type": "string", "nullable": true, "maxLength": 3},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^a"}},
                "map": {"type": "object", "additionalProperties": {"type": "integer", "oneOf": []}}}}}});
        assert_eq!(
            plain(&schema),
            json!({"type": "object", "required": ["spec"], "properties": {
                "metadata": {"description": "About it.", "$ref": "#/definitions/io.ObjectMeta"},
                "spec": {"type": "object", "properties": {
                    "port": {"x-kubernetes-int-or-string": true},
                    "note": {},
                    "free": {"x-kubernetes-preserve-unknown-fields": true},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "map": {"type": "object", "additionalProperties": {"type": "integer"}}}}}})
        );
    }
}
