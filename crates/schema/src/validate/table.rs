//! What the tables say of single fields: required, enumerated, in a range.

use alloc::{format, string::String};

use serde_json::{Map, Value};

use super::complaints::Complaints;
use crate::{
    path::Trail,
    types::{Field, Object, Type},
};

pub(super) fn walk(ty: &Type, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    match (ty, value) {
        (Type::Object(object), Value::Object(map)) => fields(object, map, at, out),
        (Type::List(item), Value::Array(list)) if deep(item) => {
            for (i, v) in list.iter().enumerate() {
                walk(item, v, &at.index(i), out);
            }
        }
        (Type::Map(item), Value::Object(map)) if deep(item) => {
            for (key, v) in map {
                walk(item, v, &at.key(key), out);
            }
        }
        _ => {}
    }
}

/// Whether there can be fields below.
fn deep(ty: &Type) -> bool {
    match ty {
        Type::Object(_) => true,
        Type::List(item) | Type::Map(item) => deep(item),
        _ => false,
    }
}

/// Fields of table and object are both in the order of their names, so one pass sees both.
fn fields(object: &Object, map: &Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) {
    let mut entries = map.iter().peekable();
    for field in object.fields {
        while entries.next_if(|(name, _)| name.as_str() < field.name).is_some() {}
        let value = entries.next_if(|(name, _)| name.as_str() == field.name).map(|(_, v)| v);
        match value {
            None | Some(Value::Null) => {
                if field.required {
                    out.required(&at.field(field.name), "");
                }
            }
            Some(value) => present(field, value, &at.field(field.name), out),
        }
    }
}

fn present(field: &Field, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    match value {
        // In Go an empty string is an absent one.
        Value::String(s) if s.is_empty() && !field.values.contains(&"") => {
            if field.required {
                out.required(at, "");
            }
        }
        Value::String(s) if !field.values.is_empty() && !field.values.contains(&s.as_str()) => {
            out.unsupported(at, value, field.values);
        }
        Value::Array(list) if !field.values.is_empty() => {
            for (i, v) in
                list.iter().enumerate().filter(|(_, v)| v.as_str().is_some_and(|s| !field.values.contains(&s)))
            {
                out.unsupported(&at.index(i), v, field.values);
            }
        }
        Value::Number(n) => {
            if let (Some((min, max)), Some(n)) = (field.range, n.as_i64())
                && !(min..=max).contains(&n)
            {
                let why = match (min, max) {
                    (min, i64::MAX) => format!("must be greater than or equal to {min}"),
                    (min, max) => format!("must be between {min} and {max}, inclusive"),
                };
                out.invalid(at, value, &why);
            }
        }
        _ => walk(&field.ty, value, at, out),
    }
}
