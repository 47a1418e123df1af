//! Kubernetes' validation, in its words.
//!
//! [`object`] is called by the manifest reader on what a source sets, and by the API on what is
//! written, defaults filled in or not: an absent field is taken for its default. Required fields,
//! enumerations and ranges come from the tables (`table`); rules that look at more than one field
//! are code, for the kinds of [`Kind`]. Types are right already: the strict decoder ran before.
//! Deliberately not here: what depends on other objects, and what may change in an update.

mod budget;
mod complaints;
mod config;
mod container;
mod crd;
mod environment;
mod ephemeral;
mod ingress;
mod limits;
mod meta;
mod names;
mod node;
mod pod;
mod policy;
mod pool;
mod probe;
mod quota;
mod rbac;
mod service;
mod signing;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod volume;
mod workload;

use alloc::{string::String, vec::Vec};
use core::fmt::Write as _;

use evenkeel_model::Kind;
use serde_json::Value;

pub(crate) use complaints::Complaints;
pub use complaints::{Cause, Problem, Reason, in_one_line};
pub use service::NODE_PORTS;

use crate::{custom::Before, kinds::of_kind, path::Trail};

/// Everything that is wrong with an object that nobody knows from before.
pub fn object(kind: Kind, value: &Value) -> Vec<Problem> {
    object_over(kind, value, Before::Unknown)
}

/// Everything that is wrong with an object that takes the place of another, if there was one: what the tables
/// say first, then what spans fields.
pub fn object_over(kind: Kind, value: &Value, before: Before<'_>) -> Vec<Problem> {
    let mut out = Complaints::default();
    let root = Trail::Root;
    table::walk(of_kind(kind), value, &root, &mut out);
    meta::metadata(kind, &value["metadata"], &root.field("metadata"), &mut out);
    let (spec, at) = (&value["spec"], root.field("spec"));
    match kind {
        Kind::ConfigMap => config::config_map(value, &mut out),
        Kind::Secret => config::secret(value, &mut out),
        Kind::Pod => {
            pod::spec(spec, &at, &mut out);
            ephemeral::check(spec, before, &at, &mut out);
        }
        Kind::Deployment | Kind::ReplicaSet => workload::spec(kind, spec, &at, &mut out),
        Kind::PodDisruptionBudget => budget::spec(spec, &at, &mut out),
        Kind::Service => service::spec(spec, &at, &mut out),
        Kind::EndpointSlice => service::slice(value, &mut out),
        Kind::Endpoints => service::endpoints(value, &mut out),
        Kind::Ingress => ingress::ingress(value, &mut out),
        Kind::IngressClass => ingress::class(spec, &at, &mut out),
        Kind::NetworkPolicy => policy::spec(spec, &at, &mut out),
        Kind::LimitRange => limits::spec(spec, &at, &mut out),
        Kind::ResourceQuota => quota::spec(spec, &at, &mut out),
        Kind::Source => source::spec(spec, &at, &mut out),
        Kind::AddressPool => pool::spec(spec, &at, &mut out),
        Kind::CertificateSigningRequest => {
            signing::spec(spec, &at, &mut out);
            signing::status(&value["status"], &root.field("status"), &mut out);
        }
        Kind::Node => node::spec(spec, &at, &mut out),
        Kind::Role | Kind::ClusterRole => rbac::role(kind, value, &mut out),
        Kind::RoleBinding | Kind::ClusterRoleBinding => rbac::binding(kind, value, &mut out),
        Kind::CustomResourceDefinition => crd::definition(value, &mut out),
        // Beyond its metadata a custom object's definition knows it: see `crate::of`.
        Kind::Custom(_)
        | Kind::Namespace
        | Kind::ServiceAccount
        | Kind::Lease
        | Kind::ControllerRevision
        | Kind::Event
        | Kind::Release
        | Kind::Drift => {}
    }
    out.problems
}

/// The identity and metadata of a whole object within another.
pub(crate) fn metadata_of_embedded(map: &serde_json::Map<String, Value>, at: &Trail<'_>, out: &mut Complaints) {
    for name in ["apiVersion", "kind"] {
        if map.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
            out.required(&at.field(name), "must not be empty");
        }
    }
    if let Some(metadata) = map.get("metadata") {
        meta::labels_and_annotations(metadata, &at.field("metadata"), out);
    }
}

/// What is wrong with a label, in Kubernetes' words; `None` for a good one.
pub fn label(key: &str, value: &str) -> Option<&'static str> {
    names::qualified_name(key).or_else(|| names::label_value(value))
}

/// An object's name, as Kubernetes prints it in front of its problems.
pub fn summary(kind: Kind, name: &str, problems: &[Problem]) -> String {
    let mut out = alloc::format!("{kind} {name:?} is invalid: ");
    for (i, p) in problems.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(out, "{separator}{}: {}", p.path, p.message);
    }
    out
}

/// A field's text; `None` where it is absent or empty, which Kubernetes takes for the same.
fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// A field's items; none where it is absent.
fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
