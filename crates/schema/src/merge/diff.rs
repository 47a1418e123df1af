//! Where a live object differs from what a source sets: object drift.
//!
//! Only fields that the source sets are looked at; what others add is theirs. Called by the drift
//! controller. Deliberately not here: which of the differences counts (`ignoreDifferences`,
//! accepted drift come in as `exclude`), and how values of Secrets are hidden.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use serde_json::Value;

use super::{
    apply::unset_by_sources,
    path::{FieldPath, PathElement},
    schema::{SchemaNode, Shape},
    set::FieldSet,
    walk::{Part, by_element, own_part, parts, same, same_as_stored},
};

/// A field that has another value live than the source sets.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDiff {
    /// The path as text: `spec.template.spec.containers[web].image`.
    pub path: String,
    /// The path.
    pub field: FieldPath,
    /// What the source sets.
    pub desired: Value,
    /// What is there; `None` where nothing is.
    pub live: Option<Value>,
}

/// The differences, mappings in the order of their keys, lists in the source's. A field that is
/// absent as a whole is one difference, and so is a list whose items stand in another order.
pub fn diff<N: SchemaNode>(schema: N, desired: &Value, live: &Value, exclude: &FieldSet) -> Vec<FieldDiff> {
    let mut out = Vec::new();
    let root = Some(schema);
    let exclude = exclude.union(&unset_by_sources());
    if let Some(own) = own_part(root, desired, Some(live), &exclude) {
        walk(root, &own, Some(live), &mut Vec::new(), &mut out);
    }
    out
}

fn walk<N: SchemaNode>(
    node: Option<N>,
    desired: &Value,
    live: Option<&Value>,
    way: &mut Vec<PathElement>,
    out: &mut Vec<FieldDiff>,
) {
    let live = live.filter(|v| !v.is_null());
    let (Some(wanted), Some(there)) = (parts(node, desired), live.and_then(|l| parts(node, l))) else {
        let equal = live.map_or_else(|| same(node, Some(desired), None), |l| same_as_stored(node, desired, l));
        if !equal {
            push(desired, live, way, out);
        }
        return;
    };
    if matches!(node.map(SchemaNode::shape), Some(Shape::Keyed(..))) && order_differs(&wanted, &there) {
        push(desired, live, way, out);
    }
    let there = by_element(&there);
    for part in wanted {
        let value = there.get(&part.element).map(|p| p.value);
        way.push(part.element);
        walk(part.node, part.value, value, way, out);
        way.pop();
    }
}

fn push(desired: &Value, live: Option<&Value>, way: &[PathElement], out: &mut Vec<FieldDiff>) {
    let field = FieldPath(way.to_vec());
    out.push(FieldDiff { path: field.to_string(), field, desired: desired.clone(), live: live.cloned() });
}

/// Whether the items that both have stand in another order.
fn order_differs<N>(a: &[Part<'_, N>], b: &[Part<'_, N>]) -> bool {
    let (in_a, in_b) = (by_element(a), by_element(b));
    let both_a = a.iter().map(|p| &p.element).filter(|e| in_b.contains_key(e));
    let both_b = b.iter().map(|p| &p.element).filter(|e| in_a.contains_key(e));
    !both_a.eq(both_b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::deployment, *};

    fn told(desired: &Value, live: &Value, exclude: &[&str]) -> Vec<(String, Value, Option<Value>)> {
        let exclude = exclude.iter().map(|t| FieldPath::parse(deployment(), t).unwrap()).collect();
        diff(deployment(), desired, live, &exclude).into_iter().map(|d| (d.path, d.desired, d.live)).collect()
    }

    #[test]
    fn only_what_the_source_sets_is_compared() {
        let desired = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "x", "labels": {"a": "1", "e.x/b": "2"}, "finalizers": ["x"]},
            "spec": {"replicas": 3, "paused": null, "selector": {"matchLabels": {"a": "1"}}, "template": {"spec": {
                "containers": [{"name": "web", "image": "v1", "command": ["a"], "resources": {"limits": {"cpu": "1"}}},
                    {"name": "side"}],
                "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        let live = json!({"metadata": {"labels": {"a": "2", "z": "1"}, "finalizers": ["y"], "annotations": {"q": "r"}},
            "spec": {"replicas": 5, "paused": "x", "selector": {"matchLabels": {"a": "1", "b": "2"}}, "template": {"spec": {
                "containers": [{"name": "web", "image": "v2", "command": ["a"], "resources": {"limits": {"cpu": "1000m"}}}],
                "volumes": [{"name": "v"}]}}}});
        assert_eq!(
            told(&desired, &live, &[]),
            [
                ("metadata.finalizers[x]".into(), json!("x"), None),
                ("metadata.labels.a".into(), json!("1"), Some(json!("2"))),
                ("metadata.labels[e.x/b]".into(), json!("2"), None),
                ("spec.replicas".into(), json!(3), Some(json!(5))),
                (
                    "spec.selector".into(),
                    json!({"matchLabels": {"a": "1"}}),
                    Some(json!({"matchLabels": {"a": "1", "b": "2"}}))
                ),
                ("spec.template.spec.containers[web].image".into(), json!("v1"), Some(json!("v2"))),
                ("spec.template.spec.containers[side]".into(), json!({"name": "side"}), None),
            ]
        );
        let left = told(
            &desired,
            &live,
            &[
                "spec.replicas",
                "spec.selector.matchLabels.b",
                "metadata.labels",
                "metadata.finalizers",
                "spec.template.spec.containers[side]",
            ],
        );
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn another_order_is_one_difference_of_the_list() {
        let at = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|n| json!({"name": n})).collect();
            json!({"spec": {"template": {"spec": {"containers": list}}}})
        };
        assert_eq!(told(&at(&["a", "b"]), &at(&["a", "x", "b"]), &[]), []);
        let found = told(&at(&["a", "b"]), &at(&["b", "a"]), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "spec.template.spec.containers");
    }
}
