//! The content of ConfigMaps and Secrets, kept by digest as long as a ReplicaSet refers to it.
//!
//! A pod of an old revision that restarts in mid-rollout, or after a rollback, gets the content it
//! was made with.

use alloc::{collections::BTreeMap, string::String, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{ids::Digest, kind::Kind};

/// Data of one ConfigMap or Secret. Secret values are plain bytes in memory; the store encrypts
/// them. `Debug` never shows a value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Whether it came from a Secret.
    pub secret: bool,
    /// Values by key.
    pub data: BTreeMap<String, Arc<[u8]>>,
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content").field("secret", &self.secret).field("keys", &self.data.keys()).finish()
    }
}

impl Content {
    /// The digest of kind, keys and values.
    pub fn digest(&self) -> Digest {
        let marker: &[u8] = if self.secret { b"secret" } else { b"configmap" };
        Digest::of_parts(core::iter::once(marker).chain(self.data.iter().flat_map(|(k, v)| [k.as_bytes(), v.as_ref()])))
    }
}

/// Which content a pod of a ReplicaSet uses under which name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentRef {
    /// True for a Secret.
    pub secret: bool,
    /// Name of the ConfigMap or Secret, in the pod's namespace.
    pub name: Arc<str>,
    /// Digest of its content.
    pub digest: Digest,
}

impl ContentRef {
    /// The kind of the object it stands for.
    pub fn kind(&self) -> Kind {
        if self.secret { Kind::Secret } else { Kind::ConfigMap }
    }
}
