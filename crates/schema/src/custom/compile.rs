//! From `openAPIV3Schema` to a [`Node`], with every complaint that Kubernetes has of a schema that is not
//! structural.
//!
//! Called when a CustomResourceDefinition is checked and when it comes into force. What is not
//! structural is left out, so that a schema with complaints still gives a node.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use regex::Regex;
use serde_json::{Map, Value};

use super::{
    defaults,
    node::{Bounds, Checks, List, Node, Part, Sort},
    rules, validate,
};
use crate::{path::Trail, pattern, validate::Complaints};

/// How deep a schema may nest. Beyond it nobody writes one, and walks are recursive.
const MAX_DEPTH: u32 = 64;
/// What a pattern may become, in bytes.
const PATTERN_BYTES: usize = 10 << 20;
/// What a schema must not use, for values could not be pruned or checked by it.
const FORBIDDEN: [&str; 7] =
    ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id", "$schema"];
/// What a part of `allOf`, `anyOf`, `oneOf` or `not` must not say.
const NOT_IN_PARTS: [&str; 11] = [
    "title",
    "description",
    "default",
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// What stands around a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    Field,
    Item,
    Additional,
}

/// Where a place is.
#[derive(Clone, Copy)]
struct Below<'p> {
    at: At,
    depth: u32,
    /// The list above it whose items cannot be told from each other.
    uncorrelated: Option<&'p str>,
}

/// The schema of a whole object.
pub(crate) fn root(schema: &Value, at: &Trail<'_>, out: &mut Complaints) -> Node {
    let mut node = node(schema, Below { at: At::Root, depth: 0, uncorrelated: None }, at, out);
    if node.sort != Sort::Object {
        out.invalid(&at.field("type"), &schema["type"], "must be object at the root");
    }
    node.sort = Sort::Object;
    // What every object has is not the definition's to say.
    for name in ["apiVersion", "kind", "metadata"] {
        node.properties.remove(name);
    }
    node
}

fn node(schema: &Value, below: Below<'_>, at: &Trail<'_>, out: &mut Complaints) -> Node {
    let Below { at: place, depth, uncorrelated } = below;
    let Some(map) = schema.as_object().filter(|_| depth <= MAX_DEPTH) else {
        if depth > MAX_DEPTH {
            out.forbidden(at, &format!("nests deeper than {MAX_DEPTH} levels"));
        }
        return Node::any();
    };
    forbidden(map, at, out);
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    let preserve = flag("x-kubernetes-preserve-unknown-fields");
    let embedded = flag("x-kubernetes-embedded-resource");
    let mut node = Node {
        sort: sort(map, place, at, out),
        nullable: flag("nullable"),
        preserve,
        embedded,
        default: map.get("default").filter(|d| !d.is_null()).cloned(),
        list: list(map, at, out),
        atomic: map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
        ..Node::any()
    };
    children(map, &mut node, below, at, out);
    if embedded && node.sort != Sort::Object {
        out.invalid(&at.field("type"), &schema["type"], "must be object if x-kubernetes-embedded-resource is true");
    }
    if embedded && !preserve && node.properties.is_empty() && node.additional.is_none() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        out.required(&at.field("properties"), why);
    }
    node.checks = checks(map, at, out);
    if node.sort == Sort::IntOrString {
        plain_int_or_string(&mut node.checks);
    }
    parts_are_spoken_of(&node, &node.checks, at, out);
    map_keys(&node, at, out);
    default(&mut node, at, out);
    node.rules = rules::read(map, &node, place == At::Root, uncorrelated, at, out);
    let children = node.properties.values().chain(node.additional.as_deref()).chain(node.items.as_deref());
    node.ruled = !node.rules.is_empty() || children.into_iter().any(|c| c.ruled);
    node
}

fn forbidden(map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) {
    for name in FORBIDDEN {
        if map.get(name).is_some_and(|v| !v.is_null()) {
            out.forbidden(&at.field(name), &format!("{name} is not supported"));
        }
    }
    if map.get("uniqueItems").and_then(Value::as_bool) == Some(true) {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        out.forbidden(&at.field("uniqueItems"), why);
    }
}

fn sort(map: &Map<String, Value>, place: At, at: &Trail<'_>, out: &mut Complaints) -> Sort {
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    let written = map.get("type").and_then(Value::as_str).unwrap_or_default();
    if flag("x-kubernetes-int-or-string") {
        // A `type` beside it says nothing more.
        return Sort::IntOrString;
    }
    match written {
        "object" => Sort::Object,
        "array" => Sort::Array,
        "string" => Sort::String,
        "integer" => Sort::Integer,
        "number" => Sort::Number,
        "boolean" => Sort::Boolean,
        "" if flag("x-kubernetes-preserve-unknown-fields") && place != At::Root => Sort::Any,
        "" => {
            let what = match place {
                At::Root => "must not be empty at the root",
                At::Item => "must not be empty for specified array items",
                At::Field | At::Additional => "must not be empty for specified object fields",
            };
            out.required(&at.field("type"), what);
            Sort::Any
        }
        _ => {
            let supported = ["array", "boolean", "integer", "number", "object", "string"];
            out.unsupported(&at.field("type"), &Value::from(written), &supported);
            Sort::Any
        }
    }
}

fn children(map: &Map<String, Value>, node: &mut Node, above: Below<'_>, at: &Trail<'_>, out: &mut Complaints) {
    let under = |at: At| Below { at, depth: above.depth + 1, ..above };
    let properties = map.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty());
    let additional = map.get("additionalProperties").filter(|v| !v.is_null());
    if properties.is_some() && additional.is_some_and(|a| *a != Value::Bool(false)) {
        out.forbidden(&at.field("additionalProperties"), "additionalProperties and properties are mutual exclusive");
    }
    let below = at.field("properties");
    for (name, schema) in properties.into_iter().flatten() {
        let child = self::node(schema, under(At::Field), &below.key(name), out);
        node.properties.insert(name.clone(), child);
    }
    match additional {
        Some(Value::Bool(false)) => {
            out.forbidden(&at.field("additionalProperties"), "additionalProperties cannot be set to false");
        }
        Some(Value::Bool(true)) => node.additional = Some(Box::new(Node::any())),
        Some(schema) => {
            let child = self::node(schema, under(At::Additional), &at.field("additionalProperties"), out);
            node.additional = Some(Box::new(child));
        }
        None => {}
    }
    match map.get("items") {
        Some(Value::Array(_)) => out.forbidden(&at.field("items"), "items must be a schema object and not an array"),
        Some(schema @ Value::Object(_)) => {
            let (place, mut items) = (at.to_string(), under(At::Item));
            if !matches!(node.list, List::Map(_)) && items.uncorrelated.is_none() {
                items.uncorrelated = Some(&place);
            }
            node.items = Some(Box::new(self::node(schema, items, &at.field("items"), out)));
        }
        _ if node.sort == Sort::Array => out.required(&at.field("items"), "must be specified"),
        _ => {}
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|v| v.as_str().map(Into::into)).collect()
}

fn list(map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) -> List {
    let kind = map.get("x-kubernetes-list-type").and_then(Value::as_str).unwrap_or_default();
    let keys = texts(map.get("x-kubernetes-list-map-keys"));
    if !kind.is_empty() && map.get("type").and_then(Value::as_str) != Some("array") {
        out.invalid(
            &at.field("type"),
            map.get("type").unwrap_or(&Value::Null),
            "must be array if x-kubernetes-list-type is specified",
        );
    }
    if !keys.is_empty() && kind != "map" {
        let at = at.field("x-kubernetes-list-type");
        out.invalid_str(&at, kind, "must be map if x-kubernetes-list-map-keys is non-empty");
    }
    match kind {
        "" | "atomic" => List::Atomic,
        "set" => List::Set,
        "map" if keys.is_empty() => {
            let why = "must not be empty if x-kubernetes-list-type is map";
            out.required(&at.field("x-kubernetes-list-map-keys"), why);
            List::Atomic
        }
        "map" => List::Map(keys),
        other => {
            let at = at.field("x-kubernetes-list-type");
            out.unsupported(&at, &Value::from(other), &["atomic", "map", "set"]);
            List::Atomic
        }
    }
}

/// Keys of a list's items must be there in each of them.
fn map_keys(node: &Node, at: &Trail<'_>, out: &mut Complaints) {
    let (List::Map(keys), Some(item)) = (&node.list, &node.items) else { return };
    let items = at.field("items");
    for key in keys {
        let Some(field) = item.properties.get(key) else {
            let at = at.field("x-kubernetes-list-map-keys");
            out.invalid_str(&at, key, "must be the name of a property of the items");
            continue;
        };
        if field.default.is_none() && !item.checks.required.contains(key) {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            out.required(&items.field("properties").key(key).field("default"), why);
        }
    }
}

/// A default must be what its own schema takes.
fn default(node: &mut Node, at: &Trail<'_>, out: &mut Complaints) {
    let Some(mut value) = node.default.clone() else { return };
    defaults::fill(node, &mut value);
    validate::value(node, &value, &at.field("default"), out);
}

fn bounds(map: &Map<String, Value>, what: &str) -> Bounds {
    let count = |end: &str| map.get(&format!("{end}{what}")).and_then(Value::as_u64);
    Bounds { min: count("min"), max: count("max") }
}

fn checks(map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) -> Checks {
    let limit = |name: &str, exclusive: &str| {
        let n = map.get(name).and_then(Value::as_f64)?;
        Some((n, map.get(exclusive).and_then(Value::as_bool).unwrap_or(false)))
    };
    let part = |(i, schema): (usize, &Value), name: &str, out: &mut Complaints| {
        self::part(schema, 0, &at.field(name).index(i), out)
    };
    let parts = |name: &str, out: &mut Complaints| -> Vec<Part> {
        let all = map.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        all.iter().enumerate().map(|each| part(each, name, out)).collect()
    };
    Checks {
        sort: None,
        required: texts(map.get("required")),
        values: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern: pattern_of(map, at, out),
        format: map.get("format").and_then(Value::as_str).map(Into::into),
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple_of: map.get("multipleOf").and_then(Value::as_f64).filter(|n| *n != 0.0),
        length: bounds(map, "Length"),
        items: bounds(map, "Items"),
        fields: bounds(map, "Properties"),
        all_of: parts("allOf", out),
        any_of: parts("anyOf", out),
        one_of: parts("oneOf", out),
        not: map
            .get("not")
            .filter(|v| v.is_object())
            .map(|schema| Box::new(self::part(schema, 0, &at.field("not"), out))),
    }
}

fn pattern_of(map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) -> Option<Regex> {
    let text = map.get("pattern").and_then(Value::as_str).filter(|p| !p.is_empty())?;
    match pattern::build(text, PATTERN_BYTES) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            out.invalid_str(&at.field("pattern"), text, &why);
            None
        }
    }
}

fn part(schema: &Value, depth: u32, at: &Trail<'_>, out: &mut Complaints) -> Part {
    let Some(map) = schema.as_object().filter(|_| depth <= MAX_DEPTH) else { return Part::default() };
    forbidden(map, at, out);
    for name in NOT_IN_PARTS {
        if map.get(name).is_some_and(|v| !matches!(v, Value::Null | Value::Bool(false))) {
            out.forbidden(&at.field(name), "must be empty to be structural");
        }
    }
    let mut checks = checks(map, at, out);
    checks.sort = match map.get("type").and_then(Value::as_str) {
        Some("object") => Some(Sort::Object),
        Some("array") => Some(Sort::Array),
        Some("string") => Some(Sort::String),
        Some("integer") => Some(Sort::Integer),
        Some("number") => Some(Sort::Number),
        Some("boolean") => Some(Sort::Boolean),
        _ => None,
    };
    let mut properties = BTreeMap::new();
    let below = at.field("properties");
    for (name, schema) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        properties.insert(name.clone(), part(schema, depth + 1, &below.key(name), out));
    }
    let child = |name: &str, out: &mut Complaints| {
        let schema = map.get(name).filter(|v| v.is_object())?;
        Some(Box::new(part(schema, depth + 1, &at.field(name), out)))
    };
    Part { additional: child("additionalProperties", out), items: child("items", out), checks, properties }
}

/// `anyOf: [{type: integer}, {type: string}]` says of such a value what is known already.
fn plain_int_or_string(checks: &mut Checks) {
    let plain = |parts: &[Part]| {
        let sorts: Vec<Option<Sort>> = parts.iter().map(|p| p.checks.sort).collect();
        sorts == [Some(Sort::Integer), Some(Sort::String)]
    };
    if plain(&checks.any_of) {
        checks.any_of.clear();
    }
    if checks.all_of.first().is_some_and(|first| plain(&first.checks.any_of)) {
        checks.all_of[0].checks.any_of.clear();
    }
}

/// What a part speaks of must be in the schema around it.
fn parts_are_spoken_of(node: &Node, checks: &Checks, at: &Trail<'_>, out: &mut Complaints) {
    let named = [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)];
    for (name, parts) in named {
        for (i, part) in parts.iter().enumerate() {
            spoken_of(node, part, &at.field(name).index(i), at, out);
        }
    }
    if let Some(part) = &checks.not {
        spoken_of(node, part, &at.field("not"), at, out);
    }
}

fn spoken_of(node: &Node, part: &Part, from: &Trail<'_>, at: &Trail<'_>, out: &mut Complaints) {
    if part.checks.sort.is_some_and(|s| s != node.sort) && node.sort != Sort::IntOrString && node.sort != Sort::Any {
        out.forbidden(&from.field("type"), "must be empty to be structural");
    }
    let (theirs, ours) = (from.field("properties"), at.field("properties"));
    for (name, inner) in &part.properties {
        match node.properties.get(name) {
            Some(child) => spoken_of(child, inner, &theirs.key(name), &ours.key(name), out),
            None if node.additional.is_some() || node.preserve => {}
            // Every object has them, whatever the schema around says.
            None if matches!(name.as_str(), "metadata" | "kind" | "apiVersion") => {}
            None => {
                let why = format!("because it is defined in {}", theirs.key(name));
                out.required(&ours.key(name), &why);
            }
        }
    }
    if let (Some(inner), Some(item)) = (&part.items, &node.items) {
        spoken_of(item, inner, &from.field("items"), &at.field("items"), out);
    }
}
