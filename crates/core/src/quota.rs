//! Whether a namespace's ResourceQuotas let an object in, in Kubernetes' words.
//!
//! Asked before an object is made by hand, for a source, or by a controller that makes pods, and before a
//! Service changes. The sums are those of the world at that very moment (`world::quotas`), so nothing slips
//! through between two writes; what one run of a controller makes is counted by the [`Meter`] itself.
//! What Evenkeel makes of its own accord (events, endpoints, a namespace's account) counts and is never
//! refused. Deliberately not here: the status of quotas (`controllers::quota`).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object, Quantity, Time};
use serde_json::Value;

use crate::{
    ask::Refusal,
    world::{
        World,
        pods::PodShape,
        quotas::{Limit, Measure, Quota, of_service},
    },
};

/// Resources that every container must name where a quota counts them, as in Kubernetes.
const MUST_BE_NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Whether amounts of a resource are bytes.
fn in_bytes(name: &str) -> bool {
    ["memory", "storage"].iter().any(|w| name.ends_with(w)) || name.contains("hugepages-")
}

/// An amount as messages and statuses show it.
pub(crate) fn shown(name: &str, amount: Quantity) -> String {
    amount.canonical(in_bytes(name))
}

/// What an object would add to what quotas count.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    /// One more object of this kind.
    made: Option<Kind>,
    pod: Option<(Arc<PodShape>, &'a Value)>,
    node_ports: i64,
    load_balancers: i64,
}

impl<'a> Asked<'a> {
    /// By a new pod of a body; `spec` is its specification.
    pub(crate) fn by_pod(world: &World, body: &[u8], spec: &'a Value) -> Self {
        Self { made: Some(Kind::Pod), pod: Some((world.pods.shape(body), spec)), ..Self::default() }
    }

    /// By a new object of a kind that counts as one and nothing else.
    pub(crate) fn by_one(kind: Kind) -> Self {
        Self { made: Some(kind), ..Self::default() }
    }

    /// By an object in place of the one that is there.
    fn by_object(live: Option<&Object>, new: &Object) -> Self {
        let mut asked = Self { made: live.is_none().then_some(new.key.kind), ..Self::default() };
        if new.key.kind == Kind::Service {
            let (ports, balancers) = of_service(new);
            let (had, were) = live.map_or((0, 0), of_service);
            asked.node_ports = ports - had;
            asked.load_balancers = balancers - were;
        }
        asked
    }

    fn of(&self, measure: &Measure) -> Quantity {
        let units = Quantity::from_units;
        match measure {
            Measure::Pods => units(i64::from(self.pod.is_some())),
            Measure::Amount(name) => {
                let amounts = self.pod.as_ref().map(|(shape, _)| &shape.charge.amounts);
                amounts.and_then(|a| a.get(name)).copied().unwrap_or_default()
            }
            Measure::Objects(plural, group) => {
                let is = |kind: Kind| kind.info().plural == plural && kind.info().group == group;
                units(i64::from(self.made.is_some_and(is)))
            }
            Measure::NodePorts => units(self.node_ports),
            Measure::LoadBalancers => units(self.load_balancers),
            Measure::Nothing => Quantity::default(),
        }
    }
}

/// A quota, and what is used of each of its bounds.
struct Account<'w> {
    name: &'w str,
    quota: &'w Quota,
    used: Vec<Quantity>,
}

/// The quotas of a namespace, asked object by object: what was granted counts at once.
pub(crate) struct Meter<'w> {
    accounts: Vec<Account<'w>>,
}

impl<'w> Meter<'w> {
    /// The quotas as they are.
    pub(crate) fn of(world: &'w World, namespace: &'w Arc<str>, now: Time) -> Self {
        let used = |quota: &Quota, limit: &Limit| world.quotas.used(namespace, quota, limit, &world.customs, now);
        let accounts = world.quotas.of_namespace(namespace).map(|(key, quota)| Account {
            name: &key.name,
            quota,
            used: quota.limits.iter().map(|l| used(quota, l)).collect(),
        });
        Self { accounts: accounts.collect() }
    }

    /// Takes what an object asks for, from all quotas or none; else says why not.
    pub(crate) fn take(&mut self, asked: &Asked<'_>) -> Result<(), String> {
        self.accounts.iter().try_for_each(|a| a.refuses(asked).map_or(Ok(()), Err))?;
        for account in &mut self.accounts {
            if account.counts(asked) {
                for (used, limit) in account.used.iter_mut().zip(&account.quota.limits) {
                    used.0 = used.0.saturating_add(asked.of(&limit.measure).0);
                }
            }
        }
        Ok(())
    }
}

impl Account<'_> {
    fn counts(&self, asked: &Asked<'_>) -> bool {
        match &asked.pod {
            Some((shape, _)) => self.quota.takes(&shape.charge.class),
            None => self.quota.scopes.is_empty(),
        }
    }

    fn refuses(&self, asked: &Asked<'_>) -> Option<String> {
        if !self.counts(asked) {
            return None;
        }
        if let Some((_, spec)) = &asked.pod
            && let Some(unnamed) = unnamed(self.quota, spec)
        {
            return Some(format!("failed quota: {}: must specify {unnamed}", self.name));
        }
        let over: Vec<Over<'_>> = self
            .quota
            .limits
            .iter()
            .zip(&self.used)
            .map(|(limit, used)| Over { limit, asked: asked.of(&limit.measure), used: *used })
            .filter(|o| o.asked.0 > 0 && o.used.0.saturating_add(o.asked.0) > o.limit.hard.0)
            .collect();
        if over.is_empty() {
            return None;
        }
        let list = |of: fn(&Over<'_>) -> Quantity| {
            let all: Vec<String> =
                over.iter().map(|o| format!("{}={}", o.limit.name, shown(&o.limit.name, of(o)))).collect();
            all.join(",")
        };
        Some(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.name,
            list(|o| o.asked),
            list(|o| o.used),
            list(|o| o.limit.hard)
        ))
    }
}

/// A bound that something would go beyond.
struct Over<'q> {
    limit: &'q Limit,
    asked: Quantity,
    used: Quantity,
}

/// What containers do not name although the quota counts it: `limits.cpu for: a,b; memory for: a`.
fn unnamed(quota: &Quota, spec: &Value) -> Option<String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let wanted: Vec<&str> =
        quota.limits.iter().map(|l| l.name.as_str()).filter(|n| MUST_BE_NAMED.contains(n)).collect();
    let containers = ["containers", "initContainers"].into_iter().filter_map(|l| spec.get(l)?.as_array()).flatten();
    for container in containers {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        for resource in &wanted {
            let (part, of) = resource.split_once('.').unwrap_or(("requests", resource));
            let named = container.get("resources").and_then(|r| r.get(part)?.get(of)).is_some_and(|v| !v.is_null());
            if !named {
                missing.entry(resource).or_default().insert(name);
            }
        }
    }
    let each: Vec<String> = missing
        .iter()
        .map(|(resource, names)| format!("{resource} for: {}", names.iter().copied().collect::<Vec<_>>().join(",")))
        .collect();
    (!each.is_empty()).then(|| each.join("; "))
}

/// Whether an object may be made, or take the place of the one that is there.
pub(crate) fn admit(world: &World, live: Option<&Object>, new: &Object, now: Time) -> Result<(), String> {
    // Only what Services have beside themselves grows in an update.
    if !new.key.kind.namespaced() || (live.is_some() && new.key.kind != Kind::Service) {
        return Ok(());
    }
    let mut meter = Meter::of(world, &new.key.namespace, now);
    if meter.accounts.is_empty() {
        return Ok(());
    }
    let spec;
    let asked = if new.key.kind == Kind::Pod {
        spec = new.body_map().remove("spec").unwrap_or_default();
        Asked::by_pod(world, &new.body, &spec)
    } else {
        Asked::by_object(live, new)
    };
    meter.take(&asked)
}

/// Kubernetes' words for what admission refuses.
pub(crate) fn forbidden(key: &Key, why: &str) -> String {
    format!("{} \"{}\" is forbidden: {why}", key.kind.resource(), key.name)
}

/// The same as an answer.
pub(crate) fn refusal(key: &Key, why: &str) -> Refusal {
    Refusal::new(403, "Forbidden", forbidden(key, why))
}

/// What a refusal says beside the name of what was refused, which may be another each time.
pub(crate) fn reason(message: &str) -> String {
    message.split_once(" is forbidden: ").map_or(message, |(_, why)| why).to_string()
}

#[cfg(test)]
mod tests;
