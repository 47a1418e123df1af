//! YAML and JSON text to checked documents, with `file:line:column` for every complaint.
//!
//! A source reads its files, calls [`parse_file`] for each (pure, so the result can be kept by the
//! file's content) and [`assemble`] for all of them together. What comes out is a
//! [`evenkeel_model::Snapshot`], or every complaint of the revision in file order.
//!
//! Deliberately not here: finding files, what fields mean (`evenkeel-schema`), and whether the
//! things that documents refer to exist: [`evenkeel_model::Doc`] lists them, admission decides.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod amend;
mod assemble;
mod document;
mod file;
mod json;
pub mod limits;
mod loose;
mod paths;
mod place;
mod references;
mod reserved;
mod scalar;
mod secret;
mod text;
mod tree;
mod yaml;

pub use amend::amend;
pub use assemble::assemble;
pub use evenkeel_model::own::UnsupportedMode;
pub use evenkeel_schema::Customs;
pub use file::{FileParse, NameLine, Options, Skipped, parse_file};
pub use paths::is_manifest_path;
