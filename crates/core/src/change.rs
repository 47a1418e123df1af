//! What a controller wants written, and what a write did.

use alloc::sync::Arc;

use evenkeel_model::{Content, Digest, Key, Object, Revision, Snapshot, SourceName};

/// One write to the world. A batch of them is one transaction of the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Creates or replaces an object. The world gives it its version; equal content is no change.
    Put(Arc<Object>),
    /// Takes an object away for good: finalizers and grace are done with.
    Delete(Key),
    /// Keeps the content of a ConfigMap or Secret.
    PutContent(Arc<Content>),
    /// Forgets one that no ReplicaSet refers to.
    DropContent(Digest),
    /// Keeps the documents of a revision. Nothing acts on them until a Source's status names the
    /// digest as applied.
    KeepSnapshot {
        /// Source.
        source: SourceName,
        /// Revision it was first seen as.
        revision: Revision,
        /// The documents.
        snapshot: Arc<Snapshot>,
    },
    /// Forgets the documents of a revision.
    DropSnapshot(Digest),
}

/// What happened to one object: given to the routes of the controllers.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The object.
    pub key: Key,
    /// Before; `None` if it is new.
    pub old: Option<Arc<Object>>,
    /// After; `None` if it is gone.
    pub new: Option<Arc<Object>>,
}

impl Changed {
    /// Whichever side is there, the new one first.
    pub fn either(&self) -> Option<&Arc<Object>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Whether the body (specification, data) differs.
    pub fn body_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(a), Some(b)) => a.body != b.body,
            _ => true,
        }
    }

    /// Whether the status differs.
    pub fn status_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(a), Some(b)) => a.status != b.status,
            _ => true,
        }
    }

    /// Whether labels differ.
    pub fn labels_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(a), Some(b)) => a.meta.labels != b.meta.labels,
            _ => true,
        }
    }
}
