//! Strict decoding: a tree against its schema, all complaints at once.
//!
//! Called by the manifest reader with a YAML tree and by the API with JSON. What comes out is a
//! JSON tree with every scalar in its field's JSON type and without `null` fields. Required
//! fields, enumerations and ranges are the business of `validate`, as in Kubernetes.

use alloc::{
    format,
    string::{String, ToString},
};

use evenkeel_model::{Quantity, Time};
use serde_json::{Map, Value};

use crate::{
    input::{Input, Shape},
    nearest::nearest,
    path::{Path, Trail},
    types::{Object, Support, Type},
};

/// What is wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A field that the definition does not have. The node is the key.
    UnknownField,
    /// A value of another type.
    WrongType,
}

/// One complaint of the decoder.
#[derive(Debug)]
pub struct Fault<I> {
    /// The node that it is about.
    pub node: I,
    /// What sort of mistake.
    pub kind: FaultKind,
    /// Where in the object.
    pub path: Path,
    /// What is wrong, and how to mend it.
    pub message: String,
}

/// How to decode.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Complaints do not show values: the object is a Secret.
    pub hide_values: bool,
    /// What the server sets (`status`, `metadata.uid`) is left out unread: the tree is a manifest.
    pub skip_server_set: bool,
}

/// Decodes a tree. Faults go to `sink`, the first thousand of them; what is at fault is left out of
/// the result.
pub fn decode<'a, I: Input<'a>>(ty: &Type, input: I, options: Options, sink: &mut dyn FnMut(Fault<I>)) -> Value {
    let mut walk = Walk { options, sink, faults: 0 };
    walk.value(ty, input, &Trail::Root).unwrap_or_default()
}

/// Decodes the metadata of an object whose other fields are not the tables'.
pub(crate) fn metadata<'a, I: Input<'a>>(
    input: I,
    at: &Trail<'_>,
    options: Options,
    sink: &mut dyn FnMut(Fault<I>),
) -> Value {
    let mut walk = Walk { options, sink, faults: 0 };
    walk.value(crate::kinds::metadata(), input, at).unwrap_or_default()
}

struct Walk<'s, I> {
    options: Options,
    sink: &'s mut dyn FnMut(Fault<I>),
    faults: usize,
}

/// Faults told of one object. Beyond it nobody reads them, and each costs a search for a hint.
const MAX_FAULTS: usize = 1000;

impl<'a, I: Input<'a>> Walk<'_, I> {
    fn value(&mut self, ty: &Type, input: I, at: &Trail<'_>) -> Option<Value> {
        match (ty, input.shape()) {
            (Type::Object(object), Shape::Map(entries)) => Some(self.object(object, entries, at)),
            (Type::List(item), Shape::List(items)) => Some(self.list(item, items, at)),
            (Type::Map(item), Shape::Map(entries)) => Some(self.map(item, entries, at)),
            (Type::Any, _) => Some(any(input)),
            (_, shape) => match self.scalar(ty, input, &shape) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.fault(input, FaultKind::WrongType, at, message);
                    None
                }
            },
        }
    }

    fn object(&mut self, object: &'static Object, entries: I::Entries, at: &Trail<'_>) -> Value {
        let mut out = Map::new();
        for (name, key, value) in entries {
            let at = at.field(name);
            match object.field(name) {
                Some(_) if matches!(value.shape(), Shape::Null) => {}
                Some(field) if self.options.skip_server_set && field.support == Support::Dropped => {}
                Some(field) => {
                    if let Some(value) = self.value(&field.ty, value, &at) {
                        out.insert(name.to_string(), value);
                    }
                }
                None if self.faults >= MAX_FAULTS => {}
                None => {
                    let hint = hint(object, name).map_or_else(String::new, |n| format!(", did you mean `{n}`?"));
                    let message = format!("unknown field `{name}` in {}{hint}", object.short());
                    self.fault(key, FaultKind::UnknownField, &at, message);
                }
            }
        }
        Value::Object(out)
    }

    fn fault(&mut self, node: I, kind: FaultKind, at: &Trail<'_>, message: String) {
        self.faults += 1;
        if self.faults <= MAX_FAULTS {
            (self.sink)(Fault { node, kind, path: at.path(), message });
        }
    }

    fn list(&mut self, item: &Type, items: I::Items, at: &Trail<'_>) -> Value {
        Value::Array(items.enumerate().filter_map(|(i, v)| self.value(item, v, &at.index(i))).collect())
    }

    fn map(&mut self, item: &Type, entries: I::Entries, at: &Trail<'_>) -> Value {
        let mut out = Map::new();
        for (key, _, value) in entries {
            // As in Kubernetes: a key without a value has the empty text.
            let empty = matches!(item, Type::String | Type::Bytes) && matches!(value.shape(), Shape::Null);
            let value = if empty { Some("".into()) } else { self.value(item, value, &at.key(key)) };
            if let Some(value) = value {
                out.insert(key.to_string(), value);
            }
        }
        Value::Object(out)
    }

    fn scalar(&self, ty: &Type, input: I, shape: &Shape<'a, I>) -> Result<Value, String> {
        let wrong = || Err(self.wrong(ty, input, shape));
        match (ty, shape) {
            (Type::String | Type::IntOrString, Shape::Str(s)) => Ok((*s).into()),
            (Type::Bool, Shape::Bool(b)) => Ok((*b).into()),
            // Kubernetes reads YAML 1.1, and nothing else can be meant.
            (Type::Bool, Shape::Str(s)) if input.written().is_some() => {
                yaml11_bool(s).map_or_else(wrong, |b| Ok(b.into()))
            }
            (Type::Int32 | Type::IntOrString, Shape::Int(n)) if i32::try_from(*n).is_ok() => Ok((*n).into()),
            (Type::Int32 | Type::IntOrString, Shape::Int(_)) => Err("the number does not fit into 32 bits".into()),
            (Type::Int64 | Type::Double, Shape::Int(n)) => Ok((*n).into()),
            (Type::Double, Shape::Float(n)) => serde_json::Number::from_f64(*n).map_or_else(wrong, |n| Ok(n.into())),
            (Type::Bytes, Shape::Str(s)) => base64_text(s).ok_or_else(|| self.wrong(ty, input, shape)),
            (Type::Time, Shape::Str(s)) if Time::parse_rfc3339(s).is_some() => Ok((*s).into()),
            (Type::Quantity, Shape::Str(s)) => quantity(s).map_or_else(wrong, Ok),
            (Type::Quantity, Shape::Int(n)) => {
                quantity(&input.written().map_or_else(|| n.to_string(), Into::into)).map_or_else(wrong, Ok)
            }
            (Type::Quantity, Shape::Float(n)) => {
                quantity(&input.written().map_or_else(|| n.to_string(), Into::into)).map_or_else(wrong, Ok)
            }
            _ => wrong(),
        }
    }

    /// The message for a value of another type, with a hint where the slip is a common one.
    fn wrong(&self, ty: &Type, input: I, shape: &Shape<'a, I>) -> String {
        let hide = self.options.hide_values;
        let found = match shape {
            Shape::Null => "nothing (null)".to_string(),
            Shape::Bool(b) if !hide => format!("{b}"),
            Shape::Bool(_) => "true or false".to_string(),
            Shape::Int(n) if !hide => format!("the number {n}"),
            Shape::Float(n) if !hide => {
                input.written().map_or_else(|| format!("the number {n}"), |text| format!("the number {text}"))
            }
            Shape::Int(_) | Shape::Float(_) => "a number".to_string(),
            Shape::Str(_) if matches!(ty, Type::Bytes) => "other text".to_string(),
            Shape::Str(s) if !hide && s.len() <= 60 => format!("the string {s:?}"),
            Shape::Str(_) => "a string".to_string(),
            Shape::List(_) => "a list".to_string(),
            Shape::Map(_) => "a mapping".to_string(),
        };
        let hint = match (ty, shape) {
            (Type::String, Shape::Bool(_) | Shape::Int(_) | Shape::Float(_)) => {
                let text = input.written().filter(|_| !hide);
                text.map_or_else(|| "; quote it".to_string(), |t| format!("; quote it: {t:?}"))
            }
            (Type::Bytes, Shape::Str(_)) => "; a Secret takes plain text under stringData".to_string(),
            (Type::Int32 | Type::Int64, Shape::Str(s)) if s.parse::<i64>().is_ok() => {
                "; leave out the quotes".to_string()
            }
            _ => String::new(),
        };
        format!("expected {}, found {found}{hint}", ty.expected())
    }
}

/// What an unknown field may be meant for: a field with a similar name, or one of that name further
/// down.
fn hint(object: &'static Object, name: &str) -> Option<String> {
    let near = nearest(name, object.fields.iter().map(|f| f.name)).map(Into::into);
    near.or_else(|| (1..=HINT_LEVELS).find_map(|levels| below(object, name, levels)))
}

/// How far down a misplaced field is looked for: from a Deployment's `spec` to its containers.
const HINT_LEVELS: u32 = 3;

fn below(object: &'static Object, name: &str, levels: u32) -> Option<String> {
    object.fields.iter().filter(|f| f.name != "status" && f.name != "metadata").find_map(|f| {
        let (inner, mark) = match f.ty {
            Type::Object(inner) => (inner, ""),
            Type::List(Type::Object(inner)) => (*inner, "[]"),
            _ => return None,
        };
        let found = match levels {
            1 => inner.field(name).map(|_| name.to_string()),
            _ => below(inner, name, levels - 1),
        };
        found.map(|rest| format!("{}{mark}.{rest}", f.name))
    })
}

/// What YAML 1.1 takes an unquoted word for, and Kubernetes' clients with it (go-yaml's own list).
pub fn yaml11_bool(word: &str) -> Option<bool> {
    match word {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

fn quantity(text: &str) -> Option<Value> {
    text.parse::<Quantity>().is_ok().then(|| text.into())
}

/// Base64 in its standard alphabet with padding; line breaks are taken out, as Go's decoder does.
fn base64_text(text: &str) -> Option<Value> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    evenkeel_model::base64::decode(&clean).is_some().then(|| clean.into())
}

/// A tree as it stands, for fields that take any.
pub(crate) fn any<'a, I: Input<'a>>(input: I) -> Value {
    match input.shape() {
        Shape::Null => Value::Null,
        Shape::Bool(b) => b.into(),
        Shape::Int(n) => n.into(),
        Shape::Float(n) => n.into(),
        Shape::Str(s) => s.into(),
        Shape::List(items) => Value::Array(items.map(any).collect()),
        Shape::Map(entries) => Value::Object(entries.map(|(k, _, v)| (k.to_string(), any(v))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;
    use crate::kinds::of_kind;

    fn run(kind: Kind, value: &Value) -> (Value, Vec<String>) {
        let mut faults = Vec::new();
        let options = Options { hide_values: kind == Kind::Secret, ..Options::default() };
        let out = decode(of_kind(kind), value, options, &mut |f| {
            faults.push(format!("{}: {}", f.path, f.message));
        });
        (out, faults)
    }

    #[test]
    fn all_faults_are_told_and_the_rest_is_kept() {
        let (out, faults) = run(
            Kind::Deployment,
            &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": null},
                "spec": {"replica": 3, "paused": "yes", "minReadySeconds": "5", "template": {"spec": {"containers": [
                    {"name": 5, "ports": [{"containerPort": "http"}], "resources": {"limits": {"cpu": 1, "memory": "1Gb"}}}]}}}}),
        );
        assert_eq!(
            faults,
            [
                "spec.minReadySeconds: expected a whole number, found the string \"5\"; leave out the quotes",
                "spec.paused: expected true or false, found the string \"yes\"",
                "spec.replica: unknown field `replica` in DeploymentSpec, did you mean `replicas`?",
                "spec.template.spec.containers[0].name: expected a string, found the number 5; quote it",
                "spec.template.spec.containers[0].ports[0].containerPort: expected a whole number, found the string \"http\"",
                "spec.template.spec.containers[0].resources.limits[memory]: expected a quantity, such as 250m or 1Gi, found the string \"1Gb\"",
            ]
        );
        assert_eq!(out["metadata"], json!({"name": "web"}));
        assert_eq!(out.pointer("/spec/template/spec/containers/0/resources/limits/cpu"), Some(&json!("1")));
    }

    #[test]
    fn a_misplaced_field_is_shown_its_place() {
        let (_, faults) = run(
            Kind::Deployment,
            &json!({"replicas": 3, "spec": {"containers": [], "volumes": [], "image": "i", "template": {"spec": {"image": "i", "command": []}}}}),
        );
        assert_eq!(
            faults,
            [
                "replicas: unknown field `replicas` in Deployment, did you mean `spec.replicas`?",
                "spec.containers: unknown field `containers` in DeploymentSpec, did you mean `template.spec.containers`?",
                "spec.image: unknown field `image` in DeploymentSpec, did you mean `template.spec.containers[].image`?",
                "spec.template.spec.command: unknown field `command` in PodSpec, did you mean `containers[].command`?",
                "spec.template.spec.image: unknown field `image` in PodSpec, did you mean `containers[].image`?",
                "spec.volumes: unknown field `volumes` in DeploymentSpec, did you mean `template.spec.volumes`?",
            ]
        );
    }

    #[test]
    fn what_the_server_sets_is_not_read_in_a_manifest() {
        let value = json!({"metadata": {"name": "a", "uid": 7, "managedFields": "x"}, "status": {"unheard": "of"}});
        let options = Options { skip_server_set: true, ..Options::default() };
        let mut faults = 0;
        let out = decode(of_kind(Kind::Pod), &value, options, &mut |_: Fault<&Value>| faults += 1);
        assert_eq!((faults, out), (0, json!({"metadata": {"name": "a"}})));
    }

    #[test]
    fn a_secrets_values_are_in_no_message() {
        let (_, faults) = run(
            Kind::Secret,
            &json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "hunter2!", "b": 12_345}, "stringData": {"c": true}}),
        );
        assert_eq!(faults.len(), 3);
        for fault in faults {
            assert!(!fault.contains("hunter2") && !fault.contains("12345"), "{fault}");
        }
    }
}
