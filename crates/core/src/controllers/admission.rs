//! What is added to a pod when it is made, as by Kubernetes' admission: what the LimitRanges of its namespace
//! give, tolerations that evict it from a lost node in time, and the volume with the token of its
//! ServiceAccount.
//!
//! Called for pods of ReplicaSets, pods made by hand and pods of sources. A template has none of it, and a
//! pod that is there is left as it is: so nothing is rolled out because of it, and an upgrade restarts
//! nothing. All pods of one template get the very same, so they share one body. Deliberately not here: the
//! token, which the node of the pod asks for.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use evenkeel_model::{Digest, Key, Kind, Object, canonical};
use serde_json::{Map, Value, json};

use super::account;
use crate::{limits, world::World};

/// Taints for which every pod gets a toleration with a time, as by Kubernetes' admission.
pub(crate) const DEFAULT_TOLERATED: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// How the name of the token's volume begins, and where programs look for it.
const VOLUME: &str = "kube-api-access-";
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Characters behind it.
const SUFFIX: usize = 5;
/// The token's life in seconds, as Kubernetes asks for it.
const LIFE: u32 = 3607;

/// Whose token a pod has.
pub fn account_of(spec: &Value) -> &str {
    let named = |field: &str| spec.get(field).and_then(Value::as_str).filter(|n| !n.is_empty());
    named("serviceAccountName").or_else(|| named("serviceAccount")).unwrap_or(account::DEFAULT)
}

/// Adds the tolerations, where a pod names none of its own for these taints.
pub(crate) fn tolerate(spec: &mut Value, toleration: Duration) {
    let Some(spec) = spec.as_object_mut() else { return };
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    for key in DEFAULT_TOLERATED {
        let named = list.iter().any(|t| {
            let covers = t.get("key").and_then(Value::as_str).is_none_or(|k| k.is_empty() || k == key);
            let effect = t.get("effect").and_then(Value::as_str).unwrap_or("");
            covers && (effect.is_empty() || effect == "NoExecute")
        });
        if !named {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": toleration.as_secs()}));
        }
    }
}

/// Names the pod's ServiceAccount, and adds its token unless the pod or the account does not want one.
pub(crate) fn give_token(world: &World, namespace: &str, spec: &mut Value) {
    let account = account_of(spec).to_string();
    let wants = |of: &Value| of.get("automountServiceAccountToken").and_then(Value::as_bool);
    let of_account = world
        .get(&Key::new(Kind::ServiceAccount, namespace, account.as_str()))
        .and_then(|o| wants(&Value::Object(o.body_map())));
    let mounts = wants(spec).or(of_account).unwrap_or(true);
    let suffix = Digest::of(&canonical::value_bytes(spec)).short(SUFFIX);
    let Some(spec) = spec.as_object_mut() else { return };
    spec.insert("serviceAccountName".into(), account.into());
    if mounts {
        mount(spec, &suffix);
    }
}

fn mount(spec: &mut Map<String, Value>, suffix: &str) {
    let mut volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let named = |v: &Value| v.get("name").and_then(Value::as_str).filter(|n| n.starts_with(VOLUME)).map(String::from);
    // One that copies another pod has it already.
    let there = volumes.find_map(named);
    let name = there.clone().unwrap_or_else(|| format!("{VOLUME}{suffix}"));
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            if mounts.is_null() {
                *mounts = json!([]);
            }
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(|m| m.get("mountPath").and_then(Value::as_str) == Some(MOUNT)) {
                mounts.push(json!({"name": name, "mountPath": MOUNT, "readOnly": true}));
                needed = true;
            }
        }
    }
    if there.is_none() && needed {
        let volume = json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": LIFE}},
            {"configMap": {"name": account::ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}});
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        if volumes.is_null() {
            *volumes = json!([]);
        }
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(volume);
        }
    }
}

/// A pod that is made by hand gets all of it. Says what stands against it.
pub(crate) fn admitted(world: &World, pod: &mut Object, toleration: Duration) -> Result<(), String> {
    with_spec(world, pod, |spec| tolerate(spec, toleration))
}

/// A pod of a source gets no tolerations: they are a list that the source has as a whole.
pub(crate) fn of_source(world: &World, pod: &mut Object) -> Result<(), String> {
    with_spec(world, pod, |_| {})
}

fn with_spec(world: &World, pod: &mut Object, change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let mut body = pod.body_map();
    if let Some(spec) = body.get_mut("spec") {
        let namespace = &pod.key.namespace;
        let limited = limits::fill(world, namespace, spec);
        limits::check(world, namespace, spec)?;
        change(spec);
        give_token(world, namespace, spec);
        if let Some(text) = limited {
            pod.meta.annotate(limits::ANNOTATION, text);
        }
    }
    pod.body = canonical::value_bytes(&Value::Object(body)).into();
    Ok(())
}

/// Takes back what was added: a template is as its Deployment has it.
pub(crate) fn taken_back(spec: &mut Map<String, Value>, toleration: Duration) {
    let text = |v: &Value, field: &str| v.get(field).and_then(Value::as_str).map(String::from).unwrap_or_default();
    let tolerated = |t: &Value| {
        DEFAULT_TOLERATED.contains(&&*text(t, "key"))
            && text(t, "effect") == "NoExecute"
            && t.get("tolerationSeconds").and_then(Value::as_u64) == Some(toleration.as_secs())
    };
    let access = |v: &Value| text(v, "name").starts_with(VOLUME);
    let without = |map: &mut Map<String, Value>, field: &str, added: &dyn Fn(&Value) -> bool| {
        let Some(list) = map.get_mut(field).and_then(Value::as_array_mut) else { return };
        list.retain(|item| !added(item));
        if list.is_empty() && field != "tolerations" {
            map.remove(field);
        }
    };
    without(spec, "tolerations", &tolerated);
    without(spec, "volumes", &access);
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                without(container, "volumeMounts", &access);
            }
        }
    }
    if spec.get("serviceAccountName").and_then(Value::as_str) == Some(account::DEFAULT) {
        spec.remove("serviceAccountName");
    }
}

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, vec::Vec};

    use super::*;
    use crate::{change::Change, controllers::testkit::Cluster};

    fn given(c: &Cluster, mut spec: Value) -> Value {
        give_token(&c.world, "default", &mut spec);
        spec
    }

    #[test]
    fn a_pod_gets_its_accounts_token_as_in_kubernetes() {
        let c = Cluster::new(&[]);
        let plain = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "x", "mountPath": MOUNT}]}],
            "initContainers": [{"name": "i", "volumeMounts": null}]});
        let spec = given(&c, plain.clone());
        assert_eq!(spec["serviceAccountName"], "default");
        let name = spec["volumes"][0]["name"].as_str().unwrap();
        assert!(name.starts_with(VOLUME) && name.len() == VOLUME.len() + SUFFIX, "{name}");
        let mounted = json!([{"name": name, "mountPath": MOUNT, "readOnly": true}]);
        assert_eq!(spec["containers"][0]["volumeMounts"], mounted);
        assert_eq!(spec["initContainers"][0]["volumeMounts"], mounted);
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1, "it has something else there");
        assert_eq!(spec, given(&c, plain), "all pods of a template have the same");
        assert_eq!(spec, given(&c, spec.clone()), "a copy gets nothing more");
    }

    #[test]
    fn a_pod_without_a_token_is_one_that_says_so_or_whose_account_does() {
        let mut c = Cluster::new(&[]);
        let one = |more: Value| {
            let mut spec = json!({"containers": [{"name": "a"}]});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        let account = Key::new(Kind::ServiceAccount, "default", "quiet");
        let made = c.with(|_, cx| cx.draft(account, &json!({"automountServiceAccountToken": false})));
        c.apply(Change::Put(Arc::new(made)));
        for (spec, has) in [
            (one(json!({"automountServiceAccountToken": false})), false),
            (one(json!({"serviceAccountName": "quiet"})), false),
            (one(json!({"serviceAccount": "quiet"})), false),
            (one(json!({"serviceAccountName": "quiet", "automountServiceAccountToken": true})), true),
            (one(json!({"serviceAccountName": "not-there-yet"})), true),
        ] {
            let given = given(&c, spec.clone());
            assert_eq!(given.get("volumes").is_some(), has, "{spec}");
        }
    }

    #[test]
    fn what_was_added_can_be_taken_back() {
        let c = Cluster::new(&[]);
        let plain = json!({"containers": [{"name": "a"}], "tolerations": []});
        let mut spec = given(&c, plain.clone());
        tolerate(&mut spec, Duration::from_mins(5));
        assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
        taken_back(spec.as_object_mut().unwrap(), Duration::from_mins(5));
        assert_eq!(spec, plain);
    }
}
