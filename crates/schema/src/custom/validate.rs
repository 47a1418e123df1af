//! Whether a custom object is what its definition's schema takes, in Kubernetes' words.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
};

use evenkeel_model::canonical;
use serde_json::{Map, Value};

use super::{
    formats,
    node::{Bounds, Checks, List, Node, Part, Sort},
};
use crate::{
    path::Trail,
    validate::{Complaints, metadata_of_embedded},
};

/// Everything that is wrong with a value.
pub(crate) fn value(node: &Node, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if value.is_null() && node.nullable {
        return;
    }
    if !is(node.sort, value) {
        out.wrong_type(at, value, node.sort.name());
        return;
    }
    checks(&node.checks, value, at, out);
    match value {
        Value::Object(map) => fields(node, map, at, out),
        Value::Array(list) => {
            if let Some(item) = &node.items {
                for (i, v) in list.iter().enumerate() {
                    self::value(item, v, &at.index(i), out);
                }
            }
            duplicates(node, list, at, out);
        }
        _ => {}
    }
}

fn fields(node: &Node, map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) {
    if node.embedded {
        metadata_of_embedded(map, at, out);
    }
    for (name, v) in map {
        if let Some(child) = node.properties.get(name) {
            value(child, v, &at.field(name), out);
        } else if let Some(child) = &node.additional {
            value(child, v, &at.key(name), out);
        }
    }
}

fn is(sort: Sort, value: &Value) -> bool {
    match sort {
        Sort::Object => value.is_object(),
        Sort::Array => value.is_array(),
        Sort::String => value.is_string(),
        Sort::Integer => whole(value),
        Sort::Number => value.is_number(),
        Sort::Boolean => value.is_boolean(),
        Sort::IntOrString => value.is_string() || whole(value),
        Sort::Any => true,
    }
}

/// Whether a number is a whole one: `1.0` is, as in Go.
fn whole(value: &Value) -> bool {
    let Value::Number(n) = value else { return false };
    if n.is_i64() || n.is_u64() {
        return true;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::float_cmp)] // that is the question
    n.as_f64().is_some_and(|f| (f as i64) as f64 == f)
}

/// What a check says of a value.
fn checks(checks: &Checks, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !checks.values.is_empty() && !checks.values.contains(value) {
        let supported: alloc::vec::Vec<String> =
            checks.values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into)).collect();
        let supported: alloc::vec::Vec<&str> = supported.iter().map(String::as_str).collect();
        out.unsupported(at, value, &supported);
    }
    match value {
        Value::String(text) => string(checks, text, value, at, out),
        Value::Number(n) => number(checks, n.as_f64().unwrap_or(f64::NAN), value, at, out),
        Value::Array(list) => count(checks.items, list.len(), "items", at, out),
        Value::Object(map) => {
            count(checks.fields, map.len(), "properties", at, out);
            for name in &checks.required {
                if !map.contains_key(name) {
                    out.required(&at.field(name), "");
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    choices(checks, value, at, out);
}

fn string(checks: &Checks, text: &str, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let length = text.chars().count() as u64;
    if let Some(min) = checks.length.min.filter(|min| length < *min) {
        out.invalid(at, value, &format!("{at} in body should be at least {min} chars long"));
    }
    if let Some(max) = checks.length.max.filter(|max| length > *max) {
        out.too_long(at, usize::try_from(max).unwrap_or(usize::MAX));
    }
    if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.is_match(text)) {
        out.invalid(at, value, &format!("{at} in body should match '{}'", pattern.as_str()));
    }
    if let Some(format) = checks.format.as_deref().filter(|f| !formats::fits(f, text)) {
        out.invalid(at, value, &format!("{at} in body must be of type {format}: {value}"));
    }
}

fn number(checks: &Checks, n: f64, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if let Some((min, exclusive)) = checks.minimum
        && (n < min || exclusive && n <= min)
    {
        let than = if exclusive { "greater than" } else { "greater than or equal to" };
        out.invalid(at, value, &format!("{at} in body should be {than} {min}"));
    }
    if let Some((max, exclusive)) = checks.maximum
        && (n > max || exclusive && n >= max)
    {
        let than = if exclusive { "less than" } else { "less than or equal to" };
        out.invalid(at, value, &format!("{at} in body should be {than} {max}"));
    }
    if let Some(of) = checks.multiple_of
        && !whole(&Value::from(n / of))
    {
        out.invalid(at, value, &format!("{at} in body should be a multiple of {of}"));
    }
    let range = match checks.format.as_deref() {
        Some("int32") => f64::from(i32::MIN)..=f64::from(i32::MAX),
        _ => return,
    };
    if !range.contains(&n) {
        out.invalid(at, value, &format!("{at} in body must be of type int32: {value}"));
    }
}

fn count(bounds: Bounds, found: usize, what: &str, at: &Trail<'_>, out: &mut Complaints) {
    let n = found as u64;
    if let Some(min) = bounds.min.filter(|min| n < *min) {
        out.invalid(at, &Value::from(n), &format!("{at} in body should have at least {min} {what}"));
    }
    if let Some(max) = bounds.max.filter(|max| n > *max) {
        out.too_many(at, n, max);
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
fn choices(checks: &Checks, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    for each in &checks.all_of {
        part(each, value, at, out);
    }
    let fitting = |parts: &[Part]| parts.iter().filter(|p| fits(p, value, at)).count();
    if !checks.any_of.is_empty() && fitting(&checks.any_of) == 0 {
        out.invalid(at, value, &format!("{at} in body must validate at least one schema (anyOf)"));
    }
    if !checks.one_of.is_empty() {
        let found = fitting(&checks.one_of);
        if found != 1 {
            let more = if found == 0 { "Found none valid".into() } else { format!("Found {found} valid alternatives") };
            out.invalid(at, value, &format!("{at} in body must validate one and only one schema (oneOf). {more}"));
        }
    }
    if checks.not.as_ref().is_some_and(|p| fits(p, value, at)) {
        out.invalid(at, value, &format!("{at} in body must not validate the schema (not)"));
    }
}

fn fits(part: &Part, value: &Value, at: &Trail<'_>) -> bool {
    let mut found = Complaints::default();
    self::part(part, value, at, &mut found);
    found.problems.is_empty()
}

fn part(part: &Part, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(sort) = part.checks.sort.filter(|s| !is(*s, value)) {
        out.wrong_type(at, value, sort.name());
        return;
    }
    checks(&part.checks, value, at, out);
    match value {
        Value::Object(map) => {
            for (name, v) in map {
                if let Some(inner) = part.properties.get(name) {
                    self::part(inner, v, &at.field(name), out);
                } else if let Some(inner) = &part.additional {
                    self::part(inner, v, &at.key(name), out);
                }
            }
        }
        Value::Array(list) => {
            if let Some(inner) = &part.items {
                for (i, v) in list.iter().enumerate() {
                    self::part(inner, v, &at.index(i), out);
                }
            }
        }
        _ => {}
    }
}

/// Items of sets and keyed lists are there once.
fn duplicates(node: &Node, list: &[Value], at: &Trail<'_>, out: &mut Complaints) {
    let mut seen = BTreeSet::new();
    for (i, item) in list.iter().enumerate() {
        let name = match &node.list {
            List::Atomic => return,
            List::Set => item.clone(),
            List::Map(keys) => {
                let part = |k: &String| item.get(k).map(|v| (k.clone(), v.clone()));
                Value::Object(keys.iter().filter_map(part).collect())
            }
        };
        if !seen.insert(canonical::value_bytes(&name)) {
            out.duplicate(&at.index(i), &name);
        }
    }
}
