//! The controllers: one file a kind, each a pure function from world and time to changes.
//!
//! A controller has a route, which says for a change of any object which of its keys it wants to
//! look at, and a reconcile, which looks at one key. It is not told why it runs.

pub mod access;
pub mod account;
pub mod admission;
pub mod api;
pub mod balancer;
pub(crate) mod definition;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod gc;
pub mod ingress;
pub mod lease;
pub mod mirror;
pub mod namespace;
pub mod node;
pub mod orphan;
pub mod pod;
pub(crate) mod podstatus;
pub mod policy;
pub mod quota;
pub mod replicaset;
pub mod report;
pub mod retention;
pub(crate) mod tally;
#[cfg(test)]
pub(crate) mod testkit;

use evenkeel_model::Key;

use crate::{change::Changed, cx::Cx, drift, release, scheduler, world::World};

/// A controller. The order is that in which they are marked for one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControllerId {
    /// Releases of a source; key: the Source.
    Release,
    /// Brings an object to what its source wants; key: the object.
    Sync,
    /// Namespaces: their end.
    Namespace,
    /// What a namespace has for its pods' identity; key: the Namespace.
    Account,
    /// Ready roles, and roles that are the sum of others; key: the ClusterRole.
    Access,
    /// The Service that leads to the API; key: it.
    Api,
    /// Deployment to ReplicaSets.
    Deployment,
    /// ReplicaSet to Pods.
    ReplicaSet,
    /// Binds a pod to a node; key: the Pod.
    Scheduler,
    /// Pods that finished, lost their node, or wait for nothing.
    Pod,
    /// Status of PodDisruptionBudgets.
    Disruption,
    /// Who stands behind a Service; key: the Service.
    Endpoints,
    /// Addresses of Services of type LoadBalancer.
    Balancer,
    /// Endpoints by hand as slices; key: the Endpoints.
    Mirror,
    /// Status of Ingresses.
    Ingress,
    /// Where NetworkPolicies are not enforced.
    Policy,
    /// What is used of ResourceQuotas.
    Quota,
    /// Life of a node.
    Node,
    /// When a node was last heard of, as an object; key: the Node.
    Lease,
    /// Garbage collection by owner references; key: the dependent.
    Gc,
    /// Drift records: resolution, back-off.
    Drift,
    /// Names, status and end of CustomResourceDefinitions. After the garbage collection, which must know a
    /// kind until the last dependent of its objects is gone.
    Definition,
    /// Bounds of events, drifts, releases, contents, snapshots; key: the first object of a kind's
    /// concern, see there.
    Retention,
}

impl ControllerId {
    /// All of them, in order.
    pub const ALL: &'static [Self] = &[
        Self::Release,
        Self::Sync,
        Self::Namespace,
        Self::Account,
        Self::Access,
        Self::Api,
        Self::Deployment,
        Self::ReplicaSet,
        Self::Scheduler,
        Self::Pod,
        Self::Disruption,
        Self::Endpoints,
        Self::Balancer,
        Self::Mirror,
        Self::Ingress,
        Self::Policy,
        Self::Quota,
        Self::Node,
        Self::Lease,
        Self::Gc,
        Self::Drift,
        Self::Definition,
        Self::Retention,
    ];

    /// Its name in logs, conditions and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Sync => "sync",
            Self::Namespace => "namespace",
            Self::Account => "account",
            Self::Access => "access",
            Self::Api => "api",
            Self::Deployment => "deployment",
            Self::ReplicaSet => "replicaset",
            Self::Scheduler => "scheduler",
            Self::Pod => "pod",
            Self::Disruption => "disruption",
            Self::Endpoints => "endpoints",
            Self::Balancer => "balancer",
            Self::Mirror => "mirror",
            Self::Ingress => "ingress",
            Self::Policy => "policy",
            Self::Quota => "quota",
            Self::Node => "node",
            Self::Lease => "lease",
            Self::Gc => "gc",
            Self::Drift => "drift",
            Self::Definition => "definition",
            Self::Retention => "retention",
        }
    }
}

/// The set of all controllers: the one place that knows them by name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Controllers;

impl Controllers {
    /// Marks the keys that a change concerns. The world has it already.
    pub fn route(self, world: &World, changed: &Changed, mark: &mut dyn FnMut(ControllerId, Key)) {
        release::engine::route(world, changed, &mut |k| mark(ControllerId::Release, k));
        release::sync::route(world, changed, &mut |k| mark(ControllerId::Sync, k));
        namespace::route(world, changed, &mut |k| mark(ControllerId::Namespace, k));
        account::route(world, changed, &mut |k| mark(ControllerId::Account, k));
        access::route(world, changed, &mut |k| mark(ControllerId::Access, k));
        api::route(world, changed, &mut |k| mark(ControllerId::Api, k));
        deployment::route(world, changed, &mut |k| mark(ControllerId::Deployment, k));
        replicaset::route(world, changed, &mut |k| mark(ControllerId::ReplicaSet, k));
        scheduler::route(world, changed, &mut |k| mark(ControllerId::Scheduler, k));
        pod::route(world, changed, &mut |k| mark(ControllerId::Pod, k));
        disruption::route(world, changed, &mut |k| mark(ControllerId::Disruption, k));
        endpoints::route(world, changed, &mut |k| mark(ControllerId::Endpoints, k));
        balancer::route(world, changed, &mut |k| mark(ControllerId::Balancer, k));
        mirror::route(world, changed, &mut |k| mark(ControllerId::Mirror, k));
        ingress::route(world, changed, &mut |k| mark(ControllerId::Ingress, k));
        policy::route(world, changed, &mut |k| mark(ControllerId::Policy, k));
        quota::route(world, changed, &mut |k| mark(ControllerId::Quota, k));
        node::route(world, changed, &mut |k| mark(ControllerId::Node, k));
        lease::route(world, changed, &mut |k| mark(ControllerId::Lease, k));
        gc::route(world, changed, &mut |k| mark(ControllerId::Gc, k));
        drift::route(world, changed, &mut |k| mark(ControllerId::Drift, k));
        definition::route(world, changed, &mut |k| mark(ControllerId::Definition, k));
        retention::route(world, changed, &mut |k| mark(ControllerId::Retention, k));
    }

    /// Runs one controller for one key.
    pub fn reconcile(self, id: ControllerId, world: &World, key: &Key, cx: &mut Cx<'_>) {
        match id {
            ControllerId::Release => release::engine::reconcile(world, key, cx),
            ControllerId::Sync => release::sync::reconcile(world, key, cx),
            ControllerId::Namespace => namespace::reconcile(world, key, cx),
            ControllerId::Account => account::reconcile(world, key, cx),
            ControllerId::Access => access::reconcile(world, key, cx),
            ControllerId::Api => api::reconcile(world, key, cx),
            ControllerId::Deployment => deployment::reconcile(world, key, cx),
            ControllerId::ReplicaSet => replicaset::reconcile(world, key, cx),
            ControllerId::Scheduler => scheduler::reconcile(world, key, cx),
            ControllerId::Pod => pod::reconcile(world, key, cx),
            ControllerId::Disruption => disruption::reconcile(world, key, cx),
            ControllerId::Endpoints => endpoints::reconcile(world, key, cx),
            ControllerId::Balancer => balancer::reconcile(world, key, cx),
            ControllerId::Mirror => mirror::reconcile(world, key, cx),
            ControllerId::Ingress => ingress::reconcile(world, key, cx),
            ControllerId::Policy => policy::reconcile(world, key, cx),
            ControllerId::Quota => quota::reconcile(world, key, cx),
            ControllerId::Node => node::reconcile(world, key, cx),
            ControllerId::Lease => lease::reconcile(world, key, cx),
            ControllerId::Gc => gc::reconcile(world, key, cx),
            ControllerId::Drift => drift::reconcile(world, key, cx),
            ControllerId::Definition => definition::reconcile(world, key, cx),
            ControllerId::Retention => retention::reconcile(world, key, cx),
        }
    }
}
