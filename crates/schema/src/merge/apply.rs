//! Server-side apply and the ownership of other writes, by Kubernetes' rules (KEP-555).
//!
//! Called for each object that a source applies and for each API write. What comes out is neither
//! defaulted nor validated: the caller does both. Where the rules are those of Kubernetes'
//! structured merge, the names are too. Three things are our own: `exclude` (what sync must neither
//! write nor own), that a map which a manager leaves keeps the entries that nobody owns, and that
//! a choice of one (`retainKeys`) drops the defaults of what was chosen before.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use evenkeel_model::Time;
use serde_json::{Map, Value};

use super::{
    compare::{Comparison, compare},
    managed::{Managed, ManagedEntry, Operation},
    path::{FieldPath, PathElement},
    schema::{SchemaNode, Shape},
    set::FieldSet,
    walk::{Part, Role, by_element, field_name, is_empty_container, own_part, parts, same_as_stored, to_set},
};

/// Metadata that is nobody's: identity and what the server sets.
const UNOWNED_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Whether fields that others own with another value are taken from them.
    pub force: bool,
    /// Now: the manager's time if something changes.
    pub time: Time,
    /// Paths that are neither written nor owned: an autoscaler's, `ignoreDifferences`, accepted
    /// drift. Pass [`FieldSet::EMPTY`] where the object is created, so that they have a value.
    pub exclude: &'a FieldSet,
    /// The subresource it writes through; empty for the object itself.
    pub subresource: &'a str,
}

/// What an apply makes of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object, without defaults.
    pub value: Value,
    /// Who owns what now.
    pub managed: Managed,
    /// Whether value or ownership differ from before; if not, both are as they were, to the byte.
    pub changed: bool,
}

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The field.
    pub path: FieldPath,
    /// The other manager, as `"kubectl" using apps/v1`.
    pub manager: String,
}

/// Why an apply without force was refused. Its text is Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.0[..] {
            let (manager, path) = (&only.manager, only.path.kubernetes());
            return write!(f, "Apply failed with 1 conflict: conflict with {manager}: {path}");
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut by_manager: BTreeMap<&str, Vec<&FieldPath>> = BTreeMap::new();
        for c in &self.0 {
            by_manager.entry(&c.manager).or_default().push(&c.path);
        }
        for (i, (manager, paths)) in by_manager.into_iter().enumerate() {
            write!(f, "{}conflicts with {manager}:", if i > 0 { "\n" } else { "" })?;
            paths.into_iter().try_for_each(|p| write!(f, "\n- {}", p.kubernetes()))?;
        }
        Ok(())
    }
}

impl core::error::Error for Conflicts {}

/// Who writes, other than by apply.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Now.
    pub time: Time,
    /// The subresource it writes through; empty for the object itself.
    pub subresource: &'a str,
}

/// Applies a configuration to an object: sets what it sets, removes what this manager owned and
/// sets no longer and nobody else owns, leaves all else. `live` is `null` where there is no object
/// yet. In `applied`, `null` is absence; its `status` and the metadata that the server sets are
/// neither owned nor compared.
pub fn apply<N: SchemaNode>(
    schema: N,
    live: &Value,
    managed: &Managed,
    applied: &Value,
    by: &Apply<'_>,
) -> Result<Applied, Conflicts> {
    let root = Some(schema);
    let before = Some(live).filter(|v| !v.is_null());
    let own = own_part(root, applied, before, by.exclude).unwrap_or_else(|| Value::Object(Map::new()));
    let mut me = ManagedEntry {
        manager: by.manager.into(),
        operation: Operation::Apply,
        api_version: api_version(applied, live),
        time: Some(by.time),
        subresource: by.subresource.into(),
        fields: relevant(to_set(root, &own), by.subresource),
    };
    let mine = managed.0.iter().find(|e| e.same_manager(&me));
    let last = mine.map(|e| e.fields.recursive_difference(by.exclude)).unwrap_or_default();
    let mut others = by.exclude.clone();
    managed.0.iter().filter(|e| !e.same_manager(&me)).for_each(|e| others.extend_from(&e.fields));

    let merged = merge(root, before, &own, &others);
    let mut keep = others.union(&me.fields);
    // Metadata itself goes with the object alone.
    keep.insert(&FieldPath::of_fields(&["metadata", "name"]));
    let value = prune(root, &merged, &last, &keep);

    let delta = compare(root, before, Some(&value)).map(|s| relevant(s, by.subresource));
    let mut after = taken_over(managed, &me, &delta, by.force)?;
    let mut changed = value != *live;
    match mine {
        Some(e) if !changed && e.fields == me.fields && e.api_version == me.api_version => me.time = e.time,
        None if me.fields.is_empty() => {}
        _ => changed = true,
    }
    after.0.push(me);
    after.normalize();
    let managed = if changed { after } else { managed.clone() };
    Ok(Applied { value, managed, changed })
}

/// Who owns what after a write that is no apply: the writer owns what it changed, and nobody what
/// it removed.
pub fn update<N: SchemaNode>(schema: N, old: &Value, new: &Value, managed: &Managed, by: &Update<'_>) -> Managed {
    let (before, after) = (Some(old).filter(|v| !v.is_null()), Some(new).filter(|v| !v.is_null()));
    let changes = compare(Some(schema), before, after).map(|s| relevant(s, by.subresource));
    let mut me = ManagedEntry {
        manager: by.manager.into(),
        operation: Operation::Update,
        api_version: api_version(new, old),
        time: Some(by.time),
        subresource: by.subresource.into(),
        fields: changes.modified.union(&changes.added),
    };
    if me.fields.is_empty() && changes.removed.is_empty() {
        return managed.clone();
    }
    // With force there are no conflicts.
    let mut out = taken_over(managed, &me, &changes, true).unwrap_or_default();
    if let Some(mine) = managed.0.iter().find(|e| e.same_manager(&me)) {
        if me.fields.is_empty() {
            me.time = mine.time;
        }
        me.fields.extend_from(&mine.fields.difference(&changes.removed));
    }
    out.0.push(me);
    out.normalize();
    out
}

fn api_version(first: &Value, second: &Value) -> String {
    let of = |v: &Value| v.get("apiVersion").and_then(Value::as_str).map(String::from);
    of(first).or_else(|| of(second)).unwrap_or_default()
}

/// Without the fields that have no owner, and those that a write through this subresource does not
/// reach: the object itself never writes `status`, and `status` nothing else.
fn relevant(mut set: FieldSet, subresource: &str) -> FieldSet {
    set.member = false;
    set.children.retain(|element, _| match element {
        PathElement::Field(name) if name == "status" => subresource == "status",
        PathElement::Field(name) => subresource != "status" && name != "apiVersion" && name != "kind",
        _ => true,
    });
    let metadata = PathElement::Field("metadata".into());
    if let Some(mut inner) = set.children.remove(&metadata) {
        inner.member = false;
        inner.children.retain(|e, _| !matches!(e, PathElement::Field(n) if UNOWNED_METADATA.contains(&n.as_str())));
        set.attach(&metadata, inner);
    }
    set
}

/// Fields of an object that no source sets: identity, what the server writes, and `status`.
pub(super) fn unset_by_sources() -> FieldSet {
    let metadata = UNOWNED_METADATA.iter().map(|n| FieldPath::of_fields(&["metadata", n]));
    ["apiVersion", "kind", "status"].iter().map(|n| FieldPath::of_fields(&[n])).chain(metadata).collect()
}

/// The other managers after these changes: they lose what was changed or removed.
fn taken_over(managed: &Managed, me: &ManagedEntry, changes: &Comparison, force: bool) -> Result<Managed, Conflicts> {
    let written = changes.modified.union(&changes.added);
    let (mut conflicts, mut out) = (Vec::new(), Vec::new());
    for entry in managed.0.iter().filter(|e| !e.same_manager(me)) {
        let lost = entry.fields.intersection(&written);
        conflicts.extend(lost.paths().into_iter().map(|path| Conflict { path, manager: entry.describe() }));
        let fields = entry.fields.difference(&lost).difference(&changes.removed);
        out.push(ManagedEntry { fields, ..entry.clone() });
    }
    if force || conflicts.is_empty() { Ok(Managed(out)) } else { Err(Conflicts(conflicts)) }
}

/// Writes a configuration over an object.
fn merge<N: SchemaNode>(node: Option<N>, live: Option<&Value>, own: &Value, others: &FieldSet) -> Value {
    let Some(live) = live.filter(|v| !v.is_null()) else { return own.clone() };
    let (Some(before), Some(after)) = (parts(node, live), parts(node, own)) else {
        return if same_as_stored(node, own, live) { live.clone() } else { own.clone() };
    };
    match live {
        Value::Object(map) => {
            let mut out = map.clone();
            let mut changed = false;
            for part in &after {
                let Some(name) = field_name(&part.element) else { continue };
                // What says no more than its absence does not come and go with each sync.
                if !map.contains_key(&name) && part.node.is_some_and(|n| n.is_absence(part.value)) {
                    continue;
                }
                let merged = merge(part.node, map.get(&name), part.value, child(others, &part.element));
                changed |= map.get(&name) != Some(&merged);
                out.insert(name, merged);
            }
            if changed && node.is_some_and(SchemaNode::retain_keys) {
                out.retain(|k, _| own.get(k).is_some() || others.children.contains_key(&PathElement::Field(k.clone())));
            }
            Value::Object(out)
        }
        _ => Value::Array(merge_list(&before, &after, others)),
    }
}

fn child<'s>(set: &'s FieldSet, element: &PathElement) -> &'s FieldSet {
    set.children.get(element).unwrap_or(FieldSet::EMPTY)
}

/// Merges two lists by their items. What both have comes in the configuration's order; what only
/// the object has stays before the items that it stood before.
fn merge_list<N: SchemaNode>(before: &[Part<'_, N>], after: &[Part<'_, N>], others: &FieldSet) -> Vec<Value> {
    let (old, new) = (by_element(before), by_element(after));
    let mut shared = after.iter().map(|p| &p.element).filter(|e| old.contains_key(e)).peekable();
    let mut rest = before.iter().peekable();
    let mut out = Vec::with_capacity(before.len() + after.len());
    for part in after {
        let is_shared = old.contains_key(&part.element);
        // Take over the object's own items up to the next shared one that is due.
        while let Some(item) = rest.peek() {
            if !new.contains_key(&item.element) {
                out.push(item.value.clone());
            } else if shared.peek() == Some(&&item.element) {
                break;
            }
            rest.next();
        }
        if is_shared {
            shared.next();
            if rest.peek().is_some_and(|i| i.element == part.element) {
                rest.next();
            }
        }
        let live = old.get(&part.element).map(|p| p.value);
        out.push(merge(part.node, live, part.value, child(others, &part.element)));
    }
    out.extend(rest.filter(|i| !new.contains_key(&i.element)).map(|i| i.value.clone()));
    out
}

/// Removes from a value what a manager owned before (`last`), unless it is in `keep`.
fn prune<N: SchemaNode>(node: Option<N>, value: &Value, last: &FieldSet, keep: &FieldSet) -> Value {
    let Some(parts) = parts(node, value) else { return value.clone() };
    let mut kept: Vec<(&PathElement, Value)> = Vec::with_capacity(parts.len());
    for part in &parts {
        let Some(last) = last.children.get(&part.element) else {
            kept.push((&part.element, part.value.clone()));
            continue;
        };
        let keep = keep.children.get(&part.element);
        let gone = match part.role {
            Role::Item => last.member && !keep.is_some_and(|k| k.member),
            // A struct goes with the defaults in it once nobody owns a field of it; a map or list
            // may hold what was never owned.
            Role::Named => keep.is_none() && (last.member || !is_collection(part.node)),
        };
        if gone {
            continue;
        }
        let keep = keep.unwrap_or(FieldSet::EMPTY);
        let inner = prune(part.node, part.value, last, keep);
        let emptied = is_empty_container(&inner) && !is_empty_container(part.value);
        if emptied && !keep.member && part.role == Role::Named {
            continue;
        }
        kept.push((&part.element, inner));
    }
    match value {
        Value::Object(_) => Value::Object(kept.into_iter().filter_map(|(e, v)| Some((field_name(e)?, v))).collect()),
        _ => Value::Array(kept.into_iter().map(|(_, v)| v).collect()),
    }
}

fn is_collection<N: SchemaNode>(node: Option<N>) -> bool {
    matches!(node.map(SchemaNode::shape), Some(Shape::Map(_) | Shape::Set(_) | Shape::Keyed(..)))
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
