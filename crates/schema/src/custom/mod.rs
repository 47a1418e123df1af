//! Kinds that CustomResourceDefinitions make: their schemas, brought at run time, and the walks over them.
//!
//! A definition in force becomes a [`Definition`]: one [`Version`] a served version, each with a compiled
//! structural schema ([`node`]). [`Customs`] holds all of them; who has it (the world, a view of it, the
//! reader of manifests) finds the schema of any kind by [`Customs::schema`] as a [`crate::SchemaRef`], whose
//! methods are the same walks for built-in kinds and custom ones.
//!
//! Deliberately not here: when a definition comes into force and whose names it may have
//! (`evenkeel_core::controllers::definition`).

mod compile;
mod defaults;
mod formats;
pub mod jsonpath;
mod merge;
pub(crate) mod node;
mod rules;
#[cfg(test)]
mod tests;
mod validate;
mod walk;

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Custom, Kind, custom::Names};
use serde_json::Value;

pub use merge::AnyNode;
pub use node::Node;
pub use rules::Before;

pub(crate) use compile::root;
pub(crate) use defaults::fill;
pub(crate) use rules::hold;
pub(crate) use validate::value as check;
pub(crate) use walk::decode;

use crate::{SchemaRef, path::Trail, validate::Complaints};

/// A definition in force.
#[derive(Debug)]
pub struct Definition {
    /// The kind in the version in which objects are kept.
    pub stored: Kind,
    /// Its versions, in the order in which the definition names them.
    pub versions: Vec<Version>,
    /// It is being deleted with all its objects: no new one is made.
    pub ending: bool,
}

/// One version of a custom kind.
#[derive(Debug)]
pub struct Version {
    /// The kind in this version.
    pub kind: Kind,
    /// Whether it is served.
    pub served: bool,
    /// What clients are warned of.
    pub warning: Option<String>,
    /// Paths of the `scale` subresource, if it has one.
    pub scale: Option<Scale>,
    /// Columns of tables.
    pub columns: Vec<Column>,
    /// Fields that lists can be asked by, as `spec.color`.
    pub selectable: Vec<String>,
    pub(crate) root: Node,
}

/// Where the numbers of the `scale` subresource are, as simple paths: `.spec.replicas`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Wanted.
    pub spec: String,
    /// Found.
    pub status: String,
    /// The selector as text, if there is one.
    pub selector: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub sort: String,
    /// As in `OpenAPI`.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0: always shown; else by `-o wide`.
    pub priority: i64,
    /// A simple JSON path.
    pub path: String,
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().into()
}

fn flag(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

impl Definition {
    /// Reads the `spec` of a CustomResourceDefinition, defaults filled in; `None` where it has no version
    /// in which objects are kept.
    pub fn read(spec: &Value, ending: bool) -> Option<Self> {
        let mut stored = None;
        let mut versions = Vec::new();
        for version in spec.get("versions").and_then(Value::as_array)? {
            let names = Names::of_version(spec, version);
            let kind = Kind::Custom(Custom::new(&names));
            if flag(version, "storage") {
                stored = Some(kind);
            }
            let subresources = &version["subresources"];
            let scale = subresources.get("scale").filter(|s| s.is_object()).map(|s| Scale {
                spec: text(s, "specReplicasPath"),
                status: text(s, "statusReplicasPath"),
                selector: Some(text(s, "labelSelectorPath")).filter(|p| !p.is_empty()),
            });
            let warning = flag(version, "deprecated").then(|| {
                let own = text(version, "deprecationWarning");
                let general = alloc::format!("{}/{} {} is deprecated", names.group, names.version, names.kind);
                if own.is_empty() { general } else { own }
            });
            let mut ignored = Complaints::default();
            versions.push(Version {
                kind,
                served: flag(version, "served"),
                warning,
                scale,
                columns: columns(version),
                selectable: selectable(version),
                root: compile::root(&version["schema"]["openAPIV3Schema"], &Trail::Root, &mut ignored),
            });
        }
        Some(Self { stored: stored?, versions, ending })
    }

    /// The version that a client is given where it asks for none: by Kubernetes' order of versions.
    pub fn preferred(&self) -> Option<&Version> {
        self.served().next()
    }

    /// Served versions, the preferred one first.
    pub fn served(&self) -> impl Iterator<Item = &Version> {
        let mut served: Vec<&Version> = self.versions.iter().filter(|v| v.served).collect();
        served.sort_by_key(|v| core::cmp::Reverse(rank(v.kind.info().version)));
        served.into_iter()
    }

    /// A version by its name, served or not.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.kind.info().version == name)
    }
}

impl Version {
    /// The kind's own schema.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

fn selectable(version: &Value) -> Vec<String> {
    let list = version.get("selectableFields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|f| text(f, "jsonPath").trim_start_matches('.').into()).collect()
}

fn columns(version: &Value) -> Vec<Column> {
    let list = version.get("additionalPrinterColumns").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let column = |c: &Value| Column {
        name: text(c, "name"),
        sort: text(c, "type"),
        format: text(c, "format"),
        description: text(c, "description"),
        priority: c.get("priority").and_then(Value::as_i64).unwrap_or(0),
        path: text(c, "jsonPath"),
    };
    list.iter().map(column).collect()
}

/// Kubernetes' order of versions: `v2` before `v1` before `v2beta1` before `v1alpha1` before others.
pub fn rank(version: &str) -> (u8, u64, u64, core::cmp::Reverse<String>) {
    let other = || (0, 0, 0, core::cmp::Reverse(version.to_string()));
    let Some(rest) = version.strip_prefix('v') else { return other() };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let Ok(major) = rest[..end].parse::<u64>() else { return other() };
    let after = &rest[end..];
    let (stage, minor) = if after.is_empty() {
        (3, "0")
    } else if let Some(minor) = after.strip_prefix("beta") {
        (2, minor)
    } else if let Some(minor) = after.strip_prefix("alpha") {
        (1, minor)
    } else {
        return other();
    };
    match minor.parse() {
        Ok(minor) => (stage, major, minor, core::cmp::Reverse(String::new())),
        Err(_) => other(),
    }
}

/// All custom kinds in force. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Customs(Arc<BTreeMap<Kind, Arc<Definition>>>);

impl Customs {
    /// Takes a definition in, in place of an older one of its kind.
    pub fn insert(&mut self, definition: Definition) {
        Arc::make_mut(&mut self.0).insert(definition.stored, Arc::new(definition));
    }

    /// Takes a kind away.
    pub fn remove(&mut self, kind: Kind) {
        if self.0.contains_key(&kind) {
            Arc::make_mut(&mut self.0).remove(&kind);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All definitions, in the order of their kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.0.values()
    }

    /// These, and those of others where these have none.
    pub fn over(&self, others: &Self) -> Self {
        let mut all = (*others.0).clone();
        all.extend(self.0.iter().map(|(k, d)| (*k, d.clone())));
        Self(Arc::new(all))
    }

    /// The definition of a kind.
    pub fn get(&self, kind: Kind) -> Option<&Arc<Definition>> {
        self.0.get(&kind)
    }

    /// A kind in the version that it names.
    pub fn version(&self, kind: Kind) -> Option<&Version> {
        self.get(kind)?.version(kind.info().version)
    }

    /// The schema of a kind; `None` for a custom one that is not in force.
    pub fn schema(&self, kind: Kind) -> Option<SchemaRef<'_>> {
        match kind {
            Kind::Custom(_) => self.version(kind).map(SchemaRef::Custom),
            built_in => Some(SchemaRef::Table(built_in)),
        }
    }

    /// The kind in which objects of it are kept: itself, but for other versions of a custom one.
    pub fn stored(&self, kind: Kind) -> Kind {
        self.get(kind).map_or(kind, |d| d.stored)
    }

    /// The kind of an `apiVersion` and `kind`, built in or served by a definition.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<Kind> {
        Kind::of(api_version, kind).or_else(|| {
            let (group, version) = api_version.split_once('/')?;
            let found = self.iter().find(|d| {
                let info = d.stored.info();
                info.kind == kind && info.group == group
            })?;
            found.version(version).filter(|v| v.served).map(|v| v.kind)
        })
    }

    /// The kind of a resource path, built in or served by a definition.
    pub fn of_resource(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        Kind::of_resource(group, version, plural).or_else(|| {
            let found = self.iter().find(|d| {
                let info = d.stored.info();
                info.plural == plural && info.group == group
            })?;
            found.version(version).filter(|v| v.served).map(|v| v.kind)
        })
    }

    /// The kind that a reference names, in whatever version: custom ones as they are kept.
    pub fn of_reference(&self, api_version: &str, kind: &str) -> Option<Kind> {
        Kind::of(api_version, kind).or_else(|| {
            let (group, _) = api_version.split_once('/')?;
            self.iter().map(|d| d.stored).find(|k| k.info().kind == kind && k.info().group == group)
        })
    }

    /// The custom kind of what the store and the histories write of it: `Widget.example.com`.
    pub fn of_text(&self, text: &str) -> Option<Kind> {
        let (kind, group) = text.split_once('.')?;
        self.iter().map(|d| d.stored).find(|k| k.info().kind == kind && k.info().group == group)
    }
}
