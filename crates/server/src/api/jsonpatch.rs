//! JSON patches (RFC 6902) as kube-apiserver applies them, and merge patches (RFC 7386).
//!
//! The former differ from the RFC in one thing that clients lean on: a `test` for `null` of a member that an
//! object does not have passes. Client libraries say "nobody has set a finalizer yet" that way.

use json_patch::{Patch, PatchError, PatchOperation};
use serde_json::{Map, Value};

/// Applies a patch, or says which operation failed why; then the tree is half done.
pub(super) fn apply(tree: &mut Value, patch: &Patch) -> Result<(), String> {
    for (number, operation) in patch.iter().enumerate() {
        if tests_for_absence(tree, operation) {
            continue;
        }
        json_patch::patch(tree, std::slice::from_ref(operation))
            .map_err(|PatchError { path, kind, .. }| format!("operation {number} failed at path '{path}': {kind}"))?;
    }
    Ok(())
}

/// Whether an operation tests for `null` where an object that is there has no such member.
fn tests_for_absence(tree: &Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let absent = || {
        let (parent, name) = test.path.split_back()?;
        let members = tree.pointer(parent.as_str())?.as_object()?;
        Some(!members.contains_key(name.decoded().as_ref()))
    };
    test.value.is_null() && absent().unwrap_or(false)
}

/// Puts a merge patch (RFC 7386) on a tree.
pub(super) fn merge(target: &mut Value, patch: &Value) {
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

    fn patched(operations: Value) -> Result<Value, String> {
        let mut tree = json!({"metadata": {"name": "a", "labels": null}, "list": [1]});
        let patch: Patch = serde_json::from_value(operations).unwrap();
        apply(&mut tree, &patch).map(|()| tree)
    }

    #[test]
    fn null_is_what_is_not_there() {
        let added = patched(json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["x"]},
        ]));
        assert_eq!(added.unwrap()["metadata"]["finalizers"], json!(["x"]));
        assert!(patched(json!([{"op": "test", "path": "/metadata/labels", "value": null}])).is_ok());
        assert!(patched(json!([{"op": "test", "path": "/a~1b", "value": null}])).is_ok());
    }

    #[test]
    fn nothing_else_is_forgiven() {
        for (operations, said) in [
            (
                json!([{"op": "test", "path": "/metadata/name", "value": null}]),
                "operation 0 failed at path '/metadata/name'",
            ),
            (json!([{"op": "test", "path": "/metadata/uid", "value": ""}]), "/metadata/uid"),
            (json!([{"op": "test", "path": "/status/phase", "value": null}]), "/status/phase"),
            (json!([{"op": "test", "path": "/list/1", "value": null}]), "/list/1"),
            (
                json!([
                    {"op": "add", "path": "/metadata/finalizers", "value": []},
                    {"op": "test", "path": "/metadata/finalizers", "value": null},
                ]),
                "operation 1 failed",
            ),
        ] {
            let error = patched(operations.clone()).unwrap_err();
            assert!(error.contains(said), "{operations}: {error}");
        }
    }

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
}
