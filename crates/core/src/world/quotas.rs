//! ResourceQuotas by namespace, and what they count, kept with each write.
//!
//! What is summed up does not depend on which quotas there are: objects of each kind, ports of Services, and
//! pods by what scopes tell apart. So a change costs the same whether a quota counts it or not, and what a
//! quota has used is a look at a few sums. Deliberately not here: what follows from it (`quota`).

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use evenkeel_model::{Key, Kind, Object, Quantity, Time};
use evenkeel_schema::Customs;
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::{ResourceQuotaSpec, ScopedResourceSelectorRequirement, ServiceSpec};

use super::{
    charge::{Amounts, PodClass},
    pods::{PodRecord, PodShape},
};
use crate::change::Changed;

/// A quota.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// What it bounds, in the order of names.
    pub limits: Vec<Limit>,
    /// Which pods it counts; without scopes, everything.
    pub scopes: Vec<Scope>,
}

/// A bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// As the quota says it.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// How much there may be.
    pub hard: Quantity,
}

/// What a bound measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Pods that have not ended.
    Pods,
    /// What pods that have not ended ask for or may use: `requests.cpu`.
    Amount(String),
    /// Objects of a resource in a group.
    Objects(String, String),
    /// Ports of nodes that lead to Services.
    NodePorts,
    /// Services with addresses outside.
    LoadBalancers,
    /// What is in no namespace here: claims of volumes, and what they ask for.
    Nothing,
}

impl Measure {
    /// What a name in `spec.hard` means.
    fn of(name: &str) -> Self {
        let amount = |text: String| Self::Amount(text);
        let core = |plural: &str| Self::Objects(plural.into(), String::new());
        match name {
            "pods" => Self::Pods,
            "services.nodeports" => Self::NodePorts,
            "services.loadbalancers" => Self::LoadBalancers,
            "cpu" | "memory" | "ephemeral-storage" => amount(alloc::format!("requests.{name}")),
            "services" | "secrets" | "configmaps" | "resourcequotas" => core(name),
            "requests.storage" => Self::Nothing,
            name => {
                if let Some(counted) = name.strip_prefix("count/") {
                    let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
                    Self::Objects(plural.into(), group.into())
                } else if name.starts_with("hugepages-") {
                    amount(alloc::format!("requests.{name}"))
                } else if name.starts_with("requests.") || name.starts_with("limits.") {
                    amount(name.into())
                } else {
                    Self::Nothing
                }
            }
        }
    }
}

/// A scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Pods with an end of their own, or without.
    Terminating(bool),
    /// Pods that ask for nothing, or that do.
    BestEffort(bool),
    /// Pods whose priority class is (or is not) one of these.
    Priority(Vec<String>, bool),
    /// Pods with a priority class, or without.
    AnyPriority(bool),
    /// What there is none of here.
    None,
}

impl Scope {
    fn named(name: &str) -> Self {
        match name {
            "Terminating" => Self::Terminating(true),
            "NotTerminating" => Self::Terminating(false),
            "BestEffort" => Self::BestEffort(true),
            "NotBestEffort" => Self::BestEffort(false),
            "PriorityClass" => Self::AnyPriority(true),
            _ => Self::None,
        }
    }

    fn of(requirement: &ScopedResourceSelectorRequirement) -> Self {
        if requirement.scope_name != "PriorityClass" {
            return Self::named(&requirement.scope_name);
        }
        let values = || requirement.values.clone().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" => Self::Priority(values(), true),
            "NotIn" => Self::Priority(values(), false),
            "DoesNotExist" => Self::AnyPriority(false),
            _ => Self::AnyPriority(true),
        }
    }

    fn takes(&self, class: &PodClass) -> bool {
        match self {
            Self::Terminating(wanted) => class.terminating == *wanted,
            Self::BestEffort(wanted) => class.best_effort == *wanted,
            Self::Priority(names, wanted) => names.contains(&class.priority_class) == *wanted,
            Self::AnyPriority(wanted) => class.priority_class.is_empty() != *wanted,
            Self::None => false,
        }
    }
}

impl Quota {
    fn read(object: &Object) -> Self {
        let spec: ResourceQuotaSpec = object.spec().unwrap_or_default();
        let limit = |(name, q): (String, k8s_openapi::apimachinery::pkg::api::resource::Quantity)| Limit {
            measure: Measure::of(&name),
            hard: q.0.parse().unwrap_or_default(),
            name,
        };
        let named = spec.scopes.iter().flatten().map(|s| Scope::named(s));
        let selected = spec.scope_selector.iter().flat_map(|s| s.match_expressions.iter().flatten()).map(Scope::of);
        Self { scopes: named.chain(selected).collect(), limits: spec.hard.into_iter().flatten().map(limit).collect() }
    }

    /// Whether it counts pods of a class.
    pub fn takes(&self, class: &PodClass) -> bool {
        self.scopes.iter().all(|s| s.takes(class))
    }
}

/// Sums over pods of one class.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sum {
    pods: i64,
    amounts: Amounts,
}

/// A namespace and what is in it.
type At<T> = (Arc<str>, T);

/// All quotas, and what they count.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    all: OrdMap<Key, Arc<Quota>>,
    objects: OrdMap<At<Kind>, i64>,
    pods: OrdMap<At<PodClass>, Sum>,
    /// Pods that are going, by when nobody counts them any more: their node does not answer.
    lapsing: OrdMap<(Arc<str>, Time, Arc<str>), Arc<PodShape>>,
    /// Ports of nodes and addresses outside.
    services: OrdMap<Arc<str>, (i64, i64)>,
    /// ReplicaSets whose pods could not be made.
    held_up: OrdSet<Key>,
}

/// Ports of nodes and addresses outside that a Service has, as Kubernetes counts them.
pub fn of_service(object: &Object) -> (i64, i64) {
    let spec: ServiceSpec = object.spec().unwrap_or_default();
    let all = spec.ports.as_ref().map_or(0, Vec::len);
    let asked = || spec.ports.iter().flatten().filter(|p| p.node_port.is_some_and(|n| n != 0)).count();
    let (ports, balancers) = match spec.type_.as_deref() {
        Some("NodePort") => (all, 0),
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => (asked(), 1),
        Some("LoadBalancer") => (all, 1),
        _ => (0, 0),
    };
    (i64::try_from(ports).unwrap_or(i64::MAX), balancers)
}

/// When a pod that is going counts no more.
fn lapses(object: &Object) -> Option<Time> {
    let deletion = object.meta.deletion?;
    let grace = u64::try_from(deletion.grace_seconds).unwrap_or(0);
    Some(deletion.at + Duration::from_secs(grace))
}

impl Quotas {
    /// The quotas of a namespace.
    pub fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Quota)> + 'a {
        let from = Key::new(Kind::ResourceQuota, namespace, "");
        self.all.range(from..).take_while(move |(k, _)| &*k.namespace == namespace).map(|(k, q)| (k, &**q))
    }

    /// One quota.
    pub fn get(&self, key: &Key) -> Option<&Quota> {
        self.all.get(key).map(|q| &**q)
    }

    /// ReplicaSets of a namespace whose pods could not be made.
    pub fn held_up<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Key> + 'a {
        let from = Key::new(Kind::ReplicaSet, namespace, "");
        self.held_up.range(from..).take_while(move |k| &*k.namespace == namespace)
    }

    /// How much of a bound of a quota is used.
    pub fn used(&self, namespace: &Arc<str>, quota: &Quota, limit: &Limit, customs: &Customs, now: Time) -> Quantity {
        match &limit.measure {
            Measure::Pods => {
                let pods = self.sum(namespace, quota, now, |sum| i128::from(sum.pods), |_| 1);
                Quantity::from_units(i64::try_from(pods).unwrap_or(i64::MAX))
            }
            Measure::Amount(name) => {
                let of = |amounts: &Amounts| amounts.get(name).copied().unwrap_or_default().0;
                Quantity(self.sum(namespace, quota, now, |sum| of(&sum.amounts), |shape| of(&shape.charge.amounts)))
            }
            Measure::Objects(plural, group) => {
                let is = |kind: &Kind| kind.info().plural == plural && kind.info().group == group;
                let built_in = Kind::ALL.iter().copied().find(is);
                let kind = built_in.or_else(|| customs.iter().map(|d| d.stored).find(is));
                Quantity::from_units(
                    kind.map_or(0, |k| self.objects.get(&(namespace.clone(), k)).copied().unwrap_or(0)),
                )
            }
            Measure::NodePorts => Quantity::from_units(self.services.get(namespace).map_or(0, |s| s.0)),
            Measure::LoadBalancers => Quantity::from_units(self.services.get(namespace).map_or(0, |s| s.1)),
            Measure::Nothing => Quantity::default(),
        }
    }

    /// Adds up what a quota counts of the pods, without those that count no more.
    fn sum(
        &self,
        namespace: &Arc<str>,
        quota: &Quota,
        now: Time,
        of: impl Fn(&Sum) -> i128,
        of_one: impl Fn(&PodShape) -> i128,
    ) -> i128 {
        let from = (namespace.clone(), PodClass::default());
        let classes = self.pods.range(from..).take_while(|((n, _), _)| n == namespace);
        let all: i128 = classes.filter(|((_, class), _)| quota.takes(class)).map(|(_, sum)| of(sum)).sum();
        let gone = self.lapsing_from(namespace, Time::default()).take_while(|(at, _)| *at < now);
        all - gone.filter(|(_, shape)| quota.takes(&shape.charge.class)).map(|(_, shape)| of_one(shape)).sum::<i128>()
    }

    fn lapsing_from<'a>(&'a self, namespace: &'a Arc<str>, from: Time) -> impl Iterator<Item = (Time, &'a PodShape)> {
        let from = (namespace.clone(), from, Arc::from(""));
        self.lapsing.range(from..).take_while(move |((n, ..), _)| n == namespace).map(|((_, at, _), s)| (*at, &**s))
    }

    /// When the next pod of a namespace that is going counts no more.
    pub fn next_lapse(&self, namespace: &Arc<str>, now: Time) -> Option<Time> {
        self.lapsing_from(namespace, now).next().map(|(at, _)| at)
    }

    /// Follows the coming and going of any object.
    pub(super) fn count(&mut self, changed: &Changed) {
        let by = match (&changed.old, &changed.new) {
            (None, Some(_)) => 1,
            (Some(_), None) => -1,
            _ => return,
        };
        if changed.key.kind.namespaced() {
            let at = (changed.key.namespace.clone(), changed.key.kind);
            let count = self.objects.get(&at).copied().unwrap_or(0) + by;
            if count == 0 {
                self.objects.remove(&at);
            } else {
                self.objects.insert(at, count);
            }
        }
    }

    /// Follows a pod.
    pub(super) fn pod_changed(&mut self, changed: &Changed, old: Option<&PodRecord>, new: Option<&PodRecord>) {
        let namespace = &changed.key.namespace;
        let counts = |record: Option<&PodRecord>| record.filter(|r| !r.finished()).map(|r| r.shape.clone());
        let (old, new) = (counts(old), counts(new));
        let lapse = |object: &Option<Arc<Object>>| object.as_ref().and_then(|o| lapses(o));
        let (old_end, new_end) = (lapse(&changed.old), lapse(&changed.new));
        let same = match (&old, &new) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => return,
            _ => false,
        };
        if !same {
            for (shape, sign) in [(&old, -1), (&new, 1)] {
                if let Some(shape) = shape {
                    self.add(namespace, shape, sign);
                }
            }
        }
        let at = |end: Time| (namespace.clone(), end, changed.key.name.clone());
        if let (Some(_), Some(end)) = (&old, old_end) {
            self.lapsing.remove(&at(end));
        }
        if let (Some(shape), Some(end)) = (new, new_end) {
            self.lapsing.insert(at(end), shape);
        }
    }

    fn add(&mut self, namespace: &Arc<str>, shape: &PodShape, sign: i64) {
        let at = (namespace.clone(), shape.charge.class.clone());
        let sum = self.pods.entry(at.clone()).or_default();
        sum.pods += sign;
        if sum.pods == 0 {
            self.pods.remove(&at);
            return;
        }
        for (name, q) in &shape.charge.amounts {
            let slot = sum.amounts.entry(name.clone()).or_default();
            slot.0 = slot.0.saturating_add(q.0.saturating_mul(i128::from(sign)));
        }
    }

    /// Follows a Service.
    pub(super) fn service_changed(&mut self, changed: &Changed) {
        if !changed.body_changed() {
            return;
        }
        let of = |object: &Option<Arc<Object>>| object.as_ref().map_or((0, 0), |o| of_service(o));
        let (old, new) = (of(&changed.old), of(&changed.new));
        if old != new {
            let namespace = &changed.key.namespace;
            let sum = self.services.get(namespace).copied().unwrap_or_default();
            match (sum.0 + new.0 - old.0, sum.1 + new.1 - old.1) {
                (0, 0) => drop(self.services.remove(namespace)),
                sum => drop(self.services.insert(namespace.clone(), sum)),
            }
        }
    }

    /// Follows a ReplicaSet.
    pub(super) fn set_changed(&mut self, changed: &Changed) {
        if !changed.status_changed() {
            return;
        }
        let held = |o: &Arc<Object>| core::str::from_utf8(&o.status).is_ok_and(|s| s.contains("\"ReplicaFailure\""));
        if changed.new.as_ref().is_some_and(held) {
            self.held_up.insert(changed.key.clone());
        } else {
            self.held_up.remove(&changed.key);
        }
    }

    /// Follows a quota.
    pub(super) fn update(&mut self, changed: &Changed) {
        match &changed.new {
            None => drop(self.all.remove(&changed.key)),
            Some(object) if changed.body_changed() => {
                self.all.insert(changed.key.clone(), Arc::new(Quota::read(object)));
            }
            Some(_) => {}
        }
    }
}
