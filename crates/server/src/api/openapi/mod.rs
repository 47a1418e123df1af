//! The OpenAPI documents: what kubectl asks for before it writes, and what `kubectl explain` shows.
//!
//! Called by `rest`. Paths come from the table of kinds, schemas from the tables of
//! `evenkeel_schema`, with the extensions by which clients merge and the texts that explain them. Here is
//! version 3, one document a group and version. These documents are always the same, so each is made
//! once; those of definitions follow their text, and are made when they are asked for. [`v2`] makes the
//! one document of version 2 by the same walk. Deliberately not here: checking anything by
//! them, which the walks over the same tables do.

mod gnostic;
pub(crate) mod v2;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use evenkeel_core::world::View;
use evenkeel_model::{Digest, Key, Kind};
use evenkeel_schema::{Field, ListType, Object, Patch, Texts, Type, of_kind};
use serde_json::{Map, Value, json};

use super::discovery::{built_in, groups, response_kind};

/// A document as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// As `apis/apps/v1`.
    path: String,
    /// JSON.
    pub(crate) bytes: Vec<u8>,
    /// Digest of it, for its address and `ETag`.
    pub(crate) hash: String,
}

fn documents() -> &'static [Document] {
    static ALL: OnceLock<Vec<Document>> = OnceLock::new();
    ALL.get_or_init(|| {
        let made = built_in().into_iter().map(|(group, version, kinds)| {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let title = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            let bytes = serde_json::to_vec(&document(&path, &title, &kinds)).unwrap_or_default();
            let hash = Digest::of(&bytes).to_string().to_uppercase();
            Document { path, bytes, hash }
        });
        made.collect()
    })
}

/// `/openapi/v3`: where the documents are.
pub(crate) fn index(view: &View) -> Value {
    let url = |path: &str, hash: &str| json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")});
    let mut paths: BTreeMap<String, Value> =
        documents().iter().map(|d| (d.path.clone(), url(&d.path, &d.hash))).collect();
    for (group, version, kinds) in custom(view) {
        let path = format!("apis/{group}/{version}");
        let url = url(&path, &hash_of(view, &kinds));
        paths.insert(path, url);
    }
    json!({"paths": paths})
}

/// `/openapi/v3/PATH`; `None` for an unknown one.
pub(crate) fn get(path: &str, view: &View) -> Option<Cow<'static, Document>> {
    if let Some(known) = documents().iter().find(|d| d.path == path) {
        return Some(Cow::Borrowed(known));
    }
    let rest = path.strip_prefix("apis/")?;
    let (group, version, kinds) = custom(view).into_iter().find(|(g, v, _)| rest == format!("{g}/{v}"))?;
    let mut document = document(path, &format!("{group}/{version}"), &kinds);
    for kind in &kinds {
        let schemas = &mut document["components"]["schemas"];
        schemas[custom_name(*kind)] = custom_schema(view, *kind);
    }
    let bytes = serde_json::to_vec(&document).unwrap_or_default();
    Some(Cow::Owned(Document { path: path.into(), bytes, hash: hash_of(view, &kinds) }))
}

/// Groups and versions that definitions make.
fn custom(view: &View) -> Vec<(&'static str, &'static str, Vec<Kind>)> {
    let ours = |kinds: &[Kind]| matches!(kinds, [Kind::Custom(_), ..]);
    groups(&view.customs).into_iter().filter(|(_, _, kinds)| ours(kinds)).collect()
}

fn definition(view: &View, kind: Kind) -> Option<&Arc<evenkeel_model::Object>> {
    view.get(&Key::cluster(Kind::CustomResourceDefinition, kind.resource()))
}

/// The hash of a document whose kinds have definitions: another with each of their versions, so that the
/// index is made without the documents.
fn hash_of(view: &View, kinds: &[Kind]) -> String {
    let versions = kinds.iter().filter_map(|k| definition(view, *k)).map(|o| (o.uid, o.version));
    let text: Vec<String> = versions.map(|(uid, version)| format!("{uid} {version}")).collect();
    Digest::of(text.join("\n").as_bytes()).to_string().to_uppercase()
}

/// As Kubernetes names it: `com.example.v1.Widget`.
fn custom_name(kind: Kind) -> String {
    let info = kind.info();
    let reversed: Vec<&str> = info.group.rsplit('.').collect();
    format!("{}.{}.{}", reversed.join("."), info.version, info.kind)
}

/// The schema as its definition says it, with what every object has.
fn custom_schema(view: &View, kind: Kind) -> Value {
    let spec = definition(view, kind).and_then(|o| o.body_map().remove("spec")).unwrap_or_default();
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let version = versions.iter().find(|v| v["name"] == kind.info().version);
    let mut schema = version.map_or_else(|| json!({}), |v| v["schema"]["openAPIV3Schema"].clone());
    schema["type"] = "object".into();
    let texts = Texts::read();
    let about = |field: &str| texts.of_every_kind(field).unwrap_or_default();
    let text = |field: &str| json!({"type": "string", "description": about(field)});
    schema["properties"]["apiVersion"] = text("apiVersion");
    schema["properties"]["kind"] = text("kind");
    let meta = evenkeel_schema::definition("meta.v1.ObjectMeta").and_then(Type::object).map(name).unwrap_or_default();
    schema["properties"]["metadata"] = json!({
        "description": about("metadata"),
        "allOf": [{"$ref": format!("#/components/schemas/{meta}")}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([response_kind(kind)]);
    schema
}

/// In which version of OpenAPI a schema is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    fn reference(self, name: &str) -> Value {
        let place = match self {
            Self::V2 => "definitions",
            Self::V3 => "components/schemas",
        };
        json!({"$ref": format!("#/{place}/{name}")})
    }
}

/// Where the objects of a kind are.
fn collection(path: &str, kind: Kind) -> String {
    let space = if kind.namespaced() { "namespaces/{namespace}/" } else { "" };
    format!("/{path}/{space}{}", kind.info().plural)
}

/// Parameters of a query that a client may look for.
const QUERY: [&str; 5] = ["dryRun", "fieldManager", "fieldValidation", "force", "pretty"];

fn document(path: &str, title: &str, kinds: &[Kind]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Schemas::new(Dialect::V3);
    for kind in kinds {
        let collection = collection(path, *kind);
        let built_in = Some(*kind).filter(|k| !matches!(k, Kind::Custom(_)));
        let own = schemas.of(of_kind(*kind), built_in);
        let reference = match kind {
            Kind::Custom(_) => Dialect::V3.reference(&custom_name(*kind)),
            _ => own,
        };
        let operation = |action: &str| operation(*kind, action, &reference);
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"),
                "delete": operation("delete")}),
        );
        paths.insert(collection, json!({"get": operation("list"), "post": operation("post")}));
    }
    json!({
        "openapi": "3.0.0", "info": {"title": format!("Evenkeel {title}"), "version": "v1.36.0"},
        "paths": paths, "components": {"schemas": schemas.made},
    })
}

fn operation(kind: Kind, action: &str, reference: &Value) -> Value {
    let query = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let parameters: Vec<Value> = QUERY.into_iter().map(query).collect();
    json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": response_kind(kind),
    })
}

/// Types that Kubernetes has by name and here are none of the tables'.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// See [`QUANTITY`].
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Schemas of one document, each once.
struct Schemas {
    dialect: Dialect,
    made: Map<String, Value>,
    begun: BTreeSet<&'static str>,
    texts: Texts,
}

impl Schemas {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, made: Map::new(), begun: BTreeSet::new(), texts: Texts::read() }
    }

    /// The schema of a type, as it stands where the type is used.
    fn of(&mut self, ty: &Type, kind: Option<Kind>) -> Value {
        match ty {
            Type::Object(object) => {
                let name = name(object);
                if self.begun.insert(object.name) {
                    let schema = self.object(object, kind);
                    self.made.insert(name.clone(), schema);
                }
                self.dialect.reference(&name)
            }
            Type::List(item) => json!({"type": "array", "items": self.of(item, None)}),
            Type::Map(item) => json!({"type": "object", "additionalProperties": self.of(item, None)}),
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Time => json!({"type": "string", "format": "date-time"}),
            // Version 2 knows no choice: its readers take a number where text may stand.
            Type::Quantity if self.dialect == Dialect::V2 => json!({"type": "string"}),
            Type::IntOrString if self.dialect == Dialect::V2 => json!({"type": "string", "format": "int-or-string"}),
            Type::Any if self.dialect == Dialect::V2 => json!({}),
            Type::Quantity => self.named(QUANTITY, json!({"oneOf": [{"type": "string"}, {"type": "number"}]})),
            Type::IntOrString => self.named(
                INT_OR_STRING,
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            Type::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        }
    }

    /// A type without fields that has a name in Kubernetes, too: `kubectl explain` says it.
    fn named(&mut self, name: &'static str, schema: Value) -> Value {
        self.made.entry(name).or_insert(schema);
        self.dialect.reference(name)
    }

    fn object(&mut self, object: &'static Object, kind: Option<Kind>) -> Value {
        let properties: Map<String, Value> =
            object.fields.iter().map(|f| (f.name.to_owned(), self.field(object, f))).collect();
        let required: Vec<&str> = object.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if let Some(text) = self.texts.object(object) {
            schema["description"] = text.into();
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if object.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if let Some(kind) = kind {
            schema["x-kubernetes-group-version-kind"] = json!([response_kind(kind)]);
        }
        schema
    }

    fn field(&mut self, object: &Object, field: &Field) -> Value {
        let plain = self.of(&field.ty, None);
        // Beside a reference of version 3 nothing else may stand.
        let wrapped = self.dialect == Dialect::V3 && plain.get("$ref").is_some();
        let mut schema = if wrapped { json!({"allOf": [plain]}) } else { plain };
        let text = self.texts.field(object, field);
        if !text.is_empty() {
            schema["description"] = text.into();
        }
        if let Some(default) = field.default {
            schema["default"] = default.value();
        }
        if !field.values.is_empty() && matches!(field.ty, Type::String) {
            schema["enum"] = json!(field.values);
        }
        match (field.list, &field.ty) {
            (ListType::Set, _) => schema["x-kubernetes-list-type"] = "set".into(),
            (ListType::Map(keys), _) => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!(keys);
            }
            (ListType::Atomic, Type::List(_)) => schema["x-kubernetes-list-type"] = "atomic".into(),
            (ListType::Atomic, _) => {}
        }
        if field.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        let strategy = match field.patch {
            Patch::Replace => None,
            Patch::Merge | Patch::MergeBy(_) => Some("merge"),
            Patch::RetainKeys => Some("retainKeys"),
            Patch::MergeRetainKeys(_) => Some("merge,retainKeys"),
        };
        if let Some(strategy) = strategy {
            schema["x-kubernetes-patch-strategy"] = strategy.into();
        }
        if let Some(key) = field.patch.merge_key() {
            schema["x-kubernetes-patch-merge-key"] = key.into();
        }
        schema
    }
}

/// As Kubernetes names it: `io.k8s.api.apps.v1.Deployment`.
fn name(object: &Object) -> String {
    match object.name.split_once('.') {
        Some(("meta", rest)) => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        Some(("evenkeel", rest)) => format!("dev.evenkeel.{rest}"),
        _ => format!("io.k8s.api.{}", object.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn references<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|v| references(v, out));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[test]
    fn schemas_are_whole_and_say_how_to_merge() {
        let document: Value = serde_json::from_slice(&get("apis/apps/v1", &View::default()).unwrap().bytes).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
        assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
        // A type and a field that has it both say what they are, beside the reference.
        assert!(deployment["description"].as_str().unwrap().contains("Keeps a number of equal pods up"));
        let template = &schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"];
        assert!(template["description"].as_str().unwrap().contains("starts a rollout"));
        assert!(template["allOf"].is_array());
        // Every reference leads somewhere.
        for one in documents() {
            let document: Value = serde_json::from_slice(&one.bytes).unwrap();
            let mut all = Vec::new();
            references(&document, &mut all);
            for reference in all {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                assert!(document["components"]["schemas"].get(name).is_some(), "{reference}");
            }
        }
    }
}
