//! What of a revision depends on the cluster: namespaces, references, owners, immutable fields.
//!
//! Called when a revision is admitted or planned. What the documents say for themselves was checked
//! when they were read (`evenkeel-manifest`).

use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Diagnostic, Doc, Key, Kind, Object, Reference, Severity, Snapshot, own::SourceSpec};
use serde_json::Value;

use crate::{
    controllers::api,
    edit::fixed::{fixed_of_definition, is_immutable},
    network::Layout,
    policy, service,
    world::{World, desired::taken_from},
};

/// Everything that is wrong, in the order of places.
pub(super) fn run(world: &World, source: &str, snapshot: &Snapshot, layout: &Layout) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    services(world, snapshot, layout, &mut out);
    for doc in &snapshot.docs {
        namespace(world, snapshot, doc, &mut out);
        owner(world, source, doc, &mut out);
        for reference in &doc.references {
            mentioned(world, snapshot, doc, reference, &mut out);
        }
        match world.get(&doc.key) {
            Some(live) => immutable(world, doc, live, &mut out),
            None if doc.key.kind == Kind::NetworkPolicy => {
                out.extend(policy::objection(world).map(|why| complaint(doc, "spec", why)));
            }
            None => {}
        }
    }
    out.sort();
    out
}

/// Addresses and ports that Services ask for: free, and asked for once.
fn services(world: &World, snapshot: &Snapshot, layout: &Layout, out: &mut Vec<Diagnostic>) {
    let mut asked: BTreeMap<String, &Key> = BTreeMap::new();
    for doc in snapshot.docs.iter().filter(|d| d.key.kind == Kind::Service) {
        if api::is_the_service(&doc.key) {
            let why = "the Service default/kubernetes leads to the API, and is the server's own".to_string();
            out.push(complaint(doc, "metadata.name", why));
        }
        let Some(spec) = doc.value.get("spec").and_then(Value::as_object) else { continue };
        let live = world.get(&doc.key).filter(|o| !o.deleting()).map(|o| &**o);
        for cause in service::objections(world, layout, &doc.key, spec, live) {
            out.push(complaint(doc, &cause.field, cause.message));
        }
        for (path, what) in service::asks(spec) {
            match asked.entry(what) {
                Entry::Vacant(slot) => drop(slot.insert(&doc.key)),
                Entry::Occupied(slot) if *slot.get() == &doc.key => {}
                Entry::Occupied(slot) => {
                    let why = format!("{} is asked for by {} too", slot.key(), slot.get());
                    out.push(complaint(doc, &path, why));
                }
            }
        }
    }
}

fn complaint(doc: &Doc, path: &str, message: String) -> Diagnostic {
    Diagnostic {
        place: doc.place.clone(),
        path: path.into(),
        message,
        excerpt: String::new(),
        width: 1,
        severity: Severity::Error,
    }
}

fn namespace(world: &World, snapshot: &Snapshot, doc: &Doc, out: &mut Vec<Diagnostic>) {
    if !doc.key.kind.namespaced() {
        return;
    }
    let key = Key::cluster(Kind::Namespace, doc.key.namespace.clone());
    // The manifest's own mention of it has a place and is told in its turn.
    if doc.references.iter().any(|r| r.key == key) {
        return;
    }
    if snapshot.get(&key).is_none() && world.get(&key).is_none_or(|n| n.deleting()) {
        let message = format!("namespace `{}` does not exist; add it to the source", key.name);
        out.push(complaint(doc, "metadata.namespace", message));
    }
}

/// An object has one source.
fn owner(world: &World, source: &str, doc: &Doc, out: &mut Vec<Diagnostic>) {
    let wanted = world.desired.source_of(&doc.key).map(|s| &**s).filter(|s| *s != source);
    let labelled = world
        .get(&doc.key)
        .and_then(|o| o.source())
        .filter(|s| *s != source && world.get(&Key::cluster(Kind::Source, *s)).is_some());
    let Some(other) = wanted.or(labelled) else { return };
    if taken_from(doc) != Some(other) {
        let message = format!(
            "{} belongs to source `{other}`, and source `{source}` names it too; annotate it with \
             `evenkeel.dev/take-from: {other}` to move it",
            doc.key
        );
        out.push(complaint(doc, "metadata.name", message));
    }
}

fn mentioned(world: &World, snapshot: &Snapshot, doc: &Doc, reference: &Reference, out: &mut Vec<Diagnostic>) {
    if reference.optional {
        return;
    }
    let here = snapshot.get(&reference.key);
    let live = world.get(&reference.key).filter(|o| !o.deleting());
    let message = match (here, live, &reference.item) {
        (None, None, _) if reference.key.kind == Kind::Namespace => {
            format!("namespace `{}` does not exist; add it to the source", reference.key.name)
        }
        (None, None, _) => format!("{} does not exist, neither in the source nor in the cluster", reference.key),
        (Some(target), _, Some(item)) if !has_item(&target.value, item) => {
            format!("{} has no key `{item}`", reference.key)
        }
        (None, Some(target), Some(item)) if !has_item(&Value::Object(target.body_map()), item) => {
            format!("{} has no key `{item}`", reference.key)
        }
        _ => return,
    };
    let mut complaint = complaint(doc, &reference.path, message);
    complaint.place = reference.place.clone();
    complaint.excerpt.clone_from(&reference.excerpt);
    out.push(complaint);
}

fn has_item(value: &Value, item: &str) -> bool {
    ["data", "binaryData", "stringData"].iter().any(|f| value.get(*f).is_some_and(|d| d.get(item).is_some()))
}

/// Fields that Kubernetes does not let change: deleting and creating anew is a person's decision.
fn immutable(world: &World, doc: &Doc, live: &Object, out: &mut Vec<Diagnostic>) {
    let body = Value::Object(live.body_map());
    let mut refuse = |path: &str| {
        let message = "the field is immutable; delete the object first, or give it another name".to_string();
        out.push(complaint(doc, path, message));
    };
    match doc.key.kind {
        Kind::Deployment | Kind::ReplicaSet => {
            let selector = |v: &Value| v.get("spec").and_then(|s| s.get("selector")).cloned().unwrap_or_default();
            let plain = |v: &Value| evenkeel_model::canonical::without_empty(&selector(v));
            if plain(&doc.value) != plain(&body) {
                refuse("spec.selector");
            }
        }
        Kind::ConfigMap | Kind::Secret => {
            let mut wanted = doc.value.clone();
            super::write::as_kept(&mut wanted);
            let differs = |f: &str| without(wanted.get(f)) != without(body.get(f));
            if body.as_object().is_some_and(is_immutable) {
                ["data", "binaryData"].into_iter().filter(|f| differs(f)).for_each(&mut refuse);
                // Left out where a source never said it, it stays as somebody else has set it.
                let said = world.desired.get(&doc.key).is_some_and(|w| w.doc.value["immutable"] == true);
                if wanted["immutable"] == false || (said && wanted["immutable"] != true) {
                    refuse("immutable");
                }
            }
            let kind = |v: &Value| v.get("type").and_then(Value::as_str).unwrap_or("Opaque").to_string();
            if doc.key.kind == Kind::Secret && kind(&doc.value) != kind(&body) {
                refuse("type");
            }
        }
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            let names = |v: &Value, field: &str| v.get("roleRef").and_then(|r| r.get(field)).cloned();
            if ["kind", "name"].into_iter().any(|f| names(&doc.value, f) != names(&body, f)) {
                refuse("roleRef");
            }
        }
        Kind::CustomResourceDefinition => {
            let new = doc.value.as_object().cloned().unwrap_or_default();
            if let Some(path) = fixed_of_definition(live, &live.body_map(), &new) {
                refuse(&path.join("."));
            }
        }
        Kind::Source => same_origin(doc, live, out),
        _ => {}
    }
}

fn without(value: Option<&Value>) -> Value {
    value
        .map(evenkeel_model::canonical::without_empty)
        .filter(|v| v.as_object().is_none_or(|m| !m.is_empty()))
        .unwrap_or_default()
}

/// A source's name in use with another url or path.
fn same_origin(doc: &Doc, live: &Object, out: &mut Vec<Diagnostic>) {
    let wanted = doc.value.get("spec").cloned().and_then(|s| serde_json::from_value::<SourceSpec>(s).ok());
    let (Some(wanted), Ok(there)) = (wanted, live.spec::<SourceSpec>()) else { return };
    if let Some(why) = other_origin(&there, &wanted) {
        out.push(complaint(doc, "spec", why));
    }
}

/// Why two Sources of one name do not follow the same thing.
pub(super) fn other_origin(there: &SourceSpec, wanted: &SourceSpec) -> Option<String> {
    let text = |s: &SourceSpec| {
        let origin = s.git.as_ref().map(|g| g.url.clone()).or_else(|| s.directory.clone()).unwrap_or_default();
        match s.path.as_deref().filter(|p| !p.is_empty()) {
            Some(path) => format!("{origin} (path {path})"),
            None => origin,
        }
    };
    let (a, b) = (text(there), text(wanted));
    (a != b).then(|| format!("the source follows {a} and cannot follow {b} under the same name"))
}
