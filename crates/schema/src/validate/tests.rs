//! Tables of objects and what is wrong with them.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::Kind;
use serde_json::{Value, json};

use super::object;

fn problems(kind: Kind, value: &Value) -> Vec<String> {
    object(kind, value).into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
}

/// Sets a value at a JSON pointer, making what is missing on the way; `null` takes away.
fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut out = base.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let mut node = &mut out;
    for step in parent.split('/').skip(1) {
        node = match step.parse::<usize>() {
            Ok(i) => &mut node.as_array_mut().unwrap()[i],
            Err(_) => &mut node[step],
        };
        if node.is_null() {
            *node = json!({});
        }
    }
    match (last.parse::<usize>(), value) {
        (Ok(i), value) => node[i] = value,
        (Err(_), Value::Null) => {
            node.as_object_mut().unwrap().remove(last);
        }
        (Err(_), value) => node[last] = value,
    }
    out
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 80}],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}], "volumes": [{"name": "v"}]}}}})
}

#[test]
fn endpoints_by_hand_lead_to_places_that_there_are() {
    let problems = |subset: Value| -> Vec<String> {
        let object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": "shop"},
            "subsets": [subset]});
        super::object(Kind::Endpoints, &object).into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    };
    let one = json!([{"ip": "192.0.2.7"}]);
    assert_eq!(problems(json!({"addresses": one, "ports": [{"port": 5432}]})), Vec::<String>::new());
    for (subset, expected) in [
        (json!({"ports": [{"port": 1}]}), "subsets[0]: Required value"),
        (json!({"addresses": [{"ip": "127.0.0.1"}]}), "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\""),
        (json!({"notReadyAddresses": [{"ip": "db"}]}), "subsets[0].notReadyAddresses[0].ip: Invalid value: \"db\""),
        (json!({"addresses": one, "ports": [{"port": 0}]}), "subsets[0].ports[0].port: Invalid value: 0"),
        (
            json!({"addresses": one, "ports": [{"port": 1, "name": "a"}, {"port": 2}]}),
            "subsets[0].ports[1].name: Required value",
        ),
    ] {
        let found = problems(subset.clone());
        assert!(found.len() == 1 && found[0].starts_with(expected), "{subset}: {found:?}");
    }
}

#[test]
fn good_objects_have_no_problems_with_or_without_defaults() {
    for (kind, mut value) in [
        (Kind::Deployment, deployment()),
        (Kind::Namespace, json!({"metadata": {"name": "shop"}})),
        (Kind::ConfigMap, json!({"metadata": {"name": "c", "namespace": "n"}, "data": {"a.b": "c"}})),
        (Kind::Secret, json!({"metadata": {"name": "c", "namespace": "n"}, "data": {"a": "Yg=="}})),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"git": {"url": "/srv/r", "branch": "main"}, "interval": "1m"}}),
        ),
    ] {
        assert_eq!(problems(kind, &value), Vec::<String>::new());
        crate::defaults::apply(kind, &mut value);
        assert_eq!(problems(kind, &value), Vec::<String>::new());
    }
}

#[test]
fn a_budgets_mistakes() {
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    assert_eq!(problems(Kind::PodDisruptionBudget, &budget), Vec::<String>::new());
    for spec in [json!({"maxUnavailable": "0%"}), json!({"minAvailable": "100%", "selector": {}})] {
        let fine = with(&budget, "/spec", spec);
        assert_eq!(problems(Kind::PodDisruptionBudget, &fine), Vec::<String>::new());
    }
    for (pointer, value, expected) in [
        ("/spec", Value::Null, "spec: Required value"),
        ("/spec/minAvailable", Value::Null, "spec: Required value: one of minAvailable and maxUnavailable must be set"),
        (
            "/spec/maxUnavailable",
            json!(1),
            "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set",
        ),
        ("/spec/minAvailable", json!(-1), "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"),
        (
            "/spec/minAvailable",
            json!("101%"),
            "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
        ("/spec/minAvailable", json!("half"), "spec.minAvailable: Invalid value: \"half\": a valid percent string"),
        ("/spec/selector/matchLabels", json!({"a b": "c"}), "spec.selector.matchLabels: Invalid value: \"a b\""),
        (
            "/spec/unhealthyPodEvictionPolicy",
            json!("Never"),
            "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"IfHealthyBudget\", \"AlwaysAllow\"",
        ),
    ] {
        let found = problems(Kind::PodDisruptionBudget, &with(&budget, pointer, value));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert!(found[0].starts_with(expected), "{pointer}: {found:?}");
    }
}

#[test]
fn a_taints_mistakes() {
    let taint = json!({"key": "a/b", "value": "c", "effect": "NoSchedule"});
    let node = |taints: Value| json!({"metadata": {"name": "n"}, "spec": {"taints": taints}});
    let twice = json!([taint, {"key": "a/b", "effect": "NoExecute"}]);
    assert_eq!(problems(Kind::Node, &node(twice)), Vec::<String>::new());
    for (taints, expected) in [
        (json!([{"effect": "NoSchedule"}]), "spec.taints[0].key: Required value"),
        (json!([{"key": "a"}]), "spec.taints[0].effect: Required value"),
        (json!([{"key": "a b", "effect": "NoSchedule"}]), "spec.taints[0].key: Invalid value: \"a b\""),
        (json!([{"key": "a", "value": "b c", "effect": "NoSchedule"}]), "spec.taints[0].value: Invalid value: \"b c\""),
        (
            json!([{"key": "a", "effect": "Never"}]),
            "spec.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (json!([taint, taint]), "spec.taints[1]: Duplicate value"),
    ] {
        let found = problems(Kind::Node, &node(taints));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn a_deployments_mistakes() {
    let c = "/spec/template/spec/containers/0";
    let cases: Vec<(String, Value, &str)> = [
        ("/metadata/name", json!("Web"), "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must"),
        ("/metadata/name", Value::Null, "metadata.name: Required value: name or generateName is required"),
        ("/metadata/labels", json!({"a b": "c"}), "metadata.labels: Invalid value: \"a b\": name part must consist"),
        ("/metadata/labels", json!({"a": "b c"}), "metadata.labels[a]: Invalid value: \"b c\": a valid label must"),
        ("/spec", Value::Null, "spec: Required value"),
        ("/spec/selector", Value::Null, "spec.selector: Required value"),
        ("/spec/selector", json!({}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        ("/spec/selector/matchLabels", json!({"app": "api"}), "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"),
        ("/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ("/spec/strategy", json!({"type": "Rolling"}), "spec.strategy.type: Unsupported value: \"Rolling\": supported values: \"Recreate\", \"RollingUpdate\""),
        ("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {}}), "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
        ("/spec/strategy", json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
        ("/spec/strategy", json!({"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0"),
        ("/spec/strategy", json!({"rollingUpdate": {"maxSurge": "a%"}}), "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"a%\": a valid percent string"),
        ("/spec/strategy", json!({"rollingUpdate": {"maxUnavailable": "101%"}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
        ("/spec/progressDeadlineSeconds", json!(0), "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
        ("/spec/template/spec/restartPolicy", json!("Never"), "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""),
        ("/spec/template/spec/containers", json!([]), "spec.template.spec.containers: Required value"),
        ("/spec/template/spec/volumes", Value::Null, "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\""),
    ]
    .into_iter()
    .map(|(p, v, e)| (p.to_string(), v, e))
    .chain([(format!("{c}/image"), Value::Null, "spec.template.spec.containers[0].image: Required value")])
    .collect();
    for (pointer, value, expected) in cases {
        let found = problems(Kind::Deployment, &with(&deployment(), &pointer, value));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert!(found[0].starts_with(expected), "{pointer}: {found:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn a_containers_mistakes() {
    for (field, value, expected) in [
        ("name", json!("Web_1"), "name: Invalid value"),
        ("image", json!(" a"), "image: Invalid value: \" a\": must not have leading or trailing whitespace"),
        ("imagePullPolicy", json!("Sometimes"), "imagePullPolicy: Unsupported value: \"Sometimes\""),
        (
            "ports",
            json!([{"containerPort": 0}]),
            "ports[0].containerPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
            "ports[1].name: Duplicate value: \"a\"",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "hostPort": 8}, {"containerPort": 2, "hostPort": 8}]),
            "ports[1].hostPort: Duplicate value: \"TCP//8\"",
        ),
        ("ports", json!([{"containerPort": 1, "protocol": "tcp"}]), "ports[0].protocol: Unsupported value: \"tcp\""),
        ("env", json!([{"name": "A=B"}]), "env[0].name: Invalid value: \"A=B\""),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}]),
            "env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.disk\"",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "hostIP": "here"}]),
            "ports[0].hostIP: Invalid value: \"here\": must be a valid IP address",
        ),
        (
            "volumeMounts",
            json!([{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]),
            "volumeMounts[0].mountPropagation: Forbidden",
        ),
        ("env", json!([{"value": "x"}]), "env[0].name: Required value"),
        ("env", json!([{"name": "A", "valueFrom": {}}]), "env[0].valueFrom: Invalid value: \"\": must specify one of"),
        (
            "env",
            json!([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nam"}}}]),
            "env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.nam\"",
        ),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"key": "a"}}}]),
            "env[0].valueFrom.secretKeyRef.name: Required value",
        ),
        ("envFrom", json!([{}]), "envFrom[0]: Invalid value: \"\": must specify one of"),
        (
            "volumeMounts",
            json!([{"name": "v", "mountPath": "v"}]),
            "volumeMounts[0].mountPath: Invalid value: \"v\": must be an absolute path",
        ),
        (
            "volumeMounts",
            json!([{"name": "v", "mountPath": "/v:ro"}]),
            "volumeMounts[0].mountPath: Invalid value: \"/v:ro\": must not contain ':'",
        ),
        (
            "volumeMounts",
            json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
            "volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique",
        ),
        (
            "volumeMounts",
            json!([{"name": "v", "mountPath": "/v", "subPath": "a/../b"}]),
            "volumeMounts[0].subPath: Invalid value: \"a/../b\": must not contain '..'",
        ),
        ("livenessProbe", json!({}), "livenessProbe: Required value: must specify a handler type"),
        (
            "livenessProbe",
            json!({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}),
            "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            "livenessProbe",
            json!({"exec": {"command": ["a"]}, "successThreshold": 2}),
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            "readinessProbe",
            json!({"httpGet": {"port": 0}}),
            "readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535",
        ),
        ("readinessProbe", json!({"httpGet": {}}), "readinessProbe.httpGet.port: Required value"),
        ("readinessProbe", json!({"exec": {}}), "readinessProbe.exec.command: Required value"),
        (
            "readinessProbe",
            json!({"tcpSocket": {"port": 1}, "periodSeconds": -1}),
            "readinessProbe.periodSeconds: Invalid value: -1",
        ),
        (
            "lifecycle",
            json!({"preStop": {"sleep": {"seconds": 31}}}),
            "lifecycle.preStop.sleep: Invalid value: 31: must be less than",
        ),
        (
            "resources",
            json!({"limits": {"cpu": "-1"}}),
            "resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            "resources",
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}),
            "resources.requests[cpu]: Invalid value: \"1500m\": must be less than or equal to cpu limit of 1",
        ),
        ("restartPolicy", json!("Always"), "restartPolicy: Forbidden: may not be set for non-init containers"),
        (
            "securityContext",
            json!({"privileged": true, "allowPrivilegeEscalation": false}),
            "securityContext: Invalid value",
        ),
        (
            "securityContext",
            json!({"runAsUser": -1}),
            "securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ] {
        let base = with(&deployment(), "/spec/template/spec/containers/0/volumeMounts", Value::Null);
        let found =
            problems(Kind::Deployment, &with(&base, &format!("/spec/template/spec/containers/0/{field}"), value));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        let expected = format!("spec.template.spec.containers[0].{expected}");
        assert!(found[0].starts_with(&expected), "{field}: {found:?}");
    }
}

#[test]
fn a_pods_mistakes() {
    let pod =
        json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (field, value, expected) in [
        ("initContainers", json!([{"name": "c", "image": "i"}]), "containers[0].name: Duplicate value: \"c\""),
        (
            "initContainers",
            json!([{"name": "i", "image": "i", "restartPolicy": "Never"}]),
            "initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "initContainers",
            json!([{"name": "i", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]),
            "initContainers[0].livenessProbe: Forbidden: may not be set for init",
        ),
        ("volumes", json!([{"name": "v"}, {"name": "v"}]), "volumes[1].name: Duplicate value: \"v\""),
        (
            "volumes",
            json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        ("volumes", json!([{"name": "v", "configMap": {}}]), "volumes[0].configMap.name: Required value"),
        (
            "volumes",
            json!([{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "../a"}]}}]),
            "volumes[0].secret.items[0].path: Invalid value",
        ),
        (
            "volumes",
            json!([{"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}]),
            "volumes[0].secret.defaultMode: Invalid value: 512: must be between 0 and 511",
        ),
        (
            "volumes",
            json!([{"name": "v", "hostPath": {"path": "/", "type": "Folder"}}]),
            "volumes[0].hostPath.type: Unsupported value",
        ),
        (
            "volumes",
            json!([{"name": "v", "projected": {"sources": [{}]}}]),
            "volumes[0].projected.sources[0]: Required value",
        ),
        (
            "volumes",
            json!([{"name": "v", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}}]),
            "volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value",
        ),
        ("restartPolicy", json!("Sometimes"), "restartPolicy: Unsupported value"),
        ("terminationGracePeriodSeconds", json!(-1), "terminationGracePeriodSeconds: Invalid value: -1"),
        ("nodeSelector", json!({"a b": "c"}), "nodeSelector: Invalid value"),
        ("tolerations", json!([{"operator": "Exists", "value": "x"}]), "tolerations[0].value: Invalid value"),
        ("tolerations", json!([{"key": "a", "tolerationSeconds": 5}]), "tolerations[0].effect: Invalid value"),
        (
            "volumes",
            json!([{"name": "v", "projected": {"sources": [
                {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}}]}}]),
            "volumes[0].projected.sources[1].configMap: Invalid value: \"p\": conflicting duplicate paths",
        ),
        (
            "hostAliases",
            json!([{"ip": "1.2.3", "hostnames": ["a"]}]),
            "hostAliases[0].ip: Invalid value: \"1.2.3\": must be a valid IP",
        ),
        ("imagePullSecrets", json!([{}]), "imagePullSecrets[0].name: Invalid value: \"\": must not be empty"),
        ("dnsPolicy", json!("None"), "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver"),
    ] {
        let found = problems(Kind::Pod, &with(&pod, &format!("/spec/{field}"), value));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert!(found[0].starts_with(&format!("spec.{expected}")), "{field}: {found:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn data_and_sources_have_their_rules() {
    let meta = json!({"name": "x", "namespace": "n"});
    let big = "a".repeat((1 << 20) + 1);
    for (kind, value, expected) in [
        (
            Kind::ConfigMap,
            json!({"metadata": meta, "data": {"a/b": ""}}),
            "data[a/b]: Invalid value: \"a/b\": a valid config key",
        ),
        (
            Kind::ConfigMap,
            json!({"metadata": meta, "data": {"a": big}}),
            ": Too long: may not be more than 1048576 bytes",
        ),
        (
            Kind::ConfigMap,
            json!({"metadata": meta, "data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        (
            Kind::Secret,
            json!({"metadata": meta, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            "data[tls.key]: Required value",
        ),
        (
            Kind::Secret,
            json!({"metadata": meta, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "aHVudGVyMg=="}}),
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be JSON",
        ),
        (
            Kind::Secret,
            json!({"metadata": meta, "type": "kubernetes.io/ssh-auth"}),
            "data[ssh-privatekey]: Required value",
        ),
        (
            Kind::Namespace,
            json!({"metadata": {"name": "a.b"}}),
            "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label",
        ),
        (
            Kind::Namespace,
            json!({"metadata": {"name": "a", "namespace": "b"}}),
            "metadata.namespace: Forbidden: not allowed on this type",
        ),
        (
            Kind::Namespace,
            json!({"metadata": {"name": "a", "annotations": {"a": "b".repeat(256 << 10)}}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {}}),
            "spec: Required value: one of git and directory",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"directory": "/a", "git": {"url": "/r"}}}),
            "spec.directory: Forbidden",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"git": {"url": "/r", "branch": "b", "tag": "t"}}}),
            "spec.git.tag: Forbidden: may not be set beside branch",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"directory": "/a", "interval": "often"}}),
            "spec.interval: Invalid value: \"often\": must be a duration",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"directory": "/a", "massDelete": {"fraction": 1.5}}}),
            "spec.massDelete.fraction: Invalid value: 1.5",
        ),
        (
            Kind::Source,
            json!({"metadata": {"name": "s"}, "spec": {"directory": "/a", "rollback": "never"}}),
            "spec.rollback: Unsupported value: \"never\"",
        ),
    ] {
        let found = problems(kind, &value);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}
