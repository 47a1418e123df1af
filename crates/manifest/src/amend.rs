//! One value of a manifest's text put in place of another: what is written by hand around it (comments,
//! order, quotes, other documents) stays as it is.
//!
//! Called by `evenkeel adopt`. Only single values on one line are put in: what else there is to write, a person
//! writes. The text is read again with its change, and must say exactly what was wanted. Deliberately not here:
//! files, and which value is wanted.

use std::{fmt, ops::Range};

use evenkeel_model::{Key, Kind};
use evenkeel_schema::{
    SchemaRef,
    custom::Definition,
    decode::yaml11_bool,
    input::{Input, Shape},
    merge::{FieldPath, PathElement, Scalar},
};
use serde_json::{Map, Value};

use crate::{
    json,
    scalar::{self, resolve},
    tree::{NodeRef, Pos},
    yaml::{self, Read},
};

/// Why a value cannot be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmendError {
    /// The path is none of that kind's.
    Path(String),
    /// The file does not hold the object.
    NoObject,
    /// The object does not have the field in this file; the line that should hold it.
    NoField(u32),
    /// What stands there is no single value on one line; its line.
    NotPlain(u32),
    /// The wanted value is a list, a mapping or none.
    NoScalar,
    /// The text would say something else than what was wanted: what stands there is used elsewhere, too.
    Unsafe(u32),
}

impl fmt::Display for AmendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(why) => f.write_str(why),
            Self::NoObject => f.write_str("the object is not in this file"),
            Self::NoField(line) => write!(f, "line {line}: the field is not written there"),
            Self::NotPlain(line) => write!(f, "line {line}: what stands there is no single value on one line"),
            Self::NoScalar => f.write_str("the live value is no single value"),
            Self::Unsafe(line) => write!(f, "line {line}: what stands there is used elsewhere, too"),
        }
    }
}

impl std::error::Error for AmendError {}

/// The text with `value` at a field of an object. `path` is as drifts name it; a custom kind needs the `spec`
/// of its definition.
pub fn amend(
    text: &str,
    key: &Key,
    definition: Option<&Value>,
    path: &str,
    value: &Value,
) -> Result<String, AmendError> {
    if value.is_null() || value.is_array() || value.is_object() {
        return Err(AmendError::NoScalar);
    }
    let definition = definition.and_then(|spec| Definition::read(spec, false));
    let version = definition.as_ref().and_then(|d| d.version(key.kind.info().version));
    let schema = version.map_or(SchemaRef::Table(key.kind), SchemaRef::Custom);
    let path = FieldPath::parse(schema.node(), path).map_err(|e| AmendError::Path(e.to_string()))?;
    let mut found = Err(AmendError::NoObject);
    let mut before = Vec::new();
    documents(text, &mut |root, number| {
        if found == Err(AmendError::NoObject) && is(root, key) {
            found = follow(root, &path).map(|node| (number, node.at(), standing(text, node)));
        }
        before.push(tree(root));
    });
    let (number, at, standing) = found?;
    let (style, bytes) = standing.ok_or(AmendError::NotPlain(at.line))?;
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..bytes.start]);
    out.push_str(&written(value, style));
    out.push_str(&text[bytes.end..]);
    // It says what was wanted, and all else as it did.
    let mut wanted = before;
    if let Some(document) = wanted.get_mut(number) {
        path.set(document, value.clone()).map_err(|e| AmendError::Path(e.to_string()))?;
    }
    let mut after = Vec::new();
    documents(&out, &mut |root, _| after.push(tree(root)));
    if after == wanted { Ok(out) } else { Err(AmendError::Unsafe(at.line)) }
}

/// Every object of a text with its number, items of lists among them.
fn documents(text: &str, each: &mut dyn FnMut(NodeRef<'_>, usize)) {
    let mut number = 0;
    let mut one = |root: NodeRef<'_>| {
        let list = root.entry("kind").and_then(|(_, k)| k.as_str()).is_some_and(|k| k.ends_with("List"));
        if let Some((_, items)) = root.entry("items").filter(|_| list) {
            items.items().for_each(|item| {
                each(item, number);
                number += 1;
            });
        } else {
            each(root, number);
            number += 1;
        }
    };
    if text.trim_start().starts_with(['{', '['])
        && let Ok(true) = json::document(text, &mut |tree, root, _| one(tree.node(root)))
    {
        return;
    }
    // What cannot be read has no object to be found.
    let _end = yaml::documents(text, &mut |read| {
        if let Read::Document(tree, root, _) = read {
            one(tree.node(root));
        }
    });
}

fn is(root: NodeRef<'_>, key: &Key) -> bool {
    let text = |of: NodeRef<'_>, field: &str| of.entry(field).and_then(|(_, v)| v.as_str()).map(str::to_owned);
    let Some((_, metadata)) = root.entry("metadata") else { return false };
    let info = key.kind.info();
    let namespace = text(metadata, "namespace").unwrap_or_else(|| "default".into());
    // Of a custom kind any version is the object.
    let version = |found: &str| match key.kind {
        Kind::Custom(_) => found.split_once('/').is_some_and(|(group, _)| group == info.group),
        _ => found == info.api_version(),
    };
    text(root, "kind").as_deref() == Some(info.kind)
        && text(root, "apiVersion").is_some_and(|found| version(&found))
        && text(metadata, "name").as_deref() == Some(&*key.name)
        && (!key.kind.namespaced() || namespace == *key.namespace)
}

fn follow<'t>(root: NodeRef<'t>, path: &FieldPath) -> Result<NodeRef<'t>, AmendError> {
    path.0.iter().try_fold(root, |node, element| {
        let next = match element {
            PathElement::Field(name) => node.entry(name).map(|(_, v)| v),
            PathElement::Index(i) => node.items().nth(*i),
            PathElement::Value(wanted) => node.items().find(|item| same(*item, wanted)),
            PathElement::Key(pairs) => node.items().find(|item| {
                pairs.iter().all(|(name, wanted)| match item.entry(name) {
                    Some((_, found)) => same(found, wanted),
                    // Part of a key that may be left out.
                    None => name == "protocol" && *wanted == Scalar::Text("TCP".into()),
                })
            }),
        };
        next.ok_or(AmendError::NoField(node.at().line))
    })
}

fn same(node: NodeRef<'_>, wanted: &Scalar) -> bool {
    tree(node) == wanted.to_value()
}

fn tree(node: NodeRef<'_>) -> Value {
    match node.shape() {
        Shape::Null => Value::Null,
        Shape::Bool(b) => b.into(),
        Shape::Int(n) => n.into(),
        Shape::Float(n) => n.into(),
        Shape::Str(text) => text.into(),
        Shape::List(items) => items.map(tree).collect(),
        Shape::Map(entries) => {
            Value::Object(entries.map(|(name, _, v)| (name.to_owned(), tree(v))).collect::<Map<_, _>>())
        }
    }
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// How what stands at a node is written, and its bytes; `None` where it is no single value on one line.
fn standing(text: &str, node: NodeRef<'_>) -> Option<(Style, Range<usize>)> {
    let Pos { line, column, width } = node.at();
    let line_start = match line.checked_sub(1)? {
        0 => 0,
        n => text.match_indices('\n').nth(n as usize - 1)?.0 + 1,
    };
    let line = text[line_start..].split('\n').next()?;
    let byte = |n: u32| line.char_indices().map(|(i, _)| i).chain([line.len()]).nth(n as usize);
    let start = byte(column.checked_sub(1)?)?;
    let (style, end) = match line[start..].chars().next()? {
        // Where a quoted value's place ends, blanks and comments after it may be counted.
        '"' => (Style::Double, start + 1 + double_end(&line[start + 1..])?),
        '\'' => (Style::Single, start + 1 + single_end(&line[start + 1..])?),
        _ => (Style::Plain, byte(column - 1 + width)?),
    };
    match node.shape() {
        Shape::Null | Shape::List(_) | Shape::Map(_) => return None,
        // A block, or a value that goes on in the next line.
        Shape::Str(value) if style == Style::Plain && value != &line[start..end] => return None,
        _ => {}
    }
    Some((style, line_start + start..line_start + end))
}

/// The byte after a closing double quote.
fn double_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes()
        .position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })
        .map(|at| at + 1)
}

/// The byte after a closing single quote; two of them are one that is meant.
fn single_end(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].find('\'')? + 1;
        if !text[at..].starts_with('\'') {
            return Some(at);
        }
        at += 1;
    }
}

fn written(value: &Value, style: Style) -> String {
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    match style {
        Style::Single if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
        Style::Plain if is_plain(text) => text.to_owned(),
        _ => value.to_string(),
    }
}

/// Whether text means itself without quotes, in a flow as well.
fn is_plain(text: &str) -> bool {
    const FIRST: &str = "-?:,[]{}#&*!|>'\"%@` ";
    resolve(text) == scalar::Scalar::Str
        && !is_more_to_others(text)
        && !text.starts_with(|c| FIRST.contains(c))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(|c: char| c.is_control() || ",[]{}".contains(c))
}

/// Whether readers of YAML 1.1 take unquoted text for something else: a boolean, a number with `_` or `:`, a date.
fn is_more_to_others(text: &str) -> bool {
    let digits = |b: u8| b.is_ascii_hexdigit() || b"_.:+-xob".contains(&b);
    yaml11_bool(text).is_some() || text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(digits)
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;

    #[test]
    fn text_that_other_readers_take_for_something_else_is_quoted() {
        for text in ["yes", "Off", "N", "true", "~", "1_000", "12:30", "2026-01-01", "1.2.3", "0x1", "-x", "a: b"] {
            assert!(!is_plain(text), "{text}");
        }
        for text in ["nginx:1.25", "v1.2", "10Gi", "500m", "yesterday", "web-1"] {
            assert!(is_plain(text), "{text}");
        }
    }

    const TEXT: &str = r#"# The shop.
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop}
data:
  greeting: 'it''s open'   # said to all
  long: |
    two
    lines
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 3  # three
  template:
    spec:
      containers:
        - name: side
          image: side:1
        - name: web
          image: "web:1"
          env: [{name: A, value: x}, {name: B, value: "2"}]
"#;

    fn key(kind: Kind) -> Key {
        Key::new(kind, "shop", "web")
    }

    fn amended(kind: Kind, path: &str, value: &Value) -> Result<Vec<(String, String)>, AmendError> {
        let out = amend(TEXT, &key(kind), None, path, value)?;
        assert_eq!(out.lines().count(), TEXT.lines().count());
        let pairs = TEXT.lines().zip(out.lines()).filter(|(a, b)| a != b);
        Ok(pairs.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned())).collect())
    }

    #[test]
    fn one_value_changes_and_nothing_else() {
        let pair = |a: &str, b: &str| Ok(vec![(a.to_owned(), b.to_owned())]);
        let deployment = |path: &str, value: Value| amended(Kind::Deployment, path, &value);
        assert_eq!(deployment("spec.replicas", json!(5)), pair("replicas: 3  # three", "replicas: 5  # three"));
        assert_eq!(
            deployment("spec.template.spec.containers[web].image", json!("web:2")),
            pair(r#"image: "web:1""#, r#"image: "web:2""#)
        );
        assert_eq!(
            deployment("spec.template.spec.containers[side].image", json!("side:2")),
            pair("image: side:1", "image: side:2")
        );
        let env = r#"env: [{name: A, value: x}, {name: B, value: "2"}]"#;
        assert_eq!(
            deployment("spec.template.spec.containers[web].env[A].value", json!("a, b")),
            pair(env, r#"env: [{name: A, value: "a, b"}, {name: B, value: "2"}]"#)
        );
        assert_eq!(
            deployment("spec.template.spec.containers[web].env[A].value", json!("7")),
            pair(env, r#"env: [{name: A, value: "7"}, {name: B, value: "2"}]"#)
        );
        assert_eq!(
            amended(Kind::ConfigMap, "data.greeting", &json!("it's shut")),
            pair("greeting: 'it''s open'   # said to all", "greeting: 'it''s shut'   # said to all")
        );
    }

    #[test]
    fn a_custom_kind_is_read_by_its_definition() {
        let users = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "role": {"type": "string"}}}});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"users": users}}}}});
        let spec = json!({"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Database", "plural": "databases"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]});
        let kind = Definition::read(&spec, false).unwrap().stored;
        let text = "apiVersion: example.com/v1beta1\nkind: Database\nmetadata: {name: web, namespace: shop}\nspec:\n  \
                    users:\n  - name: an\n    role: reader  # for now\n";
        let path = "spec.users[an].role";
        let out = amend(text, &key(kind), Some(&spec), path, &json!("writer")).unwrap();
        assert_eq!(out, text.replace("reader", "writer"));
        assert!(amend(text, &key(kind), None, path, &json!("writer")).is_err());
    }

    #[test]
    fn what_a_person_must_write_is_told_with_its_line() {
        assert_eq!(amended(Kind::ConfigMap, "data.long", &json!("x")), Err(AmendError::NotPlain(8)));
        assert_eq!(amended(Kind::ConfigMap, "data.none", &json!("x")), Err(AmendError::NoField(6)));
        assert_eq!(amended(Kind::Deployment, "spec.replicas", &Value::Null), Err(AmendError::NoScalar));
        assert_eq!(amended(Kind::Service, "spec.type", &json!("NodePort")), Err(AmendError::NoObject));
        assert!(matches!(amended(Kind::Deployment, "spec.nothing", &json!(1)), Err(AmendError::Path(_))));
        let shared =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: {a: &x one, b: *x}\n";
        let found = amend(shared, &key(Kind::ConfigMap), None, "data.b", &json!("two"));
        assert!(found.is_err(), "{found:?}");
        let found = amend(shared, &key(Kind::ConfigMap), None, "data.a", &json!("two"));
        assert!(matches!(found, Err(AmendError::Unsafe(4) | AmendError::NotPlain(4))), "{found:?}");
    }

    #[test]
    fn json_stays_json() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "web", "namespace": "shop"}, "data": {"é": "ü", "a": "one"}}]}"#;
        let out = amend(text, &key(Kind::ConfigMap), None, "data.a", &json!("two \"three\"")).unwrap();
        assert_eq!(out, text.replace(r#""one""#, r#""two \"three\"""#));
    }
}
