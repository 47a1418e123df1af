//! Canonical JSON: object keys sorted, no blanks, so that equal values have equal bytes.
//!
//! `serde_json::Map` is a B-tree here (the feature `preserve_order` must stay off in the whole
//! tree; a test holds it), so plain serialization is canonical.

use alloc::{sync::Arc, vec::Vec};

use serde::Serialize;
use serde_json::Value;

/// The canonical bytes of a value.
///
/// # Errors
/// A map with keys that are no strings, which no Kubernetes type has.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Arc<[u8]>, serde_json::Error> {
    // Through `Value`, because a struct serializes its fields in their order of declaration.
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?.into())
}

/// The canonical bytes of a tree. A tree of JSON always has some.
pub fn value_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A value's canonical form with every `null`, empty map and empty list taken out, at any depth:
/// what an absent field and an empty one have in common.
pub fn without_empty(value: &Value) -> Value {
    fn empty(v: &Value) -> bool {
        match v {
            Value::Null => true,
            Value::Array(a) => a.is_empty(),
            Value::Object(m) => m.is_empty(),
            _ => false,
        }
    }
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), without_empty(v))).filter(|(_, v)| !empty(v)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_whatever_order_they_came_in() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(value_bytes(&value), br#"{"a":{"c":3,"d":2},"b":1}"#);
        assert_eq!(without_empty(&json!({"a": {"b": {}}, "c": [], "d": null, "e": [0]})), json!({"e": [0]}));
    }
}
