//! What names an object: kind, namespace, name.

use alloc::{string::String, sync::Arc};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ids::IdError, kind::Kind};

/// An object's name in the cluster. Its order is kind, namespace, name: the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for kinds of the cluster's scope.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key; the namespace is dropped for kinds that have none.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        let namespace = if kind.namespaced() { namespace.into() } else { Arc::from("") };
        Self { kind, namespace, name: name.into() }
    }

    /// A key of a kind without namespaces.
    pub fn cluster(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self::new(kind, "", name)
    }

    /// The key of another object in the same namespace.
    pub fn sibling(&self, kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self::new(kind, self.namespace.clone(), name)
    }
}

/// `Deployment shop/web`, or `Node n1` where there is no namespace. A custom kind's name has its group:
/// `Widget.example.com shop/a`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.text())?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for Key {
    type Err = IdError;

    /// The form that [`fmt::Display`] writes, of a built-in kind.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { what: "key", text: text.into() };
        let (kind, rest) = text.split_once(' ').ok_or_else(bad)?;
        let kind: Kind = kind.parse()?;
        match rest.split_once('/') {
            Some((namespace, name)) if kind.namespaced() => Ok(Self::new(kind, namespace, name)),
            None if !kind.namespaced() => Ok(Self::cluster(kind, rest)),
            _ => Err(bad()),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
