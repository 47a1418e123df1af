//! The schema's own types: what is known of a definition and of each of its fields, as statics.
//!
//! The tables under `tables/` are made of these; every walk of this crate reads them. Deliberately
//! not here: descriptions of fields, see [`crate::about`].

use serde_json::Value;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// A mapping with known fields.
    Object(&'static Object),
    /// A list of one type.
    List(&'static Type),
    /// A mapping from free keys to one type.
    Map(&'static Type),
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Double,
    /// Bytes, in base64.
    Bytes,
    /// A point in time in RFC 3339 (`Time` and `MicroTime`).
    Time,
    /// A quantity: text or a number.
    Quantity,
    /// A number or text, as `25%`.
    IntOrString,
    /// Any tree (`RawExtension`, `FieldsV1`, `JSON`).
    Any,
}

impl Type {
    /// The definition, where it is one.
    pub fn object(&self) -> Option<&'static Object> {
        match self {
            Type::Object(o) => Some(o),
            _ => None,
        }
    }

    /// How a message names it.
    pub fn expected(&self) -> &'static str {
        match self {
            Type::Object(_) | Type::Map(_) => "a mapping",
            Type::List(_) => "a list",
            Type::String => "a string",
            Type::Bool => "true or false",
            Type::Int32 | Type::Int64 => "a whole number",
            Type::Double => "a number",
            Type::Bytes => "a string in base64",
            Type::Time => "a time in RFC 3339, such as 2026-01-02T03:04:05Z",
            Type::Quantity => "a quantity, such as 250m or 1Gi",
            Type::IntOrString => "a whole number or a string",
            Type::Any => "anything",
        }
    }
}

/// A definition: a mapping with known fields.
#[derive(Debug)]
pub struct Object {
    /// As `core.v1.Container`.
    pub name: &'static str,
    /// In the order of their names.
    pub fields: &'static [Field],
    /// Server-side apply takes it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

impl Object {
    /// The last part of its name, as people know it: `Container`.
    pub fn short(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// A field of a definition.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// Type.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
    /// How server-side apply merges a list.
    pub list: ListType,
    /// Server-side apply takes the mapping as a whole.
    pub atomic: bool,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
    /// What Kubernetes fills in when it is absent, without further condition.
    pub default: Option<Literal>,
    /// What its absence means where nothing is filled in (`hostNetwork`: `false`).
    pub absent: Option<Literal>,
    /// The values that it may have; empty: any.
    pub values: &'static [&'static str],
    /// The whole numbers that it may be, both ends included.
    pub range: Option<(i64, i64)>,
    /// What Evenkeel does with it.
    pub support: Support,
    /// Numbers in the protobuf message, outermost first; one, but where protobuf nests what JSON
    /// has in one level. Empty for `apiVersion` and `kind`.
    pub numbers: &'static [u16],
}

impl Field {
    /// A field with nothing said of it: what the generated tables start from.
    pub(crate) const PLAIN: Field = Field {
        name: "",
        ty: Type::Any,
        required: false,
        list: ListType::Atomic,
        atomic: false,
        patch: Patch::Replace,
        default: None,
        absent: None,
        values: &[],
        range: None,
        support: Support::Done,
        numbers: &[],
    };
}

/// How server-side apply merges a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// As a whole. Also for fields that are no lists.
    Atomic,
    /// Scalars, each owned by itself.
    Set,
    /// Items told apart by these fields.
    Map(&'static [&'static str]),
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// A list is replaced, a mapping merged.
    Replace,
    /// A list of scalars is united.
    Merge,
    /// A list's items are merged by this field.
    MergeBy(&'static str),
    /// `$retainKeys` applies.
    RetainKeys,
    /// Both.
    MergeRetainKeys(&'static str),
}

impl Patch {
    /// The field that tells a list's items apart.
    pub fn merge_key(self) -> Option<&'static str> {
        match self {
            Patch::MergeBy(k) | Patch::MergeRetainKeys(k) => Some(k),
            _ => None,
        }
    }
}

/// A value in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// Text.
    Str(&'static str),
    /// A whole number.
    Int(i64),
    /// `true` or `false`.
    Bool(bool),
    /// An empty mapping, whose own fields have defaults.
    Empty,
}

impl Literal {
    /// As JSON.
    pub fn value(self) -> Value {
        match self {
            Literal::Str(s) => s.into(),
            Literal::Int(i) => i.into(),
            Literal::Bool(b) => b.into(),
            Literal::Empty => Value::Object(serde_json::Map::new()),
        }
    }

    /// Whether a value is this one.
    pub fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Literal::Str(a), Value::String(b)) => a == b,
            (Literal::Int(a), Value::Number(b)) => b.as_i64() == Some(a),
            (Literal::Bool(a), Value::Bool(b)) => a == *b,
            (Literal::Empty, Value::Object(b)) => b.is_empty(),
            _ => false,
        }
    }
}

/// What Evenkeel does with a field of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is done as Kubernetes does it.
    Done,
    /// It is kept and has no effect, which is harmless: a warning, but for the accepted values.
    Ignored {
        /// Values without a warning.
        accepted: &'static [&'static str],
        /// Why that is harmless.
        note: &'static str,
    },
    /// The server sets it: left out of a manifest without a word.
    Dropped,
    /// An error, but for values that change nothing.
    Refused {
        /// Values that are all right.
        accepted: &'static [&'static str],
        /// More about it; may be empty.
        note: &'static str,
    },
}
