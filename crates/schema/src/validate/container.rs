//! One container of a pod.

use alloc::{collections::BTreeSet, format, string::String};

use evenkeel_model::Quantity;
use serde_json::{Value, json};

use super::{complaints::Complaints, environment, list, names, pod, probe, text};
use crate::path::Trail;

/// What a container is in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs as long as the pod.
    Main,
    /// Runs to its end before the main ones start.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
}

/// What a container's checks need of its pod.
pub(super) struct Context<'v> {
    /// Names of its volumes.
    pub(super) volumes: &'v BTreeSet<&'v str>,
    /// `terminationGracePeriodSeconds`.
    pub(super) grace: i64,
}

pub(super) fn check(value: &Value, role: Role, cx: &Context<'_>, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(name) = text(value, "name")
        && let Some(why) = names::dns_label(name)
    {
        out.invalid_str(&at.field("name"), name, why);
    }
    if let Some(image) = text(value, "image")
        && image.trim() != image
    {
        out.invalid_str(&at.field("image"), image, "must not have leading or trailing whitespace");
    }
    restart_policy(value, role, at, out);
    ports(value, at, out);
    environment::check(value, at, out);
    mounts(value, cx, at, out);
    resources(&value["resources"], &at.field("resources"), out);
    security(&value["securityContext"], &at.field("securityContext"), out);
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if role == Role::Init && value[field].is_object() {
            out.forbidden(&at.field(field), "may not be set for init containers without restartPolicy=Always");
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe::probe(field, &value[field], &at.field(field), out);
    }
    let at = at.field("lifecycle");
    for field in ["postStart", "preStop"] {
        probe::hook(&value["lifecycle"][field], cx.grace, &at.field(field), out);
    }
}

fn restart_policy(value: &Value, role: Role, at: &Trail<'_>, out: &mut Complaints) {
    let Some(policy) = text(value, "restartPolicy") else { return };
    let at = at.field("restartPolicy");
    match role {
        Role::Main => out.forbidden(&at, "may not be set for non-init containers"),
        Role::Init if matches!(policy, "Never" | "OnFailure") => out.unsupported(&at, &json!(policy), &["Always"]),
        Role::Init | Role::Sidecar => {}
    }
}

fn ports(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("ports");
    let mut seen = BTreeSet::new();
    for (i, port) in list(value, "ports").iter().enumerate() {
        let at = at.index(i);
        pod::address(port, "hostIP", &at, out);
        let Some(name) = text(port, "name") else { continue };
        let at = at.field("name");
        if let Some(why) = names::port_name(name) {
            out.invalid_str(&at, name, why);
        } else if !seen.insert(name) {
            out.duplicate(&at, &json!(name));
        }
    }
}

fn mounts(value: &Value, cx: &Context<'_>, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("volumeMounts");
    let mut seen = BTreeSet::new();
    for (i, mount) in list(value, "volumeMounts").iter().enumerate() {
        let at = at.index(i);
        if let Some(name) = text(mount, "name")
            && !cx.volumes.contains(name)
        {
            out.not_found(&at.field("name"), name);
        }
        if let Some(path) = text(mount, "mountPath") {
            let at = at.field("mountPath");
            if !seen.insert(path) {
                out.invalid_str(&at, path, "must be unique");
            }
            if path.contains(':') {
                out.invalid_str(&at, path, "must not contain ':'");
            } else if !path.starts_with('/') {
                out.invalid_str(&at, path, "must be an absolute path");
            }
        }
        let shared = text(mount, "mountPropagation") == Some("Bidirectional");
        if shared && value["securityContext"]["privileged"] != Value::Bool(true) {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            out.forbidden(&at.field("mountPropagation"), why);
        }
        for field in ["subPath", "subPathExpr"] {
            if let Some(path) = text(mount, field)
                && let Some(why) = pod::inner_path(path)
            {
                out.invalid_str(&at.field(field), path, &why);
            }
        }
        if let (Some(_), Some(expression)) = (text(mount, "subPath"), text(mount, "subPathExpr")) {
            let why = "subPathExpr and subPath are mutually exclusive";
            out.invalid_str(&at.field("subPathExpr"), expression, why);
        }
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

fn resources(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    for part in ["limits", "requests"] {
        let at = at.field(part);
        for (name, amount) in value[part].as_object().into_iter().flatten() {
            let at = at.key(name);
            if let Some(why) = names::qualified_name(name) {
                out.invalid_str(&at, name, why);
            }
            let Some(amount_read) = quantity(amount) else { continue };
            if amount_read < Quantity::default() {
                out.invalid(&at, amount, "must be greater than or equal to 0");
            }
            let limit = &value["limits"][name.as_str()];
            if part == "requests" && quantity(limit).is_some_and(|l| amount_read > l) {
                let why =
                    format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or_default());
                out.invalid(&at, amount, &why);
            }
        }
    }
}

fn security(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    seccomp(value, at, out);
    if value["allowPrivilegeEscalation"] != Value::Bool(false) {
        return;
    }
    if value["privileged"] == Value::Bool(true) {
        out.invalid(at, value, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    let added = list(&value["capabilities"], "add");
    if added.iter().any(|c| matches!(c.as_str(), Some("CAP_SYS_ADMIN"))) {
        out.invalid(at, value, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
    }
}

/// The seccomp profile of a security context.
pub(super) fn seccomp(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let profile = &value["seccompProfile"];
    let Some(kind) = text(profile, "type") else { return };
    let at = at.field("seccompProfile");
    let at = at.field("localhostProfile");
    match (kind, text(profile, "localhostProfile")) {
        ("Localhost", None) => out.required(&at, "must be set when seccomp type is Localhost"),
        ("Localhost", Some(path)) => {
            if let Some(why) = pod::inner_path(path) {
                out.invalid_str(&at, path, &why);
            }
        }
        (_, Some(path)) => out.invalid_str(&at, path, "can only be set when seccomp type is Localhost"),
        (_, None) => {}
    }
}

/// A port of a handler: a number in range or a port's name.
pub(super) fn handler_port(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let wrong: Option<String> = match value {
        Value::Number(n) => {
            let good = n.as_i64().is_some_and(|n| (1..=65535).contains(&n));
            (!good).then(|| "must be between 1 and 65535, inclusive".into())
        }
        Value::String(s) => names::port_name(s).map(Into::into),
        _ => None,
    };
    if let Some(why) = wrong {
        out.invalid(at, value, &why);
    }
}
