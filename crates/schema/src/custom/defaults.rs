//! What a definition's schema fills in where a field is absent.

use serde_json::Value;

use super::node::Node;

/// Fills in every default. Doing it again changes nothing.
pub(crate) fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in &node.properties {
                let absent = match map.get(name) {
                    None => true,
                    Some(Value::Null) => !child.nullable,
                    Some(_) => false,
                };
                if absent && let Some(default) = &child.default {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(v) = map.get_mut(name) {
                    fill(child, v);
                }
            }
            if let Some(child) = &node.additional {
                let free = map.iter_mut().filter(|(name, _)| !node.properties.contains_key(*name));
                for (_, v) in free {
                    if v.is_null()
                        && !child.nullable
                        && let Some(default) = &child.default
                    {
                        *v = default.clone();
                    }
                    fill(child, v);
                }
            }
        }
        Value::Array(list) => {
            if let Some(item) = &node.items {
                for v in list {
                    fill(item, v);
                }
            }
        }
        _ => {}
    }
}
