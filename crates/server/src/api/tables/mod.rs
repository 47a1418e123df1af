//! Tables: the columns that `kubectl get` and `evenkeel get` print, made here and nowhere else.
//!
//! Called by list, get and watch for requests that accept `Table`. Deliberately not here: what is
//! selected, and anything of a terminal.

mod cluster;
mod ingress;
mod limits;
mod network;
mod own;
mod pods;
mod rbac;
mod signing;
mod workloads;

use std::time::Duration;

use evenkeel_model::{Kind, Object, Time};
use evenkeel_schema::Customs;
use serde_json::{Value, json};

use super::{custom, query::Include};

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    kind: &'static str,
    /// 0 is shown always, 1 with `-o wide`.
    priority: u8,
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 0 }
}

const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 1 }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: "integer", priority: 0 }
}

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Pod => pods::COLUMNS,
        Kind::Deployment => workloads::DEPLOYMENT,
        Kind::ReplicaSet => workloads::REPLICA_SET,
        Kind::ControllerRevision => workloads::REVISION,
        Kind::PodDisruptionBudget => workloads::BUDGET,
        Kind::Service => network::SERVICE,
        Kind::Endpoints => network::ENDPOINTS,
        Kind::EndpointSlice => network::SLICE,
        Kind::Ingress => ingress::INGRESS,
        Kind::IngressClass => ingress::CLASS,
        Kind::NetworkPolicy => network::POLICY,
        Kind::Node => cluster::NODE,
        Kind::Namespace => cluster::NAMESPACE,
        Kind::Lease => cluster::LEASE,
        Kind::ConfigMap => cluster::CONFIG_MAP,
        Kind::Secret => cluster::SECRET,
        Kind::Event => cluster::EVENT,
        Kind::ServiceAccount => rbac::ACCOUNT,
        Kind::Role | Kind::ClusterRole => rbac::ROLE,
        Kind::RoleBinding | Kind::ClusterRoleBinding => rbac::BINDING,
        Kind::LimitRange => limits::RANGE,
        Kind::ResourceQuota => limits::QUOTA,
        Kind::CertificateSigningRequest => signing::REQUEST,
        Kind::Source => own::SOURCE,
        Kind::AddressPool => own::POOL,
        Kind::Release => own::RELEASE,
        Kind::Drift => own::DRIFT,
        Kind::CustomResourceDefinition => cluster::DEFINITION,
        // Their definitions say them: see `custom`.
        Kind::Custom(_) => &[],
    }
}

fn cells(object: &Object, customs: &Customs, now: Time) -> Vec<Value> {
    match object.key.kind {
        Kind::Pod => pods::cells(object, now),
        Kind::Deployment => workloads::deployment(object, now),
        Kind::ReplicaSet => workloads::replica_set(object, now),
        Kind::ControllerRevision => workloads::revision(object, now),
        Kind::PodDisruptionBudget => workloads::budget(object, now),
        Kind::Service => network::service(object, now),
        Kind::Endpoints => network::endpoints(object, now),
        Kind::EndpointSlice => network::slice(object, now),
        Kind::Ingress => ingress::ingress(object, now),
        Kind::IngressClass => ingress::class(object, now),
        Kind::NetworkPolicy => network::policy(object, now),
        Kind::Node => cluster::node(object, now),
        Kind::Namespace => cluster::namespace(object, now),
        Kind::Lease => cluster::lease(object, now),
        Kind::ConfigMap => cluster::config_map(object, now),
        Kind::Secret => cluster::secret(object, now),
        Kind::Event => cluster::event(object, now),
        Kind::ServiceAccount => rbac::account(object, now),
        Kind::Role | Kind::ClusterRole => rbac::role(object),
        Kind::RoleBinding | Kind::ClusterRoleBinding => rbac::binding(object, now),
        Kind::LimitRange => limits::range(object),
        Kind::ResourceQuota => limits::quota(object, now),
        Kind::CertificateSigningRequest => signing::request(object, now),
        Kind::Source => own::source(object, now),
        Kind::AddressPool => own::pool(object, now),
        Kind::Release => own::release(object, now),
        Kind::Drift => own::drift(object, now),
        Kind::CustomResourceDefinition => cluster::definition(object),
        Kind::Custom(_) => custom::cells(customs, object, now),
    }
}

/// The definitions of a kind's columns.
pub(crate) fn definitions(kind: Kind, customs: &Customs) -> Value {
    if let Kind::Custom(_) = kind {
        return custom::columns(customs, kind);
    }
    described(columns(kind))
}

/// Columns of a kind that has none of its own.
const PLAIN: &[Column] = &[text("Name"), text("Age")];

/// The same as a table has them.
pub(super) fn plain() -> Value {
    described(PLAIN)
}

fn described(columns: &[Column]) -> Value {
    columns
        .iter()
        .map(|c| {
            let format = if c.name == "Name" { "name" } else { "" };
            json!({"name": c.name, "type": c.kind, "format": format, "description": "", "priority": c.priority})
        })
        .collect()
}

/// An object's row.
pub(crate) fn row(object: &Object, customs: &Customs, include: Include, now: Time) -> Value {
    let mut row = json!({"cells": cells(object, customs, now)});
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial(object),
        Include::Object => row["object"] = object.to_value(),
    }
    row
}

/// The table of one Scale.
pub(crate) fn scale(object: &Object, scale: &Value, include: Include, now: Time) -> Value {
    let mut row = json!({"cells": workloads::scale(object, scale, now)});
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial_of(&scale["metadata"]),
        Include::Object => row["object"] = scale.clone(),
    }
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
        "columnDefinitions": described(workloads::SCALE), "rows": [row],
    })
}

/// An object's metadata alone.
pub(crate) fn partial(object: &Object) -> Value {
    partial_of(&object.metadata_map().into())
}

/// Metadata as an object of its own.
pub(crate) fn partial_of(metadata: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// Kubernetes' short form of a duration: `5s`, `3m20s`, `4d`.
pub(crate) fn human(d: Duration) -> String {
    let s = d.as_secs();
    let pair = |a: u64, au: &str, b: u64, bu: &str| {
        if b == 0 { format!("{a}{au}") } else { format!("{a}{au}{b}{bu}") }
    };
    let (m, h) = (s / 60, s / 3600);
    match () {
        () if s < 120 => format!("{s}s"),
        () if m < 10 => pair(m, "m", s % 60, "s"),
        () if m < 180 => format!("{m}m"),
        () if h < 8 => pair(h, "h", m % 60, "m"),
        () if h < 48 => format!("{h}h"),
        () if h < 24 * 8 => pair(h / 24, "d", h % 24, "h"),
        () if h < 24 * 365 * 2 => format!("{}d", h / 24),
        () if h < 24 * 365 * 8 => pair(h / 24 / 365, "y", h / 24 % 365, "d"),
        () => format!("{}y", h / 24 / 365),
    }
}

/// How long ago something was, in the short form.
fn ago(then: Option<Time>, now: Time) -> String {
    match then {
        Some(t) if t != Time::default() => human(now.since(t)),
        _ => "<unknown>".into(),
    }
}

pub(super) fn age(object: &Object, now: Time) -> Value {
    ago(Some(object.meta.created), now).into()
}

pub(super) fn name(object: &Object) -> Value {
    (*object.key.name).into()
}

/// Text, or what kubectl prints for none.
fn or_none(text: Option<&str>) -> Value {
    text.filter(|t| !t.is_empty()).unwrap_or("<none>").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (secs, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (900, "15m"),
            (10_800, "3h"),
            (11_160, "3h6m"),
            (86_400, "24h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (86_400 * 30, "30d"),
            (86_400 * 800, "2y70d"),
            (86_400 * 365 * 9, "9y"),
        ] {
            assert_eq!(human(Duration::from_secs(secs)), expected);
        }
    }
}
