//! An object's canonical form: every field that equals its default, or what its absence means, is
//! left out. What two specifications that mean the same have in common.
//!
//! Called for `pod-template-hash` and `spec-hash`: a newer version that knows more defaults gives
//! the same form for the same input, so an upgrade restarts nothing. Deliberately not here: the
//! digest itself.

use alloc::string::String;

use serde_json::{Map, Value};

use crate::{
    defaults,
    types::{Object, Type},
};

/// Number of this form; hashes carry it. A change of the form that gives other bytes for the same
/// input needs the next number, and the old form must stay computable.
pub const SCHEME: u8 = 1;

/// The canonical form of a part, such as a pod template (`core.v1.PodTemplateSpec`) or a pod's
/// spec. The same for a value with defaults filled in, in part or not at all.
pub fn form(ty: &Type, value: &Value) -> Value {
    let mut value = value.clone();
    defaults::fill(ty, &mut value);
    strip(ty, &mut value);
    value
}

fn strip(ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(object), Value::Object(map)) => {
            map.retain(|name, v| {
                let Some(field) = object.field(name) else { return true };
                strip(&field.ty, v);
                let default = field.default.is_some_and(|d| d.is(v)) || field.absent.is_some_and(|a| a.is(v));
                !default && (!empty(v) || means_something_empty(&field.ty))
            });
            conditional(object, map);
        }
        (Type::List(item), Value::Array(list)) => list.iter_mut().for_each(|v| strip(item, v)),
        (Type::Map(item), Value::Object(map)) => map.values_mut().for_each(|v| strip(item, v)),
        _ => {}
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.is_empty(),
        _ => false,
    }
}

/// An empty selector selects everything, an absent one nothing.
fn means_something_empty(ty: &Type) -> bool {
    ty.object().is_some_and(|o| o.name == "meta.v1.LabelSelector")
}

/// Takes out what `defaults` fills in under a condition.
fn conditional(object: &Object, map: &mut Map<String, Value>) {
    match object.name {
        "core.v1.Container" => {
            let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
            let policy = defaults::pull_policy(image);
            if map.get("imagePullPolicy").and_then(Value::as_str) == Some(policy) {
                map.remove("imagePullPolicy");
            }
        }
        "core.v1.ResourceRequirements" => requests_like_limits(map),
        _ => {}
    }
}

/// A request equal to its limit is what a pod without the request gets.
fn requests_like_limits(map: &mut Map<String, Value>) {
    let Some(limits) = map.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = map.get_mut("requests").and_then(Value::as_object_mut) {
        let requests: &mut Map<String, Value> = requests;
        requests.retain(|name: &String, v| limits.get(name) != Some(v));
        if requests.is_empty() {
            map.remove("requests");
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;
    use crate::kinds::definition;

    #[test]
    fn defaults_written_out_or_left_out_give_one_form() {
        let ty = definition("core.v1.PodSpec").unwrap();
        let short = json!({"containers": [{"name": "c", "image": "a:1", "resources": {"limits": {"cpu": "1"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": false}]}], "volumes": [{"name": "v"}]});
        let form = form(ty, &short);
        assert_eq!(
            form,
            json!({"containers": [{"name": "c", "image": "a:1", "resources": {"limits": {"cpu": "1"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}], "volumes": [{"name": "v"}]})
        );
        let mut pod = json!({"metadata": {}, "spec": short});
        defaults::apply(Kind::Pod, &mut pod);
        assert_eq!(super::form(ty, &pod["spec"]), form);
        assert_eq!(super::form(ty, &form), form);
    }

    #[test]
    fn what_differs_stays() {
        let ty = definition("core.v1.PodSpec").unwrap();
        let value = json!({"containers": [{"name": "c", "image": "a", "imagePullPolicy": "IfNotPresent",
            "securityContext": {"runAsUser": 0}}], "terminationGracePeriodSeconds": 0, "dnsPolicy": "Default"});
        assert_eq!(form(ty, &value), value);
    }
}
