//! The kinds that Evenkeel knows, one table entry each.

use core::{fmt, str::FromStr};

use crate::{custom::Custom, ids::IdError};

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster as a whole.
    Cluster,
}

/// Who may make objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Sources and users.
    Anyone,
    /// Evenkeel alone: in a manifest such an object is an error.
    Evenkeel,
}

/// What the API and the decoders need to know of a kind.
#[derive(Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Kind, as `Deployment`.
    pub kind: &'static str,
    /// Plural resource name, as `deployments`.
    pub plural: &'static str,
    /// Singular resource name, as `deployment`.
    pub singular: &'static str,
    /// Names that `kubectl` takes for it.
    pub short_names: &'static [&'static str],
    /// Categories, as `all`.
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// Who may make one.
    pub origin: Origin,
    /// Whether the main resource carries a `status`.
    pub has_status: bool,
}

impl KindInfo {
    /// `v1` or `apps/v1`: what stands in a manifest.
    pub fn api_version(&self) -> alloc::string::String {
        if self.group.is_empty() { self.version.into() } else { alloc::format!("{}/{}", self.group, self.version) }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $group:literal $version:literal $plural:literal $singular:literal
        $short:expr, $categories:expr, $scope:ident, $origin:ident, $status:literal;)*) => {
        /// A kind of object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// A kind that a CustomResourceDefinition makes.
            Custom(Custom),
        }

        impl Kind {
            /// Every kind that is built in, in the order in which a revision's objects are applied.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The table entry.
            pub fn info(self) -> &'static KindInfo {
                match self {
                    $(Kind::$name => &KindInfo {
                        group: $group, version: $version, kind: stringify!($name), plural: $plural,
                        singular: $singular, short_names: $short, categories: $categories,
                        scope: Scope::$scope, origin: Origin::$origin, has_status: $status,
                    },)*
                    Kind::Custom(custom) => custom.info(),
                }
            }
        }
    };
}

kinds! {
    /// `v1` Namespace.
    Namespace = "" "v1" "namespaces" "namespace" &["ns"], &[], Cluster, Anyone, true;
    /// `apiextensions.k8s.io/v1` CustomResourceDefinition.
    CustomResourceDefinition = "apiextensions.k8s.io" "v1" "customresourcedefinitions" "customresourcedefinition"
        &["crd", "crds"], &["api-extensions"], Cluster, Anyone, true;
    /// `v1` ServiceAccount.
    ServiceAccount = "" "v1" "serviceaccounts" "serviceaccount" &["sa"], &[], Namespaced, Anyone, false;
    /// `rbac.authorization.k8s.io/v1` ClusterRole.
    ClusterRole = "rbac.authorization.k8s.io" "v1" "clusterroles" "clusterrole" &[], &[], Cluster, Anyone, false;
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
    ClusterRoleBinding = "rbac.authorization.k8s.io" "v1" "clusterrolebindings" "clusterrolebinding" &[], &[], Cluster, Anyone, false;
    /// `rbac.authorization.k8s.io/v1` Role.
    Role = "rbac.authorization.k8s.io" "v1" "roles" "role" &[], &[], Namespaced, Anyone, false;
    /// `rbac.authorization.k8s.io/v1` RoleBinding.
    RoleBinding = "rbac.authorization.k8s.io" "v1" "rolebindings" "rolebinding" &[], &[], Namespaced, Anyone, false;
    /// `v1` LimitRange: before pods, which get its defaults.
    LimitRange = "" "v1" "limitranges" "limitrange" &["limits"], &[], Namespaced, Anyone, false;
    /// `v1` ResourceQuota: before what it counts.
    ResourceQuota = "" "v1" "resourcequotas" "resourcequota" &["quota"], &[], Namespaced, Anyone, true;
    /// `v1` ConfigMap.
    ConfigMap = "" "v1" "configmaps" "configmap" &["cm"], &[], Namespaced, Anyone, false;
    /// `v1` Secret.
    Secret = "" "v1" "secrets" "secret" &[], &[], Namespaced, Anyone, false;
    /// `networking.k8s.io/v1` NetworkPolicy: before pods, which shall not begin without it.
    NetworkPolicy = "networking.k8s.io" "v1" "networkpolicies" "networkpolicy" &["netpol"], &[], Namespaced, Anyone, false;
    /// `v1` Service.
    Service = "" "v1" "services" "service" &["svc"], &["all"], Namespaced, Anyone, true;
    /// `v1` Endpoints.
    Endpoints = "" "v1" "endpoints" "endpoints" &["ep"], &[], Namespaced, Anyone, false;
    /// `v1` Pod.
    Pod = "" "v1" "pods" "pod" &["po"], &["all"], Namespaced, Anyone, true;
    /// `apps/v1` ReplicaSet.
    ReplicaSet = "apps" "v1" "replicasets" "replicaset" &["rs"], &["all"], Namespaced, Anyone, true;
    /// `apps/v1` Deployment.
    Deployment = "apps" "v1" "deployments" "deployment" &["deploy"], &["all"], Namespaced, Anyone, true;
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget = "policy" "v1" "poddisruptionbudgets" "poddisruptionbudget" &["pdb"], &[], Namespaced, Anyone, true;
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice = "discovery.k8s.io" "v1" "endpointslices" "endpointslice" &[], &[], Namespaced, Anyone, false;
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass = "networking.k8s.io" "v1" "ingressclasses" "ingressclass" &[], &[], Cluster, Anyone, false;
    /// `networking.k8s.io/v1` Ingress.
    Ingress = "networking.k8s.io" "v1" "ingresses" "ingress" &["ing"], &[], Namespaced, Anyone, true;
    /// `evenkeel.dev/v1alpha1` AddressPool.
    AddressPool = "evenkeel.dev" "v1alpha1" "addresspools" "addresspool" &[], &["evenkeel"], Cluster, Anyone, true;
    /// `certificates.k8s.io/v1` CertificateSigningRequest: made by whoever asks, and by no source.
    CertificateSigningRequest = "certificates.k8s.io" "v1" "certificatesigningrequests" "certificatesigningrequest"
        &["csr"], &[], Cluster, Evenkeel, true;
    /// `coordination.k8s.io/v1` Lease: made by those who take turns; the server answers with those of nodes.
    Lease = "coordination.k8s.io" "v1" "leases" "lease" &[], &[], Namespaced, Evenkeel, false;
    /// `apps/v1` ControllerRevision: kept for controllers that run in pods; none of Evenkeel's makes any.
    ControllerRevision = "apps" "v1" "controllerrevisions" "controllerrevision" &[], &[], Namespaced, Evenkeel, false;
    /// `v1` Node.
    Node = "" "v1" "nodes" "node" &["no"], &[], Cluster, Evenkeel, true;
    /// `v1` Event.
    Event = "" "v1" "events" "event" &["ev"], &[], Namespaced, Evenkeel, false;
    /// `evenkeel.dev/v1alpha1` Source.
    Source = "evenkeel.dev" "v1alpha1" "sources" "source" &[], &["evenkeel"], Cluster, Anyone, true;
    /// `evenkeel.dev/v1alpha1` Release.
    Release = "evenkeel.dev" "v1alpha1" "releases" "release" &["rel"], &["evenkeel"], Cluster, Evenkeel, true;
    /// `evenkeel.dev/v1alpha1` Drift.
    Drift = "evenkeel.dev" "v1alpha1" "drifts" "drift" &[], &["evenkeel"], Cluster, Evenkeel, true;
}

impl Kind {
    /// The built-in kind of an `apiVersion` and `kind` as they stand in a manifest.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::ALL.iter().copied().find(|k| {
            let i = k.info();
            i.kind == kind && i.group == group && i.version == version
        })
    }

    /// The built-in kind of a resource path's group, version and plural name.
    pub fn of_resource(group: &str, version: &str, plural: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| {
            let i = k.info();
            i.plural == plural && i.group == group && i.version == version
        })
    }

    /// The kind of what a person types: `deploy`, `Deployment`, `deployments.apps`.
    pub fn of_word(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(n, g)| (n, Some(g)));
        Self::ALL.iter().copied().find(|k| {
            let i = k.info();
            (i.plural == name || i.singular == name || i.short_names.contains(&name))
                && group.is_none_or(|g| g == i.group)
        })
    }

    /// Whether it lives in a namespace.
    pub fn namespaced(self) -> bool {
        self.info().scope == Scope::Namespaced
    }

    /// The same kind, whatever its version: its own name where it is built in, `Widget.example.com` where a
    /// definition makes it. What the store and the histories write.
    pub fn text(self) -> alloc::borrow::Cow<'static, str> {
        match self {
            Kind::Custom(custom) => alloc::format!("{}.{}", custom.info().kind, custom.info().group).into(),
            built_in => built_in.info().kind.into(),
        }
    }

    /// `deployments.apps`, or `pods` in the core group: how Kubernetes' messages name a resource.
    pub fn resource(self) -> alloc::string::String {
        let i = self.info();
        if i.group.is_empty() { i.plural.into() } else { alloc::format!("{}.{}", i.plural, i.group) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().kind)
    }
}

impl FromStr for Kind {
    type Err = IdError;

    /// A built-in kind by its own name alone, as the store and the wire write it.
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::ALL
            .iter()
            .copied()
            .find(|k| k.info().kind == text)
            .ok_or_else(|| IdError { what: "kind", text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_find_their_kind() {
        assert_eq!(Kind::of_word("deploy"), Some(Kind::Deployment));
        assert_eq!(Kind::of_word("deployments.apps"), Some(Kind::Deployment));
        assert_eq!(Kind::of_word("deployments.batch"), None);
        assert_eq!(Kind::of("apps/v1", "ReplicaSet"), Some(Kind::ReplicaSet));
        assert_eq!(Kind::of("v1", "ReplicaSet"), None);
        assert_eq!(Kind::of_resource("", "v1", "pods"), Some(Kind::Pod));
        assert_eq!("Drift".parse::<Kind>().unwrap(), Kind::Drift);
    }
}
