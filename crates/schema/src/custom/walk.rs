//! Strict decoding of custom objects: what the schema does not know is pruned and told.
//!
//! As [`crate::decode`], but types are the business of [`super::validate`], as in Kubernetes: a custom
//! object with a wrong type is read and found invalid.

use alloc::{format, string::ToString};

use serde_json::{Map, Value};

use super::node::{Node, Sort};
use crate::{
    decode::{Fault, FaultKind, Options, any, metadata, yaml11_bool},
    input::{Input, Shape},
    nearest::nearest,
    path::Trail,
};

/// Complaints of one object; beyond it nobody reads them.
const MAX_FAULTS: usize = 1000;

/// Decodes a whole custom object. `status` is left out where `without_status` says so.
pub(crate) fn decode<'a, I: Input<'a>>(
    root: &Node,
    without_status: bool,
    input: I,
    options: Options,
    sink: &mut dyn FnMut(Fault<I>),
) -> Value {
    let mut walk = Walk { options, sink, faults: 0 };
    let Shape::Map(entries) = input.shape() else {
        return walk.whole(root, input, &Trail::Root);
    };
    let entries = entries.filter(|(name, ..)| !(without_status && *name == "status"));
    walk.fields(root, true, entries, &Trail::Root)
}

struct Walk<'s, I> {
    options: Options,
    sink: &'s mut dyn FnMut(Fault<I>),
    faults: usize,
}

impl<'a, I: Input<'a>> Walk<'_, I> {
    fn whole(&mut self, node: &Node, input: I, at: &Trail<'_>) -> Value {
        match (input.shape(), node.sort) {
            (Shape::Map(entries), Sort::Object) => self.fields(node, node.embedded, entries, at),
            (Shape::List(items), Sort::Array) => {
                let Some(item) = &node.items else { return any(input) };
                let items = items.enumerate();
                Value::Array(items.map(|(i, v)| self.whole(item, v, &at.index(i))).collect())
            }
            // Without a type, fields may be known all the same.
            (Shape::Map(entries), Sort::Any) if !node.properties.is_empty() => {
                self.fields(node, node.embedded, entries, at)
            }
            (Shape::Str(word), Sort::Boolean) if input.written().is_some() => {
                yaml11_bool(word).map_or_else(|| any(input), Value::Bool)
            }
            _ => any(input),
        }
    }

    fn fields(
        &mut self,
        node: &Node,
        object: bool,
        entries: impl Iterator<Item = (&'a str, I, I)>,
        at: &Trail<'_>,
    ) -> Value {
        let mut out = Map::new();
        for (name, key, value) in entries {
            let known = node.properties.get(name);
            let at = if known.is_some() || node.additional.is_none() { at.field(name) } else { at.key(name) };
            let child = known.or(node.additional.as_deref());
            if object && matches!(name, "apiVersion" | "kind") {
                out.insert(name.to_string(), any(value));
            } else if object && name == "metadata" {
                let decoded = metadata(value, &at, self.options, &mut *self.sink);
                out.insert(name.to_string(), decoded);
            } else if let Some(child) = child {
                // `null` is no value but where the schema takes it for one.
                if matches!(value.shape(), Shape::Null) && !child.nullable {
                    continue;
                }
                let decoded = self.whole(child, value, &at);
                out.insert(name.to_string(), decoded);
            } else if node.preserve {
                out.insert(name.to_string(), any(value));
            } else {
                self.faults += 1;
                if self.faults <= MAX_FAULTS {
                    let near = nearest(name, node.properties.keys().map(alloc::string::String::as_str));
                    let hint = near.map_or_else(alloc::string::String::new, |n| format!(", did you mean `{n}`?"));
                    let message = format!("unknown field `{name}`{hint}");
                    (self.sink)(Fault { node: key, kind: FaultKind::UnknownField, path: at.path(), message });
                }
            }
        }
        Value::Object(out)
    }
}
