//! What Kubernetes says of every field, as data, and the walks over it.
//!
//! One table of definitions (`tables/`, generated from `data/`) and one walk a question: does a
//! tree decode strictly ([`decode`]), what are its defaults ([`defaults`]), what is it without them
//! ([`canonical`]), is it valid ([`validate`]), does Evenkeel do it ([`support`]), how does it merge
//! ([`merge`]), what is it for ([`about`]). So a further kind is a matter of table entries.
//!
//! The tables hold the definitions reachable from the kinds of the groups core, apps, batch, policy
//! and networking (v1) and from Evenkeel's own kinds, and the names of all 95 kinds of Kubernetes
//! 1.36. Conditional defaults and validation across fields are code, for the kinds of
//! [`evenkeel_model::Kind`].
//!
//! Deliberately not here: reading YAML (`evenkeel-manifest`), and any effect.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod about;
pub mod canonical;
mod cel;
pub mod custom;
pub mod decode;
pub mod defaults;
pub mod input;
pub mod kinds;
pub mod merge;
pub mod nearest;
pub mod of;
pub mod path;
mod pattern;
pub mod protobuf;
pub mod support;
mod tables;
pub mod types;
pub mod validate;

pub use about::Texts;
pub use custom::Customs;
pub use kinds::{KnownKind, Lookup, definition, kubernetes, lookup, of_kind};
pub use of::SchemaRef;
pub use path::{Path, Step, Trail};
pub use types::{Field, ListType, Literal, Object, Patch, Support, Type};
