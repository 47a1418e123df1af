//! Data of Evenkeel and its rules: identities, objects, labels, quantities, revisions, own kinds.
//!
//! Every other crate speaks in these types. Deliberately not here: what a field of a Kubernetes
//! kind means (`evenkeel-schema`), indexes and decisions (`evenkeel-core`), and any effect: no
//! clock, no file, no socket, no randomness (this crate is `no_std`).
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod base64;
pub mod canonical;
pub mod causes;
pub mod content;
pub mod custom;
pub mod diagnostic;
pub mod ids;
pub mod ingress;
pub mod key;
pub mod kind;
pub mod labels;
pub mod meta;
pub mod net;
pub mod object;
pub mod own;
pub mod podstatus;
pub mod policy;
pub mod pool;
pub mod quantity;
pub mod revision;
pub mod rng;
pub mod session;
mod text;
pub mod time;

pub use causes::causes;
pub use content::{Content, ContentRef};
pub use custom::Custom;
pub use diagnostic::{Diagnostic, Place, Reference, Severity};
pub use ids::{Digest, Uid, Version};
pub use key::Key;
pub use kind::{Kind, KindInfo, Scope};
pub use labels::{Labels, Selector};
pub use meta::{Meta, OwnerRef};
pub use object::{Object, ObjectError};
pub use quantity::Quantity;
pub use revision::{Doc, Revision, Snapshot, SourceName};
pub use rng::Rng;
pub use time::Time;

/// Names of labels and annotations that Evenkeel writes or reads.
pub mod names {
    /// Label on every object that a source applied: the source's name.
    pub const SOURCE: &str = "evenkeel.dev/source";
    /// Annotation: the last revision that changed this object.
    pub const REVISION: &str = "evenkeel.dev/revision";
    /// Annotation: first digits of the digest of the document that an object was last written from
    /// (keyed for a Secret).
    pub const APPLIED: &str = "evenkeel.dev/applied";
    /// Annotation: what a taken-over object was before, as JSON: a prune gives it back.
    pub const FORMER: &str = "evenkeel.dev/former";
    /// Annotation of a Source that is being removed together with what it made.
    pub const REMOVE_WITH_OBJECTS: &str = "evenkeel.dev/remove-with-objects";
    /// Annotation in a manifest: moves an object from the named source to this one.
    pub const TAKE_FROM: &str = "evenkeel.dev/take-from";
    /// Annotation: `"false"` keeps an object from being pruned.
    pub const PRUNE: &str = "evenkeel.dev/prune";
    /// Annotation on a workload: `"false"` stops a config change from rolling its pods.
    pub const ROLL_ON_CONFIG: &str = "evenkeel.dev/roll-on-config";
    /// Annotation of a ReplicaSet: digest of the ConfigMaps and Secrets its pods were made with.
    pub const CONFIG_DIGEST: &str = "evenkeel.dev/config-digest";
    /// Annotation of a ReplicaSet: JSON list of `ContentRef`, the contents that its pods get.
    pub const CONTENTS: &str = "evenkeel.dev/contents";
    /// Label on a pod that nothing explains after a recovery: it runs on untouched.
    pub const ORPHAN: &str = "evenkeel.dev/orphan";
    /// Annotation of such a pod: why nothing explains it, for people.
    pub const ORPHAN_REASON: &str = "evenkeel.dev/orphan-reason";
    /// Annotation of a ReplicaSet: JSON map of container name to the image id that ran.
    pub const IMAGE_IDS: &str = "evenkeel.dev/image-ids";
    /// Annotation of a ReplicaSet: name of the Release whose apply made it.
    pub const RELEASE: &str = "evenkeel.dev/release";
    /// Annotation on a Namespace: `"true"` refuses writes by hand to objects that a source owns.
    pub const LOCKED: &str = "evenkeel.dev/locked";
    /// Label of a node, set by its agent: Ingresses are served there.
    pub const SERVES_INGRESS: &str = "evenkeel.dev/serves-ingress";
    /// Condition of a Service of type LoadBalancer: where it is reached, or why not.
    pub const BALANCER_CONDITION: &str = "evenkeel.dev/LoadBalancer";
    /// Annotation of a Service: the AddressPool that it takes an address from.
    pub const ADDRESS_POOL: &str = "evenkeel.dev/address-pool";
    /// Annotation of a Service with an address of a pool: the node that announces it, by Evenkeel.
    pub const ANNOUNCED_BY: &str = "evenkeel.dev/announced-by";
    /// Annotation of a node: JSON of [`crate::net::BalancedPorts`], by its agent.
    pub const BALANCED_PORTS: &str = "evenkeel.dev/balanced-ports";
    /// Annotation of an Ingress: `"true"` sends requests without TLS to where there is.
    pub const HTTPS_REDIRECT: &str = "evenkeel.dev/https-redirect";
    /// Annotation of an Ingress: `"true"` gets its certificates from the ACME directory that the server is set to.
    pub const ACME: &str = "evenkeel.dev/acme";
    /// Annotation of a Secret that an ACME directory's certificate or account is in, by Evenkeel.
    pub const ACME_MADE: &str = "evenkeel.dev/acme-made";
    /// Annotation of an Ingress while a directory looks at its hosts: what it finds there, by Evenkeel.
    pub const ACME_ANSWERS: &str = "evenkeel.dev/acme-answers";
    /// Annotation of an Ingress: how often a certificate was asked for and did not come, by Secret, and when it
    /// is asked for again.
    pub const ACME_TRIES: &str = "evenkeel.dev/acme-tries";
    /// Label that Deployment adds to its ReplicaSets and their pods.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// Annotation with a ReplicaSet's rollout number, as Kubernetes writes it.
    pub const DEPLOYMENT_REVISION: &str = "deployment.kubernetes.io/revision";
}
