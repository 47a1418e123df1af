//! The OpenAPI v2 document as clients of Kubernetes read it: the messages of `openapi.v2`, in protobuf.
//!
//! Written by hand are those fields that our document has, under their numbers in gnostic's
//! `OpenAPIv2.proto`; the rest of that format says nothing here. [`document`] makes them of the JSON,
//! which [`super::v2`] has made already. Deliberately not here: what the document says.

use prost::{Message, Oneof};
use serde_json::Value;

/// The document in protobuf.
pub(super) fn document(json: &Value) -> Vec<u8> {
    let info = &json["info"];
    let document = Document {
        swagger: text(json, "swagger"),
        info: Some(Info { title: text(info, "title"), version: text(info, "version") }),
        paths: Some(Paths {
            path: entries(json, "paths")
                .map(|(name, item)| NamedPathItem { name: name.clone(), value: Some(path_item(item)) })
                .collect(),
        }),
        definitions: Some(named(json, "definitions")),
    };
    document.encode_to_vec()
}

#[derive(Message)]
pub(super) struct Document {
    #[prost(string, tag = "1")]
    pub(super) swagger: String,
    #[prost(message, optional, tag = "2")]
    pub(super) info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    pub(super) paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    pub(super) definitions: Option<NamedSchemas>,
}

#[derive(Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Message)]
pub(super) struct Paths {
    #[prost(message, repeated, tag = "2")]
    pub(super) path: Vec<NamedPathItem>,
}

#[derive(Message)]
pub(super) struct NamedPathItem {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<PathItem>,
}

#[derive(Message)]
pub(super) struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    pub(super) patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Message)]
pub(super) struct Operation {
    #[prost(message, repeated, tag = "8")]
    pub(super) parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    pub(super) vendor_extension: Vec<NamedAny>,
}

#[derive(Message)]
pub(super) struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Message)]
struct Parameter {
    #[prost(message, optional, tag = "2")]
    non_body: Option<NonBodyParameter>,
}

#[derive(Message)]
struct NonBodyParameter {
    #[prost(oneof = "Place", tags = "3, 4")]
    place: Option<Place>,
}

#[derive(Oneof)]
enum Place {
    #[prost(message, tag = "3")]
    Query(QueryParameter),
    #[prost(message, tag = "4")]
    Path(PathParameter),
}

#[derive(Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    r#type: String,
    #[prost(bool, tag = "20")]
    unique_items: bool,
}

#[derive(Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    r#type: String,
    #[prost(bool, tag = "20")]
    unique_items: bool,
}

#[derive(Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponseValue>,
}

#[derive(Message)]
struct NamedResponseValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Message)]
struct SchemaItem {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

/// `Definitions` and `Properties`, which are the same on the wire.
#[derive(Message)]
pub(super) struct NamedSchemas {
    #[prost(message, repeated, tag = "1")]
    pub(super) all: Vec<NamedSchema>,
}

#[derive(Message)]
pub(super) struct NamedSchema {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Schema>,
}

#[derive(Message)]
pub(super) struct Schema {
    #[prost(string, tag = "1")]
    pub(super) reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    #[prost(message, optional, tag = "5")]
    default: Option<Any>,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    r#enum: Vec<Any>,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "22")]
    pub(super) r#type: Option<TypeItem>,
    #[prost(message, optional, tag = "23")]
    items: Option<Items>,
    #[prost(message, optional, tag = "25")]
    pub(super) properties: Option<NamedSchemas>,
    #[prost(message, repeated, tag = "31")]
    pub(super) vendor_extension: Vec<NamedAny>,
}

#[derive(Message)]
struct AdditionalProperties {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

#[derive(Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Message)]
pub(super) struct TypeItem {
    #[prost(string, repeated, tag = "1")]
    pub(super) value: Vec<String>,
}

#[derive(Message)]
pub(super) struct NamedAny {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Any>,
}

/// A value as text in YAML, of which JSON is a part.
#[derive(Message)]
pub(super) struct Any {
    #[prost(string, tag = "2")]
    pub(super) yaml: String,
}

impl From<&Value> for Any {
    fn from(value: &Value) -> Self {
        Self { yaml: value.to_string() }
    }
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn entries<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.get(field).and_then(Value::as_object).into_iter().flatten()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn extensions(value: &Value) -> Vec<NamedAny> {
    let all = value.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
    all.map(|(name, value)| NamedAny { name: name.clone(), value: Some(value.into()) }).collect()
}

fn named(value: &Value, field: &str) -> NamedSchemas {
    let one = |(name, value): (&String, &Value)| NamedSchema { name: name.clone(), value: Some(schema(value)) };
    NamedSchemas { all: entries(value, field).map(one).collect() }
}

fn schema(value: &Value) -> Schema {
    let boxed = |v: &Value| Box::new(schema(v));
    Schema {
        reference: text(value, "$ref"),
        format: text(value, "format"),
        description: text(value, "description"),
        default: value.get("default").map(Any::from),
        required: list(value, "required").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        r#enum: list(value, "enum").iter().map(Any::from).collect(),
        additional_properties: value
            .get("additionalProperties")
            .map(|v| Box::new(AdditionalProperties { schema: Some(boxed(v)) })),
        r#type: value.get("type").and_then(Value::as_str).map(|t| TypeItem { value: vec![t.to_owned()] }),
        items: value.get("items").map(|v| Items { schema: vec![schema(v)] }),
        properties: entries(value, "properties").next().map(|_| named(value, "properties")),
        vendor_extension: extensions(value),
    }
}

fn path_item(item: &Value) -> PathItem {
    let of = |method: &str| item.get(method).map(operation);
    PathItem {
        get: of("get"),
        put: of("put"),
        post: of("post"),
        delete: of("delete"),
        patch: of("patch"),
        parameters: list(item, "parameters").iter().map(parameter).collect(),
    }
}

fn operation(value: &Value) -> Operation {
    let response = |(code, said): (&String, &Value)| NamedResponseValue {
        name: code.clone(),
        value: Some(ResponseValue {
            response: Some(Response {
                description: text(said, "description"),
                schema: said.get("schema").map(|s| SchemaItem { schema: Some(Box::new(schema(s))) }),
            }),
        }),
    };
    Operation {
        parameters: list(value, "parameters").iter().map(parameter).collect(),
        responses: Some(Responses { response_code: entries(value, "responses").map(response).collect() }),
        vendor_extension: extensions(value),
    }
}

fn parameter(value: &Value) -> ParametersItem {
    let (name, r#type, unique_items) =
        (text(value, "name"), text(value, "type"), value.get("uniqueItems") == Some(&Value::Bool(true)));
    let r#in = text(value, "in");
    let place = if r#in == "path" {
        Place::Path(PathParameter { required: true, r#in, name, r#type, unique_items })
    } else {
        Place::Query(QueryParameter { r#in, name, r#type, unique_items })
    };
    let non_body = Some(NonBodyParameter { place: Some(place) });
    ParametersItem { parameter: Some(Parameter { non_body }) }
}

impl ParametersItem {
    /// The name of a parameter of the query.
    #[cfg(test)]
    pub(super) fn query(&self) -> Option<&str> {
        match self.parameter.as_ref()?.non_body.as_ref()?.place.as_ref()? {
            Place::Query(query) => Some(&query.name),
            Place::Path(_) => None,
        }
    }
}
