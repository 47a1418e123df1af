//! Structured merge: server-side apply, ownership of fields, and what a source's fields differ in.
//!
//! Everything here is a walk over the schema and two values. Called by the release and drift
//! controllers and by the API. Deliberately not here: defaulting and validation of whole objects
//! (the caller does both on what comes out), and JSON patches.

mod apply;
mod compare;
mod diff;
mod managed;
mod path;
mod schema;
mod set;
mod strategic;
mod tables;
#[cfg(test)]
mod testing;
mod walk;

pub use crate::custom::AnyNode;
pub use apply::{Applied, Apply, Conflict, Conflicts, Update, apply, update};
pub use diff::{FieldDiff, diff};
pub use managed::{Managed, ManagedEntry, ManagedError, Operation};
pub use path::{FieldPath, PathElement, PathError, Scalar};
pub use schema::{Keys, Leaf, SchemaNode, Shape};
pub use set::{FieldSet, FieldsError};
pub use strategic::{PatchError, strategic};
pub use tables::Node;
