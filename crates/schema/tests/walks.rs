//! The walks against objects that are made from the tables: with every field, and with chosen ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use evenkeel_model::own;
use evenkeel_schema::{Type, canonical, decode, defaults, definition};
use k8s_openapi::{
    api::{
        apps::v1 as apps, batch::v1 as batch, coordination::v1 as coordination, core::v1 as core,
        networking::v1 as networking, policy::v1 as policy,
    },
    apimachinery::pkg::apis::meta::v1 as meta,
};
use proptest::prelude::*;
use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, Visitor},
};
use serde_json::{Map, Value, json};

/// Deepest level that is made. No definition of these groups is recursive but through `Any`.
const DEPTH: u32 = 24;

/// A value with every field that the tables have.
fn full(ty: &Type, depth: u32) -> Value {
    assert!(depth < DEPTH, "a definition is recursive");
    match ty {
        Type::Object(o) => Value::Object(
            o.fields
                .iter()
                .map(|f| {
                    let value = f.values.iter().find(|v| !v.is_empty() && f.list == evenkeel_schema::ListType::Atomic);
                    let value = value.filter(|_| matches!(f.ty, Type::String)).map(|v| Value::from(*v));
                    (f.name.to_owned(), value.unwrap_or_else(|| full(&f.ty, depth + 1)))
                })
                .collect(),
        ),
        Type::List(item) => json!([full(item, depth + 1)]),
        Type::Map(item) => json!({"key": full(item, depth + 1)}),
        Type::String => "text".into(),
        Type::Bool => true.into(),
        Type::Int32 | Type::Int64 | Type::IntOrString => 7.into(),
        Type::Double => 0.5.into(),
        Type::Bytes => "Yg==".into(),
        Type::Time => "2026-01-02T03:04:05Z".into(),
        Type::Quantity => "1Gi".into(),
        Type::Any => json!({"any": "tree"}),
    }
}

/// Every path of `a` must be in `b`.
fn missing(a: &Value, b: &Value, path: &str, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in a {
                match b.get(k) {
                    Some(other) => missing(v, other, &format!("{path}.{k}"), out),
                    None => out.push(format!("{path}.{k}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (i, v) in a.iter().enumerate() {
                missing(v, &b[i], &format!("{path}[{i}]"), out);
            }
        }
        _ => {}
    }
}

/// Names and types of the tables against those of `k8s-openapi`: the full object must decode, and
/// nothing of it may be lost.
fn agrees<T: DeserializeOwned + Serialize>(name: &str) {
    let ty = definition(name).unwrap();
    let mut value = full(ty, 0);
    for (field, text) in [("apiVersion", api_version(name)), ("kind", name.rsplit('.').next().unwrap().to_owned())] {
        if value.get(field).is_some() {
            value[field] = text.into();
        }
    }
    fix_embedded(&mut value);
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let back = serde_json::to_value(&typed).unwrap();
    let mut lost = Vec::new();
    missing(&value, &back, name, &mut lost);
    assert_eq!(lost, Vec::<String>::new());
    let mut faults = Vec::new();
    let out = decode::decode(ty, &back, decode::Options::default(), &mut |f: decode::Fault<&Value>| {
        faults.push(format!("{}: {}", f.path, f.message));
    });
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(out, back);
}

/// `k8s-openapi` checks the identity of whole objects inside others.
fn fix_embedded(value: &mut Value) {
    if let Some(templates) = value.pointer_mut("/spec/volumeClaimTemplates/0").and_then(Value::as_object_mut) {
        templates.insert("apiVersion".into(), "v1".into());
        templates.insert("kind".into(), "PersistentVolumeClaim".into());
    }
}

fn api_version(name: &str) -> String {
    let group = match name.split('.').next().unwrap() {
        "core" => "",
        "networking" => "networking.k8s.io/",
        other => &format!("{other}/"),
    };
    format!("{group}v1")
}

#[test]
fn tables_and_k8s_openapi_agree() {
    agrees::<core::Pod>("core.v1.Pod");
    agrees::<core::ConfigMap>("core.v1.ConfigMap");
    agrees::<core::Secret>("core.v1.Secret");
    agrees::<core::Namespace>("core.v1.Namespace");
    agrees::<core::Node>("core.v1.Node");
    agrees::<core::Event>("core.v1.Event");
    agrees::<core::Service>("core.v1.Service");
    agrees::<core::PersistentVolume>("core.v1.PersistentVolume");
    agrees::<core::PersistentVolumeClaim>("core.v1.PersistentVolumeClaim");
    agrees::<core::ServiceAccount>("core.v1.ServiceAccount");
    agrees::<core::LimitRange>("core.v1.LimitRange");
    agrees::<core::ResourceQuota>("core.v1.ResourceQuota");
    agrees::<apps::Deployment>("apps.v1.Deployment");
    agrees::<apps::ReplicaSet>("apps.v1.ReplicaSet");
    agrees::<apps::StatefulSet>("apps.v1.StatefulSet");
    agrees::<apps::DaemonSet>("apps.v1.DaemonSet");
    agrees::<apps::ControllerRevision>("apps.v1.ControllerRevision");
    agrees::<batch::Job>("batch.v1.Job");
    agrees::<batch::CronJob>("batch.v1.CronJob");
    agrees::<policy::PodDisruptionBudget>("policy.v1.PodDisruptionBudget");
    agrees::<networking::Ingress>("networking.v1.Ingress");
    agrees::<networking::NetworkPolicy>("networking.v1.NetworkPolicy");
}

/// Learns a type's fields from what it asks its deserializer for.
struct Asks<'o>(&'o mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Asks<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only structs are asked"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend_from_slice(fields);
        Err(serde::de::Error::custom("that was all"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn same_fields<T: DeserializeOwned>(name: &str) {
    let mut asked = Vec::new();
    let _ = T::deserialize(Asks(&mut asked));
    asked.sort_unstable();
    let fields: Vec<&str> = definition(name).unwrap().object().unwrap().fields.iter().map(|f| f.name).collect();
    assert_eq!(asked, fields, "{name}");
}

macro_rules! same_fields {
    ($($module:ident :: $name:ident)*) => {
        $(same_fields::<$module::$name>(concat!(stringify!($module), ".v1.", stringify!($name)));)*
    };
}

#[test]
fn k8s_openapi_has_no_field_that_the_tables_lack() {
    same_fields!(
        core::Pod core::PodSpec core::PodTemplateSpec core::PodStatus core::Container core::ContainerPort core::EnvVar
        core::EnvVarSource core::EnvFromSource core::Probe core::Lifecycle core::LifecycleHandler core::HTTPGetAction
        core::ResourceRequirements core::SecurityContext core::PodSecurityContext core::Volume core::VolumeMount
        core::VolumeProjection core::ConfigMapVolumeSource core::SecretVolumeSource core::ProjectedVolumeSource
        core::EmptyDirVolumeSource core::HostPathVolumeSource core::Toleration core::Affinity core::ConfigMap
        core::Secret core::Namespace core::Node core::NodeSpec core::NodeStatus core::Event core::Service
        core::ServiceSpec core::PersistentVolumeClaimSpec apps::DeploymentSpec apps::DeploymentStatus
        apps::DeploymentStrategy apps::RollingUpdateDeployment apps::ReplicaSetSpec apps::ReplicaSetStatus
        apps::StatefulSetSpec apps::DaemonSetSpec batch::JobSpec batch::CronJobSpec policy::PodDisruptionBudgetSpec
        networking::IngressSpec networking::NetworkPolicySpec meta::ObjectMeta meta::LabelSelector
    );
}

#[test]
fn evenkeels_own_types_and_the_tables_agree() {
    macro_rules! same {
        ($($name:ident)*) => {
            $(same_fields::<own::$name>(concat!("evenkeel.v1alpha1.", stringify!($name)));)*
        };
    }
    same!(
        SourceSpec SourceStatus GitSpec IgnoreDifference MaxUnsettled MassDelete GoodRevision Quarantined Pin
        ReleaseSpec ReleaseStatus Cause PhaseAt Changes DriftSpec DriftStatus ObjectRef
    );
    // The tables' condition is Kubernetes'.
    same_fields!(coordination::Lease coordination::LeaseSpec apps::ControllerRevision);
}

/// Takes out fields by chance, so that defaults have something to fill in.
fn thinned(value: &Value, choices: &mut dyn Iterator<Item = bool>) -> Value {
    match value {
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                if choices.next() == Some(true) {
                    kept.insert(key.clone(), thinned(value, choices));
                }
            }
            Value::Object(kept)
        }
        Value::Array(list) => Value::Array(list.iter().map(|v| thinned(v, choices)).collect()),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_canonical_form_does_not_depend_on_defaults(choices in prop::collection::vec(prop::bool::weighted(0.6), 50..2000)) {
        let ty = definition("core.v1.PodTemplateSpec").unwrap();
        let value = thinned(&full(ty, 0), &mut choices.into_iter());
        let mut filled = value.clone();
        defaults::fill(ty, &mut filled);
        let mut again = filled.clone();
        defaults::fill(ty, &mut again);
        prop_assert_eq!(&again, &filled);
        let form = canonical::form(ty, &value);
        prop_assert_eq!(&canonical::form(ty, &filled), &form);
        prop_assert_eq!(&canonical::form(ty, &form), &form);
    }
}
