//! The control half around the conductor: the Kubernetes API, the certificates, and the threads
//! that feed the conductor and publish what it committed.
//!
//! `api` turns requests into reads of the last view or questions to the conductor, and decides
//! nothing, `dispatch` carries agents' sessions; `pki` makes and keeps the CA; `oidc` knows tokens of another issuer; the host runs the conductor and implements
//! [`api::Backend`]. Deliberately not here: what to do (`evenkeel-core`), how it is kept
//! (`evenkeel-store`), where manifests come from (`evenkeel-source`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod acme;
pub mod api;
pub mod dispatch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod host;
mod https;
pub mod oidc;
pub mod pki;
