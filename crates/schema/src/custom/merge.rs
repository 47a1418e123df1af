//! A definition's schema for merging: server-side apply, ownership, drift.

use serde_json::Value;

use super::{
    defaults,
    node::{List, Node, Sort},
};
use crate::{
    merge::{Keys, Leaf, Node as Table, SchemaNode, Shape},
    types::Type,
};

/// A place in an object of any kind.
#[derive(Debug, Clone, Copy)]
pub enum AnyNode<'s> {
    /// The static tables know it.
    Table(Table),
    /// A definition does.
    Custom(&'s Node),
    /// A definition knows the object around it: `apiVersion`, `kind` and `metadata` are as everywhere.
    Object(&'s Node),
}

impl SchemaNode for AnyNode<'_> {
    fn shape<'k>(self) -> Shape<'k, Self>
    where
        Self: 'k,
    {
        let node = match self {
            Self::Table(table) => return table.shape().map(Self::Table),
            Self::Object(_) => return Shape::Struct,
            Self::Custom(node) => node,
        };
        match node.sort {
            Sort::Integer => Shape::Scalar(Leaf::Integer),
            Sort::String | Sort::Number | Sort::Boolean | Sort::IntOrString => Shape::Scalar(Leaf::Plain),
            // Unknown parts of a known mapping are merged by what they are.
            Sort::Any => Shape::Any,
            Sort::Array => match (&node.list, node.items.as_deref()) {
                (List::Atomic, Some(item)) => Shape::AtomicList(Self::Custom(item)),
                (List::Set, Some(item)) => Shape::Set(Self::Custom(item)),
                (List::Map(keys), Some(item)) => Shape::Keyed(Self::Custom(item), Keys::Owned(keys)),
                (_, None) => Shape::Any,
            },
            Sort::Object => match node.additional.as_deref() {
                Some(child) if node.atomic => Shape::AtomicMap(Self::Custom(child)),
                Some(child) if node.properties.is_empty() => Shape::Map(Self::Custom(child)),
                _ if node.atomic => Shape::AtomicStruct,
                _ => Shape::Struct,
            },
        }
    }

    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Table(table) => table.field(name).map(Self::Table),
            Self::Object(_) if matches!(name, "apiVersion" | "kind") => Some(Self::Table(Table::of_type(Type::String))),
            Self::Object(_) if name == "metadata" => Some(Self::Table(Table::of_type(*crate::kinds::metadata()))),
            Self::Object(node) | Self::Custom(node) => match node.properties.get(name) {
                Some(child) => Some(Self::Custom(child)),
                None if node.embedded => Self::Object(node).embedded_field(name),
                None => None,
            },
        }
    }

    fn retain_keys(self) -> bool {
        matches!(self, Self::Table(table) if table.retain_keys())
    }

    fn is_absence(self, value: &Value) -> bool {
        match self {
            Self::Table(table) => table.is_absence(value),
            Self::Custom(node) => node.default.as_ref() == Some(value),
            Self::Object(_) => false,
        }
    }

    fn is_void(self, value: &Value) -> bool {
        matches!(self, Self::Table(table) if table.is_void(value))
    }

    fn fill_defaults(self, value: &mut Value) {
        match self {
            Self::Table(table) => table.fill_defaults(value),
            Self::Custom(node) | Self::Object(node) => defaults::fill(node, value),
        }
    }
}

impl AnyNode<'_> {
    /// What a whole object within another has.
    fn embedded_field(self, name: &str) -> Option<Self> {
        matches!(name, "apiVersion" | "kind" | "metadata").then(|| self.field(name)).flatten()
    }
}
