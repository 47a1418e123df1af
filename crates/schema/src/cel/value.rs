//! Values as a rule sees them. What is in an object is seen where it stands, through its schema, and copied
//! nowhere.

use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::{cmp::Ordering, net::IpAddr};

use evenkeel_model::{Quantity, Time, base64};
use serde_json::{Map, Value};

use super::{escape, functions::time};
use crate::custom::node::{Node, Sort};

/// Nanoseconds of a millisecond.
pub(super) const MILLI: i64 = 1_000_000;

/// A key of a mapping that a rule makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Arc<str>),
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) ip: IpAddr,
    pub(super) bits: u8,
}

/// An address of the web, in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    /// Text of the object.
    Str(&'v str),
    Bytes(Arc<[u8]>),
    List(Arc<Vec<Val<'v>>>),
    /// A list of the object, with the schema of its items.
    Array(&'v [Value], &'v Node),
    Map(Arc<BTreeMap<Key, Val<'v>>>),
    /// A mapping of the object with free keys, with the schema of its values.
    Free(&'v Map<String, Value>, &'v Node),
    /// A mapping of the object with known fields; whether it is a whole object.
    Object(&'v Map<String, Value>, &'v Node, bool),
    /// The metadata of a whole object, of which two fields are known.
    Metadata(&'v Map<String, Value>),
    Optional(Option<Box<Val<'v>>>),
    Timestamp(Time),
    /// In nanoseconds.
    Duration(i64),
    Quantity(Quantity),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(Range),
    Type(&'static str),
}

impl<'v> Val<'v> {
    /// What stands in an object at a place.
    pub(super) fn of(value: &'v Value, node: &'v Node, whole: bool) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) if node.sort == Sort::Number => Self::Double(n.as_f64().unwrap_or(f64::NAN)),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Self::Int(n),
                #[allow(clippy::cast_possible_truncation)] // `1.0` is a whole number there
                (None, Some(f)) if node.sort == Sort::Integer => Self::Int(f as i64),
                (None, f) => Self::Double(f.unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::text_of(text, node),
            Value::Array(list) => match &node.items {
                Some(item) => Self::Array(list, item),
                None => Self::Array(list, node),
            },
            Value::Object(map) => match &node.additional {
                Some(additional) => Self::Free(map, additional),
                None => Self::Object(map, node, whole || node.embedded),
            },
        }
    }

    fn text_of(text: &'v str, node: &Node) -> Self {
        let formatted = match node.checks.format.as_deref() {
            _ if node.sort != Sort::String => None,
            Some("date-time") => Time::parse_rfc3339(text).map(Self::Timestamp),
            Some("date") => Time::parse_rfc3339(&alloc::format!("{text}T00:00:00Z")).map(Self::Timestamp),
            Some("duration") => time::parse_duration(text).map(Self::Duration),
            Some("byte") => base64::decode(text).map(|b| Self::Bytes(b.into())),
            _ => None,
        };
        formatted.unwrap_or(Self::Str(text))
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list(items: Vec<Val<'v>>) -> Self {
        Self::List(Arc::new(items))
    }

    pub(super) fn some(value: Val<'v>) -> Self {
        Self::Optional(Some(Box::new(value)))
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            Self::Str(t) => Some(t),
            _ => None,
        }
    }

    /// Items of a list; `None` for what is none.
    pub(super) fn items(&self) -> Option<Vec<Val<'v>>> {
        match self {
            Self::List(list) => Some((**list).clone()),
            Self::Array(list, node) => Some(list.iter().map(|v| Val::of(v, node, false)).collect()),
            _ => None,
        }
    }

    /// An item of a list.
    pub(super) fn item(&self, at: usize) -> Option<Val<'v>> {
        match self {
            Self::List(list) => list.get(at).cloned(),
            Self::Array(list, node) => list.get(at).map(|v| Val::of(v, node, false)),
            _ => None,
        }
    }

    /// How many items, entries, characters or bytes; `None` for what has no size.
    pub(super) fn size(&self) -> Option<usize> {
        Some(match self {
            Self::Text(t) => t.chars().count(),
            Self::Str(t) => t.chars().count(),
            Self::Bytes(b) => b.len(),
            Self::List(l) => l.len(),
            Self::Array(l, _) => l.len(),
            Self::Map(m) => m.len(),
            Self::Free(m, _) => m.len(),
            _ => return None,
        })
    }

    /// What it weighs when it is copied or compared: for the budget.
    pub(super) fn weight(&self) -> u64 {
        let n = match self {
            Self::Text(t) => t.len(),
            Self::Str(t) => t.len(),
            Self::Bytes(b) => b.len(),
            _ => return 1,
        };
        1 + n as u64 / 10
    }

    /// Keys of a mapping, as values.
    pub(super) fn keys(&self) -> Option<Vec<Val<'v>>> {
        match self {
            Self::Map(map) => Some(map.keys().map(Key::value).collect()),
            Self::Free(map, _) => Some(map.keys().map(|k| Val::Str(k)).collect()),
            _ => None,
        }
    }

    /// What is under a key or in a field; `None` where it is not there. A field of a schema is asked for by
    /// its escaped name.
    pub(super) fn get(&self, name: &str) -> Option<Val<'v>> {
        match self {
            Self::Map(map) => map.get(&Key::Text(name.into())).cloned(),
            Self::Free(map, node) => map.get(name).map(|v| Val::of(v, node, false)),
            Self::Metadata(map) if matches!(name, "name" | "generateName") => {
                map.get(name).and_then(Value::as_str).map(Val::Str)
            }
            Self::Object(map, node, whole) => {
                if *whole {
                    match (name, map.get(name)) {
                        ("apiVersion" | "kind", v) => return v.and_then(Value::as_str).map(Val::Str),
                        ("metadata", v) => return v.and_then(Value::as_object).map(Val::Metadata),
                        _ => {}
                    }
                }
                let name = escape::unescaped(name)?;
                let child = node.properties.get(&name)?;
                map.get(&name).filter(|v| !v.is_null() || child.nullable).map(|v| Val::of(v, child, false))
            }
            _ => None,
        }
    }

    /// What is under a key of any sort.
    pub(super) fn entry(&self, key: &Val<'v>) -> Option<Val<'v>> {
        match self {
            Self::Map(map) => {
                let key = Key::of(key)?;
                let found = map.get(&key).or_else(|| key.other().and_then(|k| map.get(&k)));
                found.cloned()
            }
            _ => self.get(key.as_text()?),
        }
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) | Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Array(..) => "list",
            Self::Map(_) | Self::Free(..) => "map",
            Self::Object(..) | Self::Metadata(_) => "object",
            Self::Optional(_) => "optional_type",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Type(_) => "type",
        }
    }

    /// Which of two comes first; `None` where they have no order.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                return self.number_order(other);
            }
            _ => self.as_text()?.cmp(other.as_text()?),
        })
    }

    fn number_order(&self, other: &Self) -> Option<Ordering> {
        #[allow(clippy::cast_precision_loss)] // as cel-go compares numbers of different sorts
        let double = |v: &Self| match v {
            Self::Int(n) => *n as f64,
            Self::Uint(n) => *n as f64,
            Self::Double(n) => *n,
            _ => f64::NAN,
        };
        let whole = |v: &Self| match v {
            Self::Int(n) => Some(i128::from(*n)),
            Self::Uint(n) => Some(i128::from(*n)),
            _ => None,
        };
        match (whole(self), whole(other)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => double(self).partial_cmp(&double(other)),
        }
    }

    /// Whether two values are the same. `spend` is told each step, and ends it.
    pub(super) fn same(&self, other: &Self, spend: &mut dyn FnMut(u64) -> bool) -> Option<bool> {
        if !spend(self.weight().min(other.weight())) {
            return None;
        }
        if let (Some(a), Some(b)) = (self.as_text(), other.as_text()) {
            return Some(a == b);
        }
        Some(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => return a.same(b, spend),
                (None, None) => true,
                _ => false,
            },
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::List(_) | Self::Array(..), Self::List(_) | Self::Array(..)) => {
                if self.size() != other.size() {
                    return Some(false);
                }
                for i in 0..self.size().unwrap_or(0) {
                    match (self.item(i), other.item(i)) {
                        (Some(a), Some(b)) if a.same(&b, spend)? => {}
                        _ => return Some(false),
                    }
                }
                true
            }
            (Self::Object(a, node, _), Self::Object(b, ..)) => {
                let known = |m: &'v Map<String, Value>| m.iter().filter(|(k, _)| node.properties.contains_key(*k));
                let (a, b): (Vec<_>, Vec<_>) = (known(a).collect(), known(b).collect());
                if !spend(a.iter().map(|(_, v)| parts(v)).sum()) {
                    return None;
                }
                a == b
            }
            (Self::Map(_) | Self::Free(..), Self::Map(_) | Self::Free(..)) => {
                if self.size() != other.size() {
                    return Some(false);
                }
                for key in self.keys()? {
                    match (self.entry(&key), other.entry(&key)) {
                        (Some(a), Some(b)) if a.same(&b, spend)? => {}
                        _ => return Some(false),
                    }
                }
                true
            }
            _ => self.order(other) == Some(Ordering::Equal),
        })
    }
}

/// How many values stand in one.
fn parts(value: &Value) -> u64 {
    match value {
        Value::Array(list) => 1 + list.iter().map(parts).sum::<u64>(),
        Value::Object(map) => 1 + map.values().map(parts).sum::<u64>(),
        Value::String(text) => 1 + text.len() as u64 / 10,
        _ => 1,
    }
}

impl Key {
    pub(super) fn of(value: &Val<'_>) -> Option<Self> {
        Some(match value {
            Val::Bool(b) => Self::Bool(*b),
            Val::Int(n) => Self::Int(*n),
            Val::Uint(n) => Self::Uint(*n),
            other => Self::Text(other.as_text()?.into()),
        })
    }

    /// The same number with or without a sign.
    fn other(&self) -> Option<Self> {
        match self {
            Self::Int(n) => u64::try_from(*n).ok().map(Self::Uint),
            Self::Uint(n) => i64::try_from(*n).ok().map(Self::Int),
            _ => None,
        }
    }

    fn value<'v>(&self) -> Val<'v> {
        match self {
            Self::Bool(b) => Val::Bool(*b),
            Self::Int(n) => Val::Int(*n),
            Self::Uint(n) => Val::Uint(*n),
            Self::Text(t) => Val::Text(t.clone()),
        }
    }
}
