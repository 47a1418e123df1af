//! A pod's `spec`, its own or a template's: what concerns more than one container.

use alloc::{collections::BTreeSet, string::String};
use core::net::IpAddr;

use serde_json::{Value, json};

use super::{
    complaints::Complaints,
    container::{self, Role},
    list, meta, names, text, volume,
};
use crate::path::Trail;

/// The pod's `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    if value["containers"].as_array().is_some_and(alloc::vec::Vec::is_empty) {
        out.required(&at.field("containers"), "");
    }
    let volumes = volume::all(value, at, out);
    let cx =
        container::Context { volumes: &volumes, grace: value["terminationGracePeriodSeconds"].as_i64().unwrap_or(30) };
    let mut seen = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for (field, init) in [("initContainers", true), ("containers", false)] {
        let at = at.field(field);
        for (i, c) in list(value, field).iter().enumerate() {
            let at = at.index(i);
            let role = match (init, text(c, "restartPolicy")) {
                (false, _) => Role::Main,
                (true, Some("Always")) => Role::Sidecar,
                (true, _) => Role::Init,
            };
            container::check(c, role, &cx, &at, out);
            if let Some(name) = text(c, "name")
                && !seen.insert(name)
            {
                out.duplicate(&at.field("name"), &json!(name));
            }
            if role != Role::Init {
                ports_of_host(c, &mut host_ports, &at, out);
            }
        }
    }
    rest(value, at, out);
}

/// A port of the node goes to one container.
fn ports_of_host<'v>(
    container: &'v Value,
    seen: &mut BTreeSet<(&'v str, &'v str, i64)>,
    at: &Trail<'_>,
    out: &mut Complaints,
) {
    let at = at.field("ports");
    for (i, port) in list(container, "ports").iter().enumerate() {
        let Some(number) = port["hostPort"].as_i64().filter(|n| *n != 0) else { continue };
        let protocol = text(port, "protocol").unwrap_or("TCP");
        let address = text(port, "hostIP").unwrap_or("");
        if !seen.insert((protocol, address, number)) {
            let shown = alloc::format!("{protocol}/{address}/{number}");
            out.duplicate(&at.index(i).field("hostPort"), &json!(shown));
        }
    }
}

fn rest(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    meta::labels(&value["nodeSelector"], &at.field("nodeSelector"), out);
    let secrets = at.field("imagePullSecrets");
    for (i, secret) in list(value, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_none() {
            out.invalid_str(&secrets.index(i).field("name"), "", "must not be empty");
        }
    }
    let tolerations = at.field("tolerations");
    for (i, toleration) in list(value, "tolerations").iter().enumerate() {
        self::toleration(toleration, &tolerations.index(i), out);
    }
    if text(value, "dnsPolicy") == Some("None") && list(&value["dnsConfig"], "nameservers").is_empty() {
        let at = at.field("dnsConfig");
        out.required(&at.field("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    for (field, check) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str) -> Option<&'static str>),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
        ("nodeName", names::dns_subdomain),
    ] {
        if let Some(name) = text(value, field)
            && let Some(why) = check(name)
        {
            out.invalid_str(&at.field(field), name, why);
        }
    }
    let aliases = at.field("hostAliases");
    for (i, alias) in list(value, "hostAliases").iter().enumerate() {
        let at = aliases.index(i);
        address(alias, "ip", &at, out);
        let hostnames = at.field("hostnames");
        for (i, name) in list(alias, "hostnames").iter().enumerate() {
            if let Some(name) = name.as_str()
                && let Some(why) = names::dns_subdomain(name)
            {
                out.invalid_str(&hostnames.index(i), name, why);
            }
        }
    }
    container::seccomp(&value["securityContext"], &at.field("securityContext"), out);
}

fn toleration(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let operator = text(value, "operator").unwrap_or("Equal");
    if let Some(key) = text(value, "key") {
        if let Some(why) = names::qualified_name(key) {
            out.invalid_str(&at.field("key"), key, why);
        }
    } else if operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        out.invalid_str(&at.field("operator"), operator, why);
    }
    match (operator, text(value, "value")) {
        ("Exists", Some(given)) => {
            out.invalid_str(&at.field("value"), given, "value must be empty when `operator` is 'Exists'");
        }
        (_, Some(given)) => {
            if let Some(why) = names::label_value(given) {
                out.invalid_str(&at.field("value"), given, why);
            }
        }
        (_, None) => {}
    }
    if value["tolerationSeconds"].is_number() && text(value, "effect") != Some("NoExecute") {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        out.invalid_str(&at.field("effect"), text(value, "effect").unwrap_or(""), why);
    }
}

/// Field paths that an environment variable may take its value from.
pub(super) const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Field paths that a file of the downward API may hold.
pub(super) const FILE_FIELDS: [&str; 5] =
    ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];

/// A `fieldRef`.
pub(super) fn field_ref(value: &Value, supported: &[&str], at: &Trail<'_>, out: &mut Complaints) {
    let Some(path) = text(value, "fieldPath") else { return };
    let at = at.field("fieldPath");
    let Some((field, key)) = subscript(path) else {
        if !supported.contains(&path) {
            out.unsupported(&at, &json!(path), supported);
        }
        return;
    };
    let wrong = match field {
        "metadata.labels" => names::qualified_name(key),
        "metadata.annotations" => names::qualified_name(&key.to_ascii_lowercase()),
        _ => Some("does not support subscript"),
    };
    if let Some(why) = wrong {
        out.invalid_str(&at, path, why);
    }
}

/// What a container may learn of its resources.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// A `resourceFieldRef`. In a volume it must name its container.
pub(super) fn resource_ref(value: &Value, in_volume: bool, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    if in_volume && text(value, "containerName").is_none() {
        out.required(&at.field("containerName"), "");
    }
    if let Some(resource) = text(value, "resource").filter(|r| !RESOURCES.contains(r)) {
        out.unsupported(&at.field("resource"), &json!(resource), &RESOURCES);
    }
}

/// An address.
pub(super) fn address(value: &Value, field: &str, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(ip) = text(value, field)
        && ip.parse::<IpAddr>().is_err()
    {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        out.invalid_str(&at.field(field), ip, why);
    }
}

/// `metadata.labels['a']` as field and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let quoted = |q: char| key.strip_prefix(q).and_then(|k| k.strip_suffix(q));
    Some((field, quoted('\'').or_else(|| quoted('"'))?))
}

/// A path inside a volume.
pub(super) fn inner_path(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return Some("must be a relative path".into());
    }
    if path.split('/').any(|part| part == "..") {
        return Some("must not contain '..'".into());
    }
    None
}
