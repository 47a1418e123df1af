//! Custom kinds from their definitions' text to what becomes of their objects.

#![allow(clippy::needless_pass_by_value)] // trees written where they are used

use std::{string::ToString, vec::Vec};

use evenkeel_model::{Kind, Time};
use serde_json::{Value, json};

use super::*;
use crate::{
    decode::{Fault, Options},
    merge::{Apply, FieldSet, Managed, apply, diff},
    validate::object,
};

/// A definition in the shape of many: a database with a few replicas.
pub(super) fn crd(schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "databases.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Database", "plural": "databases", "singular": "database", "shortNames": ["db"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}}]}})
}

fn schema() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["engine"], "properties": {
            "engine": {"type": "string", "enum": ["postgres", "mysql"]},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "note": {"type": "string", "nullable": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "users": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "role": {"type": "string", "default": "reader"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "backup": {"type": "object", "default": {}, "properties": {
                "every": {"type": "string", "format": "duration", "default": "24h"}}},
            "size": {"type": "object", "oneOf": [{"required": ["small"]}, {"required": ["large"]}],
                "properties": {"small": {"type": "boolean"}, "large": {"type": "boolean"}}}}},
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}}}})
}

fn definition(schema: &Value) -> Definition {
    Definition::read(&crd(schema.clone())["spec"], false).unwrap()
}

fn database(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a", "namespace": "shop"}, "spec": spec})
}

fn schema_of(definition: &Definition) -> SchemaRef<'_> {
    SchemaRef::Custom(definition.version("v1").unwrap())
}

#[test]
fn unknown_fields_are_told_and_pruned() {
    let d = definition(&schema());
    let mut told = Vec::new();
    let value = database(json!({"engine": "postgres", "replica": 2, "note": null, "name": null, "free": {"any": [1]},
        "labels": {"a": "b"}, "users": [{"name": "an", "rol": "x"}]}));
    let out = schema_of(&d).decode(&value, Options::default(), &mut |f: Fault<&Value>| {
        told.push(std::format!("{}: {}", f.path, f.message));
    });
    assert_eq!(
        told,
        [
            "spec.replica: unknown field `replica`, did you mean `replicas`?",
            "spec.users[0].rol: unknown field `rol`, did you mean `role`?"
        ]
    );
    assert_eq!(
        out["spec"],
        json!({"engine": "postgres", "note": null, "free": {"any": [1]}, "labels": {"a": "b"}, "users": [{"name": "an"}]})
    );
}

#[test]
fn defaults_fill_what_is_absent() {
    let d = definition(&schema());
    let mut value = database(json!({"engine": "mysql", "users": [{"name": "an"}, {"name": "bo", "role": "w"}]}));
    schema_of(&d).fill_defaults(&mut value);
    let once = value.clone();
    schema_of(&d).fill_defaults(&mut value);
    assert_eq!(once, value);
    assert_eq!(
        value["spec"],
        json!({"engine": "mysql", "replicas": 1, "backup": {"every": "24h"},
            "users": [{"name": "an", "role": "reader"}, {"name": "bo", "role": "w"}]})
    );
}

#[test]
fn what_is_wrong_is_told_in_kubernetes_words() {
    let d = definition(&schema());
    let told = |spec: Value| -> Vec<String> {
        let problems = schema_of(&d).validate(&database(spec), Before::Unknown);
        problems.into_iter().map(|p| std::format!("{}: {}", p.path, p.message)).collect()
    };
    assert_eq!(told(json!({"engine": "postgres", "port": "http", "note": null, "size": {"small": true}})), [""; 0]);
    assert_eq!(
        told(json!({"replicas": 0, "name": "Not-good-at-all", "port": true, "tags": ["a", "a"],
            "users": [{"name": "an"}, {"name": "an"}, {}], "labels": {"a": 1}, "size": {"small": true, "large": true},
            "backup": {"every": "often"}})),
        [
            "spec.engine: Required value",
            "spec.backup.every: Invalid value: \"often\": spec.backup.every in body must be of type duration: \"often\"",
            "spec.labels[a]: Invalid value: 1: spec.labels[a] in body must be of type string: \"integer\"",
            "spec.name: Too long: may not be more than 8 bytes",
            "spec.name: Invalid value: \"Not-good-at-all\": spec.name in body should match '^[a-z]+$'",
            "spec.port: Invalid value: true: spec.port in body must be of type integer,string: \"boolean\"",
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
            "spec.size: Invalid value: {\"large\":true,\"small\":true}: spec.size in body must validate one and only one schema (oneOf). Found 2 valid alternatives",
            "spec.tags[1]: Duplicate value: \"a\"",
            "spec.users[2].name: Required value",
            "spec.users[1]: Duplicate value: {\"name\":\"an\"}",
        ]
    );
    assert_eq!(
        told(json!({"engine": "oracle"})),
        ["spec.engine: Unsupported value: \"oracle\": supported values: \"postgres\", \"mysql\""]
    );
}

#[test]
fn a_schema_that_is_not_structural_is_refused_with_its_place() {
    let told = |schema: Value| -> Vec<String> {
        let problems = object(Kind::CustomResourceDefinition, &crd(schema));
        problems.into_iter().map(|p| std::format!("{}: {}", p.path, p.message)).collect()
    };
    let at = "spec.versions[0].schema.openAPIV3Schema";
    assert_eq!(told(schema()), [""; 0]);
    for (schema, expected) in [
        (
            json!({"type": "object", "properties": {"a": {}}}),
            "properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array"}}}),
            "properties[a].items: Required value: must be specified",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "text"}}}),
            "properties[a].type: Unsupported value: \"text\"",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "default": 5}}}),
            "properties[a].default: Invalid value: 5",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            "properties[a].pattern: Invalid value: \"(\": must be a valid regular expression",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "$ref": "x"}}}),
            "properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}),
            "properties[b]: Required value: because it is defined in",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "anyOf": [{"description": "x"}]}}}),
            "anyOf[0].description: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}}}),
            "must have a default or be a required property",
        ),
    ] {
        let problems = told(schema);
        assert!(problems.len() == 1 && problems[0].starts_with(at) && problems[0].contains(expected), "{problems:?}");
    }
}

#[test]
fn definitions_say_their_names_right() {
    let mut value = crd(schema());
    value["metadata"]["name"] = json!("others.example.com");
    value["spec"]["scope"] = json!("Somewhere");
    value["spec"]["versions"][0]["storage"] = json!(false);
    value["spec"]["versions"][0]["additionalPrinterColumns"] =
        json!([{"name": "A", "type": "text", "jsonPath": "spec.a"}]);
    let told: Vec<String> =
        object(Kind::CustomResourceDefinition, &value).into_iter().map(|p| p.path.to_string()).collect();
    assert_eq!(
        told,
        [
            "metadata.name",
            "spec.scope",
            "spec.versions",
            "spec.versions[0].additionalPrinterColumns[0].type",
            "spec.versions[0].additionalPrinterColumns[0].jsonPath"
        ]
    );
    let mut own = crd(schema());
    own["spec"]["group"] = json!("networking.k8s.io");
    own["metadata"]["name"] = json!("databases.networking.k8s.io");
    assert_eq!(object(Kind::CustomResourceDefinition, &own).len(), 2);
}

#[test]
fn applies_merge_by_the_definitions_keys() {
    let d = definition(&schema());
    let node = schema_of(&d).node();
    let by = |manager| Apply { manager, force: false, time: Time(0), exclude: FieldSet::EMPTY, subresource: "" };
    let first = database(json!({"engine": "postgres", "users": [{"name": "an", "role": "w"}], "tags": ["a"]}));
    let one = apply(node, &Value::Null, &Managed::default(), &first, &by("one")).unwrap();
    let second = database(json!({"users": [{"name": "bo"}], "tags": ["b"]}));
    let two = apply(node, &one.value, &one.managed, &second, &by("two")).unwrap();
    let mut stored = two.value.clone();
    schema_of(&d).fill_defaults(&mut stored);
    assert_eq!(stored["spec"]["users"], json!([{"name": "an", "role": "w"}, {"name": "bo", "role": "reader"}]));
    assert_eq!(stored["spec"]["tags"].as_array().unwrap().len(), 2);
    assert_eq!(diff(node, &first, &stored, FieldSet::EMPTY), []);
    let conflict = apply(node, &stored, &two.managed, &database(json!({"engine": "mysql"})), &by("two")).unwrap_err();
    assert!(conflict.to_string().contains("spec.engine"), "{conflict}");
    let less = apply(node, &stored, &two.managed, &database(json!({"tags": []})), &by("two")).unwrap();
    assert_eq!(less.value["spec"]["tags"], json!(["a"]));
    assert_eq!(less.value["spec"]["users"], json!([{"name": "an", "role": "w"}]));
}

#[test]
fn versions_are_found_and_ordered_as_in_kubernetes() {
    let mut value = crd(schema());
    let v1 = value["spec"]["versions"][0].clone();
    let mut list = Vec::new();
    for (name, served) in [("v1alpha1", true), ("v1", true), ("v2beta1", true), ("v2", false)] {
        let mut v = v1.clone();
        v["name"] = json!(name);
        v["served"] = json!(served);
        v["storage"] = json!(name == "v1");
        list.push(v);
    }
    value["spec"]["versions"] = json!(list);
    let mut customs = Customs::default();
    customs.insert(Definition::read(&value["spec"], false).unwrap());
    let d = customs.iter().next().unwrap();
    let served: Vec<&str> = d.served().map(|v| v.kind.info().version).collect();
    assert_eq!(served, ["v1", "v2beta1", "v1alpha1"]);
    let alpha = customs.of("example.com/v1alpha1", "Database").unwrap();
    assert_eq!(alpha.info().version, "v1alpha1");
    assert_eq!(customs.stored(alpha).info().version, "v1");
    assert_eq!(customs.of("example.com/v2", "Database"), None, "not served");
    assert_eq!(customs.of_resource("example.com", "v1", "databases"), Some(alpha));
    assert_eq!(customs.of_text("Database.example.com"), Some(alpha));
    assert_eq!(customs.of("apps/v1", "Deployment"), Some(Kind::Deployment));
}
