//! The schema of one kind, built in or brought by a definition, and every walk over it.
//!
//! What writes objects of any kind (the world, the API, the reader of manifests) holds one of these and
//! asks no more what sort of kind it is.

use alloc::vec::Vec;

use evenkeel_model::Kind;
use serde_json::Value;

use crate::{
    custom::{self, AnyNode, Before},
    decode::{self, Fault, Options},
    defaults,
    input::Input,
    kinds::of_kind,
    merge::{Node, PatchError, strategic},
    path::Trail,
    support::{self, Remark},
    validate::{self, Complaints, Problem},
};

/// The schema of a kind.
#[derive(Debug, Clone, Copy)]
pub enum SchemaRef<'s> {
    /// The static tables and the code beside them.
    Table(Kind),
    /// A version of a definition.
    Custom(&'s custom::Version),
}

impl<'s> SchemaRef<'s> {
    /// The kind that it is of.
    pub fn kind(self) -> Kind {
        match self {
            Self::Table(kind) => kind,
            Self::Custom(version) => version.kind,
        }
    }

    /// Strict decoding. See [`crate::decode`].
    pub fn decode<'a, I: Input<'a>>(self, input: I, options: Options, sink: &mut dyn FnMut(Fault<I>)) -> Value {
        match self {
            Self::Table(kind) => decode::decode(of_kind(kind), input, options, sink),
            Self::Custom(version) => {
                let without_status = options.skip_server_set && version.kind.info().has_status;
                custom::decode(&version.root, without_status, input, options, sink)
            }
        }
    }

    /// What is not simply done of it. See [`crate::support`].
    pub fn admit(self, value: &mut Value, sink: &mut dyn FnMut(Remark)) {
        match self {
            Self::Table(kind) => support::admit(kind, value, sink),
            // A definition has no fields that are known and not done; of the metadata it is not asked.
            Self::Custom(version) => support::admit(version.kind, value, sink),
        }
    }

    /// Fills in defaults. See [`crate::defaults`].
    pub fn fill_defaults(self, value: &mut Value) {
        match self {
            Self::Table(kind) => defaults::apply(kind, value),
            Self::Custom(version) => custom::fill(&version.root, value),
        }
    }

    /// Everything that is wrong with an object that takes the place of another, if there was one. See
    /// [`crate::validate`].
    pub fn validate(self, value: &Value, before: Before<'_>) -> Vec<Problem> {
        let mut problems = validate::object_over(self.kind(), value, before);
        if let Self::Custom(version) = self {
            let mut out = Complaints::default();
            custom::check(&version.root, value, &Trail::Root, &mut out);
            custom::hold(&version.root, value, before, &mut out);
            problems.extend(out.problems);
        }
        problems
    }

    /// How it merges. See [`crate::merge`].
    pub fn node(self) -> AnyNode<'s> {
        match self {
            Self::Table(kind) => AnyNode::Table(Node::of_kind(kind)),
            Self::Custom(version) => AnyNode::Object(&version.root),
        }
    }

    /// A strategic merge patch; `None` for a custom kind, which has none.
    pub fn strategic(self, live: &Value, patch: &Value) -> Option<Result<Value, PatchError>> {
        match self {
            Self::Table(kind) => Some(strategic(of_kind(kind), live, patch)),
            Self::Custom(_) => None,
        }
    }
}
