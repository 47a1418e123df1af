//! Custom objects as a request's version of their kind shows them, and what their definitions say of
//! tables, subresources and warnings.
//!
//! Called by whatever answers with objects. Built-in kinds pass through untouched. Deliberately not here:
//! the schemas (`evenkeel_schema::custom`), and definitions' own life (core).

use std::borrow::Cow;

use axum::http::Method;
use evenkeel_model::{Kind, Object, Time};
use evenkeel_schema::{
    Customs, SchemaRef,
    custom::{Column, Version, jsonpath},
    decode::{Fault, Options},
};
use serde_json::{Value, json};

use super::{
    access::{Below, SCALE, STATUS_WRITES},
    given::Warnings,
    status::Failure,
    tables,
};

/// An object as this version of its kind shows it: pruned and defaulted by its schema, whenever it was
/// written, as Kubernetes reads it.
pub(super) fn shown<'o>(customs: &Customs, kind: Kind, object: &'o Object) -> Cow<'o, Object> {
    let (Kind::Custom(_), Some(schema)) = (kind, customs.schema(kind)) else { return Cow::Borrowed(object) };
    let seen = object.shown_as(kind);
    let mut tree = schema.decode(&seen.to_value(), Options::default(), &mut |_: Fault<&Value>| {});
    schema.fill_defaults(&mut tree);
    // What cannot be read is shown as it is kept: nothing hides an object.
    let Ok(mut read) = Object::of_kind(kind, tree) else { return Cow::Owned(seen) };
    (read.managed, read.meta) = (seen.managed, seen.meta);
    Cow::Owned(read)
}

/// The schema of a kind; 404 where its definition went.
pub(super) fn schema(customs: &Customs, kind: Kind) -> Result<SchemaRef<'_>, Failure> {
    customs.schema(kind).ok_or_else(Failure::no_path)
}

/// What lies below an object of a custom kind.
pub(super) fn below(customs: &Customs, kind: Kind) -> &'static [Below] {
    let Some(version) = customs.version(kind) else { return &[] };
    match (version.scale.is_some(), kind.info().has_status) {
        (false, false) => &[],
        (false, true) => &[STATUS_WRITES],
        (true, false) => &[SCALE],
        (true, true) => &[SCALE, STATUS_WRITES],
    }
}

/// What a client is told of a version that is to go.
pub(super) fn warnings(customs: &Customs, kind: Kind, method: &Method) -> Warnings {
    let mut warnings = Warnings::default();
    if *method != Method::HEAD
        && let Some(text) = customs.version(kind).and_then(|v| v.warning.as_deref())
    {
        warnings.add(text);
    }
    warnings
}

/// Columns of a custom kind: its name, then what its definition says; its age where that says nothing.
pub(super) fn columns(customs: &Customs, kind: Kind) -> Value {
    let named = |name: &str, sort: &str, format: &str, description: &str, priority: i64| json!({"name": name, "type": sort, "format": format, "description": description, "priority": priority});
    let mut out = vec![named("Name", "string", "name", "", 0)];
    match columns_of(customs, kind) {
        [] => out.push(named("Age", "date", "", "", 0)),
        own => out.extend(own.iter().map(|c| named(&c.name, &c.sort, &c.format, &c.description, c.priority))),
    }
    out.into()
}

fn columns_of(customs: &Customs, kind: Kind) -> &[Column] {
    customs.version(kind).map_or(&[], |v: &Version| &v.columns)
}

/// The cells of an object's row.
pub(super) fn cells(customs: &Customs, object: &Object, now: Time) -> Vec<Value> {
    let mut out = vec![tables::name(object)];
    let own = columns_of(customs, object.key.kind);
    if own.is_empty() {
        out.push(tables::age(object, now));
        return out;
    }
    let tree = object.to_value();
    out.extend(own.iter().map(|column| cell(column, &tree, now)));
    out
}

/// One cell, as Kubernetes shows it: a date as its age, several values with commas.
fn cell(column: &Column, tree: &Value, now: Time) -> Value {
    let Ok(path) = jsonpath::parse(&column.path) else { return Value::Null };
    let found = path.all(tree);
    let Some(first) = found.first() else { return Value::Null };
    match column.sort.as_str() {
        "date" => match first.as_str().and_then(Time::parse_rfc3339) {
            Some(time) => tables::human(now.since(time)).into(),
            None => "<invalid>".into(),
        },
        "integer" => first.as_i64().map_or(Value::Null, Into::into),
        "number" => first.as_f64().map_or(Value::Null, Into::into),
        "boolean" => first.as_bool().map_or(Value::Null, Into::into),
        _ => {
            let text = |v: &&Value| v.as_str().map_or_else(|| v.to_string(), Into::into);
            found.iter().map(text).collect::<Vec<String>>().join(",").into()
        }
    }
}
