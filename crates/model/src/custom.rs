//! Kinds that a CustomResourceDefinition makes, as small as those that are built in.
//!
//! A [`Custom`] is a pointer to a table entry like every other kind's, so that [`crate::Kind`] stays a
//! copy and a key stays cheap. The entries are kept for the life of the process, each distinct one once
//! (some 200 bytes): no result depends on what is kept. What a definition says beside names (schemas,
//! columns, which versions are served) is in `evenkeel_schema::custom`.
//!
//! The version is a way of showing an object, no part of what the kind is: two kinds of one group and
//! name are equal whatever their versions.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{cmp::Ordering, fmt, hash};

use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{KindInfo, Origin, Scope};

/// The names of a custom kind in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Names {
    /// API group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind, as `Widget`.
    pub kind: String,
    /// Plural resource name.
    pub plural: String,
    /// Singular resource name.
    pub singular: String,
    /// Names that `kubectl` takes for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short_names: Vec<String>,
    /// Categories, as `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether the status is written apart.
    pub has_status: bool,
}

/// A kind that a CustomResourceDefinition makes, seen in one version.
#[derive(Clone, Copy)]
pub struct Custom(&'static KindInfo);

impl Names {
    /// The names that the `spec` of a CustomResourceDefinition gives its kind in one of its versions.
    pub fn of_version(spec: &Value, version: &Value) -> Self {
        let names = &spec["names"];
        let kind = text(names, "kind");
        let singular = Some(text(names, "singular")).filter(|s| !s.is_empty()).unwrap_or_else(|| kind.to_lowercase());
        Self {
            group: text(spec, "group"),
            version: text(version, "name"),
            plural: text(names, "plural"),
            singular,
            short_names: texts(names, "shortNames"),
            categories: texts(names, "categories"),
            namespaced: spec.get("scope").and_then(Value::as_str) == Some("Namespaced"),
            has_status: version["subresources"].get("status").is_some_and(Value::is_object),
            kind,
        }
    }

    /// As above, in the version in which objects are kept; `None` where there is none.
    pub fn stored(spec: &Value) -> Option<Self> {
        let versions = spec.get("versions").and_then(Value::as_array)?;
        let stored = versions.iter().find(|v| v["storage"] == Value::Bool(true))?;
        Some(Self::of_version(spec, stored))
    }
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().into()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|v| v.as_str().map(Into::into)).collect()
}

impl Custom {
    /// The kind of these names.
    pub fn new(names: &Names) -> Self {
        let mut slot: &'static OnceBox<Entry> = &FIRST;
        loop {
            let entry = slot.get_or_init(|| Box::new(Entry { info: kept(names), next: OnceBox::new() }));
            if is(&entry.info, names) {
                return Self(&entry.info);
            }
            slot = &entry.next;
        }
    }

    /// The table entry.
    pub fn info(self) -> &'static KindInfo {
        self.0
    }

    /// Its names, to be written down.
    pub fn names(self) -> Names {
        let texts = |list: &[&str]| list.iter().map(|s| String::from(*s)).collect();
        let i = self.0;
        Names {
            group: i.group.into(),
            version: i.version.into(),
            kind: i.kind.into(),
            plural: i.plural.into(),
            singular: i.singular.into(),
            short_names: texts(i.short_names),
            categories: texts(i.categories),
            namespaced: i.scope == Scope::Namespaced,
            has_status: i.has_status,
        }
    }

    fn identity(self) -> (&'static str, &'static str) {
        (self.0.group, self.0.kind)
    }
}

/// The entries so far, as a list that only grows.
static FIRST: OnceBox<Entry> = OnceBox::new();

struct Entry {
    info: KindInfo,
    next: OnceBox<Entry>,
}

fn is(info: &KindInfo, names: &Names) -> bool {
    info.group == names.group
        && info.version == names.version
        && info.kind == names.kind
        && info.plural == names.plural
        && info.singular == names.singular
        && info.short_names.iter().eq(&names.short_names)
        && info.categories.iter().eq(&names.categories)
        && (info.scope == Scope::Namespaced) == names.namespaced
        && info.has_status == names.has_status
}

fn kept(names: &Names) -> KindInfo {
    fn text(text: &str) -> &'static str {
        Box::leak(Box::from(text))
    }
    let list = |list: &[String]| -> &'static [&'static str] {
        Box::leak(list.iter().map(|s| text(s)).collect::<Vec<_>>().into_boxed_slice())
    };
    KindInfo {
        group: text(&names.group),
        version: text(&names.version),
        kind: text(&names.kind),
        plural: text(&names.plural),
        singular: text(&names.singular),
        short_names: list(&names.short_names),
        categories: list(&names.categories),
        scope: if names.namespaced { Scope::Namespaced } else { Scope::Cluster },
        origin: Origin::Anyone,
        has_status: names.has_status,
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({}.{}.{})", self.0.kind, self.0.version, self.0.group)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0) || self.identity() == other.identity()
    }
}

impl Eq for Custom {}

impl PartialOrd for Custom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Custom {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl hash::Hash for Custom {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Kind};

    fn names(version: &str) -> Names {
        Names {
            group: "example.com".into(),
            version: version.into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
            singular: "widget".into(),
            short_names: ["wd".into()].into(),
            categories: Vec::new(),
            namespaced: true,
            has_status: false,
        }
    }

    #[test]
    fn a_version_is_a_way_of_showing_the_same_kind() {
        let (old, new) = (Custom::new(&names("v1beta1")), Custom::new(&names("v1")));
        assert_eq!(old, new);
        assert_eq!((old.info().version, new.info().api_version().as_str()), ("v1beta1", "example.com/v1"));
        assert_eq!(new.names(), names("v1"));
        assert!(core::ptr::eq(new.info(), Custom::new(&names("v1")).info()), "kept once");
        let key = Key::new(Kind::Custom(new), "shop", "a");
        assert_eq!(alloc::format!("{key}"), "Widget.example.com shop/a");
        assert!(Kind::Custom(new) > Kind::Drift, "definitions are applied before their objects");
    }
}
