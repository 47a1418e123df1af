//! The content of ConfigMaps and Secrets, kept by digest as long as a ReplicaSet refers to it.
//!
//! A pod of an old revision that restarts in mid-rollout, or after a rollback, gets the content it
//! was made with.

use alloc::{collections::BTreeMap, string::String, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{base64, ids::Digest, kind::Kind, object::Object};

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
    /// The content of a ConfigMap or Secret; of any other kind it is empty. A value that is no
    /// base64 (it was checked when it came in) is left out.
    pub fn of_object(object: &Object) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            #[serde(default)]
            data: Option<BTreeMap<String, String>>,
            #[serde(default)]
            binary_data: Option<BTreeMap<String, String>>,
        }
        let secret = object.key.kind == Kind::Secret;
        let body: Body = object.view().unwrap_or(Body { data: None, binary_data: None });
        let decode = |(k, v): (String, String)| Some((k, base64::decode(&v)?.into()));
        let plain = body.data.unwrap_or_default();
        let mut data: BTreeMap<String, Arc<[u8]>> = if secret {
            plain.into_iter().filter_map(decode).collect()
        } else {
            plain.into_iter().map(|(k, v)| (k, v.into_bytes().into())).collect()
        };
        data.extend(body.binary_data.unwrap_or_default().into_iter().filter_map(decode));
        Self { secret, data }
    }

    /// The digest of kind, keys and values, under the cluster's key of digests: it stands in
    /// annotations, where a plain one would let weak values be guessed.
    pub fn digest(&self, key: &[u8; 32]) -> Digest {
        let marker: &[u8] = if self.secret { b"secret" } else { b"configmap" };
        let parts = core::iter::once(marker).chain(self.data.iter().flat_map(|(k, v)| [k.as_bytes(), v.as_ref()]));
        Digest::keyed(key, &Digest::of_parts(parts).0)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_is_bytes_whatever_field_it_stood_in() {
        let meta = json!({"name": "a", "namespace": "b"});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "x"}, "binaryData": {"b": "AAE="}});
        let content = Content::of_object(&Object::from_value(map).unwrap());
        assert_eq!(content.data["a"].as_ref(), b"x");
        assert_eq!(content.data["b"].as_ref(), [0, 1]);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"a": "eA=="}});
        let secret = Content::of_object(&Object::from_value(secret).unwrap());
        assert_eq!(secret.data["a"].as_ref(), b"x");
        assert!(!alloc::format!("{secret:?}").contains('x'));
        assert_ne!(secret.digest(&[1; 32]), content.digest(&[1; 32]));
        assert_ne!(secret.digest(&[1; 32]), secret.digest(&[2; 32]));
    }
}
