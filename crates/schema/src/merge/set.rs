//! Sets of field paths, and their form on the wire: Kubernetes' `FieldsV1`.
//!
//! Used for what a manager owns, what a write changed, and what sync leaves alone. A set is a trie:
//! each node says whether the path that ends there is a member.

use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Value};
use thiserror::Error;

use super::path::{FieldPath, PathElement, Scalar};

/// Nesting beyond this is refused when a set is read: no Kubernetes type comes near it, and it
/// bounds the stack.
const MAX_DEPTH: usize = 64;

/// Bytes that are no `FieldsV1`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a FieldsV1: {0}")]
pub struct FieldsError(pub String);

/// A set of field paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    /// Whether the path that ends here is in the set.
    pub(super) member: bool,
    /// Invariant: no child is empty.
    pub(super) children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// A set with nothing in it.
    pub const EMPTY: &'static Self = &Self { member: false, children: BTreeMap::new() };

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &FieldPath) {
        let mut at = self;
        for element in &path.0 {
            at = at.children.entry(element.clone()).or_default();
        }
        at.member = true;
    }

    /// Whether this very path is a member.
    pub fn contains(&self, path: &FieldPath) -> bool {
        path.0.iter().try_fold(self, |s, e| s.children.get(e)).is_some_and(|s| s.member)
    }

    /// Whether this path or one that leads to it is a member.
    pub fn covers(&self, path: &FieldPath) -> bool {
        let mut at = self;
        for element in &path.0 {
            if at.member {
                return true;
            }
            match at.children.get(element) {
                Some(child) => at = child,
                None => return false,
            }
        }
        at.member
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.extend_from(other);
        out
    }

    /// Adds everything of another set.
    pub fn extend_from(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, theirs) in &other.children {
            match self.children.entry(element.clone()) {
                Entry::Occupied(mut e) => e.get_mut().extend_from(theirs),
                Entry::Vacant(e) => {
                    e.insert(theirs.clone());
                }
            }
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (element, mine) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                out.attach(element, mine.intersection(theirs));
            }
        }
        out
    }

    /// What is here and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Self { member: self.member && !other.member, children: BTreeMap::new() };
        for (element, mine) in &self.children {
            let left = other.children.get(element).map_or_else(|| mine.clone(), |theirs| mine.difference(theirs));
            out.attach(element, left);
        }
        out
    }

    /// What is here and neither in the other nor below one of its paths.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        if other.member {
            return Self::default();
        }
        let mut out = Self { member: self.member, children: BTreeMap::new() };
        for (element, mine) in &self.children {
            let left =
                other.children.get(element).map_or_else(|| mine.clone(), |theirs| mine.recursive_difference(theirs));
            out.attach(element, left);
        }
        out
    }

    /// Every path, in order.
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    /// The part below an element.
    pub fn child(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element)
    }

    /// Puts a part below an element, unless it is empty.
    pub(super) fn attach(&mut self, element: &PathElement, part: Self) {
        if !part.is_empty() {
            self.children.insert(element.clone(), part);
        }
    }

    fn collect(&self, way: &mut Vec<PathElement>, out: &mut Vec<FieldPath>) {
        if self.member {
            out.push(FieldPath(way.clone()));
        }
        for (element, child) in &self.children {
            way.push(element.clone());
            child.collect(way, out);
            way.pop();
        }
    }

    /// As `FieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for (element, child) in &self.children {
            // A leaf is an empty mapping; a member with children says so by `.`.
            let mut inner = child.to_fields_v1();
            if child.member
                && !child.children.is_empty()
                && let Value::Object(inner) = &mut inner
            {
                inner.insert(".".into(), Value::Object(Map::new()));
            }
            map.insert(element_name(element), inner);
        }
        Value::Object(map)
    }

    /// From `FieldsV1`.
    pub fn from_fields_v1(value: &Value) -> Result<Self, FieldsError> {
        let mut set = read(value, 0)?;
        // An empty mapping at the top is an empty set, not the path to the whole object.
        set.member = false;
        Ok(set)
    }
}

impl FromIterator<FieldPath> for FieldSet {
    fn from_iter<I: IntoIterator<Item = FieldPath>>(paths: I) -> Self {
        let mut set = Self::default();
        paths.into_iter().for_each(|p| set.insert(&p));
        set
    }
}

fn read(value: &Value, depth: usize) -> Result<FieldSet, FieldsError> {
    if depth > MAX_DEPTH {
        return Err(FieldsError(format!("nested deeper than {MAX_DEPTH}")));
    }
    let map = value.as_object().ok_or_else(|| FieldsError("a value is no mapping".into()))?;
    let mut out = FieldSet { member: map.is_empty(), children: BTreeMap::new() };
    for (name, inner) in map {
        if name == "." {
            out.member = true;
            continue;
        }
        let element = read_element(name).ok_or_else(|| FieldsError(format!("`{name}` is no path element")))?;
        out.attach(&element, read(inner, depth + 1)?);
    }
    Ok(out)
}

fn element_name(element: &PathElement) -> String {
    match element {
        PathElement::Field(name) => format!("f:{name}"),
        PathElement::Key(pairs) => {
            let map: Map<String, Value> = pairs.iter().map(|(k, v)| (k.clone(), v.to_value())).collect();
            format!("k:{}", Value::Object(map))
        }
        PathElement::Value(v) => format!("v:{}", v.to_value()),
        PathElement::Index(i) => format!("i:{i}"),
    }
}

fn read_element(name: &str) -> Option<PathElement> {
    let (tag, rest) = name.split_at_checked(2)?;
    Some(match tag {
        "f:" => PathElement::Field(rest.to_string()),
        "v:" => PathElement::Value(Scalar::of(&serde_json::from_str(rest).ok()?)),
        "i:" => PathElement::Index(rest.parse().ok()?),
        "k:" => {
            let map: Map<String, Value> = serde_json::from_str(rest).ok()?;
            let mut pairs: Vec<(String, Scalar)> = map.iter().map(|(k, v)| (k.clone(), Scalar::of(v))).collect();
            pairs.sort();
            PathElement::Key(pairs)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(paths: &[&[&str]]) -> FieldSet {
        paths.iter().map(|p| FieldPath::of_fields(p)).collect()
    }

    #[test]
    fn set_algebra() {
        let (a, b) = (set(&[&["x"], &["x", "y"], &["z"]]), set(&[&["x", "y"], &["w"]]));
        assert_eq!(a.union(&b), set(&[&["x"], &["x", "y"], &["z"], &["w"]]));
        assert_eq!(a.intersection(&b), set(&[&["x", "y"]]));
        assert_eq!(a.difference(&b), set(&[&["x"], &["z"]]));
        assert_eq!(a.recursive_difference(&set(&[&["x"]])), set(&[&["z"]]));
        assert!(a.contains(&FieldPath::of_fields(&["x", "y"])));
        assert!(!a.contains(&FieldPath::of_fields(&["x", "q"])));
        assert!(a.covers(&FieldPath::of_fields(&["x", "q"])));
        assert!(!b.covers(&FieldPath::of_fields(&["x"])));
    }

    #[test]
    fn fields_v1_as_kubernetes_writes_it() {
        let wire = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"web\"}": {".": {}, "f:image": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}
        });
        let read = FieldSet::from_fields_v1(&wire).unwrap();
        assert_eq!(read.to_fields_v1(), wire);
        assert_eq!(read.paths().len(), 8);
        assert_eq!(FieldSet::from_fields_v1(&json!({})).unwrap(), FieldSet::default());
        for bad in [json!([]), json!({"x:a": {}}), json!({"f:a": 1}), json!({"k:x": {}}), json!({"é": {}})] {
            assert!(FieldSet::from_fields_v1(&bad).is_err(), "{bad}");
        }
    }

    fn element() -> impl Strategy<Value = PathElement> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Scalar::Bool),
            any::<i64>().prop_map(Scalar::Int),
            ".{0,3}".prop_map(Scalar::Text)
        ];
        prop_oneof![
            ".{0,3}".prop_map(PathElement::Field),
            proptest::collection::btree_map("[a-c]", scalar.clone(), 1..3)
                .prop_map(|m| PathElement::Key(m.into_iter().collect())),
            scalar.prop_map(PathElement::Value),
            (0..5_usize).prop_map(PathElement::Index),
        ]
    }

    fn sets() -> impl Strategy<Value = FieldSet> {
        let path = proptest::collection::vec(element(), 1..4).prop_map(FieldPath);
        proptest::collection::vec(path, 0..6).prop_map(|p| p.into_iter().collect())
    }

    proptest! {
        #[test]
        fn fields_v1_round_trips(a in sets()) {
            prop_assert_eq!(FieldSet::from_fields_v1(&a.to_fields_v1()).unwrap(), a);
        }

        #[test]
        fn sets_obey_their_laws(a in sets(), b in sets()) {
            let (both, left, right) = (a.intersection(&b), a.difference(&b), b.difference(&a));
            prop_assert_eq!(both.union(&left).union(&right), a.union(&b));
            prop_assert!(left.intersection(&b).is_empty());
            prop_assert_eq!(left.union(&both), a.clone());
            for p in a.recursive_difference(&b).paths() {
                prop_assert!(!b.covers(&p) && a.contains(&p));
            }
        }
    }
}
