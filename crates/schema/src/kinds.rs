//! From the `apiVersion` and `kind` of a document to its schema, or to what to say of it.
//!
//! Called by the manifest reader and the API. The 95 kinds of Kubernetes are known by name, so that
//! one that is not supported yet is told from a mistyped one.

use alloc::string::String;

use evenkeel_model::Kind;

use crate::{
    nearest,
    tables::{kinds::KINDS, types as t},
    types::{Field, Object, Type},
};

/// A kind of Kubernetes, supported or not.
#[derive(Debug)]
pub struct KnownKind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Plural resource name.
    pub plural: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
    /// Whether objects of it can be listed, so that it has a list kind.
    pub listed: bool,
    /// Its schema, where the tables have it.
    pub ty: Option<Type>,
}

impl KnownKind {
    /// As `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { alloc::format!("{}/{}", self.group, self.version) }
    }
}

/// Every kind of Kubernetes 1.36.
pub fn kubernetes() -> &'static [KnownKind] {
    KINDS
}

/// What an `apiVersion` and `kind` name.
#[derive(Debug)]
pub enum Lookup {
    /// A kind that Evenkeel has.
    Supported(Kind),
    /// A kind of Kubernetes that Evenkeel does not have yet.
    NotYet(&'static KnownKind),
    /// The kind exists, under another `apiVersion`.
    OtherVersion(String),
    /// The group is none of Kubernetes' or Evenkeel's: a custom resource.
    Custom,
    /// No such kind; the nearest name, if one is near.
    Unknown(Option<&'static str>),
}

/// Looks a kind up as it stands in a manifest.
pub fn lookup(api_version: &str, kind: &str) -> Lookup {
    if let Some(kind) = Kind::of(api_version, kind) {
        return Lookup::Supported(kind);
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some(known) = KINDS.iter().find(|k| k.kind == kind && k.group == group && k.version == version) {
        return Lookup::NotYet(known);
    }
    // Others name kinds of their own like those of Kubernetes: Knative has a Service, Calico a NetworkPolicy.
    let foreign = group.contains('.') && !KINDS.iter().any(|k| k.group == group) && group != "evenkeel.dev";
    if foreign {
        return Lookup::Custom;
    }
    let own = Kind::ALL.iter().map(|k| k.info());
    if let Some(info) = own.clone().find(|i| i.kind == kind) {
        return Lookup::OtherVersion(info.api_version());
    }
    // The newest of its group, which stands last.
    let same_group = KINDS.iter().rfind(|k| k.kind == kind && k.group == group);
    if let Some(known) = same_group.or_else(|| KINDS.iter().find(|k| k.kind == kind)) {
        return Lookup::OtherVersion(known.api_version());
    }
    Lookup::Unknown(nearest::nearest(kind, own.map(|i| i.kind).chain(KINDS.iter().map(|k| k.kind))))
}

/// The schema of a kind that is built in. Of one that a definition makes the tables know nothing but its
/// metadata: see [`crate::custom`].
pub fn of_kind(kind: Kind) -> &'static Type {
    static TYPES: [Type; 30] = [
        Type::Object(&t::CORE_V1_NAMESPACE),
        Type::Object(&t::CORE_V1_CONFIG_MAP),
        Type::Object(&t::CORE_V1_SECRET),
        Type::Object(&t::CORE_V1_POD),
        Type::Object(&t::APPS_V1_REPLICA_SET),
        Type::Object(&t::APPS_V1_DEPLOYMENT),
        Type::Object(&t::CORE_V1_NODE),
        Type::Object(&t::CORE_V1_EVENT),
        Type::Object(&t::EVENKEEL_V1ALPHA1_SOURCE),
        Type::Object(&t::EVENKEEL_V1ALPHA1_RELEASE),
        Type::Object(&t::EVENKEEL_V1ALPHA1_DRIFT),
        Type::Object(&t::POLICY_V1_POD_DISRUPTION_BUDGET),
        Type::Object(&t::CORE_V1_SERVICE),
        Type::Object(&t::CORE_V1_ENDPOINTS),
        Type::Object(&t::DISCOVERY_V1_ENDPOINT_SLICE),
        Type::Object(&t::CORE_V1_SERVICE_ACCOUNT),
        Type::Object(&t::RBAC_V1_CLUSTER_ROLE),
        Type::Object(&t::RBAC_V1_CLUSTER_ROLE_BINDING),
        Type::Object(&t::RBAC_V1_ROLE),
        Type::Object(&t::RBAC_V1_ROLE_BINDING),
        Type::Object(&t::NETWORKING_V1_INGRESS),
        Type::Object(&t::NETWORKING_V1_INGRESS_CLASS),
        Type::Object(&t::NETWORKING_V1_NETWORK_POLICY),
        Type::Object(&t::APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION),
        Type::Object(&t::CORE_V1_LIMIT_RANGE),
        Type::Object(&t::CORE_V1_RESOURCE_QUOTA),
        Type::Object(&t::EVENKEEL_V1ALPHA1_ADDRESS_POOL),
        Type::Object(&t::CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST),
        Type::Object(&t::COORDINATION_V1_LEASE),
        Type::Object(&t::APPS_V1_CONTROLLER_REVISION),
    ];
    match kind {
        Kind::Namespace => &TYPES[0],
        Kind::ConfigMap => &TYPES[1],
        Kind::Secret => &TYPES[2],
        Kind::Pod => &TYPES[3],
        Kind::ReplicaSet => &TYPES[4],
        Kind::Deployment => &TYPES[5],
        Kind::Node => &TYPES[6],
        Kind::Event => &TYPES[7],
        Kind::Source => &TYPES[8],
        Kind::Release => &TYPES[9],
        Kind::Drift => &TYPES[10],
        Kind::PodDisruptionBudget => &TYPES[11],
        Kind::Service => &TYPES[12],
        Kind::Endpoints => &TYPES[13],
        Kind::EndpointSlice => &TYPES[14],
        Kind::ServiceAccount => &TYPES[15],
        Kind::ClusterRole => &TYPES[16],
        Kind::ClusterRoleBinding => &TYPES[17],
        Kind::Role => &TYPES[18],
        Kind::RoleBinding => &TYPES[19],
        Kind::Ingress => &TYPES[20],
        Kind::IngressClass => &TYPES[21],
        Kind::NetworkPolicy => &TYPES[22],
        Kind::CustomResourceDefinition => &TYPES[23],
        Kind::LimitRange => &TYPES[24],
        Kind::ResourceQuota => &TYPES[25],
        Kind::AddressPool => &TYPES[26],
        Kind::CertificateSigningRequest => &TYPES[27],
        Kind::Lease => &TYPES[28],
        Kind::ControllerRevision => &TYPES[29],
        Kind::Custom(_) => &CUSTOM,
    }
}

/// The schema of every object's metadata.
pub(crate) fn metadata() -> &'static Type {
    static METADATA: Type = Type::Object(&t::META_V1_OBJECT_META);
    &METADATA
}

/// What every object has, as the tables know it.
static CUSTOM: Type = Type::Object(&Object {
    name: "custom",
    fields: &[
        Field { name: "apiVersion", ty: Type::String, ..Field::PLAIN },
        Field { name: "kind", ty: Type::String, ..Field::PLAIN },
        Field { name: "metadata", ty: Type::Object(&t::META_V1_OBJECT_META), ..Field::PLAIN },
    ],
    atomic: false,
});

/// A definition by its name, as `core.v1.PodTemplateSpec`.
pub fn definition(name: &str) -> Option<&'static Type> {
    let key = |ty: &Type| ty.object().map_or("", |o| o.name);
    t::ALL.binary_search_by(|ty| key(ty).cmp(name)).ok().map(|i| &t::ALL[i])
}

/// Every definition of the tables.
pub fn definitions() -> &'static [Type] {
    t::ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        assert!(matches!(lookup("apps/v1", "Deployment"), Lookup::Supported(Kind::Deployment)));
        assert!(matches!(lookup("apps/v1", "StatefulSet"), Lookup::NotYet(k) if k.plural == "statefulsets"));
        assert!(matches!(lookup("extensions/v1beta1", "Deployment"), Lookup::OtherVersion(v) if v == "apps/v1"));
        assert!(matches!(lookup("batch/v1beta1", "CronJob"), Lookup::OtherVersion(v) if v == "batch/v1"));
        assert!(
            matches!(lookup("autoscaling/v2beta2", "HorizontalPodAutoscaler"), Lookup::OtherVersion(v) if v == "autoscaling/v2")
        );
        assert!(matches!(lookup("rbac.authorization.k8s.io/v1beta1", "Role"), Lookup::OtherVersion(_)));
        assert!(matches!(lookup("monitoring.coreos.com/v1", "ServiceMonitor"), Lookup::Custom));
        assert!(matches!(lookup("serving.knative.dev/v1", "Service"), Lookup::Custom));
        assert!(matches!(lookup("projectcalico.org/v3", "NetworkPolicy"), Lookup::Custom));
        assert!(matches!(lookup("apps/v1", "Deploymnet"), Lookup::Unknown(Some("Deployment"))));
        assert!(matches!(lookup("v1", "Xyzzyplugh"), Lookup::Unknown(None)));
    }

    #[test]
    fn every_kind_has_the_definition_of_its_name() {
        for kind in Kind::ALL {
            assert_eq!(of_kind(*kind).object().unwrap().short(), kind.info().kind);
        }
        assert_eq!(definition("core.v1.PodTemplateSpec").unwrap().object().unwrap().short(), "PodTemplateSpec");
        assert!(definition("core.v1.Nothing").is_none());
        assert_eq!(kubernetes().len(), 95);
    }
}
