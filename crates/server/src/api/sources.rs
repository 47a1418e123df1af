//! Bodies that are Sources: strict decoding and checks, and merge patches.
//!
//! Called by `write`. What a field means and which values it takes is the schema's; what becomes of
//! a Source is the core's.

use evenkeel_model::{Key, Kind, Meta, Object, Version, own::SourceSpec};
use evenkeel_schema::{decode, of_kind, validate};
use serde_json::{Map, Value};

use super::status::Failure;

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

/// Reads a body strictly: an unknown field is an error whatever `fieldValidation` says, because a
/// misspelt setting of a source must not be lost. `name` is the one in the path, if there is one.
pub(crate) fn read(mut body: Value, name: Option<&str>) -> Result<Given, Failure> {
    let info = Kind::Source.info();
    let Value::Object(map) = &mut body else { return Err(Failure::bad_request("the body is no object")) };
    // A write of the object itself never touches its status, as in Kubernetes.
    map.remove("status");
    for (field, expected) in [("apiVersion", info.api_version()), ("kind", info.kind.to_owned())] {
        let found = map.entry(field).or_insert_with(|| expected.clone().into());
        if found.as_str() != Some(expected.as_str()) {
            let message = format!("{field} is {found}, and this path takes {expected}");
            return Err(Failure::bad_request(message));
        }
    }
    let tree = decode_strictly(&body)?;
    let found = tree.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let key = Key::cluster(Kind::Source, name.unwrap_or(found));
    if name.is_some_and(|n| !found.is_empty() && n != found) {
        let message = format!("the name of the object ({found}) does not match the name on the URL ({})", key.name);
        return Err(Failure::bad_request(message));
    }
    let problems: Vec<(String, String)> =
        validate::object(Kind::Source, &tree).into_iter().map(|p| (p.path.to_string(), p.message)).collect();
    if !problems.is_empty() {
        return Err(Failure::invalid(&key, &problems));
    }
    let spec = tree.get("spec").cloned().unwrap_or(Value::Object(Map::new()));
    let spec: SourceSpec =
        serde_json::from_value(spec).map_err(|e| Failure::invalid(&key, &[("spec".into(), e.to_string())]))?;
    let object = Object::from_value(tree).map_err(|e| Failure::bad_request(e.to_string()))?;
    let meta = Meta { labels: object.meta.labels, annotations: object.meta.annotations, ..Meta::default() };
    let version = Some(object.version).filter(|v| *v != Version(0));
    Ok(Given { key, meta, spec, version })
}

fn decode_strictly(body: &Value) -> Result<Value, Failure> {
    let mut faults = Vec::new();
    let tree = decode::decode(of_kind(Kind::Source), body, decode::Options::default(), &mut |fault| {
        // Paths are in the messages of unknown fields only by name.
        faults.push(format!("{}: {}", fault.path, fault.message));
    });
    if faults.is_empty() {
        return Ok(tree);
    }
    Err(Failure::bad_request(format!(
        "Source in version \"{}\" cannot be handled as a Source: strict decoding error: {}",
        Kind::Source.info().version,
        faults.join(", ")
    )))
}

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches_follow_the_rfc() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target;
            merge(&mut merged, &patch);
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn sources_are_read_strictly() {
        let source = json!({"metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {"directory": "/srv/shop"}});
        let given = read(source.clone(), None).unwrap();
        assert_eq!((&*given.key.name, given.spec.directory.as_deref()), ("shop", Some("/srv/shop")));
        assert_eq!(given.meta.label("a"), Some("b"));
        let mut wrong = source.clone();
        wrong["spec"]["intervall"] = json!("30s");
        let failure = read(wrong, None).unwrap_err();
        assert_eq!(failure.code, 400);
        assert!(failure.message.contains("intervall"), "{}", failure.message);
        assert_eq!(read(source.clone(), Some("other")).unwrap_err().code, 400);
        let mut with_status = source.clone();
        with_status["status"] = json!({"conditions": [{"type": "Synced"}]});
        assert!(read(with_status, Some("shop")).is_ok());
        let mut kind = source;
        kind["kind"] = json!("Pod");
        assert_eq!(read(kind, None).unwrap_err().code, 400);
    }
}
