//! What Kubernetes fills in where a field is absent.
//!
//! Called wherever an object is written (apply, API) and when a controller makes one from a
//! template. Defaults without a condition are in the tables; those with one are here, for the
//! kinds of [`Kind`]. `status` gets none: controllers write it whole.

use alloc::string::{String, ToString};

use evenkeel_model::Kind;
use serde_json::{Map, Value, json};

use crate::{
    kinds::of_kind,
    types::{Literal, Object, Type},
};

/// Label that every Namespace carries, with its name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// For how long a client goes to the same endpoint where nothing else is said, as in Kubernetes.
const AFFINITY_SECONDS: i64 = 10_800;

/// Fills in every default of an object. Doing it again changes nothing.
pub fn apply(kind: Kind, value: &mut Value) {
    if let (Some(object), Value::Object(map)) = (of_kind(kind).object(), &mut *value) {
        for field in object.fields.iter().filter(|f| f.name != "status") {
            if let Some(default) = field.default
                && absent(object, map.get(field.name), default)
            {
                map.insert(field.name.into(), default.value());
            }
            if let Some(v) = map.get_mut(field.name) {
                fill(&field.ty, v);
            }
        }
    }
    match kind {
        Kind::Pod => pod(value),
        Kind::Namespace => namespace(value),
        _ => {}
    }
}

/// Fills in the defaults of a part, such as a pod template: those that do not depend on the kind
/// of object around it. A pod made of a template has more of them: see [`apply`].
pub fn fill(ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(object), Value::Object(map)) => {
            conditional(object, map);
            for field in object.fields {
                if let Some(default) = field.default
                    && absent(object, map.get(field.name), default)
                {
                    map.insert(field.name.into(), default.value());
                }
                if holds_defaults(&field.ty)
                    && let Some(v) = map.get_mut(field.name)
                {
                    fill(&field.ty, v);
                }
            }
        }
        (Type::List(item), Value::Array(list)) => list.iter_mut().for_each(|v| fill(item, v)),
        (Type::Map(item), Value::Object(map)) => map.values_mut().for_each(|v| fill(item, v)),
        _ => {}
    }
}

fn holds_defaults(ty: &Type) -> bool {
    match ty {
        Type::Object(_) => true,
        Type::List(item) | Type::Map(item) => holds_defaults(item),
        _ => false,
    }
}

/// Whether a field counts as absent: as in Go, empty text does where the default is other text,
/// and so does 0 in a probe, whose numbers are no pointers there.
fn absent(object: &Object, value: Option<&Value>, default: Literal) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(s)) => s.is_empty() && !matches!(default, Literal::Str("")),
        Some(Value::Number(n)) => object.name == "core.v1.Probe" && n.as_i64() == Some(0),
        _ => false,
    }
}

/// Defaults that depend on the fields beside them.
fn conditional(object: &Object, map: &mut Map<String, Value>) {
    match object.name {
        "core.v1.Container" | "core.v1.EphemeralContainer" => {
            let policy = pull_policy(text(map, "image"));
            set_text(map, "imagePullPolicy", policy);
        }
        "core.v1.ImageVolumeSource" => {
            let policy = pull_policy(text(map, "reference"));
            set_text(map, "pullPolicy", policy);
        }
        "core.v1.Volume" if map.iter().all(|(k, v)| k == "name" || v.is_null()) => {
            map.insert("emptyDir".into(), json!({}));
        }
        "apps.v1.DeploymentStrategy" => {
            set_text(map, "type", "RollingUpdate");
            if text(map, "type") == "RollingUpdate" && map.get("rollingUpdate").is_none_or(Value::is_null) {
                map.insert("rollingUpdate".into(), json!({}));
            }
        }
        "networking.v1.NetworkPolicySpec" => policy(map),
        "core.v1.LimitRangeItem" => limits(map),
        "core.v1.ServiceSpec" => service(map),
        "core.v1.ServicePort" => service_port(map),
        "discovery.v1.EndpointPort" => {
            set_text(map, "protocol", "TCP");
            if map.get("name").is_none_or(Value::is_null) {
                map.insert("name".into(), "".into());
            }
        }
        "apiextensions.v1.CustomResourceDefinitionNames" => {
            let kind = text(map, "kind").to_string();
            if !kind.is_empty() {
                set_text(map, "singular", &kind.to_lowercase());
                set_text(map, "listKind", &alloc::format!("{kind}List"));
            }
        }
        "rbac.v1.Subject" if matches!(text(map, "kind"), "User" | "Group") => {
            set_text(map, "apiGroup", "rbac.authorization.k8s.io");
        }
        _ => {}
    }
}

/// A policy that does not say so isolates what it has rules of, and always what comes.
fn policy(map: &mut Map<String, Value>) {
    let some = |field: &str| map.get(field).and_then(Value::as_array).is_some_and(|a| !a.is_empty());
    if map.get("policyTypes").is_none_or(Value::is_null) {
        let types = if some("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        map.insert("policyTypes".into(), types);
    }
}

/// What a container gets where nothing else is said: at most what it may have, at least what it must ask.
fn limits(map: &mut Map<String, Value>) {
    if text(map, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let given = map.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
        let into = map.entry(to).or_insert(Value::Null);
        if into.is_null() && !given.is_empty() {
            *into = json!({});
        }
        if let Some(into) = into.as_object_mut() {
            for (name, amount) in given {
                into.entry(name).or_insert(amount);
            }
        }
        map.retain(|name, value| name != to || !value.is_null());
    }
}

/// Which policies a Service has depends on how it is reached.
fn service(map: &mut Map<String, Value>) {
    let kind = match text(map, "type") {
        "" => "ClusterIP",
        kind => kind,
    }
    .to_string();
    if text(map, "sessionAffinity") == "ClientIP" {
        let config = map.entry("sessionAffinityConfig").or_insert(Value::Null);
        if config["clientIP"]["timeoutSeconds"].is_null() {
            *config = json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}});
        }
    }
    if kind == "ExternalName" {
        return;
    }
    set_text(map, "internalTrafficPolicy", "Cluster");
    let external = map.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if kind != "ClusterIP" || external {
        set_text(map, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" && map.get("allocateLoadBalancerNodePorts").is_none_or(Value::is_null) {
        map.insert("allocateLoadBalancerNodePorts".into(), true.into());
    }
}

fn service_port(map: &mut Map<String, Value>) {
    let absent = |v: &Value| v.is_null() || *v == json!(0) || *v == json!("");
    if map.get("targetPort").is_none_or(absent)
        && let Some(port) = map.get("port").cloned()
    {
        map.insert("targetPort".into(), port);
    }
}

fn text<'m>(map: &'m Map<String, Value>, key: &str) -> &'m str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn set_text(map: &mut Map<String, Value>, key: &str, value: &str) {
    if text(map, key).is_empty() {
        map.insert(key.into(), value.into());
    }
}

/// `Always` for an image without a tag or with `latest`, else `IfNotPresent`.
pub fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// What a pod gets and a template does not.
fn pod(value: &mut Value) {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if spec.get("enableServiceLinks").is_none_or(Value::is_null) {
        spec.insert("enableServiceLinks".into(), true.into());
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false);
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
}

/// Each resource with a limit and no request gets the limit as its request.
fn requests_from_limits(container: &mut Value) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn host_ports(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut()
            && port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0
            && let Some(number) = port.get("containerPort").cloned()
        {
            port.insert("hostPort".into(), number);
        }
    }
}

fn namespace(value: &mut Value) {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let name = text(metadata, "name").to_string();
    if name.is_empty() {
        return;
    }
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.entry(NAMESPACE_NAME_LABEL).or_insert_with(|| name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(kind: Kind, mut value: Value) -> Value {
        apply(kind, &mut value);
        let once = value.clone();
        apply(kind, &mut value);
        assert_eq!(once, value, "defaulting again changes nothing");
        value
    }

    #[test]
    fn a_deployment_gets_kubernetes_defaults() {
        let d = defaulted(
            Kind::Deployment,
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {
                "containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": "1"}},
                    "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0},
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
                "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]}}}}),
        );
        assert_eq!(
            d["spec"],
            json!({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                    "securityContext": {}, "terminationGracePeriodSeconds": 30,
                    "containers": [{"name": "c", "image": "nginx", "imagePullPolicy": "Always",
                        "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {"limits": {"cpu": "1"}},
                        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                        "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]}],
                    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}]}}})
        );
    }

    #[test]
    fn kinds_have_their_own() {
        let pod = defaulted(
            Kind::Pod,
            json!({"spec": {"containers": [{"name": "c", "image": "a:1",
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]}}),
        );
        assert_eq!(pod["spec"]["enableServiceLinks"], json!(true));
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
        let ns = defaulted(Kind::Namespace, json!({"metadata": {"name": "shop"}}));
        assert_eq!(ns["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "shop"}));
        assert_eq!(defaulted(Kind::Secret, json!({}))["type"], json!("Opaque"));
        let recreate = defaulted(Kind::Deployment, json!({"spec": {"strategy": {"type": "Recreate"}}}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn subjects_have_the_group_of_their_kind() {
        let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "an"}, {"kind": "ServiceAccount", "name": "bot"}]});
        let binding = defaulted(Kind::RoleBinding, binding);
        assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
        assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
        assert_eq!(binding["subjects"][1], json!({"kind": "ServiceAccount", "name": "bot"}));
    }

    #[test]
    fn a_services_defaults_follow_its_type() {
        let spec = |spec: Value| defaulted(Kind::Service, json!({"spec": spec}))["spec"].clone();
        assert_eq!(
            spec(json!({"ports": [{"port": 80}, {"port": 81, "targetPort": "web", "protocol": "UDP"}]})),
            json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 80},
                {"port": 81, "protocol": "UDP", "targetPort": "web"}]})
        );
        let balanced = spec(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
        assert_eq!(
            balanced,
            json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true})
        );
        assert_eq!(
            spec(json!({"type": "ExternalName", "externalName": "a.b"})),
            json!({"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"})
        );
        assert_eq!(spec(json!({"externalIPs": ["192.0.2.1"]}))["externalTrafficPolicy"], json!("Cluster"));
    }

    #[test]
    fn a_limit_range_says_what_follows_from_what_it_says() {
        let range = defaulted(
            Kind::LimitRange,
            json!({"spec": {"limits": [
                {"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "default": {"cpu": "1"},
                    "min": {"cpu": "100m", "ephemeral-storage": "1Mi"}},
                {"type": "Pod", "max": {"cpu": "4"}},
                {"type": "Container"}]}}),
        );
        let limits = &range["spec"]["limits"];
        assert_eq!(limits[0]["default"], json!({"cpu": "1", "memory": "1Gi"}));
        let request = json!({"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Mi"});
        assert_eq!(limits[0]["defaultRequest"], request);
        assert_eq!(limits[1], json!({"type": "Pod", "max": {"cpu": "4"}}));
        assert_eq!(limits[2], json!({"type": "Container"}));
    }

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.25", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
