//! The step that every merge walk shares: a value and its schema node to their parts.
//!
//! Also what needs nothing else: the set of fields that a value sets, sameness of two values, and
//! a value without what someone else owns.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use evenkeel_model::Quantity;
use serde_json::{Map, Value};

use super::{
    path::{PathElement, Scalar},
    schema::{Leaf, SchemaNode, Shape},
    set::FieldSet,
};

/// How a part lies in its whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A known field of a struct: there because of what is in it.
    Named,
    /// An entry of a map or an item of a list: a member for itself.
    Item,
}

/// A part of a value.
#[derive(Debug)]
pub(super) struct Part<'v, N> {
    pub(super) element: PathElement,
    pub(super) value: &'v Value,
    /// `None`: a field that the schema does not know.
    pub(super) node: Option<N>,
    pub(super) role: Role,
}

/// The parts of a value, or `None` where it is merged as one piece. A list whose items cannot be
/// told apart (two of one key) is one piece.
pub(super) fn parts<N: SchemaNode>(node: Option<N>, value: &Value) -> Option<Vec<Part<'_, N>>> {
    let shape = node?.shape();
    match (shape, value) {
        (Shape::Struct, Value::Object(map)) => Some(
            map.iter()
                .map(|(k, value)| {
                    let node = node.and_then(|n| n.field(k));
                    Part { element: PathElement::Field(k.clone()), value, node, role: Role::Named }
                })
                .collect(),
        ),
        (Shape::Map(inner), Value::Object(map)) => Some(
            map.iter()
                .map(|(k, value)| Part {
                    element: PathElement::Field(k.clone()),
                    value,
                    node: Some(inner),
                    role: Role::Item,
                })
                .collect(),
        ),
        (Shape::Set(inner), Value::Array(list)) => items(inner, list, |v| Some(PathElement::Value(Scalar::of(v)))),
        (Shape::Keyed(inner, keys), Value::Array(list)) => items(inner, list, |v| PathElement::of_item(keys.iter(), v)),
        _ => None,
    }
}

fn items<N: SchemaNode>(
    node: N,
    list: &[Value],
    name: impl Fn(&Value) -> Option<PathElement>,
) -> Option<Vec<Part<'_, N>>> {
    let mut out = Vec::with_capacity(list.len());
    for value in list {
        out.push(Part { element: name(value)?, value, node: Some(node), role: Role::Item });
    }
    let distinct: BTreeSet<&PathElement> = out.iter().map(|p| &p.element).collect();
    (distinct.len() == out.len()).then_some(out)
}

/// The parts by their elements.
pub(super) fn by_element<'p, 'v, N>(parts: &'p [Part<'v, N>]) -> BTreeMap<&'p PathElement, &'p Part<'v, N>> {
    parts.iter().map(|p| (&p.element, p)).collect()
}

/// Whether a value is a mapping or list with nothing in it.
pub(super) fn is_empty_container(value: &Value) -> bool {
    match value {
        Value::Object(m) => m.is_empty(),
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}

/// Whether a value says nothing: `null`, or containers with nothing but such.
pub(super) fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(m) => m.values().all(is_hollow),
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}

/// The fields that a value sets.
pub(super) fn to_set<N: SchemaNode>(node: Option<N>, value: &Value) -> FieldSet {
    let mut out = FieldSet::default();
    let Some(parts) = parts(node, value) else {
        out.member = !value.is_null();
        return out;
    };
    for part in parts {
        let mut inner = to_set(part.node, part.value);
        // An empty mapping has no field that could stand for it (`emptyDir: {}`).
        let empty = part.value.as_object().is_some_and(Map::is_empty);
        inner.member |= part.role == Role::Item || empty;
        out.attach(&part.element, inner);
    }
    out
}

/// Whether two values mean the same: quantities by number, absent like empty.
pub(super) fn same<N: SchemaNode>(node: Option<N>, one: Option<&Value>, two: Option<&Value>) -> bool {
    let there = |v: Option<&Value>| v.is_some_and(|v| !is_hollow(v) && !node.is_some_and(|n| n.is_absence(v)));
    let (Some(one), Some(two)) = (one, two) else { return !there(one) && !there(two) };
    if one == two {
        return true;
    }
    match (node.map(SchemaNode::shape), one, two) {
        (Some(Shape::Scalar(Leaf::Quantity)), _, _) => {
            let (one, two) = (quantity(one), quantity(two));
            one.is_some() && one == two
        }
        (Some(Shape::Struct | Shape::AtomicStruct), Value::Object(one), Value::Object(two)) => {
            same_maps(one, two, |k| node.and_then(|n| n.field(k)))
        }
        (Some(Shape::Map(inner) | Shape::AtomicMap(inner)), Value::Object(one), Value::Object(two)) => {
            same_maps(one, two, |_| Some(inner))
        }
        (Some(Shape::AtomicList(inner)), Value::Array(one), Value::Array(two)) => same_lists(inner, one, two),
        (Some(Shape::Set(inner) | Shape::Keyed(inner, _)), Value::Array(first), Value::Array(second)) => {
            match (parts(node, one), parts(node, two)) {
                (Some(first), Some(second)) => same_items(&first, &second),
                _ => same_lists(inner, first, second),
            }
        }
        _ => !there(Some(one)) && !there(Some(two)),
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(s) => s.parse().ok(),
        Value::Number(n) => alloc::format!("{n}").parse().ok(),
        _ => None,
    }
}

fn same_items<N: SchemaNode>(one: &[Part<'_, N>], two: &[Part<'_, N>]) -> bool {
    let others = by_element(two);
    let same_as_other = |p: &Part<'_, N>| {
        others.get(&p.element).is_some_and(|other| same_item(p.node, &p.element, p.value, other.value))
    };
    one.len() == two.len() && one.iter().all(same_as_other)
}

/// Items of one element, whose keys are equal even where one leaves out a default.
fn same_item<N: SchemaNode>(node: Option<N>, element: &PathElement, a: &Value, b: &Value) -> bool {
    match (element, a, b) {
        (PathElement::Key(keys), Value::Object(x), Value::Object(y)) => {
            let without = |m: &Map<String, Value>| {
                let rest = m.iter().filter(|(k, _)| keys.iter().all(|(key, _)| key != *k));
                Value::Object(rest.map(|(k, v)| (k.clone(), v.clone())).collect())
            };
            same(node, Some(&without(x)), Some(&without(y)))
        }
        _ => same(node, Some(a), Some(b)),
    }
}

fn same_maps<N: SchemaNode>(
    one: &Map<String, Value>,
    two: &Map<String, Value>,
    node: impl Fn(&str) -> Option<N>,
) -> bool {
    one.iter().all(|(k, v)| same(node(k), Some(v), two.get(k)))
        && two.iter().all(|(k, v)| one.contains_key(k) || same(node(k), None, Some(v)))
}

fn same_lists<N: SchemaNode>(node: N, x: &[Value], y: &[Value]) -> bool {
    x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(Some(node), Some(a), Some(b)))
}

/// [`same`] for a value as someone wrote it and one as it is stored: what Kubernetes fills in
/// inside an atomic value is no difference.
pub(super) fn same_as_stored<N: SchemaNode>(node: Option<N>, written: &Value, stored: &Value) -> bool {
    if same(node, Some(written), Some(stored)) {
        return true;
    }
    let Some(n) = node else { return false };
    if !matches!(written, Value::Object(_) | Value::Array(_)) {
        return false;
    }
    let mut full = written.clone();
    n.fill_defaults(&mut full);
    same(node, Some(&full), Some(stored))
}

/// A value as a source sets it: without `null`, which in a manifest is absence, and without what
/// `exclude` leaves to others. Inside a value that is merged in one piece, an excluded part is
/// taken from `live`. `None` if nothing is left of a value that had something.
pub(super) fn own_part<N: SchemaNode>(
    node: Option<N>,
    value: &Value,
    live: Option<&Value>,
    exclude: &FieldSet,
) -> Option<Value> {
    if exclude.member || is_unset(node, value) {
        return None;
    }
    let Some(parts) = parts(node, value) else { return Some(with_live_parts(value, live, exclude)) };
    let live_parts = live.and_then(|l| self::parts(node, l)).unwrap_or_default();
    let live_parts = by_element(&live_parts);
    let mut kept: Vec<(&PathElement, Value)> = Vec::with_capacity(parts.len());
    for part in &parts {
        let inner = exclude.children.get(&part.element).unwrap_or(FieldSet::EMPTY);
        let live = live_parts.get(&part.element).map(|p| p.value);
        if let Some(own) = own_part(part.node, part.value, live, inner) {
            kept.push((&part.element, own));
        }
    }
    // What held only `null`s is still there, empty; what held only others' fields is not.
    if kept.is_empty() && parts.iter().any(|p| !is_unset(p.node, p.value)) {
        return None;
    }
    Some(match value {
        Value::Object(_) => Value::Object(kept.into_iter().filter_map(|(e, v)| Some((field_name(e)?, v))).collect()),
        _ => Value::Array(kept.into_iter().map(|(_, v)| v).collect()),
    })
}

fn is_unset<N: SchemaNode>(node: Option<N>, value: &Value) -> bool {
    value.is_null() || node.is_some_and(|n| n.is_void(value))
}

fn with_live_parts(value: &Value, live: Option<&Value>, exclude: &FieldSet) -> Value {
    let mut out = without_nulls(value);
    if let Some(live) = live {
        for path in exclude.paths() {
            match path.get(live) {
                // A path that does not fit what the source sets has nothing to leave alone.
                Some(v) => drop(path.set(&mut out, v.clone())),
                None => drop(path.remove(&mut out)),
            }
        }
    }
    out
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(m) => {
            Value::Object(m.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect())
        }
        Value::Array(a) => Value::Array(a.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The name of a field's element.
pub(super) fn field_name(element: &PathElement) -> Option<String> {
    match element {
        PathElement::Field(name) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{path::FieldPath, testing::deployment},
        *,
    };

    #[test]
    fn the_set_of_a_value_is_kubernetes_own() {
        let value = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {
                "containers": [{"name": "web", "command": ["a"], "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        assert_eq!(
            to_set(Some(deployment()), &value).to_fields_v1(),
            json!({"f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
                "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:command": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
                    "f:volumes": {"k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}}}})
        );
        // Items that cannot be told apart make the list one piece.
        let twice = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}});
        assert_eq!(
            to_set(Some(deployment()), &twice).to_fields_v1(),
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}})
        );
    }

    #[test]
    fn sameness_knows_quantities_order_and_absence() {
        let with = |limits: Value, finalizers: Value| {
            json!({"metadata": {"finalizers": finalizers}, "spec": {"template": {"spec": {"containers": [
                {"name": "web", "resources": {"limits": limits}}]}}}})
        };
        let is_same = |a: &Value, b: &Value| same(Some(deployment()), Some(a), Some(b));
        let a = with(json!({"cpu": "1000m"}), json!(["x", "y"]));
        assert!(is_same(&a, &with(json!({"cpu": 1}), json!(["y", "x"]))));
        assert!(!is_same(&a, &with(json!({"cpu": 2}), json!(["y", "x"]))));
        assert!(!is_same(&a, &with(json!({"cpu": 1}), json!(["y"]))));
        assert!(!is_same(&json!({}), &with(json!({}), json!([]))));
        assert!(is_same(&json!({"spec": {}}), &json!({"metadata": {"labels": {}}})));
    }

    #[test]
    fn excluded_parts_are_left_out_or_taken_from_live() {
        let root = Some(deployment());
        let path = |t: &str| FieldPath::parse(deployment(), t).unwrap();
        let value = json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b", "c": "d"}},
            "template": {"spec": {"containers": [{"name": "web", "image": "x"}], "hostNetwork": null}}}});
        let exclude: FieldSet =
            ["spec.replicas", "spec.template.spec.containers[web].image", "spec.selector.matchLabels.a"]
                .into_iter()
                .map(path)
                .collect();
        let live = json!({"spec": {"selector": {"matchLabels": {"a": "live"}}}});
        assert_eq!(
            own_part(root, &value, Some(&live), &exclude),
            Some(json!({"spec": {"selector": {"matchLabels": {"a": "live", "c": "d"}},
                "template": {"spec": {"containers": [{"name": "web"}]}}}}))
        );
        assert_eq!(own_part(root, &json!({"spec": {"replicas": 1}}), None, &exclude), None);
    }
}
