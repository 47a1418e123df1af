//! A structural schema, compiled: what a value may be at each place of a custom object.
//!
//! Made from `openAPIV3Schema` by [`super::compile`]; read by every walk of this folder.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use regex::Regex;
use serde_json::Value;

use super::rules::Rule;

/// What sort of value stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A mapping.
    Object,
    /// A list.
    Array,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole number or text (`x-kubernetes-int-or-string`).
    IntOrString,
    /// Anything (no type, unknown fields preserved).
    Any,
}

impl Sort {
    /// As a schema names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Object => "object",
            Sort::Array => "array",
            Sort::String => "string",
            Sort::Integer => "integer",
            Sort::Number => "number",
            Sort::Boolean => "boolean",
            Sort::IntOrString => "integer,string",
            Sort::Any => "any",
        }
    }
}

/// How server-side apply merges a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum List {
    /// As a whole.
    Atomic,
    /// Scalars, each for itself.
    Set,
    /// Items known by these fields.
    Map(Vec<String>),
}

/// A place in a custom object.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is a word of the schema, and they combine
pub struct Node {
    pub(crate) sort: Sort,
    pub(crate) properties: BTreeMap<String, Node>,
    /// What values under free keys are.
    pub(crate) additional: Option<Box<Node>>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) nullable: bool,
    /// Unknown fields stay.
    pub(super) preserve: bool,
    /// A whole object: `apiVersion`, `kind` and `metadata` as in any.
    pub(crate) embedded: bool,
    pub(super) default: Option<Value>,
    pub(super) list: List,
    /// A mapping that server-side apply takes as a whole.
    pub(super) atomic: bool,
    pub(crate) checks: Checks,
    pub(super) rules: Vec<Rule>,
    /// It has rules, or something below it has.
    pub(super) ruled: bool,
}

impl Node {
    /// A place where anything may stand.
    pub(super) fn any() -> Self {
        Self {
            sort: Sort::Any,
            properties: BTreeMap::new(),
            additional: None,
            items: None,
            nullable: true,
            preserve: true,
            embedded: false,
            default: None,
            list: List::Atomic,
            atomic: false,
            checks: Checks::default(),
            rules: Vec::new(),
            ruled: false,
        }
    }
}

/// What a value must be like beyond its sort. Also the parts of `allOf`, `anyOf`, `oneOf` and `not`,
/// which speak of nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    /// Of a part alone: the sort that it wants.
    pub(super) sort: Option<Sort>,
    pub(super) required: Vec<String>,
    pub(super) values: Vec<Value>,
    pub(super) pattern: Option<Regex>,
    pub(crate) format: Option<String>,
    pub(super) minimum: Option<(f64, bool)>,
    pub(super) maximum: Option<(f64, bool)>,
    pub(super) multiple_of: Option<f64>,
    pub(super) length: Bounds,
    pub(super) items: Bounds,
    pub(super) fields: Bounds,
    pub(super) all_of: Vec<Part>,
    pub(super) any_of: Vec<Part>,
    pub(super) one_of: Vec<Part>,
    pub(super) not: Option<Box<Part>>,
}

/// A least and a greatest count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

/// A part of a choice.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) checks: Checks,
    pub(super) properties: BTreeMap<String, Part>,
    pub(super) additional: Option<Box<Part>>,
    pub(super) items: Option<Box<Part>>,
}
