//! Paths of fields: `spec.template.spec.containers[web].image`.
//!
//! Read and written by drift, `ignoreDifferences`, `drift accept` and conflicts. One element leads
//! from a value to a part of it. Deliberately not here: sets of paths (`set.rs`).

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use super::schema::{Keys, Leaf, SchemaNode, Shape};

/// The merge keys that Kubernetes fills in when they are absent: the protocol of a port.
const KEY_DEFAULTS: &[(&str, &str)] = &[("protocol", "TCP")];

/// A path's text is at most this long: far above any real one, and a bound on hostile input.
const MAX_PATH_TEXT: usize = 4096;

/// Text that is no path, or a path that does not fit a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// The text cannot be read.
    #[error("`{path}` is not a field path: {reason}")]
    Syntax {
        /// The whole text.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The schema has no such field.
    #[error("`{path}` is not a field path: there is no field `{field}`")]
    Unknown {
        /// The whole text.
        path: String,
        /// The unknown part.
        field: String,
    },
    /// On the way there is a value of another type.
    #[error("`{path}` cannot be set: on the way there is a value of another type")]
    Mismatch {
        /// The whole text.
        path: String,
    },
}

/// A scalar that names an item of a list. Ordered, so that sets of paths have one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// Anything else, as canonical JSON.
    Json(String),
}

impl Scalar {
    /// Of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::String(s) => Self::Text(s.clone()),
            Value::Number(n) => n.as_i64().map_or_else(|| Self::Json(n.to_string()), Self::Int),
            other => Self::Json(other.to_string()),
        }
    }

    /// As a value.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::from(*n),
            Self::Text(s) => Value::String(s.clone()),
            Self::Json(j) => serde_json::from_str(j).unwrap_or(Value::Null),
        }
    }
}

/// As it stands in a path: text bare.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => b.fmt(f),
            Self::Int(n) => n.fmt(f),
            Self::Text(s) if needs_quotes(s) => Value::String(s.clone()).fmt(f),
            Self::Text(s) => f.write_str(s),
            Self::Json(j) => Value::String(j.clone()).fmt(f),
        }
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains(['[', ']', '"', ',', '='])
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathElement {
    /// A field of a struct or a key of a map.
    Field(String),
    /// An item of a list that is known by keys: names and values, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// An item of a set.
    Value(Scalar),
    /// An item of an atomic list.
    Index(usize),
}

impl PathElement {
    /// The element of an item in a list with these merge keys; `None` if it has none of them.
    pub fn of_item<'k>(keys: impl Iterator<Item = &'k str>, item: &Value) -> Option<Self> {
        let map = item.as_object()?;
        let mut found: Vec<(String, Scalar)> = Vec::new();
        let mut own = false;
        for key in keys {
            match map.get(key) {
                Some(v) if !v.is_null() => {
                    own = true;
                    found.push((key.into(), Scalar::of(v)));
                }
                _ => {
                    if let Some((_, default)) = KEY_DEFAULTS.iter().find(|(k, _)| *k == key) {
                        found.push((key.into(), Scalar::Text((*default).into())));
                    }
                }
            }
        }
        found.sort();
        own.then_some(Self::Key(found))
    }

    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Field(name) => value.get(name),
            _ => value.get(self.position(value.as_array()?)?),
        }
    }

    fn position(&self, list: &[Value]) -> Option<usize> {
        match self {
            Self::Field(_) => None,
            Self::Key(pairs) => {
                let keys: Vec<&str> = pairs.iter().map(|(k, _)| k.as_str()).collect();
                list.iter().position(|item| Self::of_item(keys.iter().copied(), item).as_ref() == Some(self))
            }
            Self::Value(v) => list.iter().position(|item| Scalar::of(item) == *v),
            Self::Index(i) => (*i < list.len()).then_some(*i),
        }
    }

    /// What has to be made for this element to lead to something.
    fn skeleton(&self) -> Value {
        match self {
            Self::Key(pairs) => Value::Object(pairs.iter().map(|(k, v)| (k.clone(), v.to_value())).collect()),
            Self::Value(v) => v.to_value(),
            Self::Field(_) | Self::Index(_) => Value::Null,
        }
    }
}

/// As Kubernetes writes it in conflicts: `.spec`, `[name="web"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(pairs) => {
                f.write_str("[")?;
                for (i, (k, v)) in pairs.iter().enumerate() {
                    write!(f, "{}{k}={}", if i > 0 { "," } else { "" }, v.to_value())?;
                }
                f.write_str("]")
            }
            Self::Value(v) => write!(f, "[={}]", v.to_value()),
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// A path from an object to one of its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath(pub Vec<PathElement>);

impl FieldPath {
    /// A path of plain field names.
    pub fn of_fields(names: &[&str]) -> Self {
        Self(names.iter().map(|n| PathElement::Field((*n).into())).collect())
    }

    /// Reads `spec.template.spec.containers[web].image`; the schema tells what stands in brackets:
    /// the key of a list's item (`[web]`, or `[containerPort=80,protocol=TCP]` where there are
    /// several), the value of a set's, the index of an atomic list's, or a map's key that has
    /// other characters than letters, digits, `-` and `_` (`metadata.labels[example.com/x]`).
    pub fn parse<N: SchemaNode>(schema: N, text: &str) -> Result<Self, PathError> {
        let syntax = |reason| PathError::Syntax { path: text.into(), reason };
        if text.is_empty() {
            return Err(syntax("it is empty"));
        }
        if text.len() > MAX_PATH_TEXT {
            return Err(PathError::Syntax { path: "…".into(), reason: "it is too long" });
        }
        let mut node = Some(schema);
        let mut out = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        while !rest.is_empty() {
            let (token, bracket, after) = next_token(rest).map_err(syntax)?;
            let (element, next) = resolve(node, token, bracket, text)?;
            out.push(element);
            node = next;
            rest = after;
        }
        Ok(Self(out))
    }

    /// The part of a value that the path leads to.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |v, e| e.find(v))
    }

    /// Sets the part of a value that the path leads to; what is missing on the way is made.
    pub fn set(&self, value: &mut Value, new: Value) -> Result<(), PathError> {
        let mismatch = || PathError::Mismatch { path: self.to_string() };
        let mut at = value;
        for element in &self.0 {
            if let PathElement::Field(name) = element {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                at = at.as_object_mut().ok_or_else(mismatch)?.entry(name.clone()).or_insert(Value::Null);
            } else {
                if at.is_null() {
                    *at = Value::Array(Vec::new());
                }
                let list = at.as_array_mut().ok_or_else(mismatch)?;
                let i = match element.position(list) {
                    Some(i) => i,
                    None if matches!(element, PathElement::Index(i) if *i != list.len()) => return Err(mismatch()),
                    None => {
                        list.push(element.skeleton());
                        list.len() - 1
                    }
                };
                at = &mut list[i];
            }
        }
        *at = new;
        Ok(())
    }

    /// Takes the part of a value that the path leads to away; says what it was.
    pub fn remove(&self, value: &mut Value) -> Option<Value> {
        let (end, way) = self.0.split_last()?;
        let mut at = value;
        for element in way {
            at = if let PathElement::Field(name) = element {
                at.get_mut(name)?
            } else {
                let list = at.as_array_mut()?;
                let i = element.position(list)?;
                &mut list[i]
            };
        }
        if let PathElement::Field(name) = end {
            return at.as_object_mut()?.remove(name);
        }
        let list = at.as_array_mut()?;
        let i = end.position(list)?;
        Some(list.remove(i))
    }

    /// As Kubernetes writes it: `.spec.template.spec.containers[name="web"].image`.
    pub fn kubernetes(&self) -> String {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// `spec.template.spec.containers[web].image`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, element) in self.0.iter().enumerate() {
            match element {
                PathElement::Field(n) if !n.is_empty() && n.bytes().all(is_name_byte) => {
                    write!(f, "{}{n}", if i > 0 { "." } else { "" })?;
                }
                PathElement::Field(n) => write!(f, "[{}]", Scalar::Text(n.clone()))?,
                PathElement::Key(pairs) if pairs.len() == 1 => write!(f, "[{}]", pairs[0].1)?,
                PathElement::Key(pairs) => {
                    let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    write!(f, "[{}]", text.join(","))?;
                }
                PathElement::Value(v) => write!(f, "[{v}]")?,
                PathElement::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

fn is_name_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'-' || c == b'_'
}

/// The next part of a path's text: what it says, whether in brackets, and what comes after it.
fn next_token(text: &str) -> Result<(&str, bool, &str), &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        let (mut quoted, mut escaped) = (false, false);
        for (i, c) in inner.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ']' if !quoted => {
                    let after = &inner[i + 1..];
                    let after = match after.strip_prefix('.') {
                        Some("") => return Err("it ends with a dot"),
                        Some(a) => a,
                        None if after.is_empty() || after.starts_with('[') => after,
                        None => return Err("after `]` comes a dot"),
                    };
                    return Ok((&inner[..i], true, after));
                }
                _ => {}
            }
        }
        return Err("a `[` is not closed");
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return Err("a name is missing between two dots");
    }
    match after.strip_prefix('.') {
        Some("") => Err("it ends with a dot"),
        Some(a) => Ok((name, false, a)),
        None => Ok((name, false, after)),
    }
}

fn resolve<N: SchemaNode>(
    node: Option<N>,
    token: &str,
    bracket: bool,
    path: &str,
) -> Result<(PathElement, Option<N>), PathError> {
    let syntax = |reason| PathError::Syntax { path: path.into(), reason };
    let plain = || unquote(token).ok_or_else(|| syntax("the text in quotes is not a JSON string"));
    let index = || token.parse::<usize>().map_err(|_| syntax("an item of this list is named by its index"));
    let Some(node) = node else { return free(token, bracket).map(|e| (e, None)).ok_or_else(|| syntax("bad quotes")) };
    Ok(match node.shape() {
        Shape::Struct | Shape::AtomicStruct => {
            let name = plain()?;
            let next =
                node.field(&name).ok_or_else(|| PathError::Unknown { path: path.into(), field: name.clone() })?;
            (PathElement::Field(name), Some(next))
        }
        Shape::Map(n) | Shape::AtomicMap(n) => (PathElement::Field(plain()?), Some(n)),
        Shape::Any => (free(token, bracket).ok_or_else(|| syntax("bad quotes"))?, None),
        Shape::Scalar(_) => return Err(syntax("it goes on below a single value")),
        Shape::Set(_) | Shape::Keyed(..) | Shape::AtomicList(_) if !bracket => {
            return Err(syntax("an item of a list stands in brackets"));
        }
        Shape::AtomicList(n) => (PathElement::Index(index()?), Some(n)),
        Shape::Set(n) => (PathElement::Value(scalar(Some(n), &plain()?).ok_or_else(|| syntax("bad number"))?), Some(n)),
        Shape::Keyed(n, keys) => (key_element(n, keys, token).map_err(syntax)?, Some(n)),
    })
}

/// An element below a tree without schema.
fn free(token: &str, bracket: bool) -> Option<PathElement> {
    Some(match token.parse() {
        Ok(i) if bracket => PathElement::Index(i),
        _ => PathElement::Field(unquote(token)?),
    })
}

fn unquote(token: &str) -> Option<String> {
    if token.starts_with('"') { serde_json::from_str(token).ok() } else { Some(token.to_owned()) }
}

fn scalar<N: SchemaNode>(node: Option<N>, text: &str) -> Option<Scalar> {
    match node.map(SchemaNode::shape) {
        Some(Shape::Scalar(Leaf::Integer)) => text.parse().ok().map(Scalar::Int),
        _ => Some(Scalar::Text(text.into())),
    }
}

fn key_element<N: SchemaNode>(item: N, keys: Keys<'_>, token: &str) -> Result<PathElement, &'static str> {
    const BAD: &str = "an item of this list is named by its key, or by key=value, for each key, with commas";
    let mut pairs = Vec::new();
    let mut names = keys.iter();
    let only = names.next().filter(|_| names.next().is_none());
    if let (Some(key), false) = (only, token.contains('=') && !token.starts_with('"')) {
        pairs.push((String::from(key), scalar(item.field(key), &unquote(token).ok_or(BAD)?).ok_or(BAD)?));
    } else {
        for part in split_outside_quotes(token) {
            let (k, v) = part.split_once('=').ok_or(BAD)?;
            if !keys.contains(k) {
                return Err(BAD);
            }
            pairs.push((k.into(), scalar(item.field(k), &unquote(v).ok_or(BAD)?).ok_or(BAD)?));
        }
        for (key, default) in KEY_DEFAULTS {
            if keys.contains(key) && pairs.iter().all(|(k, _)| k != key) {
                pairs.push(((*key).into(), Scalar::Text((*default).into())));
            }
        }
    }
    pairs.sort();
    Ok(PathElement::Key(pairs))
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start, mut out) = (false, false, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::deployment, *};

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(deployment(), text).unwrap()
    }

    #[test]
    fn paths_read_and_write_their_text() {
        for (text, kubernetes) in [
            ("spec.replicas", ".spec.replicas"),
            ("spec.template.spec.containers[web].image", r#".spec.template.spec.containers[name="web"].image"#),
            (
                "spec.template.spec.containers[web].ports[containerPort=80,protocol=TCP].name",
                r#".spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].name"#,
            ),
            (
                "spec.template.spec.containers[web].command[0]",
                r#".spec.template.spec.containers[name="web"].command[0]"#,
            ),
            ("metadata.labels[example.com/x]", ".metadata.labels.example.com/x"),
            ("metadata.labels.app", ".metadata.labels.app"),
            (r#"metadata.labels["a]b"]"#, ".metadata.labels.a]b"),
            ("metadata.finalizers[a/b]", r#".metadata.finalizers[="a/b"]"#),
            ("spec.selector.matchLabels.app", ".spec.selector.matchLabels.app"),
        ] {
            let p = path(text);
            assert_eq!(p.to_string(), text);
            assert_eq!(p.kubernetes(), kubernetes);
        }
        assert_eq!(path(".spec.replicas"), path("spec.replicas"));
        let short = path("spec.template.spec.containers[web].ports[containerPort=80]");
        assert_eq!(short, path("spec.template.spec.containers[web].ports[containerPort=80,protocol=TCP]"));
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (text, part) in [
            ("", "empty"),
            ("spec..replicas", "missing between"),
            ("spec.", "ends with a dot"),
            ("spec.replica", "no field `replica`"),
            ("spec.replicas.x", "below a single value"),
            ("spec.template.spec.containers.web", "stands in brackets"),
            ("spec.template.spec.containers[web", "not closed"),
            ("spec.template.spec.containers[web]x", "comes a dot"),
            ("spec.template.spec.containers[web].command[x]", "index"),
            ("spec.template.spec.containers[web].ports[x=80]", "named by its key"),
            ("spec.template.spec.containers[web].ports[containerPort=x]", "named by its key"),
        ] {
            let error = FieldPath::parse(deployment(), text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_read_set_and_removed() {
        let mut v = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "a"}]}}}});
        let image = path("spec.template.spec.containers[web].image");
        assert_eq!(image.get(&v), Some(&json!("a")));
        image.set(&mut v, json!("b")).unwrap();
        assert_eq!(image.get(&v), Some(&json!("b")));
        path("spec.template.spec.containers[side].image").set(&mut v, json!("c")).unwrap();
        path("metadata.finalizers[x]").set(&mut v, json!("x")).unwrap();
        path("spec.template.spec.containers[web].ports[containerPort=80].name").set(&mut v, json!("http")).unwrap();
        assert_eq!(
            v,
            json!({"metadata": {"finalizers": ["x"]}, "spec": {"template": {"spec": {"containers": [
                {"name": "web", "image": "b", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]},
                {"name": "side", "image": "c"}]}}}})
        );
        assert_eq!(path("spec.template.spec.containers[side]").remove(&mut v).unwrap()["image"], json!("c"));
        assert_eq!(path("metadata.finalizers[x]").remove(&mut v), Some(json!("x")));
        assert_eq!(path("metadata.finalizers[x]").remove(&mut v), None);
        assert!(image.set(&mut json!({"spec": 1}), json!("x")).is_err());
        let command = path("spec.template.spec.containers[web].command[1]");
        assert!(command.set(&mut v, json!("x")).is_err());
        // A port without a protocol is the TCP one.
        let port = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "ports": [{"containerPort": 80}]}]}}}});
        assert!(path("spec.template.spec.containers[web].ports[containerPort=80,protocol=TCP]").get(&port).is_some());
    }
}
