//! Values of Secrets never leave: a keyed digest stands for each.
//!
//! Called wherever a Secret's fields are recorded or shown (drifts, plans).

use alloc::format;

use evenkeel_model::{Digest, Kind};
use evenkeel_schema::merge::{FieldPath, PathElement};
use serde_json::Value;

use crate::world::World;

/// Hexadecimal digits of a digest that stands for a value.
const DIGITS: usize = 16;
/// Fields of a Secret that hold values.
const FIELDS: [&str; 2] = ["data", "stringData"];

/// A value at a path of an object of a kind, as it may be shown.
pub(crate) fn value(world: &World, kind: Kind, path: &FieldPath, value: &Value) -> Value {
    if kind != Kind::Secret {
        return value.clone();
    }
    let mut value = value.clone();
    match path.0.first() {
        Some(PathElement::Field(f)) if FIELDS.contains(&f.as_str()) => hide(world, &mut value),
        // Annotations may hold a copy of the whole object, as `kubectl apply` leaves one.
        Some(PathElement::Field(f)) if f == "metadata" => hide_annotations(world, path, &mut value),
        _ => {}
    }
    value
}

/// A whole Secret, as it may be shown.
pub(crate) fn secret(world: &World, object: &mut Value) {
    for field in FIELDS {
        if let Some(values) = object.get_mut(field) {
            hide(world, values);
        }
    }
    if let Some(annotations) = object.get_mut("metadata").and_then(|m| m.get_mut("annotations")) {
        hide_copies(world, annotations);
    }
}

fn hide(world: &World, value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| hide(world, v)),
        Value::Array(list) => list.iter_mut().for_each(|v| hide(world, v)),
        Value::Null => {}
        other => {
            let text = other.as_str().map_or_else(|| format!("{other}"), Into::into);
            *other = Value::String(format!(
                "hmac-sha256:{}",
                Digest::keyed(&world.digest_key, text.as_bytes()).short(DIGITS)
            ));
        }
    }
}

fn hide_annotations(world: &World, path: &FieldPath, value: &mut Value) {
    let field = |i: usize| match path.0.get(i) {
        Some(PathElement::Field(f)) => Some(f.as_str()),
        _ => None,
    };
    match (field(1), field(2)) {
        (Some("annotations"), Some(name)) if is_copy(name) => hide(world, value),
        (Some("annotations"), None) => hide_copies(world, value),
        (None, _) => {
            if let Some(annotations) = value.get_mut("annotations") {
                hide_copies(world, annotations);
            }
        }
        _ => {}
    }
}

fn hide_copies(world: &World, annotations: &mut Value) {
    let Some(map) = annotations.as_object_mut() else { return };
    map.iter_mut().filter(|(k, _)| is_copy(k)).for_each(|(_, v)| hide(world, v));
}

fn is_copy(annotation: &str) -> bool {
    annotation == evenkeel_model::names::FORMER || annotation == "kubectl.kubernetes.io/last-applied-configuration"
}
