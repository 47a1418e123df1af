//! One document: from a tree to a checked [`Doc`], or to complaints.
//!
//! Called by `file` for every document. The order is: which kind, strict decoding, support,
//! validation, references; everything is looked at before anything is given up, so that all
//! complaints come at once.

use std::sync::Arc;

use evenkeel_model::{Doc, Key, Kind, Severity, kind::Origin, own::UnsupportedMode};
use evenkeel_schema::{KnownKind, Lookup, Path, SchemaRef, Trail, custom::Before, decode, lookup, path::Step};
use serde_json::Value;

use crate::{
    file::{File, NameLine, Skipped},
    limits::MAX_DIAGNOSTICS,
    paths, place, references, reserved, secret,
    tree::{NodeRef, Pos},
};

/// Group of what Kustomize alone reads.
const KUSTOMIZE: &str = "kustomize.config.k8s.io/";
/// Kinds that were in Kubernetes once and that published manifests still have.
const GONE: [&str; 3] = ["PodSecurityPolicy", "PodPreset", "ThirdPartyResource"];
/// Namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// The `apiVersion` and `kind` that a list gives to items without their own.
#[derive(Clone, Copy)]
struct Inherited<'n> {
    api_version: &'n str,
    kind: &'n str,
}

/// Reads a document, or the items of a list.
pub(crate) fn read(file: &mut File<'_>, root: NodeRef<'_>) {
    if !root.is_null() {
        read_item(file, root, None);
    }
}

/// Whether a document with flaws, whose kind may be unknown, may hold a Secret.
pub(crate) fn may_hold_secret(root: NodeRef<'_>) -> bool {
    match root.entry("kind").and_then(|(_, v)| v.as_str()) {
        Some(kind) => kind == "Secret" || kind.ends_with("List"),
        None => true,
    }
}

fn read_item(file: &mut File<'_>, root: NodeRef<'_>, inherited: Option<Inherited<'_>>) {
    if !root.is_map() {
        let message = "a document must be a mapping with apiVersion, kind and metadata".into();
        file.complain(root.at(), "", message, Severity::Error, true);
        return;
    }
    let api_version = identity(file, root, "apiVersion", inherited.map(|i| i.api_version));
    let kind = identity(file, root, "kind", inherited.map(|i| i.kind));
    let (Some((api_version, api_at)), Some((kind, kind_at))) = (api_version, kind) else { return };
    if let Some(items) = list_items(file, root, api_version, kind) {
        let item_kind = kind.strip_suffix("List").unwrap_or_default();
        let inherited = (!item_kind.is_empty()).then_some(Inherited { api_version, kind: item_kind });
        for item in items {
            read_item(file, item, inherited);
        }
        return;
    }
    if !file.admit_one_more(root.at()) {
        return;
    }
    match lookup(api_version, kind) {
        Lookup::Supported(k) if k.info().origin == Origin::Evenkeel => {
            let who = match k {
                Kind::CertificateSigningRequest => "whoever asks for one",
                Kind::Lease => "those who take turns",
                Kind::ControllerRevision => "controllers",
                Kind::Event => "those who have something to tell",
                _ => "Evenkeel alone",
            };
            let message = format!("{kind} objects are made by {who}: take it out of the source");
            file.complain(kind_at, "kind", message, Severity::Error, false);
        }
        Lookup::Supported(k) => object(file, root, SchemaRef::Table(k)),
        Lookup::NotYet(known) => not_yet(file, root, kind_at, known),
        Lookup::Custom if gateway(api_version) => {
            let message = format!(
                "{kind} of {api_version}: the Gateway API is not supported yet; an Ingress leads requests in from outside"
            );
            unsupported(file, root, kind_at, kind, message);
        }
        Lookup::Custom if api_version.starts_with(KUSTOMIZE) => {
            file.complain(kind_at, "kind", paths::KUSTOMIZATION.into(), Severity::Error, false);
        }
        Lookup::Custom => custom(file, root, (api_version, kind), kind_at),
        Lookup::OtherVersion(right) => {
            let message = format!("there is no {kind} in `{api_version}`, it is in `{right}`");
            file.complain(api_at, "apiVersion", message, Severity::Error, false);
        }
        Lookup::Unknown(_) if GONE.contains(&kind) => {
            let message = format!("{kind} ({api_version}) is in Kubernetes no longer");
            unsupported(file, root, kind_at, kind, message);
        }
        Lookup::Unknown(near) => {
            let hint = near.map_or_else(String::new, |n| format!(", did you mean `{n}`?"));
            let message = format!("unknown kind `{kind}` in `{api_version}`{hint}");
            file.complain(kind_at, "kind", message, Severity::Error, false);
        }
    }
}

fn gateway(api_version: &str) -> bool {
    api_version.starts_with("gateway.networking.k8s.io/")
}

/// An object whose kind a definition makes: by that definition, once all files are read.
fn custom(file: &mut File<'_>, root: NodeRef<'_>, (api_version, kind): (&str, &str), at: Pos) {
    let Some(customs) = file.customs.clone() else {
        file.out.waits = true;
        return;
    };
    let Some(found) = customs.of(api_version, kind) else {
        let versions: Vec<&str> = customs
            .of_reference(api_version, kind)
            .and_then(|k| customs.get(k))
            .map_or_else(Vec::new, |d| d.served().map(|v| v.kind.info().version).collect());
        let message = if versions.is_empty() {
            format!(
                "{kind} of {api_version}: no CustomResourceDefinition makes it, neither in the source nor in the cluster"
            )
        } else {
            format!("there is no {kind} in `{api_version}`; its definition serves {}", versions.join(", "))
        };
        unsupported(file, root, at, kind, message);
        return;
    };
    if let Some(schema) = customs.schema(found) {
        object(file, root, schema);
    }
}

/// `apiVersion` or `kind`, which must be text.
fn identity<'n>(
    file: &mut File<'_>,
    root: NodeRef<'n>,
    field: &str,
    inherited: Option<&'n str>,
) -> Option<(&'n str, Pos)> {
    let found = root.entry(field).filter(|(_, v)| !v.is_null());
    let Some((key, value)) = found else {
        if let Some(text) = inherited {
            return Some((text, root.at()));
        }
        file.complain(root.at(), field, format!("`{field}` is missing"), Severity::Error, true);
        return None;
    };
    let Some(text) = value.as_str() else {
        file.complain(key.at(), field, format!("`{field}` must be text"), Severity::Error, true);
        return None;
    };
    Some((text, value.at()))
}

/// The items, where the document is a list: `List`, or the list kind of a known kind.
fn list_items<'n>(file: &mut File<'_>, root: NodeRef<'n>, api_version: &str, kind: &str) -> Option<Vec<NodeRef<'n>>> {
    let item = kind.strip_suffix("List")?;
    let is_list = match item {
        "" => api_version == "v1",
        item => match lookup(api_version, item) {
            Lookup::Unknown(_) | Lookup::OtherVersion(_) => false,
            // A kind of others may have such a name itself.
            Lookup::Custom => root.entry("items").is_some_and(|(_, v)| v.is_list()),
            Lookup::Supported(_) | Lookup::NotYet(_) => true,
        },
    };
    if !is_list {
        return None;
    }
    for (name, key, _) in root.entries() {
        if !["apiVersion", "kind", "metadata", "items"].contains(&name) {
            file.complain(key.at(), name, format!("unknown field `{name}` in {kind}"), Severity::Error, true);
        }
    }
    let items = root.entry("items").filter(|(_, v)| !v.is_null());
    if let Some((key, value)) = items
        && !value.is_list()
    {
        file.complain(key.at(), "items", "expected a list".into(), Severity::Error, true);
    }
    Some(items.map(|(_, v)| v.items().collect()).unwrap_or_default())
}

fn not_yet(file: &mut File<'_>, root: NodeRef<'_>, at: Pos, known: &KnownKind) {
    let message = format!("{} ({}) is not supported yet", known.kind, known.api_version());
    unsupported(file, root, at, known.kind, message);
}

fn unsupported(file: &mut File<'_>, root: NodeRef<'_>, at: Pos, kind: &str, message: String) {
    match file.options.unsupported {
        UnsupportedMode::Reject => file.complain(at, "kind", message, Severity::Error, false),
        UnsupportedMode::Skip => {
            let metadata = root.entry("metadata").map(|(_, v)| v);
            let name = metadata.and_then(|m| m.entry("name")).and_then(|(_, v)| v.as_str()).unwrap_or("without a name");
            file.out.skipped.push(Skipped { line: root.at().line, what: format!("{kind} {name}") });
        }
    }
}

/// An object of a supported kind.
fn object(file: &mut File<'_>, root: NodeRef<'_>, schema: SchemaRef<'_>) {
    let kind = schema.kind();
    let hide = kind == Kind::Secret;
    let mut faults: Vec<Path> = Vec::new();
    let mut errors = false;
    let mut value = schema.decode(
        root,
        decode::Options { hide_values: hide, skip_server_set: true },
        &mut |fault: decode::Fault<NodeRef<'_>>| {
            // A merge key is told when the text is read.
            if !matches!(fault.path.0.last(), Some(Step::Field(k) | Step::Key(k)) if k == "<<") {
                file.complain(fault.node.at(), &fault.path.to_string(), fault.message, Severity::Error, hide);
            }
            faults.push(fault.path);
        },
    );
    errors |= !faults.is_empty();
    complete(&mut value, root, kind);
    if let Some(at) = without_namespace(&mut value, root, kind) {
        let message = format!("`namespace` has no effect: a {} is of the whole cluster", kind.info().kind);
        file.complain(at, "metadata.namespace", message, Severity::Warning, hide);
    }
    let mut remarks = Vec::new();
    let (mut refused, mut told) = (0, 0);
    schema.admit(&mut value, &mut |remark| {
        // Counted apart, so that no number of warnings hides an error.
        let count = if remark.severity == Severity::Error { &mut refused } else { &mut told };
        *count += 1;
        if *count <= MAX_DIAGNOSTICS {
            remarks.push(remark);
        }
    });
    errors |= refused > 0;
    for remark in remarks {
        let at = if file.is_full() { Pos::default() } else { place::find(root, &remark.path).key };
        file.complain(at, &remark.path.to_string(), remark.message, remark.severity, hide);
    }
    reserved::check(&mut value, &mut |path, message, severity| {
        errors |= severity == Severity::Error;
        let at = if file.is_full() { Pos::default() } else { place::find(root, path).key };
        file.complain(at, &path.to_string(), message, severity, hide);
    });
    if kind == Kind::Secret {
        secret::merge_string_data(&mut value);
    }
    // A definition may want what it fills in itself; what is applied is what was written.
    let mut filled = None;
    if let SchemaRef::Custom(_) = schema {
        let mut value = value.clone();
        schema.fill_defaults(&mut value);
        filled = Some(value);
    }
    for problem in schema.validate(filled.as_ref().unwrap_or(&value), Before::Unknown) {
        errors = true;
        // A field that did not decode is missing for another reason.
        if !faults.iter().any(|f| related(f, &problem.path)) {
            let at = place::find(root, &problem.path).best();
            file.complain(at, &problem.path.to_string(), problem.message, Severity::Error, hide);
        }
    }
    if !errors {
        finish(file, root, kind, value);
    }
}

/// What a manifest may leave out: the namespace, and in items of a list the identity.
fn complete(value: &mut Value, root: NodeRef<'_>, kind: Kind) {
    let Some(map) = value.as_object_mut() else { return };
    let info = kind.info();
    map.entry("apiVersion").or_insert_with(|| info.api_version().into());
    map.entry("kind").or_insert_with(|| info.kind.into());
    // A `metadata` that did not decode is told already; one that is not there gets its name missed.
    if root.entry("metadata").is_some_and(|(_, v)| !(v.is_map() || v.is_null())) {
        return;
    }
    let metadata = map.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(metadata) = metadata.as_object_mut()
        && kind.namespaced()
        && metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        metadata.insert("namespace".into(), DEFAULT_NAMESPACE.into());
    }
}

/// Takes the namespace away from what is of the whole cluster, as Kubernetes does; where it stood.
fn without_namespace(value: &mut Value, root: NodeRef<'_>, kind: Kind) -> Option<Pos> {
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !kind.namespaced())?;
    let was = metadata.remove("namespace")?;
    let at = place::find_trail(root, &Trail::Root.field("metadata").field("namespace")).best();
    was.as_str().is_some_and(|text| !text.is_empty()).then_some(at)
}

/// Whether one path lies on the way of the other.
fn related(a: &Path, b: &Path) -> bool {
    let same = |(x, y): (&Step, &Step)| x == y;
    a.0.iter().zip(&b.0).all(same)
}

fn finish(file: &mut File<'_>, root: NodeRef<'_>, kind: Kind, value: Value) {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let key = Key::new(kind, text("namespace"), text("name"));
    let references = {
        let file = &*file;
        references::of(&key, &value, &|trail| {
            let at = place::find_trail(root, trail).best();
            (file.place(at), file.excerpt(at, kind == Kind::Secret))
        })
    };
    let place = file.place(root.at());
    let top = Trail::Root;
    let name = place::find_trail(root, &top.field("metadata").field("name")).best();
    let excerpt = file.excerpt(name, kind == Kind::Secret);
    file.out.names.push(NameLine { line: name.line, column: name.column, width: name.width, excerpt });
    file.out.docs.push(Arc::new(Doc::new(key, value, place, references)));
}
