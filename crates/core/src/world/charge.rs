//! What a pod asks for and may use at most, as a whole: what the scheduler gives it and what quotas count.
//!
//! Made once for each distinct body ([`super::pods::PodShape`]). Deliberately not here: what a namespace has
//! left (`quota`).

use alloc::{collections::BTreeMap, format, string::String};

use evenkeel_model::Quantity;
use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::api::resource::Quantity as Text,
};

/// Amounts by the name of their resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// By what a quota's scopes tell pods apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PodClass {
    /// It ends at a time of its own (`activeDeadlineSeconds`).
    pub terminating: bool,
    /// No container of it asks for anything or has a limit.
    pub best_effort: bool,
    /// `priorityClassName`; mostly empty.
    pub priority_class: String,
}

/// What quotas count of a pod.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charge {
    /// Which quotas count it.
    pub class: PodClass,
    /// `requests.cpu`, `limits.memory` and the like.
    pub amounts: Amounts,
}

impl Charge {
    /// Of a pod's specification.
    pub fn of(spec: &PodSpec) -> Self {
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let counts = |(name, q): (&String, &Text)| {
            matches!(name.as_str(), "cpu" | "memory") && q.0.parse().is_ok_and(|q: Quantity| q.0 > 0)
        };
        let asks = |c: &Container| {
            let resources = c.resources.as_ref();
            let parts = resources.into_iter().flat_map(|r| [&r.requests, &r.limits]).flatten().flatten();
            parts.into_iter().any(counts)
        };
        let mut best_effort = true;
        for container in all {
            best_effort &= !asks(container);
        }
        let mut amounts = Amounts::new();
        let mut note = |prefix: &str, of: Amounts| {
            amounts.extend(of.into_iter().map(|(name, q)| (format!("{prefix}.{name}"), q)));
        };
        note("requests", effective(spec, requests));
        note("limits", effective(spec, limits));
        Self {
            class: PodClass {
                terminating: spec.active_deadline_seconds.is_some(),
                best_effort,
                priority_class: spec.priority_class_name.clone().unwrap_or_default(),
            },
            amounts,
        }
    }
}

/// What it asks for.
pub(super) fn effective_requests(spec: &PodSpec) -> Amounts {
    effective(spec, requests)
}

fn requests(c: &Container) -> Amounts {
    let resources = c.resources.clone().unwrap_or_default();
    read(resources.limits.iter().flatten().chain(resources.requests.iter().flatten()))
}

fn limits(c: &Container) -> Amounts {
    let resources = c.resources.clone().unwrap_or_default();
    read(resources.limits.iter().flatten())
}

fn read<'t>(texts: impl Iterator<Item = (&'t String, &'t Text)>) -> Amounts {
    let read = |(name, q): (&String, &Text)| Some((name.clone(), q.0.parse().ok()?));
    texts.filter_map(read).collect()
}

/// The larger of what runs together: all containers and sidecars; or, while starting, one init
/// container and the sidecars before it (KEP-753).
fn effective(spec: &PodSpec, of: fn(&Container) -> Amounts) -> Amounts {
    let add = |into: &mut Amounts, more: &Amounts| {
        for (name, q) in more {
            let slot = into.entry(name.clone()).or_default();
            slot.0 = slot.0.saturating_add(q.0);
        }
    };
    let mut peak = Amounts::new();
    let mut sidecars = Amounts::new();
    for c in spec.init_containers.iter().flatten() {
        let mut at_start = sidecars.clone();
        add(&mut at_start, &of(c));
        if c.restart_policy.as_deref() == Some("Always") {
            sidecars = at_start.clone();
        }
        for (name, q) in at_start {
            let slot = peak.entry(name).or_default();
            *slot = (*slot).max(q);
        }
    }
    let mut running = sidecars;
    for c in &spec.containers {
        add(&mut running, &of(c));
    }
    for (name, q) in running {
        let slot = peak.entry(name).or_default();
        *slot = (*slot).max(q);
    }
    peak
}
