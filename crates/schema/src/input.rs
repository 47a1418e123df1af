//! What a walk reads from: YAML with places, or JSON.
//!
//! One trait, so that the strict decoder is written once. The YAML tree of `evenkeel-manifest`
//! implements it; JSON values do here, for writes through the API.

use serde_json::Value;

/// A node of a tree. Cheap to copy.
pub trait Input<'a>: Copy {
    /// A list's items.
    type Items: Iterator<Item = Self>;
    /// A mapping's entries: key, the key's own node (the mapping's value where keys have none), value.
    type Entries: Iterator<Item = (&'a str, Self, Self)>;

    /// What stands here.
    fn shape(self) -> Shape<'a, Self>;

    /// The text of an unquoted scalar as it was written, where the input knows it.
    fn written(self) -> Option<&'a str> {
        None
    }
}

/// What stands at a node.
#[derive(Debug)]
pub enum Shape<'a, I: Input<'a>> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number that is no `i64`.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// A list.
    List(I::Items),
    /// A mapping.
    Map(I::Entries),
}

/// A JSON object's entries.
#[derive(Debug)]
pub struct JsonEntries<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for JsonEntries<'a> {
    type Item = (&'a str, &'a Value, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(k, v)| (k.as_str(), v, v))
    }
}

impl<'a> Input<'a> for &'a Value {
    type Items = core::slice::Iter<'a, Value>;
    type Entries = JsonEntries<'a>;

    fn shape(self) -> Shape<'a, Self> {
        match self {
            Value::Null => Shape::Null,
            Value::Bool(b) => Shape::Bool(*b),
            Value::Number(n) => n.as_i64().map_or_else(|| Shape::Float(n.as_f64().unwrap_or(f64::NAN)), Shape::Int),
            Value::String(s) => Shape::Str(s),
            Value::Array(a) => Shape::List(a.iter()),
            Value::Object(m) => Shape::Map(JsonEntries(m.iter())),
        }
    }
}
