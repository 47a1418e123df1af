//! What of Kubernetes is done, what is harmless to leave out, what is refused as not supported yet.
//!
//! The manifest reader calls [`admit`] on each document, after strict decoding: it speaks of each
//! field that is set. The table is `data/support.tsv`; [`markdown`] prints it for the
//! documentation.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{cmp::Ordering, fmt::Write as _};

use evenkeel_model::{Kind, Severity, kind::Origin};
use serde_json::{Map, Value};

use crate::{
    kinds::of_kind,
    path::{Path, Trail},
    types::{Field, Object, Support, Type},
};

/// A word on a field that is not simply done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The field.
    pub path: Path,
    /// An error for what is refused, a warning for what has no effect.
    pub severity: Severity,
    /// What is said of it.
    pub message: String,
}

/// Looks at every field that is set. Takes out what the server sets, in place.
pub fn admit(kind: Kind, value: &mut Value, sink: &mut dyn FnMut(Remark)) {
    walk(of_kind(kind), value, &Trail::Root, sink);
}

/// The same of a part, at a place of the object.
pub fn admit_part(ty: &Type, value: &mut Value, at: &Trail<'_>, sink: &mut dyn FnMut(Remark)) {
    walk(ty, value, at, sink);
}

fn walk(ty: &Type, value: &mut Value, at: &Trail<'_>, sink: &mut dyn FnMut(Remark)) {
    match (ty, value) {
        (Type::Object(object), Value::Object(map)) => {
            special(object, map, at, sink);
            // Fields of table and object are both in the order of their names.
            let mut fields = object.fields;
            map.retain(|name, v| {
                while let Some((field, rest)) = fields.split_first() {
                    match field.name.cmp(name.as_str()) {
                        Ordering::Less => fields = rest,
                        Ordering::Equal => return self::field(field, v, &at.field(name), sink),
                        Ordering::Greater => break,
                    }
                }
                true
            });
        }
        (Type::List(item), Value::Array(list)) => {
            for (i, v) in list.iter_mut().enumerate() {
                walk(item, v, &at.index(i), sink);
            }
        }
        (Type::Map(item), Value::Object(map)) => {
            for (key, v) in map.iter_mut() {
                walk(item, v, &at.key(key), sink);
            }
        }
        _ => {}
    }
}

/// Whether the field stays.
fn field(field: &Field, value: &mut Value, at: &Trail<'_>, sink: &mut dyn FnMut(Remark)) -> bool {
    match field.support {
        Support::Done => walk(&field.ty, value, at, sink),
        Support::Dropped => return false,
        Support::Ignored { accepted, note } => {
            if !changes_nothing(field, accepted, value) {
                let message = format!("`{}` has no effect: {note}", field.name);
                sink(Remark { path: at.path(), severity: Severity::Warning, message });
            }
        }
        Support::Refused { accepted, note } => {
            if !changes_nothing(field, accepted, value) {
                let message = refusal(field, accepted, note, value);
                sink(Remark { path: at.path(), severity: Severity::Error, message });
            }
        }
    }
    true
}

fn refusal(field: &Field, accepted: &[&str], note: &str, value: &Value) -> String {
    let mut out = match value {
        Value::String(s) if !accepted.is_empty() => format!("`{}: {s}` is not supported yet", field.name),
        _ => format!("`{}` is not supported yet", field.name),
    };
    if !note.is_empty() {
        let _ = write!(out, ": {note}");
    }
    if !accepted.is_empty() {
        let _ = write!(out, " (supported: {})", accepted.join(", "));
    }
    out
}

/// Whether a value means the same as if it were not there, or is one of the accepted.
fn changes_nothing(field: &Field, accepted: &[&str], value: &Value) -> bool {
    if field.default.is_some_and(|d| d.is(value)) || field.absent.is_some_and(|a| a.is(value)) {
        return true;
    }
    match value {
        Value::Null => true,
        Value::Bool(b) => accepted.contains(&if *b { "true" } else { "false" }),
        Value::Number(n) => accepted.contains(&n.to_string().as_str()),
        Value::String(s) => s.is_empty() || accepted.contains(&s.as_str()),
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.is_empty(),
    }
}

/// What depends on more than the field: names of resources, the medium of an `emptyDir`.
fn special(object: &Object, map: &Map<String, Value>, at: &Trail<'_>, sink: &mut dyn FnMut(Remark)) {
    match object.name {
        "core.v1.ResourceRequirements" => {
            for part in ["limits", "requests"] {
                for name in map.get(part).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                    let (severity, message) = match name.as_str() {
                        "cpu" | "memory" => continue,
                        "ephemeral-storage" => {
                            (Severity::Warning, "`ephemeral-storage` has no effect: disk is not limited".to_string())
                        }
                        other => (Severity::Error, format!("resource `{other}` is not supported yet")),
                    };
                    sink(Remark { path: at.field(part).key(name).path(), severity, message });
                }
            }
        }
        "core.v1.EmptyDirVolumeSource"
            if map.get("sizeLimit").is_some_and(|v| !v.is_null())
                && map.get("medium").and_then(Value::as_str) != Some("Memory") =>
        {
            let message = "`sizeLimit` has no effect: it binds with `medium: Memory` alone".to_string();
            sink(Remark { path: at.field("sizeLimit").path(), severity: Severity::Warning, message });
        }
        _ => {}
    }
}

/// The table as Markdown: one heading a definition, one row a field.
pub fn markdown() -> String {
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    for kind in Kind::ALL.iter().filter(|k| k.info().origin == Origin::Anyone) {
        let _ = writeln!(out, "## {} (`{}`)\n", kind, kind.info().api_version());
        let mut todo: Vec<&'static Object> = of_kind(*kind).object().into_iter().collect();
        while let Some(object) = todo.pop() {
            if seen.insert(object.name) {
                section(&mut out, object);
                let below = object.fields.iter().filter(|f| f.support == Support::Done);
                let mut below: Vec<_> = below.filter_map(|f| inner(&f.ty)).collect();
                below.reverse();
                todo.append(&mut below);
            }
        }
    }
    out
}

fn inner(ty: &Type) -> Option<&'static Object> {
    match ty {
        Type::Object(o) => Some(o),
        Type::List(item) | Type::Map(item) => inner(item),
        _ => None,
    }
}

fn section(out: &mut String, object: &Object) {
    let _ = writeln!(out, "### {}\n\n| field | |\n|---|---|", object.short());
    // Fields of which the same is said share a row; what is done comes first.
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    let (done, others): (Vec<&Field>, Vec<&Field>) = object.fields.iter().partition(|f| f.support == Support::Done);
    for field in done.into_iter().chain(others) {
        let text = verdict(field.support);
        match rows.iter_mut().find(|(t, _)| *t == text) {
            Some((_, names)) => names.push(field.name),
            None => rows.push((text, alloc::vec![field.name])),
        }
    }
    for (text, names) in rows {
        let _ = writeln!(out, "| `{}` | {text} |", names.join("`, `"));
    }
    out.push('\n');
}

fn verdict(support: Support) -> String {
    let (word, accepted, note) = match support {
        Support::Done => ("done", &[][..], ""),
        Support::Dropped => ("left out of a manifest", &[][..], "set by the server"),
        Support::Ignored { accepted, note } => ("no effect, a warning", accepted, note),
        Support::Refused { accepted, note } => ("not supported yet", accepted, note),
    };
    let mut out = String::from(word);
    if !accepted.is_empty() {
        let _ = write!(out, ", but `{}`", accepted.join("`, `"));
    }
    if !note.is_empty() {
        let _ = write!(out, ": {note}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn remarks(kind: Kind, value: &mut Value) -> Vec<String> {
        let mut out = Vec::new();
        admit(kind, value, &mut |r| out.push(format!("{:?} {}: {}", r.severity, r.path, r.message)));
        out
    }

    #[test]
    fn what_is_not_done_is_told_or_refused() {
        let mut pod = json!({"metadata": {"name": "p", "uid": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {},
            "spec": {"hostNetwork": true, "hostPID": true, "shareProcessNamespace": true, "preemptionPolicy": "Never", "schedulerName": "default-scheduler",
                "serviceAccountName": "robot", "automountServiceAccountToken": false, "affinity": {}, "priority": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "i", "volumeDevices": [{"name": "v"}],
                    "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": 1, "ephemeral-storage": "1Gi"}}}],
                "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}, {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}}]}});
        let mut found = remarks(Kind::Pod, &mut pod);
        found.sort();
        assert_eq!(
            found,
            [
                "Error spec.containers[0].resources.limits[nvidia.com/gpu]: resource `nvidia.com/gpu` is not supported yet",
                "Error spec.containers[0].volumeDevices: `volumeDevices` is not supported yet",
                "Error spec.shareProcessNamespace: `shareProcessNamespace` is not supported yet",
                "Error spec.volumes[0].nfs: `nfs` is not supported yet",
                "Warning spec.containers[0].resources.limits[ephemeral-storage]: `ephemeral-storage` has no effect: disk is not limited",
                "Warning spec.preemptionPolicy: `preemptionPolicy` has no effect: nothing is preempted",
                "Warning spec.volumes[1].emptyDir.sizeLimit: `sizeLimit` has no effect: it binds with `medium: Memory` alone",
            ]
        );
        assert_eq!(pod["metadata"], json!({"name": "p"}));
        assert!(pod.get("status").is_none());
    }

    #[test]
    fn a_defaulted_pod_is_admitted_without_a_word() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i",
            "ports": [{"containerPort": 1}], "readinessProbe": {"tcpSocket": {"port": 1}}}], "volumes": [{"name": "v"}]}});
        crate::defaults::apply(Kind::Pod, &mut pod);
        assert_eq!(remarks(Kind::Pod, &mut pod), Vec::<String>::new());
    }

    #[test]
    fn the_documentation_names_every_definition_once() {
        let text = markdown();
        assert_eq!(text.matches("### PodSpec\n").count(), 1);
        assert!(text.contains("`shareProcessNamespace`, ") && text.contains("` | not supported yet |"));
        assert!(text.contains("| `schedulerName` | not supported yet, but `default-scheduler` |"));
    }
}
