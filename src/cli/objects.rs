//! Reading fields of objects as they come from the API, and saying what is wrong with them.
//!
//! Used by the verbs that tell a story: status, why, history, drift, sync.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use evenkeel_model::{Kind, Time};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::paths;
use crate::client::Client;

/// Text at a pointer; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number at a pointer; 0 if there is none.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// When an event happened last: what to sort by. Several of one second are told apart by their
/// version.
pub(crate) fn happened(event: &Value) -> (&str, u64) {
    (text(event, "/lastTimestamp"), text(event, "/metadata/resourceVersion").parse().unwrap_or(0))
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `namespace/name`, or the name alone.
pub(crate) fn full_name(object: &Value) -> String {
    match text(object, "/metadata/namespace") {
        "" => name(object).to_owned(),
        namespace => format!("{namespace}/{}", name(object)),
    }
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// All objects of a kind, in a namespace or (empty) everywhere.
pub(crate) async fn list(client: &Client, kind: Kind, namespace: &str) -> Result<Vec<Value>> {
    let list = client.get(&paths::collection(kind, namespace)).await?;
    Ok(items(&list).to_vec())
}

/// A part of an object, typed; its default if it is absent.
pub(crate) fn typed<T: DeserializeOwned + Default>(object: &Value, pointer: &str) -> Result<T> {
    match object.pointer(pointer) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(part) => Ok(T::deserialize(part)?),
    }
}

/// A part of an object, typed; `None` if it is absent or of another form.
pub(crate) fn maybe<T: DeserializeOwned>(object: &Value, pointer: &str) -> Option<T> {
    T::deserialize(object.pointer(pointer)?).ok()
}

/// A condition's status, reason and message.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let list = object.pointer("/status/conditions")?.as_array()?;
    let found = list.iter().find(|c| text(c, "/type") == kind)?;
    Some((text(found, "/status"), text(found, "/reason"), text(found, "/message")))
}

/// `reason: message`, whatever of it there is.
pub(crate) fn said(reason: &str, message: &str) -> String {
    match (reason, message) {
        ("", m) => m.to_owned(),
        (r, "") => r.to_owned(),
        (r, m) => format!("{r}: {m}"),
    }
}

/// What keeps a pod from being ready; `None` if it is, or has ended well.
pub(crate) fn pod_trouble(pod: &Value) -> Option<String> {
    let phase = text(pod, "/status/phase");
    if phase == "Succeeded" || condition(pod, "Ready").is_some_and(|(s, ..)| s == "True") {
        return None;
    }
    if let Some(("False", reason, message)) = condition(pod, "PodScheduled") {
        return Some(said(reason, message));
    }
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = statuses.iter().filter_map(|p| pod.pointer(p)?.as_array()).flatten();
    for container in containers {
        let at = |state: &str| {
            let part = container.pointer(state)?;
            let reason = text(part, "/reason");
            let code = part.get("exitCode").and_then(Value::as_i64).filter(|c| *c != 0);
            let message = code.map_or_else(|| text(part, "/message").to_owned(), |c| format!("exit code {c}"));
            // `back-off 10s restarting failed container=NAME pod=...`: the rest stands around it.
            let message = match message.split_once(" container=") {
                Some((what, _)) if reason == "CrashLoopBackOff" => what.to_owned(),
                _ => message,
            };
            // `Error` says less than the code beside it.
            let reason = if reason == "Error" && code.is_some() { "" } else { reason };
            (!reason.is_empty() || !message.is_empty()).then(|| said(reason, &message))
        };
        let waiting = at("/state/waiting").or_else(|| at("/state/terminated").filter(|t| t != "Completed"));
        if let Some(what) = waiting {
            let last = at("/lastState/terminated").map(|l| format!(" (last end: {l})")).unwrap_or_default();
            let restarts = number(container, "/restartCount");
            let restarts = match restarts {
                ..=0 => String::new(),
                1 => ", 1 restart".into(),
                n => format!(", {n} restarts"),
            };
            return Some(format!("container {}: {what}{last}{restarts}", text(container, "/name")));
        }
    }
    match condition(pod, "Ready") {
        Some((_, reason, message)) if !reason.is_empty() || !message.is_empty() => Some(said(reason, message)),
        _ => Some(said(text(pod, "/status/reason"), text(pod, "/status/message")))
            .filter(|s| !s.is_empty())
            .or_else(|| Some(format!("phase {phase}"))),
    }
}

/// The present.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long ago a time of an object was, as `5m`; empty if it has none.
pub(crate) fn ago(object: &Value, pointer: &str) -> String {
    Time::parse_rfc3339(text(object, pointer)).map(since).unwrap_or_default()
}

/// How long ago that was, in its two largest units.
pub(crate) fn since(then: Time) -> String {
    let d = Duration::from_secs(now().since(then).as_secs());
    let text = humantime::format_duration(d).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pods_trouble_is_the_nearest_cause() {
        let pod = |status: Value| json!({"metadata": {"name": "a"}, "status": status});
        assert_eq!(pod_trouble(&pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}))), None);
        let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu"}]});
        assert_eq!(
            pod_trouble(&pod(unscheduled)).unwrap(),
            "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu"
        );
        let crashing = json!({"phase": "Running", "containerStatuses": [{"name": "web",
            "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff",
                "message": "back-off 10s restarting failed container=web pod=web-1_shop(8a)"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 3}}}]});
        assert_eq!(
            pod_trouble(&pod(crashing)).unwrap(),
            "container web: CrashLoopBackOff: back-off 10s restarting failed (last end: exit code 3), 2 restarts"
        );
    }
}
