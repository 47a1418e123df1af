//! How metadata, contents and the places of documents lie in their columns.
//!
//! Metadata is JSON with times in milliseconds, because Kubernetes' form has whole seconds and what
//! is loaded must equal what was committed. Content is a list of length-framed keys and values.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::{
    Content, Custom, Diagnostic, Doc, Key, Kind, Labels, Meta, OwnerRef, Place, Reference, Time, custom::Names,
    ids::IdError, meta::Deletion,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;

#[derive(Serialize, Deserialize)]
struct MetaRow {
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    generate_name: Option<Arc<str>>,
    #[serde(rename = "g")]
    generation: i64,
    #[serde(rename = "c")]
    created: i64,
    /// When, and the grace in seconds.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    deletion: Option<(i64, i64)>,
    #[serde(rename = "l", default, skip_serializing_if = "no_labels")]
    labels: Labels,
    #[serde(rename = "a", default, skip_serializing_if = "no_labels")]
    annotations: Labels,
    #[serde(rename = "o", default = "no_items", skip_serializing_if = "is_empty")]
    owners: Arc<[OwnerRef]>,
    #[serde(rename = "f", default = "no_items", skip_serializing_if = "is_empty")]
    finalizers: Arc<[String]>,
}

fn no_labels(labels: &Labels) -> bool {
    labels.is_empty()
}

fn no_items<T>() -> Arc<[T]> {
    Arc::from([])
}

fn is_empty<T>(list: &Arc<[T]>) -> bool {
    list.is_empty()
}

pub(super) fn meta_bytes(meta: &Meta) -> Result<Vec<u8>, StoreError> {
    let row = MetaRow {
        generate_name: meta.generate_name.clone(),
        generation: meta.generation,
        created: meta.created.0,
        deletion: meta.deletion.map(|d| (d.at.0, d.grace_seconds)),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        owners: meta.owners.clone(),
        finalizers: meta.finalizers.clone(),
    };
    json_bytes(&row)
}

pub(super) fn meta_from(bytes: &[u8]) -> Result<Meta, StoreError> {
    let row: MetaRow = json_from(bytes, "an object's metadata")?;
    Ok(Meta {
        generate_name: row.generate_name,
        generation: row.generation,
        created: Time(row.created),
        deletion: row.deletion.map(|(at, grace_seconds)| Deletion { at: Time(at), grace_seconds }),
        labels: row.labels,
        annotations: row.annotations,
        owners: row.owners,
        finalizers: row.finalizers,
    })
}

/// Where a document stands in its snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct DocPlace {
    pub(super) place: Place,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<Reference>,
    /// What its kind is called, where a definition makes it: the definition may be gone when a good
    /// revision is read again, or be in the same snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) custom: Option<Names>,
}

impl DocPlace {
    pub(super) fn of(doc: &Doc) -> Self {
        let custom = if let Kind::Custom(custom) = doc.key.kind { Some(custom.names()) } else { None };
        Self { place: doc.place.clone(), references: doc.references.clone(), custom }
    }

    /// The document's key, as its text and this say.
    pub(super) fn key(&self, text: &str) -> Result<Key, IdError> {
        let Some(names) = &self.custom else { return text.parse() };
        let name = text.split_once(' ').map_or(text, |(_, rest)| rest);
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        Ok(Key::new(Kind::Custom(Custom::new(names)), namespace, name))
    }
}

/// What is said of a snapshot beside its documents.
#[derive(Serialize, Deserialize)]
pub(super) struct Remarks {
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) skipped: Vec<String>,
}

pub(super) fn json_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError::corrupt_by("a value that has no JSON", e))
}

pub(super) fn json_from<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::corrupt_by(format!("{what} cannot be read"), e))
}

pub(super) fn content_bytes(content: &Content) -> Vec<u8> {
    let mut out = Vec::new();
    for part in content.data.iter().flat_map(|(k, v)| [k.as_bytes(), v]) {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

pub(super) fn content_from(secret: bool, mut bytes: &[u8]) -> Result<Content, StoreError> {
    fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        *bytes = rest;
        Some(part)
    }
    let bad = || StoreError::corrupt("a content cannot be read");
    let mut data = BTreeMap::new();
    while !bytes.is_empty() {
        let key = part(&mut bytes).and_then(|k| std::str::from_utf8(k).ok()).ok_or_else(bad)?;
        let value = part(&mut bytes).ok_or_else(bad)?;
        data.insert(key.to_owned(), Arc::from(value));
    }
    Ok(Content { secret, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_round_trips_and_a_cut_one_is_refused() {
        let data = [("a".to_owned(), Arc::from(&b"1"[..])), ("b".to_owned(), Arc::from(&b""[..]))].into();
        let content = Content { secret: true, data };
        let bytes = content_bytes(&content);
        assert_eq!(content_from(true, &bytes).unwrap(), content);
        assert!(content_from(true, &bytes[..bytes.len() - 1]).is_err());
        assert_eq!(content_from(false, b"").unwrap().data.len(), 0);
    }

    #[test]
    fn metadata_keeps_its_milliseconds() {
        let mut meta = Meta { created: Time(1_234_567), generation: 3, ..Meta::default() };
        meta.deletion = Some(Deletion { at: Time(99_001), grace_seconds: 30 });
        meta.annotate("a", "b");
        meta.finalizers = Arc::from(["f".to_owned()]);
        assert_eq!(meta_from(&meta_bytes(&meta).unwrap()).unwrap(), meta);
    }
}
