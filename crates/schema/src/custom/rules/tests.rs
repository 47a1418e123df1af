//! Rules of definitions: which are taken, and what they say of objects.
#![allow(clippy::needless_pass_by_value)] // trees written where they are used

use std::{format, string::String, vec, vec::Vec};

use evenkeel_model::Kind;
use serde_json::{Value, json};

use super::*;
use crate::{
    SchemaRef,
    custom::{Definition, tests::crd},
    validate::object,
};

fn spec(rules: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": rules, "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
        "a-b": {"type": "string"},
        "users": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "age": {"type": "integer"}}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}}})
}

fn refused(schema: Value) -> Vec<String> {
    let found = object(Kind::CustomResourceDefinition, &crd(schema));
    found.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
}

fn judged(schema: &Value, new: Value, before: Before<'_>) -> Vec<String> {
    assert_eq!(refused(schema.clone()), Vec::<String>::new());
    let definition = Definition::read(&crd(schema.clone())["spec"], false).unwrap();
    let found = SchemaRef::Custom(definition.version("v1").unwrap()).validate(&whole(new), before);
    found.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
}

fn whole(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a", "namespace": "shop"}, "spec": spec})
}

const AT: &str = "spec.versions[0].schema.openAPIV3Schema.properties[spec]";

#[test]
fn a_rule_that_does_not_hold_says_so() {
    let rule = |more: Value| {
        let mut rule = json!({"rule": "self.min <= self.max"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec(json!([rule]))
    };
    let new = || json!({"min": 2, "max": 1});
    for (more, expected) in [
        (json!({}), r#"spec: Invalid value: "object": failed rule: self.min <= self.max"#),
        (json!({"message": "min above max"}), r#"spec: Invalid value: "object": min above max"#),
        (
            json!({"messageExpression": "'min ' + string(self.min) + ' above ' + string(self.max)"}),
            r#"spec: Invalid value: "object": min 2 above 1"#,
        ),
        // A message that comes to nothing is none.
        (
            json!({"message": "min above max", "messageExpression": "string(self.min / 0)"}),
            r#"spec: Invalid value: "object": min above max"#,
        ),
        (json!({"message": "no", "reason": "FieldValueForbidden"}), "spec: Forbidden: no"),
        (json!({"message": "no", "reason": "FieldValueRequired"}), "spec: Required value: no"),
        (json!({"message": "no", "fieldPath": ".min"}), r#"spec.min: Invalid value: "object": no"#),
        (json!({"message": "no", "fieldPath": "['a-b']"}), r#"spec.a-b: Invalid value: "object": no"#),
    ] {
        let schema = rule(more);
        assert_eq!(judged(&schema, new(), Before::Nothing), [expected]);
        assert_eq!(judged(&schema, json!({"min": 1, "max": 1}), Before::Nothing), Vec::<String>::new());
        // What is as it was is not judged again.
        let old = whole(new());
        assert_eq!(judged(&schema, new(), Before::Was(&old)), Vec::<String>::new());
    }
    let missing = judged(&rule(json!({"message": "no"})), json!({"min": 1}), Before::Nothing);
    assert_eq!(missing, [r#"spec: Invalid value: "object": no such key: max evaluating rule: no"#]);
}

#[test]
fn transitions_look_at_both_ends() {
    let schema = spec(json!([{"rule": "self.max >= oldSelf.max", "message": "max must not shrink"}]));
    let old = whole(json!({"max": 5}));
    let words = r#"spec: Invalid value: "object": max must not shrink"#;
    assert_eq!(judged(&schema, json!({"max": 4}), Before::Was(&old)), [words]);
    assert_eq!(judged(&schema, json!({"max": 6}), Before::Was(&old)), Vec::<String>::new());
    assert_eq!(judged(&schema, json!({"max": 1}), Before::Nothing), Vec::<String>::new(), "there is no transition");
    assert_eq!(judged(&schema, json!({"max": 1}), Before::Unknown), Vec::<String>::new());
    // With an optional older value it holds for new ones, too.
    let rule = "oldSelf.hasValue() || self.max < 3";
    let schema = spec(json!([{"rule": rule, "optionalOldSelf": true, "message": "begin small"}]));
    assert_eq!(judged(&schema, json!({"max": 9}), Before::Nothing), [r#"spec: Invalid value: "object": begin small"#]);
    assert_eq!(judged(&schema, json!({"max": 9}), Before::Was(&old)), Vec::<String>::new());
    assert_eq!(judged(&schema, json!({"max": 9}), Before::Unknown), Vec::<String>::new());
}

#[test]
fn rules_hold_at_any_depth() {
    let mut schema = spec(json!([]));
    let users = &mut schema["properties"]["spec"]["properties"]["users"];
    users["items"]["x-kubernetes-validations"] =
        json!([{"rule": "self.age >= oldSelf.age", "message": "nobody grows younger"}]);
    users["x-kubernetes-validations"] = json!([{"rule": "self.size() < 3", "message": "too many users"}]);
    let old = whole(json!({"users": [{"name": "an", "age": 30}, {"name": "bo", "age": 20}]}));
    // Items are told by their keys, wherever they stand.
    let new = json!({"users": [{"name": "bo", "age": 21}, {"name": "an", "age": 29}]});
    let words = r#"spec.users[1]: Invalid value: "object": nobody grows younger"#;
    assert_eq!(judged(&schema, new, Before::Was(&old)), [words]);
    let many = json!({"users": [{"name": "a", "age": 1}, {"name": "b", "age": 1}, {"name": "c", "age": 1}]});
    let words = r#"spec.users: Invalid value: "array": too many users"#;
    assert_eq!(judged(&schema, many, Before::Nothing), [words]);
    // On the whole object.
    let mut schema = spec(json!([]));
    schema["x-kubernetes-validations"] = json!([{"rule": "self.metadata.name == self.spec.name", "message": "names"}]);
    assert_eq!(judged(&schema, json!({"name": "b"}), Before::Nothing), [r#": Invalid value: "object": names"#]);
    // What is broken otherwise is told alone.
    let schema = spec(json!([{"rule": "self.min > 0"}]));
    let broken = judged(&schema, json!({"min": "a"}), Before::Nothing);
    assert!(broken[1].contains("some validation rules were not checked"), "{broken:?}");
}

#[test]
fn a_rule_that_cannot_be_read_refuses_its_definition() {
    let rule = |rule: Value| refused(spec(json!([rule])));
    let at = |field: &str| format!("{AT}.x-kubernetes-validations[0].{field}");
    for (written, field, words) in [
        (json!({"rule": "self.mim > 0"}), "rule", "undefined field 'mim'"),
        (json!({"rule": "  "}), "rule", "Required value: rule is not specified"),
        (json!({"rule": "self.min"}), "rule", "cel expression must evaluate to a bool, but it evaluates to int"),
        (json!({"rule": "true", "message": "a\nb"}), "message", "message must not contain line breaks"),
        (json!({"rule": "true\n"}), "", ""),
        (json!({"rule": "true\n&& true"}), "message", "message must be specified if rule contains line breaks"),
        (json!({"rule": "true", "messageExpression": "self.min"}), "messageExpression", "must evaluate to a string"),
        (json!({"rule": "true", "reason": "Nothing"}), "reason", "supported values: \"FieldValueDuplicate\""),
        (json!({"rule": "true", "fieldPath": ".mim"}), "fieldPath", "does not refer to a valid field"),
        (json!({"rule": "true", "fieldPath": "min"}), "fieldPath", "must be a path to a field"),
        (json!({"rule": "true", "optionalOldSelf": true}), "optionalOldSelf", "may not be set if oldSelf is not used"),
        (json!({"rule": "self.min > oldSelf.min", "optionalOldSelf": true}), "rule", "(int, optional_type(int))"),
    ] {
        let found = rule(written.clone());
        if field.is_empty() {
            assert_eq!(found, Vec::<String>::new(), "{written}");
            continue;
        }
        assert!(found.iter().any(|f| f.starts_with(&at(field)) && f.contains(words)), "{written}: {found:?}");
    }
    // Nobody can tell which item of a set was which.
    let mut schema = spec(json!([]));
    schema["properties"]["spec"]["properties"]["tags"]["items"]["x-kubernetes-validations"] =
        json!([{"rule": "self == oldSelf"}]);
    let found = refused(schema);
    assert!(
        found[0].contains("oldSelf cannot be used on the uncorrelatable portion of the schema within"),
        "{found:?}"
    );
}

#[test]
fn rules_of_one_object_end() {
    let rule = "self.users.all(a, self.users.all(b, self.users.all(c, a.age + b.age + c.age < 0 || true)))";
    let schema = spec(json!([{"rule": rule}, {"rule": "false"}]));
    let users: Vec<Value> = (0..200).map(|n| json!({"name": format!("u{n}"), "age": n})).collect();
    let found = judged(&schema, json!({"users": users}), Before::Nothing);
    let words = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(found, vec![format!(": Invalid value: null: {words}")]);
}
