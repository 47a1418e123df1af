//! Rows of nodes, namespaces, Leases, ConfigMaps, Secrets and events.

use evenkeel_model::{Object, Time};
use k8s_openapi::api::core::v1::{ConfigMap, Event, NamespaceStatus, NodeSpec, NodeStatus, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Column, age, ago, name, number, or_none, text, wide};

pub(super) const NODE: &[Column] = &[
    text("Name"),
    text("Status"),
    text("Roles"),
    text("Age"),
    text("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];
pub(super) const DEFINITION: &[Column] = &[text("Name"), text("Created At")];
pub(super) const LEASE: &[Column] = &[text("Name"), text("Holder"), text("Age"), wide("Renewed")];
pub(super) const NAMESPACE: &[Column] = &[text("Name"), text("Status"), text("Age")];
pub(super) const CONFIG_MAP: &[Column] = &[text("Name"), number("Data"), text("Age")];
pub(super) const SECRET: &[Column] = &[text("Name"), text("Type"), number("Data"), text("Age")];
pub(super) const EVENT: &[Column] = &[
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    Column { name: "Count", kind: "integer", priority: 1 },
    wide("Name"),
];

/// The prefix of labels that name a node's roles.
const ROLE_LABEL: &str = "node-role.kubernetes.io/";

/// The whole object as a type of k8s-openapi; empty if it does not fit.
fn typed<T: DeserializeOwned + Default>(object: &Object) -> T {
    serde_json::from_value(object.to_value()).unwrap_or_default()
}

pub(super) fn node(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<NodeSpec>().unwrap_or_default();
    let status = object.status::<NodeStatus>().ok().flatten().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").map(|c| c.status.as_str());
    let mut state = match ready {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    }
    .to_owned();
    if spec.unschedulable == Some(true) {
        state.push_str(",SchedulingDisabled");
    }
    let roles: Vec<&str> = object.meta.labels.keys().filter_map(|k| k.strip_prefix(ROLE_LABEL)).collect();
    let info = status.node_info.unwrap_or_default();
    let address = |kind: &str| status.addresses.iter().flatten().find(|a| a.type_ == kind).map(|a| a.address.clone());
    vec![
        name(object),
        state.into(),
        or_none(Some(&roles.join(","))),
        age(object, now),
        info.kubelet_version.into(),
        or_none(address("InternalIP").as_deref()),
        or_none(address("ExternalIP").as_deref()),
        or_unknown(info.os_image),
        or_unknown(info.kernel_version),
        or_unknown(info.container_runtime_version),
    ]
}

fn or_unknown(text: String) -> Value {
    if text.is_empty() { "<unknown>".into() } else { text.into() }
}

/// A definition shows when it was made, not its age, as in Kubernetes.
pub(super) fn definition(object: &Object) -> Vec<Value> {
    vec![name(object), object.meta.created.rfc3339().into()]
}

pub(super) fn namespace(object: &Object, now: Time) -> Vec<Value> {
    let status = object.status::<NamespaceStatus>().ok().flatten().unwrap_or_default();
    let phase = status.phase.unwrap_or_else(|| if object.deleting() { "Terminating".into() } else { "Active".into() });
    vec![name(object), phase.into(), age(object, now)]
}

pub(super) fn lease(object: &Object, now: Time) -> Vec<Value> {
    let body = object.body_map();
    let text = |field: &str| body.get("spec").and_then(|s| s.get(field)?.as_str());
    let renewed = text("renewTime").and_then(Time::parse_rfc3339);
    let holder = text("holderIdentity").unwrap_or_default().into();
    vec![name(object), holder, age(object, now), renewed.map_or_else(|| "never".into(), |at| ago(Some(at), now)).into()]
}

pub(super) fn config_map(object: &Object, now: Time) -> Vec<Value> {
    let map: ConfigMap = typed(object);
    let entries = map.data.map_or(0, |d| d.len()) + map.binary_data.map_or(0, |d| d.len());
    vec![name(object), entries.into(), age(object, now)]
}

pub(super) fn secret(object: &Object, now: Time) -> Vec<Value> {
    let secret: Secret = typed(object);
    let kind = secret.type_.unwrap_or_else(|| "Opaque".into());
    vec![name(object), kind.into(), secret.data.map_or(0, |d| d.len()).into(), age(object, now)]
}

pub(super) fn event(object: &Object, now: Time) -> Vec<Value> {
    let event: Event = typed(object);
    let time = |t: Option<jiff::Timestamp>| t.map(|t| Time(t.as_millisecond()));
    let whole = |t: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time(t.as_ref().map(|t| t.0));
    let exact = time(event.event_time.as_ref().map(|t| t.0));
    let series = event.series.as_ref();
    let first = whole(&event.first_timestamp).or(exact);
    let last = time(series.and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0))
        .or_else(|| whole(&event.last_timestamp))
        .or(first);
    let about = &event.involved_object;
    let target = format!(
        "{}/{}",
        about.kind.as_deref().unwrap_or_default().to_lowercase(),
        about.name.as_deref().unwrap_or_default()
    );
    let source = event.source.unwrap_or_default();
    let component = source.component.filter(|c| !c.is_empty()).or(event.reporting_component).unwrap_or_default();
    let by = source.host.map_or_else(|| component.clone(), |h| format!("{component}, {h}"));
    vec![
        ago(last, now).into(),
        event.type_.unwrap_or_default().into(),
        event.reason.unwrap_or_default().into(),
        target.into(),
        about.field_path.clone().unwrap_or_default().into(),
        by.into(),
        event.message.unwrap_or_default().trim().into(),
        ago(first, now).into(),
        series.and_then(|s| s.count).or(event.count).unwrap_or(1).into(),
        name(object),
    ]
}
