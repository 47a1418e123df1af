//! Types, as far as they are known before anything runs.

use alloc::{boxed::Box, format, string::String};
use core::fmt;

use crate::custom::node::{Node, Sort};

/// The type of an expression.
#[derive(Debug, Clone)]
pub(super) enum Ty<'n> {
    /// Anything: checked when it runs.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    Quantity,
    Url,
    Ip,
    Cidr,
    Type,
    List(Box<Ty<'n>>),
    Map(Box<Ty<'n>>, Box<Ty<'n>>),
    /// A mapping with known fields; whether it is a whole object.
    Object(&'n Node, bool),
    /// The metadata of a whole object.
    Metadata,
    Optional(Box<Ty<'n>>),
}

impl<'n> Ty<'n> {
    /// Of what a schema says; `None` for what no rule can reach.
    pub(super) fn of(node: &'n Node, whole: bool) -> Option<Self> {
        Some(match node.sort {
            Sort::Boolean => Self::Bool,
            Sort::Integer => Self::Int,
            Sort::Number => Self::Double,
            Sort::IntOrString => Self::Dyn,
            Sort::String => match node.checks.format.as_deref() {
                Some("date" | "date-time") => Self::Timestamp,
                Some("duration") => Self::Duration,
                Some("byte") => Self::Bytes,
                _ => Self::Text,
            },
            Sort::Array => Self::List(Box::new(Self::of(node.items.as_ref()?, false)?)),
            Sort::Object => match &node.additional {
                Some(value) => Self::Map(Box::new(Self::Text), Box::new(Self::of(value, false)?)),
                None => Self::Object(node, whole || node.embedded),
            },
            Sort::Any => return None,
        })
    }

    pub(super) fn list(of: Ty<'n>) -> Self {
        Self::List(Box::new(of))
    }

    pub(super) fn optional(of: Ty<'n>) -> Self {
        Self::Optional(Box::new(of))
    }

    /// Whether a value of one may stand where the other is wanted.
    pub(super) fn fits(&self, other: &Ty<'n>) -> bool {
        match (self, other) {
            (Self::Dyn, _)
            | (_, Self::Dyn)
            // What may be absent may be compared with nothing.
            | (Self::Null, Self::Null | Self::Object(..) | Self::Optional(_) | Self::Timestamp | Self::Duration)
            | (Self::Object(..) | Self::Optional(_) | Self::Timestamp | Self::Duration, Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            (Self::Map(a, b), Self::Map(c, d)) => a.fits(c) && b.fits(d),
            (Self::Object(a, _), Self::Object(b, _)) => core::ptr::eq(*a, *b),
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }

    /// The type of what is either; anything, where they differ.
    pub(super) fn join(self, other: &Ty<'n>) -> Self {
        match (&self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => Self::Dyn,
            (Self::List(a), Self::List(b)) => Self::list(a.as_ref().clone().join(b)),
            _ if self.fits(other) => self,
            _ => Self::Dyn,
        }
    }

    pub(super) fn number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }
}

impl fmt::Display for Ty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: String = match self {
            Self::Dyn => "dyn".into(),
            Self::Null => "null".into(),
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Uint => "uint".into(),
            Self::Double => "double".into(),
            Self::Text => "string".into(),
            Self::Bytes => "bytes".into(),
            Self::Timestamp => "timestamp".into(),
            Self::Duration => "duration".into(),
            Self::Quantity => "kubernetes.Quantity".into(),
            Self::Url => "kubernetes.URL".into(),
            Self::Ip => "net.IP".into(),
            Self::Cidr => "net.CIDR".into(),
            Self::Type => "type".into(),
            Self::List(of) => format!("list({of})"),
            Self::Map(key, value) => format!("map({key}, {value})"),
            Self::Object(..) | Self::Metadata => "object".into(),
            Self::Optional(of) => format!("optional_type({of})"),
        };
        f.write_str(&name)
    }
}
