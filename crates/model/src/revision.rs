//! Revisions of sources and the documents they hold.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::{
    diagnostic::{Diagnostic, Place, Reference},
    ids::{Digest, IdError},
    key::Key,
};

/// A source's name: a DNS label-like name, unique in the cluster.
pub type SourceName = Arc<str>;

/// One state of a source: `main@sha1:<40 hex>` for a branch, `v1@sha1:…` for a tag, `sha1:…` for a
/// fixed commit, `dir@sha256:<64 hex>` for a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Of a branch or tag, or of a fixed commit where `reference` is `None`.
    pub fn git(reference: Option<&str>, commit: &str) -> Self {
        Self(reference.map_or_else(|| alloc::format!("sha1:{commit}"), |r| alloc::format!("{r}@sha1:{commit}")).into())
    }

    /// Of a directory's content.
    pub fn directory(digest: Digest) -> Self {
        Self(alloc::format!("dir@sha256:{digest}").into())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash alone.
    pub fn hash(&self) -> &str {
        self.0.rsplit(':').next().unwrap_or(&self.0)
    }

    /// Branch, tag or `dir`; `None` for a fixed commit.
    pub fn reference(&self) -> Option<&str> {
        self.0.rsplit_once('@').map(|(r, _)| r)
    }

    /// For people: `main@0123456789`.
    pub fn short(&self) -> String {
        let hash = self.hash().get(..10).unwrap_or(self.hash());
        self.reference().map_or_else(|| hash.to_string(), |r| alloc::format!("{r}@{hash}"))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let tail = text.rsplit_once('@').map_or(text, |(_, t)| t);
        let hex = |h: &str, n| h.len() == n && h.bytes().all(|c| c.is_ascii_hexdigit());
        let ok = tail.strip_prefix("sha1:").is_some_and(|h| hex(h, 40))
            || tail.strip_prefix("sha256:").is_some_and(|h| hex(h, 64));
        if ok { Ok(Self(text.into())) } else { Err(IdError { what: "revision", text: text.into() }) }
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// One document of a revision: an object as the manifest says it, decoded strictly, `status` and
/// server-set metadata dropped, but without defaults: just what the source sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Doc {
    /// The object it names; its namespace is filled in (`default` where the manifest has none).
    pub key: Key,
    /// Digest of the canonical JSON of `value`.
    pub digest: Digest,
    /// `apiVersion`, `kind`, `metadata`, and the rest.
    pub value: Value,
    /// Where it starts: file relative to the source's root, 1-based line.
    pub place: Place,
    /// Objects that it mentions and that must be there.
    pub references: Vec<Reference>,
}

impl Doc {
    /// A document; its digest is made here.
    pub fn new(key: Key, value: Value, place: Place, references: Vec<Reference>) -> Self {
        let digest = Digest::of(&crate::canonical::value_bytes(&value));
        Self { key, digest, value, place, references }
    }
}

/// The documents of one revision, parsed and checked as a whole, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Documents, sorted by key, no key twice.
    pub docs: Vec<Arc<Doc>>,
    /// Complaints that do not stop it.
    pub warnings: Vec<Diagnostic>,
    /// What `unsupported: skip` left out, as `file:line: Kind name`.
    pub skipped: Vec<String>,
}

impl Snapshot {
    /// The digest of the parsed content, places and comments left out: equal content is equal.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(self.docs.iter().map(|d| &d.digest.0[..]))
    }

    /// The document of an object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Doc>> {
        self.docs.binary_search_by(|d| d.key.cmp(key)).ok().map(|i| &self.docs[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_parse_and_shorten() {
        let r = Revision::git(Some("main"), "0123456789012345678901234567890123456789");
        assert_eq!(r.short(), "main@0123456789");
        assert_eq!(r.as_str().parse::<Revision>().unwrap(), r);
        assert_eq!(r.reference(), Some("main"));
        assert!("main@sha1:xyz".parse::<Revision>().is_err());
        assert!(Revision::directory(Digest::default()).as_str().parse::<Revision>().is_ok());
    }
}
