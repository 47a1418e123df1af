//! Changes of Nodes: merge, strategic merge and JSON patches, and whole objects.
//!
//! Called by `write`. A patch is put on the Node as it is; then labels, annotations, `spec.taints`
//! and `spec.unschedulable` may differ, and any other field that does is refused by its name.
//! Deliberately not here: what a label or taint means, which core decides.

use axum::{body::Bytes, response::Response};
use evenkeel_core::{Ask, ask::NodeWish, edit::Owners};
use evenkeel_model::{Key, Kind, Object, Version};
use evenkeel_schema::{
    decode, of_kind,
    validate::{self, Cause},
};
use k8s_openapi::api::core::v1::NodeSpec;
use serde_json::Value;

use super::{
    apply, body, given,
    objects::{APPLY, JSON, MERGE, Patch},
    pods,
    query::Pairs,
    status::Failure,
    write::Write,
};

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
    let media = body::media_type(&write.parts.headers);
    if media == APPLY {
        return apply::node(write, key, pairs, bytes).await;
    }
    let patch = Patch::read(&media, bytes)?;
    if let Patch::Strategic(patch) = &patch
        && let Some(name) = directive(patch)
    {
        let message = format!("`{name}` is not supported in a patch of a Node; {MERGE} and {JSON} are");
        return Err(Failure::bad_request(message));
    }
    let make = || {
        let current = write.current(&key)?;
        let tree = patch.on(Kind::Node, &current.to_value())?;
        let (wish, version) = wish(&current, &tree)?;
        let asked = patch.names_version();
        let if_version = if asked { version } else { Some(current.version) };
        let (name, dry_run, owners) = (key.name.clone(), pods::dry_run(pairs), owners(write, pairs));
        Ok((Ask::UpdateNode { name, wish, if_version, dry_run, owners }, !asked, ()))
    };
    let (answer, ()) = write.ask_again(&key, make).await?;
    write.respond(answer, &key, 200)
}

/// `PUT nodes/NAME`.
pub(super) async fn replace(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let mut tree = given::tree(Kind::Node, &write.parts.headers, bytes)?;
    // A client that writes back the Node that it read says its status, too, which may have moved on since: it
    // counts for nothing, as in Kubernetes. A patch that names it means it, and is refused.
    if let Some(map) = tree.as_object_mut() {
        map.remove("status");
    }
    let dry_run = pods::dry_run(pairs);
    let current = write.current(&key)?;
    let (wish, if_version) = wish(&current, &tree)?;
    let ask = Ask::UpdateNode { name: key.name.clone(), wish, if_version, dry_run, owners: owners(write, pairs) };
    write.ask_for(ask, &key, 200).await
}

/// What a write that is no apply changes belongs to its manager.
pub(super) fn owners(write: &Write<'_>, pairs: &Pairs) -> Owners {
    Owners::By(given::manager(pairs, &write.parts.headers))
}

/// What a whole Node says of the parts that users may change, and its version.
pub(super) fn wish(current: &Object, tree: &Value) -> Result<(NodeWish, Option<Version>), Failure> {
    let key = &current.key;
    let field = refused(&current.to_value(), tree);
    if let Some(field @ ("apiVersion" | "kind" | "metadata.name")) = field.as_deref() {
        let found = tree.pointer(&format!("/{}", field.replace('.', "/"))).cloned().unwrap_or_default();
        return Err(Failure::bad_request(format!(
            "{field} in the body is {found}, and this path is of Node {}",
            key.name
        )));
    }
    if let Some(field) = field {
        let why = "of a Node, labels, annotations, spec.taints and spec.unschedulable can be changed; all else \
                   comes from its agent";
        return Err(Failure::invalid(key, &[Cause::forbidden(field, why)]));
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
    let problems: Vec<Cause> = validate::object(Kind::Node, &tree).into_iter().map(Into::into).collect();
    if !problems.is_empty() {
        return Err(Failure::invalid(key, &problems));
    }
    let spec: NodeSpec = match tree.get("spec") {
        None | Some(Value::Null) => NodeSpec::default(),
        Some(spec) => serde_json::from_value(spec.clone())
            .map_err(|e| Failure::invalid(key, &[Cause::wrong("spec", e.to_string())]))?,
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

    use super::{super::jsonpatch::merge, *};

    #[test]
    fn directives_are_found_wherever_they_stand() {
        assert_eq!(directive(&json!({"spec": {"taints": [{"$patch": "delete"}]}})), Some("$patch"));
        assert_eq!(directive(&json!({"metadata": {"labels": {"a": "$x"}}})), None);
    }

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
}
