//! LimitRanges: what a pod's containers get where they say nothing, and what they may say, by the rules and in
//! the words of Kubernetes' LimitRanger.
//!
//! Called when a pod is made, by whoever makes it; a template is left as it is. Limits of claims bound nothing
//! here, for there are none. Deliberately not here: what a namespace has as a whole (`quota`).

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Kind, Quantity};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use crate::{
    quota::shown,
    world::{
        World,
        charge::{Amounts, Charge},
    },
};

/// Where the pod tells what was filled in.
pub(crate) const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Thousandths are counted below this many units, as in Kubernetes.
const MOST_MILLI: i64 = i64::MAX / 1000;

/// The items of all LimitRanges of a namespace.
fn items(world: &World, namespace: &str) -> Vec<Value> {
    let ranges = world.list(Kind::LimitRange, namespace);
    let items = ranges.filter_map(|o| o.body_map().get_mut("spec")?.get_mut("limits").map(Value::take));
    items.filter_map(|v| if let Value::Array(list) = v { Some(list) } else { None }).flatten().collect()
}

fn is(item: &Value, kind: &str) -> bool {
    item.get("type").and_then(Value::as_str) == Some(kind)
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().map_or_else(|| value.to_string(), ToString::to_string).parse().ok()
}

fn amounts(of: Option<&Value>) -> Amounts {
    let map = of.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(name, v)| Some((name.clone(), quantity(v)?))).collect()
}

/// Fills in what containers do not say; tells what it filled in.
pub(crate) fn fill(world: &World, namespace: &str, spec: &mut Value) -> Option<String> {
    let mut told: Vec<String> = Vec::new();
    for item in items(world, namespace).iter().filter(|i| is(i, "Container")) {
        for (list, called) in [("containers", "container"), ("initContainers", "init container")] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                give(container, called, item, &mut told);
            }
        }
    }
    (!told.is_empty()).then(|| format!("LimitRanger plugin set: {}", told.join("; ")))
}

fn give(container: &mut Value, called: &str, item: &Value, told: &mut Vec<String>) {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
    let Some(container) = container.as_object_mut() else { return };
    for (part, from, word) in [("requests", "defaultRequest", "request"), ("limits", "default", "limit")] {
        let Some(given) = item.get(from).and_then(Value::as_object).filter(|m| !m.is_empty()) else { continue };
        let Some(slot) = object(container, "resources").and_then(|r| object(r, part)) else { continue };
        let mut set: Vec<&str> = Vec::new();
        for (resource, amount) in given {
            if !slot.contains_key(resource) {
                slot.insert(resource.clone(), amount.clone());
                set.push(resource);
            }
        }
        if !set.is_empty() {
            told.push(format!("{} {word} for {called} {name}", set.join(", ")));
        }
    }
}

/// The mapping in a field, made where it is not there.
fn object<'m>(map: &'m mut Map<String, Value>, field: &str) -> Option<&'m mut Map<String, Value>> {
    let slot = map.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    slot.as_object_mut()
}

/// What stands against a pod, all of it.
pub(crate) fn check(world: &World, namespace: &str, spec: &Value) -> Result<(), String> {
    let mut wrong: Vec<String> = Vec::new();
    let items = items(world, namespace);
    if items.is_empty() {
        return Ok(());
    }
    for item in &items {
        if is(item, "Container") {
            let lists = ["containers", "initContainers"].into_iter().filter_map(|l| spec.get(l)?.as_array());
            for container in lists.flatten() {
                let of = |part: &str| amounts(container.get("resources").and_then(|r| r.get(part)));
                bounds("Container", item, &of("requests"), &of("limits"), &mut wrong);
            }
        } else if is(item, "Pod") {
            let Ok(spec) = serde_json::from_value::<PodSpec>(spec.clone()) else { continue };
            let charge = Charge::of(&spec);
            let part = |prefix: &str| -> BTreeMap<String, Quantity> {
                let own = charge.amounts.iter();
                own.filter_map(|(name, q)| Some((name.strip_prefix(prefix)?.to_string(), *q))).collect()
            };
            bounds("Pod", item, &part("requests."), &part("limits."), &mut wrong);
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        all => Err(format!("[{}]", all.join(", "))),
    }
}

fn bounds(of: &str, item: &Value, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    for (name, least) in amounts(item.get("min")) {
        wrong.extend(below(of, &name, least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in amounts(item.get("max")) {
        wrong.extend(above(of, &name, most, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in amounts(item.get("maxLimitRequestRatio")) {
        wrong.extend(ratio(of, &name, most, requests.get(&name), limits.get(&name)));
    }
}

fn below(
    of: &str,
    name: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let text = |q: Quantity| shown(name, q);
    let bound = format!("minimum {name} usage per {of} is {}", text(least));
    match (request, limit) {
        (None, _) => Some(format!("{bound}.  No request is specified")),
        (Some(q), _) if *q < least => Some(format!("{bound}, but request is {}", text(*q))),
        (_, Some(q)) if *q < least => Some(format!("{bound}, but limit is {}", text(*q))),
        _ => None,
    }
}

fn above(of: &str, name: &str, most: Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    let text = |q: Quantity| shown(name, q);
    let bound = format!("maximum {name} usage per {of} is {}", text(most));
    match (limit, request) {
        (None, _) => Some(format!("{bound}.  No limit is specified")),
        (Some(q), _) if *q > most => Some(format!("{bound}, but limit is {}", text(*q))),
        (_, Some(q)) if *q > most => Some(format!("{bound}, but request is {}", text(*q))),
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)] // ratios are compared as Kubernetes compares them
fn ratio(of: &str, name: &str, most: Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    let bound = format!("{name} max limit to request ratio per {of} is {}", shown(name, most));
    let Some(request) = request.filter(|q| q.0 != 0) else {
        return Some(format!("{bound}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|q| q.0 != 0) else {
        return Some(format!("{bound}, but no limit is specified or limit is 0"));
    };
    let found = limit.0 as f64 / request.0 as f64;
    let over =
        if most.units() <= MOST_MILLI { found * 1000.0 > most.milli() as f64 } else { found > most.units() as f64 };
    over.then(|| format!("{bound}, but provided ratio is {found:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testkit::Cluster;

    fn with(limits: &Value) -> Cluster {
        let mut c = Cluster::new(&[]);
        c.put(json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds", "namespace": "default"},
            "spec": {"limits": limits}}));
        c
    }

    fn pod(containers: &Value) -> Value {
        let mut pod = json!({"spec": {"containers": containers}});
        evenkeel_schema::defaults::apply(Kind::Pod, &mut pod);
        pod["spec"].take()
    }

    #[test]
    fn what_containers_do_not_say_is_filled_in() {
        let c = with(&json!([{"type": "Container", "default": {"cpu": "1", "memory": "512Mi"},
            "defaultRequest": {"cpu": "500m"}}]));
        let mut spec = pod(&json!([{"name": "a"},
            {"name": "b", "resources": {"limits": {"cpu": "2"}}},
            {"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "2Mi"}}}]));
        let told = fill(&c.world, "default", &mut spec).unwrap();
        assert_eq!(
            told,
            "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; memory \
             request for container b; memory limit for container b"
        );
        let of = |n: usize| spec["containers"][n]["resources"].clone();
        assert_eq!(
            of(0),
            json!({"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}})
        );
        // A limit without a request is the request.
        assert_eq!(
            of(1),
            json!({"requests": {"cpu": "2", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}})
        );
        assert_eq!(of(2)["requests"], json!({"cpu": "100m", "memory": "1Mi"}));
        assert_eq!(fill(&c.world, "default", &mut spec), None, "again there is nothing to say");
        assert_eq!(fill(&c.world, "other", &mut pod(&json!([{"name": "a"}]))), None);
    }

    #[test]
    fn bounds_speak_kubernetes_words() {
        let container = |resources: Value| pod(&json!([{"name": "a", "resources": resources}]));
        for (limit, spec, expected) in [
            (
                json!({"type": "Container", "min": {"memory": "100Mi"}, "default": {}, "defaultRequest": {}}),
                container(json!({"requests": {"memory": "50Mi"}})),
                Some("minimum memory usage per Container is 100Mi, but request is 50Mi"),
            ),
            (
                json!({"type": "Pod", "min": {"cpu": "1"}}),
                container(json!({})),
                Some("minimum cpu usage per Pod is 1.  No request is specified"),
            ),
            (
                json!({"type": "Container", "max": {"cpu": "800m"}}),
                container(json!({"limits": {"cpu": "1500m"}})),
                Some("maximum cpu usage per Container is 800m, but limit is 1500m"),
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "2"}}),
                container(json!({"requests": {"cpu": "1"}})),
                Some("maximum cpu usage per Pod is 2.  No limit is specified"),
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "2"}}),
                pod(&json!([{"name": "a", "resources": {"limits": {"cpu": "1500m"}}},
                    {"name": "b", "resources": {"limits": {"cpu": "1"}}}])),
                Some("maximum cpu usage per Pod is 2, but limit is 2500m"),
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"memory": "2"}}),
                container(json!({"limits": {"memory": "300Mi"}, "requests": {"memory": "100Mi"}})),
                Some("memory max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
                container(json!({"requests": {"cpu": "1"}})),
                Some("cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"),
            ),
            (
                json!({"type": "Container", "min": {"cpu": "1"}, "max": {"memory": "1Mi"}}),
                container(json!({"requests": {"cpu": "100m"}, "limits": {"memory": "2Mi"}})),
                Some(
                    "[minimum cpu usage per Container is 1, but request is 100m, maximum memory usage per Container is \
                     1Mi, but limit is 2Mi]",
                ),
            ),
            (
                json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}}),
                container(json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "1"}})),
                None,
            ),
            (json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}), container(json!({})), None),
        ] {
            let c = with(&json!([limit]));
            let found = check(&c.world, "default", &spec).err();
            assert_eq!(found.as_deref(), expected, "{limit}");
        }
    }
}
