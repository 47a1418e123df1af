//! Rows of Deployments, ReplicaSets, their Scales, ControllerRevisions and PodDisruptionBudgets.

use evenkeel_model::{Object, Time};
use k8s_openapi::{
    api::{
        apps::v1::{DeploymentSpec, DeploymentStatus, ReplicaSetSpec, ReplicaSetStatus},
        core::v1::PodSpec,
        policy::v1::{PodDisruptionBudgetSpec, PodDisruptionBudgetStatus},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::Value;

use super::{Column, age, name, number, or_none, text, wide};

pub(super) const DEPLOYMENT: &[Column] = &[
    text("Name"),
    text("Ready"),
    number("Up-to-date"),
    number("Available"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) const REPLICA_SET: &[Column] = &[
    text("Name"),
    number("Desired"),
    number("Current"),
    number("Ready"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

/// Of a Scale, whatever it is of.
pub(super) const SCALE: &[Column] = &[text("Name"), number("Desired"), number("Available"), text("Age")];

pub(super) const REVISION: &[Column] = &[text("Name"), text("Controller"), text("Revision"), text("Age")];

pub(super) const BUDGET: &[Column] =
    &[text("Name"), text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), text("Age")];

pub(super) fn scale(object: &Object, scale: &Value, now: Time) -> Vec<Value> {
    let replicas = |part: &str| scale[part]["replicas"].clone();
    vec![name(object), replicas("spec"), replicas("status"), age(object, now)]
}

pub(super) fn revision(object: &Object, now: Time) -> Vec<Value> {
    let owner = object.meta.owners.iter().find(|o| o.controller);
    let controller = owner.map(|o| {
        let group = o.api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{}{group}/{}", o.kind.to_lowercase(), o.name)
    });
    let number = object.body_map().get("revision").and_then(Value::as_i64).unwrap_or_default();
    vec![name(object), or_none(controller.as_deref()), number.to_string().into(), age(object, now)]
}

pub(super) fn budget(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<PodDisruptionBudgetSpec>().unwrap_or_default();
    let status = object.status::<PodDisruptionBudgetStatus>().ok().flatten().unwrap_or_default();
    let amount = |n: Option<IntOrString>| match n {
        None => "N/A".to_owned(),
        Some(IntOrString::Int(n)) => n.to_string(),
        Some(IntOrString::String(text)) => text,
    };
    vec![
        name(object),
        amount(spec.min_available).into(),
        amount(spec.max_unavailable).into(),
        status.disruptions_allowed.into(),
        age(object, now),
    ]
}

pub(super) fn deployment(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<DeploymentSpec>().unwrap_or_default();
    let status = object.status::<DeploymentStatus>().ok().flatten().unwrap_or_default();
    let desired = spec.replicas.unwrap_or(1);
    let mut cells = vec![
        name(object),
        format!("{}/{desired}", status.ready_replicas.unwrap_or(0)).into(),
        status.updated_replicas.unwrap_or(0).into(),
        status.available_replicas.unwrap_or(0).into(),
        age(object, now),
    ];
    cells.extend(template(spec.template.spec.as_ref(), &spec.selector));
    cells
}

pub(super) fn replica_set(object: &Object, now: Time) -> Vec<Value> {
    let spec = object.spec::<ReplicaSetSpec>().unwrap_or_default();
    let status = object.status::<ReplicaSetStatus>().ok().flatten().unwrap_or_default();
    let mut cells = vec![
        name(object),
        spec.replicas.unwrap_or(1).into(),
        status.replicas.into(),
        status.ready_replicas.unwrap_or(0).into(),
        age(object, now),
    ];
    cells.extend(template(spec.template.as_ref().and_then(|t| t.spec.as_ref()), &spec.selector));
    cells
}

fn template(pod: Option<&PodSpec>, selector: &LabelSelector) -> [Value; 3] {
    let containers = pod.map(|p| p.containers.as_slice()).unwrap_or_default();
    let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
    let images: Vec<&str> = containers.iter().filter_map(|c| c.image.as_deref()).collect();
    [names.join(",").into(), images.join(",").into(), selector_text(selector).into()]
}

fn selector_text(selector: &LabelSelector) -> String {
    let mut parts: Vec<String> = selector.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    for e in selector.match_expressions.iter().flatten() {
        let values = e.values.clone().unwrap_or_default().join(",");
        parts.push(match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "Exists" => e.key.clone(),
            _ => format!("!{}", e.key),
        });
    }
    if parts.is_empty() { "<none>".into() } else { parts.join(",") }
}
