//! Probes and lifecycle hooks.

use serde_json::Value;

use super::{complaints::Complaints, container::handler_port, list, text};
use crate::path::Trail;

/// A probe: exactly one handler, thresholds that make sense.
pub(super) fn probe(field: &str, value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    handler(value, &["exec", "httpGet", "tcpSocket", "grpc"], at, out);
    let threshold = &value["successThreshold"];
    if field != "readinessProbe" && threshold.as_i64().is_some_and(|n| n > 1) {
        out.invalid(&at.field("successThreshold"), threshold, "must be 1");
    }
    if field == "readinessProbe" && value["terminationGracePeriodSeconds"].is_number() {
        let at = at.field("terminationGracePeriodSeconds");
        out.invalid(&at, &value["terminationGracePeriodSeconds"], "must not be set for readinessProbes");
    }
}

/// A lifecycle hook.
pub(super) fn hook(value: &Value, grace: i64, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    handler(value, &["exec", "httpGet", "tcpSocket", "sleep"], at, out);
    let seconds = &value["sleep"]["seconds"];
    if seconds.as_i64().is_some_and(|n| n > grace) {
        let why = alloc::format!("must be less than terminationGracePeriodSeconds ({grace})");
        out.invalid(&at.field("sleep"), seconds, &why);
    }
}

fn handler(value: &Value, kinds: &[&str], at: &Trail<'_>, out: &mut Complaints) {
    let mut given = kinds.iter().filter(|k| value[**k].is_object());
    if given.next().is_none() {
        out.required(at, "must specify a handler type");
    }
    for more in given {
        out.forbidden(&at.field(more), "may not specify more than 1 handler type");
    }
    let exec = &value["exec"];
    if exec.is_object() && list(exec, "command").is_empty() {
        out.required(&at.field("exec").field("command"), "");
    }
    for kind in ["httpGet", "tcpSocket", "grpc"] {
        handler_port(&value[kind]["port"], &at.field(kind).field("port"), out);
    }
    let headers = at.field("httpGet");
    let headers = headers.field("httpHeaders");
    for (i, header) in list(&value["httpGet"], "httpHeaders").iter().enumerate() {
        if let Some(name) = text(header, "name")
            && !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            out.invalid_str(&headers.index(i).field("name"), name, why);
        }
    }
}
