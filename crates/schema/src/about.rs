//! What people are told of definitions and fields: `kubectl explain` and the OpenAPI documents show it.
//!
//! The texts are `data/about.tsv`, one piece of static text without a pointer in it: a process that is
//! never asked does not load it. Defaults and what is refused, ignored or set by the server stand in the
//! schema's tables already and are told from there, so that no text can say otherwise. Deliberately not
//! here: anything that a walk decides by.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::types::{Field, Literal, Object, Support};

/// Definition, field and text a line; the field is empty for the definition itself, the definition `*` for
/// what every kind has.
static TEXTS: &str = include_str!("../data/about.tsv");

/// The definition that stands for every kind.
const EVERY_KIND: &str = "*";

/// The texts by definition and field.
#[derive(Debug)]
pub struct Texts(BTreeMap<(&'static str, &'static str), &'static str>);

impl Texts {
    /// Reads the table: some 100 µs, so for those who ask much at once.
    pub fn read() -> Self {
        let rows = TEXTS.lines().skip(1).filter_map(|line| {
            let (definition, rest) = line.split_once('\t')?;
            let (field, text) = rest.split_once('\t')?;
            Some(((definition, field), text))
        });
        Self(rows.collect())
    }

    /// What a definition is.
    pub fn object(&self, object: &Object) -> Option<&'static str> {
        self.0.get(&(object.name, "")).copied()
    }

    /// What a field of every kind is, as `apiVersion`.
    pub fn of_every_kind(&self, field: &str) -> Option<&'static str> {
        self.0.get(&(EVERY_KIND, field)).copied()
    }

    /// The text of the table for a field.
    pub fn written(&self, object: &Object, field: &Field) -> Option<&'static str> {
        let kind = ["apiVersion", "kind", "metadata"].iter().all(|name| object.field(name).is_some());
        let own = self.0.get(&(object.name, field.name)).copied();
        own.or_else(|| if kind { self.of_every_kind(field.name) } else { None })
    }

    /// All that is to be said of a field; empty where nothing is.
    pub fn field(&self, object: &Object, field: &Field) -> String {
        let text = self.written(object, field);
        let support = verdict(field.support, text.is_some());
        let refused =
            matches!(field.support, Support::Refused { accepted: [], .. } | Support::Ignored { accepted: [], .. });
        let default = field.default.or(field.absent).filter(|_| !refused).and_then(default);
        let parts: Vec<String> = text.map(ToString::to_string).into_iter().chain(default).chain(support).collect();
        parts.join(" ")
    }
}

fn default(value: Literal) -> Option<String> {
    let value = match value {
        Literal::Str("") | Literal::Empty => return None,
        Literal::Str(s) => s.to_string(),
        Literal::Int(i) => i.to_string(),
        Literal::Bool(b) => b.to_string(),
    };
    Some(format!("Default: {value}."))
}

/// What Evenkeel does with a field, where that is not just what Kubernetes does. One that is refused or
/// ignored and has a text is so in some places alone, and its text says where.
fn verdict(support: Support, has_text: bool) -> Option<String> {
    let because = |note: &str| if note.is_empty() { String::new() } else { format!(": {note}") };
    match support {
        Support::Done => None,
        Support::Ignored { accepted: [], .. } | Support::Refused { accepted: [], .. } if has_text => None,
        Support::Dropped => Some("Set by the server.".into()),
        Support::Ignored { accepted: [], note } => Some(format!("Accepted and ignored{}.", because(note))),
        Support::Ignored { accepted, note } => {
            Some(format!("Accepted and ignored, but for {}{}.", accepted.join(", "), because(note)))
        }
        Support::Refused { accepted: [], note } => Some(format!("Not supported{}.", because(note))),
        Support::Refused { accepted, note } => {
            Some(format!("Not supported, but for {}{}.", accepted.join(", "), because(note)))
        }
    }
}
