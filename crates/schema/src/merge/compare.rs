//! What a write changed: the paths that it added, modified and removed.
//!
//! Conflicts and ownership follow from these three sets. A difference in meaning counts, not one
//! in writing (`1000m` and `1`).

use serde_json::Value;

use super::{
    schema::SchemaNode,
    set::FieldSet,
    walk::{Role, by_element, parts, same, to_set},
};

/// The paths in which two values differ.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    /// Each set passed through `keep`.
    pub(super) fn map(self, keep: impl Fn(FieldSet) -> FieldSet) -> Self {
        Self { added: keep(self.added), modified: keep(self.modified), removed: keep(self.removed) }
    }
}

/// Compares an old value with a new one.
pub(super) fn compare<N: SchemaNode>(node: Option<N>, old: Option<&Value>, new: Option<&Value>) -> Comparison {
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    match (old, new) {
        (None, None) => Comparison::default(),
        (None, Some(new)) => Comparison { added: whole(node, new), ..Comparison::default() },
        (Some(old), None) => {
            // Whoever owns the mapping itself loses it as well.
            let mut removed = to_set(node, old);
            mark_all(&mut removed);
            Comparison { removed, ..Comparison::default() }
        }
        (Some(old), Some(new)) => both(node, old, new),
    }
}

fn both<N: SchemaNode>(node: Option<N>, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    match (parts(node, old), parts(node, new)) {
        (Some(before), Some(after)) => {
            let (before, after) = (by_element(&before), by_element(&after));
            for (element, part) in &before {
                let inner = compare(part.node, Some(part.value), after.get(element).map(|p| p.value));
                attach(&mut out, element, inner);
            }
            for (element, part) in &after {
                if !before.contains_key(element) {
                    let mut inner = compare(part.node, None, Some(part.value));
                    inner.added.member |= part.role == Role::Item && !part.value.is_null();
                    attach(&mut out, element, inner);
                }
            }
        }
        (None, None) => out.modified.member = !same(node, Some(old), Some(new)),
        // One can be told apart and the other not: whole against parts.
        _ => {
            if !same(node, Some(old), Some(new)) {
                out.modified.member = true;
                out.removed = to_set(node, old);
                out.added = to_set(node, new);
            }
        }
    }
    out
}

/// What a value adds where there was none: its fields, and a map itself.
fn whole<N: SchemaNode>(node: Option<N>, value: &Value) -> FieldSet {
    let mut out = FieldSet::default();
    let Some(parts) = parts(node, value) else {
        out.member = true;
        return out;
    };
    out.member = parts.is_empty() || (value.is_object() && parts.iter().any(|p| p.role == Role::Item));
    for part in parts {
        if !part.value.is_null() {
            let mut inner = whole(part.node, part.value);
            inner.member |= part.role == Role::Item;
            out.attach(&part.element, inner);
        }
    }
    out
}

fn mark_all(set: &mut FieldSet) {
    set.member = true;
    set.children.values_mut().for_each(mark_all);
}

fn attach(out: &mut Comparison, element: &super::path::PathElement, inner: Comparison) {
    out.added.attach(element, inner.added);
    out.modified.attach(element, inner.modified);
    out.removed.attach(element, inner.removed);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::deployment, *};

    #[test]
    fn changes_are_told_by_path() {
        let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 1, "template": {"spec": {
            "containers": [{"name": "x", "image": "1", "resources": {"limits": {"cpu": "1"}}}, {"name": "y"}]}}}});
        let new = json!({"metadata": {"labels": {"a": "1", "b": "3"}}, "spec": {"paused": true, "template": {"spec": {
            "containers": [{"name": "x", "image": "1", "resources": {"limits": {"cpu": "1000m"}}}, {"name": "z"}]}}}});
        let c = compare(Some(deployment()), Some(&old), Some(&new));
        assert_eq!(
            c.added.to_fields_v1(),
            json!({"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"z\"}": {".": {}, "f:name": {}}}}}}})
        );
        assert_eq!(c.modified.to_fields_v1(), json!({"f:metadata": {"f:labels": {"f:b": {}}}}));
        assert_eq!(
            c.removed.to_fields_v1(),
            json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"y\"}": {".": {}, "f:name": {}}}}}}})
        );
        assert_eq!(compare(Some(deployment()), Some(&old), Some(&old)), Comparison::default());
    }

    #[test]
    fn a_list_that_becomes_ambiguous_is_modified_as_a_whole() {
        let at = |c: Value| json!({"spec": {"template": {"spec": {"containers": c}}}});
        let (old, new) = (at(json!([{"name": "a"}])), at(json!([{"name": "a"}, {"name": "a"}])));
        let c = compare(Some(deployment()), Some(&old), Some(&new));
        assert_eq!(c.modified.paths().len(), 1);
        assert!(!c.removed.is_empty());
    }
}
