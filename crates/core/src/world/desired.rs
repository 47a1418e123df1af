//! What the applied revisions of all sources want, by object.
//!
//! Derived from each Source's `status.appliedDigest` and the kept documents, so a restart brings
//! it back. When a source's applied revision changes, the keys whose documents differ are noted;
//! the conductor marks them for the sync controller.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::{Digest, Doc, Key, Kind, Revision, Snapshot, SourceName, own::SourceStatus};
use imbl::OrdMap;

use crate::change::Changed;

/// One object that a source wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The source.
    pub source: SourceName,
    /// The applied revision.
    pub revision: Revision,
    /// The document.
    pub doc: Arc<Doc>,
}

#[derive(Debug, Clone)]
struct Applied {
    digest: Digest,
    revision: Revision,
    snapshot: Arc<Snapshot>,
}

/// Wanted objects of all sources.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    applied: OrdMap<SourceName, Applied>,
    by_key: OrdMap<Key, (SourceName, Arc<Doc>)>,
    /// Keys whose wanted document changed since [`Desired::take_touched`].
    touched: Vec<Key>,
}

impl Desired {
    /// What is wanted of an object.
    pub fn get(&self, key: &Key) -> Option<Wanted> {
        let (source, doc) = self.by_key.get(key)?;
        let revision = self.applied.get(source)?.revision.clone();
        Some(Wanted { source: source.clone(), revision, doc: doc.clone() })
    }

    /// The source that wants an object.
    pub fn source_of(&self, key: &Key) -> Option<&SourceName> {
        self.by_key.get(key).map(|(s, _)| s)
    }

    /// The applied documents of a source.
    pub fn applied(&self, source: &str) -> Option<&Arc<Snapshot>> {
        self.applied.get(source).map(|a| &a.snapshot)
    }

    /// The applied revision of a source whose documents are here.
    pub fn applied_revision(&self, source: &str) -> Option<&Revision> {
        self.applied.get(source).map(|a| &a.revision)
    }

    /// Keys that are wanted in a namespace.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Key> + 'a {
        let built_in = Kind::ALL.iter().filter(|k| k.namespaced()).flat_map(move |kind| {
            self.by_key
                .range(Key::new(*kind, namespace, "")..)
                .map(|(k, _)| k)
                .take_while(move |k| k.kind == *kind && &*k.namespace == namespace)
        });
        // Custom kinds are the last in the order.
        let custom = self.by_key.keys().rev().take_while(|k| matches!(k.kind, Kind::Custom(_)));
        built_in.chain(custom.filter(move |k| &*k.namespace == namespace))
    }

    /// Keys of a kind that are wanted.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Key> {
        let from = Key { kind, namespace: "".into(), name: "".into() };
        self.by_key.range(from..).map(|(k, _)| k).take_while(move |k| k.kind == kind)
    }

    /// Takes the keys whose wanted document changed.
    pub fn take_touched(&mut self) -> Vec<Key> {
        core::mem::take(&mut self.touched)
    }

    /// Follows a Source's status.
    pub fn source_changed(&mut self, changed: &Changed, snapshot: impl Fn(&Digest) -> Option<Arc<Snapshot>>) {
        let name = &changed.key.name;
        let status: SourceStatus = changed.new.as_ref().and_then(|o| o.status().ok().flatten()).unwrap_or_default();
        let next = match (status.applied_digest, status.applied_revision) {
            (Some(digest), Some(revision)) => snapshot(&digest).map(|snapshot| Applied { digest, revision, snapshot }),
            _ => None,
        };
        let before = self.applied.get(name);
        if before.map(|a| a.digest) == next.as_ref().map(|a| a.digest) {
            // The same content may have become another revision: only comments changed.
            if let Some(next) = next {
                self.applied.insert(name.clone(), next);
            }
            return;
        }
        let nothing = Snapshot::default();
        let old = before.map_or_else(|| Arc::new(nothing.clone()), |a| a.snapshot.clone());
        let new = next.as_ref().map_or_else(|| Arc::new(nothing), |a| a.snapshot.clone());
        for doc in &old.docs {
            if new.get(&doc.key).is_none() && self.by_key.get(&doc.key).is_some_and(|(s, _)| s == name) {
                self.by_key.remove(&doc.key);
                self.touched.push(doc.key.clone());
            }
        }
        for doc in &new.docs {
            // A restart reads Sources by name: whoever takes an object from another keeps it.
            if let Some((other, held)) = self.by_key.get(&doc.key)
                && other != name
                && taken_from(held) == Some(&**name)
            {
                continue;
            }
            let same = self.by_key.get(&doc.key).is_some_and(|(s, d)| s == name && d.digest == doc.digest);
            if !same {
                self.touched.push(doc.key.clone());
            }
            self.by_key.insert(doc.key.clone(), (name.clone(), doc.clone()));
        }
        match next {
            Some(next) => self.applied.insert(name.clone(), next),
            None => self.applied.remove(name),
        };
    }
}

/// The source that a document takes its object from.
pub fn taken_from(doc: &Doc) -> Option<&str> {
    doc.value.get("metadata")?.get("annotations")?.get(evenkeel_model::names::TAKE_FROM)?.as_str()
}
