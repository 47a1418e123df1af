//! Strategic merge patches, by Kubernetes' rules: a patch in the object's own form, in which lists are
//! merged by the key that their field names, with directives for what a form cannot say.
//!
//! Called by the API for `application/strategic-merge-patch+json`. The rules are those of the API
//! conventions ("Strategic Merge Patch") and of apimachinery's `strategicpatch`. Deliberately not
//! here: defaults and validation of what comes out, and who owns it.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::types::{Field, Literal, Object, Patch, Type};

/// Says what to do with the mapping or the list that it stands in: `merge`, `replace`, `delete`.
const DIRECTIVE: &str = "$patch";
/// Names the fields of a choice of one that stay.
const RETAIN: &str = "$retainKeys";
/// Prefix: the order of a list's items.
const ORDER: &str = "$setElementOrder/";
/// Prefix: items of a list of scalars that go.
const DELETE: &str = "$deleteFromPrimitiveList/";

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct PatchError {
    /// Where in the patch; empty at its top.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a type says of how its values merge.
#[derive(Clone, Copy)]
struct Place {
    ty: Option<Type>,
    patch: Patch,
}

impl Place {
    /// Where nothing is known: mappings merge, lists are replaced.
    const FREE: Self = Self { ty: None, patch: Patch::Replace };

    fn of_field(field: &Field) -> Self {
        Self { ty: Some(field.ty), patch: field.patch }
    }

    fn child(self, name: &str) -> Self {
        match self.ty {
            Some(Type::Object(object)) => object.field(name).map_or(Self::FREE, Self::of_field),
            Some(Type::Map(item)) => Self { ty: Some(*item), patch: Patch::Replace },
            _ => Self::FREE,
        }
    }

    fn item(self) -> Self {
        match self.ty {
            Some(Type::List(item)) => Self { ty: Some(*item), patch: Patch::Replace },
            _ => Self::FREE,
        }
    }

    fn object(self) -> Option<&'static Object> {
        match self.ty {
            Some(Type::Object(object)) => Some(object),
            _ => None,
        }
    }
}

/// Puts a patch on a value of a type.
pub fn strategic(ty: &Type, live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else { return Err(error("", "a patch is a mapping")) };
    let empty = Map::new();
    let live = live.as_object().unwrap_or(&empty);
    let root = Place { ty: Some(*ty), patch: Patch::Replace };
    Ok(merge_map(root, live, patch, "")?.map_or(Value::Null, Value::Object))
}

fn error(here: &str, message: impl Into<String>) -> PatchError {
    PatchError { path: here.to_string(), message: message.into() }
}

fn below(here: &str, name: &str) -> String {
    if here.is_empty() { name.to_string() } else { format!("{here}.{name}") }
}

/// `None` where the patch deletes the mapping.
fn merge_map(
    place: Place,
    live: &Map<String, Value>,
    patch: &Map<String, Value>,
    here: &str,
) -> Result<Option<Map<String, Value>>, PatchError> {
    let mut out = match patch.get(DIRECTIVE).map(|d| d.as_str().unwrap_or_default()) {
        None | Some("merge") => live.clone(),
        Some("replace") => return plain_map(patch, here).map(Some),
        Some("delete") => return Ok(None),
        Some(other) => return Err(error(here, format!("`{DIRECTIVE}: {other}` is none of merge, replace, delete"))),
    };
    if let Some(keep) = patch.get(RETAIN) {
        let keep = keep.as_array().ok_or_else(|| error(here, format!("`{RETAIN}` is a list of names")))?;
        out.retain(|name, _| keep.iter().any(|k| k.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if name.starts_with('$') {
            known_directive(name, here)?;
            continue;
        }
        let (at, place) = (below(here, name), place.child(name));
        match value {
            Value::Null => {
                out.remove(name);
            }
            Value::Object(value) => {
                let empty = Map::new();
                let old = out.get(name).and_then(Value::as_object).unwrap_or(&empty);
                match merge_map(place, old, value, &at)? {
                    Some(merged) => out.insert(name.clone(), Value::Object(merged)),
                    None => out.remove(name),
                };
            }
            Value::Array(items) => {
                let old = out.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let merged = merge_list(place, old, items, &at)?;
                out.insert(name.clone(), Value::Array(merged));
            }
            scalar => {
                out.insert(name.clone(), scalar.clone());
            }
        }
    }
    // Both speak of the list as it is after its items were merged.
    for (directive, value) in patch {
        if let Some(name) = directive.strip_prefix(DELETE) {
            let gone = list(value, directive, here)?;
            if let Some(Value::Array(items)) = out.get_mut(name) {
                items.retain(|i| !gone.contains(i));
            }
        }
    }
    for (directive, value) in patch {
        if let Some(name) = directive.strip_prefix(ORDER) {
            let order = list(value, directive, here)?;
            let key = place.child(name).patch.merge_key();
            let old = live.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if let Some(Value::Array(items)) = out.get_mut(name) {
                *items = ordered(core::mem::take(items), order, old, key);
            }
        }
    }
    Ok(Some(out))
}

fn known_directive(name: &str, here: &str) -> Result<(), PatchError> {
    let known = name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) || name.starts_with(DELETE);
    if known { Ok(()) } else { Err(error(here, format!("`{name}` is no directive of a strategic merge patch"))) }
}

fn list<'v>(value: &'v Value, directive: &str, here: &str) -> Result<&'v [Value], PatchError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| error(here, format!("`{directive}` is a list")))
}

/// A mapping of a patch as it stands for itself: without directives and what is `null`.
fn plain_map(map: &Map<String, Value>, here: &str) -> Result<Map<String, Value>, PatchError> {
    let mut out = Map::new();
    for (name, value) in map {
        if name.starts_with('$') {
            known_directive(name, here)?;
        } else if !value.is_null() {
            out.insert(name.clone(), plain(value, &below(here, name))?);
        }
    }
    Ok(out)
}

fn plain(value: &Value, here: &str) -> Result<Value, PatchError> {
    Ok(match value {
        Value::Object(map) => Value::Object(plain_map(map, here)?),
        Value::Array(items) => {
            let items = items.iter().filter(|i| directive_of(i).is_none_or(|d| d == "merge"));
            Value::Array(items.map(|i| plain(i, here)).collect::<Result<_, _>>()?)
        }
        scalar => scalar.clone(),
    })
}

fn directive_of(item: &Value) -> Option<&str> {
    item.get(DIRECTIVE)?.as_str()
}

fn merge_list(place: Place, live: &[Value], patch: &[Value], here: &str) -> Result<Vec<Value>, PatchError> {
    let replaced = || {
        plain(&Value::Array(patch.to_vec()), here).map(|v| match v {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    };
    if patch.iter().any(|i| directive_of(i) == Some("replace")) {
        return replaced();
    }
    match place.patch {
        Patch::Merge => {
            let mut out = live.to_vec();
            out.extend(patch.iter().filter(|i| !live.contains(i)).cloned());
            Ok(out)
        }
        Patch::MergeBy(key) | Patch::MergeRetainKeys(key) => merge_keyed(place, key, live, patch, here),
        Patch::Replace | Patch::RetainKeys => replaced(),
    }
}

fn merge_keyed(place: Place, key: &str, live: &[Value], patch: &[Value], here: &str) -> Result<Vec<Value>, PatchError> {
    let mut out = live.to_vec();
    let item_place = place.item();
    // What the item's type fills in for the key, where an item does not say it.
    let default = item_place.object().and_then(|o| o.field(key)).and_then(|f| f.default).map(Literal::value);
    let of = |item: &Value| item.get(key).cloned().or_else(|| default.clone());
    for item in patch {
        let Value::Object(fields) = item else {
            return Err(error(here, format!("its items are mappings with `{key}`")));
        };
        let Some(id) = of(item).filter(|v| !v.is_null()) else {
            return Err(error(here, format!("an item is without its merge key `{key}`")));
        };
        let found = out.iter().position(|o| of(o).as_ref() == Some(&id));
        if directive_of(item) == Some("delete") {
            out.retain(|o| of(o).as_ref() != Some(&id));
            continue;
        }
        let at = format!("{here}[{key}={}]", id.as_str().map_or_else(|| id.to_string(), ToString::to_string));
        let empty = Map::new();
        let old = found.and_then(|i| out[i].as_object()).unwrap_or(&empty);
        let Some(merged) = merge_map(item_place, old, fields, &at)? else { continue };
        match found {
            Some(i) => out[i] = Value::Object(merged),
            None => out.push(Value::Object(merged)),
        }
    }
    Ok(out)
}

/// Brings the items that the order names into it. Those that it does not name stay where they were
/// among those that the object had before.
fn ordered(items: Vec<Value>, order: &[Value], live: &[Value], key: Option<&str>) -> Vec<Value> {
    let id = |item: &Value| -> Option<Value> {
        match key {
            Some(key) => item.get(key).cloned(),
            None => Some(item.clone()),
        }
    };
    let rank = |ids: &[Value]| -> BTreeMap<String, usize> {
        ids.iter().enumerate().filter_map(|(i, v)| Some((id(v)?.to_string(), i))).rev().collect()
    };
    let (wanted, before) = (rank(order), rank(live));
    let of = |ranks: &BTreeMap<String, usize>, item: &Value| id(item).and_then(|i| ranks.get(&i.to_string()).copied());
    let (mut named, rest): (Vec<Value>, Vec<Value>) = items.into_iter().partition(|i| of(&wanted, i).is_some());
    named.sort_by_key(|i| of(&wanted, i));
    let mut out = Vec::with_capacity(named.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for item in named {
        if let Some(place) = of(&before, &item) {
            while let Some(next) = rest.next_if(|r| of(&before, r).is_some_and(|b| b < place)) {
                out.push(next);
            }
        }
        out.push(item);
    }
    out.extend(rest);
    out
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;
    use crate::of_kind;

    fn pod(live: &Value, patch: &Value) -> Value {
        let wrap = |v: &Value| json!({"spec": v});
        strategic(of_kind(Kind::Pod), &wrap(live), &wrap(patch)).unwrap()["spec"].clone()
    }

    #[test]
    fn lists_merge_by_their_key() {
        let live =
            json!({"containers": [{"name": "a", "image": "x:1", "args": ["1", "2"]}, {"name": "b", "image": "y"}]});
        for (patch, expected) in [
            // One item's field.
            (
                json!({"containers": [{"name": "b", "image": "y:2"}]}),
                json!({"containers": [{"name": "a", "image": "x:1", "args": ["1", "2"]}, {"name": "b", "image": "y:2"}]}),
            ),
            // A list without a key is replaced.
            (
                json!({"containers": [{"name": "a", "args": ["3"]}]}),
                json!({"containers": [{"name": "a", "image": "x:1", "args": ["3"]}, {"name": "b", "image": "y"}]}),
            ),
            // A new item comes last, but where an order says otherwise.
            (
                json!({"containers": [{"name": "c", "image": "z"}]}),
                json!({"containers": [{"name": "a", "image": "x:1", "args": ["1", "2"]}, {"name": "b", "image": "y"},
                    {"name": "c", "image": "z"}]}),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "c", "image": "z"}]}),
                json!({"containers": [{"name": "c", "image": "z"}, {"name": "b", "image": "y"},
                    {"name": "a", "image": "x:1", "args": ["1", "2"]}]}),
            ),
            // Directives.
            (
                json!({"containers": [{"$patch": "delete", "name": "a"}]}),
                json!({"containers": [{"name": "b", "image": "y"}]}),
            ),
            (
                json!({"containers": [{"$patch": "replace"}, {"name": "n", "image": "i"}]}),
                json!({"containers": [{"name": "n", "image": "i"}]}),
            ),
            (json!({"containers": [{"$patch": "replace", "name": "a", "image": "only"}]}), json!({"containers": []})),
            (json!({"$patch": "replace", "nodeName": "n"}), json!({"nodeName": "n"})),
            (json!({"containers": null}), json!({})),
        ] {
            assert_eq!(pod(&live, &patch), expected, "{patch}");
        }
    }

    #[test]
    fn what_an_order_does_not_name_keeps_its_place() {
        let live = json!({"containers": [{"name": "a"}, {"name": "x"}, {"name": "b"}]});
        let patch =
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "n"}], "containers": [{"name": "n"}]});
        let names: Vec<String> = pod(&live, &patch)["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap().into())
            .collect();
        assert_eq!(names, ["a", "x", "b", "n"]);
    }

    #[test]
    fn a_choice_of_one_drops_what_was_chosen_before() {
        let deployment = |strategy: Value| json!({"spec": {"strategy": strategy}});
        let live = deployment(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}));
        let patch = deployment(json!({"$retainKeys": ["type"], "type": "Recreate"}));
        assert_eq!(
            strategic(of_kind(Kind::Deployment), &live, &patch).unwrap(),
            deployment(json!({"type": "Recreate"}))
        );
        let live = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let patch =
            json!({"volumes": [{"$retainKeys": ["name", "configMap"], "name": "v", "configMap": {"name": "c"}}]});
        assert_eq!(pod(&live, &patch), json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}));
    }

    #[test]
    fn lists_of_scalars_are_united() {
        let object = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        let live = object(json!(["a/1", "b/2"]));
        let ty = of_kind(Kind::ConfigMap);
        assert_eq!(strategic(ty, &live, &object(json!(["c/3", "a/1"]))).unwrap(), object(json!(["a/1", "b/2", "c/3"])));
        let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/1"]}});
        assert_eq!(strategic(ty, &live, &gone).unwrap(), object(json!(["b/2"])));
        let labels = json!({"metadata": {"labels": {"x": null, "y": "2"}}});
        assert_eq!(
            strategic(ty, &json!({"metadata": {"labels": {"x": "1", "z": "3"}}}), &labels).unwrap(),
            json!({"metadata": {"labels": {"y": "2", "z": "3"}}})
        );
    }

    #[test]
    fn a_patch_that_says_nonsense_is_refused() {
        for (patch, part) in [
            (json!([]), "mapping"),
            (json!({"spec": {"$patch": "remove"}}), "none of merge"),
            (json!({"spec": {"$pacth": "delete"}}), "no directive"),
            (json!({"spec": {"containers": [{"image": "x"}]}}), "without its merge key `name`"),
            (json!({"spec": {"containers": ["x"]}}), "mappings with `name`"),
            (json!({"spec": {"$setElementOrder/containers": "x"}}), "is a list"),
        ] {
            let error = strategic(of_kind(Kind::Pod), &json!({}), &patch).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
