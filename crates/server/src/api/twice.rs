//! Fields that stand twice in a JSON body: of two values one would be lost without a word.
//!
//! Called by `objects` as `fieldValidation` says. A tree has each field once, so the text is read for it once
//! more. Deliberately not here: YAML, whose reader refuses such a body by itself.

use std::{collections::BTreeSet, fmt};

use axum::http::HeaderMap;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::body;

/// Fields that are told; beyond it nobody reads them.
const MOST: usize = 20;

/// Paths of the fields that stand twice in a body; none for a body that is no JSON.
pub(super) fn fields(headers: &HeaderMap, bytes: &[u8]) -> Vec<String> {
    let media = body::media_type(headers);
    let mut found = Vec::new();
    if media == "application/json" || media.ends_with("+json") {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        // What is no JSON is told where the body is read.
        let _read = At { path: String::new(), found: &mut found }.deserialize(&mut json);
    }
    found
}

struct At<'f> {
    path: String,
    found: &'f mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            if !seen.insert(name) && self.found.len() < MOST && !self.found.contains(&path) {
                self.found.push(path.clone());
            }
            map.next_value_seed(At { path, found: self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while list.next_element_seed(At { path: format!("{}[{index}]", self.path), found: self.found })?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn what_stands_twice_is_told_with_its_place() {
        let found = |text: &str| fields(&HeaderMap::new(), text.as_bytes());
        assert_eq!(found(r#"{"a": 1, "b": {"a": [1, {"c": null, "d": 2.5}]}}"#), Vec::<String>::new());
        assert_eq!(found(r#"{"a": 1, "b": {"c": "x", "c": true}, "a": -2}"#), ["b.c", "a"]);
        assert_eq!(
            found(r#"{"spec": {"containers": [{}, {"name": "a", "name": "a", "name": "b"}]}}"#),
            ["spec.containers[1].name"]
        );
        assert_eq!(found("no json"), Vec::<String>::new());
        let yaml = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/yaml".parse().unwrap())]);
        assert_eq!(fields(&yaml, br#"{"a": 1, "a": 2}"#), Vec::<String>::new());
    }
}
