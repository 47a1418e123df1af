//! Rows of LimitRanges and ResourceQuotas.

use evenkeel_model::{Object, Time};
use serde_json::Value;

use super::{Column, age, name, text};

pub(super) const RANGE: &[Column] = &[text("Name"), text("Created At")];
pub(super) const QUOTA: &[Column] = &[text("Name"), text("Request"), text("Limit"), text("Age")];

pub(super) fn range(object: &Object) -> Vec<Value> {
    vec![name(object), object.meta.created.rfc3339().into()]
}

pub(super) fn quota(object: &Object, now: Time) -> Vec<Value> {
    let status: Value = object.status().ok().flatten().unwrap_or_default();
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
        let words = |v: &Value| v.as_str().unwrap_or("0").to_owned();
        let cell = format!("{resource}: {}/{}", words(&status["used"][resource]), words(hard));
        if resource.contains("limits") { &mut limits } else { &mut requests }.push(cell);
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_quota_says_what_is_used_of_what() {
        let object = Object::from_value(json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "all", "namespace": "shop"}, "spec": {"hard": {"pods": "5"}},
            "status": {"hard": {"pods": "5", "limits.cpu": "2", "requests.memory": "1Gi"},
                "used": {"pods": "3", "limits.cpu": "500m", "requests.memory": "0"}}}));
        let cells = quota(&object.unwrap(), Time::from_secs(0));
        assert_eq!(cells[1], "pods: 3/5, requests.memory: 0/1Gi");
        assert_eq!(cells[2], "limits.cpu: 500m/2");
    }
}
