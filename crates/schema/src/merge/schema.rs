//! What merging needs to know of a field: the seam between the walks here and the tables.
//!
//! Implemented for the static tables (`tables.rs`), for the schemas of definitions (`crate::custom`) and,
//! in tests, for a small hand-made schema.
//! Deliberately not here: names of kinds, descriptions, validation.

use alloc::string::String;

use serde_json::Value;

/// How values of one field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// As they are.
    Plain,
    /// A whole number: decides how a path's text is read.
    Integer,
    /// By numeric value: `1000m` is `1`.
    Quantity,
}

/// How the value of a field is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'k, N> {
    /// One value.
    Scalar(Leaf),
    /// A mapping with known fields, each merged for itself.
    Struct,
    /// A mapping from free keys to values of one type, each merged for itself.
    Map(N),
    /// A list of scalars, each of which is there or not.
    Set(N),
    /// A list whose items are known by the fields named here.
    Keyed(N, Keys<'k>),
    /// A mapping with known fields, replaced as a whole.
    AtomicStruct,
    /// A mapping with free keys, replaced as a whole.
    AtomicMap(N),
    /// A list, replaced as a whole.
    AtomicList(N),
    /// Any tree, replaced as a whole.
    Any,
}

impl<'k, N> Shape<'k, N> {
    /// The same shape of other nodes.
    pub(crate) fn map<M>(self, f: impl Fn(N) -> M) -> Shape<'k, M> {
        match self {
            Shape::Scalar(leaf) => Shape::Scalar(leaf),
            Shape::Struct => Shape::Struct,
            Shape::Map(n) => Shape::Map(f(n)),
            Shape::Set(n) => Shape::Set(f(n)),
            Shape::Keyed(n, keys) => Shape::Keyed(f(n), keys),
            Shape::AtomicStruct => Shape::AtomicStruct,
            Shape::AtomicMap(n) => Shape::AtomicMap(f(n)),
            Shape::AtomicList(n) => Shape::AtomicList(f(n)),
            Shape::Any => Shape::Any,
        }
    }
}

/// The fields that tell a list's items apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys<'k> {
    /// As the tables have them.
    Static(&'static [&'static str]),
    /// As a definition says them.
    Owned(&'k [String]),
}

impl<'k> Keys<'k> {
    /// Their names.
    pub fn iter(self) -> impl Iterator<Item = &'k str> {
        let (fixed, owned): (&'static [&'static str], &[String]) = match self {
            Keys::Static(keys) => (keys, &[]),
            Keys::Owned(keys) => (&[], keys),
        };
        fixed.iter().copied().chain(owned.iter().map(String::as_str))
    }

    /// Whether this is one of them.
    pub fn contains(self, name: &str) -> bool {
        self.iter().any(|k| k == name)
    }
}

/// A node of a schema.
pub trait SchemaNode: Copy {
    /// How a value here is merged.
    fn shape<'k>(self) -> Shape<'k, Self>
    where
        Self: 'k;

    /// The node of a known field, for the two struct shapes.
    fn field(self, name: &str) -> Option<Self>;

    /// Whether a change here takes away the fields that the change does not name and nobody owns:
    /// Kubernetes' patch strategy `retainKeys`, for structs that are a choice of one.
    fn retain_keys(self) -> bool {
        false
    }

    /// Whether a value here means the same as none at all (`hostNetwork: false`).
    fn is_absence(self, _value: &Value) -> bool {
        false
    }

    /// Whether writing this value here is like writing nothing, because a default replaces it
    /// (empty text, and 0 in a probe).
    fn is_void(self, _value: &Value) -> bool {
        false
    }

    /// Fills in what Kubernetes would, so that an atomic value as written compares equal to one as
    /// stored.
    fn fill_defaults(self, _value: &mut Value) {}
}
