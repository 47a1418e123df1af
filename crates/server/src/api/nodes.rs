//! Changes of Nodes: merge, strategic merge and JSON patches, and whole objects.
//!
//! Called by `write`. A patch is put on the Node as it is; then labels, annotations, `spec.taints`
//! and `spec.unschedulable` may differ, and any other field that does is refused by its name.
//! Deliberately not here: what a label or taint means, which core decides.

use axum::{body::Bytes, response::Response};
use evenkeel_core::{Ask, ask::NodeWish};
use evenkeel_model::{Key, Kind, Object, Version};
use evenkeel_schema::{decode, of_kind, validate};
use k8s_openapi::api::core::v1::NodeSpec;
use serde_json::Value;

use super::{
    backend::AskError,
    body, pods,
    query::Pairs,
    sources::merge,
    status::Failure,
    write::{PATCH_TRIES, Write, json_body},
};

/// Sorts of patches, by media type.
enum Patch {
    /// RFC 7386. For a Node the strategic one is the same: its only lists that may change are taken
    /// as a whole (`spec.taints` is atomic).
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json-patch+json";

impl Patch {
    fn read(write: &Write<'_>, bytes: &Bytes) -> Result<Self, Failure> {
        let media = body::media_type(&write.parts.headers);
        match media.as_str() {
            MERGE => Ok(Self::Merge(json_body(bytes)?)),
            STRATEGIC => {
                let patch = json_body(bytes)?;
                match directive(&patch) {
                    None => Ok(Self::Merge(patch)),
                    Some(name) => {
                        let message = format!("`{name}` is not supported in a patch of a Node; {MERGE} and {JSON} are");
                        Err(Failure::bad_request(message))
                    }
                }
            }
            JSON => serde_json::from_slice(bytes)
                .map(Self::Json)
                .map_err(|e| Failure::bad_request(format!("the body is no JSON patch: {e}"))),
            _ => Err(Failure::media_type(&media, &[MERGE, STRATEGIC, JSON])),
        }
    }

    fn apply(&self, key: &Key, tree: &mut Value) -> Result<(), Failure> {
        match self {
            Self::Merge(patch) => merge(tree, patch),
            Self::Json(patch) => json_patch::patch(tree, patch)
                .map_err(|e| Failure::new(422, "Invalid", format!("the patch cannot be applied: {e}")).about(key))?,
        }
        Ok(())
    }

    /// Whether it says itself which version it is for.
    fn names_version(&self) -> bool {
        match self {
            Self::Merge(patch) => patch.pointer("/metadata/resourceVersion").is_some_and(|v| !v.is_null()),
            Self::Json(patch) => patch.iter().any(|op| op.path().as_str() == "/metadata/resourceVersion"),
        }
    }
}

/// A strategic merge's directive anywhere in a patch.
fn directive(patch: &Value) -> Option<&str> {
    match patch {
        Value::Object(map) => {
            map.iter().find_map(|(k, v)| if k.starts_with('$') { Some(k.as_str()) } else { directive(v) })
        }
        Value::Array(list) => list.iter().find_map(directive),
        _ => None,
    }
}

/// `PATCH nodes/NAME`. Without a version in it, it is tried again when the Node changed under it.
pub(super) async fn patch(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let patch = Patch::read(write, bytes)?;
    let dry_run = pods::dry_run(&[], pairs)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let current = write.current(&key)?;
        let mut tree = current.to_value();
        patch.apply(&key, &mut tree)?;
        let (wish, version) = wish(&current, &tree)?;
        let version = if patch.names_version() { version } else { Some(current.version) };
        let ask = Ask::UpdateNode { name: key.name.clone(), wish, if_version: version, dry_run };
        match write.ask(ask).await {
            Err(AskError::Refused(r)) if r.code == 409 && !patch.names_version() && tries < PATCH_TRIES => {}
            Err(e) => return Err(Failure::of_ask(&e, &key)),
            Ok(answer) => return write.respond(answer, &key, 200),
        }
    }
}

/// `PUT nodes/NAME`.
pub(super) async fn replace(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let tree = body::tree(&write.parts.headers, bytes)?;
    let dry_run = pods::dry_run(&[], pairs)?;
    let current = write.current(&key)?;
    let (wish, if_version) = wish(&current, &tree)?;
    write.ask_for(Ask::UpdateNode { name: key.name.clone(), wish, if_version, dry_run }, &key, 200).await
}

/// What a whole Node says of the parts that users may change, and its version.
fn wish(current: &Object, tree: &Value) -> Result<(NodeWish, Option<Version>), Failure> {
    let key = &current.key;
    if let Some(field) = refused(&current.to_value(), tree) {
        let message = format!(
            "of a Node, labels, annotations, spec.taints and spec.unschedulable can be changed; `{field}` comes from \
             its agent"
        );
        return Err(Failure::new(422, "Invalid", message).about(key));
    }
    // The status is its agent's, and as it is.
    let mut tree = tree.clone();
    if let Some(map) = tree.as_object_mut() {
        map.remove("status");
    }
    let mut faults = Vec::new();
    let tree = decode::decode(of_kind(Kind::Node), &tree, decode::Options::default(), &mut |fault| {
        faults.push(format!("{}: {}", fault.path, fault.message));
    });
    if !faults.is_empty() {
        let faults = faults.join(", ");
        let message = format!("Node in version \"v1\" cannot be handled as a Node: strict decoding error: {faults}");
        return Err(Failure::bad_request(message));
    }
    let problems: Vec<(String, String)> =
        validate::object(Kind::Node, &tree).into_iter().map(|p| (p.path.to_string(), p.message)).collect();
    if !problems.is_empty() {
        return Err(Failure::invalid(key, &problems));
    }
    let spec: NodeSpec = match tree.get("spec") {
        None | Some(Value::Null) => NodeSpec::default(),
        Some(spec) => serde_json::from_value(spec.clone())
            .map_err(|e| Failure::invalid(key, &[("spec".into(), e.to_string())]))?,
    };
    let object = Object::from_value(tree).map_err(|e| Failure::bad_request(e.to_string()))?;
    let wish = NodeWish {
        labels: object.meta.labels,
        annotations: object.meta.annotations,
        taints: spec.taints.unwrap_or_default(),
        unschedulable: spec.unschedulable.unwrap_or_default(),
    };
    Ok((wish, Some(object.version).filter(|v| *v != Version(0))))
}

/// The first field that differs and may not. What a writer leaves out of the metadata that the
/// server sets is as it is, as in Kubernetes.
fn refused(current: &Value, next: &Value) -> Option<String> {
    const META: [&str; 3] = ["labels", "annotations", "resourceVersion"];
    const SET: [&str; 5] = ["uid", "creationTimestamp", "generation", "managedFields", "selfLink"];
    const SPEC: [&str; 2] = ["taints", "unschedulable"];
    let part = |tree: &Value, name: &str| tree.get(name).cloned().unwrap_or_default();
    let differing = |a: &Value, b: &Value| -> Vec<String> {
        let names = a.as_object().into_iter().chain(b.as_object()).flatten().map(|(k, _)| k.clone());
        let mut names: Vec<String> = names.filter(|k| a.get(k) != b.get(k)).collect();
        names.sort();
        names.dedup();
        names
    };
    for name in differing(current, next) {
        let (old, new) = (part(current, &name), part(next, &name));
        let inner: Option<String> = match name.as_str() {
            "metadata" => {
                let left_out = |f: &str| SET.contains(&f) && new.get(f).is_none_or(Value::is_null);
                differing(&old, &new).into_iter().find(|f| !META.contains(&f.as_str()) && !left_out(f))
            }
            "spec" => differing(&old, &new).into_iter().find(|f| !SPEC.contains(&f.as_str())),
            // Left out is not taken away.
            "status" if new.is_null() => None,
            _ => return Some(name),
        };
        if let Some(inner) = inner {
            return Some(format!("{name}.{inner}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_users_decide_may_differ() {
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n", "uid": "u", "labels": {"a": "b"}, "creationTimestamp": "x"},
            "spec": {"taints": []}, "status": {"capacity": {"cpu": "1"}}});
        let with = |patch: Value| {
            let mut next = node.clone();
            merge(&mut next, &patch);
            refused(&node, &next)
        };
        for fine in [
            json!({}),
            json!({"metadata": {"labels": {"a": null, "c": "d"}, "annotations": {"x": "y"}}}),
            json!({"spec": {"unschedulable": true, "taints": null}}),
            json!({"metadata": {"uid": null, "creationTimestamp": null, "resourceVersion": "7"}, "status": null}),
        ] {
            assert_eq!(with(fine.clone()), None, "{fine}");
        }
        for (patch, field) in [
            (json!({"metadata": {"name": "m"}}), "metadata.name"),
            (json!({"metadata": {"uid": "v"}}), "metadata.uid"),
            (json!({"metadata": {"finalizers": ["x/y"]}}), "metadata.finalizers"),
            (json!({"spec": {"podCIDR": "10.0.0.0/24"}}), "spec.podCIDR"),
            (json!({"status": {"capacity": {"cpu": "9"}}}), "status"),
            (json!({"kind": "Pod"}), "kind"),
        ] {
            assert_eq!(with(patch).as_deref(), Some(field));
        }
    }

    #[test]
    fn directives_are_found_wherever_they_stand() {
        assert_eq!(directive(&json!({"spec": {"taints": [{"$patch": "delete"}]}})), Some("$patch"));
        assert_eq!(directive(&json!({"metadata": {"labels": {"a": "$x"}}})), None);
    }
}
