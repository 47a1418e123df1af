//! The clusters that benches run on: nodes and pods of a believable size, all of one shape, so that
//! figures of different runs can be compared.
#![allow(dead_code)] // each bench uses a part

use std::sync::Arc;

use evenkeel_core::{Change, World};
use evenkeel_model::{Key, Kind, Meta, Object, OwnerRef, Rng, Time, canonical};
use serde_json::{Value, json};

/// Nodes of the scheduler's benches.
pub(crate) const NODES: usize = 5000;
/// Labels `zone` that nodes and selectors have.
pub(crate) const ZONES: usize = 50;

/// A world of nodes; every tenth has a taint.
pub(crate) fn nodes(count: usize) -> World {
    let mut world = World::default();
    for i in 0..count {
        let taints =
            if i % 10 == 0 { json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]) } else { json!([]) };
        let name = format!("node-{i:05}");
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux", "zone": format!("z{}", i % ZONES)}},
            "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}]}});
        put(&mut world, Object::from_value(node).unwrap());
    }
    world
}

/// Applies a write.
pub(crate) fn put(world: &mut World, object: Object) {
    world.apply(Change::Put(Arc::new(object)));
}

/// A pod's body with what is asked of the scheduler.
pub(crate) fn body(team: usize, more: Value) -> Arc<[u8]> {
    let mut spec = json!({
        "containers": [{"name": "web", "image": format!("registry.example/shop/web-{team}:1.2.3"),
            "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "env": [{"name": "LEVEL", "value": "info"}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10,
                "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
            "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}}],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler", "securityContext": {}, "enableServiceLinks": true,
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
    });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    canonical::value_bytes(&json!({"spec": spec})).into()
}

/// The status that an agent writes for a running pod, as canonical bytes.
pub(crate) fn running(n: usize) -> Vec<u8> {
    let at = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    canonical::value_bytes(&json!({
        "phase": "Running", "qosClass": "Burstable", "startTime": at,
        "hostIP": "10.1.2.3", "podIP": format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255),
        "podIPs": [{"ip": format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)}],
        "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
        "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0, "started": true,
            "image": "registry.example/shop/web:1.2.3",
            "imageID": "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "containerID": format!("docker://{:064x}", n * 7919),
            "state": {"running": {"startedAt": at}}, "lastState": {}}]
    }))
}

/// A pod of a ReplicaSet of 20.
pub(crate) fn pod(n: usize, body: &Arc<[u8]>, rng: &mut Rng) -> Object {
    let set = format!("web-{}-5d9c7b8f6d", n / 20);
    let owner = Key::new(Kind::ReplicaSet, "shop", set.as_str());
    let labels =
        [("app".to_string(), format!("web-{}", n / 20)), ("pod-template-hash".to_string(), "5d9c7b8f6d".to_string())];
    let meta = Meta {
        generate_name: Some(format!("{set}-").into()),
        generation: 1,
        created: Time::from_secs(1_767_225_600),
        labels: Arc::new(labels.into()),
        owners: [OwnerRef::controller(&owner, evenkeel_model::Uid(n as u128 / 20 + 1))].into(),
        ..Meta::default()
    };
    Object::new(owner.sibling(Kind::Pod, format!("{set}-{n:05}")), rng.uid(), meta, body.clone())
}

/// Adds running pods with the numbers `from..to`, spread over the nodes in turn.
pub(crate) fn fill(world: &mut World, from: usize, to: usize, nodes: usize) {
    let mut rng = Rng::new(from as u64);
    let mut shared = (usize::MAX, body(0, json!({})));
    for n in from..to {
        if shared.0 != n / 20 {
            shared = (n / 20, body(n / 20, json!({})));
        }
        let mut pod = pod(n, &shared.1, &mut rng);
        pod.node = Some(format!("node-{:05}", n % nodes).into());
        pod.status = running(n).into();
        put(world, pod);
    }
}
