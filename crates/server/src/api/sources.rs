//! Writes of Sources: create, replace, patches, apply, delete.
//!
//! Called by `write`. Their bodies are read like those of any object, and more strictly. What a field means and
//! which values it takes is the schema's; what becomes of a Source is the core's.

use axum::{body::Bytes, response::Response};
use evenkeel_core::{Ask, edit::Owners};
use evenkeel_model::{Key, Kind, Meta, Object, Version, own::SourceSpec};
use evenkeel_schema::{
    SchemaRef,
    validate::{self, Cause},
};
use serde_json::{Map, Value};

use super::{
    apply, body,
    given::{self, Warnings, What},
    nodes,
    objects::{self, Patch},
    pods,
    query::Pairs,
    status::Failure,
    write::Write,
};

/// A Source as a body says it.
#[derive(Debug)]
pub(crate) struct Given {
    /// Its key.
    pub(crate) key: Key,
    /// Labels and annotations.
    pub(crate) meta: Meta,
    /// Its specification.
    pub(crate) spec: SourceSpec,
    /// `metadata.resourceVersion`.
    pub(crate) version: Option<Version>,
}

impl Given {
    /// Puts it over the one that is there.
    pub(super) fn over(self, if_version: Option<Version>, owners: Owners, pairs: &Pairs) -> Ask {
        let (name, meta, dry_run) = (self.key.name, Some(self.meta), pods::dry_run(pairs));
        Ask::UpdateSource { name, spec: self.spec, if_version, meta, owners, dry_run }
    }

    /// Makes one that is not there.
    pub(super) fn made(self, owners: Owners, pairs: &Pairs) -> Ask {
        let dry_run = pods::dry_run(pairs);
        Ask::CreateSource { name: self.key.name, spec: self.spec, meta: self.meta, owners, dry_run }
    }
}

/// Reads a tree strictly: an unknown field is an error whatever `fieldValidation` says, because a
/// misspelt setting of a source must not be lost. `name` is the one in the path, if there is one.
pub(super) fn read(tree: Value, name: Option<&str>, pairs: &Pairs) -> Result<Given, Failure> {
    let what = What { strict: true, ..What::object(SchemaRef::Table(Kind::Source)) };
    let given = given::read(what, "", name, tree, None, (pairs, &mut Warnings::default()))?;
    let key = Key::cluster(Kind::Source, given.name);
    let problems: Vec<Cause> = validate::object(Kind::Source, &given.value).into_iter().map(Into::into).collect();
    if !problems.is_empty() {
        return Err(Failure::invalid(&key, &problems));
    }
    let spec = given.value.get("spec").cloned().unwrap_or(Value::Object(Map::new()));
    let spec: SourceSpec =
        serde_json::from_value(spec).map_err(|e| Failure::invalid(&key, &[Cause::wrong("spec", e.to_string())]))?;
    let object = Object::from_value(given.value).map_err(|e| Failure::bad_request(e.to_string()))?;
    let meta = Meta { labels: object.meta.labels, annotations: object.meta.annotations, ..Meta::default() };
    Ok(Given { key, meta, spec, version: given.version })
}

/// A whole Source in a body.
fn sent(write: &Write<'_>, name: Option<&str>, pairs: &Pairs, bytes: &Bytes) -> Result<Given, Failure> {
    let headers = &write.parts.headers;
    given::once(Kind::Source, headers, bytes, (pairs, &mut Warnings::default()))?;
    read(body::tree(headers, bytes)?, name, pairs)
}

/// `POST` to the collection.
pub(super) async fn create(write: &Write<'_>, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let given = sent(write, None, pairs, bytes)?;
    if given.version.is_some() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let key = given.key.clone();
    write.ask_for(given.made(nodes::owners(write, pairs), pairs), &key, 201).await
}

/// `PUT` of one.
pub(super) async fn replace(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let given = sent(write, Some(&key.name), pairs, bytes)?;
    let version = given.version;
    write.ask_for(given.over(version, nodes::owners(write, pairs), pairs), &key, 200).await
}

/// `PATCH` of one.
pub(super) async fn patch(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let media = body::media_type(&write.parts.headers);
    if media == objects::APPLY {
        return apply::source(write, key, pairs, bytes).await;
    }
    if ![objects::MERGE, objects::JSON].contains(&media.as_str()) {
        return Err(Failure::media_type(&media, &[objects::JSON, objects::MERGE, objects::APPLY]));
    }
    let patch = Patch::read(&media, bytes)?;
    let make = || {
        let current = write.current(&key)?;
        let given = read(patch.on(key.kind, &current.to_value())?, Some(&key.name), pairs)?;
        let asked = patch.names_version();
        let version = if asked { given.version } else { Some(current.version) };
        Ok((given.over(version, nodes::owners(write, pairs), pairs), !asked, ()))
    };
    let (answer, ()) = write.ask_again(&key, make).await?;
    write.respond(answer, &key, 200)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_are_read_strictly() {
        let pairs = Pairs::default();
        let source = json!({"metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {"directory": "/srv/shop"}});
        let given = read(source.clone(), None, &pairs).unwrap();
        assert_eq!((&*given.key.name, given.spec.directory.as_deref()), ("shop", Some("/srv/shop")));
        assert_eq!(given.meta.label("a"), Some("b"));
        let mut wrong = source.clone();
        wrong["spec"]["intervall"] = json!("30s");
        let failure = read(wrong, None, &pairs).unwrap_err();
        assert_eq!(failure.code, 400);
        assert!(failure.message.contains("intervall"), "{}", failure.message);
        assert_eq!(read(source.clone(), Some("other"), &pairs).unwrap_err().code, 400);
        let mut with_status = source.clone();
        with_status["status"] = json!({"conditions": [{"type": "Synced"}]});
        assert!(read(with_status, Some("shop"), &pairs).is_ok());
        let mut kind = source;
        kind["kind"] = json!("Pod");
        assert_eq!(read(kind, None, &pairs).unwrap_err().code, 400);
    }
}
