//! Kubernetes' validation, in its words.
//!
//! [`object`] is called by the manifest reader on what a source sets, and by the API on what is
//! written, defaults filled in or not: an absent field is taken for its default. Required fields,
//! enumerations and ranges come from the tables (`table`); rules that look at more than one field
//! are code, for the kinds of [`Kind`]. Types are right already: the strict decoder ran before.
//! Deliberately not here: what depends on other objects, and what may change in an update.

mod complaints;
mod table;

use alloc::{string::String, vec::Vec};

use evenkeel_model::Kind;
use serde_json::Value;

pub use complaints::Problem;

use crate::{kinds::of_kind, path::Trail};
use complaints::Complaints;

/// Everything that is wrong with an object, in the order of its fields.
pub fn object(kind: Kind, value: &Value) -> Vec<Problem> {
    let mut out = Complaints::default();
    table::walk(of_kind(kind), value, &Trail::Root, &mut out);
    out.problems
}

/// An object's name, as Kubernetes prints it in front of its problems.
pub fn summary(kind: Kind, name: &str, problems: &[Problem]) -> String {
    let mut out = alloc::format!("{kind} {name:?} is invalid: ");
    for (i, p) in problems.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        out.push_str(&alloc::format!("{separator}{}: {}", p.path, p.message));
    }
    out
}
